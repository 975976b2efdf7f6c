/* A session: plans, the arena that they share, and one run at a time. */
#ifndef OW_RUNTIME_SESSION_H
#define OW_RUNTIME_SESSION_H

#include <stdatomic.h>

#include "base/stop.h"
#include "runtime/bound_plan.h"
#include "runtime/profile.h"
#include "runtime/state.h"

#define OW_PLAN_LIST_BYTES ((size_t)4 << 20)

/* The session that runs a body of control flow. */
typedef struct ow_nested {
  const ow_graph *body; /* in the graph of a variant */
  onward_session *session;
} ow_nested;

struct onward_session {
  onward_model *model;
  onward_session *root; /* the one that the caller has; itself, but for nested ones */
  ow_nested *nested;
  size_t nested_count, nested_capacity;
  const ow_variant *switched[OW_FORMS][1 << OW_SWITCHES_MAX]; /* by the values of the model's switches */
  ow_box_budget budget;                                       /* of the root */
  ow_box *borrowed;                                           /* by graph input: what a caller gave */
  ow_box **in;                                                /* by graph input */
  ow_box **own;                                               /* by graph input: made for a run; NULL: borrowed */
  ow_texts texts[2];                                          /* of the root: of this run, and of the one before */
  ow_arena lists;                                             /* sequences that a run handed out */
  ow_plan *last; /* holds the boxes of the last run; in the list of plans */
  const ow_allocator *allocator;
  onward_session_options options;
  int threads;
  const ow_variant *variant; /* of the run that is going on; trusting, of the form it wants */
  onward_state *state;       /* of the run that is going on, or NULL */
  bool warned;               /* that the model's dimension names do not hold */
  ow_plan **plans;           /* most recently used first */
  size_t plan_count, plan_capacity;
  void *arena;
  size_t arena_bytes;
  void *copies; /* outputs that are inputs, handed out as session memory */
  size_t copies_bytes;
  /* scratch of a run, sized once */
  onward_input_shape *shapes, *room;
  const onward_named_tensor **given; /* by graph input */
  bool *wanted;
  const void **handed; /* by output: session memory given out by the last run, which is no buffer of the caller's */
  ow_stop stop;
  atomic_bool busy; /* a run is going on */
  onward_session_stats stats;
  ow_profile profile;
};

/* plan_list.c: a plan bound to shapes, from the list, rebound, or built. */
onward_status ow_session_plan(onward_session *session, const onward_input_shape *shapes, ow_plan **plan,
                              onward_error *err);
void ow_session_drop_plans(onward_session *session);

/* session.c */
onward_status ow_session_make(onward_model *model, const ow_variant *variant, const onward_session_options *options,
                              onward_session *root, onward_session **out, onward_error *err);
/* Bound to shapes, given in: runs. *plan: where the outputs are. */
onward_status ow_session_go(onward_session *session, ow_plan **plan, onward_error *err);

/* dynamic.c: one node of control flow. */
onward_status ow_dynamic_run(onward_session *session, ow_plan *plan, const ow_node *node, onward_error *err);

/* container.c: sequences and optionals that a caller gives and gets */
/* What is wrong with value as what info describes, in a sentence that goes on after "input 'x': "; NULL: nothing. */
const char *ow_value_refusal(const onward_value_info *info, const onward_tensor *value, char *buffer, size_t size);
/* A copy, as a box of that type; strings stay the caller's. */
ow_box *ow_value_box(ow_box_budget *budget, const ow_type *type, const onward_tensor *value, onward_error *err);
/* What box is for a caller; sequences in arena. */
onward_status ow_value_of_box(const ow_box *box, ow_arena *arena, ow_texts *texts, onward_tensor *value,
                              onward_error *err);
/* Copies of strings that live as long as texts. */
onward_status ow_value_keep_text(onward_tensor *tensor, ow_texts *texts, onward_error *err);
bool ow_box_holds(const ow_box *box, const void *data);

/* executor.c: run the steps of a segment in order. */
onward_status ow_execute(onward_session *session, ow_segment *segment, onward_error *err);

#endif
