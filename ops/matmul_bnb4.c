/* ONNX Runtime's MatMulBnb4: weights of 4 bits that index one of two tables (0 FP4, 1 NF4), the largest magnitude of each block beside
 * them. Inputs: a, b [(N * K + 1) / 2] with the first number in the high half of a byte, absmax [blocks]. */
#include "ops/matmul_reference.h"

enum { BNB_A, BNB_B, BNB_ABSMAX };

static const double bnb_tables[2][16] = {
    {0.0, 5.208333333e-03, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25, -0.0, -5.208333333e-03, -0.66666667,
     -1.0, -0.33333333, -0.5, -0.16666667, -0.25},
    {-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
     -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
     0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0}};

typedef struct bnb_shape {
  int64_t n, k, block, type;
  bool trans; /* of b, which is [N, K] */
} bnb_shape;

static bool bnb_read(const ow_node *node, bnb_shape *s) {
  *s = (bnb_shape){ow_node_int(node, "N", 0), ow_node_int(node, "K", 0), ow_node_int(node, "block_size", 0),
                   ow_node_int(node, "quant_type", 0), ow_node_int(node, "transB", 1) != 0};
  return s->n >= 1 && s->n <= INT32_MAX && s->k >= 1 && s->k <= INT32_MAX && s->block >= 16 &&
         (s->block & (s->block - 1)) == 0 && (s->type == 0 || s->type == 1);
}

static onward_status bnb_infer(ow_infer *c) {
  bnb_shape s;
  if (!bnb_read(c->node, &s))
    return ow_infer_fail(c, ONWARD_MODEL, "N, K, block_size or quant_type is wrong");
  OW_TRY(ow_infer_types(c, BNB_A, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, BNB_B, OW_BIT(ONWARD_UINT8)));
  OW_TRY(ow_infer_types(c, BNB_ABSMAX, OW_BIT(c->in[BNB_A].dtype)));
  OW_TRY(ow_want_vector(c, BNB_B, ow_dim_const((s.n * s.k + 1) / 2), "bytes of the weights"));
  OW_TRY(ow_want_vector(c, BNB_ABSMAX, ow_dim_const((s.n * s.k + s.block - 1) / s.block), "blocks of the weights"));
  OW_TRY(ow_infer_rank(c, BNB_A, 1, ONWARD_MAX_RANK));
  ow_shape out = c->in[BNB_A].shape;
  if (out.rank > 0) {
    OW_TRY(ow_infer_equal(c, out.dims[out.rank - 1], ow_dim_const(s.trans ? s.k : s.n), "the inner dim"));
    out.dims[out.rank - 1] = ow_dim_const(s.trans ? s.n : s.k);
  }
  return ow_infer_set(c, 0, c->in[BNB_A].dtype, out.rank, out.dims);
}

/* The weights as numbers, then the panel of the product. */
static onward_status bnb_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  bnb_shape s;
  (void)bnb_read(a->node, &s);
  size_t panel, weights;
  if (!ow_product_workspace(s.trans ? s.k : s.n, &panel) ||
      !ow_size_mul((size_t)s.n * (size_t)s.k, sizeof(double), &weights) || !ow_size_add(panel, weights, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the weights are too large");
  return ONWARD_OK;
}

typedef struct bnb_out {
  const onward_tensor *y;
  int64_t columns;
} bnb_out;

static void bnb_emit(void *context, int64_t row, int64_t from, int64_t count, const double *sums,
                     const int64_t *int_sums) {
  const bnb_out *o = context;
  (void)int_sums;
  for (int64_t j = 0; j < count; j++)
    ow_store(o->y->dtype, o->y->data, row * o->columns + from + j, sums[j]);
}

static onward_status bnb_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  bnb_shape s;
  (void)bnb_read(a->node, &s);
  const onward_tensor *x = a->in[BNB_A], *absmax = a->in[BNB_ABSMAX];
  const uint8_t *bytes = a->in[BNB_B]->data;
  double *const weights = a->workspace;
  for (int64_t i = 0; i < s.n * s.k; i++)
    weights[i] = bnb_tables[s.type][i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4] *
                 ow_load(absmax->dtype, absmax->data, i / s.block);
  const int64_t inner = s.trans ? s.k : s.n;
  bnb_out out = {a->out[0], s.trans ? s.n : s.k};
  const ow_product p = {.a_dtype = x->dtype,
                        .b_dtype = ONWARD_FLOAT64,
                        .a = x->data,
                        .b = weights,
                        .a_row = inner,
                        .a_col = 1,
                        .b_row = s.trans ? 1 : s.k,
                        .b_col = s.trans ? s.k : 1,
                        .m = ow_count(x) / inner,
                        .n = out.columns,
                        .k = inner};
  ow_product_run(&p, weights + s.n * s.k, bnb_emit, &out);
  return ONWARD_OK;
}

static const ow_kernel bnb_reference = {
    .name = "matmul_bnb4_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = bnb_prepare, .run = bnb_run};
static const ow_kernel *const bnb_kernels[] = {&bnb_reference, NULL};
static const ow_attr_spec bnb_attrs[] = {{"K", OW_ATTR_INT, true},
                                         {"N", OW_ATTR_INT, true},
                                         {"block_size", OW_ATTR_INT, true},
                                         {"quant_type", OW_ATTR_INT, true},
                                         {"training_mode", OW_ATTR_INT, false},
                                         {"transB", OW_ATTR_INT, false},
                                         {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_matmul_bnb4[] = {{.domain = "com.microsoft",
                                     .name = "MatMulBnb4",
                                     .since = 1,
                                     .min_inputs = 3,
                                     .max_inputs = 3,
                                     .min_outputs = 1,
                                     .max_outputs = 1,
                                     .attrs = bnb_attrs,
                                     .infer = bnb_infer,
                                     .kernels = bnb_kernels},
                                    {.name = NULL}};
