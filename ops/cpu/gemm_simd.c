#include "ops/cpu/gemm.h"

#include "base/size.h"
#include "base/thread.h"

/* ---- the inner kernel ---------------------------------------------------------------------------------------------------- */

#define NR OW_GEMM_NR
#define MR OW_GEMM_MR
#define NV OW_GEMM_NV

/* What a tile of a large product does besides: hides the memory's latency, and adds the bias while sums are in registers. */
typedef struct company {
  const float *ahead; /* asked for in each step, moving on by ahead_step */
  int64_t ahead_step;
  float *soon; /* rows that are written next */
  int64_t soon_row;
  const float *bias; /* NULL: none */
} company;

/* R, a_row and a_step are constants after inlining: R * NV accumulators live in registers. */
OW_INLINE void tile(const int R, const int64_t a_row, const int64_t a_step, int64_t k, const float *restrict a,
                    const float *restrict b, int64_t b_step, float *restrict c, int64_t c_row, bool add,
                    const company *with) {
  vf sum[MR][NV];
  const float *ahead = with ? with->ahead : NULL;
  OW_UNROLL for (int i = 0; i < R; i++) OW_UNROLL for (int j = 0; j < NV; j++) sum[i][j] = v_zero();
  if (with)
    for (int i = 0; i < R; i++)
      OW_UNROLL for (int j = 0; j < NR; j += 16) __builtin_prefetch(with->soon + i * with->soon_row + j, 1, 3);
  for (int64_t p = 0; p < k; p++) {
    vf bv[NV];
    OW_UNROLL for (int j = 0; j < NV; j++) bv[j] = v_load(b + j * W);
    OW_UNROLL for (int i = 0; i < R; i++) {
      const vf x = v_set(a[i * a_row]);
      OW_UNROLL for (int j = 0; j < NV; j++) sum[i][j] = v_fma(x, bv[j], sum[i][j]);
    }
    if (with) {
      OW_UNROLL for (int j = 0; j < NR; j += 16) __builtin_prefetch(ahead + j, 0, 2);
      ahead += with->ahead_step;
    }
    a += a_step;
    b += b_step;
  }
  if (add) {
    OW_UNROLL for (int i = 0; i < R; i++) OW_UNROLL for (int j = 0; j < NV; j++) sum[i][j] =
        v_load(c + i * c_row + j * W) + sum[i][j];
  }
  if (with && with->bias) {
    vf bias[NV];
    OW_UNROLL for (int j = 0; j < NV; j++) bias[j] = v_load(with->bias + j * W);
    OW_UNROLL for (int i = 0; i < R; i++) OW_UNROLL for (int j = 0; j < NV; j++) sum[i][j] = sum[i][j] + bias[j];
  }
  OW_UNROLL for (int i = 0; i < R; i++) OW_UNROLL for (int j = 0; j < NV; j++)
      v_store(c + i * c_row + j * W, sum[i][j]);
}

typedef void (*tile_fn)(int64_t k, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row, bool add);
typedef void (*company_fn)(int64_t k, const float *a, const float *b, float *c, int64_t c_row, bool add,
                           const company *with);

#define TILE(R)                                                                                               \
  static void packed_##R(int64_t k, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row,  \
                         bool add) {                                                                          \
    tile(R, 1, R, k, a, b, b_step, c, c_row, add, NULL);                                                      \
  }                                                                                                           \
  static void pitched_##R(int64_t k, const float *a, const float *b, int64_t b_step, float *c, int64_t c_row, \
                          bool add) {                                                                         \
    tile(R, OW_GEMM_PITCH, 1, k, a, b, b_step, c, c_row, add, NULL);                                          \
  }                                                                                                           \
  static void company_##R(int64_t k, const float *a, const float *b, float *c, int64_t c_row, bool add,       \
                          const company *with) {                                                              \
    tile(R, 1, R, k, a, b, NR, c, c_row, add, with);                                                          \
  }
#if OW_GEMM_MR == 14
#define EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#else
#define EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif
EACH_TILE(TILE)
#define PACKED(R) packed_##R,
#define PITCHED(R) pitched_##R,
#define COMPANY(R) company_##R,
static const tile_fn packed_tiles[MR] = {EACH_TILE(PACKED)}, pitched_tiles[MR] = {EACH_TILE(PITCHED)};
static const company_fn company_tiles[MR] = {EACH_TILE(COMPANY)};

void OW_ISA_NAME(ow_gemm_tile)(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int64_t b_step,
                               float *c, int64_t c_row, bool add) {
  if (cols == NR) {
    packed_tiles[rows - 1](k, a, b, b_step, c, c_row, add);
    return;
  }
  float whole[MR * NR];
  packed_tiles[rows - 1](k, a, b, b_step, whole, NR, false);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j += W) {
      const vm m = v_first(cols - j);
      vf x = v_load(whole + i * NR + j);
      if (add)
        x += v_load_masked(c + i * c_row + j, m);
      v_store_masked(c + i * c_row + j, m, x);
    }
}

void OW_ISA_NAME(ow_gemm_tile_pitched)(int64_t rows, int64_t k, const float *a, const float *b, int64_t b_step,
                                       float *c, int64_t c_row, bool add) {
  pitched_tiles[rows - 1](k, a, b, b_step, c, c_row, add);
}

/* ---- packing --------------------------------------------------------------------------------------------------------------- */

OW_INLINE float float_at(const float *p) {
  float x;
  memcpy(&x, p, sizeof x);
  return x;
}

/* dst[j * dst_row + i] = src[i * src_row + j] for i < rows <= W, j < columns <= W; nothing else is touched. */
OW_INLINE void transpose(float *dst, int64_t dst_row, const float *src, int64_t src_row, int64_t rows,
                         int64_t columns) {
  vf r[W];
  const vm in = v_first(columns), out = v_first(rows);
  if (rows == W && columns == W) {
    OW_UNROLL for (int i = 0; i < W; i++) r[i] = v_load(src + i * src_row);
    v_transpose(r);
    OW_UNROLL for (int i = 0; i < W; i++) v_store(dst + i * dst_row, r[i]);
    return;
  }
  OW_UNROLL for (int i = 0; i < W; i++) r[i] = i < rows ? v_load_masked(src + i * src_row, in) : v_zero();
  v_transpose(r);
  OW_UNROLL for (int i = 0; i < W; i++) if (i < columns) v_store_masked(dst + i * dst_row, out, r[i]);
}

void OW_ISA_NAME(ow_gemm_pack_a)(float *dst, const float *a, int64_t row, int64_t col, int64_t rows, int64_t k) {
  if (col == 1 && rows == 1) {
    memcpy(dst, a, (size_t)k * sizeof *dst);
    return;
  }
  if (col == 1) {
    for (int64_t p = 0; p < k; p += W)
      for (int64_t i = 0; i < rows; i += W)
        transpose(dst + p * rows + i, rows, a + i * row + p, row, rows - i < W ? rows - i : W, k - p < W ? k - p : W);
    return;
  }
  for (int64_t p = 0; p < k; p++)
    for (int64_t i = 0; i < rows; i++)
      dst[p * rows + i] = float_at(a + i * row + p * col);
}

void OW_ISA_NAME(ow_gemm_pack_b)(float *dst, int64_t panel_k, const float *b, int64_t row, int64_t col, int64_t from,
                                 int64_t to, int64_t n) {
  for (int64_t first = 0; first < n; first += NR) {
    const int64_t cols = n - first < NR ? n - first : NR;
    float *const panel = dst + first * panel_k;
    const float *const src = b + first * col;
    if (cols < NR)
      memset(panel, 0, (size_t)((to - from) * NR) * sizeof *panel);
    if (col == 1 && cols == NR) {
      for (int64_t p = from; p < to; p++)
        OW_UNROLL for (int j = 0; j < NV; j++) v_store(panel + (p - from) * NR + j * W, v_load(src + p * row + j * W));
    } else if (row == 1) {
      for (int64_t p = from; p < to; p += W)
        for (int64_t j = 0; j < cols; j += W)
          transpose(panel + (p - from) * NR + j, NR, src + j * col + p, col, cols - j < W ? cols - j : W,
                    to - p < W ? to - p : W);
    } else {
      for (int64_t p = from; p < to; p++)
        for (int64_t j = 0; j < cols; j++)
          panel[(p - from) * NR + j] = float_at(src + j * col + p * row);
    }
  }
}

bool OW_ISA_NAME(ow_gemm_packed_bytes)(int64_t k, int64_t n, size_t *bytes) {
  size_t wide, count;
  return ow_size_align((size_t)n, NR, &wide) && ow_size_mul(wide, (size_t)k, &count) &&
         ow_size_mul(count, sizeof(float), bytes);
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

void OW_ISA_NAME(ow_gemm_pack_weight)(float *dst, const void *b, int64_t row, int64_t col, int64_t k, int64_t n,
                                      int threads) {
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

#define FINISH(name)                                                                                                   \
  static void finish_##name(const ow_gemm_finish *f, const float *from, int64_t from_row, float *to, int64_t to_row,   \
                            int64_t rows, int64_t cols) {                                                              \
    const vf alpha = v_set(f->alpha);                                                                                  \
    for (int64_t j = 0; j < cols; j += W) {                                                                            \
      if (cols - j >= W) {                                                                                             \
        const vf bias = f->bias ? v_load(f->bias + j) : v_zero();                                                      \
        for (int64_t i = 0; i < rows; i++)                                                                             \
          v_store(to + i * to_row + j, act_##name(v_load(from + i * from_row + j) + bias, alpha));                     \
      } else {                                                                                                         \
        const vm m = v_first(cols - j);                                                                                \
        const vf bias = f->bias ? v_load_masked(f->bias + j, m) : v_zero();                                            \
        for (int64_t i = 0; i < rows; i++)                                                                             \
          v_store_masked(to + i * to_row + j, m, act_##name(v_load_masked(from + i * from_row + j, m) + bias, alpha)); \
      }                                                                                                                \
    }                                                                                                                  \
  }
FINISH(none)
FINISH(relu)
FINISH(gelu)
FINISH(gelu_tanh)
FINISH(quick_gelu)
FINISH(tanh)
FINISH(sigmoid)

static const ow_gemm_finish_fn finishes[] = {[OW_ACT_NONE] = finish_none,
                                             [OW_ACT_RELU] = finish_relu,
                                             [OW_ACT_GELU] = finish_gelu,
                                             [OW_ACT_GELU_TANH] = finish_gelu_tanh,
                                             [OW_ACT_QUICK_GELU] = finish_quick_gelu,
                                             [OW_ACT_TANH] = finish_tanh,
                                             [OW_ACT_SIGMOID] = finish_sigmoid};

void OW_ISA_NAME(ow_gemm_finish_tile)(const ow_gemm_finish *f, const float *from, int64_t from_row, float *to,
                                      int64_t to_row, int64_t rows, int64_t cols) {
  finishes[f->activation](f, from, from_row, to, to_row, rows, cols);
}

/* ---- the parallel driver --------------------------------------------------------------------------------------------------- */

/* Rows are cut into even blocks, each of them into even tiles, packed once per thread that meets the block; columns into chunks of
 * whole panels. A task is a (block, chunk); tasks are numbered so that, taken in turn, a thread keeps its block. */
typedef struct grid {
  int64_t blocks; /* of rows */
  int64_t chunks; /* of columns, per block */
  size_t thread_bytes;
} grid;

/* Rows of one block: tile t begins at first + count * t / tiles. */
typedef struct row_range {
  int64_t first, count, tiles;
} row_range;

#define BLOCK_ROWS (112 / MR * MR)

static bool grid_rows(int64_t m, int64_t k, int threads, grid *g) {
  g->blocks = (m + BLOCK_ROWS - 1) / BLOCK_ROWS;
  if (g->blocks < threads && m >= (int64_t)threads * 24)
    g->blocks = threads;
  const int64_t most = g->blocks ? (m + g->blocks - 1) / g->blocks : 0;
  size_t count;
  return ow_size_mul((size_t)most, (size_t)k, &count) && ow_size_mul(count, sizeof(float), &count) &&
         ow_size_add(count, 64, &count) && ow_size_align(count, 64, &g->thread_bytes);
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

static row_range rows_of_block(int64_t m, int64_t block, int64_t blocks) {
  const int64_t first = m * block / blocks, count = m * (block + 1) / blocks - first;
  return (row_range){first, count, (count + MR - 1) / MR};
}

/* Panels from..to of one part, for the packed rows r. c: column 0 of the part. */
static void run_panels(const ow_gemm_job *job, const ow_gemm_part *part, int64_t from, int64_t to, row_range r,
                       const float *packed, float *c) {
  const int64_t k = job->k, block = ow_gemm_block_k(k);
  for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += block) {
    const int64_t kn = k - k0 < block ? k - k0 : block;
    const bool last = k0 + kn == k;
    for (int64_t p = from; p < to; p++) {
      const int64_t cols = part->n - p * NR < NR ? part->n - p * NR : NR;
      const float *const panel = part->packed + (p * k + k0) * NR;
      const ow_gemm_finish f = {part->bias ? part->bias + p * NR : NULL, job->finish.activation, job->finish.alpha};
      const bool plain = f.activation == OW_ACT_NONE, whole = cols == NR;
      /* While this panel is worked on, each tile fetches its share of the next. */
      company with = {.ahead = panel, .soon_row = job->c_row, .bias = last && plain ? f.bias : NULL};
      if (p + 1 < to) {
        with.ahead += k * NR;
        with.ahead_step = (NR + r.tiles - 1) / r.tiles;
      }
      for (int64_t t = 0; t < r.tiles; t++, with.ahead += with.ahead_step * kn) {
        const int64_t row = r.count * t / r.tiles, count = r.count * (t + 1) / r.tiles - row;
        const float *const a = packed + row * k + k0 * count;
        float *const out = c + (r.first + row) * job->c_row + p * NR;
        float sums[MR * NR]; /* stays in the nearest cache, which rows of c far apart may not */
        const bool aside = whole && last && !plain && k0 == 0;
        with.soon = out;
        if (whole)
          company_tiles[count - 1](kn, a, panel, aside ? sums : out, aside ? NR : job->c_row, k0 > 0, &with);
        else
          OW_ISA_NAME(ow_gemm_tile)(count, cols, kn, a, panel, NR, out, job->c_row, k0 > 0);
        if (last && !(whole && plain) && (f.bias || !plain))
          OW_ISA_NAME(ow_gemm_finish_tile)
        (&f, aside ? sums : out, aside ? NR : job->c_row, out, job->c_row, count, cols);
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
  const row_range r = rows_of_block(job->m, b, g->blocks);

  char *const own = s->workspace + (size_t)thread * g->thread_bytes;
  int64_t *const have = (int64_t *)(void *)own;
  float *const packed = (float *)(void *)(own + 64);
  if (*have != b) {
    for (int64_t t = 0; t < r.tiles; t++) {
      const int64_t row = r.count * t / r.tiles, in_tile = r.count * (t + 1) / r.tiles - row;
      OW_ISA_NAME(ow_gemm_pack_a)
      (packed + row * job->k, job->a + (r.first + row) * job->a_row, job->a_row, job->a_col, in_tile, job->k);
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
      run_panels(job, part, from - start, stop - start, r, packed, c);
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
    tasks = enough > 1 ? (enough + threads - 1) / threads * threads : 1;
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
