/* ai.onnx.preview.training's Gradient: the derivatives of `y` by `xs`. The pass `gradient` replaces it at load. */
#include "ops/op_help.h"

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

const ow_op ow_ops_training[] = {{.domain = "ai.onnx.preview.training",
                                  .name = "Gradient",
                                  .since = 1,
                                  .min_inputs = 1,
                                  .max_inputs = OW_ANY_COUNT,
                                  .min_outputs = 1,
                                  .max_outputs = OW_ANY_COUNT,
                                  .attrs = gradient_attrs,
                                  .infer = gradient_infer},
                                 {.name = NULL}};
