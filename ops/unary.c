/* One input, one output, element by element. Floats are computed in double; NaN goes through unless a definition says otherwise. */
#include "ops/cpu/fast.h"
#include "ops/op_help.h"

/* ---- the functions ------------------------------------------------------------------------------------------------------- */

static double f_abs(double x, const double *p) { return (void)p, fabs(x); }
static double f_neg(double x, const double *p) { return (void)p, -x; }
static double f_sign(double x, const double *p) { return (void)p, x > 0 ? 1 : x < 0 ? -1 : x; }
static double f_sqrt(double x, const double *p) { return (void)p, sqrt(x); }
static double f_reciprocal(double x, const double *p) { return (void)p, 1 / x; }
static double f_exp(double x, const double *p) { return (void)p, exp(x); }
static double f_log(double x, const double *p) { return (void)p, log(x); }
static double f_erf(double x, const double *p) { return (void)p, erf(x); }
static double f_tanh(double x, const double *p) { return (void)p, tanh(x); }
static double f_sigmoid(double x, const double *p) { return (void)p, 1 / (1 + exp(-x)); }
static double f_relu(double x, const double *p) { return (void)p, x < 0 ? 0 : x; }
static double f_floor(double x, const double *p) { return (void)p, floor(x); }
static double f_ceil(double x, const double *p) { return (void)p, ceil(x); }
static double f_round(double x, const double *p) { return (void)p, rint(x); } /* half to even */
static double f_sin(double x, const double *p) { return (void)p, sin(x); }
static double f_cos(double x, const double *p) { return (void)p, cos(x); }
static double f_tan(double x, const double *p) { return (void)p, tan(x); }
static double f_asin(double x, const double *p) { return (void)p, asin(x); }
static double f_acos(double x, const double *p) { return (void)p, acos(x); }
static double f_atan(double x, const double *p) { return (void)p, atan(x); }
static double f_sinh(double x, const double *p) { return (void)p, sinh(x); }
static double f_cosh(double x, const double *p) { return (void)p, cosh(x); }
static double f_asinh(double x, const double *p) { return (void)p, asinh(x); }
static double f_acosh(double x, const double *p) { return (void)p, acosh(x); }
static double f_atanh(double x, const double *p) { return (void)p, atanh(x); }
static double f_softsign(double x, const double *p) { return (void)p, x / (1 + fabs(x)); }
static double f_softplus(double x, const double *p) { return (void)p, x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double f_mish(double x, const double *p) { return x * tanh(f_softplus(x, p)); }
static double f_leaky_relu(double x, const double *p) { return x < 0 ? p[0] * x : x; }
static double f_elu(double x, const double *p) { return x < 0 ? p[0] * expm1(x) : x; }
static double f_selu(double x, const double *p) { return p[1] * (x <= 0 ? p[0] * expm1(x) : x); }
static double f_celu(double x, const double *p) { return x < 0 ? p[0] * expm1(x / p[0]) : x; }
static double f_thresholded_relu(double x, const double *p) { return x > p[0] ? x : 0; }
static double clamp01(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }
static double f_hard_sigmoid(double x, const double *p) { return clamp01(p[0] * x + p[1]); }
static double f_hard_swish(double x, const double *p) { return (void)p, x * clamp01(x / 6 + 0.5); }
static double f_swish(double x, const double *p) { return x / (1 + exp(-p[0] * x)); }
static double f_shrink(double x, const double *p) { return x < -p[0] ? x + p[1] : x > p[0] ? x - p[1] : 0; }
static double f_isnan(double x, const double *p) { return (void)p, isnan(x) ? 1 : 0; }
static double f_isinf(double x, const double *p) { return isinf(x) && (x < 0 ? p[0] != 0 : p[1] != 0) ? 1 : 0; }

/* x holds the bits of an unsigned type when the flag is set */
static int64_t i_abs(int64_t x, bool is_unsigned) { return x < 0 && !is_unsigned ? (int64_t)(0 - (uint64_t)x) : x; }
static int64_t i_neg(int64_t x, bool is_unsigned) { return (void)is_unsigned, (int64_t)(0 - (uint64_t)x); }
static int64_t i_sign(int64_t x, bool is_unsigned) { return x == 0 ? 0 : x < 0 && !is_unsigned ? -1 : 1; }
static int64_t i_relu(int64_t x, bool is_unsigned) { return x < 0 && !is_unsigned ? 0 : x; }
static int64_t i_not(int64_t x, bool is_unsigned) { return (void)is_unsigned, !x; }
static int64_t i_bitwise_not(int64_t x, bool is_unsigned) { return (void)is_unsigned, ~x; }

/* ---- the loop ------------------------------------------------------------------------------------------------------------ */

typedef struct map_job {
  double (*f)(double x, const double *p);
  int64_t (*i)(int64_t x, bool is_unsigned); /* for integer and bool inputs; NULL: computed in double */
  double p[2];
  const onward_tensor *in, *out;
} map_job;

static void map_range(void *context, int64_t from, int64_t to) {
  const map_job *const j = context;
  const onward_dtype dtype = j->in->dtype;
  if (dtype == ONWARD_FLOAT32 && j->out->dtype == ONWARD_FLOAT32) {
    const float *const in = j->in->data;
    float *const out = j->out->data;
    for (int64_t n = from; n < to; n++)
      out[n] = (float)j->f(in[n], j->p);
  } else if (j->i && !ow_is_float(dtype)) {
    const bool is_unsigned = ow_dtype(dtype)->kind == OW_KIND_UNSIGNED;
    for (int64_t n = from; n < to; n++)
      ow_set_i64(j->out->dtype, j->out->data, n, j->i(ow_get_i64(dtype, j->in->data, n), is_unsigned));
  } else {
    for (int64_t n = from; n < to; n++)
      ow_set_f64(j->out->dtype, j->out->data, n, j->f(ow_get_f64(dtype, j->in->data, n), j->p));
  }
}

static onward_status map(const ow_args *a, map_job job) {
  job.in = a->in[0];
  job.out = a->out[0];
  ow_parallel_ranges(a->threads, ow_count(job.in), 4096, map_range, &job);
  return ONWARD_OK;
}

/* ---- inference ----------------------------------------------------------------------------------------------------------- */

static onward_status infer_float(ow_infer *c) { return ow_infer_elementwise(c, OW_TYPES_FLOAT); }
static onward_status infer_numeric(ow_infer *c) { return ow_infer_elementwise(c, OW_TYPES_NUMERIC); }
static onward_status infer_signed(ow_infer *c) { return ow_infer_elementwise(c, OW_TYPES_FLOAT | OW_TYPES_SIGNED); }

static onward_status infer_test(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT | OW_TYPES_FLOAT8));
  if (OW_TYPES_FLOAT8 & OW_BIT(c->in[0].dtype))
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "elements of type %s", onward_dtype_name(c->in[0].dtype));
  return ow_infer_same_shape(c, 0, 0, ONWARD_BOOL);
}

static bool elem_neg(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  *out = ow_dim_sub(c->dims, ow_dim_const(0), in[0]);
  return true;
}
static onward_status infer_neg(ow_infer *c) {
  OW_TRY(infer_signed(c));
  return ow_infer_map_elems(c, elem_neg);
}

static bool elem_abs(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  if (ow_dim_is_const(in[0]))
    *out = ow_dim_const(i_abs(in[0].k, ow_dtype(c->in[0].dtype)->kind == OW_KIND_UNSIGNED));
  else if (ow_dim_proves_ge(c->dims, in[0], 0))
    *out = in[0];
  else
    *out = ow_dim_max(c->dims, in[0], ow_dim_sub(c->dims, ow_dim_const(0), in[0]));
  return true;
}
static onward_status infer_abs(ow_infer *c) {
  OW_TRY(infer_numeric(c));
  return ow_infer_map_elems(c, elem_abs);
}

static bool elem_sign(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  if (ow_dim_is_const(in[0]))
    *out = ow_dim_const(i_sign(in[0].k, ow_dtype(c->in[0].dtype)->kind == OW_KIND_UNSIGNED));
  else if (ow_dim_proves_ge(c->dims, in[0], 1))
    *out = ow_dim_const(1);
  else
    return false;
  return true;
}
static onward_status infer_sign(ow_infer *c) {
  OW_TRY(infer_numeric(c));
  return ow_infer_map_elems(c, elem_sign);
}

static bool elem_relu(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  *out = ow_dim_max(c->dims, in[0], ow_dim_const(0));
  return true;
}
static onward_status infer_relu(ow_infer *c) {
  OW_TRY(infer_signed(c));
  return ow_infer_map_elems(c, elem_relu);
}

static bool elem_not(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  (void)c;
  *out = ow_dim_const(in[0].k == 0);
  return ow_dim_is_const(in[0]);
}
static onward_status infer_not(ow_infer *c) {
  OW_TRY(ow_infer_elementwise(c, OW_BIT(ONWARD_BOOL)));
  return ow_infer_map_elems(c, elem_not);
}

static bool elem_bitwise_not(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  *out = ow_dim_sub(c->dims, ow_dim_const(-1), in[0]);
  return true;
}
static onward_status infer_bitwise_not(ow_infer *c) {
  OW_TRY(ow_infer_elementwise(c, OW_TYPES_INT));
  return ow_infer_map_elems(c, elem_bitwise_not);
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------- */

#define KERNEL(id, float_fn, int_fn, p0, p1)                                           \
  static onward_status run_##id(const ow_args *a, void *state, onward_error *err) {    \
    (void)state, (void)err;                                                            \
    return map(a, (map_job){.f = float_fn, .i = int_fn, .p = {p0, p1}});               \
  }                                                                                    \
  static const ow_kernel id##_reference = {.name = #id "_reference", .run = run_##id}; \
  static const ow_kernel *const id##_kernels[] = {OW_FAST_UNARY & id##_reference, NULL};
#define PLAIN(id) KERNEL(id, f_##id, NULL, 0, 0)

KERNEL(abs, f_abs, i_abs, 0, 0)
KERNEL(neg, f_neg, i_neg, 0, 0)
KERNEL(sign, f_sign, i_sign, 0, 0)
KERNEL(relu, f_relu, i_relu, 0, 0)
KERNEL(not, NULL, i_not, 0, 0)
KERNEL(bitwise_not, NULL, i_bitwise_not, 0, 0)
PLAIN(sqrt)
PLAIN(reciprocal)
PLAIN(exp)
PLAIN(log)
PLAIN(erf)
PLAIN(tanh)
PLAIN(sigmoid)
PLAIN(floor)
PLAIN(ceil)
PLAIN(round)
PLAIN(sin)
PLAIN(cos)
PLAIN(tan)
PLAIN(asin)
PLAIN(acos)
PLAIN(atan)
PLAIN(sinh)
PLAIN(cosh)
PLAIN(asinh)
PLAIN(acosh)
PLAIN(atanh)
PLAIN(softsign)
PLAIN(softplus)
PLAIN(mish)
PLAIN(hard_swish)
PLAIN(isnan)
KERNEL(leaky_relu, f_leaky_relu, NULL, ow_node_float(a->node, "alpha", 0.01f), 0)
KERNEL(elu, f_elu, NULL, ow_node_float(a->node, "alpha", 1.0f), 0)
KERNEL(selu, f_selu, NULL, ow_node_float(a->node, "alpha", 1.67326319217681884765625f),
       ow_node_float(a->node, "gamma", 1.05070102214813232421875f))
KERNEL(selu_1, f_selu, NULL, ow_node_float(a->node, "alpha", 1.6732f), ow_node_float(a->node, "gamma", 1.0507f))
KERNEL(celu, f_celu, NULL, ow_node_float(a->node, "alpha", 1.0f), 0)
KERNEL(thresholded_relu, f_thresholded_relu, NULL, ow_node_float(a->node, "alpha", 1.0f), 0)
KERNEL(hard_sigmoid, f_hard_sigmoid, NULL, ow_node_float(a->node, "alpha", 0.2f), ow_node_float(a->node, "beta", 0.5f))
KERNEL(swish, f_swish, NULL, ow_node_float(a->node, "alpha", 1.0f), 0)
KERNEL(shrink, f_shrink, NULL, ow_node_float(a->node, "lambd", 0.5f), ow_node_float(a->node, "bias", 0.0f))
KERNEL(isinf, f_isinf, NULL, ow_node_int(a->node, "detect_negative", 1) ? 1 : 0,
       ow_node_int(a->node, "detect_positive", 1) ? 1 : 0)

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_inplace same_place[] = {{0, 0}};
static const ow_attr_spec consumed_attr[] = {{"consumed_inputs", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec alpha_attr[] = {{"alpha", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec alpha_consumed_attr[] = {
    {"alpha", OW_ATTR_FLOAT, false}, {"consumed_inputs", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec alpha_beta_attr[] = {
    {"alpha", OW_ATTR_FLOAT, false}, {"beta", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec alpha_beta_consumed_attr[] = {{"alpha", OW_ATTR_FLOAT, false},
                                                        {"beta", OW_ATTR_FLOAT, false},
                                                        {"consumed_inputs", OW_ATTR_INTS, false},
                                                        {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec alpha_gamma_attr[] = {
    {"alpha", OW_ATTR_FLOAT, false}, {"gamma", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec alpha_gamma_consumed_attr[] = {{"alpha", OW_ATTR_FLOAT, false},
                                                         {"gamma", OW_ATTR_FLOAT, false},
                                                         {"consumed_inputs", OW_ATTR_INTS, false},
                                                         {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec shrink_attr[] = {
    {"bias", OW_ATTR_FLOAT, false}, {"lambd", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec isinf_attr[] = {
    {"detect_negative", OW_ATTR_INT, false}, {"detect_positive", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, id, infer_fn, spec)                                                                 \
  {                                                                                                           \
    .name = op, .domain = "", .since = from, .until = to, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .infer = infer_fn, .inplace = same_place, .inplace_count = 1,            \
    .kernels = id##_kernels                                                                                   \
  }
/* The first five opsets let a node name the inputs it may overwrite. */
#define ROW_FROM_1(op, id, infer_fn) ROW(op, 1, 5, id, infer_fn, consumed_attr), ROW(op, 6, 0, id, infer_fn, NULL)

const ow_op ow_ops_unary[] = {
    ROW_FROM_1("Abs", abs, infer_abs),
    ROW_FROM_1("Neg", neg, infer_neg),
    ROW_FROM_1("Sqrt", sqrt, infer_float),
    ROW_FROM_1("Reciprocal", reciprocal, infer_float),
    ROW_FROM_1("Exp", exp, infer_float),
    ROW_FROM_1("Log", log, infer_float),
    ROW_FROM_1("Tanh", tanh, infer_float),
    ROW_FROM_1("Sigmoid", sigmoid, infer_float),
    ROW_FROM_1("Relu", relu, infer_relu),
    ROW_FROM_1("Floor", floor, infer_float),
    ROW_FROM_1("Ceil", ceil, infer_float),
    ROW("LeakyRelu", 1, 5, leaky_relu, infer_float, alpha_consumed_attr),
    ROW("LeakyRelu", 6, 0, leaky_relu, infer_float, alpha_attr),
    ROW("Elu", 1, 5, elu, infer_float, alpha_consumed_attr),
    ROW("Elu", 6, 0, elu, infer_float, alpha_attr),
    ROW("Selu", 1, 5, selu_1, infer_float, alpha_gamma_consumed_attr),
    ROW("Selu", 6, 0, selu, infer_float, alpha_gamma_attr),
    ROW("HardSigmoid", 1, 5, hard_sigmoid, infer_float, alpha_beta_consumed_attr),
    ROW("HardSigmoid", 6, 0, hard_sigmoid, infer_float, alpha_beta_attr),
    ROW("Softplus", 1, 0, softplus, infer_float, NULL),
    ROW("Softsign", 1, 0, softsign, infer_float, NULL),
    ROW("Not", 1, 0, not, infer_not, NULL),
    ROW("Sin", 7, 0, sin, infer_float, NULL),
    ROW("Cos", 7, 0, cos, infer_float, NULL),
    ROW("Tan", 7, 0, tan, infer_float, NULL),
    ROW("Asin", 7, 0, asin, infer_float, NULL),
    ROW("Acos", 7, 0, acos, infer_float, NULL),
    ROW("Atan", 7, 0, atan, infer_float, NULL),
    ROW("Sinh", 9, 0, sinh, infer_float, NULL),
    ROW("Cosh", 9, 0, cosh, infer_float, NULL),
    ROW("Asinh", 9, 0, asinh, infer_float, NULL),
    ROW("Acosh", 9, 0, acosh, infer_float, NULL),
    ROW("Atanh", 9, 0, atanh, infer_float, NULL),
    ROW("Sign", 9, 0, sign, infer_sign, NULL),
    ROW("Erf", 9, 0, erf, infer_numeric, NULL),
    ROW("IsNaN", 9, 0, isnan, infer_test, NULL),
    ROW("Shrink", 9, 0, shrink, infer_numeric, shrink_attr),
    ROW("IsInf", 10, 0, isinf, infer_test, isinf_attr),
    ROW("ThresholdedRelu", 10, 0, thresholded_relu, infer_float, alpha_attr),
    ROW("Round", 11, 0, round, infer_float, NULL),
    ROW("Celu", 12, 0, celu, infer_float, alpha_attr),
    ROW("HardSwish", 14, 0, hard_swish, infer_float, NULL),
    ROW("Mish", 18, 0, mish, infer_float, NULL),
    ROW("BitwiseNot", 18, 0, bitwise_not, infer_bitwise_not, NULL),
    ROW("Swish", 24, 0, swish, infer_float, alpha_attr),
    {.name = NULL},
};
