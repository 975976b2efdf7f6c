/* DynamicQuantizeLinear, and products of 8-bit matrices: MatMulInteger, QLinearMatMul, MatMulIntegerToFloat, DynamicQuantizeMatMul, QGemm with a second operand that
 * is one matrix.
 *
 * Bytes are widened to 16 bits, the first operand's zero point already taken off, and multiplied in pairs with sums of 32 bits: nothing
 * saturates on any level, as sums of 8-bit products do without VNNI. The second operand lies in panels of NR columns as signed bytes
 * (unsigned ones less 128), two rows of each column side by side; its zero points meet the row sums of the first at the end. */
#include "base/size.h"
#include "ops/cpu/fast_help.h"
#include "ops/cpu/quantized_tile.h"
#include "ops/quantize.h"

#define MOST_K 32768 /* 255 * 255 * MOST_K fits in 32 bits */

/* ---- operands ------------------------------------------------------------------------------------------------------------ */

#define NONE 31
typedef struct layout {
  size_t a, b, a_scale, a_zero, b_scale, b_zero, bias, added, y_scale,
      y_zero;   /* slots; NONE: the operator has no such input */
  bool dynamic; /* a is float32, quantized on the way */
} layout;

typedef struct plan {
  int64_t m, n, k, pairs, panels, period; /* period: rows of one matrix of a, for zero points of rows */
  const int8_t *packed;                   /* b; NULL: packed in each run */
  size_t sums_at, packed_at;              /* in the workspace, which begins with a as 16 bits */
} plan;

typedef struct job {
  const ow_args *args;
  const layout *l;
  const plan *p;
  int16_t *a;
  int32_t *sums; /* of the rows of a */
  const int8_t *b;
  ow_dynamic_range range;
  int64_t row_blocks, chunks;
} job;

static bool trans_b(const ow_args *a) { return ow_node_int(a->node, "transB", 0) != 0; }

static bool supports(const layout *l, const ow_args *a, ow_why *why) {
  const onward_tensor *const b = a->in[l->b], *const y = a->out[0];
  static const char *const text = "want 8 bits, scales of float32";
  const onward_tensor *const scales[] = {ow_args_in(a, l->a_scale), ow_args_in(a, l->b_scale),
                                         ow_args_in(a, l->y_scale), ow_args_in(a, l->bias)};
  if (b->rank != 2)
    return ow_refuse(why, "input %zu has rank %d, want one matrix", l->b, (int)b->rank);
  for (size_t i = 0; i < 4; i++)
    if (scales[i] && scales[i]->dtype != ONWARD_FLOAT32)
      return ow_refuse(why, "%s", text);
  if (y->dtype != ONWARD_INT32 && y->dtype != ONWARD_FLOAT32 && y->dtype != ONWARD_UINT8 && y->dtype != ONWARD_INT8)
    return ow_refuse(why, "output 0 is %s", onward_dtype_name(y->dtype));
  if (ow_node_int(a->node, "transA", 0) != 0)
    return ow_refuse(why, "transA");
  const int64_t k = a->in[l->a]->dims[a->in[l->a]->rank - 1];
  if (k > MOST_K && y->dtype != ONWARD_INT32)
    return ow_refuse(why, "sums of %lld products", (long long)k);
  return true;
}

static bool packed_bytes(int64_t k, int64_t n, size_t *bytes) {
  const int64_t dims[3] = {(n + NR - 1) / NR, (k + 1) / 2, 2 * NR};
  return ow_tensor_size(ONWARD_INT8, 3, dims, bytes);
}

typedef struct packing {
  const onward_tensor *b;
  bool trans;
  int8_t *to;
} packing;

static void pack_panel(void *context, int64_t panel, int thread) {
  (void)thread;
  const packing *const p = context;
  const int64_t k = p->b->dims[p->trans], n = p->b->dims[!p->trans], pairs = (k + 1) / 2;
  const int64_t row = p->trans ? 1 : n, column = p->trans ? k : 1;
  const uint8_t *const from = p->b->data, flip = p->b->dtype == ONWARD_UINT8 ? 0x80 : 0;
  uint8_t *to = (uint8_t *)p->to + panel * pairs * 2 * NR;
  for (int64_t i = 0; i < 2 * pairs; i++)
    for (int64_t c = 0; c < NR; c++) {
      const int64_t at = panel * NR + c;
      to[i / 2 * 2 * NR + 2 * c + i % 2] = i < k && at < n ? from[i * row + at * column] ^ flip : 0;
    }
}

static void pack_matrix(const onward_tensor *b, bool trans, int8_t *to, int threads) {
  packing p = {b, trans, to};
  const int64_t n = b->dims[!trans];
  ow_parallel(ow_count(b) < 100000 ? 1 : threads, (n + NR - 1) / NR, pack_panel, &p);
}

static onward_status pack(const layout *l, const ow_args *a, ow_packed *out, onward_error *err) {
  const onward_tensor *const b = a->in[l->b];
  const bool trans = trans_b(a);
  size_t bytes;
  if (!packed_bytes(b->dims[trans], b->dims[!trans], &bytes))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "input %zu: the packed weight is too large", l->b);
  out->data = ow_alloc(a->allocator, bytes ? bytes : 1);
  if (!out->data)
    return ow_node_fail(a->node, err, ONWARD_MEMORY, "out of memory packing input %zu (%zu bytes)", l->b, bytes);
  out->bytes = bytes;
  out->replaces_source = true;
  pack_matrix(b, trans, out->data, a->threads);
  return ONWARD_OK;
}

static onward_status prepare(const layout *l, const ow_args *a, plan *p, size_t *workspace, onward_error *err) {
  const onward_tensor *const x = a->in[l->a], *const b = a->in[l->b];
  *p = (plan){.m = ow_dims_product(x->dims, 0, x->rank - 1),
              .n = b->dims[!trans_b(a)],
              .k = x->dims[x->rank - 1],
              .period = x->rank > 1 ? x->dims[x->rank - 2] : 1,
              .packed = a->packed ? a->packed[l->b] : NULL};
  p->pairs = (p->k + 1) / 2;
  p->panels = (p->n + NR - 1) / NR;
  const int64_t rows[2] = {p->m, 2 * p->pairs};
  size_t bytes = 0;
  bool fits = ow_tensor_size(ONWARD_INT16, 2, rows, &p->sums_at) && ow_size_align(p->sums_at, 64, &p->sums_at) &&
              ow_size_mul((size_t)p->m, sizeof(int32_t), &bytes) && ow_size_add(p->sums_at, bytes, &p->packed_at) &&
              ow_size_align(p->packed_at, 64, &p->packed_at);
  *workspace = p->packed_at;
  if (fits && !p->packed)
    fits = packed_bytes(p->k, p->n, &bytes) && ow_size_add(p->packed_at, bytes, workspace);
  return fits ? ONWARD_OK : ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
}

/* ---- the first operand ----------------------------------------------------------------------------------------------------- */

/* What DynamicQuantizeLinear finds, NaN passed over. */
static ow_dynamic_range find_range(const float *x, int64_t count) {
  vf low = v_zero(), high = v_zero();
  int64_t i = 0;
  for (; i + W <= count; i += W) {
    const vf v = v_load(x + i);
    low = v_min(v, low);
    high = v_max(v, high);
  }
  if (i < count) {
    const vf v = v_load_masked(x + i, v_first(count - i));
    low = v_min(v, low);
    high = v_max(v, high);
  }
  const float least = -v_max_lane(-low), most = v_max_lane(high);
  const float scale = most > least ? (most - least) / 255.0f : 1.0f;
  return (ow_dynamic_range){scale, (uint8_t)ow_quantize_round(ONWARD_UINT8, (double)(-least / scale), 0.0)};
}

/* In [0, 255]; x / scale to the nearest, half to even. */
OW_INLINE float quantized(float x, float scale, float zero) {
  const float magic = 12582912.0f; /* 1.5 * 2^23 */
  float v = x / scale;
  v = v < 1000.0f ? v : v >= 1000.0f ? 1000.0f : -1000.0f; /* NaN gives the least */
  v = v > -1000.0f ? v : -1000.0f;
  v = (v + magic) - magic + zero;
  v = v > 0.0f ? v : 0.0f;
  return v < 255.0f ? v : 255.0f;
}

static void quantize_row(const float *x, int64_t count, float scale, float zero, int16_t *to) {
  for (int64_t i = 0; i < count; i++)
    to[i] = (int16_t)(int32_t)(quantized(x[i], scale, zero) - zero);
}

static int32_t byte_at(const onward_tensor *t, int64_t i) {
  return t->dtype == ONWARD_UINT8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}
/* Element i of a vector, or the only one. */
static int32_t zero_at(const onward_tensor *t, int64_t i) { return t ? byte_at(t, ow_count(t) == 1 ? 0 : i) : 0; }
static float scale_at(const onward_tensor *t, int64_t i, float otherwise) {
  return t ? ow_fast_scalar((const float *)t->data + (ow_count(t) == 1 ? 0 : i)) : otherwise;
}

static void widen_rows(void *context, int64_t from, int64_t to) {
  const job *const j = context;
  const onward_tensor *const x = j->args->in[j->l->a], *const zeros = ow_args_in(j->args, j->l->a_zero);
  const int64_t k = j->p->k, step = 2 * j->p->pairs;
  for (int64_t row = from; row < to; row++) {
    int16_t *const out = j->a + row * step;
    if (j->l->dynamic) {
      quantize_row((const float *)x->data + row * k, k, j->range.scale, (float)j->range.zero, out);
    } else {
      const int16_t zero = (int16_t)zero_at(zeros, row % j->p->period);
      const uint8_t *const u = (const uint8_t *)x->data + row * k;
      const int8_t *const s = (const int8_t *)x->data + row * k;
      if (x->dtype == ONWARD_UINT8)
        for (int64_t i = 0; i < k; i++)
          out[i] = (int16_t)(u[i] - zero);
      else
        for (int64_t i = 0; i < k; i++)
          out[i] = (int16_t)(s[i] - zero);
    }
    if (k < step)
      out[k] = 0;
    int64_t sum = 0;
    for (int64_t i = 0; i < k; i++)
      sum += out[i];
    j->sums[row] = (int32_t)sum;
  }
}

/* ---- the sums become the output ---------------------------------------------------------------------------------------------- */

/* What belongs to the columns of a panel. */
typedef struct columns {
  int64_t first, count;
  int32_t zero[NR];
  float scale[NR], bias[NR];
  double factor[NR]; /* scale / y_scale */
} columns;

static void read_columns(const job *j, int64_t panel, columns *c) {
  const ow_args *const a = j->args;
  const onward_tensor *const zeros = ow_args_in(a, j->l->b_zero), *const scales = ow_args_in(a, j->l->b_scale);
  const onward_tensor *const bias = ow_args_in(a, j->l->bias), *const y_scale = ow_args_in(a, j->l->y_scale);
  const int32_t shift = a->in[j->l->b]->dtype == ONWARD_UINT8 ? 128 : 0;
  const double alpha = (double)ow_node_float(a->node, "alpha", 1.0f), divisor = (double)scale_at(y_scale, 0, 1.0f);
  c->first = panel * NR;
  c->count = j->p->n - c->first < NR ? j->p->n - c->first : NR;
  for (int64_t i = 0; i < NR; i++) {
    const int64_t at = c->first + (i < c->count ? i : 0);
    c->zero[i] = zero_at(zeros, at) - shift;
    c->scale[i] = (float)((double)scale_at(scales, at, 1.0f) * alpha);
    c->factor[i] = (double)scale_at(scales, at, 1.0f) * alpha / divisor;
    c->bias[i] = bias ? ow_fast_scalar((const float *)bias->data + at) : 0.0f;
  }
}

static void finish_quantized(const job *j, const columns *c, int64_t row, double scale, const double sums[NR]) {
  const onward_tensor *const y = j->args->out[0];
  const onward_tensor *const y_zero = ow_args_in(j->args, j->l->y_zero);
  const bool is_signed = y->dtype == ONWARD_INT8;
  const float low = is_signed ? -128.0f : 0.0f, high = is_signed ? 127.0f : 255.0f, magic = 12582912.0f;
  const float zero = (float)zero_at(y_zero, 0);
  int32_t whole[NR];
  for (int64_t i = 0; i < NR; i++) {
    float v = (float)(sums[i] * scale * c->factor[i]);
    v = v < 1000000.0f ? v : v >= 1000000.0f ? 1000000.0f : -1000000.0f;
    v = v > -1000000.0f ? v : -1000000.0f;
    v = (v + magic) - magic + zero;
    v = v > low ? v : low;
    whole[i] = (int32_t)(v < high ? v : high);
  }
  uint8_t *const to = (uint8_t *)y->data + row * j->p->n + c->first;
  for (int64_t i = 0; i < c->count; i++)
    to[i] = (uint8_t)whole[i];
}

static void finish_row(const job *j, const columns *c, int64_t row, const int32_t *from) {
  const onward_tensor *const y = j->args->out[0], *const added = ow_args_in(j->args, j->l->added);
  const int64_t at = row * j->p->n + c->first;
  int32_t sums[NR];
  for (int64_t i = 0; i < NR; i++)
    sums[i] = (int32_t)((uint32_t)from[i] - (uint32_t)c->zero[i] * (uint32_t)j->sums[row]);
  if (y->dtype == ONWARD_INT32) {
    memcpy((int32_t *)y->data + at, sums, (size_t)c->count * sizeof *sums);
    return;
  }
  const float scale =
      j->l->dynamic ? j->range.scale : scale_at(ow_args_in(j->args, j->l->a_scale), row % j->p->period, 1.0f);
  if (!added && y->dtype == ONWARD_FLOAT32) {
    float out[NR];
    for (int64_t i = 0; i < NR; i++)
      out[i] = (float)sums[i] * (scale * c->scale[i]) + c->bias[i];
    memcpy((float *)y->data + at, out, (size_t)c->count * sizeof *out);
    return;
  }
  double exact[NR];
  for (int64_t i = 0; i < NR; i++)
    exact[i] = (double)sums[i];
  if (added) {
    const int64_t rows = added->rank == 2 ? added->dims[0] : 1, width = added->rank ? added->dims[added->rank - 1] : 1;
    for (int64_t i = 0; i < c->count; i++)
      exact[i] += (double)ow_index_at(added, (rows == 1 ? 0 : row) * width + (width == 1 ? 0 : c->first + i));
  }
  if (y->dtype != ONWARD_FLOAT32) {
    finish_quantized(j, c, row, (double)scale, exact);
    return;
  }
  for (int64_t i = 0; i < c->count; i++)
    ((float *)y->data)[at + i] = (float)(exact[i] * (double)scale * c->factor[i]);
}

static void run_task(void *context, int64_t task, int thread) {
  (void)thread;
  const job *const j = context;
  const plan *const p = j->p;
  const int64_t block = task % j->row_blocks, chunk = task / j->row_blocks, step = 2 * p->pairs;
  const int64_t row0 = p->m * block / j->row_blocks, row1 = p->m * (block + 1) / j->row_blocks;
  const int64_t from = p->panels * chunk / j->chunks, to = p->panels * (chunk + 1) / j->chunks;
  for (int64_t panel = from; panel < to; panel++) {
    columns c;
    read_columns(j, panel, &c);
    const int8_t *const b = j->b + panel * p->pairs * 2 * NR;
    for (int64_t row = row0; row < row1; row += MR) {
      int32_t sums[MR * NR];
      const int64_t rows = row1 - row < MR ? row1 - row : MR;
      tiles[rows - 1](p->pairs, j->a + row * step, step, b, sums);
      for (int64_t i = 0; i < rows; i++)
        finish_row(j, &c, row + i, sums + i * NR);
    }
  }
}

static onward_status run(const layout *l, const ow_args *a, const plan *p, onward_error *err) {
  (void)err;
  char *const room = a->workspace;
  job j = {.args = a,
           .l = l,
           .p = p,
           .a = (int16_t *)(void *)room,
           .sums = (int32_t *)(void *)(room + p->sums_at),
           .b = p->packed ? p->packed : (const int8_t *)(room + p->packed_at)};
  if (p->m == 0 || p->n == 0)
    return ONWARD_OK;
  if (!p->packed)
    pack_matrix(a->in[l->b], trans_b(a), (int8_t *)(room + p->packed_at), a->threads);
  if (l->dynamic)
    j.range = find_range(a->in[l->a]->data, p->m * p->k);
  const double work = (double)p->m * (double)p->n * (double)(p->k + 16);
  const int threads = work < 3e5 ? 1 : a->threads;
  ow_parallel_ranges(threads, p->m, 65536 / (p->k + 1) + 1, widen_rows, &j);
  j.row_blocks = (p->m + 8 * MR - 1) / (8 * MR);
  j.chunks = threads > 1 ? (4 * threads + j.row_blocks - 1) / j.row_blocks : 1;
  if (j.chunks > p->panels)
    j.chunks = p->panels;
  ow_parallel(threads, j.row_blocks * j.chunks, run_task, &j);
  return ONWARD_OK;
}

/* ---- kernels ---------------------------------------------------------------------------------------------------------------- */

#define QUANTIZED(id, text, ...)                                                                           \
  static const layout id##_layout = {__VA_ARGS__};                                                         \
  static bool id##_supports(const ow_args *a, ow_why *why) { return supports(&id##_layout, a, why); }      \
  static uint64_t id##_slots(const ow_args *a) { return (void)a, UINT64_C(1) << id##_layout.b; }           \
  static uint32_t id##_variant(const ow_args *a, size_t slot) { return (void)slot, trans_b(a); }           \
  static onward_status id##_pack(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {       \
    return (void)slot, pack(&id##_layout, a, out, err);                                                    \
  }                                                                                                        \
  static onward_status id##_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) { \
    return prepare(&id##_layout, a, state, workspace, err);                                                \
  }                                                                                                        \
  static onward_status id##_run(const ow_args *a, void *state, onward_error *err) {                        \
    return run(&id##_layout, a, state, err);                                                               \
  }                                                                                                        \
  const ow_kernel OW_ISA_NAME(ow_##id) = {.name = OW_ISA_STRING(text),                                     \
                                          .cpu = OW_ISA_CPU,                                               \
                                          .flags = OW_KERNEL_UNALIGNED,                                    \
                                          .supports = id##_supports,                                       \
                                          .pack_slots = id##_slots,                                        \
                                          .pack_variant = id##_variant,                                    \
                                          .pack = id##_pack,                                               \
                                          .state_size = sizeof(plan),                                      \
                                          .prepare = id##_prepare,                                         \
                                          .run = id##_run};

QUANTIZED(matmul_integer, "matmul_integer", .a = 0, .b = 1, .a_zero = 2, .b_zero = 3, .a_scale = NONE, .b_scale = NONE,
          .bias = NONE, .added = NONE, .y_scale = NONE, .y_zero = NONE)
QUANTIZED(qlinear_matmul, "qlinear_matmul", .a = 0, .a_scale = 1, .a_zero = 2, .b = 3, .b_scale = 4, .b_zero = 5,
          .y_scale = 6, .y_zero = 7, .bias = NONE, .added = NONE)
QUANTIZED(matmul_to_float, "matmul_to_float", .a = 0, .b = 1, .a_scale = 2, .b_scale = 3, .a_zero = 4, .b_zero = 5,
          .bias = 6, .added = NONE, .y_scale = NONE, .y_zero = NONE)
QUANTIZED(dynamic_matmul, "dynamic_matmul", .a = 0, .b = 1, .b_scale = 2, .b_zero = 3, .bias = 4, .a_scale = NONE,
          .a_zero = NONE, .added = NONE, .y_scale = NONE, .y_zero = NONE, .dynamic = true)
QUANTIZED(qgemm, "qgemm", .a = 0, .a_scale = 1, .a_zero = 2, .b = 3, .b_scale = 4, .b_zero = 5, .added = 6,
          .y_scale = 7, .y_zero = 8, .bias = NONE)
/* The projection of QAttention, whose bias comes later; for ops/attention_quantized.c, in no row by itself. */
QUANTIZED(qattention_product, "qattention_product", .a = 0, .b = 1, .a_scale = 3, .b_scale = 4, .a_zero = 6,
          .b_zero = 7, .bias = NONE, .added = NONE, .y_scale = NONE, .y_zero = NONE)
_Static_assert(sizeof(plan) <= OW_QUANTIZED_STATE, "what a caller of qattention_product lends");

/* ---- DynamicQuantizeLinear ---------------------------------------------------------------------------------------------------- */

typedef struct bytes_job {
  const float *x;
  uint8_t *y;
  ow_dynamic_range range;
} bytes_job;

static void quantize_bytes(void *context, int64_t from, int64_t to) {
  const bytes_job *const j = context;
  const float scale = j->range.scale, zero = (float)j->range.zero;
  for (int64_t i = from; i < to; i++)
    j->y[i] = (uint8_t)(int32_t)quantized(ow_fast_scalar(j->x + i), scale, zero);
}

static onward_status dynamic_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const int64_t count = ow_count(a->in[0]);
  bytes_job j = {.x = a->in[0]->data, .range = find_range(a->in[0]->data, count)};
  if (a->out[1])
    memcpy(a->out[1]->data, &j.range.scale, sizeof j.range.scale);
  if (a->out[2])
    *(uint8_t *)a->out[2]->data = j.range.zero;
  if (a->out[0]) {
    j.y = a->out[0]->data;
    ow_parallel_ranges(a->threads, count, 65536, quantize_bytes, &j);
  }
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_dynamic_quantize) = {
    .name = OW_ISA_STRING("dynamic_quantize"), .cpu = OW_ISA_CPU, .flags = OW_KERNEL_UNALIGNED, .run = dynamic_run};
