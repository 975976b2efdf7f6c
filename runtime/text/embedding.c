/* Vectors of texts: batches of like length through an encoder, then one vector from the hidden states of each. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/dtype.h"
#include "base/options.h"
#include "base/os.h"
#include "base/size.h"
#include "text/text_buffer.h"
#include "text/token_json.h"

#include "onward/text.h"

enum { MAX_BATCH = 4096, INPUTS_MAX = 8 };

typedef enum role { ROLE_IDS, ROLE_MASK, ROLE_TYPES, ROLE_POSITIONS } role;

typedef struct encoder_input {
  onward_value_info info;
  role role;
  void *data;
  size_t capacity;
} encoder_input;

struct onward_embedder {
  const onward_tokenizer *tokenizer;
  onward_session *session;
  onward_embed_options options;
  encoder_input inputs[INPUTS_MAX];
  size_t input_count;
  const char *output;
  bool pooled; /* the output is [batch, width] */
  bool masked;
};

onward_embed_options onward_embed_options_default(void) {
  return (onward_embed_options){.struct_size = sizeof(onward_embed_options), .batch = 32};
}

/* ---- what sentence-transformers writes beside a model --------------------------------------------------------------------------- */

static onward_status read_pooling(const cJSON *json, onward_embed_options *options, onward_error *err) {
  size_t on = 0;
  for (const cJSON *item = json->child; item; item = item->next) {
    if (strncmp(item->string, "pooling_mode_", 13) != 0 || !cJSON_IsTrue(item))
      continue;
    const char *const mode = item->string + 13;
    if (strcmp(mode, "mean_tokens") == 0)
      options->pooling = ONWARD_POOLING_MEAN;
    else if (strcmp(mode, "cls_token") == 0)
      options->pooling = ONWARD_POOLING_CLS;
    else
      return ow_fail(err, ONWARD_UNSUPPORTED, "%.60s: this way to pool is not supported", item->string);
    if (++on > 1)
      return ow_fail(err, ONWARD_UNSUPPORTED, "%.60s: a second way to pool", item->string);
  }
  return ONWARD_OK;
}

onward_status onward_embed_options_read(const char *folder, onward_embed_options *options, onward_error *err) {
  if (!folder || !options || options->struct_size < sizeof *options)
    return ow_fail(err, ONWARD_ARGUMENT, "folder must not be NULL; start from onward_embed_options_default()");
  ow_bytes path = {0};
  ow_file file = {0};
  cJSON *json = NULL;
  ow_bytes_add(&path, folder, strlen(folder));
  ow_bytes_add(&path, "/1_Pooling/config.json", sizeof "/1_Pooling/config.json");
  if (path.failed)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  onward_status s =
      ow_file_open(path.data, false, UINT64_C(1) << 20, "tokenizer_bytes", &ow_allocator_default, &file, err);
  if (s == ONWARD_IO) {
    s = ONWARD_OK;
  } else if (!s) {
    s = ow_json_parse(file.size ? (const char *)file.data : "", file.size, &json, err);
    if (!s)
      s = cJSON_IsObject(json) ? read_pooling(json, options, err) : ow_fail(err, ONWARD_FORMAT, "want an object");
    if (s)
      ow_error_prefix(err, "%s", path.data);
  }
  cJSON_Delete(json);
  ow_file_close(&file);
  ow_bytes_free(&path);
  return s;
}

/* ---- which input and output is what --------------------------------------------------------------------------------------------- */

static onward_status find_inputs(onward_embedder *e, const onward_model *model, onward_error *err) {
  static const struct {
    const char *part;
    role role;
  } names[] = {{"mask", ROLE_MASK},
               {"token_type", ROLE_TYPES},
               {"segment", ROLE_TYPES},
               {"position", ROLE_POSITIONS},
               {"ids", ROLE_IDS}};
  size_t ids = 0;
  e->input_count = onward_model_input_count(model);
  for (size_t i = 0; i < e->input_count; i++) {
    onward_value_info info;
    OW_TRY(onward_model_input(model, i, &info, err));
    const bool integer = info.dtype == ONWARD_INT64 || info.dtype == ONWARD_INT32;
    size_t n = 0;
    while (n < 5 && !strstr(info.name, names[n].part))
      n++;
    if (i >= INPUTS_MAX || n == 5 || (info.rank != 2 && info.rank >= 0) ||
        !(integer || (info.dtype == ONWARD_BOOL && names[n].role == ROLE_MASK)))
      return ow_fail(err, ONWARD_UNSUPPORTED,
                     "cannot embed: input '%s' is no token ids, mask, token types or positions", info.name);
    e->inputs[i] = (encoder_input){.info = info, .role = names[n].role};
    ids += names[n].role == ROLE_IDS;
    e->masked |= names[n].role == ROLE_MASK;
  }
  return ids == 1 ? ONWARD_OK : ow_fail(err, ONWARD_UNSUPPORTED, "cannot embed: %zu inputs are token ids, want 1", ids);
}

static onward_status find_output(onward_embedder *e, const onward_model *model, onward_error *err) {
  const char *hidden = NULL, *sentence = NULL, *pooled = NULL;
  for (size_t o = 0; o < onward_model_output_count(model); o++) {
    onward_value_info info;
    OW_TRY(onward_model_output(model, o, &info, err));
    const bool real = info.dtype == ONWARD_FLOAT32 || info.dtype == ONWARD_FLOAT16 || info.dtype == ONWARD_BFLOAT16;
    if (!real || strcmp(info.name, "logits") == 0)
      continue;
    if (info.rank == 2 && strcmp(info.name, "sentence_embedding") == 0)
      sentence = info.name;
    else if (info.rank == 2 && info.dims[1] > 0 && !pooled)
      pooled = info.name;
    else if (info.rank == 3 && (!hidden || strcmp(info.name, "last_hidden_state") == 0))
      hidden = info.name;
  }
  const bool automatic = e->options.pooling == ONWARD_POOLING_AUTO;
  e->output = automatic && sentence ? sentence : hidden ? hidden : automatic ? pooled : NULL;
  e->pooled = e->output && e->output != hidden;
  if (e->output)
    return ONWARD_OK;
  return ow_fail(err, ONWARD_UNSUPPORTED, "cannot embed: no output is hidden states [batch,sequence,width]%s",
                 automatic ? " or a vector [batch,width]" : "");
}

void onward_embedder_free(onward_embedder *e) {
  if (!e)
    return;
  for (size_t i = 0; i < INPUTS_MAX; i++)
    ow_free(&ow_allocator_default, e->inputs[i].data);
  onward_session_free(e->session);
  ow_free(&ow_allocator_default, e);
}

void onward_embedder_cancel(onward_embedder *e) {
  if (e)
    onward_session_cancel(e->session);
}

static onward_status check_options(const onward_embed_options *o, onward_error *err) {
  if (o->pooling != ONWARD_POOLING_AUTO && o->pooling != ONWARD_POOLING_MEAN && o->pooling != ONWARD_POOLING_CLS)
    return ow_fail(err, ONWARD_INPUT, "pooling is %d, want one of onward_pooling", (int)o->pooling);
  if (o->batch < 1 || o->batch > MAX_BATCH)
    return ow_fail(err, ONWARD_INPUT, "batch is %lld, want 1 to %d", (long long)o->batch, MAX_BATCH);
  return o->max_length >= 0
             ? ONWARD_OK
             : ow_fail(err, ONWARD_INPUT, "max_length is %lld, want 0 or more", (long long)o->max_length);
}

onward_status onward_embedder_create(onward_model *model, const onward_tokenizer *tokenizer,
                                     const onward_session_options *session, const onward_embed_options *options,
                                     onward_embedder **embedder, onward_error *err) {
  if (!model || !tokenizer || !embedder)
    return ow_fail(err, ONWARD_ARGUMENT, "model, tokenizer and embedder must not be NULL");
  onward_embedder *const e = ow_alloc_zero(&ow_allocator_default, 1, sizeof *e);
  if (!e)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  e->tokenizer = tokenizer;
  e->options = onward_embed_options_default();
  onward_status s = ow_options_take(&e->options, sizeof e->options, options, "onward_embed_options", err);
  if (!s)
    s = check_options(&e->options, err);
  if (!s)
    s = find_inputs(e, model, err);
  if (!s)
    s = find_output(e, model, err);
  if (!s)
    s = onward_session_create(model, session, &e->session, err);
  if (s)
    onward_embedder_free(e);
  else
    *embedder = e;
  return s;
}

/* ---- a run ------------------------------------------------------------------------------------------------------------------------ */

typedef struct item {
  onward_encoding tokens;
  size_t index; /* of the text */
} item;

static int by_length(const void *a, const void *b) {
  const item *const x = a, *const y = b;
  const int length = (x->tokens.count > y->tokens.count) - (x->tokens.count < y->tokens.count);
  return length ? length : (x->index > y->index) - (x->index < y->index);
}

static onward_status fill(encoder_input *in, const item *items, size_t rows, size_t columns, onward_named_tensor *out,
                          onward_error *err) {
  size_t cells;
  if (!ow_size_mul(rows, columns, &cells) ||
      !ow_reserve(&ow_allocator_default, &in->data, &in->capacity, 0, cells, sizeof(int64_t)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for input '%s'", in->info.name);
  for (size_t r = 0; r < rows; r++)
    for (size_t k = 0; k < columns; k++) {
      const onward_encoding *const t = &items[r].tokens;
      const bool there = k < t->count;
      int64_t value = there;
      if (in->role == ROLE_POSITIONS)
        value = (int64_t)k;
      else if (in->role != ROLE_MASK)
        value = !there ? 0 : in->role == ROLE_IDS ? t->ids[k] : t->type_ids[k];
      ow_set_i64(in->info.dtype, in->data, (int64_t)(r * columns + k), value);
    }
  out->name = in->info.name;
  out->tensor =
      (onward_tensor){.dtype = in->info.dtype, .rank = 2, .dims = {(int64_t)rows, (int64_t)columns}, .data = in->data};
  return onward_tensor_bytes(out->tensor.dtype, 2, out->tensor.dims, &out->tensor.bytes, err);
}

/* One vector from row r of the output. */
static onward_status take_vector(const onward_embedder *e, const onward_tensor *t, size_t r, const item *text,
                                 double *sum, float *out, onward_error *err) {
  const int64_t width = t->dims[t->rank - 1], columns = e->pooled ? 1 : t->dims[1];
  const int64_t used = e->pooled || e->options.pooling == ONWARD_POOLING_CLS ? 1 : (int64_t)text->tokens.count;
  double square = 0;
  memset(sum, 0, (size_t)width * sizeof *sum);
  for (int64_t k = 0; k < used; k++)
    for (int64_t c = 0; c < width; c++)
      sum[c] += ow_get_f64(t->dtype, t->data, ((int64_t)r * columns + k) * width + c);
  for (int64_t c = 0; c < width; c++) {
    sum[c] /= (double)used;
    square += sum[c] * sum[c];
  }
  if (!isfinite(square))
    return ow_fail(err, ONWARD_DATA, "text %zu gives a vector that is not finite", text->index);
  const double scale = e->options.keep_length || square == 0 ? 1 : 1 / sqrt(square);
  for (int64_t c = 0; c < width; c++)
    out[c] = (float)(sum[c] * scale);
  return ONWARD_OK;
}

static onward_status run_batch(onward_embedder *e, const item *items, size_t rows, size_t texts, double **sum,
                               onward_embeddings *out, onward_error *err) {
  const size_t columns = items[rows - 1].tokens.count;
  onward_named_tensor given[INPUTS_MAX], got = {.name = e->output};
  for (size_t i = 0; i < e->input_count; i++)
    OW_TRY(fill(&e->inputs[i], items, rows, columns, &given[i], err));
  OW_TRY(onward_session_run(e->session, given, e->input_count, &got, 1, NULL, err));
  const onward_tensor *const t = &got.tensor;
  const int32_t rank = e->pooled ? 2 : 3;
  if (t->rank != rank || t->dims[0] != (int64_t)rows || (rank == 3 && t->dims[1] != (int64_t)columns) ||
      t->dims[rank - 1] < 1 || (out->width && t->dims[rank - 1] != (int64_t)out->width))
    return ow_fail(err, ONWARD_MODEL, "output '%s' has not one %s for each text", e->output,
                   e->pooled ? "vector" : "row of hidden states");
  if (!out->values) {
    out->width = (size_t)t->dims[rank - 1];
    size_t cells;
    if (!ow_size_mul(texts, out->width, &cells) ||
        !(out->values = ow_alloc_zero(&ow_allocator_default, cells, sizeof *out->values)) ||
        !(*sum = ow_alloc_zero(&ow_allocator_default, out->width, sizeof **sum)))
      return ow_fail(err, ONWARD_MEMORY, "no memory for %zu vectors", texts);
  }
  for (size_t r = 0; r < rows; r++)
    OW_TRY(take_vector(e, t, r, &items[r], *sum, out->values + items[r].index * out->width, err));
  return ONWARD_OK;
}

static onward_status run_all(onward_embedder *e, item *items, size_t count, double **sum, onward_embeddings *out,
                             onward_error *err) {
  qsort(items, count, sizeof *items, by_length);
  size_t at = 0;
  while (at < count && items[at].tokens.count == 0)
    at++;
  /* From the longest down: the first plan is then the largest. Without a mask only equal lengths share a run. */
  for (size_t end = count; end > at;) {
    size_t begin = end - 1;
    while (begin > at && end - begin < (size_t)e->options.batch &&
           (e->masked || items[begin - 1].tokens.count == items[end - 1].tokens.count))
      begin--;
    OW_TRY(run_batch(e, items + begin, end - begin, count, sum, out, err));
    end = begin;
  }
  if (!out->values && !(out->values = ow_alloc_zero(&ow_allocator_default, 1, sizeof *out->values)))
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  out->count = count;
  return ONWARD_OK;
}

onward_status onward_embedder_run(onward_embedder *e, const char *const *texts, size_t count,
                                  onward_embeddings *embeddings, onward_error *err) {
  if (!e || (!texts && count > 0) || !embeddings)
    return ow_fail(err, ONWARD_ARGUMENT, "embedder, texts and embeddings must not be NULL");
  onward_embeddings out = {0};
  double *sum = NULL;
  item *const items = ow_alloc_zero(&ow_allocator_default, count + 1, sizeof *items);
  onward_status s = items ? ONWARD_OK : ow_fail(err, ONWARD_MEMORY, "out of memory");
  onward_encode_options how = onward_encode_options_default();
  how.truncate = true;
  how.max_length = e->options.max_length;
  onward_session_clear_cancel(e->session); /* of a cancel that came after the last run */
  for (size_t i = 0; i < count && !s; i++) {
    items[i].index = i;
    s = texts[i] ? onward_tokenizer_encode_pair(e->tokenizer, texts[i], strlen(texts[i]), NULL, 0, &how,
                                                &items[i].tokens, err)
                 : ow_fail(err, ONWARD_INPUT, "text %zu is NULL", i);
    if (s && texts[i])
      ow_error_prefix(err, "text %zu", i);
  }
  if (!s)
    s = run_all(e, items, count, &sum, &out, err);
  for (size_t i = 0; i < count && items; i++)
    onward_free(items[i].tokens.ids);
  ow_free(&ow_allocator_default, items);
  ow_free(&ow_allocator_default, sum);
  if (s)
    ow_free(&ow_allocator_default, out.values);
  else
    *embeddings = out;
  return s;
}
