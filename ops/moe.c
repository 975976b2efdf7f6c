/* ONNX Runtime's MoE and QMoE: each token goes through the few of many small networks that the router's scores choose, weighed by them.
 * MoE: x, router, then weight and bias of fc1, fc2 and fc3. QMoE: weights of 2, 4 or 8 bits with scales and zero points. */
#include "ops/reference.h"

#define MOE_MOST 64 /* experts of one token */

typedef enum moe_activation { MOE_RELU, MOE_GELU, MOE_SILU, MOE_SWIGLU, MOE_IDENTITY, MOE_UNKNOWN } moe_activation;

static moe_activation moe_activation_of(const ow_node *node) {
  static const char *const names[] = {"relu", "gelu", "silu", "swiglu", "identity"};
  const char *name = ow_node_string(node, "activation_type", "relu");
  for (int i = 0; i < MOE_UNKNOWN; i++)
    if (strcmp(name, names[i]) == 0)
      return (moe_activation)i;
  return MOE_UNKNOWN;
}

/* Slots of weight, scale, bias, zero point; SIZE_MAX: the operator has none. */
typedef struct moe_slots {
  size_t weight, scale, bias, zero;
} moe_slots;

static const moe_slots moe_plain[3] = {
    {2, SIZE_MAX, 3, SIZE_MAX}, {4, SIZE_MAX, 5, SIZE_MAX}, {6, SIZE_MAX, 7, SIZE_MAX}};
static const moe_slots moe_quantized[3] = {{2, 3, 4, 11}, {5, 6, 7, 12}, {8, 9, 10, 13}};
enum { QMOE_ROUTER_WEIGHTS = 14, QMOE_REST = 15 };

static bool moe_is_quantized(const ow_node *node) { return strcmp(node->type, "QMoE") == 0; }
static const moe_slots *moe_layout(const ow_node *node) { return moe_is_quantized(node) ? moe_quantized : moe_plain; }

static int64_t moe_bits(const ow_node *node, int layer) {
  static const char *const names[] = {"fc1_expert_weight_bits", "fc2_expert_weight_bits", "fc3_expert_weight_bits"};
  return ow_node_int(node, names[layer], ow_node_int(node, "expert_weight_bits", 4));
}

/* ---- infer --------------------------------------------------------------------------------------------------------------- */

static onward_status moe_infer_layer(ow_infer *c, int layer, ow_dim experts, ow_dim rows, ow_dim columns) {
  const moe_slots s = moe_layout(c->node)[layer];
  const bool quantized = moe_is_quantized(c->node);
  const int64_t per_byte = quantized ? 8 / moe_bits(c->node, layer) : 1, block = ow_node_int(c->node, "block_size", 0);
  if (!ow_infer_has(c, s.weight))
    return ONWARD_OK;
  OW_TRY(ow_infer_types(c, s.weight, quantized ? OW_BIT(ONWARD_UINT8) : OW_BIT(c->in[0].dtype)));
  OW_TRY(ow_infer_types(c, s.bias, OW_BIT(c->in[0].dtype)));
  OW_TRY(ow_infer_rank(c, s.weight, 3, 3));
  OW_TRY(ow_infer_rank(c, s.bias, 2, 2));
  const ow_dim per = ow_dim_const(per_byte), want[3] = {experts, rows, ow_dim_floordiv(c->dims, columns, per)};
  for (int32_t d = 0; d < 3 && ow_infer_ranked(c, s.weight); d++)
    OW_TRY(ow_infer_equal(c, c->in[s.weight].shape.dims[d], want[d], "a dim of an expert's weights"));
  for (int32_t d = 0; d < 2 && ow_infer_has(c, s.bias) && ow_infer_ranked(c, s.bias); d++)
    OW_TRY(ow_infer_equal(c, c->in[s.bias].shape.dims[d], want[d], "a dim of an expert's bias"));
  if (!quantized)
    return ONWARD_OK;
  if (!ow_infer_has(c, s.scale))
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu, scales of weights, is left out", s.scale);
  OW_TRY(ow_infer_types(c, s.scale, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, s.zero, OW_BIT(ONWARD_UINT8)));
  if (block && ow_dim_is_const(columns) && columns.k % block != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "rows of %lld weights do not divide into blocks of %lld",
                         (long long)columns.k, (long long)block);
  const int32_t rank = block ? 3 : 2;
  const ow_dim blocks = block ? ow_dim_floordiv(c->dims, columns, ow_dim_const(block)) : ow_dim_const(1);
  const ow_dim scales[3] = {experts, rows, blocks};
  const ow_dim zeros[3] = {experts, block ? rows : ow_dim_ceildiv(c->dims, rows, per),
                           ow_dim_ceildiv(c->dims, blocks, per)};
  OW_TRY(ow_infer_rank(c, s.scale, rank, rank));
  OW_TRY(ow_infer_rank(c, s.zero, rank, rank));
  for (int32_t d = 0; d < rank; d++) {
    if (ow_infer_ranked(c, s.scale))
      OW_TRY(ow_infer_equal(c, c->in[s.scale].shape.dims[d], scales[d], "a dim of the scales"));
    if (ow_infer_has(c, s.zero) && ow_infer_ranked(c, s.zero))
      OW_TRY(ow_infer_equal(c, c->in[s.zero].shape.dims[d], zeros[d], "a dim of the zero points"));
  }
  return ONWARD_OK;
}

static onward_status moe_infer_attrs(ow_infer *c) {
  const int64_t k = ow_node_int(c->node, "k", 1), block = ow_node_int(c->node, "block_size", 0);
  const int64_t fusion = ow_node_int(c->node, "swiglu_fusion", 0);
  const moe_activation activation = moe_activation_of(c->node);
  const moe_slots *slots = moe_layout(c->node);
  if (k < 1 || k > MOE_MOST)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%lld experts of a token; at most %d", (long long)k, MOE_MOST);
  if (activation == MOE_UNKNOWN)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "activation '%s' is not implemented",
                         ow_node_string(c->node, "activation_type", ""));
  if (ow_node_int(c->node, "use_sparse_mixer", 0) != 0 || ow_node_int(c->node, "swiglu_limit_after_activation", 0) != 0)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED,
                         "the sparse mixer, or a limit after the activation, is not implemented");
  if (strcmp(ow_node_string(c->node, "quant_type", "int"), "int") != 0 ||
      ow_node_int(c->node, "weights_prepacked", -1) == 1)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "weights of type '%s', or packed for a device",
                         ow_node_string(c->node, "quant_type", "int"));
  for (int i = 0; i < 3 && moe_is_quantized(c->node); i++)
    if (moe_bits(c->node, i) != 2 && moe_bits(c->node, i) != 4 && moe_bits(c->node, i) != 8)
      return ow_infer_fail(c, ONWARD_UNSUPPORTED, "weights of %lld bits are not implemented",
                           (long long)moe_bits(c->node, i));
  if (block < 0 || fusion < 0 || fusion > 2)
    return ow_infer_fail(c, ONWARD_MODEL, "block_size is %lld, swiglu_fusion %lld", (long long)block,
                         (long long)fusion);
  if (activation == MOE_SWIGLU && (fusion == 0) != ow_infer_has(c, slots[2].weight))
    return ow_infer_fail(c, ONWARD_MODEL, "swiglu wants its gate either in fc1 (swiglu_fusion) or in fc3");
  for (size_t i = QMOE_REST; i < c->in_count; i++)
    if (ow_infer_has(c, i))
      return ow_infer_fail(c, ONWARD_UNSUPPORTED, "input %zu: scales of other weights than integers", i);
  return ONWARD_OK;
}

static onward_status moe_infer(ow_infer *c) {
  const moe_slots *s = moe_layout(c->node);
  OW_TRY(moe_infer_attrs(c));
  if (!ow_infer_has(c, s[1].weight))
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu, weights of fc2, is left out", s[1].weight);
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 1));
  OW_TRY(ow_infer_rank(c, 0, 2, 3));
  OW_TRY(ow_infer_rank(c, 1, 2, 2));
  const ow_shape *x = &c->in[0].shape, *router = &c->in[1].shape, *w2 = &c->in[s[1].weight].shape;
  if (x->rank >= 0 && router->rank >= 0 && w2->rank == 3) {
    const ow_dim experts = router->dims[1], hidden = x->dims[x->rank - 1];
    const int64_t per = moe_is_quantized(c->node) ? 8 / moe_bits(c->node, 1) : 1;
    const ow_dim inner = ow_dim_mul(c->dims, w2->dims[2], ow_dim_const(per));
    const bool fused = moe_activation_of(c->node) == MOE_SWIGLU && ow_node_int(c->node, "swiglu_fusion", 0) != 0;
    OW_TRY(ow_infer_equal(c, router->dims[0], ow_shape_count(c->dims, x, 0, x->rank - 1), "rows of input and router"));
    OW_TRY(moe_infer_layer(c, 0, experts, ow_dim_mul(c->dims, inner, ow_dim_const(fused ? 2 : 1)), hidden));
    OW_TRY(moe_infer_layer(c, 1, experts, hidden, inner));
    OW_TRY(moe_infer_layer(c, 2, experts, inner, hidden));
    if (moe_is_quantized(c->node) && ow_infer_has(c, QMOE_ROUTER_WEIGHTS)) {
      OW_TRY(ow_infer_types(c, QMOE_ROUTER_WEIGHTS, OW_BIT(c->in[0].dtype)));
      OW_TRY(ow_infer_rank(c, QMOE_ROUTER_WEIGHTS, 2, 2));
      for (int32_t d = 0; d < 2 && ow_infer_ranked(c, QMOE_ROUTER_WEIGHTS); d++)
        OW_TRY(ow_infer_equal(c, c->in[QMOE_ROUTER_WEIGHTS].shape.dims[d], router->dims[d], "a dim of both routers"));
    }
    if (ow_dim_is_const(experts) && experts.k < ow_node_int(c->node, "k", 1))
      return ow_infer_fail(c, ONWARD_MODEL, "%lld experts are fewer than k", (long long)experts.k);
  }
  return ow_infer_same(c, 0, 0);
}

/* ---- reference ----------------------------------------------------------------------------------------------------------- */

typedef struct moe_layer {
  const onward_tensor *weight, *scale, *bias, *zero;
  int64_t rows, columns, bits, block;
} moe_layer;

typedef struct moe_job {
  const ow_args *args;
  moe_layer layers[3];
  int64_t experts, k, hidden, inner, fusion, room; /* room: doubles for one thread */
  moe_activation activation;
  double alpha, beta, limit;
} moe_job;

static moe_job moe_read(const ow_args *a) {
  const onward_tensor *x = a->in[0];
  moe_job j = {
      .args = a,
      .experts = a->in[1]->dims[1],
      .k = ow_node_int(a->node, "k", 1),
      .hidden = x->dims[x->rank - 1],
      .fusion = ow_node_int(a->node, "swiglu_fusion", 0),
      .activation = moe_activation_of(a->node),
      .alpha = (double)ow_node_float(a->node, "activation_alpha", 1.0f),
      .beta = (double)ow_node_float(a->node, "activation_beta", 0.0f),
      .limit = ow_node_attr(a->node, "swiglu_limit") ? (double)ow_node_float(a->node, "swiglu_limit", 0.0f) : INFINITY};
  for (int i = 0; i < 3; i++) {
    const moe_slots s = moe_layout(a->node)[i];
    moe_layer *const l = &j.layers[i];
    *l = (moe_layer){ow_args_in(a, s.weight),
                     ow_args_in(a, s.scale),
                     ow_args_in(a, s.bias),
                     ow_args_in(a, s.zero),
                     0,
                     0,
                     moe_is_quantized(a->node) ? moe_bits(a->node, i) : 8,
                     ow_node_int(a->node, "block_size", 0)};
    if (l->weight) {
      l->rows = l->weight->dims[1];
      l->columns = l->weight->dims[2] * (8 / l->bits);
    }
  }
  j.inner = j.layers[1].columns;
  j.room = 2 * j.hidden + j.layers[0].rows + j.layers[2].rows;
  return j;
}

static double moe_weight(const moe_layer *l, int64_t expert, int64_t row, int64_t column) {
  const int64_t line = expert * l->rows + row;
  if (!l->scale)
    return ow_load(l->weight->dtype, l->weight->data, line * l->columns + column);
  const int64_t per = 8 / l->bits, mask = (1 << l->bits) - 1, blocks = l->block ? l->columns / l->block : 1;
  const int64_t at = l->block ? column / l->block : 0;
  const uint8_t *bytes = l->weight->data;
  const int64_t q = bytes[line * (l->columns / per) + column / per] >> (column % per * l->bits) & mask;
  int64_t zero = 1 << (l->bits - 1);
  if (l->zero) {
    const int64_t i = l->block ? at : row, each = l->zero->dims[l->zero->rank - 1], start = l->block ? line : expert;
    zero = ((const uint8_t *)l->zero->data)[start * each + i / per] >> (i % per * l->bits) & mask;
  }
  return (double)(q - zero) * ow_load(l->scale->dtype, l->scale->data, line * blocks + at);
}

static void moe_apply(const moe_layer *l, int64_t expert, const double *x, double *y) {
  for (int64_t r = 0; r < l->rows; r++) {
    double sum = l->bias ? ow_load(l->bias->dtype, l->bias->data, expert * l->rows + r) : 0.0;
    for (int64_t i = 0; i < l->columns; i++)
      sum += x[i] * moe_weight(l, expert, r, i);
    y[r] = sum;
  }
}

/* y[inner] from what fc1 and fc3 gave; in place of y. */
static void moe_activate(const moe_job *j, double *y, const double *linear) {
  for (int64_t i = 0; i < j->inner; i++) {
    const int64_t at = j->activation == MOE_SWIGLU && j->fusion == 1 ? 2 * i : i;
    const double v = y[at];
    double r = v;
    switch (j->activation) {
      case MOE_RELU: r = v > 0.0 ? v : 0.0; break;
      case MOE_GELU: r = 0.5 * v * (1.0 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v))); break;
      case MOE_SILU: r = v / (1.0 + exp(-v)); break;
      case MOE_SWIGLU: {
        const double other = j->fusion == 1 ? y[at + 1] : j->fusion == 2 ? y[i + j->inner] : linear[i];
        const double gate = fmin(v, j->limit), up = fmin(fmax(other, -j->limit), j->limit);
        y[i] = gate / (1.0 + exp(-j->alpha * gate)) * (up + j->beta);
        continue;
      }
      default: break;
    }
    y[i] = j->layers[2].weight ? r * linear[i] : r;
  }
}

/* The k largest scores, the first of equals first, and their weights. */
static void moe_route(const moe_job *j, int64_t token, int64_t chosen[MOE_MOST], double weights[MOE_MOST]) {
  const ow_args *const a = j->args;
  const onward_tensor *router = a->in[1],
                      *given = moe_is_quantized(a->node) ? ow_args_in(a, QMOE_ROUTER_WEIGHTS) : NULL;
  const bool normalize = ow_node_int(a->node, "normalize_routing_weights", 0) != 0;
  const int64_t base = token * j->experts;
  double total = 0.0, sum = 0.0, largest = -INFINITY;
  for (int64_t n = 0; n < j->k; n++) {
    chosen[n] = -1;
    for (int64_t e = 0; e < j->experts; e++) {
      bool taken = false;
      for (int64_t m = 0; m < n; m++)
        taken |= chosen[m] == e;
      if (!taken && (chosen[n] < 0 || ow_load(router->dtype, router->data, base + e) >
                                          ow_load(router->dtype, router->data, base + chosen[n])))
        chosen[n] = e;
    }
  }
  largest = ow_load(router->dtype, router->data, base + chosen[0]);
  for (int64_t e = 0; e < j->experts; e++)
    total += exp(ow_load(router->dtype, router->data, base + e) - largest);
  for (int64_t n = 0; n < j->k; n++) {
    weights[n] = given ? ow_load(given->dtype, given->data, base + chosen[n])
                       : exp(ow_load(router->dtype, router->data, base + chosen[n]) - largest) / total;
    sum += weights[n];
  }
  for (int64_t n = 0; n < j->k && normalize; n++)
    weights[n] /= sum;
}

static void moe_token(void *context, int64_t token, int thread) {
  const moe_job *const j = context;
  const onward_tensor *x = j->args->in[0], *y = j->args->out[0];
  double *const row = (double *)j->args->workspace + thread * j->room, *const out = row + j->hidden;
  double *const first = out + j->hidden, *const linear = first + j->layers[0].rows;
  int64_t chosen[MOE_MOST];
  double weights[MOE_MOST];
  moe_route(j, token, chosen, weights);
  for (int64_t i = 0; i < j->hidden; i++)
    row[i] = ow_load(x->dtype, x->data, token * j->hidden + i);
  for (int64_t i = 0; i < j->hidden; i++)
    out[i] = 0.0;
  for (int64_t n = 0; n < j->k; n++) {
    moe_apply(&j->layers[0], chosen[n], row, first);
    if (j->layers[2].weight)
      moe_apply(&j->layers[2], chosen[n], row, linear);
    moe_activate(j, first, linear);
    const moe_layer *const l = &j->layers[1];
    for (int64_t r = 0; r < j->hidden; r++) {
      double sum = l->bias ? ow_load(l->bias->dtype, l->bias->data, chosen[n] * l->rows + r) : 0.0;
      for (int64_t i = 0; i < j->inner; i++)
        sum += first[i] * moe_weight(l, chosen[n], r, i);
      out[r] += weights[n] * sum;
    }
  }
  for (int64_t i = 0; i < j->hidden; i++)
    ow_store(y->dtype, y->data, token * j->hidden + i, out[i]);
}

static onward_status moe_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const moe_job j = moe_read(a);
  if (!ow_size_mul((size_t)j.room * sizeof(double), (size_t)a->threads, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the experts are too large");
  return ONWARD_OK;
}

static onward_status moe_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  moe_job j = moe_read(a);
  if (a->in[1]->dims[0] > 0)
    ow_parallel(a->threads, a->in[1]->dims[0], moe_token, &j);
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel moe_reference = {
    .name = "moe_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = moe_prepare, .run = moe_run};
static const ow_kernel *const moe_kernels[] = {&moe_reference, NULL};

#define MOE_ATTRS                                                                                      \
  {"activation_alpha", OW_ATTR_FLOAT, false}, {"activation_beta", OW_ATTR_FLOAT, false},               \
      {"activation_type", OW_ATTR_STRING, false}, {"k", OW_ATTR_INT, false},                           \
      {"normalize_routing_weights", OW_ATTR_INT, false}, {"swiglu_fusion", OW_ATTR_INT, false},        \
      {"swiglu_limit", OW_ATTR_FLOAT, false}, {"swiglu_limit_after_activation", OW_ATTR_INT, false}, { \
    "use_sparse_mixer", OW_ATTR_INT, false                                                             \
  }
static const ow_attr_spec moe_attrs[] = {MOE_ATTRS, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec qmoe_attrs[] = {MOE_ATTRS,
                                          {"accuracy_level", OW_ATTR_INT, false},
                                          {"block_size", OW_ATTR_INT, false},
                                          {"expert_weight_bits", OW_ATTR_INT, false},
                                          {"fc1_expert_weight_bits", OW_ATTR_INT, false},
                                          {"fc2_expert_weight_bits", OW_ATTR_INT, false},
                                          {"fc3_expert_weight_bits", OW_ATTR_INT, false},
                                          {"quant_type", OW_ATTR_STRING, false},
                                          {"weights_prepacked", OW_ATTR_INT, false},
                                          {NULL, OW_ATTR_NONE, false}};

#define MOE_ROW(op, low, high, specs)                                                                           \
  {                                                                                                             \
    .domain = "com.microsoft", .name = op, .since = 1, .min_inputs = low, .max_inputs = high, .min_outputs = 1, \
    .max_outputs = 1, .attrs = specs, .infer = moe_infer, .kernels = moe_kernels                                \
  }

const ow_op ow_ops_moe[] = {MOE_ROW("MoE", 3, 8, moe_attrs), MOE_ROW("QMoE", 3, 21, qmoe_attrs), {.name = NULL}};
