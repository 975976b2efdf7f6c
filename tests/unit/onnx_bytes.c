#include "unit/onnx_bytes.h"

#include <stdlib.h>
#include <string.h>

void pb_free(pb *p) {
  free(p->data);
  *p = (pb){0};
}

void pb_raw(pb *p, const void *bytes, size_t size) {
  if (p->size + size > p->capacity) {
    p->capacity = (p->size + size) * 2 + 64;
    p->data = realloc(p->data, p->capacity);
    if (!p->data)
      abort();
  }
  if (size)
    memcpy(p->data + p->size, bytes, size);
  p->size += size;
}

void pb_varint(pb *p, uint64_t value) {
  do {
    const uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    pb_raw(p, &byte, 1);
    value >>= 7;
  } while (value);
}

void pb_tag(pb *p, uint32_t field, uint32_t wire_type) { pb_varint(p, (uint64_t)field << 3 | wire_type); }

void pb_int(pb *p, uint32_t field, int64_t value) {
  pb_tag(p, field, 0);
  pb_varint(p, (uint64_t)value);
}

void pb_float(pb *p, uint32_t field, float value) {
  pb_tag(p, field, 5);
  pb_raw(p, &value, 4);
}

void pb_bytes(pb *p, uint32_t field, const void *bytes, size_t size) {
  pb_tag(p, field, 2);
  pb_varint(p, size);
  pb_raw(p, bytes, size);
}

void pb_text(pb *p, uint32_t field, const char *text) { pb_bytes(p, field, text, strlen(text)); }

void pb_message(pb *p, uint32_t field, pb content) {
  pb_bytes(p, field, content.data, content.size);
  pb_free(&content);
}

static void words(pb *p, uint32_t field, const char *list) {
  while (*list) {
    const size_t n = strcspn(list, " ");
    pb_bytes(p, field, list, n == 1 && *list == '-' ? 0 : n);
    list += n;
    list += *list == ' ';
  }
}

pb pb_node_named(const char *name, const char *domain, const char *op, const char *inputs, const char *outputs) {
  pb p = {0};
  words(&p, 1, inputs);
  words(&p, 2, outputs);
  pb_text(&p, 3, name);
  pb_text(&p, 4, op);
  pb_text(&p, 7, domain);
  return p;
}

pb pb_node(const char *op, const char *inputs, const char *outputs) {
  return pb_node_named("", "", op, inputs, outputs);
}

void pb_attr(pb *node, pb attr) { pb_message(node, 5, attr); }

static pb attr(const char *name, int type) {
  pb p = {0};
  pb_text(&p, 1, name);
  pb_int(&p, 20, type);
  return p;
}

pb pb_attr_int(const char *name, int64_t value) {
  pb p = attr(name, 2);
  pb_int(&p, 3, value);
  return p;
}

pb pb_attr_float(const char *name, float value) {
  pb p = attr(name, 1);
  pb_float(&p, 2, value);
  return p;
}

pb pb_attr_text(const char *name, const char *value) {
  pb p = attr(name, 3);
  pb_text(&p, 4, value);
  return p;
}

pb pb_attr_tensor(const char *name, pb tensor) {
  pb p = attr(name, 4);
  pb_message(&p, 5, tensor);
  return p;
}

pb pb_attr_graph(const char *name, pb graph) {
  pb p = attr(name, 5);
  pb_message(&p, 6, graph);
  return p;
}

pb pb_attr_ref(const char *name, const char *reference, int type) {
  pb p = attr(name, type);
  pb_text(&p, 21, reference);
  return p;
}

pb pb_tensor(const char *name, int32_t dtype, const int64_t *dims, size_t rank) {
  pb p = {0};
  for (size_t i = 0; i < rank; i++)
    pb_int(&p, 1, dims[i]);
  pb_int(&p, 2, dtype);
  pb_text(&p, 8, name);
  return p;
}

pb pb_tensor_raw(const char *name, int32_t dtype, const int64_t *dims, size_t rank, const void *bytes, size_t size) {
  pb p = pb_tensor(name, dtype, dims, rank);
  pb_bytes(&p, 9, bytes, size);
  return p;
}

static void entry(pb *p, uint32_t field, const char *key, const char *value) {
  pb e = {0};
  pb_text(&e, 1, key);
  pb_text(&e, 2, value);
  pb_message(p, field, e);
}

pb pb_external(const char *name, int32_t dtype, const int64_t *dims, size_t rank, const char *location,
               const char *offset, const char *length) {
  pb p = pb_tensor(name, dtype, dims, rank);
  pb_int(&p, 14, 1);
  if (location)
    entry(&p, 13, "location", location);
  if (offset)
    entry(&p, 13, "offset", offset);
  if (length)
    entry(&p, 13, "length", length);
  return p;
}

pb pb_value(const char *name, int32_t dtype, const char *dims) {
  pb shape = {0};
  while (*dims) {
    const size_t n = strcspn(dims, " ");
    pb dim = {0};
    if ((*dims >= '0' && *dims <= '9') || *dims == '-')
      pb_int(&dim, 1, strtoll(dims, NULL, 10));
    else if (*dims != '?')
      pb_bytes(&dim, 2, dims, n);
    pb_message(&shape, 1, dim);
    dims += n;
    dims += *dims == ' ';
  }
  pb tensor = {0}, type = {0}, p = {0};
  pb_int(&tensor, 1, dtype);
  pb_message(&tensor, 2, shape);
  pb_message(&type, 1, tensor);
  pb_text(&p, 1, name);
  pb_message(&p, 2, type);
  return p;
}

pb pb_opset(const char *domain, int64_t version) {
  pb p = {0};
  pb_text(&p, 1, domain);
  pb_int(&p, 2, version);
  return p;
}

pb pb_model(pb graph) {
  pb p = {0};
  pb_int(&p, 1, 8);
  pb_message(&p, 8, pb_opset("", 17));
  pb_message(&p, 7, graph);
  return p;
}
