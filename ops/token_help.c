/* ONNX Runtime's helpers around generation and alignment: NGramRepeatBlock, UnfoldTensor, DynamicTimeWarping, BifurcationDetector. */
#include "ops/reference.h"

/* ---- NGramRepeatBlock: ids [B, S], scores [B, V] -> scores without tokens that would repeat an n-gram ------------------------------ */

static onward_status ngram_infer(ow_infer *c) {
  const int64_t n = ow_node_int(c->node, "ngram_size", 0);
  if (n < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'ngram_size' is %lld", (long long)n);
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_rank(c, 0, 2, 2));
  OW_TRY(ow_infer_rank(c, 1, 2, 2));
  if (ow_infer_ranked(c, 0) && ow_infer_ranked(c, 1))
    OW_TRY(ow_infer_equal(c, c->in[0].shape.dims[0], c->in[1].shape.dims[0], "the batch of ids and scores"));
  return ow_infer_same(c, 0, 1);
}

static onward_status ngram_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *ids = a->in[0], *scores = a->in[1], *out = a->out[0];
  const int64_t n = ow_node_int(a->node, "ngram_size", 1), length = ids->dims[1], words = scores->dims[1];
  OW_TRY(ow_check_indices(a, 0, 0, words - 1, err));
  if (out->bytes > 0 && out->data != scores->data)
    memcpy(out->data, scores->data, out->bytes);
  for (int64_t b = 0; b < ids->dims[0]; b++)
    for (int64_t i = 0; i <= length - n; i++) {
      bool same = true;
      for (int64_t k = 0; k < n - 1 && same; k++)
        same = ow_index_at(ids, b * length + i + k) == ow_index_at(ids, b * length + length - n + 1 + k);
      if (same)
        ow_store(out->dtype, out->data, b * words + ow_index_at(ids, b * length + i + n - 1), -INFINITY);
    }
  return ONWARD_OK;
}

/* ---- UnfoldTensor: windows of `size` along a dim, `step` apart; their elements become a new last dim -------------------------------- */

static onward_status unfold_infer(ow_infer *c) {
  const int64_t size = ow_node_int(c->node, "size", 0), step = ow_node_int(c->node, "step", 1);
  if (size < 1 || step < 1)
    return ow_infer_fail(c, ONWARD_MODEL, "a size of %lld and a step of %lld", (long long)size, (long long)step);
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK - 1));
  ow_shape out = c->in[0].shape;
  if (out.rank > 0) {
    int32_t axis;
    OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "dim", -1), out.rank, &axis));
    if (ow_dim_is_const(out.dims[axis]) && out.dims[axis].k < size)
      return ow_infer_fail(c, ONWARD_MODEL, "windows of %lld on an axis of %lld", (long long)size,
                           (long long)out.dims[axis].k);
    const ow_dim left = ow_dim_sub(c->dims, out.dims[axis], ow_dim_const(size));
    out.dims[axis] = ow_dim_add(c->dims, ow_dim_floordiv(c->dims, left, ow_dim_const(step)), ow_dim_const(1));
    out.dims[out.rank++] = ow_dim_const(size);
  }
  return ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims);
}

static onward_status unfold_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *y = a->out[0];
  const int32_t axis = ow_axis(ow_node_int(a->node, "dim", -1), x->rank);
  int64_t from[ONWARD_MAX_RANK], to[ONWARD_MAX_RANK];
  ow_strides(x->rank, x->dims, from);
  ow_strides(y->rank, y->dims, to);
  from[x->rank] = from[axis];
  from[axis] *=
      y->dims[axis] > 1 ? ow_node_int(a->node, "step", 1) : 0; /* a step may be any number when there is one window */
  if (ow_count(y) > 0)
    ow_copy_strided(y->data, to, x->data, from, y->rank, y->dims, ow_dtype_size(x->dtype), a->threads);
  return ONWARD_OK;
}

/* ---- DynamicTimeWarping: costs [M, N] or [1, M, N] -> the cheapest path from (0, 0) to (M - 1, N - 1) as [2, steps] ------------------- */

enum { DTW_BOTH, DTW_ROW, DTW_COLUMN };

static int64_t dtw_rows(const onward_tensor *x) { return x->dims[x->rank - 2]; }
static int64_t dtw_columns(const onward_tensor *x) { return x->dims[x->rank - 1]; }

/* A row of sums before and at hand, and the step that led to each place. */
static bool dtw_bytes(int64_t rows, int64_t columns, size_t *bytes) {
  const int64_t dims[2] = {rows, columns}, sums[2] = {2, columns};
  size_t traced;
  return ow_tensor_size(ONWARD_FLOAT32, 2, sums, bytes) && ow_tensor_size(ONWARD_UINT8, 2, dims, &traced) &&
         ow_size_add(*bytes, traced, bytes);
}

static uint8_t *dtw_trace(const onward_tensor *x, void *memory) {
  const int64_t rows = dtw_rows(x), columns = dtw_columns(x);
  float *before = memory, *now = before + columns;
  uint8_t *const trace = (uint8_t *)(now + columns);
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < columns; j++) {
      const float both = i && j   ? before[j - 1]
                         : i || j ? INFINITY
                                  : 0.0f,
                  row = i ? before[j] : INFINITY, column = j ? now[j - 1] : INFINITY;
      const int step = both < row && both < column ? DTW_BOTH : row < both && row < column ? DTW_ROW : DTW_COLUMN;
      const float least = step == DTW_BOTH ? both : step == DTW_ROW ? row : column;
      trace[i * columns + j] = (uint8_t)(!i && !j ? DTW_BOTH : !i ? DTW_COLUMN : !j ? DTW_ROW : step);
      now[j] = (float)ow_load(ONWARD_FLOAT32, x->data, i * columns + j) + (!i && !j ? 0.0f : least);
    }
    float *const swap = before;
    before = now;
    now = swap;
  }
  return trace;
}

/* Steps of the path; written from its end when `to` is given, 2 rows of `count`. */
static int64_t dtw_walk(const onward_tensor *x, const uint8_t *trace, int32_t *to, int64_t count) {
  int64_t i = dtw_rows(x) - 1, j = dtw_columns(x) - 1, steps = 0;
  while (i >= 0 && j >= 0) {
    steps++;
    if (to && steps <= count) {
      to[count - steps] = (int32_t)i;
      to[2 * count - steps] = (int32_t)j;
    }
    const uint8_t step = trace[i * dtw_columns(x) + j];
    i -= step != DTW_COLUMN;
    j -= step != DTW_ROW;
  }
  return steps;
}

static onward_status dtw_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_rank(c, 0, 2, 3));
  if (c->in[0].shape.rank == 3)
    OW_TRY(ow_infer_equal(c, c->in[0].shape.dims[0], ow_dim_const(1), "the batch, which is 1"));
  ow_dim dims[2] = {ow_dim_const(2), ow_dim_unknown()};
  const onward_tensor *x = c->data[0];
  if (!x)
    return ow_infer_unknown(c, 0, ONWARD_INT32, 2, dims);
  size_t bytes;
  void *memory = dtw_bytes(dtw_rows(x), dtw_columns(x), &bytes) ? ow_arena_alloc(c->arena, bytes ? bytes : 1) : NULL;
  if (!memory)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  dims[1] = ow_dim_const(dtw_walk(x, dtw_trace(x, memory), NULL, 0));
  return ow_infer_set(c, 0, ONWARD_INT32, 2, dims);
}

static onward_status dtw_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!dtw_bytes(dtw_rows(a->in[0]), dtw_columns(a->in[0]), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the costs are too large");
  return ONWARD_OK;
}

static onward_status dtw_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const int64_t count = a->out[0]->dims[1];
  if (dtw_walk(a->in[0], dtw_trace(a->in[0], a->workspace), a->out[0]->data, count) != count)
    return ow_node_fail(a->node, err, ONWARD_INTERNAL, "the data changed after it was counted");
  return ONWARD_OK;
}

/* ---- BifurcationDetector: guessed tokens are kept as far as the source agrees, and one more; then where in the source the last n-gram
 * of the result ends ----------------------------------------------------------------------------------------------------------------- */

enum { BIF_SOURCE, BIF_CURRENT, BIF_FROM, BIF_GUESSED };

/* How many of the guesses stay. from: the place in the source of the first; there is one guess more than the source has places. */
static int64_t bif_kept(const onward_tensor *source, int64_t from, const onward_tensor *guessed) {
  int64_t i = 0;
  while (i < guessed->dims[0] - 1 && ow_index_at(guessed, i) == ow_index_at(source, from + i))
    i++;
  return i + 1;
}

static bool bif_agrees(const onward_tensor *source, int64_t from, const onward_tensor *guessed) {
  return from >= 0 && from <= source->dims[0] && guessed->dims[0] == source->dims[0] + 1 - from;
}

static onward_status bif_infer(ow_infer *c) {
  const int64_t least = ow_node_int(c->node, "min_ngram_size", 1), most = ow_node_int(c->node, "max_ngram_size", 3);
  if (least < 1 || most < least)
    return ow_infer_fail(c, ONWARD_MODEL, "n-grams of %lld to %lld", (long long)least, (long long)most);
  for (size_t i = BIF_SOURCE; i <= BIF_GUESSED; i++) {
    OW_TRY(ow_infer_types(c, i, OW_BIT(ONWARD_INT64)));
    OW_TRY(ow_infer_rank(c, i, i == BIF_FROM ? 0 : 1, 1));
  }
  if (c->in[BIF_FROM].shape.rank == 1)
    OW_TRY(ow_infer_equal(c, c->in[BIF_FROM].shape.dims[0], ow_dim_const(1), "the length of the index, which is 1"));
  OW_TRY(ow_infer_same(c, 1, BIF_FROM));
  if (!ow_infer_has(c, BIF_GUESSED))
    return ow_infer_same_shape(c, 0, BIF_CURRENT, ONWARD_INT64);
  const onward_tensor *source = c->data[BIF_SOURCE], *from = c->data[BIF_FROM], *guessed = c->data[BIF_GUESSED];
  const ow_shape *current = &c->in[BIF_CURRENT].shape;
  ow_dim length = ow_dim_unknown();
  if (!source || !from || !guessed || current->rank != 1)
    return ow_infer_unknown(c, 0, ONWARD_INT64, 1, &length);
  if (!bif_agrees(source, ow_index_at(from, 0), guessed))
    return ow_infer_fail(c, ONWARD_DATA, "%lld guesses from place %lld of %lld on", (long long)guessed->dims[0],
                         (long long)ow_index_at(from, 0), (long long)source->dims[0]);
  length = ow_dim_add(c->dims, current->dims[0], ow_dim_const(bif_kept(source, ow_index_at(from, 0), guessed)));
  return ow_infer_set(c, 0, ONWARD_INT64, 1, &length);
}

static onward_status bif_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_tensor_size(ONWARD_INT64, 1, a->in[BIF_SOURCE]->dims, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the source is too long");
  return ONWARD_OK;
}

/* Where the suffix ends in the source: -1 when it is there twice, or not at all. Longer n-grams decide until one is not there, or
 * ends the source. same[e]: how many tokens before place e are those at the end. */
static int64_t bif_suffix(const ow_args *a, const int64_t *tokens, int64_t count, int64_t *same) {
  const onward_tensor *source = a->in[BIF_SOURCE];
  const int64_t length = source->dims[0], given = ow_node_int(a->node, "max_ngram_size", 3);
  const int64_t most = given < count ? given : count;
  for (int64_t e = 1; e <= length; e++) {
    int64_t n = 0;
    while (n < most && n < e && ow_index_at(source, e - 1 - n) == tokens[count - 1 - n])
      n++;
    same[e - 1] = n;
  }
  int64_t found = -1;
  for (int64_t n = ow_node_int(a->node, "min_ngram_size", 1); n <= most; n++) {
    int64_t first = 0, times = 0;
    for (int64_t e = 1; e <= length && times < 2; e++)
      if (same[e - 1] >= n && times++ == 0)
        first = e;
    if (times == 0)
      break;
    found = times == 1 || first == length ? first : -1;
    if (first == length)
      break;
  }
  return found;
}

static onward_status bif_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *source = a->in[BIF_SOURCE], *current = a->in[BIF_CURRENT], *guessed = ow_args_in(a, BIF_GUESSED);
  onward_tensor *const out = a->out[0], *const place = ow_args_out(a, 1);
  const int64_t from = ow_index_at(a->in[BIF_FROM], 0), old = current->dims[0];
  if (guessed && (!bif_agrees(source, from, guessed) || out->dims[0] != old + bif_kept(source, from, guessed)))
    return ow_node_fail(a->node, err, ONWARD_INTERNAL, "the data changed after it was counted");
  int64_t *const tokens = out->data;
  for (int64_t i = 0; i < out->dims[0]; i++)
    tokens[i] = i < old ? ow_index_at(current, i) : ow_index_at(guessed, i - old);
  if (place)
    ow_set_i64(ONWARD_INT64, place->data, 0, bif_suffix(a, tokens, out->dims[0], a->workspace));
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel ngram_reference = {
    .name = "ngram_repeat_block_reference", .flags = OW_KERNEL_UNALIGNED, .run = ngram_run};
static const ow_kernel unfold_reference = {.name = "unfold_reference", .flags = OW_KERNEL_UNALIGNED, .run = unfold_run};
static const ow_kernel dtw_reference = {
    .name = "time_warping_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = dtw_prepare, .run = dtw_run};
static const ow_kernel bif_reference = {
    .name = "bifurcation_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = bif_prepare, .run = bif_run};
static const ow_kernel *const bif_kernels[] = {&bif_reference, NULL};
static const ow_attr_spec bif_attrs[] = {
    {"max_ngram_size", OW_ATTR_INT, false}, {"min_ngram_size", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_kernel *const ngram_kernels[] = {&ngram_reference, NULL};
static const ow_kernel *const unfold_kernels[] = {&unfold_reference, NULL};
static const ow_kernel *const dtw_kernels[] = {&dtw_reference, NULL};
static const ow_attr_spec ngram_attrs[] = {{"ngram_size", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec unfold_attrs[] = {{"dim", OW_ATTR_INT, false},
                                            {"size", OW_ATTR_INT, true},
                                            {"step", OW_ATTR_INT, false},
                                            {NULL, OW_ATTR_NONE, false}};

#define TOKEN_ROW(op, inputs, specs, stem)                                                                           \
  {                                                                                                                  \
    .domain = "com.microsoft", .name = op, .since = 1, .min_inputs = inputs, .max_inputs = inputs, .min_outputs = 1, \
    .max_outputs = 1, .attrs = specs, .infer = stem##_infer, .kernels = stem##_kernels                               \
  }

const ow_op ow_ops_token_help[] = {TOKEN_ROW("NGramRepeatBlock", 2, ngram_attrs, ngram),
                                   TOKEN_ROW("UnfoldTensor", 1, unfold_attrs, unfold),
                                   TOKEN_ROW("DynamicTimeWarping", 1, NULL, dtw),
                                   {.domain = "com.microsoft",
                                    .name = "BifurcationDetector",
                                    .since = 1,
                                    .min_inputs = 3,
                                    .max_inputs = 4,
                                    .min_outputs = 2,
                                    .max_outputs = 2,
                                    .attrs = bif_attrs,
                                    .infer = bif_infer,
                                    .kernels = bif_kernels},
                                   {.name = NULL}};
