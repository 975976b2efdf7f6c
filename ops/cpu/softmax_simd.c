/* Softmax over one axis or, before opset 13, over all axes from one on. A row without a finite maximum gives NaN. */
#include "ops/cpu/fast_help.h"

typedef struct view {
  int64_t outer, length, inner;
} view;

static view view_of(const ow_args *a) {
  const onward_tensor *const x = a->in[0];
  const bool flat = a->node->version <= 12;
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", flat ? 1 : -1), x->rank);
  const int32_t end = flat ? x->rank : axis + 1;
  return (view){ow_dims_product(x->dims, 0, axis), ow_dims_product(x->dims, axis, end),
                ow_dims_product(x->dims, end, x->rank)};
}

static void softmax_row(const float *x, float *y, int64_t n) {
  const int64_t whole = n - n % W;
  const vm tail = v_first(n - whole);
  const vf nothing = v_set(-INFINITY);
  vf max0 = nothing, max1 = nothing;
  int64_t i = 0;
  for (; i + 2 * W <= whole; i += 2 * W) {
    max0 = v_max(v_load(x + i), max0);
    max1 = v_max(v_load(x + i + W), max1);
  }
  if (i < whole)
    max0 = v_max(v_load(x + i), max0);
  if (whole < n)
    max1 = v_max(v_select(tail, v_load_masked(x + whole, tail), nothing), max1);
  const vf max = v_set(v_max_lane(v_max(max0, max1)));

  vf sum = v_zero();
  for (i = 0; i < whole; i += W) {
    const vf e = v_exp(v_load(x + i) - max);
    v_store(y + i, e);
    sum += e;
  }
  if (whole < n) {
    const vf e = v_select(tail, v_exp(v_load_masked(x + whole, tail) - max), v_zero());
    v_store_masked(y + whole, tail, e);
    sum += e;
  }
  const vf scale = v_set(1.0f / v_sum(sum));
  for (i = 0; i < whole; i += W)
    v_store(y + i, v_load(y + i) * scale);
  if (whole < n)
    v_store_masked(y + whole, tail, v_load_masked(y + whole, tail) * scale);
}

/* The lanes are neighbours on the axes behind: columns of x, `step` floats from element to element. */
static void softmax_columns(const float *x, float *y, int64_t n, int64_t step, vm m) {
  vf max = v_set(-INFINITY), sum = v_zero();
  for (int64_t i = 0; i < n; i++)
    max = v_max(v_load_masked(x + i * step, m), max);
  for (int64_t i = 0; i < n; i++) {
    const vf e = v_exp(v_load_masked(x + i * step, m) - max);
    v_store_masked(y + i * step, m, e);
    sum += e;
  }
  const vf scale = v_set(1.0f) / sum;
  for (int64_t i = 0; i < n; i++)
    v_store_masked(y + i * step, m, v_load_masked(y + i * step, m) * scale);
}

typedef struct job {
  view v;
  const float *x;
  float *y;
} job;

static void rows(void *context, int64_t from, int64_t to) {
  const job *const j = context;
  const view *const v = &j->v;
  const int64_t size = v->length * v->inner;
  for (int64_t r = from; r < to; r++) {
    if (v->inner == 1) {
      softmax_row(j->x + r * size, j->y + r * size, size);
      continue;
    }
    for (int64_t i = 0; i < v->inner; i += W)
      softmax_columns(j->x + r * size + i, j->y + r * size + i, v->length, v->inner, v_first(v->inner - i));
  }
}

static bool supports(const ow_args *a, ow_why *why) { return ow_fast_f32(a, why); }

static onward_status run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  job j = {view_of(a), a->in[0]->data, a->out[0]->data};
  if (j.v.length > 0 && j.v.inner > 0)
    ow_parallel_ranges(a->threads, j.v.outer, ow_fast_grain(a->threads, j.v.outer, 2 * j.v.length * j.v.inner), rows,
                       &j);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_softmax) = {.name = OW_ISA_STRING("softmax"),
                                           .cpu = OW_ISA_CPU,
                                           .flags = OW_KERNEL_UNALIGNED,
                                           .supports = supports,
                                           .run = run};
