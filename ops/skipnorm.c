/* A residual sum and its normalization in one: onward::SkipNorm, and ONNX Runtime's SkipLayerNormalization and
 * SkipSimplifiedLayerNormalization. */
#include "ops/cpu/fast.h"
#include "ops/reference.h"

#define NO_SLOT SIZE_MAX

/* Where an operator has its operands. Input 0 is x, 1 the skip, 2 the scale; output 0 the normalized sum. */
typedef struct skipnorm_slots {
  size_t shift;    /* input: bias of the normalization */
  size_t addend;   /* input: added to the sum */
  size_t mean_out; /* outputs */
  size_t inv_out, sum_out;
} skipnorm_slots;

static const skipnorm_slots internal_slots = {3, NO_SLOT, NO_SLOT, NO_SLOT, 1};
static const skipnorm_slots layer_slots = {3, 4, 1, 2, 3};
static const skipnorm_slots simplified_slots = {NO_SLOT, 3, 1, 2, 3};

static onward_status skipnorm_infer_slots(ow_infer *c, const skipnorm_slots *slots) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, c->in_count - 1));
  const ow_shape *x = &c->in[0].shape, *skip = &c->in[1].shape;
  OW_TRY(ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK));
  ow_shape stats = *x;
  if (x->rank >= 0) {
    if (skip->rank > x->rank)
      return ow_infer_fail(c, ONWARD_MODEL, "the skip has rank %d, more than the input's %d", skip->rank, x->rank);
    for (int32_t d = 0; d < skip->rank; d++) {
      if (!ow_dim_is(skip->dims[d], 1))
        OW_TRY(ow_infer_equal(c, skip->dims[d], x->dims[x->rank - skip->rank + d], "a dim of the skip"));
    }
    const ow_dim width = x->dims[x->rank - 1];
    OW_TRY(ow_want_vector(c, 2, width, "length of the scale"));
    OW_TRY(ow_want_vector(c, slots->shift, width, "length of the bias"));
    OW_TRY(ow_want_vector(c, slots->addend, width, "length of the bias"));
    stats.dims[x->rank - 1] = ow_dim_const(1);
  }
  for (size_t i = 0; i < c->out_count; i++) {
    if (i == slots->mean_out || i == slots->inv_out)
      OW_TRY(ow_infer_set(c, i, ONWARD_FLOAT32, stats.rank, stats.dims));
    else
      OW_TRY(ow_infer_same(c, i, 0));
  }
  return ONWARD_OK;
}

static onward_status skipnorm_infer(ow_infer *c) { return skipnorm_infer_slots(c, &internal_slots); }
static onward_status skiplayer_infer(ow_infer *c) { return skipnorm_infer_slots(c, &layer_slots); }
static onward_status skipsimplified_infer(ow_infer *c) { return skipnorm_infer_slots(c, &simplified_slots); }

/* One row of sums. */
static onward_status skipnorm_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_size_mul((size_t)a->in[0]->dims[a->in[0]->rank - 1], sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the last axis is too long");
  return ONWARD_OK;
}

static void skipnorm_rows(const ow_args *a, const skipnorm_slots *slots, bool rms, float default_epsilon) {
  const onward_tensor *x = a->in[0], *skip = a->in[1], *scale = a->in[2];
  const onward_tensor *shift = ow_args_in(a, slots->shift), *addend = ow_args_in(a, slots->addend);
  onward_tensor *y = ow_args_out(a, 0), *sum_out = ow_args_out(a, slots->sum_out);
  onward_tensor *mean_out = ow_args_out(a, slots->mean_out), *inv_out = ow_args_out(a, slots->inv_out);
  const int64_t n = x->dims[x->rank - 1], count = ow_count(x);
  const double epsilon = (double)ow_node_float(a->node, "epsilon", default_epsilon);
  int64_t strides[ONWARD_MAX_RANK], index[ONWARD_MAX_RANK] = {0}, skip_at = 0;
  ow_broadcast_strides(skip->rank, skip->dims, x->rank, strides);
  double *row = a->workspace;
  for (int64_t base = 0; base < count; base += n) {
    double mean = 0.0, square = 0.0;
    for (int64_t j = 0; j < n; j++) {
      row[j] = ow_load(x->dtype, x->data, base + j) + ow_load(skip->dtype, skip->data, skip_at);
      if (addend)
        row[j] += ow_load(addend->dtype, addend->data, j);
      (void)ow_advance(x->rank, x->dims, index, strides, &skip_at);
      mean += row[j];
    }
    mean = rms ? 0.0 : mean / (double)n;
    for (int64_t j = 0; j < n; j++)
      square += (row[j] - mean) * (row[j] - mean);
    const double inv = 1.0 / sqrt(square / (double)n + epsilon);
    for (int64_t j = 0; j < n; j++) {
      const double v = (row[j] - mean) * inv * ow_load(scale->dtype, scale->data, j);
      if (y)
        ow_store(y->dtype, y->data, base + j, shift ? v + ow_load(shift->dtype, shift->data, j) : v);
      if (sum_out)
        ow_store(sum_out->dtype, sum_out->data, base + j, row[j]);
    }
    if (mean_out)
      ow_store(mean_out->dtype, mean_out->data, base / n, mean);
    if (inv_out)
      ow_store(inv_out->dtype, inv_out->data, base / n, inv);
  }
}

static onward_status skipnorm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  skipnorm_rows(a, &internal_slots, ow_node_int(a->node, "rms", 0) != 0, 1e-5f);
  return ONWARD_OK;
}
static onward_status skiplayer_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  skipnorm_rows(a, &layer_slots, false, 1e-12f);
  return ONWARD_OK;
}
static onward_status skipsimplified_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  skipnorm_rows(a, &simplified_slots, true, 1e-12f);
  return ONWARD_OK;
}

#define SKIPNORM_KERNEL(stem)                 \
  static const ow_kernel stem##_reference = { \
      .name = #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = skipnorm_prepare, .run = stem##_run}
SKIPNORM_KERNEL(skipnorm);
SKIPNORM_KERNEL(skiplayer);
SKIPNORM_KERNEL(skipsimplified);
static const ow_kernel *const skipnorm_kernels[] = {OW_FAST_SKIPNORM & skipnorm_reference, NULL};
static const ow_kernel *const skiplayer_kernels[] = {&skiplayer_reference, NULL};
static const ow_kernel *const skipsimplified_kernels[] = {&skipsimplified_reference, NULL};

static const ow_attr_spec skipnorm_attrs[] = {
    {"epsilon", OW_ATTR_FLOAT, false}, {"rms", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec contrib_attrs[] = {{"epsilon", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_skipnorm[] = {{.domain = "onward",
                                  .name = "SkipNorm",
                                  .since = 1,
                                  .min_inputs = 3,
                                  .max_inputs = 4,
                                  .min_outputs = 1,
                                  .max_outputs = 2,
                                  .attrs = skipnorm_attrs,
                                  .infer = skipnorm_infer,
                                  .kernels = skipnorm_kernels},
                                 {.domain = "com.microsoft",
                                  .name = "SkipLayerNormalization",
                                  .since = 1,
                                  .min_inputs = 3,
                                  .max_inputs = 5,
                                  .min_outputs = 1,
                                  .max_outputs = 4,
                                  .attrs = contrib_attrs,
                                  .infer = skiplayer_infer,
                                  .kernels = skiplayer_kernels},
                                 {.domain = "com.microsoft",
                                  .name = "SkipSimplifiedLayerNormalization",
                                  .since = 1,
                                  .min_inputs = 3,
                                  .max_inputs = 4,
                                  .min_outputs = 1,
                                  .max_outputs = 4,
                                  .attrs = contrib_attrs,
                                  .infer = skipsimplified_infer,
                                  .kernels = skipsimplified_kernels},
                                 {.name = NULL}};
