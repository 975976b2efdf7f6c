/* The host table: what a plug-in can call. */
#include <stdarg.h>
#include <string.h>

#include "base/format.h"
#include "ops/op_help.h"
#include "runtime/plugin_set.h"

static const ow_plugin_set *set_of(const onward_host *host) { return (const ow_plugin_set *)(const void *)host; }
static const ow_node *node_of(const onward_node *node) { return (const ow_node *)(const void *)node; }

static void *host_alloc(const onward_host *host, size_t bytes) { return ow_alloc(set_of(host)->allocator, bytes); }
static void host_free(const onward_host *host, void *memory) { ow_free(set_of(host)->allocator, memory); }

static onward_status host_set_error(onward_error *err, onward_status status, const char *format, ...) {
  char text[ONWARD_ERROR_MESSAGE_SIZE];
  va_list args;
  va_start(args, format);
  (void)ow_vformat(text, sizeof text, format, args);
  va_end(args);
  const onward_status failed = status > ONWARD_OK && status <= ONWARD_INTERNAL ? status : ONWARD_PLUGIN;
  return ow_fail(err, failed, "%s", text);
}

static void host_log(const onward_host *host, onward_log_level level, const char *text) {
  const ow_plugin_set *const set = set_of(host);
  if (set->log)
    set->log(set->log_context, level, text);
}

/* ---- nodes and attributes ------------------------------------------------------------------------------------------------ */

static const char *host_node_name(const onward_node *node) { return node_of(node)->name; }
static int32_t host_node_version(const onward_node *node) { return node_of(node)->version; }
static void *host_node_user(const onward_node *node) { return ow_plugin_op_of(node_of(node))->desc.user; }
static size_t host_node_input_count(const onward_node *node) { return node_of(node)->input_count; }
static size_t host_node_output_count(const onward_node *node) { return node_of(node)->output_count; }

static const ow_attr *attr_of(const onward_node *node, const char *name, ow_attr_kind kind) {
  const ow_attr *const attr = ow_node_attr(node_of(node), name);
  return attr && attr->kind == kind ? attr : NULL;
}

static int64_t host_attr_int(const onward_node *node, const char *name, int64_t otherwise) {
  return ow_node_int(node_of(node), name, otherwise);
}
static float host_attr_float(const onward_node *node, const char *name, float otherwise) {
  return ow_node_float(node_of(node), name, otherwise);
}
static const char *host_attr_string(const onward_node *node, const char *name, const char *otherwise) {
  return ow_node_string(node_of(node), name, otherwise);
}
static const int64_t *host_attr_ints(const onward_node *node, const char *name, size_t *count) {
  return ow_node_ints(node_of(node), name, count);
}
static const float *host_attr_floats(const onward_node *node, const char *name, size_t *count) {
  const ow_attr *const attr = attr_of(node, name, OW_ATTR_FLOATS);
  *count = attr ? attr->count : 0;
  return attr ? attr->floats : NULL;
}
static const char *const *host_attr_strings(const onward_node *node, const char *name, size_t *count) {
  const ow_attr *const attr = attr_of(node, name, OW_ATTR_STRINGS);
  *count = attr ? attr->count : 0;
  return attr ? attr->strings : NULL;
}

static bool host_attr_tensor(const onward_node *node, const char *name, size_t index, onward_tensor *tensor) {
  const ow_attr *const one = attr_of(node, name, OW_ATTR_TENSOR), *const many = attr_of(node, name, OW_ATTR_TENSORS);
  if (one ? index > 0 : !many || index >= many->count)
    return false;
  const ow_const *const t = one ? one->t : many->tensors[index];
  *tensor = (onward_tensor){.dtype = t->dtype, .rank = t->rank, .bytes = t->bytes};
  memcpy(tensor->dims, t->dims, sizeof tensor->dims);
  memcpy(&tensor->data, &t->data, sizeof tensor->data);
  return true;
}

static bool host_attr_type(const onward_node *node, const char *name, onward_dtype *dtype, int32_t *rank,
                           int64_t dims[ONWARD_MAX_RANK]) {
  const ow_attr *const attr = attr_of(node, name, OW_ATTR_TYPE);
  if (!attr)
    return false;
  *dtype = attr->type->dtype;
  *rank = attr->type->shape.rank;
  for (int32_t d = 0; d < *rank; d++)
    dims[d] = ow_dim_is_const(attr->type->shape.dims[d]) ? attr->type->shape.dims[d].k : -1;
  return true;
}

/* ---- infer ---------------------------------------------------------------------------------------------------------------- */

static ow_dim dim_in(onward_dim d) {
  if (d.expression < 0)
    return ow_dim_unknown();
  return (ow_dim){d.expression ? 0 : d.value, d.expression};
}
static onward_dim dim_out(ow_dim d) {
  if (ow_dim_is_unknown(d))
    return onward_dim_unknown();
  return (onward_dim){d.k, d.x, 0};
}

static onward_status keep(onward_infer *c, onward_status status) {
  if (c->failed == ONWARD_OK)
    c->failed = status;
  return status;
}

static onward_dtype host_infer_dtype(const onward_infer *c, size_t input) {
  return ow_infer_has(&c->c, input) ? c->c.in[input].dtype : ONWARD_UNDEFINED;
}
static int32_t host_infer_rank(const onward_infer *c, size_t input) {
  return ow_infer_has(&c->c, input) ? c->c.in[input].shape.rank : -1;
}
static onward_dim host_infer_dim(const onward_infer *c, size_t input, int32_t d) {
  if (d < 0 || d >= host_infer_rank(c, input))
    return onward_dim_unknown();
  return dim_out(c->c.in[input].shape.dims[d]);
}
static int64_t host_infer_ints(const onward_infer *c, size_t input, int64_t *values, size_t max) {
  return ow_infer_ints(&c->c, input, values, max);
}

static onward_dim host_dim_calc(onward_infer *c, onward_dim_op op, onward_dim a, onward_dim b) {
  ow_dims *const pool = c->c.dims;
  const ow_dim x = dim_in(a), y = dim_in(b);
  switch (op) {
    case ONWARD_DIM_ADD: return dim_out(ow_dim_add(pool, x, y));
    case ONWARD_DIM_SUB: return dim_out(ow_dim_sub(pool, x, y));
    case ONWARD_DIM_MUL: return dim_out(ow_dim_mul(pool, x, y));
    case ONWARD_DIM_FLOOR_DIV: return dim_out(ow_dim_floordiv(pool, x, y));
    case ONWARD_DIM_MOD: return dim_out(ow_dim_mod(pool, x, y));
    case ONWARD_DIM_MIN: return dim_out(ow_dim_min(pool, x, y));
    case ONWARD_DIM_MAX: return dim_out(ow_dim_max(pool, x, y));
  }
  return onward_dim_unknown();
}

static onward_status host_infer_axis(onward_infer *c, int32_t rank, int64_t *axis) {
  int32_t checked;
  OW_TRY(keep(c, ow_infer_axis(&c->c, *axis, rank, &checked)));
  *axis = checked;
  return ONWARD_OK;
}

static onward_status host_infer_equal(onward_infer *c, onward_dim a, onward_dim b, const char *what) {
  return keep(c, ow_infer_equal(&c->c, dim_in(a), dim_in(b), what));
}

static onward_status shape_in(onward_infer *c, int32_t rank, const onward_dim *dims, ow_shape *shape) {
  if (rank < -1 || rank > ONWARD_MAX_RANK)
    return keep(c, ow_infer_fail(&c->c, ONWARD_LIMIT, "rank %d is outside [0,%d]", rank, ONWARD_MAX_RANK));
  shape->rank = rank;
  for (int32_t d = 0; d < rank; d++)
    shape->dims[d] = dim_in(dims[d]);
  return ONWARD_OK;
}

static onward_status host_infer_broadcast(onward_infer *c, int32_t rank_a, const onward_dim *a, int32_t rank_b,
                                          const onward_dim *b, int32_t *rank, onward_dim *dims) {
  ow_shape x, y, both;
  OW_TRY(shape_in(c, rank_a, a, &x));
  OW_TRY(shape_in(c, rank_b, b, &y));
  OW_TRY(keep(c, ow_infer_broadcast(&c->c, &x, &y, &both)));
  *rank = both.rank;
  for (int32_t d = 0; d < both.rank; d++)
    dims[d] = dim_out(both.dims[d]);
  return ONWARD_OK;
}

static onward_status host_infer_set(onward_infer *c, size_t output, onward_dtype dtype, int32_t rank,
                                    const onward_dim *dims) {
  ow_shape shape;
  OW_TRY(shape_in(c, rank, dims, &shape));
  return keep(c, ow_infer_set(&c->c, output, dtype, rank, shape.dims));
}

static onward_status host_infer_same(onward_infer *c, size_t output, size_t input) {
  if (!ow_infer_has(&c->c, input))
    return keep(c,
                ow_infer_fail(&c->c, ONWARD_PLUGIN, "output %zu follows input %zu, which is left out", output, input));
  return keep(c, ow_infer_same(&c->c, output, input));
}

/* ---- prepare and run ------------------------------------------------------------------------------------------------------- */

static const onward_tensor *host_call_input(const onward_call *call, size_t input) {
  return input < call->args->in_count ? call->args->in[input] : NULL;
}
static bool host_call_constant(const onward_call *call, size_t input) {
  return input < call->args->in_count && call->args->in[input] && call->args->constant[input];
}
static const onward_tensor *host_call_output(const onward_call *call, size_t output) {
  return output < call->args->out_count && call->args->out[output] ? &call->shown[output] : NULL;
}
static void *host_call_workspace(const onward_call *call) { return call->workspace; }
static int host_thread_count(const onward_call *call) { return call->args->threads < 1 ? 1 : call->args->threads; }

static void host_parallel_for(const onward_call *call, int64_t count, int64_t grain,
                              void (*body)(void *context, int64_t from, int64_t to), void *context) {
  if (count > 0)
    ow_parallel_ranges(host_thread_count(call), count, grain < 1 ? 1 : grain, body, context);
}

void ow_plugin_host_fill(onward_host *host) {
  *host = (onward_host){.struct_size = sizeof *host,
                        .abi_major = ONWARD_PLUGIN_ABI_MAJOR,
                        .abi_minor = ONWARD_PLUGIN_ABI_MINOR,
                        .version = ONWARD_VERSION_STRING,
                        .alloc = host_alloc,
                        .free = host_free,
                        .set_error = host_set_error,
                        .log = host_log,
                        .node_name = host_node_name,
                        .node_version = host_node_version,
                        .node_user = host_node_user,
                        .node_input_count = host_node_input_count,
                        .node_output_count = host_node_output_count,
                        .attr_int = host_attr_int,
                        .attr_float = host_attr_float,
                        .attr_string = host_attr_string,
                        .attr_ints = host_attr_ints,
                        .attr_floats = host_attr_floats,
                        .attr_strings = host_attr_strings,
                        .attr_tensor = host_attr_tensor,
                        .attr_type = host_attr_type,
                        .infer_dtype = host_infer_dtype,
                        .infer_rank = host_infer_rank,
                        .infer_dim = host_infer_dim,
                        .infer_ints = host_infer_ints,
                        .dim_calc = host_dim_calc,
                        .infer_axis = host_infer_axis,
                        .infer_equal = host_infer_equal,
                        .infer_broadcast = host_infer_broadcast,
                        .infer_set = host_infer_set,
                        .infer_same = host_infer_same,
                        .call_input = host_call_input,
                        .call_constant = host_call_constant,
                        .call_output = host_call_output,
                        .call_workspace = host_call_workspace,
                        .thread_count = host_thread_count,
                        .parallel_for = host_parallel_for};
}
