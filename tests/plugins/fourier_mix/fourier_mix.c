/* example.FourierMix: the token mixing of FNet (Lee-Thorp et al., 2021), y = Re(FFT over tokens(FFT over features(x))), by KISS FFT.
 * x float32 [...,tokens,features]; y has its shape. */
#include <kiss_fft.h>
#include <onward/plugin.h>
#include <string.h>

static onward_status infer(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *err) {
  (void)node;
  const int32_t rank = host->infer_rank(c, 0);
  if (rank == 0 || rank == 1)
    return host->set_error(err, ONWARD_MODEL, "x has rank %d, want [...,tokens,features]", rank);
  return host->infer_same(c, 0, 0);
}

/* Tables of one shape, in memory of the host. */
typedef struct fourier_state {
  void *by_token, *by_feature;
} fourier_state;

static onward_status make_table(const onward_host *host, int64_t length, void **table, onward_error *err) {
  size_t bytes = 0;
  if (length < 1 || length > INT32_MAX / 4)
    return length == 0 ? ONWARD_OK : host->set_error(err, ONWARD_LIMIT, "%lld points", (long long)length);
  (void)kiss_fft_alloc((int)length, 0, NULL, &bytes); /* asks for the size only */
  if (!(*table = host->alloc(host, bytes)))
    return host->set_error(err, ONWARD_MEMORY, "no memory for a table of %zu bytes", bytes);
  (void)kiss_fft_alloc((int)length, 0, *table, &bytes);
  return ONWARD_OK;
}

static onward_status prepare(const onward_host *host, const onward_node *node, const onward_call *call, void *state,
                             size_t *workspace, onward_error *err) {
  fourier_state *const s = (fourier_state *)state;
  const onward_tensor *const x = host->call_input(call, 0);
  const int64_t tokens = x->dims[x->rank - 2], features = x->dims[x->rank - 1];
  (void)node;
  onward_status status = make_table(host, tokens, &s->by_token, err);
  if (status == ONWARD_OK)
    status = make_table(host, features, &s->by_feature, err);
  /* a matrix, and a column before and after */
  *workspace =
      ((size_t)tokens * (size_t)features + 2 * (size_t)(tokens > features ? tokens : features)) * sizeof(kiss_fft_cpx);
  return status;
}

static void destroy(const onward_host *host, void *state) {
  fourier_state *const s = (fourier_state *)state;
  host->free(host, s->by_token);
  host->free(host, s->by_feature);
}

static onward_status run(const onward_host *host, const onward_node *node, onward_call *call, void *state,
                         onward_error *err) {
  const fourier_state *const s = (const fourier_state *)state;
  const onward_tensor *const x = host->call_input(call, 0), *const y = host->call_output(call, 0);
  const size_t tokens = (size_t)x->dims[x->rank - 2], features = (size_t)x->dims[x->rank - 1];
  const size_t matrix = tokens * features, longest = tokens > features ? tokens : features;
  kiss_fft_cpx *const rows = (kiss_fft_cpx *)host->call_workspace(call);
  (void)node, (void)err;
  if (x->bytes == 0)
    return ONWARD_OK;
  kiss_fft_cpx *const line = rows + matrix, *const result = line + longest;
  for (size_t m = 0; m < x->bytes / sizeof(float) / matrix; m++) {
    const float *const from = (const float *)x->data + m * matrix;
    float *const to = (float *)y->data + m * matrix;
    for (size_t t = 0; t < tokens; t++) {
      for (size_t f = 0; f < features; f++)
        line[f] = (kiss_fft_cpx){from[t * features + f], 0};
      kiss_fft((kiss_fft_cfg)s->by_feature, line, rows + t * features);
    }
    for (size_t f = 0; f < features; f++) {
      kiss_fft_stride((kiss_fft_cfg)s->by_token, rows + f, result, (int)features);
      for (size_t t = 0; t < tokens; t++)
        to[t * features + f] = result[t].r;
    }
  }
  return ONWARD_OK;
}

ONWARD_PLUGIN_EXPORT onward_status onward_plugin_init(const onward_host *host, onward_registry *registry,
                                                      onward_error *err) {
  const onward_port port = {"x", ONWARD_TYPE_BIT(ONWARD_FLOAT32), 0, 0};
  const onward_op_desc mix = {.struct_size = sizeof mix,
                              .abi_major = ONWARD_PLUGIN_ABI_MAJOR,
                              .abi_minor = ONWARD_PLUGIN_ABI_MINOR,
                              .domain = "example",
                              .name = "FourierMix",
                              .since = 1,
                              .inputs = &port,
                              .outputs = &port,
                              .input_count = 1,
                              .output_count = 1,
                              .infer = infer,
                              .run = run,
                              .state_size = sizeof(fourier_state),
                              .prepare = prepare,
                              .destroy = destroy};
  return host->register_op(registry, &mix, err);
}
