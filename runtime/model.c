/* Loading: file -> graph -> variant -> model. */
#include "runtime/model.h"

#include <string.h>

#include "base/options.h"
#include "base/os.h"
#include "base/stop.h"
#include "graph/infer.h"
#include "graph/survey.h"
#include "ops/ops.h"

onward_model_options onward_model_options_default(void) {
  return (onward_model_options){.struct_size = sizeof(onward_model_options), .stop_after_pass = -1};
}

void ow_model_log(const onward_model *model, onward_log_level level, const char *text) {
  if (model->options.log)
    model->options.log(model->options.log_context, level, text);
}

onward_status ow_model_in_process(const onward_model *model, onward_error *err) {
  if (model->process == ow_os_process_id())
    return ONWARD_OK;
  return ow_fail(err, ONWARD_ARGUMENT, "%s was loaded before fork(): load it anew in the child", model->title);
}

static void warn_from_load(void *context, const char *text) { ow_model_log(context, ONWARD_LOG_WARNING, text); }

/* ---- what the model wants and gives ---------------------------------------------------------------------------------- */

static bool describe_value(onward_model *model, const char *name, const ow_type *type, onward_value_info *info) {
  *info = (onward_value_info){
      .name = ow_arena_strdup(&model->info_arena, name), .dtype = type->dtype, .rank = type->shape.rank};
  if (!info->name)
    return false;
  if (type->kind != OW_VALUE_TENSOR) {
    info->kind = type->kind == OW_VALUE_SEQUENCE    ? ONWARD_KIND_SEQUENCE
                 : type->inner == OW_VALUE_SEQUENCE ? ONWARD_KIND_OPTIONAL_SEQUENCE
                                                    : ONWARD_KIND_OPTIONAL;
    info->rank = -1;
    return true;
  }
  for (int32_t d = 0; d < type->shape.rank; d++) {
    const ow_dim dim = type->shape.dims[d];
    info->dims[d] = ow_dim_is_const(dim) ? dim.k : -1;
    ow_text_buffer dim_name;
    ow_out out = ow_out_to_text(&dim_name);
    if (!ow_dim_is_const(dim))
      ow_dim_print(model->trusting->dims, dim, &out);
    if (!(info->dim_names[d] = ow_arena_strdup(&model->info_arena, dim_name.text)))
      return false;
  }
  return true;
}

static onward_status describe_model(onward_model *model, onward_error *err) {
  const ow_graph *const g = model->trusting->graph;
  model->inputs = ow_arena_zero(&model->info_arena, g->input_count, sizeof *model->inputs);
  model->outputs = ow_arena_zero(&model->info_arena, g->output_count, sizeof *model->outputs);
  bool ok = model->inputs && model->outputs;
  for (size_t i = 0; ok && i < g->input_count; i++)
    ok = describe_value(model, g->inputs[i]->name, &g->inputs[i]->type, &model->inputs[i]);
  for (size_t i = 0; ok && i < g->output_count; i++)
    ok = describe_value(model, g->outputs[i].name,
                        model->trusting->output_types ? &model->trusting->output_types[i] : &g->outputs[i].value->type,
                        &model->outputs[i]);
  return ok ? ONWARD_OK : ow_fail(err, ONWARD_MEMORY, "no memory for the model's description");
}

size_t onward_model_input_count(const onward_model *model) { return model ? model->trusting->graph->input_count : 0; }
size_t onward_model_output_count(const onward_model *model) { return model ? model->trusting->graph->output_count : 0; }

onward_status onward_model_input(const onward_model *model, size_t index, onward_value_info *info, onward_error *err) {
  if (!model || !info || index >= onward_model_input_count(model))
    return ow_fail(err, ONWARD_ARGUMENT, "there is no input %zu", index);
  *info = model->inputs[index];
  return ONWARD_OK;
}

onward_status onward_model_output(const onward_model *model, size_t index, onward_value_info *info, onward_error *err) {
  if (!model || !info || index >= onward_model_output_count(model))
    return ow_fail(err, ONWARD_ARGUMENT, "there is no output %zu", index);
  *info = model->outputs[index];
  return ONWARD_OK;
}

size_t onward_model_metadata_count(const onward_model *model) { return model ? model->file_graph->metadata_count : 0; }

onward_status onward_model_metadata(const onward_model *model, size_t index, const char **key, const char **value,
                                    onward_error *err) {
  if (!model || !key || !value || index >= model->file_graph->metadata_count)
    return ow_fail(err, ONWARD_ARGUMENT, "there is no metadata %zu", index);
  *key = model->file_graph->metadata[index].key;
  *value = model->file_graph->metadata[index].value;
  return ONWARD_OK;
}

/* ---- load and free --------------------------------------------------------------------------------------------------- */

static onward_status read_options(onward_model *model, const onward_model_options *options, onward_error *err) {
  model->options = onward_model_options_default();
  OW_TRY(ow_options_take(&model->options, sizeof model->options, options, "onward_model_options", err));
  for (size_t i = 0; i < sizeof model->options.limits.reserved / sizeof *model->options.limits.reserved; i++)
    if (model->options.limits.reserved[i])
      return ow_fail(err, ONWARD_ARGUMENT, "options.limits.reserved[%zu] is not 0", i);
  model->options.limits = ow_limits_fill(&model->options.limits);
  if (model->options.precision != ONWARD_PRECISION_F32)
    return ow_fail(err, ONWARD_UNSUPPORTED, "precision bf16 and auto are not built yet; use f32");
  if (model->options.weights_of) {
    model->packed.lender = &model->options.weights_of->packed;
    model->packed.lender_lock = &model->options.weights_of->lock;
  }
  if (model->options.disabled_passes) {
    model->options.disabled_passes = ow_arena_strdup(&model->info_arena, model->options.disabled_passes);
    if (!model->options.disabled_passes)
      return ow_fail(err, ONWARD_MEMORY, "no memory for the options");
  }
  return ONWARD_OK;
}

/* Where a model comes from: a path, or bytes. */
typedef struct origin {
  const char *path;
  const void *bytes;
  size_t size;
  const char *base_folder;
} origin;

static onward_status load(onward_model *model, const origin *from, onward_error *err) {
  const ow_load_options options = {.no_mmap = model->options.no_mmap,
                                   .limits = model->options.limits,
                                   .allocator = &model->watch.allocator,
                                   .warn = warn_from_load,
                                   .warn_context = model};
  if (!(model->registry = ow_registry_create(model->allocator)) ||
      !(model->file_dims = ow_dims_create(&model->watch.allocator)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the model");
  OW_TRY(ow_ops_register(model->registry, err));
  OW_TRY(ow_plugin_set_open(model->allocator, &model->options, model->registry, &model->plugins, err));
  model->options.plugins = NULL; /* the caller's, and read */
  model->options.plugin_inits = NULL;
  onward_status status = from->path
                             ? ow_load_file(from->path, &options, &model->weights, model->file_dims, &model->source,
                                            &model->file_graph, err)
                             : ow_load_memory(from->bytes, from->size, from->base_folder, &options, &model->weights,
                                              model->file_dims, &model->source, &model->file_graph, err);
  OW_TRY(status);
  if (atomic_load(&model->watch.failed))
    return ow_fail(err, ONWARD_MEMORY, "%s: no memory for the graph", model->title);
  status = ow_graph_resolve(model->file_graph, model->registry, err);
  if (status == ONWARD_OK) {
    ow_model_find_switches(model);
    const ow_variant *first;
    const ow_variant_key key = {.source = model->file_graph, .assume = true};
    status = ow_model_variant(model, &key, &first, err);
    if (status == ONWARD_OK)
      model->trusting = model->variants[0];
  }
  if (status != ONWARD_OK) {
    onward_error ignored;
    if (status == ONWARD_UNSUPPORTED && model->options.unsupported) {
      (void)ow_infer_inputs(model->file_graph, true, &ignored);
      (void)ow_graph_survey(model->file_graph, model->registry, model->options.unsupported,
                            model->options.unsupported_context);
    }
    ow_error_prefix(err, "%s", model->title);
    return status;
  }
  OW_TRY(describe_model(model, err));
  return ow_stop_at("done", 1.0, err);
}

static onward_status create(const origin *from, const onward_model_options *options, onward_model **out,
                            onward_error *err) {
  const ow_allocator *const a = &ow_allocator_default;
  onward_model *const model = ow_alloc_zero(a, 1, sizeof *model);
  if (!model)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the model");
  model->allocator = a;
  model->process = ow_os_process_id();
  ow_watch_init(&model->watch, a);
  ow_arena_init(&model->weights, &model->watch.allocator);
  ow_arena_init(&model->info_arena, a);
  ow_packed_init(&model->packed, a);
  ow_mutex_init(&model->lock);
  onward_status status = ONWARD_OK;
  if (!(model->title = ow_strdup(a, from->path ? from->path : "model")))
    status = ow_fail(err, ONWARD_MEMORY, "no memory for the model");
  if (status == ONWARD_OK)
    status = read_options(model, options, err);
  if (status == ONWARD_OK) {
    ow_stop stop = {.progress = model->options.progress, .progress_context = model->options.progress_context};
    ow_stop_begin(&stop, model->options.limits.deadline_ms);
    status = load(model, from, err);
    ow_stop_end(&stop);
  }
  if (status == ONWARD_OK)
    *out = model;
  else
    onward_model_free(model);
  return status;
}

onward_status onward_model_load(const char *path, const onward_model_options *options, onward_model **model,
                                onward_error *err) {
  if (!path || !model)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_model_load needs a path and a place for the model");
  return create(&(origin){.path = path}, options, model, err);
}

onward_status onward_model_load_memory(const void *bytes, size_t size, const char *base_folder,
                                       const onward_model_options *options, onward_model **model, onward_error *err) {
  if ((size && !bytes) || !model)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_model_load_memory needs bytes and a place for the model");
  return create(&(origin){NULL, size ? bytes : "", size, base_folder}, options, model, err);
}

void onward_model_free(onward_model *model) {
  if (!model)
    return;
  const ow_allocator *const a = model->allocator;
  ow_packed_free(&model->packed);
  for (size_t i = 0; i < model->variant_count; i++)
    ow_variant_free(a, model->variants[i]);
  ow_free(a, model->variants);
  ow_graph_free(model->file_graph);
  ow_dims_free(model->file_dims);
  ow_registry_free(model->registry);
  ow_plugin_set_free(model->plugins); /* after everything with rows or data of theirs */
  ow_arena_free(&model->weights);
  ow_arena_free(&model->info_arena);
  ow_source_free(model->source);
  ow_mutex_destroy(&model->lock);
  ow_free(a, model->title);
  ow_free(a, model);
}
