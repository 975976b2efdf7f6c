/* What com.microsoft's attention operators share: projected heads with a bias, positions turned in, a past in front, masks of integers.
 * An operator fills an ow_mha; the rest is the same for all. */
#ifndef OW_OPS_MHA_H
#define OW_OPS_MHA_H

#include "ops/attention.h"
#include "ops/op_help.h"
#include "ops/sdpa.h"

/* Where new rows lie in a tensor: element strides; the elements of a head are adjacent. */
typedef struct ow_mha_rows {
  const onward_tensor *x;
  int64_t offset, b, s, h;
  const onward_tensor *bias; /* NULL: none; head h begins at bias_offset + h * size */
  int64_t bias_offset;
} ow_mha_rows;

typedef struct ow_mha {
  int64_t batch, heads, kv_heads, queries, fresh, size, v_size; /* fresh: new keys */
  ow_mha_rows q, k, v;
  ow_heads past_k, past_v, present_k, present_v; /* x NULL: none */
  int64_t past, capacity;                        /* rows of the past, of the present or of what stands for it */
  onward_tensor *out;                            /* [batch, queries, heads * v_size] */
  const onward_tensor *mask;                     /* int32: see mha.c; NULL: none */
  const onward_tensor *bias;                     /* [batch|1, heads|1, queries, keys]; NULL: none */
  float mask_value, scale, softcap;
  bool causal, smooth;
  bool dead_zero;               /* a query without a weight gets zeros, not NaN */
  int64_t window;               /* 0: all */
  const onward_tensor *sink;    /* [heads] */
  const onward_tensor *lengths; /* int32, keys of each batch but one: of GroupQueryAttention; NULL: past + fresh each */
  bool prompt;                  /* with lengths: nothing of the past counts, and new rows behind them are padding */
  const onward_tensor *cos, *sin, *positions; /* cos NULL: nothing turns */
  bool interleaved;
} ow_mha;

/* Bytes for a run; false on overflow. */
bool ow_mha_workspace(const ow_mha *h, const ow_attention_core *core, int threads, size_t *bytes);
onward_status ow_mha_run(const ow_args *a, const ow_mha *h, const ow_attention_core *core, void *workspace,
                         onward_error *err);

#endif
