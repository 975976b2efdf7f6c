/* Softmax, LogSoftmax, Hardmax. Before opset 13 they see the input as a matrix [dims before axis, dims from axis on]. */
#include "ops/cpu/fast.h"
#include "ops/reference.h"

#define SOFTMAX_FLAT_UNTIL 12

static onward_status softmax_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  if (ow_infer_ranked(c, 0)) {
    int32_t axis;
    OW_TRY(ow_infer_axis(c, ow_node_int(c->node, "axis", c->node->version > SOFTMAX_FLAT_UNTIL ? -1 : 1),
                         c->in[0].shape.rank, &axis));
  }
  return ow_infer_same(c, 0, 0);
}

/* x seen as [outer, length, inner] */
typedef struct softmax_view {
  int64_t outer, length, inner;
} softmax_view;

static softmax_view softmax_view_of(const ow_args *a) {
  const onward_tensor *x = a->in[0];
  const bool flat = a->node->version <= SOFTMAX_FLAT_UNTIL;
  const int32_t axis = ow_axis(ow_node_int(a->node, "axis", flat ? 1 : -1), x->rank);
  const int32_t end = flat ? x->rank : axis + 1;
  return (softmax_view){ow_dims_product(x->dims, 0, axis), ow_dims_product(x->dims, axis, end),
                        ow_dims_product(x->dims, end, x->rank)};
}

/* One row of doubles, so that the output may be the input. */
static onward_status softmax_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_size_mul((size_t)softmax_view_of(a).length, sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the softmax axis is too long");
  return ONWARD_OK;
}

/* A row without a finite maximum gives NaN, as exp(inf - inf) does. */
static void softmax_row(double *row, int64_t n) {
  double max = -INFINITY, sum = 0.0;
  for (int64_t i = 0; i < n; i++)
    max = row[i] > max ? row[i] : max;
  for (int64_t i = 0; i < n; i++)
    sum += row[i] = exp(row[i] - max);
  for (int64_t i = 0; i < n; i++)
    row[i] /= sum;
}

static void log_softmax_row(double *row, int64_t n) {
  double max = -INFINITY, sum = 0.0;
  for (int64_t i = 0; i < n; i++)
    max = row[i] > max ? row[i] : max;
  for (int64_t i = 0; i < n; i++)
    sum += exp(row[i] - max);
  const double log_sum = log(sum);
  for (int64_t i = 0; i < n; i++)
    row[i] = row[i] - max - log_sum;
}

/* 1 at the first maximum; the first NaN counts as one. */
static void hardmax_row(double *row, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n && !isnan(row[best]); i++)
    best = row[i] > row[best] || isnan(row[i]) ? i : best;
  for (int64_t i = 0; i < n; i++)
    row[i] = i == best ? 1.0 : 0.0;
}

static void softmax_rows(const ow_args *a, void (*row_fn)(double *row, int64_t n)) {
  const onward_tensor *x = a->in[0];
  onward_tensor *y = a->out[0];
  const softmax_view v = softmax_view_of(a);
  double *row = a->workspace;
  if (v.length == 0)
    return;
  for (int64_t o = 0; o < v.outer; o++) {
    for (int64_t i = 0; i < v.inner; i++) {
      const int64_t base = o * v.length * v.inner + i;
      for (int64_t j = 0; j < v.length; j++)
        row[j] = ow_load(x->dtype, x->data, base + j * v.inner);
      row_fn(row, v.length);
      for (int64_t j = 0; j < v.length; j++)
        ow_store(y->dtype, y->data, base + j * v.inner, row[j]);
    }
  }
}

#define SOFTMAX_KERNEL(stem)                                                          \
  static onward_status stem##_run(const ow_args *a, void *state, onward_error *err) { \
    (void)state, (void)err;                                                           \
    softmax_rows(a, stem##_row);                                                      \
    return ONWARD_OK;                                                                 \
  }                                                                                   \
  static const ow_kernel stem##_reference = {                                         \
      .name = #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = softmax_prepare, .run = stem##_run};
SOFTMAX_KERNEL(softmax)
SOFTMAX_KERNEL(log_softmax)
SOFTMAX_KERNEL(hardmax)

static const ow_kernel *const softmax_kernels[] = {OW_FAST_SOFTMAX & softmax_reference, NULL};
static const ow_kernel *const log_softmax_kernels[] = {&log_softmax_reference, NULL};
static const ow_kernel *const hardmax_kernels[] = {&hardmax_reference, NULL};

static const ow_attr_spec softmax_attrs[] = {{"axis", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_inplace softmax_inplace[] = {{0, 0}};

#define SOFTMAX_ROW(op, stem)  \
  {.domain = "",               \
   .name = op,                 \
   .since = 1,                 \
   .min_inputs = 1,            \
   .max_inputs = 1,            \
   .min_outputs = 1,           \
   .max_outputs = 1,           \
   .attrs = softmax_attrs,     \
   .infer = softmax_infer,     \
   .inplace = softmax_inplace, \
   .inplace_count = 1,         \
   .kernels = stem##_kernels},

const ow_op ow_ops_softmax[] = {SOFTMAX_ROW("Softmax", softmax) SOFTMAX_ROW("LogSoftmax", log_softmax)
                                    SOFTMAX_ROW("Hardmax", hardmax){.name = NULL}};
