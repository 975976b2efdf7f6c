/* One operator on literal values: builds a graph of a single node, infers it with symbolic and with concrete dims, and runs every
 * kernel of its row that this machine has.
 *
 *     op_case t = op_begin("", "Softmax", 13);
 *     op_in(&t, ONWARD_FLOAT32, DIMS(1, 2), VALUES(0, 0));
 *     op_set_int(&t, "axis", -1);
 *     op_expect(&t, 0, ONWARD_FLOAT32, DIMS(1, 2), VALUES(0.5, 0.5));
 *     op_end(&t); */
#ifndef OW_TESTS_OPS_OP_CASE_H
#define OW_TESTS_OPS_OP_CASE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after these */
#include <cmocka.h>

#include "graph/op.h"

#define OP_SLOTS 10

#define DIMS(...) \
  (int32_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { __VA_ARGS__ }
#define SCALAR 0, NULL
#define VALUES(...) \
  (const double[]) { __VA_ARGS__ }
#define NO_VALUES NULL

typedef struct op_case {
  ow_registry *registry;
  ow_dims *dims;
  ow_arena *weights; /* not inside: the struct is copied */
  ow_graph *graph;
  ow_node *node; /* made at the first expectation */
  const char *domain, *type;
  int32_t version;
  ow_value *in[OP_SLOTS];
  ow_value *out[OP_SLOTS];
  size_t in_count, out_count;
  bool wanted[OP_SLOTS];
  ow_dim symbols[6]; /* a, b, ...; made when used */
  ow_attr attrs[24];
  size_t attr_count;
  double tolerance; /* relative, and absolute below 1 */
} op_case;

op_case op_begin(const char *domain, const char *type, int32_t version);
void op_end(op_case *t);

/* The next input. values are converted to the type. */
void op_in(op_case *t, onward_dtype dtype, int32_t rank, const int64_t *dims, const double *values);
void op_in_none(op_case *t); /* left out */
/* The next input is not constant; -1, -2, ... are the symbols a, b, ... rank -1: not known */
void op_in_symbolic(op_case *t, onward_dtype dtype, int32_t rank, const int64_t *dims);

void op_set_int(op_case *t, const char *name, int64_t value);
void op_set_float(op_case *t, const char *name, float value);
void op_set_string(op_case *t, const char *name, const char *value);
void op_set_ints(op_case *t, const char *name, int32_t count, const int64_t *values); /* DIMS(...) */
void op_set_floats(op_case *t, const char *name, int32_t count, const double *values);
void op_set_strings(op_case *t, const char *name, size_t count, const char *const *values); /* borrowed */

/* Output `out` of every kernel has these values; NaN equals NaN, infinities equal themselves. All outputs up to the last one that
 * is expected exist. Expect the last output first. */
void op_expect(op_case *t, size_t out, onward_dtype dtype, int32_t rank, const int64_t *dims, const double *values);
/* Resolving, inferring or running gives this error, and its message has text in it. */
void op_expect_error(op_case *t, onward_status status, const char *text);
/* Inference gives output `out` the shape "[a,2]". */
void op_expect_shape(op_case *t, size_t out, onward_dtype dtype, const char *shape);
/* Inference finds the elements of output 0: "a*b,2" */
void op_expect_elems(op_case *t, const char *elems);

#endif
