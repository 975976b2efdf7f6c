/* Scaled dot-product attention as the reference kernels of the exporters' attention operators share it: one query at a time, in
 * double, over a past and new keys. */
#ifndef OW_OPS_SDPA_H
#define OW_OPS_SDPA_H

#include "ops/reference.h"

/* Elements [B, H, S, D] somewhere in x: offset and strides in elements; D's stride is 1. */
typedef struct ow_heads {
  const onward_tensor *x;
  int64_t heads, length, size; /* H, S, D */
  int64_t offset, b, h, s;
} ow_heads;

/* x dense as [B, heads, length, size], or as [B, length, heads, size]. */
ow_heads ow_heads_outer(const onward_tensor *x, int64_t heads, int64_t length, int64_t size);
ow_heads ow_heads_inner(const onward_tensor *x, int64_t heads, int64_t length, int64_t size);
/* A past or present of the node's carry: [B, H, S, D], or part 0 or 1 of [2, B, H, S, D]; in place S comes first. x NULL: none. */
ow_heads ow_heads_cache(const ow_node *node, size_t carry, const onward_tensor *x, int64_t part);
/* Both are one memory: what is in the past is in the present. */
static inline bool ow_heads_in_place(const ow_heads *past, const ow_heads *present) {
  return past->x && present->x && past->x->data == present->x->data;
}

typedef struct ow_sdpa ow_sdpa;
struct ow_sdpa {
  ow_heads q, k, v;           /* k and v: the new ones */
  ow_heads past_k, past_v;    /* x NULL: none; length is that of the buffer */
  ow_heads out;               /* x NULL: not wanted */
  const onward_tensor *shown; /* [B, H, S, keys] scores as they are after step `mode`; NULL: not wanted */
  int64_t mode;               /* 0 product, 1 softcap, 2 bias, 3 softmax */
  int64_t batch, keys;        /* keys: the most that any row has, past included */
  double scale, softcap;      /* softcap 0: none */
  bool smooth;                /* the softmax has one more term, exp of a sink */
  bool dead_nan;              /* a query that sees no key gets NaN, as from any Softmax, not zeros */
  bool dead_zero;             /* a query with a NaN among its scores gets zeros too */
  const onward_tensor *sink;  /* one per head; NULL: 0 */
  /* How many rows of the past come first, and how many keys there are in all; NULL: all of the past, keys. */
  void (*span)(const ow_sdpa *s, int64_t b, int64_t *past, int64_t *total);
  int64_t (*past_row)(const ow_sdpa *s, int64_t b, int64_t t); /* where in the batch row t of the past is; NULL: b */
  double (*bias)(const ow_sdpa *s, int64_t b, int64_t h, int64_t i, int64_t t); /* added to a score; -INFINITY hides */
  const void *context;
  void *workspace;
};

/* Workspace of one run; false on overflow. */
bool ow_sdpa_workspace(int64_t keys, int64_t v_size, int threads, size_t *bytes);
/* Fills out and shown. */
void ow_sdpa_run(const ow_sdpa *s, int threads);
/* Past and new rows, one after the other, into `to`; rows of `to` past the total keep what the past buffer has there, or zero. In
 * place only the new rows are written, and those zeros. */
void ow_sdpa_join(const ow_sdpa *s, const ow_heads *to, const ow_heads *fresh, const ow_heads *past);

#endif
