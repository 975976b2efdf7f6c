/* MatMul and Gemm of float32. A constant second matrix is packed once; otherwise each task packs what it multiplies. */
#include "ops/cpu/fast_help.h"
#include "ops/cpu/gemm.h"

#define NR OW_GEMM_NR
#define MR OW_GEMM_MR

/* C[i] = A[i] * B[i] for every matrix i of a broadcast batch. */
typedef struct product {
  int64_t m, n, k;
  int64_t a_row, a_col, b_row, b_col; /* strides in elements */
  int32_t batch_rank;
  int64_t batch[ONWARD_MAX_RANK], a_step[ONWARD_MAX_RANK], b_step[ONWARD_MAX_RANK];
  int64_t batches;
  int64_t row_blocks, column_blocks; /* tasks per matrix */
  int64_t block_rows, block_k;
  size_t a_bytes, thread_bytes;
  const void *packed; /* B, when it is constant and alone */
  float alpha, beta;  /* of Gemm */
  int64_t c_row, c_col;
} product;

typedef struct job {
  const product *p;
  const float *a, *b;
  float *c;
  char *workspace;
} job;

static void run_task(void *context, int64_t task, int thread) {
  const job *const j = context;
  const product *const p = j->p;
  const int64_t column_block = task % p->column_blocks, row_block = task / p->column_blocks % p->row_blocks;
  int64_t matrix = task / p->column_blocks / p->row_blocks;
  static const float nothing = 0.0f; /* where a matrix has no elements there may be no memory */
  const float *a = j->a ? j->a : &nothing, *b = j->b ? j->b : &nothing;
  float *const c = j->c + matrix * p->m * p->n;
  for (int32_t d = p->batch_rank - 1; d >= 0; d--) {
    a += matrix % p->batch[d] * p->a_step[d];
    b += matrix % p->batch[d] * p->b_step[d];
    matrix /= p->batch[d];
  }
  float *const packed_a = (float *)(void *)(j->workspace + (size_t)thread * p->thread_bytes);
  float *const packed_b = (float *)(void *)(j->workspace + (size_t)thread * p->thread_bytes + p->a_bytes);

  const int64_t row0 = p->m * row_block / p->row_blocks, row1 = p->m * (row_block + 1) / p->row_blocks;
  const int64_t panels = ow_gemm_panels(p->n);
  const int64_t panel0 = panels * column_block / p->column_blocks,
                panel1 = panels * (column_block + 1) / p->column_blocks;
  for (int64_t k0 = 0; k0 == 0 || k0 < p->k; k0 += p->block_k) {
    const int64_t kn = p->k - k0 < p->block_k ? p->k - k0 : p->block_k;
    for (int64_t row = row0; row < row1; row += MR) {
      const int64_t rows = row1 - row < MR ? row1 - row : MR;
      OW_ISA_NAME(ow_gemm_pack_a)
      (packed_a + (row - row0) * kn, a + row * p->a_row + k0 * p->a_col, p->a_row, p->a_col, rows, kn);
    }
    for (int64_t panel = panel0; panel < panel1; panel++) {
      const int64_t column = panel * NR, columns = p->n - column < NR ? p->n - column : NR;
      const float *from = b + k0 * p->b_row + column * p->b_col;
      int64_t step = p->b_row;
      /* A few rows do not pay for packing what lies well already. */
      if (p->b_col != 1 || columns < NR || row1 - row0 > 2 * MR) {
        OW_ISA_NAME(ow_gemm_pack_b)(packed_b, kn, from, p->b_row, p->b_col, 0, kn, columns);
        from = packed_b;
        step = NR;
      }
      for (int64_t row = row0; row < row1; row += MR) {
        const int64_t rows = row1 - row < MR ? row1 - row : MR;
        OW_ISA_NAME(ow_gemm_tile)
        (rows, columns, kn, packed_a + (row - row0) * kn, from, step, c + row * p->n + column, p->n, k0 > 0);
      }
    }
    if (kn == 0)
      break;
  }
}

/* Tasks and workspace for a product whose B is packed on the way. */
static bool plan(product *p, int threads, size_t *workspace) {
  const int64_t most_rows = 8 * MR;
  p->row_blocks = (p->m + most_rows - 1) / most_rows;
  if (p->row_blocks < 1)
    p->row_blocks = 1;
  p->column_blocks = 1;
  const int64_t panels = ow_gemm_panels(p->n), wanted = 4 * (int64_t)threads, have = p->batches * p->row_blocks;
  const double work = (double)p->m * (double)p->n * (double)(p->k + 16);
  if (have < wanted && have > 0 && work * (double)p->batches > 2e6) {
    p->column_blocks = (wanted + have - 1) / have;
    if (p->column_blocks > panels)
      p->column_blocks = panels > 0 ? panels : 1;
  }
  p->block_rows = (p->m + p->row_blocks - 1) / p->row_blocks;
  p->block_k = ow_gemm_block_k(p->k);
  if (p->block_k < 1)
    p->block_k = 1;
  const size_t block_k = (size_t)p->block_k;
  size_t count;
  return ow_size_mul((size_t)p->block_rows, block_k, &count) && ow_size_mul(count, sizeof(float), &count) &&
         ow_size_align(count, 64, &p->a_bytes) &&
         ow_size_add(p->a_bytes, block_k * NR * sizeof(float), &p->thread_bytes) &&
         ow_size_mul(p->thread_bytes, (size_t)(threads > 0 ? threads : 1), workspace);
}

static void run_product(const product *p, const ow_args *args) {
  const float *const a = args->in[0]->data;
  float *const c = args->out[0]->data;
  if (p->m == 0 || p->n == 0 || p->batches == 0)
    return;
  if (p->packed) {
    const ow_gemm_part part = {.packed = p->packed, .n = p->n};
    const ow_gemm_job whole = {.m = p->m,
                               .k = p->k,
                               .a = a,
                               .a_row = p->a_row,
                               .a_col = p->a_col,
                               .parts = &part,
                               .part_count = 1,
                               .c = c,
                               .c_row = p->n};
    OW_ISA_NAME(ow_gemm_run)(&whole, args->workspace, args->threads);
    return;
  }
  job j = {p, a, args->in[1]->data, c, args->workspace};
  const double work = (double)p->batches * (double)p->m * (double)p->n * (double)(p->k + 16);
  ow_parallel(work < 1e6 ? 1 : args->threads, p->batches * p->row_blocks * p->column_blocks, run_task, &j);
}

static onward_status prepare_product(const ow_args *a, product *p, size_t *workspace, onward_error *err) {
  p->packed = a->packed ? a->packed[1] : NULL;
  const bool fits =
      p->packed ? OW_ISA_NAME(ow_gemm_workspace)(p->m, p->k, a->threads, workspace) : plan(p, a->threads, workspace);
  return fits ? ONWARD_OK : ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
}

static onward_status pack_matrix(const ow_args *a, int64_t k, int64_t n, int64_t row, int64_t col, ow_packed *out,
                                 onward_error *err) {
  size_t bytes;
  if (!OW_ISA_NAME(ow_gemm_packed_bytes)(k, n, &bytes))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "input 1: the packed matrix is too large");
  out->data = ow_alloc(a->allocator, bytes);
  if (!out->data)
    return ow_node_fail(a->node, err, ONWARD_MEMORY, "out of memory packing input 1 (%zu bytes)", bytes);
  out->bytes = bytes;
  out->replaces_source = true;
  OW_ISA_NAME(ow_gemm_pack_weight)(out->data, a->in[1]->data, row, col, k, n, a->threads);
  return ONWARD_OK;
}

/* ---- MatMul -------------------------------------------------------------------------------------------------------------- */

/* One matrix that every matrix of A is multiplied with: the batch of A is more rows. */
static bool b_alone(const onward_tensor *b) { return b->rank >= 2 && ow_dims_product(b->dims, 0, b->rank - 2) == 1; }

static bool matmul_supports(const ow_args *a, ow_why *why) { return ow_fast_f32(a, why); }

static uint64_t matmul_pack_slots(const ow_args *a) {
  return a->constant[1] && b_alone(a->in[1]) && ow_count(a->in[1]) > 0 ? 2 : 0;
}

static onward_status matmul_pack(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {
  const onward_tensor *const b = a->in[slot];
  const int64_t k = b->dims[b->rank - 2], n = b->dims[b->rank - 1];
  return pack_matrix(a, k, n, n, 1, out, err);
}

/* m, n, k and the strides of one matrix are set: the batch, or all of it as rows where `joined`. */
static void set_batch(const ow_args *args, product *p, bool joined) {
  const onward_tensor *const a = args->in[0], *const b = args->in[1], *const c = args->out[0];
  p->batches = 1;
  if (joined) {
    p->m = ow_dims_product(a->dims, 0, a->rank - 1);
  } else {
    const int32_t a_rank = a->rank > 2 ? a->rank - 2 : 0, b_rank = b->rank > 2 ? b->rank - 2 : 0;
    p->batch_rank = a_rank > b_rank ? a_rank : b_rank;
    int64_t a_step = p->m * p->k, b_step = p->k * p->n;
    for (int32_t d = p->batch_rank - 1, i = a_rank - 1, j = b_rank - 1; d >= 0; d--, i--, j--) {
      p->batch[d] = c->dims[d];
      p->a_step[d] = i >= 0 && a->dims[i] != 1 ? a_step : 0;
      p->b_step[d] = j >= 0 && b->dims[j] != 1 ? b_step : 0;
      a_step *= i >= 0 ? a->dims[i] : 1;
      b_step *= j >= 0 ? b->dims[j] : 1;
    }
    p->batches = ow_dims_product(p->batch, 0, p->batch_rank);
  }
}

static onward_status matmul_prepare(const ow_args *args, void *state, size_t *workspace, onward_error *err) {
  product *const p = state;
  const onward_tensor *const a = args->in[0], *const b = args->in[1];
  *p = (product){.m = a->rank > 1 ? a->dims[a->rank - 2] : 1};
  p->k = a->dims[a->rank - 1];
  p->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
  p->a_row = p->k;
  p->b_row = p->n;
  p->a_col = p->b_col = 1;
  set_batch(args, p, b_alone(b) && a->rank > 1);
  return prepare_product(args, p, workspace, err);
}

static onward_status matmul_run(const ow_args *a, void *state, onward_error *err) {
  (void)err;
  run_product(state, a);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_matmul) = {.name = OW_ISA_STRING("matmul"),
                                          .cpu = OW_ISA_CPU,
                                          .flags = OW_KERNEL_UNALIGNED,
                                          .supports = matmul_supports,
                                          .pack_slots = matmul_pack_slots,
                                          .pack = matmul_pack,
                                          .state_size = sizeof(product),
                                          .prepare = matmul_prepare,
                                          .run = matmul_run};

/* ---- Gemm ---------------------------------------------------------------------------------------------------------------- */

static bool flag(const ow_args *a, const char *name) { return ow_node_int(a->node, name, 0) != 0; }

static uint64_t gemm_pack_slots(const ow_args *a) { return a->constant[1] && ow_count(a->in[1]) > 0 ? 2 : 0; }
static uint32_t gemm_pack_variant(const ow_args *a, size_t slot) { return (void)slot, flag(a, "transB"); }

static onward_status gemm_pack(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {
  const onward_tensor *const b = a->in[slot];
  const bool trans = flag(a, "transB");
  return pack_matrix(a, b->dims[trans], b->dims[!trans], trans ? 1 : b->dims[1], trans ? b->dims[1] : 1, out, err);
}

static onward_status gemm_prepare(const ow_args *args, void *state, size_t *workspace, onward_error *err) {
  product *const p = state;
  const onward_tensor *const a = args->in[0], *const b = args->in[1], *const c = ow_fast_in(args, 2);
  const bool trans_a = flag(args, "transA"), trans_b = flag(args, "transB");
  *p = (product){.m = a->dims[trans_a],
                 .k = a->dims[!trans_a],
                 .n = b->dims[!trans_b],
                 .a_row = trans_a ? 1 : a->dims[1],
                 .a_col = trans_a ? a->dims[1] : 1,
                 .b_row = trans_b ? 1 : b->dims[1],
                 .b_col = trans_b ? b->dims[1] : 1,
                 .batches = 1,
                 .alpha = ow_node_float(args->node, "alpha", 1.0f),
                 .beta = ow_node_float(args->node, "beta", 1.0f)};
  if (c && c->rank > 0 && c->dims[c->rank - 1] != 1)
    p->c_col = 1;
  if (c && c->rank > 1 && c->dims[0] != 1)
    p->c_row = c->dims[1];
  return prepare_product(args, p, workspace, err);
}

typedef struct finish_job {
  const product *p;
  const float *c; /* NULL: nothing is added */
  float *y;
} finish_job;

static void finish_rows(void *context, int64_t from, int64_t to) {
  const finish_job *const j = context;
  const product *const p = j->p;
  const vf alpha = v_set(p->alpha), beta = v_set(p->beta);
  for (int64_t row = from; row < to; row++) {
    float *const y = j->y + row * p->n;
    const float *const c = j->c ? j->c + row * p->c_row : NULL;
    for (int64_t i = 0; i < p->n; i += W) {
      const vm m = v_first(p->n - i);
      vf v = alpha * v_load_masked(y + i, m);
      if (c)
        v = v_fma(beta, p->c_col ? v_load_masked(c + i, m) : v_set(ow_fast_scalar(c)), v);
      v_store_masked(y + i, m, v);
    }
  }
}

static onward_status gemm_run(const ow_args *a, void *state, onward_error *err) {
  (void)err;
  const product *const p = state;
  const onward_tensor *const c = ow_fast_in(a, 2);
  run_product(p, a);
  finish_job j = {p, c && fpclassify(p->beta) != FP_ZERO ? c->data : NULL, a->out[0]->data};
  if (p->n > 0 && (j.c || p->alpha < 1.0f || p->alpha > 1.0f))
    ow_parallel_ranges(a->threads, p->m, ow_fast_grain(a->threads, p->m, p->n), finish_rows, &j);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_gemm) = {.name = OW_ISA_STRING("gemm"),
                                        .cpu = OW_ISA_CPU,
                                        .flags = OW_KERNEL_UNALIGNED,
                                        .supports = matmul_supports,
                                        .pack_slots = gemm_pack_slots,
                                        .pack_variant = gemm_pack_variant,
                                        .pack = gemm_pack,
                                        .state_size = sizeof(product),
                                        .prepare = gemm_prepare,
                                        .run = gemm_run};

/* ---- FusedMatMul, but for rows in front of the batch ------------------------------------------------------------------------ */

static bool fused_supports(const ow_args *a, ow_why *why) {
  if (flag(a, "transBatchA") || flag(a, "transBatchB"))
    return ow_refuse(why, "rows in front of the batch");
  if (a->in[0]->rank < 2 || a->in[1]->rank < 2)
    return ow_refuse(why, "a vector");
  return ow_fast_f32(a, why);
}

/* All of the batch is one product. */
static bool fused_joined(const ow_args *a) { return b_alone(a->in[1]) && (!flag(a, "transA") || a->in[0]->rank == 2); }

static uint64_t fused_pack_slots(const ow_args *a) {
  return a->constant[1] && fused_joined(a) && ow_count(a->in[1]) > 0 ? 2 : 0;
}

static onward_status fused_pack(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {
  const onward_tensor *const b = a->in[slot];
  const int64_t rows = b->dims[b->rank - 2], columns = b->dims[b->rank - 1];
  const bool trans = flag(a, "transB");
  return pack_matrix(a, trans ? columns : rows, trans ? rows : columns, trans ? 1 : columns, trans ? columns : 1, out,
                     err);
}

static onward_status fused_prepare(const ow_args *args, void *state, size_t *workspace, onward_error *err) {
  product *const p = state;
  const onward_tensor *const a = args->in[0], *const b = args->in[1];
  const bool trans_a = flag(args, "transA"), trans_b = flag(args, "transB");
  const int64_t a_rows = a->dims[a->rank - 2], a_columns = a->dims[a->rank - 1];
  const int64_t b_rows = b->dims[b->rank - 2], b_columns = b->dims[b->rank - 1];
  *p = (product){.m = trans_a ? a_columns : a_rows,
                 .k = trans_a ? a_rows : a_columns,
                 .n = trans_b ? b_rows : b_columns,
                 .a_row = trans_a ? 1 : a_columns,
                 .a_col = trans_a ? a_columns : 1,
                 .b_row = trans_b ? 1 : b_columns,
                 .b_col = trans_b ? b_columns : 1,
                 .alpha = ow_node_float(args->node, "alpha", 1.0f)};
  set_batch(args, p, fused_joined(args) && !trans_a);
  return prepare_product(args, p, workspace, err);
}

static onward_status fused_run(const ow_args *a, void *state, onward_error *err) {
  (void)err;
  const product *const p = state;
  run_product(p, a);
  finish_job j = {p, NULL, a->out[0]->data};
  const int64_t rows = p->n > 0 ? ow_count(a->out[0]) / p->n : 0;
  if (rows > 0 && (p->alpha < 1.0f || p->alpha > 1.0f))
    ow_parallel_ranges(a->threads, rows, ow_fast_grain(a->threads, rows, p->n), finish_rows, &j);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_fused_matmul) = {.name = OW_ISA_STRING("fused_matmul"),
                                                .cpu = OW_ISA_CPU,
                                                .flags = OW_KERNEL_UNALIGNED,
                                                .supports = fused_supports,
                                                .pack_slots = fused_pack_slots,
                                                .pack_variant = gemm_pack_variant,
                                                .pack = fused_pack,
                                                .state_size = sizeof(product),
                                                .prepare = fused_prepare,
                                                .run = fused_run};
