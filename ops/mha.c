/* New rows -> bias, turned -> behind the past in the present -> masks -> attention core. Everything is float32 on the way; what is
 * float32 already and needs no change is read where it lies, so that a past in place is not copied. One of 16 bits is widened. */
#include "ops/mha.h"

#include <float.h>

#include "ops/reference.h"

/* Parts of the workspace, in floats. */
typedef struct heads_room {
  size_t q, k, v, bias, out, core, bytes;
} heads_room;

static bool is_f32(const onward_tensor *t) { return !t || t->dtype == ONWARD_FLOAT32; }

static bool q_copied(const ow_mha *h) { return !is_f32(h->q.x) || h->q.bias || h->cos; }

/* Keys and values of the attention lie in the present where it is float32, in the workspace or in the new rows. */
static bool kv_copied(const ow_mha *h, const ow_mha_rows *rows, bool turns) {
  return h->past_k.x || h->lengths || !is_f32(rows->x) || rows->bias || turns;
}
static bool kv_in_present(const ow_heads *present) { return present->x && is_f32(present->x); }

static bool bias_made(const ow_mha *h) {
  return h->mask || (h->bias && (!is_f32(h->bias) || (h->causal && !h->lengths)));
}

/* Extents of the mask that is made: batch, heads, queries, keys. */
static void bias_extents(const ow_mha *h, int64_t by[4]) {
  const bool whole = h->bias != NULL;
  by[0] = h->mask || (whole && h->bias->dims[0] > 1) ? h->batch : 1;
  by[1] = whole && h->bias->dims[1] > 1 ? h->heads : 1;
  by[2] = whole || h->causal || (h->mask && h->mask->rank > 2) ? h->queries : 1;
  by[3] = whole ? h->bias->dims[3] : h->past + h->fresh;
}

/* Keys or values as the core reads them: where they are copied to, or where the new rows lie. */
static ow_attention_view kv_view(const ow_mha *h, const ow_heads *present, const ow_mha_rows *rows, int64_t size,
                                 bool turns) {
  if (kv_in_present(present))
    return (ow_attention_view){present->offset, present->b, present->h, present->s, 1};
  if (kv_copied(h, rows, turns))
    return (ow_attention_view){0, h->kv_heads * h->capacity * size, h->capacity * size, size, 1};
  return (ow_attention_view){rows->offset, rows->b, rows->h, rows->s, 1};
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
  t.k = kv_view(h, &h->present_k, &h->k, h->size, h->cos != NULL);
  t.v = kv_view(h, &h->present_v, &h->v, h->v_size, false);
  if (bias_made(h)) {
    int64_t by[4];
    bias_extents(h, by);
    const int64_t line = by[3];
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
  int64_t by[4];
  bias_extents(h, by);
  const int64_t q[] = {h->batch, h->heads, h->queries, h->size}, out[] = {h->batch, h->heads, h->queries, h->v_size};
  const int64_t k[] = {h->batch, h->kv_heads, h->capacity, h->size},
                v[] = {h->batch, h->kv_heads, h->capacity, h->v_size};
  const ow_attention t = heads_attention(h);
  size_t bytes = 0, inner;
  *r = (heads_room){0};
  if (!heads_take(&bytes, &r->q, q_copied(h), q, 4) ||
      !heads_take(&bytes, &r->k, !kv_in_present(&h->present_k), k, 4) ||
      !heads_take(&bytes, &r->v, !kv_in_present(&h->present_v), v, 4) ||
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

/* Keys that batch b has, new ones included. */
static int64_t heads_keys(const ow_mha *h, int64_t b) {
  return h->lengths ? ow_index_at(h->lengths, b) + 1 : h->past + h->fresh;
}
/* Those before its new rows. */
static int64_t heads_before(const ow_mha *h, int64_t b) {
  const int64_t keys = heads_keys(h, b);
  return h->prompt || keys == 0 ? 0 : keys - h->fresh;
}

typedef struct rows_job {
  const ow_mha *h;
  const ow_attention_core *core;
  const ow_mha_rows *rows;
  int64_t count;    /* new rows */
  ow_heads past;    /* x NULL: none */
  ow_heads present; /* of another type than float32: what lies in `to` goes here too */
  float *to;        /* float32, at the strides of `at`, whose length is all rows */
  ow_heads at;
  bool turns, is_query, in_place; /* in_place: the past is in what is written already */
} rows_job;

static int64_t heads_position(const ow_mha *h, int64_t b, int64_t s) {
  if (h->positions)
    return ow_index_at(h->positions, b * h->queries + s);
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

static void heads_narrow(const onward_tensor *to, int64_t offset, const float *from, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    ow_store(to->dtype, to->data, offset + i, (double)from[i]);
}

static void heads_read(const ow_attention_core *core, const onward_tensor *x, int64_t at, float *to, int64_t count) {
  char *const from = (char *)x->data + (size_t)at * ow_dtype_size(x->dtype);
  if (x->dtype == ONWARD_FLOAT32)
    memcpy(to, from, (size_t)count * sizeof(float));
  else
    core->widen(&(onward_tensor){.dtype = x->dtype, .rank = 1, .dims = {count}, .data = from}, to, 1);
}

static void copy_rows(const ow_attention_core *core, const ow_heads *from, int64_t at, float *to, int64_t step,
                      int64_t first, int64_t end) {
  const bool adjacent = from->s == from->size && step == from->size;
  for (int64_t t = first, n; t < end; t += n) {
    n = adjacent ? end - first : 1;
    heads_read(core, from->x, at + t * from->s, to + t * step, n * from->size);
  }
}

/* One head of one batch: what counts of the past, the new rows, what a longer past has behind them, zeros. */
static void rows_task(void *context, int64_t task, int thread) {
  (void)thread;
  const rows_job *const j = context;
  const int64_t size = j->at.size, step = j->at.s, b = task / j->at.heads, head = task % j->at.heads;
  const int64_t before = j->is_query ? 0 : heads_before(j->h, b), fresh = before + j->count,
                kept = fresh < j->past.length && j->past.length <= j->at.length ? j->past.length : fresh;
  const int64_t past = j->past.offset + b * j->past.b + head * j->past.h,
                present = j->present.offset + b * j->present.b + head * j->present.h;
  float *const to = j->to + j->at.offset + b * j->at.b + head * j->at.h;
  if (!j->in_place || j->present.x) {
    copy_rows(j->core, &j->past, past, to, step, 0, before);
    copy_rows(j->core, &j->past, past, to, step, fresh, kept);
  }
  for (int64_t s = 0; s < j->count; s++) {
    float *const row = to + (before + s) * step;
    heads_read(j->core, j->rows->x, j->rows->offset + b * j->rows->b + head * j->rows->h + s * j->rows->s, row, size);
    for (int64_t d = 0; j->rows->bias && d < size; d++)
      row[d] += (float)ow_load(j->rows->bias->dtype, j->rows->bias->data, j->rows->bias_offset + head * size + d);
    if (j->turns)
      heads_turn(j, row, heads_position(j->h, b, s));
  }
  for (int64_t t = kept; t < j->at.length; t++)
    memset(to + t * step, 0, (size_t)size * sizeof(float));
  const size_t element = j->present.x ? ow_dtype_size(j->present.x->dtype) : 0;
  for (int64_t t = 0; t < j->present.length; t++)
    if (t >= before && (t < fresh || t >= kept))
      heads_narrow(j->present.x, present + t * j->present.s, to + t * step, size);
    else if (!j->in_place)
      memcpy((char *)j->present.x->data + (size_t)(present + t * j->present.s) * element,
             (const char *)j->past.x->data + (size_t)(past + t * j->past.s) * element, (size_t)size * element);
}

static void rows_run(const ow_args *a, const rows_job *job) {
  rows_job j = *job;
  const int64_t tasks = j.h->batch * j.at.heads, rows = j.in_place && !j.present.x ? j.count : j.at.length;
  ow_parallel((double)tasks * (double)rows * (double)j.at.size < 2e4 ? 1 : a->threads, tasks, rows_task, &j);
}

/* Keys or values into the present, or into room; where they are. */
static const float *kv_run(const ow_args *a, const ow_mha *h, const ow_attention_core *core, const ow_mha_rows *rows,
                           const ow_heads *past, const ow_heads *present, int64_t size, bool turns, void *room) {
  const bool direct = kv_in_present(present);
  const rows_job j = {.h = h,
                      .core = core,
                      .rows = rows,
                      .count = h->fresh,
                      .past = *past,
                      .present = direct ? (ow_heads){0} : *present,
                      .to = direct ? present->x->data : room,
                      .at = direct ? *present : ow_heads_outer(NULL, h->kv_heads, h->capacity, size),
                      .turns = turns,
                      .in_place = ow_heads_in_place(past, present)};
  if (!direct && !present->x && !kv_copied(h, rows, turns))
    return rows->x->data;
  rows_run(a, &j);
  return j.to;
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
  int64_t by[4], strides[4] = {0};
  bias_extents(h, by);
  if (h->bias)
    ow_broadcast_strides(4, h->bias->dims, 4, strides);
  const int64_t keys = by[3];
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

onward_status ow_mha_run(const ow_args *a, const ow_mha *h, const ow_attention_core *core, void *workspace,
                         onward_error *err) {
  heads_room r;
  if (!heads_layout(h, core, a->threads, &r))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  if (h->batch == 0)
    return ONWARD_OK;
  char *const room = workspace;
  ow_attention t = heads_attention(h);
  ow_attention_operands o = {.q = h->q.x->data};
  if (q_copied(h)) {
    float *const to = (float *)(void *)(room + r.q);
    rows_run(a, &(rows_job){.h = h,
                            .core = core,
                            .rows = &h->q,
                            .count = h->queries,
                            .to = to,
                            .at = ow_heads_outer(NULL, h->heads, h->queries, h->size),
                            .turns = h->cos != NULL,
                            .is_query = true});
    o.q = to;
  }
  o.k = kv_run(a, h, core, &h->k, &h->past_k, &h->present_k, h->size, h->cos != NULL, room + r.k);
  o.v = kv_run(a, h, core, &h->v, &h->past_v, &h->present_v, h->v_size, false, room + r.v);
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
      one.keys = heads_keys(h, b);
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
