#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/strmap.h"
#include "onward/onward.h"

/* Counts blocks, and gives none once `left` have been given. */
typedef struct counter {
  int live, given, left;
} counter;

static void *counted_alloc(void *context, size_t size) {
  counter *c = context;
  assert_true(size > 0);
  if (c->left == 0)
    return NULL;
  void *memory = ow_alloc(&ow_allocator_default, size);
  c->left--;
  c->given++;
  c->live++;
  return memory;
}

static void counted_free(void *context, void *memory) {
  counter *c = context;
  c->live -= memory != NULL;
  ow_free(&ow_allocator_default, memory);
}

static bool is_aligned(const void *memory, uintptr_t to) { return (uintptr_t)memory % to == 0; }

static void default_allocator(void **state) {
  (void)state;
  for (size_t size = 0; size < 300; size += 37) {
    char *memory = ow_alloc(&ow_allocator_default, size);
    assert_non_null(memory);
    assert_true(is_aligned(memory, OW_ALIGNMENT));
    memset(memory, 1, size);
    ow_free(&ow_allocator_default, memory);
  }
  assert_null(ow_alloc(&ow_allocator_default, SIZE_MAX));
  assert_null(ow_alloc_zero(&ow_allocator_default, SIZE_MAX / 2, 3));
  int64_t *zero = ow_alloc_zero(&ow_allocator_default, 5, sizeof *zero);
  for (int i = 0; i < 5; i++)
    assert_int_equal(zero[i], 0);
  ow_free(&ow_allocator_default, zero);
  char *copy = ow_strdup(&ow_allocator_default, "name");
  assert_string_equal(copy, "name");
  onward_free(copy);
  onward_free(NULL);
}

static void reserve_keeps_items(void **state) {
  (void)state;
  counter c = {.left = 100};
  const ow_allocator a = {counted_alloc, counted_free, &c};
  int *items = NULL;
  size_t capacity = 0;
  for (int i = 0; i < 100; i++) {
    assert_true(ow_reserve(&a, &items, &capacity, (size_t)i, (size_t)i + 1, sizeof *items));
    items[i] = i;
  }
  for (int i = 0; i < 100; i++)
    assert_int_equal(items[i], i);
  assert_true(c.given < 10);
  assert_int_equal(c.live, 1);
  c.left = 0;
  int *const before = items;
  const size_t capacity_before = capacity;
  assert_false(ow_reserve(&a, &items, &capacity, 100, 1000, sizeof *items));
  assert_false(ow_reserve(&a, &items, &capacity, 100, SIZE_MAX / 2, sizeof *items));
  assert_ptr_equal(items, before);
  assert_int_equal(capacity, capacity_before);
  ow_free(&a, items);
  assert_int_equal(c.live, 0);
}

static void arena_reuses_its_blocks(void **state) {
  (void)state;
  counter c = {.left = 1000};
  const ow_allocator a = {counted_alloc, counted_free, &c};
  ow_arena arena;
  ow_arena_init(&arena, &a);
  int given = 0;
  size_t used = 0;
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < 500; i++) {
      const size_t size = i * 7919 % 3000;
      char *memory = i % 3 ? ow_arena_alloc(&arena, size) : ow_arena_aligned(&arena, size);
      assert_non_null(memory);
      assert_true(is_aligned(memory, i % 3 ? 16 : OW_ALIGNMENT));
      memset(memory, (int)i, size);
    }
    char *large = ow_arena_alloc(&arena, 3 << 20);
    assert_non_null(large);
    memset(large, 1, 3 << 20);
    assert_non_null(ow_arena_alloc(&arena, 1));
    if (round == 0) {
      given = c.given;
      used = arena.used_bytes;
    }
    assert_int_equal(c.given, given);
    assert_int_equal(arena.used_bytes, used);
    ow_arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
  }
  ow_arena_free(&arena);
  assert_int_equal(c.live, 0);
}

static void arena_pieces_do_not_overlap(void **state) {
  (void)state;
  ow_arena arena;
  ow_arena_init(&arena, &ow_allocator_default);
  unsigned char *pieces[200];
  for (size_t i = 0; i < 200; i++) {
    pieces[i] = ow_arena_alloc(&arena, i);
    memset(pieces[i], (int)i, i);
  }
  for (size_t i = 0; i < 200; i++)
    for (size_t j = 0; j < i; j++)
      assert_int_equal(pieces[i][j], i);
  ow_arena_free(&arena);
}

static void arena_text(void **state) {
  (void)state;
  ow_arena arena;
  ow_arena_init(&arena, &ow_allocator_default);
  assert_string_equal(ow_arena_strdup(&arena, "hello"), "hello");
  assert_string_equal(ow_arena_strndup(&arena, "hello", 2), "he");
  assert_string_equal(ow_arena_strndup(&arena, NULL, 0), "");
  assert_string_equal(ow_arena_printf(&arena, "%s_%d", "mul", 12), "mul_12");
  const int64_t *zero = ow_arena_zero(&arena, 4, 8);
  assert_true(zero[0] == 0 && zero[3] == 0);
  assert_null(ow_arena_zero(&arena, SIZE_MAX, 2));
  assert_null(ow_arena_alloc(&arena, SIZE_MAX - 8));
  ow_arena_free(&arena);
  ow_arena_free(&(ow_arena){0});
}

static void arena_without_memory(void **state) {
  (void)state;
  counter c = {.left = 1};
  const ow_allocator a = {counted_alloc, counted_free, &c};
  ow_arena arena;
  ow_arena_init(&arena, &a);
  assert_non_null(ow_arena_alloc(&arena, 100));
  assert_null(ow_arena_alloc(&arena, 1 << 20));
  assert_non_null(ow_arena_alloc(&arena, 100)); /* what is there can still be used */
  ow_arena_free(&arena);
  assert_int_equal(c.live, 0);
}

static void map_finds_what_was_put(void **state) {
  (void)state;
  ow_strmap map;
  ow_strmap_init(&map, &ow_allocator_default);
  assert_null(ow_strmap_get(&map, "x"));
  static char keys[2000][24];
  static int values[2000];
  for (int i = 0; i < 2000; i++) {
    (void)snprintf(keys[i], sizeof keys[i], "%.*s%d", i % 13, "/encoder/layer", i);
    assert_true(ow_strmap_put(&map, keys[i], &values[i]));
  }
  assert_int_equal(map.count, 2000);
  for (int i = 0; i < 2000; i++)
    assert_ptr_equal(ow_strmap_get(&map, keys[i]), &values[i]);
  assert_false(ow_strmap_has(&map, "2000"));
  assert_true(ow_strmap_put(&map, "0", NULL));
  assert_int_equal(map.count, 2000);
  assert_true(ow_strmap_has(&map, "0"));
  assert_null(ow_strmap_get(&map, "0"));
  assert_true(ow_strmap_put(&map, "", &values[1]));
  assert_ptr_equal(ow_strmap_get(&map, ""), &values[1]);
  ow_strmap_free(&map);
}

static void map_without_memory(void **state) {
  (void)state;
  counter c = {.left = 1};
  const ow_allocator a = {counted_alloc, counted_free, &c};
  ow_strmap map;
  ow_strmap_init(&map, &a);
  static char keys[64][4];
  int put = 0;
  for (int i = 0; i < 64; i++) {
    (void)snprintf(keys[i], sizeof keys[i], "%d", i);
    if (!ow_strmap_put(&map, keys[i], keys[i]))
      break;
    put++;
  }
  assert_in_range(put, 1, 63);
  for (int i = 0; i < put; i++)
    assert_ptr_equal(ow_strmap_get(&map, keys[i]), keys[i]);
  assert_false(ow_strmap_has(&map, keys[put]));
  ow_strmap_free(&map);
  assert_int_equal(c.live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(default_allocator),
      cmocka_unit_test(reserve_keeps_items),
      cmocka_unit_test(arena_reuses_its_blocks),
      cmocka_unit_test(arena_pieces_do_not_overlap),
      cmocka_unit_test(arena_text),
      cmocka_unit_test(arena_without_memory),
      cmocka_unit_test(map_finds_what_was_put),
      cmocka_unit_test(map_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
