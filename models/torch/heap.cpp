// A training step frees and asks for the same blocks again and again. By default the C library gives large ones back to the system
// each time, and every page of the next one is a fault: 40,000 in a step of DistilBERT with 8 x 128 tokens. Here freed memory stays
// with the process, in one heap for all threads, so that the second step finds it. What tensors hold at a time, which is what the
// counting allocator counts, is the same.
#include <malloc.h>

#ifdef __GLIBC__
__attribute__((constructor)) static void keep_heap() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_ARENA_MAX, 1); // the others cannot grow beyond 64 MB
}
#endif
