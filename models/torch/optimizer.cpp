// AdamW in three forms, clipping by a norm that exact zeros cannot change, and the memory ledger.
#include "internal.h"
#include "optimizer.h"
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <algorithm>
#include <cmath>
#include <vector>

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
  int kind;             // 0 embedding matrix, 1 the rest
  bool counted = false; // its gradient is in the ledger
};

// The L2 norm of each named row (ascending) in double, then their sum in the order of the rows. Every other row is exactly zero,
// so that a matrix with and without its unused rows has the same norm to the last bit; torch's own norm has no such promise.
double rows_norm_cpu(const at::Tensor &g, const int64_t *rows, int64_t n) {
  auto x = g.contiguous();
  if (x.is_meta()) return 0; // no values
  const float *d = x.data_ptr<float>();
  int64_t width = x.numel() / std::max<int64_t>(x.size(0), 1);
  std::vector<double> sums(n);
  at::parallel_for(0, n, std::max<int64_t>(1, 32768 / std::max<int64_t>(width, 1)), [&](int64_t a, int64_t b) {
    for (int64_t r = a; r < b; r++) {
      const float *row = d + rows[r] * width;
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

  // The total norm before clipping, as a double on the gradients' device: nothing waits for the device. rows name what can be
  // other than zero in the embedding matrix's gradient: the same rows in the same order with PEMA and without, so that any
  // norm over them keeps its bits.
  at::Tensor clip(double max_norm, const int64_t *rows, int64_t n) {
    std::vector<at::Tensor> gs, rest;
    at::Tensor embedding;
    for (auto &x : params) {
      auto g = x.p.grad();
      if (!g.defined()) continue;
      gs.push_back(g);
      if (x.kind == 0) embedding = g;
      else rest.push_back(g);
    }
    TORCH_CHECK(!gs.empty(), "no parameter has a gradient");
    if (embedding.defined())
      for (int64_t i = 0; i < n; i++) TORCH_CHECK(rows[i] >= 0 && rows[i] < embedding.size(0), "row ", rows[i], " of ", embedding.size(0));
    at::Tensor r;
    if (!rest.empty()) r = at::linalg_vector_norm(at::stack(at::_foreach_norm(rest, 2)), 2);
    if (!gs[0].is_cuda() && gs[0].scalar_type() == at::kFloat) {
      double e = embedding.defined() ? rows_norm_cpu(embedding, rows, n) : 0, q = r.defined() ? r.item<double>() : 0;
      double norm = std::sqrt(e * e + q * q), c = max_norm / (norm + 1e-6);
      if (max_norm > 0 && c < 1) at::_foreach_mul_(gs, c);
      return at::scalar_tensor(norm, at::kDouble);
    }
    auto sq = at::zeros({}, gs[0].options().dtype(at::kDouble));
    if (embedding.defined()) {
      auto index = at::from_blob(const_cast<int64_t *>(rows), {n}, at::kLong).to(embedding.device(), /*non_blocking=*/true);
      sq += at::linalg_vector_norm(embedding.index_select(0, index), 2, at::nullopt, false, at::kDouble).square();
    }
    if (r.defined()) sq += r.to(at::kDouble).square();
    auto norm = sq.sqrt();
    if (max_norm > 0) at::_foreach_mul_(gs, (max_norm / (norm + 1e-6)).clamp_max(1).to(gs[0].scalar_type()));
    return norm;
  }

  void zero() {
    watch.look();
    for (auto &x : params) { x.p.mutable_grad().reset(); x.counted = false; }
    watch.now.grad[0] = watch.now.grad[1] = 0;
  }
};
// Gradients that gather over several batches are counted once.
struct GradHook final : torch::autograd::PostAccumulateGradHook {
  AdamW *o;
  size_t i;
  GradHook(AdamW *o, size_t i) : o(o), i(i) {}
  void operator()(const torch::autograd::Variable &v) override {
    o->watch.look();
    auto &x = o->params[i];
    if (!v.grad().defined() || x.counted) return;
    o->watch.now.grad[x.kind] += size_of(v.grad());
    x.counted = true;
  }
};

AdamW *adamw(void *o) { return static_cast<AdamW *>(o); }
} // namespace

extern "C" {
void *pm_opt_new(double b1, double b2, double eps, int form) {
  auto *o = new AdamW;
  o->b1 = b1; o->b2 = b2; o->eps = eps; o->form = form;
  return o;
}
int pm_opt_add(void *opt, void *param, double wd, int embedding) {
  PM_TRY(auto *o = adamw(opt); auto &p = ten(param); int kind = embedding ? 0 : 1;
         o->params.push_back({p, {}, {}, {}, wd, kind});
         o->watch.now.param[kind] += size_of(p);
         if (p.requires_grad()) torch::autograd::impl::set_post_acc_grad_hooks(p, std::make_unique<GradHook>(o, o->params.size() - 1));
         return 0;)
  return -1;
}
int pm_opt_step(void *opt, double lr) { PM_TRY(at::NoGradGuard ng; adamw(opt)->step(lr); return 0;) return -1; }
void *pm_opt_clip(void *opt, double max_norm, const int64_t *rows, int64_t n) {
  PM_TRY(at::NoGradGuard ng; return new at::Tensor(adamw(opt)->clip(max_norm, rows, n));)
  return nullptr;
}
int64_t pm_opt_steps(void *opt) { return adamw(opt)->n; }
void pm_opt_resume(void *opt, int64_t steps) { adamw(opt)->n = steps; }
void *pm_opt_state(void *opt, size_t i, int which, int make) {
  PM_TRY(auto *o = adamw(opt); auto &x = o->params.at(i);
         if (make) o->state(x);
         auto &t = which == 0 ? x.m : which == 1 ? x.v : x.t;
         return t.defined() ? new at::Tensor(t) : nullptr;)
  return nullptr;
}
void pm_opt_zero(void *opt) { PM_TRY(adamw(opt)->zero();) }
void pm_opt_free(void *opt) {
  PM_TRY(for (auto &x : adamw(opt)->params) {
    if (!x.p.requires_grad()) continue;
    x.p.mutable_grad().reset();
    torch::autograd::impl::set_post_acc_grad_hooks(x.p, nullptr);
  })
  delete adamw(opt);
}
void pm_opt_watch(void *opt, int device) {
  PM_TRY(auto &w = adamw(opt)->watch; w.device = device; w.on = true; w.at_peak = w.now; w.peak = peak_of(device);)
}
void pm_opt_ledger(void *opt, int device, pm_ledger *out, int64_t *peak) {
  PM_TRY(auto &w = adamw(opt)->watch; w.look(); *out = w.at_peak; *peak = w.peak;)
}
}
