/* The stateful form of a decoder's graph: what a run with a key-value state executes.
 *
 *     past ──► Concat(axis) ──► present          becomes     past' ──► Append ──► Transpose ──► users of present
 *     new  ──────┘                                           new ────────┘
 *
 * past' is the graph input under the layout of the state's buffer: the axis that grows comes first. Append writes its new rows
 * behind the past, in place. Pairs are found by structure, never by the name of a model.
 * An operator that takes a past and gives its present (ow_carry) stays; it keeps them in place itself (OW_IN_PLACE):
 *
 *     past ──► operator ──► present             becomes     past' ──► operator ──► Transpose ──► users of present
 *
 * A merged decoder has two graphs, with and without a past, after its If is inlined. Its pairs are found in the first; in the second
 * the present is appended to a past of length 0.
 * A past that nothing is joined with and that attention reads as keys or values (an encoder's) is constant: it is filled once, by
 * the graph without a past or by onward_state_import. */
#ifndef OW_GRAPH_STATE_FORM_H
#define OW_GRAPH_STATE_FORM_H

#include "graph/graph.h"
#include "graph/op.h"

typedef struct ow_state_pair {
  size_t input, output;           /* of the graph: past, present; a constant past may have none (SIZE_MAX) */
  int32_t rank;                   /* of the past as the model has it */
  int32_t axis;                   /* that grows; -1: none does */
  int32_t batch_axis;             /* -1: none is free */
  bool constant;                  /* never grows; axis is -1 */
  const ow_value *present, *rows; /* in place, and the new rows where a node gives them; present NULL: constant */
} ow_state_pair;

/* On a copy of the file's graph, before inference. *pairs lie in the graph's arena; ow_state_bind finds present and rows. */
onward_status ow_state_form(ow_graph *graph, const ow_registry *registry, ow_state_pair **pairs, size_t *count,
                            onward_error *err);
/* Of the same model's graph without a past: pairs are those of the one with a past. */
onward_status ow_state_form_first(ow_graph *graph, const ow_registry *registry, const ow_state_pair *from, size_t count,
                                  ow_state_pair **pairs, onward_error *err);
/* After the passes: find the nodes again. */
onward_status ow_state_bind(const ow_graph *graph, ow_state_pair *pairs, size_t count, onward_error *err);

/* Logits of the last position only: after the passes, a slice before the last product, or of the logits when there is none. */
onward_status ow_last_row(ow_graph *graph, const ow_registry *registry, onward_error *err);

#endif
