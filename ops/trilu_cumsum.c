/* Trilu, CumSum and CumProd: what a place holds depends on where it lies along an axis. */
#include <inttypes.h>

#include "ops/op_help.h"

/* ---- Trilu --------------------------------------------------------------------------------------------------------------- */

static onward_status one_integer(ow_infer *c, size_t input, uint32_t types, const char *what) {
  OW_TRY(ow_infer_types(c, input, types));
  OW_TRY(ow_infer_rank(c, input, 0, 1));
  if (ow_infer_has(c, input) && c->in[input].shape.rank == 1)
    OW_TRY(ow_infer_equal(c, c->in[input].shape.dims[0], ow_dim_const(1), what));
  return ONWARD_OK;
}

static onward_status infer_trilu(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  OW_TRY(one_integer(c, 1, OW_BIT(ONWARD_INT64), "elements of 'k'"));
  return ow_infer_same(c, 0, 0);
}

typedef struct trilu_job {
  const onward_tensor *in, *out;
  bool upper;
  int64_t k;
} trilu_job;

static void trilu_rows(void *context, int64_t from, int64_t to) {
  const trilu_job *const j = context;
  const int64_t rows = j->out->dims[j->out->rank - 2], columns = j->out->dims[j->out->rank - 1];
  const int64_t size = (int64_t)ow_dtype_size(j->out->dtype);
  for (int64_t n = from; n < to; n++) {
    /* [0, edge) lies left of the diagonal for upper, up to and with it for lower; k may be any number. */
    const int64_t row = n % rows, shift = row + (j->upper ? 0 : 1);
    const int64_t edge = j->k <= -shift ? 0 : j->k >= columns - shift ? columns : shift + j->k;
    char *const target = (char *)j->out->data + n * columns * size;
    const char *const origin = (const char *)j->in->data + n * columns * size;
    const int64_t keep_from = j->upper ? edge : 0, keep_to = j->upper ? columns : edge;
    if (keep_to > keep_from && target != origin)
      memcpy(target + keep_from * size, origin + keep_from * size, (size_t)((keep_to - keep_from) * size));
    memset(target, 0, (size_t)(keep_from * size));
    memset(target + keep_to * size, 0, (size_t)((columns - keep_to) * size));
  }
}

static onward_status run_trilu(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  trilu_job j = {a->in[0], a->out[0], ow_node_int(a->node, "upper", 1) != 0, 0};
  if (a->in_count > 1 && a->in[1] && ow_count(a->in[1]) == 1)
    j.k = ow_index_at(a->in[1], 0);
  const int64_t columns = j.out->dims[j.out->rank - 1];
  if (ow_count(j.out) > 0)
    ow_parallel_ranges(a->threads, ow_count(j.out) / columns, 32768 / columns, trilu_rows, &j);
  return ONWARD_OK;
}

/* ---- CumSum, CumProd ----------------------------------------------------------------------------------------------------- */

#define TYPES_CUMSUM \
  (OW_TYPES_FLOAT | OW_BIT(ONWARD_INT32) | OW_BIT(ONWARD_INT64) | OW_BIT(ONWARD_UINT32) | OW_BIT(ONWARD_UINT64))

static onward_status infer_cumsum(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, TYPES_CUMSUM));
  OW_TRY(ow_infer_rank(c, 0, 1, ONWARD_MAX_RANK));
  OW_TRY(one_integer(c, 1, OW_TYPES_INDEX, "elements of 'axis'"));
  int64_t axis;
  int32_t checked;
  if (ow_infer_ranked(c, 0) && ow_infer_ints(c, 1, &axis, 1) == 1)
    OW_TRY(ow_infer_axis(c, axis, c->in[0].shape.rank, &checked));
  return ow_infer_same(c, 0, 0);
}

typedef struct cumsum_job {
  const onward_tensor *in, *out;
  int64_t extent, inner;
  bool exclusive, reverse, product;
} cumsum_job;

static void cumsum_lines(void *context, int64_t from, int64_t to) {
  const cumsum_job *const j = context;
  const onward_dtype dtype = j->in->dtype;
  const bool is_float = ow_is_float(dtype);
  for (int64_t line = from; line < to; line++) {
    const int64_t start = line / j->inner * j->extent * j->inner + line % j->inner;
    double sum = j->product ? 1 : 0;
    uint64_t total = j->product ? 1 : 0;
    for (int64_t i = 0; i < j->extent; i++) {
      const int64_t at = start + (j->reverse ? j->extent - 1 - i : i) * j->inner;
      if (is_float) {
        const double x = ow_get_f64(dtype, j->in->data, at);
        const double next = j->product ? sum * x : sum + x;
        ow_set_f64(dtype, j->out->data, at, j->exclusive ? sum : next);
        sum = next;
      } else {
        const uint64_t x = (uint64_t)ow_get_i64(dtype, j->in->data, at);
        const uint64_t next = j->product ? total * x : total + x;
        ow_set_i64(dtype, j->out->data, at, (int64_t)(j->exclusive ? total : next));
        total = next;
      }
    }
  }
}

static onward_status run_cumulative(const ow_args *a, bool product, onward_error *err) {
  const onward_tensor *in = a->in[0];
  const int64_t given = ow_count(a->in[1]) == 1 ? ow_index_at(a->in[1], 0) : INT64_MIN;
  if (given < -in->rank || given >= in->rank)
    return ow_node_fail(a->node, err, ONWARD_DATA, "input 1 '%s': axis %" PRId64 " outside [%d,%d]",
                        ow_input_name(a, 1), given, -(int)in->rank, (int)in->rank - 1);
  const int32_t axis = ow_axis(given, in->rank);
  cumsum_job j = {.in = in,
                  .out = a->out[0],
                  .extent = in->dims[axis],
                  .inner = ow_dims_product(in->dims, axis + 1, in->rank),
                  .exclusive = ow_node_int(a->node, "exclusive", 0) != 0,
                  .reverse = ow_node_int(a->node, "reverse", 0) != 0,
                  .product = product};
  if (ow_count(in) > 0)
    ow_parallel_ranges(a->threads, ow_count(in) / j.extent, 8192 / j.extent, cumsum_lines, &j);
  return ONWARD_OK;
}

static onward_status run_cumsum(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  return run_cumulative(a, false, err);
}
static onward_status run_cumprod(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  return run_cumulative(a, true, err);
}

static const ow_kernel trilu_reference = {.name = "trilu_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_trilu};
static const ow_kernel cumsum_reference = {.name = "cumsum_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_cumsum};
static const ow_kernel cumprod_reference = {
    .name = "cumprod_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_cumprod};
static const ow_kernel *const cumprod_kernels[] = {&cumprod_reference, NULL};
static const ow_kernel *const trilu_kernels[] = {&trilu_reference, NULL};
static const ow_kernel *const cumsum_kernels[] = {&cumsum_reference, NULL};
static const ow_inplace same_place[] = {{0, 0}};
static const ow_attr_spec upper_attrs[] = {{"upper", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec cumsum_attrs[] = {
    {"exclusive", OW_ATTR_INT, false}, {"reverse", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define ROW(op, from, low, spec, infer_fn, list)                                                                     \
  {                                                                                                                  \
    .domain = "", .name = op, .since = from, .min_inputs = low, .max_inputs = 2, .min_outputs = 1, .max_outputs = 1, \
    .attrs = spec, .infer = infer_fn, .inplace = same_place, .inplace_count = 1, .kernels = list                     \
  }

const ow_op ow_ops_trilu_cumsum[] = {
    ROW("Trilu", 14, 1, upper_attrs, infer_trilu, trilu_kernels),
    {.domain = "com.microsoft",
     .name = "Trilu",
     .since = 1,
     .min_inputs = 1,
     .max_inputs = 2,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = upper_attrs,
     .infer = infer_trilu,
     .inplace = same_place,
     .inplace_count = 1,
     .kernels = trilu_kernels},
    ROW("CumSum", 11, 2, cumsum_attrs, infer_cumsum, cumsum_kernels),
    ROW("CumProd", 26, 2, cumsum_attrs, infer_cumsum, cumprod_kernels),
    {.name = NULL},
};
