/* Builds serialized ONNX messages field by field, valid or not. The numbers are those of the format. */
#ifndef OW_TESTS_ONNX_BYTES_H
#define OW_TESTS_ONNX_BYTES_H

#include <stddef.h>
#include <stdint.h>

typedef struct pb {
  uint8_t *data;
  size_t size, capacity;
} pb;

void pb_free(pb *p);
void pb_raw(pb *p, const void *bytes, size_t size);
void pb_varint(pb *p, uint64_t value);
void pb_tag(pb *p, uint32_t field, uint32_t wire_type);
void pb_int(pb *p, uint32_t field, int64_t value);
void pb_float(pb *p, uint32_t field, float value);
void pb_bytes(pb *p, uint32_t field, const void *bytes, size_t size);
void pb_text(pb *p, uint32_t field, const char *text);
void pb_message(pb *p, uint32_t field, pb content); /* frees content */

/* Lists are words split by blanks; "-" is the empty name. */
pb pb_node(const char *op, const char *inputs, const char *outputs);
pb pb_node_named(const char *name, const char *domain, const char *op, const char *inputs, const char *outputs);
void pb_attr(pb *node, pb attr); /* to a node; frees attr */
pb pb_attr_int(const char *name, int64_t value);
pb pb_attr_float(const char *name, float value);
pb pb_attr_text(const char *name, const char *value);
pb pb_attr_tensor(const char *name, pb tensor);
pb pb_attr_graph(const char *name, pb graph);
pb pb_attr_ref(const char *name, const char *reference, int type);

pb pb_tensor(const char *name, int32_t dtype, const int64_t *dims, size_t rank); /* without elements */
pb pb_tensor_raw(const char *name, int32_t dtype, const int64_t *dims, size_t rank, const void *bytes, size_t size);
pb pb_external(const char *name, int32_t dtype, const int64_t *dims, size_t rank, const char *location,
               const char *offset, const char *length);

/* A float tensor; dims: words, numbers or names, "?" for an unnamed one. */
pb pb_value(const char *name, int32_t dtype, const char *dims);
pb pb_opset(const char *domain, int64_t version);

/* graph: field 1 node, 5 initializer, 11 input, 12 output. IR version 8, opset 17 of ai.onnx; frees graph. */
pb pb_model(pb graph);

#endif
