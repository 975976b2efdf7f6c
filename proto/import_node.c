/* One node after the other into the graph. Constant nodes become constants, calls of local functions the nodes of their bodies. */
#include <string.h>

#include "base/stop.h"

#include "proto/import.h"

/* ---- Constant -------------------------------------------------------------------------------------------------------------------- */

static onward_status string_constant(ow_importer *c, const ProtobufCBinaryData *strings, size_t count, int32_t rank,
                                     const ow_const **out, onward_error *err) {
  ow_arena *arena = c->tensors.weights;
  ow_const *made = ow_arena_zero(arena, 1, sizeof *made);
  const char **table = ow_arena_zero(arena, count, sizeof *table);
  if (!made || !table)
    return ow_import_no_memory(err);
  for (size_t i = 0; i < count; i++) {
    if (strings[i].len && memchr(strings[i].data, 0, strings[i].len))
      return ow_fail(err, ONWARD_MODEL, "text holds a NUL byte");
    table[i] = ow_arena_strndup(arena, (const char *)strings[i].data, strings[i].len);
    if (!table[i])
      return ow_import_no_memory(err);
  }
  *made = (ow_const){
      .dtype = ONWARD_STRING, .rank = rank, .dims = {(int64_t)count}, .data = table, .bytes = count * sizeof *table};
  if (rank == 0)
    made->dims[0] = 0;
  *out = made;
  return ONWARD_OK;
}

/* The value of a Constant node. */
static onward_status constant_value(ow_importer *c, const ow_scope *scope, const ow_bound_attr *bound, const char *name,
                                    ow_value **value, onward_error *err) {
  static const struct form {
    const char *name;
    ow_attr_kind kind;
  } forms[] = {{"value", OW_ATTR_TENSOR},          {"value_float", OW_ATTR_FLOAT}, {"value_floats", OW_ATTR_FLOATS},
               {"value_int", OW_ATTR_INT},         {"value_ints", OW_ATTR_INTS},   {"value_string", OW_ATTR_STRING},
               {"value_strings", OW_ATTR_STRINGS}, {"sparse_value", OW_ATTR_NONE}};
  const OwOnnx__AttributeProto *a = bound->proto;
  ow_attr_kind kind;
  bool sparse;
  OW_TRY(ow_import_attr_kind(a, &kind, &sparse, err));
  const struct form *form = NULL;
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
    if (strcmp(forms[i].name, bound->name) == 0)
      form = &forms[i];
  if (!form)
    return ow_fail(err, ONWARD_MODEL, "Constant has no attribute '%.80s'", bound->name);
  if (form->kind != kind)
    return ow_fail(err, ONWARD_MODEL, "attribute '%s' has the wrong type", bound->name);
  ow_graph *graph = scope->graph;
  const ow_const *data = NULL;
  const size_t count = kind == OW_ATTR_FLOATS ? a->n_floats : a->n_ints;
  const int64_t dims[1] = {(int64_t)count};
  if (scope->call)
    OW_TRY(ow_import_charge(c, (count + a->n_strings + a->s.len / 8) / 512, err));
  switch (kind) {
    case OW_ATTR_FLOAT: *value = ow_graph_add_const_copy(graph, name, ONWARD_FLOAT32, 0, NULL, &a->f); break;
    case OW_ATTR_INT: *value = ow_graph_add_const_copy(graph, name, ONWARD_INT64, 0, NULL, &a->i); break;
    case OW_ATTR_FLOATS: *value = ow_graph_add_const_copy(graph, name, ONWARD_FLOAT32, 1, dims, a->floats); break;
    case OW_ATTR_INTS: *value = ow_graph_add_const_copy(graph, name, ONWARD_INT64, 1, dims, a->ints); break;
    default:
      if (sparse)
        OW_TRY(ow_sparse_import(&c->tensors, a->sparse_tensor, &data, err));
      else if (kind == OW_ATTR_TENSOR)
        OW_TRY(ow_tensor_import(&c->tensors, a->t, &data, err));
      else if (kind == OW_ATTR_STRING)
        OW_TRY(string_constant(c, &a->s, 1, 0, &data, err));
      else
        OW_TRY(string_constant(c, a->strings, a->n_strings, 1, &data, err));
      *value = ow_graph_add_const(graph, name, data);
      break;
  }
  return *value ? ONWARD_OK : ow_import_no_memory(err);
}

static onward_status import_constant(ow_importer *c, ow_scope *scope, const OwOnnx__NodeProto *n, onward_error *err) {
  if (n->n_input || n->n_output != 1 || !n->output[0][0])
    return ow_fail(err, ONWARD_MODEL, "Constant has %zu inputs and %zu outputs, want none and 1", n->n_input,
                   n->n_output);
  if (n->n_attribute != 1)
    return ow_fail(err, ONWARD_MODEL, "Constant has %zu attributes, want 1", n->n_attribute);
  ow_bound_attr bound;
  OW_TRY(ow_import_resolve_attr(scope, n->attribute[0], &bound, err));
  if (!bound.proto)
    return ow_fail(err, ONWARD_MODEL, "Constant refers to attribute '%.80s', which the call leaves out",
                   ow_text(n->attribute[0]->ref_attr_name));
  const char *name = ow_scope_name(c, scope, n->output[0]);
  ow_value *value = NULL;
  if (!name)
    return ow_import_no_memory(err);
  OW_TRY(constant_value(c, scope, &bound, name, &value, err));
  return ow_strmap_put(&scope->values, n->output[0], value) ? ONWARD_OK : ow_import_no_memory(err);
}

/* ---- operators ---------------------------------------------------------------------------------------------------------------------- */

static onward_status import_operator(ow_importer *c, ow_scope *scope, const OwOnnx__NodeProto *n, size_t index,
                                     onward_error *err) {
  int32_t version = 0;
  if (strcmp(ow_domain(n->domain), "onward") == 0)
    return ow_fail(err, ONWARD_MODEL, "the domain 'onward' is Onward's own; a model cannot use it");
  OW_TRY(ow_import_version(c, scope, ow_domain(n->domain), &version, err));
  if (!ow_reserve(c->allocator, &c->slots, &c->slot_capacity, 0, n->n_input + n->n_output + 1, sizeof *c->slots))
    return ow_import_no_memory(err);
  ow_value **inputs = c->slots, **outputs = c->slots + n->n_input;
  for (size_t i = 0; i < n->n_input; i++) {
    inputs[i] = NULL;
    if (n->input[i][0] && !ow_scope_find(scope, n->input[i], &inputs[i]))
      return ow_fail(err, ONWARD_MODEL, "input %zu '%.160s' is not made before", i, n->input[i]);
  }
  ow_graph *graph = scope->graph;
  for (size_t i = 0; i < n->n_output; i++) {
    outputs[i] = NULL;
    if (!n->output[i][0])
      continue;
    const char *name = ow_scope_name(c, scope, n->output[i]);
    outputs[i] = name ? ow_graph_add_value(graph, name) : NULL;
    if (!outputs[i])
      return ow_import_no_memory(err);
  }
  const char *name = ow_text(n->name);
  if (scope->is_body)
    name = ow_scope_name(c, scope, name[0] ? name : ow_text(n->op_type));
  graph->next_node_index = scope->is_body ? (*scope->next_index)++ : (uint32_t)index;
  ow_node *node = name ? ow_graph_add_node(graph, NULL, name, ow_domain(n->domain), n->op_type, version, inputs,
                                           n->n_input, outputs, n->n_output)
                       : NULL;
  if (!node)
    return ow_import_no_memory(err);
  OW_TRY(ow_import_attrs(c, scope, n, node, err));
  /* Only now do the outputs have names: a subgraph of the node does not see them. */
  for (size_t i = 0; i < n->n_output; i++)
    if (node->outputs[i] && !ow_strmap_put(&scope->values, n->output[i], node->outputs[i]))
      return ow_import_no_memory(err);
  return ONWARD_OK;
}

static onward_status import_node(ow_importer *c, ow_scope *scope, const OwOnnx__NodeProto *n, size_t index,
                                 onward_error *err) {
  const uint64_t wide = scope->call ? (n->n_input + n->n_output) / 16 : 0;
  OW_TRY(ow_import_charge(c, 1 + wide, err));
  if (!ow_text(n->op_type)[0])
    return ow_fail(err, ONWARD_MODEL, "has no op_type");
  bool no_memory;
  const OwOnnx__FunctionProto *function = ow_import_function(c, n, &no_memory);
  if (no_memory)
    return ow_import_no_memory(err);
  if (function)
    return ow_inline_call(c, scope, n, function, err);
  if (!ow_domain(n->domain)[0] && strcmp(n->op_type, "Constant") == 0)
    return import_constant(c, scope, n, err);
  return import_operator(c, scope, n, index, err);
}

onward_status ow_import_nodes(ow_importer *c, ow_scope *scope, OwOnnx__NodeProto *const *nodes, size_t count,
                              onward_error *err) {
  uint32_t *order = NULL;
  OW_TRY(ow_import_order(c, scope, nodes, count, &order, err));
  if (order)
    ow_import_warn(c, "the nodes of %s '%.120s' are not in an order that can run: sorted",
                   scope->is_body ? "function" : "graph",
                   scope->is_body ? ow_text(scope->call->function->name) : scope->graph->name);
  onward_status status = ONWARD_OK;
  for (size_t i = 0; i < count && status == ONWARD_OK; i++) {
    const size_t index = order ? order[i] : i;
    if ((status = ow_stop_check(err)) != ONWARD_OK)
      break;
    status = import_node(c, scope, nodes[index], index, err);
    if (status != ONWARD_OK)
      (void)ow_import_node_place(c, nodes[index], index, err, status);
  }
  ow_free(c->allocator, order);
  return status;
}
