/* A graph or subgraph: initialisers, inputs, nodes, outputs. */
#include <string.h>

#include "proto/import.h"

static onward_status add_constant(ow_scope *scope, const char *name, const ow_const *data, onward_error *err) {
  if (!name[0])
    return ow_fail(err, ONWARD_MODEL, "an initialiser has no name");
  if (ow_strmap_has(&scope->values, name))
    return ow_fail(err, ONWARD_MODEL, "'%.160s' is the name of two initialisers", name);
  ow_value *value = ow_graph_add_const(scope->graph, name, data);
  return value && ow_strmap_put(&scope->values, name, value) ? ONWARD_OK : ow_import_no_memory(err);
}

static onward_status add_initializers(ow_importer *c, ow_scope *scope, const OwOnnx__GraphProto *g, onward_error *err) {
  const ow_const *data = NULL;
  for (size_t i = 0; i < g->n_initializer; i++) {
    OW_TRY(ow_tensor_import(&c->tensors, g->initializer[i], &data, err));
    OW_TRY(add_constant(scope, ow_text(g->initializer[i]->name), data, err));
  }
  for (size_t i = 0; i < g->n_sparse_initializer; i++) {
    OW_TRY(ow_sparse_import(&c->tensors, g->sparse_initializer[i], &data, err));
    OW_TRY(add_constant(scope, ow_text(g->sparse_initializer[i]->values->name), data, err));
  }
  return ONWARD_OK;
}

static onward_status add_inputs(ow_importer *c, ow_scope *scope, const OwOnnx__GraphProto *g, onward_error *err) {
  ow_graph *graph = scope->graph;
  for (size_t i = 0; i < g->n_input; i++) {
    const OwOnnx__ValueInfoProto *info = g->input[i];
    const char *name = ow_text(info->name);
    if (!name[0])
      return ow_fail(err, ONWARD_MODEL, "input #%zu has no name", i);
    ow_value *known = ow_strmap_get(&scope->values, name);
    if (known && !known->constant)
      return ow_fail(err, ONWARD_MODEL, "'%.160s' is the name of two inputs", name);
    ow_type type = {.shape.rank = -1};
    if (info->type)
      OW_TRY((scope->parent ? ow_import_hint : ow_import_type)(c, known ? NULL : graph->dims, info->type, name, &type,
                                                               err));
    else if (!scope->parent)
      return ow_fail(err, ONWARD_MODEL, "input '%.160s' has no type", name);
    if (known) { /* a default, as files before IR 4 had to list their initialisers */
      if (type.dtype != ONWARD_UNDEFINED && type.dtype != known->constant->dtype)
        return ow_fail(err, ONWARD_MODEL, "'%.160s' is %s as an input and %s as an initialiser", name,
                       onward_dtype_name(type.dtype), onward_dtype_name(known->constant->dtype));
      continue;
    }
    ow_value *value = ow_graph_add_value(graph, name);
    if (!value || !ow_graph_add_input(graph, value) || !ow_strmap_put(&scope->values, name, value))
      return ow_import_no_memory(err);
    value->type = type;
  }
  return ONWARD_OK;
}

static onward_status add_outputs(ow_importer *c, ow_scope *scope, const OwOnnx__GraphProto *g, onward_error *err) {
  ow_strmap seen;
  ow_strmap_init(&seen, c->allocator);
  onward_status status = ONWARD_OK;
  for (size_t i = 0; i < g->n_output && status == ONWARD_OK; i++) {
    const char *name = ow_text(g->output[i]->name);
    ow_value *value = NULL;
    ow_type type;
    if (g->output[i]->type)
      status = ow_import_hint(c, NULL, g->output[i]->type, name, &type, err);
    if (status != ONWARD_OK)
      break;
    if (!name[0])
      status = ow_fail(err, ONWARD_MODEL, "output #%zu has no name", i);
    else if (!ow_scope_find(scope, name, &value) || !value)
      status = ow_fail(err, ONWARD_MODEL, "output '%.160s' is made by no node, and is no input or initialiser", name);
    else if (!scope->parent && ow_strmap_has(&seen, name)) /* outputs of a subgraph go by position */
      status = ow_fail(err, ONWARD_MODEL, "'%.160s' is the name of two outputs", name);
    else if (!ow_graph_add_output(scope->graph, name, value) || !ow_strmap_put(&seen, name, value))
      status = ow_import_no_memory(err);
  }
  ow_strmap_free(&seen);
  return status;
}

static onward_status import_parts(ow_importer *c, const OwOnnx__GraphProto *g, ow_scope *scope, onward_error *err) {
  ow_graph *graph = scope->graph;
  graph->name = ow_arena_strdup(&graph->arena, ow_text(g->name));
  if (!graph->name)
    return ow_import_no_memory(err);
  if (scope->call) /* paid again each time the function is called */
    OW_TRY(ow_import_charge(c, (g->n_initializer + g->n_sparse_initializer + g->n_input + g->n_output) / 4, err));
  OW_TRY(add_initializers(c, scope, g, err));
  OW_TRY(add_inputs(c, scope, g, err));
  OW_TRY(ow_import_nodes(c, scope, g->node, g->n_node, err));
  return add_outputs(c, scope, g, err);
}

onward_status ow_import_graph(ow_importer *c, const OwOnnx__GraphProto *g, const ow_scope *parent, const ow_call *call,
                              ow_graph *graph, onward_error *err) {
  OW_TRY(ow_import_enter(c, err));
  uint32_t next_index = (uint32_t)g->n_node;
  ow_scope scope = {.parent = parent, .call = call, .graph = graph, .next_index = &next_index};
  ow_strmap_init(&scope.values, c->allocator);
  graph->ir_version = c->ir_version;
  const onward_status status = import_parts(c, g, &scope, err);
  graph->next_node_index = next_index;
  ow_strmap_free(&scope.values);
  ow_import_leave(c);
  return status;
}
