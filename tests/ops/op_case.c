#include "ops/op_case.h"

#include <stdio.h>
#include <string.h>

#include "graph/infer.h"
#include "ops/ops.h"

#define KERNEL_TOLERANCE 2e-6

op_case op_begin(const char *domain, const char *type, int32_t version) {
  op_case t = {.domain = domain, .type = type, .version = version, .tolerance = KERNEL_TOLERANCE};
  onward_error err;
  t.weights = ow_alloc(&ow_allocator_default, sizeof *t.weights);
  assert_non_null(t.weights);
  ow_arena_init(t.weights, &ow_allocator_default);
  t.registry = ow_registry_create(&ow_allocator_default);
  t.dims = ow_dims_create(&ow_allocator_default);
  assert_non_null(t.registry);
  if (ow_ops_register(t.registry, &err))
    fail_msg("%s", err.message);
  return t;
}

static void op_graph(op_case *t) {
  if (!t->graph)
    t->graph = ow_graph_create(&ow_allocator_default, t->weights, t->dims);
  assert_non_null(t->graph);
}

void op_end(op_case *t) {
  ow_graph_free(t->graph);
  ow_arena_free(t->weights);
  ow_free(&ow_allocator_default, t->weights);
  ow_dims_free(t->dims);
  ow_registry_free(t->registry);
}

static void fill(onward_dtype dtype, void *data, int64_t count, const double *values) {
  for (int64_t i = 0; i < count; i++) {
    if (ow_dtype(dtype)->kind == OW_KIND_FLOAT)
      ow_set_f64(dtype, data, i, values[i]);
    else
      ow_set_i64(dtype, data, i, (int64_t)values[i]);
  }
}

void op_in(op_case *t, onward_dtype dtype, int32_t rank, const int64_t *dims, const double *values) {
  int64_t count = 0;
  size_t bytes = 0;
  op_graph(t);
  assert_true(ow_dims_count(rank, dims, &count) && ow_tensor_size(dtype, rank, dims, &bytes));
  void *const data = ow_alloc_zero(&ow_allocator_default, bytes ? bytes : 1, 1);
  assert_non_null(data);
  if (values) /* zeros otherwise */
    fill(dtype, data, count, values);
  t->in[t->in_count] = ow_graph_add_const_copy(t->graph, NULL, dtype, rank, dims, data);
  assert_non_null(t->in[t->in_count++]);
  ow_free(&ow_allocator_default, data);
}

void op_in_none(op_case *t) { t->in[t->in_count++] = NULL; }

void op_in_symbolic(op_case *t, onward_dtype dtype, int32_t rank, const int64_t *dims) {
  static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
  op_graph(t);
  ow_value *const v = ow_graph_add_value(t->graph, NULL);
  assert_non_null(v);
  v->type = (ow_type){.kind = OW_VALUE_TENSOR, .dtype = dtype, .shape = {.rank = rank}};
  for (int32_t d = 0; d < rank; d++) {
    const int64_t symbol = -dims[d] - 1;
    if (symbol >= 0 && !t->symbols[symbol].x)
      t->symbols[symbol] = ow_dim_symbol(t->dims, names[symbol]);
    v->type.shape.dims[d] = symbol >= 0 ? t->symbols[symbol] : ow_dim_const(dims[d]);
  }
  (void)ow_graph_add_input(t->graph, v);
  t->in[t->in_count++] = v;
}

static ow_attr *add_attr(op_case *t, const char *name, ow_attr_kind kind) {
  ow_attr *const a = &t->attrs[t->attr_count++];
  *a = (ow_attr){.name = name, .kind = kind};
  return a;
}

void op_set_int(op_case *t, const char *name, int64_t value) { add_attr(t, name, OW_ATTR_INT)->i = value; }
void op_set_float(op_case *t, const char *name, float value) { add_attr(t, name, OW_ATTR_FLOAT)->f = value; }
void op_set_string(op_case *t, const char *name, const char *value) {
  ow_attr *const a = add_attr(t, name, OW_ATTR_STRING);
  a->s = value;
  a->count = strlen(value);
}
void op_set_ints(op_case *t, const char *name, int32_t count, const int64_t *values) {
  ow_attr *const a = add_attr(t, name, OW_ATTR_INTS);
  int64_t *const copy = ow_arena_alloc(t->weights, (size_t)count * sizeof *copy);
  assert_non_null(copy);
  for (int32_t i = 0; i < count; i++)
    copy[i] = values[i];
  a->ints = copy;
  a->count = (size_t)count;
}

void op_set_floats(op_case *t, const char *name, int32_t count, const double *values) {
  ow_attr *const a = add_attr(t, name, OW_ATTR_FLOATS);
  float *const copy = ow_arena_alloc(t->weights, (size_t)count * sizeof *copy);
  assert_non_null(copy);
  for (int32_t i = 0; i < count; i++)
    copy[i] = (float)values[i];
  a->floats = copy;
  a->count = (size_t)count;
}
void op_set_strings(op_case *t, const char *name, size_t count, const char *const *values) {
  ow_attr *const a = add_attr(t, name, OW_ATTR_STRINGS);
  a->strings = values;
  a->count = count;
}

/* ---- inference ----------------------------------------------------------------------------------------------------------- */

static onward_status build(op_case *t, size_t outputs, onward_error *err) {
  op_graph(t);
  if (t->node)
    return ONWARD_OK;
  for (size_t i = 0; i < outputs; i++)
    t->out[i] = ow_graph_add_value(t->graph, NULL);
  t->out_count = outputs;
  t->node =
      ow_graph_add_node(t->graph, NULL, "node", t->domain, t->type, t->version, t->in, t->in_count, t->out, outputs);
  assert_non_null(t->node);
  for (size_t i = 0; i < t->attr_count; i++)
    assert_true(ow_node_add_attr(t->node, &t->attrs[i]));
  OW_TRY(ow_graph_resolve(t->graph, t->registry, err));
  return ow_infer_node(t->graph, t->node, err);
}

static void check_shape(const op_case *t, size_t out, onward_dtype dtype, const char *want) {
  char text[256];
  assert_string_equal(onward_dtype_name(t->out[out]->type.dtype), onward_dtype_name(dtype));
  assert_string_equal(ow_shape_text(t->dims, &t->out[out]->type.shape, text, sizeof text), want);
}

void op_expect_shape(op_case *t, size_t out, onward_dtype dtype, const char *shape) {
  onward_error err;
  if (build(t, out + 1, &err))
    fail_msg("%s", err.message);
  check_shape(t, out, dtype, shape);
}

static bool write_text(void *context, const char *text, size_t length) {
  strncat(context, text, length);
  return true;
}

void op_expect_elems(op_case *t, const char *elems) {
  char text[512] = "";
  ow_out out = {.write = write_text, .context = text};
  onward_error err;
  if (build(t, 1, &err))
    fail_msg("%s", err.message);
  assert_non_null(t->out[0]->type.elems);
  for (size_t i = 0; i < t->out[0]->type.elem_count; i++) {
    ow_out_text(&out, i ? "," : "");
    ow_dim_print(t->dims, t->out[0]->type.elems[i], &out);
  }
  assert_string_equal(text, elems);
}

/* ---- running ------------------------------------------------------------------------------------------------------------- */

typedef struct run_args {
  onward_tensor in_tensors[OP_SLOTS], out_tensors[OP_SLOTS];
  const onward_tensor *in[OP_SLOTS];
  onward_tensor *out[OP_SLOTS];
  bool constant[OP_SLOTS];
  ow_packed packs[OP_SLOTS];
  const void *packed[OP_SLOTS];
  ow_args args;
} run_args;

static void open_args(const op_case *t, run_args *r) {
  *r = (run_args){0};
  for (size_t i = 0; i < t->in_count; i++) {
    if (!t->in[i])
      continue;
    const ow_const *const data = t->in[i]->constant;
    assert_non_null(data);
    r->in_tensors[i] = (onward_tensor){.dtype = data->dtype, .rank = data->rank, .bytes = data->bytes};
    memcpy(r->in_tensors[i].dims, data->dims, sizeof data->dims);
    memcpy(&r->in_tensors[i].data, &data->data, sizeof data->data);
    r->in[i] = &r->in_tensors[i];
    r->constant[i] = true;
  }
  for (size_t i = 0; i < t->out_count; i++) {
    const ow_type *const type = &t->out[i]->type;
    onward_tensor *const y = &r->out_tensors[i];
    *y = (onward_tensor){.dtype = type->dtype, .rank = type->shape.rank};
    for (int32_t d = 0; d < y->rank; d++) {
      assert_true(ow_dim_is_const(type->shape.dims[d]));
      y->dims[d] = type->shape.dims[d].k;
    }
    assert_true(ow_tensor_size(y->dtype, y->rank, y->dims, &y->bytes));
    y->data = ow_alloc(&ow_allocator_default, y->bytes);
    memset(y->data, 0xa5, y->bytes);
    r->out[i] = y;
  }
  r->args = (ow_args){.node = t->node,
                      .in = r->in,
                      .in_count = t->in_count,
                      .out = r->out,
                      .out_count = t->out_count,
                      .constant = r->constant,
                      .packed = r->packed,
                      .threads = 2,
                      .allocator = &ow_allocator_default};
}

static void close_args(run_args *r) {
  for (size_t i = 0; i < OP_SLOTS; i++) {
    ow_free(&ow_allocator_default, r->out_tensors[i].data);
    if (r->packs[i].free)
      r->packs[i].free(&ow_allocator_default, r->packs[i].data);
    else
      ow_free(&ow_allocator_default, r->packs[i].data);
  }
}

static onward_status run_kernel(run_args *r, const ow_kernel *k, onward_error *err) {
  onward_status status = ONWARD_OK;
  size_t workspace = 0;
  const uint64_t slots = k->pack_slots ? k->pack_slots(&r->args) : 0;
  for (size_t i = 0; !status && i < r->args.in_count; i++) {
    if (slots >> i & 1 && r->in[i]) {
      status = k->pack(&r->args, i, &r->packs[i], err);
      r->packed[i] = r->packs[i].data;
    }
  }
  void *const state = ow_alloc_zero(&ow_allocator_default, k->state_size ? k->state_size : 1, 1);
  const bool prepared = !status && k->prepare;
  if (prepared)
    status = k->prepare(&r->args, state, &workspace, err);
  r->args.workspace = ow_alloc(&ow_allocator_default, workspace);
  if (!status)
    status = k->run(&r->args, state, err);
  if (prepared && k->destroy)
    k->destroy(state);
  ow_free(&ow_allocator_default, r->args.workspace);
  ow_free(&ow_allocator_default, state);
  return status;
}

static bool usable(const run_args *r, const ow_kernel *k) {
  ow_why why;
  return !(k->cpu & ~ow_cpu_flags()) && (!k->supports || k->supports(&r->args, &why));
}

static bool same(double got, double want, double tolerance) {
  if (isnan(want) || isinf(want))
    return isnan(want) ? isnan(got) : isinf(got) && signbit(got) == signbit(want);
  return fabs(got - want) <= tolerance * (fabs(want) > 1.0 ? fabs(want) : 1.0);
}

static double tolerance_of(const op_case *t, onward_dtype dtype) {
  if (ow_dtype(dtype)->kind != OW_KIND_FLOAT)
    return 0.0;
  return dtype == ONWARD_BFLOAT16 ? 8e-3 : dtype == ONWARD_FLOAT16 ? 1e-3 : t->tolerance;
}

static void check_values(const op_case *t, const ow_kernel *k, size_t out, const onward_tensor *y, int32_t rank,
                         const int64_t *dims, const double *values) {
  assert_int_equal(y->rank, rank);
  for (int32_t d = 0; d < rank; d++) {
    if (y->dims[d] != dims[d])
      fail_msg("output %zu dim %d is %lld, want %lld", out, d, (long long)y->dims[d], (long long)dims[d]);
  }
  const int64_t count = ow_dims_product(y->dims, 0, y->rank);
  for (int64_t i = 0; i < count; i++) {
    const double got = ow_get_f64(y->dtype, y->data, i);
    if (!same(got, values[i], tolerance_of(t, y->dtype)))
      fail_msg("%s: output %zu element %lld is %.9g, want %.9g", k->name, out, (long long)i, got, values[i]);
  }
}

void op_expect(op_case *t, size_t out, onward_dtype dtype, int32_t rank, const int64_t *dims, const double *values) {
  onward_error err;
  run_args r;
  if (build(t, out + 1, &err))
    fail_msg("%s", err.message);
  assert_string_equal(onward_dtype_name(t->out[out]->type.dtype), onward_dtype_name(dtype));
  for (const ow_kernel *const *k = t->node->op->kernels; *k; k++) {
    open_args(t, &r);
    if (usable(&r, *k)) {
      if (run_kernel(&r, *k, &err))
        fail_msg("%s: %s", (*k)->name, err.message);
      check_values(t, *k, out, &r.out_tensors[out], rank, dims, values);
    } else {
      assert_non_null(k[1]); /* the reference takes everything */
    }
    close_args(&r);
  }
}

static void check_error(onward_status got, const onward_error *err, onward_status want, const char *text) {
  if (got != want || !strstr(err->message, text))
    fail_msg("%s '%s', want %s with '%s'", onward_status_name(got), got ? err->message : "", onward_status_name(want),
             text);
}

void op_expect_error(op_case *t, onward_status want, const char *text) {
  onward_error err = {0};
  run_args r;
  const ow_op *const row = ow_registry_find(t->registry, t->domain, t->type, t->version);
  const onward_status status = build(t, row ? row->min_outputs : 1, &err);
  if (status) {
    check_error(status, &err, want, text);
    return;
  }
  for (const ow_kernel *const *k = t->node->op->kernels; *k; k++) {
    open_args(t, &r);
    if (usable(&r, *k))
      check_error(run_kernel(&r, *k, &err), &err, want, text);
    close_args(&r);
  }
}
