/* ONNX Runtime's Attention, whose input meets one matrix of query, key and value weights, and MultiHeadAttention, whose queries, keys
 * and values are given. Both first lay their operands out in double as [B, S, heads, D]. */
#include "ops/attention_fast.h"
#include "ops/contrib_mask.h"

/* Scores, then the operands: doubles for q, k and v of one run. */
static onward_status contrib_workspace(const ow_args *a, const ow_sdpa *s, int64_t operands, size_t *workspace,
                                       onward_error *err) {
  size_t rows;
  const int64_t dims[1] = {operands};
  if (!ow_sdpa_workspace(s->keys, s->v.size, a->threads, &rows) ||
      !ow_tensor_size(ONWARD_FLOAT64, 1, dims, workspace) || !ow_size_add(*workspace, rows, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the input is too large");
  return ONWARD_OK;
}

static double contrib_scale(const ow_node *node, int64_t size) {
  const float scale = ow_node_float(node, "scale", 0.0f);
  return scale > 0.0f || scale < 0.0f ? (double)scale : 1.0 / sqrt((double)size);
}

/* ---- Attention: input [B, S, I], weights [I, 3H], bias? [3H], mask_index?, past? [2, B, N, P, D], attention_bias? ------------------- */

bool ow_att_widths(const ow_node *node, int64_t total, int64_t widths[3]) {
  size_t count;
  const int64_t *given = ow_node_ints(node, "qkv_hidden_sizes", &count);
  const int64_t heads = ow_node_int(node, "num_heads", 0);
  int64_t sum = 0;
  if (given && count != 3)
    return false;
  for (int i = 0; i < 3; i++) {
    widths[i] = given ? given[i] : total / 3;
    if (widths[i] < 0 || widths[i] > INT32_MAX || heads < 1 || widths[i] % heads != 0)
      return false;
    sum += widths[i];
  }
  return sum == total && widths[0] == widths[1];
}

onward_status ow_att_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, OW_ATT_X, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, OW_ATT_X, OW_ATT_BIAS));
  OW_TRY(ow_infer_types(c, OW_ATT_PAST, OW_BIT(c->in[OW_ATT_X].dtype)));
  OW_TRY(ow_infer_rank(c, OW_ATT_X, 3, 3));
  OW_TRY(ow_infer_rank(c, OW_ATT_WEIGHT, 2, 2));
  OW_TRY(ow_infer_rank(c, OW_ATT_PAST, 5, 5));
  if (ow_infer_has(c, OW_ATT_PAST_LENGTH) || ow_node_int(c->node, "past_present_share_buffer", 0) != 0 ||
      ow_node_int(c->node, "do_rotary", 0) != 0)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "a shared buffer of past and present, or a rotation inside");
  const ow_shape *x = &c->in[OW_ATT_X].shape, *w = &c->in[OW_ATT_WEIGHT].shape;
  const onward_dtype dtype = c->in[OW_ATT_X].dtype;
  if (x->rank < 0 || w->rank < 0 || !ow_dim_is_const(w->dims[1])) {
    for (size_t o = 0; o < c->out_count; o++)
      OW_TRY(ow_infer_set(c, o, dtype, -1, NULL));
    return ONWARD_OK;
  }
  const int64_t heads = ow_node_int(c->node, "num_heads", 0);
  int64_t widths[3];
  if (!ow_att_widths(c->node, w->dims[1].k, widths))
    return ow_infer_fail(c, ONWARD_MODEL, "%lld columns of weights do not make query, key and value of %lld heads",
                         (long long)w->dims[1].k, (long long)heads);
  OW_TRY(ow_infer_equal(c, x->dims[2], w->dims[0], "the width of the input and rows of the weights"));
  OW_TRY(ow_want_vector(c, OW_ATT_BIAS, w->dims[1], "length of the bias"));
  ow_dim keys = x->dims[1];
  const ow_dim size = ow_dim_const(widths[0] / heads);
  if (ow_infer_has(c, OW_ATT_PAST) && ow_infer_ranked(c, OW_ATT_PAST)) {
    const ow_shape *p = &c->in[OW_ATT_PAST].shape;
    const ow_dim want[5] = {ow_dim_const(2), x->dims[0], ow_dim_const(heads), p->dims[3], size};
    for (int32_t d = 0; d < 5; d++)
      OW_TRY(ow_infer_equal(c, p->dims[d], want[d], "a dim of past"));
    keys = ow_dim_add(c->dims, p->dims[3], keys);
  }
  if ((ow_infer_has(c, OW_ATT_PAST) || ow_node_output(c->node, 1)) && widths[2] != widths[0])
    return ow_infer_fail(c, ONWARD_MODEL, "a past needs keys and values of one size");
  OW_TRY(ow_contrib_infer_mask(c, OW_ATT_MASK, x->dims[0], x->dims[1], keys));
  const ow_dim scores[4] = {x->dims[0], ow_dim_const(heads), x->dims[1], keys};
  OW_TRY(ow_contrib_infer_added(c, OW_ATT_ADDED, scores));
  const ow_dim out[3] = {x->dims[0], x->dims[1], ow_dim_const(widths[2])};
  OW_TRY(ow_infer_set(c, 0, dtype, 3, out));
  const ow_dim present[5] = {ow_dim_const(2), x->dims[0], ow_dim_const(heads), keys, size};
  return c->out_count > 1 ? ow_infer_set(c, 1, dtype, 5, present) : ONWARD_OK;
}

/* The job, but for where q, k and v lie. */
static ow_sdpa att_job(const ow_args *a, const onward_tensor *qkv, int64_t widths[3]) {
  const onward_tensor *x = a->in[OW_ATT_X], *past = ow_args_in(a, OW_ATT_PAST);
  const int64_t heads = ow_node_int(a->node, "num_heads", 1), length = x->dims[1],
                total = a->in[OW_ATT_WEIGHT]->dims[1];
  (void)ow_att_widths(a->node, total, widths);
  ow_sdpa s = {.batch = x->dims[0],
               .scale = contrib_scale(a->node, widths[0] / heads),
               .past_k = ow_heads_cache(a->node, 0, past, 0),
               .past_v = ow_heads_cache(a->node, 0, past, 1),
               .dead_nan = true,
               .bias = ow_contrib_bias_of};
  s.keys = length + s.past_k.length;
  ow_heads *const parts[3] = {&s.q, &s.k, &s.v};
  int64_t offset = 0;
  for (int i = 0; i < 3; offset += widths[i++])
    *parts[i] = (ow_heads){qkv, heads, length, widths[i] / heads, offset, length * total, widths[i] / heads, total};
  return s;
}

onward_status ow_att_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  int64_t widths[3], count;
  const ow_sdpa s = att_job(a, NULL, widths);
  if (!ow_i64_mul(s.batch * s.q.length, a->in[OW_ATT_WEIGHT]->dims[1], &count))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the input is too large");
  return contrib_workspace(a, &s, count, workspace, err);
}

typedef struct att_product {
  const ow_args *args;
  double *to;
} att_product;

/* Rows of input * weights + bias. */
static void att_project(void *context, int64_t from, int64_t to) {
  const att_product *const p = context;
  const onward_tensor *x = p->args->in[OW_ATT_X], *w = p->args->in[OW_ATT_WEIGHT],
                      *bias = ow_args_in(p->args, OW_ATT_BIAS);
  const int64_t inner = w->dims[0], columns = w->dims[1];
  for (int64_t row = from; row < to; row++) {
    double *const sums = p->to + row * columns;
    for (int64_t n = 0; n < columns; n++)
      sums[n] = bias ? ow_load(bias->dtype, bias->data, n) : 0.0;
    for (int64_t k = 0; k < inner; k++) {
      const double v = ow_load(x->dtype, x->data, row * inner + k);
      for (int64_t n = 0; n < columns; n++)
        sums[n] += v * ow_load(w->dtype, w->data, k * columns + n);
    }
  }
}

void ow_att_run(const ow_args *a, ow_range_fn project, void *context) {
  const onward_tensor *out = ow_args_out(a, 0);
  const onward_tensor qkv = {.dtype = ONWARD_FLOAT64, .data = a->workspace};
  int64_t widths[3];
  ow_sdpa s = att_job(a, &qkv, widths);
  ow_parallel_ranges(a->threads, s.batch * s.q.length, 1, project, context);
  for (int64_t part = 0; part < 2; part++) {
    const ow_heads to = ow_heads_cache(a->node, 0, ow_args_out(a, 1), part);
    ow_sdpa_join(&s, &to, part ? &s.v : &s.k, part ? &s.past_v : &s.past_k);
  }
  const ow_contrib_bias bias = {.mask = ow_args_in(a, OW_ATT_MASK),
                                .added = ow_args_in(a, OW_ATT_ADDED),
                                .batch = s.batch,
                                .past = s.past_k.length,
                                .filter = (double)ow_node_float(a->node, "mask_filter_value", -10000.0f),
                                .causal = ow_node_int(a->node, "unidirectional", 0) != 0};
  s.context = &bias;
  if (out)
    s.out = ow_heads_inner(out, s.q.heads, s.q.length, s.v.size);
  s.workspace = (double *)a->workspace + s.batch * s.q.length * a->in[OW_ATT_WEIGHT]->dims[1];
  ow_sdpa_run(&s, a->threads);
}

static onward_status att_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  att_product product = {a, a->workspace};
  ow_att_run(a, att_project, &product);
  return ONWARD_OK;
}

/* ---- MultiHeadAttention: query, key?, value?, bias?, key_padding_mask?, attention_bias?, past_key?, past_value? --------------------- */

/* Where q, k and v lie: query [B, S, N * D] or packed [B, S, N, 3, D]; key [B, T, N * D], packed with value [B, T, N, 2, D], or
 * [B, N, T, D]. The inputs' ranks are known and right. */
static ow_sdpa mha_job(const ow_args *a) {
  const onward_tensor *q = a->in[OW_MHA_Q], *k = ow_args_in(a, OW_MHA_K), *v = ow_args_in(a, OW_MHA_V);
  const int64_t heads = ow_node_int(a->node, "num_heads", 1), length = q->dims[1];
  ow_sdpa s = {.batch = q->dims[0],
               .past_k = ow_heads_cache(a->node, 0, ow_args_in(a, OW_MHA_PAST_K), 0),
               .past_v = ow_heads_cache(a->node, 1, ow_args_in(a, OW_MHA_PAST_V), 0),
               .dead_nan = true,
               .bias = ow_contrib_bias_of};
  if (q->rank == 5) {
    const int64_t size = q->dims[4], row = heads * 3 * size;
    s.q = (ow_heads){q, heads, length, size, 0, length * row, 3 * size, row};
    s.k = s.v = s.q;
    s.k.offset = size;
    s.v.offset = 2 * size;
  } else {
    s.q = ow_heads_inner(q, heads, length, q->dims[2] / heads);
    if (k->rank == 5) {
      const int64_t size = k->dims[4], keys = k->dims[1], row = heads * 2 * size;
      s.k = (ow_heads){k, heads, keys, size, 0, keys * row, 2 * size, row};
      s.v = s.k;
      s.v.offset = size;
    } else if (k->rank == 4) {
      s.k = ow_heads_outer(k, heads, k->dims[2], k->dims[3]);
      s.v = ow_heads_outer(v, heads, v->dims[2], v->dims[3]);
    } else {
      s.k = ow_heads_inner(k, heads, k->dims[1], k->dims[2] / heads);
      s.v = ow_heads_inner(v, heads, v->dims[1], v->dims[2] / heads);
    }
  }
  s.keys = s.k.length + s.past_k.length;
  s.scale = contrib_scale(a->node, s.q.size);
  return s;
}

static onward_status mha_infer(ow_infer *c) {
  const int64_t heads = ow_node_int(c->node, "num_heads", 0);
  const onward_dtype dtype = c->in[OW_MHA_Q].dtype;
  if (heads < 1 || heads > INT32_MAX)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'num_heads' is %lld", (long long)heads);
  OW_TRY(ow_infer_types(c, OW_MHA_Q, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, OW_MHA_Q, OW_MHA_BIAS));
  for (size_t i = OW_MHA_PAST_K; i <= OW_MHA_PAST_V; i++) {
    OW_TRY(ow_infer_types(c, i, OW_BIT(dtype)));
    OW_TRY(ow_infer_rank(c, i, 4, 4));
  }
  if (ow_infer_has(c, OW_MHA_REST) || ow_infer_has(c, OW_MHA_REST + 1) || ow_node_output(c->node, 3))
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "a shared buffer of past and present, or scores as an output");
  if (ow_infer_has(c, OW_MHA_PAST_K) != ow_infer_has(c, OW_MHA_PAST_V))
    return ow_infer_fail(c, ONWARD_MODEL, "past_key and past_value come together");
  bool known = true;
  for (size_t i = 0; i < OW_MHA_BIAS; i++)
    known &= !ow_infer_has(c, i) || ow_infer_ranked(c, i);
  if (!known) {
    for (size_t o = 0; o < c->out_count && o < 3; o++)
      OW_TRY(ow_infer_set(c, o, dtype, -1, NULL));
    return ONWARD_OK;
  }
  const ow_shape *q = &c->in[OW_MHA_Q].shape, *k = &c->in[OW_MHA_K].shape, *v = &c->in[OW_MHA_V].shape;
  const ow_dim n = ow_dim_const(heads);
  ow_dim q_size, v_size, keys;
  if (q->rank == 5) { /* [B, S, N, 3, D] */
    if (ow_infer_has(c, OW_MHA_K) || ow_infer_has(c, OW_MHA_V))
      return ow_infer_fail(c, ONWARD_MODEL, "a packed query leaves out key and value");
    OW_TRY(ow_infer_equal(c, q->dims[2], n, "the number of heads"));
    OW_TRY(ow_infer_equal(c, q->dims[3], ow_dim_const(3), "parts of a packed query"));
    q_size = v_size = q->dims[4];
    keys = q->dims[1];
  } else {
    OW_TRY(ow_infer_rank(c, OW_MHA_Q, 3, 3));
    OW_TRY(ow_infer_rank(c, OW_MHA_K, 3, 5));
    if (!ow_infer_has(c, OW_MHA_K) || (k->rank != 5) != ow_infer_has(c, OW_MHA_V))
      return ow_infer_fail(c, ONWARD_MODEL, "key and value do not go with the query");
    if (ow_dim_is_const(q->dims[2]) && q->dims[2].k % heads != 0)
      return ow_infer_fail(c, ONWARD_MODEL, "a width of %lld is no multiple of %lld heads", (long long)q->dims[2].k,
                           (long long)heads);
    q_size = ow_dim_floordiv(c->dims, q->dims[2], n);
    OW_TRY(ow_infer_equal(c, k->dims[0], q->dims[0], "the batch of query and key"));
    if (k->rank == 5) {
      OW_TRY(ow_infer_equal(c, k->dims[2], n, "the number of heads"));
      OW_TRY(ow_infer_equal(c, k->dims[3], ow_dim_const(2), "parts of a packed key"));
      OW_TRY(ow_infer_equal(c, k->dims[4], q_size, "the head size of query and key"));
      v_size = k->dims[4];
      keys = k->dims[1];
    } else {
      OW_TRY(ow_infer_rank(c, OW_MHA_V, k->rank, k->rank));
      const bool outer = k->rank == 4;
      for (int32_t d = 0; d < k->rank - 1; d++)
        OW_TRY(ow_infer_equal(c, k->dims[d], v->dims[d], "a dim of key and value"));
      if (outer)
        OW_TRY(ow_infer_equal(c, k->dims[1], n, "the number of heads"));
      if (!outer && ow_dim_is_const(v->dims[2]) && v->dims[2].k % heads != 0)
        return ow_infer_fail(c, ONWARD_MODEL, "a width of %lld is no multiple of %lld heads", (long long)v->dims[2].k,
                             (long long)heads);
      const ow_dim k_size = outer ? k->dims[3] : ow_dim_floordiv(c->dims, k->dims[2], n);
      OW_TRY(ow_infer_equal(c, k_size, q_size, "the head size of query and key"));
      v_size = outer ? v->dims[3] : ow_dim_floordiv(c->dims, v->dims[2], n);
      keys = k->dims[outer ? 2 : 1];
    }
  }
  for (size_t i = OW_MHA_PAST_K; i <= OW_MHA_PAST_V && ow_infer_has(c, OW_MHA_PAST_K) && ow_infer_ranked(c, i); i++) {
    const ow_shape *p = &c->in[i].shape;
    const ow_dim want[4] = {q->dims[0], n, c->in[OW_MHA_PAST_K].shape.dims[2], i == OW_MHA_PAST_K ? q_size : v_size};
    for (int32_t d = 0; d < 4; d++)
      OW_TRY(ow_infer_equal(c, p->dims[d], want[d], "a dim of past"));
  }
  if (ow_infer_has(c, OW_MHA_PAST_K) && ow_infer_ranked(c, OW_MHA_PAST_K))
    keys = ow_dim_add(c->dims, c->in[OW_MHA_PAST_K].shape.dims[2], keys);
  const ow_dim width = ow_dim_mul(c->dims, n, ow_dim_add(c->dims, ow_dim_add(c->dims, q_size, q_size), v_size));
  OW_TRY(ow_want_vector(c, OW_MHA_BIAS, width, "length of the bias"));
  OW_TRY(ow_contrib_infer_mask(c, OW_MHA_MASK, q->dims[0], q->dims[1], keys));
  const ow_dim scores[4] = {q->dims[0], n, q->dims[1], keys};
  OW_TRY(ow_contrib_infer_added(c, OW_MHA_ADDED, scores));
  const ow_dim out[3] = {q->dims[0], q->dims[1], ow_dim_mul(c->dims, n, v_size)};
  OW_TRY(ow_infer_set(c, 0, dtype, 3, out));
  for (size_t o = 1; o < c->out_count && o < 3; o++) {
    const ow_dim present[4] = {q->dims[0], n, keys, o == 1 ? q_size : v_size};
    OW_TRY(ow_infer_set(c, o, dtype, 4, present));
  }
  return ONWARD_OK;
}

static int64_t mha_operands(const ow_sdpa *s) {
  return s->batch * s->q.heads * (s->q.length * s->q.size + s->k.length * (s->k.size + s->v.size));
}

static onward_status mha_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const ow_sdpa s = mha_job(a);
  return contrib_workspace(a, &s, mha_operands(&s), workspace, err);
}

/* An operand with its part of the bias, dense as [B, S, N, D]; returns the end of what was written. */
static double *mha_add_bias(const ow_sdpa *s, ow_heads *x, const onward_tensor *bias, int64_t part, onward_tensor *room,
                            double *to) {
  *room = (onward_tensor){.dtype = ONWARD_FLOAT64, .data = to};
  for (int64_t b = 0; b < s->batch; b++)
    for (int64_t i = 0; i < x->length; i++)
      for (int64_t h = 0; h < x->heads; h++)
        for (int64_t d = 0; d < x->size; d++)
          *to++ = ow_load(x->x->dtype, x->x->data, x->offset + b * x->b + i * x->s + h * x->h + d) +
                  ow_load(bias->dtype, bias->data, part + h * x->size + d);
  *x = ow_heads_inner(room, x->heads, x->length, x->size);
  return to;
}

static onward_status mha_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *bias = ow_args_in(a, OW_MHA_BIAS), *out = ow_args_out(a, 0);
  onward_tensor room[3];
  ow_sdpa s = mha_job(a);
  s.workspace = (double *)a->workspace + mha_operands(&s);
  if (bias) {
    const int64_t width = s.q.heads * s.q.size;
    double *to = mha_add_bias(&s, &s.q, bias, 0, &room[0], a->workspace);
    to = mha_add_bias(&s, &s.k, bias, width, &room[1], to);
    (void)mha_add_bias(&s, &s.v, bias, 2 * width, &room[2], to);
  }
  for (size_t o = 1; o < a->out_count && o < 3; o++) {
    const ow_heads to = ow_heads_cache(a->node, o - 1, a->out[o], 0);
    ow_sdpa_join(&s, &to, o == 1 ? &s.k : &s.v, o == 1 ? &s.past_k : &s.past_v);
  }
  const ow_contrib_bias context = {.mask = ow_args_in(a, OW_MHA_MASK),
                                   .added = ow_args_in(a, OW_MHA_ADDED),
                                   .batch = s.batch,
                                   .past = s.past_k.length,
                                   .filter = (double)ow_node_float(a->node, "mask_filter_value", -10000.0f),
                                   .causal = ow_node_int(a->node, "unidirectional", 0) != 0};
  s.context = &context;
  if (out)
    s.out = ow_heads_inner(out, s.q.heads, s.q.length, s.v.size);
  ow_sdpa_run(&s, a->threads);
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel att_reference = {
    .name = "contrib_attention_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = ow_att_prepare, .run = att_run};
static const ow_kernel mha_reference = {
    .name = "multi_head_attention_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = mha_prepare, .run = mha_run};
static const ow_kernel *const att_kernels[] = {&ow_attention_fast, &att_reference, NULL};
static const ow_kernel *const mha_kernels[] = {&ow_mha_fast, &mha_reference, NULL};
static const ow_attr_spec att_attrs[] = {{"do_rotary", OW_ATTR_INT, false},
                                         {"mask_filter_value", OW_ATTR_FLOAT, false},
                                         {"num_heads", OW_ATTR_INT, true},
                                         {"past_present_share_buffer", OW_ATTR_INT, false},
                                         {"qkv_hidden_sizes", OW_ATTR_INTS, false},
                                         {"rotary_embedding_dim", OW_ATTR_INT, false},
                                         {"scale", OW_ATTR_FLOAT, false},
                                         {"unidirectional", OW_ATTR_INT, false},
                                         {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec mha_attrs[] = {{"mask_filter_value", OW_ATTR_FLOAT, false},
                                         {"num_heads", OW_ATTR_INT, true},
                                         {"scale", OW_ATTR_FLOAT, false},
                                         {"unidirectional", OW_ATTR_INT, false},
                                         {NULL, OW_ATTR_NONE, false}};

static const ow_carry att_carry[] = {{1, OW_ATT_PAST, 3}};
static const ow_carry mha_carry[] = {{1, OW_MHA_PAST_K, 2}, {2, OW_MHA_PAST_V, 2}};

const ow_op ow_ops_attention_contrib[] = {{.domain = "com.microsoft",
                                           .name = "Attention",
                                           .since = 1,
                                           .min_inputs = 2,
                                           .max_inputs = 7,
                                           .min_outputs = 1,
                                           .max_outputs = 2,
                                           .attrs = att_attrs,
                                           .infer = ow_att_infer,
                                           .carry = att_carry,
                                           .carry_count = 1,
                                           .kernels = att_kernels},
                                          {.domain = "com.microsoft",
                                           .name = "MultiHeadAttention",
                                           .since = 1,
                                           .min_inputs = 1,
                                           .max_inputs = 10,
                                           .min_outputs = 1,
                                           .max_outputs = 4,
                                           .attrs = mha_attrs,
                                           .infer = mha_infer,
                                           .carry = mha_carry,
                                           .carry_count = 2,
                                           .kernels = mha_kernels},
                                          {.name = NULL}};
