/* Values in files of their own: tensors, sequences, optionals. */
#include <string.h>

#include "base/size.h"
#include "proto/loader.h"
#include "proto/tensor_proto.h"

enum { ELEMENT_TENSOR = 1, ELEMENT_SEQUENCE = 3 };

typedef struct parser {
  const ow_wire *wire;
  const ow_allocator *allocator;
  onward_error *err;
} parser;

static onward_status no_memory(const parser *p, size_t bytes) {
  return ow_fail(p->err, ONWARD_MEMORY, "no memory for its %zu bytes", bytes);
}

static onward_status parse_tensor(const parser *p, const OwOnnx__TensorProto *t, onward_tensor *value) {
  onward_tensor tensor;
  size_t bytes;
  OW_TRY(ow_tensor_proto_measure(p->wire, t, &tensor, &bytes, p->err));
  if (!(tensor.data = ow_alloc(p->allocator, bytes)))
    return no_memory(p, bytes);
  const onward_status status = ow_tensor_proto_fill(p->wire, t, tensor.data, p->err);
  if (status == ONWARD_OK)
    *value = tensor;
  else
    ow_free(p->allocator, tensor.data);
  return status;
}

/* The tensors first, then the data of each. */
static onward_status parse_sequence(const parser *p, const OwOnnx__SequenceProto *s, onward_tensor *value) {
  const size_t count = s->n_tensor_values;
  if (s->has_elem_type && s->elem_type != 0 && s->elem_type != ELEMENT_TENSOR)
    return ow_fail(p->err, ONWARD_UNSUPPORTED, "a sequence of something else than tensors (elem_type %d)",
                   s->elem_type);
  size_t total, bytes;
  onward_tensor tensor;
  onward_dtype dtype = ONWARD_UNDEFINED;
  if (!ow_size_mul(count, sizeof tensor, &bytes) || !ow_size_align(bytes, OW_ALIGNMENT, &total))
    return ow_fail(p->err, ONWARD_LIMIT, "a sequence is too long");
  const size_t first = total;
  for (size_t i = 0; i < count; i++) {
    OW_TRY(ow_tensor_proto_measure(p->wire, s->tensor_values[i], &tensor, &bytes, p->err));
    if (i > 0 && tensor.dtype != dtype)
      return ow_fail(p->err, ONWARD_MODEL, "a sequence has tensors of %s and of %s", onward_dtype_name(dtype),
                     onward_dtype_name(tensor.dtype));
    dtype = tensor.dtype;
    if (!ow_size_align(bytes, OW_ALIGNMENT, &bytes) || !ow_size_add(total, bytes, &total))
      return ow_fail(p->err, ONWARD_LIMIT, "a sequence is too large");
  }
  char *const block = ow_alloc(p->allocator, total);
  if (!block)
    return no_memory(p, total);
  onward_status status = ONWARD_OK;
  size_t at = first;
  for (size_t i = 0; i < count && status == ONWARD_OK; i++) {
    status = ow_tensor_proto_measure(p->wire, s->tensor_values[i], &tensor, &bytes, p->err);
    if (status != ONWARD_OK)
      break;
    tensor.data = block + at;
    status = ow_tensor_proto_fill(p->wire, s->tensor_values[i], tensor.data, p->err);
    memcpy(block + i * sizeof tensor, &tensor, sizeof tensor);
    at += (bytes + OW_ALIGNMENT - 1) / OW_ALIGNMENT * OW_ALIGNMENT;
  }
  if (status != ONWARD_OK) {
    ow_free(p->allocator, block);
    return status;
  }
  *value = (onward_tensor){.dtype = dtype,
                           .rank = ONWARD_SEQUENCE_RANK,
                           .dims = {(int64_t)count},
                           .data = block,
                           .bytes = count * sizeof tensor};
  return ONWARD_OK;
}

static onward_status parse_optional(const parser *p, const OwOnnx__OptionalProto *o, onward_tensor *value) {
  const int32_t element = o->has_elem_type ? o->elem_type : 0;
  if (element > 0 && element != ELEMENT_TENSOR && element != ELEMENT_SEQUENCE)
    return ow_fail(p->err, ONWARD_UNSUPPORTED, "an optional of something else than a tensor or sequence (elem_type %d)",
                   element);
  if (o->tensor_value && o->sequence_value)
    return ow_fail(p->err, ONWARD_MODEL, "an optional holds a tensor and a sequence");
  if (o->tensor_value)
    return parse_tensor(p, o->tensor_value, value);
  if (o->sequence_value)
    return parse_sequence(p, o->sequence_value, value);
  *value = (onward_tensor){.rank = ONWARD_ABSENT_RANK};
  return ONWARD_OK;
}

static onward_status parse_tree(const parser *p, const ProtobufCMessage *tree, onward_kind kind, onward_tensor *value,
                                const char **name) {
  if (kind == ONWARD_KIND_TENSOR) {
    const OwOnnx__TensorProto *const t = (const OwOnnx__TensorProto *)tree;
    *name = t->name;
    return parse_tensor(p, t, value);
  }
  if (kind == ONWARD_KIND_SEQUENCE) {
    const OwOnnx__SequenceProto *const s = (const OwOnnx__SequenceProto *)tree;
    *name = s->name;
    return parse_sequence(p, s, value);
  }
  const OwOnnx__OptionalProto *const o = (const OwOnnx__OptionalProto *)tree;
  *name = o->name;
  return parse_optional(p, o, value);
}

onward_status ow_value_proto_parse(const void *bytes, size_t size, onward_kind kind, const ow_allocator *a,
                                   onward_tensor *value, char **name, onward_error *err) {
  const ProtobufCMessageDescriptor *const root = kind == ONWARD_KIND_TENSOR     ? &ow_onnx__tensor_proto__descriptor
                                                 : kind == ONWARD_KIND_SEQUENCE ? &ow_onnx__sequence_proto__descriptor
                                                                                : &ow_onnx__optional_proto__descriptor;
  const onward_limits limits = ow_limits_fill(NULL);
  const ow_wire_limits wire_limits = {limits.metadata_bytes, limits.depth, limits.nodes, 0};
  ow_wire wire = {0};
  ow_arena arena;
  ow_arena_init(&arena, a);
  ProtobufCMessage *tree = NULL;
  onward_tensor made = {.dtype = ONWARD_UNDEFINED};
  onward_status status = ONWARD_OK;
  if (!size && kind == ONWARD_KIND_TENSOR)
    status = ow_fail(err, ONWARD_FORMAT, "no bytes, want a TensorProto");
  if (status == ONWARD_OK)
    status = ow_wire_scan(size ? bytes : "", size, root, &wire_limits, a, &wire, err);
  if (status == ONWARD_OK)
    status = ow_wire_unpack(&wire, root, &arena, limits.metadata_bytes, &tree, err);
  if (status == ONWARD_OK) {
    const parser p = {&wire, a, err};
    const char *own = NULL;
    char *copy = NULL;
    status = parse_tree(&p, tree, kind, &made, &own);
    if (status == ONWARD_OK && name && !(copy = ow_strdup(a, own ? own : ""))) {
      ow_free(a, made.data);
      status = ow_fail(err, ONWARD_MEMORY, "no memory for the name");
    }
    if (status == ONWARD_OK) {
      *value = made;
      if (name)
        *name = copy;
    }
  }
  ow_arena_free(&arena);
  ow_wire_free(&wire);
  return status;
}
