#include "internal.h"
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/cuda.h>
#include <torch/headeronly/version.h>
#include <cmath>
#include <cstring>
#include <dlfcn.h>

static thread_local char *g_err = nullptr;
void set_err(const char *s) { free(g_err); g_err = strdup(s ? s : "unknown libtorch error"); }

namespace {
// What libtorch's attention does on the CPU: with dropout plain products and a softmax, else the kernel that never holds all
// scores. Where tensors have no values libtorch would add the mask out of place, hence its plain form is written out.
at::Tensor attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const at::Tensor &mask, double dropout) {
  if (!q.is_meta()) return at::scaled_dot_product_attention(q, k, v, mask, dropout);
  if (dropout == 0) return std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0, false, mask));
  double scale = std::sqrt(1 / std::sqrt(double(q.size(-1))));
  const auto scaled = q * scale;
  auto scores = at::matmul(scaled, k.transpose(-2, -1) * scale);
  scores.add_(mask);
  scores = at::dropout(at::softmax(scores, -1), dropout, true);
  return at::matmul(scores, v);
}
} // namespace

extern "C" {
char *pm_last_error(void) { char *e = g_err; g_err = nullptr; return e; }
const char *pm_version(void) { return TORCH_VERSION; }
int pm_cuda_load(const char *path) {
  if (dlopen(path && *path ? path : "libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) return 0;
  set_err(dlerror());
  return -1;
}
int pm_cuda_count(void) { PM_TRY(return static_cast<int>(torch::cuda::device_count());) return -1; }
int pm_manual_seed(int64_t s) { PM_TRY(at::manual_seed(s); return 0;) return -1; }
void pm_set_threads(int n) { PM_TRY(at::set_num_threads(n);) }
int pm_get_threads(void) { return at::get_num_threads(); }
void pm_grad_mode(int on) { at::GradMode::set_enabled(on != 0); }
void *pm_from_blob(void *data, const int64_t *dims, size_t n, int dtype) {
  PM_TRY(return new at::Tensor(at::from_blob(data, at::IntArrayRef(dims, n), at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype))));)
  return nullptr;
}
void *pm_empty(const int64_t *dims, size_t n, int dtype, int device) {
  PM_TRY(auto d = device == kMeta ? at::Device(at::kMeta) : device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, device);
         return new at::Tensor(at::empty(at::IntArrayRef(dims, n), at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype)).device(d)));)
  return nullptr;
}
void *pm_data(void *t, int64_t *nbytes) {
  PM_TRY(auto &x = ten(t); TORCH_CHECK(x.is_cpu() && x.is_contiguous(), "want a contiguous CPU tensor");
         *nbytes = static_cast<int64_t>(x.nbytes()); return x.data_ptr();)
  return nullptr;
}
void *pm_new_param(void *t) {
  PM_TRY(auto x = ten(t).detach(); x.requires_grad_(true); return new at::Tensor(x);)
  return nullptr;
}
void *pm_attention(void *q, void *k, void *v, void *mask, double dropout) {
  PM_TRY(return new at::Tensor(attention(ten(q), ten(k), ten(v), ten(mask), dropout));)
  return nullptr;
}
// gotch's in-place operators replace the handle and forget the old one, which then keeps the memory for good.
int pm_normal(void *t, double mean, double std) { PM_TRY(at::NoGradGuard ng; ten(t).normal_(mean, std); return 0;) return -1; }
int pm_fill(void *t, double v) { PM_TRY(at::NoGradGuard ng; ten(t).fill_(v); return 0;) return -1; }
}
