/* A tensor of 8 bits with its scale and zero point, as ONNX Runtime's QLinear operators pass it. */
#ifndef OW_OPS_QLINEAR_H
#define OW_OPS_QLINEAR_H

#include "ops/quantize.h"

typedef struct ow_qlinear {
  const onward_tensor *x; /* NULL for an output */
  double scale, zero;
} ow_qlinear;

/* Types of a triple of inputs: 8 bits like input `like`, a float32 scale and an optional zero point, of one element each.
 * x SIZE_MAX: the pair of an output. */
onward_status ow_qlinear_infer(ow_infer *c, size_t like, size_t x, size_t scale, size_t zero);
ow_qlinear ow_qlinear_read(const ow_args *a, size_t x, size_t scale, size_t zero);

static inline double ow_qlinear_value(const ow_qlinear *q, int64_t i) {
  return (ow_load(q->x->dtype, q->x->data, i) - q->zero) * q->scale;
}
/* A real number as output 0 holds it. */
static inline void ow_qlinear_store(const ow_qlinear *q, const onward_tensor *y, int64_t i, double value) {
  ow_store(y->dtype, y->data, i, ow_quantize_round(y->dtype, (double)(float)(value / q->scale), q->zero));
}

#endif
