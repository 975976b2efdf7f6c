#include "ops/matmul_reference.h"

#include "base/stop.h"

bool ow_product_workspace(int64_t k, size_t *bytes) {
  return ow_size_mul((size_t)k, OW_PRODUCT_COLUMNS * sizeof(double), bytes);
}

/* A panel of b's columns is converted once and then meets every row of a. */
static void product_float(const ow_product *p, double *panel, int64_t from, int64_t count, ow_product_emit emit,
                          void *context) {
  for (int64_t k = 0; k < p->k; k++) {
    for (int64_t j = 0; j < OW_PRODUCT_COLUMNS; j++)
      panel[k * OW_PRODUCT_COLUMNS + j] =
          j < count ? ow_load(p->b_dtype, p->b, p->b_offset + k * p->b_row + (from + j) * p->b_col) : 0.0;
  }
  for (int64_t m = 0; m < p->m && !ow_stop_asked(); m++) {
    double sums[OW_PRODUCT_COLUMNS] = {0.0};
    for (int64_t k = 0; k < p->k; k++) {
      const double a = ow_load(p->a_dtype, p->a, p->a_offset + m * p->a_row + k * p->a_col);
      for (int64_t j = 0; j < OW_PRODUCT_COLUMNS; j++)
        sums[j] += a * panel[k * OW_PRODUCT_COLUMNS + j];
    }
    emit(context, m, from, count, sums, NULL);
  }
}

static int64_t product_zero(const onward_tensor *t, int64_t i) {
  return t ? ow_get_i64(t->dtype, t->data, ow_count(t) == 1 ? 0 : i) : 0;
}

static void product_int(const ow_product *p, int64_t *panel, int64_t from, int64_t count, ow_product_emit emit,
                        void *context) {
  for (int64_t j = 0; j < OW_PRODUCT_COLUMNS; j++) {
    const int64_t zero = j < count ? product_zero(p->b_zero, from + j) : 0;
    for (int64_t k = 0; k < p->k; k++)
      panel[k * OW_PRODUCT_COLUMNS + j] =
          j < count
              ? ow_wrap_add(ow_get_i64(p->b_dtype, p->b, p->b_offset + k * p->b_row + (from + j) * p->b_col), -zero)
              : 0;
  }
  for (int64_t m = 0; m < p->m && !ow_stop_asked(); m++) {
    int64_t sums[OW_PRODUCT_COLUMNS] = {0};
    const int64_t zero = product_zero(p->a_zero, m);
    for (int64_t k = 0; k < p->k; k++) {
      const int64_t a = ow_wrap_add(ow_get_i64(p->a_dtype, p->a, p->a_offset + m * p->a_row + k * p->a_col), -zero);
      for (int64_t j = 0; j < OW_PRODUCT_COLUMNS; j++)
        sums[j] = ow_wrap_add(sums[j], ow_wrap_mul(a, panel[k * OW_PRODUCT_COLUMNS + j]));
    }
    emit(context, m, from, count, NULL, sums);
  }
}

void ow_product_run(const ow_product *p, void *workspace, ow_product_emit emit, void *context) {
  for (int64_t from = 0; from < p->n && !ow_stop_asked(); from += OW_PRODUCT_COLUMNS) {
    const int64_t left = p->n - from, count = left < OW_PRODUCT_COLUMNS ? left : OW_PRODUCT_COLUMNS;
    if (ow_is_float(p->a_dtype))
      product_float(p, workspace, from, count, emit, context);
    else
      product_int(p, workspace, from, count, emit, context);
  }
}

onward_status ow_matmul_infer(ow_infer *c, size_t slot_a, size_t slot_b, bool trans_a, bool trans_b,
                              onward_dtype dtype) {
  OW_TRY(ow_infer_rank(c, slot_a, 1, ONWARD_MAX_RANK));
  OW_TRY(ow_infer_rank(c, slot_b, 1, ONWARD_MAX_RANK));
  const ow_shape *a = &c->in[slot_a].shape, *b = &c->in[slot_b].shape;
  if (a->rank < 0 || b->rank < 0)
    return ow_infer_set(c, 0, dtype, -1, NULL);
  const bool flip_a = trans_a && a->rank > 1, flip_b = trans_b && b->rank > 1;
  OW_TRY(ow_infer_equal(c, a->dims[a->rank - (flip_a ? 2 : 1)], b->dims[b->rank - (b->rank == 1 || flip_b ? 1 : 2)],
                        "the inner dim"));
  ow_shape batch_a = *a, batch_b = *b, out;
  batch_a.rank = a->rank > 2 ? a->rank - 2 : 0;
  batch_b.rank = b->rank > 2 ? b->rank - 2 : 0;
  OW_TRY(ow_infer_broadcast(c, &batch_a, &batch_b, &out));
  if (a->rank > 1)
    out.dims[out.rank++] = a->dims[a->rank - (flip_a ? 1 : 2)];
  if (b->rank > 1)
    out.dims[out.rank++] = b->dims[b->rank - (flip_b ? 2 : 1)];
  return ow_infer_set(c, 0, dtype, out.rank, out.dims);
}

void ow_matmul_each(const onward_tensor *a, const onward_tensor *b, const onward_tensor *y, bool trans_a, bool trans_b,
                    ow_matmul_fn fn, void *context) {
  const int64_t a_rows = a->rank > 1 ? a->dims[a->rank - 2] : 1, a_columns = a->dims[a->rank - 1];
  const int64_t b_rows = b->rank > 1 ? b->dims[b->rank - 2] : b->dims[0],
                b_columns = b->rank > 1 ? b->dims[b->rank - 1] : 1;
  const bool flip_a = trans_a && a->rank > 1, flip_b = trans_b && b->rank > 1;
  ow_product p = {.a_dtype = a->dtype, .b_dtype = b->dtype, .a = a->data, .b = b->data};
  p.m = flip_a ? a_columns : a_rows;
  p.k = flip_a ? a_rows : a_columns;
  p.n = flip_b ? b_rows : b_columns;
  p.a_row = flip_a ? 1 : a_columns;
  p.a_col = flip_a ? a_columns : 1;
  p.b_row = flip_b ? 1 : b_columns;
  p.b_col = flip_b ? b_columns : 1;

  const int32_t rank_a = a->rank > 2 ? a->rank - 2 : 0, rank_b = b->rank > 2 ? b->rank - 2 : 0;
  const int32_t batch_rank = rank_a > rank_b ? rank_a : rank_b;
  int64_t strides_a[ONWARD_MAX_RANK], strides_b[ONWARD_MAX_RANK], index_a[ONWARD_MAX_RANK] = {0},
                                                                  index_b[ONWARD_MAX_RANK] = {0};
  ow_broadcast_strides(rank_a, a->dims, batch_rank, strides_a);
  ow_broadcast_strides(rank_b, b->dims, batch_rank, strides_b);
  int64_t matrix_a = 0, matrix_b = 0;
  const int64_t batches = ow_dims_product(y->dims, 0, batch_rank);
  for (int64_t i = 0; i < batches && !ow_stop_asked(); i++) {
    p.a_offset = matrix_a * a_rows * a_columns;
    p.b_offset = matrix_b * b_rows * b_columns;
    fn(context, &p, i * p.m * p.n);
    (void)ow_advance(batch_rank, y->dims, index_a, strides_a, &matrix_a);
    (void)ow_advance(batch_rank, y->dims, index_b, strides_b, &matrix_b);
  }
}
