/* Scan: a body run over the slices of its inputs. */
#include <inttypes.h>
#include <string.h>

#include "graph/infer.h"
#include "ops/body.h"

/* ---- Scan: how its inputs and outputs are told apart ------------------------------------------------------------------------ */

typedef struct scan {
  ow_graph *body;
  bool batched;         /* Scan-8: dim 0 is the batch, and input 0 the lengths */
  size_t first;         /* of the states among the node's inputs */
  size_t states, scans; /* inputs */
  size_t stacked;       /* outputs after the states */
} scan;

static bool scan_form(const ow_node *node, size_t given, scan *s) {
  s->body = ow_body_of(node, "body");
  s->batched = node->version < 9;
  s->first = s->batched ? 1 : 0;
  const int64_t scans = ow_node_int(node, "num_scan_inputs", 0);
  if (scans < 1 || given < s->first || (uint64_t)scans > given - s->first)
    return false;
  s->scans = (size_t)scans;
  s->states = given - s->first - s->scans;
  s->stacked = node->output_count - (node->output_count < s->states ? node->output_count : s->states);
  return node->output_count >= s->states;
}

static int64_t int_at(const ow_node *node, const char *attr, size_t i) {
  size_t count;
  const int64_t *values = ow_node_ints(node, attr, &count);
  return i < count ? values[i] : 0;
}

static onward_status check_list(ow_infer *c, const char *name, size_t want) {
  size_t count;
  if (ow_node_ints(c->node, name, &count) && count != want)
    return ow_infer_fail(c, ONWARD_MODEL, "%s has %zu entries, want %zu", name, count, want);
  for (size_t i = 0; i < count && strstr(name, "directions"); i++)
    if (int_at(c->node, name, i) != 0 && int_at(c->node, name, i) != 1)
      return ow_infer_fail(c, ONWARD_MODEL, "%s has %" PRId64 ", want 0 or 1", name, int_at(c->node, name, i));
  return ONWARD_OK;
}

static onward_status infer_scan(ow_infer *c) {
  scan s;
  ow_graph *const body = ow_body_of(c->node, "body");
  if (!scan_form(c->node, ow_body_given(c, body), &s))
    return ow_infer_fail(c, ONWARD_MODEL, "num_scan_inputs %" PRId64 " does not fit %zu inputs and %zu outputs",
                         ow_node_int(c->node, "num_scan_inputs", 0), ow_body_given(c, body), c->node->output_count);
  OW_TRY(ow_body_check(c, body, "body", s.states + s.scans, s.states + s.stacked));
  OW_TRY(check_list(c, s.batched ? "directions" : "scan_input_directions", s.scans));
  OW_TRY(check_list(c, "scan_input_axes", s.scans));
  OW_TRY(check_list(c, "scan_output_directions", s.stacked));
  OW_TRY(check_list(c, "scan_output_axes", s.stacked));
  if (s.batched && ow_infer_has(c, 0))
    OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_INT64)));
  for (size_t i = 0; i < s.states + s.scans; i++) {
    if (!ow_infer_has(c, s.first + i) || c->in[s.first + i].kind != OW_VALUE_TENSOR)
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu: want a tensor", s.first + i);
    const int32_t rank = c->in[s.first + i].shape.rank, less = (i >= s.states) + s.batched;
    if (rank >= 0 && rank < less)
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu has rank %d, want at least %d", s.first + i, rank, less);
    if (rank >= 0 && i >= s.states && !s.batched) {
      int32_t axis;
      OW_TRY(ow_infer_axis(c, int_at(c->node, "scan_input_axes", i - s.states), rank, &axis));
    }
    ow_body_type_input(body, i, &c->in[s.first + i], -1);
  }
  ow_body_type_captures(c, body);
  OW_TRY(ow_infer_graph(body, c->err));
  for (size_t o = 0; o < c->node->output_count; o++) {
    const ow_type *type = &body->outputs[o].value->type;
    if (o < s.states)
      OW_TRY(ow_body_give_carried(c, o, &c->in[s.first + o], type));
    else if (s.batched)
      OW_TRY(ow_body_give(c, o, type, -1, NULL));
    else
      OW_TRY(ow_body_give_stacked(c, o, type, int_at(c->node, "scan_output_axes", o - s.states)));
  }
  return ONWARD_OK;
}

/* ---- Scan ------------------------------------------------------------------------------------------------------------------- */

/* Slice `index` of axis, without that axis. */
static ow_box *slice(ow_box_budget *budget, const onward_tensor *t, int32_t axis, int64_t index, onward_error *err) {
  int64_t dims[ONWARD_MAX_RANK];
  for (int32_t d = 0, e = 0; d < t->rank; d++)
    if (d != axis)
      dims[e++] = t->dims[d];
  ow_box *const box = ow_box_tensor(budget, t->dtype, t->rank - 1, dims, err);
  if (!box || !box->tensor.bytes)
    return box;
  const size_t inner = (size_t)ow_dims_product(t->dims, axis + 1, t->rank) * ow_dtype_size(t->dtype);
  const size_t outer = (size_t)ow_dims_product(t->dims, 0, axis), extent = (size_t)t->dims[axis];
  for (size_t o = 0; o < outer; o++)
    memcpy((char *)box->tensor.data + o * inner, (const char *)t->data + (o * extent + (size_t)index) * inner, inner);
  return box;
}

/* One sequence: r->in holds the states; inputs[i] are what is scanned. */
static onward_status scan_rounds(ow_rounds *r, const scan *s, const onward_tensor *inputs, const int32_t *axes,
                                 int64_t length, onward_error *err) {
  ow_dynamic *const d = r->d;
  const char *const directions = s->batched ? "directions" : "scan_input_directions";
  for (int64_t round = 0; round < length; round++) {
    OW_TRY(ow_rounds_check(d, (uint64_t)round, err));
    for (size_t i = 0; i < s->scans; i++) {
      const int64_t at = int_at(d->node, directions, i) ? length - 1 - round : round;
      ow_box_release(r->in[s->states + i]);
      if (!(r->in[s->states + i] = slice(d->budget, &inputs[i], axes[i], at, err)))
        return ow_body_status(err);
    }
    OW_TRY(d->run_body(d, r->body, r->in, r->out, err));
    for (size_t i = 0; i < s->states; i++) {
      ow_box_release(r->in[i]);
      r->in[i] = r->out[i];
      r->out[i] = NULL;
    }
    for (size_t k = 0; k < s->stacked; k++)
      OW_TRY(ow_stack_push(&r->stacks[k], d->budget, r->out[s->states + k], s->states + k, err));
    ow_boxes_release(r->out, r->body->output_count);
  }
  return ONWARD_OK;
}

/* Scan-9 and later: no batch. */
static onward_status scan_once(ow_rounds *r, const scan *s, onward_error *err) {
  ow_dynamic *const d = r->d;
  onward_tensor *const inputs = ow_alloc_zero(d->budget->allocator, s->scans, sizeof *inputs);
  int32_t *const axes = ow_alloc_zero(d->budget->allocator, s->scans, sizeof *axes);
  onward_status status = inputs && axes ? ONWARD_OK : ow_fail(err, ONWARD_MEMORY, "no memory for the scan");
  int64_t length = -1;
  for (size_t i = 0; i < s->scans && status == ONWARD_OK; i++) {
    inputs[i] = d->in[s->states + i]->tensor;
    const int64_t axis = int_at(d->node, "scan_input_axes", i);
    if (axis < -inputs[i].rank || axis >= inputs[i].rank) {
      status = ow_fail(err, ONWARD_DATA, "scan input %zu: axis %" PRId64 " of rank %d", i, axis, inputs[i].rank);
      break;
    }
    axes[i] = ow_axis(axis, inputs[i].rank);
    if (length >= 0 && inputs[i].dims[axes[i]] != length)
      status = ow_fail(err, ONWARD_DATA, "scan input %zu has length %" PRId64 ", the first %" PRId64, i,
                       inputs[i].dims[axes[i]], length);
    length = inputs[i].dims[axes[i]];
  }
  for (size_t i = 0; i < s->states && status == ONWARD_OK; i++)
    if (!(r->in[i] = ow_box_keep(d->budget, d->in[i], err)))
      status = ow_body_status(err);
  if (status == ONWARD_OK)
    status = scan_rounds(r, s, inputs, axes, length, err);
  for (size_t o = 0; o < d->out_count && status == ONWARD_OK; o++) {
    if (o < s->states) {
      d->out[o] = r->in[o];
      r->in[o] = NULL;
    } else if (!(d->out[o] = ow_stack_pop(&r->stacks[o - s->states], s->body->outputs[o].value, d->budget,
                                          int_at(d->node, "scan_output_axes", o - s->states),
                                          int_at(d->node, "scan_output_directions", o - s->states) != 0, err))) {
      status = ow_body_status(err);
    }
  }
  ow_free(d->budget->allocator, inputs);
  ow_free(d->budget->allocator, axes);
  return status;
}

/* Batch entry b of what one sequence gave into out[o], which is as long as the longest one and zero behind the end. */
static onward_status put_batch(ow_dynamic *d, size_t o, const onward_tensor *t, bool stacked, int64_t b, int64_t batch,
                               int64_t longest, onward_error *err) {
  int64_t dims[ONWARD_MAX_RANK + 1] = {batch};
  if (t->rank + 1 > ONWARD_MAX_RANK)
    return ow_fail(err, ONWARD_LIMIT, "output %zu has rank %d", o, t->rank + 1);
  for (int32_t k = 0; k < t->rank; k++)
    dims[1 + k] = k == 0 && stacked ? longest : t->dims[k];
  if (!d->out[o]) {
    if (!(d->out[o] = ow_box_tensor(d->budget, t->dtype, t->rank + 1, dims, err)))
      return ow_body_status(err);
    if (d->out[o]->tensor.bytes)
      memset(d->out[o]->tensor.data, 0, d->out[o]->tensor.bytes);
  }
  const onward_tensor *out = &d->out[o]->tensor;
  if (out->rank != t->rank + 1 || memcmp(out->dims, dims, (size_t)out->rank * sizeof *dims) != 0)
    return ow_fail(err, ONWARD_DATA, "output %zu has another shape in batch entry %" PRId64, o, b);
  if (t->bytes)
    memcpy((char *)out->data + (size_t)b * (out->bytes / (size_t)batch), t->data, t->bytes);
  return ONWARD_OK;
}

static onward_status scan_entry(ow_dynamic *d, const scan *s, int64_t b, int64_t batch, int64_t longest,
                                onward_error *err) {
  ow_rounds r;
  onward_tensor *const inputs = ow_alloc_zero(d->budget->allocator, s->scans, sizeof *inputs);
  int32_t *const axes = ow_alloc_zero(d->budget->allocator, s->scans, sizeof *axes); /* all 0 */
  ow_box **const kept = ow_alloc_zero(d->budget->allocator, s->scans, sizeof *kept);
  onward_status status = ow_rounds_begin(&r, d, s->body, s->stacked, err);
  if (status == ONWARD_OK && (!inputs || !axes || !kept))
    status = ow_fail(err, ONWARD_MEMORY, "no memory for the scan");
  int64_t length = longest;
  if (d->in[0])
    length = ow_index_at(&d->in[0]->tensor, b);
  if (status == ONWARD_OK && (length < 0 || length > longest))
    status = ow_fail(err, ONWARD_DATA, "sequence_lens is %" PRId64 " at [%" PRId64 "], want 0 to %" PRId64, length, b,
                     longest);
  for (size_t i = 0; i < s->states && status == ONWARD_OK; i++)
    if (!(r.in[i] = slice(d->budget, &d->in[1 + i]->tensor, 0, b, err)))
      status = ow_body_status(err);
  for (size_t i = 0; i < s->scans && status == ONWARD_OK; i++) {
    if (!(kept[i] = slice(d->budget, &d->in[1 + s->states + i]->tensor, 0, b, err)))
      status = ow_body_status(err);
    else
      inputs[i] = kept[i]->tensor;
  }
  if (status == ONWARD_OK)
    status = scan_rounds(&r, s, inputs, axes, length, err);
  for (size_t o = 0; o < d->out_count && status == ONWARD_OK; o++) {
    ow_box *const made =
        o < s->states ? r.in[o]
                      : ow_stack_pop(&r.stacks[o - s->states], s->body->outputs[o].value, d->budget, 0, false, err);
    status = made ? put_batch(d, o, &made->tensor, o >= s->states, b, batch, longest, err) : ow_body_status(err);
    if (o >= s->states)
      ow_box_release(made);
  }
  ow_boxes_release(kept, kept ? s->scans : 0);
  ow_free(d->budget->allocator, kept);
  ow_free(d->budget->allocator, inputs);
  ow_free(d->budget->allocator, axes);
  ow_rounds_end(&r);
  return status;
}

static onward_status scan_batch(ow_dynamic *d, const scan *s, onward_error *err) {
  const onward_tensor *const first = &d->in[1 + s->states]->tensor;
  if (first->rank < 2)
    return ow_fail(err, ONWARD_DATA, "scan input 0 has rank %d, want at least 2", first->rank);
  const int64_t batch = first->dims[0], longest = first->dims[1];
  for (size_t i = 0; i < s->states + s->scans; i++) {
    const onward_tensor *t = &d->in[1 + i]->tensor;
    if (t->rank < 1 || t->dims[0] != batch || (i >= s->states && (t->rank < 2 || t->dims[1] != longest)))
      return ow_fail(err, ONWARD_DATA, "input %zu does not have batch %" PRId64 " and length %" PRId64, 1 + i, batch,
                     longest);
  }
  if (d->in[0] && ow_count(&d->in[0]->tensor) != batch)
    return ow_fail(err, ONWARD_DATA, "sequence_lens has %" PRId64 " entries, want %" PRId64,
                   ow_count(&d->in[0]->tensor), batch);
  if (batch == 0)
    return ow_fail(err, ONWARD_UNSUPPORTED, "a batch of 0");
  for (int64_t b = 0; b < batch; b++)
    OW_TRY(scan_entry(d, s, b, batch, longest, err));
  return ONWARD_OK;
}

static onward_status run_scan(ow_dynamic *d, onward_error *err) {
  scan s;
  const ow_graph *const body = ow_body_of(d->node, "body");
  if (!scan_form(d->node, body->capture_count ? body->capture_slot : d->in_count, &s))
    return ow_fail(err, ONWARD_INTERNAL, "the form of the scan changed");
  if (s.batched)
    return scan_batch(d, &s, err);
  ow_rounds r;
  onward_status status = ow_rounds_begin(&r, d, s.body, s.stacked, err);
  if (status == ONWARD_OK)
    status = scan_once(&r, &s, err);
  ow_rounds_end(&r);
  return status;
}

/* ---- rows ---- */

static const ow_attr_spec scan_8_attrs[] = {{"body", OW_ATTR_GRAPH, true},
                                            {"num_scan_inputs", OW_ATTR_INT, true},
                                            {"directions", OW_ATTR_INTS, false},
                                            {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec scan_9_attrs[] = {{"body", OW_ATTR_GRAPH, true},
                                            {"num_scan_inputs", OW_ATTR_INT, true},
                                            {"scan_input_axes", OW_ATTR_INTS, false},
                                            {"scan_input_directions", OW_ATTR_INTS, false},
                                            {"scan_output_axes", OW_ATTR_INTS, false},
                                            {"scan_output_directions", OW_ATTR_INTS, false},
                                            {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_scan[] = {
    OW_BODY_ROW("Scan", 8, 8, 0, 1, scan_8_attrs, infer_scan, run_scan),
    OW_BODY_ROW("Scan", 9, 0, 1, 1, scan_9_attrs, infer_scan, run_scan),
    {.name = NULL},
};
