/* The model: what many sessions share. Immutable after load but for the packed weights and the fallback variant, which are made
 * once under the lock. */
#ifndef OW_RUNTIME_MODEL_H
#define OW_RUNTIME_MODEL_H

#include "base/thread.h"
#include "graph/graph.h"
#include "graph/op.h"
#include "graph/state_form.h"
#include "onward/onward.h"
#include "proto/loader.h"
#include "runtime/packed.h"

/* What a run wants beyond the graph as it stands. */
#define OW_FORM_STATE 1u    /* with a state: pasts and presents are the state's */
#define OW_FORM_LAST_ROW 2u /* logits of the last position only */
#define OW_FORMS 4

/* The graph after the passes, under one set of assumptions about symbolic dims. */
typedef struct ow_variant {
  ow_dims *dims;
  ow_graph *graph;
  bool assume;
  unsigned form;
  ow_state_pair *pairs; /* OW_FORM_STATE */
  size_t pair_count;
} ow_variant;

struct onward_model {
  int64_t process; /* that loaded it */
  const ow_allocator *allocator;
  onward_model_options options;
  char *title; /* path as given, for messages */
  ow_registry *registry;
  ow_arena weights;
  ow_source *source;
  ow_dims *file_dims;
  ow_graph *file_graph; /* as imported */
  ow_mutex lock;
  ow_variant *trusting;            /* names and broadcasts taken at their word, with guards */
  ow_variant *doubting;            /* made when a guard fails; NULL until then */
  ow_variant *formed[OW_FORMS][2]; /* other forms, made on first use: doubting, trusting. [0] is not used */
  ow_packed_cache packed;
  ow_arena info_arena;
  onward_value_info *inputs, *outputs;
};

/* Build a variant from the file's graph. explain may be NULL. */
onward_status ow_variant_create(onward_model *model, bool assume, ow_out *explain, ow_variant **out, onward_error *err);
void ow_variant_free(const ow_allocator *a, ow_variant *variant);
/* A variant of the given OW_FORM_* flags, with or without assumptions, made on first use. */
onward_status ow_model_variant(onward_model *model, unsigned form, bool assume, const ow_variant **out,
                               onward_error *err);
/* ARGUMENT in the child of a fork: threads and locks of the model did not come along. */
onward_status ow_model_in_process(const onward_model *model, onward_error *err);
void ow_model_log(const onward_model *model, onward_log_level level, const char *text);

#endif
