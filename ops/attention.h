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
  int64_t before; /* causal: keys before query 0 */
  int64_t window; /* causal: a query sees so many keys up to its own; 0: all */
} ow_attention;

void ow_attention_read(const ow_args *a, ow_attention *out);

/* Keys that query i may see: the first so many. */
static inline int64_t ow_attention_visible(const ow_attention *t, int64_t query) {
  const int64_t n = t->causal ? query + t->before + 1 : t->keys;
  return n < 0 ? 0 : n > t->keys ? t->keys : n;
}
/* The first of them, where the window begins. */
static inline int64_t ow_attention_first(const ow_attention *t, int64_t query) {
  const int64_t n = t->causal && t->window > 0 ? query + t->before + 1 - t->window : 0;
  return n < 0 ? 0 : n;
}

/* The attention itself, for operators that bring their operands into this form: float32, at the strides of an ow_attention. */
typedef struct ow_attention_operands {
  const float *q, *k, *v, *bias; /* bias: NULL for none */
  const uint8_t *keep;           /* NULL: none */
  const float *sink;             /* one more score per head, of no value; NULL: none */
  float *out;
} ow_attention_operands;

typedef struct ow_attention_core {
  uint32_t cpu; /* OW_CPU_* flags it needs */
  /* false on overflow; more keys never want less */
  bool (*workspace)(const ow_attention *t, int threads, size_t *bytes);
  void (*run)(const ow_attention *t, const ow_attention_operands *operands, void *workspace, int threads);
  void (*widen)(const onward_tensor *x, float *to, int threads); /* operands of float16 or bfloat16; ops/cpu/cast.h */
} ow_attention_core;

/* The best for this CPU. */
const ow_attention_core *ow_attention_core_fast(void);

#endif
