/* The prescan: one pass over the protobuf bytes of a file before protobuf-c sees any of them.
 *
 *     file bytes --> ow_wire_scan --> skeleton (no raw_data, nothing unknown) --> ow_wire_unpack --> tree
 *                         |
 *                         +--> tables: where each node and tensor stands in the file, and the range of its raw_data
 *
 * After the scan the skeleton is known to be well-formed, bounded in depth, with valid strings and no repeated singular
 * message, which protobuf-c itself does not see to. */
#ifndef OW_PROTO_WIRE_H
#define OW_PROTO_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/status.h"

typedef struct ow_wire_limits {
  uint64_t metadata_bytes; /* of the skeleton */
  uint64_t depth;          /* nested graphs */
  uint64_t nodes;
  /* What the scan and the tree may take: 64 MiB and so many bytes for each byte read that is no tensor data. 0: no bound. */
  uint64_t heap_share;
} ow_wire_limits;

typedef struct ow_wire_tensor {
  size_t offset; /* of the message's content in the file */
  size_t raw_offset, raw_size;
  bool has_raw;
} ow_wire_tensor;

typedef struct ow_wire {
  const ow_allocator *allocator;
  const uint8_t *bytes; /* borrowed */
  size_t size;
  uint8_t *skeleton;
  size_t skeleton_size, skeleton_capacity;
  ow_wire_tensor *tensors; /* by TensorProto.place */
  size_t tensor_count, tensor_capacity;
  size_t *nodes; /* offset of the message's content, by NodeProto.place */
  size_t node_count, node_capacity;
} ow_wire;

/* root: the message the bytes hold. *wire is for ow_wire_free, on success only.
 * Errors: FORMAT with byte and field path, LIMIT, MEMORY. */
onward_status ow_wire_scan(const void *bytes, size_t size, const ProtobufCMessageDescriptor *root,
                           const ow_wire_limits *limits, const ow_allocator *allocator, ow_wire *wire,
                           onward_error *err);
void ow_wire_free(ow_wire *wire); /* takes a zeroed one */

/* The tree of the skeleton, in arena, which may take budget bytes for it. Errors: LIMIT, MEMORY. */
onward_status ow_wire_unpack(const ow_wire *wire, const ProtobufCMessageDescriptor *root, ow_arena *arena,
                             uint64_t budget, ProtobufCMessage **tree, onward_error *err);

#endif
