/* Element-wise operations on two broadcast inputs. */
#ifndef OW_OPS_BINARY_H
#define OW_OPS_BINARY_H

#include "ops/op_help.h"

/* out[i] = a[i * sa] op b[i * sb] for i in [0, n); out may be a or b */
typedef void (*ow_row_fn)(const void *a, int64_t sa, const void *b, int64_t sb, void *out, int64_t n);

/* rows[dtype] where both inputs have that type and there is one; otherwise f, in double. Either may be NULL when not needed. */
onward_status ow_run_binary(const ow_args *a, const ow_row_fn *rows, double (*f)(double, double));

/* One type out of types, broadcast; fn, which may be NULL, follows elements. */
onward_status ow_infer_binary(ow_infer *c, uint32_t types, ow_elem_fn fn);

/* OW_INT_OP(add, expr of x and y) defines add_rows, for every integer type T; the result is cast to T. */
#define OW_INT_ROW(op, T, expr)                                                                       \
  static void op##_##T(const void *pa, int64_t sa, const void *pb, int64_t sb, void *po, int64_t n) { \
    const T *const a = pa, *const b = pb;                                                             \
    T *const o = po;                                                                                  \
    for (int64_t i = 0; i < n; i++) {                                                                 \
      const T x = a[i * sa], y = b[i * sb];                                                           \
      o[i] = (T)(expr);                                                                               \
    }                                                                                                 \
  }
/* clang-format off */
#define OW_INT_OP(op, expr)                                                                             \
  OW_INT_ROW(op, int8_t, expr) OW_INT_ROW(op, int16_t, expr) OW_INT_ROW(op, int32_t, expr)              \
  OW_INT_ROW(op, int64_t, expr) OW_INT_ROW(op, uint8_t, expr) OW_INT_ROW(op, uint16_t, expr)            \
  OW_INT_ROW(op, uint32_t, expr) OW_INT_ROW(op, uint64_t, expr)                                         \
  static const ow_row_fn op##_rows[32] = {                                                              \
      [ONWARD_INT8] = op##_int8_t,     [ONWARD_INT16] = op##_int16_t,  [ONWARD_INT32] = op##_int32_t,   \
      [ONWARD_INT64] = op##_int64_t,   [ONWARD_UINT8] = op##_uint8_t,  [ONWARD_UINT16] = op##_uint16_t, \
      [ONWARD_UINT32] = op##_uint32_t, [ONWARD_UINT64] = op##_uint64_t};
/* clang-format on */
#define OW_IS_SIGNED(x) ((__typeof__(x))-1 < (__typeof__(x))1)

#endif
