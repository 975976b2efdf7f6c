/* ONNX Runtime's QEmbedLayerNormalization: EmbedLayerNormalization on tables of 8 bits, each with a scale and a zero point. */
#include "ops/embed_norm.h"
#include "ops/reference.h"

enum { QEMBED_IDS, QEMBED_SEGMENTS, QEMBED_WORD, QEMBED_PLACE, QEMBED_SEGMENT, QEMBED_GAIN, QEMBED_SHIFT, QEMBED_MASK };
/* Of table t the scale is input QEMBED_WORD + t + QEMBED_SCALES, its zero point QEMBED_WORD + t + QEMBED_ZEROS. */
enum { QEMBED_SCALES = 6, QEMBED_ZEROS = 11, QEMBED_TABLES = 5 };

static onward_status qembed_infer(ow_infer *c) {
  static const size_t indices[] = {QEMBED_IDS, QEMBED_SEGMENTS, QEMBED_MASK};
  if (c->in_count != QEMBED_WORD + QEMBED_TABLES + QEMBED_ZEROS || !ow_infer_has(c, QEMBED_WORD))
    return ow_infer_fail(c, ONWARD_MODEL, "want 18 inputs");
  const ow_shape *ids = &c->in[QEMBED_IDS].shape, *word = &c->in[QEMBED_WORD].shape;
  OW_TRY(ow_infer_types(c, QEMBED_WORD, OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_UINT8)));
  for (size_t i = 0; i < 3; i++) {
    OW_TRY(ow_infer_types(c, indices[i], OW_BIT(ONWARD_INT32)));
    OW_TRY(ow_infer_rank(c, indices[i], 2, 2));
    const ow_shape *s = &c->in[indices[i]].shape;
    for (int32_t d = 0; i > 0 && ow_infer_has(c, indices[i]) && s->rank == 2 && ids->rank == 2 && d < 2; d++)
      OW_TRY(ow_infer_equal(c, s->dims[d], ids->dims[d], "a dim of the ids and of another index"));
  }
  for (size_t t = QEMBED_WORD; t < QEMBED_WORD + QEMBED_TABLES; t++) {
    const size_t scale = t + QEMBED_SCALES, zero = t + QEMBED_ZEROS;
    const bool has = ow_infer_has(c, t), segment = t == QEMBED_SEGMENT;
    if (has != ow_infer_has(c, scale) || has != ow_infer_has(c, zero) ||
        (segment ? has != ow_infer_has(c, QEMBED_SEGMENTS) : !has))
      return ow_infer_fail(c, ONWARD_MODEL, "a table, its scale, its zero point or the segments are left out alone");
    OW_TRY(ow_infer_types(c, t, OW_BIT(c->in[QEMBED_WORD].dtype)));
    OW_TRY(ow_infer_types(c, zero, OW_BIT(c->in[QEMBED_WORD].dtype)));
    OW_TRY(ow_infer_types(c, scale, OW_BIT(ONWARD_FLOAT32)));
    OW_TRY(ow_infer_rank(c, t, t < QEMBED_GAIN ? 2 : 1, t < QEMBED_GAIN ? 2 : 1));
    for (size_t i = scale; has && i <= zero; i += QEMBED_ZEROS - QEMBED_SCALES) {
      OW_TRY(ow_infer_rank(c, i, 0, 1));
      if (c->in[i].shape.rank == 1)
        OW_TRY(ow_infer_equal(c, c->in[i].shape.dims[0], ow_dim_const(1), "elements of a scale or zero point"));
    }
    if (has && ow_infer_ranked(c, t) && word->rank == 2)
      OW_TRY(ow_infer_equal(c, c->in[t].shape.dims[c->in[t].shape.rank - 1], word->dims[1],
                            "the width of the embeddings"));
  }
  const bool known = ids->rank == 2 && word->rank == 2;
  const ow_dim dims[3] = {ids->dims[0], ids->dims[1], word->dims[1]};
  OW_TRY(ow_infer_set(c, 0, ONWARD_FLOAT32, known ? 3 : -1, dims));
  return c->out_count > 1 ? ow_infer_set(c, 1, ONWARD_INT32, known ? 1 : -1, dims) : ONWARD_OK;
}

/* One row of sums. */
static onward_status qembed_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_size_mul((size_t)a->in[QEMBED_WORD]->dims[1], sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the embeddings are too wide");
  return ONWARD_OK;
}

static double qembed_value(const ow_args *a, size_t table, int64_t i) {
  const onward_tensor *zero = a->in[table + QEMBED_ZEROS];
  return (ow_load(a->in[table]->dtype, a->in[table]->data, i) - ow_load(zero->dtype, zero->data, 0)) *
         ow_load(ONWARD_FLOAT32, a->in[table + QEMBED_SCALES]->data, 0);
}

static onward_status qembed_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *ids = a->in[QEMBED_IDS], *segments = ow_args_in(a, QEMBED_SEGMENTS), *out = a->out[0];
  const onward_tensor *mask = ow_args_in(a, QEMBED_MASK), *lengths = ow_args_out(a, 1);
  const int64_t tokens = ids->dims[1], total = ow_count(ids), width = a->in[QEMBED_WORD]->dims[1];
  const double epsilon = (double)ow_node_float(a->node, "epsilon", 1e-12f);
  double *const row = a->workspace;
  OW_TRY(ow_check_indices(a, QEMBED_IDS, 0, a->in[QEMBED_WORD]->dims[0] - 1, err));
  if (segments)
    OW_TRY(ow_check_indices(a, QEMBED_SEGMENTS, 0, a->in[QEMBED_SEGMENT]->dims[0] - 1, err));
  if (total > 0 && tokens > a->in[QEMBED_PLACE]->dims[0])
    return ow_node_fail(a->node, err, ONWARD_DATA, "%lld tokens, but positions end at %lld", (long long)tokens,
                        (long long)a->in[QEMBED_PLACE]->dims[0] - 1);
  for (int64_t t = 0; out && t < total; t++) {
    double mean = 0.0, square = 0.0;
    for (int64_t j = 0; j < width; j++) {
      row[j] = qembed_value(a, QEMBED_WORD, ow_index_at(ids, t) * width + j) +
               qembed_value(a, QEMBED_PLACE, t % tokens * width + j);
      if (segments)
        row[j] += qembed_value(a, QEMBED_SEGMENT, ow_index_at(segments, t) * width + j);
      mean += row[j];
    }
    mean /= (double)width;
    for (int64_t j = 0; j < width; j++)
      square += (row[j] - mean) * (row[j] - mean);
    const double inv = 1.0 / sqrt(square / (double)width + epsilon);
    for (int64_t j = 0; j < width; j++)
      ow_store(out->dtype, out->data, t * width + j,
               (row[j] - mean) * inv * qembed_value(a, QEMBED_GAIN, j) + qembed_value(a, QEMBED_SHIFT, j));
  }
  if (lengths)
    ow_embed_lengths(ids, mask, lengths);
  return ONWARD_OK;
}

static const ow_kernel qembed_reference = {
    .name = "qembed_layernorm_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = qembed_prepare, .run = qembed_run};
static const ow_kernel *const qembed_kernels[] = {&qembed_reference, NULL};
static const ow_attr_spec qembed_attrs[] = {{"epsilon", OW_ATTR_FLOAT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_embed_norm_quantized[] = {{.domain = "com.microsoft",
                                              .name = "QEmbedLayerNormalization",
                                              .since = 1,
                                              .min_inputs = 1,
                                              .max_inputs = 18,
                                              .min_outputs = 1,
                                              .max_outputs = 2,
                                              .attrs = qembed_attrs,
                                              .infer = qembed_infer,
                                              .kernels = qembed_kernels},
                                             {.name = NULL}};
