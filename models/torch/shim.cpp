#include "internal.h"
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/cuda.h>
#include <torch/headeronly/version.h>
#include <atomic>
#include <cstring>
#include <dlfcn.h>

static thread_local char *g_err = nullptr;
void set_err(const char *s) { free(g_err); g_err = strdup(s ? s : "unknown libtorch error"); }

namespace {
std::atomic<int64_t> g_cur{0}, g_peak{0}, g_blocks{0};
constexpr size_t kHead = 64; // keeps libtorch's 64-byte alignment

void release(void *p) {
  if (!p) return;
  char *base = static_cast<char *>(p) - kHead;
  int64_t n;
  memcpy(&n, base, sizeof n);
  g_cur.fetch_sub(r512(n), std::memory_order_relaxed);
  g_blocks.fetch_sub(1, std::memory_order_relaxed);
  c10::free_cpu(base);
}

// Counts each block rounded up to 512 bytes, as CUDA's caching allocator does, so that the CPU's figure means the same.
struct CountingAllocator final : at::Allocator {
  at::DataPtr allocate(size_t n) override {
    if (n == 0) return {nullptr, nullptr, &release, at::Device(at::kCPU)};
    char *base = static_cast<char *>(c10::alloc_cpu(n + kHead));
    int64_t k = static_cast<int64_t>(n);
    memcpy(base, &k, sizeof k);
    int64_t now = g_cur.fetch_add(r512(k), std::memory_order_relaxed) + r512(k);
    int64_t p = g_peak.load(std::memory_order_relaxed);
    while (now > p && !g_peak.compare_exchange_weak(p, now, std::memory_order_relaxed)) {}
    g_blocks.fetch_add(1, std::memory_order_relaxed);
    return {base + kHead, base + kHead, &release, at::Device(at::kCPU)};
  }
  void copy_data(void *d, const void *s, std::size_t n) const override { default_copy_data(d, s, n); }
  at::DeleterFnPtr raw_deleter() const override { return &release; }
};
CountingAllocator g_alloc;
} // namespace

int64_t peak_of(int device) {
  if (device < 0) return g_peak.load(std::memory_order_relaxed);
  auto s = c10::getDeviceAllocator(at::kCUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(device));
  return s.allocated_bytes[static_cast<int>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
}

extern "C" {
char *pm_last_error(void) { char *e = g_err; g_err = nullptr; return e; }
const char *pm_version(void) { return TORCH_VERSION; }
void pm_count_enable(void) { c10::SetCPUAllocator(&g_alloc, 255); }
int64_t pm_live_blocks(void) { return g_blocks; }
int pm_stats_get(int device, pm_stats *out) {
  if (device < 0) { *out = {g_cur, g_peak, 0, 0}; return 0; }
  PM_TRY(auto s = c10::getDeviceAllocator(at::kCUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(device));
         const int a = static_cast<int>(c10::CachingAllocator::StatType::AGGREGATE);
         *out = {s.allocated_bytes[a].current, s.allocated_bytes[a].peak, s.reserved_bytes[a].current, s.reserved_bytes[a].peak};
         return 0;)
  return -1;
}
int pm_peak_reset(int device) {
  if (device < 0) { g_peak = g_cur.load(); return 0; }
  PM_TRY(c10::getDeviceAllocator(at::kCUDA)->resetPeakStats(static_cast<c10::DeviceIndex>(device)); return 0;)
  return -1;
}
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
void *pm_empty(const int64_t *dims, size_t n, int dtype) {
  PM_TRY(return new at::Tensor(at::empty(at::IntArrayRef(dims, n), at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype))));)
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
// gotch's in-place operators replace the handle and forget the old one, which then keeps the memory for good.
int pm_normal(void *t, double mean, double std) { PM_TRY(at::NoGradGuard ng; ten(t).normal_(mean, std); return 0;) return -1; }
int pm_fill(void *t, double v) { PM_TRY(at::NoGradGuard ng; ten(t).fill_(v); return 0;) return -1; }
}
