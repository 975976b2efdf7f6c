/* Symbolic dims: what is provably equal, what is known to be non-negative, what comes out for plain numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text_out.h"
#include "graph/dim.h"
#include "graph/op.h"

typedef struct fixture {
  ow_dims *pool;
  ow_dim b, p, s; /* symbols 0, 1, 2 */
} fixture;

static int setup(void **state) {
  fixture *const f = calloc(1, sizeof *f);
  if (!f)
    return -1;
  f->pool = ow_dims_create(&ow_allocator_default);
  f->b = ow_dim_symbol(f->pool, "batch");
  f->p = ow_dim_symbol(f->pool, "past");
  f->s = ow_dim_symbol(f->pool, "sequence");
  *state = f;
  return 0;
}

static int teardown(void **state) {
  fixture *const f = *state;
  ow_dims_free(f->pool);
  free(f);
  return 0;
}

static ow_dim k(int64_t value) { return ow_dim_const(value); }

static void assert_same(ow_dim a, ow_dim b) { assert_true(ow_dim_equal(a, b)); }

static void assert_prints(const fixture *f, ow_dim d, const char *wanted) {
  const ow_shape shape = {.rank = 1, .dims = {d}};
  char text[512], expected[512];
  (void)snprintf(expected, sizeof expected, "[%s]", wanted);
  assert_string_equal(ow_shape_text(f->pool, &shape, text, sizeof text), expected);
}

/* ---- plain numbers --------------------------------------------------------------------------------------------------- */

/* No pool at all: constants never touch it. */
static void constants_need_no_pool(void **state) {
  (void)state;
  assert_same(ow_dim_add(NULL, k(2), k(3)), k(5));
  assert_same(ow_dim_sub(NULL, k(2), k(3)), k(-1));
  assert_same(ow_dim_mul(NULL, k(-4), k(3)), k(-12));
  assert_same(ow_dim_floordiv(NULL, k(7), k(2)), k(3));
  assert_same(ow_dim_floordiv(NULL, k(-7), k(2)), k(-4));
  assert_same(ow_dim_floordiv(NULL, k(7), k(-2)), k(-4));
  assert_same(ow_dim_truncdiv(NULL, k(-7), k(2)), k(-3));
  assert_same(ow_dim_truncdiv(NULL, k(7), k(-2)), k(-3));
  assert_same(ow_dim_ceildiv(NULL, k(7), k(2)), k(4));
  assert_same(ow_dim_ceildiv(NULL, k(8), k(2)), k(4));
  assert_same(ow_dim_ceildiv(NULL, k(-7), k(2)), k(-3));
  assert_same(ow_dim_mod(NULL, k(7), k(3)), k(1));
  assert_same(ow_dim_mod(NULL, k(-7), k(3)), k(2));
  assert_same(ow_dim_mod(NULL, k(7), k(-3)), k(-2));
  assert_same(ow_dim_mod(NULL, k(INT64_MIN), k(-1)), k(0));
  assert_same(ow_dim_min(NULL, k(4), k(-3)), k(-3));
  assert_same(ow_dim_max(NULL, k(4), k(-3)), k(4));
  assert_true(ow_dim_proves_ge(NULL, k(4), 4));
  assert_false(ow_dim_proves_ge(NULL, k(4), 5));
}

/* What cannot be computed is unknown, and so is all that is made of it. */
static void overflow_is_unknown(void **state) {
  const fixture *const f = *state;
  const ow_dim results[] = {
      ow_dim_add(f->pool, k(INT64_MAX), k(1)),
      ow_dim_sub(f->pool, k(INT64_MIN), k(1)),
      ow_dim_mul(f->pool, k(INT64_MAX), k(2)),
      ow_dim_floordiv(f->pool, k(INT64_MIN), k(-1)),
      ow_dim_floordiv(f->pool, k(1), k(0)),
      ow_dim_mod(f->pool, k(1), k(0)),
      ow_dim_floordiv(f->pool, f->b, k(0)),
      ow_dim_truncdiv(f->pool, f->b, k(0)),
      ow_dim_mul(f->pool, ow_dim_mul(f->pool, k(INT64_MAX), f->b), k(2)),
  };
  const int64_t values[] = {1, 1, 1};
  for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
    int64_t value;
    assert_false(ow_dim_is_const(results[i]));
    assert_false(ow_dim_evaluable(f->pool, results[i]));
    assert_false(ow_dim_evaluate(f->pool, results[i], values, 3, &value));
    assert_false(ow_dim_proves_ge(f->pool, results[i], 0));
    for (size_t j = 0; j < i; j++)
      assert_false(ow_dim_equal(results[i], results[j]));
    assert_false(ow_dim_evaluate(f->pool, ow_dim_add(f->pool, results[i], k(1)), values, 3, &value));
  }
}

/* ---- polynomials ----------------------------------------------------------------------------------------------------- */

static void equal_polynomials_are_one(void **state) {
  const fixture *const f = *state;
  ow_dims *const pool = f->pool;
  /* (b + p)(b - p) = b² - p² */
  assert_same(ow_dim_mul(pool, ow_dim_add(pool, f->b, f->p), ow_dim_sub(pool, f->b, f->p)),
              ow_dim_sub(pool, ow_dim_mul(pool, f->b, f->b), ow_dim_mul(pool, f->p, f->p)));
  assert_same(ow_dim_sub(pool, ow_dim_add(pool, f->s, f->p), f->p), f->s);
  assert_same(ow_dim_sub(pool, f->s, f->s), k(0));
  assert_same(ow_dim_add(pool, f->s, f->p), ow_dim_add(pool, f->p, f->s));
  assert_same(ow_dim_mul(pool, f->s, k(0)), k(0));
  assert_false(ow_dim_equal(f->s, f->p));
  assert_false(ow_dim_equal(ow_dim_symbol(pool, "sequence"), f->s)); /* of the same name, and yet another */
}

static void symbols_are_numbered(void **state) {
  const fixture *const f = *state;
  assert_int_equal(ow_dims_symbol_count(f->pool), 3);
  assert_int_equal(ow_dim_symbol_index(f->pool, f->s), 2);
  assert_int_equal(ow_dim_symbol_index(f->pool, ow_dim_add(f->pool, f->s, k(1))), -1);
  assert_int_equal(ow_dim_symbol_index(f->pool, k(2)), -1);
  assert_string_equal(ow_dims_symbol_name(f->pool, 1), "past");
  /* A dim that depends on data is none. */
  const ow_dim fresh = ow_dim_fresh(f->pool);
  assert_int_equal(ow_dims_symbol_count(f->pool), 3);
  assert_int_equal(ow_dim_symbol_index(f->pool, fresh), -1);
  assert_true(ow_dim_proves_ge(f->pool, fresh, 0));
  assert_false(ow_dim_evaluable(f->pool, fresh));
  assert_false(ow_dim_equal(fresh, ow_dim_fresh(f->pool)));
}

/* ---- division -------------------------------------------------------------------------------------------------------- */

static void division_is_exact_where_it_can_be(void **state) {
  const fixture *const f = *state;
  ow_dims *const pool = f->pool;
  const ow_dim sum = ow_dim_add(pool, f->p, f->s);
  /* (768 b p + 768 b s) / (12 b (p + s)) = 64: the -1 of a Reshape to heads */
  const ow_dim elements = ow_dim_mul(pool, k(768), ow_dim_mul(pool, f->b, sum));
  const ow_dim known = ow_dim_mul(pool, k(12), ow_dim_mul(pool, f->b, sum));
  assert_same(ow_dim_floordiv(pool, elements, known), k(64));
  assert_same(ow_dim_truncdiv(pool, elements, known), k(64));
  assert_same(ow_dim_mod(pool, elements, known), k(0));
  assert_same(ow_dim_floordiv(pool, elements, ow_dim_mul(pool, f->b, k(64))), ow_dim_mul(pool, k(12), sum));
  /* (b² - p²) / (b + p) = b - p */
  const ow_dim squares = ow_dim_sub(pool, ow_dim_mul(pool, f->b, f->b), ow_dim_mul(pool, f->p, f->p));
  assert_same(ow_dim_floordiv(pool, squares, ow_dim_add(pool, f->b, f->p)), ow_dim_sub(pool, f->b, f->p));
  assert_same(ow_dim_floordiv(pool, squares, ow_dim_sub(pool, f->p, f->b)),
              ow_dim_sub(pool, k(0), ow_dim_add(pool, f->b, f->p)));
}

static void division_takes_out_what_it_can(void **state) {
  const fixture *const f = *state;
  ow_dims *const pool = f->pool;
  const ow_dim half = ow_dim_floordiv(pool, f->s, k(2));
  /* (2 b + s) / 2 = b + s/2;  (2 s + 1) / 2 = s;  5 s / 2 = 2 s + s/2 */
  assert_same(ow_dim_floordiv(pool, ow_dim_add(pool, ow_dim_mul(pool, k(2), f->b), f->s), k(2)),
              ow_dim_add(pool, f->b, half));
  assert_same(ow_dim_floordiv(pool, ow_dim_add(pool, ow_dim_mul(pool, k(2), f->s), k(1)), k(2)), f->s);
  assert_same(ow_dim_floordiv(pool, ow_dim_mul(pool, k(5), f->s), k(2)),
              ow_dim_add(pool, ow_dim_mul(pool, k(2), f->s), half));
  /* 2 s / 4 = s / 2 = b s / 2 b;  s / 2 / 3 = s / 6 */
  assert_same(ow_dim_floordiv(pool, ow_dim_mul(pool, k(2), f->s), k(4)), half);
  assert_same(ow_dim_floordiv(pool, ow_dim_mul(pool, f->b, f->s), ow_dim_mul(pool, k(2), f->b)), half);
  assert_same(ow_dim_floordiv(pool, half, k(3)), ow_dim_floordiv(pool, f->s, k(6)));
  assert_same(ow_dim_floordiv(pool, f->s, k(-2)), ow_dim_floordiv(pool, ow_dim_sub(pool, k(0), f->s), k(2)));
  /* (4 s + 5) % 4 = 1;  s % 4 is at most 3 */
  assert_same(ow_dim_mod(pool, ow_dim_add(pool, ow_dim_mul(pool, k(4), f->s), k(5)), k(4)), k(1));
  const ow_dim rest = ow_dim_mod(pool, f->s, k(4));
  assert_same(ow_dim_mod(pool, rest, k(4)), rest);
  assert_same(ow_dim_floordiv(pool, rest, k(4)), k(0));
}

/* ---- bounds ---------------------------------------------------------------------------------------------------------- */

static void bounds_follow_from_symbols_being_sizes(void **state) {
  const fixture *const f = *state;
  ow_dims *const pool = f->pool;
  assert_true(ow_dim_proves_ge(pool, f->s, 0));
  assert_false(ow_dim_proves_ge(pool, f->s, 1));
  assert_true(ow_dim_proves_ge(pool, ow_dim_add(pool, ow_dim_mul(pool, f->b, f->s), k(3)), 3));
  assert_false(ow_dim_proves_ge(pool, ow_dim_sub(pool, f->s, f->p), 0));
  assert_false(ow_dim_proves_ge(pool, ow_dim_sub(pool, f->s, k(1)), 0));
  assert_true(ow_dim_proves_ge(pool, ow_dim_max(pool, f->s, k(2)), 2));
  assert_true(ow_dim_proves_ge(pool, ow_dim_mod(pool, ow_dim_sub(pool, f->s, f->p), k(8)), 0));
  assert_true(ow_dim_proves_ge(pool, ow_dim_sub(pool, k(7), ow_dim_mod(pool, f->s, k(8))), 0));
  assert_true(ow_dim_proves_ge(pool, ow_dim_floordiv(pool, ow_dim_add(pool, f->s, k(9)), k(4)), 2));
  assert_true(ow_dim_proves_ge(pool, ow_dim_mul(pool, ow_dim_max(pool, f->s, k(2)), ow_dim_max(pool, f->b, k(3))), 6));
}

static void choices_are_made_where_one_is_larger_for_sure(void **state) {
  const fixture *const f = *state;
  ow_dims *const pool = f->pool;
  const ow_dim sum = ow_dim_add(pool, f->p, f->s);
  assert_same(ow_dim_max(pool, sum, f->s), sum);
  assert_same(ow_dim_min(pool, sum, f->s), f->s);
  assert_same(ow_dim_max(pool, f->s, k(0)), f->s);
  assert_same(ow_dim_min(pool, k(-3), f->s), k(-3));
  const ow_dim open = ow_dim_min(pool, f->p, f->s);
  assert_same(open, ow_dim_min(pool, f->s, f->p));
  assert_same(ow_dim_min(pool, open, f->p), open);
  assert_int_equal(ow_dim_symbol_index(pool, open), -1);
}

static void broadcasts_assume_nothing(void **state) {
  const fixture *const f = *state;
  ow_dims *const pool = f->pool;
  int64_t value;
  assert_same(ow_dim_broadcast(pool, f->s, k(1)), f->s);
  assert_same(ow_dim_broadcast(pool, k(8), f->s), k(8));
  const ow_dim both = ow_dim_broadcast(pool, f->p, f->s);
  assert_same(both, ow_dim_broadcast(pool, f->s, f->p));
  assert_true(ow_dim_evaluate(pool, both, (int64_t[]){0, 1, 9}, 3, &value) && value == 9);
  assert_true(ow_dim_evaluate(pool, both, (int64_t[]){0, 0, 1}, 3, &value) && value == 0);
  assert_false(ow_dim_evaluate(pool, both, (int64_t[]){0, 2, 3}, 3, &value));
}

/* ---- against plain arithmetic ---------------------------------------------------------------------------------------- */

static uint32_t next_random(uint64_t *seed) {
  *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*seed >> 33);
}

static ow_dim (*const operations[])(ow_dims *, ow_dim, ow_dim) = {ow_dim_add,      ow_dim_sub,      ow_dim_mul,
                                                                  ow_dim_floordiv, ow_dim_truncdiv, ow_dim_ceildiv,
                                                                  ow_dim_mod,      ow_dim_min,      ow_dim_max};

/* Division by zero has no value either way. */
static bool plain(int operation, int64_t a, int64_t b, int64_t *out) {
  if (operation >= 3 && operation <= 6 && b == 0)
    return false;
  const int64_t q = operation >= 3 && operation <= 6 ? a / b : 0, r = operation >= 3 && operation <= 6 ? a % b : 0;
  const bool apart = r != 0 && (r < 0) != (b < 0);
  switch (operation) {
    case 0: return !__builtin_add_overflow(a, b, out);
    case 1: return !__builtin_sub_overflow(a, b, out);
    case 2: return !__builtin_mul_overflow(a, b, out);
    case 3: return *out = apart ? q - 1 : q, true;
    case 4: return *out = q, true;
    case 5: return *out = r != 0 && !apart ? q + 1 : q, true;
    case 6: return *out = apart ? r + b : r, true;
    case 7: return *out = a < b ? a : b, true;
    default: return *out = a > b ? a : b, true;
  }
}

/* Random expressions, simplified by the pool and then evaluated, are what plain arithmetic gives at every step. */
static void simplification_keeps_the_value(void **state) {
  (void)state;
  enum { STEPS = 24, POINTS = 6 };
  size_t compared = 0;
  for (uint64_t round = 1; round <= 400; round++) {
    uint64_t seed = round * 977;
    ow_dims *const pool = ow_dims_create(&ow_allocator_default);
    ow_dim dims[STEPS];
    int64_t expected[POINTS][STEPS], points[POINTS][3];
    bool valid[POINTS][STEPS];
    for (int i = 0; i < 6; i++)
      dims[i] = i < 3 ? ow_dim_symbol(pool, "x") : k((int64_t)(next_random(&seed) % 13) - 4);
    for (int p = 0; p < POINTS; p++)
      for (int i = 0; i < 6; i++) {
        valid[p][i] = true;
        expected[p][i] = i < 3 ? (points[p][i] = next_random(&seed) % (p < 2 ? 3 : 20)) : dims[i].k;
      }
    for (int i = 6; i < STEPS; i++) {
      const int operation = (int)(next_random(&seed) % 9), a = (int)(next_random(&seed) % (uint32_t)i),
                b = (int)(next_random(&seed) % (uint32_t)i);
      dims[i] = operations[operation](pool, dims[a], dims[b]);
      for (int p = 0; p < POINTS; p++) {
        valid[p][i] = valid[p][a] && valid[p][b] && plain(operation, expected[p][a], expected[p][b], &expected[p][i]);
        int64_t value;
        if (!valid[p][i] || !ow_dim_evaluate(pool, dims[i], points[p], 3, &value))
          continue;
        assert_int_equal(value, expected[p][i]);
        assert_false(ow_dim_proves_ge(pool, dims[i], value == INT64_MAX ? value : value + 1));
        compared++;
      }
    }
    assert_false(ow_dims_failed(pool));
    ow_dims_free(pool);
  }
  assert_true(compared > 20000);
}

/* ---- what a file may ask for ----------------------------------------------------------------------------------------- */

/* Deep and wide expressions stop growing instead of taking the stack, the memory or the time. */
static void expressions_stay_small(void **state) {
  const fixture *const f = *state;
  ow_dims *const pool = f->pool;
  ow_dim deep = f->s, wide = k(1), power = f->s;
  for (int i = 0; i < 20000; i++)
    deep = ow_dim_floordiv(pool, ow_dim_add(pool, ow_dim_mul(pool, deep, deep), k(1)), k(3 + i % 5));
  for (int i = 0; i < 400; i++)
    wide = ow_dim_add(pool, wide, ow_dim_symbol(pool, ""));
  for (int i = 0; i < 100; i++)
    power = ow_dim_mul(pool, power, f->s);
  const int64_t values[403] = {1, 1, 1};
  int64_t value;
  assert_false(ow_dim_evaluate(pool, deep, values, 403, &value));
  assert_false(ow_dim_evaluate(pool, wide, values, 403, &value));
  assert_false(ow_dim_evaluate(pool, power, values, 403, &value));
}

static void expressions_are_printed_as_written(void **state) {
  const fixture *const f = *state;
  ow_dims *const pool = f->pool;
  const ow_dim sum = ow_dim_add(pool, f->p, f->s);
  assert_prints(f, k(-768), "-768");
  assert_prints(f, sum, "past + sequence");
  assert_prints(f, ow_dim_mul(pool, k(12), f->b), "12*batch");
  assert_prints(f, ow_dim_sub(pool, ow_dim_mul(pool, f->b, f->s), k(1)), "batch*sequence - 1");
  assert_prints(f, ow_dim_sub(pool, k(3), f->b), "-batch + 3");
  assert_prints(f, ow_dim_floordiv(pool, ow_dim_add(pool, f->s, k(1)), k(2)), "(sequence + 1)//2");
  assert_prints(f, ow_dim_mul(pool, k(2), ow_dim_floordiv(pool, f->s, k(3))), "2*(sequence//3)");
  assert_prints(f, ow_dim_mod(pool, f->s, k(8)), "sequence%8");
  assert_prints(f, ow_dim_min(pool, f->s, k(8)), "min(8, sequence)");
  assert_prints(f, ow_dim_symbol(pool, "a\x1b[2J"), "a?[2J");
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

typedef struct failing {
  long left;
} failing;

static void *failing_alloc(void *context, size_t size) {
  failing *const f = context;
  return f->left-- > 0 ? ow_allocator_default.alloc(ow_allocator_default.context, size) : NULL;
}

static void failing_free(void *context, void *memory) {
  (void)context;
  ow_allocator_default.free(ow_allocator_default.context, memory);
}

/* Whatever allocation fails, results are the unknown that says so, never a wrong polynomial. */
static void running_out_of_memory_is_told(void **state) {
  (void)state;
  bool complete = false;
  for (long n = 0; n < 200 && !complete; n++) {
    failing f = {n};
    const ow_allocator allocator = {failing_alloc, failing_free, &f};
    ow_dims *const pool = ow_dims_create(&allocator);
    if (!pool)
      continue;
    ow_dim total = k(0);
    for (int i = 0; i < 100; i++) {
      const ow_dim symbol = ow_dim_symbol(pool, "n");
      total = ow_dim_add(pool, total, ow_dim_floordiv(pool, ow_dim_mul(pool, symbol, symbol), k(2)));
    }
    assert_int_equal(ow_dims_failed(pool), ow_dim_is_unknown(total));
    complete = !ow_dims_failed(pool);
    ow_dims_free(pool);
  }
  assert_true(complete);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(constants_need_no_pool),
      cmocka_unit_test_setup_teardown(overflow_is_unknown, setup, teardown),
      cmocka_unit_test_setup_teardown(equal_polynomials_are_one, setup, teardown),
      cmocka_unit_test_setup_teardown(symbols_are_numbered, setup, teardown),
      cmocka_unit_test_setup_teardown(division_is_exact_where_it_can_be, setup, teardown),
      cmocka_unit_test_setup_teardown(division_takes_out_what_it_can, setup, teardown),
      cmocka_unit_test_setup_teardown(bounds_follow_from_symbols_being_sizes, setup, teardown),
      cmocka_unit_test_setup_teardown(choices_are_made_where_one_is_larger_for_sure, setup, teardown),
      cmocka_unit_test_setup_teardown(broadcasts_assume_nothing, setup, teardown),
      cmocka_unit_test(simplification_keeps_the_value),
      cmocka_unit_test_setup_teardown(expressions_stay_small, setup, teardown),
      cmocka_unit_test_setup_teardown(expressions_are_printed_as_written, setup, teardown),
      cmocka_unit_test(running_out_of_memory_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
