/* What Loop, Scan and If share: types of bodies at load, rounds and stacked outputs when they run. */
#ifndef OW_OPS_BODY_H
#define OW_OPS_BODY_H

#include "ops/op_help.h"

/* A tensor that grows by one slice a round, so that a huge trip count costs nothing until it is gone through. */
typedef struct ow_stack {
  onward_tensor each;
  ow_box *box; /* rank 1, bytes */
  size_t count, capacity;
  bool known;
} ow_stack;

/* What a loop holds from round to round. */
typedef struct ow_rounds {
  ow_dynamic *d;
  ow_graph *body;
  ow_box **in, **out; /* of the body; in owns its first `owned` */
  size_t owned;
  ow_stack *stacks;
  size_t stack_count;
} ow_rounds;

ow_graph *ow_body_of(const ow_node *node, const char *name);
size_t ow_body_inputs(const ow_graph *body);
size_t ow_body_given(const ow_infer *c, const ow_graph *body);
void ow_body_type_captures(const ow_infer *c, ow_graph *body);
onward_status ow_body_check(ow_infer *c, const ow_graph *body, const char *name, size_t inputs, size_t outputs);
onward_status ow_body_give(ow_infer *c, size_t out, const ow_type *type, int32_t rank, const ow_dim *dims);
void ow_body_type_input(ow_graph *body, size_t i, const ow_type *type, int32_t rank);
onward_status ow_body_give_carried(ow_infer *c, size_t out, const ow_type *begin, const ow_type *end);
onward_status ow_body_give_stacked(ow_infer *c, size_t out, const ow_type *each, int64_t axis);
onward_status ow_stack_push(ow_stack *s, ow_box_budget *budget, const ow_box *value, size_t output, onward_error *err);
ow_box *ow_stack_pop(const ow_stack *s, const ow_value *body_value, ow_box_budget *budget, int64_t axis, bool reversed,
                     onward_error *err);
onward_status ow_body_status(const onward_error *err);
onward_status ow_rounds_begin(ow_rounds *r, ow_dynamic *d, ow_graph *body, size_t stack_count, onward_error *err);
void ow_rounds_end(ow_rounds *r);
onward_status ow_rounds_check(const ow_dynamic *d, uint64_t round, onward_error *err);
void ow_boxes_release(ow_box **boxes, size_t count);

/* A row of an operator that runs bodies. */
#define OW_BODY_ROW(op, from, to, min_in, min_out, spec, infer_fn, run_fn)                                            \
  {                                                                                                                   \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = min_in, .max_inputs = OW_ANY_COUNT,           \
    .min_outputs = min_out, .max_outputs = OW_ANY_COUNT, .attrs = spec, .flags = OW_OP_CONTAINERS, .infer = infer_fn, \
    .dynamic = run_fn                                                                                                 \
  }

#endif
