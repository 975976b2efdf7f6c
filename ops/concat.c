/* Concat and Split along one axis. */
#include <inttypes.h>

#include "ops/op_help.h"

/* ---- Concat -------------------------------------------------------------------------------------------------------------- */

/* All inputs have elements: their blocks of [axis, rank) follow each other for every index before the axis. */
static onward_status concat_elems(ow_infer *c, int32_t axis) {
  const ow_shape *out = &c->out[0].shape;
  const int64_t total = ow_small_count(out);
  if (total < 0)
    return ONWARD_OK;
  ow_dim *result = ow_infer_alloc_elems(c, (size_t)total);
  if (!result)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  int64_t outer = 1, row = 1, start = 0;
  for (int32_t d = 0; d < out->rank; d++)
    *(d < axis ? &outer : &row) *= out->dims[d].k;
  for (size_t i = 0; i < c->in_count; i++) {
    size_t count;
    const ow_dim *elems = ow_infer_elems(c, i, &count);
    if (!elems)
      return ONWARD_OK;
    const int64_t block = outer ? (int64_t)count / outer : 0;
    for (int64_t o = 0; o < outer; o++)
      for (int64_t n = 0; n < block; n++)
        result[o * row + start + n] = elems[o * block + n];
    start += block;
  }
  return ow_infer_set_elems(c, 0, result, (size_t)total);
}

static onward_status infer_concat(ow_infer *c) {
  int32_t rank = -1;
  for (size_t i = 0; i < c->in_count; i++) {
    if (!ow_infer_has(c, i))
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu is left out", i);
    OW_TRY(ow_infer_types(c, i, OW_TYPES_MOVABLE));
    if (rank < 0)
      rank = c->in[i].shape.rank;
    else
      OW_TRY(ow_infer_rank(c, i, rank, rank));
  }
  OW_TRY(ow_infer_alike(c, 0, c->in_count));
  if (rank < 0)
    return ow_infer_unknown(c, 0, c->in[0].dtype, -1, NULL);
  if (rank == 0)
    return ow_infer_fail(c, ONWARD_MODEL, "scalars have no axis to join along");
  int32_t axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 1), rank, &axis));
  ow_dim dims[ONWARD_MAX_RANK], sum = ow_dim_const(0);
  bool unknown = false, first = true;
  for (size_t i = 0; i < c->in_count; i++) {
    const ow_shape *s = &c->in[i].shape;
    if (s->rank < 0) {
      unknown = true;
      continue;
    }
    for (int32_t d = 0; d < rank; d++) {
      if (first)
        dims[d] = s->dims[d];
      else if (d != axis) {
        OW_TRY(ow_infer_equal(c, dims[d], s->dims[d], "an axis that is not joined"));
        if (ow_dim_is_const(s->dims[d]))
          dims[d] = s->dims[d];
      }
    }
    sum = ow_dim_add(c->dims, sum, s->dims[axis]);
    first = false;
  }
  dims[axis] = unknown ? ow_dim_unknown() : sum;
  if (unknown)
    return ow_infer_unknown(c, 0, c->in[0].dtype, rank, dims);
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, rank, dims));
  return concat_elems(c, axis);
}

static onward_status run_concat(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *out = a->out[0];
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", 1), out->rank);
  const size_t size = ow_dtype_size(out->dtype);
  const int64_t outer = ow_dims_product(out->dims, 0, axis), row = ow_dims_product(out->dims, axis, out->rank);
  char *to = out->data;
  for (size_t i = 0; i < a->in_count; i++) {
    const int64_t block = ow_dims_product(a->in[i]->dims, axis, out->rank);
    ow_copy_strided(to, (const int64_t[]){row, 1}, a->in[i]->data, (const int64_t[]){block, 1}, 2,
                    (const int64_t[]){outer, block}, size, a->threads);
    if (outer > 0 && block > 0)
      to += block * (int64_t)size;
  }
  return ONWARD_OK;
}

/* ---- Split --------------------------------------------------------------------------------------------------------------- */

static onward_status split_elems(ow_infer *c, const int64_t *sizes) {
  size_t count;
  const ow_dim *elems = ow_infer_elems(c, 0, &count);
  if (!elems || c->in[0].shape.rank != 1)
    return ONWARD_OK;
  for (size_t i = 0, start = 0; i < c->out_count; i++) {
    OW_TRY(ow_infer_set_elems(c, i, elems + start, (size_t)sizes[i]));
    start += (size_t)sizes[i];
  }
  return ONWARD_OK;
}

static onward_status set_parts(ow_infer *c, const ow_shape *in, int32_t axis, const ow_dim *parts, const ow_dim *last) {
  ow_shape shape = *in;
  for (size_t i = 0; i < c->out_count; i++) {
    shape.dims[axis] = last && i + 1 == c->out_count ? *last : parts[last ? 0 : i];
    OW_TRY(ow_infer_set(c, i, c->in[0].dtype, shape.rank, shape.dims));
  }
  return ONWARD_OK;
}

static onward_status split_equally(ow_infer *c, const ow_shape *in, int32_t axis) {
  const int64_t n = (int64_t)c->out_count;
  const ow_attr *num_outputs = ow_node_attr(c->node, "num_outputs");
  if (num_outputs && num_outputs->i != n)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'num_outputs' is %" PRId64 ", the node has %" PRId64 " outputs",
                         num_outputs->i, n);
  const ow_dim extent = in->dims[axis], parts = ow_dim_const(n);
  ow_dim part, last;
  if (ow_dim_is_const(extent)) {
    if (!num_outputs && extent.k % n != 0)
      return ow_infer_fail(c, ONWARD_MODEL, "an axis of %" PRId64 " does not split into %" PRId64 " equal parts",
                           extent.k, n);
    /* The last part may be smaller; more parts than elements leave some empty. */
    const int64_t whole = (extent.k + n - 1) / n, rest = extent.k - whole * (n - 1);
    if (rest < 0)
      return ow_infer_fail(c, ONWARD_MODEL, "an axis of %" PRId64 " does not split into %" PRId64 " parts", extent.k,
                           n);
    part = ow_dim_const(whole);
    last = ow_dim_const(rest);
  } else {
    part = num_outputs ? ow_dim_ceildiv(c->dims, extent, parts) : ow_dim_floordiv(c->dims, extent, parts);
    last = num_outputs ? ow_dim_sub(c->dims, extent, ow_dim_mul(c->dims, part, ow_dim_const(n - 1))) : part;
  }
  return set_parts(c, in, axis, &part, &last);
}

static onward_status infer_split(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  const ow_shape *in = &c->in[0].shape;
  const onward_dtype dtype = c->in[0].dtype;
  if (in->rank < 0) {
    for (size_t i = 0; i < c->out_count; i++)
      OW_TRY(ow_infer_unknown(c, i, dtype, -1, NULL));
    return ONWARD_OK;
  }
  if (c->out_count > OW_MAX_ELEMS)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%zu outputs; at most %d", c->out_count, OW_MAX_ELEMS);
  int32_t axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 0), in->rank, &axis));
  const ow_attr *attr = ow_node_attr(c->node, "split");
  if (!attr && !ow_infer_has(c, 1))
    return split_equally(c, in, axis);
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 1, 1, 1));
  size_t count = attr ? attr->count : 0;
  const ow_dim *parts = NULL;
  if (attr) {
    ow_dim *copy = ow_infer_alloc_elems(c, count);
    if (!copy)
      return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
      copy[i] = ow_dim_const(attr->ints[i]);
    parts = copy;
  } else {
    parts = ow_infer_elems(c, 1, &count);
  }
  if (!parts) {
    ow_shape shape = *in;
    shape.dims[axis] = ow_dim_unknown();
    for (size_t i = 0; i < c->out_count; i++)
      OW_TRY(ow_infer_unknown(c, i, dtype, shape.rank, shape.dims));
    return ONWARD_OK;
  }
  if (count != c->out_count)
    return ow_infer_fail(c, ONWARD_MODEL, "'split' has %zu parts, the node %zu outputs", count, c->out_count);
  ow_dim sum = ow_dim_const(0);
  for (size_t i = 0; i < count; i++) {
    if (ow_dim_is_const(parts[i]) && parts[i].k < 0)
      return ow_infer_fail(c, ONWARD_MODEL, "'split' has a part of %" PRId64, parts[i].k);
    sum = ow_dim_add(c->dims, sum, parts[i]);
  }
  OW_TRY(ow_infer_equal(c, in->dims[axis], sum, "the axis and the sum of 'split'"));
  OW_TRY(set_parts(c, in, axis, parts, NULL));
  int64_t sizes[OW_MAX_ELEMS];
  for (size_t i = 0; i < count; i++) {
    if (!ow_dim_is_const(parts[i]))
      return ONWARD_OK;
    sizes[i] = parts[i].k;
  }
  return split_elems(c, sizes);
}

static onward_status infer_split_with_elems(ow_infer *c) {
  OW_TRY(infer_split(c));
  if (!ow_infer_ranked(c, 0) || c->in[0].shape.rank != 1 || ow_node_attr(c->node, "split") || ow_infer_has(c, 1))
    return ONWARD_OK;
  int64_t sizes[OW_MAX_ELEMS];
  for (size_t i = 0; i < c->out_count; i++) {
    if (!ow_dim_is_const(c->out[i].shape.dims[0]))
      return ONWARD_OK;
    sizes[i] = c->out[i].shape.dims[0].k;
  }
  return split_elems(c, sizes);
}

static onward_status run_split(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *in = a->in[0];
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", 0), in->rank);
  const size_t size = ow_dtype_size(in->dtype);
  const int64_t outer = ow_dims_product(in->dims, 0, axis), row = ow_dims_product(in->dims, axis, in->rank);
  const int64_t inner = ow_dims_product(in->dims, axis + 1, in->rank);
  /* Outputs that nobody wants have no tensor: their part is what the specification gives them. */
  int64_t sizes[OW_MAX_ELEMS];
  const int64_t given = ow_args_ints(a, "split", 1, sizes, OW_MAX_ELEMS);
  const int64_t equal = (in->dims[axis] + (int64_t)a->out_count - 1) / (int64_t)a->out_count;
  const char *from = in->data;
  for (size_t i = 0; i < a->out_count; i++) {
    const onward_tensor *out = a->out[i];
    const int64_t block = (out ? out->dims[axis] : given >= 0 ? sizes[i] : equal) * inner;
    if (out)
      ow_copy_strided(out->data, (const int64_t[]){block, 1}, from, (const int64_t[]){row, 1}, 2,
                      (const int64_t[]){outer, block}, size, a->threads);
    if (outer > 0 && block > 0)
      from += block * (int64_t)size;
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel concat_reference = {.name = "concat_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_concat};
static const ow_kernel split_reference = {.name = "split_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_split};
static const ow_kernel *const concat_kernels[] = {&concat_reference, NULL};
static const ow_kernel *const split_kernels[] = {&split_reference, NULL};

static const ow_attr_spec axis_attrs[] = {{"axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec axis_required_attrs[] = {{"axis", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec split_2_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"split", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec split_18_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"num_outputs", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define CONCAT(from, to, spec)                                                                               \
  {                                                                                                          \
    .domain = "", .name = "Concat", .since = from, .until = to, .min_inputs = 1, .max_inputs = OW_ANY_COUNT, \
    .min_outputs = 1, .max_outputs = 1, .attrs = spec, .infer = infer_concat, .kernels = concat_kernels      \
  }
#define SPLIT(from, to, inputs, spec)                                                                 \
  {                                                                                                   \
    .domain = "", .name = "Split", .since = from, .until = to, .min_inputs = 1, .max_inputs = inputs, \
    .min_outputs = 1, .max_outputs = OW_ANY_COUNT, .attrs = spec, .infer = infer_split_with_elems,    \
    .kernels = split_kernels                                                                          \
  }

const ow_op ow_ops_concat[] = {
    CONCAT(1, 3, axis_attrs),
    CONCAT(4, 0, axis_required_attrs),
    SPLIT(1, 1, 2, split_2_attrs),
    SPLIT(2, 12, 1, split_2_attrs),
    SPLIT(13, 17, 2, axis_attrs),
    SPLIT(18, 0, 2, split_18_attrs),
    {.name = NULL},
};
