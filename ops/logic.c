/* Comparisons and boolean operators on two broadcast inputs; the result is bool. Any comparison with NaN is false. */
#include "ops/binary.h"
#include "ops/cpu/fast.h"

typedef const char *text; /* an element of type string */

#define COMPARE_ROW(op, T, expr)                                                                      \
  static void op##_##T(const void *pa, int64_t sa, const void *pb, int64_t sb, void *po, int64_t n) { \
    const T *const a = pa, *const b = pb;                                                             \
    uint8_t *const o = po;                                                                            \
    for (int64_t i = 0; i < n; i++) {                                                                 \
      const T x = a[i * sa], y = b[i * sb];                                                           \
      o[i] = (uint8_t)(expr);                                                                         \
    }                                                                                                 \
  }
/* clang-format off */
#define COMPARE(op, expr, ...)                                                                            \
  COMPARE_ROW(op, int8_t, expr) COMPARE_ROW(op, int16_t, expr) COMPARE_ROW(op, int32_t, expr)            \
  COMPARE_ROW(op, int64_t, expr) COMPARE_ROW(op, uint8_t, expr) COMPARE_ROW(op, uint16_t, expr)          \
  COMPARE_ROW(op, uint32_t, expr) COMPARE_ROW(op, uint64_t, expr) COMPARE_ROW(op, float, expr)           \
  COMPARE_ROW(op, double, expr)                                                                          \
  static double d_##op(double x, double y) { return (expr) ? 1 : 0; }                                    \
  static const ow_row_fn op##_rows[32] = {                                                               \
      [ONWARD_INT8] = op##_int8_t,     [ONWARD_INT16] = op##_int16_t,   [ONWARD_INT32] = op##_int32_t,   \
      [ONWARD_INT64] = op##_int64_t,   [ONWARD_UINT8] = op##_uint8_t,   [ONWARD_UINT16] = op##_uint16_t, \
      [ONWARD_UINT32] = op##_uint32_t, [ONWARD_UINT64] = op##_uint64_t, [ONWARD_FLOAT32] = op##_float,   \
      [ONWARD_FLOAT64] = op##_double,  [ONWARD_BOOL] = op##_uint8_t,   __VA_ARGS__};
/* clang-format on */

COMPARE_ROW(equal, text, strcmp(x ? x : "", y ? y : "") == 0)
COMPARE(equal, x == y, [ONWARD_STRING] = equal_text)
COMPARE(less, x < y, )
COMPARE(less_equal, x <= y, )
COMPARE(greater, x > y, )
COMPARE(greater_equal, x >= y, )

static void and_bool(const void *pa, int64_t sa, const void *pb, int64_t sb, void *po, int64_t n) {
  const uint8_t *const a = pa, *const b = pb;
  uint8_t *const o = po;
  for (int64_t i = 0; i < n; i++)
    o[i] = (a[i * sa] != 0) & (b[i * sb] != 0);
}
static void or_bool(const void *pa, int64_t sa, const void *pb, int64_t sb, void *po, int64_t n) {
  const uint8_t *const a = pa, *const b = pb;
  uint8_t *const o = po;
  for (int64_t i = 0; i < n; i++)
    o[i] = (a[i * sa] != 0) | (b[i * sb] != 0);
}
static void xor_bool(const void *pa, int64_t sa, const void *pb, int64_t sb, void *po, int64_t n) {
  const uint8_t *const a = pa, *const b = pb;
  uint8_t *const o = po;
  for (int64_t i = 0; i < n; i++)
    o[i] = (a[i * sa] != 0) ^ (b[i * sb] != 0);
}
static const ow_row_fn and_rows[32] = {[ONWARD_BOOL] = and_bool};
static const ow_row_fn or_rows[32] = {[ONWARD_BOOL] = or_bool};
static const ow_row_fn xor_rows[32] = {[ONWARD_BOOL] = xor_bool};

/* ---- inference: a comparison of elements is known when it can be proved -------------------------------------------------- */

/* a >= b + k for all values of the symbols */
static bool proves(const ow_infer *c, ow_dim a, ow_dim b, int64_t k) {
  return ow_dim_proves_ge(c->dims, ow_dim_sub(c->dims, a, b), k);
}

static bool known(const ow_infer *c, const ow_dim *in, bool yes, bool no, ow_dim *out) {
  *out = ow_dim_const(yes);
  if (c->in[0].dtype == ONWARD_UINT64 &&
      ((ow_dim_is_const(in[0]) && in[0].k < 0) || (ow_dim_is_const(in[1]) && in[1].k < 0)))
    return false;
  return yes != no;
}
static bool elem_equal(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  return known(c, in, ow_dim_equal(in[0], in[1]), proves(c, in[0], in[1], 1) || proves(c, in[1], in[0], 1), out);
}
static bool elem_less(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  return known(c, in, proves(c, in[1], in[0], 1), proves(c, in[0], in[1], 0), out);
}
static bool elem_less_equal(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  return known(c, in, proves(c, in[1], in[0], 0), proves(c, in[0], in[1], 1), out);
}
static bool elem_greater(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  return known(c, in, proves(c, in[0], in[1], 1), proves(c, in[1], in[0], 0), out);
}
static bool elem_greater_equal(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  return known(c, in, proves(c, in[0], in[1], 0), proves(c, in[1], in[0], 1), out);
}
static bool both_const(const ow_dim *in) { return ow_dim_is_const(in[0]) && ow_dim_is_const(in[1]); }
static bool elem_and(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  (void)c;
  *out = ow_dim_const(both_const(in) && in[0].k && in[1].k);
  return both_const(in) || ow_dim_is(in[0], 0) || ow_dim_is(in[1], 0);
}
static bool elem_or(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  (void)c;
  const bool yes = (ow_dim_is_const(in[0]) && in[0].k) || (ow_dim_is_const(in[1]) && in[1].k);
  *out = ow_dim_const(yes);
  return yes || both_const(in);
}
static bool elem_xor(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  (void)c;
  *out = ow_dim_const(!in[0].k != !in[1].k);
  return both_const(in);
}

static onward_status infer(ow_infer *c, uint32_t types, ow_elem_fn fn) {
  OW_TRY(ow_infer_binary(c, types, NULL));
  const ow_shape shape = c->out[0].shape;
  OW_TRY(ow_infer_set(c, 0, ONWARD_BOOL, shape.rank, shape.dims));
  return ow_infer_map_elems(c, fn);
}
#define INFER(id, types) \
  static onward_status infer_##id(ow_infer *c) { return infer(c, types, elem_##id); }
static onward_status infer_equal(ow_infer *c) {
  const uint32_t strings = c->node->version < 19 ? 0 : OW_BIT(ONWARD_STRING);
  return infer(c, OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL) | strings, elem_equal);
}
INFER(less, OW_TYPES_NUMERIC)
INFER(less_equal, OW_TYPES_NUMERIC)
INFER(greater, OW_TYPES_NUMERIC)
INFER(greater_equal, OW_TYPES_NUMERIC)
INFER(and, OW_BIT(ONWARD_BOOL))
INFER(or, OW_BIT(ONWARD_BOOL))
INFER(xor, OW_BIT(ONWARD_BOOL))

/* ---- kernels and rows ---------------------------------------------------------------------------------------------------- */

#define KERNEL(id, f)                                                                  \
  static onward_status run_##id(const ow_args *a, void *state, onward_error *err) {    \
    (void)state, (void)err;                                                            \
    return ow_run_binary(a, id##_rows, f);                                             \
  }                                                                                    \
  static const ow_kernel id##_reference = {.name = #id "_reference", .run = run_##id}; \
  static const ow_kernel *const id##_kernels[] = {OW_FAST_BINARY & id##_reference, NULL};
KERNEL(equal, d_equal)
KERNEL(less, d_less)
KERNEL(less_equal, d_less_equal)
KERNEL(greater, d_greater)
KERNEL(greater_equal, d_greater_equal)
KERNEL(and, NULL)
KERNEL(or, NULL)
KERNEL(xor, NULL)

static const ow_inplace same_place[] = {{0, 0}, {0, 1}};
static const ow_attr_spec broadcast_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"broadcast", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, spec, id, bits, places)                                                             \
  {                                                                                                           \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = 2, .max_inputs = 2, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .flags = bits, .infer = infer_##id, .inplace = same_place,               \
    .inplace_count = places, .kernels = id##_kernels                                                          \
  }

const ow_op ow_ops_logic[] = {
    ROW("And", 1, 6, broadcast_attrs, and, 0, 2),
    ROW("And", 7, 0, NULL, and, OW_OP_COMMUTATIVE, 2),
    ROW("Or", 1, 6, broadcast_attrs, or, 0, 2),
    ROW("Or", 7, 0, NULL, or, OW_OP_COMMUTATIVE, 2),
    ROW("Xor", 1, 6, broadcast_attrs, xor, 0, 2),
    ROW("Xor", 7, 0, NULL, xor, OW_OP_COMMUTATIVE, 2),
    ROW("Equal", 1, 6, broadcast_attrs, equal, 0, 0),
    ROW("Equal", 7, 0, NULL, equal, OW_OP_COMMUTATIVE, 0),
    ROW("Less", 1, 6, broadcast_attrs, less, 0, 0),
    ROW("Less", 7, 0, NULL, less, 0, 0),
    ROW("Greater", 1, 6, broadcast_attrs, greater, 0, 0),
    ROW("Greater", 7, 0, NULL, greater, 0, 0),
    ROW("LessOrEqual", 12, 0, NULL, less_equal, 0, 0),
    ROW("GreaterOrEqual", 12, 0, NULL, greater_equal, 0, 0),
    {.name = NULL},
};
