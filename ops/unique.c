/* Unique: the distinct elements, or slices along an axis. How many there are depends on the data, so infer already groups them. */
#include <inttypes.h>

#include "ops/op_help.h"

/* What is told apart: count items, item i made of parts pieces of `inner` elements, `part_stride` elements apart. */
typedef struct items {
  const onward_tensor *in;
  int64_t count, parts, inner, part_stride;
} items;

/* Work arrays, count elements each. */
typedef struct groups {
  int64_t *order; /* items sorted by content, equal ones by place */
  int64_t *spare;
  int64_t *first; /* per group in sorted order: its first item */
  int64_t *size;
  int64_t *of; /* per item: its group */
  int64_t count;
} groups;

#define ARRAYS 5

static void items_of(const onward_tensor *in, const ow_attr *axis_attr, items *it) {
  *it = (items){.in = in, .count = ow_count(in), .parts = 1, .inner = 1, .part_stride = 1};
  if (!axis_attr)
    return;
  const int32_t axis = ow_axis(axis_attr->i, in->rank);
  it->count = in->dims[axis];
  it->parts = ow_dims_product(in->dims, 0, axis);
  it->inner = ow_dims_product(in->dims, axis + 1, in->rank);
  it->part_stride = it->count * it->inner;
}

/* NaN comes last and equals NaN; strings are in the order of their bytes. */
static int compare_elements(onward_dtype dtype, const void *data, int64_t a, int64_t b) {
  if (dtype == ONWARD_STRING)
    return strcmp(ow_text_at(data, a), ow_text_at(data, b));
  if (ow_is_float(dtype)) {
    const double x = ow_get_f64(dtype, data, a), y = ow_get_f64(dtype, data, b);
    if (isnan(x) || isnan(y))
      return isnan(x) - isnan(y);
    return (x > y) - (x < y);
  }
  const int64_t x = ow_get_i64(dtype, data, a), y = ow_get_i64(dtype, data, b);
  if (dtype == ONWARD_UINT64)
    return ((uint64_t)x > (uint64_t)y) - ((uint64_t)x < (uint64_t)y);
  return (x > y) - (x < y);
}

static int compare_items(const items *it, int64_t a, int64_t b) {
  for (int64_t p = 0; p < it->parts; p++)
    for (int64_t i = 0; i < it->inner; i++) {
      const int64_t base = p * it->part_stride + i;
      const int order = compare_elements(it->in->dtype, it->in->data, base + a * it->inner, base + b * it->inner);
      if (order)
        return order;
    }
  return 0;
}

/* Merge sort, bottom up: stable, and needs no stack. */
static void sort_items(const items *it, groups *g) {
  for (int64_t i = 0; i < it->count; i++)
    g->order[i] = i;
  for (int64_t width = 1; width < it->count; width *= 2) {
    for (int64_t low = 0; low < it->count; low += 2 * width) {
      const int64_t middle = low + width < it->count ? low + width : it->count;
      const int64_t high = middle + width < it->count ? middle + width : it->count;
      for (int64_t a = low, b = middle, to = low; to < high; to++) {
        const bool left = a < middle && (b >= high || compare_items(it, g->order[a], g->order[b]) <= 0);
        g->spare[to] = left ? g->order[a++] : g->order[b++];
      }
    }
    int64_t *const swap = g->order;
    g->order = g->spare;
    g->spare = swap;
  }
}

static void find_groups(const items *it, bool sorted, groups *g) {
  sort_items(it, g);
  g->count = 0;
  for (int64_t i = 0; i < it->count; i++) {
    const int64_t item = g->order[i];
    if (i == 0 || compare_items(it, g->order[i - 1], item) != 0) {
      g->first[g->count] = item;
      g->size[g->count++] = 0;
    }
    g->of[item] = g->count - 1;
    g->size[g->count - 1]++;
  }
  if (sorted)
    return;
  /* By first occurrence: number the groups anew in the order their first items come. */
  int64_t *const number = g->order, *const sizes = g->spare;
  int64_t next = 0;
  for (int64_t item = 0; item < it->count; item++) {
    const int64_t old = g->of[item];
    if (g->first[old] == item)
      number[old] = next++;
    g->of[item] = number[old];
  }
  for (int64_t i = 0; i < g->count; i++)
    sizes[number[i]] = g->size[i];
  memcpy(g->size, sizes, (size_t)g->count * sizeof *sizes);
  for (int64_t item = it->count - 1; item >= 0; item--)
    g->first[g->of[item]] = item;
}

static void place_arrays(int64_t *memory, int64_t count, groups *g) {
  g->order = memory;
  g->spare = memory + count;
  g->first = memory + 2 * count;
  g->size = memory + 3 * count;
  g->of = memory + 4 * count;
}

static bool arrays_bytes(int64_t count, size_t *bytes) {
  return ow_size_mul((size_t)count, ARRAYS * sizeof(int64_t), bytes);
}

/* ONNX Runtime's own: without an axis, in order of appearance, and no indices among its outputs. */
static bool is_contrib(const ow_node *node) { return strcmp(node->domain, "com.microsoft") == 0; }
static bool is_sorted(const ow_node *node) { return !is_contrib(node) && ow_node_int(node, "sorted", 1) != 0; }

static onward_status infer_unique(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL) | OW_BIT(ONWARD_STRING)));
  const ow_attr *axis_attr = ow_node_attr(c->node, "axis");
  const ow_shape *in = &c->in[0].shape;
  int32_t axis = 0;
  if (axis_attr && in->rank >= 0)
    OW_TRY(ow_infer_axis(c, axis_attr->i, in->rank, &axis));
  ow_shape out = *in;
  if (!axis_attr)
    out.rank = 1;
  ow_dim found = ow_dim_unknown();
  ow_dim all = in->rank < 0 ? ow_dim_unknown() : axis_attr ? in->dims[axis] : ow_shape_count(c->dims, in, 0, in->rank);
  const onward_tensor *data = c->data[0];
  if (data) {
    items it;
    items_of(data, axis_attr, &it);
    size_t bytes;
    int64_t *memory = arrays_bytes(it.count, &bytes) ? ow_arena_alloc(c->arena, bytes) : NULL;
    if (!memory)
      return ow_infer_fail(c, ONWARD_MEMORY, "out of memory");
    groups g;
    place_arrays(memory, it.count, &g);
    find_groups(&it, true, &g); /* their number does not depend on the order */
    found = ow_dim_const(g.count);
    all = ow_dim_const(it.count);
  }
  if (out.rank > 0)
    out.dims[axis] = found;
  const ow_dim one[2] = {found, all};
  for (size_t i = 0; i < c->out_count && i < 4; i++) {
    const bool is_inverse = i == (is_contrib(c->node) ? 1 : 2);
    const int32_t rank = i == 0 ? out.rank : 1;
    const ow_dim *dims = i == 0 ? out.dims : is_inverse ? &one[1] : &one[0];
    const onward_dtype dtype = i == 0 ? c->in[0].dtype : ONWARD_INT64;
    const bool unknown = i == 0 ? out.rank < 0 || ow_dim_is_unknown(found) : ow_dim_is_unknown(dims[0]);
    OW_TRY(unknown ? ow_infer_unknown(c, i, dtype, rank, dims) : ow_infer_set(c, i, dtype, rank, dims));
  }
  return ONWARD_OK;
}

static onward_status prepare_unique(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  const ow_attr *axis_attr = ow_node_attr(a->node, "axis");
  const onward_tensor *in = a->in[0];
  const int64_t count = axis_attr ? in->dims[ow_axis(axis_attr->i, in->rank)] : ow_count(in);
  if (!arrays_bytes(count, workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "%" PRId64 " elements", count);
  return ONWARD_OK;
}

static void write_places(const onward_tensor *out, const int64_t *values) {
  if (out && out->bytes > 0)
    memcpy(out->data, values, out->bytes);
}

static onward_status run_unique(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  items it;
  items_of(a->in[0], ow_node_attr(a->node, "axis"), &it);
  groups g;
  place_arrays(a->workspace, it.count, &g);
  find_groups(&it, is_sorted(a->node), &g);
  const bool contrib = is_contrib(a->node);
  const onward_tensor *const out = a->out[0];
  const onward_tensor *const indices = contrib ? NULL : ow_args_out(a, 1);
  const onward_tensor *const inverse = ow_args_out(a, contrib ? 1 : 2);
  const onward_tensor *const counts = ow_args_out(a, contrib ? 2 : 3);
  const size_t size = ow_dtype_size(it.in->dtype);
  if ((out && out->bytes != (size_t)(it.parts * it.inner * g.count) * size) ||
      (indices && indices->dims[0] != g.count) || (counts && counts->dims[0] != g.count))
    return ow_node_fail(a->node, err, ONWARD_INTERNAL, "the data changed after it was counted");
  write_places(indices, g.first);
  write_places(inverse, g.of);
  write_places(counts, g.size);
  if (!out || out->bytes == 0)
    return ONWARD_OK;
  const int64_t block = it.inner * (int64_t)size;
  for (int64_t p = 0; p < it.parts; p++)
    for (int64_t i = 0; i < g.count; i++)
      memcpy((char *)out->data + (p * g.count + i) * block,
             (const char *)it.in->data + (p * it.part_stride + g.first[i] * it.inner) * (int64_t)size, (size_t)block);
  return ONWARD_OK;
}

static const ow_kernel unique_reference = {
    .name = "unique_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = prepare_unique, .run = run_unique};
static const ow_kernel *const unique_kernels[] = {&unique_reference, NULL};
static const ow_attr_spec unique_attrs[] = {
    {"axis", OW_ATTR_INT, false}, {"sorted", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_unique[] = {
    {.domain = "",
     .name = "Unique",
     .since = 11,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 4,
     .attrs = unique_attrs,
     .infer = infer_unique,
     .kernels = unique_kernels},
    {.domain = "com.microsoft",
     .name = "Unique",
     .since = 1,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 3,
     .infer = infer_unique,
     .kernels = unique_kernels},
    {.name = NULL},
};
