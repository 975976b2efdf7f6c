/* ONNX Runtime's SparseAttention (Phi-3-small): causal attention over blocks that a layout per head lists, with a buffer of keys and
 * values that is longer than what is in use. Inputs: query (or packed q, k, v), key?, value?, past_key, past_value, block rows
 * [layouts, blocks + 1] and columns [layouts, nonzeros], total length, lengths [B], cos?, sin?. */
#include "ops/sdpa.h"

enum { SPA_Q, SPA_K, SPA_V, SPA_PAST_K, SPA_PAST_V, SPA_ROWS, SPA_COLUMNS, SPA_TOTAL, SPA_LENGTHS, SPA_COS, SPA_SIN };

static onward_status spa_infer(ow_infer *c) {
  const int64_t heads = ow_node_int(c->node, "num_heads", 0), kv = ow_node_int(c->node, "kv_num_heads", 0);
  const int64_t block = ow_node_int(c->node, "sparse_block_size", 0);
  const onward_dtype dtype = c->in[SPA_Q].dtype;
  if (heads < 1 || kv < 1 || heads > INT32_MAX || kv > heads || heads % kv != 0 || block < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld heads, %lld of keys, blocks of %lld", (long long)heads, (long long)kv,
                         (long long)block);
  for (size_t i = SPA_PAST_K; i <= SPA_LENGTHS; i++)
    if (!ow_infer_has(c, i))
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu is required but left out", i);
  OW_TRY(ow_infer_types(c, SPA_Q, OW_TYPES_FLOAT));
  for (size_t i = SPA_K; i <= SPA_PAST_V; i++)
    OW_TRY(ow_infer_types(c, i, OW_BIT(dtype)));
  for (size_t i = SPA_ROWS; i <= SPA_LENGTHS; i++)
    OW_TRY(ow_infer_types(c, i, OW_BIT(ONWARD_INT32)));
  for (size_t i = SPA_COS; i <= SPA_SIN; i++) {
    OW_TRY(ow_infer_types(c, i, OW_BIT(dtype)));
    OW_TRY(ow_infer_rank(c, i, 2, 2));
  }
  OW_TRY(ow_infer_rank(c, SPA_Q, 3, 3));
  OW_TRY(ow_infer_rank(c, SPA_PAST_K, 4, 4));
  OW_TRY(ow_infer_rank(c, SPA_PAST_V, 4, 4));
  OW_TRY(ow_infer_rank(c, SPA_ROWS, 2, 2));
  OW_TRY(ow_infer_rank(c, SPA_COLUMNS, 2, 2));
  const bool rotate = ow_node_int(c->node, "do_rotary", 0) != 0;
  if (ow_infer_has(c, SPA_K) != ow_infer_has(c, SPA_V) ||
      (rotate && (!ow_infer_has(c, SPA_COS) || !ow_infer_has(c, SPA_SIN))))
    return ow_infer_fail(c, ONWARD_MODEL, "keys and values, or the tables of positions, are left out");
  const ow_shape *q = &c->in[SPA_Q].shape, *past = &c->in[SPA_PAST_K].shape;
  if (q->rank < 0 || past->rank < 0) {
    for (size_t o = 0; o < c->out_count; o++)
      OW_TRY(ow_infer_set(c, o, dtype, -1, NULL));
    return ONWARD_OK;
  }
  const bool packed = !ow_infer_has(c, SPA_K);
  const int64_t parts = packed ? heads + 2 * kv : heads;
  const ow_dim size = past->dims[3];
  OW_TRY(ow_infer_equal(c, q->dims[2], ow_dim_mul(c->dims, ow_dim_const(parts), size), "the query's width"));
  for (size_t i = SPA_K; i <= SPA_V && !packed; i++) {
    OW_TRY(ow_infer_rank(c, i, 3, 3));
    const ow_dim want[3] = {q->dims[0], q->dims[1], ow_dim_mul(c->dims, ow_dim_const(kv), size)};
    for (int32_t d = 0; d < 3 && ow_infer_ranked(c, i); d++)
      OW_TRY(ow_infer_equal(c, c->in[i].shape.dims[d], want[d], "a dim of key or value"));
  }
  const ow_dim want[4] = {q->dims[0], ow_dim_const(kv), past->dims[2], size};
  for (size_t i = SPA_PAST_K; i <= SPA_PAST_V; i++)
    for (int32_t d = 0; d < 4 && ow_infer_ranked(c, i); d++)
      OW_TRY(ow_infer_equal(c, c->in[i].shape.dims[d], want[d], "a dim of past"));
  OW_TRY(ow_want_vector(c, SPA_LENGTHS, q->dims[0], "lengths, one for each of the batch"));
  const ow_dim out[3] = {q->dims[0], q->dims[1], ow_dim_mul(c->dims, ow_dim_const(heads), size)};
  OW_TRY(ow_infer_set(c, 0, dtype, 3, out));
  for (size_t o = 1; o < c->out_count && o < 3; o++)
    OW_TRY(ow_infer_set(c, o, dtype, 4, want));
  return ONWARD_OK;
}

typedef struct spa_job {
  const ow_args *args;
  int64_t block, layouts;
  bool prompt;
} spa_job;

static int64_t spa_length(const spa_job *j, int64_t b) { return ow_index_at(j->args->in[SPA_LENGTHS], b); }

static void spa_span(const ow_sdpa *s, int64_t b, int64_t *past, int64_t *total) {
  const spa_job *const j = s->context;
  *total = spa_length(j, b);
  *past = j->prompt ? 0 : *total - s->q.length;
}

/* Whether the layout of a head lists a block. */
static bool spa_listed(const spa_job *j, int64_t h, int64_t row, int64_t column) {
  const onward_tensor *rows = j->args->in[SPA_ROWS], *columns = j->args->in[SPA_COLUMNS];
  const int64_t layout = h % j->layouts, at = layout * rows->dims[1] + row;
  for (int64_t i = ow_index_at(rows, at); i < ow_index_at(rows, at + 1); i++)
    if (ow_index_at(columns, layout * columns->dims[1] + i) == column)
      return true;
  return false;
}

static double spa_bias(const ow_sdpa *s, int64_t b, int64_t h, int64_t i, int64_t t) {
  const spa_job *const j = s->context;
  int64_t past, total;
  spa_span(s, b, &past, &total);
  const int64_t at = past + i;
  return t > at || !spa_listed(j, h, at / j->block, t / j->block) ? -INFINITY : 0.0;
}

static ow_sdpa spa_read(const ow_args *a) {
  const onward_tensor *q = a->in[SPA_Q], *k = ow_args_in(a, SPA_K), *past = a->in[SPA_PAST_K];
  const int64_t heads = ow_node_int(a->node, "num_heads", 1), kv = ow_node_int(a->node, "kv_num_heads", 1);
  const int64_t length = q->dims[1], size = past->dims[3], row = q->dims[2];
  const float scale = ow_node_float(a->node, "scale", 0.0f);
  ow_sdpa s = {.batch = q->dims[0], .keys = past->dims[2], .bias = spa_bias, .span = spa_span};
  s.scale = scale > 0.0f || scale < 0.0f ? (double)scale : 1.0 / sqrt((double)size);
  s.q = (ow_heads){q, heads, length, size, 0, length * row, size, row};
  s.k =
      k ? ow_heads_inner(k, kv, length, size) : (ow_heads){q, kv, length, size, heads * size, length * row, size, row};
  s.v = k ? ow_heads_inner(a->in[SPA_V], kv, length, size)
          : (ow_heads){q, kv, length, size, (heads + kv) * size, length * row, size, row};
  s.past_k = ow_heads_outer(past, kv, past->dims[2], size);
  s.past_v = ow_heads_outer(a->in[SPA_PAST_V], kv, past->dims[2], size);
  return s;
}

/* Queries and keys, turned, then rows of scores. */
static onward_status spa_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const ow_sdpa s = spa_read(a);
  size_t rows;
  const int64_t dims[3] = {s.batch * s.q.length, s.q.heads + s.k.heads, s.q.size};
  if (!ow_sdpa_workspace(s.keys, s.v.size, a->threads, &rows) || !ow_tensor_size(ONWARD_FLOAT64, 3, dims, workspace) ||
      !ow_size_add(*workspace, rows, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the input is too large");
  return ONWARD_OK;
}

/* All that comes from data and is used as an index. */
static onward_status spa_check(const spa_job *j, const ow_sdpa *s, onward_error *err) {
  const ow_args *const a = j->args;
  const onward_tensor *rows = a->in[SPA_ROWS], *columns = a->in[SPA_COLUMNS], *cos = ow_args_in(a, SPA_COS);
  int64_t longest = s->q.length;
  for (int64_t b = 0; b < s->batch; b++) {
    const int64_t n = spa_length(j, b), low = j->prompt ? 1 : s->q.length;
    const int64_t high = j->prompt && s->q.length < s->keys ? s->q.length : s->keys;
    if (n < low || n > high)
      return ow_fail_index(a, SPA_LENGTHS, b, n, low, high, err);
    longest = n > longest ? n : longest;
  }
  if (j->layouts < 1 || s->q.heads % j->layouts != 0 || columns->dims[0] != j->layouts ||
      (rows->dims[1] - 1) * j->block < longest)
    return ow_node_fail(a->node, err, ONWARD_DATA, "%lld layouts of %lld blocks do not cover %lld keys",
                        (long long)j->layouts, (long long)rows->dims[1] - 1, (long long)longest);
  OW_TRY(ow_check_indices(a, SPA_ROWS, 0, columns->dims[1], err));
  if (ow_node_int(a->node, "do_rotary", 0) != 0 &&
      (cos->dims[0] < longest || cos->dims[1] * 2 > s->q.size || ow_count(cos) != ow_count(a->in[SPA_SIN])))
    return ow_node_fail(a->node, err, ONWARD_DATA,
                        "tables of %lld positions and %lld columns, %lld and at most %lld are needed",
                        (long long)cos->dims[0], (long long)cos->dims[1], (long long)longest, (long long)s->q.size / 2);
  return ONWARD_OK;
}

static void spa_turn(const ow_args *a, const ow_heads *x, int64_t b, int64_t h, int64_t i, int64_t place, double *to) {
  const onward_tensor *cos = ow_args_in(a, SPA_COS), *sin = ow_args_in(a, SPA_SIN);
  const bool interleaved = ow_node_int(a->node, "rotary_interleaved", 0) != 0;
  for (int64_t d = 0; d < x->size; d++)
    to[d] = ow_load(x->x->dtype, x->x->data, x->offset + b * x->b + i * x->s + h * x->h + d);
  if (ow_node_int(a->node, "do_rotary", 0) == 0)
    return;
  const int64_t half = cos->dims[1];
  for (int64_t d = 0; d < half; d++) {
    const int64_t first = interleaved ? 2 * d : d, second = interleaved ? first + 1 : first + half;
    const double c = ow_load(cos->dtype, cos->data, place * half + d),
                 s = ow_load(sin->dtype, sin->data, place * half + d);
    const double re = to[first], im = to[second];
    to[first] = re * c - im * s;
    to[second] = re * s + im * c;
  }
}

static onward_status spa_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  ow_sdpa s = spa_read(a);
  spa_job j = {a, ow_node_int(a->node, "sparse_block_size", 1), a->in[SPA_ROWS]->dims[0], false};
  j.prompt = ow_count(a->in[SPA_TOTAL]) == 1 && ow_index_at(a->in[SPA_TOTAL], 0) == s.q.length;
  s.context = &j;
  OW_TRY(spa_check(&j, &s, err));
  const int64_t heads = s.q.heads, kv = s.k.heads, length = s.q.length, size = s.q.size, row = (heads + kv) * size;
  double *const turned = a->workspace;
  for (int64_t token = 0; token < s.batch * length; token++) {
    const int64_t b = token / length, i = token % length;
    int64_t past, total;
    spa_span(&s, b, &past, &total);
    for (int64_t h = 0; h < heads + kv; h++)
      spa_turn(a, h < heads ? &s.q : &s.k, b, h < heads ? h : h - heads, i, past + i, turned + token * row + h * size);
  }
  const onward_tensor room = {.dtype = ONWARD_FLOAT64, .data = turned};
  s.q = (ow_heads){&room, heads, length, size, 0, length * row, size, row};
  s.k = (ow_heads){&room, kv, length, size, heads * size, length * row, size, row};
  for (size_t o = 1; o < a->out_count && o < 3; o++) {
    const ow_heads to = ow_heads_outer(a->out[o], kv, s.past_k.length, size);
    ow_sdpa_join(&s, &to, o == 1 ? &s.k : &s.v, o == 1 ? &s.past_k : &s.past_v);
  }
  if (a->out[0])
    s.out = ow_heads_inner(a->out[0], heads, length, size);
  s.workspace = turned + s.batch * length * row;
  ow_sdpa_run(&s, a->threads);
  return ONWARD_OK;
}

static const ow_kernel spa_reference = {
    .name = "sparse_attention_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = spa_prepare, .run = spa_run};
static const ow_kernel *const spa_kernels[] = {&spa_reference, NULL};
static const ow_attr_spec spa_attrs[] = {{"do_rotary", OW_ATTR_INT, false}, {"kv_num_heads", OW_ATTR_INT, true},
                                         {"num_heads", OW_ATTR_INT, true},  {"rotary_interleaved", OW_ATTR_INT, false},
                                         {"scale", OW_ATTR_FLOAT, false},   {"sparse_block_size", OW_ATTR_INT, true},
                                         {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_attention_sparse[] = {{.domain = "com.microsoft",
                                          .name = "SparseAttention",
                                          .since = 1,
                                          .min_inputs = 1,
                                          .max_inputs = 11,
                                          .min_outputs = 1,
                                          .max_outputs = 3,
                                          .attrs = spa_attrs,
                                          .infer = spa_infer,
                                          .kernels = spa_kernels},
                                         {.name = NULL}};
