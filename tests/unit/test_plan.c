/* The memory planner. Pictures: one column a step, one row an item. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "graph/plan.h"

#define NONE OW_NO_ALIAS

static ow_plan_item item(size_t bytes, uint32_t first, uint32_t last) {
  return (ow_plan_item){.bytes = bytes, .first = first, .last = last, .alias = NONE};
}

static ow_plan_item in_place(size_t bytes, uint32_t first, uint32_t last, uint32_t alias) {
  return (ow_plan_item){.bytes = bytes, .first = first, .last = last, .alias = alias};
}

static ow_plan_item view(size_t bytes, uint32_t first, uint32_t last, uint32_t alias) {
  return (ow_plan_item){.bytes = bytes, .first = first, .last = last, .alias = alias, .view = true};
}

typedef struct result {
  size_t total, live;
} result;

static result plan(ow_plan_item *items, size_t count) {
  result r = {SIZE_MAX, SIZE_MAX};
  onward_error err = {.message = ""};
  assert_int_equal(ow_plan_offsets(&ow_allocator_default, items, count, &r.total, &r.live, &err), ONWARD_OK);
  for (size_t i = 0; i < count; i++)
    assert_int_equal(items[i].offset % OW_ALIGNMENT, 0);
  return r;
}

static void nothing_needs_nothing(void **state) {
  (void)state;
  const result r = plan(NULL, 0);
  assert_int_equal(r.total, 0);
  assert_int_equal(r.live, 0);
}

/*     0 1 2 3
 * a   [=]
 * b     [=]
 * c       [=]     c takes the place of a */
static void a_chain_needs_two_rooms(void **state) {
  (void)state;
  ow_plan_item items[] = {item(128, 0, 1), item(128, 1, 2), item(128, 2, 3)};
  const result r = plan(items, 3);
  assert_int_equal(r.total, 256);
  assert_int_equal(r.live, 256);
  assert_int_equal(items[0].offset, items[2].offset);
  assert_int_not_equal(items[0].offset, items[1].offset);
}

/*     0 1 2
 * a   [=]
 * b     [=]       b needs a while it is written: they touch at step 1 */
static void what_is_read_where_the_other_is_written_does_not_share(void **state) {
  (void)state;
  ow_plan_item items[] = {item(64, 0, 1), item(64, 1, 2)};
  assert_int_equal(plan(items, 2).total, 128);
}

static void rooms_are_rounded_up_but_live_bytes_are_not(void **state) {
  (void)state;
  ow_plan_item items[] = {item(1, 0, 1), item(65, 0, 1)};
  const result r = plan(items, 2);
  assert_int_equal(r.total, 64 + 128);
  assert_int_equal(r.live, 66);
}

static void empty_items_take_no_room(void **state) {
  (void)state;
  ow_plan_item items[] = {item(0, 0, 9), item(100, 0, 9), item(0, 3, 4)};
  const result r = plan(items, 3);
  assert_int_equal(r.total, 128);
  assert_int_equal(r.live, 100);
}

/*     0 1 2 3
 * a   [=]
 * b     [===]     in place of a: Relu(a) */
static void in_place_takes_over_what_ends(void **state) {
  (void)state;
  ow_plan_item items[] = {item(256, 0, 1), in_place(256, 1, 3, 0)};
  const result r = plan(items, 2);
  assert_true(items[1].shared);
  assert_int_equal(r.total, 256);
  assert_int_equal(r.live, 256);
}

/*     0 1 2 3
 * a   [===]
 * b     [===]     a is read once more at 2: no in place */
static void in_place_leaves_alone_what_is_still_needed(void **state) {
  (void)state;
  ow_plan_item items[] = {item(256, 0, 2), in_place(256, 1, 3, 0)};
  assert_int_equal(plan(items, 2).total, 512);
  assert_false(items[1].shared);
}

static void in_place_does_not_grow(void **state) {
  (void)state;
  ow_plan_item items[] = {item(64, 0, 1), in_place(128, 1, 3, 0)};
  (void)plan(items, 2);
  assert_false(items[1].shared);
}

/*     0 1 2
 * a   [=]
 * b     [         two outputs of step 1 want the memory of a: one gets it */
static void one_step_overwrites_a_value_once(void **state) {
  (void)state;
  ow_plan_item items[] = {item(64, 0, 1), in_place(64, 1, 1, 0), in_place(64, 1, 2, 0)};
  assert_int_equal(plan(items, 3).total, 128);
  assert_true(items[1].shared);
  assert_false(items[2].shared);
  assert_int_not_equal(items[1].offset, items[2].offset);
}

/*     0 1 2 3 4
 * a   [=]
 * v     [=====]   a under another shape
 * b       [=]     must not overwrite a */
static void a_view_keeps_its_source_alive(void **state) {
  (void)state;
  ow_plan_item items[] = {item(128, 0, 1), view(128, 1, 4, 0), item(128, 2, 3)};
  assert_int_equal(plan(items, 3).total, 256);
  assert_true(items[1].shared);
  assert_int_equal(items[0].offset, items[1].offset);
}

/*     0 1 2 3 4
 * a   [=]
 * v     [===]
 * b       [===]   wants the memory of a, but its view v is read at 3 */
static void in_place_looks_through_views(void **state) {
  (void)state;
  ow_plan_item items[] = {item(128, 0, 1), view(128, 1, 3, 0), in_place(128, 2, 4, 0)};
  assert_int_equal(plan(items, 3).total, 256);
  assert_false(items[2].shared);
}

/*     0 1 2 3
 * a   [=]
 * v     [=]
 * b       [=]     in place of the view: the whole chain is one block */
static void a_chain_of_views_and_in_place_is_one_room(void **state) {
  (void)state;
  ow_plan_item items[] = {item(128, 0, 1), view(128, 1, 2, 0), in_place(128, 2, 3, 1), view(128, 3, 4, 2)};
  const result r = plan(items, 4);
  assert_int_equal(r.total, 128);
  assert_int_equal(r.live, 128);
}

/*       0 1 2 3
 * a 64  [=]
 * b 192 [=]
 * c 64      [=]   both gaps would do; the smaller is taken, and the large one is left for d
 * d 192     [=] */
static void the_tightest_gap_is_taken(void **state) {
  (void)state;
  ow_plan_item items[] = {item(64, 0, 1), item(192, 0, 1), item(64, 2, 3), item(192, 2, 3)};
  assert_int_equal(plan(items, 4).total, 256);
}

static void impossible_lives_are_refused(void **state) {
  (void)state;
  ow_plan_item backward[] = {item(64, 3, 1)};
  ow_plan_item later[] = {in_place(64, 0, 1, 1), item(64, 0, 1)};
  ow_plan_item huge[] = {item(SIZE_MAX - 8, 0, 1)};
  ow_plan_item sum[] = {item(SIZE_MAX / 2 - 63, 0, 1), item(SIZE_MAX / 2 - 63, 0, 1), item(4096, 0, 1)};
  size_t total = 7, live = 7;
  onward_error err = {.message = ""};
  assert_int_equal(ow_plan_offsets(&ow_allocator_default, backward, 1, &total, &live, &err), ONWARD_INTERNAL);
  assert_int_equal(ow_plan_offsets(&ow_allocator_default, later, 2, &total, &live, &err), ONWARD_INTERNAL);
  assert_int_equal(ow_plan_offsets(&ow_allocator_default, huge, 1, &total, &live, &err), ONWARD_LIMIT);
  assert_int_equal(ow_plan_offsets(&ow_allocator_default, sum, 3, &total, &live, &err), ONWARD_LIMIT);
  assert_int_equal(total, 7);
  assert_int_equal(live, 7);
}

/* ---- random lives ---------------------------------------------------------------------------------------------------- */

static uint32_t next_random(uint64_t *seed) {
  *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*seed >> 33);
}

/* The memory of item i, followed to where it was made. */
static uint32_t root(const ow_plan_item *items, uint32_t i) {
  while (items[i].shared)
    i = items[i].alias;
  return i;
}

/* Two items alive at one step have no byte in common, unless one continues the other: a view at any time, in place only from the
 * last step of what it overwrites on. */
static void check_apart(const ow_plan_item *items, uint32_t i, uint32_t j) {
  const ow_plan_item *const a = &items[i], *const b = &items[j];
  if (a->bytes == 0 || b->bytes == 0 || a->last < b->first || b->last < a->first || root(items, i) == root(items, j))
    return;
  assert_true(a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset);
}

static void no_two_live_values_overlap(void **state) {
  (void)state;
  enum { COUNT = 120 };
  for (uint64_t round = 1; round <= 60; round++) {
    uint64_t seed = round;
    ow_plan_item items[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
      const uint32_t first = i / 2, kind = i ? next_random(&seed) % 4 : 0;
      const uint32_t life = next_random(&seed) % (next_random(&seed) % 8 ? 4 : 60);
      items[i] = item(next_random(&seed) % 5000, first, first + life);
      if (kind == 0)
        continue;
      items[i].alias = next_random(&seed) % i;
      items[i].view = kind == 1;
      if (items[i].view)
        items[i].bytes = items[items[i].alias].bytes;
      if (kind == 3)
        items[i].alias = NONE;
    }
    const result r = plan(items, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
      assert_true(items[i].offset + items[i].bytes <= r.total);
      if (items[i].shared)
        assert_int_equal(items[i].offset, items[items[i].alias].offset);
      if (items[i].view)
        assert_true(items[i].shared);
      if (items[i].shared && !items[i].view)
        assert_true(items[items[i].alias].last <= items[i].first && items[i].bytes <= items[root(items, i)].bytes);
      for (uint32_t j = 0; j < i; j++) {
        check_apart(items, i, j);
        if (items[i].shared && !items[i].view && root(items, i) == root(items, j))
          assert_true(items[j].last <= items[i].first);
      }
    }
    assert_true(r.total >= r.live);
  }
}

/* An encoder layer after the other, as a runtime would ask: the arena stays near what is alive at once. */
static void layers_stay_near_the_peak(void **state) {
  (void)state;
  enum { LAYERS = 12, PER_LAYER = 9 };
  ow_plan_item items[LAYERS * PER_LAYER];
  const size_t hidden = 128 * 768 * 4, scores = 12 * 128 * 128 * 4;
  size_t n = 0;
  for (uint32_t layer = 0; layer < LAYERS; layer++) {
    const uint32_t s = layer * 8;
    items[n++] = item(3 * hidden, s, s + 1);     /* q k v */
    items[n++] = item(scores, s + 1, s + 1);     /* workspace */
    items[n++] = item(hidden, s + 1, s + 2);     /* context */
    items[n++] = item(hidden, s + 2, s + 3);     /* projection */
    items[n++] = item(hidden, s + 3, s + 6);     /* norm, kept for the residual */
    items[n++] = item(4 * hidden, s + 4, s + 5); /* feed-forward */
    items[n++] = item(hidden, s + 5, s + 6);     /* down */
    items[n++] = item(hidden, s + 6, s + 11);    /* norm, kept for the residual */
    items[n++] = item(17, s + 7, s + 7);
  }
  const result r = plan(items, n);
  assert_true((double)r.total <= 1.15 * (double)r.live);
}

static void many_values_at_once(void **state) {
  (void)state;
  enum { COUNT = 30000 };
  ow_plan_item *const items = calloc(COUNT, sizeof *items);
  assert_non_null(items);
  for (uint32_t i = 0; i < COUNT; i++)
    items[i] = item(64, i, COUNT);
  assert_int_equal(plan(items, COUNT).total, COUNT * 64);
  free(items);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_needs_nothing),
      cmocka_unit_test(a_chain_needs_two_rooms),
      cmocka_unit_test(what_is_read_where_the_other_is_written_does_not_share),
      cmocka_unit_test(rooms_are_rounded_up_but_live_bytes_are_not),
      cmocka_unit_test(empty_items_take_no_room),
      cmocka_unit_test(in_place_takes_over_what_ends),
      cmocka_unit_test(in_place_leaves_alone_what_is_still_needed),
      cmocka_unit_test(in_place_does_not_grow),
      cmocka_unit_test(one_step_overwrites_a_value_once),
      cmocka_unit_test(a_view_keeps_its_source_alive),
      cmocka_unit_test(in_place_looks_through_views),
      cmocka_unit_test(a_chain_of_views_and_in_place_is_one_room),
      cmocka_unit_test(the_tightest_gap_is_taken),
      cmocka_unit_test(impossible_lives_are_refused),
      cmocka_unit_test(no_two_live_values_overlap),
      cmocka_unit_test(layers_stay_near_the_peak),
      cmocka_unit_test(many_values_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
