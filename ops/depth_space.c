/* DepthToSpace and SpaceToDepth: channels to blocks of pixels and back. */
#include <inttypes.h>

#include "ops/op_help.h"

static onward_status check(ow_infer *c, int64_t *block) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_rank(c, 0, 4, 4));
  *block = ow_node_int(c->node, "blocksize", 0);
  if (*block < 1 || *block > INT32_MAX)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'blocksize' is %" PRId64, *block);
  const char *mode = ow_node_string(c->node, "mode", "DCR");
  if (strcmp(mode, "DCR") != 0 && strcmp(mode, "CRD") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'mode': want DCR or CRD, got '%s'", mode);
  return ONWARD_OK;
}

static onward_status infer_depth_to_space(ow_infer *c) {
  int64_t block;
  OW_TRY(check(c, &block));
  const ow_shape *in = &c->in[0].shape;
  const ow_dim unknown = ow_dim_unknown(), by = ow_dim_const(block);
  if (in->rank < 0)
    return ow_infer_unknown(c, 0, c->in[0].dtype, 4, (const ow_dim[]){unknown, unknown, unknown, unknown});
  if (ow_dim_is_const(in->dims[1]) && in->dims[1].k % (block * block) != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%" PRId64 " channels do not make blocks of %" PRId64, in->dims[1].k, block);
  return ow_infer_set(c, 0, c->in[0].dtype, 4,
                      (const ow_dim[]){in->dims[0], ow_dim_floordiv(c->dims, in->dims[1], ow_dim_const(block * block)),
                                       ow_dim_mul(c->dims, in->dims[2], by), ow_dim_mul(c->dims, in->dims[3], by)});
}

static onward_status infer_space_to_depth(ow_infer *c) {
  int64_t block;
  OW_TRY(check(c, &block));
  const ow_shape *in = &c->in[0].shape;
  const ow_dim unknown = ow_dim_unknown(), by = ow_dim_const(block);
  if (in->rank < 0)
    return ow_infer_unknown(c, 0, c->in[0].dtype, 4, (const ow_dim[]){unknown, unknown, unknown, unknown});
  for (int32_t d = 2; d < 4; d++)
    if (ow_dim_is_const(in->dims[d]) && in->dims[d].k % block != 0)
      return ow_infer_fail(c, ONWARD_MODEL, "axis %d of %" PRId64 " does not make blocks of %" PRId64, (int)d,
                           in->dims[d].k, block);
  return ow_infer_set(
      c, 0, c->in[0].dtype, 4,
      (const ow_dim[]){in->dims[0], ow_dim_mul(c->dims, in->dims[1], ow_dim_const(block * block)),
                       ow_dim_floordiv(c->dims, in->dims[2], by), ow_dim_floordiv(c->dims, in->dims[3], by)});
}

/* The input seen as six axes, and the order they take in the output. */
static void permute(const ow_args *a, const int64_t split[6], const int perm[6]) {
  int64_t own[6], dims[6], from[6], to[6];
  ow_strides(6, split, own);
  for (int d = 0; d < 6; d++) {
    dims[d] = split[perm[d]];
    from[d] = own[perm[d]];
  }
  ow_strides(6, dims, to);
  ow_copy_strided(a->out[0]->data, to, a->in[0]->data, from, 6, dims, ow_dtype_size(a->in[0]->dtype), a->threads);
}

/* DCR: the place in a block is the slow part of a channel; CRD: the fast one. */
static bool block_first(const ow_node *node) { return strcmp(ow_node_string(node, "mode", "DCR"), "DCR") == 0; }

static onward_status run_depth_to_space(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const int64_t *d = a->in[0]->dims, b = ow_node_int(a->node, "blocksize", 1), c = d[1] / (b * b);
  if (block_first(a->node))
    permute(a, (const int64_t[]){d[0], b, b, c, d[2], d[3]}, (const int[]){0, 3, 4, 1, 5, 2});
  else
    permute(a, (const int64_t[]){d[0], c, b, b, d[2], d[3]}, (const int[]){0, 1, 4, 2, 5, 3});
  return ONWARD_OK;
}

static onward_status run_space_to_depth(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const int64_t *d = a->in[0]->dims, b = ow_node_int(a->node, "blocksize", 1);
  const int64_t split[] = {d[0], d[1], d[2] / b, b, d[3] / b, b};
  permute(a, split, block_first(a->node) ? (const int[]){0, 3, 5, 1, 2, 4} : (const int[]){0, 1, 3, 5, 2, 4});
  return ONWARD_OK;
}

static const ow_kernel depth_to_space_reference = {
    .name = "depth_to_space_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_depth_to_space};
static const ow_kernel space_to_depth_reference = {
    .name = "space_to_depth_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_space_to_depth};
static const ow_kernel *const depth_to_space_kernels[] = {&depth_to_space_reference, NULL};
static const ow_kernel *const space_to_depth_kernels[] = {&space_to_depth_reference, NULL};
static const ow_attr_spec block_attrs[] = {{"blocksize", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec block_mode_attrs[] = {
    {"blocksize", OW_ATTR_INT, true}, {"mode", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, spec, id)                                                                           \
  {                                                                                                           \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .infer = infer_##id, .kernels = id##_kernels                             \
  }

const ow_op ow_ops_depth_space[] = {
    ROW("DepthToSpace", 1, 10, block_attrs, depth_to_space),
    ROW("DepthToSpace", 11, 0, block_mode_attrs, depth_to_space),
    ROW("SpaceToDepth", 1, 27, block_attrs, space_to_depth),
    ROW("SpaceToDepth", 28, 0, block_mode_attrs, space_to_depth),
    {.name = NULL},
};
