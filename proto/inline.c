/* Local functions are inlined: the graph after the import has none.
 *
 *     y = f(x)          f: a = Op1(in)          y's name and x's value go in, other names get the prefix of the call
 *                          out = Op2(a)   -->   f/a = Op1(x); y = Op2(f/a) */
#include <string.h>

#include "proto/import.h"

#define PREFIX_MAX 120

static onward_status check_recursion(const ow_scope *scope, const OwOnnx__FunctionProto *function, onward_error *err) {
  const ow_call *call = scope->call;
  while (call && call->function != function)
    call = call->caller;
  if (!call)
    return ONWARD_OK;
  /* The way from the first call of it to this one, walked from the end. */
  char path[300];
  size_t at = sizeof path - 1;
  path[at] = '\0';
  const char *name = ow_text(function->name);
  for (const ow_call *step = scope->call;; step = step->caller) {
    const size_t length = strnlen(name, 60);
    if (at < length + 8)
      break;
    at -= length;
    memcpy(path + at, name, length);
    if (!step)
      break;
    memcpy(path + (at -= 4), " -> ", 4);
    name = ow_text(step->function->name);
    if (step == call) {
      const size_t first = strnlen(name, 60);
      if (at >= first)
        memcpy(path + (at -= first), name, first);
      break;
    }
  }
  return ow_fail(err, ONWARD_MODEL, "function '%.80s' calls itself: %s", ow_text(function->name), path + at);
}

static const OwOnnx__AttributeProto *find_attr(const OwOnnx__NodeProto *n, const char *name) {
  for (size_t i = 0; i < n->n_attribute; i++)
    if (strcmp(ow_text(n->attribute[i]->name), name) == 0)
      return n->attribute[i];
  return NULL;
}

/* The attributes a body may refer to: what the call gives, else the default, else nothing. */
static onward_status bind_attrs(ow_importer *c, const ow_scope *scope, const ow_scope *body, const OwOnnx__NodeProto *n,
                                ow_call *call, onward_error *err) {
  const OwOnnx__FunctionProto *f = call->function;
  call->attrs = ow_arena_zero(&c->scratch, f->n_attribute + f->n_attribute_proto, sizeof *call->attrs);
  if (!call->attrs)
    return ow_import_no_memory(err);
  for (size_t i = 0; i < f->n_attribute + f->n_attribute_proto; i++) {
    const OwOnnx__AttributeProto *otherwise = i < f->n_attribute ? NULL : f->attribute_proto[i - f->n_attribute];
    const char *name = otherwise ? ow_text(otherwise->name) : f->attribute[i];
    const OwOnnx__AttributeProto *given = find_attr(n, name);
    ow_bound_attr bound = {name, otherwise, body};
    if (otherwise && ow_text(otherwise->ref_attr_name)[0])
      return ow_fail(err, ONWARD_MODEL, "the default of attribute '%.80s' refers to another", name);
    if (given)
      OW_TRY(ow_import_resolve_attr(scope, given, &bound, err));
    if (given && !bound.proto) /* refers to one that is left out itself */
      bound = (ow_bound_attr){name, otherwise, body};
    if (bound.proto)
      call->attrs[call->attr_count++] = bound;
  }
  return ONWARD_OK;
}

static onward_status bind_values(ow_importer *c, ow_scope *scope, ow_scope *body, const OwOnnx__NodeProto *n,
                                 ow_call *call, onward_error *err) {
  const OwOnnx__FunctionProto *f = call->function;
  for (size_t i = 0; i < f->n_input; i++) {
    ow_value *value = NULL;
    if (i < n->n_input && n->input[i][0] && !ow_scope_find(scope, n->input[i], &value))
      return ow_fail(err, ONWARD_MODEL, "input %zu '%.160s' is not made before", i, n->input[i]);
    if (!f->input[i][0] || ow_strmap_has(&body->values, f->input[i]))
      return ow_fail(err, ONWARD_MODEL, "function '%.80s' has no name or a second one for its input %zu",
                     ow_text(f->name), i);
    if (!ow_strmap_put(&body->values, f->input[i], value))
      return ow_import_no_memory(err);
  }
  for (size_t i = 0; i < n->n_output; i++) {
    if (!n->output[i][0] || ow_strmap_has(&call->renamed, f->output[i]))
      continue;
    const char *outside = ow_scope_name(c, scope, n->output[i]);
    if (!outside || !ow_strmap_put(&call->renamed, f->output[i], (void *)(uintptr_t)outside))
      return ow_import_no_memory(err);
  }
  return ONWARD_OK;
}

/* What the body made takes the names of the call's outputs. It may be an input handed through. */
static onward_status give_outputs(ow_scope *scope, const ow_scope *body, const OwOnnx__NodeProto *n,
                                  const OwOnnx__FunctionProto *f, onward_error *err) {
  for (size_t i = 0; i < n->n_output; i++) {
    ow_value *value = NULL;
    if (!n->output[i][0])
      continue;
    if (!ow_scope_find(body, f->output[i], &value))
      return ow_fail(err, ONWARD_MODEL, "function '%.80s' does not make its output %zu '%.80s'", ow_text(f->name), i,
                     f->output[i]);
    if (!value)
      return ow_fail(err, ONWARD_MODEL, "output %zu of function '%.80s' is an input that the call leaves out", i,
                     ow_text(f->name));
    if (!ow_strmap_put(&scope->values, n->output[i], value))
      return ow_import_no_memory(err);
  }
  return ONWARD_OK;
}

static onward_status import_body(ow_importer *c, ow_scope *scope, const OwOnnx__NodeProto *n, ow_call *call,
                                 onward_error *err) {
  const OwOnnx__FunctionProto *f = call->function;
  ow_scope body = {.call = call, .graph = scope->graph, .is_body = true, .next_index = scope->next_index};
  ow_strmap_init(&body.values, c->allocator);
  onward_status status = bind_values(c, scope, &body, n, call, err);
  if (status == ONWARD_OK)
    status = bind_attrs(c, scope, &body, n, call, err);
  if (status == ONWARD_OK)
    status = ow_import_opsets(f->opset_import, f->n_opset_import, &c->scratch, &call->opsets, &call->opset_count, err);
  if (status == ONWARD_OK)
    status = ow_import_nodes(c, &body, f->node, f->n_node, err);
  if (status == ONWARD_OK)
    status = give_outputs(scope, &body, n, f, err);
  ow_strmap_free(&body.values);
  return status;
}

onward_status ow_inline_call(ow_importer *c, ow_scope *scope, const OwOnnx__NodeProto *n,
                             const OwOnnx__FunctionProto *f, onward_error *err) {
  OW_TRY(check_recursion(scope, f, err));
  if (n->n_input > f->n_input || n->n_output > f->n_output)
    return ow_fail(err, ONWARD_MODEL, "%zu inputs and %zu outputs, but function '%.80s' has %zu and %zu", n->n_input,
                   n->n_output, ow_text(f->name), f->n_input, f->n_output);
  /* What a call costs besides its nodes, which are counted as they come. */
  OW_TRY(ow_import_charge(
      c,
      (f->n_input + f->n_output + (f->n_attribute + f->n_attribute_proto) * (1 + n->n_attribute) + f->n_opset_import) /
          16,
      err));
  OW_TRY(ow_import_enter(c, err));
  ow_call call = {.caller = scope->call, .function = f};
  ow_strmap_init(&call.renamed, c->allocator);
  const char *own = ow_text(n->name)[0] ? ow_scope_name(c, scope, n->name) : NULL;
  if (!own || strlen(own) > PREFIX_MAX)
    own = ow_arena_printf(&c->scratch, "%.40s_%u", ow_text(f->name), c->calls);
  c->calls++;
  call.prefix = own;
  const onward_status status = own ? import_body(c, scope, n, &call, err) : ow_import_no_memory(err);
  if (status != ONWARD_OK)
    ow_import_place(err, "in function '%.80s'", ow_text(f->name));
  ow_strmap_free(&call.renamed);
  ow_import_leave(c);
  return status;
}
