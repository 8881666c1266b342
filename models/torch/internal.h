// What the C++ files of this package share.
#pragma once
#include "shim.h"
#include "zz_libtorch_rev.h"
#include <ATen/ATen.h>

#define PM_TRY(...) try { __VA_ARGS__ } catch (const std::exception &e) { set_err(e.what()); }
void set_err(const char *s); // of this OS thread, for pm_last_error
constexpr int kMeta = -2;    // the number of torch.Meta; -1: CPU, 0 and more: CUDA
int64_t peak_of(int device); // bytes
void meta_replaces();        // the next tensor of the meta device takes the place of one that is freed right after
inline int64_t r512(int64_t n) { return (n + 511) & ~int64_t(511); }
inline int64_t size_of(const at::Tensor &t) { return r512(static_cast<int64_t>(t.nbytes())); }
inline at::Tensor &ten(void *t) { return *static_cast<at::Tensor *>(t); }
