/* ai.onnx Attention: scaled dot-product attention with a mask, causal and window limits, softcap, grouped heads, and a cache that is
 * joined to the new keys and values (past, present) or kept outside (nonpad_kv_seqlen). */
#include "ops/sdpa.h"

enum { SDPA_Q, SDPA_K, SDPA_V, SDPA_MASK, SDPA_PAST_K, SDPA_PAST_V, SDPA_VALID };
enum { SDPA_OUT, SDPA_PRESENT_K, SDPA_PRESENT_V, SDPA_SCORES };

/* ---- infer --------------------------------------------------------------------------------------------------------------- */

static int64_t sdpa_heads(const ow_node *node, size_t operand) {
  return ow_node_int(node, operand == SDPA_Q ? "q_num_heads" : "kv_num_heads", 0);
}

/* dims: B, H, S, D of q, k or v, whose rank is known. */
static onward_status sdpa_infer_operand(ow_infer *c, size_t operand, ow_dim dims[4]) {
  const ow_shape *x = &c->in[operand].shape;
  const int64_t heads = sdpa_heads(c->node, operand);
  if (x->rank == 4) {
    memcpy(dims, x->dims, 4 * sizeof dims[0]);
    if (heads != 0)
      return ow_infer_equal(c, dims[1], ow_dim_const(heads), "the number of heads");
    return ONWARD_OK;
  }
  if (heads < 1 || heads > INT32_MAX)
    return ow_infer_fail(c, ONWARD_MODEL, "inputs of rank 3 need the attributes q_num_heads and kv_num_heads");
  if (ow_dim_is_const(x->dims[2]) && x->dims[2].k % heads != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu: a width of %lld is no multiple of %lld heads", operand,
                         (long long)x->dims[2].k, (long long)heads);
  dims[0] = x->dims[0];
  dims[1] = ow_dim_const(heads);
  dims[2] = x->dims[1];
  dims[3] = ow_dim_floordiv(c->dims, x->dims[2], ow_dim_const(heads));
  return ONWARD_OK;
}

/* The mask broadcasts to [B, H, S, T]; since opset 24 its last dim may be shorter, and the rest is masked. */
static onward_status sdpa_infer_mask(ow_infer *c, const ow_dim scores[4]) {
  OW_TRY(ow_infer_types(c, SDPA_MASK, OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL)));
  OW_TRY(ow_infer_rank(c, SDPA_MASK, 1, 4));
  const ow_shape *m = &c->in[SDPA_MASK].shape;
  for (int32_t d = 0; ow_infer_has(c, SDPA_MASK) && d < m->rank; d++) {
    const ow_dim want = scores[4 - m->rank + d];
    if (d == m->rank - 1 && c->node->version >= 24) {
      if (ow_dim_is_const(m->dims[d]) && ow_dim_is_const(want) && m->dims[d].k > want.k)
        return ow_infer_fail(c, ONWARD_MODEL, "a mask for %lld keys, there are %lld", (long long)m->dims[d].k,
                             (long long)want.k);
    } else if (!ow_dim_is(m->dims[d], 1)) {
      OW_TRY(ow_infer_equal(c, m->dims[d], want, "a dim of the mask"));
    }
  }
  return ONWARD_OK;
}

static onward_status sdpa_infer_attrs(ow_infer *c) {
  const int64_t mode = ow_node_int(c->node, "qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'qk_matmul_output_mode' is %lld, want 0 to 3", (long long)mode);
  if (ow_node_int(c->node, "left_window_size", -1) < -1 || ow_node_int(c->node, "right_window_size", -1) < -1)
    return ow_infer_fail(c, ONWARD_MODEL, "a window size below -1");
  if (ow_node_float(c->node, "softcap", 0.0f) < 0.0f)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'softcap' is negative");
  if (ow_infer_has(c, SDPA_PAST_K) != ow_infer_has(c, SDPA_PAST_V))
    return ow_infer_fail(c, ONWARD_MODEL, "past_key and past_value come together");
  if (ow_infer_has(c, SDPA_VALID) && ow_infer_has(c, SDPA_PAST_K))
    return ow_infer_fail(c, ONWARD_MODEL, "nonpad_kv_seqlen and past_key exclude each other");
  return ONWARD_OK;
}

static onward_status sdpa_infer(ow_infer *c) {
  OW_TRY(sdpa_infer_attrs(c));
  OW_TRY(ow_infer_types(c, SDPA_Q, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, SDPA_V, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, SDPA_Q, SDPA_K));
  const onward_dtype dtype = c->in[SDPA_Q].dtype, v_dtype = c->in[SDPA_V].dtype;
  ow_dim dims[3][4];
  for (size_t i = SDPA_Q; i <= SDPA_V; i++) {
    OW_TRY(ow_infer_rank(c, i, 3, 4));
    if (!ow_infer_ranked(c, i) || !ow_infer_ranked(c, SDPA_Q)) {
      for (size_t o = 0; o < c->out_count && o < 4; o++)
        OW_TRY(ow_infer_set(c, o, o == SDPA_PRESENT_V ? v_dtype : dtype, -1, NULL));
      return ONWARD_OK;
    }
    OW_TRY(ow_infer_rank(c, i, c->in[SDPA_Q].shape.rank, c->in[SDPA_Q].shape.rank));
    OW_TRY(sdpa_infer_operand(c, i, dims[i]));
  }
  const ow_dim *q = dims[0], *k = dims[1], *v = dims[2];
  OW_TRY(ow_infer_equal(c, k[0], q[0], "the batch of q and k"));
  OW_TRY(ow_infer_equal(c, v[0], q[0], "the batch of q and v"));
  OW_TRY(ow_infer_equal(c, k[1], v[1], "the heads of k and v"));
  OW_TRY(ow_infer_equal(c, k[2], v[2], "the length of k and v"));
  OW_TRY(ow_infer_equal(c, k[3], q[3], "the head size of q and k"));
  if (ow_dim_is_const(q[1]) && ow_dim_is_const(k[1]) && (k[1].k < 1 || q[1].k % k[1].k != 0))
    return ow_infer_fail(c, ONWARD_MODEL, "%lld query heads do not share %lld key heads", (long long)q[1].k,
                         (long long)k[1].k);
  ow_dim total = k[2];
  if (ow_infer_has(c, SDPA_PAST_K)) {
    for (size_t i = SDPA_PAST_K; i <= SDPA_PAST_V; i++) {
      const ow_dim *own = dims[i - SDPA_PAST_K + 1];
      OW_TRY(ow_infer_types(c, i, OW_BIT(c->in[i - SDPA_PAST_K + 1].dtype)));
      OW_TRY(ow_infer_rank(c, i, 4, 4));
      if (!ow_infer_ranked(c, i))
        return ow_infer_fail(c, ONWARD_UNSUPPORTED, "a past whose rank is not known");
      for (int32_t d = 0; d < 4; d++)
        if (d != 2)
          OW_TRY(ow_infer_equal(c, c->in[i].shape.dims[d], own[d], "a dim of past and new"));
    }
    OW_TRY(ow_infer_equal(c, c->in[SDPA_PAST_K].shape.dims[2], c->in[SDPA_PAST_V].shape.dims[2], "the length of past"));
    total = ow_dim_add(c->dims, c->in[SDPA_PAST_K].shape.dims[2], k[2]);
  }
  OW_TRY(ow_infer_types(c, SDPA_VALID, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_want_vector(c, SDPA_VALID, q[0], "the batch of q and nonpad_kv_seqlen"));
  const ow_dim scores[4] = {q[0], q[1], q[2], total};
  OW_TRY(sdpa_infer_mask(c, scores));
  const ow_dim out4[4] = {q[0], q[1], q[2], v[3]}, out3[3] = {q[0], q[2], ow_dim_mul(c->dims, q[1], v[3])};
  const bool flat = c->in[SDPA_Q].shape.rank == 3;
  OW_TRY(ow_infer_set(c, SDPA_OUT, dtype, flat ? 3 : 4, flat ? out3 : out4));
  const ow_dim present[2][4] = {{k[0], k[1], total, k[3]}, {v[0], v[1], total, v[3]}};
  if (c->out_count > SDPA_PRESENT_K)
    OW_TRY(ow_infer_set(c, SDPA_PRESENT_K, dtype, 4, present[0]));
  if (c->out_count > SDPA_PRESENT_V)
    OW_TRY(ow_infer_set(c, SDPA_PRESENT_V, v_dtype, 4, present[1]));
  return c->out_count > SDPA_SCORES ? ow_infer_set(c, SDPA_SCORES, dtype, 4, scores) : ONWARD_OK;
}

/* ---- kernel -------------------------------------------------------------------------------------------------------------- */

/* What the bias depends on. */
typedef struct sdpa_view {
  const onward_tensor *mask, *valid;
  int64_t dims[4], strides[4]; /* of the mask as [B, H, S, T] */
  int64_t past, queries, left, right;
  bool causal, pads_mask;
} sdpa_view;

static ow_heads sdpa_operand(const ow_args *a, size_t operand) {
  const onward_tensor *x = a->in[operand];
  if (x->rank == 4)
    return ow_heads_outer(x, x->dims[1], x->dims[2], x->dims[3]);
  const int64_t heads = sdpa_heads(a->node, operand);
  return ow_heads_inner(x, heads, x->dims[1], x->dims[2] / heads);
}

/* The mask, or -inf where the query may not look. */
static double sdpa_bias(const ow_sdpa *s, int64_t b, int64_t h, int64_t i, int64_t t) {
  const sdpa_view *const v = s->context;
  double bias = 0.0;
  if (v->mask && v->pads_mask && t >= v->dims[3]) {
    bias = -INFINITY;
  } else if (v->mask) {
    const int64_t at = b * v->strides[0] + h * v->strides[1] + i * v->strides[2] + t * v->strides[3];
    const double m = ow_load(v->mask->dtype, v->mask->data, at);
    bias = v->mask->dtype == ONWARD_BOOL ? (m > 0.0 ? 0.0 : -INFINITY) : m;
  }
  const int64_t valid = v->valid ? ow_index_at(v->valid, b) : s->keys;
  const int64_t place = i + (v->valid ? valid - v->queries : v->past); /* of the query among the keys */
  if ((v->causal && t > place) || t >= valid || (v->left >= 0 && place - t > v->left) ||
      (v->right >= 0 && t - place > v->right))
    bias += -INFINITY;
  return bias;
}

static ow_sdpa sdpa_job_of(const ow_args *a, sdpa_view *v) {
  const onward_tensor *out = ow_args_out(a, SDPA_OUT);
  ow_sdpa s = {.q = sdpa_operand(a, SDPA_Q),
               .k = sdpa_operand(a, SDPA_K),
               .v = sdpa_operand(a, SDPA_V),
               .past_k = ow_heads_cache(a->node, 0, ow_args_in(a, SDPA_PAST_K), 0),
               .past_v = ow_heads_cache(a->node, 1, ow_args_in(a, SDPA_PAST_V), 0),
               .shown = ow_args_out(a, SDPA_SCORES),
               .mode = ow_node_int(a->node, "qk_matmul_output_mode", 0),
               .batch = a->in[SDPA_Q]->dims[0],
               .softcap = (double)ow_node_float(a->node, "softcap", 0.0f),
               .bias = sdpa_bias,
               .context = v,
               .workspace = a->workspace};
  if (out)
    s.out = out->rank == 4 ? ow_heads_outer(out, s.q.heads, s.q.length, s.v.size)
                           : ow_heads_inner(out, s.q.heads, s.q.length, s.v.size);
  s.keys = s.past_k.length + s.k.length;
  s.scale =
      ow_node_attr(a->node, "scale") ? (double)ow_node_float(a->node, "scale", 0.0f) : 1.0 / sqrt((double)s.q.size);
  *v = (sdpa_view){.mask = ow_args_in(a, SDPA_MASK),
                   .valid = ow_args_in(a, SDPA_VALID),
                   .past = s.past_k.length,
                   .queries = s.q.length,
                   .left = ow_node_int(a->node, "left_window_size", -1),
                   .right = ow_node_int(a->node, "right_window_size", -1),
                   .causal = ow_node_int(a->node, "is_causal", 0) != 0,
                   .pads_mask = a->node->version >= 24};
  int64_t step = 1;
  for (int32_t d = 3; d >= 0 && v->mask; d--) {
    const int32_t own = d - (4 - v->mask->rank);
    v->dims[d] = own < 0 ? 1 : v->mask->dims[own];
    v->strides[d] = v->dims[d] == 1 && !(d == 3 && v->pads_mask) ? 0 : step;
    step *= v->dims[d];
  }
  return s;
}

static onward_status sdpa_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  sdpa_view v;
  const ow_sdpa s = sdpa_job_of(a, &v);
  if (!ow_sdpa_workspace(s.keys, s.v.size, a->threads, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "too many keys");
  return ONWARD_OK;
}

static onward_status sdpa_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  sdpa_view v;
  const ow_sdpa s = sdpa_job_of(a, &v);
  for (int64_t b = 0; v.valid && b < v.valid->dims[0]; b++)
    if (ow_index_at(v.valid, b) < 0 || ow_index_at(v.valid, b) > s.keys)
      return ow_fail_index(a, SDPA_VALID, b, ow_index_at(v.valid, b), 0, s.keys, err);
  if (v.mask && v.pads_mask && v.dims[3] > s.keys)
    return ow_node_fail(a->node, err, ONWARD_DATA, "a mask for %lld keys, there are %lld", (long long)v.dims[3],
                        (long long)s.keys);
  const ow_heads to_k = ow_heads_cache(a->node, 0, ow_args_out(a, SDPA_PRESENT_K), 0),
                 to_v = ow_heads_cache(a->node, 1, ow_args_out(a, SDPA_PRESENT_V), 0);
  ow_sdpa_join(&s, &to_k, &s.k, &s.past_k);
  ow_sdpa_join(&s, &to_v, &s.v, &s.past_v);
  ow_sdpa_run(&s, a->threads);
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel sdpa_reference = {
    .name = "sdpa_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = sdpa_prepare, .run = sdpa_run};
static const ow_kernel *const sdpa_kernels[] = {&sdpa_reference, NULL};

#define SDPA_ATTRS                                                                                              \
  {"is_causal", OW_ATTR_INT, false}, {"kv_num_heads", OW_ATTR_INT, false}, {"q_num_heads", OW_ATTR_INT, false}, \
      {"qk_matmul_output_mode", OW_ATTR_INT, false}, {"scale", OW_ATTR_FLOAT, false},                           \
      {"softcap", OW_ATTR_FLOAT, false}, {                                                                      \
    "softmax_precision", OW_ATTR_INT, false                                                                     \
  }
static const ow_attr_spec sdpa_attrs[] = {SDPA_ATTRS, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec sdpa_window_attrs[] = {SDPA_ATTRS,
                                                 {"left_window_size", OW_ATTR_INT, false},
                                                 {"right_window_size", OW_ATTR_INT, false},
                                                 {NULL, OW_ATTR_NONE, false}};

static const ow_carry sdpa_carry[] = {{SDPA_PRESENT_K, SDPA_PAST_K, 2}, {SDPA_PRESENT_V, SDPA_PAST_V, 2}};

#define SDPA_ROW(from, to, inputs, spec)                                                                           \
  {                                                                                                                \
    .domain = "", .name = "Attention", .since = from, .until = to, .min_inputs = 3, .max_inputs = inputs,          \
    .min_outputs = 1, .max_outputs = 4, .attrs = spec, .infer = sdpa_infer, .carry = sdpa_carry, .carry_count = 2, \
    .kernels = sdpa_kernels                                                                                        \
  }
const ow_op ow_ops_attention_onnx[] = {SDPA_ROW(23, 23, 6, sdpa_attrs),
                                       SDPA_ROW(24, 24, 7, sdpa_attrs),
                                       SDPA_ROW(25, 0, 7, sdpa_window_attrs),
                                       {.name = NULL}};
