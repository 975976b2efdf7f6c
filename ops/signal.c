/* Fourier transforms and what surrounds them: DFT, STFT, the window functions, MelWeightMatrix. */
#include "ops/reference.h"

/* Longest transform and largest table, so that sizes from a file stay sane. */
#define SIGNAL_MAX (INT64_C(1) << 28)

/* A scalar integer input as a dim: *given is false when it is left out, *d unknown when its data is. */
static onward_status signal_infer_length(ow_infer *c, size_t slot, const char *what, bool *given, ow_dim *d) {
  size_t count = 0;
  *given = ow_infer_has(c, slot);
  *d = ow_dim_unknown();
  if (!*given)
    return ONWARD_OK;
  OW_TRY(ow_infer_types(c, slot, OW_TYPES_INDEX));
  const ow_dim *elems = ow_infer_elems(c, slot, &count);
  if (elems && count != 1)
    return ow_infer_fail(c, ONWARD_MODEL, "%s has %zu elements, want 1", what, count);
  if (elems && ow_dim_is_const(elems[0]) && (elems[0].k < 1 || elems[0].k > SIGNAL_MAX))
    return ow_infer_fail(c, ONWARD_DATA, "%s is %lld, want 1 to %lld", what, (long long)elems[0].k,
                         (long long)SIGNAL_MAX);
  *d = elems ? elems[0] : ow_dim_unknown();
  return ONWARD_OK;
}

static onward_status signal_set(ow_infer *c, onward_dtype dtype, int32_t rank, const ow_dim *dims) {
  for (int32_t d = 0; d < rank; d++) {
    if (ow_dim_is_unknown(dims[d]))
      return ow_infer_unknown(c, 0, dtype, rank, dims);
  }
  return ow_infer_set(c, 0, dtype, rank, dims);
}

static ow_dim signal_bins(ow_infer *c, ow_dim length, bool onesided) {
  if (ow_dim_is_unknown(length) || !onesided)
    return length;
  return ow_dim_add(c->dims, ow_dim_floordiv(c->dims, length, ow_dim_const(2)), ow_dim_const(1));
}

/* ---- transform ----------------------------------------------------------------------------------------------------------- */

/* cos and sin of the n-th parts of the circle. */
static void signal_circle(double *table, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    table[2 * i] = cos(2.0 * M_PI * (double)i / (double)n);
    table[2 * i + 1] = sin(2.0 * M_PI * (double)i / (double)n);
  }
}

typedef struct signal_line {
  const onward_tensor *x, *window; /* window may be NULL */
  int64_t base, step, count;       /* elements that are there; the rest of n are zeros */
  bool complex;                    /* re, im pairs side by side */
  bool mirrored;                   /* what is not there is the conjugate of element n - t */
} signal_line;

static void signal_bin(const signal_line *l, const double *table, int64_t n, int64_t k, bool inverse, double out[2]) {
  int64_t turn = 0;
  out[0] = out[1] = 0.0;
  for (int64_t t = 0; t < n && (t < l->count || l->mirrored); t++, turn = (turn + k) % n) {
    const int64_t at = t < l->count && (!l->mirrored || t <= n / 2) ? t : n - t;
    if (at >= l->count)
      continue;
    double re = ow_load(l->x->dtype, l->x->data, l->base + at * l->step);
    double im = l->complex ? ow_load(l->x->dtype, l->x->data, l->base + at * l->step + 1) : 0.0;
    im = at == t ? im : -im;
    if (l->window) {
      const double w = ow_load(l->window->dtype, l->window->data, t);
      re *= w;
      im *= w;
    }
    const double co = table[2 * turn], si = inverse ? table[2 * turn + 1] : -table[2 * turn + 1];
    out[0] += re * co - im * si;
    out[1] += re * si + im * co;
  }
  if (inverse) {
    out[0] /= (double)n;
    out[1] /= (double)n;
  }
}

static onward_status signal_table_prepare(const ow_node *node, int64_t n, size_t *workspace, onward_error *err) {
  if (n < 0 || n > SIGNAL_MAX || !ow_size_mul((size_t)n, 2 * sizeof(double), workspace))
    return ow_node_fail(node, err, ONWARD_LIMIT, "the transform is too long");
  return ONWARD_OK;
}

/* ---- DFT: x [..., 1 or 2], dft_length?, axis? (an attribute before opset 20) ------------------------------------------------------ */

static onward_status dft_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  const ow_shape *x = &c->in[0].shape;
  const bool onesided = ow_node_int(c->node, "onesided", 0) != 0;
  const bool to_real = onesided && ow_node_int(c->node, "inverse", 0) != 0;
  int64_t values[1] = {c->node->version < 20 ? 1 : -2};
  size_t count = 0;
  ow_given given;
  OW_TRY(ow_infer_ints_given(c, "axis", 2, values, 1, &count, &given));
  if (x->rank < 0)
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  int32_t axis;
  bool has_length;
  ow_dim dims[ONWARD_MAX_RANK], length;
  if (given == OW_GIVEN_LATER) {
    for (int32_t d = 0; d < x->rank; d++)
      dims[d] = ow_dim_unknown();
    return ow_infer_unknown(c, 0, c->in[0].dtype, x->rank, dims);
  }
  OW_TRY(ow_infer_axis(c, values[0], x->rank, &axis));
  OW_TRY(signal_infer_length(c, 1, "dft_length", &has_length, &length));
  const ow_dim last = x->dims[x->rank - 1];
  if (axis == x->rank - 1 || (ow_dim_is_const(last) && last.k != 1 && last.k != 2))
    return ow_infer_fail(c, ONWARD_MODEL, "the last dim holds real and imaginary part: want 1 or 2, and another axis");
  if (to_real && ow_dim_is(last, 1))
    return ow_infer_fail(c, ONWARD_MODEL, "the inverse of a onesided transform wants complex numbers");
  memcpy(dims, x->dims, sizeof dims);
  if (to_real)
    dims[axis] =
        has_length ? length : ow_dim_mul(c->dims, ow_dim_sub(c->dims, x->dims[axis], ow_dim_const(1)), ow_dim_const(2));
  else
    dims[axis] = signal_bins(c, has_length ? length : x->dims[axis], onesided);
  dims[x->rank - 1] = ow_dim_const(to_real ? 1 : 2);
  return signal_set(c, c->in[0].dtype, x->rank, dims);
}

static int32_t dft_axis(const ow_args *a) {
  int64_t axis = a->node->version < 20 ? 1 : -2;
  (void)ow_args_ints(a, "axis", 2, &axis, 1);
  return ow_axis(axis, a->in[0]->rank);
}

/* The longest that fits the output's shape: onesided, n and n + 1 have as many bins. */
static onward_status dft_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const int64_t bins = a->out[0]->dims[dft_axis(a)];
  const bool halved = ow_node_int(a->node, "onesided", 0) && !ow_node_int(a->node, "inverse", 0);
  return signal_table_prepare(a->node, halved ? 2 * bins : bins, workspace, err);
}

static onward_status dft_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *x = a->in[0], *length = ow_args_in(a, 1);
  onward_tensor *y = a->out[0];
  const int32_t axis = dft_axis(a);
  const bool onesided = ow_node_int(a->node, "onesided", 0) != 0, inverse = ow_node_int(a->node, "inverse", 0) != 0;
  const bool to_real = onesided && inverse;
  const int64_t parts = x->dims[x->rank - 1], parts_out = to_real ? 1 : 2, bins = y->dims[axis];
  const int64_t n = length ? ow_index_at(length, 0) : to_real ? 2 * (x->dims[axis] - 1) : x->dims[axis];
  const int64_t outer = ow_dims_product(x->dims, 0, axis), inner = ow_dims_product(x->dims, axis + 1, x->rank - 1);
  if (outer * inner * bins == 0)
    return ONWARD_OK;
  if (n < 1 || bins != (onesided && !inverse ? n / 2 + 1 : n))
    return ow_node_fail(a->node, err, ONWARD_DATA, "dft_length %lld does not fit the output", (long long)n);
  double *table = a->workspace;
  signal_circle(table, n);
  for (int64_t i = 0; i < outer * inner; i++) {
    const int64_t o = i / inner, j = i % inner;
    const signal_line line = {.x = x,
                              .base = (o * x->dims[axis] * inner + j) * parts,
                              .step = inner * parts,
                              .count = x->dims[axis],
                              .complex = parts == 2,
                              .mirrored = to_real};
    for (int64_t k = 0; k < bins; k++) {
      double value[2];
      signal_bin(&line, table, n, k, inverse, value);
      for (int p = 0; p < parts_out; p++)
        ow_store(y->dtype, y->data, ((o * bins + k) * inner + j) * parts_out + p, value[p]);
    }
  }
  return ONWARD_OK;
}

/* ---- STFT: signal [batch, length, 1 or 2], frame_step, window?, frame_length? ------------------------------------------------------ */

static onward_status stft_infer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 2, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_rank(c, 0, 2, 3));
  OW_TRY(ow_infer_rank(c, 2, 1, 1));
  const ow_shape *x = &c->in[0].shape;
  bool has_step, has_length;
  ow_dim step, length;
  OW_TRY(signal_infer_length(c, 1, "frame_step", &has_step, &step));
  OW_TRY(signal_infer_length(c, 3, "frame_length", &has_length, &length));
  if (x->rank < 0 || (ow_infer_has(c, 2) && !ow_infer_ranked(c, 2)))
    return ow_infer_set(c, 0, c->in[0].dtype, -1, NULL);
  if (x->rank == 3 && ow_dim_is_const(x->dims[2]) && x->dims[2].k != 1 && x->dims[2].k != 2)
    return ow_infer_fail(c, ONWARD_MODEL, "the last dim holds real and imaginary part: want 1 or 2");
  if (ow_infer_has(c, 2)) {
    if (has_length && !ow_dim_is_unknown(length))
      OW_TRY(ow_infer_equal(c, length, c->in[2].shape.dims[0], "frame_length and the window"));
    length = c->in[2].shape.dims[0];
  } else if (!has_length) {
    length = x->dims[1];
  }
  ow_dim frames = ow_dim_unknown();
  if (!ow_dim_is_unknown(step) && !ow_dim_is_unknown(length)) {
    const ow_dim room = ow_dim_sub(c->dims, x->dims[1], length);
    if (ow_dim_is_const(room) && room.k < 0)
      return ow_infer_fail(c, ONWARD_DATA, "a frame of %lld is longer than the signal", (long long)length.k);
    frames = ow_dim_add(c->dims, ow_dim_floordiv(c->dims, room, step), ow_dim_const(1));
  }
  const ow_dim dims[] = {x->dims[0], frames, signal_bins(c, length, ow_node_int(c->node, "onesided", 1) != 0),
                         ow_dim_const(2)};
  return signal_set(c, c->in[0].dtype, 4, dims);
}

static onward_status stft_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  return signal_table_prepare(a->node, 2 * a->out[0]->dims[2], workspace, err);
}

static onward_status stft_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *x = a->in[0], *window = ow_args_in(a, 2), *length = ow_args_in(a, 3);
  onward_tensor *y = a->out[0];
  const int64_t n = window   ? window->dims[0]
                    : length ? ow_index_at(length, 0)
                             : x->dims[1],
                step = ow_index_at(a->in[1], 0);
  const int64_t parts = x->rank == 3 ? x->dims[2] : 1, frames = y->dims[1], bins = y->dims[2];
  const bool onesided = ow_node_int(a->node, "onesided", 1) != 0;
  if (ow_count(y) == 0)
    return ONWARD_OK;
  if (n < 1 || step < 1 || bins != (onesided ? n / 2 + 1 : n) || (frames - 1) * step + n > x->dims[1])
    return ow_node_fail(a->node, err, ONWARD_DATA, "frames of %lld every %lld do not fit the signal", (long long)n,
                        (long long)step);
  double *table = a->workspace;
  signal_circle(table, n);
  for (int64_t i = 0; i < x->dims[0] * frames; i++) {
    const signal_line line = {.x = x,
                              .window = window,
                              .base = (i / frames * x->dims[1] + i % frames * step) * parts,
                              .step = parts,
                              .count = n,
                              .complex = parts == 2};
    for (int64_t k = 0; k < bins; k++) {
      double value[2];
      signal_bin(&line, table, n, k, false, value);
      for (int p = 0; p < 2; p++)
        ow_store(y->dtype, y->data, (i * bins + k) * 2 + p, value[p]);
    }
  }
  return ONWARD_OK;
}

/* ---- windows: a0 - a1 cos(2 pi i / n) + a2 cos(4 pi i / n) ------------------------------------------------------------------------- */

static onward_status window_infer(ow_infer *c) {
  const int64_t dtype = ow_node_int(c->node, "output_datatype", ONWARD_FLOAT32);
  bool given;
  ow_dim size;
  if (dtype < 0 || dtype > 31 || !(OW_TYPES_NUMERIC >> dtype & 1))
    return ow_infer_fail(c, ONWARD_MODEL, "output_datatype %lld is no numeric type", (long long)dtype);
  OW_TRY(signal_infer_length(c, 0, "size", &given, &size));
  return signal_set(c, (onward_dtype)dtype, 1, &size);
}

static onward_status window_fill(const ow_args *a, double a0, double a1, double a2) {
  onward_tensor *y = a->out[0];
  const int64_t size = y->dims[0], n = ow_node_int(a->node, "periodic", 1) ? size : size - 1;
  for (int64_t i = 0; i < size; i++) {
    const double turn = 2.0 * M_PI * (double)i / (double)(n > 0 ? n : 1);
    ow_store(y->dtype, y->data, i, n > 0 ? a0 - a1 * cos(turn) + a2 * cos(2.0 * turn) : 1.0);
  }
  return ONWARD_OK;
}

static onward_status hann_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return window_fill(a, 0.5, 0.5, 0.0);
}
static onward_status hamming_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return window_fill(a, 25.0 / 46.0, 21.0 / 46.0, 0.0);
}
static onward_status blackman_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  return window_fill(a, 0.42, 0.5, 0.08);
}

/* ---- MelWeightMatrix: num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz ------------------------------------- */

static onward_status mel_infer(ow_infer *c) {
  const int64_t dtype = ow_node_int(c->node, "output_datatype", ONWARD_FLOAT32);
  bool given;
  ow_dim mels, length;
  if (dtype < 0 || dtype > 31 || !(OW_TYPES_NUMERIC >> dtype & 1))
    return ow_infer_fail(c, ONWARD_MODEL, "output_datatype %lld is no numeric type", (long long)dtype);
  OW_TRY(ow_infer_types(c, 2, OW_TYPES_INDEX));
  OW_TRY(ow_infer_types(c, 3, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 4, OW_TYPES_FLOAT));
  for (size_t i = 2; i < 5; i++)
    OW_TRY(ow_infer_rank(c, i, 0, 0));
  OW_TRY(signal_infer_length(c, 0, "num_mel_bins", &given, &mels));
  OW_TRY(signal_infer_length(c, 1, "dft_length", &given, &length));
  const ow_dim dims[2] = {signal_bins(c, length, true), mels};
  return signal_set(c, (onward_dtype)dtype, 2, dims);
}

/* The spectrogram bin at mel step i of `steps` between two frequencies. */
static double mel_edge(int64_t i, int64_t steps, double low_hertz, double high_hertz, double length, double rate) {
  const double low = 2595.0 * log10(1.0 + low_hertz / 700.0), high = 2595.0 * log10(1.0 + high_hertz / 700.0);
  const double hertz = 700.0 * (pow(10.0, (low + (double)i * (high - low) / (double)steps) / 2595.0) - 1.0);
  return floor((length + 1.0) * hertz / rate);
}

static onward_status mel_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  onward_tensor *y = a->out[0];
  const int64_t bins = y->dims[0], mels = y->dims[1], length = ow_index_at(a->in[1], 0),
                rate = ow_index_at(a->in[2], 0);
  const double low = ow_load(a->in[3]->dtype, a->in[3]->data, 0), high = ow_load(a->in[4]->dtype, a->in[4]->data, 0);
  if (rate < 1 || !(low >= 0.0) || !(high >= low) || isinf(high))
    return ow_node_fail(a->node, err, ONWARD_DATA, "%g to %g Hz at a rate of %lld", low, high, (long long)rate);
  for (int64_t m = 0; m < mels; m++) {
    double edge[3];
    for (int64_t i = 0; i < 3; i++)
      edge[i] = mel_edge(m + i, mels + 2, low, high, (double)length, (double)rate);
    for (int64_t k = 0; k < bins; k++) {
      const double at = (double)k;
      double v = 0.0;
      if (at >= edge[1] && at < edge[2])
        v = (edge[2] - at) / (edge[2] - edge[1]);
      else if (at >= edge[0] && at <= edge[1])
        v = edge[1] > edge[0] ? (at - edge[0]) / (edge[1] - edge[0]) : 1.0;
      ow_store(y->dtype, y->data, k * mels + m, v);
    }
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define SIGNAL_KERNEL(stem, prepare_fn)                                                                    \
  static const ow_kernel stem##_reference = {                                                              \
      .name = #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = prepare_fn, .run = stem##_run}; \
  static const ow_kernel *const stem##_kernels[] = {&stem##_reference, NULL};
SIGNAL_KERNEL(dft, dft_prepare)
SIGNAL_KERNEL(stft, stft_prepare)
SIGNAL_KERNEL(hann, NULL)
SIGNAL_KERNEL(hamming, NULL)
SIGNAL_KERNEL(blackman, NULL)
SIGNAL_KERNEL(mel, NULL)

static const ow_attr_spec dft17_attrs[] = {{"axis", OW_ATTR_INT, false},
                                           {"inverse", OW_ATTR_INT, false},
                                           {"onesided", OW_ATTR_INT, false},
                                           {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec dft_attrs[] = {
    {"inverse", OW_ATTR_INT, false}, {"onesided", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec stft_attrs[] = {{"onesided", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec window_attrs[] = {
    {"output_datatype", OW_ATTR_INT, false}, {"periodic", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec mel_attrs[] = {{"output_datatype", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

#define SIGNAL_ROW(op, first, last, inputs_min, inputs_max, specs, fn, list)                                     \
  {                                                                                                              \
    .domain = "", .name = op, .since = first, .until = last, .min_inputs = inputs_min, .max_inputs = inputs_max, \
    .min_outputs = 1, .max_outputs = 1, .attrs = specs, .infer = fn, .kernels = list                             \
  }

const ow_op ow_ops_signal[] = {SIGNAL_ROW("DFT", 17, 19, 1, 2, dft17_attrs, dft_infer, dft_kernels),
                               SIGNAL_ROW("DFT", 20, 0, 1, 3, dft_attrs, dft_infer, dft_kernels),
                               SIGNAL_ROW("STFT", 17, 0, 2, 4, stft_attrs, stft_infer, stft_kernels),
                               SIGNAL_ROW("HannWindow", 17, 0, 1, 1, window_attrs, window_infer, hann_kernels),
                               SIGNAL_ROW("HammingWindow", 17, 0, 1, 1, window_attrs, window_infer, hamming_kernels),
                               SIGNAL_ROW("BlackmanWindow", 17, 0, 1, 1, window_attrs, window_infer, blackman_kernels),
                               SIGNAL_ROW("MelWeightMatrix", 17, 0, 5, 5, mel_attrs, mel_infer, mel_kernels),
                               {.name = NULL}};
