/* onward::Linear: x times constant weights, side by side, with bias and activation. Passes make it from MatMul and Gemm. */
#include "ops/cpu/fast.h"
#include "ops/matmul_reference.h"

typedef double (*linear_activation)(double x, double alpha);

static double linear_identity(double x, double alpha) { return (void)alpha, x; }
static double linear_relu(double x, double alpha) { return (void)alpha, x < 0.0 ? 0.0 : x; }
static double linear_gelu(double x, double alpha) { return (void)alpha, 0.5 * x * (1.0 + erf(x * M_SQRT1_2)); }
static double linear_gelu_tanh(double x, double alpha) {
  (void)alpha;
  return 0.5 * x * (1.0 + tanh(M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x)));
}
static double linear_sigmoid(double x, double alpha) { return (void)alpha, 1.0 / (1.0 + exp(-x)); }
static double linear_quick_gelu(double x, double alpha) { return x / (1.0 + exp(-alpha * x)); }
static double linear_silu(double x, double alpha) { return (void)alpha, x / (1.0 + exp(-x)); }
static double linear_tanh(double x, double alpha) { return (void)alpha, tanh(x); }

static const struct {
  const char *name;
  linear_activation fn;
} linear_activations[] = {{"", linear_identity}, {"relu", linear_relu},
                          {"gelu", linear_gelu}, {"gelu_tanh", linear_gelu_tanh},
                          {"silu", linear_silu}, {"quick_gelu", linear_quick_gelu},
                          {"tanh", linear_tanh}, {"sigmoid", linear_sigmoid}};

/* NULL: no such activation */
static linear_activation linear_find_activation(const ow_node *node) {
  const char *name = ow_node_string(node, "activation", "");
  for (size_t i = 0; i < sizeof linear_activations / sizeof linear_activations[0]; i++) {
    if (strcmp(name, linear_activations[i].name) == 0)
      return linear_activations[i].fn;
  }
  return NULL;
}

static onward_status linear_infer(ow_infer *c) {
  const onward_dtype dtype = c->in[0].dtype;
  const bool trans = ow_node_int(c->node, "trans_b", 0) != 0;
  if (!linear_find_activation(c->node))
    return ow_infer_fail(c, ONWARD_MODEL, "no activation '%s'", ow_node_string(c->node, "activation", ""));
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  const uint32_t half = OW_BIT(ONWARD_FLOAT16) | OW_BIT(ONWARD_BFLOAT16); /* weights that packing widens */
  for (size_t i = 1; i < c->in_count; i++)
    OW_TRY(ow_infer_types(c, i, OW_BIT(dtype) | (i % 2 && dtype == ONWARD_FLOAT32 ? half : 0)));
  OW_TRY(ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK));
  ow_shape out = c->in[0].shape;
  ow_dim columns = ow_dim_const(0);
  for (size_t i = 1; i < c->in_count; i += 2) {
    if (!ow_infer_has(c, i) || c->in[i].shape.rank != 2)
      return ow_infer_fail(c, ONWARD_MODEL, "weight %zu is not a matrix", i / 2);
    const ow_dim *w = c->in[i].shape.dims;
    if (out.rank > 0)
      OW_TRY(ow_infer_equal(c, out.dims[out.rank - 1], w[trans], "the inner dim"));
    OW_TRY(ow_want_vector(c, i + 1, w[!trans], "length of the bias"));
    columns = ow_dim_add(c->dims, columns, w[!trans]);
  }
  if (out.rank > 0)
    out.dims[out.rank - 1] = columns;
  return ow_infer_set(c, 0, dtype, out.rank, out.dims);
}

typedef struct linear_out {
  onward_tensor *y;
  const onward_tensor *bias;
  int64_t first, columns; /* of this weight, of all */
  linear_activation fn;
  double alpha;
} linear_out;

static void linear_emit(void *context, int64_t row, int64_t from, int64_t count, const double *sums,
                        const int64_t *int_sums) {
  (void)int_sums;
  const linear_out *o = context;
  for (int64_t j = 0; j < count; j++) {
    const double v = o->bias ? sums[j] + ow_load(o->bias->dtype, o->bias->data, from + j) : sums[j];
    ow_store(o->y->dtype, o->y->data, row * o->columns + o->first + from + j, o->fn(v, o->alpha));
  }
}

static onward_status linear_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_product_workspace(a->in[0]->dims[a->in[0]->rank - 1], workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the inner dim is too large");
  return ONWARD_OK;
}

static onward_status linear_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  const bool trans = ow_node_int(a->node, "trans_b", 0) != 0;
  const int64_t k = x->dims[x->rank - 1], rows = ow_dims_product(x->dims, 0, x->rank - 1);
  linear_out out = {.y = y,
                    .columns = y->dims[y->rank - 1],
                    .fn = linear_find_activation(a->node),
                    .alpha = (double)ow_node_float(a->node, "activation_alpha", 1.702f)};
  for (size_t i = 1; i < a->in_count; i += 2) {
    const onward_tensor *w = a->in[i];
    const ow_product p = {.a_dtype = x->dtype,
                          .b_dtype = w->dtype,
                          .a = x->data,
                          .b = w->data,
                          .a_row = k,
                          .a_col = 1,
                          .b_row = trans ? 1 : w->dims[1],
                          .b_col = trans ? w->dims[1] : 1,
                          .m = rows,
                          .n = w->dims[!trans],
                          .k = k};
    out.bias = i + 1 < a->in_count ? a->in[i + 1] : NULL;
    ow_product_run(&p, a->workspace, linear_emit, &out);
    out.first += p.n;
  }
  return ONWARD_OK;
}

static const ow_kernel linear_reference = {
    .name = "linear_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = linear_prepare, .run = linear_run};
static const ow_kernel *const linear_kernels[] = {OW_FAST_LINEAR & linear_reference, NULL};

static const ow_attr_spec linear_attrs[] = {{"activation", OW_ATTR_STRING, false},
                                            {"activation_alpha", OW_ATTR_FLOAT, false},
                                            {"trans_b", OW_ATTR_INT, false},
                                            {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_linear[] = {{.domain = "onward",
                                .name = "Linear",
                                .since = 1,
                                .min_inputs = 2,
                                .max_inputs = OW_ANY_COUNT,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = linear_attrs,
                                .infer = linear_infer,
                                .kernels = linear_kernels},
                               {.name = NULL}};
