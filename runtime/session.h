/* A session: plans, the arena that they share, and one run at a time. */
#ifndef OW_RUNTIME_SESSION_H
#define OW_RUNTIME_SESSION_H

#include <stdatomic.h>

#include "base/stop.h"
#include "runtime/bound_plan.h"
#include "runtime/profile.h"
#include "runtime/state.h"

#define OW_PLAN_LIST_BYTES ((size_t)4 << 20)

struct onward_session {
  onward_model *model;
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

/* executor.c: run the steps of a segment in order. */
onward_status ow_execute(onward_session *session, ow_segment *segment, onward_error *err);

#endif
