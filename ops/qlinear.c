/* ONNX Runtime's element-wise operators on 8 bits: the real values meet, and the result is quantized again. */
#include "ops/qlinear.h"

static onward_status qlinear_single(ow_infer *c, size_t slot) {
  if (!ow_infer_has(c, slot))
    return ONWARD_OK;
  OW_TRY(ow_infer_rank(c, slot, 0, 1));
  const ow_shape *s = &c->in[slot].shape;
  return s->rank == 1 ? ow_infer_equal(c, s->dims[0], ow_dim_const(1), "elements of a scale or zero point") : ONWARD_OK;
}

onward_status ow_qlinear_infer(ow_infer *c, size_t like, size_t x, size_t scale, size_t zero) {
  if (x != SIZE_MAX)
    OW_TRY(ow_infer_types(c, x, OW_BIT(c->in[like].dtype) & (OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_UINT8))));
  if (!ow_infer_has(c, scale))
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu, a scale, is left out", scale);
  if (x != SIZE_MAX && !ow_infer_has(c, x))
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu is left out", x);
  OW_TRY(ow_infer_types(c, scale, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_types(c, zero, OW_BIT(c->in[like].dtype)));
  OW_TRY(qlinear_single(c, scale));
  return qlinear_single(c, zero);
}

ow_qlinear ow_qlinear_read(const ow_args *a, size_t x, size_t scale, size_t zero) {
  const onward_tensor *z = ow_args_in(a, zero);
  return (ow_qlinear){x == SIZE_MAX ? NULL : ow_args_in(a, x), ow_load(ONWARD_FLOAT32, a->in[scale]->data, 0),
                      z ? ow_load(z->dtype, z->data, 0) : 0.0};
}

/* ---- QLinearAdd, QLinearMul: a, a_scale, a_zero?, b, b_scale, b_zero?, y_scale, y_zero? ------------------------------------------ */

static onward_status qlinear_binary_infer(ow_infer *c) {
  OW_TRY(ow_qlinear_infer(c, 0, 0, 1, 2));
  OW_TRY(ow_qlinear_infer(c, 0, 3, 4, 5));
  OW_TRY(ow_qlinear_infer(c, 0, SIZE_MAX, 6, 7));
  ow_shape out;
  OW_TRY(ow_infer_broadcast(c, &c->in[0].shape, &c->in[3].shape, &out));
  return ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims);
}

static void qlinear_binary(const ow_args *a, bool product) {
  const ow_qlinear x = ow_qlinear_read(a, 0, 1, 2), y = ow_qlinear_read(a, 3, 4, 5),
                   out = ow_qlinear_read(a, SIZE_MAX, 6, 7);
  const onward_tensor *in[2] = {x.x, y.x};
  ow_nd nd;
  ow_nd_at at;
  ow_nd_broadcast(&nd, a->out[0], in, 2);
  ow_nd_seek(&nd, &at, 0);
  const int64_t inner = nd.rank - 1;
  for (int64_t row = 0; row < nd.rows; row++, ow_nd_next(&nd, &at))
    for (int64_t i = 0; i < nd.inner; i++) {
      const double l = ow_qlinear_value(&x, at.offset[1] + i * nd.strides[1][inner]),
                   r = ow_qlinear_value(&y, at.offset[2] + i * nd.strides[2][inner]);
      ow_qlinear_store(&out, a->out[0], at.offset[0] + i, product ? l * r : l + r);
    }
}

static onward_status qlinear_add_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  qlinear_binary(a, false);
  return ONWARD_OK;
}
static onward_status qlinear_mul_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  qlinear_binary(a, true);
  return ONWARD_OK;
}

/* ---- QLinearWhere: condition, x, x_scale, x_zero, y, y_scale, y_zero, z_scale, z_zero --------------------------------------------- */

static onward_status qlinear_where_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_BOOL)));
  OW_TRY(ow_qlinear_infer(c, 1, 1, 2, 3));
  OW_TRY(ow_qlinear_infer(c, 1, 4, 5, 6));
  OW_TRY(ow_qlinear_infer(c, 1, SIZE_MAX, 7, 8));
  ow_shape both, out;
  OW_TRY(ow_infer_broadcast(c, &c->in[1].shape, &c->in[4].shape, &both));
  OW_TRY(ow_infer_broadcast(c, &both, &c->in[0].shape, &out));
  return ow_infer_set(c, 0, c->in[1].dtype, out.rank, out.dims);
}

static onward_status qlinear_where_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const ow_qlinear x = ow_qlinear_read(a, 1, 2, 3), y = ow_qlinear_read(a, 4, 5, 6),
                   out = ow_qlinear_read(a, SIZE_MAX, 7, 8);
  const onward_tensor *in[3] = {a->in[0], x.x, y.x};
  ow_nd nd;
  ow_nd_at at;
  ow_nd_broadcast(&nd, a->out[0], in, 3);
  ow_nd_seek(&nd, &at, 0);
  const int64_t inner = nd.rank - 1;
  for (int64_t row = 0; row < nd.rows; row++, ow_nd_next(&nd, &at))
    for (int64_t i = 0; i < nd.inner; i++) {
      const bool yes = ((const uint8_t *)a->in[0]->data)[at.offset[1] + i * nd.strides[1][inner]] != 0;
      const int side = yes ? 2 : 3;
      ow_qlinear_store(&out, a->out[0], at.offset[0] + i,
                       ow_qlinear_value(yes ? &x : &y, at.offset[side] + i * nd.strides[side][inner]));
    }
  return ONWARD_OK;
}

/* ---- QLinearSigmoid, QLinearLeakyRelu: x, x_scale, x_zero?, y_scale, y_zero? ------------------------------------------------------ */

static onward_status qlinear_unary_infer(ow_infer *c) {
  OW_TRY(ow_qlinear_infer(c, 0, 0, 1, 2));
  OW_TRY(ow_qlinear_infer(c, 0, SIZE_MAX, 3, 4));
  return ow_infer_same(c, 0, 0);
}

static onward_status qlinear_sigmoid_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const ow_qlinear x = ow_qlinear_read(a, 0, 1, 2), out = ow_qlinear_read(a, SIZE_MAX, 3, 4);
  for (int64_t i = 0; i < ow_count(x.x); i++)
    ow_qlinear_store(&out, a->out[0], i, 1.0 / (1.0 + exp(-ow_qlinear_value(&x, i))));
  return ONWARD_OK;
}

static onward_status qlinear_leaky_relu_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const ow_qlinear x = ow_qlinear_read(a, 0, 1, 2), out = ow_qlinear_read(a, SIZE_MAX, 3, 4);
  const double alpha = (double)ow_node_float(a->node, "alpha", 0.01f);
  for (int64_t i = 0; i < ow_count(x.x); i++) {
    const double v = ow_qlinear_value(&x, i);
    ow_qlinear_store(&out, a->out[0], i, v < 0.0 ? alpha * v : v);
  }
  return ONWARD_OK;
}

/* ---- QLinearSoftmax: x, x_scale, x_zero?, y_scale, y_zero. Before opset 13 all dims from the axis on are one. ---------------------- */

static onward_status qlinear_softmax_infer(ow_infer *c) {
  int32_t axis;
  if (ow_infer_ranked(c, 0))
    OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", -1), c->in[0].shape.rank, &axis));
  return qlinear_unary_infer(c);
}

static onward_status qlinear_softmax_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const ow_qlinear x = ow_qlinear_read(a, 0, 1, 2), out = ow_qlinear_read(a, SIZE_MAX, 3, 4);
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", -1), x.x->rank);
  const bool flat = ow_node_int(a->node, "opset", 13) < 13;
  const int64_t inner = flat ? 1 : ow_dims_product(x.x->dims, axis + 1, x.x->rank);
  const int64_t length = flat ? ow_dims_product(x.x->dims, axis, x.x->rank) : x.x->dims[axis];
  const int64_t rows = length ? ow_count(x.x) / length : 0;
  for (int64_t row = 0; row < rows; row++) {
    const int64_t base = row / inner * inner * length + row % inner;
    double largest = -INFINITY, sum = 0.0;
    for (int64_t i = 0; i < length; i++)
      largest = fmax(largest, ow_qlinear_value(&x, base + i * inner));
    for (int64_t i = 0; i < length; i++)
      sum += exp(ow_qlinear_value(&x, base + i * inner) - largest);
    for (int64_t i = 0; i < length; i++)
      ow_qlinear_store(&out, a->out[0], base + i * inner, exp(ow_qlinear_value(&x, base + i * inner) - largest) / sum);
  }
  return ONWARD_OK;
}

/* ---- QLinearConcat: y_scale, y_zero, then x, x_scale, x_zero of each part ---------------------------------------------------------- */

static onward_status qlinear_concat_infer(ow_infer *c) {
  if (c->in_count < 5 || (c->in_count - 2) % 3 != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu inputs are no output's pair and triples", c->in_count);
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_UINT8)));
  OW_TRY(ow_qlinear_infer(c, 1, SIZE_MAX, 0, 1));
  ow_shape out = c->in[2].shape;
  int32_t axis = 0;
  for (size_t i = 2; i < c->in_count; i += 3) {
    OW_TRY(ow_qlinear_infer(c, 1, i, i + 1, i + 2));
    const ow_shape *s = &c->in[i].shape;
    if (out.rank < 0 || s->rank < 0) {
      out.rank = -1;
      continue;
    }
    OW_TRY(ow_infer_rank(c, i, out.rank, out.rank));
    OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", 0), out.rank, &axis));
    for (int32_t d = 0; i > 2 && d < out.rank; d++) {
      if (d != axis)
        OW_TRY(ow_infer_equal(c, s->dims[d], out.dims[d], "a dim of two parts"));
      else
        out.dims[d] = ow_dim_add(c->dims, out.dims[d], s->dims[d]);
    }
  }
  return ow_infer_set(c, 0, c->in[1].dtype, out.rank, out.dims);
}

static onward_status qlinear_concat_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const ow_qlinear out = ow_qlinear_read(a, SIZE_MAX, 0, 1);
  const onward_tensor *y = a->out[0];
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", 0), y->rank);
  const int64_t inner = ow_dims_product(y->dims, axis + 1, y->rank), row = y->dims[axis] * inner;
  int64_t start = 0;
  for (size_t part = 2; part < a->in_count; part += 3) {
    const ow_qlinear x = ow_qlinear_read(a, part, part + 1, part + 2);
    const int64_t own = x.x->dims[axis] * inner, count = ow_count(x.x);
    for (int64_t i = 0; i < count; i++)
      ow_qlinear_store(&out, y, i / own * row + start + i % own, ow_qlinear_value(&x, i));
    start += own;
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define QLINEAR_KERNEL(stem)                                                        \
  static const ow_kernel stem##_reference = {                                       \
      .name = #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .run = stem##_run}; \
  static const ow_kernel *const stem##_kernels[] = {&stem##_reference, NULL};
QLINEAR_KERNEL(qlinear_add)
QLINEAR_KERNEL(qlinear_mul)
QLINEAR_KERNEL(qlinear_where)
QLINEAR_KERNEL(qlinear_sigmoid)
QLINEAR_KERNEL(qlinear_leaky_relu)
QLINEAR_KERNEL(qlinear_softmax)
QLINEAR_KERNEL(qlinear_concat)

static const ow_attr_spec leaky_attrs[] = {{"alpha", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec softmax_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"opset", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec concat_attrs[] = {{"axis", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};

#define QLINEAR_ROW(op, low, high, specs, infer_fn, stem)                                                       \
  {                                                                                                             \
    .domain = "com.microsoft", .name = op, .since = 1, .min_inputs = low, .max_inputs = high, .min_outputs = 1, \
    .max_outputs = 1, .attrs = specs, .infer = infer_fn, .kernels = stem##_kernels                              \
  }

const ow_op ow_ops_qlinear[] = {
    QLINEAR_ROW("QLinearAdd", 2, 8, NULL, qlinear_binary_infer, qlinear_add),
    QLINEAR_ROW("QLinearMul", 2, 8, NULL, qlinear_binary_infer, qlinear_mul),
    QLINEAR_ROW("QLinearWhere", 9, 9, NULL, qlinear_where_infer, qlinear_where),
    QLINEAR_ROW("QLinearSigmoid", 2, 5, NULL, qlinear_unary_infer, qlinear_sigmoid),
    QLINEAR_ROW("QLinearLeakyRelu", 2, 5, leaky_attrs, qlinear_unary_infer, qlinear_leaky_relu),
    QLINEAR_ROW("QLinearSoftmax", 2, 5, softmax_attrs, qlinear_softmax_infer, qlinear_softmax),
    QLINEAR_ROW("QLinearConcat", 5, OW_ANY_COUNT, concat_attrs, qlinear_concat_infer, qlinear_concat),
    {.name = NULL}};
