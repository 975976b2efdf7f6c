/* ONNX Runtime's GatedRelativePositionBias (WavLM): a position bias that two gates of the query scale. Inputs: query [B, S, N * D],
 * query_bias [N * D], rel_pos [1, N, S, S], weight [D, E], bias [E], eco_a [1, N, 1, 1], token_offset?. */
#include "ops/reference.h"

enum { GATED_Q, GATED_Q_BIAS, GATED_POS, GATED_WEIGHT, GATED_BIAS, GATED_ECO, GATED_OFFSET };

static onward_status gated_infer(ow_infer *c) {
  const int64_t heads = ow_node_int(c->node, "num_heads", 0);
  if (heads < 1 || heads > INT32_MAX)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'num_heads' is %lld", (long long)heads);
  if (ow_infer_has(c, GATED_OFFSET))
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "tokens without their padding (token_offset)");
  OW_TRY(ow_infer_types(c, GATED_Q, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, GATED_Q, GATED_ECO));
  OW_TRY(ow_infer_rank(c, GATED_Q, 3, 3));
  OW_TRY(ow_infer_rank(c, GATED_POS, 4, 4));
  OW_TRY(ow_infer_rank(c, GATED_WEIGHT, 2, 2));
  OW_TRY(ow_infer_rank(c, GATED_ECO, 4, 4));
  const ow_shape *q = &c->in[GATED_Q].shape, *pos = &c->in[GATED_POS].shape, *w = &c->in[GATED_WEIGHT].shape;
  const ow_shape *eco = &c->in[GATED_ECO].shape;
  const ow_dim n = ow_dim_const(heads), one = ow_dim_const(1);
  if (q->rank < 0 || pos->rank < 0 || w->rank < 0)
    return ow_infer_set(c, 0, c->in[GATED_Q].dtype, -1, NULL);
  OW_TRY(ow_infer_equal(c, q->dims[2], ow_dim_mul(c->dims, n, w->dims[0]), "the query's width"));
  OW_TRY(ow_want_vector(c, GATED_Q_BIAS, q->dims[2], "length of the query's bias"));
  OW_TRY(ow_want_vector(c, GATED_BIAS, w->dims[1], "length of the gates' bias"));
  const ow_dim want[4] = {one, n, q->dims[1], q->dims[1]}, want_eco[4] = {one, n, one, one};
  for (int32_t d = 0; d < 4; d++) {
    OW_TRY(ow_infer_equal(c, pos->dims[d], want[d], "a dim of rel_pos"));
    if (eco->rank == 4)
      OW_TRY(ow_infer_equal(c, eco->dims[d], want_eco[d], "a dim of eco_a"));
  }
  if (ow_dim_is_const(w->dims[1]) && w->dims[1].k % 2 != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld columns are no two gates", (long long)w->dims[1].k);
  const ow_dim dims[4] = {q->dims[0], n, q->dims[1], q->dims[1]};
  return ow_infer_set(c, 0, c->in[GATED_Q].dtype, 4, dims);
}

/* The gate of one token and head: half of the columns are summed for each of u and r. */
static double gated_value(const ow_args *a, int64_t token, int64_t h) {
  const onward_tensor *q = a->in[GATED_Q], *q_bias = a->in[GATED_Q_BIAS], *w = a->in[GATED_WEIGHT];
  const onward_tensor *bias = a->in[GATED_BIAS], *eco = a->in[GATED_ECO];
  const int64_t size = w->dims[0], columns = w->dims[1];
  double sums[2] = {0.0, 0.0};
  for (int64_t e = 0; e < columns; e++)
    sums[2 * e / columns] += ow_load(bias->dtype, bias->data, e);
  for (int64_t d = 0; d < size; d++) {
    const double v = ow_load(q->dtype, q->data, token * q->dims[2] + h * size + d) +
                     ow_load(q_bias->dtype, q_bias->data, h * size + d);
    for (int64_t e = 0; e < columns; e++)
      sums[2 * e / columns] += v * ow_load(w->dtype, w->data, d * columns + e);
  }
  const double u = 1.0 / (1.0 + exp(-sums[0])), r = 1.0 / (1.0 + exp(-sums[1]));
  return u * (r * ow_load(eco->dtype, eco->data, h) - 1.0) + 2.0;
}

static onward_status gated_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *pos = a->in[GATED_POS], *y = a->out[0];
  const int64_t heads = y->dims[1], length = y->dims[2], rows = y->dims[0] * heads * length;
  for (int64_t row = 0; row < rows; row++) {
    const int64_t i = row % length, h = row / length % heads, b = row / length / heads;
    const double gate = gated_value(a, b * length + i, h);
    for (int64_t t = 0; t < length; t++)
      ow_store(y->dtype, y->data, row * length + t,
               gate * ow_load(pos->dtype, pos->data, (h * length + i) * length + t));
  }
  return ONWARD_OK;
}

static const ow_kernel gated_reference = {
    .name = "gated_position_bias_reference", .flags = OW_KERNEL_UNALIGNED, .run = gated_run};
static const ow_kernel *const gated_kernels[] = {&gated_reference, NULL};
static const ow_attr_spec gated_attrs[] = {{"num_heads", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_gated_bias[] = {{.domain = "com.microsoft",
                                    .name = "GatedRelativePositionBias",
                                    .since = 1,
                                    .min_inputs = 6,
                                    .max_inputs = 7,
                                    .min_outputs = 1,
                                    .max_outputs = 1,
                                    .attrs = gated_attrs,
                                    .infer = gated_infer,
                                    .kernels = gated_kernels},
                                   {.name = NULL}};
