/* Cast and CastLike between all numeric types. Integers wrap; floats to integers truncate and saturate, NaN gives 0; anything not
 * zero is true; halves and 8-bit floats round to nearest even. */
#include <inttypes.h>

#include "ops/op_help.h"

#define TYPES_4BIT (OW_BIT(ONWARD_UINT4) | OW_BIT(ONWARD_INT4))
#define TYPES_CAST (OW_TYPES_NUMERIC | OW_TYPES_FLOAT8 | OW_BIT(ONWARD_BOOL) | TYPES_4BIT)

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

static onward_status infer_to(ow_infer *c, onward_dtype to) {
  if (!ow_infer_has(c, 0) || c->in[0].kind != OW_VALUE_TENSOR)
    return ow_infer_fail(c, ONWARD_MODEL, "input 0: want a tensor");
  const onward_dtype from = c->in[0].dtype;
  const onward_dtype pair[2] = {from, to};
  for (int i = 0; i < 2; i++) {
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
  if (to <= 0 || to > ONWARD_FLOAT4E2M1)
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
               {"DOUBLE", ONWARD_FLOAT64}, {"UINT32", ONWARD_UINT32}, {"UINT64", ONWARD_UINT64}};
  const char *to = ow_node_string(c->node, "to", "");
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(names[i].name, to) == 0)
      return infer_to(c, names[i].dtype);
  return ow_infer_fail(c, ONWARD_MODEL, "attribute 'to': '%s' is no numeric element type", to);
}

static onward_status infer_cast_like(ow_infer *c) { return infer_to(c, c->in[1].dtype); }

/* ---- kernel -------------------------------------------------------------------------------------------------------------- */

typedef struct cast_job {
  const onward_tensor *in, *out;
  bool saturate;
} cast_job;

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

/* Two to a byte, the first in the low half. */
static int64_t get_4bit(onward_dtype dtype, const void *data, int64_t i) {
  const int value = ((const uint8_t *)data)[i / 2] >> (i % 2 ? 4 : 0) & 15;
  return dtype == ONWARD_INT4 && value > 7 ? value - 16 : value;
}
static void set_4bit(void *data, int64_t i, int64_t value) {
  uint8_t *const byte = (uint8_t *)data + i / 2;
  const uint8_t half = (uint8_t)(value & 15);
  *byte = (uint8_t)(i % 2 ? (*byte & 15) | half << 4 : half);
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
  if (over && to == ONWARD_FLOAT8E5M2)
    ((uint8_t *)data)[i] = value < 0 ? 0xfc : 0x7c;
  else
    ow_set_f64(to, data, i, over ? (double)NAN : value);
}

static void cast_range(void *context, int64_t begin, int64_t end) {
  const cast_job *const j = context;
  const onward_dtype from = j->in->dtype, to = j->out->dtype;
  if (cast_common(j, begin, end))
    return;
  const bool from_4bit = (TYPES_4BIT & OW_BIT(from)) != 0, to_4bit = (TYPES_4BIT & OW_BIT(to)) != 0;
  const bool from_int = from_4bit || ow_is_int(from) || from == ONWARD_BOOL;
  const bool to_int = to_4bit || ow_is_int(to) || to == ONWARD_BOOL;
  for (int64_t n = begin; n < end; n++) {
    if (from_int && to_int) {
      const int64_t value = from_4bit ? get_4bit(from, j->in->data, n) : ow_get_i64(from, j->in->data, n);
      if (to_4bit)
        set_4bit(j->out->data, n, value);
      else
        ow_set_i64(to, j->out->data, n, value);
      continue;
    }
    const double value = from_4bit ? (double)get_4bit(from, j->in->data, n) : ow_get_f64(from, j->in->data, n);
    if (to_4bit) {
      const double low = to == ONWARD_INT4 ? -8 : 0, high = to == ONWARD_INT4 ? 7 : 15;
      const double near = rint(value);
      set_4bit(j->out->data, n, isnan(near) ? 0 : (int64_t)(near < low ? low : near > high ? high : near));
    } else if (j->saturate) {
      ow_set_f64(to, j->out->data, n, value);
    } else {
      set_unsaturated(to, j->out->data, n, value);
    }
  }
}

static onward_status run_cast(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *in = a->in[0], *out = a->out[0];
  /* The two 4-bit types differ only in how they are read. */
  if (in->dtype == out->dtype || ((TYPES_4BIT & OW_BIT(in->dtype)) && (TYPES_4BIT & OW_BIT(out->dtype)))) {
    if (out->data != in->data && out->bytes > 0)
      memmove(out->data, in->data, out->bytes);
    return ONWARD_OK;
  }
  cast_job j = {in, out, ow_node_int(a->node, "saturate", 1) != 0};
  ow_parallel_ranges(a->threads, ow_count(in), 16384, cast_range, &j); /* an even grain: threads never share a byte */
  return ONWARD_OK;
}

static const ow_kernel cast_reference = {.name = "cast_reference", .run = run_cast};
static const ow_kernel *const cast_kernels[] = {&cast_reference, NULL};
static const ow_inplace same_place[] = {{0, 0}};
static const ow_attr_spec to_name_attrs[] = {{"to", OW_ATTR_STRING, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec to_attrs[] = {{"to", OW_ATTR_INT, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec to_saturate_attrs[] = {
    {"to", OW_ATTR_INT, true}, {"saturate", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec saturate_attrs[] = {{"saturate", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, inputs, spec, infer_fn)                                                                    \
  {                                                                                                                  \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = inputs, .max_inputs = inputs,                \
    .min_outputs = 1, .max_outputs = 1, .attrs = spec, .infer = infer_fn, .inplace = same_place, .inplace_count = 1, \
    .kernels = cast_kernels                                                                                          \
  }

const ow_op ow_ops_cast[] = {
    ROW("Cast", 1, 5, 1, to_name_attrs, infer_cast_by_name),    ROW("Cast", 6, 18, 1, to_attrs, infer_cast),
    ROW("Cast", 19, 0, 1, to_saturate_attrs, infer_cast),       ROW("CastLike", 15, 18, 2, NULL, infer_cast_like),
    ROW("CastLike", 19, 0, 2, saturate_attrs, infer_cast_like), {.name = NULL},
};
