/* Arithmetic on two inputs with NumPy broadcasting. Integers wrap; Div truncates; dividing by zero is an error of the data. */
#include "ops/binary.h"

#include "ops/cpu/fast.h"

/* The quotient of the lowest value by -1 wraps; the machine's division would trap. */
#define MINUS_ONE(y) (OW_IS_SIGNED(y) && (y) == (__typeof__(y))-1)

static inline bool signs_differ(int64_t x, int64_t y) { return (x ^ y) < 0; }

OW_INT_OP(add, (uint64_t)x + (uint64_t)y)
OW_INT_OP(sub, (uint64_t)x - (uint64_t)y)
OW_INT_OP(mul, (uint64_t)x *(uint64_t)y)
OW_INT_OP(div, MINUS_ONE(y) ? 0 - (uint64_t)x : (uint64_t)(x / y))
OW_INT_OP(mod_c, MINUS_ONE(y) ? 0 : x % y)
OW_INT_OP(mod_floor, MINUS_ONE(y)                                                                  ? 0
                     : OW_IS_SIGNED(x) && x % y != 0 && signs_differ((int64_t)(x % y), (int64_t)y) ? x % y + y
                                                                                                   : x % y)
OW_INT_OP(prelu, x < 1 && x != 0 ? (uint64_t)x * (uint64_t)y : (uint64_t)x)
OW_INT_OP(bit_and, x &y)
OW_INT_OP(bit_or, x | y)
OW_INT_OP(bit_xor, x ^ y)
/* An amount that is negative or not below the width shifts everything out; to the right the sign stays. */
OW_INT_OP(shift_left, (uint64_t)y >= 8 * sizeof x ? 0 : (uint64_t)x << (uint64_t)y)
OW_INT_OP(shift_right, (uint64_t)y < 8 * sizeof x ? x >> y : x >> (8 * sizeof x - 1) >> 1)

static double d_add(double x, double y) { return x + y; }
static double d_sub(double x, double y) { return x - y; }
static double d_mul(double x, double y) { return x * y; }
static double d_div(double x, double y) { return x / y; }
static double d_prelu(double x, double y) { return x < 0 ? x * y : x; }
static double d_pow(double x, double y) { return pow(x, y); }
static double d_fmod(double x, double y) { return fmod(x, y); }
static double d_mod(double x, double y) { /* has the sign of y */
  const double r = fmod(x, y);
  return r < 0 || r > 0 ? (signbit(r) != signbit(y) ? r + y : r) : isnan(r) ? r : copysign(0.0, y);
}

/* ---- the loop ------------------------------------------------------------------------------------------------------------ */

typedef struct binary_job {
  ow_nd nd;
  const onward_tensor *a, *b, *out;
  ow_row_fn row;
  double (*f)(double, double);
} binary_job;

static void binary_rows(void *context, int64_t from, int64_t to) {
  const binary_job *const j = context;
  const ow_nd *const nd = &j->nd;
  const onward_dtype ta = j->a->dtype, tb = j->b->dtype, to_type = j->out->dtype;
  const int64_t sa = nd->strides[1][nd->rank - 1], sb = nd->strides[2][nd->rank - 1];
  ow_nd_at at;
  ow_nd_seek(nd, &at, from);
  for (int64_t r = from; r < to; r++, ow_nd_next(nd, &at)) {
    if (j->row) {
      j->row((const char *)j->a->data + at.offset[1] * (int64_t)ow_dtype_size(ta), sa,
             (const char *)j->b->data + at.offset[2] * (int64_t)ow_dtype_size(tb), sb,
             (char *)j->out->data + at.offset[0] * (int64_t)ow_dtype_size(to_type), nd->inner);
      continue;
    }
    for (int64_t i = 0; i < nd->inner; i++)
      ow_set_f64(
          to_type, j->out->data, at.offset[0] + i,
          j->f(ow_get_f64(ta, j->a->data, at.offset[1] + i * sa), ow_get_f64(tb, j->b->data, at.offset[2] + i * sb)));
  }
}

/* A lone dim is cut so that its parts can be shared out. */
static void cut_line(ow_nd *nd) {
  enum { PART = 4096 };
  if (nd->rank != 1 || nd->inner < 4 * PART || nd->inner % PART != 0)
    return;
  nd->rank = 2;
  nd->dims[0] = nd->rows = nd->inner / PART;
  nd->dims[1] = nd->inner = PART;
  for (int32_t k = 0; k < nd->operands; k++) {
    nd->strides[k][1] = nd->strides[k][0];
    nd->strides[k][0] *= PART;
  }
}

onward_status ow_run_binary(const ow_args *a, const ow_row_fn *rows, double (*f)(double, double)) {
  binary_job j = {.a = a->in[0], .b = a->in[1], .out = a->out[0], .f = f};
  if (rows && j.a->dtype == j.b->dtype)
    j.row = rows[j.a->dtype];
  ow_nd_broadcast(&j.nd, j.out, a->in, 2);
  if (j.nd.rows == 0 || j.nd.inner == 0)
    return ONWARD_OK;
  cut_line(&j.nd);
  ow_parallel_ranges(a->threads, j.nd.rows, 16384 / j.nd.inner, binary_rows, &j);
  return ONWARD_OK;
}

/* ---- inference ----------------------------------------------------------------------------------------------------------- */

/* Before opset 7, broadcasting was asked for: the forms that agree with NumPy's are taken. */
static onward_status check_old_broadcast(ow_infer *c) {
  if (c->node->version >= 7 || c->in_count != 2 || !ow_infer_ranked(c, 0) || !ow_infer_ranked(c, 1))
    return ONWARD_OK;
  const ow_shape *a = &c->in[0].shape, *b = &c->in[1].shape;
  const ow_attr *axis = ow_node_attr(c->node, "axis");
  const int64_t at = axis ? (axis->i < 0 ? axis->i + a->rank : axis->i) : a->rank - b->rank;
  if (b->rank > 0 && at != a->rank - b->rank)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "attribute 'axis' that does not align the last axes");
  return ONWARD_OK;
}

onward_status ow_infer_binary(ow_infer *c, uint32_t types, ow_elem_fn fn) {
  OW_TRY(check_old_broadcast(c));
  OW_TRY(ow_infer_elementwise(c, types));
  return fn ? ow_infer_map_elems(c, fn) : ONWARD_OK;
}

static bool both_const(const ow_dim *in) { return ow_dim_is_const(in[0]) && ow_dim_is_const(in[1]); }

static bool elem_add(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  *out = both_const(in) ? ow_dim_const((int64_t)((uint64_t)in[0].k + (uint64_t)in[1].k))
                        : ow_dim_add(c->dims, in[0], in[1]);
  return true;
}
static bool elem_sub(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  *out = both_const(in) ? ow_dim_const((int64_t)((uint64_t)in[0].k - (uint64_t)in[1].k))
                        : ow_dim_sub(c->dims, in[0], in[1]);
  return true;
}
static bool elem_mul(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  *out = both_const(in) ? ow_dim_const((int64_t)((uint64_t)in[0].k * (uint64_t)in[1].k))
                        : ow_dim_mul(c->dims, in[0], in[1]);
  return true;
}
/* Bits above 2^63 of an unsigned type do not read as int64: such elements are left to the kernel. */
static bool plain(const ow_infer *c, const ow_dim *in) {
  return c->in[0].dtype != ONWARD_UINT64 ||
         ((!ow_dim_is_const(in[0]) || in[0].k >= 0) && (!ow_dim_is_const(in[1]) || in[1].k >= 0));
}
static bool elem_div(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  if (!plain(c, in) || ow_dim_is(in[1], 0))
    return false;
  if (both_const(in))
    *out = ow_dim_const(in[1].k == -1 ? (int64_t)(0 - (uint64_t)in[0].k) : in[0].k / in[1].k);
  else
    *out = ow_dim_truncdiv(c->dims, in[0], in[1]);
  return true;
}
static bool elem_mod(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  if (!plain(c, in) || ow_dim_is(in[1], 0))
    return false;
  if (ow_node_int(c->node, "fmod", 0) != 0) {
    *out = ow_dim_const(both_const(in) && in[1].k != -1 ? in[0].k % in[1].k : 0);
    return both_const(in);
  }
  *out = ow_dim_is(in[1], -1) ? ow_dim_const(0) : ow_dim_mod(c->dims, in[0], in[1]);
  return true;
}
static bool elem_bits(const ow_dim *in) { return both_const(in); }
static bool elem_and(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  (void)c;
  *out = ow_dim_const(in[0].k & in[1].k);
  return elem_bits(in);
}
static bool elem_or(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  (void)c;
  *out = ow_dim_const(in[0].k | in[1].k);
  return elem_bits(in);
}
static bool elem_xor(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  (void)c;
  *out = ow_dim_const(in[0].k ^ in[1].k);
  return elem_bits(in);
}

static onward_status infer_add(ow_infer *c) { return ow_infer_binary(c, OW_TYPES_NUMERIC, elem_add); }
static onward_status infer_sub(ow_infer *c) { return ow_infer_binary(c, OW_TYPES_NUMERIC, elem_sub); }
static onward_status infer_mul(ow_infer *c) { return ow_infer_binary(c, OW_TYPES_NUMERIC, elem_mul); }
static onward_status infer_div(ow_infer *c) { return ow_infer_binary(c, OW_TYPES_NUMERIC, elem_div); }
static onward_status infer_bit_and(ow_infer *c) { return ow_infer_binary(c, OW_TYPES_INT, elem_and); }
static onward_status infer_bit_or(ow_infer *c) { return ow_infer_binary(c, OW_TYPES_INT, elem_or); }
static onward_status infer_bit_xor(ow_infer *c) { return ow_infer_binary(c, OW_TYPES_INT, elem_xor); }

static onward_status infer_mod(ow_infer *c) {
  OW_TRY(ow_infer_binary(c, OW_TYPES_NUMERIC, elem_mod));
  if (c->node->version < 28 && ow_is_float(c->in[0].dtype) && ow_node_int(c->node, "fmod", 0) == 0)
    return ow_infer_fail(c, ONWARD_MODEL, "elements of type %s need attribute 'fmod' to be 1",
                         onward_dtype_name(c->in[0].dtype));
  return ONWARD_OK;
}

/* The result has the type of the base; the exponent may be of another since opset 12. */
static onward_status infer_pow(ow_infer *c) {
  OW_TRY(check_old_broadcast(c));
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_NUMERIC));
  if (c->node->version < 12)
    OW_TRY(ow_infer_alike(c, 0, 1));
  return ow_infer_broadcast_all(c, c->in[0].dtype);
}

static onward_status infer_prelu(ow_infer *c) {
  OW_TRY(ow_infer_elementwise(c, OW_TYPES_NUMERIC));
  /* slope broadcasts to x, not the other way */
  const ow_shape *x = &c->in[0].shape, *slope = &c->in[1].shape;
  if (x->rank < 0 || slope->rank < 0)
    return ONWARD_OK;
  for (int32_t d = 0; d < slope->rank; d++) {
    const int32_t at = d + x->rank - slope->rank;
    const ow_dim extent = at < 0 ? ow_dim_const(1) : x->dims[at];
    if (ow_dim_is_const(slope->dims[d]) && !ow_dim_is(slope->dims[d], 1) && ow_dim_is_const(extent) &&
        !ow_dim_equal(extent, slope->dims[d]))
      return ow_infer_fail(c, ONWARD_MODEL, "the slope does not broadcast to the input");
    if (at < 0)
      return ow_infer_fail(c, ONWARD_MODEL, "the slope has more axes than the input");
  }
  return ow_infer_same(c, 0, 0);
}

/* Before opset 7 the slope is one number or one per channel, axis 1. */
static int32_t channel_axis(int32_t rank) { return rank > 1 ? 1 : 0; }

static onward_status infer_prelu_channel(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 1));
  OW_TRY(ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK));
  OW_TRY(ow_infer_rank(c, 1, 0, 1));
  const ow_shape *x = &c->in[0].shape, *slope = &c->in[1].shape;
  if (x->rank > 0 && slope->rank == 1 && !ow_dim_is(slope->dims[0], 1))
    OW_TRY(ow_infer_equal(c, slope->dims[0], x->dims[channel_axis(x->rank)], "slopes and channels"));
  return ow_infer_same(c, 0, 0);
}

static onward_status infer_shift(ow_infer *c) {
  const char *way = ow_node_string(c->node, "direction", "");
  if (strcmp(way, "LEFT") != 0 && strcmp(way, "RIGHT") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'direction': want LEFT or RIGHT, got '%s'", way);
  return ow_infer_binary(c, c->node->version < 28 ? OW_TYPES_UNSIGNED : OW_TYPES_INT, NULL);
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------- */

static onward_status check_divisor(const ow_args *a, onward_error *err) {
  const onward_tensor *b = a->in[1];
  if (!ow_is_int(b->dtype) || ow_count(a->out[0]) == 0)
    return ONWARD_OK;
  const int64_t n = ow_count(b);
  for (int64_t i = 0; i < n; i++) {
    if (ow_get_i64(b->dtype, b->data, i) != 0)
      continue;
    char at[ONWARD_MAX_RANK * 21 + 3];
    return ow_node_fail(a->node, err, ONWARD_DATA, "input 1 '%s': division by zero at %s", ow_input_name(a, 1),
                        ow_position_text(b, i, at, sizeof at));
  }
  return ONWARD_OK;
}

static onward_status run_div(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  OW_TRY(check_divisor(a, err));
  return ow_run_binary(a, div_rows, d_div);
}

static onward_status run_mod(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  OW_TRY(check_divisor(a, err));
  const bool c_sign = ow_node_int(a->node, "fmod", 0) != 0;
  return ow_run_binary(a, c_sign ? mod_c_rows : mod_floor_rows, c_sign ? d_fmod : d_mod);
}

/* By squaring, wrapping. A negative exponent gives the real power truncated: 0 unless the base is 1 or -1. */
static int64_t int_pow(int64_t base, int64_t exponent, bool exponent_unsigned) {
  if (exponent < 0 && !exponent_unsigned)
    return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
  uint64_t result = 1, square = (uint64_t)base;
  for (uint64_t e = (uint64_t)exponent; e; e >>= 1, square *= square)
    if (e & 1)
      result *= square;
  return (int64_t)result;
}

static onward_status run_pow(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *y = a->in[1], *out = a->out[0];
  if (!ow_is_int(x->dtype) || !ow_is_int(y->dtype))
    return ow_run_binary(a, NULL, d_pow);
  const bool y_unsigned = ow_dtype(y->dtype)->kind == OW_KIND_UNSIGNED;
  ow_nd nd;
  ow_nd_broadcast(&nd, out, a->in, 2);
  ow_nd_at at;
  ow_nd_seek(&nd, &at, 0);
  for (int64_t r = 0; r < nd.rows; r++, ow_nd_next(&nd, &at))
    for (int64_t i = 0; i < nd.inner; i++) {
      const int64_t base = ow_get_i64(x->dtype, x->data, at.offset[1] + i * nd.strides[1][nd.rank - 1]);
      const int64_t exponent = ow_get_i64(y->dtype, y->data, at.offset[2] + i * nd.strides[2][nd.rank - 1]);
      ow_set_i64(out->dtype, out->data, at.offset[0] + i, int_pow(base, exponent, y_unsigned));
    }
  return ONWARD_OK;
}

static onward_status run_shift(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const bool left = strcmp(ow_node_string(a->node, "direction", ""), "LEFT") == 0;
  return ow_run_binary(a, left ? shift_left_rows : shift_right_rows, NULL);
}

#define RUN(id, rows, f)                                                            \
  static onward_status run_##id(const ow_args *a, void *state, onward_error *err) { \
    (void)state, (void)err;                                                         \
    return ow_run_binary(a, rows, f);                                               \
  }
#define KERNEL(id)                                                                     \
  static const ow_kernel id##_reference = {.name = #id "_reference", .run = run_##id}; \
  static const ow_kernel *const id##_kernels[] = {OW_FAST_BINARY & id##_reference, NULL};

RUN(add, add_rows, d_add)
RUN(sub, sub_rows, d_sub)
RUN(mul, mul_rows, d_mul)
RUN(prelu, prelu_rows, d_prelu)
static onward_status run_prelu_channel(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  onward_tensor slope = *a->in[1]; /* its one dim moves to the channel's place */
  slope.rank = x->rank - channel_axis(x->rank);
  for (int32_t d = 0; d < slope.rank; d++)
    slope.dims[d] = d == 0 ? ow_count(a->in[1]) : 1;
  const onward_tensor *const in[] = {x, &slope};
  ow_args with = *a;
  with.in = in;
  return ow_run_binary(&with, prelu_rows, d_prelu);
}
RUN(bit_and, bit_and_rows, NULL)
RUN(bit_or, bit_or_rows, NULL)
RUN(bit_xor, bit_xor_rows, NULL)
KERNEL(add)
KERNEL(sub)
KERNEL(mul)
KERNEL(div)
KERNEL(mod)
KERNEL(pow)
KERNEL(prelu)
KERNEL(prelu_channel)
KERNEL(bit_and)
KERNEL(bit_or)
KERNEL(bit_xor)
KERNEL(shift)

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_inplace same_place[] = {{0, 0}, {0, 1}};
static const ow_inplace first_place[] = {{0, 0}};
static const ow_attr_spec consumed_attrs[] = {{"axis", OW_ATTR_INT, false},
                                              {"broadcast", OW_ATTR_INT, false},
                                              {"consumed_inputs", OW_ATTR_INTS, false},
                                              {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec fmod_attrs[] = {{"fmod", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec direction_attrs[] = {{"direction", OW_ATTR_STRING, true}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, spec, infer_fn, id, bits, places)                                                   \
  {                                                                                                           \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = 2, .max_inputs = 2, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .flags = bits, .infer = infer_fn, .inplace = places,                     \
    .inplace_count = sizeof places / sizeof places[0], .kernels = id##_kernels                                \
  }

const ow_op ow_ops_binary[] = {
    ROW("Add", 1, 6, consumed_attrs, infer_add, add, 0, same_place),
    ROW("Add", 7, 0, NULL, infer_add, add, OW_OP_COMMUTATIVE, same_place),
    ROW("Sub", 1, 6, consumed_attrs, infer_sub, sub, 0, same_place),
    ROW("Sub", 7, 0, NULL, infer_sub, sub, 0, same_place),
    ROW("Mul", 1, 6, consumed_attrs, infer_mul, mul, 0, same_place),
    ROW("Mul", 7, 0, NULL, infer_mul, mul, OW_OP_COMMUTATIVE, same_place),
    ROW("Div", 1, 6, consumed_attrs, infer_div, div, 0, same_place),
    ROW("Div", 7, 0, NULL, infer_div, div, 0, same_place),
    ROW("Pow", 1, 6, consumed_attrs, infer_pow, pow, 0, first_place),
    ROW("Pow", 7, 0, NULL, infer_pow, pow, 0, first_place),
    ROW("PRelu", 1, 6, consumed_attrs, infer_prelu_channel, prelu_channel, 0, first_place),
    ROW("PRelu", 7, 0, NULL, infer_prelu, prelu, 0, first_place),
    ROW("Mod", 10, 0, fmod_attrs, infer_mod, mod, 0, same_place),
    ROW("BitShift", 11, 0, direction_attrs, infer_shift, shift, 0, same_place),
    ROW("BitwiseAnd", 18, 0, NULL, infer_bit_and, bit_and, OW_OP_COMMUTATIVE, same_place),
    ROW("BitwiseOr", 18, 0, NULL, infer_bit_or, bit_or, OW_OP_COMMUTATIVE, same_place),
    ROW("BitwiseXor", 18, 0, NULL, infer_bit_xor, bit_xor, OW_OP_COMMUTATIVE, same_place),
    {.name = NULL},
};
