/* LpNormalization, MeanVarianceNormalization, LRN. */
#include "ops/reference.h"

/* ---- LpNormalization: divide by the length along one axis; a zero vector stays zero ---------------------------------------- */

static onward_status lpnorm_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  const int64_t p = ow_node_int(c->node, "p", 2);
  if (p != 1 && p != 2)
    return ow_infer_fail(c, ONWARD_MODEL, "p is %lld, want 1 or 2", (long long)p);
  if (ow_infer_ranked(c, 0)) {
    int32_t axis;
    OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", -1), c->in[0].shape.rank, &axis));
  }
  return ow_infer_same(c, 0, 0);
}

static onward_status lpnorm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", -1), x->rank);
  const bool squares = ow_node_int(a->node, "p", 2) == 2;
  const int64_t outer = ow_dims_product(x->dims, 0, axis), n = x->dims[axis],
                inner = ow_dims_product(x->dims, axis + 1, x->rank);
  for (int64_t i = 0; n > 0 && i < outer * inner; i++) {
    const int64_t base = i / inner * n * inner + i % inner;
    double sum = 0.0;
    for (int64_t j = 0; j < n; j++) {
      const double v = ow_load(x->dtype, x->data, base + j * inner);
      sum += squares ? v * v : fabs(v);
    }
    const double length = squares ? sqrt(sum) : sum;
    for (int64_t j = 0; j < n; j++) {
      const double v = ow_load(x->dtype, x->data, base + j * inner);
      ow_store(y->dtype, y->data, base + j * inner, fpclassify(length) == FP_ZERO ? 0.0 : v / length);
    }
  }
  return ONWARD_OK;
}

/* ---- MeanVarianceNormalization: (x - mean) / (deviation + 1e-9) over given axes -------------------------------------------- */

static const int64_t mvn_default_axes[] = {0, 2, 3};

static const int64_t *mvn_axes(const ow_node *node, size_t *count) {
  const int64_t *axes = ow_node_ints(node, "axes", count);
  if (!axes) {
    axes = mvn_default_axes;
    *count = sizeof mvn_default_axes / sizeof mvn_default_axes[0];
  }
  return axes;
}

static onward_status mvn_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  size_t count;
  const int64_t *axes = mvn_axes(c->node, &count);
  for (size_t i = 0; ow_infer_ranked(c, 0) && i < count; i++) {
    int32_t axis;
    OW_TRY(ow_infer_axis(c, axes[i], c->in[0].shape.rank, &axis));
  }
  return ow_infer_same(c, 0, 0);
}

static onward_status mvn_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  size_t axis_count;
  const int64_t *axes = mvn_axes(a->node, &axis_count);
  bool reduced[ONWARD_MAX_RANK] = {false};
  for (size_t i = 0; i < axis_count; i++)
    reduced[ow_axis(axes[i], x->rank)] = true;
  int32_t kept = 0, gone = 0;
  int64_t strides[ONWARD_MAX_RANK], dims[2][ONWARD_MAX_RANK], steps[2][ONWARD_MAX_RANK];
  int64_t kept_index[ONWARD_MAX_RANK] = {0}, base = 0, n = 1;
  ow_strides(x->rank, x->dims, strides);
  for (int32_t d = 0; d < x->rank; d++) {
    const int which = reduced[d];
    int32_t *const at = which ? &gone : &kept;
    dims[which][*at] = x->dims[d];
    steps[which][(*at)++] = strides[d];
    n *= which ? x->dims[d] : 1;
  }
  if (ow_count(x) == 0)
    return ONWARD_OK;
  do {
    int64_t index[ONWARD_MAX_RANK] = {0}, at = base;
    double mean = 0.0, square = 0.0;
    do
      mean += ow_load(x->dtype, x->data, at);
    while (ow_advance(gone, dims[1], index, steps[1], &at));
    mean /= (double)n;
    do {
      const double v = ow_load(x->dtype, x->data, at) - mean;
      square += v * v;
    } while (ow_advance(gone, dims[1], index, steps[1], &at));
    const double deviation = sqrt(square / (double)n) + 1e-9;
    do
      ow_store(y->dtype, y->data, at, (ow_load(x->dtype, x->data, at) - mean) / deviation);
    while (ow_advance(gone, dims[1], index, steps[1], &at));
  } while (ow_advance(kept, dims[0], kept_index, steps[0], &base));
  return ONWARD_OK;
}

/* ---- LRN: divide by a power of the sum of squares of neighbouring channels -------------------------------------------------- */

static onward_status lrn_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  const int64_t size = ow_node_int(c->node, "size", 0);
  if (size < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "size is %lld, want at least 1", (long long)size);
  return ow_infer_same(c, 0, 0);
}

static onward_status lrn_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  const int64_t channels = x->dims[1], n = ow_dims_product(x->dims, 2, x->rank), size = ow_node_int(a->node, "size", 1);
  const int64_t before = (size - 1) / 2, after = size - 1 - before;
  const double alpha = (double)ow_node_float(a->node, "alpha", 1e-4f),
               beta = (double)ow_node_float(a->node, "beta", 0.75f);
  const double bias = (double)ow_node_float(a->node, "bias", 1.0f);
  for (int64_t b = 0; b < x->dims[0]; b++) {
    for (int64_t i = 0; i < channels; i++) {
      const int64_t first = before < i ? i - before : 0, last = after < channels - 1 - i ? i + after : channels - 1;
      for (int64_t j = 0; j < n; j++) {
        double sum = 0.0;
        for (int64_t k = first; k <= last; k++) {
          const double v = ow_load(x->dtype, x->data, (b * channels + k) * n + j);
          sum += v * v;
        }
        const int64_t at = (b * channels + i) * n + j;
        ow_store(y->dtype, y->data, at, ow_load(x->dtype, x->data, at) / pow(bias + alpha / (double)size * sum, beta));
      }
    }
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel lpnorm_reference = {.name = "lpnorm_reference", .flags = OW_KERNEL_UNALIGNED, .run = lpnorm_run};
static const ow_kernel mvn_reference = {.name = "mvn_reference", .flags = OW_KERNEL_UNALIGNED, .run = mvn_run};
static const ow_kernel lrn_reference = {.name = "lrn_reference", .flags = OW_KERNEL_UNALIGNED, .run = lrn_run};
static const ow_kernel *const lpnorm_kernels[] = {&lpnorm_reference, NULL};
static const ow_kernel *const mvn_kernels[] = {&mvn_reference, NULL};
static const ow_kernel *const lrn_kernels[] = {&lrn_reference, NULL};

static const ow_attr_spec lpnorm_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"p", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec mvn_attrs[] = {{"axes", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec lrn_attrs[] = {{"alpha", OW_ATTR_FLOAT, false},
                                         {"beta", OW_ATTR_FLOAT, false},
                                         {"bias", OW_ATTR_FLOAT, false},
                                         {"size", OW_ATTR_INT, true},
                                         {NULL, OW_ATTR_NONE, false}};

#define OTHER_ROW(op, first, stem)                                                                                  \
  {                                                                                                                 \
    .domain = "", .name = op, .since = first, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1, .max_outputs = 1, \
    .attrs = stem##_attrs, .infer = stem##_infer, .kernels = stem##_kernels                                         \
  }

const ow_op ow_ops_norm_other[] = {OTHER_ROW("LpNormalization", 1, lpnorm),
                                   OTHER_ROW("MeanVarianceNormalization", 9, mvn),
                                   OTHER_ROW("LRN", 1, lrn),
                                   {.name = NULL}};
