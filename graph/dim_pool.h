/* Inside the pool of symbolic dims; for dim*.c only.
 *
 *     poly:  3*batch*sequence - 1    terms, largest monomial first; hash-consed, so equal polynomials share one number
 *     mono:  batch*sequence          atoms in ascending order; 0 is the empty product
 *     atom:  batch, (x)//2, max(..)  what arithmetic does not look into
 *
 * Every expression carries its bounds and the size of its written-out tree. The size is limited, so recursion into arguments
 * is bounded whatever a file asks for. */
#ifndef OW_GRAPH_DIM_POOL_H
#define OW_GRAPH_DIM_POOL_H

#include "base/alloc.h"
#include "graph/dim.h"

#define OW_DIM_TERMS 128  /* of one polynomial */
#define OW_DIM_DEGREE 32  /* of one monomial */
#define OW_DIM_COST 1024u /* atoms and terms of an expression written out */

typedef enum ow_atom_kind {
  OW_ATOM_SYMBOL,
  OW_ATOM_UNKNOWN,
  OW_ATOM_FLOORDIV,
  OW_ATOM_TRUNCDIV,
  OW_ATOM_MOD,
  OW_ATOM_MIN,
  OW_ATOM_MAX,
  OW_ATOM_BROADCAST
} ow_atom_kind;

/* INT64_MIN and INT64_MAX stand for no bound. */
typedef struct ow_bounds {
  int64_t lo, hi;
} ow_bounds;

typedef struct ow_facts {
  ow_bounds bounds;
  uint32_t cost;
  bool open; /* holds an unknown atom */
} ow_facts;

typedef struct ow_atom {
  ow_atom_kind kind;
  ow_dim a, b;
  int32_t symbol;
  const char *name;
  uint64_t hash;
  ow_facts facts;
} ow_atom;

typedef struct ow_mono {
  uint32_t first, degree; /* in mono_atoms */
  uint64_t hash;
  ow_facts facts;
} ow_mono;

typedef struct ow_term {
  int64_t coefficient;
  int32_t mono;
} ow_term;

typedef struct ow_poly {
  uint32_t first, count; /* in terms */
  uint64_t hash;
  ow_facts facts;
} ow_poly;

typedef struct ow_dim_table {
  int32_t *slots; /* numbers of atoms, monos or polys; -1: empty */
  size_t size;    /* a power of two, or 0 */
  size_t used;
} ow_dim_table;

struct ow_dims {
  const ow_allocator *allocator;
  ow_arena names;
  uint64_t seed;
  bool failed;

  ow_atom *atoms;
  size_t atom_count, atom_capacity;
  int32_t *symbols; /* atom of each symbol */
  size_t symbol_count, symbol_capacity;
  ow_mono *monos;
  size_t mono_count, mono_capacity;
  int32_t *mono_atoms;
  size_t mono_atom_count, mono_atom_capacity;
  ow_poly *polys; /* polys[0] is not used */
  size_t poly_count, poly_capacity;
  ow_term *terms;
  size_t term_count, term_capacity;
  ow_dim_table atom_table, mono_table, poly_table;
};

/* A polynomial being built. */
typedef struct ow_sum {
  ow_term terms[OW_DIM_TERMS];
  size_t count;
  bool broken; /* overflow, too long, or no memory */
} ow_sum;

ow_facts ow_dim_facts(const ow_dims *pool, ow_dim d);
/* An unknown of which nothing is known, not even its sign. */
ow_dim ow_dim_opaque(ow_dims *pool);
ow_dim ow_dim_make_atom(ow_dims *pool, ow_atom_kind kind, ow_dim a, ow_dim b);
/* The atom that d is, or -1. */
int32_t ow_dim_atom(const ow_dims *pool, ow_dim d);

void ow_sum_load(const ow_dims *pool, ow_sum *sum, ow_dim d);
void ow_sum_add(const ow_dims *pool, ow_sum *sum, int64_t coefficient, int32_t mono);
ow_dim ow_sum_commit(ow_dims *pool, const ow_sum *sum);
/* -1 when it cannot be had */
int32_t ow_mono_multiply(ow_dims *pool, int32_t a, int32_t b);
int32_t ow_mono_divide(ow_dims *pool, int32_t a, int32_t b);
/* The largest monomial that divides both. */
int32_t ow_mono_common(ow_dims *pool, int32_t a, int32_t b);

bool ow_i64_floordiv(int64_t a, int64_t b, int64_t *out);
bool ow_i64_truncdiv(int64_t a, int64_t b, int64_t *out);

#endif
