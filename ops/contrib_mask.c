#include "ops/contrib_mask.h"

#include <float.h>

static bool contrib_hidden(const ow_contrib_bias *c, int64_t b, int64_t i, int64_t t) {
  const onward_tensor *const m = c->mask;
  const int64_t *const d = m->dims;
  if (m->rank == 1 && d[0] == 2 * c->batch)
    return t >= ow_index_at(m, b) || t < ow_index_at(m, c->batch + b);
  if (m->rank == 1)
    return t >= ow_index_at(m, b);
  const int64_t at = m->rank == 2   ? b * d[1] + t
                     : m->rank == 3 ? (b * d[1] + i) * d[2] + t
                                    : (b * d[2] + c->past + i) * d[3] + t;
  return ow_get_i64(m->dtype, m->data, at) == 0;
}

double ow_contrib_bias_of(const ow_sdpa *s, int64_t b, int64_t h, int64_t i, int64_t t) {
  const ow_contrib_bias *const c = s->context;
  /* the lowest float, not -infinity: a query whose own keys are all biased away looks at the later ones rather than be NaN */
  double bias = c->causal && t > c->past + i            ? -(double)FLT_MAX
                : c->mask && contrib_hidden(c, b, i, t) ? c->filter
                                                        : 0.0;
  if (c->added) {
    const int64_t *const d = c->added->dims, row = (d[0] == 1 ? 0 : b) * d[1] + (d[1] == 1 ? 0 : h);
    bias += ow_load(c->added->dtype, c->added->data, (row * d[2] + i) * d[3] + t);
  }
  return bias;
}

/* queries, keys: S, T */
onward_status ow_contrib_infer_mask(ow_infer *c, size_t slot, ow_dim batch, ow_dim queries, ow_dim keys) {
  if (!ow_infer_has(c, slot))
    return ONWARD_OK;
  OW_TRY(ow_infer_types(c, slot, OW_BIT(ONWARD_INT32)));
  OW_TRY(ow_infer_rank(c, slot, 1, 4));
  const ow_shape *m = &c->in[slot].shape;
  if (m->rank == 1 && ow_dim_is_const(m->dims[0]) && ow_dim_is_const(batch)) {
    const int64_t n = m->dims[0].k, b = batch.k;
    if (n != b && n != 2 * b && n != 3 * b + 2)
      return ow_infer_fail(c, ONWARD_MODEL, "a mask of %lld elements for a batch of %lld", (long long)n, (long long)b);
  }
  if (m->rank >= 2)
    OW_TRY(ow_infer_equal(c, m->dims[0], batch, "the batch of input and mask"));
  if (m->rank == 2 || m->rank == 3)
    OW_TRY(ow_infer_equal(c, m->dims[m->rank - 1], keys, "keys and the mask"));
  if (m->rank == 3)
    OW_TRY(ow_infer_equal(c, m->dims[1], queries, "queries and the mask"));
  if (m->rank == 4) {
    OW_TRY(ow_infer_equal(c, m->dims[1], ow_dim_const(1), "heads of the mask"));
    for (int32_t d = 2; d < 4; d++)
      if (ow_dim_is_const(m->dims[d]) && ow_dim_is_const(keys) && m->dims[d].k < keys.k)
        return ow_infer_fail(c, ONWARD_MODEL, "a mask for %lld positions, there are %lld", (long long)m->dims[d].k,
                             (long long)keys.k);
  }
  return ONWARD_OK;
}

onward_status ow_contrib_infer_added(ow_infer *c, size_t slot, const ow_dim want[4]) {
  OW_TRY(ow_infer_types(c, slot, OW_BIT(c->in[0].dtype)));
  OW_TRY(ow_infer_rank(c, slot, 4, 4));
  for (int32_t d = 0; d < 4 && ow_infer_has(c, slot) && ow_infer_ranked(c, slot); d++)
    if (d > 1 || !ow_dim_is(c->in[slot].shape.dims[d], 1))
      OW_TRY(ow_infer_equal(c, c->in[slot].shape.dims[d], want[d], "a dim of the attention bias"));
  return ONWARD_OK;
}
