/* Rotary positions: pairs of elements of a head turned by the angle of a token's position. */
#ifndef OW_OPS_ROTARY_H
#define OW_OPS_ROTARY_H

#include "ops/reference.h"

/* Tables of cosines and sines, half columns wide: 2 * half elements of a head turn, in pairs (i, i + half), or (2 i, 2 i + 1). */
typedef struct ow_turn {
  const onward_tensor *cos, *sin;
  int64_t half;
  bool interleaved;
} ow_turn;

/* Turns the head at element at of x by the row of the tables, in double, into out from element to; they may be one. What does not turn is
 * not written. */
void ow_turn_head(const ow_turn *t, int64_t row, onward_dtype dtype, const void *x, int64_t at, onward_dtype out_dtype,
                  void *out, int64_t to);

#endif
