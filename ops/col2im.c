/* Col2Im: columns [N, C * block, L] added back into images [N, C, image...], block and image of 1 or more dims. */
#include "ops/reference.h"

typedef struct col2im_spec {
  int32_t rank;
  int64_t image[ONWARD_MAX_RANK], block[ONWARD_MAX_RANK];
  int64_t stride[ONWARD_MAX_RANK], dilation[ONWARD_MAX_RANK], before[ONWARD_MAX_RANK], after[ONWARD_MAX_RANK];
  int64_t steps[ONWARD_MAX_RANK]; /* places of the block along each dim */
} col2im_spec;

/* An attribute with `count` values, or all `missing`. false: another count, or a value out of [low, INT32_MAX]. */
static bool col2im_attr(const ow_node *node, const char *name, size_t count, int64_t low, int64_t missing,
                        int64_t *out) {
  size_t given;
  const int64_t *values = ow_node_ints(node, name, &given);
  if (values && given != count)
    return false;
  for (size_t i = 0; i < count; i++) {
    out[i] = values ? values[i] : missing;
    if (out[i] < low || out[i] > INT32_MAX)
      return false;
  }
  return true;
}

/* image, block and rank are filled in. false: an attribute is wrong, or the block does not fit the image. */
static bool col2im_places(const ow_node *node, col2im_spec *s) {
  int64_t pads[2 * ONWARD_MAX_RANK];
  const size_t rank = (size_t)s->rank;
  if (!col2im_attr(node, "strides", rank, 1, 1, s->stride) ||
      !col2im_attr(node, "dilations", rank, 1, 1, s->dilation) || !col2im_attr(node, "pads", 2 * rank, 0, 0, pads))
    return false;
  for (size_t i = 0; i < rank; i++) {
    s->before[i] = pads[i];
    s->after[i] = pads[rank + i];
    if (s->image[i] < 1 || s->image[i] > INT32_MAX || s->block[i] < 1 || s->block[i] > INT32_MAX)
      return false;
    const int64_t spare = s->image[i] + pads[i] + pads[rank + i] - (s->dilation[i] * (s->block[i] - 1) + 1);
    if (spare < 0)
      return false;
    s->steps[i] = spare / s->stride[i] + 1;
  }
  return true;
}

static onward_status col2im_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC));
  OW_TRY(ow_infer_rank(c, 0, 3, 3));
  for (size_t i = 1; i < 3; i++) {
    OW_TRY(ow_infer_types(c, i, OW_BIT(ONWARD_INT64)));
    OW_TRY(ow_infer_rank(c, i, 1, 1));
  }
  col2im_spec s;
  const int64_t images = ow_infer_ints(c, 1, s.image, ONWARD_MAX_RANK - 2);
  const int64_t blocks = ow_infer_ints(c, 2, s.block, ONWARD_MAX_RANK - 2);
  const ow_shape *in = &c->in[0].shape;
  if (images < 0 || blocks < 0 || in->rank < 0) {
    const ow_dim *length = ow_infer_ranked(c, 1) ? &c->in[1].shape.dims[0] : NULL;
    ow_dim dims[ONWARD_MAX_RANK];
    for (int i = 0; i < ONWARD_MAX_RANK; i++)
      dims[i] = ow_dim_unknown();
    const bool ranked = length && ow_dim_is_const(*length) && length->k <= ONWARD_MAX_RANK - 2;
    return ow_infer_unknown(c, 0, c->in[0].dtype, ranked ? (int32_t)length->k + 2 : -1, dims);
  }
  s.rank = (int32_t)images;
  if (images != blocks || images < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "an image of %lld dims and a block of %lld", (long long)images,
                         (long long)blocks);
  if (!col2im_places(c->node, &s))
    return ow_infer_fail(c, ONWARD_DATA, "image, block, strides, pads and dilations do not fit");
  int64_t block = 1, steps = 1;
  for (int32_t i = 0; i < s.rank; i++) {
    if (__builtin_mul_overflow(block, s.block[i], &block) || __builtin_mul_overflow(steps, s.steps[i], &steps))
      return ow_infer_fail(c, ONWARD_LIMIT, "image or block is too large");
  }
  OW_TRY(ow_infer_equal(c, in->dims[2], ow_dim_const(steps), "columns and places of the block"));
  if (ow_dim_is_const(in->dims[1]) && in->dims[1].k % block != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld rows are no multiple of a block of %lld", (long long)in->dims[1].k,
                         (long long)block);
  ow_dim dims[ONWARD_MAX_RANK] = {in->dims[0], ow_dim_floordiv(c->dims, in->dims[1], ow_dim_const(block))};
  for (int32_t i = 0; i < s.rank; i++)
    dims[i + 2] = ow_dim_const(s.image[i]);
  return ow_infer_set(c, 0, c->in[0].dtype, s.rank + 2, dims);
}

static void col2im_add(const onward_tensor *out, int64_t to, const onward_tensor *in, int64_t from) {
  if (ow_is_int(out->dtype))
    ow_set_i64(out->dtype, out->data, to,
               ow_wrap_add(ow_get_i64(out->dtype, out->data, to), ow_get_i64(in->dtype, in->data, from)));
  else
    ow_store(out->dtype, out->data, to, ow_load(out->dtype, out->data, to) + ow_load(in->dtype, in->data, from));
}

static onward_status col2im_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *in = a->in[0], *out = a->out[0];
  col2im_spec s = {.rank = out->rank - 2};
  int64_t block = 1;
  for (int32_t i = 0; i < s.rank; i++) {
    s.image[i] = out->dims[i + 2];
    s.block[i] = ow_index_at(a->in[2], i);
    block *= s.block[i];
  }
  if (!col2im_places(a->node, &s))
    return ow_node_fail(a->node, err, ONWARD_DATA, "image, block, strides, pads and dilations do not fit");
  if (out->bytes > 0)
    memset(out->data, 0, out->bytes);
  const int64_t columns = in->dims[2], plane = ow_dims_product(out->dims, 2, out->rank);
  for (int64_t row = 0; row < in->dims[0] * in->dims[1]; row++) {
    for (int64_t column = 0; column < columns; column++) {
      int64_t at = 0, scale = 1, within = row % block, step = column;
      bool inside = true;
      for (int32_t i = s.rank - 1; i >= 0; i--) {
        const int64_t k = step % s.steps[i] * s.stride[i] - s.before[i] + within % s.block[i] * s.dilation[i];
        inside &= k >= 0 && k < s.image[i];
        at += k * scale;
        scale *= s.image[i];
        step /= s.steps[i];
        within /= s.block[i];
      }
      if (inside)
        col2im_add(out, row / block * plane + at, in, row * columns + column);
    }
  }
  return ONWARD_OK;
}

static const ow_kernel col2im_reference = {.name = "col2im_reference", .flags = OW_KERNEL_UNALIGNED, .run = col2im_run};
static const ow_kernel *const col2im_kernels[] = {&col2im_reference, NULL};
static const ow_attr_spec col2im_attrs[] = {{"dilations", OW_ATTR_INTS, false},
                                            {"pads", OW_ATTR_INTS, false},
                                            {"strides", OW_ATTR_INTS, false},
                                            {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_col2im[] = {{.domain = "",
                                .name = "Col2Im",
                                .since = 18,
                                .min_inputs = 3,
                                .max_inputs = 3,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = col2im_attrs,
                                .infer = col2im_infer,
                                .kernels = col2im_kernels},
                               {.name = NULL}};
