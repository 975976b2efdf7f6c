/* qkv: Linears over the same input whose results go into one Attention become one Linear with several weights; the Attention
 * reads its operands from columns of the result. */
#include <string.h>

#include "graph/pass_util.h"

typedef struct slot {
  const char *offset; /* the attribute */
  ow_node *linear;    /* the Linear behind operand i, when it may be merged */
} slot;

/* The Linear that makes nothing but this operand of rank 3. */
static ow_node *mergeable(const ow_value *operand) {
  ow_node *const linear = ow_match_op_in(operand, "onward", "Linear");
  if (!linear || !ow_match_single_use(operand) || linear->input_count > 3 || !ow_value_ranked(operand) ||
      operand->type.shape.rank != 3 || ow_node_string(linear, "activation", "")[0] != '\0' ||
      !ow_dim_is_const(ow_value_dim(operand, -1)))
    return NULL;
  return linear;
}

static bool goes_with(const ow_node *a, const ow_node *b) {
  return a && b && a != b && a->inputs[0] == b->inputs[0] &&
         ow_node_int(a, "trans_b", 0) == ow_node_int(b, "trans_b", 0) &&
         a->inputs[1]->type.dtype == b->inputs[1]->type.dtype;
}

/* members: which of the three are merged; first is one of them. */
static ow_node *merge(ow_pass_context *context, ow_node *attention, const slot slots[3], const bool members[3],
                      const ow_node *first) {
  ow_value *inputs[7] = {first->inputs[0]};
  int64_t offsets[3], width = 0;
  size_t count = 1, used = 0;
  for (size_t i = 0; i < 3; i++) {
    offsets[i] = ow_node_int(attention, slots[i].offset, 0);
    if (!members[i])
      continue;
    inputs[count] = slots[i].linear->inputs[1];
    inputs[count + 1] = ow_node_input(slots[i].linear, 2);
    used = inputs[count + 1] ? count + 2 : count + 1;
    count += 2;
    if (!ow_i64_add(offsets[i], width, &offsets[i]) ||
        !ow_i64_add(width, ow_value_dim(attention->inputs[i], -1).k, &width))
      return NULL;
  }
  ow_patch patch = ow_patch_begin(context, attention, "qkv");
  ow_value *packed = NULL;
  if (ow_patch_node(&patch, "onward", "Linear", inputs, used, 1)) {
    ow_patch_copy_attrs(&patch, first, (const char *const[]){NULL});
    packed = ow_patch_infer(&patch);
  }
  ow_value *operands[5];
  for (size_t i = 0; i < attention->input_count; i++)
    operands[i] = i < 3 && members[i] ? packed : attention->inputs[i];
  ow_value *out = NULL;
  if (packed && ow_patch_node(&patch, "onward", "Attention", operands, attention->input_count, 1)) {
    ow_patch_copy_attrs(&patch, attention,
                        (const char *const[]){slots[0].offset, slots[1].offset, slots[2].offset, NULL});
    for (size_t i = 0; i < 3; i++)
      if (offsets[i] != 0)
        ow_patch_int(&patch, slots[i].offset, offsets[i]);
    out = ow_patch_infer(&patch);
  }
  ow_patch_replace(&patch, attention->outputs[0], out);
  return ow_patch_apply(&patch) ? patch.made[0] : NULL;
}

static ow_node *fuse(ow_pass_context *context, ow_node *node) {
  if (!ow_node_is_in(node, "onward", "Attention") || node->input_count < 3 || node->input_count > 5)
    return NULL;
  slot slots[3] = {{"q_offset", NULL}, {"k_offset", NULL}, {"v_offset", NULL}};
  for (size_t i = 0; i < 3; i++)
    slots[i].linear = mergeable(node->inputs[i]);
  for (size_t first = 0; first < 2; first++) {
    bool members[3] = {false, false, false};
    size_t count = 1;
    for (size_t i = first + 1; i < 3; i++)
      count += members[i] = goes_with(slots[first].linear, slots[i].linear);
    members[first] = true;
    ow_node *const made = count > 1 ? merge(context, node, slots, members, slots[first].linear) : NULL;
    if (made)
      return made;
  }
  return NULL;
}

onward_status ow_pass_qkv(ow_pass_context *context, size_t *changes) {
  ow_pass_each(context, fuse, changes);
  return ONWARD_OK;
}
