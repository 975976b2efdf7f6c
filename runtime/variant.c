/* Variants: a graph under one set of assumptions, made when it is first wanted.
 *
 *     the file's graph --clone, close, infer--> If by a switch: its input becomes a constant --> passes --> validate
 *     a body           --clone, ranks-------------------------------------------------------> passes --> validate
 *
 * A switch is an input of one bool that an If depends on and nothing else: merged decoders have `use_cache_branch`. */
#include <string.h>

#include "base/stop.h"
#include "graph/infer.h"
#include "graph/pass.h"
#include "runtime/model.h"

#define BODY_VARIANTS_MAX 8 /* of one body, by ranks */

void ow_variant_free(const ow_allocator *a, ow_variant *variant) {
  if (!variant)
    return;
  ow_graph_free(variant->graph);
  ow_dims_free(variant->dims);
  ow_free(a, variant);
}

/* ---- switches ----------------------------------------------------------------------------------------------------------- */

static bool is_one_bool(const ow_value *v) {
  const ow_type *const t = &v->type;
  return v->is_input && t->kind == OW_VALUE_TENSOR && t->dtype == ONWARD_BOOL &&
         (t->shape.rank == 0 || (t->shape.rank == 1 && ow_dim_is_const(t->shape.dims[0]) && t->shape.dims[0].k == 1));
}

/* The input that decides v alone; NULL when there is none. */
static const ow_value *decided_by(const ow_value *v) {
  static const char *const through[] = {"Identity", "Not", "Squeeze", "Unsqueeze", "Reshape", "Flatten", NULL};
  for (int steps = 0; v && v->producer && steps < 16; steps++) {
    const char *const *type = through;
    while (*type && !ow_node_is(v->producer, *type))
      type++;
    v = *type ? ow_node_input(v->producer, 0) : NULL;
  }
  return v && is_one_bool(v) ? v : NULL;
}

void ow_model_find_switches(onward_model *model) {
  ow_graph *const root = model->file_graph;
  for (const ow_graph *g = root; g; g = ow_graph_walk(root, g))
    OW_EACH_NODE(node, g) {
      const ow_value *const input =
          ow_node_is(node, "If") && ow_node_input(node, 0) ? decided_by(node->inputs[0]) : NULL;
      if (!input || input->graph != root || model->switch_count == OW_SWITCHES_MAX)
        continue;
      uint32_t index = 0;
      while (root->inputs[index] != input)
        index++;
      size_t known = 0;
      while (known < model->switch_count && model->switches[known] != index)
        known++;
      if (known == model->switch_count)
        model->switches[model->switch_count++] = index;
    }
}

static bool keep_output_types(ow_variant *variant) {
  const ow_graph *const g = variant->graph;
  variant->output_types = ow_arena_zero(&variant->graph->arena, g->output_count, sizeof *variant->output_types);
  for (size_t o = 0; variant->output_types && o < g->output_count; o++)
    variant->output_types[o] = g->outputs[o].value->type;
  return variant->output_types != NULL;
}

static bool set_switches(const onward_model *model, const ow_variant *variant) {
  ow_graph *const g = variant->graph;
  for (size_t i = 0; i < model->switch_count; i++) {
    ow_value *const input = ow_graph_find_value(g, model->file_graph->inputs[model->switches[i]]->name);
    if (!input)
      return false;
    const unsigned char value = variant->key.switches >> i & 1;
    const int64_t dims[1] = {1};
    ow_value *const known = ow_graph_add_const_copy(g, NULL, ONWARD_BOOL, input->type.shape.rank, dims, &value);
    if (!known || !ow_graph_replace_value(g, input, known))
      return false;
  }
  return true;
}

/* ---- making one --------------------------------------------------------------------------------------------------------- */

static onward_status optimise(onward_model *model, ow_graph *graph, ow_out *explain, onward_error *err) {
  OW_TRY(ow_stop_at("shapes", 0.5, err));
  OW_TRY(ow_infer_graph(graph, err));
  ow_pass_context context = {.graph = graph,
                             .registry = model->registry,
                             .fold_bytes = model->options.limits.fold_bytes,
                             .node_limit = model->options.limits.nodes,
                             .explain = explain,
                             .err = err};
  const ow_pass_options options = {.none = model->options.no_passes,
                                   .disabled = model->options.disabled_passes,
                                   .stop_after = model->options.stop_after_pass};
  OW_TRY(ow_passes_run(&context, &options));
  return ow_graph_validate(graph, err);
}

/* The inputs of a body are those of a graph: of these ranks, each free dim a symbol. */
static void free_inputs(const ow_variant *variant) {
  const ow_graph *const g = variant->graph;
  for (size_t i = 0; i < g->input_count; i++) {
    ow_type *const type = &g->inputs[i]->type;
    type->dtype = variant->key.source->inputs[i]->type.dtype;
    type->elems = NULL;
    type->elem_count = 0;
    type->shape.rank = variant->key.ranks[i];
    for (int32_t d = 0; d < type->shape.rank; d++)
      type->shape.dims[d] = ow_dim_symbol(variant->dims, "");
  }
}

/* The pairs of the same model with another switch: of a merged decoder's graph with a past. */
static const ow_variant *with_past(const onward_model *model, const ow_variant *variant) {
  for (size_t i = 0; i < model->variant_count; i++) {
    const ow_variant *const v = model->variants[i];
    if (v->key.source == variant->key.source && v->pair_count && v->reads_past &&
        v->key.switches != variant->key.switches)
      return v;
  }
  return NULL;
}

/* The If is inlined first: what is joined with a past is inside. */
static onward_status form_switched(onward_model *model, ow_variant *variant, onward_error *err) {
  ow_graph *const g = variant->graph;
  ow_pass_context context = {
      .graph = g, .registry = model->registry, .node_limit = model->options.limits.nodes, .err = err};
  OW_TRY(ow_infer_graph(g, err));
  OW_TRY(ow_passes_run(&context, &(ow_pass_options){.none = true, .stop_after = -1}));
  onward_status status = ow_state_form(g, model->registry, &variant->pairs, &variant->pair_count, err);
  const ow_variant *const past = status == ONWARD_UNSUPPORTED ? with_past(model, variant) : NULL;
  if (past) {
    variant->reads_past = false;
    variant->pair_count = past->pair_count;
    status = ow_state_form_first(g, model->registry, past->pairs, past->pair_count, &variant->pairs, err);
  }
  return status == ONWARD_OK ? ow_infer_inputs(g, variant->assume, err) : status;
}

static onward_status fill(onward_model *model, ow_variant *variant, ow_out *explain, onward_error *err) {
  ow_graph *const g = variant->graph;
  g->assume = variant->assume;
  g->weights = &model->weights;
  if (variant->key.ranks)
    free_inputs(variant);
  else if (!ow_graph_close(g))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the graph");
  const bool switched = !variant->key.ranks && model->switch_count;
  variant->reads_past = true;
  if ((variant->key.form & OW_FORM_STATE) && !switched)
    OW_TRY(ow_state_form(g, model->registry, &variant->pairs, &variant->pair_count, err));
  OW_TRY(ow_infer_inputs(g, variant->assume, err));
  if (switched) {
    OW_TRY(ow_infer_graph(g, err));
    if (!keep_output_types(variant) || !set_switches(model, variant))
      return ow_fail(err, ONWARD_MEMORY, "no memory for the graph");
    if (variant->key.form & OW_FORM_STATE)
      OW_TRY(form_switched(model, variant, err));
  }
  OW_TRY(optimise(model, g, explain, err));
  if (variant->key.form & OW_FORM_LAST_ROW)
    OW_TRY(ow_last_row(g, model->registry, err));
  if (variant->key.form & OW_FORM_STATE)
    OW_TRY(ow_state_bind(g, variant->pairs, variant->pair_count, err));
  return atomic_load(&model->watch.failed) ? ow_fail(err, ONWARD_MEMORY, "no memory to optimise the graph") : ONWARD_OK;
}

onward_status ow_variant_create(onward_model *model, const ow_variant_key *key, ow_out *explain, ow_variant **out,
                                onward_error *err) {
  const ow_allocator *const a = model->allocator;
  ow_variant *const variant = ow_alloc_zero(a, 1, sizeof *variant);
  onward_status status = ONWARD_MEMORY;
  atomic_store(&model->watch.failed, false);
  if (variant)
    variant->dims = ow_dims_create(&model->watch.allocator);
  if (variant && variant->dims)
    variant->graph = ow_graph_clone(key->source, &model->watch.allocator, variant->dims);
  if (!variant || !variant->graph) {
    (void)ow_fail(err, status, "no memory for the graph");
    goto fail;
  }
  variant->key = *key;
  variant->assume = key->assume;
  variant->family = variant;
  if (key->ranks) {
    const size_t count = key->source->input_count;
    int32_t *const ranks = ow_arena_zero(&variant->graph->arena, count, sizeof *ranks);
    if (!ranks) {
      (void)ow_fail(err, status, "no memory for the graph");
      goto fail;
    }
    if (count)
      memcpy(ranks, key->ranks, count * sizeof *ranks);
    variant->key.ranks = ranks;
  }
  status = fill(model, variant, explain, err);
  if (status != ONWARD_OK)
    goto fail;
  *out = variant;
  return ONWARD_OK;
fail:
  ow_variant_free(a, variant);
  return status;
}

/* ---- the model's variants ----------------------------------------------------------------------------------------------- */

static bool same_key(const ow_variant_key *a, const ow_variant_key *b) {
  return a->source == b->source && a->form == b->form && a->switches == b->switches && a->assume == b->assume &&
         !a->ranks == !b->ranks &&
         (!a->ranks || a->source->input_count == 0 ||
          memcmp(a->ranks, b->ranks, a->source->input_count * sizeof *a->ranks) == 0);
}

static const ow_variant *find(const onward_model *model, const ow_variant_key *key) {
  for (size_t i = 0; i < model->variant_count; i++)
    if (same_key(&model->variants[i]->key, key))
      return model->variants[i];
  return NULL;
}

static onward_status find_or_make(onward_model *model, const ow_variant_key *key, const ow_variant *family,
                                  const ow_variant **out, onward_error *err) {
  const ow_variant *const known = find(model, key);
  if (known) {
    *out = known;
    return ONWARD_OK;
  }
  if (!ow_reserve(model->allocator, &model->variants, &model->variant_capacity, model->variant_count,
                  model->variant_count + 1, sizeof *model->variants))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the graph");
  ow_variant *made = NULL;
  OW_TRY(ow_variant_create(model, key, NULL, &made, err));
  made->family = family ? family : made;
  model->variants[model->variant_count++] = made;
  *out = made;
  return ONWARD_OK;
}

onward_status ow_model_variant(onward_model *model, const ow_variant_key *key, const ow_variant **out,
                               onward_error *err) {
  ow_variant_key wanted = *key;
  OW_TRY(ow_model_in_process(model, err));
  int32_t *any = NULL;
  onward_status status = ONWARD_OK;
  ow_mutex_lock(&model->lock);
  if (key->ranks && !find(model, key)) {
    size_t same = 0;
    for (size_t i = 0; i < model->variant_count; i++)
      same += model->variants[i]->key.source == key->source;
    if (same >= BODY_VARIANTS_MAX) {
      if (!(any = ow_alloc_zero(model->allocator, key->source->input_count, sizeof *any)))
        status = ow_fail(err, ONWARD_MEMORY, "no memory for the graph");
      for (size_t i = 0; any && i < key->source->input_count; i++)
        any[i] = -1;
      wanted.ranks = any;
    }
  }
  if (status == ONWARD_OK)
    status = find_or_make(model, &wanted, NULL, out, err);
  ow_mutex_unlock(&model->lock);
  ow_free(model->allocator, any);
  return status;
}

onward_status ow_model_doubting(onward_model *model, const ow_variant *trusting, const ow_variant **out,
                                onward_error *err) {
  ow_variant_key key = trusting->key;
  key.assume = false;
  ow_mutex_lock(&model->lock);
  const onward_status status = find_or_make(model, &key, trusting->family, out, err);
  ow_mutex_unlock(&model->lock);
  return status;
}
