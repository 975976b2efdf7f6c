#include "ops/op_help.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- infer --------------------------------------------------------------------------------------------------------------- */

static bool in_types(onward_dtype dtype, uint32_t types) {
  return dtype > 0 && dtype < 32 && (types & OW_BIT(dtype)) != 0;
}

static const char *value_name(const ow_node *node, size_t input) {
  const ow_value *v = node ? ow_node_input(node, input) : NULL;
  return v && v->name ? v->name : "";
}

onward_status ow_infer_types(ow_infer *c, size_t input, uint32_t types) {
  if (!ow_infer_has(c, input))
    return ONWARD_OK;
  const ow_type *t = &c->in[input];
  if (t->kind != OW_VALUE_TENSOR)
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu '%s': want a tensor, got a %s", input, value_name(c->node, input),
                         t->kind == OW_VALUE_SEQUENCE ? "sequence" : "optional");
  if (in_types(t->dtype, types))
    return ONWARD_OK;
  const onward_status status = (types & OW_TYPES_MOVABLE) == OW_TYPES_MOVABLE ? ONWARD_UNSUPPORTED : ONWARD_MODEL;
  return ow_infer_fail(c, status, "input %zu '%s': elements of type %s are not %s", input, value_name(c->node, input),
                       onward_dtype_name(t->dtype), status == ONWARD_MODEL ? "allowed" : "implemented");
}

onward_status ow_infer_alike(ow_infer *c, size_t from, size_t to) {
  size_t first = SIZE_MAX;
  for (size_t i = from; i <= to && i < c->in_count; i++) {
    if (!ow_infer_has(c, i))
      continue;
    if (first == SIZE_MAX)
      first = i;
    else if (c->in[i].dtype != c->in[first].dtype)
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu '%s': want %s as input %zu, got %s", i, value_name(c->node, i),
                           onward_dtype_name(c->in[first].dtype), first, onward_dtype_name(c->in[i].dtype));
  }
  return ONWARD_OK;
}

onward_status ow_infer_rank(ow_infer *c, size_t input, int32_t low, int32_t high) {
  if (!ow_infer_has(c, input))
    return ONWARD_OK;
  const ow_shape *s = &c->in[input].shape;
  if (s->rank < 0 || (s->rank >= low && s->rank <= high))
    return ONWARD_OK;
  char text[200];
  ow_shape_text(c->dims, s, text, sizeof text);
  if (low == high)
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu '%s': want rank %d, got %s", input, value_name(c->node, input),
                         (int)low, text);
  return ow_infer_fail(c, ONWARD_MODEL, "input %zu '%s': want rank %d to %d, got %s", input, value_name(c->node, input),
                       (int)low, (int)high, text);
}

onward_status ow_infer_ints_given(ow_infer *c, const char *attr, size_t input, int64_t *values, size_t max,
                                  size_t *count, ow_given *given) {
  *count = 0;
  *given = OW_GIVEN_NOT;
  const ow_attr *found = attr ? ow_node_attr(c->node, attr) : NULL;
  if (found) {
    const size_t n = found->kind == OW_ATTR_INT ? 1 : found->count;
    if (n > max)
      return ow_infer_fail(c, ONWARD_MODEL, "attribute '%s': want at most %zu integers, got %zu", attr, max, n);
    for (size_t i = 0; i < n; i++)
      values[i] = found->kind == OW_ATTR_INT ? found->i : found->ints[i];
    *count = n;
    *given = OW_GIVEN_VALUES;
    return ONWARD_OK;
  }
  if (!ow_infer_has(c, input))
    return ONWARD_OK;
  OW_TRY(ow_infer_types(c, input, OW_TYPES_INDEX));
  OW_TRY(ow_infer_rank(c, input, 0, 1));
  const ow_shape *s = &c->in[input].shape;
  const int64_t known = ow_small_count(s);
  if (known >= 0 && (size_t)known > max)
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu '%s': want at most %zu integers, got %" PRId64, input,
                         value_name(c->node, input), max, known);
  const int64_t n = ow_infer_ints(c, input, values, max);
  if (n >= 0) {
    *count = (size_t)n;
    *given = OW_GIVEN_VALUES;
  } else {
    *count = known >= 0 ? (size_t)known : SIZE_MAX;
    *given = OW_GIVEN_LATER;
  }
  return ONWARD_OK;
}

int64_t ow_args_ints(const ow_args *a, const char *attr, size_t input, int64_t *values, size_t max) {
  const ow_attr *found = attr ? ow_node_attr(a->node, attr) : NULL;
  if (found) {
    const size_t n = found->kind == OW_ATTR_INT ? 1 : found->count;
    for (size_t i = 0; i < n && i < max; i++)
      values[i] = found->kind == OW_ATTR_INT ? found->i : found->ints[i];
    return (int64_t)(n < max ? n : max);
  }
  if (input >= a->in_count || !a->in[input])
    return -1;
  const int64_t n = ow_count(a->in[input]);
  const int64_t kept = n < (int64_t)max ? n : (int64_t)max;
  for (int64_t i = 0; i < kept; i++)
    values[i] = ow_index_at(a->in[input], i);
  return kept;
}

onward_status ow_infer_axes(ow_infer *c, int64_t *values, size_t count, int32_t rank, bool set[ONWARD_MAX_RANK]) {
  for (int32_t i = 0; i < ONWARD_MAX_RANK; i++)
    set[i] = false;
  for (size_t i = 0; i < count; i++) {
    int32_t axis;
    OW_TRY(ow_infer_axis(c, values[i], rank, &axis));
    if (set[axis])
      return ow_infer_fail(c, ONWARD_MODEL, "axis %" PRId64 " is given twice", values[i]);
    set[axis] = true;
    values[i] = axis;
  }
  return ONWARD_OK;
}

onward_status ow_infer_at_least(ow_infer *c, ow_dim a, ow_dim b, const char *what, bool *holds) {
  *holds = ow_dim_proves_ge(c->dims, ow_dim_sub(c->dims, a, b), 0);
  if (*holds || !c->guards || !c->guards->assume || !ow_dim_evaluable(c->dims, a) || !ow_dim_evaluable(c->dims, b))
    return ONWARD_OK;
  if (ow_dim_is_const(a) && ow_dim_is_const(b))
    return ONWARD_OK;
  char place[320], reason[400];
  (void)snprintf(reason, sizeof reason, "%s in %s", what, ow_node_describe(c->node, place, sizeof place));
  /* A guard compares two sizes: how far a falls short, and 0. */
  const ow_dim shortage = ow_dim_sub(c->dims, ow_dim_max(c->dims, a, b), a);
  if (!ow_graph_add_guard(c->guards, shortage, ow_dim_const(0), reason))
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  *holds = true;
  return ONWARD_OK;
}

onward_status ow_infer_broadcast_all(ow_infer *c, onward_dtype dtype) {
  ow_shape shape = {.rank = 0};
  for (size_t i = 0; i < c->in_count; i++) {
    if (!ow_infer_has(c, i))
      continue;
    ow_shape joined;
    OW_TRY(ow_infer_broadcast(c, &shape, &c->in[i].shape, &joined));
    shape = joined;
  }
  return ow_infer_set(c, 0, dtype, shape.rank, shape.dims);
}

onward_status ow_infer_elementwise(ow_infer *c, uint32_t types) {
  for (size_t i = 0; i < c->in_count; i++)
    OW_TRY(ow_infer_types(c, i, types));
  OW_TRY(ow_infer_alike(c, 0, c->in_count));
  return ow_infer_broadcast_all(c, c->in[0].dtype);
}

int64_t ow_small_count(const ow_shape *shape) {
  if (shape->rank < 0)
    return -1;
  int64_t n = 1;
  for (int32_t i = 0; i < shape->rank; i++) {
    if (!ow_dim_is_const(shape->dims[i]) || shape->dims[i].k < 0 || shape->dims[i].k > OW_MAX_ELEMS)
      return -1;
    n *= shape->dims[i].k;
    if (n > OW_MAX_ELEMS)
      return -1;
  }
  return n;
}

ow_dim *ow_infer_alloc_elems(ow_infer *c, size_t count) { return ow_arena_alloc(c->arena, count * sizeof(ow_dim)); }

int64_t ow_wrap_int(onward_dtype dtype, int64_t value) {
  const ow_dtype_info *info = ow_dtype(dtype);
  if (info->kind == OW_KIND_BOOL)
    return value != 0;
  const int spare = 64 - info->bits;
  if (spare <= 0 || spare == 64)
    return value;
  const uint64_t high = (uint64_t)value << spare;
  if (info->kind == OW_KIND_UNSIGNED)
    return (int64_t)(high >> spare);
  return (int64_t)high >> spare;
}

onward_status ow_infer_map_elems(ow_infer *c, ow_elem_fn fn) {
  enum { MAX_INPUTS = 16 };
  const ow_type *out = &c->out[0];
  const int64_t total = ow_small_count(&out->shape);
  if (total < 0 || c->in_count > MAX_INPUTS)
    return ONWARD_OK;
  const ow_dim *elems[MAX_INPUTS] = {0};
  int64_t strides[MAX_INPUTS][ONWARD_MAX_RANK] = {{0}};
  for (size_t i = 0; i < c->in_count; i++) {
    if (!ow_infer_has(c, i))
      continue;
    size_t count;
    elems[i] = ow_infer_elems(c, i, &count);
    if (!elems[i])
      return ONWARD_OK;
    const ow_shape *s = &c->in[i].shape;
    int64_t step = 1;
    for (int32_t d = s->rank - 1; d >= 0; d--) {
      const int64_t extent = s->dims[d].k;
      strides[i][d + out->shape.rank - s->rank] = extent == 1 ? 0 : step;
      step *= extent;
    }
  }
  ow_dim *result = ow_infer_alloc_elems(c, (size_t)total);
  if (!result)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  for (int64_t n = 0; n < total; n++) {
    ow_dim operand[MAX_INPUTS];
    for (size_t i = 0; i < c->in_count; i++) {
      int64_t rest = n, offset = 0;
      for (int32_t d = out->shape.rank - 1; d >= 0; d--) {
        offset += rest % out->shape.dims[d].k * strides[i][d];
        rest /= out->shape.dims[d].k;
      }
      operand[i] = elems[i] ? elems[i][offset] : ow_dim_const(0);
    }
    if (!fn(c, operand, &result[n]))
      return ONWARD_OK;
    if (ow_dim_is_const(result[n]))
      result[n].k = ow_wrap_int(out->dtype, result[n].k);
  }
  return ow_infer_set_elems(c, 0, result, (size_t)total);
}

onward_status ow_infer_strided_elems(ow_infer *c, size_t input, int64_t base, const int64_t *strides) {
  const ow_shape *shape = &c->out[0].shape;
  const int64_t total = ow_small_count(shape);
  size_t count;
  const ow_dim *elems = ow_infer_elems(c, input, &count);
  if (total < 0 || !elems)
    return ONWARD_OK;
  ow_dim *result = ow_infer_alloc_elems(c, (size_t)total);
  if (!result)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  for (int64_t n = 0; n < total; n++) {
    int64_t rest = n, offset = base;
    for (int32_t d = shape->rank - 1; d >= 0; d--) {
      offset += rest % shape->dims[d].k * strides[d];
      rest /= shape->dims[d].k;
    }
    result[n] = elems[offset];
  }
  return ow_infer_set_elems(c, 0, result, (size_t)total);
}

/* ---- data errors --------------------------------------------------------------------------------------------------------- */

const char *ow_position_text(const onward_tensor *t, int64_t position, char *buffer, size_t size) {
  int64_t index[ONWARD_MAX_RANK];
  for (int32_t d = t->rank - 1; d >= 0; d--) {
    const int64_t extent = t->dims[d] > 0 ? t->dims[d] : 1;
    index[d] = position % extent;
    position /= extent;
  }
  size_t used = 0;
  for (int32_t d = 0; d <= t->rank && used < size; d++) {
    const int n = d < t->rank ? snprintf(buffer + used, size - used, d ? ",%" PRId64 : "[%" PRId64, index[d])
                              : snprintf(buffer + used, size - used, t->rank ? "]" : "[]");
    if (n < 0)
      break;
    used += (size_t)n;
  }
  return buffer;
}

const char *ow_input_name(const ow_args *a, size_t input) { return value_name(a->node, input); }

onward_status ow_fail_index(const ow_args *a, size_t input, int64_t position, int64_t value, int64_t low, int64_t high,
                            onward_error *err) {
  char at[ONWARD_MAX_RANK * 21 + 3];
  ow_position_text(a->in[input], position, at, sizeof at);
  return ow_node_fail(a->node, err, ONWARD_DATA,
                      "input %zu '%s': index %" PRId64 " at %s outside [%" PRId64 ",%" PRId64 "]", input,
                      ow_input_name(a, input), value, at, low, high);
}

onward_status ow_check_indices(const ow_args *a, size_t input, int64_t low, int64_t high, onward_error *err) {
  const onward_tensor *t = a->in[input];
  const int64_t n = ow_count(t);
  for (int64_t i = 0; i < n; i++) {
    const int64_t v = ow_index_at(t, i);
    if (v < low || v > high)
      return ow_fail_index(a, input, i, v, low, high, err);
  }
  return ONWARD_OK;
}
