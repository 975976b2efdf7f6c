/* What the reference kernels and infer functions of several numeric families share, beyond op_help.h. */
#ifndef OW_OPS_REFERENCE_H
#define OW_OPS_REFERENCE_H

#include <string.h>

#include "ops/op_help.h"

/* Element i as double; the type test is loop-invariant, so float32 stays cheap. Reads bytewise. */
static inline double ow_load(onward_dtype dtype, const void *data, int64_t i) {
  if (dtype == ONWARD_FLOAT32) {
    float f;
    memcpy(&f, (const char *)data + (size_t)i * sizeof f, sizeof f);
    return (double)f;
  }
  return ow_get_f64(dtype, data, i);
}

static inline void ow_store(onward_dtype dtype, void *data, int64_t i, double value) {
  if (dtype == ONWARD_FLOAT32)
    ((float *)data)[i] = (float)value;
  else
    ow_set_f64(dtype, data, i, value);
}

static inline bool ow_is_unsigned(onward_dtype dtype) {
  return ow_dtype(dtype)->kind == OW_KIND_UNSIGNED || ow_dtype(dtype)->kind == OW_KIND_BOOL;
}

/* Order of two integers that ow_get_i64 gave: those of unsigned types are bit patterns. */
static inline bool ow_int_less(bool is_unsigned, int64_t a, int64_t b) {
  return is_unsigned ? (uint64_t)a < (uint64_t)b : a < b;
}

/* Arithmetic that wraps. */
static inline int64_t ow_wrap_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static inline int64_t ow_wrap_mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

/* Element strides of a dense tensor seen as one of `rank` >= own rank dims under NumPy broadcasting: 0 along repeated dims. */
static inline void ow_broadcast_strides(int32_t own_rank, const int64_t *own, int32_t rank, int64_t *strides) {
  int64_t step = 1;
  for (int32_t d = rank - 1; d >= 0; d--) {
    const int32_t i = d - (rank - own_rank);
    strides[d] = i < 0 || own[i] == 1 ? 0 : step;
    if (i >= 0)
      step *= own[i];
  }
}

/* Next index of an odometer over dims; offset follows along strides. false after the last. */
static inline bool ow_advance(int32_t rank, const int64_t *dims, int64_t *index, const int64_t *strides,
                              int64_t *offset) {
  for (int32_t d = rank - 1; d >= 0; d--) {
    *offset += strides[d];
    if (++index[d] < dims[d])
      return true;
    *offset -= strides[d] * dims[d];
    index[d] = 0;
  }
  return false;
}

/* The input, where its rank is known, is a vector of `length` elements. An input that is left out passes. */
static inline onward_status ow_want_vector(ow_infer *c, size_t input, ow_dim length, const char *what) {
  if (!ow_infer_has(c, input))
    return ONWARD_OK;
  OW_TRY(ow_infer_rank(c, input, 1, 1));
  return c->in[input].shape.rank == 1 ? ow_infer_equal(c, c->in[input].shape.dims[0], length, what) : ONWARD_OK;
}

static inline onward_status ow_no_memory(ow_infer *c) { return ow_infer_fail(c, ONWARD_MEMORY, "out of memory"); }

#endif
