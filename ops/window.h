/* The sliding window of Conv and Pool over the spatial dims of [N, C, spatial...]: 1 to 3 of them, always seen as 3. */
#ifndef OW_OPS_WINDOW_H
#define OW_OPS_WINDOW_H

#include "ops/reference.h"

#define OW_WINDOW_DIMS 3

/* What the attributes say, per spatial dim. SAME padding is resolved against an input extent. */
typedef struct ow_window {
  int32_t rank; /* spatial dims, 1 to 3 */
  int64_t kernel[OW_WINDOW_DIMS], stride[OW_WINDOW_DIMS], dilation[OW_WINDOW_DIMS];
  int64_t before[OW_WINDOW_DIMS], after[OW_WINDOW_DIMS]; /* explicit pads */
  enum { OW_PAD_EXPLICIT, OW_PAD_SAME_UPPER, OW_PAD_SAME_LOWER, OW_PAD_VALID } auto_pad;
  bool ceil;
} ow_window;

/* Reads and checks kernel_shape (kernel must be filled in before where the attribute may be missing), strides, dilations, pads,
 * auto_pad, ceil_mode. Errors: MODEL, UNSUPPORTED above 3 spatial dims. */
onward_status ow_window_infer(ow_infer *c, int32_t rank, ow_window *w);
/* The same for a kernel's run: the attributes have been checked. */
ow_window ow_window_read(const ow_node *node, int32_t rank, const int64_t *kernel);
/* Output extent of spatial dim i. Errors: MODEL when it is known to be negative. */
onward_status ow_window_extent(ow_infer *c, const ow_window *w, int32_t i, ow_dim in, ow_dim *out);
/* Padding before the data once both extents are known. */
int64_t ow_window_before(const ow_window *w, int32_t i, int64_t in, int64_t out);

/* A concrete window over 3 spatial dims; leading ones are 1. */
typedef struct ow_window3 {
  int64_t in[OW_WINDOW_DIMS], out[OW_WINDOW_DIMS], kernel[OW_WINDOW_DIMS];
  int64_t stride[OW_WINDOW_DIMS], dilation[OW_WINDOW_DIMS], before[OW_WINDOW_DIMS];
  int64_t in_count, out_count, kernel_count;
} ow_window3;

/* in, out: the spatial dims of both tensors. */
ow_window3 ow_window3_of(const ow_window *w, const int64_t *in, const int64_t *out);

/* Outputs [*from, *to) of n whose input index o * stride + shift lies in [0, in). */
static inline void ow_window_range(int64_t n, int64_t in, int64_t stride, int64_t shift, int64_t *from, int64_t *to) {
  *from = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
  *to = in - shift <= 0 ? 0 : (in - shift + stride - 1) / stride;
  *to = *to > n ? n : *to;
  *from = *from > *to ? *to : *from;
}

#endif
