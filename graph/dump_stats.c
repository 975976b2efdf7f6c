/* Counts of operators, parameters and bytes. */
#include "graph/dump_stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/size.h"
#include "base/strmap.h"

bool ow_node_is_fused(const ow_node *node) { return node->origin || strcmp(node->domain, "onward") == 0; }

size_t ow_node_origin_count(const ow_node *node) {
  if (!node->origin || !node->origin[0])
    return 0;
  size_t count = 1;
  for (const char *c = node->origin; *c; c++)
    count += *c == ',';
  return count;
}

const char *ow_domain_name(const char *domain) { return domain[0] ? domain : "ai.onnx"; }

/* ---- constants ------------------------------------------------------------------------------------------------------- */

static void add_saturating(uint64_t *sum, uint64_t more) { *sum = *sum > UINT64_MAX - more ? UINT64_MAX : *sum + more; }

static void count_constants(const ow_graph *graph, ow_graph_stats *stats) {
  for (size_t i = 0; i < graph->value_count; i++) {
    const ow_value *const value = graph->values[i];
    const ow_const *const constant = value->constant;
    int64_t elements;
    if (!constant || (value->use_count == 0 && value->output_count == 0) || constant->dtype < 0 ||
        constant->dtype >= OW_DTYPE_COUNT || !ow_dims_count(constant->rank, constant->dims, &elements))
      continue;
    stats->constants++;
    add_saturating(&stats->elements, (uint64_t)elements);
    add_saturating(&stats->bytes, constant->bytes);
    add_saturating(&stats->type_elements[constant->dtype], (uint64_t)elements);
    add_saturating(&stats->type_bytes[constant->dtype], constant->bytes);
  }
}

/* ---- operators ------------------------------------------------------------------------------------------------------- */

typedef struct histogram {
  const ow_allocator *allocator;
  ow_op_count **items;
  size_t count, capacity;
  ow_strmap by_key;
} histogram;

static void histogram_init(histogram *h, const ow_allocator *allocator) {
  *h = (histogram){.allocator = allocator};
  ow_strmap_init(&h->by_key, allocator);
}

static void histogram_free(histogram *h) {
  ow_strmap_free(&h->by_key);
  ow_free(h->allocator, h->items);
}

static bool histogram_add(histogram *h, ow_arena *arena, const ow_node *node) {
  const char *const key = ow_arena_printf(arena, "%s %s %d", node->domain, node->type, node->version);
  if (!key)
    return false;
  ow_op_count *item = ow_strmap_get(&h->by_key, key);
  if (!item) {
    item = ow_arena_zero(arena, 1, sizeof *item);
    if (!item || !ow_reserve(h->allocator, &h->items, &h->capacity, h->count, h->count + 1, sizeof *h->items) ||
        !ow_strmap_put(&h->by_key, key, item))
      return false;
    *item = (ow_op_count){.domain = node->domain, .type = node->type, .version = node->version};
    h->items[h->count++] = item;
  }
  item->count++;
  item->origins += ow_node_origin_count(node);
  return true;
}

static int by_frequency(const void *left, const void *right) {
  const ow_op_count *const a = left, *const b = right;
  if (a->count != b->count)
    return a->count < b->count ? 1 : -1;
  const int type = strcmp(a->type, b->type), domain = strcmp(a->domain, b->domain);
  return type ? type : domain ? domain : (a->version > b->version) - (a->version < b->version);
}

static bool histogram_take(const histogram *h, ow_arena *arena, ow_op_count **ops, size_t *count) {
  *ops = ow_arena_zero(arena, h->count, sizeof **ops);
  if (!*ops)
    return false;
  for (size_t i = 0; i < h->count; i++)
    (*ops)[i] = *h->items[i];
  qsort(*ops, h->count, sizeof **ops, by_frequency);
  *count = h->count;
  return true;
}

bool ow_graph_stats_collect(const ow_graph *graph, ow_graph_stats *stats) {
  *stats = (ow_graph_stats){0};
  ow_arena_init(&stats->arena, graph->allocator);
  histogram all, fused;
  histogram_init(&all, graph->allocator);
  histogram_init(&fused, graph->allocator);
  bool done = true;
  for (const ow_graph *g = graph; g && done; g = ow_graph_walk(graph, g)) {
    count_constants(g, stats);
    stats->nodes += g->node_count;
    stats->inner_nodes += g == graph ? 0 : g->node_count;
    OW_EACH_NODE(node, g)
    done = done && histogram_add(&all, &stats->arena, node) &&
           (!ow_node_is_fused(node) || histogram_add(&fused, &stats->arena, node));
  }
  done = done && histogram_take(&all, &stats->arena, &stats->ops, &stats->op_count) &&
         histogram_take(&fused, &stats->arena, &stats->fused, &stats->fused_count);
  histogram_free(&all);
  histogram_free(&fused);
  return done;
}

void ow_graph_stats_free(ow_graph_stats *stats) { ow_arena_free(&stats->arena); }

/* ---- numbers for people ---------------------------------------------------------------------------------------------- */

static void scaled(uint64_t value, uint64_t base, const char *const *units, size_t unit_count, ow_out *out) {
  size_t unit = 0;
  uint64_t divisor = 1;
  /* 999.95 would be printed as 1000.0 */
  while (unit + 1 < unit_count && (double)value / (double)divisor >= (double)base - 0.05) {
    divisor *= base;
    unit++;
  }
  if (unit == 0)
    ow_out_printf(out, "%" PRIu64 "%s", value, units[0]);
  else
    ow_out_printf(out, "%.1f%s", (double)value / (double)divisor, units[unit]);
}

void ow_dump_amount(uint64_t count, ow_out *out) {
  static const char *const units[] = {"", " k", " M", " G", " T"};
  scaled(count, 1000, units, sizeof units / sizeof *units, out);
}

void ow_dump_bytes(uint64_t bytes, ow_out *out) {
  static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB"};
  scaled(bytes, 1024, units, sizeof units / sizeof *units, out);
}

/* ---- elements -------------------------------------------------------------------------------------------------------- */

/* JSON has no NaN and no infinity: they are strings there. */
static void print_float(double value, bool json, ow_out *out) {
  if (isfinite(value))
    ow_out_printf(out, "%.9g", value);
  else
    ow_out_printf(out, "%s%s%s", json ? "\"" : "", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf", json ? "\"" : "");
}

void ow_dump_number(onward_dtype dtype, const void *data, size_t i, bool json, ow_out *out) {
  const ow_dtype_info *const info = ow_dtype(dtype);
  const size_t size = (size_t)info->bits / 8;
  uint64_t aligned = 0;
  memcpy(&aligned, (const char *)data + i * size, size);
  if (dtype == ONWARD_BOOL)
    ow_out_text(out, aligned & 0xff ? "true" : "false");
  else if (dtype == ONWARD_UINT64)
    ow_out_printf(out, "%" PRIu64, aligned);
  else if (info->kind == OW_KIND_FLOAT)
    print_float(ow_get_f64(dtype, &aligned, 0), json, out);
  else
    ow_out_printf(out, "%" PRId64, ow_get_i64(dtype, &aligned, 0));
}

bool ow_dump_can_print(const ow_const *constant, size_t max) {
  const ow_dtype_info *const info = ow_dtype(constant->dtype);
  const bool narrow_float = info->kind == OW_KIND_FLOAT && info->bits < 16;
  int64_t count;
  size_t bytes;
  return info->bits >= 8 && info->bits <= 64 && !narrow_float && info->kind != OW_KIND_STRING &&
         info->kind != OW_KIND_COMPLEX && ow_dims_count(constant->rank, constant->dims, &count) &&
         (uint64_t)count <= max && ow_tensor_size(constant->dtype, constant->rank, constant->dims, &bytes) &&
         bytes <= constant->bytes;
}
