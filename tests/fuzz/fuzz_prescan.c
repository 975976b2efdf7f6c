/* The scan of the wire format, what protobuf-c makes of its result, and single tensors. */
#include <stdlib.h>

#include "onnx.pb-c.h"
#include "proto/loader.h"
#include "proto/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const ow_wire_limits limits = {.metadata_bytes = 8 << 20, .depth = 8, .nodes = 1000};
  onward_error err;
  ow_wire wire = {0};
  if (ow_wire_scan(data, size, &ow_onnx__model_proto__descriptor, &limits, &ow_allocator_default, &wire, &err) ==
      ONWARD_OK) {
    ow_arena arena;
    ow_arena_init(&arena, &ow_allocator_default);
    ProtobufCMessage *tree = NULL;
    const onward_status status = ow_wire_unpack(&wire, &ow_onnx__model_proto__descriptor, &arena, 8 << 20, &tree, &err);
    if (status != ONWARD_OK && status != ONWARD_LIMIT)
      abort(); /* a scan that passed promises that */
    ow_arena_free(&arena);
    ow_wire_free(&wire);
  }
  for (onward_kind kind = ONWARD_KIND_TENSOR; kind <= ONWARD_KIND_OPTIONAL; kind++) {
    onward_tensor value = {0};
    char *name = NULL;
    if (ow_value_proto_parse(data, size, kind, &ow_allocator_default, &value, &name, &err) != ONWARD_OK)
      continue;
    ow_free(&ow_allocator_default, value.data);
    ow_free(&ow_allocator_default, name);
  }
  return 0;
}
