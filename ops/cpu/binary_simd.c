/* Arithmetic of two float32 tensors with broadcasting. A line of the table makes a function known for every row of that name. */
#include "ops/cpu/fast_help.h"

OW_INLINE vf f_add(vf a, vf b) { return a + b; }
OW_INLINE vf f_sub(vf a, vf b) { return a - b; }
OW_INLINE vf f_mul(vf a, vf b) { return a * b; }
OW_INLINE vf f_div(vf a, vf b) { return a / b; }
OW_INLINE vf f_square(vf a, vf b) { return (void)b, a * a; }
OW_INLINE vf f_cube(vf a, vf b) { return (void)b, a * a * a; }

/* y[i] = f(a[i * step_a], b[i * step_b]), steps 0 or 1 */
typedef void (*row_fn)(const float *a, int64_t step_a, const float *b, int64_t step_b, float *y, int64_t n);

#define ROW(name)                                                                                               \
  static void row_##name(const float *a, int64_t step_a, const float *b, int64_t step_b, float *y, int64_t n) { \
    int64_t i = 0;                                                                                              \
    const vf a0 = v_set(ow_fast_scalar(a)), b0 = v_set(ow_fast_scalar(b));                                      \
    if (step_a && step_b)                                                                                       \
      for (; i + W <= n; i += W)                                                                                \
        v_store(y + i, f_##name(v_load(a + i), v_load(b + i)));                                                 \
    else if (step_a)                                                                                            \
      for (; i + W <= n; i += W)                                                                                \
        v_store(y + i, f_##name(v_load(a + i), b0));                                                            \
    else                                                                                                        \
      for (; i + W <= n; i += W)                                                                                \
        v_store(y + i, f_##name(a0, v_load(b + i)));                                                            \
    if (i < n) {                                                                                                \
      const vm m = v_first(n - i);                                                                              \
      v_store_masked(y + i, m,                                                                                  \
                     f_##name(step_a ? v_load_masked(a + i, m) : a0, step_b ? v_load_masked(b + i, m) : b0));   \
    }                                                                                                           \
  }
ROW(add)
ROW(sub)
ROW(mul)
ROW(div)
ROW(square)
ROW(cube)

static const struct {
  const char *name;
  row_fn fn;
} lines[] = {{"Add", row_add}, {"Sub", row_sub}, {"Mul", row_mul}, {"Div", row_div}, {"Sum", row_add}};

/* A power known beforehand that is a product. */
static row_fn find_power(const ow_args *a) {
  const onward_tensor *const p = a->in[1];
  if (!a->constant[1] || ow_count(p) != 1 || p->rank > a->in[0]->rank)
    return NULL;
  const float exponent = ow_fast_scalar(p->data);
  return exponent == 2.0f ? row_square : exponent == 3.0f ? row_cube : NULL; /* small integers compare exactly */
}

static row_fn find(const ow_args *a) {
  const char *const name = a->node->op ? a->node->op->name : a->node->type;
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
    if (strcmp(name, lines[i].name) == 0)
      return lines[i].fn;
  return strcmp(name, "Pow") == 0 ? find_power(a) : NULL;
}

static bool supports(const ow_args *a, ow_why *why) {
  if (!ow_fast_f32(a, why))
    return false;
  if (a->in_count != 2)
    return ow_refuse(why, "%zu inputs, want 2", a->in_count);
  return find(a) || ow_refuse(why, "no vector form of this function");
}

#define PART 4096 /* a lone row is cut into pieces of so many elements */

typedef struct job {
  ow_nd nd;
  row_fn fn;
  const float *a, *b;
  float *y;
} job;

static void rows(void *context, int64_t from, int64_t to) {
  const job *const j = context;
  const ow_nd *const nd = &j->nd;
  const int64_t sa = nd->strides[1][nd->rank - 1], sb = nd->strides[2][nd->rank - 1];
  if (nd->rows == 1) {
    const int64_t first = from * PART, end = to * PART < nd->inner ? to * PART : nd->inner;
    j->fn(j->a + first * sa, sa, j->b + first * sb, sb, j->y + first, end - first);
    return;
  }
  ow_nd_at at;
  ow_nd_seek(nd, &at, from);
  for (int64_t r = from; r < to; r++, ow_nd_next(nd, &at))
    j->fn(j->a + at.offset[1], sa, j->b + at.offset[2], sb, j->y + at.offset[0], nd->inner);
}

static onward_status run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  job j = {.fn = find(a), .a = a->in[0]->data, .b = a->in[1]->data, .y = a->out[0]->data};
  ow_nd_broadcast(&j.nd, a->out[0], a->in, 2);
  if (j.nd.rows == 0 || j.nd.inner == 0)
    return ONWARD_OK;
  const int64_t parts = j.nd.rows == 1 ? (j.nd.inner + PART - 1) / PART : j.nd.rows;
  const int64_t cost = j.nd.rows == 1 ? PART : j.nd.inner + 16;
  ow_parallel_ranges(a->threads, parts, ow_fast_grain(a->threads, parts, cost), rows, &j);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_binary) = {
    .name = OW_ISA_STRING("binary"), .cpu = OW_ISA_CPU, .flags = OW_KERNEL_UNALIGNED, .supports = supports, .run = run};
