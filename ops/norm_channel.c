/* Normalization of channels, axis 1 of [N, C, ...]: BatchNormalization, InstanceNormalization, GroupNormalization. */
#include "ops/reference.h"

static onward_status channel_infer_params(ow_infer *c, size_t from, size_t to, ow_dim length) {
  for (size_t i = from; i <= to; i++) {
    OW_TRY(ow_infer_types(c, i, OW_TYPES_FLOAT));
    OW_TRY(ow_want_vector(c, i, length, "the number of channels"));
  }
  return ONWARD_OK;
}

static double channel_param(const ow_args *a, size_t slot, int64_t i) {
  return ow_load(a->in[slot]->dtype, a->in[slot]->data, i);
}

typedef struct channel_stats {
  double mean, variance;
} channel_stats;

/* Mean and population variance of `blocks` runs of n elements, each `step` after the one before. */
static channel_stats channel_stats_of(const onward_tensor *x, int64_t base, int64_t n, int64_t blocks, int64_t step) {
  channel_stats s = {0.0, 0.0};
  const double count = (double)n * (double)blocks;
  for (int64_t b = 0; b < blocks; b++) {
    for (int64_t j = 0; j < n; j++)
      s.mean += ow_load(x->dtype, x->data, base + b * step + j);
  }
  s.mean /= count;
  for (int64_t b = 0; b < blocks; b++) {
    for (int64_t j = 0; j < n; j++) {
      const double v = ow_load(x->dtype, x->data, base + b * step + j) - s.mean;
      s.variance += v * v;
    }
  }
  s.variance /= count;
  return s;
}

static void channel_apply(const ow_args *a, int64_t base, int64_t n, channel_stats s, double epsilon, double scale,
                          double bias) {
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  const double inv = 1.0 / sqrt(s.variance + epsilon);
  for (int64_t j = 0; j < n; j++)
    ow_store(y->dtype, y->data, base + j, (ow_load(x->dtype, x->data, base + j) - s.mean) * inv * scale + bias);
}

/* ---- InstanceNormalization ----------------------------------------------------------------------------------------------- */

static onward_status instancenorm_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 2));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  if (ow_infer_ranked(c, 0))
    OW_TRY(channel_infer_params(c, 1, 2, c->in[0].shape.dims[1]));
  return ow_infer_same(c, 0, 0);
}

static onward_status instancenorm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  const int64_t channels = x->dims[1], n = ow_dims_product(x->dims, 2, x->rank);
  const double epsilon = (double)ow_node_float(a->node, "epsilon", 1e-5f);
  for (int64_t i = 0; i < x->dims[0] * channels; i++)
    channel_apply(a, i * n, n, channel_stats_of(x, i * n, n, 1, 0), epsilon, channel_param(a, 1, i % channels),
                  channel_param(a, 2, i % channels));
  return ONWARD_OK;
}

/* ---- GroupNormalization -------------------------------------------------------------------------------------------------- */

/* Opset 18 to 20: one scale and bias per group; from 21 on one per channel. */
#define GROUPNORM_PER_GROUP_UNTIL 20

static onward_status groupnorm_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 2));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  const int64_t groups = ow_node_int(c->node, "num_groups", 0);
  if (groups < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "num_groups is %lld, want at least 1", (long long)groups);
  if (ow_infer_ranked(c, 0)) {
    const ow_dim channels = c->in[0].shape.dims[1];
    if (ow_dim_is_const(channels) && channels.k % groups)
      return ow_infer_fail(c, ONWARD_MODEL, "%lld channels do not divide into %lld groups", (long long)channels.k,
                           (long long)groups);
    OW_TRY(
        channel_infer_params(c, 1, 2, c->node->version <= GROUPNORM_PER_GROUP_UNTIL ? ow_dim_const(groups) : channels));
  }
  return ow_infer_same(c, 0, 0);
}

static onward_status groupnorm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  const int64_t channels = x->dims[1], n = ow_dims_product(x->dims, 2, x->rank);
  const int64_t groups = ow_node_int(a->node, "num_groups", 1), each = channels / groups;
  const double epsilon = (double)ow_node_float(a->node, "epsilon", 1e-5f);
  const bool per_group = a->node->version <= GROUPNORM_PER_GROUP_UNTIL;
  for (int64_t g = 0; g < x->dims[0] * groups; g++) {
    const channel_stats s = channel_stats_of(x, g * each * n, each * n, 1, 0);
    for (int64_t i = 0; i < each; i++) {
      const int64_t param = per_group ? g % groups : g % groups * each + i;
      channel_apply(a, (g * each + i) * n, n, s, epsilon, channel_param(a, 1, param), channel_param(a, 2, param));
    }
  }
  return ONWARD_OK;
}

/* ---- BatchNormalization -------------------------------------------------------------------------------------------------- */

/* From opset 14 on training_mode is defined by what it computes; before, the extra outputs are a trainer's. */
#define BATCHNORM_TRAINER_UNTIL 13

static onward_status batchnorm_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 1, 2));
  OW_TRY(ow_infer_alike(c, 3, 4));
  OW_TRY(ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK));
  if (!ow_node_int(c->node, "spatial", 1))
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "spatial = 0 is not implemented");
  const ow_shape *x = &c->in[0].shape;
  if (x->rank >= 0)
    OW_TRY(channel_infer_params(c, 1, 4, x->rank > 1 ? x->dims[1] : ow_dim_const(1)));
  const bool training = ow_node_int(c->node, "training_mode", 0) != 0;
  for (size_t i = 1; i < c->out_count; i++) {
    if (ow_node_output(c->node, i) && c->node->version <= BATCHNORM_TRAINER_UNTIL)
      return ow_infer_fail(c, ONWARD_UNSUPPORTED, "output %zu of a training form is not implemented", i);
    if (ow_node_output(c->node, i) && !training)
      return ow_infer_fail(c, ONWARD_MODEL, "output %zu is wanted but training_mode is 0", i);
    OW_TRY(ow_infer_same(c, i, 3));
  }
  return ow_infer_same(c, 0, 0);
}

static onward_status batchnorm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  const int64_t batch = x->dims[0], channels = x->rank > 1 ? x->dims[1] : 1;
  const int64_t n = x->rank > 1 ? ow_dims_product(x->dims, 2, x->rank) : 1;
  const double epsilon = (double)ow_node_float(a->node, "epsilon", 1e-5f);
  const double momentum = (double)ow_node_float(a->node, "momentum", 0.9f);
  const bool training = ow_node_int(a->node, "training_mode", 0) != 0;
  for (int64_t i = 0; i < channels; i++) {
    const channel_stats given = {channel_param(a, 3, i), channel_param(a, 4, i)};
    const channel_stats s = training ? channel_stats_of(x, i * n, n, batch, channels * n) : given;
    for (int64_t b = 0; a->out[0] && b < batch; b++)
      channel_apply(a, (b * channels + i) * n, n, s, epsilon, channel_param(a, 1, i), channel_param(a, 2, i));
    if (a->out_count > 1 && a->out[1])
      ow_store(a->out[1]->dtype, a->out[1]->data, i, given.mean * momentum + s.mean * (1.0 - momentum));
    if (a->out_count > 2 && a->out[2])
      ow_store(a->out[2]->dtype, a->out[2]->data, i, given.variance * momentum + s.variance * (1.0 - momentum));
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel instancenorm_reference = {
    .name = "instancenorm_reference", .flags = OW_KERNEL_UNALIGNED, .run = instancenorm_run};
static const ow_kernel groupnorm_reference = {
    .name = "groupnorm_reference", .flags = OW_KERNEL_UNALIGNED, .run = groupnorm_run};
static const ow_kernel batchnorm_reference = {
    .name = "batchnorm_reference", .flags = OW_KERNEL_UNALIGNED, .run = batchnorm_run};
static const ow_kernel *const instancenorm_kernels[] = {&instancenorm_reference, NULL};
static const ow_kernel *const groupnorm_kernels[] = {&groupnorm_reference, NULL};
static const ow_kernel *const batchnorm_kernels[] = {&batchnorm_reference, NULL};

static const ow_attr_spec instancenorm_attrs[] = {
    {"epsilon", OW_ATTR_FLOAT, false}, {"consumed_inputs", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec groupnorm_attrs[] = {{"epsilon", OW_ATTR_FLOAT, false},
                                               {"num_groups", OW_ATTR_INT, true},
                                               {"stash_type", OW_ATTR_INT, false},
                                               {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec batchnorm_old_attrs[] = {
    {"epsilon", OW_ATTR_FLOAT, false}, {"momentum", OW_ATTR_FLOAT, false},       {"spatial", OW_ATTR_INT, false},
    {"is_test", OW_ATTR_INT, false},   {"consumed_inputs", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec batchnorm_attrs[] = {{"epsilon", OW_ATTR_FLOAT, false},
                                               {"momentum", OW_ATTR_FLOAT, false},
                                               {"training_mode", OW_ATTR_INT, false},
                                               {NULL, OW_ATTR_NONE, false}};
static const ow_inplace channel_inplace[] = {{0, 0}};

#define CHANNEL_ROW(op, first, last, inputs, outputs_max, specs, stem)                                               \
  {                                                                                                                  \
    .domain = "", .name = op, .since = first, .until = last, .min_inputs = inputs, .max_inputs = inputs,             \
    .min_outputs = 1, .max_outputs = outputs_max, .attrs = specs, .infer = stem##_infer, .inplace = channel_inplace, \
    .inplace_count = 1, .kernels = stem##_kernels                                                                    \
  }

const ow_op ow_ops_norm_channel[] = {
    CHANNEL_ROW("InstanceNormalization", 1, 0, 3, 1, instancenorm_attrs, instancenorm),
    CHANNEL_ROW("GroupNormalization", 18, 0, 3, 1, groupnorm_attrs, groupnorm),
    CHANNEL_ROW("BatchNormalization", 1, BATCHNORM_TRAINER_UNTIL, 5, 5, batchnorm_old_attrs, batchnorm),
    CHANNEL_ROW("BatchNormalization", BATCHNORM_TRAINER_UNTIL + 1, 0, 5, 3, batchnorm_attrs, batchnorm),
    {.name = NULL}};
