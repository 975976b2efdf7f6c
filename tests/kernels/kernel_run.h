/* One operator on made-up inputs: its reference kernel and, against it, every other kernel of its row. */
#ifndef TESTS_KERNELS_KERNEL_RUN_H
#define TESTS_KERNELS_KERNEL_RUN_H

#include "graph/op.h"

#define RUN_INPUTS 12
#define RUN_OUTPUTS 4

/* An operator and its inputs in words, separated by spaces.
 *   inputs      "f:2x3:n!"  type (f float32, b bool, i int32 of 0 and 1, l int64, u uint8, c int8, h float16, g bfloat16), dims ("s" for a scalar, 0 allowed), values, "!" for a constant
 *               "l:2:=1,-1" whole numbers as written                "-" left out
 *               values of f: n normal, s small (divided by the root of the largest dim),
 *               t thousandths, x with NaN, infinities, -0, denormals and
 *               huge numbers, y with NaN and infinities, z zero or the lowest float, h zero or -infinity, p positive,
 *               d all the lowest float, e all -infinity, g and k normal at the end of each
 *               line and -infinity or the lowest float before;   values of b: n random, o none, w all; of u and c: n random, o the lowest, w the highest
 *   attributes  "i:axis=1 f:epsilon=1e-5 s:activation=gelu I:axes=0,1" */
typedef struct run_case {
  const char *domain, *op;
  int32_t version;
  const char *attributes, *inputs;
  size_t outputs;
} run_case;

/* What is known about a kernel after all cases. */
typedef struct run_seen {
  const char *name;
  bool available; /* on this CPU */
  int64_t accepted, compared;
} run_seen;

typedef struct run_context {
  const ow_registry *registry;
  uint64_t seed;
  bool bench, verbose;
  int64_t cases, comparisons, failures;
  run_seen *seen; /* every kernel of the registry that is no reference */
  size_t seen_count;
} run_context;

/* Prints what differs. With bench set: times instead of comparing. */
void run_check(run_context *context, const run_case *c);
/* The same, the inputs written with printf. */
void run_checkf(run_context *context, const char *domain, const char *op, int32_t version, const char *attributes,
                const char *format, ...) __attribute__((format(printf, 6, 7)));

/* All cases; benchmark cases. */
void cases_all(run_context *context);
void cases_bench(run_context *context);

#endif
