/* What a row of a plug-in does: calls the plug-in and does not believe what comes back. */
#include <string.h>

#include "runtime/plugin_set.h"

#define REDZONE 64 /* bytes watched behind each output and workspace with plugin_check */
#define REDZONE_BYTE 0xA5
#define FEW 4 /* outputs that need no allocation */

typedef struct step_state {
  const ow_plugin_op *op; /* NULL: nothing to destroy */
  const ow_allocator *allocator;
  void *user;
  onward_tensor few[FEW], *shown;
  size_t out_count;
  unsigned char **guarded; /* with plugin_check: by output, memory with a redzone */
  size_t workspace;
} step_state;

#define STATE_SIZE ((sizeof(step_state) + 15) & ~(size_t)15)

size_t ow_plugin_state_size(size_t wanted) {
  size_t size;
  return ow_size_add(STATE_SIZE, wanted, &size) ? size : 0;
}

/* "plug-in repeat.so: text": the node is put before it by the caller. */
static onward_status blame(const ow_plugin_op *op, const ow_node *node, onward_status status, onward_error *said,
                           const char *callback, onward_error *err) {
  char place[320];
  said->message[ONWARD_ERROR_MESSAGE_SIZE - 1] = '\0';
  (void)ow_node_describe(node, place, sizeof place);
  const char *text = said->message;
  const size_t length = strlen(place);
  if (strncmp(text, place, length) == 0 && strncmp(text + length, ": ", 2) == 0)
    text += length + 2; /* helpers name the node themselves */
  const onward_status known = status > ONWARD_OK && status <= ONWARD_INTERNAL ? status : ONWARD_PLUGIN;
  return text[0] ? ow_fail(err, known, "plug-in %s: %s", op->library, text)
                 : ow_fail(err, known, "plug-in %s: %s failed with status %d and no text", op->library, callback,
                           (int)status);
}

/* ---- infer ---------------------------------------------------------------------------------------------------------------- */

/* The port of input or output `index`; the last one stands for all that follow when it is variadic. */
static const onward_port *port_at(const onward_port *ports, uint32_t count, size_t index) {
  if (index < count)
    return &ports[index];
  return count && (ports[count - 1].flags & ONWARD_PORT_VARIADIC) ? &ports[count - 1] : NULL;
}

static bool port_takes(const onward_port *port, onward_dtype dtype) {
  const uint64_t all = OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL);
  return (unsigned)dtype < 64 && ((port->dtypes ? port->dtypes : all) & ONWARD_TYPE_BIT(dtype)) != 0;
}

static onward_status check_inputs(const ow_plugin_op *op, ow_infer *c) {
  for (size_t i = 0; i < c->in_count || i < op->desc.input_count; i++) {
    const onward_port *const port = port_at(op->desc.inputs, op->desc.input_count, i);
    if (!port)
      break;
    if (!ow_infer_has(c, i)) {
      if (!(port->flags & ONWARD_PORT_OPTIONAL))
        return ow_infer_fail(c, ONWARD_MODEL, "input %zu '%s' is required but left out", i, port->name);
    } else if (c->in[i].kind != OW_VALUE_TENSOR || !port_takes(port, c->in[i].dtype)) {
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu '%s': the operator does not take %s", i, port->name,
                           onward_dtype_name(c->in[i].dtype));
    }
  }
  return ONWARD_OK;
}

/* Everything that could ever be known is: shapes and data of all inputs. */
static bool all_known(const ow_infer *c) {
  for (size_t i = 0; i < c->in_count; i++) {
    if (!ow_infer_has(c, i))
      continue;
    if (c->in[i].shape.rank < 0 || !c->data || !c->data[i])
      return false;
  }
  return true;
}

static onward_status check_outputs(const ow_plugin_op *op, ow_infer *c, onward_error *err) {
  for (size_t o = 0; o < c->node->output_count && o < c->out_count; o++) {
    const ow_type *const type = &c->out[o];
    if (!c->node->outputs[o])
      continue;
    const onward_port *const port = port_at(op->desc.outputs, op->desc.output_count, o);
    if (!port || !port_takes(port, type->dtype))
      return ow_fail(err, ONWARD_PLUGIN,
                     "plug-in %s: infer gives output %zu the type %s, which its descriptor does not list", op->library,
                     o, type->dtype ? onward_dtype_name(type->dtype) : "of nothing");
    const ow_type *const before = &c->node->outputs[o]->type; /* of the load, when shapes are bound */
    if (before->dtype && (before->dtype != type->dtype ||
                          (before->shape.rank >= 0 && type->shape.rank >= 0 && before->shape.rank != type->shape.rank)))
      return ow_fail(err, ONWARD_PLUGIN,
                     "plug-in %s: infer gives output %zu the type %s of rank %d, and gave %s of rank %d before",
                     op->library, o, onward_dtype_name(type->dtype), type->shape.rank, onward_dtype_name(before->dtype),
                     before->shape.rank);
    bool open = type->shape.rank < 0;
    for (int32_t d = 0; d < type->shape.rank; d++)
      open = open || ow_dim_is_unknown(type->shape.dims[d]);
    if (open && all_known(c))
      return ow_fail(err, ONWARD_PLUGIN,
                     "plug-in %s: infer leaves the shape of output %zu open although all inputs are known", op->library,
                     o);
  }
  return ONWARD_OK;
}

onward_status ow_plugin_infer(ow_infer *c) {
  const ow_plugin_op *const op = ow_plugin_op_of(c->node);
  OW_TRY(check_inputs(op, c));
  onward_error said = {ONWARD_OK, ""};
  struct onward_infer call = {*c, ONWARD_OK};
  call.c.err = &said;
  onward_status status = op->desc.infer(&op->set->host, (const onward_node *)(const void *)c->node, &call, &said);
  if (status == ONWARD_OK)
    status = call.failed;
  c->pending = call.c.pending;
  return status == ONWARD_OK ? check_outputs(op, c, c->err) : blame(op, c->node, status, &said, "infer", c->err);
}

/* ---- prepare and destroy --------------------------------------------------------------------------------------------------- */

void ow_plugin_destroy(void *state) {
  step_state *const s = state;
  if (!s->op)
    return;
  if (s->op->desc.prepare && s->op->desc.destroy)
    s->op->desc.destroy(&s->op->set->host, s->user);
  for (size_t o = 0; s->guarded && o < s->out_count; o++)
    ow_free(s->allocator, s->guarded[o]);
  ow_free(s->allocator, s->guarded);
  if (s->shown != s->few)
    ow_free(s->allocator, s->shown);
  *s = (step_state){.op = NULL};
}

static bool make_guards(step_state *s, const ow_args *a) {
  if (!(s->guarded = ow_alloc_zero(s->allocator, a->out_count + 1, sizeof *s->guarded)))
    return false;
  for (size_t o = 0; o < a->out_count; o++) {
    size_t size;
    if (a->out[o] &&
        (!ow_size_add(a->out[o]->bytes, REDZONE, &size) || !(s->guarded[o] = ow_alloc(s->allocator, size))))
      return false;
  }
  return true;
}

static void show_outputs(const step_state *s, const ow_args *a) {
  for (size_t o = 0; o < a->out_count; o++) {
    if (!a->out[o])
      continue;
    s->shown[o] = *a->out[o];
    if (s->guarded) {
      s->shown[o].data = s->guarded[o];
      memset(s->guarded[o] + a->out[o]->bytes, REDZONE_BYTE, REDZONE);
    }
  }
}

onward_status ow_plugin_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  const ow_plugin_op *const op = ow_plugin_op_of(a->node);
  step_state *const s = state;
  *s = (step_state){.allocator = a->allocator, .out_count = a->out_count, .user = (char *)state + STATE_SIZE};
  s->shown = a->out_count <= FEW ? s->few : ow_alloc_zero(a->allocator, a->out_count, sizeof *s->shown);
  onward_status status = ONWARD_OK;
  if (!s->shown || (op->set->check && !make_guards(s, a)))
    status = ow_fail(err, ONWARD_MEMORY, "no memory for the plan");
  size_t wanted = 0;
  if (status == ONWARD_OK && op->desc.prepare) {
    onward_error said = {ONWARD_OK, ""};
    const struct onward_call call = {.args = a, .shown = s->shown};
    show_outputs(s, a);
    s->op = op; /* from here on destroy is called */
    status =
        op->desc.prepare(&op->set->host, (const onward_node *)(const void *)a->node, &call, s->user, &wanted, &said);
    if (status != ONWARD_OK)
      status = blame(op, a->node, status, &said, "prepare", err);
  }
  s->workspace = wanted;
  if (status == ONWARD_OK && wanted && op->set->check && !ow_size_add(wanted, REDZONE, &wanted))
    status =
        ow_fail(err, ONWARD_PLUGIN, "plug-in %s: prepare wants a workspace of %zu bytes", op->library, s->workspace);
  if (status != ONWARD_OK) {
    if (!s->op) { /* prepare of the plug-in was not reached */
      for (size_t o = 0; s->guarded && o < s->out_count; o++)
        ow_free(s->allocator, s->guarded[o]);
      ow_free(s->allocator, s->guarded);
      if (s->shown != s->few)
        ow_free(s->allocator, s->shown);
    }
    ow_plugin_destroy(state);
    return status;
  }
  s->op = op;
  *workspace = wanted;
  return ONWARD_OK;
}

/* ---- run ------------------------------------------------------------------------------------------------------------------- */

static bool redzone_whole(const void *end) {
  for (size_t i = 0; i < REDZONE; i++)
    if (((const unsigned char *)end)[i] != REDZONE_BYTE)
      return false;
  return true;
}

static bool same_shape(const onward_tensor *a, const onward_tensor *b) {
  return a->dtype == b->dtype && a->rank == b->rank && a->bytes == b->bytes &&
         (a->rank <= 0 || memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0);
}

static onward_status check_run(const step_state *s, const ow_args *a, onward_error *err) {
  for (size_t o = 0; o < a->out_count; o++) {
    const onward_tensor *const want = a->out[o], *const got = &s->shown[o];
    if (!want)
      continue;
    if (!same_shape(want, got) || got->data != (s->guarded ? (void *)s->guarded[o] : want->data))
      return ow_fail(err, ONWARD_PLUGIN, "plug-in %s: run changed the type, shape or memory of output %zu",
                     s->op->library, o);
    if (s->guarded && !redzone_whole(s->guarded[o] + want->bytes))
      return ow_fail(err, ONWARD_PLUGIN, "plug-in %s: run wrote past the %zu bytes of output %zu", s->op->library,
                     want->bytes, o);
    if (s->guarded && want->bytes > 0)
      memcpy(want->data, s->guarded[o], want->bytes);
  }
  if (s->op->set->check && s->workspace && !redzone_whole((const char *)a->workspace + s->workspace))
    return ow_fail(err, ONWARD_PLUGIN, "plug-in %s: run wrote past the %zu bytes of its workspace", s->op->library,
                   s->workspace);
  return ONWARD_OK;
}

onward_status ow_plugin_run(const ow_args *a, void *state, onward_error *err) {
  step_state *const s = state;
  onward_error said = {ONWARD_OK, ""};
  struct onward_call call = {.args = a, .shown = s->shown, .workspace = s->workspace ? a->workspace : NULL};
  show_outputs(s, a);
  if (s->op->set->check && s->workspace)
    memset((char *)a->workspace + s->workspace, REDZONE_BYTE, REDZONE);
  const onward_status status =
      s->op->desc.run(&s->op->set->host, (const onward_node *)(const void *)a->node, &call, s->user, &said);
  return status == ONWARD_OK ? check_run(s, a, err) : blame(s->op, a->node, status, &said, "run", err);
}
