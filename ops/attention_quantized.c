/* ONNX Runtime's QAttention: Attention whose input and weights are of 8 bits. Inputs: input, weight, bias, input_scale, weight_scale,
 * mask_index?, input_zero_point?, weight_zero_point?, past?. */
#include "ops/attention_fast.h"
#include "ops/contrib_mask.h"
#include "ops/cpu/fast.h"

enum { QATT_X, QATT_WEIGHT, QATT_BIAS, QATT_X_SCALE, QATT_SCALE, QATT_MASK, QATT_X_ZERO, QATT_ZERO, QATT_PAST };
static const size_t qatt_slots[OW_ATT_INPUTS] = {QATT_X,    QATT_WEIGHT, QATT_BIAS, QATT_MASK,
                                                 QATT_PAST, SIZE_MAX,    SIZE_MAX};

static onward_status qatt_infer(ow_infer *c) {
  const uint32_t bytes = OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_UINT8);
  const onward_dtype dtype = c->in[QATT_BIAS].dtype;
  static const size_t params[] = {QATT_X_SCALE, QATT_SCALE, QATT_X_ZERO, QATT_ZERO};
  OW_TRY(ow_infer_types(c, QATT_X, bytes));
  OW_TRY(ow_infer_types(c, QATT_WEIGHT, bytes));
  OW_TRY(ow_infer_types(c, QATT_BIAS, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, QATT_X_SCALE, OW_BIT(dtype)));
  OW_TRY(ow_infer_types(c, QATT_SCALE, OW_BIT(dtype)));
  OW_TRY(ow_infer_types(c, QATT_X_ZERO, OW_BIT(c->in[QATT_X].dtype)));
  OW_TRY(ow_infer_types(c, QATT_ZERO, OW_BIT(c->in[QATT_WEIGHT].dtype)));
  const ow_shape *w = &c->in[QATT_WEIGHT].shape;
  for (size_t i = 0; i < 4; i++) {
    const ow_shape *s = &c->in[params[i]].shape;
    OW_TRY(ow_infer_rank(c, params[i], 0, 1));
    if (!ow_infer_has(c, params[i]) || s->rank != 1 || ow_dim_is(s->dims[0], 1) || w->rank != 2)
      continue;
    OW_TRY(ow_infer_equal(c, s->dims[0], i % 2 ? w->dims[1] : ow_dim_const(1), "length of a scale or zero point"));
  }
  ow_type in[OW_ATT_INPUTS] = {{0}};
  for (size_t i = 0; i < OW_ATT_INPUTS; i++)
    if (qatt_slots[i] < c->in_count)
      in[i] = c->in[qatt_slots[i]];
  in[OW_ATT_X].dtype = in[OW_ATT_WEIGHT].dtype = dtype;
  ow_infer plain = *c;
  plain.in = in;
  plain.in_count = OW_ATT_INPUTS;
  OW_TRY(ow_att_infer(&plain));
  c->pending = plain.pending;
  return ONWARD_OK;
}

/* The operands in Attention's places. */
static ow_args qatt_plain(const ow_args *a, const onward_tensor *in[OW_ATT_INPUTS]) {
  ow_args plain = *a;
  for (size_t i = 0; i < OW_ATT_INPUTS; i++)
    in[i] = qatt_slots[i] < a->in_count ? a->in[qatt_slots[i]] : NULL;
  plain.in = in;
  plain.in_count = OW_ATT_INPUTS;
  return plain;
}

static onward_status qatt_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  const onward_tensor *in[OW_ATT_INPUTS];
  const ow_args plain = qatt_plain(a, in);
  return ow_att_prepare(&plain, state, workspace, err);
}

static double qatt_param(const onward_tensor *t, int64_t column) {
  return t ? ow_load(t->dtype, t->data, ow_count(t) == 1 ? 0 : column) : 0.0;
}

/* Rows of (input - zero) * (weights - zeros), exact in double, then scaled and with their bias. */
static void qatt_project(void *context, int64_t from, int64_t to) {
  const ow_args *const a = context;
  const onward_tensor *x = a->in[QATT_X], *w = a->in[QATT_WEIGHT], *bias = a->in[QATT_BIAS];
  const onward_tensor *zeros = ow_args_in(a, QATT_ZERO), *scales = a->in[QATT_SCALE];
  const int64_t inner = w->dims[0], columns = w->dims[1];
  const double x_zero = qatt_param(ow_args_in(a, QATT_X_ZERO), 0), x_scale = qatt_param(a->in[QATT_X_SCALE], 0);
  for (int64_t row = from; row < to; row++) {
    double *const sums = (double *)a->workspace + row * columns;
    memset(sums, 0, (size_t)columns * sizeof *sums);
    for (int64_t k = 0; k < inner; k++) {
      const double v = ow_load(x->dtype, x->data, row * inner + k) - x_zero;
      for (int64_t n = 0; n < columns; n++)
        sums[n] += v * (ow_load(w->dtype, w->data, k * columns + n) - qatt_param(zeros, n));
    }
    for (int64_t n = 0; n < columns; n++)
      sums[n] = sums[n] * x_scale * qatt_param(scales, n) + ow_load(bias->dtype, bias->data, n);
  }
}

static onward_status qatt_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *in[OW_ATT_INPUTS];
  const ow_args plain = qatt_plain(a, in);
  ow_args own = *a;
  ow_att_run(&plain, qatt_project, &own);
  return ONWARD_OK;
}

/* ---- the product by exact sums of 8 bits, the heads by the tiled attention ------------------------------------------------------- */

static const ow_kernel *qatt_product(void) {
  static const ow_kernel *const levels[] = {OW_FAST_QUANTIZED(qattention_product) NULL};
  const ow_kernel *const *level = levels;
  while (level[1] && (ow_cpu_flags() & (*level)->cpu) != (*level)->cpu)
    level++;
  return *level;
}

/* What the product is called with; its result x stands behind its workspace, and what the heads want behind that. */
typedef struct qatt_room {
  ow_args args;
  onward_tensor x, *out[1];
  size_t x_at, heads_at;
} qatt_room;

static bool qatt_layout(const ow_args *a, size_t product_bytes, qatt_room *r) {
  r->args = *a;
  r->x = *a->in[QATT_X];
  r->x.dtype = ONWARD_FLOAT32;
  r->x.dims[2] = a->in[QATT_WEIGHT]->dims[1];
  r->out[0] = &r->x;
  r->args.out = r->out;
  r->args.out_count = 1;
  return ow_tensor_size(ONWARD_FLOAT32, 3, r->x.dims, &r->x.bytes) && ow_size_align(product_bytes, 64, &r->x_at) &&
         ow_size_add(r->x_at, r->x.bytes, &r->heads_at) && ow_size_align(r->heads_at, 64, &r->heads_at);
}

static bool qatt_fast_supports(const ow_args *a, ow_why *why) {
  const onward_tensor *in[OW_ATT_INPUTS];
  const ow_args plain = qatt_plain(a, in);
  qatt_room r;
  if (!qatt_layout(a, 0, &r))
    return ow_refuse(why, "the product is too large");
  return ow_attention_heads_supports(&plain, why) && qatt_product()->supports(&r.args, why);
}

typedef struct qatt_state {
  _Alignas(8) char product[OW_QUANTIZED_STATE];
  size_t product_bytes;
} qatt_state;

static onward_status qatt_fast_prepare(const ow_args *a, void *memory, size_t *workspace, onward_error *err) {
  qatt_state *const s = memory;
  const onward_tensor *in[OW_ATT_INPUTS];
  const ow_args plain = qatt_plain(a, in);
  qatt_room r;
  size_t heads;
  bool fits = qatt_layout(a, 0, &r);
  if (fits)
    OW_TRY(qatt_product()->prepare(&r.args, s->product, &s->product_bytes, err));
  fits = fits && qatt_layout(a, s->product_bytes, &r) && ow_attention_heads_workspace(&plain, &r.x, &heads) &&
         ow_size_add(r.heads_at, heads, workspace);
  return fits ? ONWARD_OK : ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
}

static onward_status qatt_fast_run(const ow_args *a, void *memory, onward_error *err) {
  qatt_state *const s = memory;
  const onward_tensor *in[OW_ATT_INPUTS];
  const ow_args plain = qatt_plain(a, in);
  qatt_room r;
  if (!qatt_layout(a, s->product_bytes, &r))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "the workspace is too large");
  r.x.data = (char *)a->workspace + r.x_at;
  OW_TRY(qatt_product()->run(&r.args, s->product, err));
  return ow_attention_heads_run(&plain, &r.x, (char *)a->workspace + r.heads_at, err);
}

static uint64_t qatt_fast_slots(const ow_args *a) { return qatt_product()->pack_slots(a); }
static onward_status qatt_fast_pack(const ow_args *a, size_t slot, ow_packed *out, onward_error *err) {
  return qatt_product()->pack(a, slot, out, err);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------------- */

static const ow_kernel qatt_fast = {.name = "qattention_tiled",
                                    .flags = OW_KERNEL_UNALIGNED,
                                    .supports = qatt_fast_supports,
                                    .pack_slots = qatt_fast_slots,
                                    .pack = qatt_fast_pack,
                                    .state_size = sizeof(qatt_state),
                                    .prepare = qatt_fast_prepare,
                                    .run = qatt_fast_run};
static const ow_kernel qatt_reference = {
    .name = "qattention_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = qatt_prepare, .run = qatt_run};
static const ow_kernel *const qatt_kernels[] = {&qatt_fast, &qatt_reference, NULL};
static const ow_attr_spec qatt_attrs[] = {
    {"do_rotary", OW_ATTR_INT, false}, {"mask_filter_value", OW_ATTR_FLOAT, false},
    {"num_heads", OW_ATTR_INT, true},  {"past_present_share_buffer", OW_ATTR_INT, false},
    {"scale", OW_ATTR_FLOAT, false},   {"unidirectional", OW_ATTR_INT, false},
    {NULL, OW_ATTR_NONE, false}};
static const ow_carry qatt_carry[] = {{1, QATT_PAST, 3}};

const ow_op ow_ops_attention_quantized[] = {{.domain = "com.microsoft",
                                             .name = "QAttention",
                                             .since = 1,
                                             .min_inputs = 5,
                                             .max_inputs = 9,
                                             .min_outputs = 1,
                                             .max_outputs = 2,
                                             .attrs = qatt_attrs,
                                             .infer = qatt_infer,
                                             .carry = qatt_carry,
                                             .carry_count = 1,
                                             .kernels = qatt_kernels},
                                            {.name = NULL}};
