/* Sizes are computed here or not at all: every product and sum is checked. */
#ifndef OW_BASE_SIZE_H
#define OW_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onward/onward.h"

/* true on success; *out is untouched otherwise */
static inline bool ow_size_add(size_t a, size_t b, size_t *out) {
  size_t r;
  return __builtin_add_overflow(a, b, &r) ? false : (*out = r, true);
}
static inline bool ow_size_mul(size_t a, size_t b, size_t *out) {
  size_t r;
  return __builtin_mul_overflow(a, b, &r) ? false : (*out = r, true);
}
/* Round up to a multiple of a power of two. */
static inline bool ow_size_align(size_t a, size_t to, size_t *out) {
  size_t r;
  return ow_size_add(a, to - 1, &r) ? (*out = r & ~(to - 1), true) : false;
}
static inline bool ow_i64_mul(int64_t a, int64_t b, int64_t *out) {
  int64_t r;
  return __builtin_mul_overflow(a, b, &r) ? false : (*out = r, true);
}
static inline bool ow_i64_add(int64_t a, int64_t b, int64_t *out) {
  int64_t r;
  return __builtin_add_overflow(a, b, &r) ? false : (*out = r, true);
}

/* Product of dims (1 for rank 0); false when a dim is negative or the product overflows. A zero dim gives 0 only when the
 * others do not overflow. */
bool ow_dims_count(int32_t rank, const int64_t *dims, int64_t *count);

/* The one tensor-size function: false for an unknown dtype, a rank outside [0, ONWARD_MAX_RANK], a negative dim or overflow. */
bool ow_tensor_size(onward_dtype dtype, int32_t rank, const int64_t *dims, size_t *bytes);

/* Product of dims[from..to); the dims are already checked. */
static inline int64_t ow_dims_product(const int64_t *dims, int32_t from, int32_t to) {
  int64_t n = 1;
  for (int32_t i = from; i < to; i++)
    n *= dims[i];
  return n;
}

#endif
