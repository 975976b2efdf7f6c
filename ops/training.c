/* ai.onnx.preview.training: Gradient, the derivatives of `y` by `xs`, which the pass `gradient` replaces at load; and one step of the
 * optimizers Adagrad, Adam and Momentum. */
#include "ops/reference.h"

/* ---- Gradient ---------------------------------------------------------------------------------------------------------- */

static onward_status gradient_infer(ow_infer *c) {
  const ow_attr *const xs = ow_node_attr(c->node, "xs"), *const zs = ow_node_attr(c->node, "zs");
  const size_t named = xs->count + (zs ? zs->count : 0);
  if (c->in_count != named)
    return ow_infer_fail(c, ONWARD_MODEL, "xs and zs name %zu values, but there are %zu inputs", named, c->in_count);
  if (c->node->output_count > xs->count)
    return ow_infer_fail(c, ONWARD_MODEL, "xs names %zu values, but there are %zu outputs", xs->count,
                         c->node->output_count);
  for (size_t i = 0; i < named; i++)
    if (!ow_infer_has(c, i))
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu is left out", i);
  for (size_t i = 0; i < c->node->output_count; i++) {
    OW_TRY(ow_infer_types(c, i, OW_TYPES_FLOAT));
    OW_TRY(ow_infer_same(c, i, i));
  }
  return ONWARD_OK;
}

static const ow_attr_spec gradient_attrs[] = {{"xs", OW_ATTR_STRINGS, true},
                                              {"y", OW_ATTR_STRING, true},
                                              {"zs", OW_ATTR_STRINGS, false},
                                              {NULL, OW_ATTR_NONE, false}};

/* ---- optimizers: R, T, then tensors in groups of n: X.., G.. and what the step keeps; outputs: new X.., and what it keeps ------------ */

enum { STEP_R, STEP_T, STEP_FIRST, STEP_KEPT_MOST = 2 };

/* One element: x becomes *x by its gradient g, and kept changes. */
typedef struct step_rate {
  double rate, alpha, beta, epsilon, norm, post;
  bool nesterov;
} step_rate;
typedef void (*step_fn)(const step_rate *r, double g, double *x, double *kept);

static onward_status step_infer(ow_infer *c, size_t kept) {
  const size_t groups = 2 + kept, count = (c->in_count - STEP_FIRST) / groups;
  if ((c->in_count - STEP_FIRST) % groups != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu tensors are not %zu for each that is optimized",
                         c->in_count - STEP_FIRST, groups);
  if (c->node->output_count > count * (1 + kept))
    return ow_infer_fail(c, ONWARD_MODEL, "want at most %zu outputs, got %zu", count * (1 + kept),
                         c->node->output_count);
  OW_TRY(ow_infer_types(c, STEP_R, OW_BIT(ONWARD_FLOAT32) | OW_BIT(ONWARD_FLOAT64)));
  OW_TRY(ow_infer_types(c, STEP_T, OW_BIT(ONWARD_INT64)));
  for (size_t i = STEP_R; i <= STEP_T; i++) {
    OW_TRY(ow_infer_rank(c, i, 0, 1));
    if (c->in[i].shape.rank == 1)
      OW_TRY(ow_infer_equal(c, c->in[i].shape.dims[0], ow_dim_const(1), "one rate and one count"));
  }
  for (size_t i = STEP_FIRST; i < c->in_count; i++) {
    const size_t x = STEP_FIRST + (i - STEP_FIRST) % count;
    if (!ow_infer_has(c, i))
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu is left out", i);
    OW_TRY(ow_infer_types(c, i, i == x ? OW_BIT(ONWARD_FLOAT32) | OW_BIT(ONWARD_FLOAT64) : OW_BIT(c->in[x].dtype)));
    const ow_shape *const a = &c->in[x].shape, *const b = &c->in[i].shape;
    if (a->rank >= 0 && b->rank >= 0 && a->rank != b->rank)
      return ow_infer_fail(c, ONWARD_MODEL, "inputs %zu and %zu have ranks %d and %d", x, i, a->rank, b->rank);
    for (int32_t d = 0; a->rank == b->rank && d < a->rank; d++)
      OW_TRY(ow_infer_equal(c, a->dims[d], b->dims[d], "a dim of what belongs together"));
  }
  for (size_t o = 0; o < c->node->output_count; o++)
    OW_TRY(ow_infer_same(c, o, STEP_FIRST + o % count));
  return ONWARD_OK;
}

static void step_run(const ow_args *a, size_t kept, step_fn fn, const step_rate *r) {
  const size_t count = (a->in_count - STEP_FIRST) / (2 + kept);
  for (size_t t = 0; t < count; t++) {
    const onward_tensor *const *const in = a->in + STEP_FIRST + t;
    const onward_dtype dtype = in[0]->dtype;
    const int64_t elements = ow_count(in[0]);
    for (int64_t i = 0; i < elements; i++) {
      double x = ow_load(dtype, in[0]->data, i), more[STEP_KEPT_MOST] = {0};
      for (size_t k = 0; k < kept; k++)
        more[k] = ow_load(dtype, in[(2 + k) * count]->data, i);
      fn(r, ow_load(dtype, in[count]->data, i) + r->norm * x, &x, more);
      for (size_t k = 0; k <= kept; k++) {
        const onward_tensor *const to = ow_args_out(a, t + k * count);
        if (to)
          ow_store(dtype, to->data, i, k ? more[k - 1] : x);
      }
    }
  }
}

static double step_float(const ow_args *a, const char *name, float otherwise) {
  return (double)ow_node_float(a->node, name, otherwise);
}
static double step_count(const ow_args *a) { return (double)ow_index_at(a->in[STEP_T], 0); }
static double step_base_rate(const ow_args *a) { return ow_load(a->in[STEP_R]->dtype, a->in[STEP_R]->data, 0); }

static void adagrad_step(const step_rate *r, double g, double *x, double *kept) {
  kept[0] += g * g;
  *x -= r->rate * g / (sqrt(kept[0]) + r->epsilon);
}
static onward_status adagrad_infer(ow_infer *c) { return step_infer(c, 1); }
static onward_status adagrad_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const step_rate r = {.rate = step_base_rate(a) / (1.0 + step_count(a) * step_float(a, "decay_factor", 0.0f)),
                       .epsilon = step_float(a, "epsilon", 1e-6f),
                       .norm = step_float(a, "norm_coefficient", 0.0f)};
  step_run(a, 1, adagrad_step, &r);
  return ONWARD_OK;
}

static void adam_step(const step_rate *r, double g, double *x, double *kept) {
  kept[0] = r->alpha * kept[0] + (1.0 - r->alpha) * g;
  kept[1] = r->beta * kept[1] + (1.0 - r->beta) * g * g;
  *x = (1.0 - r->post) * (*x - r->rate * kept[0] / (sqrt(kept[1]) + r->epsilon));
}
static onward_status adam_infer(ow_infer *c) { return step_infer(c, 2); }
static onward_status adam_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  step_rate r = {.rate = step_base_rate(a),
                 .alpha = step_float(a, "alpha", 0.9f),
                 .beta = step_float(a, "beta", 0.999f),
                 .epsilon = step_float(a, "epsilon", 1e-6f),
                 .norm = step_float(a, "norm_coefficient", 0.0f),
                 .post = step_float(a, "norm_coefficient_post", 0.0f)};
  const double t = step_count(a);
  if (t > 0)
    r.rate *= sqrt(1.0 - pow(r.beta, t)) / (1.0 - pow(r.alpha, t));
  step_run(a, 2, adam_step, &r);
  return ONWARD_OK;
}

static void momentum_step(const step_rate *r, double g, double *x, double *kept) {
  kept[0] = r->alpha * kept[0] + r->beta * g;
  *x -= r->rate * (r->nesterov ? g + r->alpha * kept[0] : kept[0]);
}
static onward_status momentum_infer(ow_infer *c) {
  const char *const mode = ow_node_string(c->node, "mode", "");
  if (strcmp(mode, "standard") != 0 && strcmp(mode, "nesterov") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'mode': want standard or nesterov, got '%s'", mode);
  return step_infer(c, 1);
}
static onward_status momentum_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const step_rate r = {.rate = step_base_rate(a),
                       .alpha = step_float(a, "alpha", 0.0f),
                       .beta = step_count(a) > 0 ? step_float(a, "beta", 0.0f) : 1.0, /* always 1 in the first step */
                       .norm = step_float(a, "norm_coefficient", 0.0f),
                       .nesterov = strcmp(ow_node_string(a->node, "mode", ""), "nesterov") == 0};
  step_run(a, 1, momentum_step, &r);
  return ONWARD_OK;
}

#define STEP_KERNEL(stem)                                                           \
  static const ow_kernel stem##_reference = {                                       \
      .name = #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .run = stem##_run}; \
  static const ow_kernel *const stem##_kernels[] = {&stem##_reference, NULL};
STEP_KERNEL(adagrad)
STEP_KERNEL(adam)
STEP_KERNEL(momentum)

static const ow_attr_spec adagrad_attrs[] = {{"decay_factor", OW_ATTR_FLOAT, false},
                                             {"epsilon", OW_ATTR_FLOAT, false},
                                             {"norm_coefficient", OW_ATTR_FLOAT, false},
                                             {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec adam_attrs[] = {{"alpha", OW_ATTR_FLOAT, false},
                                          {"beta", OW_ATTR_FLOAT, false},
                                          {"epsilon", OW_ATTR_FLOAT, false},
                                          {"norm_coefficient", OW_ATTR_FLOAT, false},
                                          {"norm_coefficient_post", OW_ATTR_FLOAT, false},
                                          {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec momentum_attrs[] = {{"alpha", OW_ATTR_FLOAT, true},
                                              {"beta", OW_ATTR_FLOAT, true},
                                              {"mode", OW_ATTR_STRING, true},
                                              {"norm_coefficient", OW_ATTR_FLOAT, true},
                                              {NULL, OW_ATTR_NONE, false}};

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define STEP_ROW(op, stem)                                                                            \
  {                                                                                                   \
    .domain = "ai.onnx.preview.training", .name = op, .since = 1, .min_inputs = STEP_FIRST + 1,       \
    .max_inputs = OW_ANY_COUNT, .min_outputs = 1, .max_outputs = OW_ANY_COUNT, .attrs = stem##_attrs, \
    .infer = stem##_infer, .kernels = stem##_kernels                                                  \
  }

const ow_op ow_ops_training[] = {{.domain = "ai.onnx.preview.training",
                                  .name = "Gradient",
                                  .since = 1,
                                  .min_inputs = 1,
                                  .max_inputs = OW_ANY_COUNT,
                                  .min_outputs = 1,
                                  .max_outputs = OW_ANY_COUNT,
                                  .attrs = gradient_attrs,
                                  .infer = gradient_infer},
                                 STEP_ROW("Adagrad", adagrad),
                                 STEP_ROW("Adam", adam),
                                 STEP_ROW("Momentum", momentum),
                                 {.name = NULL}};
