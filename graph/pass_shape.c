/* shape: integers that are known let go of the nodes that compute them.
 *
 *     x --> Shape --> Gather --> Concat --> Reshape         becomes         [batch, -1, 12, 64] --> Reshape
 *
 * Plain numbers become constants; elements with symbols become a shape constant, a value without producer that is computed
 * when shapes are bound. */
#include <string.h>

#include "graph/pass_util.h"

static bool all_plain(const ow_type *type) {
  for (size_t i = 0; i < type->elem_count; i++)
    if (!ow_dim_is_const(type->elems[i]))
      return false;
  return true;
}

static bool is_known(const ow_dims *pool, const ow_value *v) {
  if (v->type.kind != OW_VALUE_TENSOR || !v->type.elems || v->type.elem_count > OW_MAX_ELEMS || v->type.shape.rank < 0)
    return false;
  int64_t count = 1;
  for (int32_t d = 0; d < v->type.shape.rank; d++)
    if (!ow_dim_is_const(v->type.shape.dims[d]) || v->type.shape.dims[d].k < 0 ||
        !ow_i64_mul(count, v->type.shape.dims[d].k, &count))
      return false;
  if ((uint64_t)count != v->type.elem_count)
    return false;
  for (size_t i = 0; i < v->type.elem_count; i++)
    if (ow_dim_is_unknown(v->type.elems[i]) || !ow_dim_evaluable(pool, v->type.elems[i]))
      return false;
  return true;
}

/* The constant of plain elements; NULL without memory or for a type that cannot be written. */
static const ow_const *make_const(ow_graph *graph, const ow_type *type) {
  ow_const *const c = ow_arena_zero(graph->weights, 1, sizeof *c);
  if (!c)
    return NULL;
  c->dtype = type->dtype;
  c->rank = type->shape.rank;
  for (int32_t d = 0; d < c->rank; d++)
    c->dims[d] = type->shape.dims[d].k;
  void *data;
  if (!ow_tensor_size(c->dtype, c->rank, c->dims, &c->bytes) || ow_dtype_size(c->dtype) == 0 ||
      !(data = ow_arena_aligned(graph->weights, c->bytes)))
    return NULL;
  for (size_t i = 0; i < type->elem_count; i++)
    ow_set_i64(c->dtype, data, (int64_t)i, type->elems[i].k);
  c->data = data;
  return c;
}

/* A new value of the same elements takes over all uses. */
static bool detach(ow_graph *graph, ow_value *v) {
  ow_value *known = NULL;
  if (all_plain(&v->type)) {
    const ow_const *const c = make_const(graph, &v->type);
    known = c ? ow_graph_add_const(graph, NULL, c) : NULL;
  } else {
    known = ow_graph_add_value(graph, NULL);
  }
  if (!known)
    return false;
  known->type = v->type;
  return ow_graph_replace_value(graph, v, known);
}

onward_status ow_pass_shape(ow_pass_context *context, size_t *changes) {
  ow_graph *const graph = context->graph;
  const uint32_t integers = OW_TYPES_INT | OW_BIT(ONWARD_BOOL);
  for (ow_node *node = graph->first, *next; node; node = next) {
    next = node->next;
    bool all = true, some = false;
    for (size_t i = 0; i < node->output_count; i++) {
      ow_value *const v = node->outputs[i];
      if (!v)
        continue;
      if (v->output_count > 0 || (unsigned)v->type.dtype >= 32 || !(integers & OW_BIT(v->type.dtype)) ||
          !is_known(graph->dims, v)) {
        all = false;
        continue;
      }
      if (v->use_count > 0) {
        if (!detach(graph, v))
          return ow_pass_no_memory(context);
        (*changes)++;
      }
      some = true;
    }
    if (all && some)
      ow_graph_remove_node(graph, node);
  }
  return ONWARD_OK;
}

onward_status ow_pass_shape_folded(ow_pass_context *context, size_t *changes) {
  return ow_pass_shape(context, changes);
}
