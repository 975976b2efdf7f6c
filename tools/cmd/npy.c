#include "npy.h"

#include <string.h>

#include "args.h"
#include "element.h"

#define HEADER_LIMIT 10000 /* what NumPy itself allows */

typedef struct header_reader {
  const char *name; /* of the file */
  const uint8_t *bytes;
  size_t at, end; /* offsets in the file */
  onward_error *err;
} header_reader;

typedef struct header {
  onward_dtype dtype;
  size_t item;
  bool swap, fortran;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
  bool has_descr, has_order, has_shape;
} header;

static bool fail_at(const header_reader *r, const char *what) {
  return ow_cmd_fail(r->err, ONWARD_FORMAT, "%s: byte %zu of the .npy header: %s", r->name, r->at, what);
}

static void skip_blanks(header_reader *r) {
  while (r->at < r->end && (r->bytes[r->at] == ' ' || r->bytes[r->at] == '\n'))
    r->at++;
}

static bool take(header_reader *r, char c) {
  skip_blanks(r);
  if (r->at == r->end || r->bytes[r->at] != (uint8_t)c)
    return false;
  r->at++;
  return true;
}

static bool take_word(header_reader *r, const char *word) {
  const size_t n = strlen(word);
  skip_blanks(r);
  if (r->end - r->at < n || memcmp(r->bytes + r->at, word, n) != 0)
    return false;
  r->at += n;
  return true;
}

/* 'text' or "text" without escapes, copied to out */
static bool read_text(header_reader *r, char *out, size_t size) {
  const char quote = take(r, '\'') ? '\'' : '"';
  if (quote == '"' && !take(r, '"'))
    return fail_at(r, "a quoted text is wanted");
  size_t n = 0;
  while (r->at < r->end && r->bytes[r->at] != (uint8_t)quote) {
    if (n + 1 >= size || r->bytes[r->at] == '\\')
      return fail_at(r, "a text that is too long or has escapes");
    out[n++] = (char)r->bytes[r->at++];
  }
  if (r->at == r->end)
    return fail_at(r, "a text does not end");
  r->at++;
  out[n] = '\0';
  return true;
}

static bool read_descr(header_reader *r, header *h) {
  static const struct {
    const char *code;
    onward_dtype dtype;
  } codes[] = {
      {"b1", ONWARD_BOOL},   {"i1", ONWARD_INT8},    {"i2", ONWARD_INT16},   {"i4", ONWARD_INT32},
      {"i8", ONWARD_INT64},  {"u1", ONWARD_UINT8},   {"u2", ONWARD_UINT16},  {"u4", ONWARD_UINT32},
      {"u8", ONWARD_UINT64}, {"f2", ONWARD_FLOAT16}, {"f4", ONWARD_FLOAT32}, {"f8", ONWARD_FLOAT64},
  };
  skip_blanks(r);
  if (r->at < r->end && r->bytes[r->at] == '[')
    return ow_cmd_fail(r->err, ONWARD_UNSUPPORTED, "%s: a structured array; want bool, int, uint or float16/32/64",
                       r->name);
  char descr[32];
  if (!read_text(r, descr, sizeof descr))
    return false;
  const char order = descr[0];
  const bool ordered = order == '<' || order == '>' || order == '|' || order == '=';
  const char *const code = descr + ordered;
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    if (strcmp(code, codes[i].code) != 0)
      continue;
    h->dtype = codes[i].dtype;
    h->item = ow_element_size(h->dtype);
    h->swap = h->item > 1 && order == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '>' : '<');
    return true;
  }
  const char *const why = code[0] == 'O' ? " (Python objects, which need unpickling)" : "";
  return ow_cmd_fail(r->err, ONWARD_UNSUPPORTED, "%s: element type '%s'%s; want bool, int, uint or float16/32/64",
                     r->name, descr, why);
}

static bool read_shape(header_reader *r, header *h) {
  if (!take(r, '('))
    return fail_at(r, "the shape is no tuple");
  while (!take(r, ')')) {
    int64_t dim = 0;
    const size_t start = r->at;
    for (; r->at < r->end && r->bytes[r->at] >= '0' && r->bytes[r->at] <= '9'; r->at++)
      if (__builtin_mul_overflow(dim, 10, &dim) || __builtin_add_overflow(dim, r->bytes[r->at] - '0', &dim))
        return fail_at(r, "a dimension does not fit 63 bits");
    if (r->at == start)
      return fail_at(r, "a dimension is no whole number");
    if (h->rank == ONWARD_MAX_RANK)
      return ow_cmd_fail(r->err, ONWARD_LIMIT, "%s: more than %d dimensions", r->name, ONWARD_MAX_RANK);
    h->dims[h->rank++] = dim;
    if (take(r, ','))
      continue;
    if (!take(r, ')'))
      return fail_at(r, "',' or ')' is wanted in the shape");
    break;
  }
  return true;
}

static bool read_entry(header_reader *r, header *h) {
  char key[32];
  if (!read_text(r, key, sizeof key))
    return false;
  bool *const seen = strcmp(key, "descr") == 0           ? &h->has_descr
                     : strcmp(key, "fortran_order") == 0 ? &h->has_order
                     : strcmp(key, "shape") == 0         ? &h->has_shape
                                                         : NULL;
  if (seen == NULL || *seen)
    return fail_at(r, seen == NULL ? "an unknown key" : "a key for the second time");
  *seen = true;
  if (!take(r, ':'))
    return fail_at(r, "':' is wanted");
  if (seen == &h->has_descr)
    return read_descr(r, h);
  if (seen == &h->has_shape)
    return read_shape(r, h);
  h->fortran = take_word(r, "True");
  return h->fortran || take_word(r, "False") || fail_at(r, "True or False is wanted");
}

static bool read_header(header_reader *r, header *h) {
  if (!take(r, '{'))
    return fail_at(r, "'{' is wanted");
  while (!take(r, '}')) {
    if (!read_entry(r, h))
      return false;
    if (take(r, ','))
      continue;
    if (!take(r, '}'))
      return fail_at(r, "',' or '}' is wanted");
    break;
  }
  skip_blanks(r);
  if (r->at != r->end)
    return fail_at(r, "something follows the dictionary");
  if (!h->has_descr || !h->has_order || !h->has_shape)
    return fail_at(r, "descr, fortran_order or shape is missing");
  return true;
}

static void copy_item(uint8_t *to, const uint8_t *from, size_t item, bool swap) {
  if (!swap) {
    memcpy(to, from, item);
    return;
  }
  for (size_t i = 0; i < item; i++)
    to[i] = from[item - 1 - i];
}

/* Column-major to row-major: walks the file in order and steps through the target with its strides. */
static void copy_items(const header *h, const uint8_t *from, uint8_t *to, int64_t count) {
  int64_t stride[ONWARD_MAX_RANK] = {0};
  int64_t index[ONWARD_MAX_RANK] = {0};
  int64_t step = 1;
  for (int32_t d = h->rank - 1; d >= 0; d--) {
    stride[d] = step;
    step *= h->dims[d];
  }
  int64_t at = 0;
  for (int64_t i = 0; i < count; i++) {
    copy_item(to + (size_t)(h->fortran ? at : i) * h->item, from + (size_t)i * h->item, h->item, h->swap);
    for (int32_t d = 0; d < h->rank; d++) {
      at += stride[d];
      if (++index[d] < h->dims[d])
        break;
      at -= stride[d] * h->dims[d];
      index[d] = 0;
    }
  }
}

bool ow_npy_parse(const char *name, const uint8_t *bytes, size_t size, ow_scratch *scratch, onward_tensor *tensor,
                  onward_error *err) {
  if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0)
    return ow_cmd_fail(err, ONWARD_FORMAT, "%s: not a .npy file (the first bytes are not \\x93NUMPY)", name);
  if (bytes[6] < 1 || bytes[6] > 3)
    return ow_cmd_fail(err, ONWARD_UNSUPPORTED, "%s: .npy version %d.%d; versions 1 to 3 are read", name, bytes[6],
                       bytes[7]);
  const size_t start = bytes[6] == 1 ? 10 : 12;
  if (size < start)
    return ow_cmd_fail(err, ONWARD_FORMAT, "%s: ends at byte %zu, within the header", name, size);
  size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
  if (start == 12)
    length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
  if (length > HEADER_LIMIT)
    return ow_cmd_fail(err, ONWARD_LIMIT, "%s: a header of %zu bytes; at most %d are read", name, length, HEADER_LIMIT);
  if (length > size - start)
    return ow_cmd_fail(err, ONWARD_FORMAT,
                       "%s: ends at byte %zu, within the header, which takes %zu bytes from byte %zu", name, size,
                       length, start);
  header_reader r = {.name = name, .bytes = bytes, .at = start, .end = start + length, .err = err};
  header h = {.dtype = ONWARD_UNDEFINED};
  if (!read_header(&r, &h))
    return false;
  size_t want = 0;
  onward_error inner;
  if (onward_tensor_bytes(h.dtype, h.rank, h.dims, &want, &inner) != ONWARD_OK)
    return ow_cmd_fail(err, inner.status, "%s: %s", name, inner.message);
  const size_t data = start + length;
  if (size - data != want)
    return ow_cmd_fail(err, ONWARD_FORMAT, "%s: %s [%s] takes %zu bytes from byte %zu, the file has %zu", name,
                       onward_dtype_name(h.dtype), ow_dims_text(scratch, h.rank, h.dims), want, data, size - data);
  if (!ow_tensor_make(h.dtype, h.rank, h.dims, scratch, tensor, err))
    return false;
  if (h.swap || h.fortran)
    copy_items(&h, bytes + data, tensor->data, ow_tensor_count(tensor));
  else
    memcpy(tensor->data, bytes + data, want);
  if (h.dtype == ONWARD_BOOL)
    for (size_t i = 0; i < want; i++)
      ((uint8_t *)tensor->data)[i] = ((const uint8_t *)tensor->data)[i] != 0;
  return true;
}

static const char *descr_of(onward_dtype dtype) {
  switch ((int)dtype) {
    case ONWARD_FLOAT16: return "f2";
    case ONWARD_FLOAT32: return "f4";
    case ONWARD_FLOAT64: return "f8";
    case ONWARD_COMPLEX64: return "c8";
    case ONWARD_COMPLEX128: return "c16";
    case ONWARD_BOOL: return "b1";
    case ONWARD_INT8: return "i1";
    case ONWARD_INT16: return "i2";
    case ONWARD_INT32: return "i4";
    case ONWARD_INT64: return "i8";
    case ONWARD_UINT8: return "u1";
    case ONWARD_UINT16:
    case ONWARD_BFLOAT16: return "u2";
    case ONWARD_UINT32: return "u4";
    case ONWARD_UINT64: return "u8";
    default: return NULL;
  }
}

void ow_npy_format(const onward_tensor *tensor, ow_scratch *scratch, uint8_t **bytes, size_t *size) {
  const char *const descr = descr_of(tensor->dtype);
  const char *shape = ow_scratch_text(scratch, "%s", "");
  if (descr == NULL)
    shape = ow_scratch_text(scratch, "%zu,", tensor->bytes);
  else if (tensor->rank == 1)
    shape = ow_scratch_text(scratch, "%lld,", (long long)tensor->dims[0]);
  else
    for (int32_t i = 0; i < tensor->rank; i++)
      shape = ow_scratch_text(scratch, "%s%s%lld", shape, i == 0 ? "" : ", ", (long long)tensor->dims[i]);
  const bool one_byte = descr == NULL || descr[1] == '1';
  const char order = one_byte && (descr == NULL || strlen(descr) == 2) ? '|'
                     : __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__       ? '<'
                                                                       : '>';
  const char *const dict = ow_scratch_text(scratch, "{'descr': '%c%s', 'fortran_order': False, 'shape': (%s), }", order,
                                           descr == NULL ? "u1" : descr, shape);
  const size_t length = strlen(dict);
  const size_t head = (10 + length + 1 + 63) / 64 * 64; /* the data begins on a multiple of 64 */
  *size = head + tensor->bytes;
  *bytes = ow_scratch_take(scratch, *size);
  memcpy(*bytes, "\x93NUMPY\x01\x00", 8);
  (*bytes)[8] = (uint8_t)((head - 10) & 255);
  (*bytes)[9] = (uint8_t)((head - 10) >> 8);
  memcpy(*bytes + 10, dict, length);
  memset(*bytes + 10 + length, ' ', head - 11 - length);
  (*bytes)[head - 1] = '\n';
  if (tensor->bytes > 0)
    memcpy(*bytes + head, tensor->data, tensor->bytes);
}
