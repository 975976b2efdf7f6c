/* TfIdfVectorizer: how often each n-gram of a pool stands in a row of X [C] or [B, C], its elements next to each other or up to
 * max_skip_count apart. */
#include <inttypes.h>

#include "ops/reference.h"

typedef struct tfidf_pool {
  const int64_t *numbers; /* one of the two */
  const char *const *texts;
  size_t count; /* elements of all n-grams, the short ones first */
  const int64_t *starts, *columns;
  size_t sizes, grams;
  int64_t low, high, skips;
  int64_t width; /* of the output */
} tfidf_pool;

static bool tfidf_read(const ow_node *node, tfidf_pool *p) {
  size_t numbers = 0, texts = 0;
  const ow_attr *const attr = ow_node_attr(node, "pool_strings");
  *p = (tfidf_pool){.low = ow_node_int(node, "min_gram_length", 0),
                    .high = ow_node_int(node, "max_gram_length", 0),
                    .skips = ow_node_int(node, "max_skip_count", 0)};
  p->numbers = ow_node_ints(node, "pool_int64s", &numbers);
  if (attr) {
    p->texts = attr->strings;
    texts = attr->count;
  }
  p->count = numbers > 0 ? numbers : texts;
  p->starts = ow_node_ints(node, "ngram_counts", &p->sizes);
  p->columns = ow_node_ints(node, "ngram_indexes", &p->grams);
  if ((numbers > 0) == (texts > 0) || p->low < 1 || p->high < p->low || p->skips < 0 || p->skips > INT32_MAX ||
      p->sizes == 0 || p->sizes > INT32_MAX || p->starts[0] != 0)
    return false;
  size_t grams = 0;
  for (size_t n = 1; n <= p->sizes; n++) {
    const int64_t from = p->starts[n - 1], to = n < p->sizes ? p->starts[n] : (int64_t)p->count;
    if (from < 0 || to < from || to > (int64_t)p->count || (to - from) % (int64_t)n != 0)
      return false;
    grams += (size_t)(to - from) / n;
  }
  for (size_t i = 0; i < p->grams; i++) {
    if (p->columns[i] < 0 || p->columns[i] > INT32_MAX)
      return false;
    p->width = p->columns[i] >= p->width ? p->columns[i] + 1 : p->width;
  }
  return grams == p->grams && p->high <= (int64_t)p->sizes;
}

static onward_status tfidf_infer(ow_infer *c) {
  tfidf_pool p;
  if (!tfidf_read(c->node, &p))
    return ow_infer_fail(c, ONWARD_MODEL, "the pool, its counts and its indexes contradict each other");
  const char *mode = ow_node_string(c->node, "mode", "");
  const ow_attr *const weights = ow_node_attr(c->node, "weights");
  if (strcmp(mode, "TF") != 0 && strcmp(mode, "IDF") != 0 && strcmp(mode, "TFIDF") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'mode': want TF, IDF or TFIDF, got '%s'", mode);
  if (weights && weights->count != p.grams)
    return ow_infer_fail(c, ONWARD_MODEL, "%zu weights for %zu n-grams", weights->count, p.grams);
  OW_TRY(ow_infer_types(c, 0, p.texts ? OW_BIT(ONWARD_STRING) : OW_TYPES_INDEX));
  OW_TRY(ow_infer_rank(c, 0, 0, 2));
  const ow_shape *x = &c->in[0].shape;
  if (x->rank < 0)
    return ow_infer_set(c, 0, ONWARD_FLOAT32, -1, NULL);
  const ow_dim dims[2] = {x->rank == 2 ? x->dims[0] : ow_dim_const(p.width), ow_dim_const(p.width)};
  return ow_infer_set(c, 0, ONWARD_FLOAT32, x->rank == 2 ? 2 : 1, dims);
}

static bool tfidf_same(const tfidf_pool *p, size_t at, const onward_tensor *x, int64_t i) {
  return p->texts ? strcmp(p->texts[at], ((const char *const *)x->data)[i]) == 0 : p->numbers[at] == ow_index_at(x, i);
}

/* Places of the n-gram at pool[at...] in the row; a single element is not counted again for each skip. */
static int64_t tfidf_count(const tfidf_pool *p, size_t at, size_t n, const onward_tensor *x, int64_t from,
                           int64_t length) {
  int64_t found = 0;
  for (int64_t step = 1; step <= (n == 1 ? 1 : p->skips + 1); step++) {
    const int64_t reach = step * ((int64_t)n - 1);
    if (reach >= length)
      break;
    for (int64_t i = 0; i + reach < length; i++) {
      size_t k = 0;
      while (k < n && tfidf_same(p, at + k, x, from + i + (int64_t)k * step))
        k++;
      found += k == n;
    }
  }
  return found;
}

static onward_status tfidf_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  float *const out = a->out[0]->data;
  tfidf_pool p;
  if (!tfidf_read(a->node, &p) || a->out[0]->bytes == 0)
    return ONWARD_OK;
  const char *mode = ow_node_string(a->node, "mode", "");
  const ow_attr *const weights = ow_node_attr(a->node, "weights");
  const int64_t rows = x->rank == 2 ? x->dims[0] : 1, length = x->rank == 0 ? 1 : x->dims[x->rank - 1];
  memset(out, 0, a->out[0]->bytes);
  for (int64_t row = 0; row < rows; row++) {
    size_t gram = 0;
    for (size_t n = 1; n <= p.sizes; n++) {
      const size_t end = n < p.sizes ? (size_t)p.starts[n] : p.count;
      for (size_t at = (size_t)p.starts[n - 1]; at < end; at += n, gram++) {
        if ((int64_t)n < p.low || (int64_t)n > p.high)
          continue;
        const float count = (float)tfidf_count(&p, at, n, x, row * length, length);
        const float weight = weights && strcmp(mode, "TF") != 0 ? weights->floats[gram] : 1.0f;
        out[row * p.width + p.columns[gram]] += weight * (strcmp(mode, "IDF") == 0 ? (count > 0 ? 1.0f : 0.0f) : count);
      }
    }
  }
  return ONWARD_OK;
}

static const ow_kernel tfidf_reference = {.name = "tfidf_reference", .flags = OW_KERNEL_UNALIGNED, .run = tfidf_run};
static const ow_kernel *const tfidf_kernels[] = {&tfidf_reference, NULL};
static const ow_attr_spec tfidf_attrs[] = {
    {"max_gram_length", OW_ATTR_INT, true}, {"max_skip_count", OW_ATTR_INT, true},
    {"min_gram_length", OW_ATTR_INT, true}, {"mode", OW_ATTR_STRING, true},
    {"ngram_counts", OW_ATTR_INTS, true},   {"ngram_indexes", OW_ATTR_INTS, true},
    {"pool_int64s", OW_ATTR_INTS, false},   {"pool_strings", OW_ATTR_STRINGS, false},
    {"weights", OW_ATTR_FLOATS, false},     {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_tfidf[] = {{.domain = "",
                               .name = "TfIdfVectorizer",
                               .since = 9,
                               .min_inputs = 1,
                               .max_inputs = 1,
                               .min_outputs = 1,
                               .max_outputs = 1,
                               .attrs = tfidf_attrs,
                               .infer = tfidf_infer,
                               .kernels = tfidf_kernels},
                              {.name = NULL}};
