/* Derivatives: one row per operator. Most are formulas, written operands first:
 *
 *     Tanh    g 1 y y Mul Sub Mul        g * (1 - y * y)
 *
 * g is the derivative of the output y, a b c are the inputs; what broadcasting repeated is summed to the input's shape after. */
#include "graph/gradient.h"

#include <math.h>
#include <string.h>

#include "base/dtype.h"

static ow_patch begin(const ow_gradient *d) { return ow_patch_begin(d->context, d->at, "gradient"); }

static ow_value *scalar(ow_patch *patch, onward_dtype dtype, double value) {
  unsigned char bytes[8] = {0};
  ow_set_f64(dtype, bytes, 0, value);
  return ow_graph_add_const_copy(patch->context->graph, NULL, dtype, 0, NULL, bytes);
}

static ow_value *ints(ow_patch *patch, const int64_t *values, int64_t count) {
  return ow_graph_add_const_copy(patch->context->graph, NULL, ONWARD_INT64, 1, &count, values);
}

/* ---- formulas ---------------------------------------------------------------------------------------------------------- */

static ow_value *operand(const ow_gradient *d, ow_patch *patch, char name) {
  const onward_dtype dtype = d->g->type.dtype;
  switch (name) {
    case 'g': return d->g;
    case 'y': return d->node->outputs[0];
    case '0': return scalar(patch, dtype, 0.0);
    case '1': return scalar(patch, dtype, 1.0);
    case 'h': return scalar(patch, dtype, 0.5);
    case 't': return scalar(patch, dtype, 2.0 / sqrt(acos(-1.0)));
    case 'd': return scalar(patch, ONWARD_FLOAT64, 1.0);
    default: return ow_node_input(d->node, (size_t)(name - 'a'));
  }
}

/* The formulas stand below: their words are short, and their depth is small. */
static ow_value *evaluate(const ow_gradient *d, const char *formula) {
  ow_value *stack[8] = {NULL};
  size_t depth = 0;
  ow_patch patch = begin(d);
  for (const char *at = formula; *at;) {
    char word[16] = "";
    const size_t length = strcspn(at, " ");
    memcpy(word, at, length < sizeof word ? length : sizeof word - 1);
    at += length + (at[length] == ' ');
    ow_value *made = NULL;
    if (length == 1) {
      made = operand(d, &patch, word[0]);
    } else {
      const ow_op *const row = ow_newest_row(d->context->registry, "", word);
      const size_t count = row ? row->min_inputs : 0;
      if (count == 0 || count > depth)
        return NULL;
      depth -= count;
      made = ow_patch_node(&patch, "", word, stack + depth, count, 1) ? ow_patch_infer(&patch) : NULL;
    }
    if (!made)
      return NULL;
    stack[depth++] = made;
  }
  return stack[0];
}

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

static ow_value *reshape_like(ow_patch *patch, ow_value *v, ow_value *x) {
  ow_value *const shape = ow_patch_unary(patch, "Shape", x);
  if (!shape || !ow_patch_node(patch, "", "Reshape", (ow_value *[]){v, shape}, 2, 1))
    return NULL;
  ow_patch_int(patch, "allowzero", 1);
  return ow_patch_infer(patch);
}

static ow_value *reduce(ow_patch *patch, ow_value *v, ow_value *axes) {
  if (!axes || !ow_patch_node(patch, "", "ReduceSum", (ow_value *[]){v, axes}, 2, 1))
    return NULL;
  ow_patch_int(patch, "keepdims", 1);
  ow_patch_int(patch, "noop_with_empty_axes", 1);
  return ow_patch_infer(patch);
}

/* The axes of v along which x has one element, as a run finds them; v has `more` axes in front. */
static ow_value *axes_of_ones(ow_patch *patch, ow_value *x, int32_t more) {
  const int64_t flat = -1;
  int64_t ones[ONWARD_MAX_RANK];
  for (int32_t i = 0; i < ONWARD_MAX_RANK; i++)
    ones[i] = 1;
  ow_value *shape = ow_patch_unary(patch, "Shape", x), *const front = more ? ints(patch, ones, more) : NULL;
  if (shape && more) {
    if (!front || !ow_patch_node(patch, "", "Concat", (ow_value *[]){front, shape}, 2, 1))
      return NULL;
    ow_patch_int(patch, "axis", 0);
    shape = ow_patch_infer(patch);
  }
  ow_value *const one = ints(patch, ones, 1), *const row = ints(patch, &flat, 1);
  ow_value *const is_one = shape && one && row ? ow_patch_binary(patch, "Equal", shape, one) : NULL;
  ow_value *const found = is_one ? ow_patch_unary(patch, "NonZero", is_one) : NULL;
  return found ? ow_patch_binary(patch, "Reshape", found, row) : NULL;
}

/* v summed over what broadcasting x to its shape repeated. */
static ow_value *sum_to(const ow_gradient *d, ow_value *v, ow_value *x) {
  const ow_shape from = v->type.shape, to = x->type.shape;
  const int32_t more = from.rank - to.rank;
  int64_t axes[ONWARD_MAX_RANK], count = 0;
  bool open = false; /* whether an axis was repeated shows only in a run */
  for (int32_t i = 0; i < from.rank; i++) {
    const ow_dim was = i < more ? ow_dim_const(1) : to.dims[i - more];
    if (i < more || (ow_dim_is(was, 1) && !ow_dim_is(from.dims[i], 1)))
      axes[count++] = i;
    else
      open = open || !ow_dims_agree(d->context->graph, was, from.dims[i]);
  }
  if (!open && count == 0)
    return v;
  ow_patch patch = begin(d);
  ow_value *const sum = reduce(&patch, v, open ? axes_of_ones(&patch, x, more) : ints(&patch, axes, count));
  return !sum || (!open && more == 0) ? sum : reshape_like(&patch, sum, x);
}

static ow_value *unsqueeze(ow_patch *patch, ow_value *v, const int64_t *axes, int64_t count) {
  ow_value *const list = v ? ints(patch, axes, count) : NULL;
  return list ? ow_patch_binary(patch, "Unsqueeze", v, list) : NULL;
}

static ow_value *view_rule(const ow_gradient *d, size_t input) {
  ow_patch patch = begin(d);
  return reshape_like(&patch, d->g, d->node->inputs[input]);
}

static ow_value *transpose_rule(const ow_gradient *d, size_t input) {
  (void)input;
  size_t rank;
  const int64_t *const perm = ow_node_ints(d->node, "perm", &rank);
  int64_t back[ONWARD_MAX_RANK] = {0};
  for (size_t i = 0; i < rank; i++)
    back[perm[i] < 0 ? perm[i] + (int64_t)rank : perm[i]] = (int64_t)i;
  ow_patch patch = begin(d);
  if (!ow_patch_node(&patch, "", "Transpose", &d->g, 1, 1) ||
      (perm && !ow_node_add_ints(patch.made[0], "perm", back, rank)))
    return NULL;
  return ow_patch_infer(&patch);
}

/* ---- sums and means along axes ----------------------------------------------------------------------------------------- */

/* The node's axes, all when it names none; -1: not known at load. */
static int64_t axes_of(const ow_node *node, int64_t *axes) {
  size_t count = 0;
  const int64_t *const given = ow_node_ints(node, "axes", &count);
  const ow_value *const input = ow_node_input(node, 1);
  const int64_t known = input ? ow_match_ints(input, axes, ONWARD_MAX_RANK) : (int64_t)count;
  if (given && count <= ONWARD_MAX_RANK)
    memcpy(axes, given, count * sizeof *axes);
  if (known != 0 || ow_node_int(node, "noop_with_empty_axes", 0))
    return known;
  for (int32_t i = 0; i < node->inputs[0]->type.shape.rank; i++)
    axes[i] = i;
  return node->inputs[0]->type.shape.rank;
}

static ow_value *reduce_rule(const ow_gradient *d, size_t input) {
  int64_t axes[ONWARD_MAX_RANK];
  const int64_t count = axes_of(d->node, axes);
  ow_value *const x = d->node->inputs[input], *g = d->g;
  if (strcmp(d->node->type, "ReduceMean") == 0)
    g = evaluate(d, "g y Size d CastLike a Size d CastLike Div g CastLike Mul");
  ow_patch patch = begin(d);
  if (g && count > 0 && !ow_node_int(d->node, "keepdims", 1))
    g = unsqueeze(&patch, g, axes, count);
  ow_value *const shape = g ? ow_patch_unary(&patch, "Shape", x) : NULL;
  return shape ? ow_patch_binary(&patch, "Expand", g, shape) : NULL;
}

static ow_value *softmax_rule(const ow_gradient *d, size_t input) {
  (void)input;
  const bool log = strcmp(d->node->type, "LogSoftmax") == 0;
  const int64_t axis = ow_node_int(d->node, "axis", -1);
  ow_patch patch = begin(d);
  ow_value *const y = d->node->outputs[0], *const axes = ints(&patch, &axis, 1);
  ow_value *const p = log ? ow_patch_unary(&patch, "Exp", y) : y;
  ow_value *const terms = log ? d->g : ow_patch_binary(&patch, "Mul", d->g, y);
  ow_value *const sum = terms ? reduce(&patch, terms, axes) : NULL;
  if (!p || !sum)
    return NULL;
  ow_value *const part = log ? ow_patch_binary(&patch, "Mul", p, sum) : sum;
  ow_value *const rest = part ? ow_patch_binary(&patch, "Sub", d->g, part) : NULL;
  return !rest || log ? rest : ow_patch_binary(&patch, "Mul", p, rest);
}

/* ---- products ---------------------------------------------------------------------------------------------------------- */

static ow_value *turned(ow_patch *patch, ow_value *x) {
  const int32_t rank = x->type.shape.rank;
  int64_t perm[ONWARD_MAX_RANK];
  for (int32_t i = 0; i < rank; i++)
    perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
  if (!ow_patch_node(patch, "", "Transpose", &x, 1, 1) ||
      !ow_node_add_ints(patch->made[patch->made_count - 1], "perm", perm, (size_t)rank))
    return NULL;
  return ow_patch_infer(patch);
}

/* A vector is a matrix of one row on the left, of one column on the right. */
static ow_value *matmul_rule(const ow_gradient *d, size_t input) {
  ow_value *const x = d->node->inputs[input], *a = d->node->inputs[0], *b = d->node->inputs[1], *g = d->g;
  const bool row = a->type.shape.rank == 1, column = b->type.shape.rank == 1;
  ow_patch patch = begin(d);
  if (column) {
    b = unsqueeze(&patch, b, &(int64_t){1}, 1);
    g = unsqueeze(&patch, g, &(int64_t){-1}, 1);
  }
  if (row) {
    a = unsqueeze(&patch, a, &(int64_t){0}, 1);
    g = unsqueeze(&patch, g, &(int64_t){-2}, 1);
  }
  ow_value *const other = input == 0 ? b : a, *const t = other && a && b && g ? turned(&patch, other) : NULL;
  ow_value *const product = !t ? NULL : ow_patch_binary(&patch, "MatMul", input == 0 ? g : t, input == 0 ? t : g);
  ow_value *const sum = product ? sum_to(d, product, input == 0 ? a : b) : NULL;
  return sum && x->type.shape.rank == 1 ? reshape_like(&patch, sum, x) : sum;
}

/* y = alpha A' B' + beta C, where A' and B' may be turned. */
static ow_value *gemm_rule(const ow_gradient *d, size_t input) {
  const bool ta = ow_node_int(d->node, "transA", 0) != 0, tb = ow_node_int(d->node, "transB", 0) != 0;
  const double factor = (double)ow_node_float(d->node, input == 2 ? "beta" : "alpha", 1.0f);
  ow_value *const a = d->node->inputs[0], *const b = d->node->inputs[1];
  ow_patch patch = begin(d);
  ow_value *product = d->g, *const scale = scalar(&patch, d->g->type.dtype, factor);
  if (input < 2) {
    const bool first = input == 0 ? !ta : tb; /* g is the left operand */
    ow_value *const other = input == 0 ? b : a;
    ow_value *const in[2] = {first ? d->g : other, first ? other : d->g};
    if (!ow_patch_node(&patch, "", "Gemm", in, 2, 1))
      return NULL;
    ow_patch_int(&patch, "transA", input == 0 ? ta && tb : tb || !ta);
    ow_patch_int(&patch, "transB", input == 0 ? ta || !tb : tb && ta);
    product = ow_patch_infer(&patch);
  }
  return product && scale ? ow_patch_binary(&patch, "Mul", product, scale) : NULL;
}

/* ---- the table --------------------------------------------------------------------------------------------------------- */

typedef struct rule {
  const char *type;
  int32_t since;                                         /* older versions mean something else */
  const char *formula[3];                                /* by input; "": zero everywhere; NULL: none */
  ow_value *(*make)(const ow_gradient *d, size_t input); /* where no formula stands; of input 0, or of every_input */
  bool every_input;
} rule;

static ow_value *same_rule(const ow_gradient *d, size_t input) { return (void)input, d->g; }

static const rule rules[] = {
    {"Add", 7, {"g", "g"}, NULL, false},
    {"Sub", 7, {"g", "g Neg"}, NULL, false},
    {"Mul", 7, {"g b Mul", "g a Mul"}, NULL, false},
    {"Div", 7, {"g b Div", "g y Mul b Div Neg"}, NULL, false},
    /* g b a^(b-1), and zero where b is, whatever a is */
    {"Pow", 7, {"b a CastLike 0 Equal 0 g b a CastLike Mul a b a CastLike 1 Sub Pow Mul Where"}, NULL, false},
    {"Sum", 1, {NULL}, same_rule, true},
    {"Where", 1, {"", "a g 0 Where", "a 0 g Where"}, NULL, false},
    {"Neg", 1, {"g Neg"}, NULL, false},
    {"Abs", 1, {"g a Sign Mul"}, NULL, false},
    {"Reciprocal", 1, {"g y Mul y Mul Neg"}, NULL, false},
    {"Exp", 1, {"g y Mul"}, NULL, false},
    {"Log", 1, {"g a Div"}, NULL, false},
    {"Sqrt", 1, {"g y Div h Mul"}, NULL, false},
    {"Sin", 1, {"g a Cos Mul"}, NULL, false},
    {"Cos", 1, {"g a Sin Mul Neg"}, NULL, false},
    {"Tanh", 1, {"g 1 y y Mul Sub Mul"}, NULL, false},
    {"Sigmoid", 1, {"g y Mul 1 y Sub Mul"}, NULL, false},
    {"Relu", 1, {"g y Sign Mul"}, NULL, false},
    {"Softplus", 1, {"g a Sigmoid Mul"}, NULL, false},
    {"Erf", 1, {"g a a Mul Neg Exp t Mul Mul"}, NULL, false},
    {"Sign", 1, {""}, NULL, false},
    {"Floor", 1, {""}, NULL, false},
    {"Ceil", 1, {""}, NULL, false},
    {"Round", 1, {""}, NULL, false},
    {"Identity", 1, {"g"}, NULL, false},
    {"Cast", 6, {"g a CastLike"}, NULL, false},
    {"CastLike", 1, {"g a CastLike", ""}, NULL, false},
    {"Expand", 1, {"g"}, NULL, false},
    {"Reshape", 1, {NULL}, view_rule, false},
    {"Flatten", 1, {NULL}, view_rule, false},
    {"Squeeze", 1, {NULL}, view_rule, false},
    {"Unsqueeze", 1, {NULL}, view_rule, false},
    {"Transpose", 1, {NULL}, transpose_rule, false},
    {"ReduceSum", 1, {NULL}, reduce_rule, false},
    {"ReduceMean", 1, {NULL}, reduce_rule, false},
    {"Softmax", 13, {NULL}, softmax_rule, false},
    {"LogSoftmax", 13, {NULL}, softmax_rule, false},
    {"MatMul", 1, {NULL}, matmul_rule, true},
    {"Gemm", 7, {NULL}, gemm_rule, true},
};

static const rule *find_rule(const ow_node *node) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (ow_node_is(node, rules[i].type) && node->version >= rules[i].since)
      return &rules[i];
  return NULL;
}

static bool ranked(const ow_node *node) {
  bool known = ow_value_ranked(node->outputs[0]);
  for (size_t i = 0; i < node->input_count; i++)
    known = known && (!node->inputs[i] || ow_value_ranked(node->inputs[i]));
  return known;
}

onward_status ow_gradient_of_input(const ow_gradient *d, size_t input, ow_value **out) {
  const ow_node *const node = d->node;
  const rule *const r = find_rule(node);
  const char *const formula = r && input < 3 ? r->formula[input] : NULL;
  int64_t axes[ONWARD_MAX_RANK];
  *out = NULL;
  if (!r || (!formula && !(r->make && (input == 0 || r->every_input))))
    return ow_node_fail(node, d->context->err, ONWARD_UNSUPPORTED,
                        "the derivative by input %zu is not implemented, and the Gradient of '%s' needs it", input,
                        ow_node_string(d->at, "y", ""));
  if (!ranked(node) || (r->make == reduce_rule && axes_of(node, axes) < 0))
    return ow_node_fail(node, d->context->err, ONWARD_UNSUPPORTED,
                        "the ranks and axes that the Gradient of '%s' needs are not known at load",
                        ow_node_string(d->at, "y", ""));
  if (formula && !*formula)
    return ONWARD_OK;
  ow_value *const v = formula ? evaluate(d, formula) : r->make(d, input);
  *out = v ? sum_to(d, v, node->inputs[input]) : NULL;
  return *out ? ONWARD_OK : ow_pass_no_memory(d->context);
}

ow_value *ow_gradient_full(const ow_gradient *d, const ow_value *x, double value) {
  ow_patch patch = begin(d);
  ow_graph *const graph = d->context->graph;
  unsigned char bytes[8] = {0};
  ow_set_f64(x->type.dtype, bytes, 0, value);
  const ow_value *const one = ow_graph_add_const_copy(graph, NULL, x->type.dtype, 1, &(int64_t){1}, bytes);
  ow_value *const shape = one ? ow_patch_unary(&patch, "Shape", graph->values[x->index]) : NULL;
  if (!shape || !ow_patch_node(&patch, "", "ConstantOfShape", (ow_value *[]){shape}, 1, 1))
    return NULL;
  const ow_attr attr = {.name = "value", .kind = OW_ATTR_TENSOR, .count = 1, .t = one->constant};
  return ow_node_add_attr(patch.made[1], &attr) ? ow_patch_infer(&patch) : NULL;
}

ow_value *ow_gradient_add(const ow_gradient *d, ow_value *a, ow_value *b) {
  ow_patch patch = begin(d);
  return ow_patch_binary(&patch, "Add", a, b);
}
