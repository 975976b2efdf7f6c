#include <assert.h>

#include "ops/op_help.h"

/* Below this many bytes a copy is not worth a team. */
#define GRAIN_BYTES (256 * 1024)

void ow_strides(int32_t rank, const int64_t *dims, int64_t *strides) {
  int64_t step = 1;
  for (int32_t d = rank - 1; d >= 0; d--) {
    strides[d] = step;
    step *= dims[d];
  }
}

void ow_nd_finish(ow_nd *nd) {
  int32_t kept = 0;
  bool empty = false;
  for (int32_t d = 0; d < nd->rank; d++) {
    if (nd->dims[d] == 0)
      empty = true;
    if (nd->dims[d] == 1)
      continue;
    bool joins = kept > 0;
    for (int32_t k = 0; k < nd->operands && joins; k++)
      joins = nd->strides[k][kept - 1] == nd->strides[k][d] * nd->dims[d];
    const int32_t to = joins ? kept - 1 : kept++;
    nd->dims[to] = joins ? nd->dims[to] * nd->dims[d] : nd->dims[d];
    for (int32_t k = 0; k < nd->operands; k++)
      nd->strides[k][to] = nd->strides[k][d];
  }
  if (kept == 0) {
    kept = 1;
    nd->dims[0] = 1;
    for (int32_t k = 0; k < nd->operands; k++)
      nd->strides[k][0] = 0;
  }
  nd->rank = kept;
  nd->inner = nd->dims[kept - 1];
  nd->rows = empty ? 0 : ow_dims_product(nd->dims, 0, kept - 1);
}

void ow_nd_broadcast(ow_nd *nd, const onward_tensor *out, const onward_tensor *const *in, size_t count) {
  assert(count < OW_ND_OPERANDS);
  nd->rank = out->rank;
  nd->operands = (int32_t)count + 1;
  memcpy(nd->dims, out->dims, (size_t)out->rank * sizeof nd->dims[0]);
  ow_strides(out->rank, out->dims, nd->strides[0]);
  for (size_t i = 0; i < count; i++) {
    int64_t *const strides = nd->strides[i + 1];
    for (int32_t d = 0; d < out->rank; d++)
      strides[d] = 0;
    if (!in[i])
      continue;
    const int32_t lead = out->rank - in[i]->rank;
    ow_strides(in[i]->rank, in[i]->dims, strides + lead);
    for (int32_t d = 0; d < in[i]->rank; d++)
      if (in[i]->dims[d] == 1)
        strides[d + lead] = 0;
  }
  ow_nd_finish(nd);
}

void ow_nd_seek(const ow_nd *nd, ow_nd_at *at, int64_t row) {
  for (int32_t k = 0; k < nd->operands; k++)
    at->offset[k] = 0;
  for (int32_t d = nd->rank - 2; d >= 0; d--) {
    at->index[d] = row % nd->dims[d];
    row /= nd->dims[d];
    for (int32_t k = 0; k < nd->operands; k++)
      at->offset[k] += at->index[d] * nd->strides[k][d];
  }
}

void ow_nd_next(const ow_nd *nd, ow_nd_at *at) {
  for (int32_t d = nd->rank - 2; d >= 0; d--) {
    const bool carry = ++at->index[d] == nd->dims[d];
    const int64_t steps = carry ? 1 - nd->dims[d] : 1;
    for (int32_t k = 0; k < nd->operands; k++)
      at->offset[k] += steps * nd->strides[k][d];
    if (!carry)
      return;
    at->index[d] = 0;
  }
}

/* ---- ranges -------------------------------------------------------------------------------------------------------------- */

typedef struct ranges {
  ow_range_fn fn;
  void *context;
  int64_t count, grain;
} ranges;

static void run_range(void *context, int64_t task, int thread) {
  (void)thread;
  const ranges *const r = context;
  const int64_t from = task * r->grain;
  const int64_t left = r->count - from;
  r->fn(r->context, from, left < r->grain ? r->count : from + r->grain);
}

void ow_parallel_ranges(int threads, int64_t count, int64_t grain, ow_range_fn fn, void *context) {
  if (count <= 0)
    return;
  if (grain < 1)
    grain = 1;
  if (count <= grain) {
    fn(context, 0, count);
    return;
  }
  ranges r = {fn, context, count, grain};
  ow_parallel(threads, (count - 1) / grain + 1, run_range, &r);
}

/* ---- copy ---------------------------------------------------------------------------------------------------------------- */

/* Mapped constants may lie at any address. */
typedef uint8_t any8 __attribute__((aligned(1), may_alias));
typedef uint16_t any16 __attribute__((aligned(1), may_alias));
typedef uint32_t any32 __attribute__((aligned(1), may_alias));
typedef uint64_t any64 __attribute__((aligned(1), may_alias));
typedef struct __attribute__((packed, may_alias)) {
  uint64_t low, high;
} any128;

#define TILE 16

/* line: dst[i * ds] = src[i * ss].  tile: dst[i * di + j] = src[i + j * sj], in square tiles so that both sides stay in cache. */
#define DEFINE_COPY(name, type)                                                                             \
  static void line_##name(type *dst, int64_t ds, const type *src, int64_t ss, int64_t n) {                  \
    if (ss == 0) {                                                                                          \
      const type value = *src;                                                                              \
      for (int64_t i = 0; i < n; i++)                                                                       \
        dst[i * ds] = value;                                                                                \
    } else {                                                                                                \
      for (int64_t i = 0; i < n; i++)                                                                       \
        dst[i * ds] = src[i * ss];                                                                          \
    }                                                                                                       \
  }                                                                                                         \
  static void tile_##name(type *dst, int64_t di, const type *src, int64_t sj, int64_t rows, int64_t cols) { \
    for (int64_t j0 = 0; j0 < cols; j0 += TILE) {                                                           \
      const int64_t j1 = j0 + TILE < cols ? j0 + TILE : cols;                                               \
      for (int64_t i = 0; i < rows; i++)                                                                    \
        for (int64_t j = j0; j < j1; j++)                                                                   \
          dst[i * di + j] = src[i + j * sj];                                                                \
    }                                                                                                       \
  }
DEFINE_COPY(8, any8)
DEFINE_COPY(16, any16)
DEFINE_COPY(32, any32)
DEFINE_COPY(64, any64)
DEFINE_COPY(128, any128)

typedef struct copy_job {
  ow_nd nd;
  char *dst;
  const char *src;
  size_t size;
  /* of a transposition: the dim that is dense in src, taken out of nd */
  int64_t rows, row_dst, blocks;
} copy_job;

static void copy_lines(void *context, int64_t from, int64_t to) {
  const copy_job *const j = context;
  const ow_nd *const nd = &j->nd;
  const int64_t n = nd->inner, ds = nd->strides[0][nd->rank - 1], ss = nd->strides[1][nd->rank - 1];
  const int64_t size = (int64_t)j->size;
  const bool dense = (ds == 1 && ss == 1) || n == 1;
  ow_nd_at at;
  ow_nd_seek(nd, &at, from);
  for (int64_t row = from; row < to; row++, ow_nd_next(nd, &at)) {
    char *const dst = j->dst + at.offset[0] * size;
    const char *const src = j->src + at.offset[1] * size;
    if (dense)
      memcpy(dst, src, (size_t)n * j->size);
    else if (size == 4)
      line_32((any32 *)(void *)dst, ds, (const any32 *)(const void *)src, ss, n);
    else if (size == 8)
      line_64((any64 *)(void *)dst, ds, (const any64 *)(const void *)src, ss, n);
    else if (size == 2)
      line_16((any16 *)(void *)dst, ds, (const any16 *)(const void *)src, ss, n);
    else if (size == 1)
      line_8((any8 *)dst, ds, (const any8 *)src, ss, n);
    else
      line_128((any128 *)(void *)dst, ds, (const any128 *)(const void *)src, ss, n);
  }
}

static void copy_tiles(void *context, int64_t from, int64_t to) {
  const copy_job *const j = context;
  const ow_nd *const nd = &j->nd;
  const int64_t cols = nd->inner, sj = nd->strides[1][nd->rank - 1];
  const int64_t size = (int64_t)j->size;
  for (int64_t t = from; t < to; t++) {
    ow_nd_at at;
    ow_nd_seek(nd, &at, t / j->blocks);
    const int64_t i0 = t % j->blocks * TILE;
    const int64_t rows = i0 + TILE < j->rows ? TILE : j->rows - i0;
    char *const dst = j->dst + (at.offset[0] + i0 * j->row_dst) * size;
    const char *const src = j->src + (at.offset[1] + i0) * size;
    if (size == 4)
      tile_32((any32 *)(void *)dst, j->row_dst, (const any32 *)(const void *)src, sj, rows, cols);
    else if (size == 8)
      tile_64((any64 *)(void *)dst, j->row_dst, (const any64 *)(const void *)src, sj, rows, cols);
    else if (size == 2)
      tile_16((any16 *)(void *)dst, j->row_dst, (const any16 *)(const void *)src, sj, rows, cols);
    else if (size == 1)
      tile_8((any8 *)dst, j->row_dst, (const any8 *)src, sj, rows, cols);
    else
      tile_128((any128 *)(void *)dst, j->row_dst, (const any128 *)(const void *)src, sj, rows, cols);
  }
}

void ow_copy_strided(void *dst, const int64_t *dst_strides, const void *src, const int64_t *src_strides, int32_t rank,
                     const int64_t *dims, size_t size, int threads) {
  assert(rank <= OW_ND_RANK && (size == 1 || size == 2 || size == 4 || size == 8 || size == 16));
  copy_job j = {.dst = dst, .src = src, .size = size};
  ow_nd *const nd = &j.nd;
  nd->rank = rank;
  nd->operands = 2;
  for (int32_t d = 0; d < rank; d++) {
    nd->dims[d] = dims[d];
    nd->strides[0][d] = dst_strides[d];
    nd->strides[1][d] = src_strides[d];
  }
  ow_nd_finish(nd);
  if (nd->rows == 0 || nd->inner == 0)
    return;
  const int32_t last = nd->rank - 1;
  int32_t dense = -1;
  if (nd->strides[0][last] == 1 && nd->strides[1][last] != 1)
    for (int32_t d = 0; d < last; d++)
      if (nd->strides[1][d] == 1)
        dense = d;
  if (dense < 0) {
    /* One long line is cut so that threads can share it. */
    const int64_t line_bytes = nd->inner * (int64_t)size;
    if (nd->rows == 1 && line_bytes > GRAIN_BYTES && nd->rank == 1) {
      const int64_t part = GRAIN_BYTES / (int64_t)size;
      const int64_t whole = nd->inner / part * part;
      const int64_t tail_from = whole, tail = nd->inner - whole;
      const int64_t ds = nd->strides[0][0], ss = nd->strides[1][0];
      ow_nd *const cut = nd;
      cut->rank = 2;
      cut->dims[0] = cut->rows = whole / part;
      cut->dims[1] = cut->inner = part;
      cut->strides[0][0] = ds * part, cut->strides[0][1] = ds;
      cut->strides[1][0] = ss * part, cut->strides[1][1] = ss;
      ow_parallel_ranges(threads, cut->rows, 1, copy_lines, &j);
      if (tail > 0) {
        copy_job rest = {
            .dst = j.dst + tail_from * ds * (int64_t)size, .src = j.src + tail_from * ss * (int64_t)size, .size = size};
        rest.nd = (ow_nd){.rank = 1, .operands = 2, .rows = 1, .inner = tail};
        rest.nd.dims[0] = tail;
        rest.nd.strides[0][0] = ds;
        rest.nd.strides[1][0] = ss;
        copy_lines(&rest, 0, 1);
      }
      return;
    }
    ow_parallel_ranges(threads, nd->rows, GRAIN_BYTES / (line_bytes < GRAIN_BYTES ? line_bytes : GRAIN_BYTES),
                       copy_lines, &j);
    return;
  }
  j.rows = nd->dims[dense];
  j.row_dst = nd->strides[0][dense];
  j.blocks = (j.rows - 1) / TILE + 1;
  for (int32_t d = dense; d < last; d++) {
    nd->dims[d] = nd->dims[d + 1];
    nd->strides[0][d] = nd->strides[0][d + 1];
    nd->strides[1][d] = nd->strides[1][d + 1];
  }
  nd->rank--;
  nd->rows /= j.rows;
  const int64_t task_bytes = TILE * nd->inner * (int64_t)size;
  ow_parallel_ranges(threads, nd->rows * j.blocks, GRAIN_BYTES / (task_bytes < GRAIN_BYTES ? task_bytes : GRAIN_BYTES),
                     copy_tiles, &j);
}
