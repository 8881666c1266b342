#include "internal.h"
#include "training.h"
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <utility>

namespace {
at::Device device_of(int index) { return index < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index)); }
at::Generator generator(int index) { return at::globalContext().defaultGenerator(device_of(index)); }
} // namespace

extern "C" {
void *pm_generator_state(int device) {
  PM_TRY(auto g = generator(device); std::scoped_lock<std::mutex> lock(g.mutex()); return new at::Tensor(g.get_state());)
  return nullptr;
}
int pm_generator_restore(int device, void *state) {
  PM_TRY(auto g = generator(device); std::scoped_lock<std::mutex> lock(g.mutex()); g.set_state(ten(state)); return 0;)
  return -1;
}
int pm_autocast(int device, int on) {
  PM_TRY(auto kind = device_of(device).type();
         if (on) at::autocast::set_autocast_dtype(kind, at::kBFloat16);
         at::autocast::set_autocast_enabled(kind, on != 0);
         if (!on) at::autocast::clear_cache(); // the weights' copies
         return 0;)
  return -1;
}
void pm_tf32(int on) { PM_TRY(at::globalContext().setAllowTF32CuBLAS(on != 0);) }
int pm_copy(void *to, void *from) { PM_TRY(at::NoGradGuard ng; ten(to).copy_(ten(from)); return 0;) return -1; }
void *pm_to(void *t, int device) { PM_TRY(return new at::Tensor(ten(t).to(device_of(device), /*non_blocking=*/true));) return nullptr; }
void *pm_detach(void *t, int leaf) {
  PM_TRY(auto x = ten(t).detach(); if (leaf) x.requires_grad_(true); return new at::Tensor(x);)
  return nullptr;
}
int pm_backward_from(void *t, void *leaf) {
  PM_TRY(auto g = std::exchange(ten(leaf).mutable_grad(), {}); if (g.defined()) torch::autograd::backward({ten(t)}, {g}); return 0;)
  return -1;
}
int pm_uniform(void *t, double low, double high) { PM_TRY(at::NoGradGuard ng; ten(t).uniform_(low, high); return 0;) return -1; }
int pm_same(void *a, void *b) { PM_TRY(return at::equal(ten(a), ten(b));) return -1; }
int pm_item(void *t, double *value) { PM_TRY(*value = ten(t).item<double>(); return 0;) return -1; }
}
