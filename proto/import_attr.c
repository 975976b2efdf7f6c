/* Attributes and types. */
#include <string.h>

#include "base/size.h"
#include "proto/import.h"

/* AttributeProto.AttributeType */
enum {
  TYPE_UNDEFINED,
  TYPE_FLOAT,
  TYPE_INT,
  TYPE_STRING,
  TYPE_TENSOR,
  TYPE_GRAPH,
  TYPE_FLOATS,
  TYPE_INTS,
  TYPE_STRINGS,
  TYPE_TENSORS,
  TYPE_GRAPHS,
  TYPE_SPARSE_TENSOR,
  TYPE_SPARSE_TENSORS,
  TYPE_TYPE_PROTO,
  TYPE_TYPE_PROTOS,
  TYPE_COUNT
};

static const char *const type_names[TYPE_COUNT] = {
    "UNDEFINED", "FLOAT",   "INT",    "STRING",        "TENSOR",         "GRAPH",      "FLOATS",     "INTS",
    "STRINGS",   "TENSORS", "GRAPHS", "SPARSE_TENSOR", "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS"};

/* ---- what an attribute is -------------------------------------------------------------------------------------------------------- */

/* Bit t: the field of type t is there. */
static uint32_t present_fields(const OwOnnx__AttributeProto *a) {
  uint32_t bits = 0;
#define PRESENT(type, condition) bits |= (condition) ? UINT32_C(1) << (type) : 0
  PRESENT(TYPE_FLOAT, a->has_f);
  PRESENT(TYPE_INT, a->has_i);
  PRESENT(TYPE_STRING, a->has_s);
  PRESENT(TYPE_TENSOR, a->t != NULL);
  PRESENT(TYPE_GRAPH, a->g != NULL);
  PRESENT(TYPE_FLOATS, a->n_floats > 0);
  PRESENT(TYPE_INTS, a->n_ints > 0);
  PRESENT(TYPE_STRINGS, a->n_strings > 0);
  PRESENT(TYPE_TENSORS, a->n_tensors > 0);
  PRESENT(TYPE_GRAPHS, a->n_graphs > 0);
  PRESENT(TYPE_SPARSE_TENSOR, a->sparse_tensor != NULL);
  PRESENT(TYPE_SPARSE_TENSORS, a->n_sparse_tensors > 0);
  PRESENT(TYPE_TYPE_PROTO, a->tp != NULL);
  PRESENT(TYPE_TYPE_PROTOS, a->n_type_protos > 0);
#undef PRESENT
  return bits;
}

onward_status ow_import_attr_kind(const OwOnnx__AttributeProto *a, ow_attr_kind *kind, bool *sparse,
                                  onward_error *err) {
  static const ow_attr_kind kinds[TYPE_COUNT] = {
      [TYPE_FLOAT] = OW_ATTR_FLOAT,   [TYPE_INT] = OW_ATTR_INT,         [TYPE_STRING] = OW_ATTR_STRING,
      [TYPE_TENSOR] = OW_ATTR_TENSOR, [TYPE_GRAPH] = OW_ATTR_GRAPH,     [TYPE_FLOATS] = OW_ATTR_FLOATS,
      [TYPE_INTS] = OW_ATTR_INTS,     [TYPE_STRINGS] = OW_ATTR_STRINGS, [TYPE_TENSORS] = OW_ATTR_TENSORS,
      [TYPE_GRAPHS] = OW_ATTR_GRAPHS, [TYPE_TYPE_PROTO] = OW_ATTR_TYPE};
  const uint32_t present = present_fields(a);
  int32_t type = a->has_type ? a->type : TYPE_UNDEFINED;
  if (type < 0 || type >= TYPE_COUNT)
    return ow_fail(err, ONWARD_MODEL, "attribute type %d does not exist", type);
  if (type == TYPE_UNDEFINED) { /* files from before IR 2 give no type: the one field that is there tells it */
    if (__builtin_popcount(present) != 1)
      return ow_fail(err, ONWARD_MODEL, "attribute has no type");
    type = __builtin_ctz(present);
  }
  const uint32_t others = present & ~(UINT32_C(1) << type);
  if (others)
    return ow_fail(err, ONWARD_MODEL, "attribute of type %s holds %s", type_names[type],
                   type_names[__builtin_ctz(others)]);
  const bool single_message =
      type == TYPE_TENSOR || type == TYPE_GRAPH || type == TYPE_SPARSE_TENSOR || type == TYPE_TYPE_PROTO;
  if (single_message && !present)
    return ow_fail(err, ONWARD_MODEL, "attribute of type %s is empty", type_names[type]);
  *sparse = type == TYPE_SPARSE_TENSOR;
  *kind = kinds[type];
  if (*kind == OW_ATTR_NONE && !*sparse)
    return ow_fail(err, ONWARD_UNSUPPORTED, "attributes of type %s are not supported", type_names[type]);
  return ONWARD_OK;
}

onward_status ow_import_resolve_attr(const ow_scope *scope, const OwOnnx__AttributeProto *a, ow_bound_attr *bound,
                                     onward_error *err) {
  const char *name = ow_text(a->name), *reference = ow_text(a->ref_attr_name);
  *bound = (ow_bound_attr){name, a, scope};
  if (!name[0])
    return ow_fail(err, ONWARD_MODEL, "an attribute has no name");
  if (!reference[0])
    return ONWARD_OK;
  if (!scope->call)
    return ow_fail(err, ONWARD_MODEL, "attribute '%.80s' refers to '%.80s' of a function, outside of one", name,
                   reference);
  if (present_fields(a))
    return ow_fail(err, ONWARD_MODEL, "attribute '%.80s' refers to '%.80s' and holds a value as well", name, reference);
  bound->proto = NULL;
  for (size_t i = 0; i < scope->call->attr_count; i++) {
    const ow_bound_attr *given = &scope->call->attrs[i];
    if (strcmp(given->name, reference) != 0)
      continue;
    const int32_t want = a->has_type ? a->type : 0, got = given->proto->has_type ? given->proto->type : 0;
    if (want && got && want != got)
      return ow_fail(err, ONWARD_MODEL, "attribute '%.80s' has type %d, but '%.80s' that it refers to has %d", name,
                     want, reference, got);
    bound->proto = given->proto;
    bound->scope = given->scope;
  }
  return ONWARD_OK;
}

/* ---- payloads ------------------------------------------------------------------------------------------------------------------------ */

/* Copied into the graph's arena. Copies made again at every call of a function count as work. */
static onward_status copy_payload(ow_importer *c, const ow_scope *scope, const void *from, size_t count, size_t size,
                                  void **to, onward_error *err) {
  size_t bytes;
  if (!ow_size_mul(count, size, &bytes))
    return ow_import_no_memory(err);
  if (scope->call)
    OW_TRY(ow_import_charge(c, bytes / 4096, err));
  *to = ow_arena_alloc(&scope->graph->arena, bytes);
  if (!*to)
    return ow_import_no_memory(err);
  if (bytes && from)
    memcpy(*to, from, bytes);
  return ONWARD_OK;
}

static onward_status copy_string(ow_importer *c, const ow_scope *scope, const ProtobufCBinaryData *s, const char **out,
                                 onward_error *err) {
  void *text = NULL;
  if (s->len && memchr(s->data, 0, s->len))
    return ow_fail(err, ONWARD_MODEL, "attribute's text holds a NUL byte");
  OW_TRY(copy_payload(c, scope, NULL, s->len + 1, 1, &text, err));
  if (s->len)
    memcpy(text, s->data, s->len);
  ((char *)text)[s->len] = '\0';
  *out = text;
  return ONWARD_OK;
}

static onward_status copy_strings(ow_importer *c, const ow_scope *scope, const OwOnnx__AttributeProto *a, ow_attr *attr,
                                  onward_error *err) {
  void *table = NULL;
  OW_TRY(copy_payload(c, scope, NULL, a->n_strings, sizeof(char *), &table, err));
  for (size_t i = 0; i < a->n_strings; i++)
    OW_TRY(copy_string(c, scope, &a->strings[i], (const char **)table + i, err));
  attr->strings = table;
  attr->count = a->n_strings;
  return ONWARD_OK;
}

static onward_status copy_tensors(ow_importer *c, const ow_scope *scope, const OwOnnx__AttributeProto *a, ow_attr *attr,
                                  onward_error *err) {
  void *table = NULL;
  OW_TRY(copy_payload(c, scope, NULL, a->n_tensors, sizeof(ow_const *), &table, err));
  for (size_t i = 0; i < a->n_tensors; i++)
    OW_TRY(ow_tensor_import(&c->tensors, a->tensors[i], (const ow_const **)table + i, err));
  attr->tensors = table;
  attr->count = a->n_tensors;
  return ONWARD_OK;
}

static onward_status copy_value(ow_importer *c, const ow_scope *scope, const OwOnnx__AttributeProto *a, ow_attr *attr,
                                onward_error *err) {
  void *copy = NULL;
  switch (attr->kind) {
    case OW_ATTR_FLOAT: attr->f = a->f; return ONWARD_OK;
    case OW_ATTR_INT: attr->i = a->i; return ONWARD_OK;
    case OW_ATTR_STRING: attr->count = a->s.len; return copy_string(c, scope, &a->s, &attr->s, err);
    case OW_ATTR_TENSOR: return ow_tensor_import(&c->tensors, a->t, &attr->t, err);
    case OW_ATTR_FLOATS:
      OW_TRY(copy_payload(c, scope, a->floats, a->n_floats, sizeof *a->floats, &copy, err));
      attr->floats = copy;
      attr->count = a->n_floats;
      return ONWARD_OK;
    case OW_ATTR_INTS:
      OW_TRY(copy_payload(c, scope, a->ints, a->n_ints, sizeof *a->ints, &copy, err));
      attr->ints = copy;
      attr->count = a->n_ints;
      return ONWARD_OK;
    case OW_ATTR_STRINGS: return copy_strings(c, scope, a, attr, err);
    case OW_ATTR_TENSORS: return copy_tensors(c, scope, a, attr, err);
    case OW_ATTR_TYPE: {
      ow_type type;
      OW_TRY(ow_import_type(c, scope->graph->dims, a->tp, attr->name, &type, err));
      OW_TRY(copy_payload(c, scope, &type, 1, sizeof type, &copy, err));
      attr->type = copy;
      return ONWARD_OK;
    }
    default: return ow_fail(err, ONWARD_INTERNAL, "no way to read an attribute of kind %d", (int)attr->kind);
  }
}

/* Graphs are attached to the node before they are filled: then whoever frees the graph frees them too. */
static onward_status add_graphs(ow_importer *c, const ow_bound_attr *bound, ow_node *node, ow_attr *attr,
                                onward_error *err) {
  ow_graph *graph = node->graph;
  OwOnnx__GraphProto *const single[1] = {bound->proto->g};
  OwOnnx__GraphProto *const *protos = attr->kind == OW_ATTR_GRAPH ? single : bound->proto->graphs;
  const size_t count = attr->kind == OW_ATTR_GRAPH ? 1 : bound->proto->n_graphs;
  ow_graph **made = ow_arena_zero(&graph->arena, count, sizeof *made);
  size_t done = 0;
  while (made && done < count && (made[done] = ow_graph_create(c->allocator, graph->weights, graph->dims)) != NULL)
    done++;
  attr->count = count;
  if (attr->kind == OW_ATTR_GRAPHS)
    attr->graphs = made;
  else if (made)
    attr->g = made[0];
  if (!made || done < count || !ow_node_add_attr(node, attr)) {
    while (done > 0)
      ow_graph_free(made[--done]);
    return ow_import_no_memory(err);
  }
  for (size_t i = 0; i < count; i++) {
    const onward_status status = ow_import_graph(c, protos[i], bound->scope, bound->scope->call, made[i], err);
    if (status != ONWARD_OK) {
      if (attr->kind == OW_ATTR_GRAPHS)
        ow_import_place(err, "graph #%zu", i);
      return status;
    }
  }
  return ONWARD_OK;
}

static onward_status add_attr(ow_importer *c, const ow_scope *scope, const ow_bound_attr *bound, ow_node *node,
                              onward_error *err) {
  ow_attr attr = {.name = bound->name};
  bool sparse;
  OW_TRY(ow_import_attr_kind(bound->proto, &attr.kind, &sparse, err));
  if (sparse)
    return ow_fail(err, ONWARD_UNSUPPORTED, "sparse tensors are supported in Constant only");
  if (attr.kind == OW_ATTR_GRAPH || attr.kind == OW_ATTR_GRAPHS)
    return add_graphs(c, bound, node, &attr, err);
  OW_TRY(copy_value(c, scope, bound->proto, &attr, err));
  return ow_node_add_attr(node, &attr) ? ONWARD_OK : ow_import_no_memory(err);
}

/* No name twice. A map only where there are many: files may give a node any number of attributes. */
static onward_status check_names(ow_importer *c, const OwOnnx__NodeProto *n, onward_error *err) {
  enum { FEW = 16 };
  ow_strmap names;
  ow_strmap_init(&names, c->allocator);
  onward_status status = ONWARD_OK;
  for (size_t i = 0; i < n->n_attribute && status == ONWARD_OK; i++) {
    const char *name = ow_text(n->attribute[i]->name);
    bool twice = false;
    if (n->n_attribute > FEW)
      twice = ow_strmap_has(&names, name);
    else
      for (size_t j = 0; j < i; j++)
        twice |= strcmp(ow_text(n->attribute[j]->name), name) == 0;
    if (twice)
      status = ow_fail(err, ONWARD_MODEL, "attribute '%.80s' is given twice", name);
    else if (n->n_attribute > FEW && !ow_strmap_put(&names, name, c))
      status = ow_import_no_memory(err);
  }
  ow_strmap_free(&names);
  return status;
}

onward_status ow_import_attrs(ow_importer *c, const ow_scope *scope, const OwOnnx__NodeProto *n, ow_node *node,
                              onward_error *err) {
  OW_TRY(check_names(c, n, err));
  if (scope->call)
    OW_TRY(ow_import_charge(c, n->n_attribute / 16, err));
  for (size_t i = 0; i < n->n_attribute; i++) {
    ow_bound_attr bound;
    OW_TRY(ow_import_resolve_attr(scope, n->attribute[i], &bound, err));
    if (!bound.proto)
      continue;
    const onward_status status = add_attr(c, scope, &bound, node, err);
    if (status != ONWARD_OK) {
      ow_import_place(err, "attribute '%.80s'", bound.name);
      return status;
    }
  }
  return ONWARD_OK;
}

/* ---- types ----------------------------------------------------------------------------------------------------------------------------- */

static onward_status import_shape(ow_importer *c, ow_dims *dims, const OwOnnx__TensorShapeProto *s, const char *what,
                                  ow_shape *shape, onward_error *err) {
  if (s->n_dim > ONWARD_MAX_RANK)
    return ow_fail(err, ONWARD_UNSUPPORTED, "'%.160s' has rank %zu, above %d", what, s->n_dim, ONWARD_MAX_RANK);
  shape->rank = (int32_t)s->n_dim;
  for (size_t i = 0; i < s->n_dim; i++) {
    const OwOnnx__TensorShapeProto__Dimension *d = s->dim[i];
    if (d->has_dim_value && d->dim_value < 0 && dims)
      ow_import_warn(c, "dimension %zu of '%.160s' is %lld: taken as free", i, what, (long long)d->dim_value);
    if (d->has_dim_value && d->dim_value >= 0)
      shape->dims[i] = ow_dim_const(d->dim_value);
    else if (dims)
      shape->dims[i] = ow_dim_symbol(dims, ow_text(d->dim_param));
  }
  return ow_dims_failed(dims) ? ow_import_no_memory(err) : ONWARD_OK;
}

/* What a sequence or optional holds, down to its tensors. */
static const OwOnnx__TypeProto *element_type(const OwOnnx__TypeProto *t) {
  if (t->sequence_type)
    return t->sequence_type->elem_type;
  return t->optional_type ? t->optional_type->elem_type : NULL;
}

onward_status ow_import_type(ow_importer *c, ow_dims *dims, const OwOnnx__TypeProto *t, const char *what, ow_type *type,
                             onward_error *err) {
  *type = (ow_type){.shape.rank = -1};
  for (int level = 0;; level++) {
    const int kinds = (t->tensor_type != NULL) + (t->sequence_type != NULL) + (t->map_type != NULL) +
                      (t->sparse_tensor_type != NULL) + (t->optional_type != NULL);
    if (kinds != 1)
      return ow_fail(err, ONWARD_MODEL, "the type of '%.160s' is %s", what, kinds ? "several at once" : "empty");
    if (t->map_type || t->sparse_tensor_type)
      return ow_fail(err, ONWARD_UNSUPPORTED, "'%.160s' is a %s, which is not supported", what,
                     t->map_type ? "map" : "sparse tensor");
    if (t->tensor_type)
      break;
    if (level == 0)
      type->kind = t->sequence_type ? OW_VALUE_SEQUENCE : OW_VALUE_OPTIONAL;
    else if (level == 1 && type->kind == OW_VALUE_OPTIONAL && t->sequence_type)
      type->inner = OW_VALUE_SEQUENCE;
    else if (t->optional_type || type->kind == OW_VALUE_SEQUENCE || level > 1)
      return ow_fail(err, ONWARD_UNSUPPORTED,
                     "'%.160s' is a sequence of sequences or of optionals, which is not supported", what);
    t = element_type(t);
    if (!t)
      return ow_fail(err, ONWARD_MODEL, "the type of '%.160s' lacks that of its elements", what);
  }
  const onward_status status =
      ow_dtype_check(t->tensor_type->has_elem_type ? t->tensor_type->elem_type : 0, &type->dtype, err);
  if (status != ONWARD_OK) {
    ow_import_place(err, "'%.160s'", what);
    return status;
  }
  return t->tensor_type->shape ? import_shape(c, dims, t->tensor_type->shape, what, &type->shape, err) : ONWARD_OK;
}

onward_status ow_import_hint(ow_importer *c, ow_dims *dims, const OwOnnx__TypeProto *t, const char *what, ow_type *type,
                             onward_error *err) {
  *type = (ow_type){.shape.rank = -1};
  const OwOnnx__TypeProto *leaf = t;
  while (leaf && !leaf->tensor_type)
    leaf = element_type(leaf);
  const bool says_nothing = !leaf || !leaf->tensor_type->has_elem_type || leaf->tensor_type->elem_type == 0;
  return says_nothing ? ONWARD_OK : ow_import_type(c, dims, t, what, type, err);
}
