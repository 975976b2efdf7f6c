/* GridSample: reads an image [N, C, H, W] at positions given in [-1, 1] by a grid [N, Hout, Wout, 2] of (x, y). */
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
  if (x->rank == 5)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "sampling of volumes is not implemented");
  OW_TRY(ow_infer_rank(c, 0, 4, 4));
  OW_TRY(ow_infer_rank(c, 1, 4, 4));
  OW_TRY(ow_infer_equal(c, x->dims[0], grid->dims[0], "the batch of image and grid"));
  OW_TRY(ow_infer_equal(c, grid->dims[3], ow_dim_const(2), "coordinates of a position"));
  const ow_dim dims[] = {x->dims[0], x->dims[1], grid->dims[1], grid->dims[2]};
  return ow_infer_set(c, 0, c->in[0].dtype, 4, dims);
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

/* The image at whole coordinates; what lies outside is what the padding says. */
static double grid_pixel(const grid_spec *s, const onward_tensor *x, int64_t plane, double row, double column) {
  const int64_t height = x->dims[2], width = x->dims[3];
  if (s->padding != GRID_ZEROS) {
    row = grid_pad(s, row, height);
    column = grid_pad(s, column, width);
  }
  if (!(row >= 0.0 && row < (double)height && column >= 0.0 && column < (double)width))
    return 0.0;
  return ow_load(x->dtype, x->data, (plane * height + (int64_t)row) * width + (int64_t)column);
}

static void grid_cubic(double t, double weight[4]) {
  const double a = -0.75, d[4] = {1.0 + t, t, 1.0 - t, 2.0 - t};
  for (int i = 0; i < 4; i++)
    weight[i] = d[i] <= 1.0 ? ((a + 2.0) * d[i] - (a + 3.0)) * d[i] * d[i] + 1.0
                            : ((a * d[i] - 5.0 * a) * d[i] + 8.0 * a) * d[i] - 4.0 * a;
}

static double grid_value(const grid_spec *s, const onward_tensor *x, int64_t plane, double row, double column) {
  if (s->mode == GRID_NEAREST)
    return grid_pixel(s, x, plane, nearbyint(row), nearbyint(column));
  const double top = floor(row), left = floor(column), v = row - top, h = column - left;
  if (s->mode == GRID_LINEAR)
    return (1.0 - v) * ((1.0 - h) * grid_pixel(s, x, plane, top, left) + h * grid_pixel(s, x, plane, top, left + 1.0)) +
           v * ((1.0 - h) * grid_pixel(s, x, plane, top + 1.0, left) +
                h * grid_pixel(s, x, plane, top + 1.0, left + 1.0));
  double across[4], down[4], sum = 0.0;
  grid_cubic(h, across);
  grid_cubic(v, down);
  for (int i = 0; i < 4; i++) {
    for (int j = 0; j < 4; j++)
      sum += down[i] * across[j] * grid_pixel(s, x, plane, top + i - 1, left + j - 1);
  }
  return sum;
}

static onward_status grid_sample_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *grid = a->in[1];
  onward_tensor *y = a->out[0];
  grid_spec s;
  (void)grid_spec_of(a->node, &s);
  const int64_t points = y->dims[2] * y->dims[3];
  for (int64_t plane = 0; plane < y->dims[0] * y->dims[1]; plane++) {
    for (int64_t i = 0; i < points; i++) {
      double at[2]; /* column, row */
      for (int k = 0; k < 2; k++) {
        const double g = ow_load(grid->dtype, grid->data, (plane / y->dims[1] * points + i) * 2 + k),
                     n = (double)x->dims[3 - k];
        at[k] = s.align_corners ? (g + 1.0) / 2.0 * (n - 1.0) : ((g + 1.0) * n - 1.0) / 2.0;
        if (s.mode != GRID_CUBIC)
          at[k] = grid_pad(&s, at[k], x->dims[3 - k]);
      }
      ow_store(y->dtype, y->data, plane * points + i, grid_value(&s, x, plane, at[1], at[0]));
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
