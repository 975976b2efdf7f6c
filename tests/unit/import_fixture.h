/* Models built in memory, loaded, and what is wrong with them. */
#ifndef OW_TESTS_IMPORT_FIXTURE_H
#define OW_TESTS_IMPORT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/loader.h"
#include "unit/onnx_bytes.h"

enum { NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12, SPARSE_INITIALIZER = 15, FUNCTIONS = 25 };

typedef struct loaded {
  ow_arena weights;
  ow_dims *dims;
  ow_source *source;
  ow_graph *graph;
  onward_error err;
  int warnings;
  char warning[600];
  pb bytes;
} loaded;

static inline void warn(void *context, const char *text) {
  loaded *l = context;
  l->warnings++;
  (void)snprintf(l->warning, sizeof l->warning, "%s", text);
}

/* Takes model over. */
static inline onward_status load_limited(pb model, onward_limits limits, loaded *l) {
  *l = (loaded){.bytes = model};
  ow_arena_init(&l->weights, &ow_allocator_default);
  l->dims = ow_dims_create(&ow_allocator_default);
  const ow_load_options o = {.allocator = &ow_allocator_default, .limits = limits, .warn = warn, .warn_context = l};
  return ow_load_memory(model.data, model.size, NULL, &o, &l->weights, l->dims, &l->source, &l->graph, &l->err);
}

static inline void end(loaded *l) {
  ow_graph_free(l->graph);
  ow_source_free(l->source);
  ow_dims_free(l->dims);
  ow_arena_free(&l->weights);
  pb_free(&l->bytes);
}

static inline void load(pb model, loaded *l) {
  if (load_limited(model, (onward_limits){0}, l) != ONWARD_OK)
    fail_msg("%s", l->err.message);
  onward_error err;
  if (ow_graph_validate(l->graph, &err) != ONWARD_OK)
    fail_msg("invalid: %s", err.message);
}

/* Every part of wanted (split by '|') is in the message. */
static inline void expect_limited(pb model, onward_limits limits, onward_status status, const char *wanted) {
  loaded l;
  const onward_status got = load_limited(model, limits, &l);
  if (got != status)
    fail_msg("want %s '%s', got %s '%s'", onward_status_name(status), wanted, onward_status_name(got), l.err.message);
  while (*wanted) {
    char part[200] = "";
    const size_t n = strcspn(wanted, "|");
    memcpy(part, wanted, n);
    if (!strstr(l.err.message, part))
      fail_msg("want '%s' in '%s'", part, l.err.message);
    wanted += n;
    wanted += *wanted == '|';
  }
  end(&l);
}

static inline void expect(pb model, onward_status status, const char *wanted) {
  expect_limited(model, (onward_limits){0}, status, wanted);
}

static inline pb io(const char *input, const char *output) {
  pb graph = {0};
  pb_message(&graph, INPUT, pb_value(input, 1, "2"));
  pb_message(&graph, OUTPUT, pb_value(output, 1, "2"));
  return graph;
}

static inline pb vector(const char *name, float a, float b) {
  const int64_t dims[] = {2};
  const float values[] = {a, b};
  return pb_tensor_raw(name, 1, dims, 1, values, 8);
}

static inline const ow_node *node_at(const ow_graph *g, size_t i) {
  const ow_node *n = g->first;
  while (n && i--)
    n = n->next;
  assert_non_null(n);
  return n;
}

static inline const ow_value *value(const ow_graph *g, const char *name) {
  const ow_value *v = ow_graph_find_value(g, name);
  if (!v)
    fail_msg("no value '%s'", name);
  return v;
}

static inline pb branch_of(pb node, const char *output) {
  pb graph = {0};
  pb_message(&graph, NODE, node);
  pb_message(&graph, OUTPUT, pb_value(output, 1, ""));
  return graph;
}

static inline pb constant(const char *output, pb attr) {
  pb node = pb_node("Constant", "", output);
  pb_attr(&node, attr);
  return node;
}

#endif
