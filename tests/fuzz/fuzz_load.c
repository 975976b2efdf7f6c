/* From bytes to a graph that resolves its operators: the scan, the import, its checks. */
#include <stdlib.h>

#include "graph/graph.h"
#include "graph/infer.h"
#include "graph/op.h"
#include "ops/ops.h"
#include "proto/loader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static ow_registry *registry;
  const ow_allocator *const a = &ow_allocator_default;
  onward_error err;
  if (!registry && (!(registry = ow_registry_create(a)) || ow_ops_register(registry, &err) != ONWARD_OK))
    abort();
  const ow_load_options options = {.allocator = a,
                                   .limits = {.file_bytes = 1 << 20,
                                              .metadata_bytes = 8 << 20,
                                              .depth = 8,
                                              .nodes = 1000,
                                              .tensor_bytes = 1 << 20,
                                              .total_bytes = 4 << 20,
                                              .fold_bytes = 64 << 10}};
  ow_arena weights;
  ow_arena_init(&weights, a);
  ow_dims *const dims = ow_dims_create(a);
  ow_source *source = NULL;
  ow_graph *graph = NULL;
  if (ow_load_memory(data, size, NULL, &options, &weights, dims, &source, &graph, &err) == ONWARD_OK &&
      ow_graph_resolve(graph, registry, &err) == ONWARD_OK && ow_graph_validate(graph, &err) == ONWARD_INTERNAL)
    abort();
  ow_graph_free(graph);
  ow_source_free(source);
  ow_dims_free(dims);
  ow_arena_free(&weights);
  return 0;
}
