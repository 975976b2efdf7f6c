#include "proto/loader.h"

#include <string.h>

#include "base/os.h"
#include "base/stop.h"
#include "proto/foreign.h"
#include "proto/import.h"

#define MIB (UINT64_C(1) << 20)
#define METADATA_BYTES \
  (2048 * MIB) /* the default; another one is also what the tree may take, whatever was written down */
#define HEAP_SHARE 8

onward_limits ow_limits_fill(const onward_limits *limits) {
  onward_limits l = limits ? *limits : (onward_limits){0};
#define DEFAULT(field, value) l.field = l.field ? l.field : (value)
  DEFAULT(file_bytes, UINT64_C(1) << 38);
  DEFAULT(metadata_bytes, METADATA_BYTES);
  DEFAULT(depth, 32);
  DEFAULT(nodes, 200000);
  DEFAULT(tensor_bytes, UINT64_C(1) << 36);
  DEFAULT(total_bytes, UINT64_C(1) << 38);
  DEFAULT(fold_bytes, 64 * MIB);
  DEFAULT(loop_iterations, 10000000);
#undef DEFAULT
  return l;
}

static onward_status import_tree(const ow_load_options *options, const onward_limits *limits, const ow_wire *wire,
                                 ow_source *source, const ProtobufCMessage *tree, ow_arena *weights, ow_dims *dims,
                                 ow_graph **graph, onward_error *err) {
  ow_importer c = {
      .allocator = options->allocator,
      .tensors =
          {.wire = wire, .source = source, .mapped = source->model.mapped, .weights = weights, .limits = *limits},
      .dims = dims,
      .limits = *limits,
      .title = source->title,
      .warn = options->warn,
      .warn_context = options->warn_context,
  };
  ow_strmap_init(&c.functions, options->allocator);
  ow_arena_init(&c.scratch, options->allocator);
  c.tensors.made = ow_alloc_zero(options->allocator, wire->tensor_count + 1, sizeof *c.tensors.made);
  const onward_status status = c.tensors.made
                                   ? ow_import_model(&c, (const OwOnnx__ModelProto *)tree, weights, graph, err)
                                   : ow_import_no_memory(err);
  ow_free(options->allocator, c.tensors.made);
  ow_free(options->allocator, c.slots);
  ow_strmap_free(&c.functions);
  ow_arena_free(&c.scratch);
  return status;
}

static onward_status load_bytes(const uint8_t *bytes, size_t size, const ow_load_options *options,
                                const onward_limits *limits, ow_source *source, ow_arena *weights, ow_dims *dims,
                                ow_graph **graph, onward_error *err) {
  source->warn = options->warn;
  source->warn_context = options->warn_context;
  OW_TRY(ow_stop_at("scan", 0.0, err));
  OW_TRY(ow_foreign_check(bytes, size, source->title, err));
  const bool own_limit = limits->metadata_bytes != METADATA_BYTES;
  const ow_wire_limits wire_limits = {limits->metadata_bytes, limits->depth, limits->nodes, own_limit ? 0 : HEAP_SHARE};
  const ProtobufCMessageDescriptor *root = &ow_onnx__model_proto__descriptor;
  ow_wire wire = {0};
  ow_arena arena; /* of the tree */
  ow_arena_init(&arena, options->allocator);
  ProtobufCMessage *tree = NULL;
  onward_status status = ow_wire_scan(bytes, size, root, &wire_limits, options->allocator, &wire, err);
  if (status == ONWARD_OK)
    status = ow_stop_at("parse", 0.2, err);
  if (status == ONWARD_OK)
    status = ow_wire_unpack(&wire, root, &arena, limits->metadata_bytes, &tree, err);
  if (status == ONWARD_OK)
    status = ow_stop_at("import", 0.3, err);
  if (status == ONWARD_OK)
    status = import_tree(options, limits, &wire, source, tree, weights, dims, graph, err);
  if (status == ONWARD_FORMAT && ow_foreign_is_text(bytes, size))
    (void)ow_fail(err, ONWARD_FORMAT, "%.200s is text, not an ONNX model", source->title);
  else if (status != ONWARD_OK)
    ow_error_prefix(err, "%.200s", source->title);
  ow_arena_free(&arena);
  ow_wire_free(&wire);
  return status;
}

static onward_status open_source(const char *path, const ow_load_options *options, const onward_limits *limits,
                                 ow_source **source, onward_error *err) {
  const ow_allocator *a = options->allocator;
  char *folder = ow_path_folder(a, path), *real = ow_path_real_folder(a, path);
  ow_source *s = folder && real ? ow_source_create(a, path, folder, real, !options->no_mmap, limits->file_bytes) : NULL;
  ow_free(a, folder);
  ow_free(a, real);
  if (!s)
    return ow_fail(err, ONWARD_MEMORY, "no memory to open %s", path);
  const onward_status status = ow_file_open(path, s->map, limits->file_bytes, "file_bytes", a, &s->model, err);
  if (status == ONWARD_OK)
    *source = s;
  else
    ow_source_free(s);
  return status;
}

/* path, or the model.onnx in it; of the allocator. */
static char *model_path(const ow_allocator *a, const char *path) {
  static const char file[] = "model.onnx";
  if (!ow_path_is_directory(path))
    return ow_strdup(a, path);
  const size_t length = strlen(path);
  const bool slash = length > 0 && path[length - 1] == '/';
  char *joined = ow_alloc(a, length + 1 + sizeof file);
  if (!joined)
    return NULL;
  memcpy(joined, path, length);
  joined[length] = '/';
  memcpy(joined + length + (slash ? 0 : 1), file, sizeof file);
  return joined;
}

onward_status ow_load_file(const char *path, const ow_load_options *options, ow_arena *weights, ow_dims *dims,
                           ow_source **source, ow_graph **graph, onward_error *err) {
  const onward_limits limits = ow_limits_fill(&options->limits);
  char *file = model_path(options->allocator, path);
  if (!file)
    return ow_fail(err, ONWARD_MEMORY, "no memory to open %s", path);
  ow_source *s = NULL;
  ow_graph *g = NULL;
  onward_status status = open_source(file, options, &limits, &s, err);
  ow_free(options->allocator, file);
  if (status == ONWARD_OK)
    status = load_bytes(s->model.data, s->model.size, options, &limits, s, weights, dims, &g, err);
  if (status != ONWARD_OK) {
    ow_source_free(s);
    return status;
  }
  *source = s;
  *graph = g;
  return ONWARD_OK;
}

onward_status ow_load_memory(const void *bytes, size_t size, const char *base_folder, const ow_load_options *options,
                             ow_arena *weights, ow_dims *dims, ow_source **source, ow_graph **graph,
                             onward_error *err) {
  const onward_limits limits = ow_limits_fill(&options->limits);
  ow_source *s = ow_source_create(options->allocator, "model", base_folder && *base_folder ? base_folder : NULL, NULL,
                                  !options->no_mmap, limits.file_bytes);
  if (!s)
    return ow_fail(err, ONWARD_MEMORY, "no memory to load a model");
  ow_graph *g = NULL;
  onward_status status = ONWARD_OK;
  if (size > limits.file_bytes)
    status = ow_fail(err, ONWARD_LIMIT, "model: %zu bytes, above the limit file_bytes of %llu (--limit file_bytes=N)",
                     size, (unsigned long long)limits.file_bytes);
  if (options->no_mmap && status == ONWARD_OK) {
    uint8_t *const copy = ow_alloc(options->allocator, size);
    if (copy)
      bytes = memcpy(copy, bytes, size);
    else
      status = ow_fail(err, ONWARD_MEMORY, "no memory for a copy of the model's %zu bytes", size);
    s->model = (ow_file){.data = copy, .size = size, .allocator = options->allocator};
  }
  if (status == ONWARD_OK)
    status = load_bytes(bytes, size, options, &limits, s, weights, dims, &g, err);
  if (status != ONWARD_OK) {
    ow_source_free(s);
    return status;
  }
  *source = s;
  *graph = g;
  return ONWARD_OK;
}
