// C door to what training needs beside operators (training.cpp): generators, precision, copies, and backward from a given gradient.
#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
void *pm_generator_state(int device);            // bytes on the CPU; device -1: CPU; NULL: error
int pm_generator_restore(int device, void *state);
int pm_autocast(int device, int on);             // bfloat16, of this OS thread
void pm_tf32(int on);
int pm_copy(void *to, void *from);               // across devices, no gradient
void *pm_to(void *t, int device);                // does not wait for the device
void *pm_detach(void *t, int leaf);              // same memory, no history; leaf: collects gradients
int pm_backward_from(void *t, void *leaf);       // with the leaf's gradient, which it takes; nothing where there is none
int pm_uniform(void *t, double low, double high);
int pm_same(void *a, void *b);                   // bit for bit; < 0: error
int pm_item(void *t, double *value);
#ifdef __cplusplus
}
#endif
