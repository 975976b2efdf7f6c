/* ConvInteger and QLinearConv, channels first or last, by exact products of 8 bits: for each group, weights [outputs, taps] times the
 * windows laid out as panels of NR positions (quantized_tile.h). Neither operand has its zero point taken off before; with w and x as
 * they are, and z what is taken off,
 *
 *     sum (w - zw) (x - zx) = sum w x - zx sum w - zw (sum x - taps zx)
 *
 * where sum w stands beside the packed weights, sum x is the product with a row of ones, and the padding is zx. */
#include "base/size.h"
#include "ops/cpu/fast_help.h"
#include "ops/cpu/quantized_tile.h"
#include "ops/quantize.h"
#include "ops/window.h"

#define MOST_TAPS 32768 /* 255 * 255 * MOST_TAPS fits in 32 bits */

#define NONE 31
typedef struct layout {
  size_t x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias; /* slots; NONE: the operator has no such input */
} layout;

typedef struct state {
  ow_window3 w;
  int64_t images, groups, each_in, each_out, taps, pairs;
  int64_t x_step, x_plane, y_step,
      y_plane;                   /* elements from one position to the next, and from one channel to the next */
  int64_t panels, chunk, chunks; /* panels of positions; panels per task; tasks per image and group */
  size_t thread_bytes;
} state;

typedef struct job {
  const ow_args *args;
  const layout *l;
  const state *s;
  const int16_t *weights, *ones; /* rows of 2 * pairs */
  const int32_t *sums;           /* of each row of weights */
  int32_t x_zero, x_shift;       /* as the signed bytes of a panel have it; unsigned ones have been moved by -128 */
  bool any_w_zero;
} job;

/* Rows of the weights, a row of ones, their sums. */
typedef struct packed_parts {
  size_t ones, sums, bytes;
} packed_parts;

static bool parts_of(int64_t outputs, int64_t taps, packed_parts *p) {
  const int64_t rows[2] = {outputs, (taps + 1) / 2 * 2}, row[1] = {rows[1]};
  size_t one, sums;
  return ow_tensor_size(ONWARD_INT16, 2, rows, &p->ones) && ow_tensor_size(ONWARD_INT16, 1, row, &one) &&
         ow_size_add(p->ones, one, &p->sums) && ow_size_align(p->sums, 4, &p->sums) &&
         ow_tensor_size(ONWARD_INT32, 1, &outputs, &sums) && ow_size_add(p->sums, sums, &p->bytes);
}

static int32_t byte_at(const onward_tensor *t, int64_t i) {
  return t->dtype == ONWARD_UINT8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}
static int32_t zero_at(const onward_tensor *t, int64_t i) { return t ? byte_at(t, ow_count(t) == 1 ? 0 : i) : 0; }
static double scale_at(const onward_tensor *t, int64_t i) {
  return t ? (double)ow_fast_scalar((const float *)t->data + (ow_count(t) == 1 ? 0 : i)) : 1.0;
}

static bool supports(const layout *l, const ow_args *a, ow_why *why) {
  const size_t scales[] = {l->x_scale, l->w_scale, l->y_scale};
  for (size_t i = 0; i < 3; i++)
    if (ow_fast_in(a, scales[i]) && a->in[scales[i]]->dtype != ONWARD_FLOAT32)
      return ow_refuse(why, "input %zu is %s, want float32", scales[i], onward_dtype_name(a->in[scales[i]]->dtype));
  if (!a->constant[l->w])
    return ow_refuse(why, "the weights are not constant");
  const int64_t taps = ow_dims_product(a->in[l->w]->dims, 1, a->in[l->w]->rank);
  if (taps > MOST_TAPS && l->y_scale != NONE)
    return ow_refuse(why, "sums of %lld products", (long long)taps);
  return true;
}

static onward_status pack(const layout *l, const ow_args *a, ow_packed *out, onward_error *err) {
  const onward_tensor *const w = a->in[l->w];
  const int64_t outputs = w->dims[0], taps = ow_dims_product(w->dims, 1, w->rank), step = (taps + 1) / 2 * 2;
  packed_parts p;
  if (!parts_of(outputs, taps, &p))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "input %zu: the packed weight is too large", l->w);
  char *const to = ow_alloc_zero(a->allocator, p.bytes ? p.bytes : 1, 1);
  if (!to)
    return ow_node_fail(a->node, err, ONWARD_MEMORY, "out of memory packing input %zu (%zu bytes)", l->w, p.bytes);
  int16_t *const rows = (int16_t *)(void *)to, *const ones = (int16_t *)(void *)(to + p.ones);
  int32_t *const sums = (int32_t *)(void *)(to + p.sums);
  for (int64_t o = 0; o < outputs; o++) {
    int64_t sum = 0;
    for (int64_t t = 0; t < taps; t++) {
      rows[o * step + t] = (int16_t)byte_at(w, o * taps + t);
      sum += rows[o * step + t];
    }
    sums[o] = (int32_t)sum;
  }
  for (int64_t t = 0; t < taps; t++)
    ones[t] = 1;
  *out = (ow_packed){.data = to, .bytes = p.bytes, .replaces_source = true};
  return ONWARD_OK;
}

static onward_status prepare(const layout *l, const ow_args *a, state *s, size_t *workspace, onward_error *err) {
  const onward_tensor *const x = a->in[0], *const weight = a->in[l->w], *const y = a->out[0];
  const bool last = ow_node_int(a->node, "channels_last", 0) != 0;
  const ow_window window = ow_window_read(a->node, x->rank - 2, weight->dims + 2);
  *s = (state){.w = ow_window3_of(&window, x->dims + (last ? 1 : 2), y->dims + (last ? 1 : 2)),
               .images = x->dims[0],
               .groups = ow_node_int(a->node, "group", 1),
               .each_in = weight->dims[1]};
  s->each_out = weight->dims[0] / s->groups;
  s->taps = s->each_in * s->w.kernel_count;
  s->pairs = (s->taps + 1) / 2;
  s->x_step = last ? s->each_in * s->groups : 1;
  s->x_plane = last ? 1 : s->w.in_count;
  s->y_step = last ? weight->dims[0] : 1;
  s->y_plane = last ? 1 : s->w.out_count;
  s->panels = (s->w.out_count + NR - 1) / NR;
  s->chunk = ow_fast_chunk(a->threads, s->images * s->groups, s->panels, (double)s->taps * (double)s->each_out * NR);
  s->chunks = (s->panels + s->chunk - 1) / s->chunk;
  const int64_t panel[2] = {s->pairs, 2 * NR};
  if (!ow_tensor_size(ONWARD_INT8, 2, panel, &s->thread_bytes) ||
      !ow_size_align(s->thread_bytes, 64, &s->thread_bytes) ||
      !ow_size_mul(s->thread_bytes, (size_t)(a->threads > 0 ? a->threads : 1), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  return ONWARD_OK;
}

/* One tap of the windows at positions first..first+count, into every second byte of row. */
static void gather_tap(const state *s, const uint8_t *x, const int64_t tap[3], int64_t first, int64_t count,
                       uint8_t flip, uint8_t pad, uint8_t *row) {
  const ow_window3 *const w = &s->w;
  int64_t shift[3];
  for (int i = 0; i < 3; i++)
    shift[i] = tap[i] * w->dilation[i] - w->before[i];
  for (int64_t i = 0; i < count;) {
    const int64_t position = first + i, column = position % w->out[2], line = position / w->out[2];
    const int64_t run = w->out[2] - column < count - i ? w->out[2] - column : count - i;
    const int64_t depth = line / w->out[1] * w->stride[0] + shift[0],
                  height = line % w->out[1] * w->stride[1] + shift[1], at = column * w->stride[2] + shift[2];
    int64_t from = 0, to = 0; /* of the run, inside the data */
    if (depth >= 0 && depth < w->in[0] && height >= 0 && height < w->in[1])
      ow_window_range(run, w->in[2], w->stride[2], at, &from, &to);
    const uint8_t *const line_x = x + ((depth * w->in[1] + height) * w->in[2] + at) * s->x_step;
    const int64_t step = w->stride[2] * s->x_step;
    for (int64_t r = 0; r < from; r++)
      row[2 * (i + r)] = pad;
    for (int64_t r = from; r < to; r++)
      row[2 * (i + r)] = line_x[r * step] ^ flip;
    for (int64_t r = to; r < run; r++)
      row[2 * (i + r)] = pad;
    i += run;
  }
}

static void gather(const job *j, const uint8_t *x, int64_t first, int64_t count, uint8_t *panel) {
  const state *const s = j->s;
  const ow_window3 *const w = &s->w;
  const uint8_t flip = j->x_shift ? 0x80 : 0, pad = (uint8_t)j->x_zero;
  if (count < NR || s->taps % 2)
    memset(panel, 0, (size_t)s->pairs * 2 * NR);
  for (int64_t t = 0; t < s->taps; t++) {
    const int64_t channel = t / w->kernel_count, inside = t % w->kernel_count;
    const int64_t tap[3] = {inside / (w->kernel[1] * w->kernel[2]), inside / w->kernel[2] % w->kernel[1],
                            inside % w->kernel[2]};
    gather_tap(s, x + channel * s->x_plane, tap, first, count, flip, pad, panel + t / 2 * 2 * NR + t % 2);
  }
}

/* ---- the sums become the output ---------------------------------------------------------------------------------------------- */

static void finish_quantized(const job *j, int64_t o, const int32_t sums[NR], int64_t count, uint8_t *to) {
  const ow_args *const a = j->args;
  const onward_tensor *const y = a->out[0], *const bias = ow_fast_in(a, j->l->bias);
  const bool is_signed = y->dtype == ONWARD_INT8;
  const double scale = scale_at(ow_fast_in(a, j->l->x_scale), 0) * scale_at(ow_fast_in(a, j->l->w_scale), o) /
                       scale_at(ow_fast_in(a, j->l->y_scale), 0);
  const double added = bias ? (double)ow_index_at(bias, o) : 0.0;
  const float low = is_signed ? -128.0f : 0.0f, high = is_signed ? 127.0f : 255.0f, magic = 12582912.0f;
  const float zero = (float)zero_at(ow_fast_in(a, j->l->y_zero), 0);
  int32_t whole[NR];
  for (int64_t i = 0; i < NR; i++) {
    float v = (float)(((double)sums[i] + added) * scale);
    v = v < 1000000.0f ? v : v >= 1000000.0f ? 1000000.0f : -1000000.0f; /* NaN gives the least */
    v = v > -1000000.0f ? v : -1000000.0f;
    v = (v + magic) - magic + zero;
    v = v > low ? v : low;
    whole[i] = (int32_t)(v < high ? v : high);
  }
  for (int64_t i = 0; i < count; i++)
    to[i * j->s->y_step] = (uint8_t)whole[i];
}

/* Output channel o (of all groups) at `count` positions from element `at` on. */
static void finish_row(const job *j, int64_t o, const int32_t *from, const int32_t *x_sums, int64_t at, int64_t count) {
  const onward_tensor *const y = j->args->out[0];
  const uint32_t zx = (uint32_t)j->x_zero, zw = (uint32_t)zero_at(ow_fast_in(j->args, j->l->w_zero), o),
                 taps = (uint32_t)j->s->taps, less = zx * (uint32_t)j->sums[o];
  int32_t sums[NR];
  for (int64_t i = 0; i < NR; i++)
    sums[i] = (int32_t)((uint32_t)from[i] - less - (zw ? zw * ((uint32_t)x_sums[i] - taps * zx) : 0));
  if (y->dtype != ONWARD_INT32) {
    finish_quantized(j, o, sums, count, (uint8_t *)y->data + at);
    return;
  }
  for (int64_t i = 0; i < count; i++)
    ((int32_t *)y->data)[at + i * j->s->y_step] = sums[i];
}

static void run_task(void *context, int64_t task, int thread) {
  const job *const j = context;
  const state *const s = j->s;
  const int64_t chunk = task % s->chunks, group = task / s->chunks % s->groups, image = task / s->chunks / s->groups;
  const uint8_t *const x = (const uint8_t *)j->args->in[0]->data + image * s->groups * s->each_in * s->w.in_count +
                           group * s->each_in * s->x_plane;
  const int64_t y = image * s->groups * s->each_out * s->w.out_count, step = 2 * s->pairs;
  uint8_t *const panel = (uint8_t *)j->args->workspace + (size_t)thread * s->thread_bytes;
  const int64_t end = (chunk + 1) * s->chunk < s->panels ? (chunk + 1) * s->chunk : s->panels;
  for (int64_t p = chunk * s->chunk; p < end; p++) {
    const int64_t first = p * NR, count = s->w.out_count - first < NR ? s->w.out_count - first : NR;
    int32_t x_sums[NR] = {0}, sums[MR * NR];
    gather(j, x, first, count, panel);
    if (j->any_w_zero)
      tiles[0](s->pairs, j->ones, step, (const int8_t *)panel, x_sums);
    for (int64_t o = group * s->each_out; o < (group + 1) * s->each_out; o += MR) {
      const int64_t left = (group + 1) * s->each_out - o, rows = left < MR ? left : MR;
      tiles[rows - 1](s->pairs, j->weights + o * step, step, (const int8_t *)panel, sums);
      for (int64_t i = 0; i < rows; i++)
        finish_row(j, o + i, sums + i * NR, x_sums, y + (o + i) * s->y_plane + first * s->y_step, count);
    }
  }
}

static onward_status run(const layout *l, const ow_args *a, const state *s, onward_error *err) {
  (void)err;
  const onward_tensor *const x = a->in[0], *const w_zero = ow_fast_in(a, l->w_zero);
  const int64_t outputs = a->in[l->w]->dims[0], tasks = s->images * s->groups * s->chunks;
  const char *const packed = a->packed[l->w];
  packed_parts p;
  if (tasks == 0 || s->each_out == 0 || !parts_of(outputs, s->taps, &p))
    return ONWARD_OK;
  job j = {.args = a,
           .l = l,
           .s = s,
           .weights = (const int16_t *)(const void *)packed,
           .ones = (const int16_t *)(const void *)(packed + p.ones),
           .sums = (const int32_t *)(const void *)(packed + p.sums),
           .x_shift = x->dtype == ONWARD_UINT8 ? 128 : 0};
  j.x_zero = zero_at(ow_fast_in(a, l->x_zero), 0) - j.x_shift;
  for (int64_t o = 0; o < outputs; o++)
    j.any_w_zero = j.any_w_zero || zero_at(w_zero, o) != 0;
  const double work = (double)s->images * (double)outputs * (double)s->taps * (double)s->w.out_count;
  ow_parallel(work < 5e5 ? 1 : a->threads, tasks, run_task, &j);
  return ONWARD_OK;
}

/* ---- kernels ---------------------------------------------------------------------------------------------------------------- */

#define CONV(id, text, ...)                                                                                 \
  static const layout id##_layout = {__VA_ARGS__};                                                          \
  static bool id##_supports(const ow_args *a, ow_why *why) { return supports(&id##_layout, a, why); }       \
  static uint64_t id##_slots(const ow_args *a) { return (void)a, UINT64_C(1) << id##_layout.w; }            \
  static onward_status id##_pack(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {        \
    return (void)slot, pack(&id##_layout, a, out, err);                                                     \
  }                                                                                                         \
  static onward_status id##_prepare(const ow_args *a, void *memory, size_t *workspace, onward_error *err) { \
    return prepare(&id##_layout, a, memory, workspace, err);                                                \
  }                                                                                                         \
  static onward_status id##_run(const ow_args *a, void *memory, onward_error *err) {                        \
    return run(&id##_layout, a, memory, err);                                                               \
  }                                                                                                         \
  const ow_kernel OW_ISA_NAME(ow_##id) = {.name = OW_ISA_STRING(text),                                      \
                                          .cpu = OW_ISA_CPU,                                                \
                                          .flags = OW_KERNEL_UNALIGNED,                                     \
                                          .supports = id##_supports,                                        \
                                          .pack_slots = id##_slots,                                         \
                                          .pack = id##_pack,                                                \
                                          .state_size = sizeof(state),                                      \
                                          .prepare = id##_prepare,                                          \
                                          .run = id##_run};

CONV(conv_integer, "conv_integer", .w = 1, .x_zero = 2, .w_zero = 3, .x_scale = NONE, .w_scale = NONE, .y_scale = NONE,
     .y_zero = NONE, .bias = NONE)
CONV(qlinear_conv, "qlinear_conv", .x_scale = 1, .x_zero = 2, .w = 3, .w_scale = 4, .w_zero = 5, .y_scale = 6,
     .y_zero = 7, .bias = 8)
