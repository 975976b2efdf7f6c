/* StringConcat and StringSplit. */
#include <inttypes.h>

#include "ops/text_ops.h"

size_t ow_text_blank(const char *text) {
  const unsigned char *const t = (const unsigned char *)text;
  if (t[0] < 0x80)
    return (t[0] >= 9 && t[0] <= 13) || (t[0] >= 28 && t[0] <= 32);
  if (t[0] == 0xC2)
    return t[1] == 0x85 || t[1] == 0xA0 ? 2 : 0;
  if (t[0] == 0xE1)
    return t[1] == 0x9A && t[2] == 0x80 ? 3 : 0;
  if (t[0] == 0xE2)
    return (t[1] == 0x80 && ((t[2] >= 0x80 && t[2] <= 0x8A) || t[2] == 0xA8 || t[2] == 0xA9 || t[2] == 0xAF)) ||
                   (t[1] == 0x81 && t[2] == 0x9F)
               ? 3
               : 0;
  return t[0] == 0xE3 && t[1] == 0x80 && t[2] == 0x80 ? 3 : 0;
}

static onward_status want_strings(ow_infer *c, size_t input) {
  if (!ow_infer_has(c, input))
    return ow_infer_fail(c, ONWARD_MODEL, "input %zu is left out", input);
  return ow_infer_types(c, input, OW_BIT(ONWARD_STRING));
}

/* ---- StringConcat ---------------------------------------------------------------------------------------------------------------- */

static onward_status infer_concat(ow_infer *c) {
  OW_TRY(want_strings(c, 0));
  OW_TRY(want_strings(c, 1));
  ow_shape shape;
  OW_TRY(ow_infer_broadcast(c, &c->in[0].shape, &c->in[1].shape, &shape));
  return shape.rank < 0 ? ow_infer_unknown(c, 0, ONWARD_STRING, -1, NULL)
                        : ow_infer_set(c, 0, ONWARD_STRING, shape.rank, shape.dims);
}

static onward_status run_concat(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *const out = a->out[0];
  int64_t strides[2][ONWARD_MAX_RANK], at[2] = {0, 0}, index[2][ONWARD_MAX_RANK] = {{0}, {0}};
  for (int k = 0; k < 2; k++)
    ow_broadcast_strides(a->in[k]->rank, a->in[k]->dims, out->rank, strides[k]);
  const int64_t count = ow_count(out);
  for (int64_t i = 0; i < count; i++) {
    const char *const x = ow_text_at(a->in[0]->data, at[0]), *const y = ow_text_at(a->in[1]->data, at[1]);
    const size_t nx = strlen(x), ny = strlen(y);
    char *const joined = ow_texts_room(a->texts, nx + ny, err);
    if (!joined)
      return err ? err->status : ONWARD_MEMORY;
    memcpy(joined, x, nx);
    memcpy(joined + nx, y, ny);
    ((const char **)out->data)[i] = joined;
    for (int k = 0; k < 2; k++)
      (void)ow_advance(out->rank, out->dims, index[k], strides[k], &at[k]);
  }
  return ONWARD_OK;
}

/* ---- StringSplit ------------------------------------------------------------------------------------------------------------------- */

typedef struct splitter {
  const char *rest; /* NULL: done */
  const char *delimiter;
  size_t length; /* of delimiter; 0: blanks */
  int64_t left;  /* splits that may still be made; below 0: any number */
} splitter;

static splitter split_begin(const ow_node *node, const char *text) {
  splitter s = {.rest = text, .delimiter = ow_node_string(node, "delimiter", ""), .left = -1};
  const ow_attr *const most = ow_node_attr(node, "maxsplit");
  s.length = strlen(s.delimiter);
  if (most)
    s.left = most->i;
  return s;
}

/* The next piece as Python's str.split cuts it; false: there is none. */
static bool split_next(splitter *s, const char **piece, size_t *size) {
  size_t blank;
  if (!s->rest)
    return false;
  while (s->length == 0 && (blank = ow_text_blank(s->rest)) > 0)
    s->rest += blank;
  if (s->length == 0 && !*s->rest)
    return false;
  *piece = s->rest;
  const char *end = s->rest, *next = NULL;
  if (s->left == 0) {
    end += strlen(end);
  } else if (s->length > 0) {
    const char *const found = strstr(end, s->delimiter);
    end = found ? found : end + strlen(end);
    next = found ? found + s->length : NULL;
  } else {
    while (*end && ow_text_blank(end) == 0)
      end++;
    next = *end ? end : NULL;
  }
  s->left -= s->left > 0;
  s->rest = next;
  *size = (size_t)(end - *piece);
  return true;
}

static int64_t count_pieces(const ow_node *node, const char *text) {
  splitter s = split_begin(node, text);
  const char *piece;
  size_t size;
  int64_t count = 0;
  while (split_next(&s, &piece, &size))
    count++;
  return count;
}

static int64_t most_pieces(const ow_node *node, const onward_tensor *t) {
  int64_t most = 0;
  const int64_t count = ow_count(t);
  for (int64_t i = 0; i < count; i++) {
    const int64_t n = count_pieces(node, ow_text_at(t->data, i));
    most = n > most ? n : most;
  }
  return most;
}

static onward_status infer_split(ow_infer *c) {
  OW_TRY(want_strings(c, 0));
  const ow_shape *const in = &c->in[0].shape;
  if (in->rank < 0) {
    OW_TRY(ow_infer_unknown(c, 1, ONWARD_INT64, -1, NULL));
    return ow_infer_unknown(c, 0, ONWARD_STRING, -1, NULL);
  }
  if (in->rank == ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%d axes; at most %d", in->rank + 1, ONWARD_MAX_RANK);
  OW_TRY(ow_infer_same_shape(c, 1, 0, ONWARD_INT64));
  ow_dim dims[ONWARD_MAX_RANK];
  memcpy(dims, in->dims, (size_t)in->rank * sizeof *dims);
  const onward_tensor *const data = c->data ? c->data[0] : NULL;
  dims[in->rank] = data ? ow_dim_const(most_pieces(c->node, data)) : ow_dim_unknown();
  return data ? ow_infer_set(c, 0, ONWARD_STRING, in->rank + 1, dims)
              : ow_infer_unknown(c, 0, ONWARD_STRING, in->rank + 1, dims);
}

static onward_status run_split(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *const in = a->in[0], *const out = a->out[0], *const counts = a->out_count > 1 ? a->out[1] : NULL;
  const int64_t count = ow_count(in), width = out ? out->dims[out->rank - 1] : 0;
  if (out && most_pieces(a->node, in) != width)
    return ow_node_fail(a->node, err, ONWARD_INTERNAL, "the data changed after it was counted");
  for (int64_t i = 0; i < count; i++) {
    splitter s = split_begin(a->node, ow_text_at(in->data, i));
    const char *piece;
    size_t size;
    int64_t n = 0;
    for (; split_next(&s, &piece, &size); n++) {
      const char *const copy = out ? ow_texts_copy(a->texts, piece, size, err) : NULL;
      if (out && !copy)
        return err ? err->status : ONWARD_MEMORY;
      if (out)
        ((const char **)out->data)[i * width + n] = copy;
    }
    if (counts)
      ((int64_t *)counts->data)[i] = n;
    for (; n < width; n++)
      ((const char **)out->data)[i * width + n] = "";
  }
  return ONWARD_OK;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------------------- */

static const ow_kernel concat_kernel = {.name = "string_concat_reference", .run = run_concat};
static const ow_kernel split_kernel = {.name = "string_split_reference", .run = run_split};
static const ow_kernel *const concat_kernels[] = {&concat_kernel, NULL};
static const ow_kernel *const split_kernels[] = {&split_kernel, NULL};
static const ow_attr_spec split_attrs[] = {
    {"delimiter", OW_ATTR_STRING, false}, {"maxsplit", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_text_ops[] = {
    {.domain = "",
     .name = "StringConcat",
     .since = 20,
     .min_inputs = 2,
     .max_inputs = 2,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_concat,
     .kernels = concat_kernels},
    {.domain = "",
     .name = "StringSplit",
     .since = 20,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 2,
     .attrs = split_attrs,
     .infer = infer_split,
     .kernels = split_kernels},
    {.name = NULL},
};
