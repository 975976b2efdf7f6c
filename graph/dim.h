/* Dimensions that may be symbolic: integers, or polynomials over symbols and opaque atoms (floor division, min, max).
 *
 * An ow_dim is a small value. Equal polynomials are hash-consed, so two dims are provably equal exactly when ow_dim_equal says
 * so; false means "not provable". Arithmetic saturates into an opaque unknown when a coefficient would overflow. */
#ifndef OW_GRAPH_DIM_H
#define OW_GRAPH_DIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/text_out.h"
#include "onward/onward.h"

typedef struct ow_dim {
  int64_t k; /* the value when x is 0, otherwise 0 */
  int32_t x; /* expression in the pool; 0: constant */
} ow_dim;

typedef struct ow_dims ow_dims; /* the pool: one per model variant, and one scratch pool per planning session */

ow_dims *ow_dims_create(const ow_allocator *a);
void ow_dims_free(ow_dims *pool);

static inline ow_dim ow_dim_const(int64_t k) { return (ow_dim){k, 0}; }
static inline bool ow_dim_is_const(ow_dim d) { return d.x == 0; }
static inline bool ow_dim_is(ow_dim d, int64_t k) { return d.x == 0 && d.k == k; }
static inline bool ow_dim_equal(ow_dim a, ow_dim b) { return a.k == b.k && a.x == b.x; }

/* A new symbol (a non-negative integer). name is copied; two symbols may share a name and still differ. */
ow_dim ow_dim_symbol(ow_dims *pool, const char *name);
/* -1 when d is not a plain symbol, otherwise its number, counted from 0 in order of creation */
int32_t ow_dim_symbol_index(const ow_dims *pool, ow_dim d);
int32_t ow_dims_symbol_count(const ow_dims *pool);
const char *ow_dims_symbol_name(const ow_dims *pool, int32_t symbol);

ow_dim ow_dim_add(ow_dims *pool, ow_dim a, ow_dim b);
ow_dim ow_dim_sub(ow_dims *pool, ow_dim a, ow_dim b);
ow_dim ow_dim_mul(ow_dims *pool, ow_dim a, ow_dim b);
ow_dim ow_dim_floordiv(ow_dims *pool, ow_dim a,
                       ow_dim b); /* exact polynomial division where possible; b 0 gives an unknown */
ow_dim ow_dim_truncdiv(ow_dims *pool, ow_dim a, ow_dim b); /* ONNX integer Div */
ow_dim ow_dim_ceildiv(ow_dims *pool, ow_dim a, ow_dim b);
ow_dim ow_dim_mod(ow_dims *pool, ow_dim a, ow_dim b); /* sign of the divisor, as ONNX Mod with fmod=0 */
ow_dim ow_dim_min(ow_dims *pool, ow_dim a, ow_dim b);
ow_dim ow_dim_max(ow_dims *pool, ow_dim a, ow_dim b);

/* What can be proved from symbols being >= 0: true means proven. */
bool ow_dim_proves_ge(const ow_dims *pool, ow_dim a, int64_t k);

/* False when d holds something no symbol decides: an unknown, or a dim from ow_dim_fresh. */
bool ow_dim_evaluable(const ow_dims *pool, ow_dim d);

/* Value of d when symbol i is values[i]; false when an unknown atom or an overflow is in the way. */
bool ow_dim_evaluate(const ow_dims *pool, ow_dim d, const int64_t *values, int32_t value_count, int64_t *out);

/* A non-negative integer that depends on data, equal to nothing else. Not a symbol: it has no number and no value at bind. */
ow_dim ow_dim_fresh(ow_dims *pool);
/* What two dims broadcast to, nothing assumed: the other one where one is 1, either where they are equal. */
ow_dim ow_dim_broadcast(ow_dims *pool, ow_dim a, ow_dim b);
/* Not a dim: what arithmetic gives without memory (then ow_dims_failed is set) and what operators write where a dim waits for
 * data. Arithmetic with it gives it again. */
static inline ow_dim ow_dim_unknown(void) { return (ow_dim){INT64_MIN, -1}; }
static inline bool ow_dim_is_unknown(ow_dim d) { return d.x == -1; }
bool ow_dims_failed(const ow_dims *pool); /* memory ran out at some time; takes NULL */

/* "past + sequence", "12*batch", "768" */
void ow_dim_print(const ow_dims *pool, ow_dim d, ow_out *out);

#endif
