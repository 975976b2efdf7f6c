#include "ops/sdpa.h"

ow_heads ow_heads_outer(const onward_tensor *x, int64_t heads, int64_t length, int64_t size) {
  return (ow_heads){x, heads, length, size, 0, heads * length * size, length * size, size};
}

ow_heads ow_heads_inner(const onward_tensor *x, int64_t heads, int64_t length, int64_t size) {
  return (ow_heads){x, heads, length, size, 0, length * heads * size, size, heads * size};
}

ow_heads ow_heads_cache(const ow_node *node, size_t carry, const onward_tensor *x, int64_t part) {
  if (!x)
    return (ow_heads){0};
  const int64_t *const d = x->dims;
  const int32_t parts = x->rank - 4;
  if (ow_node_in_place(node, carry)) { /* [S, (2,) B, H, D] */
    const int64_t batch = d[1 + parts], heads = d[2 + parts], size = d[3 + parts], row = batch * heads * size;
    return (ow_heads){x, heads, d[0], size, part * row, heads * size, size, parts ? 2 * row : row};
  }
  ow_heads h = ow_heads_outer(x, d[1 + parts], d[2 + parts], d[3 + parts]);
  h.offset = part * d[parts] * h.b;
  return h;
}

static inline int64_t row_of(const ow_heads *v, int64_t b, int64_t h, int64_t s) {
  return v->offset + b * v->b + h * v->h + s * v->s;
}

/* Key or value row t, of the past or of the new ones: its tensor, and its first element. */
static const onward_tensor *find_row(const ow_heads *fresh, const ow_heads *past, int64_t past_length, int64_t b,
                                     int64_t h, int64_t t, int64_t *at) {
  const ow_heads *const where = t < past_length ? past : fresh;
  *at = row_of(where, b, h, t < past_length ? t : t - past_length);
  return where->x;
}

static void span_of(const ow_sdpa *s, int64_t b, int64_t *past, int64_t *total) {
  *past = s->past_k.x ? s->past_k.length : 0;
  *total = s->keys;
  if (s->span)
    s->span(s, b, past, total);
}

static int64_t batch_of(const ow_sdpa *s, int64_t b, int64_t t, int64_t past) {
  return s->past_row && t < past ? s->past_row(s, b, t) : b;
}

static void show(const ow_sdpa *s, int64_t mode, int64_t row, int64_t total, const double *scores) {
  for (int64_t t = 0; s->shown && s->mode == mode && t < s->keys; t++)
    ow_store(s->shown->dtype, s->shown->data, row * s->keys + t, t < total ? scores[t] : 0.0);
}

static void one_query(const ow_sdpa *s, int64_t b, int64_t h, int64_t i, double *scores, double *sums) {
  const int64_t kv = h / (s->q.heads / s->k.heads), row = (b * s->q.heads + h) * s->q.length + i;
  const int64_t q_at = row_of(&s->q, b, h, i);
  int64_t past, keys, at;
  span_of(s, b, &past, &keys);
  for (int64_t t = 0; t < keys; t++) {
    const onward_tensor *k = find_row(&s->k, &s->past_k, past, batch_of(s, b, t, past), kv, t, &at);
    scores[t] = 0.0;
    for (int64_t d = 0; d < s->q.size; d++)
      scores[t] += ow_load(s->q.x->dtype, s->q.x->data, q_at + d) * ow_load(k->dtype, k->data, at + d);
    scores[t] *= s->scale;
  }
  show(s, 0, row, keys, scores);
  for (int64_t t = 0; t < keys && s->softcap > 0.0; t++)
    scores[t] = s->softcap * tanh(scores[t] / s->softcap);
  show(s, 1, row, keys, scores);
  double largest = -INFINITY, total = 0.0;
  for (int64_t t = 0; t < keys; t++) {
    if (s->bias) /* in float, where a large bias swallows the score */
      scores[t] = (double)(float)(scores[t] + s->bias(s, b, h, i, t));
    largest = scores[t] > largest || isnan(scores[t]) ? scores[t] : largest;
  }
  show(s, 2, row, keys, scores);
  bool blind = isinf(largest) && largest < 0.0 && !s->dead_nan;
  if (s->smooth && !blind) {
    const double sink = s->sink ? ow_load(s->sink->dtype, s->sink->data, h) : 0.0;
    largest = sink > largest ? sink : largest;
    total = exp(sink - largest);
  }
  for (int64_t t = 0; t < keys; t++) {
    scores[t] = blind ? 0.0 : exp(scores[t] - largest);
    total += scores[t];
  }
  blind = blind || (s->dead_zero && isnan(total));
  memset(sums, 0, (size_t)s->v.size * sizeof *sums);
  for (int64_t t = 0; t < keys; t++) {
    scores[t] = blind ? 0.0 : scores[t] / total;
    const onward_tensor *v = find_row(&s->v, &s->past_v, past, batch_of(s, b, t, past), kv, t, &at);
    /* what is hidden does not count, whatever it is */
    for (int64_t d = 0; d < s->v.size && (scores[t] > 0.0 || isnan(scores[t])); d++)
      sums[d] += scores[t] * ow_load(v->dtype, v->data, at + d);
  }
  show(s, 3, row, keys, scores);
  for (int64_t d = 0; s->out.x && d < s->v.size; d++)
    ow_store(s->out.x->dtype, s->out.x->data, row_of(&s->out, b, h, i) + d, sums[d]);
}

static void query_task(void *context, int64_t task, int thread) {
  const ow_sdpa *const s = context;
  double *const room = (double *)s->workspace + thread * (s->keys + s->v.size);
  const int64_t i = task % s->q.length, h = task / s->q.length % s->q.heads, b = task / s->q.length / s->q.heads;
  one_query(s, b, h, i, room, room + s->keys);
}

bool ow_sdpa_workspace(int64_t keys, int64_t v_size, int threads, size_t *bytes) {
  size_t count;
  return ow_size_add((size_t)keys, (size_t)v_size, &count) && ow_size_mul(count, (size_t)threads, &count) &&
         ow_size_mul(count, sizeof(double), bytes);
}

void ow_sdpa_run(const ow_sdpa *s, int threads) {
  ow_sdpa job = *s;
  const int64_t queries = s->batch * s->q.heads * s->q.length;
  if (queries > 0)
    ow_parallel(threads, queries, query_task, &job);
}

void ow_sdpa_join(const ow_sdpa *s, const ow_heads *to, const ow_heads *fresh, const ow_heads *past) {
  if (!to->x)
    return;
  const bool in_place = ow_heads_in_place(past, to);
  for (int64_t b = 0; b < s->batch; b++) {
    int64_t held, total, at;
    span_of(s, b, &held, &total);
    total = held + fresh->length; /* all of the new ones, also those of a padded prompt */
    for (int64_t h = 0; h < to->heads; h++)
      for (int64_t t = in_place ? held : 0; t < to->length; t++) {
        const bool from_past = past->x && t >= total && t < past->length;
        if (from_past && in_place)
          continue;
        const onward_tensor *x = find_row(fresh, past, from_past ? past->length : held, b, h, t, &at);
        for (int64_t d = 0; d < to->size; d++)
          ow_store(to->x->dtype, to->x->data, row_of(to, b, h, t) + d,
                   t < total || from_past ? ow_load(x->dtype, x->data, at + d) : 0.0);
      }
  }
}
