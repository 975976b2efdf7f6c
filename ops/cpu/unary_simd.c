/* Functions of one float32, and the GELU family. A line of the table makes a function known for every row of that name. */
#include "ops/cpu/fast_help.h"

OW_INLINE vf f_abs(vf x, vf p) { return (void)p, v_abs(x); }
OW_INLINE vf f_neg(vf x, vf p) { return (void)p, -x; }
OW_INLINE vf f_sqrt(vf x, vf p) { return (void)p, v_sqrt(x); }
OW_INLINE vf f_reciprocal(vf x, vf p) { return (void)p, v_set(1.0f) / x; }
OW_INLINE vf f_exp(vf x, vf p) { return (void)p, v_exp(x); }
OW_INLINE vf f_tanh(vf x, vf p) { return (void)p, v_tanh(x); }
OW_INLINE vf f_erf(vf x, vf p) { return (void)p, v_erf(x); }
OW_INLINE vf f_sigmoid(vf x, vf p) { return (void)p, v_sigmoid(x); }
OW_INLINE vf f_relu(vf x, vf p) { return (void)p, v_max(v_zero(), x); }
OW_INLINE vf f_leaky_relu(vf x, vf p) { return v_select(v_less(x, v_zero()), p * x, x); }
OW_INLINE vf f_swish(vf x, vf p) { return x * v_sigmoid(p * x); }
OW_INLINE vf f_gelu(vf x, vf p) { return (void)p, v_gelu(x); }
OW_INLINE vf f_gelu_tanh(vf x, vf p) { return (void)p, v_gelu_tanh(x); }

typedef void (*map_fn)(const float *x, const float *bias, float *y, int64_t n, float p);

#define MAP(name)                                                                                           \
  static void map_##name(const float *x, const float *bias, float *y, int64_t n, float p) {                 \
    const vf pv = v_set(p);                                                                                 \
    int64_t i = 0;                                                                                          \
    if (bias) {                                                                                             \
      for (; i + W <= n; i += W)                                                                            \
        v_store(y + i, f_##name(v_load(x + i) + v_load(bias + i), pv));                                     \
    } else {                                                                                                \
      for (; i + W <= n; i += W)                                                                            \
        v_store(y + i, f_##name(v_load(x + i), pv));                                                        \
    }                                                                                                       \
    if (i < n) {                                                                                            \
      const vm m = v_first(n - i);                                                                          \
      const vf b = bias ? v_load_masked(bias + i, m) : v_zero();                                            \
      v_store_masked(y + i, m, f_##name(bias ? v_load_masked(x + i, m) + b : v_load_masked(x + i, m), pv)); \
    }                                                                                                       \
  }
MAP(abs)
MAP(neg)
MAP(sqrt)
MAP(reciprocal)
MAP(exp)
MAP(tanh)
MAP(erf)
MAP(sigmoid)
MAP(relu)
MAP(leaky_relu)
MAP(swish)
MAP(gelu)
MAP(gelu_tanh)

typedef struct line {
  const char *name;
  map_fn fn;
  int32_t cost;    /* quarter nanoseconds an element */
  float otherwise; /* default of attribute alpha */
} line;

static const line lines[] = {
    {"Abs", map_abs, 1, 0},
    {"Neg", map_neg, 1, 0},
    {"Sqrt", map_sqrt, 1, 0},
    {"Reciprocal", map_reciprocal, 1, 0},
    {"Exp", map_exp, 1, 0},
    {"Tanh", map_tanh, 3, 0},
    {"Erf", map_erf, 3, 0},
    {"Sigmoid", map_sigmoid, 3, 0},
    {"Relu", map_relu, 1, 0},
    {"Gelu", map_gelu, 3, 0},
    {"BiasGelu", map_gelu, 3, 0},
    {"FastGelu", map_gelu_tanh, 4, 0},
    {"Swish", map_swish, 3, 1.0f},
    {"QuickGelu", map_swish, 3, 1.702f},
    {"LeakyRelu", map_leaky_relu, 1, 0.01f},
};
static const line gelu_with_tanh = {"Gelu", map_gelu_tanh, 4, 0};

static const line *find(const ow_node *node) {
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
    if (strcmp(node->op ? node->op->name : node->type, lines[i].name) == 0)
      return lines[i].fn == map_gelu && strcmp(ow_node_string(node, "approximate", "none"), "tanh") == 0
                 ? &gelu_with_tanh
                 : &lines[i];
  return NULL;
}

static bool supports(const ow_args *a, ow_why *why) {
  if (!find(a->node))
    return ow_refuse(why, "no vector form of this function");
  return ow_fast_f32(a, why);
}

typedef struct job {
  map_fn fn;
  const float *x, *bias;
  float *y, p;
  int64_t row; /* elements in a row: those of the bias, or one vector */
} job;

static void range(void *context, int64_t from, int64_t to) {
  const job *const j = context;
  if (!j->bias) {
    j->fn(j->x + from * W, NULL, j->y + from * W, (to - from) * W, j->p);
    return;
  }
  for (int64_t r = from; r < to; r++)
    j->fn(j->x + r * j->row, j->bias, j->y + r * j->row, j->row, j->p);
}

static onward_status run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const line *const f = find(a->node);
  const onward_tensor *const bias = ow_fast_in(a, 1);
  const int64_t count = ow_count(a->in[0]);
  job j = {.fn = f->fn, .x = a->in[0]->data, .y = a->out[0]->data, .p = ow_node_float(a->node, "alpha", f->otherwise)};
  if (count == 0)
    return ONWARD_OK;
  j.bias = bias ? bias->data : NULL;
  j.row = bias ? ow_count(bias) : W;
  const int64_t rows = bias ? count / j.row : count / W;
  ow_parallel_ranges(a->threads, rows, ow_fast_grain(a->threads, rows, j.row * f->cost), range, &j);
  if (!bias && count % W)
    j.fn(j.x + rows * W, NULL, j.y + rows * W, count % W, j.p);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_unary) = {
    .name = OW_ISA_STRING("unary"), .cpu = OW_ISA_CPU, .flags = OW_KERNEL_UNALIGNED, .supports = supports, .run = run};
