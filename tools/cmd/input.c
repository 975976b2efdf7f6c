#include "input.h"

#include <string.h>

#include "element.h"
#include "host.h"
#include "npy.h"

bool ow_input_fill(const onward_value_info *info, int32_t rank, const int64_t *dims, double integers, double floats,
                   ow_scratch *scratch, onward_tensor *tensor, onward_error *err) {
  const ow_element_class kind = ow_element_class_of(info->dtype);
  if (kind == OW_ELEMENT_OTHER)
    return ow_cmd_fail(err, ONWARD_UNSUPPORTED, "input '%s': values of type %s cannot be made up", info->name,
                       onward_dtype_name(info->dtype));
  onward_error inner = {ONWARD_OK, ""};
  if (!ow_tensor_make(info->dtype, rank, dims, scratch, tensor, &inner))
    return ow_cmd_fail(err, inner.status, "input '%s': %s", info->name, inner.message);
  const int64_t count = ow_tensor_count(tensor);
  for (int64_t i = 0; i < count; i++)
    ow_element_set(info->dtype, tensor->data, i, kind == OW_ELEMENT_REAL ? floats : integers);
  return true;
}

/* A 64-bit mixer: consecutive states give unrelated numbers. */
static uint64_t mix(uint64_t x) {
  x += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

static void randomize(const char *name, onward_tensor *tensor) {
  uint64_t seed = 1;
  for (const char *p = name; *p != '\0'; p++)
    seed = mix(seed ^ (unsigned char)*p);
  const bool real = ow_element_class_of(tensor->dtype) == OW_ELEMENT_REAL;
  const int64_t count = ow_tensor_count(tensor);
  for (int64_t i = 0; i < count; i++) {
    const uint64_t bits = mix(seed + (uint64_t)i);
    ow_element_set(tensor->dtype, tensor->data, i, real ? (double)(bits >> 40) * 0x1p-23 - 1 : (double)(bits >> 63));
  }
}

static bool ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  return n > m && strcmp(text + n - m, end) == 0;
}

/* Tensors as they are, sequences and strings deeper: into scratch. */
static void copy_value(const onward_tensor *from, ow_scratch *scratch, onward_tensor *to) {
  *to = *from;
  to->data = from->bytes > 0 ? ow_scratch_take(scratch, from->bytes) : NULL;
  if (from->bytes > 0)
    memcpy(to->data, from->data, from->bytes);
  if (from->rank == ONWARD_SEQUENCE_RANK) {
    for (int64_t i = 0; i < from->dims[0]; i++)
      copy_value((const onward_tensor *)from->data + i, scratch, (onward_tensor *)to->data + i);
  } else if (from->dtype == ONWARD_STRING) {
    for (size_t i = 0; i < from->bytes / sizeof(char *); i++)
      ((const char **)to->data)[i] = ow_scratch_text(scratch, "%s", ((const char *const *)from->data)[i]);
  }
}

bool ow_pb_read(const char *path, onward_kind kind, ow_scratch *scratch, onward_tensor *tensor, const char **name,
                onward_error *err) {
  uint8_t *bytes = NULL;
  size_t size = 0;
  if (!ow_file_load(path, scratch, &bytes, &size, err))
    return false;
  onward_error inner = {ONWARD_OK, ""};
  onward_tensor parsed = {.dtype = ONWARD_UNDEFINED};
  char *own = NULL;
  if (onward_value_parse(bytes, size, kind, &parsed, &own, &inner) != ONWARD_OK)
    return ow_cmd_fail(err, inner.status, "%s: %s", path, inner.message);
  copy_value(&parsed, scratch, tensor);
  if (name != NULL)
    *name = ow_scratch_text(scratch, "%s", own == NULL ? "" : own);
  onward_free(parsed.data);
  onward_free(own);
  return true;
}

static bool read_made_up(const onward_value_info *info, const char *text, const char *dims_text, ow_scratch *scratch,
                         onward_tensor *tensor, onward_error *err) {
  int32_t rank = 0;
  int64_t dims[ONWARD_MAX_RANK];
  if (!ow_parse_dims(dims_text, &rank, dims))
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "--input %s=%s: want AxBxC after the colon, at most %d whole numbers",
                       info->name, text, ONWARD_MAX_RANK);
  if (!ow_input_fill(info, rank, dims, 1, 1, scratch, tensor, err))
    return false;
  if (*text == 'r')
    randomize(info->name, tensor);
  return true;
}

bool ow_input_read(const onward_value_info *info, const char *text, ow_scratch *scratch, onward_tensor *tensor,
                   onward_error *err) {
  if (ends_with(text, ".pb"))
    return ow_pb_read(text, info->kind, scratch, tensor, NULL, err);
  if (info->kind != ONWARD_KIND_TENSOR)
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "--input %s=%s: a sequence or optional can only come from a file .pb",
                       info->name, text);
  if (strncmp(text, "random:", 7) == 0 || strncmp(text, "ones:", 5) == 0)
    return read_made_up(info, text, strchr(text, ':') + 1, scratch, tensor, err);
  if (ends_with(text, ".npy") || ends_with(text, ".npz")) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (!ow_file_load(text, scratch, &bytes, &size, err))
      return false;
    return ends_with(text, ".npy") ? ow_npy_parse(text, bytes, size, scratch, tensor, err)
                                   : ow_npz_parse(text, bytes, size, info->name, scratch, tensor, err);
  }
  if (*text != '\0' &&
      (strchr("[-0123456789", *text) != NULL || strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
    onward_error inner = {ONWARD_OK, ""};
    return ow_list_parse(text, info->dtype, scratch, tensor, &inner) ||
           ow_cmd_fail(err, inner.status, "--input %s: %s", info->name, inner.message);
  }
  return ow_cmd_fail(err, ONWARD_ARGUMENT,
                     "--input %s=%s: want a file .npy, .npz or .pb, a list like [[1,2],[3,4]], random:AxB or ones:AxB",
                     info->name, text);
}
