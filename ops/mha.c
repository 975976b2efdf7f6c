/* New rows -> bias, turned -> behind the past in the present -> masks -> attention core. Everything is float32 on the way; what is
 * float32 already and needs no change is read where it lies. */
#include "ops/mha.h"

#include <float.h>
#include <inttypes.h>

#include "ops/reference.h"

/* Parts of the workspace, in floats. */
typedef struct heads_room {
  size_t q, k, v, bias, out, core, bytes;
} heads_room;

static bool is_f32(const onward_tensor *t) { return !t || t->dtype == ONWARD_FLOAT32; }

static bool q_copied(const ow_mha *h) { return !is_f32(h->q.x) || h->q.bias || h->cos; }

/* Keys and values of the attention lie in the present where it is float32, in the workspace or in the new rows. */
static bool kv_copied(const ow_mha *h, const ow_mha_rows *rows, bool turns) {
  return h->past_k || h->lengths || !is_f32(rows->x) || rows->bias || turns;
}
static bool kv_in_present(const onward_tensor *present) { return present && is_f32(present); }

static bool bias_made(const ow_mha *h) {
  return h->mask || (h->bias && (!is_f32(h->bias) || (h->causal && !h->lengths)));
}

/* Extents of the mask that is made: batch, heads, queries. */
static void bias_extents(const ow_mha *h, int64_t by[3]) {
  const bool whole = h->bias != NULL;
  by[0] = h->mask || (whole && h->bias->dims[0] > 1) ? h->batch : 1;
  by[1] = whole && h->bias->dims[1] > 1 ? h->heads : 1;
  by[2] = whole || h->causal || (h->mask && h->mask->rank > 2) ? h->queries : 1;
}

/* What the core is told; keys: the most there are. */
static ow_attention heads_attention(const ow_mha *h) {
  const int64_t keys = h->lengths ? h->capacity : h->past + h->fresh;
  ow_attention t = {.batch = h->lengths ? 1 : h->batch,
                    .heads = h->heads,
                    .kv_heads = h->kv_heads,
                    .queries = h->queries,
                    .keys = keys,
                    .head_size = h->size,
                    .v_head_size = h->v_size,
                    .scale = h->scale,
                    .softcap = h->softcap,
                    .keep_value = -INFINITY,
                    .causal = h->causal && (h->lengths || !bias_made(h)),
                    .dead_zero = h->dead_zero,
                    .before = h->past,
                    .window = h->window};
  t.out = (ow_attention_view){0, h->queries * h->heads * h->v_size, h->v_size, h->heads * h->v_size, 1};
  t.q = q_copied(h) ? (ow_attention_view){0, h->heads * h->queries * h->size, h->queries * h->size, h->size, 1}
                    : (ow_attention_view){h->q.offset, h->q.b, h->q.h, h->q.s, 1};
  const bool k_copied = kv_in_present(h->present_k) || kv_copied(h, &h->k, h->cos != NULL);
  const bool v_copied = kv_in_present(h->present_v) || kv_copied(h, &h->v, false);
  t.k = k_copied ? (ow_attention_view){0, h->kv_heads * h->capacity * h->size, h->capacity * h->size, h->size, 1}
                 : (ow_attention_view){h->k.offset, h->k.b, h->k.h, h->k.s, 1};
  t.v = v_copied ? (ow_attention_view){0, h->kv_heads * h->capacity * h->v_size, h->capacity * h->v_size, h->v_size, 1}
                 : (ow_attention_view){h->v.offset, h->v.b, h->v.h, h->v.s, 1};
  if (bias_made(h)) {
    int64_t by[3];
    bias_extents(h, by);
    const int64_t line = h->past + h->fresh;
    t.bias = (ow_attention_view){0, by[0] > 1 ? by[1] * by[2] * line : 0, by[1] > 1 ? by[2] * line : 0,
                                 by[2] > 1 ? line : 0, 1};
  } else if (h->bias) {
    int64_t strides[4];
    ow_broadcast_strides(4, h->bias->dims, 4, strides);
    t.bias = (ow_attention_view){0, strides[0], strides[1], strides[2], strides[3]};
  }
  return t;
}

static bool heads_take(size_t *total, size_t *at, bool wanted, const int64_t *dims, int count) {
  size_t bytes = sizeof(float);
  *at = *total;
  for (int i = 0; i < count; i++)
    if (!ow_size_mul(bytes, (size_t)dims[i], &bytes))
      return false;
  return !wanted || (ow_size_align(bytes, 64, &bytes) && ow_size_add(*total, bytes, total));
}

static bool heads_layout(const ow_mha *h, const ow_attention_core *core, int threads, heads_room *r) {
  int64_t by[4] = {1, 1, 1, h->past + h->fresh};
  bias_extents(h, by);
  const int64_t q[] = {h->batch, h->heads, h->queries, h->size}, out[] = {h->batch, h->heads, h->queries, h->v_size};
  const int64_t k[] = {h->batch, h->kv_heads, h->capacity, h->size},
                v[] = {h->batch, h->kv_heads, h->capacity, h->v_size};
  const ow_attention t = heads_attention(h);
  size_t bytes = 0, inner;
  *r = (heads_room){0};
  if (!heads_take(&bytes, &r->q, q_copied(h), q, 4) || !heads_take(&bytes, &r->k, !kv_in_present(h->present_k), k, 4) ||
      !heads_take(&bytes, &r->v, !kv_in_present(h->present_v), v, 4) ||
      !heads_take(&bytes, &r->bias, bias_made(h), by, 4) || !heads_take(&bytes, &r->out, !is_f32(h->out), out, 4) ||
      !core->workspace(&t, threads, &inner))
    return false;
  r->core = bytes;
  return ow_size_add(bytes, inner, &r->bytes);
}

bool ow_mha_workspace(const ow_mha *h, const ow_attention_core *core, int threads, size_t *bytes) {
  heads_room r;
  if (!heads_layout(h, core, threads, &r))
    return false;
  *bytes = r.bytes;
  return true;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

/* Keys that batch b has before its new rows. */
static int64_t heads_before(const ow_mha *h, int64_t b) {
  if (!h->lengths)
    return h->past;
  return h->prompt ? 0 : ow_index_at(h->lengths, b) + 1 - h->fresh;
}

typedef struct rows_job {
  const ow_mha *h;
  const ow_mha_rows *rows;
  const onward_tensor *past; /* NULL: none */
  int64_t past_offset, heads, count, capacity, size;
  bool turns, is_query;
  float *to; /* [batch, heads, capacity, size] */
} rows_job;

static int64_t heads_position(const ow_mha *h, int64_t b, int64_t s) {
  if (h->positions)
    return ow_index_at(h->positions, ow_count(h->positions) == 1 ? 0 : b * h->queries + s) +
           (ow_count(h->positions) == 1 ? s : 0);
  /* rows behind the length of their batch are padding: any place in the tables does */
  const int64_t at = heads_before(h, b) + s;
  return at < h->cos->dims[0] ? at : h->cos->dims[0] - 1;
}

static void heads_turn(const rows_job *j, float *x, int64_t position) {
  const ow_mha *h = j->h;
  const int64_t half = h->cos->dims[1];
  for (int64_t i = 0; i < half; i++) {
    const int64_t first = h->interleaved ? 2 * i : i, second = h->interleaved ? first + 1 : first + half;
    const float c = (float)ow_load(h->cos->dtype, h->cos->data, position * half + i);
    const float s = (float)ow_load(h->sin->dtype, h->sin->data, position * half + i);
    const float a = x[first], b = x[second];
    x[first] = c * a - s * b;
    x[second] = s * a + c * b;
  }
}

static void heads_read(onward_dtype dtype, const void *data, int64_t at, float *to, int64_t count) {
  if (dtype == ONWARD_FLOAT32)
    memcpy(to, (const char *)data + (size_t)at * sizeof(float), (size_t)count * sizeof(float));
  else
    for (int64_t i = 0; i < count; i++)
      to[i] = (float)ow_load(dtype, data, at + i);
}

/* One head of one batch: what counts of the past, the new rows. */
static void rows_task(void *context, int64_t task, int thread) {
  (void)thread;
  const rows_job *const j = context;
  const int64_t b = task / j->heads, head = task % j->heads;
  const int64_t before = j->is_query ? 0 : heads_before(j->h, b), line = j->capacity * j->size;
  float *const to = j->to + task * line;
  if (before > 0 && (const void *)j->to != j->past->data)
    heads_read(j->past->dtype, j->past->data, j->past_offset + task * j->h->past * j->size, to, before * j->size);
  for (int64_t s = 0; s < j->count; s++) {
    float *const row = to + (before + s) * j->size;
    heads_read(j->rows->x->dtype, j->rows->x->data,
               j->rows->offset + b * j->rows->b + head * j->rows->h + s * j->rows->s, row, j->size);
    for (int64_t d = 0; j->rows->bias && d < j->size; d++)
      row[d] += (float)ow_load(j->rows->bias->dtype, j->rows->bias->data, j->rows->bias_offset + head * j->size + d);
    if (j->turns)
      heads_turn(j, row, heads_position(j->h, b, s));
  }
  /* behind them what a longer past has there, then zeros */
  int64_t used = (before + j->count) * j->size;
  const int64_t held = (j->past ? j->h->past : 0) * j->size;
  if (used < held && held <= line) {
    if ((const void *)j->to != j->past->data)
      heads_read(j->past->dtype, j->past->data, j->past_offset + task * held + used, to + used, held - used);
    used = held;
  }
  if (used < line)
    memset(to + used, 0, (size_t)(line - used) * sizeof(float));
}

static void rows_run(const ow_args *a, rows_job *j) {
  const int64_t tasks = j->h->batch * j->heads;
  ow_parallel((double)tasks * (double)j->capacity * (double)j->size < 2e4 ? 1 : a->threads, tasks, rows_task, j);
}

static void heads_narrow(onward_tensor *to, int64_t offset, const float *from, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    ow_store(to->dtype, to->data, offset + i, (double)from[i]);
}

/* ---- masks --------------------------------------------------------------------------------------------------------------- */

/* int32, 1 keeps: [batch, keys], [batch, queries, keys], [batch, 1, most, most] of which the last rows count; or the first keys of
 * each batch [batch], or their ends and then their beginnings [2 * batch]; [3 * batch + 2] begins with the lengths. */
static bool mask_keeps(const ow_mha *h, int64_t b, int64_t s, int64_t t, int64_t keys) {
  const onward_tensor *m = h->mask;
  if (m->rank == 2)
    return ow_index_at(m, (m->dims[0] == 1 ? 0 : b) * keys + t) > 0;
  if (m->rank == 3)
    return ow_index_at(m, (b * h->queries + s) * keys + t) > 0;
  if (m->rank == 4)
    return ow_index_at(m, (b * m->dims[2] + h->past + s) * m->dims[3] + t) > 0;
  return t < ow_index_at(m, b) && (m->dims[0] != 2 * h->batch || t >= ow_index_at(m, h->batch + b));
}

static void heads_bias(const ow_mha *h, float *to) {
  int64_t by[3], strides[4] = {0};
  bias_extents(h, by);
  if (h->bias)
    ow_broadcast_strides(4, h->bias->dims, 4, strides);
  const int64_t keys = h->past + h->fresh;
  for (int64_t b = 0; b < by[0]; b++)
    for (int64_t n = 0; n < by[1]; n++)
      for (int64_t s = 0; s < by[2]; s++)
        for (int64_t t = 0; t < keys; t++) {
          float v = h->mask && !mask_keeps(h, b, s, t, keys) ? h->mask_value : 0.0f;
          if (h->causal && !h->lengths && t > h->past + s)
            v = -FLT_MAX;
          if (h->bias)
            v += (float)ow_load(h->bias->dtype, h->bias->data,
                                b * strides[0] + n * strides[1] + s * strides[2] + t * strides[3]);
          *to++ = v;
        }
}

/* ---- run ----------------------------------------------------------------------------------------------------------------- */

#define LENGTHS_SLOT 5 /* seqlens_k of GroupQueryAttention */

static onward_status heads_check(const ow_args *a, const ow_mha *h, onward_error *err) {
  for (int64_t b = 0; h->lengths && b < h->batch; b++) {
    const int64_t keys = ow_index_at(h->lengths, b) + 1, before = heads_before(h, b);
    if (keys < 1 || keys > h->capacity || before < 0 || before > h->past || before + h->fresh > h->capacity)
      return ow_fail_index(a, LENGTHS_SLOT, b, keys - 1, 0, h->capacity - 1, err);
    if (h->cos && !h->positions && keys > h->cos->dims[0])
      return ow_node_fail(a->node, err, ONWARD_DATA, "position %" PRId64 " is past the %" PRId64 " rows of cos_cache",
                          keys - 1, h->cos->dims[0]);
  }
  for (int64_t i = 0; h->cos && h->positions && i < ow_count(h->positions); i++) {
    const int64_t v = ow_index_at(h->positions, i), last = v + (ow_count(h->positions) == 1 ? h->queries - 1 : 0);
    if (v < 0 || last >= h->cos->dims[0])
      return ow_node_fail(a->node, err, ONWARD_DATA,
                          "position %" PRId64 " is outside the %" PRId64 " rows of cos_cache", v < 0 ? v : last,
                          h->cos->dims[0]);
  }
  return ONWARD_OK;
}

onward_status ow_mha_run(const ow_args *a, const ow_mha *h, const ow_attention_core *core, void *workspace,
                         onward_error *err) {
  heads_room r;
  if (!heads_layout(h, core, a->threads, &r))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  if (h->batch == 0)
    return ONWARD_OK;
  OW_TRY(heads_check(a, h, err));
  char *const room = workspace;
  ow_attention t = heads_attention(h);
  ow_attention_operands o = {.q = h->q.x->data, .k = h->k.x->data, .v = h->v.x->data};
  if (q_copied(h)) {
    float *const to = (float *)(void *)(room + r.q);
    rows_run(a, &(rows_job){h, &h->q, NULL, 0, h->heads, h->queries, h->queries, h->size, h->cos != NULL, true, to});
    o.q = to;
  }
  if (kv_in_present(h->present_k) || kv_copied(h, &h->k, h->cos != NULL) || h->present_k) {
    float *const to = kv_in_present(h->present_k) ? (float *)h->present_k->data : (float *)(void *)(room + r.k);
    rows_run(
        a, &(rows_job){h, &h->k, h->past_k, 0, h->kv_heads, h->fresh, h->capacity, h->size, h->cos != NULL, false, to});
    o.k = to;
    if (h->present_k && !is_f32(h->present_k))
      heads_narrow(h->present_k, 0, to, h->batch * h->kv_heads * h->capacity * h->size);
  }
  if (kv_in_present(h->present_v) || kv_copied(h, &h->v, false) || h->present_v) {
    float *const to =
        kv_in_present(h->present_v) ? (float *)h->present_v->data + h->present_v_offset : (float *)(void *)(room + r.v);
    rows_run(a, &(rows_job){h, &h->v, h->past_v, h->past_v_offset, h->kv_heads, h->fresh, h->capacity, h->v_size, false,
                            false, to});
    o.v = to;
    if (h->present_v && !is_f32(h->present_v))
      heads_narrow(h->present_v, h->present_v_offset, to, h->batch * h->kv_heads * h->capacity * h->v_size);
  }
  if (bias_made(h)) {
    heads_bias(h, (float *)(void *)(room + r.bias));
    o.bias = (const float *)(const void *)(room + r.bias);
  } else if (h->bias) {
    o.bias = h->bias->data;
  }
  float sinks[256];
  if (h->sink || h->smooth) {
    for (int64_t i = 0; i < h->heads && i < 256; i++)
      sinks[i] = h->sink ? (float)ow_load(h->sink->dtype, h->sink->data, i) : 0.0f;
    o.sink = sinks;
  }
  float *const out = is_f32(h->out) ? h->out->data : (float *)(void *)(room + r.out);
  o.out = out;
  for (int64_t b = 0; b < (h->lengths ? h->batch : 1); b++) {
    ow_attention one = t;
    ow_attention_operands at = o;
    if (h->lengths) {
      one.before = heads_before(h, b);
      one.keys = one.before + h->fresh;
      at.q += b * t.q.b, at.k += b * t.k.b, at.v += b * t.v.b, at.out += b * t.out.b;
      at.bias = o.bias ? o.bias + b * t.bias.b : NULL;
    }
    if (one.keys == 0)
      memset(at.out, 0, (size_t)(one.batch * h->queries * h->heads * h->v_size) * sizeof(float));
    else if (h->queries > 0)
      core->run(&one, &at, room + r.core, a->threads);
  }
  if (out != h->out->data)
    heads_narrow(h->out, 0, out, h->batch * h->queries * h->heads * h->v_size);
  return ONWARD_OK;
}
