/* Running the passes in order. Bodies of control flow are graphs of their own by the time they run: see runtime/. */
#include "graph/pass.h"

#include <string.h>

#include "base/stop.h"
#include "graph/pass_util.h"

const ow_pass ow_passes[] = {
#define OW_PASS(name, required) {#name, required, ow_pass_##name},
#include "graph/passes.def"
#undef OW_PASS
    {NULL, false, NULL}};
static const size_t pass_count = sizeof ow_passes / sizeof *ow_passes - 1;

static bool is_named(const char *list, const char *name) {
  const size_t length = strlen(name);
  for (const char *at = list; at && *at;) {
    const char *const end = strchr(at, ',');
    const size_t n = end ? (size_t)(end - at) : strlen(at);
    if (n == length && memcmp(at, name, n) == 0)
      return true;
    at = end ? end + 1 : NULL;
  }
  return false;
}

#define MAX_ROUNDS 16

void ow_pass_each(ow_pass_context *context, ow_fuse_fn fuse, size_t *changes) {
  bool changed = true;
  for (int round = 0; changed && round < MAX_ROUNDS; round++) {
    changed = false;
    for (ow_node *node = context->graph->first; node && !ow_stop_asked();) {
      ow_node *const made = fuse(context, node); /* node may be gone then */
      if (made) {
        changed = true;
        (*changes)++;
      }
      node = made ? made->next : node->next;
    }
  }
}

onward_status ow_passes_run(ow_pass_context *context, const ow_pass_options *options) {
  ow_graph *const graph = context->graph;
  onward_status status = ONWARD_OK;
  int32_t number = 0;
  const double at = 0.6, span = 0.35; /* of a load */
  context->plain = options->none;
  for (const ow_pass *pass = ow_passes; pass->name && status == ONWARD_OK; pass++, number++) {
    if (options->stop_after >= 0 && number >= options->stop_after && !pass->required)
      continue;
    if (!pass->required && (options->none || is_named(options->disabled, pass->name)))
      continue;
    size_t changes = 0;
    if ((status = ow_stop_at("passes", at + span * number / (int32_t)pass_count, context->err)) != ONWARD_OK)
      break;
    status = pass->run(context, &changes);
    if (status == ONWARD_OK && options->validate) {
      status = ow_graph_validate(graph, context->err);
      if (status != ONWARD_OK)
        ow_error_prefix(context->err, "after pass %s", pass->name);
    }
  }
  context->graph = graph;
  return status == ONWARD_OK ? ow_stop_check(context->err) : status;
}
