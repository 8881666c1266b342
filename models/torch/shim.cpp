#include "internal.h"
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/cuda.h>
#include <torch/headeronly/version.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <dlfcn.h>
#include <vector>

static thread_local char *g_err = nullptr;
void set_err(const char *s) { free(g_err); g_err = strdup(s ? s : "unknown libtorch error"); }

namespace {
// The ledger's clock: what is resident changes only where note() is called, so when the peak has grown since the last
// call, it was reached with exactly the bytes that were resident then.
struct Watch {
  int device = -1;
  bool on = false;
  int64_t peak = 0;
  pm_ledger now{}, at_peak{};
  void look() {
    if (!on) return;
    int64_t p = peak_of(device);
    if (p > peak) { peak = p; at_peak = now; }
  }
};

struct Param {
  at::Tensor p, m, v, t; // t: the fused form's step, a tensor
  double wd;
  int kind; // 0 embedding matrix, 1 the rest
};

struct GradHook final : torch::autograd::PostAccumulateGradHook {
  Watch *w;
  int kind;
  GradHook(Watch *w, int kind) : w(w), kind(kind) {}
  void operator()(const torch::autograd::Variable &v) override {
    w->look();
    if (v.grad().defined()) w->now.grad[kind] += size_of(v.grad());
  }
};

// The L2 norm of each row in double, then their sum in the order of the rows: rows that are exactly zero cannot change it, so
// that a matrix with and without its unused rows has the same norm to the last bit. torch's own norm has no such promise.
double matrix_norm_cpu(const at::Tensor &g) {
  auto x = g.contiguous();
  if (x.is_meta()) return 0; // no values
  const float *d = x.data_ptr<float>();
  int64_t rows = x.size(0), width = x.numel() / std::max<int64_t>(rows, 1);
  std::vector<double> sums(rows);
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / std::max<int64_t>(width, 1)), [&](int64_t a, int64_t b) {
    for (int64_t r = a; r < b; r++) {
      const float *row = d + r * width;
      double s[8] = {0};
      int64_t i = 0;
      for (; i + 8 <= width; i += 8)
        for (int k = 0; k < 8; k++) s[k] += double(row[i + k]) * row[i + k];
      for (; i < width; i++) s[0] += double(row[i]) * row[i];
      sums[r] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
  });
  double total = 0;
  for (double s : sums) total += s;
  return std::sqrt(total);
}

struct AdamW {
  double b1, b2, eps;
  int form;
  int64_t n = 0;
  std::vector<Param> params;
  Watch watch;

  void state(Param &x) {
    if (x.m.defined()) return;
    watch.look();
    x.m = at::zeros_like(x.p);
    x.v = at::zeros_like(x.p);
    watch.now.opt[x.kind] += size_of(x.m) + size_of(x.v);
    if (form == 2) {
      x.t = at::zeros({}, x.p.options().dtype(at::kFloat));
      watch.now.opt[x.kind] += size_of(x.t);
    }
  }

  void step(double lr) {
    ++n;
    double c1 = 1 - std::pow(b1, n), c2 = std::sqrt(1 - std::pow(b2, n));
    if (form == 0) {
      for (auto &x : params) if (x.p.grad().defined()) state(x);
      for (auto &x : params) {
        auto g = x.p.grad();
        if (!g.defined()) continue;
        if (x.wd != 0) x.p.mul_(1 - lr * x.wd);
        x.m.lerp_(g, 1 - b1);
        x.v.mul_(b2).addcmul_(g, g, 1 - b2);
        auto den = (x.v.sqrt() / c2).add_(eps); // two temporaries, as torch.optim.AdamW has
        x.p.addcdiv_(x.m, den, -lr / c1);
      }
      watch.look();
      return;
    }
    std::vector<double> decays;
    for (auto &x : params) if (std::find(decays.begin(), decays.end(), x.wd) == decays.end()) decays.push_back(x.wd);
    for (double wd : decays) {
      std::vector<at::Tensor> p, g, m, v, t;
      for (auto &x : params) {
        if (x.wd != wd || !x.p.grad().defined()) continue;
        state(x);
        p.push_back(x.p); g.push_back(x.p.grad()); m.push_back(x.m); v.push_back(x.v);
        if (form == 2) t.push_back(x.t);
      }
      if (p.empty()) continue;
      if (form == 2) {
        at::_foreach_add_(t, 1);
        at::_fused_adamw_(p, g, m, v, {}, t, lr, b1, b2, wd, eps, false, false);
        continue;
      }
      if (wd != 0) at::_foreach_mul_(p, 1 - lr * wd);
      at::_foreach_lerp_(m, g, 1 - b1);
      at::_foreach_mul_(v, b2);
      at::_foreach_addcmul_(v, g, g, 1 - b2);
      auto den = at::_foreach_sqrt(v);
      at::_foreach_div_(den, c2);
      at::_foreach_add_(den, eps);
      at::_foreach_addcdiv_(p, m, den, -lr / c1);
    }
    watch.look();
  }

  double clip(double max_norm) {
    std::vector<at::Tensor> gs, rest;
    double sq = 0;
    for (auto &x : params) {
      auto g = x.p.grad();
      if (!g.defined()) continue;
      gs.push_back(g);
      if (x.kind != 0) { rest.push_back(g); continue; }
      double e = !g.is_cuda() && g.scalar_type() == at::kFloat ? matrix_norm_cpu(g)
                                                             : at::linalg_vector_norm(g, 2, at::nullopt, false, at::kDouble).item<double>();
      sq += e * e;
    }
    if (!rest.empty()) {
      double r = at::linalg_vector_norm(at::stack(at::_foreach_norm(rest, 2)), 2).item<double>();
      sq += r * r;
    }
    double norm = std::sqrt(sq);
    if (max_norm > 0 && norm > max_norm) at::_foreach_mul_(gs, max_norm / (norm + 1e-6));
    return norm;
  }

  void zero() {
    watch.look();
    for (auto &x : params) x.p.mutable_grad().reset();
    watch.now.grad[0] = watch.now.grad[1] = 0;
  }
};
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

AdamW *adamw(void *o) { return static_cast<AdamW *>(o); }
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

void *pm_opt_new(double b1, double b2, double eps, int form) {
  auto *o = new AdamW;
  o->b1 = b1; o->b2 = b2; o->eps = eps; o->form = form;
  return o;
}
int pm_opt_add(void *opt, void *param, double wd, int embedding) {
  PM_TRY(auto *o = adamw(opt); auto &p = ten(param); int kind = embedding ? 0 : 1;
         o->params.push_back({p, {}, {}, {}, wd, kind});
         o->watch.now.param[kind] += size_of(p);
         torch::autograd::impl::set_post_acc_grad_hooks(p, std::make_unique<GradHook>(&o->watch, kind));
         return 0;)
  return -1;
}
int pm_opt_step(void *opt, double lr) { PM_TRY(at::NoGradGuard ng; adamw(opt)->step(lr); return 0;) return -1; }
double pm_opt_clip(void *opt, double max_norm) { PM_TRY(at::NoGradGuard ng; return adamw(opt)->clip(max_norm);) return -1; }
void pm_opt_zero(void *opt) { PM_TRY(adamw(opt)->zero();) }
void pm_opt_free(void *opt) {
  PM_TRY(for (auto &x : adamw(opt)->params) { x.p.mutable_grad().reset(); torch::autograd::impl::set_post_acc_grad_hooks(x.p, nullptr); })
  delete adamw(opt);
}
void pm_opt_watch(void *opt, int device) {
  PM_TRY(auto &w = adamw(opt)->watch; w.device = device; w.on = true; w.at_peak = w.now; w.peak = peak_of(device);)
}
void pm_opt_ledger(void *opt, int device, pm_ledger *out, int64_t *peak) {
  PM_TRY(auto &w = adamw(opt)->watch; w.look(); *out = w.at_peak; *peak = w.peak;)
}
}
