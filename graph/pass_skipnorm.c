/* skipnorm: Add(x, skip) -> LayerNormalization or RMSNormalization over the last axis becomes onward::SkipNorm, which gives the
 * sum too, for the next residual. */
#include "graph/pass_util.h"

typedef struct norm_form {
  const char *domain, *type;
  bool rms;
} norm_form;

static const norm_form *find_form(const ow_node *node) {
  static const norm_form forms[] = {
      {"", "LayerNormalization", false}, {"", "RMSNormalization", true}, {"", "SimplifiedLayerNormalization", true}};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    if (ow_node_is_in(node, forms[i].domain, forms[i].type))
      return &forms[i];
  return NULL;
}

static bool only_first_output(const ow_node *node) {
  for (size_t i = 1; i < node->output_count; i++)
    if (node->outputs[i] && (node->outputs[i]->use_count > 0 || node->outputs[i]->output_count > 0))
      return false;
  return node->outputs[0] != NULL;
}

static ow_node *fuse(ow_pass_context *context, ow_node *norm) {
  const norm_form *const form = find_form(norm);
  ow_value *const sum = form ? norm->inputs[0] : NULL;
  ow_node *const add = sum ? ow_match_op(sum, "Add") : NULL;
  if (!add || add->graph != context->graph || !only_first_output(norm) || !ow_value_is_f32(sum) ||
      !ow_value_is_last_axis(sum, ow_node_int(norm, "axis", -1)) || !ow_value_same_shape(add->inputs[0], sum) ||
      !ow_value_same_shape(add->inputs[1], sum))
    return NULL;
  ow_value *const scale = ow_node_input(norm, 1), *const bias = form->rms ? NULL : ow_node_input(norm, 2);
  const ow_dim length = ow_value_dim(sum, -1);
  /* the new node stands where Add stood, since the sum may be read right after it */
  if (!scale || scale->producer || (bias && bias->producer) || !ow_match_vector(scale, length) ||
      (bias && !ow_match_vector(bias, length)) || scale->type.dtype != ONWARD_FLOAT32)
    return NULL;
  const bool sum_used = sum->use_count > 1 || sum->output_count > 0;
  ow_patch patch = ow_patch_begin(context, add, "skipnorm");
  ow_node *const skip =
      ow_patch_node(&patch, "onward", "SkipNorm", (ow_value *[]){add->inputs[0], add->inputs[1], scale, bias},
                    bias ? 4 : 3, sum_used ? 2 : 1);
  if (skip) {
    ow_patch_float(&patch, "epsilon", ow_node_float(norm, "epsilon", 1e-5f));
    ow_patch_int(&patch, "rms", form->rms);
  }
  ow_patch_replace(&patch, norm->outputs[0], ow_patch_infer(&patch));
  if (skip && sum_used)
    ow_patch_replace(&patch, sum, skip->outputs[1]);
  return ow_patch_apply(&patch) ? skip : NULL;
}

onward_status ow_pass_skipnorm(ow_pass_context *context, size_t *changes) {
  ow_pass_each(context, fuse, changes);
  return ONWARD_OK;
}
