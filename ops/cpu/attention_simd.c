/* The internal Attention, tiled: memory grows with the number of keys, not with its square.
 *
 *     task = (batch, head, block of queries)          tile = at most OW_GEMM_MR queries of the block
 *       for each block of keys:   pack k' and v
 *         for each tile:  scores = q k'  ->  scale, softcap, masks  ->  max, exp, sum  ->  out = out * correction + p v
 *       out / sum
 *
 * A row's scores are rounded where a graph of single operators rounds them, so that the sentinel -FLT_MAX in a mask gives what
 * Softmax of the sum gives. Blocks of keys are the same whatever the queries; those hidden from every query of a tile by the
 * causal rule are skipped, which adds nothing to any sum. */
#include "ops/attention.h"

#include "ops/cpu/cast.h"
#include "ops/cpu/fast_help.h"
#include "ops/cpu/gemm.h"

#define NR OW_GEMM_NR
#define MR OW_GEMM_MR
#define BLOCK_KEYS 512
#define PITCH OW_GEMM_PITCH /* from one row of scores to the next */
_Static_assert(BLOCK_KEYS <= PITCH, "a row of scores holds a block of keys");
#define BLOCK_TILES ((560 + MR - 1) / MR) /* the more queries to a task, the less often k and v are packed */
#define FEW 3                             /* so many queries are not worth packing k for */

typedef struct state {
  ow_attention t;
  int64_t blocks, tiles; /* of queries: blocks per head, most tiles per block */
  int64_t block_keys, v_panels;
  bool direct_k, direct_v; /* read in place, but for a partial last panel of v */
  size_t k_at, v_at, scores_at, q_at, out_at, row_at, thread_bytes; /* workspace of a thread, in bytes */
} state;

typedef struct job {
  const state *s;
  ow_attention_operands o;
  char *workspace;
} job;

/* One task's place in the operands. */
typedef struct place {
  const float *q, *k, *v, *bias, *sink;
  const uint8_t *keep;
  float *out;
  float *packed_k, *packed_v, *scores, *packed_q, *sums, *max, *total;
} place;

/* ---- scores -------------------------------------------------------------------------------------------------------------- */

OW_INLINE float dot(const float *a, const float *b, int64_t n) {
  vf s = v_zero(), t = v_zero();
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {
    s = v_fma(v_load(a + i), v_load(b + i), s);
    t = v_fma(v_load(a + i + W), v_load(b + i + W), t);
  }
  for (; i < n; i += W) {
    const vm m = v_first(n - i);
    s = v_fma(v_load_masked(a + i, m), v_load_masked(b + i, m), s);
  }
  return v_sum(s + t);
}

/* scores[i * PITCH + j] = q[i] . k[j] for keys 0..keys of the block that begins at key0 */
static void tile_scores(const state *s, const place *at, int64_t query, int64_t rows, int64_t key0, int64_t keys) {
  const ow_attention *const t = &s->t;
  const float *const q = at->q + query * t->q.s;
  if (s->direct_k) {
    for (int64_t i = 0; i < rows; i++) {
      const float *row = q + i * t->q.s;
      if (t->q.d != 1) {
        for (int64_t d = 0; d < t->head_size; d++)
          at->packed_q[d] = ow_fast_scalar(row + d * t->q.d);
        row = at->packed_q;
      }
      for (int64_t j = 0; j < keys; j++)
        at->scores[i * PITCH + j] = dot(row, at->k + (key0 + j) * t->k.s, t->head_size);
    }
    return;
  }
  OW_ISA_NAME(ow_gemm_pack_a)(at->packed_q, q, t->q.s, t->q.d, rows, t->head_size);
  for (int64_t j = 0; j < keys; j += NR)
    OW_ISA_NAME(ow_gemm_tile)
  (rows, NR, t->head_size, at->packed_q, at->packed_k + j * t->head_size, NR, at->scores + j, PITCH, false);
}

/* What lies between q k' and Softmax, for one row; returns the largest score, -inf when there is none. Keys before `first` and
 * from `visible` on become -inf. */
OW_INLINE float finish_scores(const bool plain, const ow_attention *t, float *x, int64_t keys, int64_t first,
                              int64_t visible, const float *bias, const uint8_t *keep) {
  const vf scale = v_set(t->scale), nothing = v_set(-INFINITY), chosen = v_set(t->keep_value), cap = v_set(t->softcap);
  vf max = nothing;
  for (int64_t j = 0; j < keys; j += W) {
    const int64_t left = visible - j;
    const vm m = v_first(left < 0 ? 0 : left);
    vf y = v_load(x + j) * scale;
    if (!plain) {
      if (t->softcap > 0.0f)
        y = cap * v_tanh(y / cap);
      vm kept = v_first(W);
      if (keep)
        kept = t->keep.d ? v_bytes(keep + j, left < 0 ? 0 : left < W ? left : W) : v_first(*keep ? W : 0);
      if (keep && !t->keep_after)
        y = v_select(kept, y, chosen);
      if (bias)
        y = y + (t->bias.d ? (left >= W ? v_load(bias + j) : v_load_masked(left > 0 ? bias + j : bias, m))
                           : v_set(ow_fast_scalar(bias)));
      if (keep && t->keep_after)
        y = v_select(kept, y, chosen);
    }
    if (left < W)
      y = v_select(m, y, nothing);
    if (first > j)
      y = v_select(v_first(first - j), nothing, y);
    v_store(x + j, y);
    max = v_max(y, max);
  }
  return v_max_lane(max);
}

/* x = exp(x - max), returns the sum */
static float exp_row(float *x, int64_t keys, float max) {
  const vf m = v_set(max);
  vf sum = v_zero();
  for (int64_t j = 0; j < keys; j += W) {
    const vf e = v_exp(v_load(x + j) - m);
    v_store(x + j, e);
    sum += e;
  }
  return v_sum(sum);
}

/* ---- one tile against one block of keys ---------------------------------------------------------------------------------- */

static void scale_row(float *x, int64_t n, float by) {
  const vf b = v_set(by);
  for (int64_t i = 0; i < n; i += W)
    v_store(x + i, v_load(x + i) * b);
}

/* row: of the tile within the task's block of queries; query: in the sequence. */
static void run_tile(const state *s, const place *at, int64_t row, int64_t query, int64_t rows, int64_t key0,
                     int64_t keys) {
  const ow_attention *const t = &s->t;
  const int64_t width = s->v_panels * NR;
  int64_t most = ow_attention_visible(t, query + rows - 1) - key0;
  most = most < keys ? most : keys;
  float *const sums = at->sums + row * width;
  if (most <= 0 || key0 + most <= ow_attention_first(t, query)) {
    if (key0 == 0)
      memset(sums, 0, (size_t)(rows * width) * sizeof *sums);
    return;
  }
  tile_scores(s, at, query, rows, key0, most);
  const int64_t padded = (most + W - 1) / W * W;
  const bool plain = !at->bias && !at->keep && !(t->softcap > 0.0f);
  for (int64_t i = 0; i < rows; i++) {
    float *const x = at->scores + i * PITCH;
    int64_t visible = ow_attention_visible(t, query + i) - key0;
    visible = visible < most ? visible : most;
    const float *const bias = at->bias ? at->bias + (query + i) * t->bias.s + key0 * t->bias.d : NULL;
    const uint8_t *const keep = at->keep ? at->keep + (query + i) * t->keep.s + key0 * t->keep.d : NULL;
    const int64_t hidden = ow_attention_first(t, query + i) - key0;
    const float here = plain ? finish_scores(true, t, x, padded, hidden, visible, NULL, NULL)
                             : finish_scores(false, t, x, padded, hidden, visible, bias, keep);
    const float before = at->max[row + i], max = here > before ? here : before;
    const float from = max > -INFINITY ? max : 0.0f; /* nothing but -inf so far: weights of 0 rather than NaN */
    const float sum = exp_row(x, padded, from);
    if (key0 > 0) {
      const float correction = v_exp(v_set(before - from))[0];
      at->total[row + i] = at->total[row + i] * correction + sum;
      scale_row(sums + i * width, width, correction);
    } else {
      at->total[row + i] = sum;
    }
    at->max[row + i] = max;
  }
  for (int64_t panel = 0; panel < s->v_panels; panel++) {
    const bool direct = s->direct_v && (panel + 1) * NR <= t->v_head_size;
    const float *const v = direct ? at->v + key0 * t->v.s + panel * NR : at->packed_v + panel * NR * s->block_keys;
    OW_ISA_NAME(ow_gemm_tile_pitched)
    (rows, most, at->scores, v, direct ? t->v.s : NR, sums + panel * NR, width, key0 > 0);
  }
}

/* ---- tasks --------------------------------------------------------------------------------------------------------------- */

static void write_row(const state *s, const place *at, int64_t row, int64_t query) {
  const ow_attention *const t = &s->t;
  const float *const sums = at->sums + row * s->v_panels * NR;
  float *const out = at->out + query * t->out.s;
  float total = at->total[row], share = 1.0f;
  if (at->sink) {
    const float sink = ow_fast_scalar(at->sink), max = at->max[row], top = sink > max ? sink : max;
    share = v_exp(v_set(max - top))[0];
    total = total * share + v_exp(v_set(sink - top))[0];
  }
  const bool dead = t->dead_zero && !(total > 0.0f);
  const vf by = v_set(share / total);
  for (int64_t d = 0; d < t->v_head_size; d += W) {
    const vf y = dead ? v_zero() : v_load(sums + d) * by;
    const vm m = v_first(t->v_head_size - d);
    if (t->out.d == 1) {
      v_store_masked(out + d, m, y);
      continue;
    }
    for (int64_t i = 0; i < W && d + i < t->v_head_size; i++)
      out[(d + i) * t->out.d] = y[i];
  }
}

static void pack_v(const state *s, const place *at, int64_t key0, int64_t keys) {
  const ow_attention *const t = &s->t;
  const int64_t first = s->direct_v ? t->v_head_size / NR * NR : 0;
  if (first < t->v_head_size)
    OW_ISA_NAME(ow_gemm_pack_b)
  (at->packed_v + first * s->block_keys, s->block_keys, at->v + key0 * t->v.s + first * t->v.d, t->v.s, t->v.d, 0, keys,
   t->v_head_size - first);
}

static void run_task(void *context, int64_t task, int thread) {
  const job *const j = context;
  const state *const s = j->s;
  const ow_attention *const t = &s->t;
  const int64_t block = task % s->blocks, h = task / s->blocks % t->heads, b = task / s->blocks / t->heads;
  const int64_t kv = h / (t->heads / t->kv_heads);
  char *const own = j->workspace + (size_t)thread * s->thread_bytes;
  const place at = {.q = j->o.q + t->q.offset + b * t->q.b + h * t->q.h,
                    .k = j->o.k + t->k.offset + b * t->k.b + kv * t->k.h,
                    .v = j->o.v + t->v.offset + b * t->v.b + kv * t->v.h,
                    .bias = j->o.bias ? j->o.bias + b * t->bias.b + h * t->bias.h : NULL,
                    .keep = j->o.keep ? j->o.keep + b * t->keep.b + h * t->keep.h : NULL,
                    .sink = j->o.sink ? j->o.sink + h : NULL,
                    .out = j->o.out + b * t->out.b + h * t->out.h,
                    .packed_k = (float *)(void *)(own + s->k_at),
                    .packed_v = (float *)(void *)(own + s->v_at),
                    .scores = (float *)(void *)(own + s->scores_at),
                    .packed_q = (float *)(void *)(own + s->q_at),
                    .sums = (float *)(void *)(own + s->out_at),
                    .max = (float *)(void *)(own + s->row_at),
                    .total = (float *)(void *)(own + s->row_at) + s->tiles * MR};
  const int64_t first = t->queries * block / s->blocks, end = t->queries * (block + 1) / s->blocks;
  const int64_t count = end - first, tiles = (count + MR - 1) / MR;
  for (int64_t i = 0; i < count; i++) {
    at.max[i] = -INFINITY;
    at.total[i] = 0.0f;
  }
  const int64_t seen = ow_attention_visible(t, end - 1);
  for (int64_t key0 = 0; key0 == 0 || key0 < seen; key0 += s->block_keys) {
    const int64_t keys = seen - key0 < s->block_keys ? seen - key0 : s->block_keys;
    if (!s->direct_k)
      OW_ISA_NAME(ow_gemm_pack_b)
    (at.packed_k, t->head_size, at.k + key0 * t->k.s, t->k.d, t->k.s, 0, t->head_size, keys);
    pack_v(s, &at, key0, keys);
    for (int64_t i = 0; i < tiles; i++) {
      const int64_t from = count * i / tiles, to = count * (i + 1) / tiles;
      run_tile(s, &at, from, first + from, to - from, key0, keys);
    }
  }
  for (int64_t i = 0; i < count; i++)
    write_row(s, &at, i, first + i);
}

/* ---- the kernel ---------------------------------------------------------------------------------------------------------- */

static bool supports(const ow_args *a, ow_why *why) {
  for (size_t i = 0; i <= OW_ATTENTION_BIAS; i++)
    if (ow_fast_in(a, i) && a->in[i]->dtype != ONWARD_FLOAT32)
      return ow_refuse(why, "input %zu is %s, want float32", i, onward_dtype_name(a->in[i]->dtype));
  return true;
}

static bool take(size_t *total, size_t *at, int64_t a, int64_t b) {
  size_t count;
  *at = *total;
  return ow_size_mul((size_t)a, (size_t)b, &count) && ow_size_mul(count, sizeof(float), &count) &&
         ow_size_align(count, 64, &count) && ow_size_add(*total, count, total);
}

static bool plan(state *s, const ow_attention *given, int threads, size_t *workspace) {
  ow_attention *const t = &s->t;
  *t = *given;
  const int64_t most = BLOCK_TILES * MR, wanted = 4 * (int64_t)threads, heads = t->batch * t->heads;
  s->blocks = (t->queries + most - 1) / most;
  if (heads > 0 && heads * s->blocks < wanted)
    s->blocks = (wanted + heads - 1) / heads;
  if (s->blocks > (t->queries + MR - 1) / MR)
    s->blocks = (t->queries + MR - 1) / MR;
  if (s->blocks < 1)
    s->blocks = 1;
  s->tiles = ((t->queries + s->blocks - 1) / s->blocks + MR - 1) / MR;
  s->block_keys = t->keys < BLOCK_KEYS ? (t->keys + NR - 1) / NR * NR : BLOCK_KEYS;
  s->v_panels = ow_gemm_panels(t->v_head_size);
  s->direct_k = t->queries <= FEW && t->k.d == 1;
  s->direct_v = s->tiles <= 1 && t->v.d == 1;
  const int64_t width = s->v_panels * NR;
  size_t bytes = 0;
  const bool fits = take(&bytes, &s->k_at, s->block_keys, s->direct_k ? 0 : t->head_size) &&
                    take(&bytes, &s->v_at, s->block_keys, s->direct_v && t->v_head_size % NR == 0 ? 0 : width) &&
                    take(&bytes, &s->scores_at, PITCH, MR) && take(&bytes, &s->q_at, t->head_size, MR) &&
                    take(&bytes, &s->out_at, width, s->tiles * MR) && take(&bytes, &s->row_at, 2, s->tiles * MR);
  s->thread_bytes = bytes;
  return fits && ow_size_mul(bytes, (size_t)(threads > 0 ? threads : 1), workspace);
}

static void run_planned(const state *s, const ow_attention_operands *operands, void *workspace, int threads) {
  const ow_attention *const t = &s->t;
  job j = {.s = s, .o = *operands, .workspace = workspace};
  const int64_t heads = t->batch * t->heads;
  const double work =
      (double)heads * (double)t->queries * (double)t->keys * (double)(t->head_size + t->v_head_size + 16);
  if (heads > 0 && t->queries > 0 && t->v_head_size > 0)
    ow_parallel(work < 5e5 ? 1 : threads, heads * s->blocks, run_task, &j);
}

static bool core_workspace(const ow_attention *t, int threads, size_t *bytes) {
  state s;
  return plan(&s, t, threads, bytes);
}

static void core_run(const ow_attention *t, const ow_attention_operands *operands, void *workspace, int threads) {
  state s;
  size_t bytes;
  if (plan(&s, t, threads, &bytes)) /* it was for the workspace */
    run_planned(&s, operands, workspace, threads);
}

extern const ow_attention_core OW_ISA_NAME(ow_attention_core);
const ow_attention_core OW_ISA_NAME(ow_attention_core) = {OW_ISA_CPU, core_workspace, core_run, OW_ISA_NAME(ow_widen)};

static onward_status prepare(const ow_args *a, void *memory, size_t *workspace, onward_error *err) {
  ow_attention t;
  ow_attention_read(a, &t);
  if (!plan(memory, &t, a->threads, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  return ONWARD_OK;
}

static onward_status run(const ow_args *a, void *memory, onward_error *err) {
  (void)err;
  const state *const s = memory;
  const onward_tensor *const bias = ow_fast_in(a, OW_ATTENTION_BIAS), *const keep = ow_fast_in(a, OW_ATTENTION_KEEP);
  const ow_attention_operands operands = {.q = a->in[OW_ATTENTION_Q]->data,
                                          .k = a->in[OW_ATTENTION_K]->data,
                                          .v = a->in[OW_ATTENTION_V]->data,
                                          .bias = bias ? bias->data : NULL,
                                          .keep = keep ? keep->data : NULL,
                                          .out = a->out[0]->data};
  if (s->t.keys == 0)
    memset(a->out[0]->data, 0, a->out[0]->bytes);
  else
    run_planned(s, &operands, a->workspace, a->threads);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_attention) = {.name = OW_ISA_STRING("attention"),
                                             .cpu = OW_ISA_CPU,
                                             .flags = OW_KERNEL_UNALIGNED,
                                             .supports = supports,
                                             .state_size = sizeof(state),
                                             .prepare = prepare,
                                             .run = run};
