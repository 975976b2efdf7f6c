/* The pool of symbolic dims: atoms, monomials and polynomials, each kept once; sums and products. */
#include "graph/dim.h"

#include <string.h>

#include "base/size.h"
#include "graph/dim_pool.h"

/* ---- hashing -------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v) {
  h ^= v;
  h *= UINT64_C(0x9e3779b97f4a7c15);
  h ^= h >> 32;
  h *= UINT64_C(0xd6e8feb86659fd93);
  return h ^ h >> 29;
}

typedef uint64_t (*hash_of_fn)(const ow_dims *pool, int32_t index);

static uint64_t atom_hash(const ow_dims *pool, int32_t i) { return pool->atoms[i].hash; }
static uint64_t mono_hash(const ow_dims *pool, int32_t i) { return pool->monos[i].hash; }
static uint64_t poly_hash(const ow_dims *pool, int32_t i) { return pool->polys[i].hash; }

static bool table_grow(ow_dims *pool, ow_dim_table *table, hash_of_fn hash_of) {
  const size_t size = table->size ? table->size * 2 : 64;
  int32_t *const slots = ow_alloc(pool->allocator, size * sizeof *slots);
  if (!slots)
    return false;
  for (size_t i = 0; i < size; i++)
    slots[i] = -1;
  for (size_t i = 0; i < table->size; i++) {
    if (table->slots[i] < 0)
      continue;
    size_t at = hash_of(pool, table->slots[i]) & (size - 1);
    while (slots[at] >= 0)
      at = (at + 1) & (size - 1);
    slots[at] = table->slots[i];
  }
  ow_free(pool->allocator, table->slots);
  table->slots = slots;
  table->size = size;
  return true;
}

/* Room for one more, so that the insertion after it cannot fail. */
static bool table_reserve(ow_dims *pool, ow_dim_table *table, hash_of_fn hash_of) {
  return (table->used + 1) * 2 <= table->size || table_grow(pool, table, hash_of);
}

static void table_insert(ow_dim_table *table, uint64_t hash, int32_t index) {
  size_t at = hash & (table->size - 1);
  while (table->slots[at] >= 0)
    at = (at + 1) & (table->size - 1);
  table->slots[at] = index;
  table->used++;
}

/* Walks the candidates of a hash: start with *at = SIZE_MAX. -1: no more. */
static int32_t table_next(const ow_dim_table *table, uint64_t hash, size_t *at) {
  if (table->size == 0)
    return -1;
  *at = (*at == SIZE_MAX ? hash : *at + 1) & (table->size - 1);
  return table->slots[*at];
}

/* ---- the pool ------------------------------------------------------------------------------------------------------- */

ow_dims *ow_dims_create(const ow_allocator *a) {
  ow_dims *const pool = ow_alloc_zero(a, 1, sizeof *pool);
  if (!pool)
    return NULL;
  pool->allocator = a;
  pool->seed = mix(UINT64_C(0x2545f4914f6cdd1d), (uint64_t)(uintptr_t)pool);
  ow_arena_init(&pool->names, a);
  if (!ow_reserve(a, &pool->monos, &pool->mono_capacity, 0, 1, sizeof *pool->monos) ||
      !ow_reserve(a, &pool->polys, &pool->poly_capacity, 0, 1, sizeof *pool->polys)) {
    ow_dims_free(pool);
    return NULL;
  }
  pool->monos[0] = (ow_mono){.hash = mix(pool->seed, 0), .facts = {{1, 1}, 1, false}};
  pool->mono_count = 1;
  pool->polys[0] = (ow_poly){0};
  pool->poly_count = 1;
  return pool;
}

void ow_dims_free(ow_dims *pool) {
  if (!pool)
    return;
  const ow_allocator *const a = pool->allocator;
  ow_free(a, pool->atoms);
  ow_free(a, pool->symbols);
  ow_free(a, pool->monos);
  ow_free(a, pool->mono_atoms);
  ow_free(a, pool->polys);
  ow_free(a, pool->terms);
  ow_free(a, pool->atom_table.slots);
  ow_free(a, pool->mono_table.slots);
  ow_free(a, pool->poly_table.slots);
  ow_arena_free(&pool->names);
  ow_free(a, pool);
}

bool ow_dims_failed(const ow_dims *pool) { return pool && pool->failed; }

static ow_dim out_of_memory(ow_dims *pool) {
  if (pool)
    pool->failed = true;
  return ow_dim_unknown();
}

int32_t ow_dims_symbol_count(const ow_dims *pool) { return (int32_t)pool->symbol_count; }

const char *ow_dims_symbol_name(const ow_dims *pool, int32_t symbol) {
  return symbol >= 0 && (size_t)symbol < pool->symbol_count ? pool->atoms[pool->symbols[symbol]].name : "";
}

/* ---- bounds --------------------------------------------------------------------------------------------------------- */

static const ow_bounds no_bounds = {INT64_MIN, INT64_MAX};

static int64_t saturate_add(int64_t a, int64_t b, int64_t open) {
  int64_t sum;
  return a == open || b == open || !ow_i64_add(a, b, &sum) ? open : sum;
}

static int64_t saturate_multiply(int64_t a, int64_t b, int64_t open) {
  int64_t product;
  if (a == 0 || b == 0)
    return 0;
  return a == INT64_MIN || a == INT64_MAX || !ow_i64_mul(a, b, &product) ? open : product;
}

/* coefficient * bounds */
static ow_bounds bounds_scale(ow_bounds b, int64_t coefficient) {
  const int64_t low = coefficient < 0 ? b.hi : b.lo, high = coefficient < 0 ? b.lo : b.hi;
  return (ow_bounds){saturate_multiply(low, coefficient, INT64_MIN), saturate_multiply(high, coefficient, INT64_MAX)};
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t greatest(int64_t a, int64_t b) { return a > b ? a : b; }

static ow_bounds atom_bounds(ow_atom_kind kind, ow_bounds a, ow_bounds b) {
  int64_t low, high;
  switch (kind) {
    case OW_ATOM_SYMBOL:
    case OW_ATOM_BROADCAST: return (ow_bounds){0, INT64_MAX};
    case OW_ATOM_MIN: return (ow_bounds){least(a.lo, b.lo), least(a.hi, b.hi)};
    case OW_ATOM_MAX: return (ow_bounds){greatest(a.lo, b.lo), greatest(a.hi, b.hi)};
    case OW_ATOM_MOD:
      return b.lo < 0 ? no_bounds : (ow_bounds){0, b.hi == INT64_MAX ? INT64_MAX : greatest(b.hi - 1, 0)};
    case OW_ATOM_FLOORDIV:
    case OW_ATOM_TRUNCDIV:
      if (b.lo == b.hi && b.lo > 0 && kind == OW_ATOM_FLOORDIV) {
        low = a.lo == INT64_MIN || !ow_i64_floordiv(a.lo, b.lo, &low) ? INT64_MIN : low;
        high = a.hi == INT64_MAX || !ow_i64_floordiv(a.hi, b.lo, &high) ? INT64_MAX : high;
        return (ow_bounds){low, high};
      }
      return a.lo >= 0 && b.lo >= 0 ? (ow_bounds){0, a.hi} : no_bounds;
    case OW_ATOM_UNKNOWN: break;
  }
  return no_bounds;
}

ow_facts ow_dim_facts(const ow_dims *pool, ow_dim d) {
  if (d.x == 0)
    return (ow_facts){{d.k, d.k}, 1, false};
  if (d.x < 0 || !pool || (size_t)d.x >= pool->poly_count)
    return (ow_facts){no_bounds, 1, true};
  return pool->polys[d.x].facts;
}

/* ---- atoms ---------------------------------------------------------------------------------------------------------- */

static int32_t single_mono(ow_dims *pool, int32_t atom);

static ow_dim dim_of_atom(ow_dims *pool, int32_t atom) {
  const int32_t mono = single_mono(pool, atom);
  if (mono < 0)
    return out_of_memory(pool);
  ow_sum sum;
  sum.count = 1;
  sum.broken = false;
  sum.terms[0] = (ow_term){1, mono};
  return ow_sum_commit(pool, &sum);
}

static int32_t append_atom(ow_dims *pool, const ow_atom *atom) {
  if (pool->atom_count >= INT32_MAX || !ow_reserve(pool->allocator, &pool->atoms, &pool->atom_capacity,
                                                   pool->atom_count, pool->atom_count + 1, sizeof *pool->atoms))
    return -1;
  pool->atoms[pool->atom_count] = *atom;
  return (int32_t)pool->atom_count++;
}

ow_dim ow_dim_symbol(ow_dims *pool, const char *name) {
  const char *const copy = ow_arena_strdup(&pool->names, name ? name : "");
  if (!copy || !ow_reserve(pool->allocator, &pool->symbols, &pool->symbol_capacity, pool->symbol_count,
                           pool->symbol_count + 1, sizeof *pool->symbols))
    return out_of_memory(pool);
  const ow_atom atom = {.kind = OW_ATOM_SYMBOL,
                        .symbol = (int32_t)pool->symbol_count,
                        .name = copy,
                        .facts = {atom_bounds(OW_ATOM_SYMBOL, no_bounds, no_bounds), 1, false}};
  const int32_t index = append_atom(pool, &atom);
  if (index < 0)
    return out_of_memory(pool);
  pool->symbols[pool->symbol_count++] = index;
  return dim_of_atom(pool, index);
}

static ow_dim unknown_atom(ow_dims *pool, ow_bounds bounds) {
  const ow_atom atom = {.kind = OW_ATOM_UNKNOWN, .symbol = -1, .name = "", .facts = {bounds, 1, true}};
  const int32_t index = pool ? append_atom(pool, &atom) : -1;
  return index < 0 ? out_of_memory(pool) : dim_of_atom(pool, index);
}

ow_dim ow_dim_opaque(ow_dims *pool) { return unknown_atom(pool, no_bounds); }
ow_dim ow_dim_fresh(ow_dims *pool) { return unknown_atom(pool, (ow_bounds){0, INT64_MAX}); }

ow_dim ow_dim_make_atom(ow_dims *pool, ow_atom_kind kind, ow_dim a, ow_dim b) {
  const ow_facts fa = ow_dim_facts(pool, a), fb = ow_dim_facts(pool, b);
  if (fa.cost + fb.cost + 1 > OW_DIM_COST)
    return ow_dim_opaque(pool);
  uint64_t hash = mix(pool->seed, (uint64_t)kind);
  hash = mix(mix(hash, (uint64_t)a.k), (uint64_t)a.x);
  hash = mix(mix(hash, (uint64_t)b.k), (uint64_t)b.x);
  for (size_t at = SIZE_MAX;;) {
    const int32_t i = table_next(&pool->atom_table, hash, &at);
    if (i < 0)
      break;
    const ow_atom *const other = &pool->atoms[i];
    if (other->hash == hash && other->kind == kind && ow_dim_equal(other->a, a) && ow_dim_equal(other->b, b))
      return dim_of_atom(pool, i);
  }
  const ow_atom atom = {.kind = kind,
                        .a = a,
                        .b = b,
                        .symbol = -1,
                        .name = "",
                        .hash = hash,
                        .facts = {atom_bounds(kind, fa.bounds, fb.bounds), fa.cost + fb.cost + 1, fa.open || fb.open}};
  if (!table_reserve(pool, &pool->atom_table, atom_hash))
    return out_of_memory(pool);
  const int32_t index = append_atom(pool, &atom);
  if (index < 0)
    return out_of_memory(pool);
  table_insert(&pool->atom_table, hash, index);
  return dim_of_atom(pool, index);
}

int32_t ow_dim_atom(const ow_dims *pool, ow_dim d) {
  if (d.x <= 0)
    return -1;
  const ow_poly *const poly = &pool->polys[d.x];
  const ow_term *const term = &pool->terms[poly->first];
  if (poly->count != 1 || term->coefficient != 1 || pool->monos[term->mono].degree != 1)
    return -1;
  return pool->mono_atoms[pool->monos[term->mono].first];
}

int32_t ow_dim_symbol_index(const ow_dims *pool, ow_dim d) {
  const int32_t atom = ow_dim_atom(pool, d);
  return atom < 0 ? -1 : pool->atoms[atom].symbol;
}

bool ow_dim_evaluable(const ow_dims *pool, ow_dim d) { return !ow_dim_facts(pool, d).open; }

/* ---- monomials ------------------------------------------------------------------------------------------------------ */

static ow_facts mono_facts(const ow_dims *pool, const int32_t *atoms, uint32_t degree) {
  ow_facts facts = {{1, 1}, 1, false};
  for (uint32_t i = 0; i < degree; i++) {
    const ow_facts *const atom = &pool->atoms[atoms[i]].facts;
    if (degree == 1)
      facts.bounds = atom->bounds;
    else if (atom->bounds.lo < 0 || facts.bounds.lo < 0)
      facts.bounds = no_bounds;
    else
      facts.bounds = (ow_bounds){saturate_multiply(facts.bounds.lo, atom->bounds.lo, INT64_MAX),
                                 atom->bounds.hi == INT64_MAX && facts.bounds.hi != 0
                                     ? INT64_MAX
                                     : saturate_multiply(facts.bounds.hi, atom->bounds.hi, INT64_MAX)};
    facts.cost += atom->cost;
    facts.open = facts.open || atom->open;
  }
  return facts;
}

/* atoms ascending; copied. -1 without memory. */
static int32_t mono_intern(ow_dims *pool, const int32_t *atoms, uint32_t degree) {
  if (degree == 0)
    return 0;
  uint64_t hash = mix(pool->seed, degree);
  for (uint32_t i = 0; i < degree; i++)
    hash = mix(hash, (uint64_t)atoms[i]);
  for (size_t at = SIZE_MAX;;) {
    const int32_t i = table_next(&pool->mono_table, hash, &at);
    if (i < 0)
      break;
    const ow_mono *const other = &pool->monos[i];
    if (other->hash == hash && other->degree == degree &&
        memcmp(pool->mono_atoms + other->first, atoms, degree * sizeof *atoms) == 0)
      return i;
  }
  if (pool->mono_count >= INT32_MAX || pool->mono_atom_count > UINT32_MAX - degree ||
      !table_reserve(pool, &pool->mono_table, mono_hash) ||
      !ow_reserve(pool->allocator, &pool->monos, &pool->mono_capacity, pool->mono_count, pool->mono_count + 1,
                  sizeof *pool->monos) ||
      !ow_reserve(pool->allocator, &pool->mono_atoms, &pool->mono_atom_capacity, pool->mono_atom_count,
                  pool->mono_atom_count + degree, sizeof *pool->mono_atoms)) {
    pool->failed = true;
    return -1;
  }
  memcpy(pool->mono_atoms + pool->mono_atom_count, atoms, degree * sizeof *atoms);
  pool->monos[pool->mono_count] =
      (ow_mono){(uint32_t)pool->mono_atom_count, degree, hash, mono_facts(pool, atoms, degree)};
  pool->mono_atom_count += degree;
  table_insert(&pool->mono_table, hash, (int32_t)pool->mono_count);
  return (int32_t)pool->mono_count++;
}

static int32_t single_mono(ow_dims *pool, int32_t atom) { return mono_intern(pool, &atom, 1); }

static const int32_t *mono_atoms(const ow_dims *pool, int32_t mono) {
  return pool->mono_atom_count ? pool->mono_atoms + pool->monos[mono].first : NULL;
}

int32_t ow_mono_multiply(ow_dims *pool, int32_t a, int32_t b) {
  const uint32_t na = pool->monos[a].degree, nb = pool->monos[b].degree;
  if (na == 0 || nb == 0)
    return na == 0 ? b : a;
  if (na + nb > OW_DIM_DEGREE)
    return -1;
  int32_t merged[OW_DIM_DEGREE];
  const int32_t *const pa = mono_atoms(pool, a), *const pb = mono_atoms(pool, b);
  for (uint32_t i = 0, j = 0; i + j < na + nb;)
    if (j == nb || (i < na && pa[i] <= pb[j])) {
      merged[i + j] = pa[i];
      i++;
    } else {
      merged[i + j] = pb[j];
      j++;
    }
  return mono_intern(pool, merged, na + nb);
}

int32_t ow_mono_divide(ow_dims *pool, int32_t a, int32_t b) {
  const uint32_t na = pool->monos[a].degree, nb = pool->monos[b].degree;
  if (nb == 0)
    return a;
  if (na < nb)
    return -1;
  int32_t rest[OW_DIM_DEGREE];
  uint32_t count = 0, j = 0;
  const int32_t *const pa = mono_atoms(pool, a), *const pb = mono_atoms(pool, b);
  for (uint32_t i = 0; i < na; i++)
    if (j < nb && pa[i] == pb[j])
      j++;
    else
      rest[count++] = pa[i];
  return j == nb ? mono_intern(pool, rest, count) : -1;
}

int32_t ow_mono_common(ow_dims *pool, int32_t a, int32_t b) {
  const uint32_t na = pool->monos[a].degree, nb = pool->monos[b].degree;
  int32_t common[OW_DIM_DEGREE];
  uint32_t count = 0;
  const int32_t *const pa = mono_atoms(pool, a), *const pb = mono_atoms(pool, b);
  for (uint32_t i = 0, j = 0; i < na && j < nb;)
    if (pa[i] == pb[j]) {
      common[count++] = pa[i];
      i++;
      j++;
    } else if (pa[i] < pb[j]) {
      i++;
    } else {
      j++;
    }
  return mono_intern(pool, common, count);
}

/* Graded, then lexicographic: compatible with products, as long division needs. > 0: a is larger. */
static int mono_compare(const ow_dims *pool, int32_t a, int32_t b) {
  if (a == b)
    return 0;
  const uint32_t na = pool->monos[a].degree, nb = pool->monos[b].degree;
  if (na != nb)
    return na > nb ? 1 : -1;
  const int32_t *const pa = mono_atoms(pool, a), *const pb = mono_atoms(pool, b);
  for (uint32_t i = 0; i < na; i++)
    if (pa[i] != pb[i])
      return pa[i] < pb[i] ? 1 : -1;
  return 0;
}

/* ---- polynomials ---------------------------------------------------------------------------------------------------- */

void ow_sum_load(const ow_dims *pool, ow_sum *sum, ow_dim d) {
  sum->count = 0;
  sum->broken = d.x < 0;
  if (d.x == 0 && d.k != 0) {
    sum->terms[0] = (ow_term){d.k, 0};
    sum->count = 1;
  } else if (d.x > 0) {
    sum->count = pool->polys[d.x].count;
    memcpy(sum->terms, pool->terms + pool->polys[d.x].first, sum->count * sizeof *sum->terms);
  }
}

void ow_sum_add(const ow_dims *pool, ow_sum *sum, int64_t coefficient, int32_t mono) {
  if (sum->broken || coefficient == 0)
    return;
  size_t at = 0;
  while (at < sum->count && mono_compare(pool, sum->terms[at].mono, mono) > 0)
    at++;
  if (at < sum->count && sum->terms[at].mono == mono) {
    if (!ow_i64_add(sum->terms[at].coefficient, coefficient, &sum->terms[at].coefficient)) {
      sum->broken = true;
    } else if (sum->terms[at].coefficient == 0) {
      sum->count--;
      memmove(sum->terms + at, sum->terms + at + 1, (sum->count - at) * sizeof *sum->terms);
    }
    return;
  }
  if (sum->count == OW_DIM_TERMS) {
    sum->broken = true;
    return;
  }
  memmove(sum->terms + at + 1, sum->terms + at, (sum->count - at) * sizeof *sum->terms);
  sum->terms[at] = (ow_term){coefficient, mono};
  sum->count++;
}

static bool same_terms(const ow_term *a, const ow_term *b, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (a[i].coefficient != b[i].coefficient || a[i].mono != b[i].mono)
      return false;
  return true;
}

ow_dim ow_sum_commit(ow_dims *pool, const ow_sum *sum) {
  if (sum->broken)
    return pool->failed ? ow_dim_unknown() : ow_dim_opaque(pool);
  if (sum->count == 0)
    return ow_dim_const(0);
  if (sum->count == 1 && sum->terms[0].mono == 0)
    return ow_dim_const(sum->terms[0].coefficient);
  uint64_t hash = mix(pool->seed, sum->count);
  ow_facts facts = {{0, 0}, 0, false};
  for (size_t i = 0; i < sum->count; i++) {
    hash = mix(mix(hash, (uint64_t)sum->terms[i].coefficient), (uint64_t)sum->terms[i].mono);
    const ow_facts *const mono = &pool->monos[sum->terms[i].mono].facts;
    const ow_bounds scaled = bounds_scale(mono->bounds, sum->terms[i].coefficient);
    facts.bounds.lo = saturate_add(facts.bounds.lo, scaled.lo, INT64_MIN);
    facts.bounds.hi = saturate_add(facts.bounds.hi, scaled.hi, INT64_MAX);
    facts.cost += mono->cost;
    facts.open = facts.open || mono->open;
  }
  for (size_t at = SIZE_MAX;;) {
    const int32_t i = table_next(&pool->poly_table, hash, &at);
    if (i < 0)
      break;
    const ow_poly *const other = &pool->polys[i];
    if (other->hash == hash && other->count == sum->count &&
        same_terms(pool->terms + other->first, sum->terms, sum->count))
      return (ow_dim){0, i};
  }
  if (facts.cost > OW_DIM_COST)
    return ow_dim_opaque(pool);
  if (pool->poly_count >= INT32_MAX || pool->term_count > UINT32_MAX - sum->count ||
      !table_reserve(pool, &pool->poly_table, poly_hash) ||
      !ow_reserve(pool->allocator, &pool->polys, &pool->poly_capacity, pool->poly_count, pool->poly_count + 1,
                  sizeof *pool->polys) ||
      !ow_reserve(pool->allocator, &pool->terms, &pool->term_capacity, pool->term_count, pool->term_count + sum->count,
                  sizeof *pool->terms))
    return out_of_memory(pool);
  memcpy(pool->terms + pool->term_count, sum->terms, sum->count * sizeof *sum->terms);
  pool->polys[pool->poly_count] = (ow_poly){(uint32_t)pool->term_count, (uint32_t)sum->count, hash, facts};
  pool->term_count += sum->count;
  table_insert(&pool->poly_table, hash, (int32_t)pool->poly_count);
  return (ow_dim){0, (int32_t)pool->poly_count++};
}

/* ---- sums and products ---------------------------------------------------------------------------------------------- */

static bool both_const(ow_dim a, ow_dim b) { return a.x == 0 && b.x == 0; }
static bool any_unknown(ow_dim a, ow_dim b) { return a.x < 0 || b.x < 0; }

/* a + sign * b; sign is 1 or -1 */
static ow_dim combine(ow_dims *pool, ow_dim a, ow_dim b, int64_t sign) {
  if (any_unknown(a, b))
    return ow_dim_unknown();
  ow_sum sum, other;
  ow_sum_load(pool, &sum, a);
  ow_sum_load(pool, &other, b);
  for (size_t i = 0; i < other.count; i++) {
    int64_t coefficient;
    if (!ow_i64_mul(other.terms[i].coefficient, sign, &coefficient)) {
      sum.broken = true;
      break;
    }
    ow_sum_add(pool, &sum, coefficient, other.terms[i].mono);
  }
  return ow_sum_commit(pool, &sum);
}

ow_dim ow_dim_add(ow_dims *pool, ow_dim a, ow_dim b) {
  int64_t k;
  if (both_const(a, b))
    return ow_i64_add(a.k, b.k, &k) ? ow_dim_const(k) : ow_dim_opaque(pool);
  if (ow_dim_is(b, 0) || ow_dim_is(a, 0))
    return ow_dim_is(b, 0) ? a : b;
  return combine(pool, a, b, 1);
}

ow_dim ow_dim_sub(ow_dims *pool, ow_dim a, ow_dim b) {
  int64_t k;
  if (both_const(a, b))
    return __builtin_sub_overflow(a.k, b.k, &k) ? ow_dim_opaque(pool) : ow_dim_const(k);
  return ow_dim_is(b, 0) ? a : combine(pool, a, b, -1);
}

ow_dim ow_dim_mul(ow_dims *pool, ow_dim a, ow_dim b) {
  int64_t k;
  if (both_const(a, b))
    return ow_i64_mul(a.k, b.k, &k) ? ow_dim_const(k) : ow_dim_opaque(pool);
  if (ow_dim_is(a, 0) || ow_dim_is(b, 0))
    return ow_dim_const(0);
  if (ow_dim_is(a, 1) || ow_dim_is(b, 1))
    return ow_dim_is(a, 1) ? b : a;
  if (any_unknown(a, b))
    return ow_dim_unknown();
  ow_sum product = {.count = 0, .broken = false}, left, right;
  ow_sum_load(pool, &left, a);
  ow_sum_load(pool, &right, b);
  for (size_t i = 0; i < left.count && !product.broken; i++)
    for (size_t j = 0; j < right.count && !product.broken; j++) {
      int64_t coefficient;
      const int32_t mono = ow_mono_multiply(pool, left.terms[i].mono, right.terms[j].mono);
      if (mono < 0 || !ow_i64_mul(left.terms[i].coefficient, right.terms[j].coefficient, &coefficient))
        product.broken = true;
      else
        ow_sum_add(pool, &product, coefficient, mono);
    }
  return ow_sum_commit(pool, &product);
}

/* ---- what is known -------------------------------------------------------------------------------------------------- */

bool ow_dim_proves_ge(const ow_dims *pool, ow_dim a, int64_t k) {
  const ow_bounds bounds = ow_dim_facts(pool, a).bounds;
  return (a.x == 0 || bounds.lo != INT64_MIN) && bounds.lo >= k;
}
