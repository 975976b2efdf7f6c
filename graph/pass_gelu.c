/* gelu: the GELU family written out.
 *
 *     0.5 x (1 + erf(x / sqrt 2))                                Gelu
 *     0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))            Gelu, approximate "tanh"
 *     x sigmoid(a x)                                             QuickGelu; with a = 1 it is SiLU
 *
 * Products are compared as sets of factors, so that the order of factors does not matter. */
#include <math.h>
#include <string.h>

#include "graph/pass_util.h"

#define MAX_FACTORS 8
#define NEAR 1e-5 /* f32 constants */

/* constant * factors[0] * factors[1] * ... */
typedef struct product {
  double constant;
  ow_value *factors[MAX_FACTORS];
  size_t count;
} product;

/* Multiply value into p; products and squares are opened, but not the two values `whole`. */
static bool multiply(product *p, ow_value *value, const ow_value *const whole[2], int depth) {
  double c;
  if (ow_match_scalar(value, &c)) {
    p->constant *= c;
    return true;
  }
  ow_node *const node = value->producer;
  if (depth > 0 && node && value != whole[0] && value != whole[1] && ow_value_is_f32(value)) {
    if (ow_node_is(node, "Mul"))
      return multiply(p, node->inputs[0], whole, depth - 1) && multiply(p, node->inputs[1], whole, depth - 1);
    if (ow_node_is(node, "Div") && ow_match_scalar(node->inputs[1], &c) && c != 0.0) {
      p->constant /= c;
      return multiply(p, node->inputs[0], whole, depth - 1);
    }
    if (ow_node_is(node, "Pow") && ow_match_scalar(node->inputs[1], &c) && (c == 2.0 || c == 3.0)) {
      for (int i = 0; i < (int)c; i++)
        if (!multiply(p, node->inputs[0], whole, depth - 1))
          return false;
      return true;
    }
  }
  if (p->count == MAX_FACTORS)
    return false;
  p->factors[p->count++] = value;
  return true;
}

static bool near(double got, double want) { return fabs(got - want) <= NEAR * fabs(want); }

static bool is_power(const product *p, const ow_value *x, size_t exponent) {
  for (size_t i = 0; i < p->count; i++)
    if (p->factors[i] != x)
      return false;
  return p->count == exponent;
}

/* constant * a * b, from value down */
static bool is_product(ow_value *value, double constant, ow_value *a, ow_value *b) {
  product p = {.constant = 1.0};
  return multiply(&p, value, (const ow_value *[]){a, b}, 4) && p.count == 2 && near(p.constant, constant) &&
         ((p.factors[0] == a && p.factors[1] == b) || (p.factors[0] == b && p.factors[1] == a));
}

/* The value constant * x * part, found from its factor part on through products. */
static ow_node *find_product(ow_value *part, ow_value *x, double constant) {
  const ow_value *at = part;
  for (int step = 0; step < 3; step++) {
    ow_node *const user = ow_match_only_user(at);
    if (!ow_node_is(user, "Mul") && !ow_node_is(user, "Div"))
      return NULL;
    at = user->outputs[0];
    if (is_product(user->outputs[0], constant, part, x))
      return ow_value_same_shape(at, x) ? user : NULL;
  }
  return NULL;
}

static ow_node *replace(ow_pass_context *context, ow_node *last, ow_value *x, const char *domain, const char *type,
                        const char *approximate, const float *alpha) {
  ow_patch patch = ow_patch_begin(context, last, "gelu");
  if (ow_patch_node(&patch, domain, type, &x, 1, 1)) {
    if (approximate)
      ow_patch_string(&patch, "approximate", approximate);
    if (alpha)
      ow_patch_float(&patch, "alpha", *alpha);
  }
  ow_patch_replace(&patch, last->outputs[0], ow_patch_infer(&patch));
  return ow_patch_apply(&patch) ? patch.made[0] : NULL;
}

/* 1 + value, used once; NULL when it is not there */
static ow_value *plus_one(const ow_value *value) {
  double c;
  ow_node *const add = ow_match_only_user(value);
  return ow_node_is(add, "Add") && ow_match_with_scalar(add, &c) == value && c == 1.0 ? add->outputs[0] : NULL;
}

static ow_node *fuse_erf(ow_pass_context *context, ow_node *erf) {
  const ow_node *const arg = erf->inputs[0] ? erf->inputs[0]->producer : NULL;
  ow_value *const sum = plus_one(erf->outputs[0]);
  double c;
  ow_value *x = NULL;
  if (ow_node_is(arg, "Div") && ow_match_scalar(arg->inputs[1], &c) && near(c, sqrt(2.0)))
    x = arg->inputs[0];
  else if (ow_node_is(arg, "Mul"))
    x = ow_match_with_scalar(arg, &c) && near(c, sqrt(0.5)) ? ow_match_with_scalar(arg, &c) : NULL;
  if (!sum || !x || !ow_value_is_f32(x))
    return NULL;
  ow_node *const last = find_product(sum, x, 0.5);
  return last ? replace(context, last, x, "", "Gelu", "none", NULL) : NULL;
}

/* inner is x + 0.044715 x^3 */
static bool is_cubic(ow_value *inner, ow_value **x) {
  const ow_node *const add = ow_match_op(inner, "Add");
  for (size_t i = 0; add && i < 2; i++) {
    product cube = {.constant = 1.0};
    *x = add->inputs[i];
    if (multiply(&cube, add->inputs[1 - i], (const ow_value *[]){*x, NULL}, 4) && is_power(&cube, *x, 3) &&
        near(cube.constant, 0.044715))
      return true;
  }
  return false;
}

/* factor is 1 + 0.044715 x^2 */
static bool is_quadratic(ow_value *factor, const ow_value *x) {
  const ow_node *const add = ow_match_op(factor, "Add");
  double c;
  ow_value *const rest = add ? ow_match_with_scalar(add, &c) : NULL;
  product square = {.constant = 1.0};
  return rest && c == 1.0 && multiply(&square, rest, (const ow_value *[]){x, NULL}, 4) && is_power(&square, x, 2) &&
         near(square.constant, 0.044715);
}

/* The argument of Tanh is sqrt(2/pi) (x + 0.044715 x^3), or with x taken out: sqrt(2/pi) x (1 + 0.044715 x^2). */
static ow_value *match_tanh_argument(ow_value *arg) {
  product p = {.constant = 1.0};
  ow_value *x = NULL;
  const ow_node *const top = ow_match_op(arg, "Mul");
  double c;
  ow_value *const inner = top ? ow_match_with_scalar(top, &c) : NULL;
  if (inner && near(c, sqrt(2.0 / acos(-1.0))) && is_cubic(inner, &x))
    return x;
  for (size_t i = 0; top && i < 2; i++) { /* (c x) (1 + ..) and c (x (1 + ..)) */
    ow_value *const factor = top->inputs[i];
    p = (product){.constant = 1.0};
    if (!ow_match_op(factor, "Add") || !multiply(&p, top->inputs[1 - i], (const ow_value *[]){NULL, NULL}, 1) ||
        p.count != 1)
      continue;
    if (near(p.constant, sqrt(2.0 / acos(-1.0))) && is_quadratic(factor, p.factors[0]))
      return p.factors[0];
  }
  const ow_node *const pair = inner ? ow_match_op(inner, "Mul") : NULL;
  for (size_t i = 0; pair && i < 2; i++)
    if (near(c, sqrt(2.0 / acos(-1.0))) && is_quadratic(pair->inputs[i], pair->inputs[1 - i]))
      return pair->inputs[1 - i];
  return NULL;
}

static ow_node *fuse_tanh(ow_pass_context *context, ow_node *tanh_node) {
  ow_value *const sum = plus_one(tanh_node->outputs[0]);
  ow_value *const x = sum && tanh_node->inputs[0] ? match_tanh_argument(tanh_node->inputs[0]) : NULL;
  if (!x || !ow_value_is_f32(x))
    return NULL;
  ow_node *const last = find_product(sum, x, 0.5);
  return last ? replace(context, last, x, "", "Gelu", "tanh", NULL) : NULL;
}

static ow_node *fuse_sigmoid(ow_pass_context *context, ow_node *sigmoid) {
  ow_value *const gate = sigmoid->outputs[0], *const arg = sigmoid->inputs[0];
  ow_node *const last = ow_match_only_user(gate);
  ow_value *const x = ow_node_is(last, "Mul") ? ow_match_other_input(last, gate) : NULL;
  double alpha = 1.0;
  if (!x || !arg || !ow_value_is_f32(x) || !ow_value_same_shape(x, last->outputs[0]))
    return NULL;
  if (arg != x) {
    const ow_node *const scaled = ow_match_op(arg, "Mul");
    if (!scaled || ow_match_with_scalar(scaled, &alpha) != x)
      return NULL;
  }
  const float value = (float)alpha;
  return replace(context, last, x, "com.microsoft", "QuickGelu", NULL, &value);
}

static ow_node *fuse(ow_pass_context *context, ow_node *node) {
  if (node->input_count != 1 || node->output_count != 1 || !node->outputs[0])
    return NULL;
  if (ow_node_is(node, "Erf"))
    return fuse_erf(context, node);
  if (ow_node_is(node, "Tanh"))
    return fuse_tanh(context, node);
  return ow_node_is(node, "Sigmoid") ? fuse_sigmoid(context, node) : NULL;
}

onward_status ow_pass_gelu(ow_pass_context *context, size_t *changes) {
  ow_pass_each(context, fuse, changes);
  return ONWARD_OK;
}
