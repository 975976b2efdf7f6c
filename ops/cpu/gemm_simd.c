#include "ops/cpu/gemm.h"

#include "base/size.h"
#include "base/thread.h"

/* ---- the inner kernel ---------------------------------------------------------------------------------------------------- */

#define NR OW_GEMM_NR
#define MR OW_GEMM_MR
#define NV OW_GEMM_NV

/* R is a constant after inlining: R * NV accumulators live in registers. */
OW_INLINE void tile(const int R, int64_t k, const float *restrict a, const float *restrict b, int64_t b_step, float *restrict c, int64_t c_row,
                    bool add) {
  vf sum[MR][NV];
  OW_UNROLL for (int i = 0; i < R; i++) OW_UNROLL for (int j = 0; j < NV; j++) sum[i][j] = v_zero();
  for (int64_t p = 0; p < k; p++) {
    vf bv[NV];
    OW_UNROLL for (int j = 0; j < NV; j++) bv[j] = v_load(b + j * W);
    OW_UNROLL for (int i = 0; i < R; i++) {
      const vf x = v_set(a[i]);
      OW_UNROLL for (int j = 0; j < NV; j++) sum[i][j] = v_fma(x, bv[j], sum[i][j]);
    }
    a += R;
    b += b_step;
  }
  OW_UNROLL for (int i = 0; i < R; i++) {
    float *const to = c + i * c_row;
    if (add) {
      OW_UNROLL for (int j = 0; j < NV; j++) v_store(to + j * W, v_load(to + j * W) + sum[i][j]);
    } else {
      OW_UNROLL for (int j = 0; j < NV; j++) v_store(to + j * W, sum[i][j]);
    }
  }
}

typedef void (*tile_fn)(int64_t k, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row, bool add);

#define TILE(R)                                                                                                              \
  static void tile_##R(int64_t k, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row, bool add) {        \
    tile(R, k, a, b, b_step, c, c_row, add);                                                                                 \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
#if OW_GEMM_MR == 14
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
TILE(13)
TILE(14)
static const tile_fn tile_table[MR] = {tile_1, tile_2, tile_3,  tile_4,  tile_5,  tile_6,  tile_7,
                                  tile_8, tile_9, tile_10, tile_11, tile_12, tile_13, tile_14};
#else
static const tile_fn tile_table[MR] = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};
#endif

void OW_ISA_NAME(ow_gemm_tile)(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row,
                               bool add) {
  if (cols == NR) {
    tile_table[rows - 1](k, a, b, b_step, c, c_row, add);
    return;
  }
  float whole[MR * NR];
  tile_table[rows - 1](k, a, b, b_step, whole, NR, false);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j += W) {
      const vm m = v_first(cols - j);
      vf x = v_load(whole + i * NR + j);
      if (add)
        x += v_load_masked(c + i * c_row + j, m);
      v_store_masked(c + i * c_row + j, m, x);
    }
}

/* ---- packing --------------------------------------------------------------------------------------------------------------- */

typedef float quad __attribute__((vector_size(16)));
typedef float quad_memory __attribute__((vector_size(16), aligned(1), may_alias));

OW_INLINE float float_at(const float *p) {
  float x;
  memcpy(&x, p, sizeof x);
  return x;
}

/* dst[j * dst_row + i] = src[i * src_row + j] for a 4 x 4 block */
OW_INLINE void transpose_4x4(float *dst, int64_t dst_row, const float *src, int64_t src_row) {
  const quad a = (quad) * (const quad_memory *)src, b = (quad) * (const quad_memory *)(src + src_row);
  const quad c = (quad) * (const quad_memory *)(src + 2 * src_row), d = (quad) * (const quad_memory *)(src + 3 * src_row);
  const quad ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const quad cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *(quad_memory *)dst = (quad_memory)__builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
  *(quad_memory *)(dst + dst_row) = (quad_memory)__builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
  *(quad_memory *)(dst + 2 * dst_row) = (quad_memory)__builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
  *(quad_memory *)(dst + 3 * dst_row) = (quad_memory)__builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
}

void OW_ISA_NAME(ow_gemm_pack_a)(float *dst, const float *a, int64_t row, int64_t col, int64_t rows, int64_t k) {
  int64_t p = 0;
  if (col == 1 && rows == 1) {
    memcpy(dst, a, (size_t)k * sizeof *dst);
    return;
  }
  if (col == 1 && rows >= 4) {
    /* The last group of rows overlaps the one before it: both write the same values there. */
    for (; p + 4 <= k; p += 4) {
      int64_t i = 0;
      for (; i + 4 <= rows; i += 4)
        transpose_4x4(dst + p * rows + i, rows, a + i * row + p, row);
      if (i < rows)
        transpose_4x4(dst + p * rows + rows - 4, rows, a + (rows - 4) * row + p, row);
    }
  }
  for (; p < k; p++)
    for (int64_t i = 0; i < rows; i++)
      dst[p * rows + i] = a[i * row + p * col];
}

void OW_ISA_NAME(ow_gemm_pack_b)(float *dst, int64_t panel_k, const float *b, int64_t row, int64_t col, int64_t from, int64_t to, int64_t n) {
  for (int64_t first = 0; first < n; first += NR) {
    const int64_t cols = n - first < NR ? n - first : NR;
    float *const panel = dst + first * panel_k;
    const float *const src = b + first * col;
    int64_t p = from;
    if (col == 1) {
      for (; p < to; p++) {
        float *const out = panel + (p - from) * NR;
        const float *const in = src + p * row;
        if (cols == NR) {
          OW_UNROLL for (int j = 0; j < NV; j++) v_store(out + j * W, v_load(in + j * W));
        } else {
          for (int64_t j = 0; j < NR; j += W)
            v_store(out + j, v_load_masked(j < cols ? in + j : in, v_first(j < cols ? cols - j : 0)));
        }
      }
      continue;
    }
    if (row == 1) {
      for (; p + 4 <= to; p += 4) {
        float *const out = panel + (p - from) * NR;
        int64_t j = 0;
        for (; j + 4 <= cols; j += 4)
          transpose_4x4(out + j, NR, src + j * col + p, col);
        for (; j < NR; j++)
          for (int64_t q = 0; q < 4; q++)
            out[q * NR + j] = j < cols ? float_at(src + j * col + p + q) : 0.0f;
      }
    }
    for (; p < to; p++)
      for (int64_t j = 0; j < NR; j++)
        panel[(p - from) * NR + j] = j < cols ? float_at(src + j * col + p * row) : 0.0f;
  }
}

bool OW_ISA_NAME(ow_gemm_packed_bytes)(int64_t k, int64_t n, size_t *bytes) {
  size_t wide, count;
  return ow_size_align((size_t)n, NR, &wide) && ow_size_mul(wide, (size_t)k, &count) && ow_size_mul(count, sizeof(float), bytes);
}

typedef struct pack_job {
  float *dst;
  const float *b;
  int64_t row, col, k, n, step;
} pack_job;

static void pack_rows(void *context, int64_t task, int thread) {
  (void)thread;
  const pack_job *const j = context;
  const int64_t from = task * j->step, to = from + j->step < j->k ? from + j->step : j->k;
  OW_ISA_NAME(ow_gemm_pack_b)(j->dst + from * NR, j->k, j->b, j->row, j->col, from, to, j->n);
}

void OW_ISA_NAME(ow_gemm_pack_weight)(float *dst, const void *b, int64_t row, int64_t col, int64_t k, int64_t n, int threads) {
  /* Slices of k: rows of a row-major source are read whole, once, in the order of the file. */
  pack_job job = {dst, b, row, col, k, n, 64};
  ow_parallel(threads, (k + job.step - 1) / job.step, pack_rows, &job);
}

/* ---- finishing ------------------------------------------------------------------------------------------------------------- */

OW_INLINE vf act_none(vf x, vf alpha) { return (void)alpha, x; }
OW_INLINE vf act_relu(vf x, vf alpha) { return (void)alpha, v_max(v_zero(), x); }
OW_INLINE vf act_gelu(vf x, vf alpha) { return (void)alpha, v_gelu(x); }
OW_INLINE vf act_gelu_tanh(vf x, vf alpha) { return (void)alpha, v_gelu_tanh(x); }
OW_INLINE vf act_quick_gelu(vf x, vf alpha) { return x * v_sigmoid(alpha * x); }
OW_INLINE vf act_tanh(vf x, vf alpha) { return (void)alpha, v_tanh(x); }
OW_INLINE vf act_sigmoid(vf x, vf alpha) { return (void)alpha, v_sigmoid(x); }

#define FINISH(name)                                                                                                          \
  static void finish_##name(const float *bias, float alpha, float *c, int64_t c_row, int64_t rows, int64_t cols) {             \
    const vf al = v_set(alpha);                                                                                                \
    for (int64_t j = 0; j < cols; j += W) {                                                                                    \
      if (cols - j >= W) {                                                                                                     \
        const vf add = bias ? v_load(bias + j) : v_zero();                                                                     \
        for (int64_t i = 0; i < rows; i++)                                                                                     \
          v_store(c + i * c_row + j, act_##name(v_load(c + i * c_row + j) + add, al));                                         \
      } else {                                                                                                                 \
        const vm m = v_first(cols - j);                                                                                        \
        const vf add = bias ? v_load_masked(bias + j, m) : v_zero();                                                           \
        for (int64_t i = 0; i < rows; i++)                                                                                     \
          v_store_masked(c + i * c_row + j, m, act_##name(v_load_masked(c + i * c_row + j, m) + add, al));                     \
      }                                                                                                                        \
    }                                                                                                                          \
  }
FINISH(none)
FINISH(relu)
FINISH(gelu)
FINISH(gelu_tanh)
FINISH(quick_gelu)
FINISH(tanh)
FINISH(sigmoid)

typedef void (*finish_fn)(const float *bias, float alpha, float *c, int64_t c_row, int64_t rows, int64_t cols);
static const finish_fn finishes[] = {
    [OW_ACT_NONE] = finish_none,           [OW_ACT_RELU] = finish_relu, [OW_ACT_GELU] = finish_gelu, [OW_ACT_GELU_TANH] = finish_gelu_tanh,
    [OW_ACT_QUICK_GELU] = finish_quick_gelu, [OW_ACT_TANH] = finish_tanh, [OW_ACT_SIGMOID] = finish_sigmoid};

void OW_ISA_NAME(ow_gemm_finish_tile)(const ow_gemm_finish *f, float *c, int64_t c_row, int64_t rows, int64_t cols) {
  if (f->bias || f->activation != OW_ACT_NONE)
    finishes[f->activation](f->bias, f->alpha, c, c_row, rows, cols);
}

/* ---- the parallel driver --------------------------------------------------------------------------------------------------- */

/* Rows are cut into blocks of whole tiles, packed once per thread that meets them; columns into chunks of whole panels. A task
 * is a (block, chunk); tasks are numbered so that, taken in turn, a thread keeps its block. */
typedef struct grid {
  int64_t tiles, blocks; /* of rows */
  int64_t chunks;        /* of columns, per block */
  size_t thread_bytes;
} grid;

#define BLOCK_TILES (112 / MR)

static bool grid_rows(int64_t m, int64_t k, int threads, grid *g) {
  g->tiles = (m + MR - 1) / MR;
  g->blocks = (g->tiles + BLOCK_TILES - 1) / BLOCK_TILES;
  if (g->blocks < threads && m >= (int64_t)threads * 24)
    g->blocks = threads;
  if (g->tiles < g->blocks)
    g->tiles = g->blocks;
  const int64_t block_tiles = g->blocks ? (g->tiles + g->blocks - 1) / g->blocks : 0;
  size_t count;
  return ow_size_mul((size_t)(block_tiles * MR), (size_t)k, &count) && ow_size_mul(count, sizeof(float), &count) && ow_size_add(count, 64, &count) && ow_size_align(count, 64, &g->thread_bytes);
}

bool OW_ISA_NAME(ow_gemm_workspace)(int64_t m, int64_t k, int threads, size_t *bytes) {
  grid g;
  return grid_rows(m, k, threads, &g) && ow_size_mul(g.thread_bytes, (size_t)(threads > 0 ? threads : 1), bytes);
}

typedef struct run_state {
  const ow_gemm_job *job;
  grid grid;
  int64_t panels; /* of all parts */
  int64_t width;  /* threads */
  char *workspace;
} run_state;

/* Row where tile t of `tiles` over m rows begins: sizes differ by at most one. */
static int64_t tile_row(int64_t t, int64_t tiles, int64_t m) { return m / tiles * t + (t < m % tiles ? t : m % tiles); }

/* Panels from..to of one part, for the packed row tiles t0..t1. c: column 0 of the part. */
static void run_panels(const ow_gemm_job *job, const ow_gemm_part *part, int64_t from, int64_t to, int64_t t0, int64_t t1, const grid *g,
                       const float *packed, float *c) {
  const int64_t k = job->k, block = ow_gemm_block_k(k);
  const int64_t base = tile_row(t0, g->tiles, job->m);
  for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += block) {
    const int64_t kn = k - k0 < block ? k - k0 : block;
    const bool last = k0 + kn == k;
    for (int64_t p = from; p < to; p++) {
      const int64_t cols = part->n - p * NR < NR ? part->n - p * NR : NR;
      for (int64_t t = t0; t < t1; t++) {
        const int64_t row = tile_row(t, g->tiles, job->m), rows = tile_row(t + 1, g->tiles, job->m) - row;
        float *const out = c + row * job->c_row + p * NR;
        OW_ISA_NAME(ow_gemm_tile)(rows, cols, kn, packed + (row - base) * k + k0 * rows, part->packed + (p * k + k0) * NR, NR, out, job->c_row, k0 > 0);
        if (last) {
          const ow_gemm_finish f = {part->bias ? part->bias + p * NR : NULL, job->finish.activation, job->finish.alpha};
          OW_ISA_NAME(ow_gemm_finish_tile)(&f, out, job->c_row, rows, cols);
        }
      }
    }
    if (last)
      break;
  }
}

static void run_task(void *context, int64_t task, int thread) {
  const run_state *const s = context;
  const ow_gemm_job *const job = s->job;
  const grid *const g = &s->grid;
  /* Blocks go in groups of as many as there are threads. */
  const int64_t width = s->width;
  const int64_t group = task / (width * g->chunks), first = group * width;
  const int64_t count = g->blocks - first < width ? g->blocks - first : width;
  const int64_t inside = task - group * width * g->chunks;
  const int64_t b = first + inside % count, chunk = inside / count;
  const int64_t t0 = g->tiles * b / g->blocks, t1 = g->tiles * (b + 1) / g->blocks;

  char *const own = s->workspace + (size_t)thread * g->thread_bytes;
  int64_t *const have = (int64_t *)(void *)own;
  float *const packed = (float *)(void *)(own + 64);
  const int64_t base = tile_row(t0, g->tiles, job->m);
  if (*have != b) {
    for (int64_t t = t0; t < t1; t++) {
      const int64_t row = tile_row(t, g->tiles, job->m), rows = tile_row(t + 1, g->tiles, job->m) - row;
      OW_ISA_NAME(ow_gemm_pack_a)(packed + (row - base) * job->k, job->a + row * job->a_row, job->a_row, job->a_col, rows, job->k);
    }
    *have = b;
  }

  int64_t from = s->panels * chunk / g->chunks;
  const int64_t to = s->panels * (chunk + 1) / g->chunks;
  int64_t start = 0; /* panel where the part begins */
  float *c = job->c;
  for (size_t i = 0; i < job->part_count && from < to; i++) {
    const ow_gemm_part *const part = &job->parts[i];
    const int64_t end = start + ow_gemm_panels(part->n), stop = to < end ? to : end;
    if (from < stop) {
      run_panels(job, part, from - start, stop - start, t0, t1, g, packed, c);
      from = stop;
    }
    start = end;
    c += part->n;
  }
}

void OW_ISA_NAME(ow_gemm_run)(const ow_gemm_job *job, void *workspace, int threads) {
  run_state s = {.job = job, .workspace = workspace};
  int64_t n = 0;
  for (size_t i = 0; i < job->part_count; i++) {
    s.panels += ow_gemm_panels(job->parts[i].n);
    n += job->parts[i].n;
  }
  if (threads < 1)
    threads = 1;
  if (job->m == 0 || n == 0 || !grid_rows(job->m, job->k, threads, &s.grid))
    return;
  grid *const g = &s.grid;

  /* About four tasks per thread, so that a thread that loses its core for a while is helped out; but tasks of some 20 us. */
  const double work = (double)job->m * (double)n * (double)(job->k + 16);
  const int64_t enough = (int64_t)(work / 1e6) + 1;
  int64_t tasks = 4 * (int64_t)threads;
  if (tasks > enough)
    tasks = enough;
  if (threads == 1)
    tasks = 1;
  g->chunks = (tasks + g->blocks - 1) / g->blocks;
  if (g->blocks > threads && threads > 1 && g->chunks < 4)
    g->chunks = 4;
  if (g->chunks > s.panels)
    g->chunks = s.panels;
  if (g->chunks < 1)
    g->chunks = 1;
  for (int i = 0; i < threads; i++)
    *(int64_t *)(void *)(s.workspace + (size_t)i * g->thread_bytes) = -1;
  s.width = threads;
  ow_parallel(threads, g->blocks * g->chunks, run_task, &s);
}
