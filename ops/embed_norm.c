/* ONNX Runtime's EmbedLayerNormalization: the sum of word, position and segment embeddings, normalized. And RelativePositionBias:
 * T5's buckets of distances. */
#include "ops/embed_norm.h"

#include "ops/reference.h"

enum {
  EMBED_IDS,
  EMBED_SEGMENTS,
  EMBED_WORD,
  EMBED_PLACE,
  EMBED_SEGMENT,
  EMBED_SCALE,
  EMBED_SHIFT,
  EMBED_MASK,
  EMBED_POSITIONS
};

static onward_status embed_infer(ow_infer *c) {
  static const size_t required[] = {EMBED_WORD, EMBED_PLACE, EMBED_SCALE, EMBED_SHIFT};
  for (size_t i = 0; i < 4; i++)
    if (!ow_infer_has(c, required[i]))
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu is required but left out", required[i]);
  static const size_t indices[] = {EMBED_IDS, EMBED_SEGMENTS, EMBED_MASK, EMBED_POSITIONS};
  OW_TRY(ow_infer_types(c, EMBED_WORD, OW_TYPES_FLOAT));
  for (size_t i = 0; i < 4; i++) {
    OW_TRY(ow_infer_types(c, indices[i], OW_TYPES_INDEX));
    OW_TRY(ow_infer_rank(c, indices[i], 2, 2));
  }
  for (size_t i = EMBED_WORD; i <= EMBED_SHIFT; i++) {
    OW_TRY(ow_infer_types(c, i, OW_BIT(c->in[EMBED_WORD].dtype)));
    OW_TRY(ow_infer_rank(c, i, i < EMBED_SCALE ? 2 : 1, i < EMBED_SCALE ? 2 : 1));
  }
  if (ow_infer_has(c, EMBED_SEGMENTS) != ow_infer_has(c, EMBED_SEGMENT))
    return ow_infer_fail(c, ONWARD_MODEL, "segment ids and segment embeddings come together");
  const ow_shape *ids = &c->in[EMBED_IDS].shape, *word = &c->in[EMBED_WORD].shape;
  const onward_dtype dtype = c->in[EMBED_WORD].dtype;
  if (ids->rank < 0 || word->rank < 0) {
    for (size_t o = 0; o < c->out_count; o++)
      OW_TRY(ow_infer_set(c, o, o == 1 ? ONWARD_INT32 : dtype, -1, NULL));
    return ONWARD_OK;
  }
  for (size_t i = 1; i < 4; i++) {
    const ow_shape *s = &c->in[indices[i]].shape;
    for (int32_t d = 0; d < 2 && ow_infer_has(c, indices[i]) && s->rank == 2; d++)
      if (d == 1 || indices[i] != EMBED_POSITIONS || !ow_dim_is(s->dims[0], 1)) /* positions of one row serve all */
        OW_TRY(ow_infer_equal(c, s->dims[d], ids->dims[d], "a dim of the ids and of another index"));
  }
  for (size_t i = EMBED_PLACE; i <= EMBED_SHIFT; i++)
    if (ow_infer_has(c, i) && ow_infer_ranked(c, i))
      OW_TRY(ow_infer_equal(c, c->in[i].shape.dims[c->in[i].shape.rank - 1], word->dims[1],
                            "the width of the embeddings"));
  const ow_dim dims[3] = {ids->dims[0], ids->dims[1], word->dims[1]};
  for (size_t o = 0; o < c->out_count; o++)
    OW_TRY(ow_infer_set(c, o, o == 1 ? ONWARD_INT32 : dtype, o == 1 ? 1 : 3, dims));
  return ONWARD_OK;
}

/* One row of sums. */
static onward_status embed_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_size_mul((size_t)a->in[EMBED_WORD]->dims[1], sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the embeddings are too wide");
  return ONWARD_OK;
}

void ow_embed_lengths(const onward_tensor *ids, const onward_tensor *mask, const onward_tensor *lengths) {
  const int64_t tokens = ids->dims[1];
  for (int64_t b = 0; b < ids->dims[0]; b++) {
    int64_t kept = 0;
    for (int64_t t = 0; mask && t < tokens; t++)
      kept += ow_index_at(mask, b * tokens + t) != 0;
    ow_set_i64(ONWARD_INT32, lengths->data, b, kept);
  }
}

static onward_status embed_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *ids = a->in[EMBED_IDS], *word = a->in[EMBED_WORD], *place = a->in[EMBED_PLACE];
  const onward_tensor *segments = ow_args_in(a, EMBED_SEGMENTS), *segment = ow_args_in(a, EMBED_SEGMENT);
  const onward_tensor *positions = ow_args_in(a, EMBED_POSITIONS), *mask = ow_args_in(a, EMBED_MASK);
  const onward_tensor *scale = a->in[EMBED_SCALE], *shift = a->in[EMBED_SHIFT];
  const onward_tensor *out = a->out[0], *lengths = ow_args_out(a, 1);
  const onward_tensor *sums = ow_args_out(a, 2);
  const int64_t tokens = ids->dims[1], total = ow_count(ids), width = word->dims[1];
  const double epsilon = (double)ow_node_float(a->node, "epsilon", 1e-12f);
  double *const row = a->workspace;
  OW_TRY(ow_check_indices(a, EMBED_IDS, 0, word->dims[0] - 1, err));
  if (segments)
    OW_TRY(ow_check_indices(a, EMBED_SEGMENTS, 0, segment->dims[0] - 1, err));
  if (positions)
    OW_TRY(ow_check_indices(a, EMBED_POSITIONS, 0, place->dims[0] - 1, err));
  else if (total > 0 && tokens > place->dims[0])
    return ow_node_fail(a->node, err, ONWARD_DATA, "%lld tokens, but positions end at %lld", (long long)tokens,
                        (long long)place->dims[0] - 1);
  for (int64_t t = 0; t < total; t++) {
    const int64_t at = positions ? ow_index_at(positions, t % ow_count(positions)) : t % tokens;
    double mean = 0.0, square = 0.0;
    for (int64_t j = 0; j < width; j++) {
      row[j] = ow_load(word->dtype, word->data, ow_index_at(ids, t) * width + j) +
               ow_load(place->dtype, place->data, at * width + j);
      if (segments)
        row[j] += ow_load(segment->dtype, segment->data, ow_index_at(segments, t) * width + j);
      mean += row[j];
      if (sums)
        ow_store(sums->dtype, sums->data, t * width + j, row[j]);
    }
    mean /= (double)width;
    for (int64_t j = 0; j < width; j++)
      square += (row[j] - mean) * (row[j] - mean);
    const double inv = 1.0 / sqrt(square / (double)width + epsilon);
    for (int64_t j = 0; out && j < width; j++)
      ow_store(out->dtype, out->data, t * width + j,
               (row[j] - mean) * inv * ow_load(scale->dtype, scale->data, j) + ow_load(shift->dtype, shift->data, j));
  }
  if (lengths)
    ow_embed_lengths(ids, mask, lengths);
  return ONWARD_OK;
}

/* ---- RelativePositionBias: table [buckets, heads], query_length, key_length -> [1, heads, queries, keys]. The table's shape is that of
 * its mathematics; in memory the buckets of a head lie together. */

static onward_status relative_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_rank(c, 0, 2, 2));
  const int64_t most = ow_node_int(c->node, "max_distance", 0);
  if (most < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'max_distance' is %lld", (long long)most);
  const ow_shape *table = &c->in[0].shape;
  ow_dim dims[4] = {ow_dim_const(1), table->rank == 2 ? table->dims[1] : ow_dim_unknown()};
  bool known = table->rank == 2;
  for (size_t i = 1; i < 3; i++) {
    size_t count;
    OW_TRY(ow_infer_types(c, i, OW_BIT(ONWARD_INT64)));
    const ow_dim *elems = ow_infer_elems(c, i, &count);
    if (elems && (count != 1 || (ow_dim_is_const(elems[0]) && elems[0].k < 0)))
      return ow_infer_fail(c, ONWARD_DATA, "input %zu is no length", i);
    dims[i + 1] = elems ? elems[0] : ow_dim_unknown();
    known &= elems != NULL;
  }
  return known ? ow_infer_set(c, 0, c->in[0].dtype, 4, dims) : ow_infer_unknown(c, 0, c->in[0].dtype, 4, dims);
}

/* Half of the buckets hold one distance each, the others grow logarithmically up to the largest distance. */
static int64_t relative_bucket(int64_t distance, int64_t buckets, int64_t most, bool both_ways) {
  int64_t first = 0, n = -distance;
  if (both_ways) {
    buckets /= 2;
    if (n < 0) {
      first = buckets;
      n = -n;
    }
  } else if (n < 0) {
    n = 0;
  }
  const int64_t exact = buckets / 2;
  if (n < exact || exact == 0)
    return first + (n < buckets ? n : buckets - 1);
  /* in float32, as the models that were trained on it */
  const float share = logf((float)n / (float)exact) / logf((float)most / (float)exact);
  const int64_t at = exact + (int64_t)(share * (float)(buckets - exact));
  return first + (at < buckets ? at : buckets - 1);
}

static onward_status relative_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *table = a->in[0], *out = a->out[0];
  const int64_t heads = out->dims[1], queries = out->dims[2], keys = out->dims[3], buckets = table->dims[0];
  const int64_t most = ow_node_int(a->node, "max_distance", 1);
  const bool both_ways = ow_node_int(a->node, "is_bidirectional", 0) != 0;
  if (buckets < (both_ways ? 2 : 1))
    return ow_node_fail(a->node, err, ONWARD_DATA, "%lld buckets", (long long)buckets);
  for (int64_t h = 0; h < heads; h++)
    for (int64_t i = 0; i < queries; i++)
      for (int64_t t = 0; t < keys; t++)
        ow_store(out->dtype, out->data, (h * queries + i) * keys + t,
                 ow_load(table->dtype, table->data, h * buckets + relative_bucket(t - i, buckets, most, both_ways)));
  return ONWARD_OK;
}

static const ow_kernel embed_reference = {
    .name = "embed_norm_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = embed_prepare, .run = embed_run};
static const ow_kernel relative_reference = {
    .name = "relative_bias_reference", .flags = OW_KERNEL_UNALIGNED, .run = relative_run};
static const ow_kernel *const embed_kernels[] = {&embed_reference, NULL};
static const ow_kernel *const relative_kernels[] = {&relative_reference, NULL};
static const ow_attr_spec embed_attrs[] = {
    {"epsilon", OW_ATTR_FLOAT, false}, {"mask_index_type", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec relative_attrs[] = {
    {"is_bidirectional", OW_ATTR_INT, false}, {"max_distance", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_embed_norm[] = {{.domain = "com.microsoft",
                                    .name = "EmbedLayerNormalization",
                                    .since = 1,
                                    .min_inputs = 1,
                                    .max_inputs = 9,
                                    .min_outputs = 1,
                                    .max_outputs = 3,
                                    .attrs = embed_attrs,
                                    .infer = embed_infer,
                                    .kernels = embed_kernels},
                                   {.domain = "com.microsoft",
                                    .name = "RelativePositionBias",
                                    .since = 1,
                                    .min_inputs = 3,
                                    .max_inputs = 3,
                                    .min_outputs = 1,
                                    .max_outputs = 1,
                                    .attrs = relative_attrs,
                                    .infer = relative_infer,
                                    .kernels = relative_kernels},
                                   {.name = NULL}};
