/* From the Softmax up to the product of Q and K. Every value on the way is used once; what it may pass, in any order that the
 * operator can say: scale, then softcap, then masks. */
#include <math.h>

#include "graph/pass_attention.h"

#define MAX_DEPTH 24

static bool refuse(ow_scores *s, ow_node *culprit, const char *reason) {
  s->culprit = culprit;
  s->reason = reason;
  return false;
}

static bool multiply(ow_scores *s, ow_node *node, double c) {
  if (!isfinite(c))
    return refuse(s, node, "the scale is not finite");
  if (s->mask_count > 0) {
    if (c <= 0.0 || s->capped)
      return refuse(s, node, "the scores are scaled after masks and softcap");
    for (size_t i = 0; i < s->mask_count; i++) {
      s->masks[i].factor *= c;
      s->masks[i].fill = (double)((float)s->masks[i].fill * (float)c);
    }
  }
  if (s->capped)
    s->softcap *= c;
  else
    s->scale *= c;
  return true;
}

/* [select] [bias] or [bias] [select], each of any number */
static bool add_mask(ow_scores *s, ow_node *node, const ow_mask *mask) {
  size_t turns = 0;
  if (s->mask_count == OW_MASKS)
    return refuse(s, node, "there are too many masks");
  s->masks[s->mask_count++] = *mask;
  double fill = mask->fill;
  for (size_t i = 0; i < s->mask_count; i++) {
    turns += i > 0 && s->masks[i].select != s->masks[i - 1].select;
    if (s->masks[i].select && mask->select && s->masks[i].fill != fill)
      return refuse(s, node, "masks replace scores by different values");
  }
  return turns <= 1 || refuse(s, node, "masks are added and selected by turns");
}

static bool climb(ow_dims *dims, ow_value *value, ow_scores *s, int depth);

static bool climb_sum(ow_dims *dims, ow_node *node, ow_scores *s, int depth) {
  const ow_value *const out = node->outputs[0];
  const bool minus = ow_node_is(node, "Sub");
  const ow_scores before = *s;
  for (size_t i = 0; i < (minus ? 1u : 2u); i++) {
    if (!ow_value_same_shape(node->inputs[i], out)) {
      if (!s->reason)
        (void)refuse(s, node, "a mask makes the scores larger");
      continue;
    }
    ow_scores trial = before;
    if (climb(dims, node->inputs[i], &trial, depth - 1)) {
      const ow_mask mask = {.value = node->inputs[1 - i], .factor = minus ? -1.0 : 1.0, .scores = out->type.shape};
      *s = trial;
      return add_mask(s, node, &mask);
    }
    if (!s->reason) {
      s->culprit = trial.culprit;
      s->reason = trial.reason;
    }
  }
  return false;
}

static bool climb_where(ow_dims *dims, ow_node *node, ow_scores *s, int depth) {
  const ow_value *const out = node->outputs[0];
  for (size_t i = 1; i <= 2; i++) {
    ow_mask mask = {
        .value = node->inputs[0], .select = true, .inverted = i == 2, .factor = 1.0, .scores = out->type.shape};
    if (!ow_match_scalar(node->inputs[3 - i], &mask.fill))
      continue;
    if (!ow_value_same_shape(node->inputs[i], out))
      return refuse(s, node, "a mask makes the scores larger");
    return climb(dims, node->inputs[i], s, depth - 1) && add_mask(s, node, &mask);
  }
  return refuse(s, node, "Where does not replace scores by one constant");
}

static bool climb_scaled(ow_dims *dims, ow_node *node, ow_scores *s, int depth) {
  double c;
  const bool divides = ow_node_is(node, "Div");
  ow_value *const x =
      divides ? (ow_match_scalar(node->inputs[1], &c) ? node->inputs[0] : NULL) : ow_match_with_scalar(node, &c);
  if (!x || !ow_value_same_shape(x, node->outputs[0]))
    return refuse(s, node, "the scores are multiplied by what is no constant");
  return climb(dims, x, s, depth - 1) && multiply(s, node, divides ? 1.0 / c : c);
}

static bool climb_tanh(ow_dims *dims, ow_node *node, ow_scores *s, int depth) {
  if (!climb(dims, node->inputs[0], s, depth - 1))
    return false;
  if (s->capped || s->mask_count > 0)
    return refuse(s, node, "Tanh comes after a mask");
  s->capped = true;
  s->softcap = 1.0;
  return true;
}

/* [B,H,S,T] and [B*H,S,T] are the same scores. */
static bool climb_reshape(ow_dims *dims, ow_node *node, ow_scores *s, int depth) {
  const ow_shape *const in = &node->inputs[0]->type.shape, *const out = &node->outputs[0]->type.shape;
  const ow_shape *const split = in->rank == 4 ? in : out;
  if (!ow_value_ranked(node->inputs[0]) || !ow_value_ranked(node->outputs[0]) || in->rank + out->rank != 7 ||
      split->rank != 4)
    return refuse(s, node, "the scores are reshaped");
  const ow_shape *const joined = in->rank == 4 ? out : in;
  if (!ow_dim_equal(ow_dim_mul(dims, split->dims[0], split->dims[1]), joined->dims[0]) ||
      !ow_dim_equal(split->dims[2], joined->dims[1]) || !ow_dim_equal(split->dims[3], joined->dims[2]))
    return refuse(s, node, "the scores are reshaped");
  if (!climb(dims, node->inputs[0], s, depth - 1))
    return false;
  if (s->split.rank == 4 && !ow_shape_equal(&s->split, split))
    return refuse(s, node, "the scores are reshaped in two ways");
  s->split = *split;
  return true;
}

/* MatMul, or ONNX Runtime's with a factor and a transposed K. */
static bool find_product(const ow_value *value, ow_node *node, ow_scores *s) {
  const bool fused = ow_node_is_in(node, "com.microsoft", "FusedMatMul");
  if (fused &&
      (ow_node_int(node, "transA", 0) || ow_node_int(node, "transBatchA", 0) || ow_node_int(node, "transBatchB", 0)))
    return refuse(s, node, "transposes Q");
  if (value->type.shape.rank < 2 || value->type.shape.rank > 4)
    return refuse(s, node, "the product of Q and K does not have rank 2, 3 or 4");
  if (value->type.shape.rank == 4)
    s->split = value->type.shape;
  s->product = node;
  s->k_plain = fused && ow_node_int(node, "transB", 0) != 0;
  return !fused || multiply(s, node, (double)ow_node_float(node, "alpha", 1.0f));
}

static bool climb(ow_dims *dims, ow_value *value, ow_scores *s, int depth) {
  ow_node *const node = value->producer;
  if (!node || depth == 0)
    return refuse(s, NULL, "no MatMul makes the scores");
  if (!ow_match_single_use(value))
    return refuse(s, node, value->output_count ? "scores are an output of the graph" : "scores are used elsewhere");
  if (!ow_value_is_f32(value) || !ow_value_ranked(value))
    return refuse(s, node, "the scores are not float32 of known rank");
  if (ow_node_is(node, "MatMul") || ow_node_is_in(node, "com.microsoft", "FusedMatMul"))
    return find_product(value, node, s);
  if (ow_match_transparent(node))
    return climb(dims, node->inputs[0], s, depth - 1);
  if (ow_node_is(node, "Add") || ow_node_is(node, "Sub"))
    return climb_sum(dims, node, s, depth);
  if (ow_node_is(node, "Where"))
    return climb_where(dims, node, s, depth);
  if (ow_node_is(node, "Mul") || ow_node_is(node, "Div"))
    return climb_scaled(dims, node, s, depth);
  if (ow_node_is(node, "Tanh"))
    return climb_tanh(dims, node, s, depth);
  if (ow_node_is(node, "Reshape"))
    return climb_reshape(dims, node, s, depth);
  return refuse(s, node, "stands between the product of Q and K and the Softmax");
}

bool ow_scores_match(ow_dims *dims, ow_value *value, ow_scores *scores) {
  *scores = (ow_scores){.scale = 1.0, .split = {.rank = -1}};
  if (!climb(dims, value, scores, MAX_DEPTH))
    return false;
  if (!isfinite(scores->scale) || (scores->capped && !(scores->softcap > 0.0)))
    return refuse(scores, scores->product, "scale or softcap is out of range");
  return true;
}
