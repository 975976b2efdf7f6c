/* Division, remainder, minimum and maximum of symbolic dims. What the polynomials do not decide becomes an atom. */
#include <assert.h>
#include <string.h>

#include "base/size.h"
#include "graph/dim.h"
#include "graph/dim_pool.h"

/* ---- plain numbers -------------------------------------------------------------------------------------------------- */

bool ow_i64_truncdiv(int64_t a, int64_t b, int64_t *out) {
  if (b == 0 || (a == INT64_MIN && b == -1))
    return false;
  *out = a / b;
  return true;
}

bool ow_i64_floordiv(int64_t a, int64_t b, int64_t *out) {
  if (!ow_i64_truncdiv(a, b, out))
    return false;
  if (a % b != 0 && (a < 0) != (b < 0))
    --*out;
  return true;
}

static bool i64_floormod(int64_t a, int64_t b, int64_t *out) {
  if (b == 0)
    return false;
  const int64_t rest = b == -1 ? 0 : a % b;
  *out = rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  return true;
}

static uint64_t magnitude(int64_t v) { return v < 0 ? UINT64_C(0) - (uint64_t)v : (uint64_t)v; }

static uint64_t common_factor(uint64_t a, uint64_t b) {
  while (b != 0) {
    const uint64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/* ---- long division -------------------------------------------------------------------------------------------------- */

/* a = quotient * b + rest, where no term of rest can be divided by the leading term of b, which is positive. An identity over
 * the integers, so floor(a / b) = quotient + floor(rest / b) for every value of the symbols. */
static void divide(ow_dims *pool, const ow_sum *a, const ow_sum *b, ow_sum *quotient, ow_sum *rest) {
  ow_sum work = *a;
  const ow_term lead = b->terms[0];
  assert(lead.coefficient > 0);
  quotient->count = rest->count = 0;
  quotient->broken = rest->broken = false;
  while (work.count > 0 && !work.broken && !quotient->broken) {
    const ow_term top = work.terms[0];
    const int32_t mono = ow_mono_divide(pool, top.mono, lead.mono);
    int64_t factor = 0;
    if (mono < 0 || !ow_i64_floordiv(top.coefficient, lead.coefficient, &factor) || factor == 0) {
      ow_sum_add(pool, rest, top.coefficient, top.mono);
      work.count--;
      memmove(work.terms, work.terms + 1, work.count * sizeof *work.terms);
      continue;
    }
    if (factor == INT64_MIN) {
      work.broken = true;
      break;
    }
    ow_sum_add(pool, quotient, factor, mono);
    for (size_t i = 0; i < b->count; i++) {
      const int32_t product = ow_mono_multiply(pool, b->terms[i].mono, mono);
      int64_t coefficient;
      if (product < 0 || !ow_i64_mul(b->terms[i].coefficient, -factor, &coefficient)) {
        work.broken = true;
        break;
      }
      ow_sum_add(pool, &work, coefficient, product);
    }
  }
  if (work.broken || pool->failed)
    quotient->broken = true;
}

/* Take the factor out that all terms of rest and b have in common. */
static void cancel(ow_dims *pool, ow_sum *rest, ow_sum *b) {
  ow_sum *const sums[2] = {rest, b};
  const bool constant_b = b->count == 1 && b->terms[0].mono == 0;
  uint64_t factor = 0;
  int32_t mono = b->terms[0].mono;
  for (int s = 0; s < 2; s++)
    for (size_t i = 0; i < sums[s]->count && mono >= 0; i++) {
      /* floor((g*x + k) / (g*c)) = floor((x + floor(k/g)) / c): the constant term need not share the factor */
      if (!(constant_b && s == 0 && sums[s]->terms[i].mono == 0))
        factor = common_factor(factor, magnitude(sums[s]->terms[i].coefficient));
      mono = ow_mono_common(pool, mono, sums[s]->terms[i].mono);
    }
  if (mono < 0 || factor > INT64_MAX || (factor == 1 && mono == 0))
    return;
  for (int s = 0; s < 2; s++)
    for (size_t i = 0; i < sums[s]->count; i++) {
      ow_term *const term = &sums[s]->terms[i];
      (void)ow_i64_floordiv(term->coefficient, (int64_t)factor, &term->coefficient);
      term->mono = ow_mono_divide(pool, term->mono, mono);
      if (term->mono < 0)
        sums[s]->broken = true;
    }
  if (rest->count > 0 && rest->terms[rest->count - 1].coefficient == 0)
    rest->count--;
}

static bool prepare_division(const ow_dims *pool, ow_dim a, ow_dim b, ow_sum *sa, ow_sum *sb) {
  ow_sum_load(pool, sa, a);
  ow_sum_load(pool, sb, b);
  ow_sum *const sums[2] = {sa, sb};
  if (sb->count == 0 || sb->terms[0].coefficient > 0)
    return false;
  for (int s = 0; s < 2; s++)
    for (size_t i = 0; i < sums[s]->count; i++)
      if (__builtin_sub_overflow(INT64_C(0), sums[s]->terms[i].coefficient, &sums[s]->terms[i].coefficient))
        sums[s]->broken = true;
  return true;
}

static bool usable(ow_dim a, ow_dim b) { return a.x >= 0 && b.x >= 0; }

ow_dim ow_dim_floordiv(ow_dims *pool, ow_dim a, ow_dim b) {
  int64_t k;
  if (a.x == 0 && b.x == 0)
    return ow_i64_floordiv(a.k, b.k, &k) ? ow_dim_const(k) : ow_dim_opaque(pool);
  if (ow_dim_is(b, 1))
    return a;
  if (!usable(a, b))
    return ow_dim_unknown();
  if (ow_dim_is(b, 0))
    return ow_dim_opaque(pool);
  ow_sum sa, sb, quotient, rest;
  (void)prepare_division(pool, a, b, &sa, &sb);
  if (sa.broken || sb.broken)
    return ow_dim_opaque(pool);
  divide(pool, &sa, &sb, &quotient, &rest);
  if (!quotient.broken && rest.count > 0)
    cancel(pool, &rest, &sb);
  if (quotient.broken || rest.broken || sb.broken)
    return pool->failed ? ow_dim_unknown() : ow_dim_opaque(pool);
  const ow_dim whole = ow_sum_commit(pool, &quotient), upper = ow_sum_commit(pool, &rest);
  ow_dim lower = ow_sum_commit(pool, &sb);
  if (ow_dim_is(upper, 0))
    return whole;
  if (!usable(upper, lower))
    return ow_dim_unknown();
  if (ow_dim_is(lower, 1) || (ow_dim_is_const(upper) && ow_dim_is_const(lower)))
    return ow_dim_add(pool, whole, ow_dim_floordiv(pool, upper, lower));
  const ow_bounds bounds = ow_dim_facts(pool, upper).bounds;
  if (ow_dim_is_const(lower) && bounds.lo >= 0 && bounds.hi < lower.k)
    return whole;
  const int32_t inner = ow_dim_atom(pool, upper);
  ow_dim numerator = upper;
  if (inner >= 0 && ow_dim_is_const(lower) && pool->atoms[inner].kind == OW_ATOM_FLOORDIV &&
      ow_dim_is_const(pool->atoms[inner].b) && pool->atoms[inner].b.k > 0 &&
      ow_i64_mul(pool->atoms[inner].b.k, lower.k, &k)) {
    numerator = pool->atoms[inner].a; /* floor(floor(a / b) / c) = floor(a / (b*c)) */
    lower = ow_dim_const(k);
  }
  return ow_dim_add(pool, whole, ow_dim_make_atom(pool, OW_ATOM_FLOORDIV, numerator, lower));
}

ow_dim ow_dim_truncdiv(ow_dims *pool, ow_dim a, ow_dim b) {
  int64_t k;
  if (a.x == 0 && b.x == 0)
    return ow_i64_truncdiv(a.k, b.k, &k) ? ow_dim_const(k) : ow_dim_opaque(pool);
  if (ow_dim_is(b, 1))
    return a;
  if (!usable(a, b))
    return ow_dim_unknown();
  if (ow_dim_is(b, 0))
    return ow_dim_opaque(pool);
  if (ow_dim_proves_ge(pool, a, 0) && ow_dim_proves_ge(pool, b, 0))
    return ow_dim_floordiv(pool, a, b);
  ow_sum sa, sb, quotient, rest;
  (void)prepare_division(pool, a, b, &sa, &sb);
  if (!sa.broken && !sb.broken) {
    divide(pool, &sa, &sb, &quotient, &rest);
    if (!quotient.broken && rest.count == 0)
      return ow_sum_commit(pool, &quotient);
  }
  const ow_dim minus = ow_dim_sub(pool, ow_dim_const(0), a);
  if (ow_dim_proves_ge(pool, minus, 0) && ow_dim_proves_ge(pool, b, 0))
    return ow_dim_sub(pool, ow_dim_const(0), ow_dim_floordiv(pool, minus, b));
  return pool->failed ? ow_dim_unknown() : ow_dim_make_atom(pool, OW_ATOM_TRUNCDIV, a, b);
}

ow_dim ow_dim_ceildiv(ow_dims *pool, ow_dim a, ow_dim b) {
  int64_t k;
  if (a.x == 0 && b.x == 0) {
    if (!ow_i64_floordiv(a.k, b.k, &k))
      return ow_dim_opaque(pool);
    int64_t rest = 0;
    (void)i64_floormod(a.k, b.k, &rest);
    return ow_dim_const(rest != 0 ? k + 1 : k);
  }
  if (ow_dim_is_const(b) && b.k > 0)
    return ow_dim_floordiv(pool, ow_dim_add(pool, a, ow_dim_const(b.k - 1)), b);
  return ow_dim_sub(pool, ow_dim_const(0), ow_dim_floordiv(pool, ow_dim_sub(pool, ow_dim_const(0), a), b));
}

ow_dim ow_dim_mod(ow_dims *pool, ow_dim a, ow_dim b) {
  int64_t k;
  if (a.x == 0 && b.x == 0)
    return i64_floormod(a.k, b.k, &k) ? ow_dim_const(k) : ow_dim_opaque(pool);
  if (!usable(a, b))
    return ow_dim_unknown();
  if (ow_dim_is(b, 0))
    return ow_dim_opaque(pool);
  ow_sum sa, sb, quotient, rest;
  const bool negated = prepare_division(pool, a, b, &sa, &sb);
  if (sa.broken || sb.broken)
    return ow_dim_opaque(pool);
  divide(pool, &sa, &sb, &quotient, &rest);
  if (quotient.broken)
    return pool->failed ? ow_dim_unknown() : ow_dim_opaque(pool);
  const ow_dim upper = ow_sum_commit(pool, &rest), lower = ow_sum_commit(pool, &sb);
  if (!usable(upper, lower))
    return ow_dim_unknown();
  const ow_bounds bounds = ow_dim_facts(pool, upper).bounds;
  ow_dim result = upper;
  if (!ow_dim_is(upper, 0) && !(ow_dim_is_const(lower) && bounds.lo >= 0 && bounds.hi < lower.k))
    result = ow_dim_make_atom(pool, OW_ATOM_MOD, upper, lower);
  return negated ? ow_dim_sub(pool, ow_dim_const(0), result) : result;
}

/* ---- choices -------------------------------------------------------------------------------------------------------- */

static bool before(ow_dim a, ow_dim b) { return a.x != b.x ? a.x < b.x : a.k < b.k; }

static ow_dim commutative_atom(ow_dims *pool, ow_atom_kind kind, ow_dim a, ow_dim b) {
  const ow_dim pair[2] = {a, b};
  for (int i = 0; i < 2; i++) { /* min(a, min(a, b)) is min(a, b) */
    const int32_t atom = ow_dim_atom(pool, pair[i]);
    if (atom >= 0 && pool->atoms[atom].kind == kind &&
        (ow_dim_equal(pool->atoms[atom].a, pair[1 - i]) || ow_dim_equal(pool->atoms[atom].b, pair[1 - i])))
      return pair[i];
  }
  return before(b, a) ? ow_dim_make_atom(pool, kind, b, a) : ow_dim_make_atom(pool, kind, a, b);
}

static ow_dim choose(ow_dims *pool, ow_atom_kind kind, ow_dim a, ow_dim b) {
  const bool want_less = kind == OW_ATOM_MIN;
  if (a.x == 0 && b.x == 0)
    return (a.k < b.k) == want_less ? a : b;
  if (!usable(a, b))
    return ow_dim_unknown();
  const ow_dim difference = ow_dim_sub(pool, a, b);
  if (ow_dim_proves_ge(pool, difference, 0))
    return want_less ? b : a;
  if (ow_dim_facts(pool, difference).bounds.hi <= 0)
    return want_less ? a : b;
  return pool->failed ? ow_dim_unknown() : commutative_atom(pool, kind, a, b);
}

ow_dim ow_dim_min(ow_dims *pool, ow_dim a, ow_dim b) { return choose(pool, OW_ATOM_MIN, a, b); }
ow_dim ow_dim_max(ow_dims *pool, ow_dim a, ow_dim b) { return choose(pool, OW_ATOM_MAX, a, b); }

ow_dim ow_dim_broadcast(ow_dims *pool, ow_dim a, ow_dim b) {
  if (ow_dim_equal(a, b) || ow_dim_is(b, 1))
    return a;
  if (ow_dim_is(a, 1))
    return b;
  if (ow_dim_is_const(a) || ow_dim_is_const(b))
    return ow_dim_is_const(a) ? a : b; /* the other is 1 or the same, or the broadcast is refused */
  return usable(a, b) ? commutative_atom(pool, OW_ATOM_BROADCAST, a, b) : ow_dim_unknown();
}
