/* ONNX Runtime's block-quantized weights: MatMulNBits, a [.., K] times the transpose of b, whose N rows are blocks of 2, 4 or 8 bit
 * numbers, and GatherBlockQuantized, rows of such a table. Numbers are packed from the low bits up. */
#include "ops/matmul_nbits.h"

#include "ops/cpu/fast.h"
#include "ops/reference.h"

bool ow_nbits_read(const ow_node *node, ow_nbits *s) {
  *s = (ow_nbits){.k = ow_node_int(node, "K", 0),
                  .n = ow_node_int(node, "N", 0),
                  .bits = ow_node_int(node, "bits", 4),
                  .block = ow_node_int(node, "block_size", 0)};
  if (s->k < 1 || s->n < 1 || s->k > INT32_MAX || s->n > INT32_MAX || (s->bits != 2 && s->bits != 4 && s->bits != 8) ||
      s->block < 16 || s->block > 1 << 20 || (s->block & (s->block - 1)) != 0)
    return false;
  s->blocks = (s->k + s->block - 1) / s->block;
  s->row_bytes = s->blocks * (s->block * s->bits / 8);
  return true;
}

/* The input has `want` elements, in any shape. */
static onward_status nbits_want(ow_infer *c, size_t slot, int64_t want, const char *what) {
  if (!ow_infer_has(c, slot) || !ow_infer_ranked(c, slot))
    return ONWARD_OK;
  const ow_dim count = ow_shape_count(c->dims, &c->in[slot].shape, 0, c->in[slot].shape.rank);
  return ow_infer_equal(c, count, ow_dim_const(want), what);
}

static onward_status nbits_infer(ow_infer *c) {
  ow_nbits s;
  if (!ow_nbits_read(c->node, &s))
    return ow_infer_fail(c, ONWARD_MODEL, "K, N, bits or block_size is out of range");
  OW_TRY(ow_infer_types(c, OW_NBITS_A, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, OW_NBITS_B, OW_BIT(ONWARD_UINT8)));
  OW_TRY(ow_infer_types(c, OW_NBITS_SCALES, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, OW_NBITS_ZEROS, OW_TYPES_FLOAT | OW_BIT(ONWARD_UINT8)));
  OW_TRY(ow_infer_types(c, OW_NBITS_ORDER, OW_BIT(ONWARD_INT32)));
  OW_TRY(ow_infer_types(c, OW_NBITS_BIAS, OW_TYPES_FLOAT));
  OW_TRY(nbits_want(c, OW_NBITS_B, s.n * s.row_bytes, "bytes of B"));
  OW_TRY(nbits_want(c, OW_NBITS_SCALES, s.n * s.blocks, "elements of scales"));
  const bool packed = ow_infer_has(c, OW_NBITS_ZEROS) && c->in[OW_NBITS_ZEROS].dtype == ONWARD_UINT8;
  OW_TRY(nbits_want(c, OW_NBITS_ZEROS, s.n * (packed ? (s.blocks * s.bits + 7) / 8 : s.blocks),
                    "elements of zero_points"));
  if (ow_infer_has(c, OW_NBITS_ORDER) && ow_infer_ranked(c, OW_NBITS_ORDER)) {
    OW_TRY(ow_infer_rank(c, OW_NBITS_ORDER, 1, 1));
    const ow_dim length = c->in[OW_NBITS_ORDER].shape.dims[0];
    if (!ow_dim_is(length, s.blocks * s.block))
      OW_TRY(ow_infer_equal(c, length, ow_dim_const(s.k), "elements of g_idx"));
  }
  OW_TRY(ow_want_vector(c, OW_NBITS_BIAS, ow_dim_const(s.n), "length of the bias"));
  OW_TRY(ow_infer_rank(c, OW_NBITS_A, 1, ONWARD_MAX_RANK));
  const ow_shape *a = &c->in[OW_NBITS_A].shape;
  if (a->rank < 0)
    return ow_infer_set(c, 0, c->in[OW_NBITS_A].dtype, -1, NULL);
  OW_TRY(ow_infer_equal(c, a->dims[a->rank - 1], ow_dim_const(s.k), "K"));
  ow_dim dims[ONWARD_MAX_RANK];
  memcpy(dims, a->dims, (size_t)a->rank * sizeof dims[0]);
  dims[a->rank - 1] = ow_dim_const(s.n);
  return ow_infer_set(c, 0, c->in[OW_NBITS_A].dtype, a->rank, dims);
}

/* One row of weights for each thread. */
static onward_status nbits_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  ow_nbits s;
  if (!ow_nbits_read(a->node, &s) || !ow_size_mul((size_t)s.k * sizeof(double), (size_t)a->threads, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "K is too large");
  return ONWARD_OK;
}

/* Row n as numbers: (q - zero) * scale. */
static void nbits_row(const ow_args *a, const ow_nbits *s, int64_t n, double *row) {
  const onward_tensor *scales = a->in[OW_NBITS_SCALES], *zeros = ow_args_in(a, OW_NBITS_ZEROS),
                      *order = ow_args_in(a, OW_NBITS_ORDER);
  const uint8_t *const bytes = (const uint8_t *)a->in[OW_NBITS_B]->data + n * s->row_bytes;
  const int64_t zero_bytes = (s->blocks * s->bits + 7) / 8;
  for (int64_t k = 0; k < s->k; k++) {
    const int64_t block = order ? ow_index_at(order, k) : k / s->block, at = n * s->blocks + block;
    double zero = (double)(1 << (s->bits - 1));
    if (zeros && zeros->dtype == ONWARD_UINT8)
      zero = (double)ow_nbits_at((const uint8_t *)zeros->data + n * zero_bytes, s->bits, block);
    else if (zeros)
      zero = ow_load(zeros->dtype, zeros->data, at);
    row[k] = ((double)ow_nbits_at(bytes, s->bits, k) - zero) * ow_load(scales->dtype, scales->data, at);
  }
}

typedef struct nbits_job {
  const ow_args *args;
  ow_nbits s;
  int64_t rows;
} nbits_job;

static void nbits_column(void *context, int64_t n, int thread) {
  const nbits_job *const j = context;
  const onward_tensor *x = j->args->in[OW_NBITS_A], *bias = ow_args_in(j->args, OW_NBITS_BIAS), *y = j->args->out[0];
  double *const row = (double *)j->args->workspace + thread * j->s.k;
  nbits_row(j->args, &j->s, n, row);
  for (int64_t m = 0; m < j->rows; m++) {
    double sum = 0.0;
    for (int64_t k = 0; k < j->s.k; k++)
      sum += ow_load(x->dtype, x->data, m * j->s.k + k) * row[k];
    ow_store(y->dtype, y->data, m * j->s.n + n, bias ? sum + ow_load(bias->dtype, bias->data, n) : sum);
  }
}

static onward_status nbits_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  nbits_job j = {.args = a};
  (void)ow_nbits_read(a->node, &j.s);
  j.rows = ow_count(a->in[OW_NBITS_A]) / j.s.k;
  if (ow_args_in(a, OW_NBITS_ORDER))
    OW_TRY(ow_check_indices(a, OW_NBITS_ORDER, 0, j.s.blocks - 1, err));
  if (j.rows > 0)
    ow_parallel(a->threads, j.s.n, nbits_column, &j);
  return ONWARD_OK;
}

/* ---- GatherBlockQuantized: data, indices, scales, zero_points? ---------------------------------------------------------------------- */

/* Numbers in a row of data, whose type tells how they are packed: uint8 holds 8 / bits of them. */
static int64_t gather_bits(const ow_node *node, onward_dtype dtype) {
  return dtype == ONWARD_UINT8 ? ow_node_int(node, "bits", 4) : 4;
}

static onward_status block_gather_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_UINT8) | OW_BIT(ONWARD_UINT4) | OW_BIT(ONWARD_INT4)));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_INDEX));
  OW_TRY(ow_infer_types(c, 2, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 3, OW_BIT(c->in[0].dtype)));
  const ow_shape *data = &c->in[0].shape, *indices = &c->in[1].shape, *scales = &c->in[2].shape;
  const int64_t bits = gather_bits(c->node, c->in[0].dtype), block = ow_node_int(c->node, "block_size", 128);
  if ((bits != 2 && bits != 4 && bits != 8) || block < 16 || (block & (block - 1)) != 0 || block > 1 << 20)
    return ow_infer_fail(c, ONWARD_MODEL, "bits %lld and block_size %lld", (long long)bits, (long long)block);
  if (data->rank < 0 || indices->rank < 0 || scales->rank < 0)
    return ow_infer_set(c, 0, c->in[2].dtype, -1, NULL);
  OW_TRY(ow_infer_rank(c, 0, 2, 2));
  OW_TRY(ow_infer_rank(c, 2, 2, 2));
  OW_TRY(ow_infer_rank(c, 1, 0, ONWARD_MAX_RANK - 1));
  int32_t gather_axis, quantize_axis;
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "gather_axis", 0), 2, &gather_axis));
  OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "quantize_axis", 1), 2, &quantize_axis));
  if (gather_axis != 0 || quantize_axis != 1)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "gather_axis %d and quantize_axis %d; 0 and 1 are implemented",
                         gather_axis, quantize_axis);
  const int64_t per = c->in[0].dtype == ONWARD_UINT8 ? 8 / bits : 1;
  const ow_dim width = ow_dim_mul(c->dims, data->dims[1], ow_dim_const(per));
  OW_TRY(ow_infer_equal(c, scales->dims[0], data->dims[0], "rows of data and scales"));
  OW_TRY(ow_infer_equal(c, scales->dims[1], ow_dim_ceildiv(c->dims, width, ow_dim_const(block)), "blocks of a row"));
  if (ow_infer_has(c, 3) && ow_infer_ranked(c, 3)) {
    OW_TRY(ow_infer_rank(c, 3, 2, 2));
    OW_TRY(ow_infer_equal(c, c->in[3].shape.dims[0], data->dims[0], "rows of data and zero points"));
    OW_TRY(ow_infer_equal(c, c->in[3].shape.dims[1], ow_dim_ceildiv(c->dims, scales->dims[1], ow_dim_const(per)),
                          "zero points of a row"));
  }
  ow_dim dims[ONWARD_MAX_RANK];
  memcpy(dims, indices->dims, (size_t)indices->rank * sizeof dims[0]);
  dims[indices->rank] = width;
  return ow_infer_set(c, 0, c->in[2].dtype, indices->rank + 1, dims);
}

/* Number i of row `row`, of `width`. Rows of uint8 start at a byte; the 4-bit types are packed without gaps. */
static double block_gather_at(const onward_tensor *t, int64_t bits, int64_t row, int64_t width, int64_t i) {
  if (t->dtype != ONWARD_UINT8)
    return (double)ow_get_i64(t->dtype, t->data, row * width + i);
  return (double)ow_nbits_at((const uint8_t *)t->data + row * t->dims[1], bits, i);
}

static onward_status block_gather_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *data = a->in[0], *indices = a->in[1], *scales = a->in[2], *zeros = ow_args_in(a, 3),
                      *out = a->out[0];
  const int64_t bits = gather_bits(a->node, data->dtype), block = ow_node_int(a->node, "block_size", 128);
  const int64_t width = out->dims[out->rank - 1], count = ow_count(indices);
  const double middle = data->dtype == ONWARD_UINT8 ? (double)(1 << (bits - 1)) : 0.0;
  OW_TRY(ow_check_indices(a, 1, -data->dims[0], data->dims[0] - 1, err));
  for (int64_t n = 0; n < count; n++) {
    const int64_t index = ow_index_at(indices, n), row = index < 0 ? index + data->dims[0] : index;
    for (int64_t i = 0; i < width; i++) {
      const int64_t at = row * scales->dims[1] + i / block;
      const double zero = zeros ? block_gather_at(zeros, bits, row, scales->dims[1], i / block) : middle;
      ow_store(out->dtype, out->data, n * width + i,
               (block_gather_at(data, bits, row, width, i) - zero) * ow_load(scales->dtype, scales->data, at));
    }
  }
  return ONWARD_OK;
}

static const ow_kernel nbits_reference = {
    .name = "matmul_nbits_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = nbits_prepare, .run = nbits_run};
static const ow_kernel block_gather_reference = {
    .name = "block_gather_reference", .flags = OW_KERNEL_UNALIGNED, .run = block_gather_run};
static const ow_kernel *const nbits_kernels[] = {OW_FAST_NBITS & nbits_reference, NULL};
static const ow_kernel *const block_gather_kernels[] = {&block_gather_reference, NULL};
static const ow_attr_spec nbits_attrs[] = {{"K", OW_ATTR_INT, true},
                                           {"N", OW_ATTR_INT, true},
                                           {"accuracy_level", OW_ATTR_INT, false}, /* a hint */
                                           {"bits", OW_ATTR_INT, false},
                                           {"block_size", OW_ATTR_INT, true},
                                           {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec block_gather_attrs[] = {{"bits", OW_ATTR_INT, false},
                                                  {"block_size", OW_ATTR_INT, false},
                                                  {"gather_axis", OW_ATTR_INT, false},
                                                  {"quantize_axis", OW_ATTR_INT, false},
                                                  {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_matmul_nbits[] = {{.domain = "com.microsoft",
                                      .name = "MatMulNBits",
                                      .since = 1,
                                      .min_inputs = 3,
                                      .max_inputs = 6,
                                      .min_outputs = 1,
                                      .max_outputs = 1,
                                      .attrs = nbits_attrs,
                                      .infer = nbits_infer,
                                      .kernels = nbits_kernels},
                                     {.domain = "com.microsoft",
                                      .name = "GatherBlockQuantized",
                                      .since = 1,
                                      .min_inputs = 3,
                                      .max_inputs = 4,
                                      .min_outputs = 1,
                                      .max_outputs = 1,
                                      .attrs = block_gather_attrs,
                                      .infer = block_gather_infer,
                                      .kernels = block_gather_kernels},
                                     {.name = NULL}};
