/* AffineGrid: theta [N, 2, 3] or [N, 3, 4] applied to the positions of an image of size (N, C, H, W) or a volume (N, C, D, H, W);
 * positions lie in [-1, 1], x first. */
#include "ops/reference.h"

static onward_status affine_grid_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 0, 3, 3));
  OW_TRY(ow_infer_rank(c, 1, 1, 1));
  size_t count;
  const ow_dim *size = ow_infer_elems(c, 1, &count);
  const ow_shape *theta = &c->in[0].shape;
  if (!size) {
    const ow_dim *length = ow_infer_ranked(c, 1) ? &c->in[1].shape.dims[0] : NULL;
    ow_dim dims[5];
    for (int i = 0; i < 5; i++)
      dims[i] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, length && ow_dim_is_const(*length) ? (int32_t)length->k : -1, dims);
  }
  if (count != 4 && count != 5)
    return ow_infer_fail(c, ONWARD_MODEL, "'size' has %zu elements, want 4 or 5", count);
  const int32_t space = (int32_t)count - 2;
  if (theta->rank == 3) {
    OW_TRY(ow_infer_equal(c, theta->dims[0], size[0], "the batch of theta and size"));
    OW_TRY(ow_infer_equal(c, theta->dims[1], ow_dim_const(space), "rows of theta"));
    OW_TRY(ow_infer_equal(c, theta->dims[2], ow_dim_const(space + 1), "columns of theta"));
  }
  ow_dim dims[5] = {size[0]};
  for (int32_t i = 0; i < space; i++) {
    dims[i + 1] = size[i + 2];
    if (ow_dim_is_const(size[i + 2]) && size[i + 2].k < 0)
      return ow_infer_fail(c, ONWARD_DATA, "an extent of %lld", (long long)size[i + 2].k);
  }
  dims[space + 1] = ow_dim_const(space);
  return ow_infer_set(c, 0, c->in[0].dtype, (int32_t)count, dims);
}

static double affine_grid_place(int64_t i, int64_t extent, bool align_corners) {
  if (align_corners)
    return extent > 1 ? 2.0 * (double)i / (double)(extent - 1) - 1.0 : -1.0;
  return (2.0 * (double)i + 1.0) / (double)extent - 1.0;
}

static onward_status affine_grid_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *theta = a->in[0], *out = a->out[0];
  const int32_t space = out->rank - 2;
  const bool align = ow_node_int(a->node, "align_corners", 0) != 0;
  const int64_t points = ow_dims_product(out->dims, 1, space + 1), total = ow_count(out) / space;
  for (int64_t n = 0; n < total; n++) {
    double at[4] = {1, 1, 1, 1}; /* x, y, (z), 1 */
    int64_t rest = n % points;
    for (int32_t k = 0; k < space; k++) {
      const int64_t extent = out->dims[space - k];
      at[k] = affine_grid_place(rest % extent, extent, align);
      rest /= extent;
    }
    for (int32_t row = 0; row < space; row++) {
      double sum = 0;
      for (int32_t k = 0; k <= space; k++)
        sum += ow_load(theta->dtype, theta->data, ((n / points * space) + row) * (space + 1) + k) *
               (k == space ? 1.0 : at[k]);
      ow_store(out->dtype, out->data, n * space + row, sum);
    }
  }
  return ONWARD_OK;
}

static const ow_kernel affine_grid_reference = {
    .name = "affine_grid_reference", .flags = OW_KERNEL_UNALIGNED, .run = affine_grid_run};
static const ow_kernel *const affine_grid_kernels[] = {&affine_grid_reference, NULL};
static const ow_attr_spec affine_grid_attrs[] = {{"align_corners", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_affine_grid[] = {{.domain = "",
                                     .name = "AffineGrid",
                                     .since = 20,
                                     .min_inputs = 2,
                                     .max_inputs = 2,
                                     .min_outputs = 1,
                                     .max_outputs = 1,
                                     .attrs = affine_grid_attrs,
                                     .infer = affine_grid_infer,
                                     .kernels = affine_grid_kernels},
                                    {.name = NULL}};
