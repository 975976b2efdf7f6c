/* NonMaxSuppression and RoiAlign. */
#include "ops/reference.h"

/* ---- NonMaxSuppression: boxes [B, N, 4], scores [B, C, N], max_output?, iou_threshold?, score_threshold? ---------------------------- */

typedef struct nms_spec {
  const onward_tensor *boxes, *scores;
  int64_t most; /* per batch and class */
  double iou, score;
  bool scored, centred; /* a score threshold is given; boxes are centre and size */
} nms_spec;

static double nms_scalar(const onward_tensor *t, double otherwise) {
  return t && ow_count(t) > 0 ? ow_get_f64(t->dtype, t->data, 0) : otherwise;
}

static nms_spec nms_spec_of(const ow_node *node, const onward_tensor *const *in, size_t in_count) {
  const onward_tensor *most = in_count > 2 ? in[2] : NULL, *score = in_count > 4 ? in[4] : NULL;
  const int64_t boxes = in[0]->dims[1];
  const int64_t wanted = most && ow_count(most) > 0 ? ow_index_at(most, 0) : 0;
  return (nms_spec){.boxes = in[0],
                    .scores = in[1],
                    .most = wanted < 0       ? 0
                            : wanted > boxes ? boxes
                                             : wanted,
                    .iou = nms_scalar(in_count > 3 ? in[3] : NULL, 0.0),
                    .score = nms_scalar(score, 0.0),
                    .scored = score && ow_count(score) > 0,
                    .centred = ow_node_int(node, "center_point_box", 0) != 0};
}

/* low[], high[] of the two axes */
static void nms_box(const nms_spec *s, int64_t box, double low[2], double high[2]) {
  double v[4];
  for (int i = 0; i < 4; i++)
    v[i] = ow_load(s->boxes->dtype, s->boxes->data, box * 4 + i);
  for (int i = 0; i < 2; i++) {
    const double a = s->centred ? v[i] - v[i + 2] / 2.0 : v[i], b = s->centred ? v[i] + v[i + 2] / 2.0 : v[i + 2];
    low[i] = fmin(a, b);
    high[i] = fmax(a, b);
  }
}

static bool nms_overlaps(const nms_spec *s, int64_t a, int64_t b) {
  double low[2][2], high[2][2], common = 1.0, area[2] = {1.0, 1.0};
  nms_box(s, a, low[0], high[0]);
  nms_box(s, b, low[1], high[1]);
  for (int i = 0; i < 2; i++) {
    common *= fmax(0.0, fmin(high[0][i], high[1][i]) - fmax(low[0][i], low[1][i]));
    area[0] *= high[0][i] - low[0][i];
    area[1] *= high[1][i] - low[1][i];
  }
  const double all = area[0] + area[1] - common;
  return area[0] > 0.0 && area[1] > 0.0 && all > 0.0 && common / all > s->iou;
}

/* Picks boxes of one batch and class, best score first; picked has room for s->most. Returns how many. */
static int64_t nms_pick(const nms_spec *s, int64_t batch, int64_t row, int64_t *picked) {
  const int64_t n = s->boxes->dims[1];
  int64_t count = 0, last = -1;
  while (count < s->most) {
    /* the best that comes after the last one looked at, in order of score and then of index */
    int64_t best = -1;
    double best_score = 0.0;
    const double last_score = last < 0 ? 0.0 : ow_load(s->scores->dtype, s->scores->data, row * n + last);
    for (int64_t i = 0; i < n; i++) {
      const double score = ow_load(s->scores->dtype, s->scores->data, row * n + i);
      if (isnan(score) || (s->scored && !(score > s->score)))
        continue;
      if (last >= 0 && (score > last_score || (!(score < last_score) && i <= last)))
        continue;
      if (best < 0 || score > best_score) {
        best = i;
        best_score = score;
      }
    }
    if (best < 0)
      break;
    last = best;
    bool free = true;
    for (int64_t k = 0; free && k < count; k++)
      free = !nms_overlaps(s, batch * n + best, batch * n + picked[k]);
    if (free)
      picked[count++] = best;
  }
  return count;
}

static onward_status nms_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_types(c, 1, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_types(c, 2, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_types(c, 3, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_types(c, 4, OW_BIT(ONWARD_FLOAT32)));
  OW_TRY(ow_infer_rank(c, 0, 3, 3));
  OW_TRY(ow_infer_rank(c, 1, 3, 3));
  ow_dim dims[2] = {ow_dim_unknown(), ow_dim_const(3)};
  if (!ow_infer_ranked(c, 0) || !ow_infer_ranked(c, 1))
    return ow_infer_unknown(c, 0, ONWARD_INT64, 2, dims);
  const ow_dim *boxes = c->in[0].shape.dims, *scores = c->in[1].shape.dims;
  OW_TRY(ow_infer_equal(c, boxes[0], scores[0], "the batch of boxes and scores"));
  OW_TRY(ow_infer_equal(c, boxes[1], scores[2], "the number of boxes and scores"));
  OW_TRY(ow_infer_equal(c, boxes[2], ow_dim_const(4), "coordinates of a box"));
  for (size_t i = 0; i < c->in_count && i < 5; i++) {
    if (ow_infer_has(c, i) && !c->data[i])
      return ow_infer_unknown(c, 0, ONWARD_INT64, 2, dims);
  }
  const nms_spec s = nms_spec_of(c->node, c->data, c->in_count);
  size_t bytes;
  int64_t total = 0;
  if (!ow_size_mul((size_t)s.most, sizeof(int64_t), &bytes))
    return ow_no_memory(c);
  int64_t *picked = ow_arena_alloc(c->arena, bytes);
  if (!picked)
    return ow_no_memory(c);
  for (int64_t row = 0; row < s.scores->dims[0] * s.scores->dims[1]; row++)
    total += nms_pick(&s, row / s.scores->dims[1], row, picked);
  dims[0] = ow_dim_const(total);
  return ow_infer_set(c, 0, ONWARD_INT64, 2, dims);
}

static onward_status nms_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_size_mul((size_t)a->in[0]->dims[1], sizeof(int64_t), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "too many boxes");
  return ONWARD_OK;
}

static onward_status nms_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const nms_spec s = nms_spec_of(a->node, a->in, a->in_count);
  const int64_t classes = s.scores->dims[1], room = a->out[0]->dims[0];
  int64_t *y = a->out[0]->data, *picked = a->workspace, at = 0;
  for (int64_t row = 0; row < s.scores->dims[0] * classes; row++) {
    const int64_t count = nms_pick(&s, row / classes, row, picked);
    if (count > room - at)
      return ow_node_fail(a->node, err, ONWARD_INTERNAL, "more boxes than were counted");
    for (int64_t k = 0; k < count; k++, at++) {
      y[3 * at] = row / classes;
      y[3 * at + 1] = row % classes;
      y[3 * at + 2] = picked[k];
    }
  }
  return ONWARD_OK;
}

/* ---- RoiAlign: x [N, C, H, W], rois [R, 4], batch_indices [R] ---------------------------------------------------------------- */

typedef struct roi_spec {
  int64_t height, width, samples;
  double scale, shift; /* shift: half a pixel, from opset 16 on */
  bool max;
} roi_spec;

static roi_spec roi_spec_of(const ow_node *node) {
  const char *mode =
      ow_node_string(node, "coordinate_transformation_mode", node->version >= 16 ? "half_pixel" : "output_half_pixel");
  return (roi_spec){.height = ow_node_int(node, "output_height", 1),
                    .width = ow_node_int(node, "output_width", 1),
                    .samples = ow_node_int(node, "sampling_ratio", 0),
                    .scale = (double)ow_node_float(node, "spatial_scale", 1.0f),
                    .shift = strcmp(mode, "half_pixel") == 0 ? 0.5 : 0.0,
                    .max = strcmp(ow_node_string(node, "mode", "avg"), "max") == 0};
}

static onward_status roi_align_infer(ow_infer *c) {
  const roi_spec s = roi_spec_of(c->node);
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_alike(c, 0, 1));
  OW_TRY(ow_infer_types(c, 2, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 0, 4, 4));
  OW_TRY(ow_infer_rank(c, 1, 2, 2));
  OW_TRY(ow_infer_rank(c, 2, 1, 1));
  if (s.height < 1 || s.width < 1 || s.samples < 0)
    return ow_infer_fail(c, ONWARD_MODEL, "output_height, output_width or sampling_ratio is out of range");
  if (!ow_infer_ranked(c, 0) || !ow_infer_ranked(c, 1) || !ow_infer_ranked(c, 2))
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  const ow_dim *rois = c->in[1].shape.dims;
  OW_TRY(ow_infer_equal(c, rois[1], ow_dim_const(4), "coordinates of a region"));
  OW_TRY(ow_infer_equal(c, rois[0], c->in[2].shape.dims[0], "the number of regions"));
  const ow_dim dims[] = {rois[0], c->in[0].shape.dims[1], ow_dim_const(s.height), ow_dim_const(s.width)};
  return ow_infer_set(c, 0, c->in[0].dtype, 4, dims);
}

/* Splits a position into two neighbours and the share of the second; false outside of the image. */
static bool roi_split(double v, int64_t n, int64_t at[2], double *share) {
  if (!(v >= -1.0 && v <= (double)n))
    return false;
  v = v < 0.0 ? 0.0 : v;
  at[0] = (int64_t)v < n - 1 ? (int64_t)v : n - 1;
  at[1] = at[0] < n - 1 ? at[0] + 1 : at[0];
  *share = at[0] < n - 1 ? v - (double)at[0] : 0.0;
  return true;
}

static double roi_sample(const onward_tensor *x, int64_t plane, double row, double column, bool max) {
  int64_t r[2], k[2];
  double v, h;
  if (!roi_split(row, x->dims[2], r, &v) || !roi_split(column, x->dims[3], k, &h))
    return 0.0;
  double best = 0.0, sum = 0.0;
  for (int i = 0; i < 4; i++) {
    const double part = (i / 2 ? v : 1.0 - v) * (i % 2 ? h : 1.0 - h) *
                        ow_load(x->dtype, x->data, (plane * x->dims[2] + r[i / 2]) * x->dims[3] + k[i % 2]);
    sum += part;
    best = i == 0 || part > best ? part : best;
  }
  return max ? best : sum;
}

#define ROI_SAMPLES_MAX 4096 /* per bin and axis */

static int64_t roi_samples(const roi_spec *s, double extent, int64_t bins) {
  const double n = s->samples > 0 ? (double)s->samples : ceil(extent / (double)bins);
  return n >= 1.0 ? (int64_t)fmin(n, ROI_SAMPLES_MAX + 1) : 0;
}

static double roi_bin(const roi_spec *s, const onward_tensor *x, int64_t plane, const double start[2],
                      const double bin[2], const int64_t samples[2]) {
  double sum = 0.0, best = 0.0;
  for (int64_t i = 0; i < samples[0]; i++) {
    for (int64_t j = 0; j < samples[1]; j++) {
      const double v = roi_sample(x, plane, start[0] + ((double)i + 0.5) * bin[0] / (double)samples[0],
                                  start[1] + ((double)j + 0.5) * bin[1] / (double)samples[1], s->max);
      best = (i == 0 && j == 0) || v > best ? v : best;
      sum += v;
    }
  }
  const double count = (double)samples[0] * (double)samples[1];
  return s->max ? best : sum / (count > 1.0 ? count : 1.0);
}

static onward_status roi_align_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *x = a->in[0], *rois = a->in[1];
  onward_tensor *y = a->out[0];
  const roi_spec s = roi_spec_of(a->node);
  const int64_t channels = x->dims[1];
  OW_TRY(ow_check_indices(a, 2, 0, x->dims[0] - 1, err));
  for (int64_t r = 0; r < y->dims[0]; r++) {
    double low[2], bin[2]; /* rows, columns */
    int64_t samples[2];
    for (int i = 0; i < 2; i++) {
      low[i] = ow_load(rois->dtype, rois->data, r * 4 + 1 - i) * s.scale - s.shift;
      double extent = ow_load(rois->dtype, rois->data, r * 4 + 3 - i) * s.scale - s.shift - low[i];
      if (s.shift <= 0.0)
        extent = fmax(extent, 1.0);
      const int64_t bins = i ? s.width : s.height;
      bin[i] = extent / (double)bins;
      samples[i] = roi_samples(&s, extent, bins);
      if (samples[i] > ROI_SAMPLES_MAX)
        return ow_node_fail(a->node, err, ONWARD_DATA, "region %lld has an extent of %g", (long long)r, extent);
    }
    for (int64_t k = 0; k < channels; k++) {
      for (int64_t o = 0; o < s.height * s.width; o++) {
        const double start[2] = {low[0] + (double)(o / s.width) * bin[0], low[1] + (double)(o % s.width) * bin[1]};
        const int64_t plane = ow_index_at(a->in[2], r) * channels + k;
        ow_store(y->dtype, y->data, (r * channels + k) * s.height * s.width + o,
                 roi_bin(&s, x, plane, start, bin, samples));
      }
    }
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static const ow_kernel nms_reference = {
    .name = "nms_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = nms_prepare, .run = nms_run};
static const ow_kernel roi_align_reference = {
    .name = "roi_align_reference", .flags = OW_KERNEL_UNALIGNED, .run = roi_align_run};
static const ow_kernel *const nms_kernels[] = {&nms_reference, NULL};
static const ow_kernel *const roi_align_kernels[] = {&roi_align_reference, NULL};

static const ow_attr_spec nms_attrs[] = {{"center_point_box", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec roi_align_attrs[] = {{"coordinate_transformation_mode", OW_ATTR_STRING, false},
                                               {"mode", OW_ATTR_STRING, false},
                                               {"output_height", OW_ATTR_INT, false},
                                               {"output_width", OW_ATTR_INT, false},
                                               {"sampling_ratio", OW_ATTR_INT, false},
                                               {"spatial_scale", OW_ATTR_FLOAT, false},
                                               {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_detection[] = {{.domain = "",
                                   .name = "NonMaxSuppression",
                                   .since = 10,
                                   .min_inputs = 2,
                                   .max_inputs = 5,
                                   .min_outputs = 1,
                                   .max_outputs = 1,
                                   .attrs = nms_attrs,
                                   .infer = nms_infer,
                                   .kernels = nms_kernels},
                                  {.domain = "",
                                   .name = "RoiAlign",
                                   .since = 10,
                                   .min_inputs = 3,
                                   .max_inputs = 3,
                                   .min_outputs = 1,
                                   .max_outputs = 1,
                                   .attrs = roi_align_attrs,
                                   .infer = roi_align_infer,
                                   .kernels = roi_align_kernels},
                                  {.name = NULL}};
