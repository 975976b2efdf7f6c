/* How onward::Attention's operands lie in memory. infer has checked everything; this only reads it off. */
#ifndef OW_OPS_ATTENTION_H
#define OW_OPS_ATTENTION_H

#include "graph/op.h"

enum { OW_ATTENTION_Q, OW_ATTENTION_K, OW_ATTENTION_V, OW_ATTENTION_BIAS, OW_ATTENTION_KEEP };

/* Element strides. s: along queries for q and out, along keys for k and v. */
typedef struct ow_attention_view {
  int64_t offset, b, h, s, d;
} ow_attention_view;

typedef struct ow_attention {
  int64_t batch, heads, kv_heads, queries, keys, head_size, v_head_size;
  ow_attention_view q, k, v, out;
  ow_attention_view bias, keep; /* d: along keys; 0 where broadcast; meaningless when left out */
  float scale, softcap, keep_value;
  bool causal, keep_after, dead_zero;
} ow_attention;

void ow_attention_read(const ow_args *a, ow_attention *out);

/* Keys that query i may see: the first so many. */
static inline int64_t ow_attention_visible(const ow_attention *t, int64_t query) {
  const int64_t n = t->causal ? query + t->keys - t->queries + 1 : t->keys;
  return n < 0 ? 0 : n > t->keys ? t->keys : n;
}

#endif
