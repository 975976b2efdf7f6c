/* What the rows' infer functions call. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/dtype.h"
#include "base/format.h"
#include "base/size.h"
#include "graph/op.h"

bool ow_infer_has(const ow_infer *c, size_t input) {
  return input < c->in_count && (c->in[input].dtype != ONWARD_UNDEFINED || c->in[input].kind != OW_VALUE_TENSOR);
}

onward_status ow_infer_fail(ow_infer *c, onward_status status, const char *format, ...) {
  char text[ONWARD_ERROR_MESSAGE_SIZE];
  va_list args;
  va_start(args, format);
  (void)ow_vformat(text, sizeof text, format, args);
  va_end(args);
  return c->node ? ow_node_fail(c->node, c->err, status, "%s", text) : ow_fail(c->err, status, "%s", text);
}

bool ow_refuse(ow_why *why, const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)ow_vformat(why->text, sizeof why->text, format, args);
  va_end(args);
  return false;
}

/* ---- text ------------------------------------------------------------------------------------------------------------- */

typedef struct bounded {
  char *at;
  size_t left; /* without the NUL */
} bounded;

static bool write_bounded(void *context, const char *text, size_t length) {
  bounded *const to = context;
  const size_t fits = length < to->left ? length : to->left;
  memcpy(to->at, text, fits);
  to->at += fits;
  to->left -= fits;
  *to->at = '\0';
  return fits == length;
}

static ow_out out_to(bounded *to) {
  *to->at = '\0';
  return (ow_out){.write = write_bounded, .context = to};
}

static const char *dim_text(const ow_dims *pool, ow_dim d, char *buffer, size_t size) {
  bounded to = {buffer, size - 1};
  ow_out out = out_to(&to);
  ow_dim_print(pool, d, &out);
  return buffer;
}

/* ---- outputs --------------------------------------------------------------------------------------------------------- */

onward_status ow_infer_set(ow_infer *c, size_t out, onward_dtype dtype, int32_t rank, const ow_dim *dims) {
  if (out >= c->out_count)
    return ONWARD_OK;
  if (rank < -1 || rank > ONWARD_MAX_RANK)
    return ow_infer_fail(c, ONWARD_LIMIT, "output %zu would have rank %d; at most %d is supported", out, rank,
                         ONWARD_MAX_RANK);
  ow_type *const type = &c->out[out];
  *type = (ow_type){.kind = OW_VALUE_TENSOR, .dtype = dtype};
  type->shape.rank = rank;
  for (int32_t i = 0; i < rank; i++) {
    if (ow_dim_is_const(dims[i]) && dims[i].k < 0)
      return ow_infer_fail(c, ONWARD_MODEL, "dim %d of output %zu would be %" PRId64, i, out, dims[i].k);
    type->shape.dims[i] = dims[i];
  }
  return ONWARD_OK;
}

onward_status ow_infer_same(ow_infer *c, size_t out, size_t in) {
  return ow_infer_same_shape(c, out, in, c->in[in].dtype);
}

onward_status ow_infer_same_shape(ow_infer *c, size_t out, size_t in, onward_dtype dtype) {
  const ow_shape *const shape = &c->in[in].shape;
  return ow_infer_set(c, out, dtype, shape->rank, shape->dims);
}

onward_status ow_infer_unknown(ow_infer *c, size_t out, onward_dtype dtype, int32_t rank, const ow_dim *dims) {
  c->pending = true;
  return ow_infer_set(c, out, dtype, rank, dims);
}

onward_status ow_infer_set_elems(ow_infer *c, size_t out, const ow_dim *elems, size_t count) {
  if (out >= c->out_count || count > OW_MAX_ELEMS)
    return ONWARD_OK;
  ow_type *const type = &c->out[out];
  const ow_dtype_kind kind = ow_dtype(type->dtype)->kind;
  if (kind != OW_KIND_SIGNED && kind != OW_KIND_UNSIGNED && kind != OW_KIND_BOOL)
    return ONWARD_OK;
  for (size_t i = 0; i < count; i++)
    if (ow_dim_is_unknown(elems[i]))
      return ONWARD_OK;
  ow_dim *const copy = ow_arena_alloc(c->arena, count * sizeof *copy);
  if (!copy)
    return ow_infer_fail(c, ONWARD_MEMORY, "no memory");
  if (count > 0)
    memcpy(copy, elems, count * sizeof *copy);
  type->elems = copy;
  type->elem_count = count;
  return ONWARD_OK;
}

/* ---- elements of inputs ---------------------------------------------------------------------------------------------- */

static const onward_tensor *data_of(const ow_infer *c, size_t input) {
  return c->data && input < c->in_count ? c->data[input] : NULL;
}

const ow_dim *ow_infer_elems(const ow_infer *c, size_t input, size_t *count) {
  *count = 0;
  if (!ow_infer_has(c, input))
    return NULL;
  if (c->in[input].elems) {
    *count = c->in[input].elem_count;
    return c->in[input].elems;
  }
  const onward_tensor *const data = data_of(c, input);
  int64_t n;
  size_t bytes;
  if (!data || !ow_dims_count(data->rank, data->dims, &n) ||
      !ow_tensor_size(data->dtype, data->rank, data->dims, &bytes) || bytes > data->bytes || (uint64_t)n > OW_MAX_ELEMS)
    return NULL;
  const ow_dim *const elems = ow_const_elems(c->arena, data->dtype, data->data, (size_t)n);
  *count = elems ? (size_t)n : 0;
  return elems;
}

static bool is_whole(onward_dtype dtype) {
  const ow_dtype_info *const info = ow_dtype(dtype);
  return info->bits >= 8 &&
         (info->kind == OW_KIND_SIGNED || info->kind == OW_KIND_UNSIGNED || info->kind == OW_KIND_BOOL);
}

/* Longer than what is followed symbolically: straight from the bytes. */
static int64_t ints_of_data(const onward_tensor *data, int64_t *values, size_t max) {
  int64_t count;
  size_t bytes;
  if (!is_whole(data->dtype) || !ow_dims_count(data->rank, data->dims, &count) ||
      !ow_tensor_size(data->dtype, data->rank, data->dims, &bytes) || bytes > data->bytes || (uint64_t)count > max)
    return -1;
  const size_t size = ow_dtype_size(data->dtype);
  for (int64_t i = 0; i < count; i++) {
    uint64_t aligned = 0;
    memcpy(&aligned, (const char *)data->data + (size_t)i * size, size);
    if (data->dtype == ONWARD_UINT64 && aligned > INT64_MAX)
      return -1;
    values[i] = ow_get_i64(data->dtype, &aligned, 0);
  }
  return count;
}

int64_t ow_infer_ints(const ow_infer *c, size_t input, int64_t *values, size_t max) {
  if (!ow_infer_has(c, input))
    return -1;
  const ow_type *const type = &c->in[input];
  if (!type->elems) {
    const onward_tensor *const data = data_of(c, input);
    return data ? ints_of_data(data, values, max) : -1;
  }
  if (type->elem_count > max)
    return -1;
  for (size_t i = 0; i < type->elem_count; i++) {
    if (!ow_dim_is_const(type->elems[i]))
      return -1;
    values[i] = type->elems[i].k;
  }
  return (int64_t)type->elem_count;
}

/* ---- relations between dims ------------------------------------------------------------------------------------------ */

/* Records a == b where the graph's symbols can decide it. false: nothing may be assumed. */
static bool assume_equal(ow_infer *c, ow_dim a, ow_dim b, const char *what, onward_status *status) {
  if (!c->guards || !c->guards->assume || !ow_dim_evaluable(c->dims, a) || !ow_dim_evaluable(c->dims, b))
    return false;
  char place[320], reason[400];
  (void)snprintf(reason, sizeof reason, "%s in %s", what,
                 c->node ? ow_node_describe(c->node, place, sizeof place) : "the graph");
  if (!ow_graph_add_guard(c->guards, a, b, reason))
    *status = ow_infer_fail(c, ONWARD_MEMORY, "no memory");
  return true;
}

static bool provably_differ(ow_infer *c, ow_dim a, ow_dim b) {
  if (ow_dim_is_const(a) && ow_dim_is_const(b))
    return a.k != b.k;
  const ow_dim difference = ow_dim_sub(c->dims, a, b);
  return ow_dim_proves_ge(c->dims, difference, 1) || ow_dim_proves_ge(c->dims, ow_dim_sub(c->dims, b, a), 1);
}

static onward_status broadcast_dim(ow_infer *c, const ow_shape *a, const ow_shape *b, ow_dim x, ow_dim y, ow_dim *out) {
  *out = ow_dim_equal(x, y) || ow_dim_is(y, 1) ? x : y;
  if (ow_dim_equal(x, y) || ow_dim_is(x, 1) || ow_dim_is(y, 1))
    return ONWARD_OK;
  if (ow_dim_is_const(x) && ow_dim_is_const(y)) {
    char left[128], right[128];
    return ow_infer_fail(c, ONWARD_MODEL, "shapes %s and %s do not broadcast",
                         ow_shape_text(c->dims, a, left, sizeof left), ow_shape_text(c->dims, b, right, sizeof right));
  }
  onward_status status = ONWARD_OK;
  if (ow_dim_is_const(x) || ow_dim_is_const(y))
    *out = ow_dim_is_const(x) ? x : y; /* the other must be 1 or the same */
  else if (!ow_dim_is_unknown(x) && !ow_dim_is_unknown(y) && assume_equal(c, x, y, "broadcast", &status))
    *out = x;
  else
    *out = ow_dim_broadcast(c->dims, x, y);
  return status;
}

onward_status ow_infer_broadcast(ow_infer *c, const ow_shape *a, const ow_shape *b, ow_shape *out) {
  ow_shape result = {.rank = -1};
  if (a->rank >= 0 && b->rank >= 0) {
    const ow_shape *const longer = a->rank >= b->rank ? a : b;
    result = *longer;
    for (int32_t i = 1; i <= a->rank && i <= b->rank; i++)
      OW_TRY(broadcast_dim(c, a, b, a->dims[a->rank - i], b->dims[b->rank - i], &result.dims[longer->rank - i]));
  }
  *out = result;
  return ONWARD_OK;
}

onward_status ow_infer_equal(ow_infer *c, ow_dim a, ow_dim b, const char *what) {
  if (ow_dim_is_unknown(a) || ow_dim_is_unknown(b) || ow_dim_equal(a, b))
    return ONWARD_OK;
  if (provably_differ(c, a, b)) {
    char left[96], right[96];
    return ow_infer_fail(c, ONWARD_MODEL, "%s: %s and %s do not agree", what, dim_text(c->dims, a, left, sizeof left),
                         dim_text(c->dims, b, right, sizeof right));
  }
  onward_status status = ONWARD_OK;
  (void)assume_equal(c, a, b, what, &status);
  return status;
}

onward_status ow_infer_axis(ow_infer *c, int64_t axis, int32_t rank, int32_t *out) {
  if (rank < 0)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "the rank of an input is not known before a run");
  if (rank == 0)
    return ow_infer_fail(c, ONWARD_MODEL, "axis %" PRId64 " of a scalar", axis);
  if (axis < -(int64_t)rank || axis >= rank)
    return ow_infer_fail(c, ONWARD_MODEL, "axis %" PRId64 " outside [%d,%d]", axis, -rank, rank - 1);
  *out = (int32_t)(axis < 0 ? axis + rank : axis);
  return ONWARD_OK;
}

/* ---- shapes ---------------------------------------------------------------------------------------------------------- */

const char *ow_shape_text(const ow_dims *pool, const ow_shape *shape, char *buffer, size_t size) {
  bounded to = {buffer, size - 1};
  ow_out out = out_to(&to);
  ow_out_text(&out, shape->rank < 0 ? "[...]" : "[");
  for (int32_t i = 0; i < shape->rank; i++) {
    ow_out_text(&out, i ? "," : "");
    ow_dim_print(pool, shape->dims[i], &out);
  }
  ow_out_text(&out, shape->rank < 0 ? "" : "]");
  return buffer;
}

ow_dim ow_shape_count(ow_dims *pool, const ow_shape *shape, int32_t from, int32_t to) {
  ow_dim count = ow_dim_const(1);
  for (int32_t i = from; i < to; i++)
    count = ow_dim_mul(pool, count, shape->dims[i]);
  return count;
}
