/* Where the memory of Q, K, V, of the masks and of the result lies. */
#include <string.h>

#include "graph/pass_attention.h"

static const char axis_letters[] = "BSHD";

static int axis_of(char letter) { return (int)(strchr(axis_letters, letter) - axis_letters); }

static const char orders[24][5] = {"BSHD", "SBHD", "BHSD", "BHDS", "SHBD", "HBSD", "HSBD", "BDHS",
                                   "BDSH", "BSDH", "SBDH", "SHDB", "SDBH", "SDHB", "HBDS", "HSDB",
                                   "HDBS", "HDSB", "DBSH", "DBHS", "DSBH", "DSHB", "DHBS", "DHSB"};

static bool is_natural(ow_part part, ow_dim stride) {
  return ow_dim_is(part.dim, 1) || ow_dim_equal(part.stride, stride);
}

/* Memory is the four axes in this order, without gaps. */
static bool is_dense(ow_dims *dims, const ow_part parts[4], const char *order, ow_dim *count) {
  ow_dim stride = ow_dim_const(1);
  for (int i = 3; i >= 0; i--) {
    const ow_part part = parts[axis_of(order[i])];
    if (!is_natural(part, stride))
      return false;
    stride = ow_dim_mul(dims, stride, part.dim);
  }
  *count = stride;
  return true;
}

static bool same_dims(const ow_shape *shape, int32_t rank, const ow_dim *dims) {
  for (int32_t d = 0; d < rank && shape->rank == rank; d++)
    if (!ow_dim_equal(shape->dims[d], dims[d]))
      return false;
  return shape->rank == rank;
}

/* Take base as it is or under the given shape. */
static bool settle(ow_operand *o, const ow_view *view, const char *order, int32_t rank, const ow_dim *dims,
                   bool reshape) {
  const bool same = same_dims(&view->base->type.shape, rank, dims);
  if (!same && (!reshape || !ow_dims_computable(view->dims, dims, rank)))
    return false;
  o->value = view->base;
  memcpy(o->order, order, sizeof o->order);
  o->reshape.rank = same ? -1 : rank;
  memcpy(o->reshape.dims, dims, (size_t)rank * sizeof *dims);
  return true;
}

/* Rank 3: heads side by side in rows of `pitch` columns. */
static bool settle_rows(ow_operand *o, const ow_view *view, const ow_part parts[4], bool reshape) {
  ow_dims *const dims = view->dims;
  const ow_part b = parts[OW_AXIS_B], s = parts[OW_AXIS_S], h = parts[OW_AXIS_H], d = parts[OW_AXIS_D];
  const ow_dim pitch = ow_value_dim(view->base, -1);
  if (!ow_dim_is_const(pitch) || !ow_dim_is_const(view->offset) || !ow_dim_is_const(h.dim) || !ow_dim_is_const(d.dim) ||
      !is_natural(d, ow_dim_const(1)) || !is_natural(h, d.dim) || d.dim.k < 1 || h.dim.k < 1)
    return false;
  int64_t end;
  if (!ow_i64_mul(h.dim.k, d.dim.k, &end) || !ow_i64_add(end, view->offset.k, &end) || end > pitch.k ||
      view->offset.k < 0)
    return false;
  if (!ow_dim_equal(ow_shape_count(dims, &view->base->type.shape, 0, view->base->type.shape.rank),
                    ow_dim_mul(dims, ow_dim_mul(dims, b.dim, s.dim), pitch)))
    return false;
  o->offset = view->offset.k;
  if (is_natural(s, pitch) && is_natural(b, ow_dim_mul(dims, s.dim, pitch)) &&
      settle(o, view, "BSHD", 3, (ow_dim[]){b.dim, s.dim, pitch}, reshape))
    return true;
  return is_natural(b, pitch) && is_natural(s, ow_dim_mul(dims, b.dim, pitch)) &&
         settle(o, view, "SBHD", 3, (ow_dim[]){s.dim, b.dim, pitch}, reshape);
}

static bool settle_dense(ow_operand *o, const ow_view *view, const ow_part parts[4], bool reshape) {
  if (!ow_dim_is(view->offset, 0))
    return false;
  const ow_dim whole = ow_shape_count(view->dims, &view->base->type.shape, 0, view->base->type.shape.rank);
  o->offset = 0;
  for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
    ow_dim dims[4], count;
    for (int a = 0; a < 4; a++)
      dims[a] = parts[axis_of(orders[i][a])].dim;
    if (is_dense(view->dims, parts, orders[i], &count) && ow_dim_equal(count, whole) &&
        settle(o, view, orders[i], 4, dims, reshape))
      return true;
  }
  return false;
}

/* The axes of a product operand, brought to rank 4. */
static bool split_heads(ow_view *view, const ow_operand_want *want) {
  if (view->rank != 3)
    return ow_view_pad(view, 4);
  ow_dim dims[4];
  for (int32_t d = 1; d < 3; d++) {
    ow_dim product = ow_dim_const(1);
    for (int32_t i = 0; i < view->axes[d].count; i++)
      product = ow_dim_mul(view->dims, product, view->axes[d].parts[i].dim);
    dims[d + 1] = product;
  }
  ow_dim joined = ow_dim_const(1);
  for (int32_t i = 0; i < view->axes[0].count; i++)
    joined = ow_dim_mul(view->dims, joined, view->axes[0].parts[i].dim);
  dims[1] = ow_dim_const(want->heads);
  return ow_dim_divides(view->dims, joined, dims[1], &dims[0]) && ow_view_reshape(view, dims, 4);
}

/* H of K and V: heads in memory, each repeated. */
static bool split_repeats(ow_view *view, int32_t axis, bool allowed) {
  ow_view_axis *const a = &view->axes[axis];
  int32_t real = a->count;
  while (real > 0 && ow_dim_is(a->parts[real - 1].stride, 0))
    real--;
  if (real == a->count)
    return true;
  a->count = real;
  return allowed;
}

static bool match_view(ow_view *view, const ow_operand_want *want, ow_operand *o) {
  ow_part parts[4];
  if (!split_heads(view, want))
    return false;
  for (int32_t d = 0; d < 4; d++) {
    const int axis = axis_of(want->letters[d]);
    if (axis == OW_AXIS_H && !split_repeats(view, d, want->repeated))
      return false;
    if (!ow_view_single(view, d, &parts[axis]))
      return false;
    o->dims[axis] = parts[axis].dim;
  }
  o->scale = view->scale;
  return settle_rows(o, view, parts, false) || settle_dense(o, view, parts, false) ||
         settle_rows(o, view, parts, true) || settle_dense(o, view, parts, true);
}

/* The farthest place in the chain that can be read absorbs the most; of those between which only bytes under another shape lie, one
 * that needs no Reshape of its own. */
bool ow_operand_match(ow_dims *dims, ow_value *value, const ow_operand_want *want, ow_operand *operand) {
  ow_value *chain[OW_VIEW_CHAIN];
  bool found = false;
  if (!ow_value_ranked(value) || value->type.shape.rank < 2 || value->type.shape.rank > 4)
    return false;
  for (size_t from = ow_view_chain(value, want->scaled, chain); from-- > 0;) {
    ow_view view;
    ow_operand here = {.value = NULL};
    if (ow_view_of_chain(&view, dims, chain, from) && match_view(&view, want, &here) &&
        (!found || here.reshape.rank < 0)) {
      *operand = here;
      found = true;
    }
    if (found && (operand->reshape.rank < 0 || from == 0 || !ow_view_is_free(chain[from - 1])))
      break;
  }
  return found;
}

int64_t ow_operand_heads(ow_dims *dims, ow_value *value) {
  ow_value *chain[OW_VIEW_CHAIN];
  for (size_t from = ow_view_chain(value, true, chain); from-- > 1;) {
    ow_view view;
    if (!ow_view_of_chain(&view, dims, chain, from) || view.rank != 3 || view.axes[0].count < 2)
      continue;
    ow_dim heads = ow_dim_const(1); /* H is what follows the first part, repeats included */
    for (int32_t i = 1; i < view.axes[0].count; i++)
      heads = ow_dim_mul(dims, heads, view.axes[0].parts[i].dim);
    if (ow_dim_is_const(heads))
      return heads.k;
  }
  return 1;
}

/* ---- the result ------------------------------------------------------------------------------------------------------------ */

/* The letters of all parts in order, each once. false: something else than a permutation. */
static bool read_order(const ow_view *view, const ow_dim extents[4], char order[5]) {
  ow_dim seen[4] = {ow_dim_const(1), ow_dim_const(1), ow_dim_const(1), ow_dim_const(1)};
  size_t length = 0;
  ow_part last = {.letter = 0};
  for (int32_t d = 0; d < view->rank; d++)
    for (int32_t i = 0; i < view->axes[d].count; i++) {
      const ow_part part = view->axes[d].parts[i];
      const int axis = axis_of(part.letter);
      if (part.letter == last.letter) {
        if (!ow_dim_equal(last.stride, ow_dim_mul(view->dims, part.stride, part.dim)))
          return false;
      } else if (!ow_dim_is(seen[axis], 1) || length == 4) {
        return false;
      } else {
        order[length++] = part.letter;
      }
      seen[axis] = ow_dim_mul(view->dims, seen[axis], part.dim);
      last = part;
    }
  for (int axis = 0; axis < 4; axis++)
    if (!ow_dim_equal(seen[axis], extents[axis]))
      return false;
  order[length] = '\0';
  return true;
}

/* Letters of extent 1 are in no part: put them where they make a common order. */
static void complete_order(char order[5]) {
  for (const char *letter = "BSHD"; *letter; letter++) {
    if (strchr(order, *letter))
      continue;
    const size_t length = strlen(order);
    const size_t at = *letter == 'D'   ? length
                      : *letter == 'H' ? (length && order[length - 1] == 'D' ? length - 1 : length)
                                       : 0;
    memmove(order + at + 1, order + at, length - at + 1);
    order[at] = *letter;
  }
}

static bool choose_shape(ow_dims *dims, const ow_dim extents[4], ow_place *place) {
  const ow_shape *const shape = &place->value->type.shape;
  ow_dim plain[4], merged[3];
  for (int i = 0; i < 4; i++)
    plain[i] = extents[axis_of(place->order[i])];
  const bool mergeable = place->order[2] == 'H' && place->order[3] == 'D';
  merged[0] = plain[0];
  merged[1] = plain[1];
  merged[2] = ow_dim_mul(dims, plain[2], plain[3]);
  place->reshape.rank = -1;
  place->merged = false;
  if (same_dims(shape, 4, plain))
    return true;
  if (mergeable && same_dims(shape, 3, merged)) {
    place->merged = true;
    return true;
  }
  place->merged = mergeable && shape->rank > 0 && ow_dim_equal(shape->dims[shape->rank - 1], merged[2]);
  place->reshape = *shape;
  return ow_dims_computable(dims, shape->dims, shape->rank);
}

/* value is [B,H,S,D], [B*H,S,D] or [S,D]: as a view of a dense tensor of order BHSD. */
static bool start_place(ow_view *view, ow_dims *dims, ow_value *value, const ow_dim extents[4]) {
  const char letters[] = "BHSD";
  ow_dim stride = ow_dim_const(1);
  *view = (ow_view){.dims = dims, .base = value, .offset = ow_dim_const(0), .scale = 1.0, .rank = 4};
  for (int d = 3; d >= 0; d--) {
    const ow_dim dim = extents[axis_of(letters[d])];
    if (ow_dim_is(dim, 1))
      continue;
    view->axes[d].count = 1;
    view->axes[d].parts[0] = (ow_part){dim, stride, letters[d]};
    stride = ow_dim_mul(dims, stride, dim);
  }
  return ow_view_reshape(view, value->type.shape.dims, value->type.shape.rank);
}

size_t ow_places_match(ow_dims *dims, ow_value *value, const ow_dim extents[4], ow_place places[OW_PLACES]) {
  size_t count = 0;
  ow_view view;
  if (!ow_value_ranked(value) || !start_place(&view, dims, value, extents))
    return 0;
  for (int step = 0; step < OW_VIEW_CHAIN && count < OW_PLACES; step++) {
    ow_place *const place = &places[count];
    place->value = value;
    if (read_order(&view, extents, place->order)) {
      complete_order(place->order);
      count += choose_shape(dims, extents, place);
    }
    const ow_node *const next = ow_match_only_user(value);
    if (!next || next->output_count != 1 || !next->outputs[0] || ow_view_source(next->outputs[0], false) != value ||
        ow_node_is(next, "Expand") || ow_node_is(next, "Slice") || ow_node_is(next, "Gather") ||
        ow_node_is(next, "Split") || !ow_view_apply(&view, next->outputs[0]))
      break;
    value = next->outputs[0];
  }
  return count;
}

/* ---- masks ------------------------------------------------------------------------------------------------------------------ */

static bool match_mask_view(ow_graph *graph, ow_view *view, const ow_mask *mask, const ow_dim scores[4],
                            ow_mask_place *place) {
  if (view->rank > mask->scores.rank || mask->scores.rank > 4)
    return false;
  if (mask->scores.rank == 3 && view->rank == 3 && view->axes[0].count > 0) {
    ow_dim dims[4] = {scores[0], scores[1], ow_dim_const(1), ow_dim_const(1)};
    for (int32_t d = 1; d < 3; d++)
      for (int32_t i = 0; i < view->axes[d].count; i++)
        dims[d + 1] = ow_dim_mul(view->dims, dims[d + 1], view->axes[d].parts[i].dim);
    if (!ow_view_reshape(view, dims, 4))
      return false;
  } else if (!ow_view_pad(view, 4)) {
    return false;
  }
  ow_dim shape[4], stride = ow_dim_const(1);
  for (int32_t d = 3; d >= 0; d--) {
    ow_part part;
    if (!ow_view_single(view, d, &part))
      return false;
    shape[d] = ow_dim_is(part.stride, 0) ? ow_dim_const(1) : part.dim;
    if (!is_natural((ow_part){shape[d], part.stride, 0}, stride) ||
        (!ow_dim_is(shape[d], 1) && !ow_dims_agree(graph, shape[d], scores[d])))
      return false;
    stride = ow_dim_mul(view->dims, stride, shape[d]);
  }
  const ow_shape *const base = &view->base->type.shape;
  if (!ow_dim_is(view->offset, 0) || !ow_dim_equal(stride, ow_shape_count(view->dims, base, 0, base->rank)))
    return false;
  place->value = view->base;
  place->reshape.rank = -1;
  for (int32_t d = 0; d < 4; d++) {
    const int32_t own = d - (4 - base->rank);
    const ow_dim have = own >= 0 && own < base->rank ? base->dims[own] : ow_dim_const(1);
    if (base->rank > 4 || !ow_dim_equal(have, shape[d]))
      place->reshape.rank = 4;
    place->reshape.dims[d] = shape[d];
  }
  return place->reshape.rank < 0 || ow_dims_computable(view->dims, shape, 4);
}

bool ow_mask_match(ow_graph *graph, const ow_mask *mask, const ow_dim scores[4], ow_mask_place *place) {
  ow_value *chain[OW_VIEW_CHAIN];
  if (!ow_value_ranked(mask->value))
    return false;
  bool found = false;
  for (size_t from = ow_view_chain(mask->value, false, chain); from-- > 0;) {
    ow_view view;
    ow_mask_place here = {.value = NULL};
    if (ow_view_of_chain(&view, graph->dims, chain, from) && match_mask_view(graph, &view, mask, scores, &here) &&
        (!found || here.reshape.rank < 0)) {
      *place = here;
      found = true;
    }
    if (found && (place->reshape.rank < 0 || from == 0 || !ow_view_is_free(chain[from - 1])))
      break;
  }
  return found;
}
