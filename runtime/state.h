/* A key-value state, and what a run asks of it. */
#ifndef OW_RUNTIME_STATE_H
#define OW_RUNTIME_STATE_H

#include <stdatomic.h>

#include "runtime/bound_plan.h"

/* One cached tensor. dims[0] is the length, whatever the model's layout; of a constant one they are the model's own. */
typedef struct ow_state_buffer {
  const ow_state_pair *pair; /* of the state's variant */
  onward_dtype dtype;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
  size_t row_bytes; /* of one position */
  void *data;
  size_t bytes; /* room */
  bool filled;  /* constant: there is something */
} ow_state_buffer;

struct onward_state {
  onward_model *model;
  const ow_allocator *allocator;
  const ow_variant *variant; /* that trusts names: shapes of an empty state come from its dims */
  int64_t capacity, length;
  int64_t batch; /* rows; 0: not known before the first run */
  ow_state_buffer *buffers;
  size_t count;
  bool decides;               /* the switch of a merged decoder: with a past, or, when the state is empty, without */
  bool first;                 /* the graph without a past fills an empty state */
  unsigned char switch_value; /* of this run */
  ow_box switch_box;          /* it as an input */
  bool alike;                 /* all rows come of one: constant pasts are the same in each */
  int64_t *symbols;           /* scratch */
  int32_t symbol_count;
  void *spare; /* what a reorder wrote over last */
  size_t spare_bytes;
  atomic_bool busy;
};

/* The buffer that feeds graph input `input`; NULL: the caller gives that input. */
ow_state_buffer *ow_state_find(onward_state *state, size_t input);
/* The value of graph input `input` where the state decides it: a merged decoder's switch. Otherwise NULL. */
ow_box *ow_state_switch(onward_state *state, size_t input);
/* The run must compute the present that goes with the buffer. */
bool ow_state_wants(const onward_state *state, const ow_state_buffer *buffer);
/* Complete shapes, those of the caller's inputs are set, with the state's. */
onward_status ow_state_shapes(onward_state *state, onward_input_shape *shapes, onward_error *err);
/* Room for what the plan will write, as far as the shapes of its first segments say how much that is. */
onward_status ow_state_reserve(onward_state *state, const ow_plan *plan, size_t segments, onward_error *err);
/* The same for segments after the first, once their shapes are known: a buffer may move, and with it what shows it. */
onward_status ow_state_follow(onward_state *state, ow_plan *plan, size_t segments, onward_error *err);
/* The run is over: the state holds what it wrote. */
onward_status ow_state_keep(onward_state *state, const ow_plan *plan, onward_error *err);

/* What the calls share. */
const char *ow_state_past_name(const onward_state *state, const ow_state_buffer *buffer);
/* Which dim of the model's layout dims[d] of the buffer is. */
int32_t ow_state_logical_dim(const ow_state_buffer *buffer, int32_t d);
bool ow_state_set_row_bytes(ow_state_buffer *buffer);
/* One call or run at a time. */
onward_status ow_state_enter(onward_state *state, const char *call, onward_error *err);
void ow_state_leave(onward_state *state);

#endif
