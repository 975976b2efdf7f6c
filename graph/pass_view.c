/* Following views by strides; see pass_view.h. */
#include "graph/pass_view.h"

#include <string.h>

#define MAX_PARTS 24

bool ow_dim_divides(ow_dims *dims, ow_dim a, ow_dim b, ow_dim *quotient) {
  if (ow_dim_is_unknown(a) || ow_dim_is_unknown(b) || ow_dim_is(b, 0))
    return false;
  const ow_dim q = ow_dim_floordiv(dims, a, b);
  if (ow_dim_is_unknown(q) || !ow_dim_equal(ow_dim_mul(dims, q, b), a))
    return false;
  *quotient = q;
  return true;
}

bool ow_view_start(ow_view *view, ow_dims *dims, ow_value *base) {
  if (!ow_value_ranked(base))
    return false;
  *view = (ow_view){.dims = dims, .base = base, .offset = ow_dim_const(0), .scale = 1.0, .rank = base->type.shape.rank};
  ow_dim stride = ow_dim_const(1);
  for (int32_t d = view->rank - 1; d >= 0; d--) {
    const ow_dim dim = base->type.shape.dims[d];
    if (ow_dim_is_unknown(dim))
      return false;
    if (ow_dim_is(dim, 1))
      continue;
    view->axes[d].count = 1;
    view->axes[d].parts[0] = (ow_part){dim, stride, 0};
    stride = ow_dim_mul(dims, stride, dim);
  }
  return true;
}

/* ---- steps ---------------------------------------------------------------------------------------------------------------- */

bool ow_view_reshape(ow_view *view, const ow_dim *dims, int32_t rank) {
  ow_part parts[MAX_PARTS];
  int32_t count = 0, at = 0;
  for (int32_t d = 0; d < view->rank; d++)
    for (int32_t i = 0; i < view->axes[d].count; i++) {
      if (count == MAX_PARTS)
        return false;
      parts[count++] = view->axes[d].parts[i];
    }
  ow_view_axis axes[ONWARD_MAX_RANK] = {{.count = 0}};
  for (int32_t d = 0; d < rank; d++) {
    ow_dim left = dims[d], quotient;
    ow_view_axis *const axis = &axes[d];
    while (!ow_dim_is(left, 1)) {
      if (at == count || axis->count == OW_VIEW_PARTS)
        return false;
      ow_part *const part = &parts[at];
      if (ow_dim_equal(part->dim, left)) {
        axis->parts[axis->count++] = *part;
        at++;
        left = ow_dim_const(1);
      } else if (ow_dim_divides(view->dims, part->dim, left, &quotient)) {
        axis->parts[axis->count++] = (ow_part){left, ow_dim_mul(view->dims, part->stride, quotient), part->letter};
        part->dim = quotient;
        left = ow_dim_const(1);
      } else if (ow_dim_divides(view->dims, left, part->dim, &quotient)) {
        axis->parts[axis->count++] = *part;
        at++;
        left = quotient;
      } else {
        return false;
      }
    }
  }
  if (at != count)
    return false;
  view->rank = rank;
  memcpy(view->axes, axes, sizeof axes);
  return true;
}

static ow_dim extent(const ow_view *view, int32_t axis) {
  ow_dim product = ow_dim_const(1);
  for (int32_t i = 0; i < view->axes[axis].count; i++)
    product = ow_dim_mul(view->dims, product, view->axes[axis].parts[i].dim);
  return product;
}

static bool apply_transpose(ow_view *view, const ow_node *node) {
  size_t count;
  const int64_t *const perm = ow_node_ints(node, "perm", &count);
  ow_view_axis axes[ONWARD_MAX_RANK] = {{.count = 0}};
  for (int32_t d = 0; d < view->rank; d++) {
    const int64_t from = perm && (size_t)d < count ? perm[d] : view->rank - 1 - d;
    if (from < 0 || from >= view->rank)
      return false;
    axes[d] = view->axes[from];
  }
  memcpy(view->axes, axes, sizeof axes);
  return true;
}

bool ow_view_pad(ow_view *view, int32_t rank) {
  if (view->rank > rank || rank > ONWARD_MAX_RANK)
    return false;
  const int32_t shift = rank - view->rank;
  memmove(view->axes + shift, view->axes, (size_t)view->rank * sizeof *view->axes);
  memset(view->axes, 0, (size_t)shift * sizeof *view->axes);
  view->rank = rank;
  return true;
}

static bool apply_expand(ow_view *view, const ow_shape *to) {
  if (!ow_view_pad(view, to->rank))
    return false;
  for (int32_t d = 0; d < view->rank; d++) {
    const ow_dim have = extent(view, d), want = to->dims[d];
    if (ow_dim_equal(have, want))
      continue;
    if (!ow_dim_is(have, 1))
      return false;
    view->axes[d].count = 1;
    view->axes[d].parts[0] = (ow_part){want, ow_dim_const(0), 0};
  }
  return true;
}

/* Elements [start, ...) of axis: its new extent is given. */
static bool narrow(ow_view *view, int32_t axis, int64_t start, ow_dim count) {
  ow_view_axis *const a = &view->axes[axis];
  if (ow_dim_equal(extent(view, axis), count))
    return start == 0;
  if (a->count != 1 || start < 0)
    return false;
  view->offset = ow_dim_add(view->dims, view->offset, ow_dim_mul(view->dims, ow_dim_const(start), a->parts[0].stride));
  a->parts[0].dim = count;
  if (ow_dim_is(count, 1))
    a->count = 0;
  return true;
}

static bool apply_gather(ow_view *view, const ow_node *node) {
  int64_t index, axis = ow_node_int(node, "axis", 0);
  const ow_value *const indices = ow_node_input(node, 1);
  if (!ow_value_ranked(indices) || indices->type.shape.rank > 1 || ow_match_ints(indices, &index, 1) != 1)
    return false;
  axis = axis < 0 ? axis + view->rank : axis;
  if (axis < 0 || axis >= view->rank)
    return false;
  const ow_dim count = extent(view, (int32_t)axis);
  if (index < 0 && ow_dim_is_const(count))
    index += count.k;
  if (index < 0 || !narrow(view, (int32_t)axis, index, ow_dim_const(1)))
    return false;
  if (indices->type.shape.rank == 0) {
    memmove(view->axes + axis, view->axes + axis + 1, (size_t)(view->rank - 1 - (int32_t)axis) * sizeof *view->axes);
    view->rank--;
  }
  return true;
}

/* Start of each sliced axis; steps of 1 only. false: not known, or a negative start of unknown extent. */
static bool apply_slice(ow_view *view, const ow_node *node, const ow_shape *to) {
  int64_t starts[ONWARD_MAX_RANK], axes[ONWARD_MAX_RANK], steps[ONWARD_MAX_RANK];
  const int64_t count = ow_match_ints(ow_node_input(node, 1), starts, ONWARD_MAX_RANK);
  const int64_t axis_count = ow_node_input(node, 3) ? ow_match_ints(node->inputs[3], axes, ONWARD_MAX_RANK) : 0;
  const int64_t step_count = ow_node_input(node, 4) ? ow_match_ints(node->inputs[4], steps, ONWARD_MAX_RANK) : 0;
  if (count < 0 || axis_count < 0 || step_count < 0 || to->rank != view->rank ||
      (axis_count > 0 && axis_count != count) || (step_count > 0 && step_count != count))
    return false;
  for (int64_t i = 0; i < count; i++) {
    int64_t axis = axis_count > 0 ? axes[i] : i;
    axis = axis < 0 ? axis + view->rank : axis;
    if (axis < 0 || axis >= view->rank || (step_count > 0 && steps[i] != 1))
      return false;
    const ow_dim have = extent(view, (int32_t)axis);
    if (ow_dim_equal(have, to->dims[axis]))
      continue;
    if (!ow_dim_is_const(have))
      return false;
    int64_t start = starts[i] < 0 ? starts[i] + have.k : starts[i];
    start = start < 0 ? 0 : start > have.k ? have.k : start;
    if (!narrow(view, (int32_t)axis, start, to->dims[axis]))
      return false;
  }
  return true;
}

static bool apply_split(ow_view *view, const ow_node *node, const ow_value *value) {
  int64_t axis = ow_node_int(node, "axis", 0), start = 0;
  axis = axis < 0 ? axis + view->rank : axis;
  if (axis < 0 || axis >= view->rank)
    return false;
  for (uint32_t i = 0; i < value->slot; i++) {
    const ow_dim d = ow_value_dim(node->outputs[i], (int32_t)axis);
    if (ow_dim_is_unknown(d) || !ow_dim_is_const(d) || !ow_i64_add(start, d.k, &start))
      return false;
  }
  return narrow(view, (int32_t)axis, start, ow_value_dim(value, (int32_t)axis));
}

static bool is_reshape(const ow_node *node) {
  return ow_node_is(node, "Reshape") || ow_node_is(node, "Flatten") || ow_node_is(node, "Squeeze") ||
         ow_node_is(node, "Unsqueeze");
}

static bool is_scaling(const ow_node *node, size_t *slot, double *factor) {
  double c;
  for (size_t i = 0; node && node->input_count == 2 && i < 2; i++) {
    const bool divides = ow_node_is(node, "Div");
    if ((!divides && !ow_node_is(node, "Mul")) || (divides && i == 0) || !ow_match_scalar(node->inputs[i], &c) ||
        !ow_value_same_shape(node->inputs[1 - i], node->outputs[0]) || c == 0.0)
      continue;
    *slot = 1 - i;
    *factor = divides ? 1.0 / c : c;
    return true;
  }
  return false;
}

ow_value *ow_view_source(const ow_value *value, bool scaled) {
  const ow_node *const node = value->producer;
  size_t slot;
  double factor;
  if (!node || node->input_count == 0 || !node->inputs[0])
    return NULL;
  if (ow_node_is(node, "Split") || ow_node_is(node, "Gather"))
    return node->inputs[0];
  if (value->slot != 0)
    return NULL;
  if (is_reshape(node) || ow_node_is(node, "Transpose") || ow_node_is(node, "Expand") || ow_node_is(node, "Slice") ||
      ow_match_transparent(node))
    return node->inputs[0];
  return scaled && ow_value_is_f32(value) && is_scaling(node, &slot, &factor) ? node->inputs[slot] : NULL;
}

bool ow_view_is_free(const ow_value *value) {
  return is_reshape(value->producer) || ow_match_transparent(value->producer);
}

bool ow_view_apply(ow_view *view, const ow_value *value) {
  const ow_node *const node = value->producer;
  const ow_shape *const to = &value->type.shape;
  size_t slot;
  double factor;
  if (!ow_value_ranked(value))
    return false;
  if (is_reshape(node))
    return ow_view_reshape(view, to->dims, to->rank);
  if (ow_node_is(node, "Transpose"))
    return apply_transpose(view, node);
  if (ow_node_is(node, "Expand"))
    return apply_expand(view, to);
  if (ow_node_is(node, "Slice"))
    return apply_slice(view, node, to);
  if (ow_node_is(node, "Split"))
    return apply_split(view, node, value);
  if (ow_node_is(node, "Gather"))
    return apply_gather(view, node);
  if (ow_match_transparent(node))
    return true;
  if (!is_scaling(node, &slot, &factor))
    return false;
  view->scale *= factor;
  return true;
}

size_t ow_view_chain(ow_value *value, bool scaled, ow_value *chain[OW_VIEW_CHAIN]) {
  size_t count = 0;
  for (ow_value *v = value; v && count < OW_VIEW_CHAIN; v = ow_view_source(v, scaled))
    chain[count++] = v;
  return count;
}

bool ow_view_of_chain(ow_view *view, ow_dims *dims, ow_value *const *chain, size_t from) {
  if (!ow_view_start(view, dims, chain[from]))
    return false;
  for (size_t i = from; i-- > 0;)
    if (!ow_view_apply(view, chain[i]))
      return false;
  return true;
}

bool ow_view_single(const ow_view *view, int32_t axis, ow_part *out) {
  const ow_view_axis *const a = &view->axes[axis];
  *out = (ow_part){ow_dim_const(1), ow_dim_const(0), 0};
  for (int32_t i = 0; i < a->count; i++) {
    const ow_part *const next = &a->parts[i];
    if (i > 0 && !ow_dim_equal(out->stride, ow_dim_mul(view->dims, next->stride, next->dim)))
      return false;
    *out = (ow_part){ow_dim_mul(view->dims, out->dim, next->dim), next->stride, next->letter};
  }
  return true;
}
