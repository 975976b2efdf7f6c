/* From operator names to rows, and whether nodes are formed as their rows say. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/strmap.h"
#include "graph/infer.h"

/* ---- what is missing ------------------------------------------------------------------------------------------------- */

typedef struct missing {
  const ow_node *first;
  size_t nodes;
  bool known; /* at another opset */
} missing;

typedef struct missing_list {
  ow_arena arena;
  missing **items;
  size_t count, capacity;
  ow_strmap by_key;
} missing_list;

static bool note_missing(missing_list *list, const ow_node *node, bool known) {
  const char *const key = ow_arena_printf(&list->arena, "%s %s %d", node->domain, node->type, node->version);
  if (!key)
    return false;
  missing *item = ow_strmap_get(&list->by_key, key);
  if (item) {
    item->nodes++;
    return true;
  }
  item = ow_arena_zero(&list->arena, 1, sizeof *item);
  if (!item ||
      !ow_reserve(list->arena.allocator, &list->items, &list->capacity, list->count, list->count + 1,
                  sizeof *list->items) ||
      !ow_strmap_put(&list->by_key, key, item))
    return false;
  *item = (missing){node, 1, known};
  list->items[list->count++] = item;
  return true;
}

/* As many as fit; the rest is counted. */
static onward_status report(const missing_list *list, onward_error *err) {
  char text[ONWARD_ERROR_MESSAGE_SIZE];
  size_t used = 0;
  for (size_t i = 0; i < list->count; i++) {
    const missing *const item = list->items[i];
    const ow_node *const node = item->first;
    char entry[264], where[96], nodes[40];
    if (node->name[0])
      (void)snprintf(where, sizeof where, "'%.80s'", node->name);
    else
      (void)snprintf(where, sizeof where, "#%u", node->index);
    if (item->nodes == 1)
      (void)snprintf(nodes, sizeof nodes, "1 node,");
    else
      (void)snprintf(nodes, sizeof nodes, "%zu nodes, first", item->nodes);
    (void)snprintf(entry, sizeof entry, "%s %.40s %.40s-%d (%s%s %s)", i ? "," : "",
                   node->domain[0] ? node->domain : "ai.onnx", node->type, node->version,
                   item->known ? "not at this opset, " : "", nodes, where);
    const size_t length = strlen(entry), reserve = 64; /* for the sentence around the list */
    if (used + length + reserve >= sizeof text) {
      (void)snprintf(text + used, sizeof text - used, ", ... and %zu more", list->count - i);
      break;
    }
    memcpy(text + used, entry, length + 1);
    used += length;
  }
  return ow_fail(err, ONWARD_UNSUPPORTED, "%zu operator%s not implemented:%s", list->count,
                 list->count == 1 ? " is" : "s are", text);
}

static onward_status find_rows(ow_graph *root, const ow_registry *registry, missing_list *list, onward_error *err) {
  for (ow_graph *graph = root; graph; graph = ow_graph_walk(root, graph))
    OW_EACH_NODE(node, graph) {
      node->op = ow_registry_find(registry, node->domain, node->type, node->version);
      if (!node->op && !note_missing(list, node, ow_registry_knows(registry, node->domain, node->type)))
        return ow_fail(err, ONWARD_MEMORY, "no memory to look up operators");
    }
  return list->count > 0 ? report(list, err) : ONWARD_OK;
}

/* ---- arity and attributes -------------------------------------------------------------------------------------------- */

static size_t given(ow_value *const *values, size_t count) {
  while (count > 0 && !values[count - 1])
    count--;
  return count;
}

static onward_status check_count(const ow_node *node, const char *what, size_t count, uint32_t min, uint32_t max,
                                 onward_error *err) {
  if (count >= min && (count <= max || max == OW_ANY_COUNT))
    return ONWARD_OK;
  if (min == max)
    return ow_node_fail(node, err, ONWARD_MODEL, "want %u %s%s, got %zu", min, what, min == 1 ? "" : "s", count);
  if (max == OW_ANY_COUNT)
    return ow_node_fail(node, err, ONWARD_MODEL, "want at least %u %s%s, got %zu", min, what, min == 1 ? "" : "s",
                        count);
  return ow_node_fail(node, err, ONWARD_MODEL, "want %u to %u %ss, got %zu", min, max, what, count);
}

static onward_status check_arity(const ow_node *node, onward_error *err) {
  const ow_op *const op = node->op;
  const size_t inputs = given(node->inputs, node->input_count);
  OW_TRY(check_count(node, "input", inputs, op->min_inputs, op->max_inputs, err));
  OW_TRY(check_count(node, "output", given(node->outputs, node->output_count), op->min_outputs, op->max_outputs, err));
  for (size_t i = 0; i < op->min_inputs; i++)
    if (!node->inputs[i])
      return ow_node_fail(node, err, ONWARD_MODEL, "input %zu is required but left out", i);
  return ONWARD_OK;
}

static const char *kind_name(ow_attr_kind kind) {
  static const char *const names[] = {
      [OW_ATTR_NONE] = "nothing",    [OW_ATTR_FLOAT] = "a float",   [OW_ATTR_INT] = "an int",
      [OW_ATTR_STRING] = "a string", [OW_ATTR_TENSOR] = "a tensor", [OW_ATTR_GRAPH] = "a graph",
      [OW_ATTR_FLOATS] = "floats",   [OW_ATTR_INTS] = "ints",       [OW_ATTR_STRINGS] = "strings",
      [OW_ATTR_TENSORS] = "tensors", [OW_ATTR_GRAPHS] = "graphs",   [OW_ATTR_TYPE] = "a type"};
  return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "?";
}

static const ow_attr_spec *find_spec(const ow_op *op, const char *name) {
  for (const ow_attr_spec *spec = op->attrs; spec && spec->name; spec++)
    if (strcmp(spec->name, name) == 0)
      return spec;
  return NULL;
}

static onward_status check_attrs(const ow_node *node, onward_error *err) {
  for (size_t i = 0; i < node->attr_count; i++) {
    const ow_attr *const attr = &node->attrs[i];
    const ow_attr_spec *const spec = find_spec(node->op, attr->name);
    if (!spec)
      return ow_node_fail(node, err, ONWARD_UNSUPPORTED, "attribute '%.80s' is not known", attr->name);
    if (spec->kind != attr->kind)
      return ow_node_fail(node, err, ONWARD_MODEL, "attribute '%.80s': want %s, got %s", attr->name,
                          kind_name(spec->kind), kind_name(attr->kind));
    /* The row bounds how many distinct names there can be, so the first repetition comes early. */
    if (ow_node_attr(node, attr->name) != attr)
      return ow_node_fail(node, err, ONWARD_MODEL, "attribute '%.80s' is given twice", attr->name);
  }
  for (const ow_attr_spec *spec = node->op->attrs; spec && spec->name; spec++)
    if (spec->required && !ow_node_attr(node, spec->name))
      return ow_node_fail(node, err, ONWARD_MODEL, "attribute '%s' is required but not given", spec->name);
  return ONWARD_OK;
}

onward_status ow_node_resolve(const ow_node *node, onward_error *err) {
  OW_TRY(check_arity(node, err));
  return check_attrs(node, err);
}

onward_status ow_graph_resolve(ow_graph *graph, const ow_registry *registry, onward_error *err) {
  missing_list list = {0};
  ow_arena_init(&list.arena, graph->allocator);
  ow_strmap_init(&list.by_key, graph->allocator);
  onward_status status = find_rows(graph, registry, &list, err);
  for (ow_graph *g = graph; g && status == ONWARD_OK; g = ow_graph_walk(graph, g))
    OW_EACH_NODE(node, g) {
      status = ow_node_resolve(node, err);
      if (status != ONWARD_OK)
        break;
    }
  ow_strmap_free(&list.by_key);
  ow_free(graph->allocator, list.items);
  ow_arena_free(&list.arena);
  return status;
}
