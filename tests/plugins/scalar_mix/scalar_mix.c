/* example.ScalarMix: y = w0 * x0 + w1 * x1 + ... + bias, with the weights normalised to sum one when `normalize` is 1.
 * Inputs: weights [n], bias [] (optional), x0, x1, ... (one or more, one shape). Output: y. */
#include <onward/plugin.h>

enum { WEIGHTS, BIAS, FIRST };

static onward_status infer(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *err) {
  const size_t parts = host->node_input_count(node) - FIRST;
  const int32_t rank = host->infer_rank(c, FIRST);
  if (host->infer_rank(c, WEIGHTS) >= 0 && host->infer_rank(c, WEIGHTS) != 1)
    return host->set_error(err, ONWARD_MODEL, "weights have rank %d, want 1", host->infer_rank(c, WEIGHTS));
  onward_status status = ONWARD_OK;
  if (host->infer_rank(c, WEIGHTS) == 1)
    status = host->infer_equal(c, host->infer_dim(c, WEIGHTS, 0), onward_dim_of((int64_t)parts), "number of weights");
  for (size_t i = 1; i < parts && status == ONWARD_OK; i++) {
    const int32_t other = host->infer_rank(c, FIRST + i);
    if (rank >= 0 && other >= 0 && other != rank)
      return host->set_error(err, ONWARD_MODEL, "x%zu has rank %d, x0 has %d", i, other, rank);
    for (int32_t d = 0; d < rank && other >= 0 && status == ONWARD_OK; d++)
      status = host->infer_equal(c, host->infer_dim(c, FIRST, d), host->infer_dim(c, FIRST + i, d), "parts");
  }
  return status == ONWARD_OK ? host->infer_same(c, 0, FIRST) : status;
}

/* What does not change from run to run of one shape. */
typedef struct mix_state {
  size_t parts;
  bool normalize;
} mix_state;

static onward_status prepare(const onward_host *host, const onward_node *node, const onward_call *call, void *state,
                             size_t *workspace, onward_error *err) {
  mix_state *const s = (mix_state *)state;
  (void)call, (void)err;
  s->parts = host->node_input_count(node) - FIRST;
  s->normalize = host->attr_int(node, "normalize", 0) != 0;
  *workspace = s->parts * sizeof(float); /* the weights as used */
  return ONWARD_OK;
}

typedef struct mix_job {
  const onward_host *host;
  const onward_call *call;
  const float *weights;
  size_t parts;
  float bias;
} mix_job;

/* Element by element, so how [0, count) is split changes nothing. y may be x0, but no other part. */
static void mix_range(void *context, int64_t from, int64_t to) {
  const mix_job *const job = (const mix_job *)context;
  float *const y = (float *)job->host->call_output(job->call, 0)->data;
  for (size_t p = 0; p < job->parts; p++) {
    const float *const x = (const float *)job->host->call_input(job->call, FIRST + p)->data;
    const float weight = job->weights[p];
    for (int64_t i = from; i < to; i++)
      y[i] = weight * x[i] + (p == 0 ? job->bias : y[i]);
  }
}

static onward_status run(const onward_host *host, const onward_node *node, onward_call *call, void *state,
                         onward_error *err) {
  const mix_state *const s = (const mix_state *)state;
  const float *const given = (const float *)host->call_input(call, WEIGHTS)->data;
  const onward_tensor *const bias = host->call_input(call, BIAS);
  float *const weights = (float *)host->call_workspace(call);
  float total = 0;
  (void)node;
  for (size_t p = 0; p < s->parts; p++)
    total += given[p];
  if (s->normalize && total == 0)
    return host->set_error(err, ONWARD_DATA, "the weights sum to 0");
  for (size_t p = 0; p < s->parts; p++)
    weights[p] = s->normalize ? given[p] / total : given[p];
  mix_job job = {host, call, weights, s->parts, bias ? *(const float *)bias->data : 0};
  const size_t count = host->call_output(call, 0)->bytes / sizeof(float);
  host->parallel_for(call, (int64_t)count, 16384, mix_range, &job);
  return ONWARD_OK;
}

ONWARD_PLUGIN_EXPORT onward_status onward_plugin_init(const onward_host *host, onward_registry *registry,
                                                      onward_error *err) {
  const uint64_t f32 = ONWARD_TYPE_BIT(ONWARD_FLOAT32);
  const onward_port inputs[] = {
      {"weights", f32, 0, 0}, {"bias", f32, ONWARD_PORT_OPTIONAL, 0}, {"x", f32, ONWARD_PORT_VARIADIC, 0}};
  const onward_port output = {"y", f32, 0, 0};
  const onward_attr normalize = {"normalize", ONWARD_ATTR_INT, 0};
  const onward_inplace over_first = {0, FIRST};
  const onward_op_desc mix = {.struct_size = sizeof mix,
                              .abi_major = ONWARD_PLUGIN_ABI_MAJOR,
                              .abi_minor = ONWARD_PLUGIN_ABI_MINOR,
                              .domain = "example",
                              .name = "ScalarMix",
                              .since = 1,
                              .inputs = inputs,
                              .outputs = &output,
                              .input_count = 3,
                              .output_count = 1,
                              .attrs = &normalize,
                              .inplace = &over_first,
                              .attr_count = 1,
                              .inplace_count = 1,
                              .infer = infer,
                              .run = run,
                              .state_size = sizeof(mix_state),
                              .prepare = prepare};
  return host->register_op(registry, &mix, err);
}
