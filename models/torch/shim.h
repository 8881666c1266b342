// C door to libtorch for what gotch does not expose: counting CPU allocator, device statistics, seeds, threads, and tensors
// over foreign memory.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef struct {
  int64_t allocated, allocated_peak, reserved, reserved_peak;
} pm_stats;

char *pm_last_error(void); // NULL or malloc'd, caller frees; same OS thread as the failing call
const char *pm_version(void);
void pm_count_enable(void);
void pm_forecast(int on); // this thread's blocks on the CPU count as the meta device's
int64_t pm_live_blocks(void);
int pm_stats_get(int device, pm_stats *); // device -1: CPU, -2: meta
int pm_peak_reset(int device);
int pm_cuda_load(const char *path);
int pm_cuda_count(void);
int pm_manual_seed(int64_t);
void pm_set_threads(int);
int pm_get_threads(void);
void pm_grad_mode(int);
void *pm_from_blob(void *data, const int64_t *dims, size_t n, int dtype);
void *pm_empty(const int64_t *dims, size_t n, int dtype, int device);
void *pm_data(void *tensor, int64_t *nbytes); // contiguous CPU tensor; NULL: error
void *pm_new_param(void *tensor);             // a leaf that requires gradients, same storage
int pm_backward_loss(void *loss);
void *pm_attention(void *q, void *k, void *v, void *mask, double dropout);
int pm_normal(void *tensor, double mean, double std);
int pm_fill(void *tensor, double value);
#ifdef __cplusplus
}
#endif
