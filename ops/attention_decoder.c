/* ONNX Runtime's DecoderMaskedMultiHeadAttention: one query a row against a past and its own key, or against the keys of an encoder.
 * Inputs: query, key?, value?, mask_index?, attention_bias?, past_key?, past_value?, past_sequence_length?, beam_width?,
 * cache_indirection?, bias?. */
#include "ops/contrib_mask.h"

enum { DEC_Q, DEC_K, DEC_V, DEC_MASK, DEC_ADDED, DEC_PAST_K, DEC_PAST_V, DEC_LENGTH, DEC_BEAMS, DEC_CACHE, DEC_BIAS };

/* The past is a buffer of which the first past_sequence_length rows count. One that a state keeps in place counts as a whole. */
static bool dec_shared(const ow_node *node) {
  return ow_node_int(node, "past_present_share_buffer", 0) != 0 && !ow_node_in_place(node, 0);
}

static onward_status dec_infer(ow_infer *c) {
  const int64_t heads = ow_node_int(c->node, "num_heads", 0);
  const onward_dtype dtype = c->in[DEC_Q].dtype;
  if (heads < 1 || heads > INT32_MAX)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'num_heads' is %lld", (long long)heads);
  OW_TRY(ow_infer_types(c, DEC_Q, OW_TYPES_FLOAT));
  static const size_t alike[] = {DEC_K, DEC_V, DEC_PAST_K, DEC_PAST_V, DEC_BIAS};
  for (size_t i = 0; i < 5; i++)
    OW_TRY(ow_infer_types(c, alike[i], OW_BIT(dtype)));
  OW_TRY(ow_infer_types(c, DEC_LENGTH, OW_BIT(ONWARD_INT32)));
  OW_TRY(ow_infer_rank(c, DEC_Q, 3, 3));
  OW_TRY(ow_infer_rank(c, DEC_K, 3, 4));
  OW_TRY(ow_infer_rank(c, DEC_PAST_K, 4, 4));
  OW_TRY(ow_infer_rank(c, DEC_PAST_V, 4, 4));
  OW_TRY(ow_infer_types(c, DEC_BEAMS, OW_BIT(ONWARD_INT32)));
  OW_TRY(ow_infer_types(c, DEC_CACHE, OW_BIT(ONWARD_INT32)));
  OW_TRY(ow_infer_rank(c, DEC_CACHE, 3, 3));
  if (ow_infer_has(c, DEC_K) != ow_infer_has(c, DEC_V) || ow_infer_has(c, DEC_PAST_K) != ow_infer_has(c, DEC_PAST_V))
    return ow_infer_fail(c, ONWARD_MODEL, "keys and values come together");
  if (dec_shared(c->node) && ow_infer_has(c, DEC_PAST_K) && !ow_infer_has(c, DEC_LENGTH))
    return ow_infer_fail(c, ONWARD_MODEL, "a shared buffer needs past_sequence_length");
  bool known = true;
  for (size_t i = DEC_Q; i <= DEC_V; i++)
    known &= !ow_infer_has(c, i) || ow_infer_ranked(c, i);
  known &= !ow_infer_has(c, DEC_PAST_K) || (ow_infer_ranked(c, DEC_PAST_K) && ow_infer_ranked(c, DEC_PAST_V));
  if (!known) {
    for (size_t o = 0; o < c->out_count; o++)
      OW_TRY(ow_infer_set(c, o, dtype, -1, NULL));
    return ONWARD_OK;
  }
  const ow_shape *q = &c->in[DEC_Q].shape, *k = &c->in[DEC_K].shape, *v = &c->in[DEC_V].shape;
  const ow_dim n = ow_dim_const(heads), one = ow_dim_const(1);
  const bool packed = !ow_infer_has(c, DEC_K), cross = !packed && k->rank == 4;
  OW_TRY(ow_infer_equal(c, q->dims[1], one, "the query's length, which is 1"));
  const ow_shape *cache = &c->in[DEC_CACHE].shape;
  if (ow_infer_has(c, DEC_CACHE) && cache->rank == 3)
    OW_TRY(ow_infer_equal(c, q->dims[0], ow_dim_mul(c->dims, cache->dims[0], cache->dims[1]),
                          "the batch of the query and of all beams"));
  const int64_t parts = packed ? 3 : 1;
  if (ow_dim_is_const(q->dims[2]) && q->dims[2].k % (heads * parts) != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "a width of %lld is no multiple of %lld heads", (long long)q->dims[2].k,
                         (long long)(heads * parts));
  const ow_dim size = ow_dim_floordiv(c->dims, q->dims[2], ow_dim_const(heads * parts));
  ow_dim v_size = size, keys = one;
  if (!packed) {
    OW_TRY(ow_infer_rank(c, DEC_V, k->rank, k->rank));
    OW_TRY(ow_infer_equal(c, k->dims[0], q->dims[0], "the batch of query and key"));
    v_size = cross ? v->dims[3] : ow_dim_floordiv(c->dims, v->dims[2], n);
    keys = k->dims[cross ? 2 : 1];
    if (cross)
      OW_TRY(ow_infer_equal(c, k->dims[1], n, "the number of heads"));
    else
      OW_TRY(ow_infer_equal(c, keys, one, "the key's length, which is 1"));
  }
  ow_dim rows = keys; /* of present */
  for (size_t i = DEC_PAST_K; i <= DEC_PAST_V && ow_infer_has(c, DEC_PAST_K); i++) {
    const ow_shape *p = &c->in[i].shape;
    const ow_dim want[4] = {q->dims[0], n, c->in[DEC_PAST_K].shape.dims[2], i == DEC_PAST_K ? size : v_size};
    for (int32_t d = 0; d < 4; d++)
      OW_TRY(ow_infer_equal(c, p->dims[d], want[d], "a dim of past"));
    rows = dec_shared(c->node) ? want[2] : ow_dim_add(c->dims, want[2], one);
  }
  if (!dec_shared(c->node)) {
    OW_TRY(ow_contrib_infer_mask(c, DEC_MASK, q->dims[0], one, rows));
    const ow_dim scores[4] = {q->dims[0], n, one, rows};
    OW_TRY(ow_contrib_infer_added(c, DEC_ADDED, scores));
  } else {
    OW_TRY(ow_infer_types(c, DEC_MASK, OW_BIT(ONWARD_INT32)));
    OW_TRY(ow_infer_rank(c, DEC_MASK, 2, 2));
    if (ow_infer_has(c, DEC_MASK) && ow_infer_ranked(c, DEC_MASK))
      OW_TRY(ow_infer_equal(c, c->in[DEC_MASK].shape.dims[0], q->dims[0], "the batch of input and mask"));
    const ow_shape *added = &c->in[DEC_ADDED].shape;
    OW_TRY(ow_infer_types(c, DEC_ADDED, OW_BIT(dtype)));
    OW_TRY(ow_infer_rank(c, DEC_ADDED, 4, 4));
    const ow_dim want[3] = {q->dims[0], n, one};
    for (int32_t d = 0; d < 3 && ow_infer_has(c, DEC_ADDED) && added->rank == 4; d++)
      if (d == 2 || !ow_dim_is(added->dims[d], 1))
        OW_TRY(ow_infer_equal(c, added->dims[d], want[d], "a dim of the attention bias"));
  }
  const ow_dim width = ow_dim_mul(c->dims, n, ow_dim_add(c->dims, ow_dim_add(c->dims, size, size), v_size));
  OW_TRY(ow_want_vector(c, DEC_BIAS, width, "length of the bias"));
  const ow_dim out[3] = {q->dims[0], one, ow_dim_mul(c->dims, n, v_size)};
  OW_TRY(ow_infer_set(c, 0, dtype, 3, out));
  for (size_t o = 1; o < c->out_count && o < 3; o++) {
    const ow_dim present[4] = {q->dims[0], n, rows, o == 1 ? size : v_size};
    OW_TRY(ow_infer_set(c, o, dtype, 4, present));
  }
  const ow_dim shown[4] = {q->dims[0], n, one, rows};
  return c->out_count > 3 ? ow_infer_set(c, 3, dtype, 4, shown) : ONWARD_OK;
}

static ow_sdpa dec_job(const ow_args *a) {
  const onward_tensor *q = a->in[DEC_Q], *k = ow_args_in(a, DEC_K), *v = ow_args_in(a, DEC_V);
  const int64_t heads = ow_node_int(a->node, "num_heads", 1), width = q->dims[2];
  ow_sdpa s = {.batch = q->dims[0],
               .past_k = ow_heads_cache(a->node, 0, ow_args_in(a, DEC_PAST_K), 0),
               .past_v = ow_heads_cache(a->node, 1, ow_args_in(a, DEC_PAST_V), 0),
               .bias = ow_contrib_bias_of};
  if (!k) {
    const int64_t size = width / 3 / heads;
    s.q = s.k = s.v = (ow_heads){q, heads, 1, size, 0, width, size, width};
    s.k.offset = width / 3;
    s.v.offset = width / 3 * 2;
  } else if (k->rank == 4) {
    s.q = ow_heads_inner(q, heads, 1, width / heads);
    s.k = ow_heads_outer(k, heads, k->dims[2], k->dims[3]);
    s.v = ow_heads_outer(v, heads, v->dims[2], v->dims[3]);
  } else {
    s.q = ow_heads_inner(q, heads, 1, width / heads);
    s.k = ow_heads_inner(k, heads, 1, k->dims[2] / heads);
    s.v = ow_heads_inner(v, heads, 1, v->dims[2] / heads);
  }
  s.keys = s.k.length + s.past_k.length;
  const float scale = ow_node_float(a->node, "scale", 0.0f);
  s.scale = scale > 0.0f || scale < 0.0f ? (double)scale : 1.0 / sqrt((double)s.q.size);
  return s;
}

/* Rows for the scores, then q, k and v of the step with their bias. */
static onward_status dec_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const ow_sdpa s = dec_job(a);
  size_t rows;
  const int64_t dims[2] = {s.batch * s.q.heads, 2 * s.q.size + s.v.size};
  if (!ow_sdpa_workspace(s.keys, s.v.size, a->threads, &rows) || !ow_tensor_size(ONWARD_FLOAT64, 2, dims, workspace) ||
      !ow_size_add(*workspace, rows, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the input is too large");
  return ONWARD_OK;
}

static void dec_add_bias(const ow_sdpa *s, ow_heads *x, const onward_tensor *bias, int64_t part, onward_tensor *room,
                         double *to) {
  *room = (onward_tensor){.dtype = ONWARD_FLOAT64, .data = to};
  for (int64_t b = 0; b < s->batch; b++)
    for (int64_t h = 0; h < x->heads; h++)
      for (int64_t d = 0; d < x->size; d++)
        *to++ = ow_load(x->x->dtype, x->x->data, x->offset + b * x->b + h * x->h + d) +
                ow_load(bias->dtype, bias->data, part + h * x->size + d);
  *x = ow_heads_inner(room, x->heads, 1, x->size);
}

/* With a shared buffer only its first rows count. */
static void dec_span(const ow_sdpa *s, int64_t b, int64_t *past, int64_t *total) {
  const ow_contrib_bias *const c = s->context;
  (void)b;
  *past = c->past;
  *total = c->past + s->k.length;
}

/* What the hooks of a job read. */
typedef struct dec_context {
  ow_contrib_bias bias; /* first: ow_contrib_bias_of takes the context for one */
  const onward_tensor *cache;
} dec_context;

/* Beams of one batch stand one after the other; the cache names the one that row t came from. */
static int64_t dec_past_row(const ow_sdpa *s, int64_t b, int64_t t) {
  const onward_tensor *const cache = ((const dec_context *)s->context)->cache;
  return b - b % cache->dims[1] + ow_index_at(cache, b * cache->dims[2] + t);
}

static onward_status dec_check_beams(const ow_args *a, int64_t batch, int64_t past, onward_error *err) {
  const onward_tensor *const beams = ow_args_in(a, DEC_BEAMS), *const cache = ow_args_in(a, DEC_CACHE);
  const int64_t width = cache ? cache->dims[1] : 1;
  if (beams && ow_count(beams) > 0 && ow_index_at(beams, 0) != width)
    return ow_node_fail(a->node, err, ONWARD_DATA, "a beam_width of %lld, and a cache_indirection of %lld beams",
                        (long long)ow_index_at(beams, 0), (long long)width);
  if (cache && cache->dims[2] < past)
    return ow_node_fail(a->node, err, ONWARD_DATA, "a cache_indirection of %lld keys, there are %lld",
                        (long long)cache->dims[2], (long long)past);
  for (int64_t b = 0; cache && b < batch; b++)
    for (int64_t t = 0; t < past; t++) {
      const int64_t at = b * cache->dims[2] + t, row = ow_index_at(cache, at);
      if (row < 0 || row >= width)
        return ow_fail_index(a, DEC_CACHE, at, row, 0, width - 1, err);
    }
  return ONWARD_OK;
}

static onward_status dec_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *bias = ow_args_in(a, DEC_BIAS), *length = ow_args_in(a, DEC_LENGTH),
                      *mask = ow_args_in(a, DEC_MASK), *added = ow_args_in(a, DEC_ADDED);
  ow_sdpa s = dec_job(a);
  int64_t past = s.past_k.length;
  if (s.past_k.x && dec_shared(a->node)) {
    const int64_t given = ow_count(length) > 0 ? ow_index_at(length, 0) : -1;
    if (given < 0 || given >= past)
      return ow_fail_index(a, DEC_LENGTH, 0, given, 0, past - 1, err);
    past = given;
    s.keys = past + 1;
  }
  if (mask && mask->rank >= 2 && mask->dims[mask->rank - 1] < s.keys)
    return ow_node_fail(a->node, err, ONWARD_DATA, "a mask for %lld keys, there are %lld",
                        (long long)mask->dims[mask->rank - 1], (long long)s.keys);
  if (added && added->dims[3] < s.keys)
    return ow_node_fail(a->node, err, ONWARD_DATA, "a bias for %lld keys, there are %lld", (long long)added->dims[3],
                        (long long)s.keys);
  OW_TRY(dec_check_beams(a, s.batch, s.past_k.x ? past : 0, err));
  onward_tensor room[3];
  double *const operands = a->workspace;
  const int64_t rows = s.batch * s.q.heads, width = s.q.heads * s.q.size;
  if (bias) {
    const bool cross = s.k.length != 1 || (ow_args_in(a, DEC_K) && a->in[DEC_K]->rank == 4);
    dec_add_bias(&s, &s.q, bias, 0, &room[0], operands);
    if (!cross) {
      dec_add_bias(&s, &s.k, bias, width, &room[1], operands + rows * s.q.size);
      dec_add_bias(&s, &s.v, bias, 2 * width, &room[2], operands + 2 * rows * s.q.size);
    }
  }
  const dec_context context = {.bias = {.mask = mask,
                                        .added = added,
                                        .batch = s.batch,
                                        .past = past,
                                        .filter = (double)ow_node_float(a->node, "mask_filter_value", -10000.0f)},
                               .cache = ow_args_in(a, DEC_CACHE)};
  s.context = &context;
  s.span = dec_span;
  s.past_row = context.cache && s.past_k.x ? dec_past_row : NULL;
  for (size_t o = 1; o < a->out_count && o < 3; o++) {
    const ow_heads to = ow_heads_cache(a->node, o - 1, a->out[o], 0);
    ow_sdpa_join(&s, &to, o == 1 ? &s.k : &s.v, o == 1 ? &s.past_k : &s.past_v);
  }
  s.shown = ow_args_out(a, 3);
  s.mode = 3;
  if (a->out[0])
    s.out = ow_heads_inner(a->out[0], s.q.heads, 1, s.v.size);
  s.workspace = operands + rows * (2 * s.q.size + s.v.size);
  ow_sdpa_run(&s, a->threads);
  return ONWARD_OK;
}

static const ow_kernel dec_reference = {
    .name = "decoder_attention_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = dec_prepare, .run = dec_run};
static const ow_kernel *const dec_kernels[] = {&dec_reference, NULL};
static const ow_attr_spec dec_attrs[] = {{"mask_filter_value", OW_ATTR_FLOAT, false},
                                         {"num_heads", OW_ATTR_INT, true},
                                         {"output_qk", OW_ATTR_INT, false},
                                         {"past_present_share_buffer", OW_ATTR_INT, false},
                                         {"scale", OW_ATTR_FLOAT, false},
                                         {NULL, OW_ATTR_NONE, false}};

static const ow_carry dec_carry[] = {{1, DEC_PAST_K, 2}, {2, DEC_PAST_V, 2}};

const ow_op ow_ops_attention_decoder[] = {{.domain = "com.microsoft",
                                           .name = "DecoderMaskedMultiHeadAttention",
                                           .since = 1,
                                           .min_inputs = 1,
                                           .max_inputs = 11,
                                           .min_outputs = 1,
                                           .max_outputs = 4,
                                           .attrs = dec_attrs,
                                           .infer = dec_infer,
                                           .carry = dec_carry,
                                           .carry_count = 2,
                                           .kernels = dec_kernels},
                                          {.name = NULL}};
