/* A bound plan: the graph under concrete input shapes, ready to run.
 *
 *     walk      infer every needed node with constant dims; stop where a shape waits for data   -> types of a segment
 *     steps     choose kernels, pack weights, prepare                                           -> steps of a segment
 *     place     offsets of values and workspaces in one arena                                   -> data pointers
 *
 * A plan has one segment unless shapes depend on data; later segments are walked while running, when the data is there.
 * Rebinding gives a plan other shapes of the same ranks whose values fit into the room planned: no allocation, no new offsets. */
#ifndef OW_RUNTIME_BOUND_PLAN_H
#define OW_RUNTIME_BOUND_PLAN_H

#include "graph/plan.h"
#include "runtime/model.h"

typedef struct ow_step {
  const ow_node *node;
  const ow_kernel *kernel;
  ow_args args;
  void *state;
  size_t workspace_bytes;  /* room planned */
  uint32_t workspace_item; /* OW_NO_ALIAS: none */
} ow_step;

typedef struct ow_segment {
  size_t first_node, end_node; /* in ow_plan.nodes */
  ow_step *steps;
  size_t step_count;
  ow_plan_item *items;  /* values, then workspaces */
  uint32_t *item_value; /* value index of an item; OW_NO_ALIAS for a workspace */
  size_t item_count;
  size_t arena_bytes, live_bytes;
  void *memory; /* segments after the first own theirs; the first uses the session's arena */
  size_t memory_bytes;
  ow_arena arena; /* of a segment after the first: rebuilt when its shapes change */
  ow_arena elems; /* of the last walk of a segment after the first */
  bool built;
} ow_segment;

typedef struct ow_plan {
  onward_model *model;
  const ow_variant *variant;
  const ow_allocator *allocator;
  int threads;
  ow_texts *texts; /* of the session; NULL: the plan is only looked at */
  ow_arena arena;
  bool *wanted;              /* by graph output */
  onward_input_shape *bound; /* by graph input: what it is bound to now */
  const ow_node **nodes;     /* those that wanted outputs need, in order */
  size_t node_count;
  int64_t *symbols; /* by symbol; INT64_MIN: not known */
  int32_t symbol_count;
  ow_type *types, *next_types; /* by value; next_types is filled by a walk and swapped in */
  ow_arena elems, next_elems;  /* of types, of next_types */
  ow_arena *walk_elems;        /* where a walk puts elements */
  ow_arena scratch;            /* of one infer call */
  ow_dims *pool;               /* for arithmetic that overflows */
  onward_tensor *tensors;      /* by value */
  ow_box **boxes;              /* by value: of inputs, borrowed; of dynamic nodes, owned until the next run */
  size_t *capacity;            /* by value: bytes planned */
  uint32_t *external;          /* by value: the value whose memory a view of foreign memory shows; OW_NO_ALIAS */
  bool *changed;               /* by value: in a rebind; in this run, where a segment may be kept */
  bool *ready;                 /* by value: its bytes are there, so infer may look at them */
  ow_segment *segments;
  size_t segment_count, segment_capacity;
  void *base; /* the session arena the first segment's pointers are set for */
  onward_input_shape
      *room; /* by graph input: what a plan with spare room can grow to; NULL: it was planned for one shape */
  onward_input_shape
      *least;             /* with room: what it was first made for; dims that differ in room may be anything up to it */
  bool broken_assumption; /* set by a walk: the variant's symbolic dims do not hold */
  bool invalid;           /* a rebind failed half-way */
  uint64_t last_used;
  uint64_t primitives;
  size_t cost; /* bytes that keeping it takes */
} ow_plan;

typedef struct ow_plan_request {
  onward_model *model;
  const ow_variant *variant;
  int threads;
  ow_texts *texts;
  const bool *wanted;               /* by graph output */
  const onward_input_shape *shapes; /* by graph input, in graph order */
  const onward_input_shape *room;   /* shapes to plan room for; NULL: the same */
} ow_plan_request;

/* On a broken assumption: *plan stays NULL, status is ONWARD_OK and *broken is set: use another variant. */
onward_status ow_plan_create(const ow_plan_request *request, ow_plan **plan, bool *broken, onward_error *err);
void ow_plan_free(ow_plan *plan);
/* true: plan is now bound to shapes. false: it cannot take them; when plan->invalid is set too it must be freed. */
bool ow_plan_rebind(ow_plan *plan, const onward_input_shape *shapes);
bool ow_plan_bound_to(const ow_plan *plan, const ow_variant *variant, const bool *wanted,
                      const onward_input_shape *shapes);

/* Segment `index` >= 1 from node `first` on, walked with the data that is there by now; built anew when shapes changed. */
onward_status ow_plan_next_segment(ow_plan *plan, size_t index, size_t first, onward_error *err);
/* After a run that failed: what segments were built for is not known any more. */
void ow_plan_forget_segments(ow_plan *plan);
void ow_plan_release_boxes(ow_plan *plan);
static inline bool ow_plan_ends_with(const ow_plan *plan, size_t segment) {
  return plan->segments[segment].end_node == plan->node_count;
}
/* Point the values of a segment into memory. */
void ow_plan_place(ow_plan *plan, ow_segment *segment, void *memory);

/* Views of memory that is not in the segment's arena follow what they show. */
void ow_plan_set_views(ow_plan *plan, const ow_segment *segment);

/* bound_walk.c: infer nodes [first, ...) into next_types; *end is the first that waits for data. */
onward_status ow_plan_walk(ow_plan *plan, size_t first, size_t *end, onward_error *err);
/* A value that only its elements define gets its bytes, when they are not there. */
onward_status ow_plan_fill(ow_plan *plan, const ow_value *v, onward_error *err);
/* next_types[v] is what the variant's symbolic shape evaluates to. */
bool ow_plan_holds(ow_plan *plan, const ow_value *v);
bool ow_plan_bind_symbols(ow_plan *plan,
                          const onward_input_shape *shapes); /* false: overflow or a guard does not hold */
/* bound_steps.c */
onward_status ow_segment_build(ow_plan *plan, ow_segment *segment, ow_arena *arena, onward_error *err);
void ow_segment_destroy_steps(ow_segment *segment);
bool ow_segment_reprepare(ow_plan *plan, ow_segment *segment);
/* Set tensors[v] from types[v]; false: too large for the address space. */
bool ow_plan_set_tensor(ow_plan *plan, uint32_t value);
/* Whether kernel `index` of the node's row may run it; why says why not. */
bool ow_kernel_accepts(const onward_model *model, const ow_args *args, size_t index, ow_why *why);

#endif
