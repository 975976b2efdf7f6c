#include "proto/foreign.h"

#include <string.h>

#include "base/format.h"

typedef struct magic {
  size_t offset;
  const char *bytes;
  size_t length;
  const char *what;
} magic;

#define MAGIC(offset, text, what) \
  { offset, text, sizeof text - 1, what }

/* At offset 0: none can begin a ModelProto, as its first tag would be a group, a wrong wire type or a field that does not exist. */
static const magic magics[] = {
    MAGIC(0, "PK\003\004", "a zip archive, as PyTorch writes (export it to ONNX first)"),
    MAGIC(0, "\x80\x02", "a Python pickle, as PyTorch writes (export it to ONNX first)"),
    MAGIC(0, "\x80\x03", "a Python pickle (export the model to ONNX first)"),
    MAGIC(0, "\x80\x04", "a Python pickle (export the model to ONNX first)"),
    MAGIC(0, "\x80\x05", "a Python pickle (export the model to ONNX first)"),
    MAGIC(0, "GGUF", "a GGUF file"),
    MAGIC(0, "\x89HDF\r\n", "an HDF5 file, as Keras writes"),
    MAGIC(0, "\x1f\x8b", "a gzip archive"),
    MAGIC(0, "\x93NUMPY", "a NumPy array"),
    MAGIC(4, "TFL3", "a TensorFlow Lite model"),
    MAGIC(4, "ORTM", "an ONNX Runtime .ort model"),
};

static bool starts_with_folded(const uint8_t *bytes, size_t size, const char *lower) {
  for (size_t i = 0; lower[i]; i++) {
    if (i >= size)
      return false;
    const uint8_t byte = bytes[i] >= 'A' && bytes[i] <= 'Z' ? (uint8_t)(bytes[i] + ('a' - 'A')) : bytes[i];
    if (byte != (uint8_t)lower[i])
      return false;
  }
  return true;
}

/* The header of a safetensors file: its length, then a JSON object. */
static bool is_safetensors(const uint8_t *bytes, size_t size) {
  if (size < 10 || bytes[8] != '{' || (bytes[9] != '"' && bytes[9] != ' ' && bytes[9] != '}'))
    return false;
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;)
    length = length << 8 | bytes[i];
  return length <= size - 8;
}

onward_status ow_foreign_check(const uint8_t *bytes, size_t size, const char *title, onward_error *err) {
  if (size == 0)
    return ow_fail(err, ONWARD_FORMAT, "%s is empty, not an ONNX model", title);
  if (starts_with_folded(bytes, size, "version https://git-lfs.github.com/spec/"))
    return ow_fail(err, ONWARD_FORMAT, "%s is a Git LFS pointer (run git lfs pull)", title);
  const char *what = NULL;
  /* 0x08 is the tag of ir_version: then a text further on is part of a model. */
  for (size_t i = 0; i < sizeof magics / sizeof magics[0] && !what; i++) {
    const magic *m = &magics[i];
    if ((m->offset == 0 || bytes[0] != 0x08) && size >= m->offset + m->length &&
        memcmp(bytes + m->offset, m->bytes, m->length) == 0)
      what = m->what;
  }
  if (!what && is_safetensors(bytes, size))
    what = "a safetensors file";
  size_t skip = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  while (skip < size && skip < 4096 && (bytes[skip] == ' ' || (bytes[skip] >= '\t' && bytes[skip] <= '\r')))
    skip++;
  if (!what && skip < size) {
    const uint8_t *text = bytes + skip;
    const size_t left = size - skip;
    if (starts_with_folded(text, left, "<!doctype html") || starts_with_folded(text, left, "<html"))
      what = "an HTML page";
    else if (starts_with_folded(text, left, "<?xml"))
      what = "an XML file";
    else if (text[0] == '{' || text[0] == '[')
      what = "JSON text";
  }
  return what ? ow_fail(err, ONWARD_FORMAT, "%s is %s, not an ONNX model", title, what) : ONWARD_OK;
}

bool ow_foreign_is_text(const uint8_t *bytes, size_t size) {
  size_t look = size < 512 ? size : 512;
  for (size_t i = 0; i < look; i++)
    if (bytes[i] == 0x7f || (bytes[i] < ' ' && (bytes[i] < '\t' || bytes[i] > '\r')))
      return false;
  for (int cut = 0; cut < 3 && look < size && (bytes[look] & 0xc0) == 0x80;
       cut++) /* the end is not inside a character */
    look--;
  return ow_utf8_valid((const char *)bytes, look);
}
