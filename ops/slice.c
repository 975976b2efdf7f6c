/* Slice: bounds are attributes before version 10, inputs since. Bounds beyond the axis are clamped. */
#include <inttypes.h>

#include "ops/op_help.h"

/* What one axis keeps: len elements from start, step apart. */
typedef struct cut {
  int64_t start, step, len;
} cut;

static cut cut_axis(int64_t extent, int64_t start, int64_t end, int64_t step) {
  const int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? extent : extent - 1;
  start = start < 0 ? start + extent : start;
  start = start < 0 ? 0 : start;
  start = start > highest ? highest : start; /* of an empty axis, backwards: -1 */
  end = end < 0 ? end + extent : end;
  end = end < lowest ? lowest : end > highest ? highest : end;
  cut c = {start, step, 0};
  if (step > 0 && end > start)
    c.len = (end - start - 1) / step + 1;
  else if (step < 0 && start > end)
    c.len = (int64_t)((uint64_t)(start - end - 1) / (0 - (uint64_t)step)) + 1;
  return c;
}

/* ---- inference ----------------------------------------------------------------------------------------------------------- */

/* Exporters write "to the end" as the largest number of some integer type. */
static bool is_far(ow_dim d) { return ow_dim_is_const(d) && (d.k >= INT32_MAX || d.k <= -INT32_MAX); }

/* Constant bounds up to this are taken to lie within an axis of unknown extent; a larger one may be a limit on it. */
#define SMALL_BOUND 16

/* A bound as an offset from the start of the axis. Where nothing can be proved and assumptions are allowed, a bound is taken to
 * lie within the axis: clamping by min and max would hide that the result has the extent every other operand has. */
static onward_status place(ow_infer *c, ow_dim bound, ow_dim extent, ow_dim low, ow_dim high, ow_dim *out,
                           bool *known) {
  ow_dims *const pool = c->dims;
  const bool trust = !ow_dim_is_const(bound) || (bound.k <= SMALL_BOUND && bound.k >= -SMALL_BOUND);
  bool holds = true;
  *known = true;
  if (ow_dim_is_const(bound) ? bound.k < 0
                             : ow_dim_proves_ge(pool, ow_dim_sub(pool, ow_dim_const(0), bound), c->guards ? 0 : 1))
    bound = ow_dim_add(pool, bound, extent);
  else
    OW_TRY(ow_infer_at_least(c, bound, ow_dim_const(0), "a slice from the start", known));
  if (!*known)
    return ONWARD_OK;
  *out = high;
  if (ow_dim_proves_ge(pool, ow_dim_sub(pool, bound, high), 0))
    return ONWARD_OK;
  holds = ow_dim_proves_ge(pool, ow_dim_sub(pool, bound, low), 0);
  if (trust && !holds)
    OW_TRY(ow_infer_at_least(c, bound, low, "a slice within its axis", &holds));
  if (!holds)
    bound = ow_dim_max(pool, bound, low);
  holds = ow_dim_proves_ge(pool, ow_dim_sub(pool, high, bound), 0);
  if (trust && !holds)
    OW_TRY(ow_infer_at_least(c, high, bound, "a slice within its axis", &holds));
  *out = holds ? bound : ow_dim_min(pool, bound, high);
  return ONWARD_OK;
}

/* The kept extent; *known is false when it cannot be told. */
static onward_status symbolic_length(ow_infer *c, ow_dim extent, ow_dim start, ow_dim end, ow_dim step, ow_dim *out,
                                     bool *known) {
  ow_dims *const pool = c->dims;
  *known = ow_dim_is_const(step);
  if (!*known)
    return ONWARD_OK;
  if (ow_dim_is_const(extent) && ow_dim_is_const(start) && ow_dim_is_const(end)) {
    *out = ow_dim_const(cut_axis(extent.k, start.k, end.k, step.k).len);
    return ONWARD_OK;
  }
  const bool forward = step.k > 0;
  const ow_dim low = ow_dim_const(forward ? 0 : -1);
  const ow_dim high = forward ? extent : ow_dim_sub(pool, extent, ow_dim_const(1));
  ow_dim from = start.k > 0 ? high : ow_dim_const(0), to = end.k > 0 ? high : low;
  if (!is_far(start))
    OW_TRY(place(c, start, extent, ow_dim_const(0), high, &from, known));
  if (*known && !is_far(end))
    OW_TRY(place(c, end, extent, low, high, &to, known));
  const uint64_t width = forward ? (uint64_t)step.k : 0 - (uint64_t)step.k;
  if (!*known || width > INT32_MAX) {
    *known = false;
    return ONWARD_OK;
  }
  const ow_dim span = forward ? ow_dim_sub(pool, to, from) : ow_dim_sub(pool, from, to);
  *out = ow_dim_const(0);
  if (ow_dim_proves_ge(pool, ow_dim_sub(pool, ow_dim_const(0), span), 0))
    return ONWARD_OK;
  bool holds;
  OW_TRY(ow_infer_at_least(c, span, ow_dim_const(0), "a slice that ends after its start", &holds));
  *out = width == 1 ? span : ow_dim_ceildiv(pool, span, ow_dim_const((int64_t)width));
  if (!holds)
    *out = ow_dim_max(pool, *out, ow_dim_const(0));
  return ONWARD_OK;
}

/* Bounds of the sliced axes, from attributes or inputs. count is SIZE_MAX while it is not known. */
typedef struct bounds {
  const ow_dim *start, *end, *step; /* step NULL: 1; start or end NULL: not known */
  size_t count;
} bounds;

static onward_status read_ints(ow_infer *c, const char *attr, size_t input, const ow_dim **out, size_t *count) {
  const ow_attr *given = attr ? ow_node_attr(c->node, attr) : NULL;
  if (!given) {
    OW_TRY(ow_infer_types(c, input, OW_TYPES_INDEX));
    OW_TRY(ow_infer_rank(c, input, 1, 1));
    *out = ow_infer_elems(c, input, count);
    if (!*out) {
      const int64_t n = ow_infer_ranked(c, input) ? ow_small_count(&c->in[input].shape) : -1;
      *count = n < 0 ? SIZE_MAX : (size_t)n;
    }
    return ONWARD_OK;
  }
  *count = given->count;
  ow_dim *copy = ow_infer_alloc_elems(c, given->count);
  if (!copy)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  for (size_t i = 0; i < given->count; i++)
    copy[i] = ow_dim_const(given->ints[i]);
  *out = copy;
  return ONWARD_OK;
}

static onward_status unknown_everywhere(ow_infer *c) {
  ow_dim dims[ONWARD_MAX_RANK];
  for (int32_t d = 0; d < ONWARD_MAX_RANK; d++)
    dims[d] = ow_dim_unknown();
  return ow_infer_unknown(c, 0, c->in[0].dtype, c->in[0].shape.rank, dims);
}

static onward_status slice_elems(ow_infer *c, const int32_t *axes, const bounds *b) {
  const ow_shape *in = &c->in[0].shape;
  if (ow_small_count(in) < 0)
    return ONWARD_OK;
  int64_t strides[ONWARD_MAX_RANK], step = 1, base = 0;
  for (int32_t d = in->rank - 1; d >= 0; d--) {
    strides[d] = step;
    step *= in->dims[d].k;
  }
  for (size_t i = 0; i < b->count; i++) {
    if (!ow_dim_is_const(b->start[i]) || !ow_dim_is_const(b->end[i]))
      return ONWARD_OK;
    const cut k = cut_axis(in->dims[axes[i]].k, b->start[i].k, b->end[i].k, b->step ? b->step[i].k : 1);
    base += k.start * strides[axes[i]];
    strides[axes[i]] *= k.step;
  }
  return ow_infer_strided_elems(c, 0, base, strides);
}

static onward_status infer_slice(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  const ow_shape *in = &c->in[0].shape;
  const bool by_attr = c->node->version < 10;
  bounds b;
  size_t end_count, step_count = 0;
  OW_TRY(read_ints(c, by_attr ? "starts" : NULL, 1, &b.start, &b.count));
  OW_TRY(read_ints(c, by_attr ? "ends" : NULL, 2, &b.end, &end_count));
  b.step = NULL;
  const bool has_steps = ow_infer_has(c, 4);
  if (has_steps)
    OW_TRY(read_ints(c, NULL, 4, &b.step, &step_count));
  const size_t counts[] = {b.count, end_count, has_steps ? step_count : b.count};
  for (size_t i = 1; i < 3; i++)
    if (counts[0] != SIZE_MAX && counts[i] != SIZE_MAX && counts[i] != counts[0])
      return ow_infer_fail(c, ONWARD_MODEL, "%zu starts, but %zu %s", counts[0], counts[i], i == 1 ? "ends" : "steps");
  int64_t given_axes[ONWARD_MAX_RANK];
  size_t axis_count;
  ow_given given;
  OW_TRY(ow_infer_ints_given(c, by_attr ? "axes" : NULL, 3, given_axes, ONWARD_MAX_RANK, &axis_count, &given));
  if (given != OW_GIVEN_NOT && b.count != SIZE_MAX && axis_count != SIZE_MAX && axis_count != b.count)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu starts, but %zu axes", b.count, axis_count);
  if (given == OW_GIVEN_VALUES)
    b.count = axis_count;
  if (in->rank < 0 || given == OW_GIVEN_LATER || b.count == SIZE_MAX)
    return unknown_everywhere(c);
  if (b.count > (size_t)in->rank)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu starts for an input of rank %d", b.count, (int)in->rank);
  int32_t axes[ONWARD_MAX_RANK];
  if (given == OW_GIVEN_VALUES) {
    bool set[ONWARD_MAX_RANK];
    OW_TRY(ow_infer_axes(c, given_axes, b.count, in->rank, set));
  }
  ow_shape out = *in;
  bool unknown = false;
  for (size_t i = 0; i < b.count; i++) {
    axes[i] = given == OW_GIVEN_VALUES ? (int32_t)given_axes[i] : (int32_t)i;
    const ow_dim step = !has_steps ? ow_dim_const(1) : b.step ? b.step[i] : ow_dim_unknown();
    if (ow_dim_is(step, 0))
      return ow_infer_fail(c, ONWARD_MODEL, "a step of 0");
    bool known = b.start && b.end && (!has_steps || b.step);
    ow_dim *const d = &out.dims[axes[i]];
    if (known)
      OW_TRY(symbolic_length(c, in->dims[axes[i]], b.start[i], b.end[i], step, d, &known));
    if (!known) {
      *d = ow_dim_unknown();
      unknown = true;
    }
  }
  if (unknown)
    return ow_infer_unknown(c, 0, c->in[0].dtype, out.rank, out.dims);
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims));
  return slice_elems(c, axes, &b);
}

/* ---- kernel -------------------------------------------------------------------------------------------------------------- */

static onward_status run_slice(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *in = a->in[0], *out = a->out[0];
  const bool by_attr = a->node->version < 10;
  int64_t starts[ONWARD_MAX_RANK], ends[ONWARD_MAX_RANK], axes[ONWARD_MAX_RANK], steps[ONWARD_MAX_RANK];
  const int64_t count = ow_args_ints(a, by_attr ? "starts" : NULL, 1, starts, ONWARD_MAX_RANK);
  (void)ow_args_ints(a, by_attr ? "ends" : NULL, 2, ends, ONWARD_MAX_RANK);
  const bool has_axes = ow_args_ints(a, by_attr ? "axes" : NULL, 3, axes, ONWARD_MAX_RANK) >= 0;
  const bool has_steps = ow_args_ints(a, NULL, 4, steps, ONWARD_MAX_RANK) >= 0;
  int64_t to[ONWARD_MAX_RANK], from[ONWARD_MAX_RANK], base = 0;
  ow_strides(out->rank, out->dims, to);
  ow_strides(in->rank, in->dims, from);
  for (int64_t i = 0; i < count; i++) {
    const int32_t axis = has_axes ? ow_axis(axes[i], in->rank) : (int32_t)i;
    const cut k = cut_axis(in->dims[axis], starts[i], ends[i], has_steps ? steps[i] : 1);
    base += k.start * from[axis];
    from[axis] = k.len > 1 ? from[axis] * k.step : 0;
  }
  const size_t size = ow_dtype_size(in->dtype);
  if (ow_count(out) > 0)
    ow_copy_strided(out->data, to, (const char *)in->data + base * (int64_t)size, from, out->rank, out->dims, size,
                    a->threads);
  return ONWARD_OK;
}

static const ow_kernel slice_reference = {.name = "slice_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_slice};
static const ow_kernel *const slice_kernels[] = {&slice_reference, NULL};
static const ow_attr_spec bounds_attrs[] = {{"starts", OW_ATTR_INTS, true},
                                            {"ends", OW_ATTR_INTS, true},
                                            {"axes", OW_ATTR_INTS, false},
                                            {NULL, OW_ATTR_NONE, false}};

#define ROW(from, to, low, high, spec)                                                                \
  {                                                                                                   \
    .domain = "", .name = "Slice", .since = from, .until = to, .min_inputs = low, .max_inputs = high, \
    .min_outputs = 1, .max_outputs = 1, .attrs = spec, .infer = infer_slice, .kernels = slice_kernels \
  }

const ow_op ow_ops_slice[] = {
    ROW(1, 9, 1, 1, bounds_attrs),
    ROW(10, 0, 3, 5, NULL),
    {.name = NULL},
};
