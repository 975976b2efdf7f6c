/* The one convolution of the reference kernels: Conv, ConvInteger, QLinearConv. */
#ifndef OW_OPS_CONV_REFERENCE_H
#define OW_OPS_CONV_REFERENCE_H

#include "ops/window.h"

/* Reads the window of a convolution of input x [N, C, spatial...] with input weight [A, B, kernel...]. *known: both ranks are. */
onward_status ow_conv_infer_window(ow_infer *c, size_t x, size_t weight, ow_window *w, int64_t *group, bool *known);
/* Sets output 0. bias: input slot, SIZE_MAX when the operator has none. */
onward_status ow_conv_infer(ow_infer *c, size_t x, size_t weight, size_t bias, onward_dtype dtype);

/* Room for one plane of sums, of output 0. */
onward_status ow_conv_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err);
/* The sums of one output plane; base is the index of its first element. */
typedef void (*ow_conv_emit)(void *context, int64_t channel, int64_t base, int64_t count, const double *sums);
/* zeros: subtracted first, padding counts as zero after that; one element, or of weights one per output channel; may be NULL.
 * plane: the workspace. Integer sums are exact below 2^53. */
void ow_conv_run(const ow_node *node, const onward_tensor *x, const onward_tensor *weight, const onward_tensor *y,
                 const onward_tensor *x_zero, const onward_tensor *weight_zero, double *plane, ow_conv_emit emit,
                 void *context);

#endif
