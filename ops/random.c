/* Random numbers: Bernoulli, RandomNormal, RandomUniform and their Like forms, Multinomial. Which generator is used, the
 * specification leaves open. Here a seed gives the same numbers in every run; without one they go on from run to run and from round to
 * round of a loop, and begin anew, by the node's place, with a session. */
#include <inttypes.h>
#include <math.h>

#include "ops/random.h"

/* ---- the generator --------------------------------------------------------------------------------------------------------------- */

ow_random ow_random_begin(const ow_node *node, ow_random_state *runs) {
  const ow_attr *const seed = ow_node_attr(node, "seed");
  uint64_t state = (uint64_t)node->index << 33 | (runs->count++ & UINT32_MAX) << 1;
  if (seed && seed->kind == OW_ATTR_FLOAT) {
    uint32_t bits;
    memcpy(&bits, &seed->f, sizeof bits);
    state = (uint64_t)bits << 32 | 1;
  } else if (seed && seed->kind == OW_ATTR_INT) {
    state = (uint64_t)seed->i * 2 + 1;
  }
  return (ow_random){state * UINT64_C(0x9e3779b97f4a7c15)};
}

/* SplitMix64. */
static uint64_t next_bits(ow_random *r) {
  uint64_t x = r->state += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

double ow_random_uniform(ow_random *r) { return (double)(next_bits(r) >> 11) * 0x1p-53; }

/* Box and Muller; half of a pair is thrown away. */
static double normal(ow_random *r) {
  const double radius = sqrt(-2.0 * log(1.0 - ow_random_uniform(r)));
  return radius * cos(6.283185307179586 * ow_random_uniform(r));
}

/* ---- types ------------------------------------------------------------------------------------------------------------------------ */

#define TYPES_MADE OW_TYPES_FLOAT

static onward_status made_type(ow_infer *c, onward_dtype otherwise, uint32_t types, onward_dtype *dtype) {
  const int64_t wanted = ow_node_int(c->node, "dtype", otherwise);
  if (wanted <= 0 || wanted > ONWARD_INT2 || !(types & OW_BIT(wanted)))
    return ow_infer_fail(c, ONWARD_MODEL, "dtype %" PRId64 " is not allowed", wanted);
  *dtype = (onward_dtype)wanted;
  return ONWARD_OK;
}

static onward_status infer_shaped(ow_infer *c) {
  onward_dtype dtype = ONWARD_UNDEFINED;
  OW_TRY(made_type(c, ONWARD_FLOAT32, TYPES_MADE, &dtype));
  size_t count;
  const int64_t *const shape = ow_node_ints(c->node, "shape", &count);
  ow_dim dims[ONWARD_MAX_RANK];
  if (count > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%zu axes; at most %d", count, ONWARD_MAX_RANK);
  for (size_t i = 0; i < count; i++)
    dims[i] = ow_dim_const(shape[i]);
  return ow_infer_set(c, 0, dtype, (int32_t)count, dims);
}

static onward_status infer_like(ow_infer *c) {
  onward_dtype dtype = ONWARD_UNDEFINED;
  OW_TRY(made_type(c, c->in[0].dtype, TYPES_MADE, &dtype));
  return ow_infer_same_shape(c, 0, 0, dtype);
}

static onward_status infer_bernoulli(ow_infer *c) {
  onward_dtype dtype = ONWARD_UNDEFINED;
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(made_type(c, c->in[0].dtype, OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL), &dtype));
  return ow_infer_same_shape(c, 0, 0, dtype);
}

static onward_status infer_multinomial(ow_infer *c) {
  onward_dtype dtype = ONWARD_UNDEFINED;
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(made_type(c, ONWARD_INT32, OW_TYPES_INDEX, &dtype));
  OW_TRY(ow_infer_rank(c, 0, 2, 2));
  const ow_dim dims[2] = {ow_infer_ranked(c, 0) ? c->in[0].shape.dims[0] : ow_dim_unknown(),
                          ow_dim_const(ow_node_int(c->node, "sample_size", 1))};
  return ow_infer_ranked(c, 0) ? ow_infer_set(c, 0, dtype, 2, dims) : ow_infer_unknown(c, 0, dtype, 2, dims);
}

/* ---- kernels ---------------------------------------------------------------------------------------------------------------------- */

static onward_status run_normal(const ow_args *a, void *state, onward_error *err) {
  (void)err;
  const double mean = (double)ow_node_float(a->node, "mean", 0), scale = (double)ow_node_float(a->node, "scale", 1);
  ow_random r = ow_random_begin(a->node, state);
  const int64_t count = ow_count(a->out[0]);
  for (int64_t i = 0; i < count; i++)
    ow_set_f64(a->out[0]->dtype, a->out[0]->data, i, mean + scale * normal(&r));
  return ONWARD_OK;
}

static onward_status run_uniform(const ow_args *a, void *state, onward_error *err) {
  (void)err;
  const double low = (double)ow_node_float(a->node, "low", 0), high = (double)ow_node_float(a->node, "high", 1);
  ow_random r = ow_random_begin(a->node, state);
  const int64_t count = ow_count(a->out[0]);
  for (int64_t i = 0; i < count; i++)
    ow_set_f64(a->out[0]->dtype, a->out[0]->data, i, low + (high - low) * ow_random_uniform(&r));
  return ONWARD_OK;
}

static onward_status run_bernoulli(const ow_args *a, void *state, onward_error *err) {
  const onward_tensor *const in = a->in[0], *const out = a->out[0];
  const int64_t count = ow_count(in);
  for (int64_t i = 0; i < count; i++) {
    const double p = ow_get_f64(in->dtype, in->data, i);
    if (!(p >= 0 && p <= 1))
      return ow_fail(err, ONWARD_DATA, "input 0 '%s': a probability of %g at element %" PRId64,
                     a->node->inputs[0] ? a->node->inputs[0]->name : "", p, i);
  }
  ow_random r = ow_random_begin(a->node, state);
  for (int64_t i = 0; i < count; i++)
    ow_set_f64(out->dtype, out->data, i, ow_random_uniform(&r) < ow_get_f64(in->dtype, in->data, i) ? 1 : 0);
  return ONWARD_OK;
}

/* One class of a row of logarithms of probabilities, which need not sum to one. */
static int64_t draw(ow_random *r, const onward_tensor *in, int64_t row, int64_t classes, double most, double sum) {
  double left = ow_random_uniform(r) * sum;
  int64_t last = 0;
  for (int64_t k = 0; k < classes; k++) {
    const double p = exp(ow_get_f64(in->dtype, in->data, row * classes + k) - most);
    if (p > 0) {
      last = k;
      if (left < p)
        return k;
    }
    left -= p;
  }
  return last;
}

static onward_status run_multinomial(const ow_args *a, void *state, onward_error *err) {
  const onward_tensor *const in = a->in[0], *const out = a->out[0];
  const int64_t rows = in->dims[0], classes = in->dims[1], samples = out->dims[1];
  ow_random r = ow_random_begin(a->node, state);
  for (int64_t row = 0; row < rows && samples > 0; row++) {
    double most = -(double)INFINITY, sum = 0;
    for (int64_t k = 0; k < classes; k++)
      most = fmax(most, ow_get_f64(in->dtype, in->data, row * classes + k));
    for (int64_t k = 0; k < classes && isfinite(most); k++)
      sum += exp(ow_get_f64(in->dtype, in->data, row * classes + k) - most);
    if (!(sum > 0) || !isfinite(sum))
      return ow_fail(err, ONWARD_DATA, "input 0 '%s': row %" PRId64 " has no class that could be drawn",
                     a->node->inputs[0] ? a->node->inputs[0]->name : "", row);
    for (int64_t s = 0; s < samples; s++)
      ow_set_i64(out->dtype, out->data, row * samples + s, draw(&r, in, row, classes, most, sum));
  }
  return ONWARD_OK;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------------------- */

#define KERNEL(id)                                                                       \
  static const ow_kernel id##_reference = {                                              \
      .name = #id "_reference", .state_size = sizeof(ow_random_state), .run = run_##id}; \
  static const ow_kernel *const id##_kernels[] = {&id##_reference, NULL};
KERNEL(normal)
KERNEL(uniform)
KERNEL(bernoulli)
KERNEL(multinomial)

static const ow_attr_spec normal_attrs[] = {{"dtype", OW_ATTR_INT, false},   {"mean", OW_ATTR_FLOAT, false},
                                            {"scale", OW_ATTR_FLOAT, false}, {"seed", OW_ATTR_FLOAT, false},
                                            {"shape", OW_ATTR_INTS, false},  {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec uniform_attrs[] = {{"dtype", OW_ATTR_INT, false},  {"high", OW_ATTR_FLOAT, false},
                                             {"low", OW_ATTR_FLOAT, false},  {"seed", OW_ATTR_FLOAT, false},
                                             {"shape", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec bernoulli_attrs[] = {
    {"dtype", OW_ATTR_INT, false}, {"seed", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec multinomial_attrs[] = {{"dtype", OW_ATTR_INT, false},
                                                 {"sample_size", OW_ATTR_INT, false},
                                                 {"seed", OW_ATTR_FLOAT, false},
                                                 {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, inputs, spec, infer_fn, list)                                                        \
  {                                                                                                        \
    .domain = "", .name = op, .since = from, .min_inputs = inputs, .max_inputs = inputs, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .flags = OW_OP_NONDETERMINISTIC, .infer = infer_fn, .kernels = list   \
  }

const ow_op ow_ops_random[] = {
    ROW("RandomNormal", 1, 0, normal_attrs, infer_shaped, normal_kernels),
    ROW("RandomUniform", 1, 0, uniform_attrs, infer_shaped, uniform_kernels),
    ROW("RandomNormalLike", 1, 1, normal_attrs, infer_like, normal_kernels),
    ROW("RandomUniformLike", 1, 1, uniform_attrs, infer_like, uniform_kernels),
    ROW("Bernoulli", 15, 1, bernoulli_attrs, infer_bernoulli, bernoulli_kernels),
    ROW("Multinomial", 7, 1, multinomial_attrs, infer_multinomial, multinomial_kernels),
    {.name = NULL},
};
