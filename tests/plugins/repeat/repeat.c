/* example.Repeat: y = x with each slice along `axis` repeated `times` times, as numpy.repeat does. */
#include <onward/plugin.h>
#include <string.h>

static onward_status infer(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *err) {
  const int32_t rank = host->infer_rank(c, 0);
  const int64_t times = host->attr_int(node, "times", 2);
  int64_t axis = host->attr_int(node, "axis", 0);
  onward_dim dims[ONWARD_MAX_RANK];
  if (times < 0)
    return host->set_error(err, ONWARD_MODEL, "times is %lld, want 0 or more", (long long)times);
  if (rank < 0) /* not known before a run */
    return host->infer_set(c, 0, host->infer_dtype(c, 0), -1, NULL);
  const onward_status status = host->infer_axis(c, rank, &axis);
  if (status != ONWARD_OK)
    return status;
  for (int32_t d = 0; d < rank; d++)
    dims[d] = host->infer_dim(c, 0, d);
  dims[axis] = host->dim_calc(c, ONWARD_DIM_MUL, dims[axis], onward_dim_of(times));
  return host->infer_set(c, 0, host->infer_dtype(c, 0), rank, dims);
}

static onward_status run(const onward_host *host, const onward_node *node, onward_call *call, void *state,
                         onward_error *err) {
  const onward_tensor *const x = host->call_input(call, 0), *const y = host->call_output(call, 0);
  const int64_t times = host->attr_int(node, "times", 2), axis = host->attr_int(node, "axis", 0);
  size_t slice = x->dtype == ONWARD_FLOAT16 ? 2 : 4; /* bytes behind one index of axis */
  (void)state, (void)err;
  for (int64_t d = (axis < 0 ? axis + x->rank : axis) + 1; d < x->rank; d++)
    slice *= (size_t)x->dims[d];
  char *to = (char *)y->data;
  for (size_t from = 0; from < x->bytes; from += slice)
    for (int64_t n = 0; n < times; n++, to += slice)
      memcpy(to, (const char *)x->data + from, slice);
  return ONWARD_OK;
}

ONWARD_PLUGIN_EXPORT onward_status onward_plugin_init(const onward_host *host, onward_registry *registry,
                                                      onward_error *err) {
  const onward_port port = {"x", ONWARD_TYPE_BIT(ONWARD_FLOAT32) | ONWARD_TYPE_BIT(ONWARD_FLOAT16), 0, 0};
  const onward_attr attrs[] = {{"axis", ONWARD_ATTR_INT, 0}, {"times", ONWARD_ATTR_INT, 0}};
  const onward_op_desc repeat = {.struct_size = sizeof repeat,
                                 .abi_major = ONWARD_PLUGIN_ABI_MAJOR,
                                 .abi_minor = ONWARD_PLUGIN_ABI_MINOR,
                                 .domain = "example",
                                 .name = "Repeat",
                                 .since = 1,
                                 .inputs = &port,
                                 .input_count = 1,
                                 .outputs = &port,
                                 .output_count = 1,
                                 .attrs = attrs,
                                 .attr_count = 2,
                                 .infer = infer,
                                 .run = run};
  return host->register_op(registry, &repeat, err);
}
