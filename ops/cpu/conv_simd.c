/* Conv of float32 by matrix products: for each group, weights [outputs, taps] times the windows laid out as a matrix [taps,
 * positions], a panel of OW_GEMM_NR positions at a time, so that the whole matrix is never in memory. */
#include "ops/cpu/fast_help.h"
#include "ops/cpu/gemm.h"
#include "ops/window.h"

#define NR OW_GEMM_NR
#define MR OW_GEMM_MR

typedef struct state {
  ow_window3 w;
  int64_t images, groups, each_in, each_out, taps;
  int64_t panels, chunk, chunks; /* panels of positions; panels per task; tasks per image and group */
  int64_t block_k;
  size_t thread_bytes;
} state;

typedef struct job {
  const state *s;
  const float *x, *bias;
  const float *packed; /* per group, tiles of MR outputs, each [taps][rows] */
  float *y;
  char *workspace;
} job;

static void pack_tiles(float *dst, const float *weight, int64_t each_out, int64_t taps) {
  for (int64_t o = 0; o < each_out; o += MR) {
    const int64_t rows = each_out - o < MR ? each_out - o : MR;
    /* Bytewise: raw weights may lie at any address. */
    for (int64_t t = 0; t < taps; t++)
      for (int64_t i = 0; i < rows; i++)
        dst[o * taps + t * rows + i] = ow_fast_scalar(weight + (o + i) * taps + t);
  }
}

/* One tap of the windows at positions first..first+count: row[i] = x at the place the tap meets, 0 in the padding. */
static void gather_tap(const ow_window3 *w, const float *x, const int64_t tap[3], int64_t first, int64_t count,
                       float *row) {
  int64_t shift[3];
  for (int i = 0; i < 3; i++)
    shift[i] = tap[i] * w->dilation[i] - w->before[i];
  int64_t i = 0;
  while (i < count) {
    const int64_t position = first + i, column = position % w->out[2], line = position / w->out[2];
    const int64_t run = w->out[2] - column < count - i ? w->out[2] - column : count - i;
    const int64_t depth = line / w->out[1] * w->stride[0] + shift[0],
                  height = line % w->out[1] * w->stride[1] + shift[1];
    if (depth < 0 || depth >= w->in[0] || height < 0 || height >= w->in[1]) {
      memset(row + i, 0, (size_t)run * sizeof *row);
      i += run;
      continue;
    }
    const float *const line_x = x + (depth * w->in[1] + height) * w->in[2];
    const int64_t stride = w->stride[2], at = column * stride + shift[2];
    int64_t from = 0, to = 0; /* of the run, inside the data */
    ow_window_range(run, w->in[2], stride, at, &from, &to);
    for (int64_t r = 0; r < from; r++)
      row[i + r] = 0.0f;
    if (stride == 1 && to > from)
      memcpy(row + i + from, line_x + at + from, (size_t)(to - from) * sizeof *row);
    else
      for (int64_t r = from; r < to; r++)
        row[i + r] = ow_fast_scalar(line_x + at + r * stride);
    for (int64_t r = to; r < run; r++)
      row[i + r] = 0.0f;
    i += run;
  }
}

static void add_bias(float *y, int64_t pitch, int64_t rows, int64_t cols, const float *bias) {
  for (int64_t i = 0; i < rows; i++) {
    const vf b = v_set(ow_fast_scalar(bias + i));
    for (int64_t j = 0; j < cols; j += W) {
      const vm m = v_first(cols - j);
      v_store_masked(y + i * pitch + j, m, v_load_masked(y + i * pitch + j, m) + b);
    }
  }
}

static void run_task(void *context, int64_t task, int thread) {
  const job *const j = context;
  const state *const s = j->s;
  const ow_window3 *const w = &s->w;
  const int64_t chunk = task % s->chunks, group = task / s->chunks % s->groups, image = task / s->chunks / s->groups;
  const float *const x = j->x + (image * s->groups + group) * s->each_in * w->in_count;
  float *const y = j->y + (image * s->groups + group) * s->each_out * w->out_count;
  const float *const packed = j->packed + group * s->each_out * s->taps;
  float *const panel = (float *)(void *)(j->workspace + (size_t)thread * s->thread_bytes);
  const int64_t end = (chunk + 1) * s->chunk < s->panels ? (chunk + 1) * s->chunk : s->panels;
  for (int64_t p = chunk * s->chunk; p < end; p++) {
    const int64_t first = p * NR, cols = w->out_count - first < NR ? w->out_count - first : NR;
    for (int64_t k0 = 0; k0 < s->taps; k0 += s->block_k) {
      const int64_t kn = s->taps - k0 < s->block_k ? s->taps - k0 : s->block_k;
      for (int64_t k = 0; k < kn; k++) {
        const int64_t channel = (k0 + k) / w->kernel_count, inside = (k0 + k) % w->kernel_count;
        const int64_t tap[3] = {inside / (w->kernel[1] * w->kernel[2]), inside / w->kernel[2] % w->kernel[1],
                                inside % w->kernel[2]};
        gather_tap(w, x + channel * w->in_count, tap, first, cols, panel + k * NR);
        for (int64_t i = cols; i < NR; i++)
          panel[k * NR + i] = 0.0f;
      }
      for (int64_t o = 0; o < s->each_out; o += MR) {
        const int64_t rows = s->each_out - o < MR ? s->each_out - o : MR;
        OW_ISA_NAME(ow_gemm_tile)
        (rows, cols, kn, packed + o * s->taps + k0 * rows, panel, NR, y + o * w->out_count + first, w->out_count,
         k0 > 0);
      }
    }
    if (j->bias)
      add_bias(y + first, w->out_count, s->each_out, cols, j->bias + group * s->each_out);
  }
}

static bool supports(const ow_args *a, ow_why *why) {
  if (!ow_fast_f32(a, why))
    return false;
  return a->constant[1] || ow_refuse(why, "the weights are not constant");
}

static uint64_t pack_slots(const ow_args *a) { return a->constant[1] ? 2 : 0; }
static uint32_t pack_variant(const ow_args *a, size_t slot) {
  return (void)slot, (uint32_t)ow_node_int(a->node, "group", 1);
}

static onward_status pack(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {
  const onward_tensor *const w = a->in[slot];
  const int64_t groups = ow_node_int(a->node, "group", 1), each_out = w->dims[0] / groups;
  const int64_t taps = ow_dims_product(w->dims, 1, w->rank);
  float *const packed = ow_alloc(a->allocator, w->bytes);
  if (!packed)
    return ow_node_fail(a->node, err, ONWARD_MEMORY, "out of memory packing input %zu (%zu bytes)", slot, w->bytes);
  for (int64_t g = 0; g < groups; g++)
    pack_tiles(packed + g * each_out * taps, (const float *)w->data + g * each_out * taps, each_out, taps);
  *out = (ow_packed){.data = packed, .bytes = w->bytes, .replaces_source = true};
  return ONWARD_OK;
}

static onward_status prepare(const ow_args *a, void *memory, size_t *workspace, onward_error *err) {
  state *const s = memory;
  const onward_tensor *const x = a->in[0], *const weight = a->in[1], *const y = a->out[0];
  const ow_window window = ow_window_read(a->node, x->rank - 2, weight->dims + 2);
  *s = (state){.w = ow_window3_of(&window, x->dims + 2, y->dims + 2),
               .images = x->dims[0],
               .groups = ow_node_int(a->node, "group", 1),
               .each_in = weight->dims[1]};
  s->each_out = weight->dims[0] / s->groups;
  s->taps = s->each_in * s->w.kernel_count;
  s->panels = ow_gemm_panels(s->w.out_count);
  s->block_k = ow_gemm_block_k(s->taps);
  s->chunk = ow_fast_chunk(a->threads, s->images * s->groups, s->panels, (double)s->taps * (double)s->each_out * NR);
  s->chunks = (s->panels + s->chunk - 1) / s->chunk;
  s->thread_bytes = (size_t)s->block_k * NR * sizeof(float);
  if (!ow_size_mul(s->thread_bytes, (size_t)(a->threads > 0 ? a->threads : 1), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  return ONWARD_OK;
}

static onward_status run(const ow_args *a, void *memory, onward_error *err) {
  (void)err;
  const state *const s = memory;
  const onward_tensor *const bias = ow_fast_in(a, 2);
  const int64_t tasks = s->images * s->groups * s->chunks;
  job j = {s, a->in[0]->data, bias ? bias->data : NULL, a->packed[1], a->out[0]->data, a->workspace};
  if (tasks == 0 || s->each_out == 0)
    return ONWARD_OK;
  if (s->taps == 0) { /* no input channels: only the bias is left */
    memset(a->out[0]->data, 0, a->out[0]->bytes);
    for (int64_t i = 0; i < s->images * s->groups && j.bias; i++)
      add_bias(j.y + i * s->each_out * s->w.out_count, s->w.out_count, s->each_out, s->w.out_count,
               j.bias + i % s->groups * s->each_out);
    return ONWARD_OK;
  }
  const double work =
      (double)s->images * (double)s->groups * (double)s->each_out * (double)s->taps * (double)s->w.out_count;
  ow_parallel(work < 5e5 ? 1 : a->threads, tasks, run_task, &j);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_conv) = {.name = OW_ISA_STRING("conv"),
                                        .cpu = OW_ISA_CPU,
                                        .flags = OW_KERNEL_UNALIGNED,
                                        .supports = supports,
                                        .pack_slots = pack_slots,
                                        .pack_variant = pack_variant,
                                        .pack = pack,
                                        .state_size = sizeof(state),
                                        .prepare = prepare,
                                        .run = run};
