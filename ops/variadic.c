/* Min, Max, Sum and Mean of any number of inputs. NaN in any of them gives NaN. */
#include "ops/binary.h"
#include "ops/cpu/fast.h"

OW_INT_OP(min, y < x ? y : x)
OW_INT_OP(max, y > x ? y : x)

static double d_min(double x, double y) { return isnan(x) || x < y ? x : y; }
static double d_max(double x, double y) { return isnan(x) || x > y ? x : y; }
static double d_sum(double x, double y) { return x + y; }
static double d_mean(double x, double y) { return (x + y) / 2; }

typedef struct variadic_job {
  const ow_args *args;
  const ow_row_fn *rows;
  double (*f)(double, double);
  double scale;
} variadic_job;

static int64_t broadcast_offset(const onward_tensor *out, const onward_tensor *in, int64_t position) {
  int64_t offset = 0, step = 1;
  for (int32_t d = out->rank - 1, e = in->rank - 1; e >= 0; d--, e--) {
    if (in->dims[e] != 1)
      offset += position % out->dims[d] * step;
    position /= out->dims[d];
    step *= in->dims[e];
  }
  return offset;
}

static void variadic_range(void *context, int64_t from, int64_t to) {
  const variadic_job *const j = context;
  const ow_args *const a = j->args;
  const onward_tensor *const out = a->out[0];
  const onward_dtype dtype = out->dtype;
  const ow_row_fn row = j->rows ? j->rows[dtype] : NULL;
  const size_t size = ow_dtype_size(dtype);
  for (int64_t n = from; n < to; n++) {
    if (row) {
      union {
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
      } result = {.i64 = 0};
      for (size_t i = 0; i < a->in_count; i++) {
        const char *const element = (const char *)a->in[i]->data + broadcast_offset(out, a->in[i], n) * (int64_t)size;
        if (i == 0)
          memcpy(&result, element, size);
        else
          row(&result, 0, element, 0, &result, 1);
      }
      memcpy((char *)out->data + n * (int64_t)size, &result, size);
      continue;
    }
    double result = 0;
    for (size_t i = 0; i < a->in_count; i++) {
      const double x = ow_get_f64(dtype, a->in[i]->data, broadcast_offset(out, a->in[i], n));
      result = i == 0 ? x : j->f(result, x);
    }
    ow_set_f64(dtype, out->data, n, result * j->scale);
  }
}

static onward_status run_variadic(const ow_args *a, const ow_row_fn *rows, double (*f)(double, double), double scale) {
  variadic_job j = {a, rows, f, scale};
  ow_parallel_ranges(a->threads, ow_count(a->out[0]), 4096, variadic_range, &j);
  return ONWARD_OK;
}

static onward_status run_min(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return a->in_count == 2 ? ow_run_binary(a, min_rows, d_min) : run_variadic(a, min_rows, d_min, 1);
}
static onward_status run_max(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return a->in_count == 2 ? ow_run_binary(a, max_rows, d_max) : run_variadic(a, max_rows, d_max, 1);
}
static onward_status run_sum(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return a->in_count == 2 ? ow_run_binary(a, NULL, d_sum) : run_variadic(a, NULL, d_sum, 1);
}
static onward_status run_mean(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return a->in_count == 2 ? ow_run_binary(a, NULL, d_mean) : run_variadic(a, NULL, d_sum, 1 / (double)a->in_count);
}

static bool elem_min(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  *out = in[0];
  for (size_t i = 1; i < c->in_count; i++)
    *out = ow_dim_min(c->dims, *out, in[i]);
  return c->in[0].dtype != ONWARD_UINT64;
}
static bool elem_max(const ow_infer *c, const ow_dim *in, ow_dim *out) {
  *out = in[0];
  for (size_t i = 1; i < c->in_count; i++)
    *out = ow_dim_max(c->dims, *out, in[i]);
  return c->in[0].dtype != ONWARD_UINT64;
}

static onward_status infer_variadic(ow_infer *c, uint32_t types, ow_elem_fn fn) {
  for (size_t i = 0; i < c->in_count; i++)
    if (!ow_infer_has(c, i))
      return ow_infer_fail(c, ONWARD_MODEL, "input %zu is left out", i);
  OW_TRY(ow_infer_elementwise(c, types));
  return fn ? ow_infer_map_elems(c, fn) : ONWARD_OK;
}
static onward_status infer_min(ow_infer *c) { return infer_variadic(c, OW_TYPES_NUMERIC, elem_min); }
static onward_status infer_max(ow_infer *c) { return infer_variadic(c, OW_TYPES_NUMERIC, elem_max); }
static onward_status infer_sum(ow_infer *c) { return infer_variadic(c, OW_TYPES_FLOAT, NULL); }

static const ow_kernel min_reference = {.name = "min_reference", .run = run_min};
static const ow_kernel max_reference = {.name = "max_reference", .run = run_max};
static const ow_kernel sum_reference = {.name = "sum_reference", .run = run_sum};
static const ow_kernel mean_reference = {.name = "mean_reference", .run = run_mean};
static const ow_kernel *const min_kernels[] = {OW_FAST_BINARY & min_reference, NULL};
static const ow_kernel *const max_kernels[] = {OW_FAST_BINARY & max_reference, NULL};
static const ow_kernel *const sum_kernels[] = {OW_FAST_BINARY & sum_reference, NULL};
static const ow_kernel *const mean_kernels[] = {&mean_reference, NULL};

static const ow_inplace same_place[] = {{0, 0}, {0, 1}};
static const ow_attr_spec consumed_attrs[] = {{"consumed_inputs", OW_ATTR_INTS, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, to, spec, infer_fn, id)                                                                        \
  {                                                                                                                  \
    .domain = "", .name = op, .since = from, .until = to, .min_inputs = 1, .max_inputs = OW_ANY_COUNT,               \
    .min_outputs = 1, .max_outputs = 1, .attrs = spec, .infer = infer_fn, .inplace = same_place, .inplace_count = 2, \
    .kernels = id##_kernels                                                                                          \
  }
#define ROWS(op, infer_fn, id) ROW(op, 1, 5, consumed_attrs, infer_fn, id), ROW(op, 6, 0, NULL, infer_fn, id)

const ow_op ow_ops_variadic[] = {
    ROWS("Min", infer_min, min),
    ROWS("Max", infer_max, max),
    ROWS("Sum", infer_sum, sum),
    ROWS("Mean", infer_sum, mean),
    {.name = NULL},
};
