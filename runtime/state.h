/* A key-value state, and what a run asks of it. */
#ifndef OW_RUNTIME_STATE_H
#define OW_RUNTIME_STATE_H

#include <stdatomic.h>

#include "runtime/bound_plan.h"

/* One cached tensor. In place: dims[0] is the length, whatever the model's layout; carried: dims are the model's own. */
typedef struct ow_state_buffer {
  const ow_state_pair *pair; /* of the state's variant */
  onward_dtype dtype;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
  size_t row_bytes; /* in place: of one position */
  void *data;
  size_t bytes; /* room */
} ow_state_buffer;

struct onward_state {
  onward_model *model;
  const ow_allocator *allocator;
  const ow_variant *variant; /* that trusts names: shapes of an empty state come from its dims */
  int64_t capacity, length;
  int64_t batch; /* rows; 0: not known before the first run */
  ow_state_buffer *buffers;
  size_t count;
  int64_t *symbols; /* scratch */
  int32_t symbol_count;
  void *spare; /* what a reorder wrote over last */
  size_t spare_bytes;
  atomic_bool busy;
};

/* The buffer that feeds graph input `input`; NULL: the caller gives that input. */
ow_state_buffer *ow_state_find(onward_state *state, size_t input);
/* Complete shapes, those of the caller's inputs are set, with the state's. */
onward_status ow_state_shapes(onward_state *state, onward_input_shape *shapes, onward_error *err);
/* Room for what the plan will write. */
onward_status ow_state_reserve(onward_state *state, const ow_plan *plan, onward_error *err);
/* The run is over: the state holds what it wrote. */
onward_status ow_state_keep(onward_state *state, const ow_plan *plan, onward_error *err);

#endif
