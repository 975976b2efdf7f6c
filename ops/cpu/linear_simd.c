/* The internal Linear by our own packed product. */
#include "ops/cpu/cast.h"
#include "ops/cpu/fast_help.h"
#include "ops/cpu/gemm.h"

#define MAX_PARTS 31 /* pack_slots has 64 bits */

typedef struct state {
  ow_gemm_job job;
  ow_gemm_part parts[MAX_PARTS];
} state;

static bool trans_b(const ow_args *a) { return ow_node_int(a->node, "trans_b", 0) != 0; }

static bool supports(const ow_args *a, ow_why *why) {
  for (size_t i = 0; i < a->in_count; i++)
    if (a->in[i] && a->in[i]->dtype != ONWARD_FLOAT32 && (i % 2 == 0 || a->in[0]->dtype != ONWARD_FLOAT32))
      return ow_refuse(why, "input %zu is %s, want float32", i, onward_dtype_name(a->in[i]->dtype));
  if (a->in_count > 2 * MAX_PARTS + 1)
    return ow_refuse(why, "%zu weights, at most %d", a->in_count / 2, MAX_PARTS);
  for (size_t i = 1; i < a->in_count; i += 2)
    if (!a->constant[i])
      return ow_refuse(why, "weight %zu is not constant", i / 2);
  return true;
}

static uint64_t pack_slots(const ow_args *a) {
  uint64_t slots = 0;
  for (size_t i = 1; i < a->in_count; i += 2)
    slots |= UINT64_C(1) << i;
  return slots;
}

static uint32_t pack_variant(const ow_args *a, size_t slot) { return (void)slot, trans_b(a); }

/* Weights of 16 bits as floats; NULL without memory. */
static float *widen(const ow_args *a, const onward_tensor *w) {
  size_t bytes;
  float *const to = ow_size_mul((size_t)ow_count(w), sizeof *to, &bytes) ? ow_alloc(a->allocator, bytes) : NULL;
  if (to)
    OW_ISA_NAME(ow_widen)(w, to, a->threads);
  return to;
}

static onward_status pack(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {
  const onward_tensor *const w = a->in[slot];
  const bool trans = trans_b(a);
  const int64_t k = w->dims[trans], n = w->dims[!trans];
  size_t bytes;
  if (!OW_ISA_NAME(ow_gemm_packed_bytes)(k, n, &bytes))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "input %zu: the packed weight is too large", slot);
  /* What stays is taken first, or what goes leaves a hole that the next may not fit. */
  out->data = ow_alloc(a->allocator, bytes);
  float *const wide = !out->data || w->dtype == ONWARD_FLOAT32 ? NULL : widen(a, w);
  if (!out->data || (!wide && w->dtype != ONWARD_FLOAT32)) {
    ow_free(a->allocator, out->data);
    out->data = NULL;
    return ow_node_fail(a->node, err, ONWARD_MEMORY, "out of memory packing input %zu (%zu bytes)", slot, bytes);
  }
  out->bytes = bytes;
  out->replaces_source = true;
  OW_ISA_NAME(ow_gemm_pack_weight)(out->data, wide ? wide : w->data, trans ? 1 : n, trans ? k : 1, k, n, a->threads);
  ow_free(a->allocator, wide);
  return ONWARD_OK;
}

static onward_status prepare(const ow_args *a, void *memory, size_t *workspace, onward_error *err) {
  state *const s = memory;
  const onward_tensor *const x = a->in[0];
  const bool trans = trans_b(a);
  ow_gemm_job *const j = &s->job;
  *j = (ow_gemm_job){.m = ow_dims_product(x->dims, 0, x->rank - 1), .k = x->dims[x->rank - 1]};
  j->finish = ow_gemm_finish_of(a->node);
  j->part_count = a->in_count / 2;
  for (size_t i = 0; i < j->part_count; i++) {
    const size_t slot = 2 * i + 1;
    s->parts[i] = (ow_gemm_part){.packed = a->packed[slot], .n = a->in[slot]->dims[!trans]};
    j->c_row += s->parts[i].n;
  }
  if (!OW_ISA_NAME(ow_gemm_workspace)(j->m, j->k, a->threads, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  return ONWARD_OK;
}

static onward_status run(const ow_args *a, void *memory, onward_error *err) {
  (void)err;
  state *const s = memory;
  for (size_t i = 0; i < s->job.part_count; i++) {
    const onward_tensor *const bias = ow_fast_in(a, 2 * i + 2);
    s->parts[i].bias = bias ? bias->data : NULL;
  }
  ow_gemm_job job = s->job;
  job.parts = s->parts;
  job.a = a->in[0]->data;
  job.a_row = job.k;
  job.a_col = 1;
  job.c = a->out[0]->data;
  OW_ISA_NAME(ow_gemm_run)(&job, a->workspace, a->threads);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_linear) = {.name = OW_ISA_STRING("linear"),
                                          .cpu = OW_ISA_CPU,
                                          .flags = OW_KERNEL_UNALIGNED,
                                          .supports = supports,
                                          .pack_slots = pack_slots,
                                          .pack_variant = pack_variant,
                                          .pack = pack,
                                          .state_size = sizeof(state),
                                          .prepare = prepare,
                                          .run = run};
