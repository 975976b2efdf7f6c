/* Attributes of nodes, and how nodes are named in messages. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/format.h"
#include "base/size.h"
#include "graph/graph.h"

/* ---- adding ---------------------------------------------------------------------------------------------------------- */

/* The array has room for the next power of two, at least four. */
static bool reserve_attr(ow_node *node) {
  const size_t count = node->attr_count;
  if (count != 0 && (count < 4 || (count & (count - 1)) != 0))
    return true;
  ow_attr *const attrs = ow_arena_zero(&node->graph->arena, count ? count * 2 : 4, sizeof *attrs);
  if (!attrs)
    return false;
  if (count > 0)
    memcpy(attrs, node->attrs, count * sizeof *attrs);
  node->attrs = attrs;
  return true;
}

static void attach(ow_graph *parent, ow_graph *graph) {
  graph->parent = parent;
  graph->next_subgraph = NULL;
  *(parent->last_subgraph ? &parent->last_subgraph->next_subgraph : &parent->subgraphs) = graph;
  parent->last_subgraph = graph;
}

bool ow_node_add_attr(ow_node *node, const ow_attr *attr) {
  const char *const name = ow_arena_strdup(&node->graph->arena, attr->name);
  if (!name || !reserve_attr(node))
    return false;
  ow_attr *const own = &node->attrs[node->attr_count++];
  *own = *attr;
  own->name = name;
  if (attr->kind == OW_ATTR_GRAPH)
    attach(node->graph, attr->g);
  for (size_t i = 0; attr->kind == OW_ATTR_GRAPHS && i < attr->count; i++)
    attach(node->graph, attr->graphs[i]);
  return true;
}

bool ow_node_add_int(ow_node *node, const char *name, int64_t value) {
  const ow_attr attr = {.name = name, .kind = OW_ATTR_INT, .i = value};
  return ow_node_add_attr(node, &attr);
}

bool ow_node_add_float(ow_node *node, const char *name, float value) {
  const ow_attr attr = {.name = name, .kind = OW_ATTR_FLOAT, .f = value};
  return ow_node_add_attr(node, &attr);
}

bool ow_node_add_ints(ow_node *node, const char *name, const int64_t *values, size_t count) {
  size_t bytes;
  if (!ow_size_mul(count, sizeof *values, &bytes))
    return false;
  int64_t *const copy = ow_arena_alloc(&node->graph->arena, bytes);
  if (!copy)
    return false;
  if (count > 0)
    memcpy(copy, values, bytes);
  const ow_attr attr = {.name = name, .kind = OW_ATTR_INTS, .count = count, .ints = copy};
  return ow_node_add_attr(node, &attr);
}

bool ow_node_add_string(ow_node *node, const char *name, const char *value) {
  const char *const copy = ow_arena_strdup(&node->graph->arena, value);
  if (!copy)
    return false;
  const ow_attr attr = {.name = name, .kind = OW_ATTR_STRING, .count = strlen(value), .s = copy};
  return ow_node_add_attr(node, &attr);
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

const ow_attr *ow_node_attr(const ow_node *node, const char *name) {
  for (size_t i = 0; i < node->attr_count; i++)
    if (strcmp(node->attrs[i].name, name) == 0)
      return &node->attrs[i];
  return NULL;
}

static const ow_attr *attr_of_kind(const ow_node *node, const char *name, ow_attr_kind kind) {
  const ow_attr *const attr = ow_node_attr(node, name);
  return attr && attr->kind == kind ? attr : NULL;
}

int64_t ow_node_int(const ow_node *node, const char *name, int64_t otherwise) {
  const ow_attr *const attr = attr_of_kind(node, name, OW_ATTR_INT);
  return attr ? attr->i : otherwise;
}

float ow_node_float(const ow_node *node, const char *name, float otherwise) {
  const ow_attr *const attr = attr_of_kind(node, name, OW_ATTR_FLOAT);
  return attr ? attr->f : otherwise;
}

const char *ow_node_string(const ow_node *node, const char *name, const char *otherwise) {
  const ow_attr *const attr = attr_of_kind(node, name, OW_ATTR_STRING);
  return attr ? attr->s : otherwise;
}

const int64_t *ow_node_ints(const ow_node *node, const char *name, size_t *count) {
  const ow_attr *const attr = attr_of_kind(node, name, OW_ATTR_INTS);
  *count = attr ? attr->count : 0;
  return attr ? attr->ints : NULL;
}

/* ---- messages -------------------------------------------------------------------------------------------------------- */

const char *ow_node_describe(const ow_node *node, char *buffer, size_t size) {
  const char *const domain = node->domain[0] ? node->domain : "ai.onnx";
  /* Names are cut so that what went wrong still fits the message. */
  if (node->name[0])
    (void)snprintf(buffer, size, "node #%u '%.120s' (%.40s %.60s-%d)", node->index, node->name, domain, node->type,
                   node->version);
  else
    (void)snprintf(buffer, size, "node #%u (%.40s %.60s-%d)", node->index, domain, node->type, node->version);
  return buffer;
}

onward_status ow_node_fail(const ow_node *node, onward_error *err, onward_status status, const char *format, ...) {
  char place[320], text[ONWARD_ERROR_MESSAGE_SIZE];
  va_list args;
  va_start(args, format);
  (void)ow_vformat(text, sizeof text, format, args);
  va_end(args);
  return ow_fail(err, status, "%s: %s", ow_node_describe(node, place, sizeof place), text);
}

void ow_error_in_node(onward_error *err, const ow_node *node) {
  char place[320];
  (void)ow_node_describe(node, place, sizeof place);
  if (err && strncmp(err->message, place, strlen(place)) != 0)
    ow_error_prefix(err, "%s", place);
}
