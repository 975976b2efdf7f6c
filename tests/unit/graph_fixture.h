/* A graph to build by hand, a text sink, and an allocator that fails: for the tests of graph/. */
#ifndef OW_TESTS_GRAPH_FIXTURE_H
#define OW_TESTS_GRAPH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text_out.h"
#include "graph/graph.h"
#include "graph/infer.h"
#include "graph/op.h"

typedef struct graph_fixture {
  ow_dims *dims;
  ow_arena weights;
  ow_graph *graph;
  onward_error err;
} graph_fixture;

static inline int graph_setup(void **state) {
  graph_fixture *const f = calloc(1, sizeof *f);
  if (!f)
    return -1;
  ow_arena_init(&f->weights, &ow_allocator_default);
  f->dims = ow_dims_create(&ow_allocator_default);
  f->graph = ow_graph_create(&ow_allocator_default, &f->weights, f->dims);
  *state = f;
  return f->dims && f->graph ? 0 : -1;
}

static inline int graph_teardown(void **state) {
  graph_fixture *const f = *state;
  ow_graph_free(f->graph);
  ow_arena_free(&f->weights);
  ow_dims_free(f->dims);
  free(f);
  return 0;
}

#define GRAPH_TEST(name) cmocka_unit_test_setup_teardown(name, graph_setup, graph_teardown)

/* A float32 input; a dim below 0 is free and gets the next of names. */
static inline ow_value *graph_input(ow_graph *graph, const char *name, onward_dtype dtype, int32_t rank,
                                    const int64_t *dims, const char *const *names) {
  ow_value *const value = ow_graph_add_value(graph, name);
  value->type.dtype = dtype;
  value->type.shape.rank = rank;
  for (int32_t i = 0; i < rank; i++)
    value->type.shape.dims[i] = dims[i] < 0 ? ow_dim_symbol(graph->dims, *names++) : ow_dim_const(dims[i]);
  assert_true(ow_graph_add_input(graph, value));
  return value;
}

/* A node of ai.onnx 17 with one output of the given name. */
static inline ow_value *graph_node(ow_graph *graph, const char *type, ow_value *a, ow_value *b, const char *output) {
  ow_value *const inputs[] = {a, b};
  ow_value *const out = ow_graph_add_value(graph, output);
  assert_non_null(ow_graph_add_node(graph, NULL, output, "", type, 17, inputs, b ? 2 : 1, &out, 1));
  return out;
}

typedef struct text_sink {
  char text[65536];
  size_t used;
} text_sink;

static inline bool sink_write(void *context, const char *text, size_t length) {
  text_sink *const sink = context;
  if (sink->used + length >= sizeof sink->text)
    return false;
  memcpy(sink->text + sink->used, text, length);
  sink->used += length;
  sink->text[sink->used] = '\0';
  return true;
}

/* Gives out `left` blocks, then none. */
typedef struct failing_alloc {
  long left;
  long live;
} failing_alloc;

static inline void *failing_take(void *context, size_t size) {
  failing_alloc *const f = context;
  if (f->left-- <= 0)
    return NULL;
  f->live++;
  return ow_allocator_default.alloc(ow_allocator_default.context, size);
}

static inline void failing_give(void *context, void *memory) {
  failing_alloc *const f = context;
  f->live -= memory != NULL;
  ow_allocator_default.free(ow_allocator_default.context, memory);
}

#endif
