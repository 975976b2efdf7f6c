/* What the kernel objects of *_simd.c share. */
#ifndef OW_OPS_CPU_FAST_HELP_H
#define OW_OPS_CPU_FAST_HELP_H

#include "ops/cpu/fast.h"
#include "ops/cpu/simd.h"
#include "ops/op_help.h"

/* Every input and output that is there is float32. */
static inline bool ow_fast_f32(const ow_args *a, ow_why *why) {
  for (size_t i = 0; i < a->in_count; i++)
    if (a->in[i] && a->in[i]->dtype != ONWARD_FLOAT32)
      return ow_refuse(why, "input %zu is %s, want float32", i, onward_dtype_name(a->in[i]->dtype));
  for (size_t i = 0; i < a->out_count; i++)
    if (a->out[i] && a->out[i]->dtype != ONWARD_FLOAT32)
      return ow_refuse(why, "output %zu is %s, want float32", i, onward_dtype_name(a->out[i]->dtype));
  return true;
}

/* Rows per task when each costs about `cost` quarter nanoseconds: one task below some 10 us, for a team takes a few to start. */
static inline int64_t ow_fast_grain(int threads, int64_t rows, int64_t cost) {
  const double total = (double)rows * (double)cost;
  if (threads <= 1 || total < 40000)
    return rows;
  int64_t tasks = (int64_t)(total / 20000);
  if (tasks > 4 * (int64_t)threads)
    tasks = 4 * (int64_t)threads;
  return (rows + tasks - 1) / tasks;
}

/* Panels per task where a panel costs `work` products and `sets` sets of panels are computed: tasks of some 100 us at most, four or
 * more per thread where there is enough to do. */
static inline int64_t ow_fast_chunk(int threads, int64_t sets, int64_t panels, double work) {
  const int64_t wanted = 4 * (int64_t)threads;
  int64_t chunk = work > 5e6 ? 1 : (int64_t)(5e6 / (work + 1000.0)) + 1;
  if (sets < wanted && chunk * wanted > panels)
    chunk = (panels + wanted - 1) / wanted;
  return chunk < 1 ? 1 : chunk;
}

static inline const onward_tensor *ow_fast_in(const ow_args *a, size_t slot) {
  return slot < a->in_count ? a->in[slot] : NULL;
}
static inline onward_tensor *ow_fast_out(const ow_args *a, size_t slot) {
  return slot < a->out_count ? a->out[slot] : NULL;
}

/* A float that may be unaligned. */
static inline float ow_fast_scalar(const float *p) {
  float x;
  memcpy(&x, p, sizeof x);
  return x;
}

#endif
