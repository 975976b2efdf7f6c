/* Models of tests/models for tests of the public API: a session's inputs filled with values that any of them takes. */
#ifndef ONWARD_TEST_ZOO_H
#define ONWARD_TEST_ZOO_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "onward/onward.h"

enum { ZOO_INPUTS = 8 };

typedef struct zoo_inputs {
  onward_named_tensor tensors[ZOO_INPUTS];
  size_t count;
} zoo_inputs;

static inline double zoo_seconds(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline uint64_t zoo_random(uint64_t *state) { /* xorshift64* */
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(2685821657736338717);
}

/* Free dims: the first of an input is batch, the others are sequence. int64: a mask of ones, types of zeros, or small ids. */
static inline int zoo_fill(const onward_model *model, int64_t batch, int64_t sequence, uint64_t seed, zoo_inputs *in,
                           onward_error *err) {
  memset(in, 0, sizeof *in);
  for (size_t i = 0; i < onward_model_input_count(model) && i < ZOO_INPUTS; i++) {
    onward_value_info info;
    onward_tensor *const t = &in->tensors[i].tensor;
    if (onward_model_input(model, i, &info, err))
      return 0;
    in->tensors[i].name = info.name;
    t->dtype = info.dtype;
    t->rank = info.rank;
    size_t count = 1;
    for (int32_t d = 0; d < info.rank; d++) {
      t->dims[d] = info.dims[d] >= 0 ? info.dims[d] : d == 0 ? batch : sequence;
      count *= (size_t)t->dims[d];
    }
    if (onward_tensor_bytes(t->dtype, t->rank, t->dims, &t->bytes, err) || !(t->data = calloc(1, t->bytes + 1)))
      return 0;
    in->count++;
    for (size_t k = 0; k < count; k++) {
      const uint64_t r = zoo_random(&seed) >> 32;
      if (t->dtype == ONWARD_FLOAT32)
        ((float *)t->data)[k] = (float)(r % 2001) * 1e-3f - 1.0f;
      else if (t->dtype == ONWARD_INT64)
        ((int64_t *)t->data)[k] = strstr(info.name, "mask") ? 1 : strstr(info.name, "type") ? 0 : (int64_t)(r % 50);
    }
  }
  return 1;
}

static inline void zoo_free(zoo_inputs *in) {
  for (size_t i = 0; i < in->count; i++)
    free(in->tensors[i].tensor.data);
  in->count = 0;
}

#endif
