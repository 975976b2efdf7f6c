/* ai.onnx Attention: scaled dot-product attention with a mask, causal and window limits, softcap, grouped heads, and a cache that is
 * joined to the new keys and values (past, present) or kept outside (nonpad_kv_seqlen). In double. */
#include "ops/reference.h"

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

/* q, k or v as [B, H, S, D]: element strides */
typedef struct sdpa_view {
  const onward_tensor *x;
  int64_t heads, length, size, b, h, s;
} sdpa_view;

typedef struct sdpa_job {
  const ow_args *args;
  sdpa_view q, k, v;
  const onward_tensor *past_k, *past_v, *mask, *valid;
  int64_t past, keys; /* keys: past and new */
  int64_t mask_dims[4], mask_strides[4];
  double scale, softcap;
  int64_t left, right, mode;
  bool causal, pads_mask;
} sdpa_job;

static const onward_tensor *sdpa_in(const ow_args *a, size_t slot) { return slot < a->in_count ? a->in[slot] : NULL; }
static const onward_tensor *sdpa_out(const ow_args *a, size_t slot) {
  return slot < a->out_count ? a->out[slot] : NULL;
}

static sdpa_view sdpa_view_of(const ow_args *a, size_t operand) {
  const onward_tensor *x = a->in[operand];
  if (x->rank == 4)
    return (sdpa_view){
        x,         x->dims[1], x->dims[2], x->dims[3], x->dims[1] * x->dims[2] * x->dims[3], x->dims[2] * x->dims[3],
        x->dims[3]};
  const int64_t heads = sdpa_heads(a->node, operand), size = x->dims[2] / heads;
  return (sdpa_view){x, heads, x->dims[1], size, x->dims[1] * x->dims[2], size, x->dims[2]};
}

static sdpa_job sdpa_job_of(const ow_args *a) {
  sdpa_job j = {.args = a,
                .q = sdpa_view_of(a, SDPA_Q),
                .k = sdpa_view_of(a, SDPA_K),
                .v = sdpa_view_of(a, SDPA_V),
                .past_k = sdpa_in(a, SDPA_PAST_K),
                .past_v = sdpa_in(a, SDPA_PAST_V),
                .mask = sdpa_in(a, SDPA_MASK),
                .valid = sdpa_in(a, SDPA_VALID),
                .softcap = (double)ow_node_float(a->node, "softcap", 0.0f),
                .left = ow_node_int(a->node, "left_window_size", -1),
                .right = ow_node_int(a->node, "right_window_size", -1),
                .mode = ow_node_int(a->node, "qk_matmul_output_mode", 0),
                .causal = ow_node_int(a->node, "is_causal", 0) != 0,
                .pads_mask = a->node->version >= 24};
  j.past = j.past_k ? j.past_k->dims[2] : 0;
  j.keys = j.past + j.k.length;
  j.scale =
      ow_node_attr(a->node, "scale") ? (double)ow_node_float(a->node, "scale", 0.0f) : 1.0 / sqrt((double)j.q.size);
  int64_t step = 1;
  for (int32_t d = 3; d >= 0 && j.mask; d--) {
    const int32_t own = d - (4 - j.mask->rank);
    j.mask_dims[d] = own < 0 ? 1 : j.mask->dims[own];
    j.mask_strides[d] = j.mask_dims[d] == 1 && !(d == 3 && j.pads_mask) ? 0 : step;
    step *= j.mask_dims[d];
  }
  return j;
}

/* Element 0 of key or value row t of one head: from the past or from the new ones. */
static const onward_tensor *sdpa_row(const sdpa_view *fresh, const onward_tensor *past, int64_t past_length, int64_t b,
                                     int64_t h, int64_t t, int64_t *at) {
  if (t < past_length) {
    *at = ((b * fresh->heads + h) * past_length + t) * fresh->size;
    return past;
  }
  *at = b * fresh->b + h * fresh->h + (t - past_length) * fresh->s;
  return fresh->x;
}

/* What is added to the score of query i and key t: the mask, or -inf where the query may not look. */
static double sdpa_bias(const sdpa_job *j, int64_t b, int64_t h, int64_t i, int64_t t) {
  double bias = 0.0;
  if (j->mask && j->pads_mask && t >= j->mask_dims[3]) {
    bias = -INFINITY;
  } else if (j->mask) {
    const int64_t at =
        b * j->mask_strides[0] + h * j->mask_strides[1] + i * j->mask_strides[2] + t * j->mask_strides[3];
    const double m = ow_load(j->mask->dtype, j->mask->data, at);
    bias = j->mask->dtype == ONWARD_BOOL ? (m > 0.0 ? 0.0 : -INFINITY) : m;
  }
  const int64_t valid = j->valid ? ow_index_at(j->valid, b) : j->keys;
  const int64_t place = i + (j->valid ? valid - j->q.length : j->past); /* of the query among the keys */
  if ((j->causal && t > place) || t >= valid || (j->left >= 0 && place - t > j->left) ||
      (j->right >= 0 && t - place > j->right))
    bias += -INFINITY;
  return bias;
}

/* One query of one head. scores: room for the keys; sums: room for a value row. */
static void sdpa_query(const sdpa_job *j, int64_t b, int64_t h, int64_t i, double *scores, double *sums) {
  const int64_t kv = h / (j->q.heads / j->k.heads), row = (b * j->q.heads + h) * j->q.length + i;
  const int64_t q_at = b * j->q.b + h * j->q.h + i * j->q.s;
  const onward_tensor *shown = sdpa_out(j->args, SDPA_SCORES), *out = sdpa_out(j->args, SDPA_OUT);
#define SHOW(when)                        \
  if (shown && j->mode == (when))         \
    for (int64_t t = 0; t < j->keys; t++) \
  ow_store(shown->dtype, shown->data, row * j->keys + t, scores[t])
  double largest = -INFINITY, total = 0.0;
  for (int64_t t = 0; t < j->keys; t++) {
    int64_t at;
    const onward_tensor *k = sdpa_row(&j->k, j->past_k, j->past, b, kv, t, &at);
    scores[t] = 0.0;
    for (int64_t d = 0; d < j->q.size; d++)
      scores[t] += ow_load(j->q.x->dtype, j->q.x->data, q_at + d) * ow_load(k->dtype, k->data, at + d);
    scores[t] *= j->scale;
  }
  SHOW(0);
  for (int64_t t = 0; t < j->keys && j->softcap > 0.0; t++)
    scores[t] = j->softcap * tanh(scores[t] / j->softcap);
  SHOW(1);
  for (int64_t t = 0; t < j->keys; t++) {
    scores[t] += sdpa_bias(j, b, h, i, t);
    largest = scores[t] > largest || isnan(scores[t]) ? scores[t] : largest;
  }
  SHOW(2);
  /* A query that sees no key gets zeros. */
  const bool blind = isinf(largest) && largest < 0.0;
  for (int64_t t = 0; t < j->keys; t++) {
    scores[t] = blind ? 0.0 : exp(scores[t] - largest);
    total += scores[t];
  }
  memset(sums, 0, (size_t)j->v.size * sizeof *sums);
  for (int64_t t = 0; t < j->keys; t++) {
    scores[t] = blind ? 0.0 : scores[t] / total;
    int64_t at;
    const onward_tensor *v = sdpa_row(&j->v, j->past_v, j->past, b, kv, t, &at);
    for (int64_t d = 0; d < j->v.size && (scores[t] > 0.0 || isnan(scores[t])); d++)
      sums[d] += scores[t] * ow_load(v->dtype, v->data, at + d);
  }
  SHOW(3);
#undef SHOW
  const int64_t to = out && out->rank == 3 ? ((b * j->q.length + i) * j->q.heads + h) * j->v.size : row * j->v.size;
  for (int64_t d = 0; out && d < j->v.size; d++)
    ow_store(out->dtype, out->data, to + d, sums[d]);
}

static void sdpa_task(void *context, int64_t task, int thread) {
  const sdpa_job *const j = context;
  double *const room = (double *)j->args->workspace + thread * (j->keys + j->v.size);
  const int64_t i = task % j->q.length, h = task / j->q.length % j->q.heads, b = task / j->q.length / j->q.heads;
  sdpa_query(j, b, h, i, room, room + j->keys);
}

static onward_status sdpa_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const sdpa_job j = sdpa_job_of(a);
  size_t bytes;
  if (!ow_size_mul((size_t)(j.keys + j.v.size), sizeof(double), &bytes) ||
      !ow_size_mul(bytes, (size_t)a->threads, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "too many keys");
  return ONWARD_OK;
}

/* past and new rows, one after the other, per head */
static void sdpa_join(const onward_tensor *present, const sdpa_view *fresh, const onward_tensor *past,
                      int64_t past_length) {
  if (!present)
    return;
  const size_t element = ow_dtype_size(present->dtype), bytes = (size_t)fresh->size * element;
  char *to = present->data;
  for (int64_t line = 0; line < present->dims[0] * fresh->heads; line++)
    for (int64_t t = 0; t < past_length + fresh->length && bytes > 0; t++, to += bytes) {
      int64_t at;
      const onward_tensor *x = sdpa_row(fresh, past, past_length, line / fresh->heads, line % fresh->heads, t, &at);
      memcpy(to, (const char *)x->data + (size_t)at * element, bytes);
    }
}

static onward_status sdpa_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  sdpa_job j = sdpa_job_of(a);
  for (int64_t b = 0; j.valid && b < j.valid->dims[0]; b++)
    if (ow_index_at(j.valid, b) < 0 || ow_index_at(j.valid, b) > j.keys)
      return ow_fail_index(a, SDPA_VALID, b, ow_index_at(j.valid, b), 0, j.keys, err);
  if (j.mask && j.pads_mask && j.mask_dims[3] > j.keys)
    return ow_node_fail(a->node, err, ONWARD_DATA, "a mask for %lld keys, there are %lld", (long long)j.mask_dims[3],
                        (long long)j.keys);
  sdpa_join(sdpa_out(a, SDPA_PRESENT_K), &j.k, j.past_k, j.past);
  sdpa_join(sdpa_out(a, SDPA_PRESENT_V), &j.v, j.past_v, j.past);
  const int64_t queries = j.q.x->dims[0] * j.q.heads * j.q.length;
  if (queries > 0)
    ow_parallel(a->threads, queries, sdpa_task, &j);
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

#define SDPA_ROW(from, to, inputs, spec)                                                                  \
  {                                                                                                       \
    .domain = "", .name = "Attention", .since = from, .until = to, .min_inputs = 3, .max_inputs = inputs, \
    .min_outputs = 1, .max_outputs = 4, .attrs = spec, .infer = sdpa_infer, .kernels = sdpa_kernels       \
  }
const ow_op ow_ops_sdpa[] = {SDPA_ROW(23, 23, 6, sdpa_attrs),
                             SDPA_ROW(24, 24, 7, sdpa_attrs),
                             SDPA_ROW(25, 0, 7, sdpa_window_attrs),
                             {.name = NULL}};
