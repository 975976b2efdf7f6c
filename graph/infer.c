/* Inference at load: calls the rows' infer in execution order and keeps what they say on the values. */
#include "graph/infer.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/stop.h"

/* ---- one call -------------------------------------------------------------------------------------------------------- */

size_t ow_infer_out_count(const ow_node *node) {
  const uint32_t row = node->op->max_outputs == OW_ANY_COUNT ? node->op->min_outputs : node->op->max_outputs;
  return node->output_count > row ? node->output_count : row;
}

/* Rows that failed by themselves did not say where; those that used ow_infer_fail did. */
static void name_place(const ow_node *node, onward_error *err) {
  char place[320];
  onward_error wanted;
  if (!err)
    return;
  (void)ow_fail(&wanted, ONWARD_INTERNAL, "%s: ", ow_node_describe(node, place, sizeof place));
  if (strncmp(err->message, wanted.message, strlen(wanted.message)) != 0)
    ow_error_prefix(err, "%s", place);
}

/* Number of elements when every dim is plain; -1 otherwise. */
static int64_t plain_count(const ow_shape *shape) {
  int64_t dims[ONWARD_MAX_RANK], count;
  for (int32_t i = 0; i < shape->rank; i++) {
    if (!ow_dim_is_const(shape->dims[i]))
      return -1;
    dims[i] = shape->dims[i].k;
  }
  return shape->rank >= 0 && ow_dims_count(shape->rank, dims, &count) ? count : -1;
}

static onward_status check_output(const ow_node *node, ow_infer *c, size_t i) {
  ow_type *const type = &c->out[i];
  if (type->kind == OW_VALUE_TENSOR && type->dtype == ONWARD_UNDEFINED)
    return ow_node_fail(node, c->err, ONWARD_INTERNAL, "the operator gives output %zu no type", i);
  if (type->shape.rank < -1 || type->shape.rank > ONWARD_MAX_RANK)
    return ow_node_fail(node, c->err, ONWARD_INTERNAL, "the operator gives output %zu rank %d", i, type->shape.rank);
  if (type->kind == OW_VALUE_TENSOR && type->shape.rank < 0)
    c->pending = true;
  for (int32_t d = 0; d < type->shape.rank; d++) {
    if (ow_dim_is_unknown(type->shape.dims[d]))
      c->pending = true;
    else if (ow_dim_is_const(type->shape.dims[d]) && type->shape.dims[d].k < 0)
      return ow_node_fail(node, c->err, ONWARD_MODEL, "dim %d of output %zu would be %lld", d, i,
                          (long long)type->shape.dims[d].k);
  }
  if (type->elems && plain_count(&type->shape) != (int64_t)type->elem_count) {
    type->elems = NULL;
    type->elem_count = 0;
  }
  return ONWARD_OK;
}

bool ow_node_is_dynamic(const ow_node *node) {
  if (!node->op || !node->op->dynamic)
    return false;
  bool any = !node->op->kernels;
  for (size_t i = 0; i < node->input_count && !any; i++)
    any = node->inputs[i] && node->inputs[i]->type.kind != OW_VALUE_TENSOR;
  return any;
}

/* ---- pasts kept in place ---------------------------------------------------------------------------------------------------- */

bool ow_node_in_place(const ow_node *node, size_t carry) {
  return node->op && carry < node->op->carry_count && (ow_node_int(node, OW_IN_PLACE, 0) >> carry & 1);
}

const ow_value *ow_node_past(const ow_node *node, size_t out) {
  for (size_t k = 0; node->op && k < node->op->carry_count; k++)
    if (node->op->carry[k].out == out && ow_node_in_place(node, k))
      return ow_node_input(node, node->op->carry[k].in);
  return NULL;
}

void ow_shape_axis_first(ow_shape *shape, int32_t axis) {
  const ow_dim along = shape->dims[axis];
  memmove(shape->dims + 1, shape->dims, (size_t)axis * sizeof *shape->dims);
  shape->dims[0] = along;
}

void ow_shape_axis_back(ow_shape *shape, int32_t axis) {
  const ow_dim along = shape->dims[0];
  memmove(shape->dims, shape->dims + 1, (size_t)axis * sizeof *shape->dims);
  shape->dims[axis] = along;
}

#define CARRYING 16 /* inputs of an operator that keeps a past in place */

/* On its own: bodies are inferred within operators, and its types would lie on the stack at every depth. */
__attribute__((noinline)) static onward_status infer_in_place(const ow_node *node, ow_infer *c) {
  const ow_op *const op = node->op;
  ow_type in[CARRYING];
  const ow_type *const as_they_lie = c->in;
  if (c->in_count > CARRYING)
    return ow_fail(c->err, ONWARD_INTERNAL, "%zu inputs beside a past in place", c->in_count);
  memcpy(in, c->in, c->in_count * sizeof *in);
  for (size_t k = 0; k < op->carry_count; k++)
    if (ow_node_in_place(node, k) && in[op->carry[k].in].shape.rank > op->carry[k].axis)
      ow_shape_axis_back(&in[op->carry[k].in].shape, op->carry[k].axis);
  c->in = in;
  const onward_status status = op->infer(c);
  c->in = as_they_lie;
  for (size_t k = 0; k < op->carry_count && status == ONWARD_OK; k++)
    if (ow_node_in_place(node, k) && c->out[op->carry[k].out].shape.rank > op->carry[k].axis)
      ow_shape_axis_first(&c->out[op->carry[k].out].shape, op->carry[k].axis);
  return status;
}

onward_status ow_infer_call(const ow_node *node, ow_infer *c) {
  for (size_t i = 0; i < c->in_count && !(node->op->flags & OW_OP_CONTAINERS); i++)
    if (c->in[i].kind != OW_VALUE_TENSOR)
      return ow_node_fail(node, c->err, ONWARD_MODEL, "input %zu '%s' is %s, and the operator takes tensors", i,
                          node->inputs[i] ? node->inputs[i]->name : "", ow_kind_name(c->in[i].kind));
  for (size_t i = 0; i < c->out_count; i++)
    c->out[i] = (ow_type){.kind = OW_VALUE_TENSOR, .dtype = ONWARD_UNDEFINED, .shape = {.rank = -1}};
  c->pending = false;
  const bool in_place = node->op->carry_count > 0 && ow_node_int(node, OW_IN_PLACE, 0) != 0;
  const onward_status status = in_place ? infer_in_place(node, c) : node->op->infer(c);
  if (ow_dims_failed(c->dims))
    return ow_node_fail(node, c->err, ONWARD_MEMORY, "no memory for symbolic shapes");
  if (status != ONWARD_OK) {
    name_place(node, c->err);
    return status;
  }
  for (size_t i = 0; i < node->output_count && i < c->out_count; i++)
    if (node->outputs[i])
      OW_TRY(check_output(node, c, i));
  return ONWARD_OK;
}

/* ---- one node of a graph --------------------------------------------------------------------------------------------- */

#define SMALL 8 /* inputs or outputs that need no allocation */

static onward_tensor view_of(const ow_const *constant) {
  onward_tensor tensor = {.dtype = constant->dtype, .rank = constant->rank, .bytes = constant->bytes};
  memcpy(tensor.dims, constant->dims, sizeof tensor.dims);
  memcpy(&tensor.data, &constant->data, sizeof tensor.data); /* inference only reads it */
  return tensor;
}

/* A dim that waits for data is a fresh one; inferring again gives the one from the first time. */
static ow_dim known_dim(ow_dims *pool, ow_dim d, const ow_shape *old, int32_t rank, int32_t i) {
  if (!ow_dim_is_unknown(d))
    return d;
  const bool same = old->rank == rank && !ow_dim_is_const(old->dims[i]) && !ow_dim_is_unknown(old->dims[i]) &&
                    !ow_dim_evaluable(pool, old->dims[i]);
  return same ? old->dims[i] : ow_dim_fresh(pool);
}

static onward_status store(ow_graph *graph, const ow_node *node, ow_type *outs, onward_error *err) {
  for (size_t i = 0; i < node->output_count; i++) {
    ow_value *const value = node->outputs[i];
    if (!value)
      continue;
    ow_shape *const shape = &outs[i].shape;
    for (int32_t d = 0; d < shape->rank; d++)
      shape->dims[d] = known_dim(graph->dims, shape->dims[d], &value->type.shape, shape->rank, d);
    value->type = outs[i];
  }
  return ow_dims_failed(graph->dims) ? ow_node_fail(node, err, ONWARD_MEMORY, "no memory for symbolic shapes")
                                     : ONWARD_OK;
}

onward_status ow_infer_node(ow_graph *graph, ow_node *node, onward_error *err) {
  if (!node->op)
    return ow_node_fail(node, err, ONWARD_INTERNAL, "the operator is not resolved");
  const size_t in_count = node->input_count, out_count = ow_infer_out_count(node);
  ow_type small_ins[SMALL], small_outs[SMALL];
  onward_tensor small_tensors[SMALL];
  const onward_tensor *small_data[SMALL];
  ow_arena scratch;
  ow_arena_init(&scratch, graph->allocator);
  const bool few = in_count <= SMALL;
  ow_type *const ins = few ? small_ins : ow_arena_zero(&scratch, in_count, sizeof *ins);
  ow_type *const outs = out_count <= SMALL ? small_outs : ow_arena_zero(&scratch, out_count, sizeof *outs);
  onward_tensor *const tensors = few ? small_tensors : ow_arena_zero(&scratch, in_count, sizeof *tensors);
  const onward_tensor **const data = few ? small_data : ow_arena_zero(&scratch, in_count, sizeof *data);
  onward_status status = ONWARD_OK;
  if (!ins || !outs || !tensors || !data) {
    status = ow_node_fail(node, err, ONWARD_MEMORY, "no memory to infer its shapes");
    goto cleanup;
  }
  for (size_t i = 0; i < in_count; i++) {
    const ow_value *const value = node->inputs[i];
    data[i] = NULL;
    if (!value) {
      ins[i] = (ow_type){.dtype = ONWARD_UNDEFINED, .shape = {.rank = -1}};
      continue;
    }
    ins[i] = value->type;
    if (value->constant) {
      tensors[i] = view_of(value->constant);
      data[i] = &tensors[i];
    }
  }
  ow_infer c = {.node = node,
                .dims = graph->dims,
                .arena = &graph->arena,
                .in = ins,
                .data = data,
                .in_count = in_count,
                .out = outs,
                .out_count = out_count,
                .guards = graph->assume && !graph->parent ? graph : NULL, /* a body is bound by itself */
                .err = err};
  status = ow_infer_call(node, &c);
  if (status == ONWARD_OK)
    status = store(graph, node, outs, err);

cleanup:
  ow_arena_free(&scratch);
  return status;
}

onward_status ow_infer_graph(ow_graph *graph, onward_error *err) {
  OW_EACH_NODE(node, graph) {
    OW_TRY(ow_stop_check(err));
    OW_TRY(ow_infer_node(graph, node, err));
  }
  return ONWARD_OK;
}
