/* Where: picks elements of two inputs by a third; the one that is not picked is never computed with. */
#include "ops/cpu/fast.h"
#include "ops/op_help.h"

/* Offset in an operand's elements of position n of the output. */
static int64_t operand_offset(const ow_shape *out, const ow_shape *in, int64_t n) {
  int64_t offset = 0, step = 1;
  for (int32_t d = out->rank - 1, e = in->rank - 1; e >= 0; d--, e--) {
    if (in->dims[e].k != 1)
      offset += n % out->dims[d].k * step;
    n /= out->dims[d].k;
    step *= in->dims[e].k;
  }
  return offset;
}

/* One branch may be unknown as long as it is never picked. */
static onward_status where_elems(ow_infer *c) {
  const ow_shape *shape = &c->out[0].shape;
  const int64_t total = ow_small_count(shape);
  size_t count;
  const ow_dim *elems[3];
  for (size_t i = 0; i < 3; i++)
    elems[i] = ow_infer_elems(c, i, &count);
  if (total < 0 || !elems[0])
    return ONWARD_OK;
  ow_dim *result = ow_infer_alloc_elems(c, (size_t)total);
  if (!result)
    return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
  for (int64_t n = 0; n < total; n++) {
    const ow_dim condition = elems[0][operand_offset(shape, &c->in[0].shape, n)];
    if (!ow_dim_is_const(condition))
      return ONWARD_OK;
    const size_t pick = condition.k ? 1 : 2;
    if (!elems[pick])
      return ONWARD_OK;
    result[n] = elems[pick][operand_offset(shape, &c->in[pick].shape, n)];
  }
  return ow_infer_set_elems(c, 0, result, (size_t)total);
}

static onward_status infer_where(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_BOOL)));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_types(c, 2, OW_TYPES_MOVABLE));
  OW_TRY(ow_infer_alike(c, 1, 2));
  OW_TRY(ow_infer_broadcast_all(c, c->in[1].dtype));
  return where_elems(c);
}

typedef uint8_t any8 __attribute__((aligned(1), may_alias));
typedef uint16_t any16 __attribute__((aligned(1), may_alias));
typedef uint32_t any32 __attribute__((aligned(1), may_alias));
typedef uint64_t any64 __attribute__((aligned(1), may_alias));
typedef struct __attribute__((packed, may_alias)) {
  uint64_t low, high;
} any128;

#define PICK(T)                                                                                                        \
  static void pick_##T(const uint8_t *k, int64_t sk, const void *px, int64_t sx, const void *py, int64_t sy, void *po, \
                       int64_t n) {                                                                                    \
    const T *const x = px, *const y = py;                                                                              \
    T *const o = po;                                                                                                   \
    for (int64_t i = 0; i < n; i++)                                                                                    \
      o[i] = k[i * sk] ? x[i * sx] : y[i * sy];                                                                        \
  }
PICK(any8)
PICK(any16)
PICK(any32)
PICK(any64)
PICK(any128)

typedef struct where_job {
  ow_nd nd;
  const ow_args *args;
  size_t size;
} where_job;

static void where_rows(void *context, int64_t from, int64_t to) {
  const where_job *const j = context;
  const ow_nd *const nd = &j->nd;
  const int32_t last = nd->rank - 1;
  const int64_t sk = nd->strides[1][last], sx = nd->strides[2][last], sy = nd->strides[3][last];
  const int64_t size = (int64_t)j->size;
  ow_nd_at at;
  ow_nd_seek(nd, &at, from);
  for (int64_t r = from; r < to; r++, ow_nd_next(nd, &at)) {
    char *const out = (char *)j->args->out[0]->data + at.offset[0] * size;
    const uint8_t *const k = (const uint8_t *)j->args->in[0]->data + at.offset[1];
    const char *const x = (const char *)j->args->in[1]->data + at.offset[2] * size;
    const char *const y = (const char *)j->args->in[2]->data + at.offset[3] * size;
    if (size == 4)
      pick_any32(k, sk, x, sx, y, sy, out, nd->inner);
    else if (size == 8)
      pick_any64(k, sk, x, sx, y, sy, out, nd->inner);
    else if (size == 2)
      pick_any16(k, sk, x, sx, y, sy, out, nd->inner);
    else if (size == 1)
      pick_any8(k, sk, x, sx, y, sy, out, nd->inner);
    else
      pick_any128(k, sk, x, sx, y, sy, out, nd->inner);
  }
}

static onward_status run_where(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  where_job j = {.args = a, .size = ow_dtype_size(a->out[0]->dtype)};
  ow_nd_broadcast(&j.nd, a->out[0], a->in, 3);
  if (j.nd.rows > 0 && j.nd.inner > 0)
    ow_parallel_ranges(a->threads, j.nd.rows, 32768 / j.nd.inner, where_rows, &j);
  return ONWARD_OK;
}

static const ow_kernel where_reference = {.name = "where_reference", .flags = OW_KERNEL_UNALIGNED, .run = run_where};
static const ow_kernel *const where_kernels[] = {OW_FAST_WHERE & where_reference, NULL};
static const ow_inplace branches[] = {{0, 1}, {0, 2}};

const ow_op ow_ops_where[] = {
    {.domain = "",
     .name = "Where",
     .since = 9,
     .min_inputs = 3,
     .max_inputs = 3,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = infer_where,
     .inplace = branches,
     .inplace_count = 2,
     .kernels = where_kernels},
    {.name = NULL},
};
