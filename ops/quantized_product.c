/* Products of quantized tensors: MatMulInteger, QLinearMatMul, and ONNX Runtime's MatMulIntegerToFloat, DynamicQuantizeMatMul and
 * QGemm. */
#include "ops/cpu/fast.h"
#include "ops/matmul_reference.h"
#include "ops/quantize.h"

#define QUANTIZED_TYPES (OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_UINT8))

static onward_status quantized_infer_scalar(ow_infer *c, size_t slot) {
  return ow_quantized_infer_param(c, slot, ow_dim_const(1), true);
}

/* Rows of a (fixed when a is a vector) and columns of b. */
static ow_dim quantized_rows(const ow_infer *c, size_t a) {
  const ow_shape *s = &c->in[a].shape;
  return s->rank > 1 ? s->dims[s->rank - 2] : ow_dim_const(1);
}
static ow_dim quantized_columns(const ow_infer *c, size_t b) {
  const ow_shape *s = &c->in[b].shape;
  return s->rank > 1 ? s->dims[s->rank - 1] : ow_dim_const(1);
}

static onward_status quantized_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_product_workspace(a->in[0]->dims[a->in[0]->rank - 1], workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the inner dim is too large");
  return ONWARD_OK;
}

/* What becomes of the integer sums: y = sum * a_scale[row] * b_scale[column] + bias[column], then quantized when y is. */
typedef struct quantized_out {
  const ow_args *args;
  const onward_tensor *a_zero, *b_zero, *a_scale, *b_scale, *bias, *y_scale, *y_zero;
  const onward_tensor *added; /* int32, to the sums; NULL: none */
  int64_t added_row, added_column;
  double alpha; /* 0: 1 */
  int64_t base, columns;
} quantized_out;

static double quantized_param(const onward_tensor *t, int64_t i, double otherwise) {
  return t ? ow_load(t->dtype, t->data, ow_count(t) == 1 ? 0 : i) : otherwise;
}

static void quantized_emit(void *context, int64_t row, int64_t from, int64_t count, const double *sums,
                           const int64_t *int_sums) {
  (void)sums;
  const quantized_out *o = context;
  onward_tensor *y = o->args->out[0];
  for (int64_t j = 0; j < count; j++) {
    const int64_t at = o->base + row * o->columns + from + j;
    double v = (double)int_sums[j];
    if (o->added)
      v += ow_load(ONWARD_INT32, o->added->data, row * o->added_row + (from + j) * o->added_column);
    v *= quantized_param(o->a_scale, row, 1.0) * quantized_param(o->b_scale, from + j, 1.0);
    if (o->alpha > 0.0 || o->alpha < 0.0)
      v *= o->alpha;
    if (o->bias)
      v += ow_load(o->bias->dtype, o->bias->data, from + j);
    if (y->dtype == ONWARD_INT32)
      ow_set_i64(y->dtype, y->data, at, int_sums[j]);
    else if (o->y_scale)
      ow_store(y->dtype, y->data, at,
               ow_quantize_round(y->dtype, (double)(float)(v / quantized_param(o->y_scale, 0, 1.0)),
                                 quantized_param(o->y_zero, 0, 0.0)));
    else
      ow_store(y->dtype, y->data, at, v);
  }
}

static void quantized_one(void *context, const ow_product *product, int64_t base) {
  quantized_out *o = context;
  ow_product p = *product;
  p.a_zero = o->a_zero;
  p.b_zero = o->b_zero;
  o->base = base;
  o->columns = p.n;
  ow_product_run(&p, o->args->workspace, quantized_emit, o);
}

/* ---- MatMulInteger: a, b, a_zero?, b_zero? ----------------------------------------------------------------------------------- */

static onward_status matmul_integer_infer(ow_infer *c) {
  for (size_t i = 0; i < 4; i++)
    OW_TRY(ow_infer_types(c, i, QUANTIZED_TYPES));
  OW_TRY(ow_matmul_infer(c, 0, 1, false, false, ONWARD_INT32));
  OW_TRY(ow_quantized_infer_param(c, 2, quantized_rows(c, 0), ow_infer_ranked(c, 0)));
  return ow_quantized_infer_param(c, 3, quantized_columns(c, 1), ow_infer_ranked(c, 1));
}

static onward_status matmul_integer_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  quantized_out out = {.args = a, .a_zero = ow_args_in(a, 2), .b_zero = ow_args_in(a, 3)};
  ow_matmul_each(a->in[0], a->in[1], a->out[0], false, false, quantized_one, &out);
  return ONWARD_OK;
}

/* ---- QLinearMatMul: a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero ---------------------------------------------------- */

static onward_status qlinear_matmul_infer(ow_infer *c) {
  static const size_t quantized[] = {0, 2, 3, 5, 7}, scales[] = {1, 4, 6};
  for (size_t i = 0; i < 5; i++)
    OW_TRY(ow_infer_types(c, quantized[i], QUANTIZED_TYPES));
  for (size_t i = 0; i < 3; i++)
    OW_TRY(ow_infer_types(c, scales[i], OW_TYPES_FLOAT));
  OW_TRY(ow_matmul_infer(c, 0, 3, false, false, c->in[7].dtype));
  for (size_t i = 1; i < 3; i++)
    OW_TRY(ow_quantized_infer_param(c, i, quantized_rows(c, 0), ow_infer_ranked(c, 0)));
  for (size_t i = 4; i < 6; i++)
    OW_TRY(ow_quantized_infer_param(c, i, quantized_columns(c, 3), ow_infer_ranked(c, 3)));
  OW_TRY(quantized_infer_scalar(c, 6));
  return quantized_infer_scalar(c, 7);
}

static onward_status qlinear_matmul_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  quantized_out out = {.args = a,
                       .a_scale = a->in[1],
                       .a_zero = a->in[2],
                       .b_scale = a->in[4],
                       .b_zero = a->in[5],
                       .y_scale = a->in[6],
                       .y_zero = a->in[7]};
  ow_matmul_each(a->in[0], a->in[3], a->out[0], false, false, quantized_one, &out);
  return ONWARD_OK;
}

/* ---- MatMulIntegerToFloat: a, b, a_scale, b_scale, a_zero?, b_zero?, bias? ----------------------------------------------------- */

static onward_status matmul_to_float_infer(ow_infer *c) {
  static const size_t quantized[] = {0, 1, 4, 5};
  for (size_t i = 0; i < 4; i++)
    OW_TRY(ow_infer_types(c, quantized[i], QUANTIZED_TYPES));
  OW_TRY(ow_infer_types(c, 2, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 2, 3));
  OW_TRY(ow_matmul_infer(c, 0, 1, false, false, c->in[2].dtype));
  OW_TRY(quantized_infer_scalar(c, 2));
  OW_TRY(quantized_infer_scalar(c, 4));
  OW_TRY(ow_quantized_infer_param(c, 3, quantized_columns(c, 1), ow_infer_ranked(c, 1)));
  OW_TRY(ow_quantized_infer_param(c, 5, quantized_columns(c, 1), ow_infer_ranked(c, 1)));
  return ow_infer_ranked(c, 1) ? ow_want_vector(c, 6, quantized_columns(c, 1), "length of the bias") : ONWARD_OK;
}

static onward_status matmul_to_float_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  quantized_out out = {.args = a,
                       .a_scale = a->in[2],
                       .b_scale = a->in[3],
                       .a_zero = ow_args_in(a, 4),
                       .b_zero = ow_args_in(a, 5),
                       .bias = ow_args_in(a, 6)};
  ow_matmul_each(a->in[0], a->in[1], a->out[0], false, false, quantized_one, &out);
  return ONWARD_OK;
}

/* ---- DynamicQuantizeMatMul: a (float), b, b_scale, b_zero?, bias? -------------------------------------------------------------- */

static onward_status dynamic_matmul_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_types(c, 1, QUANTIZED_TYPES));
  OW_TRY(ow_infer_types(c, 2, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_types(c, 3, QUANTIZED_TYPES));
  OW_TRY(ow_infer_types(c, 4, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_matmul_infer(c, 0, 1, false, false, ONWARD_FLOAT32));
  OW_TRY(ow_quantized_infer_param(c, 2, quantized_columns(c, 1), ow_infer_ranked(c, 1)));
  OW_TRY(ow_quantized_infer_param(c, 3, quantized_columns(c, 1), ow_infer_ranked(c, 1)));
  return ow_infer_ranked(c, 1) ? ow_want_vector(c, 4, quantized_columns(c, 1), "length of the bias") : ONWARD_OK;
}

/* The panel of the product, then a as uint8. */
static onward_status dynamic_matmul_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  OW_TRY(quantized_prepare(a, state, workspace, err));
  if (!ow_size_add(*workspace, (size_t)ow_count(a->in[0]), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "input 0 is too large");
  return ONWARD_OK;
}

static onward_status dynamic_matmul_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const ow_dynamic_range range = ow_dynamic_quantize_range(a->in[0]);
  ow_dynamic_range r = range;
  const int64_t count = ow_count(a->in[0]);
  size_t panel = 0;
  (void)ow_product_workspace(a->in[0]->dims[a->in[0]->rank - 1], &panel);
  uint8_t *const bytes = (uint8_t *)a->workspace + panel;
  for (int64_t i = 0; i < count; i++) {
    const float v = (float)ow_load(ONWARD_FLOAT32, a->in[0]->data, i) / r.scale;
    bytes[i] = (uint8_t)ow_quantize_round(ONWARD_UINT8, (double)v, (double)r.zero);
  }
  onward_tensor x = *a->in[0];
  x.dtype = ONWARD_UINT8;
  x.data = bytes;
  x.bytes = (size_t)count;
  const onward_tensor zero = {.dtype = ONWARD_UINT8, .data = &r.zero, .bytes = 1};
  const onward_tensor scale = {.dtype = ONWARD_FLOAT32, .data = &r.scale, .bytes = sizeof r.scale};
  quantized_out out = {.args = a,
                       .a_scale = &scale,
                       .a_zero = &zero,
                       .b_scale = a->in[2],
                       .b_zero = ow_args_in(a, 3),
                       .bias = ow_args_in(a, 4)};
  ow_matmul_each(&x, a->in[1], a->out[0], false, false, quantized_one, &out);
  return ONWARD_OK;
}

/* ---- QGemm: a, a_scale, a_zero, b, b_scale, b_zero, c?, y_scale?, y_zero?; c is of int32, at the scale of the product ------------------ */

static int qgemm_flag(const ow_node *node, const char *name) { return ow_node_int(node, name, 0) != 0; }

static onward_status qgemm_infer(ow_infer *c) {
  static const size_t quantized[] = {0, 2, 3, 5}, scales[] = {1, 4, 7};
  for (size_t i = 0; i < 4; i++)
    OW_TRY(ow_infer_types(c, quantized[i], QUANTIZED_TYPES));
  for (size_t i = 0; i < 3; i++)
    OW_TRY(ow_infer_types(c, scales[i], OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_types(c, 6, OW_BIT(ONWARD_INT32)));
  OW_TRY(ow_infer_types(c, 8, QUANTIZED_TYPES));
  if (ow_infer_has(c, 7) != ow_infer_has(c, 8))
    return ow_infer_fail(c, ONWARD_MODEL, "the scale and the zero point of the output come together");
  OW_TRY(ow_infer_rank(c, 0, 2, 2));
  OW_TRY(ow_infer_rank(c, 3, 2, 2));
  const bool trans_a = qgemm_flag(c->node, "transA"), trans_b = qgemm_flag(c->node, "transB");
  OW_TRY(ow_matmul_infer(c, 0, 3, trans_a, trans_b, ow_infer_has(c, 8) ? c->in[8].dtype : ONWARD_FLOAT32));
  OW_TRY(quantized_infer_scalar(c, 1));
  OW_TRY(quantized_infer_scalar(c, 2));
  OW_TRY(quantized_infer_scalar(c, 7));
  OW_TRY(quantized_infer_scalar(c, 8));
  const bool known = ow_infer_ranked(c, 0) && ow_infer_ranked(c, 3);
  const ow_dim columns = known ? c->in[3].shape.dims[!trans_b] : ow_dim_unknown();
  OW_TRY(ow_quantized_infer_param(c, 4, columns, known));
  OW_TRY(ow_quantized_infer_param(c, 5, columns, known));
  OW_TRY(ow_infer_rank(c, 6, 0, 2));
  const ow_dim dims[2] = {known ? c->in[0].shape.dims[trans_a] : ow_dim_unknown(), columns};
  const ow_shape *add = &c->in[6].shape;
  for (int32_t d = 0; known && ow_infer_has(c, 6) && d < add->rank; d++)
    if (!ow_dim_is(add->dims[d], 1))
      OW_TRY(ow_infer_equal(c, add->dims[d], dims[2 - add->rank + d], "a dim of input C"));
  return ONWARD_OK;
}

static onward_status qgemm_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_product_workspace(a->in[0]->dims[!qgemm_flag(a->node, "transA")], workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the inner dim is too large");
  return ONWARD_OK;
}

static onward_status qgemm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  quantized_out out = {.args = a,
                       .a_scale = a->in[1],
                       .a_zero = a->in[2],
                       .b_scale = a->in[4],
                       .b_zero = a->in[5],
                       .added = ow_args_in(a, 6),
                       .y_scale = ow_args_in(a, 7),
                       .y_zero = ow_args_in(a, 8),
                       .alpha = (double)ow_node_float(a->node, "alpha", 1.0f)};
  if (out.added) {
    int64_t strides[2];
    ow_broadcast_strides(out.added->rank, out.added->dims, 2, strides);
    out.added_row = strides[0];
    out.added_column = strides[1];
  }
  ow_matmul_each(a->in[0], a->in[3], a->out[0], qgemm_flag(a->node, "transA"), qgemm_flag(a->node, "transB"),
                 quantized_one, &out);
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define QUANTIZED_KERNEL(stem, prepare_fn)                                                                 \
  static const ow_kernel stem##_reference = {                                                              \
      .name = #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = prepare_fn, .run = stem##_run}; \
  static const ow_kernel *const stem##_kernels[] = {OW_FAST_QUANTIZED(stem) & stem##_reference, NULL};
QUANTIZED_KERNEL(matmul_integer, quantized_prepare)
QUANTIZED_KERNEL(qlinear_matmul, quantized_prepare)
QUANTIZED_KERNEL(matmul_to_float, quantized_prepare)
QUANTIZED_KERNEL(dynamic_matmul, dynamic_matmul_prepare)
QUANTIZED_KERNEL(qgemm, qgemm_prepare)

static const ow_attr_spec quantized_no_attrs[] = {{NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec qgemm_attrs[] = {{"alpha", OW_ATTR_FLOAT, false},
                                           {"transA", OW_ATTR_INT, false},
                                           {"transB", OW_ATTR_INT, false},
                                           {NULL, OW_ATTR_NONE, false}};

#define QUANTIZED_ROW(dom, op, first, inputs_min, inputs_max, specs, stem)                                           \
  {                                                                                                                  \
    .domain = dom, .name = op, .since = first, .min_inputs = inputs_min, .max_inputs = inputs_max, .min_outputs = 1, \
    .max_outputs = 1, .attrs = specs, .infer = stem##_infer, .kernels = stem##_kernels                               \
  }

const ow_op ow_ops_quantized_product[] = {
    QUANTIZED_ROW("", "MatMulInteger", 10, 2, 4, quantized_no_attrs, matmul_integer),
    QUANTIZED_ROW("", "QLinearMatMul", 10, 8, 8, quantized_no_attrs, qlinear_matmul),
    QUANTIZED_ROW("com.microsoft", "MatMulIntegerToFloat", 1, 4, 7, quantized_no_attrs, matmul_to_float),
    QUANTIZED_ROW("com.microsoft", "DynamicQuantizeMatMul", 1, 3, 5, quantized_no_attrs, dynamic_matmul),
    QUANTIZED_ROW("com.microsoft", "QGemm", 1, 6, 9, qgemm_attrs, qgemm),
    {.name = NULL}};
