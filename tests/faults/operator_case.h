/* One operator on literal operands, as a row of a table, run through the public API: every operand once as an input of the run and
 * once as an initializer, with passes, without, and on the references. */
#ifndef OW_TESTS_OPERATOR_CASE_H
#define OW_TESTS_OPERATOR_CASE_H

#include <stddef.h>

/* Tensors are split by ';': DTYPE DIMS VALUES, as "f32 2x3 1 2 3 nan inf -inf", "i64 - 5" for a scalar, "-" for one left out. The
 * last value stands for all that follow it. Types: f64 f32 f16 bf16 i8 i16 i32 i64 u8 u16 u32 u64 bool str. */
typedef struct operator_row {
  const char *name;    /* "O1 Gather: index behind the end" */
  const char *status;  /* "OK", "DATA", or several: "DATA|MODEL" */
  const char *message; /* of an error: an extended regular expression that must match */
  const char *op;      /* "[DOMAIN::]TYPE[-OPSET]"; opset 17 unless said */
  const char *inputs;
  const char *attributes; /* as hostile_graph has them: "axis=1 mode=s:edge pads=l:1,2"; NULL: none */
  const char *outputs;    /* of OK: the values. NULL: only that it runs */
  size_t output_count;    /* 0: as many as there are in outputs, or 1 */
} operator_row;

/* Fails at the end, with all that did not hold. */
void operator_rows_run(const operator_row *rows, size_t count);

#endif
