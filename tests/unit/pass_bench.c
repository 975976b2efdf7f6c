#include "unit/pass_bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/infer.h"
#include "ops/ops.h"

void bench_open(bench *b) {
  memset(b, 0, sizeof *b);
  onward_error err;
  ow_arena_init(&b->weights, &ow_allocator_default);
  ow_arena_init(&b->memory, &ow_allocator_default);
  assert_non_null(b->dims = ow_dims_create(&ow_allocator_default));
  assert_non_null(b->graph = ow_graph_create(&ow_allocator_default, &b->weights, b->dims));
  assert_non_null(b->registry = ow_registry_create(&ow_allocator_default));
  assert_int_equal(ow_ops_register(b->registry, &err), ONWARD_OK);
  b->random = 88172645463325252u;
}

void bench_close(bench *b) {
  ow_graph_free(b->graph);
  ow_registry_free(b->registry);
  ow_dims_free(b->dims);
  ow_arena_free(&b->memory);
  ow_arena_free(&b->weights);
}

static float next_float(bench *b) {
  b->random ^= b->random << 13;
  b->random ^= b->random >> 7;
  b->random ^= b->random << 17;
  return (float)(b->random >> 40) / (float)(1 << 23) - 1.0f;
}

/* ---- building ------------------------------------------------------------------------------------------------------------- */

static ow_dim symbol(bench *b, int64_t number) {
  while (ow_dims_symbol_count(b->dims) <= number) {
    char name[16];
    (void)snprintf(name, sizeof name, "d%d", (int)ow_dims_symbol_count(b->dims));
    (void)ow_dim_symbol(b->dims, name);
  }
  for (size_t i = 0; i < b->graph->input_count; i++)
    for (int32_t d = 0; d < b->graph->inputs[i]->type.shape.rank; d++)
      if (ow_dim_symbol_index(b->dims, b->graph->inputs[i]->type.shape.dims[d]) == number)
        return b->graph->inputs[i]->type.shape.dims[d];
  return ow_dim_const(0);
}

ow_value *bench_input(bench *b, const char *name, onward_dtype dtype, int32_t rank, const int64_t *dims) {
  ow_value *const v = ow_graph_add_value(b->graph, name);
  assert_non_null(v);
  v->type = (ow_type){.kind = OW_VALUE_TENSOR, .dtype = dtype, .shape = {.rank = rank}};
  for (int32_t d = 0; d < rank; d++) {
    v->type.shape.dims[d] = ow_dim_const(dims[d]);
    if (dims[d] >= 0)
      continue;
    const int64_t number = -1 - dims[d];
    if (number < ow_dims_symbol_count(b->dims)) {
      v->type.shape.dims[d] = symbol(b, number);
      for (int32_t e = 0; e < d; e++)
        if (dims[e] == dims[d])
          v->type.shape.dims[d] = v->type.shape.dims[e];
    } else {
      char text[16];
      assert_int_equal(number, ow_dims_symbol_count(b->dims)); /* symbols appear in order */
      (void)snprintf(text, sizeof text, "d%d", (int)number);
      v->type.shape.dims[d] = ow_dim_symbol(b->dims, text);
    }
  }
  assert_true(ow_graph_add_input(b->graph, v));
  return v;
}

ow_value *bench_scalar(bench *b, float value) {
  return ow_graph_add_const_copy(b->graph, NULL, ONWARD_FLOAT32, 0, NULL, &value);
}

ow_value *bench_ints(bench *b, size_t count, const int64_t *values) {
  const int64_t length = (int64_t)count;
  return ow_graph_add_const_copy(b->graph, NULL, ONWARD_INT64, 1, &length, values);
}

ow_value *bench_weight(bench *b, int32_t rank, const int64_t *dims) {
  const int64_t count = ow_dims_product(dims, 0, rank);
  float *const data = ow_arena_alloc(&b->memory, (size_t)count * sizeof *data);
  assert_non_null(data);
  for (int64_t i = 0; i < count; i++)
    data[i] = next_float(b);
  return ow_graph_add_const_copy(b->graph, NULL, ONWARD_FLOAT32, rank, dims, data);
}

static void split_type(const char *name, char domain[32], const char **type) {
  const char *const colon = strstr(name, "::");
  domain[0] = '\0';
  *type = colon ? colon + 2 : name;
  if (colon)
    (void)snprintf(domain, 32, "%.*s", (int)(colon - name), name);
}

ow_value *bench_node(bench *b, const char *type, int32_t version, ...) {
  ow_value *inputs[8], *out = ow_graph_add_value(b->graph, NULL);
  size_t count = 0;
  va_list args;
  va_start(args, version);
  for (ow_value *v; (v = va_arg(args, ow_value *)); inputs[count++] = v)
    assert_true(count < 8);
  va_end(args);
  char domain[32];
  const char *name;
  split_type(type, domain, &name);
  assert_non_null(out);
  assert_non_null(ow_graph_add_node(b->graph, NULL, name, domain, name, version, inputs, count, &out, 1));
  return out;
}

ow_node *bench_last(bench *b) { return b->graph->last; }

ow_value *bench_transpose(bench *b, ow_value *x, size_t count, const int64_t *perm) {
  ow_value *const y = bench_node(b, "Transpose", 13, x, NULL);
  assert_true(ow_node_add_ints(bench_last(b), "perm", perm, count));
  return y;
}

ow_value *bench_reduce_mean(bench *b, ow_value *x, int64_t axis) {
  return bench_node(b, "ReduceMean", 18, x, bench_ints(b, 1, &axis), NULL);
}

void bench_output(bench *b, ow_value *value) { assert_true(ow_graph_add_output(b->graph, NULL, value)); }

/* ---- evaluating ----------------------------------------------------------------------------------------------------------- */

typedef struct evaluation {
  bench *b;
  ow_arena arena;
  ow_dims *pool;
  onward_tensor **tensors; /* by value */
  int64_t symbols[16];
  int32_t symbol_count;
} evaluation;

static onward_tensor *make_tensor(ow_arena *arena, onward_dtype dtype, const ow_shape *shape) {
  onward_tensor *const t = ow_arena_zero(arena, 1, sizeof *t);
  assert_non_null(t);
  t->dtype = dtype;
  t->rank = shape->rank;
  for (int32_t d = 0; d < shape->rank; d++) {
    assert_true(ow_dim_is_const(shape->dims[d]));
    t->dims[d] = shape->dims[d].k;
  }
  assert_true(ow_tensor_size(t->dtype, t->rank, t->dims, &t->bytes));
  assert_non_null(t->data = ow_arena_aligned(arena, t->bytes));
  return t;
}

static onward_tensor *tensor_of(evaluation *e, const ow_value *v) {
  onward_tensor *t = e->tensors[v->index];
  if (t)
    return t;
  if (v->constant) {
    t = ow_arena_zero(&e->arena, 1, sizeof *t);
    assert_non_null(t);
    *t = (onward_tensor){.dtype = v->constant->dtype, .rank = v->constant->rank, .bytes = v->constant->bytes};
    memcpy(t->dims, v->constant->dims, sizeof t->dims);
    memcpy(&t->data, &v->constant->data, sizeof t->data);
  } else {
    assert_non_null(v->type.elems); /* a shape constant */
    t = make_tensor(&e->arena, v->type.dtype, &v->type.shape);
    for (size_t i = 0; i < v->type.elem_count; i++) {
      int64_t k;
      assert_true(ow_dim_evaluate(e->b->dims, v->type.elems[i], e->symbols, e->symbol_count, &k));
      ow_set_i64(t->dtype, t->data, (int64_t)i, k);
    }
  }
  return e->tensors[v->index] = t;
}

static void run_kernel(evaluation *e, const ow_args *args) {
  const ow_kernel *kernel = NULL;
  for (const ow_kernel *const *k = args->node->op->kernels; *k; k++)
    kernel = *k;
  assert_non_null(kernel);
  onward_error err = {.message = ""};
  ow_args run = *args;
  void *const state = ow_arena_zero(&e->arena, 1, kernel->state_size + 1);
  size_t workspace = 0;
  if (kernel->prepare)
    assert_int_equal(kernel->prepare(&run, state, &workspace, &err), ONWARD_OK);
  run.workspace = ow_arena_aligned(&e->arena, workspace);
  const onward_status status = kernel->run(&run, state, &err);
  if (status != ONWARD_OK)
    fail_msg("%s", err.message);
  if (kernel->destroy)
    kernel->destroy(state);
}

static void run_node(evaluation *e, const ow_node *node) {
  ow_type in[8] = {{.dtype = ONWARD_UNDEFINED}}, out[8];
  const onward_tensor *data[8] = {NULL};
  onward_tensor *results[8] = {NULL};
  bool constant[8] = {false};
  const void *packed[8] = {NULL};
  onward_error err = {.message = ""};
  assert_true(node->input_count <= 8 && ow_infer_out_count(node) <= 8);
  for (size_t i = 0; i < node->input_count; i++) {
    if (!node->inputs[i])
      continue;
    const onward_tensor *const t = tensor_of(e, node->inputs[i]);
    in[i] = (ow_type){.kind = OW_VALUE_TENSOR, .dtype = t->dtype, .shape = {.rank = t->rank}};
    for (int32_t d = 0; d < t->rank; d++)
      in[i].shape.dims[d] = ow_dim_const(t->dims[d]);
    data[i] = t;
    constant[i] = node->inputs[i]->constant != NULL;
  }
  ow_infer c = {.node = node,
                .dims = e->pool,
                .arena = &e->arena,
                .in = in,
                .data = data,
                .in_count = node->input_count,
                .out = out,
                .out_count = ow_infer_out_count(node),
                .err = &err};
  const onward_status status = ow_infer_call(node, &c);
  if (status != ONWARD_OK)
    fail_msg("%s", err.message);
  for (size_t o = 0; o < node->output_count; o++)
    if (node->outputs[o])
      results[o] = e->tensors[node->outputs[o]->index] = make_tensor(&e->arena, out[o].dtype, &out[o].shape);
  const ow_args args = {.node = node,
                        .in = data,
                        .in_count = node->input_count,
                        .out = results,
                        .out_count = node->output_count,
                        .constant = constant,
                        .packed = packed,
                        .threads = 1,
                        .allocator = &ow_allocator_default};
  run_kernel(e, &args);
}

/* results[i]: output i, copied into the bench's memory. */
static void evaluate(bench *b, onward_tensor *results) {
  evaluation e = {.b = b, .symbol_count = ow_dims_symbol_count(b->dims)};
  ow_arena_init(&e.arena, &ow_allocator_default);
  assert_non_null(e.pool = ow_dims_create(&ow_allocator_default));
  e.tensors = ow_arena_zero(&e.arena, b->graph->value_count, sizeof *e.tensors);
  for (size_t i = 0; i < b->graph->input_count; i++) {
    const ow_value *const v = b->graph->inputs[i];
    e.tensors[v->index] = &b->inputs[i];
    for (int32_t d = 0; d < b->inputs[i].rank; d++) {
      const int32_t s = ow_dim_symbol_index(b->dims, v->type.shape.dims[d]);
      if (s >= 0 && s < 16)
        e.symbols[s] = b->inputs[i].dims[d];
    }
  }
  OW_EACH_NODE(node, b->graph)
  run_node(&e, node);
  for (size_t i = 0; i < b->graph->output_count; i++) {
    const onward_tensor *const t = tensor_of(&e, b->graph->outputs[i].value);
    results[i] = *t;
    results[i].data = ow_arena_aligned(&b->memory, t->bytes);
    memcpy(results[i].data, t->data, t->bytes);
  }
  ow_dims_free(e.pool);
  ow_arena_free(&e.arena);
}

static void fill_input(bench *b, onward_tensor *t) {
  const int64_t count = ow_dims_product(t->dims, 0, t->rank);
  for (int64_t i = 0; i < count; i++) {
    const float r = next_float(b);
    if (t->dtype == ONWARD_BOOL || t->dtype == ONWARD_INT64)
      ow_set_i64(t->dtype, t->data, i, r > -0.3f);
    else
      ow_set_f64(t->dtype, t->data, i, (double)r);
  }
}

void bench_ready(bench *b, const int64_t *sizes) {
  onward_error err = {.message = ""};
  if (ow_graph_resolve(b->graph, b->registry, &err) != ONWARD_OK || ow_infer_graph(b->graph, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  for (size_t i = 0; i < b->graph->input_count; i++) {
    const ow_type *const type = &b->graph->inputs[i]->type;
    ow_shape shape = type->shape;
    for (int32_t d = 0; d < shape.rank; d++) {
      const int32_t s = ow_dim_symbol_index(b->dims, shape.dims[d]);
      if (s >= 0)
        shape.dims[d] = ow_dim_const(sizes[s]);
    }
    b->inputs[i] = *make_tensor(&b->memory, type->dtype, &shape);
    fill_input(b, &b->inputs[i]);
  }
  evaluate(b, b->before);
}

static bool note(void *context, const char *text, size_t length) {
  bench *const b = context;
  const size_t used = strlen(b->explained);
  if (length < sizeof b->explained - used) {
    memcpy(b->explained + used, text, length);
    b->explained[used + length] = '\0';
  }
  return true;
}

void bench_run(bench *b, const char *pass) {
  onward_error err = {.message = ""};
  ow_out out = {.write = note, .context = b};
  ow_pass_context context = {
      .graph = b->graph, .registry = b->registry, .fold_bytes = 1 << 20, .explain = &out, .err = &err};
  onward_status status = ONWARD_ARGUMENT;
  if (!pass) {
    status = ow_passes_run(&context, &(ow_pass_options){.stop_after = -1, .validate = true});
  } else {
    for (const ow_pass *p = ow_passes; p->name; p++)
      if (strcmp(p->name, pass) == 0)
        status = p->run(&context, &b->changes);
    if (status == ONWARD_OK)
      status = ow_graph_validate(b->graph, &err);
  }
  if (status != ONWARD_OK)
    fail_msg("%s", err.message);
}

void bench_same(bench *b) {
  onward_tensor after[BENCH_OUTPUTS];
  evaluate(b, after);
  for (size_t i = 0; i < b->graph->output_count; i++) {
    const onward_tensor *const want = &b->before[i], *const got = &after[i];
    assert_int_equal(got->dtype, want->dtype);
    assert_int_equal(got->rank, want->rank);
    for (int32_t d = 0; d < want->rank; d++)
      assert_int_equal(got->dims[d], want->dims[d]);
    const int64_t count = ow_dims_product(want->dims, 0, want->rank);
    for (int64_t k = 0; k < count; k++) {
      const double x = ow_get_f64(want->dtype, want->data, k), y = ow_get_f64(got->dtype, got->data, k);
      const bool same = isnan(x) || isnan(y) ? isnan(x) && isnan(y) : x == y || fabs(x - y) <= 1e-5 + 1e-4 * fabs(x);
      if (!same)
        fail_msg("output %zu element %lld: %.9g, want %.9g", i, (long long)k, y, x);
    }
  }
}

void bench_all(bench *b, const int64_t *sizes) {
  bench_ready(b, sizes);
  bench_run(b, NULL);
  bench_same(b);
}

const ow_node *bench_find(const bench *b, const char *name) {
  char domain[32];
  const char *type;
  split_type(name, domain, &type);
  OW_EACH_NODE(node, b->graph)
  if (strcmp(node->type, type) == 0 && strcmp(node->domain, domain) == 0)
    return node;
  return NULL;
}

size_t bench_count(const bench *b, const char *name) {
  char domain[32];
  const char *type;
  size_t count = 0;
  split_type(name, domain, &type);
  OW_EACH_NODE(node, b->graph)
  count += strcmp(node->type, type) == 0 && strcmp(node->domain, domain) == 0;
  return count;
}

float *bench_floats(bench *b, size_t input) { return b->inputs[input].data; }
