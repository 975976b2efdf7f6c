/* From a file, or bytes in memory, to a graph.
 *
 *     file --> foreign.c: is it ONNX? --> wire.c: prescan --> protobuf-c --> import.c --> graph
 *       |                                                                                   |
 *       +---- ow_source: the mapped files <--- constants of the graph point into them ------+ */
#ifndef OW_PROTO_LOADER_H
#define OW_PROTO_LOADER_H

#include "graph/graph.h"

/* The files behind constants: freed after the last use of the graph and its copies. */
typedef struct ow_source ow_source;

typedef struct ow_load_options {
  bool no_mmap;
  onward_limits limits; /* 0: the default */
  const ow_allocator *allocator;
  void (*warn)(void *context, const char *text); /* may be NULL */
  void *warn_context;
} ow_load_options;

/* path: a file, or a folder that holds model.onnx. Constants go to weights or stay in the source; free dims become symbols of
 * dims. Nothing is set on failure; what weights got by then stays there.
 * Errors: IO, FORMAT, MODEL, UNSUPPORTED, LIMIT, MEMORY. */
onward_status ow_load_file(const char *path, const ow_load_options *options, ow_arena *weights, ow_dims *dims,
                           ow_source **source, ow_graph **graph, onward_error *err);
/* bytes are borrowed for the life of the source, or copied with no_mmap. base_folder: where external data lies; NULL: there is none. */
onward_status ow_load_memory(const void *bytes, size_t size, const char *base_folder, const ow_load_options *options,
                             ow_arena *weights, ow_dims *dims, ow_source **source, ow_graph **graph, onward_error *err);
void ow_source_free(ow_source *source); /* takes NULL */

/* Limits with the defaults in place of zeros. */
onward_limits ow_limits_fill(const onward_limits *limits);

/* A serialized TensorProto, SequenceProto or OptionalProto, as kind says. value->data is one block of the allocator; the tensors of
 * a sequence, and elements of type STRING, point into it. name: a copy of its name, of the allocator; may be NULL. */
onward_status ow_value_proto_parse(const void *bytes, size_t size, onward_kind kind, const ow_allocator *allocator,
                                   onward_tensor *value, char **name, onward_error *err);

#endif
