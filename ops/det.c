/* Det, and ONNX Runtime's Inverse: square matrices. */
#include "ops/reference.h"

static onward_status det_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  const ow_shape *x = &c->in[0].shape;
  if (x->rank >= 0)
    OW_TRY(ow_infer_equal(c, x->dims[x->rank - 1], x->dims[x->rank - 2], "rows and columns"));
  return ow_infer_set(c, 0, c->in[0].dtype, x->rank < 0 ? -1 : x->rank - 2, x->dims);
}

/* One matrix of doubles. */
static onward_status det_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const size_t n = (size_t)a->in[0]->dims[a->in[0]->rank - 1];
  if (!ow_size_mul(n, n, workspace) || !ow_size_mul(*workspace, sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the matrix is too large");
  return ONWARD_OK;
}

/* Elimination with the largest pivot of each column; m is used up. */
static double det_of(double *m, int64_t n) {
  double product = 1.0;
  for (int64_t k = 0; k < n; k++) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; i++)
      pivot = fabs(m[i * n + k]) > fabs(m[pivot * n + k]) ? i : pivot;
    product *= pivot == k ? m[pivot * n + k] : -m[pivot * n + k];
    if (fpclassify(product) == FP_ZERO)
      return product;
    for (int64_t j = k; j < n; j++) {
      const double swap = m[k * n + j];
      m[k * n + j] = m[pivot * n + j];
      m[pivot * n + j] = swap;
    }
    for (int64_t i = k + 1; i < n; i++) {
      const double factor = m[i * n + k] / m[k * n + k];
      for (int64_t j = k; j < n; j++)
        m[i * n + j] -= factor * m[k * n + j];
    }
  }
  return product;
}

static onward_status det_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0];
  const int64_t n = x->dims[x->rank - 1], count = ow_count(a->out[0]);
  double *m = a->workspace;
  for (int64_t i = 0; i < count; i++) {
    for (int64_t j = 0; j < n * n; j++)
      m[j] = ow_load(x->dtype, x->data, i * n * n + j);
    ow_store(a->out[0]->dtype, a->out[0]->data, i, det_of(m, n));
  }
  return ONWARD_OK;
}

/* ---- Inverse --------------------------------------------------------------------------------------------------------------- */

static onward_status inverse_infer(ow_infer *c) {
  OW_TRY(det_infer(c));
  return ow_infer_same(c, 0, 0);
}

/* The matrix, and beside it what the same steps make of the identity. */
static onward_status inverse_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  OW_TRY(det_prepare(a, state, workspace, err));
  if (!ow_size_mul(*workspace, 2, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the matrix is too large");
  return ONWARD_OK;
}

/* Elimination with the largest pivot of each column in rows of 2 n; false: singular. */
static bool inverse_of(double *m, int64_t n) {
  for (int64_t k = 0; k < n; k++) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; i++)
      pivot = fabs(m[i * 2 * n + k]) > fabs(m[pivot * 2 * n + k]) ? i : pivot;
    const double head = m[pivot * 2 * n + k];
    if (fpclassify(head) == FP_ZERO || isnan(head))
      return false;
    for (int64_t j = 0; j < 2 * n; j++) {
      const double swap = m[k * 2 * n + j];
      m[k * 2 * n + j] = m[pivot * 2 * n + j] / head;
      if (pivot != k)
        m[pivot * 2 * n + j] = swap;
    }
    for (int64_t i = 0; i < n; i++) {
      const double factor = i == k ? 0.0 : m[i * 2 * n + k];
      for (int64_t j = 0; j < 2 * n && i != k; j++)
        m[i * 2 * n + j] -= factor * m[k * 2 * n + j];
    }
  }
  return true;
}

static onward_status inverse_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *x = a->in[0], *y = a->out[0];
  const int64_t n = x->dims[x->rank - 1], count = ow_dims_product(x->dims, 0, x->rank - 2);
  double *const m = a->workspace;
  for (int64_t i = 0; i < count && n > 0; i++) {
    for (int64_t j = 0; j < n * n; j++) {
      m[j / n * 2 * n + j % n] = ow_load(x->dtype, x->data, i * n * n + j);
      m[j / n * 2 * n + n + j % n] = j / n == j % n ? 1.0 : 0.0;
    }
    if (!inverse_of(m, n))
      return ow_node_fail(a->node, err, ONWARD_DATA, "matrix %lld has no inverse", (long long)i);
    for (int64_t j = 0; j < n * n; j++)
      ow_store(y->dtype, y->data, i * n * n + j, m[j / n * 2 * n + n + j % n]);
  }
  return ONWARD_OK;
}

static const ow_kernel inverse_reference = {
    .name = "inverse_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = inverse_prepare, .run = inverse_run};
static const ow_kernel *const inverse_kernels[] = {&inverse_reference, NULL};
static const ow_kernel det_reference = {
    .name = "det_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = det_prepare, .run = det_run};
static const ow_kernel *const det_kernels[] = {&det_reference, NULL};

const ow_op ow_ops_det[] = {{.domain = "",
                             .name = "Det",
                             .since = 11,
                             .min_inputs = 1,
                             .max_inputs = 1,
                             .min_outputs = 1,
                             .max_outputs = 1,
                             .infer = det_infer,
                             .kernels = det_kernels},
                            {.domain = "com.microsoft",
                             .name = "Inverse",
                             .since = 1,
                             .min_inputs = 1,
                             .max_inputs = 1,
                             .min_outputs = 1,
                             .max_outputs = 1,
                             .infer = inverse_infer,
                             .kernels = inverse_kernels},
                            {.name = NULL}};
