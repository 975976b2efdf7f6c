/* ReduceSum, ReduceMean, ReduceMax of float32 over neighbouring axes: x seen as [outer, length, inner]. */
#include "ops/cpu/fast_help.h"

typedef enum kind { SUM, MEAN, MAX } kind;

static const struct {
  const char *name;
  kind kind;
} lines[] = {{"ReduceSum", SUM}, {"ReduceMean", MEAN}, {"ReduceMax", MAX}};

typedef struct view {
  kind kind;
  int64_t outer, length, inner;
} view;

static bool view_of(const ow_args *a, view *v, ow_why *why) {
  const char *const name = a->node->op ? a->node->op->name : a->node->type;
  size_t l = 0;
  while (l < sizeof lines / sizeof lines[0] && strcmp(name, lines[l].name) != 0)
    l++;
  if (l == sizeof lines / sizeof lines[0])
    return ow_refuse(why, "no vector form of this reduction");
  if (a->in_count > 1 && a->in[1] && !a->constant[1])
    return ow_refuse(why, "the axes are not constant");
  const onward_tensor *const x = a->in[0];
  int64_t axes[ONWARD_MAX_RANK];
  const int64_t count = ow_args_ints(a, "axes", 1, axes, ONWARD_MAX_RANK);
  uint32_t mask = count > 0 || ow_node_int(a->node, "noop_with_empty_axes", 0) ? 0 : (1u << x->rank) - 1;
  for (int64_t i = 0; i < count; i++) {
    if (axes[i] < -x->rank || axes[i] >= x->rank)
      return ow_refuse(why, "an axis is out of range");
    mask |= 1u << ow_axis(axes[i], x->rank);
  }
  int32_t from = 0, to;
  while (from < x->rank && !(mask >> from & 1))
    from++;
  for (to = from; to < x->rank && mask >> to & 1; to++) {
  }
  if (mask == 0 || mask >> to != 0)
    return ow_refuse(why, "the axes are not neighbours");
  *v = (view){lines[l].kind, ow_dims_product(x->dims, 0, from), ow_dims_product(x->dims, from, to),
              ow_dims_product(x->dims, to, x->rank)};
  return v->length > 0 || ow_refuse(why, "nothing is reduced");
}

static bool supports(const ow_args *a, ow_why *why) {
  if (a->in[0]->dtype != ONWARD_FLOAT32)
    return ow_refuse(why, "input 0 is %s, want float32", onward_dtype_name(a->in[0]->dtype));
  view v;
  return view_of(a, &v, why);
}

/* NaN in either wins. */
OW_INLINE vf join(kind k, vf acc, vf x) { return k == MAX ? v_select(v_nan(acc), acc, v_max(acc, x)) : acc + x; }
OW_INLINE vf start(kind k) { return k == MAX ? v_set(-INFINITY) : v_zero(); }

OW_INLINE float reduce_row(kind k, const float *x, int64_t n) {
  vf a = start(k), b = a;
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {
    a = join(k, a, v_load(x + i));
    b = join(k, b, v_load(x + i + W));
  }
  for (; i < n; i += W) {
    const vm m = v_first(n - i);
    a = join(k, a, v_select(m, v_load_masked(x + i, m), start(k)));
  }
  a = join(k, a, b);
  if (k != MAX)
    return k == MEAN ? v_sum(a) / (float)n : v_sum(a);
  const float nan = v_sum(v_select(v_nan(a), a, v_zero())); /* 0 unless a lane is NaN */
  return isnan(nan) ? nan : v_max_lane(a);
}

OW_INLINE void reduce_columns(kind k, const float *x, float *y, int64_t n, int64_t step, vm m) {
  vf a = start(k);
  for (int64_t i = 0; i < n; i++)
    a = join(k, a, v_load_masked(x + i * step, m));
  v_store_masked(y, m, k == MEAN ? a / v_set((float)n) : a);
}

typedef struct job {
  view v;
  const float *x;
  float *y;
} job;

OW_INLINE void reduce_some(kind k, const job *j, int64_t from, int64_t to) {
  const view *const v = &j->v;
  for (int64_t r = from; r < to; r++) {
    if (v->inner == 1) {
      j->y[r] = reduce_row(k, j->x + r * v->length, v->length);
      continue;
    }
    for (int64_t i = 0; i < v->inner; i += W)
      reduce_columns(k, j->x + r * v->length * v->inner + i, j->y + r * v->inner + i, v->length, v->inner,
                     v_first(v->inner - i));
  }
}

static void rows(void *context, int64_t from, int64_t to) {
  const job *const j = context;
  if (j->v.kind == MAX)
    reduce_some(MAX, j, from, to);
  else if (j->v.kind == MEAN)
    reduce_some(MEAN, j, from, to);
  else
    reduce_some(SUM, j, from, to);
}

static onward_status run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  job j = {.x = a->in[0]->data, .y = a->out[0]->data};
  ow_why why;
  if (!view_of(a, &j.v, &why))
    return ow_node_fail(a->node, err, ONWARD_INTERNAL, "%s", why.text);
  ow_parallel_ranges(a->threads, j.v.outer, ow_fast_grain(a->threads, j.v.outer, j.v.length * j.v.inner), rows, &j);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_reduce) = {
    .name = OW_ISA_STRING("reduce"), .cpu = OW_ISA_CPU, .flags = OW_KERNEL_UNALIGNED, .supports = supports, .run = run};
