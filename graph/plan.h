/* The memory planner: which values share which bytes of one arena.
 *
 *     step:    0    1    2    3            A value lives from the step that writes it to the last that reads it.
 *     a      [=========]                   In-place pairs and views join values into one block; blocks are placed,
 *     b           [=========]              largest first, at the lowest offset that is free over their whole life.
 *     work        [==]                     Workspaces are values that live for one step.
 *
 * Pure: no graph, no allocation but the result's. */
#ifndef OW_GRAPH_PLAN_H
#define OW_GRAPH_PLAN_H

#include "base/alloc.h"
#include "base/status.h"

#define OW_NO_ALIAS UINT32_MAX

typedef struct ow_plan_item {
  size_t bytes;         /* capacity wanted; 0 takes no room */
  uint32_t first, last; /* steps, inclusive */
  uint32_t alias;       /* item whose memory this one continues (a view, or in place), made before it; OW_NO_ALIAS */
  bool view;            /* alias must hold (a view); otherwise it is used only when the aliased item ends at `first` */
  size_t offset;        /* result */
  bool shared;          /* result: the alias was taken */
} ow_plan_item;

/* Sets offset of every item (multiples of OW_ALIGNMENT); *total is the arena's size, *live the largest sum of bytes alive at any
 * step, with taken aliases counted once. Errors: MEMORY, LIMIT on overflow. */
onward_status ow_plan_offsets(const ow_allocator *a, ow_plan_item *items, size_t count, size_t *total, size_t *live,
                              onward_error *err);

#endif
