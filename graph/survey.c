/* What of a graph cannot run here: all of it at once, for people. */
#include <stdio.h>
#include <string.h>

#include "base/strmap.h"
#include "graph/infer.h"
#include "graph/survey.h"

#define NAMED 4 /* nodes that a row names */

typedef struct finding {
  const ow_node *nodes[NAMED];
  size_t count;
  const char *reason; /* of inference; NULL: no such operator here */
} finding;

typedef struct survey {
  ow_arena arena;
  finding **items;
  size_t count, capacity;
  ow_strmap by_key;
} survey;

static bool note(survey *s, const ow_node *node, const char *reason) {
  const char *const key =
      ow_arena_printf(&s->arena, "%s %s %d %s", node->domain, node->type, (int)node->version, reason ? reason : "");
  finding *item = key ? ow_strmap_get(&s->by_key, key) : NULL;
  if (!item) {
    item = key ? ow_arena_zero(&s->arena, 1, sizeof *item) : NULL;
    if (!item || !ow_reserve(s->arena.allocator, &s->items, &s->capacity, s->count, s->count + 1, sizeof *s->items) ||
        !ow_strmap_put(&s->by_key, key, item))
      return false;
    item->reason = reason;
    s->items[s->count++] = item;
  }
  if (item->count < NAMED)
    item->nodes[item->count] = node;
  item->count++;
  return true;
}

/* A value whose type nothing tells: what comes behind a finding. */
static bool is_open(const ow_value *v) {
  return v && v->type.dtype == ONWARD_UNDEFINED && v->type.kind == OW_VALUE_TENSOR && !v->constant;
}

static bool look_at(survey *s, ow_graph *graph, const ow_registry *registry, size_t *behind) {
  OW_EACH_NODE(node, graph) {
    node->op = ow_registry_find(registry, node->domain, node->type, node->version);
    if (!node->op) {
      if (!note(s, node, NULL))
        return false;
      continue;
    }
    bool open = false;
    for (size_t i = 0; i < node->input_count; i++)
      open |= is_open(node->inputs[i]);
    if (open) {
      (*behind)++;
      continue;
    }
    onward_error err = {.status = ONWARD_OK};
    onward_status status = ow_node_resolve(node, &err);
    if (status == ONWARD_OK && !graph->parent)
      status = ow_infer_node(graph, node, &err);
    const char *const text = status == ONWARD_OK ? "" : strstr(err.message, "): "); /* behind the node's place */
    if (status != ONWARD_OK && !note(s, node, ow_arena_strdup(&s->arena, text ? text + 3 : err.message)))
      return false;
  }
  return true;
}

/* The element types of a node's inputs, where they are known. */
static void write_types(const ow_node *node, char *to, size_t size) {
  size_t used = 0;
  to[0] = 0;
  for (size_t i = 0; i < node->input_count && used < size; i++) {
    const ow_value *const v = node->inputs[i];
    const int n = snprintf(to + used, size - used, "%s%s", i ? ", " : "",
                           !v                                  ? "-"
                           : v->type.dtype == ONWARD_UNDEFINED ? "?"
                                                               : onward_dtype_name(v->type.dtype));
    used += n > 0 ? (size_t)n : size;
  }
}

static void write_nodes(const finding *f, char *to, size_t size) {
  size_t used = 0;
  to[0] = 0;
  for (size_t i = 0; i < f->count && i < NAMED && used < size; i++) {
    const ow_node *const node = f->nodes[i];
    const int n = node->name[0] ? snprintf(to + used, size - used, "%s'%.80s'", i ? ", " : "", node->name)
                                : snprintf(to + used, size - used, "%s#%u", i ? ", " : "", node->index);
    used += n > 0 ? (size_t)n : size;
  }
  if (f->count > NAMED && used < size)
    (void)snprintf(to + used, size - used, " and %zu more", f->count - NAMED);
}

/* What can be done about an operator that is not here. */
static void write_hint(const ow_node *node, const ow_registry *registry, char *to, size_t size) {
  static const char *const generations[] = {"BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch"};
  for (size_t i = 0; i < sizeof generations / sizeof *generations; i++)
    if (strcmp(node->domain, "com.microsoft") == 0 && strcmp(node->type, generations[i]) == 0) {
      (void)snprintf(
          to, size,
          "a whole generation: save its decoder subgraph as a model of its own and run that with `onward generate`");
      return;
    }
  const ow_op *row, *near = NULL;
  for (size_t i = 0; (row = ow_registry_row(registry, i)); i++)
    if (strcmp(row->domain, node->domain) == 0 && strcmp(row->name, node->type) == 0 &&
        (!near || row->since > near->since))
      near = row;
  if (near && near->until)
    (void)snprintf(to, size, "here for opsets %d to %d: convert the model (onnx.version_converter)", (int)near->since,
                   (int)near->until);
  else if (near)
    (void)snprintf(to, size, "here from opset %d on: convert the model (onnx.version_converter)", (int)near->since);
  else if (strncmp(node->domain, "ai.onnx.", 8) == 0)
    (void)snprintf(to, size,
                   "%.60s is not part of this runtime: cut this part off, or bring the operator with --plugin",
                   node->domain);
  else if (node->domain[0] && strcmp(node->domain, "com.microsoft") != 0)
    (void)snprintf(to, size, "an operator of its own domain: bring it with --plugin");
  else
    (void)snprintf(to, size, "export with other settings, or bring the operator with --plugin");
}

bool ow_graph_survey(ow_graph *graph, const ow_registry *registry, ow_survey_fn fn, void *context) {
  survey s = {0};
  size_t behind = 0;
  ow_arena_init(&s.arena, graph->allocator);
  ow_strmap_init(&s.by_key, graph->allocator);
  bool ok = true;
  for (ow_graph *g = graph; g && ok; g = ow_graph_walk(graph, g))
    ok = look_at(&s, g, registry, &behind);
  for (size_t i = 0; i < s.count && ok; i++) {
    const finding *const f = s.items[i];
    const ow_node *const node = f->nodes[0];
    char types[200], nodes[480], hint[ONWARD_ERROR_MESSAGE_SIZE], text[1600];
    write_types(node, types, sizeof types);
    write_nodes(f, nodes, sizeof nodes);
    if (f->reason)
      (void)snprintf(hint, sizeof hint, "%s", f->reason);
    else
      write_hint(node, registry, hint, sizeof hint);
    (void)snprintf(text, sizeof text, "%.60s %.80s-%d (%s): %zu node%s %s: %s",
                   node->domain[0] ? node->domain : "ai.onnx", node->type, (int)node->version, types, f->count,
                   f->count == 1 ? "" : "s", nodes, hint);
    fn(context, text);
  }
  if (behind > 0 && ok) {
    char text[96];
    (void)snprintf(text, sizeof text, "%zu node%s behind these could not be looked at", behind, behind == 1 ? "" : "s");
    fn(context, text);
  }
  ow_strmap_free(&s.by_key);
  ow_free(graph->allocator, s.items);
  ow_arena_free(&s.arena);
  return ok;
}
