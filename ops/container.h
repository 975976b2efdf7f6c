/* What the rows of sequences and optionals share. They run between segments, on boxes (graph/box.h). */
#ifndef OW_OPS_CONTAINER_H
#define OW_OPS_CONTAINER_H

#include "ops/body.h"

/* Input is there and of this kind; MODEL otherwise. */
onward_status ow_want_kind(ow_infer *c, size_t input, ow_value_kind kind);
/* Input is one int32 or int64, where that is known. An input that is left out passes. */
onward_status ow_want_integer(ow_infer *c, size_t input);
/* Output `out` is a list of tensors of dtype. */
onward_status ow_give_list(ow_infer *c, size_t out, ow_value_kind kind, ow_value_kind inner, onward_dtype dtype);

/* The integer in input `input`, or `otherwise` when it is left out. DATA unless it is one element. */
onward_status ow_box_integer(const ow_dynamic *d, size_t input, const char *what, int64_t otherwise, int64_t *value,
                             onward_error *err);
/* Item i of list becomes one more owner's. */
onward_status ow_list_put(ow_dynamic *d, ow_box *list, size_t i, ow_box *item, onward_error *err);

#define OW_CONTAINER_ROW(op, from, to, low, high, spec, infer_fn, run_fn)                                          \
  {                                                                                                                \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = low, .max_inputs = high, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .flags = OW_OP_CONTAINERS, .infer = infer_fn, .dynamic = run_fn               \
  }

#endif
