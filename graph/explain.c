/* What became of each attention candidate, one line each. */
#include "base/text_out.h"
#include "graph/pass_util.h"

static const char *name_of(const ow_node *node) { return node->name && node->name[0] ? node->name : "(no name)"; }

void ow_explain_fused(ow_pass_context *context, const ow_node *softmax, const ow_node *attention) {
  if (!context->explain)
    return;
  ow_out_text(context->explain, "fused: node '");
  ow_out_safe(context->explain, name_of(softmax));
  ow_out_printf(context->explain, "' -> Attention heads=%lld kv_heads=%lld scale=%.6g order=%s,%s,%s->%s%s%s\n",
                (long long)ow_node_int(attention, "heads", 0), (long long)ow_node_int(attention, "kv_heads", 0),
                (double)ow_node_float(attention, "scale", 1.0f), ow_node_string(attention, "q_order", "BHSD"),
                ow_node_string(attention, "k_order", "BHSD"), ow_node_string(attention, "v_order", "BHSD"),
                ow_node_string(attention, "out_order", "BHSD"), ow_node_input(attention, 3) ? " bias" : "",
                ow_node_input(attention, 4) ? " keep" : "");
}

void ow_explain_not_fused(ow_pass_context *context, const ow_node *softmax, const char *reason) {
  if (!context->explain)
    return;
  ow_out_text(context->explain, "not fused: node '");
  ow_out_safe(context->explain, name_of(softmax));
  ow_out_text(context->explain, "': ");
  ow_out_safe(context->explain, reason);
  ow_out_text(context->explain, "\n");
}
