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
#include "runtime/plugin_set.h"

/* What a run wants beyond the graph as it stands. */
#define OW_FORM_STATE 1u    /* with a state: pasts and presents are the state's */
#define OW_FORM_LAST_ROW 2u /* logits of the last position only */
#define OW_FORMS 4
/* What a graph is optimised for. */
typedef struct ow_variant_key {
  const ow_graph *source; /* the file's graph, or a closed body of control flow in the graph of another variant */
  unsigned form;          /* OW_FORM_* */
  uint32_t switches;      /* of the file's graph: bit i is the value of input model->switches[i] */
  const int32_t *ranks;   /* of a body: by input, -1 for any */
  bool assume;            /* names and broadcasts are taken at their word, with guards */
} ow_variant_key;

/* The graph after the passes, under one set of assumptions about symbolic dims. */
typedef struct ow_variant {
  ow_variant_key key; /* with ranks of its own */
  ow_dims *dims;
  ow_graph *graph;
  bool assume;
  ow_state_pair *pairs; /* OW_FORM_STATE */
  size_t pair_count;
  bool reads_past;                 /* false: a merged decoder's graph without a past */
  const struct ow_variant *family; /* the one with the same key that assumes; itself when it does */
  ow_type *output_types;           /* whatever the switches are; NULL: there are none */
} ow_variant;

#define OW_SWITCHES_MAX 4

struct onward_model {
  int64_t process; /* that loaded it */
  const ow_allocator *allocator;
  ow_watch watch; /* allocates the graphs, their dims and constants: without it a graph may come out less optimised */
  onward_model_options options;
  char *title; /* path as given, for messages */
  ow_registry *registry;
  ow_plugin_set *plugins; /* NULL: none */
  ow_arena weights;
  ow_source *source;
  ow_dims *file_dims;
  ow_graph *file_graph; /* as imported */
  ow_mutex lock;
  ow_variant *trusting;  /* the first: no switch is set */
  ow_variant **variants; /* made when they are wanted, under the lock; trusting is one */
  size_t variant_count, variant_capacity;
  uint32_t switches[OW_SWITCHES_MAX]; /* inputs of one bool that conditions of If depend on alone */
  size_t switch_count;
  ow_packed_cache packed;
  ow_arena info_arena;
  onward_value_info *inputs, *outputs;
};

/* variant.c */
/* Under the model's lock, but for the first. explain may be NULL. */
onward_status ow_variant_create(onward_model *model, const ow_variant_key *key, ow_out *explain, ow_variant **out,
                                onward_error *err);
void ow_variant_free(const ow_allocator *a, ow_variant *variant);
/* The variant of key, made on first use. Of too many ranks of one body: the one for any rank. */
onward_status ow_model_variant(onward_model *model, const ow_variant_key *key, const ow_variant **out,
                               onward_error *err);
/* The same without assumptions. */
onward_status ow_model_doubting(onward_model *model, const ow_variant *trusting, const ow_variant **out,
                                onward_error *err);
void ow_model_find_switches(onward_model *model);
/* ARGUMENT in the child of a fork: threads and locks of the model did not come along. */
onward_status ow_model_in_process(const onward_model *model, onward_error *err);
void ow_model_log(const onward_model *model, onward_log_level level, const char *text);

#endif
