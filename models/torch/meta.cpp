// Operators of the meta device, where a training step is forecast: tensors have shapes and no values. Most of libtorch's operators
// run there as they are, with its own autograd, and allocate what they would on the CPU. Here are the few that libtorch gives the
// meta device no kernel for (an operator without one is an error that names it): each allocates, holds and frees what the CPU's
// kernel of libtorch 2.11 does, temporaries included.
#define NDEBUG 1 // as libtorch was compiled: a class below has another member without
#include "internal.h"
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <cpuinfo.h>
#include <cstring>
#include <limits>
#include <torch/library.h>

namespace {
using at::Tensor;
using c10::IntArrayRef;
using OptTensor = const std::optional<Tensor> &;

std::tuple<Tensor, Tensor, Tensor> layer_norm(const Tensor &x, IntArrayRef shape, OptTensor, OptTensor, double) {
  auto in = x.contiguous();
  auto y = at::empty_like(in, at::MemoryFormat::Contiguous);
  auto stat = in.sizes().vec();
  for (size_t i = stat.size() - shape.size(); i < stat.size(); i++) stat[i] = 1;
  auto mean = at::empty(stat, in.options()), rstd = at::empty(stat, in.options());
  return {y, mean, rstd};
}

std::tuple<Tensor, Tensor, Tensor> layer_norm_backward(const Tensor &grad, const Tensor &x, IntArrayRef shape, const Tensor &,
                                                       const Tensor &, OptTensor weight, OptTensor bias, std::array<bool, 3> want) {
  auto in = x.contiguous();
  Tensor dx, dw, db;
  if (want[0]) dx = at::empty_like(in, at::MemoryFormat::Contiguous);
  if (want[1]) dw = at::empty_like(*weight, at::MemoryFormat::Contiguous);
  if (want[2]) db = at::empty_like(*bias, at::MemoryFormat::Contiguous);
  auto g = grad.contiguous();
  Tensor sums; // of the weight's and the bias's gradient, by thread
  if (want[1] || want[2]) sums = at::empty({2, at::get_num_threads(), c10::multiply_integers(shape)}, in.options());
  return {dx, dw, db};
}

Tensor index_select(const Tensor &x, int64_t dim, const Tensor &index) {
  auto shape = x.sizes().vec();
  shape[at::maybe_wrap_dim(dim, x.dim())] = index.numel();
  return at::empty(shape, x.options());
}

Tensor embedding_backward(const Tensor &grad, const Tensor &ids, int64_t rows, int64_t, bool) {
  auto i = ids.contiguous();
  auto g = grad.contiguous();
  return at::empty({rows, g.size(-1)}, g.options());
}

// MKL draws integers first; libtorch uses it on Intel's processors only.
Tensor &bernoulli(Tensor &x, double, std::optional<at::Generator>) {
  if (cpuinfo_initialize() && cpuinfo_get_processors_count() > 0 && cpuinfo_get_processor(0)->core->vendor == cpuinfo_vendor_intel)
    at::empty(x.sizes(), x.options().dtype(at::kInt));
  return x;
}

Tensor relu(const Tensor &x) { return at::clamp_min(x, 0); }

Tensor mse_backward(const Tensor &, const Tensor &x, const Tensor &, int64_t) { return at::empty_like(x); }

// Attention without dropout: blocks of queries and keys, a buffer by thread.
struct Blocks {
  int64_t threads = at::get_num_threads(), query, key;
  Blocks(int64_t queries, int64_t keys) : query(std::min<int64_t>(queries, queries >= 768 ? 256 : queries >= 192 ? 64 : 32)), key(std::min<int64_t>(keys, 512)) {}
};

std::tuple<Tensor, Tensor> flash_attention(const Tensor &q, const Tensor &k, const Tensor &, double, bool, OptTensor, std::optional<double>) {
  auto y = at::empty_like(q);
  auto logsum = at::empty({q.size(0), q.size(2), q.size(1)}, q.options()).transpose(1, 2);
  Blocks b(q.size(2), k.size(2));
  at::empty({b.threads, b.query * (b.key + 2 + q.size(3))}, q.options());
  return {y, logsum};
}

std::tuple<Tensor, Tensor, Tensor> flash_attention_backward(const Tensor &grad, const Tensor &q, const Tensor &k, const Tensor &v, const Tensor &,
                                                            const Tensor &, double, bool, OptTensor, std::optional<double>) {
  auto like = [](const Tensor &x) { return at::empty(x.transpose(1, 2).sizes(), x.options()).transpose(1, 2); };
  auto dq = like(q), dk = like(k), dv = like(v);
  auto g = grad.transpose(1, 2).contiguous();
  Blocks b(q.size(2), k.size(2));
  auto scores = at::empty({b.threads, 2 * b.query * b.key}, q.options());
  std::vector<Tensor> sums;
  for (int64_t i = 0; i < std::min(b.threads, q.size(0) * q.size(1)); i++) sums.push_back(at::empty({b.query}, q.options()));
  return {dq, dk, dv};
}

void fused_adamw(at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList, double, double, double, double,
                 double, bool, bool, OptTensor, OptTensor) {}

at::Scalar value(const Tensor &) { return std::numeric_limits<double>::infinity(); } // as a norm: it is clipped

TORCH_LIBRARY_IMPL(aten, Meta, m) {
  m.impl("native_layer_norm", layer_norm);
  m.impl("native_layer_norm_backward", layer_norm_backward);
  m.impl("index_select", index_select);
  m.impl("embedding_dense_backward", embedding_backward);
  m.impl("bernoulli_.float", bernoulli);
  m.impl("relu", relu);
  m.impl("mse_loss_backward", mse_backward);
  m.impl("_fused_adamw_", fused_adamw);
  m.impl("_local_scalar_dense", value);
  m.impl("_scaled_dot_product_flash_attention_for_cpu", flash_attention);
  m.impl("_scaled_dot_product_flash_attention_for_cpu_backward", flash_attention_backward);
}

// Where a value was used several times, autograd adds the gradients up: on the CPU in the memory of the first one, if nothing else
// holds it. On the meta device libtorch never does; so the sum, an addition outside of any operator's backward, is counted as if. So is
// what gather's backward scatters.
thread_local int t_nodes = 0;

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction &f) {
  if (f.scope() == at::RecordScope::BACKWARD_FUNCTION) {
    t_nodes++;
  } else if ((t_nodes == 0 && strcmp(f.name(), "aten::add") == 0) || strcmp(f.name(), "aten::scatter_add") == 0) {
    const Tensor &x = f.inputs()[0].toTensor(); // the second of its holders
    if (x.use_count() == 2 && x.storage().use_count() == 1 && x.is_non_overlapping_and_dense()) meta_replaces();
  }
  return nullptr;
}

void leave(const at::RecordFunction &f, at::ObserverContext *) {
  if (f.scope() == at::RecordScope::BACKWARD_FUNCTION) t_nodes--;
}

struct Observe {
  at::CallbackHandle handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(enter, leave).needsInputs(true).scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  ~Observe() { at::removeCallback(handle); }
};
} // namespace

extern "C" int pm_backward_loss(void *loss) {
  PM_TRY(std::optional<Observe> o; if (ten(loss).is_meta()) o.emplace(); ten(loss).backward(); return 0;)
  return -1;
}
