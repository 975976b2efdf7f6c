/* ONNX Runtime's MatMulFpQ4: weights [K, N] of 4 bits in one blob, column after column, each in blocks of 32 numbers:
 *
 *     scale (float32) | zero point (a byte; type 1 only) | 16 bytes: numbers 0..15 in the low halves, 16..31 in the high ones
 *
 * The last block of a column is whole, whatever K is. Without a zero point it is 8. Inputs: a, b [bytes], b_shape [2]. */
#include "ops/matmul_reference.h"

enum { FPQ_A, FPQ_B, FPQ_SHAPE };
enum { FPQ_BLOCK = 32 };

static bool fpq_zeros(const ow_node *node) { return ow_node_int(node, "blk_quant_type", 1) == 1; }
static int64_t fpq_block_bytes(const ow_node *node) { return 4 + fpq_zeros(node) + FPQ_BLOCK / 2; }

static onward_status fpq_infer(ow_infer *c) {
  const int64_t type = ow_node_int(c->node, "blk_quant_type", 1);
  if (type != 0 && type != 1)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "blk_quant_type %lld; 0 and 1 are implemented", (long long)type);
  OW_TRY(ow_infer_types(c, FPQ_A, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_types(c, FPQ_B, OW_BIT(ONWARD_UINT8)));
  OW_TRY(ow_infer_types(c, FPQ_SHAPE, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, FPQ_A, 1, ONWARD_MAX_RANK));
  OW_TRY(ow_infer_rank(c, FPQ_B, 1, 1));
  OW_TRY(ow_want_vector(c, FPQ_SHAPE, ow_dim_const(2), "length of the shape"));
  ow_shape out = c->in[FPQ_A].shape;
  int64_t shape[2];
  if (ow_infer_ints(c, FPQ_SHAPE, shape, 2) != 2) {
    if (out.rank > 0)
      out.dims[out.rank - 1] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, ONWARD_FLOAT32, out.rank, out.dims);
  }
  if (shape[0] < 1 || shape[1] < 1 || shape[0] > INT32_MAX || shape[1] > INT32_MAX)
    return ow_infer_fail(c, ONWARD_MODEL, "weights of %lld by %lld", (long long)shape[0], (long long)shape[1]);
  const int64_t blocks = (shape[0] + FPQ_BLOCK - 1) / FPQ_BLOCK * shape[1];
  OW_TRY(ow_want_vector(c, FPQ_B, ow_dim_const(blocks * fpq_block_bytes(c->node)), "bytes of the weights"));
  if (out.rank > 0) {
    OW_TRY(ow_infer_equal(c, out.dims[out.rank - 1], ow_dim_const(shape[0]), "the inner dim"));
    out.dims[out.rank - 1] = ow_dim_const(shape[1]);
  }
  return ow_infer_set(c, 0, ONWARD_FLOAT32, out.rank, out.dims);
}

/* A column of weights as numbers, then the panel of the product. */
static onward_status fpq_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const int64_t k = a->in[FPQ_A]->dims[a->in[FPQ_A]->rank - 1];
  size_t panel, column;
  if (!ow_product_workspace(k, &panel) || !ow_tensor_size(ONWARD_FLOAT64, 1, &k, &column) ||
      !ow_size_add(panel, column, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the weights are too large");
  return ONWARD_OK;
}

static void fpq_column(const ow_node *node, const uint8_t *block, int64_t k, double *to) {
  const int64_t bytes = fpq_block_bytes(node);
  for (int64_t from = 0; from < k; from += FPQ_BLOCK, block += bytes) {
    const double scale = ow_load(ONWARD_FLOAT32, block, 0), zero = fpq_zeros(node) ? block[4] : 8;
    const uint8_t *const halves = block + bytes - FPQ_BLOCK / 2;
    for (int64_t i = 0; i < FPQ_BLOCK && from + i < k; i++)
      to[from + i] = scale * ((i < 16 ? halves[i] & 15 : halves[i - 16] >> 4) - zero);
  }
}

typedef struct fpq_out {
  const onward_tensor *y;
  int64_t column;
} fpq_out;

static void fpq_emit(void *context, int64_t row, int64_t from, int64_t count, const double *sums,
                     const int64_t *int_sums) {
  const fpq_out *const o = context;
  const int64_t columns = o->y->dims[o->y->rank - 1];
  (void)from, (void)count, (void)int_sums;
  ow_store(ONWARD_FLOAT32, o->y->data, row * columns + o->column, sums[0]);
}

static onward_status fpq_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[FPQ_A];
  const int64_t k = x->dims[x->rank - 1], n = a->out[0]->dims[a->out[0]->rank - 1];
  const int64_t bytes = (k + FPQ_BLOCK - 1) / FPQ_BLOCK * fpq_block_bytes(a->node);
  double *const column = a->workspace;
  for (int64_t j = 0; j < n; j++) {
    fpq_column(a->node, (const uint8_t *)a->in[FPQ_B]->data + j * bytes, k, column);
    fpq_out out = {a->out[0], j};
    const ow_product p = {.a_dtype = ONWARD_FLOAT32,
                          .b_dtype = ONWARD_FLOAT64,
                          .a = x->data,
                          .b = column,
                          .a_row = k,
                          .a_col = 1,
                          .b_row = 1,
                          .b_col = 1,
                          .m = ow_count(x) / k,
                          .n = 1,
                          .k = k};
    ow_product_run(&p, column + k, fpq_emit, &out);
  }
  return ONWARD_OK;
}

static const ow_kernel fpq_reference = {
    .name = "matmul_fpq4_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = fpq_prepare, .run = fpq_run};
static const ow_kernel *const fpq_kernels[] = {&fpq_reference, NULL};
static const ow_attr_spec fpq_attrs[] = {{"blk_quant_type", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_matmul_fpq4[] = {{.domain = "com.microsoft",
                                     .name = "MatMulFpQ4",
                                     .since = 1,
                                     .min_inputs = 3,
                                     .max_inputs = 3,
                                     .min_outputs = 1,
                                     .max_outputs = 1,
                                     .attrs = fpq_attrs,
                                     .infer = fpq_infer,
                                     .kernels = fpq_kernels},
                                    {.name = NULL}};
