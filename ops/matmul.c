/* MatMul, Gemm, and ONNX Runtime's FusedMatMul and FusedGemm. */
#include "ops/cpu/fast.h"
#include "ops/matmul_reference.h"

static bool matmul_flag(const ow_node *node, const char *name) { return ow_node_int(node, name, 0) != 0; }

/* ---- MatMul and FusedMatMul ---------------------------------------------------------------------------------------------- */

static onward_status matmul_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC));
  OW_TRY(ow_infer_alike(c, 0, 1));
  return ow_matmul_infer(c, 0, 1, matmul_flag(c->node, "transA"), matmul_flag(c->node, "transB"), c->in[0].dtype);
}

typedef struct matmul_out {
  const ow_args *args;
  int64_t base, columns;
  double alpha;
} matmul_out;

static void matmul_emit(void *context, int64_t row, int64_t from, int64_t count, const double *sums,
                        const int64_t *int_sums) {
  const matmul_out *o = context;
  onward_tensor *y = o->args->out[0];
  const int64_t at = o->base + row * o->columns + from;
  for (int64_t j = 0; j < count; j++) {
    if (sums)
      ow_store(y->dtype, y->data, at + j, o->alpha * sums[j]);
    else
      ow_set_i64(y->dtype, y->data, at + j, int_sums[j]);
  }
}

static void matmul_one(void *context, const ow_product *p, int64_t base) {
  matmul_out *o = context;
  o->base = base;
  o->columns = p->n;
  ow_product_run(p, o->args->workspace, matmul_emit, o);
}

static onward_status matmul_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const onward_tensor *x = a->in[0];
  if (!ow_product_workspace(x->dims[x->rank - (x->rank > 1 && matmul_flag(a->node, "transA") ? 2 : 1)], workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the inner dim is too large");
  return ONWARD_OK;
}

static onward_status matmul_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  matmul_out out = {.args = a, .alpha = (double)ow_node_float(a->node, "alpha", 1.0f)};
  ow_matmul_each(a->in[0], a->in[1], a->out[0], matmul_flag(a->node, "transA"), matmul_flag(a->node, "transB"),
                 matmul_one, &out);
  return ONWARD_OK;
}

/* ---- FusedMatMul with transBatchA or transBatchB: the rows of the matrices are the first dim, the batch lies behind it ---------------- */

static bool matmul_outer(const ow_node *node, int operand) {
  return matmul_flag(node, operand ? "transBatchB" : "transBatchA");
}

static onward_status fused_matmul_infer(ow_infer *c) {
  if (!matmul_outer(c->node, 0) && !matmul_outer(c->node, 1))
    return matmul_infer(c);
  for (size_t i = 0; i < 2; i++)
    if (c->in[i].shape.rank >= 0 && c->in[i].shape.rank < 2)
      return ow_infer_fail(c, ONWARD_MODEL, "transBatchA and transBatchB want matrices, input %zu has rank %d", i,
                           c->in[i].shape.rank);
  ow_type in[2] = {c->in[0], c->in[1]};
  for (int i = 0; i < 2; i++) {
    ow_shape *const s = &in[i].shape;
    const int32_t rank = s->rank;
    if (!matmul_outer(c->node, i) || rank < 3)
      continue;
    const ow_dim rows = s->dims[0];
    for (int32_t d = 0; d < rank - 2; d++)
      s->dims[d] = s->dims[d + 1];
    s->dims[rank - 2] = rows;
  }
  ow_infer moved = *c;
  moved.in = in;
  OW_TRY(matmul_infer(&moved));
  c->pending = moved.pending;
  return ONWARD_OK;
}

/* Batch dims of an operand with their strides, and those of its matrix. */
static int32_t matmul_batch(const ow_args *a, int operand, const int64_t **dims, int64_t *strides, int64_t *row) {
  const onward_tensor *x = a->in[operand];
  const bool outer = matmul_outer(a->node, operand) && x->rank > 2;
  int64_t own[ONWARD_MAX_RANK];
  ow_strides(x->rank, x->dims, own);
  *dims = x->dims + outer;
  *row = x->rank > 1 ? own[outer ? 0 : x->rank - 2] : x->dims[0];
  for (int32_t d = 0; d < x->rank - 2; d++)
    strides[d] = own[d + outer];
  return x->rank > 2 ? x->rank - 2 : 0;
}

static void matmul_outer_run(const ow_args *a, matmul_out *out) {
  const onward_tensor *y = a->out[0];
  int64_t rows[2], index[ONWARD_MAX_RANK] = {0}, own[2][ONWARD_MAX_RANK], strides[2][ONWARD_MAX_RANK] = {{0}};
  const int64_t *dims[2];
  int32_t ranks[2];
  for (int i = 0; i < 2; i++)
    ranks[i] = matmul_batch(a, i, &dims[i], own[i], &rows[i]);
  const int32_t rank = ranks[0] > ranks[1] ? ranks[0] : ranks[1];
  for (int i = 0; i < 2; i++)
    for (int32_t d = 0; d < ranks[i]; d++)
      strides[i][d + rank - ranks[i]] = dims[i][d] == 1 ? 0 : own[i][d];
  const bool trans_a = matmul_flag(a->node, "transA"), trans_b = matmul_flag(a->node, "transB");
  ow_product p = {.a_dtype = a->in[0]->dtype,
                  .b_dtype = a->in[1]->dtype,
                  .a = a->in[0]->data,
                  .b = a->in[1]->data,
                  .a_row = trans_a ? 1 : rows[0],
                  .a_col = trans_a ? rows[0] : 1,
                  .b_row = trans_b ? 1 : rows[1],
                  .b_col = trans_b ? rows[1] : 1,
                  .m = y->dims[y->rank - 2],
                  .n = y->dims[y->rank - 1]};
  const onward_tensor *x = a->in[0];
  p.k = trans_a ? x->dims[matmul_outer(a->node, 0) && x->rank > 2 ? 0 : x->rank - 2] : x->dims[x->rank - 1];
  const int64_t batches = ow_dims_product(y->dims, 0, rank);
  for (int64_t i = 0; i < batches; i++) {
    p.a_offset = p.b_offset = 0;
    for (int32_t d = 0; d < rank; d++) {
      p.a_offset += index[d] * strides[0][d];
      p.b_offset += index[d] * strides[1][d];
    }
    matmul_one(out, &p, i * p.m * p.n);
    for (int32_t d = rank - 1; d >= 0 && ++index[d] == y->dims[d]; d--)
      index[d] = 0;
  }
}

static onward_status fused_matmul_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  const onward_tensor *x = a->in[0];
  if (!matmul_outer(a->node, 0) || !matmul_flag(a->node, "transA") || x->rank < 3)
    return matmul_prepare(a, state, workspace, err);
  if (!ow_product_workspace(x->dims[0], workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the inner dim is too large");
  return ONWARD_OK;
}

static onward_status fused_matmul_run(const ow_args *a, void *state, onward_error *err) {
  if (!matmul_outer(a->node, 0) && !matmul_outer(a->node, 1))
    return matmul_run(a, state, err);
  matmul_out out = {.args = a, .alpha = (double)ow_node_float(a->node, "alpha", 1.0f)};
  matmul_outer_run(a, &out);
  return ONWARD_OK;
}

/* ---- Gemm: alpha * A' * B' + beta * C -------------------------------------------------------------------------------------- */

static onward_status gemm_infer(ow_infer *c) {
  const onward_dtype dtype = c->in[0].dtype;
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC));
  OW_TRY(ow_infer_alike(c, 0, 2));
  OW_TRY(ow_infer_rank(c, 0, 2, 2));
  OW_TRY(ow_infer_rank(c, 1, 2, 2));
  if (!ow_infer_ranked(c, 0) || !ow_infer_ranked(c, 1))
    return ow_infer_set(c, 0, dtype, -1, NULL);
  const int trans_a = matmul_flag(c->node, "transA"), trans_b = matmul_flag(c->node, "transB");
  const ow_dim *a = c->in[0].shape.dims, *b = c->in[1].shape.dims;
  const ow_dim dims[2] = {a[trans_a], b[!trans_b]};
  OW_TRY(ow_infer_equal(c, a[!trans_a], b[trans_b], "the inner dim"));
  if (ow_infer_has(c, 2)) {
    OW_TRY(ow_infer_rank(c, 2, 0, 2));
    const ow_shape *add = &c->in[2].shape;
    for (int32_t d = 0; d < add->rank; d++) {
      if (!ow_dim_is(add->dims[d], 1))
        OW_TRY(ow_infer_equal(c, add->dims[d], dims[2 - add->rank + d], "a dim of input C"));
    }
  }
  return ow_infer_set(c, 0, dtype, 2, dims);
}

/* FusedGemm: what is done to each result. */
typedef double (*gemm_activation)(double x, double alpha);

static double gemm_relu(double x, double alpha) { return (void)alpha, x < 0.0 ? 0.0 : x; }
static double gemm_leaky_relu(double x, double alpha) { return x < 0.0 ? alpha * x : x; }
static double gemm_tanh(double x, double alpha) { return (void)alpha, tanh(x); }
static double gemm_sigmoid(double x, double alpha) { return (void)alpha, 1.0 / (1.0 + exp(-x)); }

/* false: not known. *fn is NULL when there is none. */
static bool gemm_find_activation(const ow_node *node, gemm_activation *fn) {
  const char *name = ow_node_string(node, "activation", "");
  *fn = strcmp(name, "Relu") == 0        ? gemm_relu
        : strcmp(name, "LeakyRelu") == 0 ? gemm_leaky_relu
        : strcmp(name, "Tanh") == 0      ? gemm_tanh
        : strcmp(name, "Sigmoid") == 0   ? gemm_sigmoid
                                         : NULL;
  return *fn || !*name;
}

static onward_status fused_gemm_infer(ow_infer *c) {
  gemm_activation fn;
  if (!gemm_find_activation(c->node, &fn))
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "activation '%s' is not implemented",
                         ow_node_string(c->node, "activation", ""));
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  return gemm_infer(c);
}

typedef struct gemm_out {
  onward_tensor *y;
  gemm_activation fn;
  double fn_alpha;
  const onward_tensor *c; /* NULL: none, or beta is 0 */
  int64_t c_row, c_col;
  double alpha, beta;
} gemm_out;

static void gemm_emit(void *context, int64_t row, int64_t from, int64_t count, const double *sums,
                      const int64_t *int_sums) {
  const gemm_out *o = context;
  const bool plain = o->alpha == 1.0 && o->beta == 1.0;
  for (int64_t j = from; j < from + count; j++) {
    const int64_t at = row * o->y->dims[1] + j, c_at = row * o->c_row + j * o->c_col;
    if (int_sums && plain) {
      ow_set_i64(
          o->y->dtype, o->y->data, at,
          o->c ? ow_wrap_add(int_sums[j - from], ow_get_i64(o->c->dtype, o->c->data, c_at)) : int_sums[j - from]);
    } else {
      double v = o->alpha * (sums ? sums[j - from] : (double)int_sums[j - from]);
      if (o->c)
        v += o->beta * ow_load(o->c->dtype, o->c->data, c_at);
      ow_store(o->y->dtype, o->y->data, at, o->fn ? o->fn(v, o->fn_alpha) : v);
    }
  }
}

static onward_status gemm_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_product_workspace(a->in[0]->dims[!matmul_flag(a->node, "transA")], workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the inner dim is too large");
  return ONWARD_OK;
}

static onward_status gemm_run(const ow_args *args, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *a = args->in[0], *b = args->in[1], *c = args->in_count > 2 ? args->in[2] : NULL;
  const bool trans_a = matmul_flag(args->node, "transA"), trans_b = matmul_flag(args->node, "transB");
  const ow_product p = {.a_dtype = a->dtype,
                        .b_dtype = b->dtype,
                        .a = a->data,
                        .b = b->data,
                        .a_row = trans_a ? 1 : a->dims[1],
                        .a_col = trans_a ? a->dims[1] : 1,
                        .b_row = trans_b ? 1 : b->dims[1],
                        .b_col = trans_b ? b->dims[1] : 1,
                        .m = a->dims[trans_a],
                        .n = b->dims[!trans_b],
                        .k = a->dims[!trans_a]};
  gemm_out out = {.y = args->out[0],
                  .fn_alpha = (double)ow_node_float(args->node, "activation_alpha", 0.01f),
                  .alpha = (double)ow_node_float(args->node, "alpha", 1.0f),
                  .beta = (double)ow_node_float(args->node, "beta", 1.0f)};
  (void)gemm_find_activation(args->node, &out.fn);
  if (c && fpclassify(out.beta) != FP_ZERO) {
    int64_t strides[2];
    ow_broadcast_strides(c->rank, c->dims, 2, strides);
    out.c = c;
    out.c_row = strides[0];
    out.c_col = strides[1];
  }
  ow_product_run(&p, args->workspace, gemm_emit, &out);
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel matmul_reference = {
    .name = "matmul_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = matmul_prepare, .run = matmul_run};
static const ow_kernel gemm_reference = {
    .name = "gemm_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = gemm_prepare, .run = gemm_run};
static const ow_kernel *const matmul_kernels[] = {OW_FAST_MATMUL & matmul_reference, NULL};
static const ow_kernel fused_matmul_reference = {.name = "fused_matmul_reference",
                                                 .flags = OW_KERNEL_UNALIGNED,
                                                 .prepare = fused_matmul_prepare,
                                                 .run = fused_matmul_run};
static const ow_kernel *const fused_matmul_kernels[] = {OW_FAST_FUSED_MATMUL & fused_matmul_reference, NULL};
static const ow_kernel *const gemm_kernels[] = {OW_FAST_GEMM & gemm_reference, NULL};

static const ow_attr_spec fused_matmul_attrs[] = {
    {"alpha", OW_ATTR_FLOAT, false},     {"transA", OW_ATTR_INT, false},      {"transB", OW_ATTR_INT, false},
    {"transBatchA", OW_ATTR_INT, false}, {"transBatchB", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
/* broadcast: opsets 1 and 6 ask for it; since 7 it goes without saying */
static const ow_attr_spec gemm_attrs[] = {{"alpha", OW_ATTR_FLOAT, false},   {"beta", OW_ATTR_FLOAT, false},
                                          {"transA", OW_ATTR_INT, false},    {"transB", OW_ATTR_INT, false},
                                          {"broadcast", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

static const ow_kernel *const fused_gemm_kernels[] = {&gemm_reference, NULL};
static const ow_attr_spec fused_gemm_attrs[] = {{"alpha", OW_ATTR_FLOAT, false},
                                                {"beta", OW_ATTR_FLOAT, false},
                                                {"transA", OW_ATTR_INT, false},
                                                {"transB", OW_ATTR_INT, false},
                                                {"activation", OW_ATTR_STRING, false},
                                                {"activation_alpha", OW_ATTR_FLOAT, false},
                                                {"activation_beta", OW_ATTR_FLOAT, false},
                                                {"activation_gamma", OW_ATTR_FLOAT, false},
                                                {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_matmul[] = {{.domain = "com.microsoft",
                                .name = "FusedGemm",
                                .since = 1,
                                .min_inputs = 2,
                                .max_inputs = 3,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = fused_gemm_attrs,
                                .infer = fused_gemm_infer,
                                .kernels = fused_gemm_kernels},
                               {.domain = "",
                                .name = "MatMul",
                                .since = 1,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .infer = matmul_infer,
                                .kernels = matmul_kernels},
                               {.domain = "com.microsoft",
                                .name = "FusedMatMul",
                                .since = 1,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = fused_matmul_attrs,
                                .infer = fused_matmul_infer,
                                .kernels = fused_matmul_kernels},
                               {.domain = "com.microsoft",
                                .name = "TransposeMatMul",
                                .since = 1,
                                .min_inputs = 2,
                                .max_inputs = 2,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = fused_matmul_attrs,
                                .infer = fused_matmul_infer,
                                .kernels = fused_matmul_kernels},
                               {.domain = "",
                                .name = "Gemm",
                                .since = 1,
                                .until = 10,
                                .min_inputs = 3,
                                .max_inputs = 3,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = gemm_attrs,
                                .infer = gemm_infer,
                                .kernels = gemm_kernels},
                               {.domain = "",
                                .name = "Gemm",
                                .since = 11,
                                .min_inputs = 2,
                                .max_inputs = 3,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = gemm_attrs,
                                .infer = gemm_infer,
                                .kernels = gemm_kernels},
                               {.name = NULL}};
