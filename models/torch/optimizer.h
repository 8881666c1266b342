// C door to the optimizer and the memory ledger (optimizer.cpp).
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
// Bytes by kind, each tensor rounded up to 512. Index 0: embedding matrix, 1: the rest.
typedef struct {
  int64_t param[2], grad[2], opt[2];
} pm_ledger;

void *pm_opt_new(double beta1, double beta2, double eps, int form); // form 0 loop, 1 foreach, 2 fused
int pm_opt_add(void *opt, void *param, double weight_decay, int embedding);
int pm_opt_step(void *opt, double lr);
// Total L2 norm before clipping, a double on the device; NULL: error. rows: what of the embedding gradient can be other than zero, ascending.
void *pm_opt_clip(void *opt, double max_norm, const int64_t *rows, int64_t n);
void pm_opt_zero(void *opt);
void pm_opt_free(void *opt);
int64_t pm_opt_steps(void *opt);
void pm_opt_resume(void *opt, int64_t steps);
void *pm_opt_state(void *opt, size_t param, int which, int make); // 0 first moment, 1 second, 2 step (fused form); NULL: not there
void pm_opt_ledger(void *opt, int device, pm_ledger *at_peak, int64_t *peak); // snapshot at the highest peak since pm_opt_watch
void pm_opt_watch(void *opt, int device);
#ifdef __cplusplus
}
#endif
