/* Cast and CastLike between all numeric types, and BitCast. Integers wrap; floats to integers truncate, and saturate or, below a
 * byte, wrap; NaN gives 0; anything not zero is true; small floats round to nearest even, float8e8m0 as its attribute says. */
#include <inttypes.h>

#include "ops/cpu/fast.h"
#include "ops/op_help.h"
#include "ops/text_ops.h"

#define TYPES_CAST \
  (OW_TYPES_NUMERIC | OW_TYPES_FLOAT8 | OW_BIT(ONWARD_FLOAT8E8M0) | OW_BIT(ONWARD_BOOL) | OW_TYPES_BELOW_BYTE)

/* ---- inference ----------------------------------------------------------------------------------------------------------- */

static bool elem_cast(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  *out = in[0];
  if (c->in[0].dtype == ONWARD_UINT64 && ow_dim_is_const(in[0]) && in[0].k < 0)
    return ow_dtype(c->out[0].dtype)->bits == 64;
  if (c->out[0].dtype == ONWARD_BOOL && !ow_dim_is_const(in[0])) {
    *out = ow_dim_const(1);
    return ow_dim_proves_ge(c->dims, in[0], 1);
  }
  /* A shape's size is taken to fit 32 bits, but no less. */
  return ow_dim_is_const(in[0]) || ow_dtype(c->out[0].dtype)->bits >= 32;
}

/* What has a form as text. */
#define TYPES_TEXT (OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL) | OW_BIT(ONWARD_STRING))

static onward_status infer_to(ow_infer *c, onward_dtype to) {
  const char *mode = ow_node_string(c->node, "round_mode", "up");
  if (strcmp(mode, "up") != 0 && strcmp(mode, "down") != 0 && strcmp(mode, "nearest") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'round_mode': want up, down or nearest, got '%s'", mode);
  if (!ow_infer_has(c, 0) || c->in[0].kind != OW_VALUE_TENSOR)
    return ow_infer_fail(c, ONWARD_MODEL, "input 0: want a tensor");
  const onward_dtype from = c->in[0].dtype;
  const onward_dtype pair[2] = {from, to};
  for (int i = 0; i < 2; i++) {
    if (pair[i] == ONWARD_STRING && TYPES_TEXT & OW_BIT(pair[1 - i]))
      continue;
    if (ow_dtype(pair[i])->kind == OW_KIND_NONE)
      return ow_infer_fail(c, ONWARD_MODEL, "%d is no element type", (int)pair[i]);
    if (!(TYPES_CAST & OW_BIT(pair[i])))
      return ow_infer_fail(c, ONWARD_UNSUPPORTED, "a cast from %s to %s", onward_dtype_name(from),
                           onward_dtype_name(to));
  }
  OW_TRY(ow_infer_same_shape(c, 0, 0, to));
  const ow_dtype_kind kind = ow_dtype(to)->kind;
  if ((kind != OW_KIND_SIGNED && kind != OW_KIND_UNSIGNED && kind != OW_KIND_BOOL) || !ow_infer_ranked(c, 0))
    return ONWARD_OK;
  const size_t in_count = c->in_count;
  c->in_count = 1; /* the second input of CastLike is only a type */
  const onward_status status = ow_infer_map_elems(c, elem_cast);
  c->in_count = in_count;
  return status;
}

static onward_status infer_cast(ow_infer *c) {
  const int64_t to = ow_node_int(c->node, "to", 0);
  if (to <= 0 || to > ONWARD_INT2)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'to': %" PRId64 " is no element type", to);
  return infer_to(c, (onward_dtype)to);
}

/* The first version names the type as the format's text form does. */
static onward_status infer_cast_by_name(ow_infer *c) {
  static const struct {
    const char *name;
    onward_dtype dtype;
  } names[] = {{"FLOAT", ONWARD_FLOAT32},  {"UINT8", ONWARD_UINT8},   {"INT8", ONWARD_INT8},
               {"UINT16", ONWARD_UINT16},  {"INT16", ONWARD_INT16},   {"INT32", ONWARD_INT32},
               {"INT64", ONWARD_INT64},    {"BOOL", ONWARD_BOOL},     {"FLOAT16", ONWARD_FLOAT16},
               {"DOUBLE", ONWARD_FLOAT64}, {"UINT32", ONWARD_UINT32}, {"UINT64", ONWARD_UINT64},
               {"STRING", ONWARD_STRING}};
  const char *to = ow_node_string(c->node, "to", "");
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(names[i].name, to) == 0)
      return infer_to(c, names[i].dtype);
  return ow_infer_fail(c, ONWARD_MODEL, "attribute 'to': '%s' is no element type", to);
}

static onward_status infer_cast_like(ow_infer *c) { return infer_to(c, c->in[1].dtype); }

/* The bits stay, the type changes; the specification wants types of one width. */
static onward_status infer_bit_cast(ow_infer *c) {
  const int64_t to = ow_node_int(c->node, "to", 0);
  if (to <= 0 || to > ONWARD_INT2 || to == ONWARD_STRING)
    return ow_infer_fail(c, ONWARD_MODEL, "attribute 'to': %" PRId64 " is no element type that has bits", to);
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_VIEWABLE & ~OW_BIT(ONWARD_STRING)));
  const ow_dtype_info *const from = ow_dtype(c->in[0].dtype), *const target = ow_dtype((onward_dtype)to);
  if (from->bits != target->bits)
    return ow_infer_fail(c, ONWARD_MODEL, "%s and %s are of %d and %d bits", from->name, target->name, from->bits,
                         target->bits);
  return ow_infer_same_shape(c, 0, 0, (onward_dtype)to);
}

/* ---- kernel -------------------------------------------------------------------------------------------------------------- */

typedef enum rounding { ROUND_UP, ROUND_DOWN, ROUND_NEAREST } rounding;

typedef struct cast_job {
  const onward_tensor *in, *out;
  bool saturate;
  rounding round; /* to float8e8m0 */
} cast_job;

static rounding rounding_of(const ow_node *node) {
  const char *mode = ow_node_string(node, "round_mode", "up");
  return strcmp(mode, "down") == 0 ? ROUND_DOWN : strcmp(mode, "nearest") == 0 ? ROUND_NEAREST : ROUND_UP;
}

static inline int64_t i64_from_f32(float x) {
  return x >= 0x1p63f ? INT64_MAX : x < -0x1p63f ? INT64_MIN : x == x ? (int64_t)x : 0;
}
static inline int32_t i32_from_f32(float x) {
  return x >= 0x1p31f ? INT32_MAX : x < -0x1p31f ? INT32_MIN : x == x ? (int32_t)x : 0;
}

/* The conversions that exported models are full of. */
#define PAIR(from_type, From, to_type, To, expr) \
  if (from == from_type && to == to_type) {      \
    const From *const src = j->in->data;         \
    To *const dst = j->out->data;                \
    for (int64_t n = begin; n < end; n++) {      \
      const From x = src[n];                     \
      dst[n] = (To)(expr);                       \
    }                                            \
    return true;                                 \
  }

static bool cast_common(const cast_job *j, int64_t begin, int64_t end) {
  const onward_dtype from = j->in->dtype, to = j->out->dtype;
  PAIR(ONWARD_INT64, int64_t, ONWARD_INT32, int32_t, x)
  PAIR(ONWARD_INT64, int64_t, ONWARD_FLOAT32, float, x)
  PAIR(ONWARD_INT64, int64_t, ONWARD_FLOAT64, double, x)
  PAIR(ONWARD_INT64, int64_t, ONWARD_BOOL, uint8_t, x != 0)
  PAIR(ONWARD_INT32, int32_t, ONWARD_INT64, int64_t, x)
  PAIR(ONWARD_INT32, int32_t, ONWARD_FLOAT32, float, x)
  PAIR(ONWARD_INT32, int32_t, ONWARD_BOOL, uint8_t, x != 0)
  PAIR(ONWARD_BOOL, uint8_t, ONWARD_FLOAT32, float, x != 0)
  PAIR(ONWARD_BOOL, uint8_t, ONWARD_INT64, int64_t, x != 0)
  PAIR(ONWARD_BOOL, uint8_t, ONWARD_INT32, int32_t, x != 0)
  PAIR(ONWARD_UINT8, uint8_t, ONWARD_FLOAT32, float, x)
  PAIR(ONWARD_INT8, int8_t, ONWARD_FLOAT32, float, x)
  PAIR(ONWARD_UINT64, uint64_t, ONWARD_FLOAT32, float, x)
  PAIR(ONWARD_FLOAT32, float, ONWARD_FLOAT32, float, x)
  PAIR(ONWARD_FLOAT32, float, ONWARD_FLOAT64, double, x)
  PAIR(ONWARD_FLOAT32, float, ONWARD_INT64, int64_t, i64_from_f32(x))
  PAIR(ONWARD_FLOAT32, float, ONWARD_INT32, int32_t, i32_from_f32(x))
  PAIR(ONWARD_FLOAT32, float, ONWARD_BOOL, uint8_t, !(x <= 0 && x >= 0))
  PAIR(ONWARD_FLOAT32, float, ONWARD_FLOAT16, uint16_t, ow_f16_from_f32(x))
  PAIR(ONWARD_FLOAT32, float, ONWARD_BFLOAT16, uint16_t, ow_bf16_from_f32(x))
  PAIR(ONWARD_FLOAT64, double, ONWARD_FLOAT32, float, x)
  PAIR(ONWARD_FLOAT16, uint16_t, ONWARD_FLOAT32, float, ow_f32_from_f16(x))
  PAIR(ONWARD_BFLOAT16, uint16_t, ONWARD_FLOAT32, float, ow_f32_from_bf16(x))
  return false;
}

/* Without saturation, what is too large becomes infinity where the format has one and NaN elsewhere. */
static void set_unsaturated(onward_dtype to, void *data, int64_t i, double value) {
  const double size = fabs(value);
  bool over = false; /* halfway to the number after the largest, rounded to even */
  if (to == ONWARD_FLOAT8E4M3FN)
    over = size > 464;
  else if (to == ONWARD_FLOAT8E4M3FNUZ)
    over = size >= 248;
  else if (to == ONWARD_FLOAT8E5M2 || to == ONWARD_FLOAT8E5M2FNUZ)
    over = size >= 61440;
  else if (to == ONWARD_FLOAT8E8M0)
    over = size > 0x1p127 || !(value > 0);
  if (over && to == ONWARD_FLOAT8E5M2)
    ((uint8_t *)data)[i] = value < 0 ? 0xfc : 0x7c;
  else
    ow_set_f64(to, data, i, over ? copysign((double)NAN, value) : value);
}

/* The power of two that stands for value when it is not rounded up. */
static double power_of_two(rounding mode, double value) {
  if (mode == ROUND_UP || !isfinite(value) || value <= 0)
    return value;
  int exponent;
  const double m = 2.0 * frexp(value, &exponent); /* value = m * 2^(exponent - 1) with m in [1, 2) */
  return ldexp(mode == ROUND_NEAREST && m >= 1.5 ? 2.0 : 1.0, exponent - 1);
}

static void cast_range(void *context, int64_t begin, int64_t end) {
  const cast_job *const j = context;
  const onward_dtype from = j->in->dtype, to = j->out->dtype;
  if (cast_common(j, begin, end))
    return;
  const bool whole = ow_dtype(from)->kind != OW_KIND_FLOAT && ow_dtype(to)->kind != OW_KIND_FLOAT;
  for (int64_t n = begin; n < end; n++) {
    if (whole) {
      ow_set_i64(to, j->out->data, n, ow_get_i64(from, j->in->data, n));
      continue;
    }
    double value = ow_get_f64(from, j->in->data, n);
    if (to == ONWARD_FLOAT8E8M0)
      value = power_of_two(j->round, value);
    if (j->saturate)
      ow_set_f64(to, j->out->data, n, value);
    else
      set_unsaturated(to, j->out->data, n, value);
  }
}

/* The bytes stay as they are. */
static onward_status run_bit_cast(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  if (a->out[0]->data != a->in[0]->data && a->out[0]->bytes > 0)
    memmove(a->out[0]->data, a->in[0]->data, a->out[0]->bytes);
  return ONWARD_OK;
}

static onward_status run_cast(const ow_args *a, void *state, onward_error *err) {
  const onward_tensor *in = a->in[0], *out = a->out[0];
  if (in->dtype == out->dtype)
    return run_bit_cast(a, state, err);
  if (in->dtype == ONWARD_STRING || out->dtype == ONWARD_STRING)
    return ow_cast_text(a, err);
  cast_job j = {in, out, ow_node_int(a->node, "saturate", 1) != 0, rounding_of(a->node)};
  const bool below = ow_dtype(in->dtype)->bits < 8 || ow_dtype(out->dtype)->bits < 8;
  /* Bytes that hold several elements may not be split between threads, and an input may be of fewer bits than its output. */
  const int64_t grain = below && out->data == in->data ? ow_count(in) : 16384;
  if (ow_count(in) > 0)
    ow_parallel_ranges(a->threads, ow_count(in), grain, cast_range, &j);
  return ONWARD_OK;
}

static const ow_kernel bit_cast_reference = {
    .name = "bit_cast_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_bit_cast};
static const ow_kernel *const bit_cast_kernels[] = {&bit_cast_reference, NULL};
static const ow_kernel cast_reference = {.name = "cast_reference", .run = run_cast};
static const ow_kernel *const cast_kernels[] = {OW_FAST_CAST & cast_reference, NULL};
static const ow_inplace same_place[] = {{0, 0}};
static const ow_attr_spec to_name_attrs[] = {{"to", OW_ATTR_STRING, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec to_attrs[] = {{"to", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec to_saturate_attrs[] = {
    {"to", OW_ATTR_INT, true}, {"saturate", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec to_round_attrs[] = {{"to", OW_ATTR_INT, true},
                                              {"saturate", OW_ATTR_INT, false},
                                              {"round_mode", OW_ATTR_STRING, false},
                                              {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec saturate_attrs[] = {{"saturate", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec round_attrs[] = {
    {"saturate", OW_ATTR_INT, false}, {"round_mode", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, inputs, spec, infer_fn)                                                                    \
  {                                                                                                                  \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = inputs, .max_inputs = inputs,                \
    .min_outputs = 1, .max_outputs = 1, .attrs = spec, .infer = infer_fn, .inplace = same_place, .inplace_count = 1, \
    .kernels = cast_kernels                                                                                          \
  }

const ow_op ow_ops_cast[] = {
    ROW("Cast", 1, 5, 1, to_name_attrs, infer_cast_by_name),
    ROW("Cast", 6, 18, 1, to_attrs, infer_cast),
    ROW("Cast", 19, 23, 1, to_saturate_attrs, infer_cast),
    ROW("Cast", 24, 0, 1, to_round_attrs, infer_cast),
    ROW("CastLike", 15, 18, 2, NULL, infer_cast_like),
    ROW("CastLike", 19, 23, 2, saturate_attrs, infer_cast_like),
    ROW("CastLike", 24, 0, 2, round_attrs, infer_cast_like),
    {.domain = "",
     .name = "BitCast",
     .since = 26,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = to_attrs,
     .infer = infer_bit_cast,
     .inplace = same_place,
     .inplace_count = 1,
     .kernels = bit_cast_kernels},
    {.name = NULL},
};
