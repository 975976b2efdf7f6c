/* The one matrix product of the reference kernels: strided operands of any numeric type. */
#ifndef OW_OPS_MATMUL_REFERENCE_H
#define OW_OPS_MATMUL_REFERENCE_H

#include "ops/reference.h"

/* a[m,k] is element a_offset + m * a_row + k * a_col of a, and so on. Both operands are floats or both integers. */
typedef struct ow_product {
  onward_dtype a_dtype, b_dtype;
  const void *a, *b;
  int64_t a_offset, a_row, a_col;
  int64_t b_offset, b_row, b_col;
  int64_t m, n, k;
  const onward_tensor *a_zero,
      *b_zero; /* integers: subtracted first; one element, or one per row of a, column of b. NULL: none */
} ow_product;

#define OW_PRODUCT_COLUMNS 16

/* Sums of row `row`, columns [from, from + count): in double for float types, wrapped int64 otherwise. */
typedef void (*ow_product_emit)(void *context, int64_t row, int64_t from, int64_t count, const double *sums,
                                const int64_t *int_sums);

/* Workspace for one product with that k; false on overflow. */
bool ow_product_workspace(int64_t k, size_t *bytes);
/* Every sum is handed out once; k = 0 gives zeros. Sums run over k in order. */
void ow_product_run(const ow_product *p, void *workspace, ow_product_emit emit, void *context);

/* Output 0 of a product of inputs a and b under NumPy's rules for matmul, 1-D operands included. trans_*: of the last two dims,
 * where there are two. */
onward_status ow_matmul_infer(ow_infer *c, size_t a, size_t b, bool trans_a, bool trans_b, onward_dtype dtype);
/* The single products of such a matmul; base is the index of the first element in y. */
typedef void (*ow_matmul_fn)(void *context, const ow_product *p, int64_t base);
void ow_matmul_each(const onward_tensor *a, const onward_tensor *b, const onward_tensor *y, bool trans_a, bool trans_b,
                    ow_matmul_fn fn, void *context);

#endif
