/* For the tests of passes: small graphs in a few words, and a plain evaluator that runs reference kernels node by node. */
#ifndef TESTS_UNIT_PASS_BENCH_H
#define TESTS_UNIT_PASS_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph/pass.h"

#define BENCH_INPUTS 8
#define BENCH_OUTPUTS 8
#define BENCH_TEXT 4096

typedef struct bench {
  ow_arena weights, memory; /* memory: what the evaluator makes */
  ow_dims *dims;
  ow_graph *graph;
  ow_registry *registry;
  uint64_t random;
  size_t changes;
  char explained[BENCH_TEXT];
  onward_tensor inputs[BENCH_INPUTS];
  onward_tensor before[BENCH_OUTPUTS];
} bench;

void bench_open(bench *b);
void bench_close(bench *b);

/* dims: -1 - i is symbol i ("d0", "d1", ...). */
ow_value *bench_input(bench *b, const char *name, onward_dtype dtype, int32_t rank, const int64_t *dims);
#define BENCH_DIMS(...) ((int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))), ((int64_t[]){__VA_ARGS__})
ow_value *bench_scalar(bench *b, float value);
ow_value *bench_ints(bench *b, size_t count, const int64_t *values);
#define BENCH_INTS(...) (sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), ((int64_t[]){__VA_ARGS__})
ow_value *bench_weight(bench *b, int32_t rank, const int64_t *dims); /* random f32 in [-1, 1) */
/* Output 0 of a node; inputs end with NULL. A type may be "domain::Type". bench_last gives the node, for attributes. */
ow_value *bench_node(bench *b, const char *type, int32_t version, ...);
ow_node *bench_last(bench *b);
ow_value *bench_transpose(bench *b, ow_value *x, size_t count, const int64_t *perm);
ow_value *bench_reduce_mean(bench *b, ow_value *x, int64_t axis);
void bench_output(bench *b, ow_value *value);

/* Resolve, infer, evaluate with symbols d0, d1, ... = sizes[0], ..., and keep the result. */
void bench_ready(bench *b, const int64_t *sizes);
/* One pass by name, or NULL for all; validates after each. */
void bench_run(bench *b, const char *pass);
/* Evaluate again and compare with what bench_ready kept: |a-b| <= 1e-5 + 1e-4|b|, NaN only where NaN was. */
void bench_same(bench *b);
/* ready, run all, same */
void bench_all(bench *b, const int64_t *sizes);

size_t bench_count(const bench *b, const char *type);        /* nodes of this "Type" or "domain::Type" */
const ow_node *bench_find(const bench *b, const char *type); /* the first */
/* Input i of the evaluation, to be filled by the caller after bench_ready; call bench_again to evaluate the graph as it was. */
float *bench_floats(bench *b, size_t input);

#endif
