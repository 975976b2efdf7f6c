#include "proto/tensor_proto.h"

#include <assert.h>
#include <string.h>

#include "base/dtype.h"
#include "base/size.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw_data is little-endian and is used as it stands");

/* The one typed field that holds a type's elements. */
typedef enum typed_field {
  FIELD_NONE,
  FIELD_FLOAT,
  FIELD_INT32,
  FIELD_STRING,
  FIELD_INT64,
  FIELD_DOUBLE,
  FIELD_UINT64,
  FIELD_COUNT
} typed_field;

static const char *const field_names[FIELD_COUNT] = {"",           "float_data",  "int32_data", "string_data",
                                                     "int64_data", "double_data", "uint64_data"};

typedef struct view {
  onward_dtype dtype;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
  int64_t count;
  size_t bytes;
  typed_field field;  /* FIELD_NONE: raw */
  const uint8_t *raw; /* bytes of them */
  bool mapped, external;
} view;

onward_status ow_dtype_check(int32_t number, onward_dtype *dtype, onward_error *err) {
  static const char *const newer[] = {"FLOAT6E2M3", "FLOAT6E3M2"}; /* from 27 on */
  if (number > ONWARD_UNDEFINED && number <= ONWARD_INT2) {
    *dtype = (onward_dtype)number;
    return ONWARD_OK;
  }
  if (number > ONWARD_INT2 && number <= ONWARD_INT2 + 2)
    return ow_fail(err, ONWARD_UNSUPPORTED, "element type %s (%d) is not supported", newer[number - ONWARD_INT2 - 1],
                   number);
  return number == 0 ? ow_fail(err, ONWARD_MODEL, "has no element type")
                     : ow_fail(err, ONWARD_MODEL, "element type %d does not exist", number);
}

static typed_field field_of(onward_dtype dtype) {
  switch (dtype) {
    case ONWARD_FLOAT32:
    case ONWARD_COMPLEX64: return FIELD_FLOAT;
    case ONWARD_FLOAT64:
    case ONWARD_COMPLEX128: return FIELD_DOUBLE;
    case ONWARD_INT64: return FIELD_INT64;
    case ONWARD_UINT32:
    case ONWARD_UINT64: return FIELD_UINT64;
    case ONWARD_STRING: return FIELD_STRING;
    default: return FIELD_INT32;
  }
}

static void field_counts(const OwOnnx__TensorProto *t, size_t counts[FIELD_COUNT]) {
  counts[FIELD_NONE] = 0;
  counts[FIELD_FLOAT] = t->n_float_data;
  counts[FIELD_INT32] = t->n_int32_data;
  counts[FIELD_STRING] = t->n_string_data;
  counts[FIELD_INT64] = t->n_int64_data;
  counts[FIELD_DOUBLE] = t->n_double_data;
  counts[FIELD_UINT64] = t->n_uint64_data;
}

static onward_status read_dims(const int64_t *dims, size_t rank, onward_dtype dtype, uint64_t max_bytes, view *v,
                               onward_error *err) {
  if (rank > ONWARD_MAX_RANK)
    return ow_fail(err, ONWARD_UNSUPPORTED, "rank %zu is above %d", rank, ONWARD_MAX_RANK);
  for (size_t i = 0; i < rank; i++) {
    if (dims[i] < 0)
      return ow_fail(err, ONWARD_MODEL, "dimension %zu is %lld", i, (long long)dims[i]);
    v->dims[i] = dims[i];
  }
  v->dtype = dtype;
  v->rank = (int32_t)rank;
  if (!ow_tensor_size(dtype, v->rank, v->dims, &v->bytes) || !ow_dims_count(v->rank, v->dims, &v->count))
    return ow_fail(err, ONWARD_MODEL, "the product of its dimensions overflows");
  if (v->bytes > max_bytes)
    return ow_fail(err, ONWARD_LIMIT, "%zu bytes, above the limit tensor_bytes of %llu (--limit tensor_bytes=N)",
                   v->bytes, (unsigned long long)max_bytes);
  return ONWARD_OK;
}

/* Type, shape and where the elements are, all checked against each other. */
static onward_status examine(const ow_wire *wire, ow_source *source, bool mapped, uint64_t max_bytes,
                             const OwOnnx__TensorProto *t, view *v, onward_error *err) {
  onward_dtype dtype;
  *v = (view){.mapped = mapped};
  OW_TRY(ow_dtype_check(t->has_data_type ? t->data_type : 0, &dtype, err));
  OW_TRY(read_dims(t->dims, t->n_dims, dtype, max_bytes, v, err));
  if (t->segment)
    return ow_fail(err, ONWARD_UNSUPPORTED, "is stored in segments");
  const int32_t location = t->has_data_location ? t->data_location : 0;
  if (location != 0 && location != 1)
    return ow_fail(err, ONWARD_MODEL, "data_location %d does not exist", location);
  const ow_wire_tensor *place = &wire->tensors[t->place];
  const typed_field wanted = field_of(dtype);
  size_t counts[FIELD_COUNT];
  field_counts(t, counts);
  typed_field found = FIELD_NONE;
  for (int f = FIELD_NONE + 1; f < FIELD_COUNT; f++) {
    if (counts[f] == 0)
      continue;
    if (f != (int)wanted)
      return ow_fail(err, ONWARD_MODEL, "has %s, want %s for %s", field_names[f], field_names[wanted],
                     onward_dtype_name(dtype));
    found = (typed_field)f;
  }
  const bool has_raw = place->has_raw && (place->raw_size > 0 || (found == FIELD_NONE && dtype != ONWARD_STRING));
  if (location == 1) {
    if (found != FIELD_NONE || (has_raw && place->raw_size > 0))
      return ow_fail(err, ONWARD_MODEL, "has external data and %s as well", found ? field_names[found] : "raw_data");
    if (dtype == ONWARD_STRING)
      return ow_fail(err, ONWARD_MODEL, "strings cannot be external data");
    v->external = true;
    return ow_source_external(source, t, v->bytes, &v->raw, &v->mapped, err);
  }
  if (found != FIELD_NONE && has_raw)
    return ow_fail(err, ONWARD_MODEL, "has raw_data and %s as well", field_names[found]);
  if (dtype == ONWARD_STRING && has_raw)
    return ow_fail(err, ONWARD_MODEL, "strings cannot be in raw_data");
  if (has_raw) {
    if (place->raw_size != v->bytes)
      return ow_fail(err, ONWARD_MODEL, "raw_data has %zu bytes, want %zu", place->raw_size, v->bytes);
    v->raw = wire->bytes + place->raw_offset;
    return ONWARD_OK;
  }
  v->field = wanted;
  const bool is_complex = ow_dtype(dtype)->kind == OW_KIND_COMPLEX;
  /* int32_data of a type below a byte holds a byte of elements each. */
  const size_t want = ow_dtype(dtype)->bits < 8 ? v->bytes : (size_t)v->count * (is_complex ? 2 : 1);
  if (counts[wanted] != want)
    return ow_fail(err, ONWARD_MODEL, "%s has %zu elements, want %zu", field_names[wanted], counts[wanted], want);
  return ONWARD_OK;
}

/* ---- elements ---------------------------------------------------------------------------------------------------------------- */

static onward_status fill_int32(const view *v, const OwOnnx__TensorProto *t, uint8_t *out, onward_error *err) {
  int32_t low = INT32_MIN, high = INT32_MAX;
  const int bits = ow_dtype(v->dtype)->bits;
  switch (v->dtype) {
    case ONWARD_INT32:
    case ONWARD_BOOL: break;
    case ONWARD_INT8: low = INT8_MIN, high = INT8_MAX; break;
    case ONWARD_UINT8: low = 0, high = UINT8_MAX; break;
    case ONWARD_INT16: low = INT16_MIN, high = INT16_MAX; break;
    case ONWARD_UINT16: low = 0, high = UINT16_MAX; break;
    default: /* bit patterns, which some writers give as signed numbers */
      low = bits == 16 ? INT16_MIN : INT8_MIN;
      high = bits == 16 ? UINT16_MAX : UINT8_MAX;
      break;
  }
  for (size_t i = 0; i < t->n_int32_data; i++) {
    const int32_t value = t->int32_data[i];
    if (value < low || value > high)
      return ow_fail(err, ONWARD_MODEL, "int32_data[%zu] is %d, which no %s holds", i, value,
                     onward_dtype_name(v->dtype));
    if (v->dtype == ONWARD_INT32) {
      memcpy(out + 4 * i, &value, 4);
    } else if (bits == 16) {
      const uint16_t half = (uint16_t)value;
      memcpy(out + 2 * i, &half, 2);
    } else {
      out[i] = v->dtype == ONWARD_BOOL ? value != 0 : (uint8_t)value;
    }
  }
  return ONWARD_OK;
}

/* Everything but strings, into v->bytes bytes. */
static onward_status fill(const view *v, const OwOnnx__TensorProto *t, uint8_t *out, onward_error *err) {
  if (v->bytes == 0)
    return ONWARD_OK;
  switch (v->field) {
    case FIELD_NONE:
      memcpy(out, v->raw, v->bytes);
      for (size_t i = 0; v->dtype == ONWARD_BOOL && i < v->bytes; i++)
        out[i] = out[i] != 0;
      return ONWARD_OK;
    case FIELD_FLOAT: memcpy(out, t->float_data, v->bytes); return ONWARD_OK;
    case FIELD_DOUBLE: memcpy(out, t->double_data, v->bytes); return ONWARD_OK;
    case FIELD_INT64: memcpy(out, t->int64_data, v->bytes); return ONWARD_OK;
    case FIELD_INT32: return fill_int32(v, t, out, err);
    case FIELD_UINT64:
      for (size_t i = 0; i < t->n_uint64_data; i++) {
        const uint32_t low = (uint32_t)t->uint64_data[i];
        if (v->dtype == ONWARD_UINT64)
          memcpy(out + 8 * i, &t->uint64_data[i], 8);
        else if (low == t->uint64_data[i])
          memcpy(out + 4 * i, &low, 4);
        else
          return ow_fail(err, ONWARD_MODEL, "uint64_data[%zu] is %llu, which no uint32 holds", i,
                         (unsigned long long)t->uint64_data[i]);
      }
      return ONWARD_OK;
    case FIELD_STRING:
    case FIELD_COUNT: break;
  }
  return ow_fail(err, ONWARD_INTERNAL, "no way to read %s", onward_dtype_name(v->dtype));
}

/* A table of pointers and the text they point to need *bytes. */
static onward_status string_bytes(const view *v, const OwOnnx__TensorProto *t, size_t *bytes, onward_error *err) {
  size_t sum = v->bytes;
  for (size_t i = 0; i < t->n_string_data; i++) {
    const ProtobufCBinaryData *s = &t->string_data[i];
    if (s->len && memchr(s->data, 0, s->len))
      return ow_fail(err, ONWARD_MODEL, "string_data[%zu] holds a NUL byte", i);
    if (!ow_size_add(sum, s->len, &sum) || !ow_size_add(sum, 1, &sum))
      return ow_fail(err, ONWARD_LIMIT, "its strings do not fit the address space");
  }
  *bytes = sum;
  return ONWARD_OK;
}

static void fill_strings(const view *v, const OwOnnx__TensorProto *t, void *out) {
  const char **table = out;
  char *text = (char *)out + v->bytes;
  for (size_t i = 0; i < t->n_string_data; i++) {
    const ProtobufCBinaryData *s = &t->string_data[i];
    if (s->len)
      memcpy(text, s->data, s->len);
    text[s->len] = '\0';
    table[i] = text;
    text += s->len + 1;
  }
}

static onward_status name_tensor(const ow_wire *wire, const OwOnnx__TensorProto *t, onward_status status,
                                 onward_error *err) {
  if (status != ONWARD_OK)
    ow_error_prefix(err, "tensor '%.160s' (byte %zu)", t->name ? t->name : "", wire->tensors[t->place].offset);
  return status;
}

/* ---- constants ----------------------------------------------------------------------------------------------------------------- */

static onward_status count_bytes(ow_tensors *c, size_t bytes, onward_error *err) {
  if (bytes > c->limits.total_bytes || c->made_bytes > c->limits.total_bytes - bytes)
    return ow_fail(err, ONWARD_LIMIT, "constants take more than the limit total_bytes of %llu (--limit total_bytes=N)",
                   (unsigned long long)c->limits.total_bytes);
  c->made_bytes += bytes;
  return ONWARD_OK;
}

static onward_status make_data(ow_tensors *c, size_t bytes, void **data, onward_error *err) {
  OW_TRY(count_bytes(c, bytes, err));
  *data = ow_arena_aligned(c->weights, bytes);
  return *data ? ONWARD_OK : ow_fail(err, ONWARD_MEMORY, "no memory for its %zu bytes", bytes);
}

/* Whether raw bytes get a copy of their own. Many tensors may name one range of a file, so copies are bounded by the size of
 * the file: past that, they stay where they are. */
static bool wants_copy(const ow_tensors *c, const view *v) {
  if (v->dtype == ONWARD_BOOL)
    for (size_t i = 0; i < v->bytes; i++)
      if (v->raw[i] > 1)
        return true;
  return v->bytes <= OW_COPY_BYTES_MAX && c->copied_bytes <= c->wire->size + ((uint64_t)64 << 20);
}

static onward_status import_tensor(ow_tensors *c, const OwOnnx__TensorProto *t, const ow_const **out,
                                   onward_error *err) {
  view v;
  OW_TRY(examine(c->wire, c->source, c->mapped, c->limits.tensor_bytes, t, &v, err));
  ow_const *made = ow_arena_zero(c->weights, 1, sizeof *made);
  if (!made)
    return ow_fail(err, ONWARD_MEMORY, "no memory for a constant");
  made->dtype = v.dtype;
  made->rank = v.rank;
  memcpy(made->dims, v.dims, sizeof v.dims);
  made->bytes = v.bytes;
  void *data = NULL;
  if (v.field == FIELD_NONE && v.bytes > 0 && !wants_copy(c, &v)) {
    /* Ranges of other files can be one and the same, so the size of a file does not bound what is packed of it later. */
    if (v.external)
      OW_TRY(count_bytes(c, v.bytes, err));
    made->data = v.raw;
    made->mapped = v.mapped;
  } else if (v.field == FIELD_STRING) {
    size_t bytes;
    OW_TRY(string_bytes(&v, t, &bytes, err));
    OW_TRY(make_data(c, bytes, &data, err));
    fill_strings(&v, t, data);
    made->data = data;
  } else {
    OW_TRY(make_data(c, v.bytes, &data, err));
    OW_TRY(fill(&v, t, data, err));
    c->copied_bytes += v.field == FIELD_NONE ? v.bytes : 0;
    made->data = data;
  }
  *out = made;
  return ONWARD_OK;
}

onward_status ow_tensor_import(ow_tensors *c, const OwOnnx__TensorProto *t, const ow_const **out, onward_error *err) {
  if (!c->made[t->place])
    OW_TRY(name_tensor(c->wire, t, import_tensor(c, t, &c->made[t->place], err), err));
  *out = c->made[t->place];
  return ONWARD_OK;
}

/* ---- sparse tensors -------------------------------------------------------------------------------------------------------------- */

/* Position of element i in the dense tensor. */
static onward_status sparse_position(const view *v, const ow_const *indices, int64_t i, int64_t *position,
                                     onward_error *err) {
  const int64_t count = v->count;
  if (indices->rank == 1) {
    *position = ow_get_i64(ONWARD_INT64, indices->data, i);
    if (*position < 0 || *position >= count)
      return ow_fail(err, ONWARD_MODEL, "index %lld at [%lld] is outside [0,%lld)", (long long)*position, (long long)i,
                     (long long)count);
    return ONWARD_OK;
  }
  int64_t at = 0;
  for (int32_t d = 0; d < v->rank; d++) {
    const int64_t index = ow_get_i64(ONWARD_INT64, indices->data, i * v->rank + d);
    if (index < 0 || index >= v->dims[d])
      return ow_fail(err, ONWARD_MODEL, "index %lld at [%lld,%d] is outside [0,%lld)", (long long)index, (long long)i,
                     d, (long long)v->dims[d]);
    at = at * v->dims[d] + index;
  }
  *position = at;
  return ONWARD_OK;
}

static onward_status import_sparse(ow_tensors *c, const OwOnnx__SparseTensorProto *t, const ow_const **out,
                                   onward_error *err) {
  const ow_const *values = NULL, *indices = NULL;
  OW_TRY(ow_tensor_import(c, t->values, &values, err));
  OW_TRY(ow_tensor_import(c, t->indices, &indices, err));
  view v = {0};
  OW_TRY(read_dims(t->dims, t->n_dims, values->dtype, c->limits.tensor_bytes, &v, err));
  const size_t size = ow_dtype_size(values->dtype);
  if (size == 0 || values->dtype == ONWARD_STRING)
    return ow_fail(err, ONWARD_UNSUPPORTED, "sparse values of %s", onward_dtype_name(values->dtype));
  if (values->rank != 1)
    return ow_fail(err, ONWARD_MODEL, "sparse values have rank %d, want 1", values->rank);
  const int64_t count = values->dims[0];
  if (indices->dtype != ONWARD_INT64 || indices->rank < 1 || indices->rank > 2 || indices->dims[0] != count ||
      (indices->rank == 2 && indices->dims[1] != v.rank))
    return ow_fail(err, ONWARD_MODEL, "sparse indices must be int64 [%lld] or [%lld,%d]", (long long)count,
                   (long long)count, v.rank);
  /* A few bytes of file can name any number of zeros: together they are held to what one folded constant may take. */
  if (v.bytes > c->limits.fold_bytes || c->sparse_bytes > c->limits.fold_bytes - v.bytes)
    return ow_fail(
        err, ONWARD_LIMIT,
        "%zu bytes as a dense tensor, above the limit fold_bytes of %llu for all of them (--limit fold_bytes=N)",
        v.bytes, (unsigned long long)c->limits.fold_bytes);
  c->sparse_bytes += v.bytes;
  void *data = NULL;
  OW_TRY(make_data(c, v.bytes, &data, err));
  memset(data, 0, v.bytes);
  int64_t before = -1;
  for (int64_t i = 0; i < count; i++) {
    int64_t position = 0;
    OW_TRY(sparse_position(&v, indices, i, &position, err));
    if (position <= before)
      return ow_fail(err, ONWARD_MODEL, "sparse index at [%lld] is not above the one before it", (long long)i);
    memcpy((char *)data + (size_t)position * size, (const char *)values->data + (size_t)i * size, size);
    before = position;
  }
  ow_const *made = ow_arena_zero(c->weights, 1, sizeof *made);
  if (!made)
    return ow_fail(err, ONWARD_MEMORY, "no memory for a constant");
  *made = (ow_const){.dtype = v.dtype, .rank = v.rank, .data = data, .bytes = v.bytes};
  memcpy(made->dims, v.dims, sizeof v.dims);
  *out = made;
  return ONWARD_OK;
}

onward_status ow_sparse_import(ow_tensors *c, const OwOnnx__SparseTensorProto *t, const ow_const **out,
                               onward_error *err) {
  if (!t->values || !t->indices)
    return ow_fail(err, ONWARD_MODEL, "a sparse tensor has no %s", t->values ? "indices" : "values");
  const onward_status status = import_sparse(c, t, out, err);
  if (status != ONWARD_OK)
    ow_error_prefix(err, "sparse tensor '%.160s'", t->values->name ? t->values->name : "");
  return status;
}

/* ---- tensors on their own --------------------------------------------------------------------------------------------------------- */

onward_status ow_tensor_proto_measure(const ow_wire *wire, const OwOnnx__TensorProto *t, onward_tensor *tensor,
                                      size_t *bytes, onward_error *err) {
  view v;
  onward_status status = examine(wire, NULL, false, ow_limits_fill(NULL).tensor_bytes, t, &v, err);
  if (status == ONWARD_OK) {
    *bytes = v.bytes;
    *tensor = (onward_tensor){.dtype = v.dtype, .rank = v.rank, .bytes = v.bytes};
    memcpy(tensor->dims, v.dims, sizeof v.dims);
    if (v.field == FIELD_STRING)
      status = string_bytes(&v, t, bytes, err);
  }
  return name_tensor(wire, t, status, err);
}

onward_status ow_tensor_proto_fill(const ow_wire *wire, const OwOnnx__TensorProto *t, void *data, onward_error *err) {
  view v;
  onward_status status = examine(wire, NULL, false, ow_limits_fill(NULL).tensor_bytes, t, &v, err);
  if (status == ONWARD_OK && v.field == FIELD_STRING)
    fill_strings(&v, t, data);
  else if (status == ONWARD_OK)
    status = fill(&v, t, data, err);
  return name_tensor(wire, t, status, err);
}
