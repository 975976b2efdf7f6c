/* One operator of random types, shapes, attributes and values, made from bytes. */
#ifndef OW_TESTS_KERNEL_CASE_H
#define OW_TESTS_KERNEL_CASE_H

#include "base/arena.h"
#include "graph/op.h"

enum { SLOTS = 10, GUARD = 64, ELEMENTS_MAX = 4096, BYTES_MAX = 1 << 20 };

typedef struct choices {
  const uint8_t *at, *end;
} choices;

static inline unsigned byte_of(choices *c) { return c->at < c->end ? *c->at++ : 0; }
static inline unsigned below(choices *c, unsigned n) {
  return n > 256 ? (byte_of(c) * 256 + byte_of(c)) % n : byte_of(c) % n;
}
static inline bool once_in(choices *c, unsigned n) { return byte_of(c) % n == n - 1; }

typedef struct fuzz_case {
  const ow_op *row;
  ow_arena arena;
  ow_dims *dims;
  ow_graph *graph;
  ow_node *node;
  onward_tensor tensors[SLOTS], outputs[SLOTS];
  const onward_tensor *in[SLOTS];
  onward_tensor *out[SLOTS];
  ow_value *values[SLOTS];
  uint8_t *memory[SLOTS]; /* of outputs, with guards */
  bool constant[SLOTS];
  const void *packed[SLOTS];
  size_t in_count, out_count;
} fuzz_case;

/* false: it cannot be had, is not valid, or has no elements to compute. free either way. */
bool kernel_case_build(choices *c, const ow_registry *registry, size_t rows, fuzz_case *f);
void kernel_case_free(fuzz_case *f);

#endif
