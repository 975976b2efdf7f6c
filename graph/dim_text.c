/* Values and spellings of symbolic dims. Recursion is bounded by OW_DIM_COST. */
#include <inttypes.h>

#include "base/size.h"
#include "graph/dim.h"
#include "graph/dim_pool.h"

typedef struct binding {
  const ow_dims *pool;
  const int64_t *values;
  int32_t count;
} binding;

static bool evaluate(const binding *with, ow_dim d, int64_t *out);

static bool evaluate_atom(const binding *with, const ow_atom *atom, int64_t *out) {
  int64_t a, b;
  if (atom->kind == OW_ATOM_SYMBOL) {
    if (atom->symbol >= with->count)
      return false;
    *out = with->values[atom->symbol];
    return true;
  }
  if (atom->kind == OW_ATOM_UNKNOWN || !evaluate(with, atom->a, &a) || !evaluate(with, atom->b, &b))
    return false;
  switch (atom->kind) {
    case OW_ATOM_FLOORDIV: return ow_i64_floordiv(a, b, out);
    case OW_ATOM_TRUNCDIV: return ow_i64_truncdiv(a, b, out);
    case OW_ATOM_MOD:
      if (b == 0)
        return false;
      *out = b == -1 ? 0 : a % b;
      if (*out != 0 && (*out < 0) != (b < 0))
        *out += b;
      return true;
    case OW_ATOM_MIN: *out = a < b ? a : b; return true;
    case OW_ATOM_MAX: *out = a > b ? a : b; return true;
    case OW_ATOM_BROADCAST: *out = a == 1 ? b : a; return a == b || a == 1 || b == 1;
    case OW_ATOM_SYMBOL:
    case OW_ATOM_UNKNOWN: break;
  }
  return false;
}

static bool evaluate(const binding *with, ow_dim d, int64_t *out) {
  if (d.x == 0) {
    *out = d.k;
    return true;
  }
  if (d.x < 0 || with->pool->polys[d.x].facts.open)
    return false;
  const ow_poly *const poly = &with->pool->polys[d.x];
  int64_t total = 0;
  for (uint32_t t = 0; t < poly->count; t++) {
    const ow_term *const term = &with->pool->terms[poly->first + t];
    const ow_mono *const mono = &with->pool->monos[term->mono];
    int64_t product = term->coefficient;
    for (uint32_t i = 0; i < mono->degree; i++) {
      int64_t value;
      if (!evaluate_atom(with, &with->pool->atoms[with->pool->mono_atoms[mono->first + i]], &value) ||
          !ow_i64_mul(product, value, &product))
        return false;
    }
    if (!ow_i64_add(total, product, &total))
      return false;
  }
  *out = total;
  return true;
}

bool ow_dim_evaluate(const ow_dims *pool, ow_dim d, const int64_t *values, int32_t value_count, int64_t *out) {
  const binding with = {pool, values, value_count};
  int64_t value;
  if (!evaluate(&with, d, &value))
    return false;
  *out = value;
  return true;
}

/* ---- printing ------------------------------------------------------------------------------------------------------- */

/* In parentheses unless it is a number, a symbol or a call. */
static void print_operand(const ow_dims *pool, ow_dim d, ow_out *out) {
  const int32_t atom = ow_dim_atom(pool, d);
  const bool infix = atom >= 0 && (pool->atoms[atom].kind == OW_ATOM_FLOORDIV || pool->atoms[atom].kind == OW_ATOM_MOD);
  const bool bare = d.x == 0 ? d.k >= 0 : atom >= 0 && !infix;
  ow_out_text(out, bare ? "" : "(");
  ow_dim_print(pool, d, out);
  ow_out_text(out, bare ? "" : ")");
}

static void print_infix(const ow_dims *pool, const ow_atom *atom, const char *sign, bool enclose, ow_out *out) {
  ow_out_text(out, enclose ? "(" : "");
  print_operand(pool, atom->a, out);
  ow_out_text(out, sign);
  print_operand(pool, atom->b, out);
  ow_out_text(out, enclose ? ")" : "");
}

static void print_call(const ow_dims *pool, const ow_atom *atom, const char *name, ow_out *out) {
  ow_out_printf(out, "%s(", name);
  ow_dim_print(pool, atom->a, out);
  ow_out_text(out, ", ");
  ow_dim_print(pool, atom->b, out);
  ow_out_text(out, ")");
}

static void print_atom(const ow_dims *pool, int32_t index, bool factor, ow_out *out) {
  const ow_atom *const atom = &pool->atoms[index];
  switch (atom->kind) {
    case OW_ATOM_SYMBOL:
    case OW_ATOM_UNKNOWN:
      if (atom->name[0])
        ow_out_safe(out, atom->name);
      else
        ow_out_printf(out, "?%" PRId32, index);
      break;
    case OW_ATOM_FLOORDIV: print_infix(pool, atom, "//", factor, out); break;
    case OW_ATOM_MOD: print_infix(pool, atom, "%", factor, out); break;
    case OW_ATOM_TRUNCDIV: print_call(pool, atom, "div", out); break;
    case OW_ATOM_MIN: print_call(pool, atom, "min", out); break;
    case OW_ATOM_MAX: print_call(pool, atom, "max", out); break;
    case OW_ATOM_BROADCAST: print_call(pool, atom, "broadcast", out); break;
  }
}

void ow_dim_print(const ow_dims *pool, ow_dim d, ow_out *out) {
  if (d.x == 0) {
    ow_out_printf(out, "%" PRId64, d.k);
    return;
  }
  if (d.x < 0 || !pool) {
    ow_out_text(out, "?");
    return;
  }
  const ow_poly *const poly = &pool->polys[d.x];
  for (uint32_t t = 0; t < poly->count; t++) {
    const ow_term *const term = &pool->terms[poly->first + t];
    const ow_mono *const mono = &pool->monos[term->mono];
    const bool negative = term->coefficient < 0;
    const uint64_t size = negative ? UINT64_C(0) - (uint64_t)term->coefficient : (uint64_t)term->coefficient;
    ow_out_text(out, t > 0 ? (negative ? " - " : " + ") : negative ? "-" : "");
    if (size != 1 || mono->degree == 0)
      ow_out_printf(out, "%" PRIu64 "%s", size, mono->degree ? "*" : "");
    for (uint32_t i = 0; i < mono->degree; i++) {
      ow_out_text(out, i ? "*" : "");
      print_atom(pool, pool->mono_atoms[mono->first + i], size != 1 || mono->degree > 1, out);
    }
  }
}
