/* Attention whose memory is one matrix per head instead of a cache: LinearAttention (linear, gated, delta, gated_delta rules) and the
 * short causal convolution that such models put before it, CausalConvWithState. */
#include "ops/reference.h"

/* ---- LinearAttention: query, key, value [B, T, heads * d]; past_state? [B, kv, dk, dv], decay? [B, T, kv or kv * dk], beta?
 * [B, T, kv or 1] ------------------------------------------------------------------------------------------------------------ */

typedef struct linear_rule {
  bool gated, delta;
} linear_rule;

static bool linear_rule_of(const ow_node *node, linear_rule *rule) {
  static const struct {
    const char *name;
    linear_rule rule;
  } rules[] = {
      {"linear", {false, false}}, {"gated", {true, false}}, {"delta", {false, true}}, {"gated_delta", {true, true}}};
  const char *name = ow_node_string(node, "update_rule", "gated_delta");
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
    if (strcmp(rules[i].name, name) == 0) {
      *rule = rules[i].rule;
      return true;
    }
  return false;
}

static onward_status linear_attention_infer(ow_infer *c) {
  linear_rule rule;
  if (!linear_rule_of(c->node, &rule))
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'update_rule': '%s' is not known",
                         ow_node_string(c->node, "update_rule", ""));
  const int64_t heads = ow_node_int(c->node, "q_num_heads", 0), kv = ow_node_int(c->node, "kv_num_heads", 0);
  if (heads < 1 || kv < 1 || heads > INT32_MAX || heads % kv != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld query heads are no multiple of %lld key heads", (long long)heads,
                         (long long)kv);
  if (rule.gated != ow_infer_has(c, 4) || rule.delta != ow_infer_has(c, 5))
    return ow_infer_fail(c, ONWARD_MODEL, "rule '%s' wants %s decay and %s beta",
                         ow_node_string(c->node, "update_rule", "gated_delta"), rule.gated ? "a" : "no",
                         rule.delta ? "a" : "no");
  const uint32_t types = OW_BIT(ONWARD_FLOAT32) | OW_BIT(ONWARD_FLOAT16) | OW_BIT(ONWARD_BFLOAT16);
  for (size_t i = 0; i < 6; i++) {
    OW_TRY(ow_infer_types(c, i, types));
    OW_TRY(ow_infer_rank(c, i, i == 3 ? 4 : 3, i == 3 ? 4 : 3));
  }
  OW_TRY(ow_infer_alike(c, 0, 2));
  const onward_dtype held = ow_infer_has(c, 3) ? c->in[3].dtype : c->in[0].dtype;
  const ow_shape *q = &c->in[0].shape, *k = &c->in[1].shape, *v = &c->in[2].shape;
  if (q->rank < 0 || k->rank < 0 || v->rank < 0) {
    OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, -1, NULL));
    return ow_infer_set(c, 1, held, -1, NULL);
  }
  for (int32_t d = 0; d < 2; d++) {
    OW_TRY(ow_infer_equal(c, q->dims[d], k->dims[d], "a dim of query and key"));
    OW_TRY(ow_infer_equal(c, q->dims[d], v->dims[d], "a dim of query and value"));
  }
  const struct {
    ow_dim width;
    int64_t heads;
  } widths[] = {{q->dims[2], heads}, {k->dims[2], kv}, {v->dims[2], kv}};
  for (size_t i = 0; i < 3; i++)
    if (ow_dim_is_const(widths[i].width) && widths[i].width.k % widths[i].heads != 0)
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu: a width of %lld is no multiple of %lld heads", i,
                           (long long)widths[i].width.k, (long long)widths[i].heads);
  const ow_dim dk = ow_dim_floordiv(c->dims, q->dims[2], ow_dim_const(heads)),
               dv = ow_dim_floordiv(c->dims, v->dims[2], ow_dim_const(kv));
  OW_TRY(ow_infer_equal(c, dk, ow_dim_floordiv(c->dims, k->dims[2], ow_dim_const(kv)), "head size of query and key"));
  const ow_dim kept[4] = {q->dims[0], ow_dim_const(kv), dk, dv};
  for (int32_t d = 0; d < 4 && ow_infer_has(c, 3) && ow_infer_ranked(c, 3); d++)
    OW_TRY(ow_infer_equal(c, c->in[3].shape.dims[d], kept[d], "a dim of past_state"));
  for (size_t i = 4; i < 6; i++) {
    if (!ow_infer_has(c, i) || !ow_infer_ranked(c, i))
      continue;
    const ow_shape *s = &c->in[i].shape;
    for (int32_t d = 0; d < 2; d++)
      OW_TRY(ow_infer_equal(c, s->dims[d], q->dims[d], "a dim of decay or beta and query"));
    const bool known = ow_dim_is_const(s->dims[2]) && ow_dim_is_const(dk);
    if (known && s->dims[2].k != kv && s->dims[2].k != (i == 4 ? kv * dk.k : 1))
      return ow_infer_fail(c, ONWARD_MODEL, "%s has a width of %lld", i == 4 ? "decay" : "beta",
                           (long long)s->dims[2].k);
  }
  const ow_dim dims[3] = {q->dims[0], q->dims[1], ow_dim_mul(c->dims, dv, ow_dim_const(heads))};
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, 3, dims));
  return ow_infer_set(c, 1, held, 4, kept);
}

/* The matrix of one head, and the value row that is written. */
static onward_status linear_attention_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const int64_t dk = a->in[0]->dims[2] / ow_node_int(a->node, "q_num_heads", 1),
                dv = a->in[2]->dims[2] / ow_node_int(a->node, "kv_num_heads", 1);
  size_t count;
  if (!ow_size_mul((size_t)dk + 1, (size_t)dv, &count) || !ow_size_mul(count, sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the state of a head is too large");
  return ONWARD_OK;
}

/* One head over all tokens: S = exp(decay) S; v = beta (v - S'k); S += k v'; out = scale q'S. In double. */
static void linear_attention_head(const ow_args *a, linear_rule rule, int64_t b, int64_t h, double *s, double *row) {
  const onward_tensor *q = a->in[0], *k = a->in[1], *v = a->in[2], *decay = ow_args_in(a, 4), *beta = ow_args_in(a, 5);
  const onward_tensor *out = a->out[0];
  const int64_t heads = ow_node_int(a->node, "q_num_heads", 1), kv = ow_node_int(a->node, "kv_num_heads", 1);
  const int64_t tokens = q->dims[1], dk = q->dims[2] / heads, dv = v->dims[2] / kv, group = heads / kv;
  double scale = ow_node_float(a->node, "scale", 0.0f);
  if (scale >= 0 && scale <= 0)
    scale = 1.0 / sqrt((double)dk);
  for (int64_t t = 0; t < tokens; t++) {
    const int64_t token = b * tokens + t, key = (token * kv + h) * dk;
    for (int64_t i = 0; rule.gated && i < dk; i++) {
      const int64_t at = decay->dims[2] == kv ? token * kv + h : key + i;
      const double keep = exp(ow_load(decay->dtype, decay->data, at));
      for (int64_t j = 0; j < dv; j++)
        s[i * dv + j] *= keep;
    }
    for (int64_t j = 0; j < dv; j++) {
      row[j] = ow_load(v->dtype, v->data, (token * kv + h) * dv + j);
      if (!rule.delta)
        continue;
      for (int64_t i = 0; i < dk; i++)
        row[j] -= s[i * dv + j] * ow_load(k->dtype, k->data, key + i);
      row[j] *= ow_load(beta->dtype, beta->data, token * beta->dims[2] + (beta->dims[2] == 1 ? 0 : h));
    }
    for (int64_t i = 0; i < dk; i++) {
      const double x = ow_load(k->dtype, k->data, key + i);
      for (int64_t j = 0; j < dv; j++)
        s[i * dv + j] += x * row[j];
    }
    for (int64_t g = 0; g < group && out; g++) {
      const int64_t head = token * heads + h * group + g;
      for (int64_t j = 0; j < dv; j++) {
        double sum = 0;
        for (int64_t i = 0; i < dk; i++)
          sum += ow_load(q->dtype, q->data, head * dk + i) * s[i * dv + j];
        ow_store(out->dtype, out->data, head * dv + j, scale * sum);
      }
    }
  }
}

static onward_status linear_attention_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  linear_rule rule = {false, false};
  (void)linear_rule_of(a->node, &rule);
  const onward_tensor *past = ow_args_in(a, 3), *present = ow_args_out(a, 1);
  const int64_t kv = ow_node_int(a->node, "kv_num_heads", 1), dk = a->in[1]->dims[2] / kv, dv = a->in[2]->dims[2] / kv;
  double *const s = a->workspace;
  for (int64_t n = 0; n < a->in[0]->dims[0] * kv; n++) {
    for (int64_t i = 0; i < dk * dv; i++)
      s[i] = past ? ow_load(past->dtype, past->data, n * dk * dv + i) : 0.0;
    linear_attention_head(a, rule, n / kv, n % kv, s, s + dk * dv);
    for (int64_t i = 0; present && i < dk * dv; i++)
      ow_store(present->dtype, present->data, n * dk * dv + i, s[i]);
  }
  return ONWARD_OK;
}

/* ---- CausalConvWithState: input [B, C, L], weight [C, 1, k], bias? [C], past_state? [B, C, k - 1] --------------------------------- */

static onward_status causal_conv_infer(ow_infer *c) {
  const char *activation = ow_node_string(c->node, "activation", "none");
  if (strcmp(activation, "none") != 0 && strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'activation': want none, silu or swish, got '%s'", activation);
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_FLOAT32) | OW_BIT(ONWARD_FLOAT16) | OW_BIT(ONWARD_BFLOAT16)));
  OW_TRY(ow_infer_alike(c, 0, 3));
  for (size_t i = 0; i < 4; i++)
    OW_TRY(ow_infer_rank(c, i, i == 2 ? 1 : 3, i == 2 ? 1 : 3));
  const ow_shape *x = &c->in[0].shape, *w = &c->in[1].shape;
  OW_TRY(ow_infer_same(c, 0, 0));
  if (x->rank < 0 || w->rank < 0)
    return ow_infer_set(c, 1, c->in[0].dtype, -1, NULL);
  OW_TRY(ow_infer_equal(c, x->dims[1], w->dims[0], "channels of input and weight"));
  OW_TRY(ow_infer_equal(c, w->dims[1], ow_dim_const(1), "input channels of the weight"));
  OW_TRY(ow_want_vector(c, 2, x->dims[1], "length of the bias"));
  if (ow_dim_is(w->dims[2], 0))
    return ow_infer_fail(c, ONWARD_MODEL, "the kernel is empty");
  const ow_dim kept[3] = {x->dims[0], x->dims[1], ow_dim_sub(c->dims, w->dims[2], ow_dim_const(1))};
  for (int32_t d = 0; d < 3 && ow_infer_has(c, 3) && ow_infer_ranked(c, 3); d++)
    OW_TRY(ow_infer_equal(c, c->in[3].shape.dims[d], kept[d], "a dim of past_state"));
  return ow_infer_set(c, 1, c->in[0].dtype, 3, kept);
}

/* Element `at` of a line with the `kept` elements that came before it in front. */
static double causal_conv_at(const onward_tensor *x, const onward_tensor *past, int64_t kept, int64_t line,
                             int64_t at) {
  if (at >= kept)
    return ow_load(x->dtype, x->data, line * x->dims[2] + at - kept);
  return past ? ow_load(past->dtype, past->data, line * kept + at) : 0.0;
}

static onward_status causal_conv_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *w = a->in[1], *bias = ow_args_in(a, 2), *past = ow_args_in(a, 3);
  const onward_tensor *out = a->out[0], *present = ow_args_out(a, 1);
  const int64_t channels = x->dims[1], length = x->dims[2], kept = w->dims[2] - 1;
  const bool silu = strcmp(ow_node_string(a->node, "activation", "none"), "none") != 0;
  for (int64_t line = 0; line < x->dims[0] * channels; line++) {
    const int64_t channel = line % channels;
    for (int64_t i = 0; out && i < length; i++) {
      double sum = bias ? ow_load(bias->dtype, bias->data, channel) : 0.0;
      for (int64_t k = 0; k <= kept; k++)
        sum += ow_load(w->dtype, w->data, channel * (kept + 1) + k) * causal_conv_at(x, past, kept, line, i + k);
      ow_store(out->dtype, out->data, line * length + i, silu ? sum / (1.0 + exp(-sum)) : sum);
    }
    for (int64_t i = 0; present && i < kept; i++)
      ow_store(present->dtype, present->data, line * kept + i, causal_conv_at(x, past, kept, line, length + i));
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel linear_attention_reference = {.name = "linear_attention_reference",
                                                     .flags = OW_KERNEL_UNALIGNED,
                                                     .prepare = linear_attention_prepare,
                                                     .run = linear_attention_run};
static const ow_kernel causal_conv_reference = {
    .name = "causal_conv_reference", .flags = OW_KERNEL_UNALIGNED, .run = causal_conv_run};
static const ow_kernel *const linear_attention_kernels[] = {&linear_attention_reference, NULL};
static const ow_kernel *const causal_conv_kernels[] = {&causal_conv_reference, NULL};
static const ow_attr_spec linear_attention_attrs[] = {
    {"chunk_size", OW_ATTR_INT, false}, /* a hint */
    {"kv_num_heads", OW_ATTR_INT, true},    {"q_num_heads", OW_ATTR_INT, true}, {"scale", OW_ATTR_FLOAT, false},
    {"update_rule", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec causal_conv_attrs[] = {{"activation", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_linear_attention[] = {{.domain = "",
                                          .name = "LinearAttention",
                                          .since = 27,
                                          .min_inputs = 3,
                                          .max_inputs = 6,
                                          .min_outputs = 1,
                                          .max_outputs = 2,
                                          .attrs = linear_attention_attrs,
                                          .infer = linear_attention_infer,
                                          .kernels = linear_attention_kernels},
                                         {.domain = "",
                                          .name = "CausalConvWithState",
                                          .since = 27,
                                          .min_inputs = 2,
                                          .max_inputs = 4,
                                          .min_outputs = 1,
                                          .max_outputs = 2,
                                          .attrs = causal_conv_attrs,
                                          .infer = causal_conv_infer,
                                          .kernels = causal_conv_kernels},
                                         {.name = NULL}};
