#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "element.h"
#include "input.h"

#define LEAF_END "[], \t\r\n"

typedef struct list_reader {
  const char *text, *at;
  int32_t rank; /* -1 until the first leaf, or the first empty list, is seen */
  int64_t dims[ONWARD_MAX_RANK];
  const char **leaves;
  size_t leaf_count, leaf_capacity;
  ow_scratch *scratch;
  onward_error *err;
} list_reader;

static bool fail_here(const list_reader *r, const char *what) {
  return ow_cmd_fail(r->err, ONWARD_ARGUMENT, "'%.40s%s' at character %zu: %s", r->text,
                     strlen(r->text) > 40 ? "..." : "", (size_t)(r->at - r->text) + 1, what);
}

static void skip_space(list_reader *r) { r->at += strspn(r->at, " \t\r\n"); }

static bool read_leaf(list_reader *r, int32_t depth) {
  const size_t n = strcspn(r->at, LEAF_END);
  if (n == 0)
    return fail_here(r, "a number, true or false is wanted");
  if (r->rank < 0)
    r->rank = depth;
  if (r->rank != depth)
    return fail_here(r, "lists of unlike depth");
  if (r->leaf_count == r->leaf_capacity) {
    r->leaf_capacity = 2 * r->leaf_capacity + 64;
    const char **const grown = ow_scratch_take(r->scratch, r->leaf_capacity * sizeof *grown);
    if (r->leaf_count > 0)
      memcpy(grown, r->leaves, r->leaf_count * sizeof *grown);
    r->leaves = grown;
  }
  r->leaves[r->leaf_count++] = r->at;
  r->at += n;
  return true;
}

static bool read_value(list_reader *r, int32_t depth);

static bool read_list(list_reader *r, int32_t depth) {
  if (depth == ONWARD_MAX_RANK)
    return fail_here(r, "lists are nested too deep");
  int64_t count = 0;
  r->at++;
  skip_space(r);
  while (*r->at != ']') {
    if (count > 0 && *r->at++ != ',') {
      r->at--;
      return fail_here(r, "',' or ']' is wanted");
    }
    if (!read_value(r, depth + 1))
      return false;
    count++;
    skip_space(r);
  }
  if (count == 0 && r->rank < 0)
    r->rank = depth + 1;
  if (count == 0 && r->rank != depth + 1)
    return fail_here(r, "lists of unlike length");
  if (r->dims[depth] < 0)
    r->dims[depth] = count;
  if (r->dims[depth] != count)
    return fail_here(r, "lists of unlike length");
  r->at++;
  return true;
}

static bool read_value(list_reader *r, int32_t depth) {
  skip_space(r);
  return *r->at == '[' ? read_list(r, depth) : read_leaf(r, depth);
}

static bool is_leaf(const char *leaf, const char *word) {
  const size_t n = strlen(word);
  return strncmp(leaf, word, n) == 0 && strchr(LEAF_END, leaf[n]) != NULL;
}

/* 64-bit integers have more digits than a double. */
static bool set_large(const char *leaf, onward_tensor *tensor, size_t i) {
  int64_t value = 0;
  const char *end = NULL;
  const bool negative = *leaf == '-';
  if (tensor->dtype != ONWARD_INT64 && (tensor->dtype != ONWARD_UINT64 || negative))
    return false;
  if (!ow_parse_count(leaf + negative, &end, &value) || strchr(LEAF_END, *end) == NULL)
    return false;
  ((int64_t *)tensor->data)[i] = negative ? -value : value;
  return true;
}

static bool leaf_value(list_reader *r, const char *leaf, double *value) {
  if (is_leaf(leaf, "true") || is_leaf(leaf, "false")) {
    *value = *leaf == 't';
    return true;
  }
  char *end = NULL;
  const size_t n = strspn(leaf, "+-.0123456789eE"); /* strtod alone would take hexadecimal and names */
  *value = strtod(leaf, &end);
  return end == leaf + n && n > 0 && strchr(LEAF_END, *end) != NULL ? true : fail_here(r, "no number");
}

static bool set_leaf(list_reader *r, onward_tensor *tensor, size_t i) {
  const char *const leaf = r->leaves[i];
  const bool real = ow_element_class_of(tensor->dtype) == OW_ELEMENT_REAL;
  const int64_t at = (int64_t)i;
  r->at = leaf;
  if (real && is_leaf(leaf, "NaN"))
    return ow_element_set(tensor->dtype, tensor->data, at, (double)NAN);
  if (real && (is_leaf(leaf, "Infinity") || is_leaf(leaf, "-Infinity")))
    return ow_element_set(tensor->dtype, tensor->data, at, *leaf == '-' ? -(double)INFINITY : (double)INFINITY);
  double value = 0;
  if (set_large(leaf, tensor, i))
    return true;
  if (!leaf_value(r, leaf, &value))
    return false;
  if (ow_element_set(tensor->dtype, tensor->data, at, value) &&
      (!real || isfinite(ow_element_get(tensor->dtype, tensor->data, at))))
    return true;
  return fail_here(r, ow_scratch_text(r->scratch, "%s cannot hold this", onward_dtype_name(tensor->dtype)));
}

bool ow_list_parse(const char *text, onward_dtype dtype, ow_scratch *scratch, onward_tensor *tensor,
                   onward_error *err) {
  list_reader r = {.text = text, .at = text, .rank = -1, .scratch = scratch, .err = err};
  for (int32_t d = 0; d < ONWARD_MAX_RANK; d++)
    r.dims[d] = -1;
  if (ow_element_class_of(dtype) == OW_ELEMENT_OTHER)
    return ow_cmd_fail(err, ONWARD_UNSUPPORTED, "values of type %s cannot be written as a list",
                       onward_dtype_name(dtype));
  if (!read_value(&r, 0))
    return false;
  skip_space(&r);
  if (*r.at != '\0')
    return fail_here(&r, "something follows the value");
  onward_tensor made = {.dtype = dtype};
  if (!ow_tensor_make(dtype, r.rank, r.dims, scratch, &made, err))
    return false;
  for (size_t i = 0; i < r.leaf_count; i++)
    if (!set_leaf(&r, &made, i))
      return false;
  *tensor = made;
  return true;
}
