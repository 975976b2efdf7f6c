/* cse: of nodes that compute the same from the same, one stays; so with small constants and shape constants. */
#include <string.h>

#include "graph/pass_util.h"

#define CONST_BYTES 4096 /* larger constants are not compared */

typedef struct entry {
  uint64_t hash;
  ow_node *node;
  ow_value *value;
} entry;

typedef struct table {
  entry *entries;
  size_t size; /* a power of two, at least twice what goes in */
} table;

static uint64_t mix(uint64_t h, uint64_t x) {
  h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
  return h ^ h >> 29;
}

static uint64_t mix_bytes(uint64_t h, const void *data, size_t size) {
  const unsigned char *const p = data;
  for (size_t i = 0; i < size; i++)
    h = mix(h, p[i]);
  return mix(h, size);
}

static uint64_t mix_text(uint64_t h, const char *text) { return mix_bytes(h, text, strlen(text)); }

static bool same_dims(const ow_dim *a, const ow_dim *b, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!ow_dim_equal(a[i], b[i]))
      return false;
  return true;
}

/* ---- values without producer ----------------------------------------------------------------------------------------- */

static bool is_plain_const(const ow_value *v) {
  return v->constant && v->constant->dtype != ONWARD_STRING && v->constant->bytes <= CONST_BYTES;
}

static bool is_shape_const(const ow_value *v) {
  return !v->constant && !v->producer && !v->is_input && v->type.elems && v->type.shape.rank >= 0;
}

static uint64_t value_hash(const ow_value *v) {
  uint64_t h = mix(1, (uint64_t)v->type.dtype);
  if (v->constant)
    return mix_bytes(mix_bytes(h, v->constant->dims, (size_t)v->constant->rank * sizeof *v->constant->dims),
                     v->constant->data, v->constant->bytes);
  for (size_t i = 0; i < v->type.elem_count; i++)
    h = mix(mix(h, (uint64_t)v->type.elems[i].k), (uint64_t)v->type.elems[i].x);
  return h;
}

static bool same_value(const ow_value *a, const ow_value *b) {
  if (a->constant && b->constant)
    return a->constant->dtype == b->constant->dtype && a->constant->rank == b->constant->rank &&
           a->constant->bytes == b->constant->bytes &&
           memcmp(a->constant->dims, b->constant->dims, (size_t)a->constant->rank * sizeof *a->constant->dims) == 0 &&
           (a->constant->bytes == 0 || memcmp(a->constant->data, b->constant->data, a->constant->bytes) == 0);
  return !a->constant && !b->constant && a->type.dtype == b->type.dtype &&
         ow_shape_equal(&a->type.shape, &b->type.shape) && a->type.elem_count == b->type.elem_count &&
         same_dims(a->type.elems, b->type.elems, a->type.elem_count);
}

/* ---- nodes --------------------------------------------------------------------------------------------------------------- */

static bool is_comparable(const ow_node *node) {
  if (!node->op || node->op->flags & OW_OP_NONDETERMINISTIC || node->output_count == 0)
    return false;
  for (size_t i = 0; i < node->attr_count; i++)
    switch (node->attrs[i].kind) {
      case OW_ATTR_GRAPH:
      case OW_ATTR_GRAPHS:
      case OW_ATTR_TENSORS:
      case OW_ATTR_TYPE: return false;
      default: break;
    }
  return true;
}

static bool swaps(const ow_node *node) { return node->op->flags & OW_OP_COMMUTATIVE && node->input_count == 2; }

static uint64_t node_hash(const ow_node *node) {
  uint64_t h = mix(mix_text(mix_text(2, node->domain), node->type), (uint64_t)node->version);
  uint64_t inputs = 0;
  for (size_t i = 0; i < node->input_count; i++) {
    const uint64_t one = mix(3, (uint64_t)(uintptr_t)node->inputs[i]);
    inputs = swaps(node) ? inputs + one : mix(inputs, one);
  }
  return mix(mix(h, inputs), node->attr_count);
}

static bool same_tensor(const ow_const *a, const ow_const *b) {
  return a == b || (a->dtype == b->dtype && a->dtype != ONWARD_STRING && a->rank == b->rank && a->bytes == b->bytes &&
                    a->bytes <= CONST_BYTES && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0 &&
                    (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0));
}

static bool same_attr(const ow_attr *a, const ow_attr *b) {
  if (strcmp(a->name, b->name) != 0 || a->kind != b->kind)
    return false;
  switch (a->kind) {
    case OW_ATTR_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case OW_ATTR_INT: return a->i == b->i;
    case OW_ATTR_STRING: return a->count == b->count && memcmp(a->s, b->s, a->count) == 0;
    case OW_ATTR_TENSOR: return same_tensor(a->t, b->t);
    case OW_ATTR_FLOATS:
      return a->count == b->count && (a->count == 0 || memcmp(a->floats, b->floats, a->count * sizeof *a->floats) == 0);
    case OW_ATTR_INTS:
      return a->count == b->count && (a->count == 0 || memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0);
    case OW_ATTR_STRINGS:
      for (size_t i = 0; i < a->count && a->count == b->count; i++)
        if (strcmp(a->strings[i], b->strings[i]) != 0)
          return false;
      return a->count == b->count;
    default: return false;
  }
}

static bool same_inputs(const ow_node *a, const ow_node *b) {
  if (a->input_count != b->input_count)
    return false;
  if (swaps(a) && a->inputs[0] == b->inputs[1] && a->inputs[1] == b->inputs[0])
    return true;
  return a->input_count == 0 || memcmp(a->inputs, b->inputs, a->input_count * sizeof(ow_value *)) == 0;
}

static bool same_node(const ow_node *a, const ow_node *b) {
  if (strcmp(a->type, b->type) != 0 || strcmp(a->domain, b->domain) != 0 || a->version != b->version ||
      !same_inputs(a, b) || a->output_count != b->output_count || a->attr_count != b->attr_count)
    return false;
  for (size_t i = 0; i < a->attr_count; i++)
    if (!same_attr(&a->attrs[i], &b->attrs[i]))
      return false;
  for (size_t i = 0; i < a->output_count; i++) {
    const ow_value *const x = a->outputs[i], *const y = b->outputs[i];
    if (!x != !y || (x && (x->type.kind != y->type.kind || x->type.dtype != y->type.dtype)))
      return false;
    /* dims that depend on data are their own in each twin: downstream types would not fit */
    if (x && x->type.shape.rank >= 0 && !ow_shape_equal(&x->type.shape, &y->type.shape))
      return false;
  }
  return true;
}

/* The twin seen before, or NULL and the entry is added. */
static entry *find_or_add(table *t, const entry *e) {
  for (size_t at = (size_t)e->hash & (t->size - 1);; at = (at + 1) & (t->size - 1)) {
    entry *const have = &t->entries[at];
    if (!have->node && !have->value) {
      *have = *e;
      return NULL;
    }
    if (have->hash == e->hash && ((e->node && have->node && same_node(e->node, have->node)) ||
                                  (e->value && have->value && same_value(e->value, have->value))))
      return have;
  }
}

static onward_status merge_values(ow_graph *graph, table *t, size_t *changes) {
  const size_t count = graph->value_count;
  for (size_t i = 0; i < count; i++) {
    ow_value *const v = graph->values[i];
    if (!v || v->use_count == 0 || v->output_count > 0 || !(is_plain_const(v) || is_shape_const(v)))
      continue;
    const entry e = {value_hash(v), NULL, v};
    const entry *const twin = find_or_add(t, &e);
    if (!twin)
      continue;
    if (!ow_graph_replace_value(graph, v, twin->value))
      return ONWARD_MEMORY;
    (*changes)++;
  }
  return ONWARD_OK;
}

static onward_status merge_nodes(ow_graph *graph, table *t, size_t *changes) {
  for (ow_node *node = graph->first, *next; node; node = next) {
    next = node->next;
    if (!is_comparable(node))
      continue;
    const entry e = {node_hash(node), node, NULL};
    const entry *const twin = find_or_add(t, &e);
    if (!twin)
      continue;
    for (size_t i = 0; i < node->output_count; i++)
      if (node->outputs[i] && !ow_graph_replace_value(graph, node->outputs[i], twin->node->outputs[i]))
        return ONWARD_MEMORY;
    ow_graph_remove_node(graph, node);
    (*changes)++;
  }
  return ONWARD_OK;
}

onward_status ow_pass_cse(ow_pass_context *context, size_t *changes) {
  ow_graph *const graph = context->graph;
  table t = {.entries = NULL, .size = 64};
  while (t.size < 2 * (graph->node_count + graph->value_count))
    t.size *= 2;
  t.entries = ow_alloc_zero(graph->allocator, t.size, sizeof *t.entries);
  if (!t.entries)
    return ow_pass_no_memory(context);
  onward_status status = merge_values(graph, &t, changes);
  if (status == ONWARD_OK)
    status = merge_nodes(graph, &t, changes);
  ow_free(graph->allocator, t.entries);
  return status == ONWARD_OK ? ONWARD_OK : ow_pass_no_memory(context);
}

onward_status ow_pass_tidy(ow_pass_context *context, size_t *changes) {
  OW_TRY(ow_pass_cse(context, changes));
  return ow_pass_dce(context, changes);
}
