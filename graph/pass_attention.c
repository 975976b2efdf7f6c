/* attention: softmax(scale q k' + masks) v in whatever spelling becomes one onward::Attention.
 *
 *     Q  K        matched from the Softmax: up through masks, softcap and scale to the product of Q and K (scores),
 *      \ |        down to the product with V. Q, K, V and the result are then looked at as strided views (layout).
 *     MatMul
 *       :         Values in between may have no other use; a refusal says which node is in the way. */
#include "graph/pass_attention.h"

#include <stdio.h>
#include <string.h>

typedef struct candidate {
  ow_pass_context *context;
  ow_node *softmax;
  ow_scores scores;
  bool guarded;     /* Where(IsNaN(p), 0, p) follows */
  ow_node *product; /* MatMul of P and V */
  int64_t heads, kv_heads;
  ow_operand q, k, v;
  ow_dim extents[4];     /* of the result, by OW_AXIS_* */
  ow_dim scores_dims[4]; /* B, H, S, T */
  char reason[320];
} candidate;

static bool refuse(candidate *c, const ow_node *culprit, const char *reason) {
  char where[200] = "";
  if (culprit)
    (void)ow_node_describe(culprit, where, sizeof where);
  (void)snprintf(c->reason, sizeof c->reason, "%s%s%s", where, culprit ? " " : "", reason);
  return false;
}

static bool is_last_axis_softmax(const ow_node *node) {
  if (!ow_node_is(node, "Softmax") || node->input_count != 1 || !ow_value_ranked(node->inputs[0]) || !node->outputs[0])
    return false;
  return ow_value_is_last_axis(node->inputs[0], ow_node_int(node, "axis", node->version >= 13 ? -1 : 1));
}

/* ---- from the Softmax down -------------------------------------------------------------------------------------------------- */

/* Where(IsNaN(p), 0, p): its result, or NULL. */
static ow_value *match_guard(const ow_value *p) {
  if (p->use_count != 2 || p->output_count != 0)
    return NULL;
  for (size_t i = 0; i < 2; i++) {
    const ow_node *const is_nan = p->uses[i].node, *const where = p->uses[1 - i].node;
    double zero;
    if (ow_node_is(is_nan, "IsNaN") && ow_node_is(where, "Where") && is_nan->graph == where->graph &&
        ow_match_single_use(is_nan->outputs[0]) && where->inputs[0] == is_nan->outputs[0] && where->inputs[2] == p &&
        ow_match_scalar(where->inputs[1], &zero) && zero == 0.0 && ow_value_same_shape(where->outputs[0], p))
      return where->outputs[0];
  }
  return NULL;
}

static bool keeps_rows(const ow_node *reshape) {
  const ow_value *const in = reshape->inputs[0], *const out = reshape->outputs[0];
  return ow_value_ranked(in) && ow_value_ranked(out) && in->type.shape.rank >= 2 && out->type.shape.rank >= 2 &&
         ow_dim_equal(ow_value_dim(in, -1), ow_value_dim(out, -1)) &&
         ow_dim_equal(ow_value_dim(in, -2), ow_value_dim(out, -2));
}

static bool match_product(candidate *c) {
  ow_value *p = c->softmax->outputs[0];
  for (int step = 0; step < 8; step++) {
    ow_value *const guarded = match_guard(p);
    if (guarded && !c->guarded) {
      c->guarded = true;
      p = guarded;
      continue;
    }
    ow_node *const user = ow_match_only_user(p);
    if (!user)
      return refuse(c, c->softmax,
                    p->output_count ? "gives probabilities that are an output of the graph"
                                    : "gives probabilities that are not used once");
    if (ow_node_is(user, "MatMul") && user->inputs[0] == p && user->inputs[1] != p) {
      c->product = user;
      return true;
    }
    if (!ow_match_transparent(user) && !(ow_node_is(user, "Reshape") && keeps_rows(user)))
      return refuse(c, user, "stands between the Softmax and the product with V");
    p = user->outputs[0];
  }
  return refuse(c, c->softmax, "is not followed by a MatMul");
}

/* ---- operands ---------------------------------------------------------------------------------------------------------------- */

static bool find_heads(candidate *c) {
  ow_dims *const dims = c->context->graph->dims;
  ow_value *const operands[3] = {c->scores.product->inputs[0], c->scores.product->inputs[1], c->product->inputs[1]};
  c->heads = 1;
  if (c->scores.split.rank == 4) {
    if (!ow_dim_is_const(c->scores.split.dims[1]) || c->scores.split.dims[1].k < 1)
      return refuse(c, c->scores.product, "has no constant number of heads");
    c->heads = c->scores.split.dims[1].k;
    return true;
  }
  for (size_t i = 0; i < 3 && c->heads == 1; i++)
    if (ow_value_ranked(operands[i]) && operands[i]->type.shape.rank == 3)
      c->heads = ow_operand_heads(dims, operands[i]);
  return true;
}

static bool match_keys_and_values(candidate *c, bool repeated) {
  ow_dims *const dims = c->context->graph->dims;
  const ow_operand_want k = {c->scores.k_plain ? "BHSD" : "BHDS", c->heads, repeated, true},
                        v = {"BHSD", c->heads, repeated, false};
  return ow_operand_match(dims, c->scores.product->inputs[1], &k, &c->k) &&
         ow_operand_match(dims, c->product->inputs[1], &v, &c->v) &&
         ow_dim_equal(c->k.dims[OW_AXIS_H], c->v.dims[OW_AXIS_H]);
}

static bool agree(const candidate *c, const ow_operand *a, const ow_operand *b, int axis) {
  return ow_dims_agree(c->context->graph, a->dims[axis], b->dims[axis]);
}

static bool match_operands(candidate *c) {
  const ow_operand_want q = {"BHSD", c->heads, false, true};
  if (!ow_operand_match(c->context->graph->dims, c->scores.product->inputs[0], &q, &c->q) ||
      !ow_dim_is(c->q.dims[OW_AXIS_H], c->heads))
    return refuse(c, c->scores.product, "has a Q whose axes are not known as batch, heads, length and head size");
  if (!match_keys_and_values(c, true) && !match_keys_and_values(c, false))
    return refuse(c, c->product, "has K or V whose axes are not known as batch, heads, length and head size");
  const ow_dim kv = c->k.dims[OW_AXIS_H];
  if (!ow_dim_is_const(kv) || kv.k < 1 || c->heads % kv.k != 0)
    return refuse(c, c->scores.product, "has key heads that do not divide its heads");
  c->kv_heads = kv.k;
  if (!agree(c, &c->q, &c->k, OW_AXIS_B) || !agree(c, &c->q, &c->v, OW_AXIS_B))
    return refuse(c, c->scores.product, "has Q, K and V whose batch is not provably the same");
  if (!agree(c, &c->q, &c->k, OW_AXIS_D) || !agree(c, &c->k, &c->v, OW_AXIS_S))
    return refuse(c, c->product, "has K that does not provably fit Q and V");
  c->extents[OW_AXIS_B] = c->scores_dims[0] = c->q.dims[OW_AXIS_B];
  c->extents[OW_AXIS_H] = c->scores_dims[1] = ow_dim_const(c->heads);
  c->extents[OW_AXIS_S] = c->scores_dims[2] = c->q.dims[OW_AXIS_S];
  c->extents[OW_AXIS_D] = c->v.dims[OW_AXIS_D];
  c->scores_dims[3] = c->k.dims[OW_AXIS_S];
  return true;
}

/* ---- the patch --------------------------------------------------------------------------------------------------------------- */

static ow_value *place_value(ow_patch *patch, ow_value *value, const ow_shape *reshape) {
  return reshape->rank < 0 ? value : ow_patch_reshape(patch, value, reshape->dims, reshape->rank);
}

/* All added masks as one, all selections as one; NULL where there are none. */
static bool build_masks(candidate *c, ow_patch *patch, ow_value **bias, ow_value **keep) {
  *bias = *keep = NULL;
  for (size_t i = 0; i < c->scores.mask_count && !patch->failed; i++) {
    const ow_mask *const mask = &c->scores.masks[i];
    ow_mask_place place;
    if (!ow_mask_match(c->context->graph, mask, c->scores_dims, &place) ||
        place.value->type.dtype != (mask->select ? ONWARD_BOOL : ONWARD_FLOAT32))
      return refuse(c, mask->value->producer, "makes a mask that does not fit the scores");
    ow_value *v = place.value;
    if (mask->select && mask->inverted) {
      const ow_node *const negation = ow_match_op(v, "Not");
      v = negation ? negation->inputs[0] : ow_patch_unary(patch, "Not", v);
    }
    if (!mask->select && mask->factor != 1.0) {
      ow_value *const factor = ow_patch_scalar(patch, (float)mask->factor);
      v = factor ? ow_patch_binary(patch, "Mul", v, factor) : NULL;
    }
    v = v ? place_value(patch, v, &place.reshape) : NULL;
    ow_value **const all = mask->select ? keep : bias;
    *all = !v || !*all ? v : ow_patch_binary(patch, mask->select ? "And" : "Add", *all, v);
  }
  return !patch->failed;
}

static void set_size(ow_patch *patch, const char *name, ow_dim dim) {
  if (ow_dim_is_const(dim))
    ow_patch_int(patch, name, dim.k);
}

static void set_operand(ow_patch *patch, const char *order, const char *offset, const ow_operand *operand) {
  ow_patch_string(patch, order, operand->order);
  if (operand->offset != 0)
    ow_patch_int(patch, offset, operand->offset);
}

static void set_attrs(const candidate *c, ow_patch *patch, const ow_place *place, bool select) {
  ow_patch_int(patch, "heads", c->heads);
  ow_patch_int(patch, "kv_heads", c->kv_heads);
  ow_patch_float(patch, "scale",
                 (float)(c->scores.scale * c->q.scale * c->k.scale * (c->scores.capped ? c->scores.softcap : 1.0)));
  if (c->scores.capped)
    ow_patch_float(patch, "softcap", (float)c->scores.softcap);
  set_operand(patch, "q_order", "q_offset", &c->q);
  set_operand(patch, "k_order", "k_offset", &c->k);
  set_operand(patch, "v_order", "v_offset", &c->v);
  set_size(patch, "head_size", c->q.dims[OW_AXIS_D]);
  set_size(patch, "v_head_size", c->v.dims[OW_AXIS_D]);
  ow_patch_string(patch, "out_order", place->order);
  if (place->merged)
    ow_patch_int(patch, "out_merged", 1);
  if (select) {
    const ow_mask *const masks = c->scores.masks;
    const size_t last = c->scores.mask_count - 1;
    ow_patch_float(patch, "keep_value", (float)masks[masks[last].select ? last : 0].fill);
    if (masks[last].select && !masks[0].select)
      ow_patch_int(patch, "keep_after", 1);
  }
  if (c->guarded)
    ow_patch_string(patch, "dead_row", "zero");
}

static ow_node *build(candidate *c, const ow_place *place) {
  ow_patch patch = ow_patch_begin(c->context, place->value->producer, "attention");
  ow_value *bias, *keep;
  ow_value *const q = place_value(&patch, c->q.value, &c->q.reshape);
  ow_value *const k = place_value(&patch, c->k.value, &c->k.reshape);
  ow_value *const v = place_value(&patch, c->v.value, &c->v.reshape);
  ow_node *attention = NULL;
  ow_value *out = NULL;
  if (!patch.failed && build_masks(c, &patch, &bias, &keep)) {
    attention = ow_patch_node(&patch, "onward", "Attention", (ow_value *[]){q, k, v, bias, keep},
                              keep   ? 5
                              : bias ? 4
                                     : 3,
                              1);
    if (attention) {
      set_attrs(c, &patch, place, keep != NULL);
      out = ow_patch_infer(&patch);
    }
    if (out)
      out = place_value(&patch, out, &place->reshape);
  }
  ow_patch_replace(&patch, place->value, out);
  return ow_patch_apply(&patch) ? attention : NULL;
}

static ow_node *fuse_candidate(candidate *c) {
  ow_dims *const dims = c->context->graph->dims;
  ow_place places[OW_PLACES];
  if (!is_last_axis_softmax(c->softmax)) {
    (void)refuse(c, c->softmax, "is not over the last axis of a tensor of known rank");
    return NULL;
  }
  if (!match_product(c))
    return NULL;
  if (!ow_scores_match(dims, c->softmax->inputs[0], &c->scores)) {
    (void)refuse(c, c->scores.culprit, c->scores.reason);
    return NULL;
  }
  if (c->scores.product->graph != c->context->graph || !find_heads(c) || !match_operands(c))
    return NULL;
  for (size_t count = ow_places_match(dims, c->product->outputs[0], c->extents, places); count > 0; count--) {
    ow_node *const attention = build(c, &places[count - 1]);
    if (attention)
      return attention;
  }
  if (c->reason[0] == '\0')
    (void)refuse(c, c->product, "has a result of another type or shape than the fused operator gives");
  return NULL;
}

static ow_node *fuse(ow_pass_context *context, ow_node *softmax) {
  if (!ow_node_is(softmax, "Softmax"))
    return NULL;
  candidate c = {.context = context, .softmax = softmax};
  ow_node *const attention = fuse_candidate(&c);
  if (attention)
    ow_explain_fused(context, softmax, attention);
  return attention;
}

/* What is left when nothing fuses any more gets its line, with the reason. */
static void explain_rest(ow_pass_context *context) {
  OW_EACH_NODE(node, context->graph) {
    if (!ow_node_is(node, "Softmax"))
      continue;
    candidate c = {.context = context, .softmax = node};
    if (!fuse_candidate(&c))
      ow_explain_not_fused(context, node, c.reason);
  }
}

onward_status ow_pass_attention(ow_pass_context *context, size_t *changes) {
  ow_pass_each(context, fuse, changes);
  if (context->explain)
    explain_rest(context);
  return ONWARD_OK;
}
