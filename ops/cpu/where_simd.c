/* Where on elements of 4 and 8 bytes. Plain loops: compilers turn each into vector code of the level. */
#include "ops/cpu/fast_help.h"

typedef uint32_t word4 __attribute__((aligned(1), may_alias));
typedef uint64_t word8 __attribute__((aligned(1), may_alias));

typedef void (*row_fn)(const uint8_t *k, bool step_k, const void *x, bool step_x, const void *y, bool step_y, void *out,
                       int64_t n);

/* Both sides are read whether picked or not, which lets the loop be vector code. */
#define LOOP(T, ki, xi, yi)         \
  for (int64_t i = 0; i < n; i++) { \
    const T a = x[xi], b = y[yi];   \
    o[i] = k[ki] ? a : b;           \
  }
#define PICK(T)                                                                                             \
  static void pick_##T(const uint8_t *restrict k, bool step_k, const void *px, bool step_x, const void *py, \
                       bool step_y, void *po, int64_t n) {                                                  \
    const T *const x = px, *const y = py;                                                                   \
    T *const o = po;                                                                                        \
    if (!step_k) {                                                                                          \
      const T *const from = *k ? x : y;                                                                     \
      const bool step = *k ? step_x : step_y;                                                               \
      for (int64_t i = 0; i < n; i++)                                                                       \
        o[i] = from[step ? i : 0];                                                                          \
    } else if (step_x && step_y) {                                                                          \
      LOOP(T, i, i, i)                                                                                      \
    } else if (step_x) {                                                                                    \
      LOOP(T, i, i, 0)                                                                                      \
    } else if (step_y) {                                                                                    \
      LOOP(T, i, 0, i)                                                                                      \
    } else {                                                                                                \
      LOOP(T, i, 0, 0)                                                                                      \
    }                                                                                                       \
  }
PICK(word4)
PICK(word8)

static bool supports(const ow_args *a, ow_why *why) {
  const size_t size = ow_dtype_size(a->out[0]->dtype);
  return size == 4 || size == 8 || ow_refuse(why, "elements of %zu bytes, want 4 or 8", size);
}

typedef struct job {
  ow_nd nd;
  row_fn fn;
  const uint8_t *k;
  const char *x, *y;
  char *out;
  int64_t size;
} job;

static void rows(void *context, int64_t from, int64_t to) {
  const job *const j = context;
  const ow_nd *const nd = &j->nd;
  const int32_t last = nd->rank - 1;
  ow_nd_at at;
  ow_nd_seek(nd, &at, from);
  for (int64_t r = from; r < to; r++, ow_nd_next(nd, &at))
    j->fn(j->k + at.offset[1], nd->strides[1][last] != 0, j->x + at.offset[2] * j->size, nd->strides[2][last] != 0,
          j->y + at.offset[3] * j->size, nd->strides[3][last] != 0, j->out + at.offset[0] * j->size, nd->inner);
}

static onward_status run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  job j = {.k = a->in[0]->data, .x = a->in[1]->data, .y = a->in[2]->data, .out = a->out[0]->data};
  j.size = (int64_t)ow_dtype_size(a->out[0]->dtype);
  j.fn = j.size == 4 ? pick_word4 : pick_word8;
  ow_nd_broadcast(&j.nd, a->out[0], a->in, 3);
  if (j.nd.rows > 0 && j.nd.inner > 0)
    ow_parallel_ranges(a->threads, j.nd.rows, ow_fast_grain(a->threads, j.nd.rows, j.nd.inner + 16), rows, &j);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_where) = {
    .name = OW_ISA_STRING("where"), .cpu = OW_ISA_CPU, .flags = OW_KERNEL_UNALIGNED, .supports = supports, .run = run};
