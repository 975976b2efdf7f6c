/* Offsets of values in one arena: greedy best fit over several orders, of which the smallest result is kept. */
#include "graph/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* Items that share their memory. */
typedef struct block {
  uint32_t id;
  uint32_t first, last;
  uint32_t overwritten; /* the step that last wrote over it in place; UINT32_MAX: none */
  size_t bytes;         /* as wanted */
  size_t room;          /* aligned */
  size_t offset;
} block;

/* Above this only the order of execution is tried: the others compare each block with all. */
#define EXHAUSTIVE_BLOCKS 4096
/* With more alive at once, gaps are only looked for now and then. */
#define GAP_BLOCKS 8192

static int compare_size_t(size_t a, size_t b) { return (a > b) - (a < b); }

static int by_id(const block *a, const block *b) { return compare_size_t(a->id, b->id); }

static int by_size(const void *left, const void *right) {
  const block *const a = left, *const b = right;
  return a->room != b->room ? compare_size_t(b->room, a->room) : by_id(a, b);
}

static int by_first(const void *left, const void *right) {
  const block *const a = left, *const b = right;
  return a->first != b->first ? compare_size_t(a->first, b->first) : by_size(left, right);
}

static int by_last(const void *left, const void *right) {
  const block *const a = left, *const b = right;
  return a->last != b->last ? compare_size_t(a->last, b->last) : by_id(a, b);
}

static int by_life(const void *left, const void *right) {
  const block *const a = left, *const b = right;
  const uint32_t la = a->last - a->first, lb = b->last - b->first;
  return la != lb ? compare_size_t(lb, la) : by_size(left, right);
}

static int by_index(const void *left, const void *right) { return by_id(left, right); }

typedef int (*order_fn)(const void *, const void *);

/* ---- blocks ---------------------------------------------------------------------------------------------------------- */

static bool may_share(const block *with, const ow_plan_item *item) {
  if (item->view)
    return true;
  /* A result much smaller than what it overwrites would keep the rest from being used. */
  return with->last == item->first && with->overwritten != item->first && item->bytes > 0 &&
         item->bytes <= with->bytes && item->bytes > with->bytes / 2;
}

/* owner[i]: the block of item i. */
static onward_status make_blocks(ow_plan_item *items, size_t count, block *blocks, uint32_t *owner, size_t *block_count,
                                 onward_error *err) {
  *block_count = 0;
  for (size_t i = 0; i < count; i++) {
    ow_plan_item *const item = &items[i];
    item->shared = false;
    if (item->last < item->first || (item->alias != OW_NO_ALIAS && item->alias >= i))
      return ow_fail(err, ONWARD_INTERNAL,
                     "item %zu of the memory plan ends before it begins, or continues a later one", i);
    block *const with = item->alias != OW_NO_ALIAS ? &blocks[owner[item->alias]] : NULL;
    if (with && may_share(with, item)) {
      owner[i] = with->id;
      item->shared = true;
      if (!item->view)
        with->overwritten = item->first;
      with->last = item->last > with->last ? item->last : with->last;
      with->bytes = item->bytes > with->bytes ? item->bytes : with->bytes;
      continue;
    }
    owner[i] = (uint32_t)*block_count;
    blocks[*block_count] = (block){.id = (uint32_t)*block_count,
                                   .first = item->first,
                                   .last = item->last,
                                   .overwritten = UINT32_MAX,
                                   .bytes = item->bytes};
    ++*block_count;
  }
  for (size_t b = 0; b < *block_count; b++)
    if (!ow_size_align(blocks[b].bytes, OW_ALIGNMENT, &blocks[b].room))
      return ow_fail(err, ONWARD_LIMIT, "a tensor of %zu bytes is too large to plan", blocks[b].bytes);
  return ONWARD_OK;
}

/* The largest sum of bytes alive at once. */
static bool peak(block *blocks, block *copy, size_t count, size_t *live) {
  qsort(blocks, count, sizeof *blocks, by_first);
  memcpy(copy, blocks, count * sizeof *blocks);
  qsort(copy, count, sizeof *copy, by_last);
  size_t now = 0, gone = 0;
  *live = 0;
  for (size_t i = 0; i < count; i++) {
    while (copy[gone].last < blocks[i].first)
      now -= copy[gone++].bytes;
    if (!ow_size_add(now, blocks[i].bytes, &now))
      return false;
    *live = now > *live ? now : *live;
  }
  return true;
}

/* ---- placing --------------------------------------------------------------------------------------------------------- */

/* placed is sorted by offset and has room for one more; *top is above all of it. in_time: blocks come by first use, so those
 * that ended are dropped. */
static bool place(block *placed, size_t *count, block *next, bool in_time, size_t *top) {
  size_t up_to;
  if (*count > GAP_BLOCKS && *count % GAP_BLOCKS != 0) {
    next->offset = *top;
    placed[(*count)++] = *next;
    return ow_size_add(*top, next->room, top);
  }
  size_t end = 0, best = SIZE_MAX, best_gap = SIZE_MAX, kept = 0;
  for (size_t i = 0; i < *count; i++) {
    const block p = placed[i];
    if (in_time && p.last < next->first)
      continue;
    placed[kept++] = p;
    if (p.last < next->first || p.first > next->last)
      continue;
    if (p.offset > end && p.offset - end >= next->room && p.offset - end < best_gap) {
      best = end;
      best_gap = p.offset - end;
    }
    if (p.offset + p.room > end)
      end = p.offset + p.room;
  }
  next->offset = best != SIZE_MAX ? best : end;
  if (!ow_size_add(next->offset, next->room, &up_to))
    return false;
  *top = up_to > *top ? up_to : *top;
  size_t at = kept;
  while (at > 0 && placed[at - 1].offset > next->offset)
    at--;
  memmove(placed + at + 1, placed + at, (kept - at) * sizeof *placed);
  placed[at] = *next;
  *count = kept + 1;
  return true;
}

/* Places all blocks in one order. */
static bool try_order(block *blocks, size_t count, block *placed, order_fn order, bool in_time, size_t *total) {
  qsort(blocks, count, sizeof *blocks, order);
  size_t placed_count = 0;
  *total = 0;
  for (size_t i = 0; i < count; i++) {
    block *const b = &blocks[i];
    b->offset = 0;
    if (b->room == 0)
      continue;
    if (!place(placed, &placed_count, b, in_time, total))
      return false;
  }
  return true;
}

static void keep(const block *blocks, size_t count, size_t *offsets) {
  for (size_t i = 0; i < count; i++)
    offsets[blocks[i].id] = blocks[i].offset;
}

/* offsets: the best found, by block. */
static bool best_order(block *blocks, size_t count, block *placed, size_t live, size_t *offsets, size_t *best) {
  static const order_fn orders[] = {by_first, by_size, by_life};
  *best = SIZE_MAX;
  for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
    size_t total;
    if (o > 0 && (count > EXHAUSTIVE_BLOCKS || *best <= live))
      break;
    if (!try_order(blocks, count, placed, orders[o], o == 0, &total))
      return false;
    if (total >= *best)
      continue;
    *best = total;
    keep(blocks, count, offsets);
  }
  qsort(blocks, count, sizeof *blocks, by_index);
  return true;
}

onward_status ow_plan_offsets(const ow_allocator *a, ow_plan_item *items, size_t count, size_t *total, size_t *live,
                              onward_error *err) {
  size_t block_count = 0, peak_bytes = 0, arena_bytes = 0;
  if (count >= UINT32_MAX)
    return ow_fail(err, ONWARD_LIMIT, "%zu values are too many to plan", count);
  block *const blocks = ow_alloc_zero(a, count, sizeof *blocks);
  block *const placed = ow_alloc_zero(a, count, sizeof *placed);
  uint32_t *const owner = ow_alloc_zero(a, count, sizeof *owner);
  size_t *const offsets = ow_alloc_zero(a, count, sizeof *offsets);
  onward_status status = ONWARD_OK;
  if (!blocks || !placed || !owner || !offsets) {
    status = ow_fail(err, ONWARD_MEMORY, "no memory to plan %zu values", count);
    goto cleanup;
  }
  status = make_blocks(items, count, blocks, owner, &block_count, err);
  if (status != ONWARD_OK)
    goto cleanup;
  if (!peak(blocks, placed, block_count, &peak_bytes) ||
      !best_order(blocks, block_count, placed, peak_bytes, offsets, &arena_bytes)) {
    status = ow_fail(err, ONWARD_LIMIT, "the values of this shape need more memory than can be addressed");
    goto cleanup;
  }
  for (size_t i = 0; i < count; i++)
    items[i].offset = offsets[owner[i]];
  *total = arena_bytes;
  *live = peak_bytes;

cleanup:
  ow_free(a, blocks);
  ow_free(a, placed);
  ow_free(a, owner);
  ow_free(a, offsets);
  return status;
}
