/* The internal Linear by oneDNN: single-thread products of fixed tiles of rows and slices of columns, as tasks of one parallel
 * step. All primitives are made when a weight is packed, so a new number of rows makes none, and what a row gets does not depend
 * on the number of threads.
 *
 *     x [m, k]   rows: tiles of 64 and what is left in 32 16 8 4 2 1
 *     weight     columns: slices of SLICE, each packed as oneDNN likes it; the last one may be narrower
 *     task       tile x slice -> sums in the thread's own memory -> bias, activation -> y                                        */
#include <string.h>

#include "base/os.h"
#include "ops/cpu/fast.h"
#include "ops/cpu/finish.h"
#include "ops/dnnl/dnnl_env.h"
#include "ops/op_help.h"

#define MAX_PARTS 31
#define SLICE 192
#define TILES 7 /* 1 << i rows */
#define MAX_ROWS 64

/* One packed weight. which: 0 for whole slices, 1 for the last when it is narrower. */
typedef struct weight {
  const ow_allocator *allocator;
  int64_t k, n, slices, last; /* columns of the last slice */
  dnnl_primitive_t tiles[2][TILES];
  dnnl_memory_desc_t packed[2], scratchpads[2][TILES];
  size_t slice_bytes, scratchpad_bytes;
  char *data;
} weight;

static int64_t slice_columns(const weight *w, int64_t slice) { return slice == w->slices - 1 ? w->last : SLICE; }
static int which_of(const weight *w, int64_t slice) { return slice == w->slices - 1 && w->last != SLICE; }

static void weight_free(const ow_allocator *a, void *data) {
  weight *const w = data;
  if (!w)
    return;
  for (int i = 0; i < 2; i++) {
    for (int t = 0; t < TILES; t++) {
      if (w->tiles[i][t])
        (void)dnnl_primitive_destroy(w->tiles[i][t]);
      if (w->scratchpads[i][t])
        (void)dnnl_memory_desc_destroy(w->scratchpads[i][t]);
    }
    if (w->packed[i])
      (void)dnnl_memory_desc_destroy(w->packed[i]);
  }
  ow_free(a, w->data);
  ow_free(a, w);
}

/* ---- packing ------------------------------------------------------------------------------------------------------------- */

/* The product of 1 << tile rows with one slice. The first decides how slices are packed, the others follow. */
static onward_status make_tile(weight *w, dnnl_engine_t engine, int which, int tile, int64_t columns,
                               onward_error *err) {
  dnnl_memory_desc_t x = NULL, any = NULL, y = NULL;
  dnnl_primitive_attr_t attr = NULL;
  dnnl_primitive_desc_t desc = NULL;
  const dnnl_dims_t dims = {w->k, columns};
  const int64_t rows = INT64_C(1) << tile;
  dnnl_status_t s = ow_dnnl_matrix(&x, rows, w->k, w->k, 1);
  if (s == dnnl_success)
    s = ow_dnnl_matrix(&y, rows, columns, columns, 1);
  if (s == dnnl_success && !w->packed[which])
    s = dnnl_memory_desc_create_with_tag(&any, 2, dims, dnnl_f32, dnnl_format_tag_any);
  if (s == dnnl_success)
    s = dnnl_primitive_attr_create(&attr);
  if (s == dnnl_success)
    s = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
  if (s == dnnl_success)
    s = dnnl_matmul_primitive_desc_create(&desc, engine, x, w->packed[which] ? w->packed[which] : any, NULL, y, attr);
  if (s == dnnl_success && !w->packed[which])
    s = dnnl_memory_desc_clone(&w->packed[which], dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0));
  if (s == dnnl_success)
    s = dnnl_memory_desc_clone(&w->scratchpads[which][tile],
                               dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
  if (s == dnnl_success)
    s = dnnl_primitive_create(&w->tiles[which][tile], desc);
  if (s == dnnl_success) {
    const size_t bytes = dnnl_memory_desc_get_size(w->scratchpads[which][tile]);
    w->scratchpad_bytes = bytes > w->scratchpad_bytes ? bytes : w->scratchpad_bytes;
  }
  if (desc)
    (void)dnnl_primitive_desc_destroy(desc);
  if (attr)
    (void)dnnl_primitive_attr_destroy(attr);
  if (x)
    (void)dnnl_memory_desc_destroy(x);
  if (y)
    (void)dnnl_memory_desc_destroy(y);
  if (any)
    (void)dnnl_memory_desc_destroy(any);
  return ow_dnnl_check(s, "matmul", err);
}

/* Slice after slice: plain (room for one slice) gets the columns, dense and aligned, and is reordered into its place. */
static onward_status pack_slices(weight *w, dnnl_engine_t engine, const char *raw, int64_t row, int64_t col,
                                 float *plain, onward_error *err) {
  dnnl_stream_t stream = NULL;
  dnnl_status_t s = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
  onward_status room = ONWARD_OK;
  for (int64_t slice = 0; slice < w->slices && s == dnnl_success && room == ONWARD_OK; slice++) {
    if ((room = ow_dnnl_room(err)) != ONWARD_OK)
      break;
    const int64_t columns = slice_columns(w, slice);
    for (int64_t k = 0; k < w->k; k++)
      for (int64_t j = 0; j < columns; j++)
        memcpy(plain + k * columns + j, raw + (k * row + (slice * SLICE + j) * col) * (int64_t)sizeof(float),
               sizeof(float));
    dnnl_memory_desc_t desc = NULL;
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_primitive_desc_t reorder_desc = NULL;
    dnnl_primitive_t reorder = NULL;
    const dnnl_memory_desc_t packed = w->packed[which_of(w, slice)];
    s = ow_dnnl_matrix(&desc, w->k, columns, columns, 1);
    if (s == dnnl_success)
      s = dnnl_memory_create(&from, desc, engine, plain);
    if (s == dnnl_success)
      s = dnnl_memory_create(&to, packed, engine, w->data + (size_t)slice * w->slice_bytes);
    if (s == dnnl_success)
      s = dnnl_reorder_primitive_desc_create(&reorder_desc, desc, engine, packed, engine, NULL);
    if (s == dnnl_success)
      s = dnnl_primitive_create(&reorder, reorder_desc);
    if (s == dnnl_success) {
      const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
      s = dnnl_primitive_execute(reorder, stream, 2, args);
    }
    if (reorder)
      (void)dnnl_primitive_destroy(reorder);
    if (reorder_desc)
      (void)dnnl_primitive_desc_destroy(reorder_desc);
    if (from)
      (void)dnnl_memory_destroy(from);
    if (to)
      (void)dnnl_memory_destroy(to);
    if (desc)
      (void)dnnl_memory_desc_destroy(desc);
  }
  if (stream)
    (void)dnnl_stream_destroy(stream);
  return room != ONWARD_OK ? room : ow_dnnl_check(s, "reorder", err);
}

static bool trans_b(const ow_args *a) { return ow_node_int(a->node, "trans_b", 0) != 0; }

static onward_status pack_weight(const ow_args *a, size_t slot, weight *w, uint32_t *primitives, onward_error *err) {
  const onward_tensor *const raw = a->in[slot];
  const bool trans = trans_b(a);
  dnnl_engine_t engine;
  w->allocator = a->allocator;
  w->k = raw->dims[trans];
  w->n = raw->dims[!trans];
  w->slices = (w->n + SLICE - 1) / SLICE;
  w->last = w->n - (w->slices - 1) * SLICE;
  if (w->k == 0 || w->n == 0)
    return ONWARD_OK;
  OW_TRY(ow_dnnl_engine(&engine, err));
  for (int which = 0; which < 2; which++) {
    const int64_t columns = which ? w->last : SLICE;
    if (which ? w->last == SLICE : w->n < SLICE)
      continue;
    for (int tile = TILES - 1; tile >= 0; tile--, ++*primitives) {
      OW_TRY(ow_dnnl_room(err));
      OW_TRY(make_tile(w, engine, which, tile, columns, err));
    }
    const size_t bytes = dnnl_memory_desc_get_size(w->packed[which]);
    w->slice_bytes = bytes > w->slice_bytes ? bytes : w->slice_bytes;
  }
  size_t bytes, plain_bytes;
  if (!ow_size_align(w->slice_bytes, OW_ALIGNMENT, &w->slice_bytes) ||
      !ow_size_mul(w->slice_bytes, (size_t)w->slices, &bytes) ||
      !ow_size_mul((size_t)w->k, SLICE * sizeof(float), &plain_bytes))
    return ow_fail(err, ONWARD_LIMIT, "the packed weight is too large");
  float *const plain = ow_alloc(a->allocator, plain_bytes);
  w->data = ow_alloc(a->allocator, bytes);
  onward_status status = ONWARD_OK;
  if (!plain || !w->data)
    status = ow_fail(err, ONWARD_MEMORY, "out of memory packing %zu bytes", bytes);
  else
    status = pack_slices(w, engine, raw->data, trans ? 1 : w->n, trans ? w->k : 1, plain, err);
  ow_free(a->allocator, plain);
  return status;
}

static onward_status pack(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {
  weight *const w = ow_alloc_zero(a->allocator, 1, sizeof *w);
  if (!w)
    return ow_node_fail(a->node, err, ONWARD_MEMORY, "out of memory packing input %zu", slot);
  uint32_t primitives = 0;
  onward_status status = ow_dnnl_room(err);
  if (status == ONWARD_OK) {
    const int before = ow_thread_pool_limit(1);
    status = pack_weight(a, slot, w, &primitives, err);
    (void)ow_thread_pool_limit(before);
  }
  if (status != ONWARD_OK) {
    weight_free(a->allocator, w);
    if (status == ONWARD_MEMORY)
      ow_dnnl_forget();
    char place[256];
    ow_error_prefix(err, "%s", ow_node_describe(a->node, place, sizeof place));
    return status;
  }
  *out = (ow_packed){.data = w,
                     .bytes = sizeof *w + w->slice_bytes * (size_t)w->slices,
                     .free = weight_free,
                     .primitives = primitives,
                     .replaces_source = true};
  return ONWARD_OK;
}

/* ---- running ------------------------------------------------------------------------------------------------------------- */

/* Memory objects of one thread for one weight; handles are set for each execution. */
typedef struct part_memory {
  dnnl_memory_t weights[2], y[2][TILES], scratchpad[2][TILES];
} part_memory;

typedef struct thread_memory {
  dnnl_status_t status; /* of the last run */
  dnnl_stream_t stream;
  dnnl_memory_t x[TILES];
  part_memory parts[];
} thread_memory;

typedef struct state {
  const ow_allocator *allocator;
  char *threads; /* thread_memory of each */
  size_t memory_bytes, thread_bytes, scratchpad_bytes;
  int thread_count;
  size_t parts;
  int64_t m, k, columns, blocks, slices; /* blocks of rows; slices of all weights */
  ow_gemm_finish finish;
  ow_gemm_finish_fn finish_fn;
} state;

static thread_memory *memory_of(const state *s, int thread) {
  return (thread_memory *)(void *)(s->threads + (size_t)thread * s->memory_bytes);
}

static void destroy(void *memory) {
  state *const s = memory;
  for (int t = 0; s->threads && t < s->thread_count; t++) {
    thread_memory *const m = memory_of(s, t);
    for (size_t p = 0; p < s->parts; p++) {
      part_memory *const part = &m->parts[p];
      for (int which = 0; which < 2; which++) {
        if (part->weights[which])
          (void)dnnl_memory_destroy(part->weights[which]);
        for (int tile = 0; tile < TILES; tile++) {
          if (part->y[which][tile])
            (void)dnnl_memory_destroy(part->y[which][tile]);
          if (part->scratchpad[which][tile])
            (void)dnnl_memory_destroy(part->scratchpad[which][tile]);
        }
      }
    }
    for (int tile = 0; tile < TILES; tile++)
      if (m->x[tile])
        (void)dnnl_memory_destroy(m->x[tile]);
    if (m->stream)
      (void)dnnl_stream_destroy(m->stream);
  }
  if (s->threads)
    ow_free(s->allocator, s->threads);
  s->threads = NULL;
}

static dnnl_status_t make_memory(dnnl_memory_t *out, dnnl_engine_t engine, int64_t rows, int64_t columns) {
  dnnl_memory_desc_t desc = NULL;
  dnnl_status_t s = ow_dnnl_matrix(&desc, rows, columns, columns, 1);
  if (s == dnnl_success)
    s = dnnl_memory_create(out, desc, engine, DNNL_MEMORY_NONE);
  if (desc)
    (void)dnnl_memory_desc_destroy(desc);
  return s;
}

static dnnl_status_t make_thread(thread_memory *m, dnnl_engine_t engine, const ow_args *a, const state *s) {
  dnnl_status_t status = dnnl_stream_create(&m->stream, engine, dnnl_stream_default_flags);
  for (int tile = 0; tile < TILES && status == dnnl_success; tile++)
    status = make_memory(&m->x[tile], engine, INT64_C(1) << tile, s->k);
  for (size_t p = 0; p < s->parts; p++) {
    const weight *const w = a->packed[2 * p + 1];
    for (int which = 0; which < 2 && status == dnnl_success; which++) {
      if (!w->packed[which])
        continue;
      status = dnnl_memory_create(&m->parts[p].weights[which], w->packed[which], engine, DNNL_MEMORY_NONE);
      for (int tile = 0; tile < TILES && status == dnnl_success; tile++) {
        status = make_memory(&m->parts[p].y[which][tile], engine, INT64_C(1) << tile, which ? w->last : SLICE);
        if (status == dnnl_success)
          status = dnnl_memory_create(&m->parts[p].scratchpad[which][tile], w->scratchpads[which][tile], engine,
                                      DNNL_MEMORY_NONE);
      }
    }
  }
  return status;
}

static onward_status prepare(const ow_args *a, void *memory, size_t *workspace, onward_error *err) {
  state *const s = memory;
  const onward_tensor *const x = a->in[0];
  *s = (state){.allocator = a->allocator,
               .thread_count = a->threads > 0 ? a->threads : 1,
               .parts = a->in_count / 2,
               .m = ow_dims_product(x->dims, 0, x->rank - 1),
               .k = x->dims[x->rank - 1],
               .finish = ow_gemm_finish_of(a->node),
               .finish_fn = ow_gemm_finish_best()};
  for (size_t p = 0; p < s->parts; p++) {
    const weight *const w = a->packed[2 * p + 1];
    s->columns += w->n;
    s->slices += w->slices;
    s->scratchpad_bytes = w->scratchpad_bytes > s->scratchpad_bytes ? w->scratchpad_bytes : s->scratchpad_bytes;
  }
  /* Blocks of 64 rows, smaller ones when there would be few tasks. The threads have no say: below AVX-512 the tiles of oneDNN
   * differ in the last bit. */
  int64_t rows = MAX_ROWS;
  while (rows > 16 && (s->m + rows - 1) / rows * s->slices < 8)
    rows /= 2;
  s->blocks = (s->m + rows - 1) / rows;

  size_t bytes;
  if (!ow_size_align(s->scratchpad_bytes, OW_ALIGNMENT, &s->scratchpad_bytes) ||
      !ow_size_add(s->scratchpad_bytes, MAX_ROWS * SLICE * sizeof(float), &s->thread_bytes) ||
      !ow_size_mul(s->thread_bytes, (size_t)s->thread_count, workspace) ||
      !ow_size_align(sizeof(thread_memory) + s->parts * sizeof(part_memory), OW_ALIGNMENT, &s->memory_bytes) ||
      !ow_size_mul(s->memory_bytes, (size_t)s->thread_count, &bytes))
    return ow_fail(err, ONWARD_LIMIT, "the workspace is too large");
  s->threads = ow_alloc_zero(a->allocator, 1, bytes);
  if (!s->threads)
    return ow_fail(err, ONWARD_MEMORY, "no memory for oneDNN's memory objects");
  dnnl_engine_t engine;
  onward_status status = ow_dnnl_engine(&engine, err);
  for (int t = 0; t < s->thread_count && status == ONWARD_OK && (status = ow_dnnl_room(err)) == ONWARD_OK; t++)
    status = ow_dnnl_check(make_thread(memory_of(s, t), engine, a, s), "memory objects", err);
  return status; /* on failure the caller destroys */
}

typedef struct job {
  const ow_args *args;
  const state *s;
} job;

/* Rows of a block in tiles, largest first; sums go to the thread's memory, then to y. */
static dnnl_status_t run_slice(const job *j, thread_memory *m, size_t p, int64_t slice, int64_t row, int64_t rows,
                               int64_t column, char *own) {
  const state *const s = j->s;
  const weight *const w = j->args->packed[2 * p + 1];
  const onward_tensor *const bias = 2 * p + 2 < j->args->in_count ? j->args->in[2 * p + 2] : NULL;
  const int which = which_of(w, slice);
  const int64_t columns = slice_columns(w, slice);
  float *const x = (float *)j->args->in[0]->data, *const y = (float *)j->args->out[0]->data;
  float *const sums = (float *)(void *)(own + s->scratchpad_bytes);
  const part_memory *const part = &m->parts[p];
  ow_gemm_finish finish = s->finish;
  finish.bias = bias ? (const float *)bias->data + slice * SLICE : NULL;
  dnnl_status_t status = dnnl_memory_set_data_handle(part->weights[which], w->data + (size_t)slice * w->slice_bytes);
  while (rows > 0 && status == dnnl_success) {
    int tile = TILES - 1;
    while (INT64_C(1) << tile > rows)
      tile--;
    const int64_t count = INT64_C(1) << tile;
    status = dnnl_memory_set_data_handle(m->x[tile], x + row * s->k);
    if (status == dnnl_success)
      status = dnnl_memory_set_data_handle(part->y[which][tile], sums);
    if (status == dnnl_success)
      status = dnnl_memory_set_data_handle(part->scratchpad[which][tile], own);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, m->x[tile]},
                                    {DNNL_ARG_WEIGHTS, part->weights[which]},
                                    {DNNL_ARG_DST, part->y[which][tile]},
                                    {DNNL_ARG_SCRATCHPAD, part->scratchpad[which][tile]}};
    if (status == dnnl_success)
      status = dnnl_primitive_execute(w->tiles[which][tile], m->stream, 4, args);
    s->finish_fn(&finish, sums, columns, y + row * s->columns + column, s->columns, count, columns);
    row += count;
    rows -= count;
  }
  return status;
}

static void run_task(void *context, int64_t task, int thread) {
  const job *const j = context;
  const state *const s = j->s;
  thread_memory *const m = memory_of(s, thread);
  const int64_t block = task % s->blocks;
  int64_t slice = task / s->blocks, column = 0;
  size_t p = 0;
  for (;; p++) {
    const weight *const w = j->args->packed[2 * p + 1];
    if (slice < w->slices)
      break;
    slice -= w->slices;
    column += w->n;
  }
  const int64_t row = s->m * block / s->blocks, rows = s->m * (block + 1) / s->blocks - row;
  char *const own = (char *)j->args->workspace + (size_t)thread * s->thread_bytes;
  if (!ow_os_has_room(OW_DNNL_ROOM)) { /* the team may have taken what there was at the begin */
    m->status = dnnl_out_of_memory;
    return;
  }
  const dnnl_status_t status = run_slice(j, m, p, slice, row, rows, column + slice * SLICE, own);
  if (status != dnnl_success)
    m->status = status;
}

static onward_status run(const ow_args *a, void *memory, onward_error *err) {
  state *const s = memory;
  job j = {a, s};
  if (s->m == 0)
    return ONWARD_OK;
  for (int t = 0; t < s->thread_count; t++)
    memory_of(s, t)->status = dnnl_success;
  OW_TRY(ow_dnnl_room(err)); /* executing allocates a few hundred bytes in each thread */
  /* Inside a team oneDNN uses the calling thread alone; outside it would make a team of its own. */
  const int before = ow_thread_pool_limit(1);
  ow_parallel(s->thread_count, s->blocks * s->slices, run_task, &j);
  (void)ow_thread_pool_limit(before);
  for (int t = 0; t < s->thread_count; t++)
    OW_TRY(ow_dnnl_check(memory_of(s, t)->status, "matmul", err));
  return ONWARD_OK;
}

static bool supports(const ow_args *a, ow_why *why) {
  for (size_t i = 0; i < a->in_count; i++)
    if (a->in[i] && a->in[i]->dtype != ONWARD_FLOAT32)
      return ow_refuse(why, "input %zu is %s, want float32", i, onward_dtype_name(a->in[i]->dtype));
  if (a->in_count > 2 * MAX_PARTS + 1)
    return ow_refuse(why, "%zu weights, at most %d", a->in_count / 2, MAX_PARTS);
  for (size_t i = 1; i < a->in_count; i += 2) {
    if (!a->constant[i])
      return ow_refuse(why, "weight %zu is not constant", i / 2);
    if (ow_count(a->in[i]) == 0)
      return ow_refuse(why, "weight %zu is empty", i / 2);
  }
  return true;
}

static uint64_t pack_slots(const ow_args *a) {
  uint64_t slots = 0;
  for (size_t i = 1; i < a->in_count; i += 2)
    slots |= UINT64_C(1) << i;
  return slots;
}

static uint32_t pack_variant(const ow_args *a, size_t slot) { return (void)slot, trans_b(a); }

const ow_kernel ow_linear_dnnl = {.name = "linear_dnnl",
                                  .flags = OW_KERNEL_UNALIGNED,
                                  .supports = supports,
                                  .pack_slots = pack_slots,
                                  .pack_variant = pack_variant,
                                  .pack = pack,
                                  .state_size = sizeof(state),
                                  .prepare = prepare,
                                  .run = run,
                                  .destroy = destroy};
