/* The GELU family of ai.onnx and com.microsoft, and SwiGLU. */
#include "ops/cpu/fast.h"
#include "ops/op_help.h"

static double gelu_erf(double x, double alpha) { return (void)alpha, 0.5 * x * (1 + erf(x * 0.70710678118654752440)); }
static double gelu_tanh(double x, double alpha) {
  (void)alpha;
  return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}
static double gelu_quick(double x, double alpha) { return x / (1 + exp(-alpha * x)); }

typedef struct gelu_job {
  double (*f)(double x, double alpha);
  double alpha;
  const onward_tensor *in, *bias, *out;
} gelu_job;

static void gelu_range(void *context, int64_t from, int64_t to) {
  const gelu_job *const j = context;
  const onward_dtype dtype = j->in->dtype;
  const int64_t columns = j->bias ? ow_count(j->bias) : 1;
  for (int64_t n = from; n < to; n++) {
    double x = ow_get_f64(dtype, j->in->data, n);
    if (j->bias)
      x += ow_get_f64(dtype, j->bias->data, n % columns);
    ow_set_f64(dtype, j->out->data, n, j->f(x, j->alpha));
  }
}

static onward_status run(const ow_args *a, double (*f)(double, double), double alpha) {
  gelu_job j = {f, alpha, a->in[0], a->in_count > 1 ? a->in[1] : NULL, a->out[0]};
  ow_parallel_ranges(a->threads, ow_count(j.in), 4096, gelu_range, &j);
  return ONWARD_OK;
}

static bool wants_tanh(const ow_node *node) { return strcmp(ow_node_string(node, "approximate", "none"), "tanh") == 0; }

static onward_status run_gelu(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return run(a, wants_tanh(a->node) ? gelu_tanh : gelu_erf, 0);
}
static onward_status run_fast_gelu(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return run(a, gelu_tanh, 0);
}
static onward_status run_bias_gelu(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return run(a, gelu_erf, 0);
}
static onward_status run_quick_gelu(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return run(a, gelu_quick, ow_node_float(a->node, "alpha", 1.702f));
}

static onward_status infer_gelu(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  const char *how = ow_node_string(c->node, "approximate", "none");
  if (strcmp(how, "none") != 0 && strcmp(how, "tanh") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'approximate': want none or tanh, got '%s'", how);
  return ow_infer_same(c, 0, 0);
}

/* An optional bias as long as the last axis. */
static onward_status infer_bias(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 1));
  if (ow_infer_has(c, 1)) {
    OW_TRY(ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK));
    OW_TRY(ow_infer_rank(c, 1, 1, 1));
    if (ow_infer_ranked(c, 0) && ow_infer_ranked(c, 1))
      OW_TRY(ow_infer_equal(c, c->in[0].shape.dims[c->in[0].shape.rank - 1], c->in[1].shape.dims[0],
                            "the bias and the last axis"));
  }
  return ow_infer_same(c, 0, 0);
}

/* a * sigmoid(alpha * a) * b, two tensors of one shape */
static void swiglu_range(void *context, int64_t from, int64_t to) {
  const gelu_job *const j = context;
  const onward_dtype dtype = j->in->dtype;
  for (int64_t n = from; n < to; n++)
    ow_set_f64(dtype, j->out->data, n,
               j->f(ow_get_f64(dtype, j->in->data, n), j->alpha) * ow_get_f64(dtype, j->bias->data, n));
}

static onward_status run_swiglu(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  gelu_job j = {gelu_quick, ow_node_float(a->node, "alpha", 1.0f), a->in[0], a->in[1], a->out[0]};
  ow_parallel_ranges(a->threads, ow_count(j.in), 4096, swiglu_range, &j);
  return ONWARD_OK;
}

static onward_status infer_swiglu(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 1));
  if (ow_infer_ranked(c, 0) && ow_infer_ranked(c, 1)) {
    OW_TRY(ow_infer_rank(c, 1, c->in[0].shape.rank, c->in[0].shape.rank));
    for (int32_t d = 0; d < c->in[0].shape.rank; d++)
      OW_TRY(ow_infer_equal(c, c->in[0].shape.dims[d], c->in[1].shape.dims[d], "an axis of both inputs"));
  }
  return ow_infer_same(c, 0, 0);
}

static const ow_kernel swiglu_reference = {.name = "swiglu_reference", .run = run_swiglu};
static const ow_kernel *const swiglu_kernels[] = {&swiglu_reference, NULL};
static const ow_kernel gelu_reference = {.name = "gelu_reference", .run = run_gelu};
static const ow_kernel fast_gelu_reference = {.name = "fast_gelu_reference", .run = run_fast_gelu};
static const ow_kernel bias_gelu_reference = {.name = "bias_gelu_reference", .run = run_bias_gelu};
static const ow_kernel quick_gelu_reference = {.name = "quick_gelu_reference", .run = run_quick_gelu};
static const ow_kernel *const gelu_kernels[] = {OW_FAST_GELU & gelu_reference, NULL};
static const ow_kernel *const fast_gelu_kernels[] = {OW_FAST_GELU & fast_gelu_reference, NULL};
static const ow_kernel *const bias_gelu_kernels[] = {OW_FAST_GELU & bias_gelu_reference, NULL};
static const ow_kernel *const quick_gelu_kernels[] = {OW_FAST_GELU & quick_gelu_reference, NULL};

static const ow_attr_spec gelu_attrs[] = {{"approximate", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec quick_attrs[] = {{"alpha", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_inplace same_place[] = {{0, 0}};

#define ROW(where, op, from, low, high, spec, infer_fn, list)                                                      \
  {                                                                                                                \
    .domain = where, .name = op, .since = from, .min_inputs = low, .max_inputs = high, .min_outputs = 1,           \
    .max_outputs = 1, .attrs = spec, .infer = infer_fn, .inplace = same_place, .inplace_count = 1, .kernels = list \
  }

const ow_op ow_ops_gelu[] = {
    ROW("", "Gelu", 20, 1, 1, gelu_attrs, infer_gelu, gelu_kernels),
    ROW("com.microsoft", "Gelu", 1, 1, 1, NULL, infer_gelu, gelu_kernels),
    ROW("com.microsoft", "FastGelu", 1, 1, 2, NULL, infer_bias, fast_gelu_kernels),
    ROW("com.microsoft", "BiasGelu", 1, 2, 2, NULL, infer_bias, bias_gelu_kernels),
    ROW("com.microsoft", "QuickGelu", 1, 1, 1, quick_attrs, infer_gelu, quick_gelu_kernels),
    ROW("", "SwiGLU", 28, 2, 2, quick_attrs, infer_swiglu, swiglu_kernels),
    {.name = NULL},
};
