/* The model around the graph: opsets, local functions, metadata; and what all of the import uses. */
#include "proto/import.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/format.h"

#define OPSETS_MAX 256
#define IR_VERSION_MAX 99   /* beyond: not a version number */
#define IR_VERSION_KNOWN 14 /* of ONNX 1.23 */

/* ---- messages ---------------------------------------------------------------------------------------------------------------- */

void ow_import_warn(const ow_importer *c, const char *format, ...) {
  if (!c->warn)
    return;
  char text[ONWARD_ERROR_MESSAGE_SIZE];
  const int n = snprintf(text, sizeof text, "%.160s: ", c->title);
  const size_t used = n < 0 ? 0 : (size_t)n;
  va_list args;
  va_start(args, format);
  const size_t length = ow_vformat(text + used, sizeof text - used, format, args);
  va_end(args);
  const size_t end = used + (length < sizeof text - used ? length : sizeof text - used - 1);
  text[ow_text_clean(text, end)] = '\0';
  c->warn(c->warn_context, text);
}

onward_status ow_import_no_memory(onward_error *err) {
  return ow_fail(err, ONWARD_MEMORY, "no memory to build the graph");
}

void ow_import_place(onward_error *err, const char *format, ...) {
  enum { LONG = 250 };
  if (!err || strncmp(err->message, "...: ", 5) == 0)
    return;
  if (strlen(err->message) > LONG) {
    ow_error_prefix(err, "...");
    return;
  }
  char text[256];
  va_list args;
  va_start(args, format);
  (void)ow_vformat(text, sizeof text, format, args);
  va_end(args);
  ow_error_prefix(err, "%s", text);
}

onward_status ow_import_node_place(const ow_importer *c, const OwOnnx__NodeProto *n, size_t index, onward_error *err,
                                   onward_status status) {
  const char *domain = ow_domain(n->domain);
  ow_import_place(err, "node #%zu '%.80s' (%.40s %.60s, byte %zu)", index, ow_text(n->name),
                  domain[0] ? domain : "ai.onnx", ow_text(n->op_type), c->tensors.wire->nodes[n->place]);
  return status;
}

onward_status ow_import_node_fail(const ow_importer *c, const OwOnnx__NodeProto *n, size_t index, onward_error *err,
                                  onward_status status, const char *format, ...) {
  char text[ONWARD_ERROR_MESSAGE_SIZE];
  va_list args;
  va_start(args, format);
  (void)ow_vformat(text, sizeof text, format, args);
  va_end(args);
  return ow_import_node_place(c, n, index, err, ow_fail(err, status, "%s", text));
}

/* ---- limits ------------------------------------------------------------------------------------------------------------------- */

onward_status ow_import_charge(ow_importer *c, uint64_t nodes, onward_error *err) {
  if (nodes > c->limits.nodes || c->expanded > c->limits.nodes - nodes)
    return ow_fail(err, ONWARD_LIMIT,
                   "nodes, with functions expanded, are above the limit nodes of %llu (--limit nodes=N)",
                   (unsigned long long)c->limits.nodes);
  c->expanded += nodes;
  return ONWARD_OK;
}

onward_status ow_import_enter(ow_importer *c, onward_error *err) {
  /* The prescan bounds graphs in graphs; calls come on top. */
  if (c->depth >= c->limits.depth * 2)
    return ow_fail(err, ONWARD_LIMIT,
                   "subgraphs and calls of functions are nested above the limit depth of %llu (--limit depth=N)",
                   (unsigned long long)c->limits.depth);
  c->depth++;
  return ONWARD_OK;
}

/* ---- scopes ------------------------------------------------------------------------------------------------------------------- */

bool ow_scope_find(const ow_scope *scope, const char *name, ow_value **value) {
  for (; scope; scope = scope->parent) {
    if (ow_strmap_has(&scope->values, name)) {
      *value = ow_strmap_get(&scope->values, name);
      return true;
    }
  }
  return false;
}

/* Names inside bodies are cut: they are for people, and a long one would be copied at every call. */
static int short_length(const char *name) {
  size_t n = strlen(name);
  if (n > 120) {
    n = 120;
    while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
      n--;
  }
  return (int)n;
}

const char *ow_scope_name(ow_importer *c, const ow_scope *scope, const char *name) {
  if (!scope->is_body)
    return name;
  const char *outside = ow_strmap_get(&scope->call->renamed, name);
  return outside ? outside : ow_arena_printf(&c->scratch, "%s/%.*s", scope->call->prefix, short_length(name), name);
}

/* ---- opsets and functions ---------------------------------------------------------------------------------------------------------- */

onward_status ow_import_opsets(OwOnnx__OperatorSetIdProto *const *imports, size_t count, ow_arena *arena,
                               const ow_opset **opsets, size_t *opset_count, onward_error *err) {
  if (count > OPSETS_MAX)
    return ow_fail(err, ONWARD_MODEL, "%zu opset imports, above %d", count, OPSETS_MAX);
  ow_opset *made = ow_arena_zero(arena, count ? count : 1, sizeof *made);
  if (!made)
    return ow_import_no_memory(err);
  for (size_t i = 0; i < count; i++) {
    const char *domain = ow_domain(imports[i]->domain), *shown = domain[0] ? domain : "ai.onnx";
    const int64_t version = imports[i]->has_version ? imports[i]->version : 0;
    if (version < 1 || version > INT32_MAX)
      return ow_fail(err, ONWARD_MODEL, "opset import of '%s' has version %lld", shown, (long long)version);
    for (size_t j = 0; j < i; j++)
      if (strcmp(made[j].domain, domain) == 0 && made[j].version != version)
        return ow_fail(err, ONWARD_MODEL, "opset of '%s' is imported twice, as %lld and %lld", shown,
                       (long long)made[j].version, (long long)version);
    made[i].domain = ow_arena_strdup(arena, domain);
    made[i].version = version;
    if (!made[i].domain)
      return ow_import_no_memory(err);
  }
  *opsets = made;
  *opset_count = count;
  return ONWARD_OK;
}

static int64_t opset_in(const ow_opset *opsets, size_t count, const char *domain) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(opsets[i].domain, domain) == 0)
      return opsets[i].version;
  return 0;
}

onward_status ow_import_version(const ow_importer *c, const ow_scope *scope, const char *domain, int32_t *version,
                                onward_error *err) {
  int64_t found = scope->call ? opset_in(scope->call->opsets, scope->call->opset_count, domain) : 0;
  if (!found)
    found = opset_in(c->opsets, c->opset_count, domain);
  /* Files from before IR 3 import nothing, and exporters forget the domains of contrib operators. */
  if (!found && (domain[0] || c->ir_version < 3))
    found = 1;
  if (!found)
    return ow_fail(err, ONWARD_MODEL, "the model imports no opset of ai.onnx");
  *version = (int32_t)found;
  return ONWARD_OK;
}

/* Lengths first: no text can look like another triple. */
static bool function_key(const ow_allocator *a, const char *domain, const char *name, const char *overload,
                         char *buffer, size_t size, char **key) {
  const int length = snprintf(buffer, size, "%zu:%zu:%s%s%s", strlen(domain), strlen(name), domain, name, overload);
  if (length < 0)
    return false;
  *key = buffer;
  if ((size_t)length < size)
    return true;
  *key = ow_alloc(a, (size_t)length + 1);
  if (*key)
    (void)snprintf(*key, (size_t)length + 1, "%zu:%zu:%s%s%s", strlen(domain), strlen(name), domain, name, overload);
  return *key != NULL;
}

const OwOnnx__FunctionProto *ow_import_function(ow_importer *c, const OwOnnx__NodeProto *n, bool *no_memory) {
  *no_memory = false;
  if (c->functions.count == 0)
    return NULL;
  char buffer[256], *key;
  if (!function_key(c->allocator, ow_domain(n->domain), ow_text(n->op_type), ow_text(n->overload), buffer,
                    sizeof buffer, &key)) {
    *no_memory = true;
    return NULL;
  }
  const OwOnnx__FunctionProto *found = ow_strmap_get(&c->functions, key);
  if (key != buffer)
    ow_free(c->allocator, key);
  return found;
}

static onward_status index_functions(ow_importer *c, const OwOnnx__ModelProto *model, onward_error *err) {
  for (size_t i = 0; i < model->n_functions; i++) {
    OwOnnx__FunctionProto *f = model->functions[i];
    const char *domain = ow_domain(f->domain), *name = ow_text(f->name), *overload = ow_text(f->overload);
    if (!name[0])
      return ow_fail(err, ONWARD_MODEL, "function #%zu has no name", i);
    char buffer[256], *key;
    if (!function_key(c->allocator, domain, name, overload, buffer, sizeof buffer, &key))
      return ow_import_no_memory(err);
    char *kept = ow_arena_strdup(&c->scratch, key);
    if (key != buffer)
      ow_free(c->allocator, key);
    if (!kept)
      return ow_import_no_memory(err);
    if (ow_strmap_has(&c->functions, kept))
      return ow_fail(err, ONWARD_MODEL, "function '%s.%s' is defined twice", domain, name);
    if (!ow_strmap_put(&c->functions, kept, f))
      return ow_import_no_memory(err);
  }
  return ONWARD_OK;
}

/* ---- the model -------------------------------------------------------------------------------------------------------------------- */

static onward_status import_header(ow_importer *c, const OwOnnx__ModelProto *model, ow_graph *graph,
                                   onward_error *err) {
  if (!model->has_ir_version)
    return ow_fail(err, ONWARD_MODEL, "has no ir_version");
  if (model->ir_version < 1 || model->ir_version > IR_VERSION_MAX)
    return ow_fail(err, ONWARD_UNSUPPORTED, "ir_version %lld is outside [1,%d]", (long long)model->ir_version,
                   IR_VERSION_MAX);
  if (model->ir_version > IR_VERSION_KNOWN)
    ow_import_warn(c, "ir_version %lld is newer than %d, the last one known here", (long long)model->ir_version,
                   IR_VERSION_KNOWN);
  c->ir_version = graph->ir_version = model->ir_version;
  const char *name = ow_text(model->producer_name), *version = ow_text(model->producer_version);
  graph->producer = ow_arena_printf(&graph->arena, "%s%s%s", name, name[0] && version[0] ? " " : "", version);
  const ow_opset *opsets;
  OW_TRY(
      ow_import_opsets(model->opset_import, model->n_opset_import, &graph->arena, &opsets, &graph->opset_count, err));
  graph->opsets = ow_arena_zero(&graph->arena, graph->opset_count, sizeof *graph->opsets);
  graph->metadata = ow_arena_zero(&graph->arena, model->n_metadata_props, sizeof *graph->metadata);
  if (!graph->producer || !graph->opsets || !graph->metadata)
    return ow_import_no_memory(err);
  if (graph->opset_count)
    memcpy(graph->opsets, opsets, graph->opset_count * sizeof *opsets);
  c->opsets = graph->opsets;
  c->opset_count = graph->opset_count;
  for (size_t i = 0; i < model->n_metadata_props; i++) {
    const char *key = ow_arena_strdup(&graph->arena, ow_text(model->metadata_props[i]->key));
    const char *value = ow_arena_strdup(&graph->arena, ow_text(model->metadata_props[i]->value));
    if (!key || !value)
      return ow_import_no_memory(err);
    graph->metadata[graph->metadata_count++] = (ow_metadata){key, value};
  }
  return ONWARD_OK;
}

onward_status ow_import_model(ow_importer *c, const OwOnnx__ModelProto *model, ow_arena *weights, ow_graph **graph,
                              onward_error *err) {
  if (!model->graph)
    return ow_fail(err, ONWARD_MODEL, "has no graph");
  ow_graph *made = ow_graph_create(c->allocator, weights, c->dims);
  if (!made)
    return ow_import_no_memory(err);
  onward_status status = import_header(c, model, made, err);
  if (status == ONWARD_OK)
    status = index_functions(c, model, err);
  if (status == ONWARD_OK && model->graph->n_output == 0)
    status = ow_fail(err, ONWARD_MODEL, "graph '%.120s' has no outputs", ow_text(model->graph->name));
  if (status == ONWARD_OK)
    status = ow_import_graph(c, model->graph, NULL, NULL, made, err);
  if (status == ONWARD_OK)
    *graph = made;
  else
    ow_graph_free(made);
  return status;
}
