/* ONNX Runtime's Attention, MultiHeadAttention and GroupQueryAttention on the tiled attention, by mha.c. */
#include "ops/attention_fast.h"

#include "ops/contrib_mask.h"
#include "ops/matmul_reference.h"
#include "ops/mha.h"

#define MOST_HEADS 256 /* mha.c: room for sinks */

/* Everything is float32 or of 16 bits, and nothing is there that mha.c does not know. */
static bool supports_inputs(const ow_args *a, size_t known, ow_why *why) {
  for (size_t i = known; i < a->in_count; i++)
    if (a->in[i])
      return ow_refuse(why, "input %zu", i);
  for (size_t i = 0; i < known && i < a->in_count; i++)
    if (a->in[i] && a->in[i]->dtype == ONWARD_FLOAT64)
      return ow_refuse(why, "input %zu is %s, want float32, float16 or bfloat16", i,
                       onward_dtype_name(a->in[i]->dtype));
  if (!a->out[0])
    return ow_refuse(why, "output 0 is not wanted");
  if (ow_node_int(a->node, "num_heads", 1) > MOST_HEADS)
    return ow_refuse(why, "more than %d heads", MOST_HEADS);
  return true;
}

/* ---- Attention: x, weight, bias?, mask?, past?, attention_bias? ------------------------------------------------------------------- */

/* x: the product, float32 or of the input's type. */
static void attention_read(const ow_args *a, const onward_tensor *x, ow_mha *h) {
  const onward_tensor *past = ow_args_in(a, OW_ATT_PAST), *present = ow_args_out(a, 1),
                      *bias = ow_args_in(a, OW_ATT_BIAS);
  const int64_t heads = ow_node_int(a->node, "num_heads", 1), total = x->dims[2];
  int64_t sizes[3];
  (void)ow_att_widths(a->node, total, sizes);
  *h = (ow_mha){.batch = x->dims[0],
                .heads = heads,
                .kv_heads = heads,
                .queries = x->dims[1],
                .fresh = x->dims[1],
                .size = sizes[0] / heads,
                .v_size = sizes[2] / heads,
                .past_k = ow_heads_cache(a->node, 0, past, 0),
                .past_v = ow_heads_cache(a->node, 0, past, 1),
                .present_k = ow_heads_cache(a->node, 0, present, 0),
                .present_v = ow_heads_cache(a->node, 0, present, 1),
                .out = a->out[0],
                .mask = ow_args_in(a, OW_ATT_MASK),
                .bias = ow_args_in(a, OW_ATT_ADDED),
                .mask_value = ow_node_float(a->node, "mask_filter_value", -10000.0f),
                .causal = ow_node_int(a->node, "unidirectional", 0) != 0};
  h->past = h->past_k.length;
  h->capacity = h->past + h->fresh;
  const float scale = ow_node_float(a->node, "scale", 0.0f);
  h->scale = scale != 0.0f ? scale : 1.0f / sqrtf((float)h->size);
  const int64_t row = x->dims[1] * total;
  h->q = (ow_mha_rows){x, 0, row, total, h->size, bias, 0};
  h->k = (ow_mha_rows){x, sizes[0], row, total, h->size, bias, sizes[0]};
  h->v = (ow_mha_rows){x, sizes[0] + sizes[1], row, total, h->v_size, bias, sizes[0] + sizes[1]};
}

typedef struct product_out {
  float *to;
  int64_t base, columns;
} product_out;
static void product_emit(void *context, int64_t row, int64_t from, int64_t count, const double *sums,
                         const int64_t *int_sums) {
  (void)int_sums;
  const product_out *o = context;
  for (int64_t i = 0; i < count; i++)
    o->to[o->base + row * o->columns + from + i] = (float)sums[i];
}
typedef struct product_job {
  product_out out;
  void *workspace;
} product_job;
static void product_one(void *context, const ow_product *p, int64_t base) {
  product_job *j = context;
  j->out.base = base;
  j->out.columns = p->n;
  ow_product_run(p, j->workspace, product_emit, &j->out);
}

/* The product's place: its own workspace, then the result, then what mha.c wants. */
typedef struct attention_room {
  onward_tensor x;
  size_t x_at, heads_at;
} attention_room;

static bool attention_layout(const ow_args *a, attention_room *r) {
  *r = (attention_room){.x = *a->in[0]};
  size_t bytes;
  r->x.dtype = ONWARD_FLOAT32;
  r->x.dims[2] = a->in[OW_ATT_WEIGHT]->dims[1];
  if (!ow_product_workspace(a->in[0]->dims[2], &r->x_at) || !ow_size_align(r->x_at, 64, &r->x_at) ||
      !ow_size_mul((size_t)(r->x.dims[0] * r->x.dims[1]), (size_t)r->x.dims[2], &bytes) ||
      !ow_size_mul(bytes, sizeof(float), &bytes))
    return false;
  r->x.bytes = bytes;
  return ow_size_align(bytes, 64, &bytes) && ow_size_add(r->x_at, bytes, &r->heads_at);
}

static onward_status attention_prepare_on(const ow_args *a, const ow_attention_core *core, size_t *workspace,
                                          onward_error *err) {
  attention_room r;
  ow_mha h;
  size_t bytes;
  if (!attention_layout(a, &r))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  attention_read(a, &r.x, &h);
  if (!ow_mha_workspace(&h, core, a->threads, &bytes) || !ow_size_add(r.heads_at, bytes, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  return ONWARD_OK;
}

static onward_status attention_run_on(const ow_args *a, const ow_attention_core *core, onward_error *err) {
  attention_room r;
  ow_mha h;
  if (!attention_layout(a, &r))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  r.x.data = (char *)a->workspace + r.x_at;
  product_job job = {{.to = r.x.data}, a->workspace};
  ow_matmul_each(a->in[0], a->in[OW_ATT_WEIGHT], &r.x, false, false, product_one, &job);
  attention_read(a, &r.x, &h);
  return ow_mha_run(a, &h, core, (char *)a->workspace + r.heads_at, err);
}

bool ow_attention_heads_supports(const ow_args *a, ow_why *why) { return supports_inputs(a, OW_ATT_PAST_LENGTH, why); }

bool ow_attention_heads_workspace(const ow_args *a, const onward_tensor *x, size_t *bytes) {
  ow_mha h;
  attention_read(a, x, &h);
  return ow_mha_workspace(&h, ow_attention_core_fast(), a->threads, bytes);
}

onward_status ow_attention_heads_run(const ow_args *a, const onward_tensor *x, void *workspace, onward_error *err) {
  ow_mha h;
  attention_read(a, x, &h);
  return ow_mha_run(a, &h, ow_attention_core_fast(), workspace, err);
}

/* ---- MultiHeadAttention: query, key?, value?, bias?, mask?, attention_bias?, past_key?, past_value? ------------------------------- */

static ow_mha_rows mha_rows(const onward_tensor *x, int64_t heads, int64_t size, int64_t packed, int64_t which,
                            const onward_tensor *bias, int64_t bias_offset) {
  if (x->rank == 4)
    return (ow_mha_rows){x, 0, x->dims[1] * x->dims[2] * size, size, x->dims[2] * size, NULL, 0};
  const int64_t row = packed * heads * size;
  return (ow_mha_rows){x, which * size, x->dims[1] * row, row, packed * size, bias, bias_offset};
}

static void mha_read(const ow_args *a, ow_mha *h) {
  const onward_tensor *q = a->in[OW_MHA_Q], *k = ow_args_in(a, OW_MHA_K), *v = ow_args_in(a, OW_MHA_V);
  const onward_tensor *bias = ow_args_in(a, OW_MHA_BIAS);
  const int64_t heads = ow_node_int(a->node, "num_heads", 1), size = q->rank == 5 ? q->dims[4] : q->dims[2] / heads;
  *h = (ow_mha){.batch = q->dims[0],
                .heads = heads,
                .kv_heads = heads,
                .queries = q->dims[1],
                .fresh = !k             ? q->dims[1]
                         : k->rank == 4 ? k->dims[2]
                                        : k->dims[1],
                .size = size,
                .v_size = !v             ? size
                          : v->rank == 4 ? v->dims[3]
                                         : v->dims[2] / heads,
                .past_k = ow_heads_cache(a->node, 0, ow_args_in(a, OW_MHA_PAST_K), 0),
                .past_v = ow_heads_cache(a->node, 1, ow_args_in(a, OW_MHA_PAST_V), 0),
                .present_k = ow_heads_cache(a->node, 0, ow_args_out(a, 1), 0),
                .present_v = ow_heads_cache(a->node, 1, ow_args_out(a, 2), 0),
                .out = a->out[0],
                .mask = ow_args_in(a, OW_MHA_MASK),
                .bias = ow_args_in(a, OW_MHA_ADDED),
                .mask_value = ow_node_float(a->node, "mask_filter_value", -10000.0f),
                .causal = ow_node_int(a->node, "unidirectional", 0) != 0};
  h->past = h->past_k.length;
  h->capacity = h->past + h->fresh;
  const float scale = ow_node_float(a->node, "scale", 0.0f);
  h->scale = scale != 0.0f ? scale : 1.0f / sqrtf((float)size);
  h->q = mha_rows(q, heads, size, q->rank == 5 ? 3 : 1, 0, bias, 0);
  if (!k)
    h->k = mha_rows(q, heads, size, 3, 1, bias, heads * size),
    h->v = mha_rows(q, heads, size, 3, 2, bias, 2 * heads * size);
  else if (!v)
    h->k = mha_rows(k, heads, size, 2, 0, bias, heads * size),
    h->v = mha_rows(k, heads, size, 2, 1, bias, 2 * heads * size);
  else
    h->k = mha_rows(k, heads, size, 1, 0, bias, heads * size),
    h->v = mha_rows(v, heads, h->v_size, 1, 0, bias, 2 * heads * size);
}

/* ---- GroupQueryAttention ---------------------------------------------------------------------------------------------------- */

/* keys: room when there is no present */
static void gqa_read(const ow_args *a, ow_mha *h) {
  const onward_tensor *q = a->in[OW_GQA_Q], *k = ow_args_in(a, OW_GQA_K), *v = ow_args_in(a, OW_GQA_V);
  const int64_t heads = ow_node_int(a->node, "num_heads", 1), kv = ow_node_int(a->node, "kv_num_heads", 1);
  const int64_t size = q->dims[2] / (heads + (k ? 0 : 2 * kv)), row = q->dims[2], all = q->dims[1] * row;
  const bool turns = ow_node_int(a->node, "do_rotary", 0) != 0;
  *h = (ow_mha){.batch = q->dims[0],
                .heads = heads,
                .kv_heads = kv,
                .queries = q->dims[1],
                .fresh = q->dims[1],
                .size = size,
                .v_size = size,
                .past_k = ow_heads_cache(a->node, 0, ow_args_in(a, OW_GQA_PAST_K), 0),
                .past_v = ow_heads_cache(a->node, 1, ow_args_in(a, OW_GQA_PAST_V), 0),
                .present_k = ow_heads_cache(a->node, 0, ow_args_out(a, 1), 0),
                .present_v = ow_heads_cache(a->node, 1, ow_args_out(a, 2), 0),
                .out = a->out[0],
                .bias = ow_args_in(a, OW_GQA_ADDED),
                .softcap = ow_node_float(a->node, "softcap", 0.0f),
                .causal = true,
                .dead_zero = true,
                .smooth = ow_node_int(a->node, "smooth_softmax", 0) > 0,
                .sink = ow_args_in(a, OW_GQA_SINK),
                .lengths = a->in[OW_GQA_LENGTHS],
                .cos = turns ? a->in[OW_GQA_COS] : NULL,
                .sin = turns ? a->in[OW_GQA_SIN] : NULL,
                .positions = turns ? ow_args_in(a, OW_GQA_POSITIONS) : NULL,
                .interleaved = ow_node_int(a->node, "rotary_interleaved", 0) != 0};
  const int64_t window = ow_node_int(a->node, "local_window_size", -1);
  h->window = window > 0 ? window : 0;
  h->past = h->past_k.length;
  h->capacity = h->present_k.x ? h->present_k.length : h->past + h->fresh;
  const float scale = ow_node_float(a->node, "scale", 0.0f);
  h->scale = scale != 0.0f ? scale : 1.0f / sqrtf((float)size);
  h->q = (ow_mha_rows){q, 0, all, row, size, NULL, 0};
  h->k = k ? (ow_mha_rows){k, 0, q->dims[1] * kv * size, kv * size, size, NULL, 0}
           : (ow_mha_rows){q, heads * size, all, row, size, NULL, 0};
  h->v = v ? (ow_mha_rows){v, 0, q->dims[1] * kv * size, kv * size, size, NULL, 0}
           : (ow_mha_rows){q, (heads + kv) * size, all, row, size, NULL, 0};
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static onward_status heads_prepare_on(const ow_args *a, void (*read)(const ow_args *, ow_mha *),
                                      const ow_attention_core *core, size_t *workspace, onward_error *err) {
  ow_mha h;
  read(a, &h);
  if (!ow_mha_workspace(&h, core, a->threads, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  return ONWARD_OK;
}
static onward_status mha_prepare_on(const ow_args *a, const ow_attention_core *core, size_t *bytes, onward_error *err) {
  return heads_prepare_on(a, mha_read, core, bytes, err);
}
static onward_status gqa_prepare_on(const ow_args *a, const ow_attention_core *core, size_t *bytes, onward_error *err) {
  return heads_prepare_on(a, gqa_read, core, bytes, err);
}
static onward_status mha_run_on(const ow_args *a, const ow_attention_core *core, onward_error *err) {
  ow_mha h;
  mha_read(a, &h);
  return ow_mha_run(a, &h, core, a->workspace, err);
}
static onward_status gqa_run_on(const ow_args *a, const ow_attention_core *core, onward_error *err) {
  ow_mha h;
  gqa_read(a, &h);
  OW_TRY(ow_gqa_check(a, &h.prompt, err));
  return ow_mha_run(a, &h, core, a->workspace, err);
}

static bool attention_supports(const ow_args *a, ow_why *why) { return ow_attention_heads_supports(a, why); }
static bool mha_supports(const ow_args *a, ow_why *why) { return supports_inputs(a, OW_MHA_REST, why); }
static bool gqa_supports(const ow_args *a, ow_why *why) {
  if (ow_node_int(a->node, "local_window_size", -1) == 0)
    return ow_refuse(why, "a window of 0");
  return supports_inputs(a, OW_GQA_REST, why);
}

#define FAST_KERNEL(stem, label)                                                                     \
  static onward_status stem##_prepare(const ow_args *a, void *s, size_t *bytes, onward_error *err) { \
    return (void)s, stem##_prepare_on(a, ow_attention_core_fast(), bytes, err);                      \
  }                                                                                                  \
  static onward_status stem##_run(const ow_args *a, void *s, onward_error *err) {                    \
    return (void)s, stem##_run_on(a, ow_attention_core_fast(), err);                                 \
  }                                                                                                  \
  const ow_kernel ow_##stem##_fast = {.name = label "_tiled",                                        \
                                      .flags = OW_KERNEL_UNALIGNED,                                  \
                                      .supports = stem##_supports,                                   \
                                      .prepare = stem##_prepare,                                     \
                                      .run = stem##_run}
FAST_KERNEL(attention, "contrib_attention");
FAST_KERNEL(mha, "multi_head_attention");
FAST_KERNEL(gqa, "gqa");
