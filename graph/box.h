/* Values that no plan can place beforehand: what control flow gives, sequences and optionals. A box is counted and never changes
 * once it is filled; a run has one thread, so the count is plain.
 *
 *     tensor     data of its own, or borrowed from a plan or a caller for a while
 *     sequence   count items
 *     optional   count is 0 or 1 */
#ifndef OW_GRAPH_BOX_H
#define OW_GRAPH_BOX_H

#include "graph/graph.h"

/* What a run's boxes may take together. */
typedef struct ow_box_budget {
  const ow_allocator *allocator;
  uint64_t bytes, limit; /* 0: no limit */
} ow_box_budget;

typedef struct ow_box ow_box;
struct ow_box {
  ow_box_budget *budget; /* NULL: borrowed, not counted; ow_box_keep makes a copy */
  size_t refs, bytes;
  ow_value_kind kind;
  onward_dtype dtype;   /* of the tensors of a sequence or optional; UNDEFINED: not known */
  onward_tensor tensor; /* strings are borrowed from the model or the caller */
  size_t count;
  ow_box **items;
};

/* Unfilled; NULL with *err set. MEMORY, LIMIT. */
ow_box *ow_box_tensor(ow_box_budget *budget, onward_dtype dtype, int32_t rank, const int64_t *dims, onward_error *err);
/* items are NULL at first. */
ow_box *ow_box_list(ow_box_budget *budget, ow_value_kind kind, onward_dtype dtype, size_t count, onward_error *err);
/* One more owner of box; a borrowed one is copied. */
ow_box *ow_box_keep(ow_box_budget *budget, ow_box *box, onward_error *err);
void ow_box_release(ow_box *box); /* takes NULL */
/* box as a value of that kind, for an owner: unwraps a full optional, wraps what an optional may hold. */
ow_box *ow_box_as(ow_box_budget *budget, ow_box *box, ow_value_kind kind, onward_error *err);
/* Text that a run makes: it lives until the run after the next one begins. Bounded like boxes. */
typedef struct ow_texts {
  ow_arena arena;
  uint64_t limit; /* 0: none */
} ow_texts;

/* Room for length characters and a NUL, which is set. NULL with *err set: MEMORY, LIMIT. */
char *ow_texts_room(ow_texts *texts, size_t length, onward_error *err);
char *ow_texts_copy(ow_texts *texts, const char *from, size_t length, onward_error *err);
/* An element of type STRING: NULL, as zeroed memory is, stands for the empty one. */
static inline const char *ow_text_at(const void *data, int64_t i) {
  const char *const found = ((const char *const *)data)[i];
  return found ? found : "";
}

const char *ow_kind_name(ow_value_kind kind); /* "a sequence" */

#endif
