/* GridSample: reads an image [N, C, H, W] at positions given in [-1, 1] by a grid [N, Hout, Wout, 2] of (x, y), or a volume
 * [N, C, D, H, W] by a grid [N, Dout, Hout, Wout, 3] of (x, y, z). Inside, an image is a volume of depth 1. */
#include "ops/reference.h"

typedef struct grid_spec {
  enum { GRID_NEAREST, GRID_LINEAR, GRID_CUBIC } mode;
  enum { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION } padding;
  bool align_corners;
} grid_spec;

/* "bilinear" and "bicubic" until opset 19, "linear" and "cubic" from 20 on */
static bool grid_spec_of(const ow_node *node, grid_spec *s) {
  const char *mode = ow_node_string(node, "mode", "linear"), *padding = ow_node_string(node, "padding_mode", "zeros");
  *s = (grid_spec){
      .mode = GRID_LINEAR, .padding = GRID_ZEROS, .align_corners = ow_node_int(node, "align_corners", 0) != 0};
  if (strcmp(mode, "nearest") == 0)
    s->mode = GRID_NEAREST;
  else if (strcmp(mode, "bicubic") == 0 || strcmp(mode, "cubic") == 0)
    s->mode = GRID_CUBIC;
  else if (strcmp(mode, "bilinear") != 0 && strcmp(mode, "linear") != 0)
    return false;
  if (strcmp(padding, "border") == 0)
    s->padding = GRID_BORDER;
  else if (strcmp(padding, "reflection") == 0)
    s->padding = GRID_REFLECTION;
  else
    return strcmp(padding, "zeros") == 0;
  return true;
}

static onward_status grid_sample_infer(ow_infer *c) {
  grid_spec s;
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_FLOAT));
  if (!grid_spec_of(c->node, &s))
    return ow_infer_fail(c, ONWARD_MODEL, "mode or padding_mode is not known");
  const ow_shape *x = &c->in[0].shape, *grid = &c->in[1].shape;
  if (x->rank < 0 || grid->rank < 0)
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  OW_TRY(ow_infer_rank(c, 0, 4, 5));
  OW_TRY(ow_infer_rank(c, 1, x->rank, x->rank));
  if (x->rank == 5 && s.mode == GRID_CUBIC)
    return ow_infer_fail(c, ONWARD_MODEL, "cubic sampling is for images only");
  OW_TRY(ow_infer_equal(c, x->dims[0], grid->dims[0], "the batch of image and grid"));
  OW_TRY(ow_infer_equal(c, grid->dims[x->rank - 1], ow_dim_const(x->rank - 2), "coordinates of a position"));
  ow_dim dims[5] = {x->dims[0], x->dims[1]};
  for (int32_t d = 2; d < x->rank; d++)
    dims[d] = grid->dims[d - 1];
  return ow_infer_set(c, 0, c->in[0].dtype, x->rank, dims);
}

/* Folds v back into [low, high] as mirrors at both ends would. */
static double grid_reflect(double v, double low, double high) {
  const double range = high - low;
  if (!(range > 0.0) || !isfinite(v))
    return low;
  const double away = fmod(fabs(v - low), 2.0 * range);
  return low + (away > range ? 2.0 * range - away : away);
}

static double grid_clip(double v, int64_t n) { return !(v > 0.0) ? 0.0 : v > (double)(n - 1) ? (double)(n - 1) : v; }

/* Padding applied to a position, before it is split into an index and a fraction. */
static double grid_pad(const grid_spec *s, double v, int64_t n) {
  if (s->padding == GRID_BORDER)
    return grid_clip(v, n);
  if (s->padding == GRID_REFLECTION)
    return grid_clip(s->align_corners ? grid_reflect(v, 0.0, (double)n - 1.0) : grid_reflect(v, -0.5, (double)n - 0.5),
                     n);
  return v;
}

/* One channel; extents and positions are depth, row, column. */
typedef struct grid_plane {
  const onward_tensor *x;
  int64_t base, extent[3];
} grid_plane;

/* The plane at whole coordinates; what lies outside is what the padding says. */
static double grid_pixel(const grid_spec *s, const grid_plane *p, double depth, double row, double column) {
  double at[3] = {depth, row, column};
  int64_t index = 0;
  for (int k = 0; k < 3; k++) {
    if (s->padding != GRID_ZEROS)
      at[k] = grid_pad(s, at[k], p->extent[k]);
    if (!(at[k] >= 0.0 && at[k] < (double)p->extent[k]))
      return 0.0;
    index = index * p->extent[k] + (int64_t)at[k];
  }
  return ow_load(p->x->dtype, p->x->data, p->base + index);
}

static void grid_cubic(double t, double weight[4]) {
  const double a = -0.75, d[4] = {1.0 + t, t, 1.0 - t, 2.0 - t};
  for (int i = 0; i < 4; i++)
    weight[i] = d[i] <= 1.0 ? ((a + 2.0) * d[i] - (a + 3.0)) * d[i] * d[i] + 1.0
                            : ((a * d[i] - 5.0 * a) * d[i] + 8.0 * a) * d[i] - 4.0 * a;
}

static double grid_value(const grid_spec *s, const grid_plane *p, const double at[3]) {
  if (s->mode == GRID_NEAREST)
    return grid_pixel(s, p, nearbyint(at[0]), nearbyint(at[1]), nearbyint(at[2]));
  double low[3], part[3], sum = 0.0;
  for (int k = 0; k < 3; k++) {
    low[k] = floor(at[k]);
    part[k] = at[k] - low[k];
  }
  if (s->mode == GRID_LINEAR) {
    for (int i = 0; i < 8; i++) { /* the corners of the cell; a depth of 1 has one layer of them */
      const int up[3] = {i >> 2, i >> 1 & 1, i & 1};
      double share = 1.0, corner[3];
      for (int k = 0; k < 3; k++) {
        share *= up[k] ? part[k] : 1.0 - part[k];
        corner[k] = low[k] + up[k];
      }
      if (share > 0.0 || share < 0.0 || isnan(share))
        sum += share * grid_pixel(s, p, corner[0], corner[1], corner[2]);
    }
    return sum;
  }
  double across[4], down[4];
  grid_cubic(part[2], across);
  grid_cubic(part[1], down);
  for (int i = 0; i < 4; i++) {
    for (int j = 0; j < 4; j++)
      sum += down[i] * across[j] * grid_pixel(s, p, at[0], low[1] + i - 1, low[2] + j - 1);
  }
  return sum;
}

static onward_status grid_sample_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *grid = a->in[1];
  onward_tensor *y = a->out[0];
  grid_spec s;
  (void)grid_spec_of(a->node, &s);
  const int32_t space = x->rank - 2;
  const int64_t points = ow_dims_product(y->dims, 2, y->rank);
  grid_plane p = {.x = x, .extent = {1, x->dims[space], x->dims[space + 1]}};
  if (space == 3)
    p.extent[0] = x->dims[2];
  for (int64_t plane = 0; plane < y->dims[0] * y->dims[1]; plane++) {
    p.base = plane * ow_dims_product(x->dims, 2, x->rank);
    for (int64_t i = 0; i < points; i++) {
      double at[3] = {0.0, 0.0, 0.0};
      for (int32_t k = 0; k < space; k++) { /* the grid has the column first */
        const double g = ow_load(grid->dtype, grid->data, (plane / y->dims[1] * points + i) * space + k),
                     n = (double)p.extent[2 - k];
        at[2 - k] = s.align_corners ? (g + 1.0) / 2.0 * (n - 1.0) : ((g + 1.0) * n - 1.0) / 2.0;
        if (s.mode != GRID_CUBIC)
          at[2 - k] = grid_pad(&s, at[2 - k], p.extent[2 - k]);
      }
      ow_store(y->dtype, y->data, plane * points + i, grid_value(&s, &p, at));
    }
  }
  return ONWARD_OK;
}

static const ow_kernel grid_sample_reference = {
    .name = "grid_sample_reference", .flags = OW_KERNEL_UNALIGNED, .run = grid_sample_run};
static const ow_kernel *const grid_sample_kernels[] = {&grid_sample_reference, NULL};

static const ow_attr_spec grid_sample_attrs[] = {{"align_corners", OW_ATTR_INT, false},
                                                 {"mode", OW_ATTR_STRING, false},
                                                 {"padding_mode", OW_ATTR_STRING, false},
                                                 {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_grid_sample[] = {{.domain = "",
                                     .name = "GridSample",
                                     .since = 16,
                                     .min_inputs = 2,
                                     .max_inputs = 2,
                                     .min_outputs = 1,
                                     .max_outputs = 1,
                                     .attrs = grid_sample_attrs,
                                     .infer = grid_sample_infer,
                                     .kernels = grid_sample_kernels},
                                    {.name = NULL}};
