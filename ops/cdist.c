/* ONNX Runtime's CDist: distances of all rows of a to all rows of b. */
#include "ops/reference.h"

static onward_status cdist_infer(ow_infer *c) {
  const char *metric = ow_node_string(c->node, "metric", "sqeuclidean");
  if (strcmp(metric, "euclidean") != 0 && strcmp(metric, "sqeuclidean") != 0)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "metric '%s' is not implemented", metric);
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 1));
  OW_TRY(ow_infer_rank(c, 0, 2, 2));
  OW_TRY(ow_infer_rank(c, 1, 2, 2));
  if (!ow_infer_ranked(c, 0) || !ow_infer_ranked(c, 1))
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  OW_TRY(ow_infer_equal(c, c->in[0].shape.dims[1], c->in[1].shape.dims[1], "columns of both inputs"));
  const ow_dim dims[2] = {c->in[0].shape.dims[0], c->in[1].shape.dims[0]};
  return ow_infer_set(c, 0, c->in[0].dtype, 2, dims);
}

static onward_status cdist_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *y = a->in[1], *out = a->out[0];
  const int64_t width = x->dims[1], columns = y->dims[0], count = ow_count(out);
  const bool root = strcmp(ow_node_string(a->node, "metric", "sqeuclidean"), "euclidean") == 0;
  for (int64_t i = 0; i < count; i++) {
    double sum = 0.0;
    for (int64_t k = 0; k < width; k++) {
      const double d =
          ow_load(x->dtype, x->data, i / columns * width + k) - ow_load(y->dtype, y->data, i % columns * width + k);
      sum += d * d;
    }
    ow_store(out->dtype, out->data, i, root ? sqrt(sum) : sum);
  }
  return ONWARD_OK;
}

static const ow_kernel cdist_reference = {.name = "cdist_reference", .flags = OW_KERNEL_UNALIGNED, .run = cdist_run};
static const ow_kernel *const cdist_kernels[] = {&cdist_reference, NULL};
static const ow_attr_spec cdist_attrs[] = {{"metric", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_cdist[] = {{.domain = "com.microsoft",
                               .name = "CDist",
                               .since = 1,
                               .min_inputs = 2,
                               .max_inputs = 2,
                               .min_outputs = 1,
                               .max_outputs = 1,
                               .attrs = cdist_attrs,
                               .infer = cdist_infer,
                               .kernels = cdist_kernels},
                              {.name = NULL}};
