/* onward::Attention: softmax(scale * q k' [softcap] [select] + bias [select]) v, in any layout. Passes make it; see attention.h. */
#include "ops/attention.h"

#include "base/stop.h"
#include "ops/cpu/fast.h"
#include "ops/reference.h"

typedef struct attention_spec {
  const char *letter, *order, *offset, *size;
} attention_spec;

static const attention_spec attention_specs[] = {{"q", "q_order", "q_offset", "head_size"},
                                                 {"k", "k_order", "k_offset", "head_size"},
                                                 {"v", "v_order", "v_offset", "v_head_size"}};

static const char attention_letters[] = "BSHD";

/* Position of each letter of "BSHD" in order; false when order is no permutation of them. */
static bool attention_positions(const char *order, int32_t at[4]) {
  if (strlen(order) != 4)
    return false;
  for (int i = 0; i < 4; i++) {
    const char *found = strchr(order, attention_letters[i]);
    if (!found)
      return false;
    at[i] = (int32_t)(found - order);
  }
  return true;
}

static int64_t attention_heads(const ow_node *node, size_t operand) {
  const int64_t heads = ow_node_int(node, "heads", 1);
  return operand == OW_ATTENTION_Q ? heads : ow_node_int(node, "kv_heads", heads);
}

/* v_head_size falls back to head_size */
static int64_t attention_head_size(const ow_node *node, size_t operand) {
  return ow_node_int(node, attention_specs[operand].size, ow_node_int(node, "head_size", 0));
}

/* ---- infer --------------------------------------------------------------------------------------------------------------- */

/* dims: B, S, H, D. The operand's rank is known. */
static onward_status attention_infer_operand(ow_infer *c, size_t operand, ow_dim dims[4]) {
  const attention_spec *spec = &attention_specs[operand];
  const ow_shape *x = &c->in[operand].shape;
  const char *order = ow_node_string(c->node, spec->order, "BHSD");
  const int64_t offset = ow_node_int(c->node, spec->offset, 0), heads = attention_heads(c->node, operand);
  int32_t at[4];
  if (!attention_positions(order, at))
    return ow_infer_fail(c, ONWARD_MODEL, "%s is '%s', want a permutation of BSHD", spec->order, order);
  if (x->rank == 4) {
    if (offset != 0)
      return ow_infer_fail(c, ONWARD_MODEL, "%s is for operands of rank 3", spec->offset);
    for (int i = 0; i < 4; i++)
      dims[i] = x->dims[at[i]];
    return ow_infer_equal(c, dims[2], ow_dim_const(heads), "the number of heads");
  }
  const int64_t size = attention_head_size(c->node, operand);
  int64_t columns;
  if (at[2] != 2 || at[3] != 3)
    return ow_infer_fail(c, ONWARD_MODEL, "%s is '%s', want BSHD or SBHD for an operand of rank 3", spec->order, order);
  if (size < 1 || offset < 0 || !ow_i64_mul(heads, size, &columns) || !ow_i64_add(columns, offset, &columns))
    return ow_infer_fail(c, ONWARD_MODEL, "bad %s or %s", spec->size, spec->offset);
  if (ow_dim_is_const(x->dims[2]) && x->dims[2].k < columns)
    return ow_infer_fail(c, ONWARD_MODEL, "operand %s has %lld columns, want at least %lld", spec->letter,
                         (long long)x->dims[2].k, (long long)columns);
  dims[0] = x->dims[at[0]];
  dims[1] = x->dims[at[1]];
  dims[2] = ow_dim_const(heads);
  dims[3] = ow_dim_const(size);
  return ONWARD_OK;
}

/* Input `slot` broadcasts to [B, H, S, T]. */
static onward_status attention_infer_mask(ow_infer *c, size_t slot, uint32_t types, const ow_dim want[4]) {
  if (!ow_infer_has(c, slot))
    return ONWARD_OK;
  OW_TRY(ow_infer_types(c, slot, types));
  OW_TRY(ow_infer_rank(c, slot, 0, 4));
  const ow_shape *m = &c->in[slot].shape;
  for (int32_t d = 0; d < m->rank; d++) {
    if (!ow_dim_is(m->dims[d], 1))
      OW_TRY(ow_infer_equal(c, m->dims[d], want[4 - m->rank + d], "a dim of the mask"));
  }
  return ONWARD_OK;
}

static onward_status attention_infer(ow_infer *c) {
  const onward_dtype dtype = c->in[0].dtype;
  const int64_t heads = attention_heads(c->node, OW_ATTENTION_Q), kv_heads = attention_heads(c->node, OW_ATTENTION_K);
  const bool merged = ow_node_int(c->node, "out_merged", 0) != 0;
  if (heads < 1 || kv_heads < 1 || heads % kv_heads)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld heads do not share %lld key heads", (long long)heads,
                         (long long)kv_heads);
  int32_t at[4];
  const char *order = ow_node_string(c->node, "out_order", "BHSD");
  if (!attention_positions(order, at) || (merged && (at[2] != 2 || at[3] != 3)))
    return ow_infer_fail(c, ONWARD_MODEL, "out_order '%s' does not fit", order);
  const char *dead = ow_node_string(c->node, "dead_row", "nan");
  if (strcmp(dead, "nan") != 0 && strcmp(dead, "zero") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "dead_row is '%s', want nan or zero", dead);
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, OW_ATTENTION_Q, OW_ATTENTION_V));
  ow_dim dims[3][4];
  for (size_t i = 0; i < 3; i++) {
    OW_TRY(ow_infer_rank(c, i, 3, 4));
    if (!ow_infer_ranked(c, i))
      return ow_infer_set(c, 0, dtype, -1, NULL);
    OW_TRY(attention_infer_operand(c, i, dims[i]));
  }
  const ow_dim *q = dims[0], *k = dims[1], *v = dims[2];
  OW_TRY(ow_infer_equal(c, k[0], q[0], "the batch of q and k"));
  OW_TRY(ow_infer_equal(c, v[0], q[0], "the batch of q and v"));
  OW_TRY(ow_infer_equal(c, k[3], q[3], "the head size of q and k"));
  OW_TRY(ow_infer_equal(c, v[1], k[1], "the length of k and v"));
  const ow_dim scores[4] = {q[0], q[2], q[1], k[1]};
  OW_TRY(attention_infer_mask(c, OW_ATTENTION_BIAS, OW_TYPES_FLOAT, scores));
  OW_TRY(attention_infer_mask(c, OW_ATTENTION_KEEP, OW_BIT(ONWARD_BOOL), scores));
  const ow_dim result[4] = {q[0], q[1], q[2], v[3]};
  ow_dim out[4];
  for (int i = 0; i < 4; i++)
    out[at[i]] = result[i];
  if (merged)
    out[2] = ow_dim_mul(c->dims, result[2], result[3]);
  return ow_infer_set(c, 0, dtype, merged ? 3 : 4, out);
}

/* ---- layout -------------------------------------------------------------------------------------------------------------- */

/* Strides of an operand and its dims B, S, H, D. */
static ow_attention_view attention_view(const onward_tensor *x, const char *order, int64_t offset, int64_t heads,
                                        int64_t size, int64_t dims[4]) {
  int32_t at[4] = {0, 1, 2, 3};
  (void)attention_positions(order, at);
  int64_t by_axis[4], extent[4] = {x->dims[0], x->dims[1], x->dims[2], x->rank == 4 ? x->dims[3] : 1};
  ow_strides(x->rank, x->dims, by_axis);
  if (x->rank == 3) {
    by_axis[2] = size;
    by_axis[3] = 1;
    extent[2] = heads;
    extent[3] = size;
  }
  for (int i = 0; i < 4; i++)
    dims[i] = extent[at[i]];
  return (ow_attention_view){offset, by_axis[at[0]], by_axis[at[2]], by_axis[at[1]], by_axis[at[3]]};
}

static ow_attention_view attention_mask_view(const ow_args *a, size_t slot) {
  int64_t strides[4] = {0};
  if (slot < a->in_count && a->in[slot])
    ow_broadcast_strides(a->in[slot]->rank, a->in[slot]->dims, 4, strides);
  return (ow_attention_view){0, strides[0], strides[1], strides[2], strides[3]};
}

void ow_attention_read(const ow_args *a, ow_attention *t) {
  ow_attention_view views[3];
  int64_t dims[3][4], out_dims[4];
  for (size_t i = 0; i < 3; i++)
    views[i] = attention_view(a->in[i], ow_node_string(a->node, attention_specs[i].order, "BHSD"),
                              ow_node_int(a->node, attention_specs[i].offset, 0), attention_heads(a->node, i),
                              attention_head_size(a->node, i), dims[i]);
  *t = (ow_attention){.batch = dims[0][0],
                      .heads = dims[0][2],
                      .kv_heads = dims[1][2],
                      .queries = dims[0][1],
                      .keys = dims[1][1],
                      .head_size = dims[0][3],
                      .v_head_size = dims[2][3],
                      .q = views[0],
                      .k = views[1],
                      .v = views[2],
                      .bias = attention_mask_view(a, OW_ATTENTION_BIAS),
                      .keep = attention_mask_view(a, OW_ATTENTION_KEEP),
                      .scale = ow_node_float(a->node, "scale", 1.0f),
                      .softcap = ow_node_float(a->node, "softcap", 0.0f),
                      .keep_value = ow_node_float(a->node, "keep_value", -INFINITY),
                      .causal = ow_node_int(a->node, "causal", 0) != 0,
                      .keep_after = ow_node_int(a->node, "keep_after", 0) != 0,
                      .dead_zero = strcmp(ow_node_string(a->node, "dead_row", "nan"), "zero") == 0};
  t->before = t->keys - t->queries;
  t->out =
      attention_view(a->out[0], ow_node_string(a->node, "out_order", "BHSD"), 0, t->heads, t->v_head_size, out_dims);
}

/* ---- reference ----------------------------------------------------------------------------------------------------------- */

/* Scores are rounded like those of a graph that computes them in float32: two masks of the smallest float add to -inf there. */
static double attention_round(onward_dtype dtype, double v) { return dtype == ONWARD_FLOAT64 ? v : (double)(float)v; }

static double attention_select(const ow_attention *t, const onward_tensor *keep, int64_t at, double score) {
  return !keep || ow_get_i64(ONWARD_BOOL, keep->data, at) ? score : (double)t->keep_value;
}

static double attention_score(const ow_args *a, const ow_attention *t, double dot, int64_t bias_at, int64_t keep_at) {
  const onward_tensor *bias = ow_args_in(a, OW_ATTENTION_BIAS);
  const onward_tensor *keep = ow_args_in(a, OW_ATTENTION_KEEP);
  const onward_dtype dtype = a->in[0]->dtype;
  double s = attention_round(dtype, dot * (double)t->scale);
  if (t->softcap > 0.0f)
    s = attention_round(dtype, (double)t->softcap * tanh(s / (double)t->softcap));
  if (!t->keep_after)
    s = attention_select(t, keep, keep_at, s);
  if (bias)
    s = attention_round(dtype, s + ow_load(bias->dtype, bias->data, bias_at));
  return t->keep_after ? attention_select(t, keep, keep_at, s) : s;
}

/* Scores become weights in place; false for a row that has none (NaN). */
static bool attention_softmax(double *scores, int64_t n) {
  double max = -INFINITY, sum = 0.0;
  for (int64_t i = 0; i < n; i++)
    max = scores[i] > max ? scores[i] : max;
  for (int64_t i = 0; i < n; i++)
    sum += scores[i] = exp(scores[i] - max);
  for (int64_t i = 0; i < n; i++)
    scores[i] /= sum;
  return !isnan(sum) && sum > 0.0;
}

static void attention_row(const ow_args *a, const ow_attention *t, int64_t b, int64_t h, int64_t s, double *q,
                          double *scores, double *sums) {
  const onward_dtype dtype = a->in[0]->dtype;
  const int64_t kv = h / (t->heads / t->kv_heads), visible = ow_attention_visible(t, s);
  const int64_t q_at = t->q.offset + b * t->q.b + h * t->q.h + s * t->q.s,
                k_at = t->k.offset + b * t->k.b + kv * t->k.h;
  const int64_t v_at = t->v.offset + b * t->v.b + kv * t->v.h, out_at = b * t->out.b + h * t->out.h + s * t->out.s;
  const int64_t bias_at = b * t->bias.b + h * t->bias.h + s * t->bias.s,
                keep_at = b * t->keep.b + h * t->keep.h + s * t->keep.s;
  for (int64_t d = 0; d < t->head_size; d++)
    q[d] = ow_load(dtype, a->in[OW_ATTENTION_Q]->data, q_at + d * t->q.d);
  for (int64_t j = 0; j < t->keys; j++) {
    double dot = 0.0;
    for (int64_t d = 0; j < visible && d < t->head_size; d++)
      dot += q[d] * ow_load(dtype, a->in[OW_ATTENTION_K]->data, k_at + j * t->k.s + d * t->k.d);
    scores[j] = j < visible ? attention_score(a, t, dot, bias_at + j * t->bias.d, keep_at + j * t->keep.d) : -INFINITY;
  }
  const bool alive = attention_softmax(scores, t->keys);
  for (int64_t d = 0; d < t->v_head_size; d++)
    sums[d] = 0.0;
  for (int64_t j = 0; (alive || !t->dead_zero) && j < t->keys; j++) {
    for (int64_t d = 0; d < t->v_head_size; d++)
      sums[d] += scores[j] * ow_load(dtype, a->in[OW_ATTENTION_V]->data, v_at + j * t->v.s + d * t->v.d);
  }
  for (int64_t d = 0; d < t->v_head_size; d++)
    ow_store(dtype, a->out[0]->data, out_at + d * t->out.d, sums[d]);
}

static onward_status attention_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  ow_attention t;
  size_t count;
  ow_attention_read(a, &t);
  if (!ow_size_add((size_t)t.keys, (size_t)t.head_size, &count) || !ow_size_add(count, (size_t)t.v_head_size, &count) ||
      !ow_size_mul(count, sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "too many keys");
  return ONWARD_OK;
}

static onward_status attention_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  ow_attention t;
  ow_attention_read(a, &t);
  double *scores = a->workspace, *q = scores + t.keys, *sums = q + t.head_size;
  for (int64_t b = 0; b < t.batch; b++) {
    for (int64_t h = 0; h < t.heads; h++) {
      for (int64_t s = 0; s < t.queries && !ow_stop_asked(); s++)
        attention_row(a, &t, b, h, s, q, scores, sums);
    }
  }
  return ONWARD_OK;
}

/* ---- row ----------------------------------------------------------------------------------------------------------------- */

static const ow_kernel attention_reference = {
    .name = "attention_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = attention_prepare, .run = attention_run};
static const ow_kernel *const attention_kernels[] = {OW_FAST_ATTENTION & attention_reference, NULL};

static const ow_attr_spec attention_attrs[] = {
    {"heads", OW_ATTR_INT, true},         {"kv_heads", OW_ATTR_INT, false},     {"scale", OW_ATTR_FLOAT, false},
    {"softcap", OW_ATTR_FLOAT, false},    {"causal", OW_ATTR_INT, false},       {"q_order", OW_ATTR_STRING, false},
    {"k_order", OW_ATTR_STRING, false},   {"v_order", OW_ATTR_STRING, false},   {"head_size", OW_ATTR_INT, false},
    {"v_head_size", OW_ATTR_INT, false},  {"q_offset", OW_ATTR_INT, false},     {"k_offset", OW_ATTR_INT, false},
    {"v_offset", OW_ATTR_INT, false},     {"out_order", OW_ATTR_STRING, false}, {"out_merged", OW_ATTR_INT, false},
    {"keep_value", OW_ATTR_FLOAT, false}, {"keep_after", OW_ATTR_INT, false},   {"dead_row", OW_ATTR_STRING, false},
    {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_attention[] = {{.domain = "onward",
                                   .name = "Attention",
                                   .since = 1,
                                   .min_inputs = 3,
                                   .max_inputs = 5,
                                   .min_outputs = 1,
                                   .max_outputs = 1,
                                   .attrs = attention_attrs,
                                   .infer = attention_infer,
                                   .kernels = attention_kernels},
                                  {.name = NULL}};
