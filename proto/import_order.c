/* Nodes in an order that can run. Files should be sorted; those that are not are sorted here, and cycles are named. */
#include <stdio.h>
#include <string.h>

#include "proto/import.h"

/* Names that a subgraph defines itself. */
typedef struct locals {
  const struct locals *around;
  ow_strmap names;
} locals;

typedef struct sorter {
  ow_importer *c;
  const ow_scope *scope;
  OwOnnx__NodeProto *const *nodes;
  size_t count;
  ow_strmap producers; /* to index + 1 */
  uint32_t node;       /* whose dependencies are being looked at */
  bool unsorted, no_memory;
  /* Once unsorted: node i needs the nodes edges[first[i] .. first[i + 1]). */
  bool collecting;
  uint32_t *edges;
  size_t edge_count, edge_capacity;
  size_t *first;
} sorter;

/* ---- what a node needs ----------------------------------------------------------------------------------------------------------- */

static void need(sorter *s, const char *name) {
  const uintptr_t producer = (uintptr_t)ow_strmap_get(&s->producers, name);
  if (!producer)
    return;
  const uint32_t index = (uint32_t)(producer - 1);
  if (index >= s->node)
    s->unsorted = true;
  if (!s->collecting)
    return;
  if (!ow_reserve(s->c->allocator, &s->edges, &s->edge_capacity, s->edge_count, s->edge_count + 1, sizeof *s->edges))
    s->no_memory = true;
  else
    s->edges[s->edge_count++] = index;
}

static bool is_local(const locals *scope, const char *name) {
  for (; scope; scope = scope->around)
    if (ow_strmap_has(&scope->names, name))
      return true;
  return false;
}

static void need_of_attrs(sorter *s, const OwOnnx__NodeProto *n, const locals *around);

static bool add_locals(locals *l, const OwOnnx__GraphProto *g) {
  bool ok = true;
  for (size_t i = 0; i < g->n_initializer && ok; i++)
    ok = ow_strmap_put(&l->names, ow_text(g->initializer[i]->name), l);
  for (size_t i = 0; i < g->n_sparse_initializer && ok; i++)
    ok = !g->sparse_initializer[i]->values ||
         ow_strmap_put(&l->names, ow_text(g->sparse_initializer[i]->values->name), l);
  for (size_t i = 0; i < g->n_input && ok; i++)
    ok = ow_strmap_put(&l->names, ow_text(g->input[i]->name), l);
  for (size_t i = 0; i < g->n_node && ok; i++)
    for (size_t o = 0; o < g->node[i]->n_output && ok; o++)
      ok = ow_strmap_put(&l->names, g->node[i]->output[o], l);
  return ok;
}

/* The names that a subgraph takes from around it. The prescan bounds how deep this goes. */
static void need_of_graph(sorter *s, const OwOnnx__GraphProto *g, const locals *around) {
  locals own = {.around = around};
  ow_strmap_init(&own.names, s->c->allocator);
  if (!add_locals(&own, g))
    s->no_memory = true;
  for (size_t i = 0; i < g->n_node && !s->no_memory; i++) {
    const OwOnnx__NodeProto *n = g->node[i];
    for (size_t k = 0; k < n->n_input; k++)
      if (n->input[k][0] && !is_local(&own, n->input[k]))
        need(s, n->input[k]);
    need_of_attrs(s, n, &own);
  }
  for (size_t i = 0; i < g->n_output && !s->no_memory; i++)
    if (!is_local(&own, ow_text(g->output[i]->name)))
      need(s, ow_text(g->output[i]->name));
  ow_strmap_free(&own.names);
}

static void need_of_attrs(sorter *s, const OwOnnx__NodeProto *n, const locals *around) {
  for (size_t i = 0; i < n->n_attribute; i++) {
    const OwOnnx__AttributeProto *a = n->attribute[i];
    if (a->g)
      need_of_graph(s, a->g, around);
    for (size_t k = 0; k < a->n_graphs; k++)
      need_of_graph(s, a->graphs[k], around);
  }
}

/* Looks at the dependencies of every node: sets unsorted, and collects edges when asked to. */
static onward_status look(sorter *s, onward_error *err) {
  for (size_t i = 0; i < s->count; i++) {
    const OwOnnx__NodeProto *n = s->nodes[i];
    s->node = (uint32_t)i;
    if (s->collecting)
      s->first[i] = s->edge_count;
    for (size_t k = 0; k < n->n_input; k++) {
      const char *name = n->input[k];
      ow_value *value;
      if (!name[0])
        continue;
      if (!ow_strmap_has(&s->producers, name) && !ow_scope_find(s->scope, name, &value))
        return ow_import_node_fail(s->c, n, i, err, ONWARD_MODEL,
                                   "input %zu '%.160s' is made by no node, and is no input or initialiser", k, name);
      need(s, name);
    }
    need_of_attrs(s, n, NULL);
    if (s->no_memory)
      return ow_import_no_memory(err);
  }
  if (s->collecting)
    s->first[s->count] = s->edge_count;
  return ONWARD_OK;
}

/* ---- sorting ------------------------------------------------------------------------------------------------------------------------ */

typedef struct visit {
  uint32_t node;
  size_t edge; /* next to look at */
} visit;

/* The stack from the first visit of `node` on is the cycle, each node needing the one after it. */
static onward_status name_cycle(const sorter *s, const visit *stack, size_t depth, uint32_t node, onward_error *err) {
  size_t start = depth;
  while (stack[--start].node != node) {
  }
  char text[400] = "";
  size_t used = 0;
  const size_t length = depth - start, shown = length < 8 ? length : 8;
  for (size_t i = 0; i < shown; i++) {
    const uint32_t at = stack[depth - 1 - i].node;
    const int n = snprintf(text + used, sizeof text - used, "#%u '%.24s' -> ", at, ow_text(s->nodes[at]->name));
    used += n > 0 && (size_t)n < sizeof text - used ? (size_t)n : 0;
  }
  if (shown < length)
    return ow_fail(err, ONWARD_MODEL, "%zu nodes form a cycle: %s...", length, text);
  return ow_fail(err, ONWARD_MODEL, "%zu node%s a cycle: %s#%u", length, length == 1 ? " forms" : "s form", text,
                 stack[depth - 1].node);
}

/* Depth first with a stack of its own, in the file's order where that is free. */
static onward_status sort(const sorter *s, visit *stack, uint8_t *state, uint32_t *order, onward_error *err) {
  enum { NEW, OPEN, DONE };
  size_t done = 0;
  for (uint32_t root = 0; root < s->count; root++) {
    size_t depth = 0;
    if (state[root] == NEW) {
      stack[depth++] = (visit){root, s->first[root]};
      state[root] = OPEN;
    }
    while (depth) {
      visit *top = &stack[depth - 1];
      if (top->edge == s->first[top->node + 1]) {
        state[top->node] = DONE;
        order[done++] = top->node;
        depth--;
        continue;
      }
      const uint32_t next = s->edges[top->edge++];
      if (state[next] == OPEN)
        return name_cycle(s, stack, depth, next, err);
      if (state[next] == NEW) {
        state[next] = OPEN;
        stack[depth++] = (visit){next, s->first[next]};
      }
    }
  }
  return ONWARD_OK;
}

static onward_status sort_nodes(sorter *s, uint32_t **order, onward_error *err) {
  const ow_allocator *a = s->c->allocator;
  s->first = ow_alloc_zero(a, s->count + 1, sizeof *s->first);
  visit *stack = ow_alloc_zero(a, s->count, sizeof *stack);
  uint8_t *state = ow_alloc_zero(a, s->count, 1);
  uint32_t *made = ow_alloc_zero(a, s->count, sizeof *made);
  onward_status status = s->first && stack && state && made ? ONWARD_OK : ow_import_no_memory(err);
  s->collecting = true;
  if (status == ONWARD_OK)
    status = look(s, err);
  if (status == ONWARD_OK)
    status = sort(s, stack, state, made, err);
  ow_free(a, stack);
  ow_free(a, state);
  if (status == ONWARD_OK)
    *order = made;
  else
    ow_free(a, made);
  return status;
}

/* What a value is, for messages. */
static const char *describe(const ow_value *value, char *buffer, size_t size) {
  if (value && value->producer)
    return ow_node_describe(value->producer, buffer, size);
  return value && value->constant ? "an initialiser" : "an input";
}

/* A name is made once, and never hides one that can be seen from around. */
static onward_status add_producers(sorter *s, onward_error *err) {
  for (size_t i = 0; i < s->count; i++) {
    const OwOnnx__NodeProto *n = s->nodes[i];
    for (size_t o = 0; o < n->n_output; o++) {
      const char *name = n->output[o];
      if (!name[0])
        continue;
      const uintptr_t other = (uintptr_t)ow_strmap_get(&s->producers, name);
      if (other)
        return ow_import_node_fail(s->c, n, i, err, ONWARD_MODEL, "output '%.120s' is also made by node #%zu '%.80s'",
                                   name, (size_t)other - 1, ow_text(s->nodes[other - 1]->name));
      ow_value *seen = NULL;
      char buffer[320];
      if (ow_scope_find(s->scope, name, &seen))
        return ow_import_node_fail(s->c, n, i, err, ONWARD_MODEL, "output '%.120s' is also the name of %s%s", name,
                                   describe(seen, buffer, sizeof buffer),
                                   seen && seen->graph != s->scope->graph ? " outside" : "");
      /* An index and not an address, so that no second table is needed. */
      if (!ow_strmap_put(&s->producers, name, (void *)(uintptr_t)(i + 1)))
        return ow_import_no_memory(err);
    }
  }
  return ONWARD_OK;
}

onward_status ow_import_order(ow_importer *c, const ow_scope *scope, OwOnnx__NodeProto *const *nodes, size_t count,
                              uint32_t **order, onward_error *err) {
  *order = NULL;
  if (count > UINT32_MAX - 1)
    return ow_fail(err, ONWARD_LIMIT, "%zu nodes in one graph", count);
  sorter s = {.c = c, .scope = scope, .nodes = nodes, .count = count};
  ow_strmap_init(&s.producers, c->allocator);
  onward_status status = add_producers(&s, err);
  if (status == ONWARD_OK)
    status = look(&s, err);
  if (status == ONWARD_OK && s.unsorted)
    status = sort_nodes(&s, order, err);
  ow_strmap_free(&s.producers);
  ow_free(c->allocator, s.edges);
  ow_free(c->allocator, s.first);
  return status;
}
