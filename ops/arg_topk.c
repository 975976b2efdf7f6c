/* ArgMax, ArgMin, TopK. One total order everywhere: NaN is above every number, and of equals the lower index comes first. */
#include <inttypes.h>

#include "ops/reference.h"

/* Is element i above element j in value? */
static bool arg_above(const onward_tensor *x, int64_t i, int64_t j) {
  if (!ow_is_float(x->dtype))
    return ow_int_less(ow_is_unsigned(x->dtype), ow_get_i64(x->dtype, x->data, j), ow_get_i64(x->dtype, x->data, i));
  const double a = ow_load(x->dtype, x->data, i), b = ow_load(x->dtype, x->data, j);
  return a > b || (isnan(a) && !isnan(b));
}

/* ---- ArgMax, ArgMin ------------------------------------------------------------------------------------------------------ */

static onward_status arg_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC));
  const ow_shape *x = &c->in[0].shape;
  if (x->rank < 0)
    return ow_infer_set(c, 0, ONWARD_INT64, -1, NULL);
  int32_t axis, rank = 0;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 0), x->rank, &axis));
  ow_dim dims[ONWARD_MAX_RANK];
  const bool keep = ow_node_int(c->node, "keepdims", 1) != 0;
  for (int32_t d = 0; d < x->rank; d++) {
    if (d != axis)
      dims[rank++] = x->dims[d];
    else if (keep)
      dims[rank++] = ow_dim_const(1);
  }
  return ow_infer_set(c, 0, ONWARD_INT64, rank, dims);
}

/* Is i a better answer than best? A NaN is the answer of ArgMin too. */
static bool arg_better(const onward_tensor *x, int64_t i, int64_t best, bool smallest) {
  if (!smallest)
    return arg_above(x, i, best);
  if (!ow_is_float(x->dtype))
    return arg_above(x, best, i);
  const double a = ow_load(x->dtype, x->data, i), b = ow_load(x->dtype, x->data, best);
  return a < b || (isnan(a) && !isnan(b));
}

static onward_status arg_run(const ow_args *a, bool smallest, onward_error *err) {
  const onward_tensor *x = a->in[0];
  int64_t *y = a->out[0]->data;
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", 0), x->rank);
  const bool last = ow_node_int(a->node, "select_last_index", 0) != 0;
  const int64_t outer = ow_dims_product(x->dims, 0, axis), inner = ow_dims_product(x->dims, axis + 1, x->rank),
                n = x->dims[axis];
  if (n == 0 && outer * inner > 0)
    return ow_node_fail(a->node, err, ONWARD_DATA, "axis %d of the input is empty", axis);
  for (int64_t o = 0; o < outer; o++) {
    for (int64_t i = 0; i < inner; i++) {
      const int64_t base = o * n * inner + i;
      int64_t best = 0;
      for (int64_t j = 1; j < n; j++) {
        if (last ? !arg_better(x, base + best * inner, base + j * inner, smallest)
                 : arg_better(x, base + j * inner, base + best * inner, smallest))
          best = j;
      }
      y[o * inner + i] = best;
    }
  }
  return ONWARD_OK;
}

static onward_status argmax_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  return arg_run(a, false, err);
}
static onward_status argmin_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  return arg_run(a, true, err);
}

/* ---- TopK ---------------------------------------------------------------------------------------------------------------- */

static onward_status topk_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT64)));
  const ow_shape *x = &c->in[0].shape;
  const onward_dtype dtype = c->in[0].dtype;
  if (x->rank < 0) {
    OW_TRY(ow_infer_set(c, 0, dtype, -1, NULL));
    return c->out_count > 1 ? ow_infer_set(c, 1, ONWARD_INT64, -1, NULL) : ONWARD_OK;
  }
  int32_t axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", -1), x->rank, &axis));
  ow_dim k = ow_dim_unknown();
  if (ow_node_attr(c->node, "k")) {
    k = ow_dim_const(ow_node_int(c->node, "k", 0));
  } else {
    size_t count = 0;
    const ow_dim *elems = ow_infer_elems(c, 1, &count);
    if (elems && count != 1)
      return ow_infer_fail(c, ONWARD_MODEL, "k has %zu elements, want 1", count);
    if (elems)
      k = elems[0];
  }
  const ow_dim n = x->dims[axis];
  if (ow_dim_is_const(k) && !ow_dim_is_unknown(k) && (k.k < 0 || (ow_dim_is_const(n) && k.k > n.k)))
    return ow_infer_fail(c, ONWARD_DATA, "k is %" PRId64 ", want 0 to the length of axis %d", k.k, axis);
  ow_dim dims[ONWARD_MAX_RANK];
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = k;
  for (size_t i = 0; i < 2 && i < c->out_count; i++) {
    if (ow_dim_is_unknown(k))
      OW_TRY(ow_infer_unknown(c, i, i ? ONWARD_INT64 : dtype, x->rank, dims));
    else
      OW_TRY(ow_infer_set(c, i, i ? ONWARD_INT64 : dtype, x->rank, dims));
  }
  return ONWARD_OK;
}

typedef struct topk_order {
  const onward_tensor *x;
  int64_t base, step;
  bool largest;
} topk_order;

/* Does j1 come before j2 in the result? */
static bool topk_before(const topk_order *t, int64_t j1, int64_t j2) {
  const int64_t i1 = t->base + j1 * t->step, i2 = t->base + j2 * t->step;
  if (t->largest ? arg_above(t->x, i1, i2) : arg_above(t->x, i2, i1))
    return true;
  if (t->largest ? arg_above(t->x, i2, i1) : arg_above(t->x, i1, i2))
    return false;
  return j1 < j2;
}

/* heap[0] is the one that comes last. Restores that after heap[at] changed. */
static void topk_sink(const topk_order *t, int64_t *heap, int64_t count, int64_t at) {
  for (;;) {
    int64_t child = 2 * at + 1;
    if (child >= count)
      return;
    if (child + 1 < count && topk_before(t, heap[child], heap[child + 1]))
      child++;
    if (!topk_before(t, heap[at], heap[child]))
      return;
    const int64_t swap = heap[at];
    heap[at] = heap[child];
    heap[child] = swap;
    at = child;
  }
}

/* best[0..k) gets the first k of n in order. */
static void topk_select(const topk_order *t, int64_t n, int64_t k, int64_t *best) {
  if (k == 0)
    return;
  for (int64_t j = 0; j < k; j++)
    best[j] = j;
  for (int64_t at = k / 2 - 1; at >= 0; at--)
    topk_sink(t, best, k, at);
  for (int64_t j = k; j < n; j++) {
    if (topk_before(t, j, best[0])) {
      best[0] = j;
      topk_sink(t, best, k, 0);
    }
  }
  for (int64_t count = k - 1; count > 0; count--) {
    const int64_t last = best[0];
    best[0] = best[count];
    best[count] = last;
    topk_sink(t, best, count, 0);
  }
}

static int64_t topk_length(const ow_args *a) {
  const onward_tensor *y = a->out[0] ? a->out[0] : a->out[1];
  return y->dims[ow_axis(ow_node_int(a->node, "axis", -1), y->rank)];
}

static onward_status topk_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_size_mul((size_t)topk_length(a), sizeof(int64_t), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "k is too large");
  return ONWARD_OK;
}

static onward_status topk_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *x = a->in[0];
  onward_tensor *values = a->out[0], *indices = a->out_count > 1 ? a->out[1] : NULL;
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", -1), x->rank);
  const int64_t n = x->dims[axis], k = topk_length(a);
  const int64_t outer = ow_dims_product(x->dims, 0, axis), inner = ow_dims_product(x->dims, axis + 1, x->rank);
  const size_t size = ow_dtype_size(x->dtype);
  if (k > n)
    return ow_node_fail(a->node, err, ONWARD_DATA, "k is %" PRId64 " but axis %d has length %" PRId64, k, axis, n);
  for (int64_t o = 0; o < outer; o++) {
    for (int64_t i = 0; i < inner; i++) {
      const topk_order t = {x, o * n * inner + i, inner, ow_node_int(a->node, "largest", 1) != 0};
      int64_t *best = a->workspace;
      topk_select(&t, n, k, best);
      for (int64_t j = 0; j < k; j++) {
        const int64_t at = (o * k + j) * inner + i;
        if (values)
          memcpy((char *)values->data + (size_t)at * size,
                 (const char *)x->data + (size_t)(t.base + best[j] * inner) * size, size);
        if (indices)
          ((int64_t *)indices->data)[at] = best[j];
      }
    }
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel argmax_reference = {.name = "argmax_reference", .flags = OW_KERNEL_UNALIGNED, .run = argmax_run};
static const ow_kernel argmin_reference = {.name = "argmin_reference", .flags = OW_KERNEL_UNALIGNED, .run = argmin_run};
static const ow_kernel topk_reference = {
    .name = "topk_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = topk_prepare, .run = topk_run};
static const ow_kernel *const argmax_kernels[] = {&argmax_reference, NULL};
static const ow_kernel *const argmin_kernels[] = {&argmin_reference, NULL};
static const ow_kernel *const topk_kernels[] = {&topk_reference, NULL};

static const ow_attr_spec arg_attrs[] = {{"axis", OW_ATTR_INT, false},
                                         {"keepdims", OW_ATTR_INT, false},
                                         {"select_last_index", OW_ATTR_INT, false},
                                         {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec topk1_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"k", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec topk_attrs[] = {{"axis", OW_ATTR_INT, false},
                                          {"largest", OW_ATTR_INT, false},
                                          {"sorted", OW_ATTR_INT, false},
                                          {NULL, OW_ATTR_NONE, false}};

#define ARG_ROW(op, stem) \
  {.domain = "",          \
   .name = op,            \
   .since = 1,            \
   .min_inputs = 1,       \
   .max_inputs = 1,       \
   .min_outputs = 1,      \
   .max_outputs = 1,      \
   .attrs = arg_attrs,    \
   .infer = arg_infer,    \
   .kernels = stem##_kernels},

const ow_op ow_ops_arg_topk[] = {ARG_ROW("ArgMax", argmax) ARG_ROW("ArgMin", argmin){.domain = "",
                                                                                     .name = "TopK",
                                                                                     .since = 1,
                                                                                     .until = 9,
                                                                                     .min_inputs = 1,
                                                                                     .max_inputs = 1,
                                                                                     .min_outputs = 2,
                                                                                     .max_outputs = 2,
                                                                                     .attrs = topk1_attrs,
                                                                                     .infer = topk_infer,
                                                                                     .kernels = topk_kernels},
                                 {.domain = "",
                                  .name = "TopK",
                                  .since = 10,
                                  .min_inputs = 2,
                                  .max_inputs = 2,
                                  .min_outputs = 2,
                                  .max_outputs = 2,
                                  .attrs = topk_attrs,
                                  .infer = topk_infer,
                                  .kernels = topk_kernels},
                                 {.name = NULL}};
