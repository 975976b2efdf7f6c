/* Numbers to text and back, whatever the locale of the program. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/text_ops.h"

/* ---- to text ----------------------------------------------------------------------------------------------------------------- */

static bool same(onward_dtype dtype, double a, double b) {
  double x = 0, y = 0; /* room for any element */
  ow_set_f64(dtype, &x, 0, a);
  ow_set_f64(dtype, &y, 0, b);
  return memcmp(&x, &y, sizeof x) == 0;
}

/* The fewest digits d1 d2 ... that read back, and the exponent of d1.d2... */
static size_t shortest(onward_dtype dtype, double value, char digits[20], int *exponent) {
  char text[OW_NUMBER_TEXT];
  for (int precision = 0; precision < 17; precision++) {
    (void)snprintf(text, sizeof text, "%.*e", precision, value);
    if (precision == 16 || same(dtype, strtod(text, NULL), value))
      break;
  }
  size_t count = 0;
  const char *p = text;
  for (; *p && *p != 'e'; p++) /* the decimal point may be any, and any number of bytes */
    if (*p >= '0' && *p <= '9')
      digits[count++] = *p;
  *exponent = *p ? atoi(p + 1) : 0;
  while (count > 1 && digits[count - 1] == '0')
    count--;
  return count;
}

static void float_text(onward_dtype dtype, double value, char text[OW_NUMBER_TEXT]) {
  if (isnan(value) || isinf(value)) {
    (void)snprintf(text, OW_NUMBER_TEXT, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
    return;
  }
  char digits[20];
  int exponent;
  const size_t count = shortest(dtype, fabs(value), digits, &exponent);
  char *p = text;
  if (signbit(value))
    *p++ = '-';
  const double magnitude = fabs(value);
  if (magnitude >= 1e16 || (magnitude > 0 && magnitude < 1e-4)) {
    *p++ = digits[0];
    if (count > 1)
      *p++ = '.';
    memcpy(p, digits + 1, count - 1);
    const int size = exponent < 0 ? -exponent : exponent;
    (void)snprintf(p + count - 1, 6, "e%c%02u", exponent < 0 ? '-' : '+', (unsigned)size % 1000);
    return;
  }
  if (exponent < 0) {
    *p++ = '0';
    *p++ = '.';
    for (int i = exponent + 1; i < 0; i++)
      *p++ = '0';
  }
  for (int i = 0; i < (int)count || i <= exponent; i++) {
    *p++ = i < (int)count ? digits[i] : '0';
    if (i == exponent)
      *p++ = '.';
  }
  if (p[-1] == '.')
    *p++ = '0';
  *p = '\0';
}

void ow_number_text(onward_dtype dtype, const void *data, int64_t i, char text[OW_NUMBER_TEXT]) {
  const ow_dtype_kind kind = ow_dtype(dtype)->kind;
  if (kind == OW_KIND_FLOAT)
    float_text(dtype, ow_get_f64(dtype, data, i), text);
  else if (kind == OW_KIND_BOOL)
    (void)snprintf(text, OW_NUMBER_TEXT, "%s", ow_get_i64(dtype, data, i) ? "True" : "False");
  else if (dtype == ONWARD_UINT64)
    (void)snprintf(text, OW_NUMBER_TEXT, "%" PRIu64, (uint64_t)ow_get_i64(dtype, data, i));
  else
    (void)snprintf(text, OW_NUMBER_TEXT, "%" PRId64, ow_get_i64(dtype, data, i));
}

/* ---- from text --------------------------------------------------------------------------------------------------------------- */

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool is_word(const char *text, size_t length, const char *word) {
  if (strlen(word) != length)
    return false;
  for (size_t i = 0; i < length; i++)
    if (lower(text[i]) != word[i])
      return false;
  return true;
}

static size_t digits_at(const char *text, const char *end) {
  size_t n = 0;
  while (text + n < end && text[n] >= '0' && text[n] <= '9')
    n++;
  return n;
}

/* [begin, end) is digits, a fraction and an exponent: *point is where its decimal point stands, or NULL. */
static bool is_decimal(const char *begin, const char *end, const char **point) {
  const char *p = begin;
  size_t digits = digits_at(p, end);
  p += digits;
  *point = NULL;
  if (p < end && *p == '.') {
    *point = p++;
    const size_t more = digits_at(p, end);
    digits += more;
    p += more;
  }
  if (digits == 0)
    return false;
  if (p < end && (*p == 'e' || *p == 'E')) {
    p++;
    if (p < end && (*p == '+' || *p == '-'))
      p++;
    const size_t exponent = digits_at(p, end);
    if (exponent == 0)
      return false;
    p += exponent;
  }
  return p == end;
}

bool ow_text_number(const char *text, double *value) {
  size_t blank;
  while ((blank = ow_text_blank(text)) > 0)
    text += blank;
  const char *end = text + strlen(text);
  while (end > text && end[-1] > 0 && ow_text_blank(&end[-1]) == 1)
    end--;
  const bool negative = *text == '-';
  if (*text == '-' || *text == '+')
    text++;
  const size_t length = (size_t)(end - text);
  const double sign = negative ? -1 : 1;
  const char *point;
  if (is_word(text, length, "nan"))
    *value = (double)NAN;
  else if (is_word(text, length, "inf") || is_word(text, length, "infinity"))
    *value = sign * (double)INFINITY;
  else if (length >= 512 || !is_decimal(text, end, &point))
    return false;
  else {
    char local[600], sample[16];
    (void)snprintf(sample, sizeof sample, "%.1f", 0.5); /* "0.5" with the decimal point of the locale */
    const size_t point_length = strlen(sample) - 2, before = point ? (size_t)(point - text) : length;
    memcpy(local, text, before);
    size_t at = before;
    if (point) {
      memcpy(local + at, sample + 1, point_length);
      at += point_length;
      memcpy(local + at, point + 1, length - before - 1);
      at += length - before - 1;
    }
    local[at] = '\0';
    *value = sign * strtod(local, NULL);
  }
  return true;
}

/* Digits alone are read in full; 2^53 and above are no doubles. */
static bool whole_number(const char *text, bool *negative, uint64_t *size) {
  size_t blank;
  while ((blank = ow_text_blank(text)) > 0)
    text += blank;
  *negative = *text == '-';
  if (*text == '-' || *text == '+')
    text++;
  const size_t count = digits_at(text, text + strlen(text));
  *size = 0;
  for (size_t i = 0; i < count; i++)
    if (__builtin_mul_overflow(*size, 10u, size) || __builtin_add_overflow(*size, (uint64_t)(text[i] - '0'), size))
      return false;
  text += count;
  while ((blank = ow_text_blank(text)) > 0)
    text += blank;
  return count > 0 && !*text;
}

static onward_status no_number(const ow_args *a, int64_t i, const char *text, onward_error *err) {
  return ow_fail(err, ONWARD_DATA, "input 0 '%s': '%.60s' at element %" PRId64 " is no %s",
                 a->node->inputs[0] ? a->node->inputs[0]->name : "", text, i, onward_dtype_name(a->out[0]->dtype));
}

static onward_status parse_all(const ow_args *a, bool write, onward_error *err) {
  const onward_tensor *const in = a->in[0], *const out = a->out[0];
  const ow_dtype_info *const info = ow_dtype(out->dtype);
  const int64_t count = ow_count(in);
  for (int64_t i = 0; i < count; i++) {
    const char *const text = ow_text_at(in->data, i);
    double value = 0;
    bool negative;
    uint64_t size;
    const bool whole = info->kind != OW_KIND_FLOAT;
    if (info->kind == OW_KIND_BOOL && (strcmp(text, "True") == 0 || strcmp(text, "False") == 0)) {
      if (write)
        ow_set_i64(out->dtype, out->data, i, text[0] == 'T');
    } else if (whole && whole_number(text, &negative, &size)) {
      const bool is_unsigned = info->kind == OW_KIND_UNSIGNED;
      const int width = info->kind == OW_KIND_BOOL ? 64 : info->bits;
      const uint64_t most = info->kind == OW_KIND_BOOL || (is_unsigned && width == 64) ? UINT64_MAX
                            : is_unsigned                                              ? (UINT64_C(1) << width) - 1
                                          : (UINT64_C(1) << (width - 1)) - !negative;
      if (size > most || (is_unsigned && negative && size > 0))
        return no_number(a, i, text, err);
      const uint64_t bits = negative ? UINT64_C(0) - size : size;
      if (write)
        ow_set_i64(out->dtype, out->data, i, info->kind == OW_KIND_BOOL ? size != 0 : (int64_t)bits);
    } else if (!ow_text_number(text, &value) || (whole && !isfinite(value))) {
      return no_number(a, i, text, err);
    } else if (write) {
      ow_set_f64(out->dtype, out->data, i, value);
    }
  }
  return ONWARD_OK;
}

onward_status ow_cast_text(const ow_args *a, onward_error *err) {
  const onward_tensor *const in = a->in[0], *const out = a->out[0];
  if (in->dtype == ONWARD_STRING) {
    OW_TRY(parse_all(a, false, err));
    return parse_all(a, true, err);
  }
  const int64_t count = ow_count(in);
  for (int64_t i = 0; i < count; i++) {
    char text[OW_NUMBER_TEXT];
    ow_number_text(in->dtype, in->data, i, text);
    const char *const copy = ow_texts_copy(a->texts, text, strlen(text), err);
    if (!copy)
      return err ? err->status : ONWARD_MEMORY;
    ((const char **)out->data)[i] = copy;
  }
  return ONWARD_OK;
}
