/* ONNX Runtime's GroupQueryAttention: query [B, S, heads * D] with key and value [B, S, kv_heads * D], or all three packed in the
 * query; a past [B, kv_heads, P, D]; rotation of queries and keys inside.
 *
 * seqlens_k holds each row's valid keys but one, the new ones included; -1: none, and its queries give zeros (ONNX Runtime refuses that).
 *     prompt   total_sequence_length is S: a row is its valid keys, then padding, which is written and seen by no one
 *     later    the new keys lie behind the valid ones of the past, over what padding is there
 * The operator knows of no padding on the left: attention_bias hides it, position_ids count without it, and seqlens_k counts it. */
#include "ops/attention_fast.h"
#include "ops/rotary.h"
#include "ops/sdpa.h"

/* ---- infer --------------------------------------------------------------------------------------------------------------- */

static onward_status gqa_infer_attrs(ow_infer *c) {
  const int64_t heads = ow_node_int(c->node, "num_heads", 0), kv = ow_node_int(c->node, "kv_num_heads", 0);
  if (heads < 1 || kv < 1 || heads > INT32_MAX || heads % kv != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%lld query heads do not share %lld key heads", (long long)heads,
                         (long long)kv);
  if (ow_node_int(c->node, "qk_output", 0) != 0 || ow_node_output(c->node, 3) || ow_infer_has(c, OW_GQA_SINK + 1) ||
      ow_infer_has(c, OW_GQA_SINK + 2))
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "scores as an output, and a quantized cache");
  for (size_t i = OW_GQA_LENGTHS; i <= OW_GQA_TOTAL; i++)
    if (!ow_infer_has(c, i))
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu is required but left out", i);
  if (ow_infer_has(c, OW_GQA_K) != ow_infer_has(c, OW_GQA_V) ||
      ow_infer_has(c, OW_GQA_PAST_K) != ow_infer_has(c, OW_GQA_PAST_V) ||
      ow_infer_has(c, OW_GQA_COS) != ow_infer_has(c, OW_GQA_SIN))
    return ow_infer_fail(c, ONWARD_MODEL, "key and value, the two pasts, and the two tables come together");
  if (ow_node_int(c->node, "do_rotary", 0) != 0 && !ow_infer_has(c, OW_GQA_COS))
    return ow_infer_fail(c, ONWARD_MODEL, "do_rotary needs cos_cache and sin_cache");
  return ONWARD_OK;
}

static const ow_shape *gqa_shape(const ow_infer *c, size_t input) {
  static const ow_shape unknown = {.rank = -1};
  return ow_infer_has(c, input) ? &c->in[input].shape : &unknown;
}

/* Lengths, tables, positions, bias and sinks, against a query of known rank. */
static onward_status gqa_infer_rest(ow_infer *c, ow_dim size) {
  const ow_dim batch = c->in[OW_GQA_Q].shape.dims[0], tokens = c->in[OW_GQA_Q].shape.dims[1], one = ow_dim_const(1),
               heads = ow_dim_const(ow_node_int(c->node, "num_heads", 0));
  const ow_shape *const lengths = gqa_shape(c, OW_GQA_LENGTHS), *const total = gqa_shape(c, OW_GQA_TOTAL),
                        *const cos = gqa_shape(c, OW_GQA_COS), *const sin = gqa_shape(c, OW_GQA_SIN),
                        *const positions = gqa_shape(c, OW_GQA_POSITIONS), *const added = gqa_shape(c, OW_GQA_ADDED);
  if (lengths->rank > 0)
    OW_TRY(ow_infer_equal(c, lengths->dims[0], batch, "elements of seqlens_k and the batch"));
  if (lengths->rank > 1)
    OW_TRY(ow_infer_equal(c, lengths->dims[1], one, "columns of seqlens_k"));
  if (total->rank > 0)
    OW_TRY(ow_infer_equal(c, total->dims[0], one, "elements of total_sequence_length"));
  for (int32_t d = 0; d < 2 && cos->rank == 2 && sin->rank == 2; d++)
    OW_TRY(ow_infer_equal(c, cos->dims[d], sin->dims[d], "a dim of cos_cache and sin_cache"));
  if (cos->rank == 2 && ow_dim_is_const(cos->dims[1]) && ow_dim_is_const(size) && cos->dims[1].k > size.k / 2)
    return ow_infer_fail(c, ONWARD_MODEL, "tables of %lld columns for heads of %lld", (long long)cos->dims[1].k,
                         (long long)size.k);
  if (positions->rank == 2) {
    OW_TRY(ow_infer_equal(c, positions->dims[0], batch, "the batch of query and position_ids"));
    OW_TRY(ow_infer_equal(c, positions->dims[1], tokens, "tokens of query and position_ids"));
  }
  const ow_dim want[3] = {batch, heads, tokens};
  for (int32_t d = 0; d < 3 && added->rank == 4; d++)
    if (d == 2 || !ow_dim_is(added->dims[d], 1))
      OW_TRY(ow_infer_equal(c, added->dims[d], want[d], "a dim of the attention bias"));
  return ow_want_vector(c, OW_GQA_SINK, heads, "length of head_sink");
}

static onward_status gqa_infer(ow_infer *c) {
  OW_TRY(gqa_infer_attrs(c));
  const int64_t heads = ow_node_int(c->node, "num_heads", 0), kv = ow_node_int(c->node, "kv_num_heads", 0);
  const onward_dtype dtype = c->in[OW_GQA_Q].dtype;
  static const struct {
    size_t slot;
    int32_t low, high;
    uint32_t types; /* 0: that of the query */
  } wants[] = {{OW_GQA_Q, 3, 3, OW_TYPES_FLOAT},
               {OW_GQA_K, 3, 3, 0},
               {OW_GQA_V, 3, 3, 0},
               {OW_GQA_PAST_K, 4, 4, 0},
               {OW_GQA_PAST_V, 4, 4, 0},
               {OW_GQA_LENGTHS, 1, 2, OW_BIT(ONWARD_INT32)},
               {OW_GQA_TOTAL, 0, 1, OW_BIT(ONWARD_INT32)},
               {OW_GQA_COS, 2, 2, 0},
               {OW_GQA_SIN, 2, 2, 0},
               {OW_GQA_POSITIONS, 2, 2, OW_BIT(ONWARD_INT64)},
               {OW_GQA_ADDED, 4, 4, 0},
               {OW_GQA_SINK, 1, 1, 0}};
  for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
    OW_TRY(ow_infer_types(c, wants[i].slot, wants[i].types ? wants[i].types : OW_BIT(dtype)));
    OW_TRY(ow_infer_rank(c, wants[i].slot, wants[i].low, wants[i].high));
  }
  const bool packed = !ow_infer_has(c, OW_GQA_K);
  const ow_shape *q = &c->in[OW_GQA_Q].shape,
                 *past = ow_infer_has(c, OW_GQA_PAST_K) ? &c->in[OW_GQA_PAST_K].shape : NULL;
  if (q->rank < 0 || (past && past->rank < 0)) {
    for (size_t o = 0; o < c->out_count && o < 3; o++)
      OW_TRY(ow_infer_set(c, o, dtype, -1, NULL));
    return ONWARD_OK;
  }
  const int64_t parts = packed ? heads + 2 * kv : heads;
  if (ow_dim_is_const(q->dims[2]) && q->dims[2].k % parts != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "a width of %lld is no multiple of %lld heads", (long long)q->dims[2].k,
                         (long long)parts);
  const ow_dim size = ow_dim_floordiv(c->dims, q->dims[2], ow_dim_const(parts));
  for (size_t i = OW_GQA_K; i <= OW_GQA_V && !packed; i++) {
    if (!ow_infer_ranked(c, i))
      continue;
    OW_TRY(ow_infer_equal(c, c->in[i].shape.dims[0], q->dims[0], "the batch of query and key"));
    OW_TRY(ow_infer_equal(c, c->in[i].shape.dims[1], q->dims[1], "tokens of query and key"));
    OW_TRY(
        ow_infer_equal(c, c->in[i].shape.dims[2], ow_dim_mul(c->dims, size, ow_dim_const(kv)), "the width of the key"));
  }
  for (size_t i = OW_GQA_PAST_K; i <= OW_GQA_PAST_V && past; i++) {
    const ow_shape *p = &c->in[i].shape;
    if (p->rank != 4)
      continue;
    OW_TRY(ow_infer_equal(c, p->dims[0], q->dims[0], "the batch of query and past"));
    OW_TRY(ow_infer_equal(c, p->dims[1], ow_dim_const(kv), "heads of the past"));
    OW_TRY(ow_infer_equal(c, p->dims[2], past->dims[2], "the length of both pasts"));
    OW_TRY(ow_infer_equal(c, p->dims[3], size, "the head size of the past"));
  }
  OW_TRY(gqa_infer_rest(c, size));
  const ow_dim out[3] = {q->dims[0], q->dims[1], ow_dim_mul(c->dims, size, ow_dim_const(heads))};
  OW_TRY(ow_infer_set(c, 0, dtype, 3, out));
  size_t count;
  const ow_dim *total = ow_infer_elems(c, OW_GQA_TOTAL, &count);
  ow_dim length = total && count == 1 ? total[0] : ow_dim_unknown();
  if (ow_dim_is_const(length) && length.k < 0)
    return ow_infer_fail(c, ONWARD_DATA, "total_sequence_length is %lld", (long long)length.k);
  if (past && !ow_dim_is_unknown(length))
    length = ow_dim_max(c->dims, past->dims[2], length);
  const ow_dim present[4] = {q->dims[0], ow_dim_const(kv), length, size};
  for (size_t o = 1; o < c->out_count && o < 3; o++)
    OW_TRY(ow_dim_is_unknown(length) ? ow_infer_unknown(c, o, dtype, 4, present)
                                     : ow_infer_set(c, o, dtype, 4, present));
  return ONWARD_OK;
}

/* ---- kernel -------------------------------------------------------------------------------------------------------------- */

typedef struct gqa_job {
  ow_sdpa s;
  const ow_args *args;
  onward_tensor turned; /* queries and keys after their rotation, in double: [B, S, heads + kv, D] */
  int64_t window;       /* keys that a query sees at most; 0: all */
  ow_turn turn;         /* cos NULL: nothing turns */
  bool prompt;
} gqa_job;

static void gqa_span(const ow_sdpa *s, int64_t b, int64_t *past, int64_t *total) {
  const gqa_job *const j = s->context;
  *total = ow_index_at(j->args->in[OW_GQA_LENGTHS], b) + 1;
  *past = j->prompt || *total == 0 ? 0 : *total - s->q.length;
}

static double gqa_bias(const ow_sdpa *s, int64_t b, int64_t h, int64_t i, int64_t t) {
  const gqa_job *const j = s->context;
  const onward_tensor *bias = ow_args_in(j->args, OW_GQA_ADDED);
  int64_t past, total;
  gqa_span(s, b, &past, &total);
  if (t > past + i || (j->window > 0 && t + j->window <= past + i))
    return -INFINITY;
  if (!bias)
    return 0.0;
  const int64_t *d = bias->dims, at_b = d[0] == 1 ? 0 : b, at_h = d[1] == 1 ? 0 : h;
  return ow_load(bias->dtype, bias->data, ((at_b * d[1] + at_h) * d[2] + i) * d[3] + t);
}

/* What run-time data says is checked before anything is read by it. */
onward_status ow_gqa_check(const ow_args *a, bool *prompt, onward_error *err) {
  const onward_tensor *lengths = a->in[OW_GQA_LENGTHS], *bias = ow_args_in(a, OW_GQA_ADDED);
  const bool turns = ow_node_int(a->node, "do_rotary", 0) != 0;
  const int64_t total = ow_index_at(a->in[OW_GQA_TOTAL], 0), tokens = a->in[OW_GQA_Q]->dims[1],
                past = ow_heads_cache(a->node, 0, ow_args_in(a, OW_GQA_PAST_K), 0).length,
                places = turns ? a->in[OW_GQA_COS]->dims[0] : 0;
  *prompt = total == tokens;
  if (total < tokens || (!*prompt && !ow_args_in(a, OW_GQA_PAST_K)))
    return ow_node_fail(a->node, err, ONWARD_DATA,
                        "total_sequence_length is %lld for %lld tokens behind a past of %lld", (long long)total,
                        (long long)tokens, (long long)past);
  if (bias && bias->dims[3] != total)
    return ow_node_fail(a->node, err, ONWARD_DATA, "an attention bias for %lld keys, there are %lld",
                        (long long)bias->dims[3], (long long)total);
  if (turns && ow_args_in(a, OW_GQA_POSITIONS))
    OW_TRY(ow_check_indices(a, OW_GQA_POSITIONS, 0, places - 1, err));
  const int64_t low = *prompt ? 0 : tokens - 1, high = (total < past + tokens ? total : past + tokens) - 1;
  for (int64_t b = 0; b < a->in[OW_GQA_Q]->dims[0]; b++) {
    const int64_t at = ow_index_at(lengths, b);
    if (at != -1 && (at < low || at > high))
      return ow_fail_index(a, OW_GQA_LENGTHS, b, at, low, high, err);
    if (turns && !ow_args_in(a, OW_GQA_POSITIONS) && (at >= places || places == 0))
      return ow_node_fail(a->node, err, ONWARD_DATA, "position %lld, but the tables end at %lld", (long long)at,
                          (long long)places - 1);
  }
  return ONWARD_OK;
}

static gqa_job gqa_job_of(const ow_args *a) {
  const onward_tensor *q = a->in[OW_GQA_Q], *k = ow_args_in(a, OW_GQA_K), *v = ow_args_in(a, OW_GQA_V);
  const int64_t heads = ow_node_int(a->node, "num_heads", 1), kv = ow_node_int(a->node, "kv_num_heads", 1);
  const int64_t size = q->dims[2] / (k ? heads : heads + 2 * kv), length = q->dims[1];
  const float scale = ow_node_float(a->node, "scale", 0.0f);
  gqa_job j = {.args = a,
               .window = ow_node_int(a->node, "local_window_size", -1),
               .s = {.q = {q, heads, length, size, 0, length * q->dims[2], size, q->dims[2]},
                     .k = {k ? k : q, kv, length, size, k ? 0 : heads * size, length * (k ? kv * size : q->dims[2]),
                           size, k ? kv * size : q->dims[2]},
                     .v = {v ? v : q, kv, length, size, v ? 0 : (heads + kv) * size,
                           length * (v ? kv * size : q->dims[2]), size, v ? kv * size : q->dims[2]},
                     .past_k = ow_heads_cache(a->node, 0, ow_args_in(a, OW_GQA_PAST_K), 0),
                     .past_v = ow_heads_cache(a->node, 1, ow_args_in(a, OW_GQA_PAST_V), 0),
                     .batch = q->dims[0],
                     .dead_zero = true,
                     .scale = scale > 0.0f || scale < 0.0f ? (double)scale : 1.0 / sqrt((double)size),
                     .softcap = (double)ow_node_float(a->node, "softcap", 0.0f),
                     .smooth = ow_node_int(a->node, "smooth_softmax", 0) > 0 || ow_args_in(a, OW_GQA_SINK),
                     .sink = ow_args_in(a, OW_GQA_SINK),
                     .span = gqa_span,
                     .bias = gqa_bias}};
  if (ow_node_int(a->node, "do_rotary", 0) != 0) {
    const onward_tensor *const cos = ow_args_in(a, OW_GQA_COS);
    j.turn =
        (ow_turn){cos, ow_args_in(a, OW_GQA_SIN), cos->dims[1], ow_node_int(a->node, "rotary_interleaved", 0) != 0};
  }
  j.s.keys = j.s.past_k.length + length;
  return j;
}

/* Room for the queries and keys that turned comes first. */
static size_t gqa_turned_bytes(const ow_sdpa *s) {
  return (size_t)(s->batch * s->q.length * (s->q.heads + s->k.heads) * s->q.size) * sizeof(double);
}

static onward_status gqa_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const gqa_job j = gqa_job_of(a);
  size_t rows;
  const int64_t dims[4] = {j.s.batch, j.s.q.length, j.s.q.heads + j.s.k.heads, j.s.q.size};
  if (!ow_sdpa_workspace(j.s.keys, j.s.v.size, a->threads, &rows) ||
      !ow_tensor_size(ONWARD_FLOAT64, 4, dims, workspace) || !ow_size_add(*workspace, rows, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "too many keys");
  return ONWARD_OK;
}

/* One head of one token, from x into the turned ones. */
static void gqa_turn(const gqa_job *j, const ow_heads *x, int64_t b, int64_t h, int64_t i, int64_t place, double *to) {
  const int64_t at = x->offset + b * x->b + h * x->h + i * x->s;
  for (int64_t d = 0; d < x->size; d++)
    to[d] = ow_load(x->x->dtype, x->x->data, at + d);
  if (j->turn.cos)
    ow_turn_head(&j->turn, place, x->x->dtype, x->x->data, at, ONWARD_FLOAT64, to, 0);
}

static onward_status gqa_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  gqa_job j = gqa_job_of(a);
  ow_sdpa *const s = &j.s;
  const onward_tensor *positions = ow_args_in(a, OW_GQA_POSITIONS), *out = a->out[0];
  const int64_t heads = s->q.heads, kv = s->k.heads, length = s->q.length, size = s->q.size;
  s->context = &j;
  OW_TRY(ow_gqa_check(a, &j.prompt, err));
  double *const turned = a->workspace;
  for (int64_t token = 0; token < s->batch * length; token++) {
    const int64_t b = token / length, i = token % length;
    int64_t past, total;
    gqa_span(s, b, &past, &total);
    int64_t place = positions ? ow_index_at(positions, token) : past + i;
    if (j.turn.cos && place >= j.turn.cos->dims[0])
      place = j.turn.cos->dims[0] - 1; /* of padding */
    for (int64_t h = 0; h < heads + kv; h++)
      gqa_turn(&j, h < heads ? &s->q : &s->k, b, h < heads ? h : h - heads, i, place,
               turned + (token * (heads + kv) + h) * size);
  }
  j.turned = (onward_tensor){.dtype = ONWARD_FLOAT64, .data = turned};
  const int64_t row = (heads + kv) * size;
  s->q = (ow_heads){&j.turned, heads, length, size, 0, length * row, size, row};
  s->k = (ow_heads){&j.turned, kv, length, size, heads * size, length * row, size, row};
  s->out = ow_heads_inner(out, heads, length, size);
  for (size_t o = 1; o < a->out_count && o < 3; o++) {
    const ow_heads to = ow_heads_cache(a->node, o - 1, a->out[o], 0);
    ow_sdpa_join(s, &to, o == 1 ? &s->k : &s->v, o == 1 ? &s->past_k : &s->past_v);
  }
  s->workspace = (char *)a->workspace + gqa_turned_bytes(s);
  ow_sdpa_run(s, a->threads);
  return ONWARD_OK;
}

static const ow_kernel gqa_reference = {
    .name = "gqa_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = gqa_prepare, .run = gqa_run};
static const ow_kernel *const gqa_kernels[] = {&ow_gqa_fast, &gqa_reference, NULL};
static const ow_attr_spec gqa_attrs[] = {
    {"do_rotary", OW_ATTR_INT, false},         {"kv_num_heads", OW_ATTR_INT, true},
    {"local_window_size", OW_ATTR_INT, false}, {"num_heads", OW_ATTR_INT, true},
    {"qk_output", OW_ATTR_INT, false},         {"rotary_interleaved", OW_ATTR_INT, false},
    {"scale", OW_ATTR_FLOAT, false},           {"smooth_softmax", OW_ATTR_INT, false},
    {"softcap", OW_ATTR_FLOAT, false},         {NULL, OW_ATTR_NONE, false}};

static const ow_carry gqa_carry[] = {{1, OW_GQA_PAST_K, 2}, {2, OW_GQA_PAST_V, 2}};

const ow_op ow_ops_attention_grouped[] = {{.domain = "com.microsoft",
                                           .name = "GroupQueryAttention",
                                           .since = 1,
                                           .min_inputs = 1,
                                           .max_inputs = 14,
                                           .min_outputs = 1,
                                           .max_outputs = 4,
                                           .attrs = gqa_attrs,
                                           .infer = gqa_infer,
                                           .carry = gqa_carry,
                                           .carry_count = 2,
                                           .kernels = gqa_kernels},
                                          {.name = NULL}};
