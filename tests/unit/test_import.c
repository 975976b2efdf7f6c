/* The tree of a file to a graph: versions, names, types, constants, attributes. */
#include "unit/import_fixture.h"

/* ---- models -------------------------------------------------------------------------------------------------------------------- */

static void test_model(void **state) {
  (void)state;
  pb graph = io("x", "y"), entry = {0}, model;
  pb_text(&graph, 2, "main");
  pb_message(&graph, NODE, pb_node("Add", "x w", "h"));
  pb gelu = pb_node_named("gelu", "com.microsoft", "Gelu", "h - ", "y");
  pb_attr(&gelu, pb_attr_int("i", -3));
  pb_attr(&gelu, pb_attr_float("f", 0.5f));
  pb_attr(&gelu, pb_attr_text("s", "tanh"));
  pb_attr(&gelu, pb_attr_tensor("t", vector("", 3, 4)));
  pb_message(&graph, NODE, gelu);
  pb_message(&graph, INITIALIZER, vector("w", 1, 2));
  model = pb_model(graph);
  pb_message(&model, 8, pb_opset("com.microsoft", 1));
  pb_text(&model, 2, "pytorch");
  pb_text(&model, 3, "2.13.0");
  pb_text(&entry, 1, "key");
  pb_text(&entry, 2, "text");
  pb_message(&model, 14, entry);
  loaded l;
  load(model, &l);
  const ow_graph *g = l.graph;
  assert_string_equal(g->name, "main");
  assert_string_equal(g->producer, "pytorch 2.13.0");
  assert_int_equal(g->ir_version, 8);
  assert_int_equal(g->metadata_count, 1);
  assert_string_equal(g->metadata[0].key, "key");
  assert_string_equal(g->metadata[0].value, "text");
  assert_int_equal(ow_graph_opset(g, ""), 17);
  assert_int_equal(ow_graph_opset(g, "com.microsoft"), 1);
  assert_int_equal(g->node_count, 2);
  assert_int_equal(g->input_count, 1);
  assert_string_equal(g->inputs[0]->name, "x");
  assert_int_equal(g->output_count, 1);
  assert_ptr_equal(g->outputs[0].value, value(g, "y"));
  const ow_node *add = node_at(g, 0), *n = node_at(g, 1);
  assert_string_equal(add->type, "Add");
  assert_string_equal(add->domain, "");
  assert_int_equal(add->version, 17);
  assert_ptr_equal(add->inputs[1], value(g, "w"));
  assert_memory_equal(add->inputs[1]->constant->data, ((const float[]){1, 2}), 8);
  assert_string_equal(n->name, "gelu");
  assert_string_equal(n->domain, "com.microsoft");
  assert_int_equal(n->version, 1);
  assert_int_equal(n->index, 1);
  assert_int_equal(n->input_count, 2);
  assert_null(n->inputs[1]);
  assert_int_equal(ow_node_int(n, "i", 0), -3);
  assert_true(ow_node_float(n, "f", 0) == 0.5f);
  assert_string_equal(ow_node_string(n, "s", ""), "tanh");
  assert_memory_equal(ow_node_attr(n, "t")->t->data, ((const float[]){3, 4}), 8);
  assert_int_equal(l.warnings, 0);
  end(&l);
}

static pb identity_model(void) {
  pb graph = io("x", "y");
  pb_message(&graph, NODE, pb_node("Identity", "x", "y"));
  return graph;
}

/* graph only, to which the caller adds versions */
static pb bare(pb graph, int64_t ir) {
  pb model = {0};
  if (ir)
    pb_int(&model, 1, ir);
  pb_message(&model, 7, graph);
  return model;
}

static void test_versions(void **state) {
  (void)state;
  expect(bare(identity_model(), 0), ONWARD_MODEL, "has no ir_version");
  expect(bare(identity_model(), -1), ONWARD_UNSUPPORTED, "ir_version -1 is outside [1,99]");
  expect(bare(identity_model(), 999), ONWARD_UNSUPPORTED, "ir_version 999 is outside [1,99]");
  expect(bare(identity_model(), 8), ONWARD_MODEL, "node #0|imports no opset of ai.onnx");
  loaded l;
  load(bare(identity_model(), 2), &l); /* before IR 3 there were no imports */
  assert_int_equal(node_at(l.graph, 0)->version, 1);
  end(&l);
  pb model = bare(identity_model(), 60);
  pb_message(&model, 8, pb_opset("ai.onnx", 25));
  load(model, &l);
  assert_int_equal(node_at(l.graph, 0)->version, 25);
  assert_int_equal(l.warnings, 1);
  assert_non_null(strstr(l.warning, "ir_version 60 is newer"));
  end(&l);
  model = bare(identity_model(), 8);
  pb_message(&model, 8, pb_opset("", 0));
  expect(model, ONWARD_MODEL, "opset import of 'ai.onnx' has version 0");
  model = bare(identity_model(), 8);
  pb_message(&model, 8, pb_opset("", 17));
  pb_message(&model, 8, pb_opset("ai.onnx", 18));
  expect(model, ONWARD_MODEL, "'ai.onnx' is imported twice, as 17 and 18");
  /* Exporters forget the domains of contrib operators. */
  pb graph = io("x", "y");
  pb_message(&graph, NODE, pb_node_named("", "com.microsoft", "Gelu", "x", "y"));
  load(pb_model(graph), &l);
  assert_int_equal(node_at(l.graph, 0)->version, 1);
  end(&l);
}

static void test_no_graph(void **state) {
  (void)state;
  pb model = {0};
  pb_int(&model, 1, 8);
  expect(model, ONWARD_MODEL, "has no graph");
  pb graph = {0};
  pb_message(&graph, NODE, pb_node("Identity", "x", "y"));
  pb_message(&graph, INPUT, pb_value("x", 1, "2"));
  expect(pb_model(graph), ONWARD_MODEL, "has no outputs");
  /* An output that is an input or an initialiser runs as it stands. */
  loaded l;
  graph = io("x", "x");
  pb_message(&graph, INITIALIZER, vector("w", 1, 2));
  pb_message(&graph, OUTPUT, pb_value("w", 1, "2"));
  load(pb_model(graph), &l);
  assert_int_equal(l.graph->node_count, 0);
  assert_ptr_equal(l.graph->outputs[0].value, l.graph->inputs[0]);
  assert_non_null(l.graph->outputs[1].value->constant);
  end(&l);
}

/* ---- names -------------------------------------------------------------------------------------------------------------------- */

static void test_names(void **state) {
  (void)state;
  pb graph = io("x", "y");
  pb_message(&graph, NODE, pb_node_named("first", "", "Neg", "x", "y"));
  pb_message(&graph, NODE, pb_node_named("second", "", "Abs", "x", "y"));
  expect(pb_model(graph), ONWARD_MODEL,
         "node #1 'second' (ai.onnx Abs, byte|output 'y' is also made by node #0 'first'");
  graph = io("x", "y");
  pb_message(&graph, NODE, pb_node("Neg", "x", "y"));
  pb_message(&graph, INITIALIZER, vector("y", 1, 2));
  expect(pb_model(graph), ONWARD_MODEL, "node #0|output 'y' is also the name of an initialiser");
  graph = io("x", "y");
  pb_message(&graph, NODE, pb_node("Neg", "x", "x"));
  expect(pb_model(graph), ONWARD_MODEL, "output 'x' is also the name of an input");
  graph = identity_model();
  pb_message(&graph, INPUT, pb_value("x", 1, "2"));
  expect(pb_model(graph), ONWARD_MODEL, "'x' is the name of two inputs");
  graph = identity_model();
  pb_message(&graph, OUTPUT, pb_value("y", 1, "2"));
  expect(pb_model(graph), ONWARD_MODEL, "'y' is the name of two outputs");
  graph = identity_model();
  pb_message(&graph, INITIALIZER, vector("w", 1, 2));
  pb_message(&graph, INITIALIZER, vector("w", 1, 2));
  expect(pb_model(graph), ONWARD_MODEL, "'w' is the name of two initialisers");
  graph = identity_model();
  pb_message(&graph, INITIALIZER, vector("", 1, 2));
  expect(pb_model(graph), ONWARD_MODEL, "an initialiser has no name");
  graph = io("x", "y");
  pb_message(&graph, NODE, pb_node("Add", "x nothing", "y"));
  expect(pb_model(graph), ONWARD_MODEL, "node #0|input 1 'nothing' is made by no node");
  graph = io("x", "nothing");
  expect(pb_model(graph), ONWARD_MODEL, "output 'nothing' is made by no node");
  graph = io("x", "y");
  pb_message(&graph, NODE, pb_node("", "x", "y"));
  expect(pb_model(graph), ONWARD_MODEL, "node #0|has no op_type");
}

static void test_initializer_as_input(void **state) {
  (void)state;
  pb graph = io("x", "y");
  pb_message(&graph, NODE, pb_node("Add", "x w", "y"));
  pb_message(&graph, INPUT, pb_value("w", 1, "2"));
  pb_message(&graph, INITIALIZER, vector("w", 1, 2));
  loaded l;
  load(pb_model(graph), &l);
  assert_int_equal(l.graph->input_count, 1);
  assert_non_null(value(l.graph, "w")->constant);
  assert_false(value(l.graph, "w")->is_input);
  end(&l);
  graph = identity_model();
  pb_message(&graph, INPUT, pb_value("w", 7, "2"));
  pb_message(&graph, INITIALIZER, vector("w", 1, 2));
  expect(pb_model(graph), ONWARD_MODEL, "'w' is int64 as an input and float32 as an initialiser");
}

/* ---- types --------------------------------------------------------------------------------------------------------------------- */

static void test_types(void **state) {
  (void)state;
  pb graph = {0}, untyped = {0}, rankless = {0}, type = {0}, tensor = {0};
  pb_message(&graph, INPUT, pb_value("x", 7, "batch 3 ? batch 0 -5"));
  pb_int(&tensor, 1, 1);
  pb_message(&type, 1, tensor);
  pb_text(&rankless, 1, "r");
  pb_message(&rankless, 2, type);
  pb_message(&graph, INPUT, rankless);
  pb_message(&graph, OUTPUT, pb_value("x", 7, ""));
  loaded l;
  load(pb_model(graph), &l);
  const ow_type *t = &l.graph->inputs[0]->type;
  assert_int_equal(t->dtype, ONWARD_INT64);
  assert_int_equal(t->kind, OW_VALUE_TENSOR);
  assert_int_equal(t->shape.rank, 6);
  const int32_t batch = ow_dim_symbol_index(l.dims, t->shape.dims[0]),
                other = ow_dim_symbol_index(l.dims, t->shape.dims[2]);
  assert_true(batch >= 0 && other >= 0 && batch != other);
  assert_string_equal(ow_dims_symbol_name(l.dims, batch), "batch");
  assert_string_equal(ow_dims_symbol_name(l.dims, other), "");
  assert_true(ow_dim_is(t->shape.dims[1], 3));
  assert_string_equal(ow_dims_symbol_name(l.dims, ow_dim_symbol_index(l.dims, t->shape.dims[3])), "batch");
  assert_true(ow_dim_is(t->shape.dims[4], 0));
  assert_true(ow_dim_symbol_index(l.dims, t->shape.dims[5]) >= 0); /* negative: free, with a warning */
  assert_int_equal(l.warnings, 1);
  assert_non_null(strstr(l.warning, "dimension 5 of 'x' is -5"));
  assert_int_equal(l.graph->inputs[1]->type.shape.rank, -1);
  assert_int_equal(l.graph->inputs[1]->type.dtype, ONWARD_FLOAT32);
  end(&l);

  graph = identity_model();
  pb_text(&untyped, 1, "u");
  pb_message(&graph, INPUT, untyped);
  expect(pb_model(graph), ONWARD_MODEL, "input 'u' has no type");
  /* Types of outputs are hints, which exporters leave incomplete; what they do say must exist. */
  pb graph_out = {0}, nothing = {0};
  pb_message(&graph_out, INPUT, pb_value("x", 1, ""));
  pb_text(&nothing, 1, "x");
  pb_message(&nothing, 2, (pb){0});
  pb_message(&graph_out, OUTPUT, nothing);
  expect(pb_model(graph_out), ONWARD_OK, "");
  for (int32_t dtype = 0; dtype <= 99; dtype += 99) {
    graph_out = (pb){0};
    pb_message(&graph_out, INPUT, pb_value("x", 1, ""));
    pb_message(&graph_out, OUTPUT, pb_value("x", dtype, ""));
    expect(pb_model(graph_out), dtype ? ONWARD_MODEL : ONWARD_OK, dtype ? "'x': element type 99 does not exist" : "");
  }
  graph = (pb){0};
  pb_message(&graph, INPUT, pb_value("x", 99, ""));
  pb_message(&graph, OUTPUT, pb_value("x", 1, ""));
  expect(pb_model(graph), ONWARD_MODEL, "'x': element type 99 does not exist");
  graph = (pb){0};
  pb_message(&graph, INPUT, pb_value("x", 1, "1 1 1 1 1 1 1 1 1 1 1 1 1"));
  pb_message(&graph, OUTPUT, pb_value("x", 1, ""));
  expect(pb_model(graph), ONWARD_UNSUPPORTED, "'x' has rank 13, above 12");
}

/* type: the content of a TypeProto; frees it */
static pb typed_model(pb type) {
  pb value_info = {0}, graph = {0};
  pb_text(&value_info, 1, "x");
  pb_message(&value_info, 2, type);
  pb_message(&graph, INPUT, value_info);
  pb_message(&graph, OUTPUT, pb_value("x", 1, ""));
  return pb_model(graph);
}

static pb tensor_type(int32_t dtype) {
  pb tensor = {0}, type = {0};
  pb_int(&tensor, 1, dtype);
  pb_message(&type, 1, tensor);
  return type;
}

static pb wrap_type(uint32_t field, pb element) {
  pb inner = {0}, type = {0};
  pb_message(&inner, 1, element);
  pb_message(&type, field, inner);
  return type;
}

static void test_containers(void **state) {
  (void)state;
  enum { SEQUENCE = 4, MAP = 5, OPTIONAL = 9 };
  loaded l;
  load(typed_model(wrap_type(SEQUENCE, tensor_type(11))), &l);
  assert_int_equal(l.graph->inputs[0]->type.kind, OW_VALUE_SEQUENCE);
  assert_int_equal(l.graph->inputs[0]->type.dtype, ONWARD_FLOAT64);
  end(&l);
  load(typed_model(wrap_type(OPTIONAL, tensor_type(1))), &l);
  assert_int_equal(l.graph->inputs[0]->type.kind, OW_VALUE_OPTIONAL);
  end(&l);
  load(typed_model(wrap_type(OPTIONAL, wrap_type(SEQUENCE, tensor_type(1)))), &l);
  assert_int_equal(l.graph->inputs[0]->type.kind, OW_VALUE_OPTIONAL);
  end(&l);
  expect(typed_model(wrap_type(SEQUENCE, wrap_type(SEQUENCE, tensor_type(1)))), ONWARD_UNSUPPORTED,
         "'x' is a sequence of sequences");
  expect(typed_model(wrap_type(SEQUENCE, (pb){0})), ONWARD_MODEL, "the type of 'x' is empty");
  pb map = {0}, both = tensor_type(1);
  pb_message(&map, MAP, (pb){0});
  expect(typed_model(map), ONWARD_UNSUPPORTED, "'x' is a map");
  pb_message(&both, SEQUENCE, (pb){0});
  expect(typed_model(both), ONWARD_MODEL, "several at once");
}

/* ---- constants ------------------------------------------------------------------------------------------------------------------ */

static pb sparse(const char *name, const float *values, size_t count, const int64_t *indices, const int64_t *index_dims,
                 size_t index_rank, const int64_t *dims, size_t rank) {
  const int64_t n = (int64_t)count;
  size_t index_count = 1;
  for (size_t i = 0; i < index_rank; i++)
    index_count *= (size_t)index_dims[i];
  pb p = {0};
  pb_message(&p, 1, pb_tensor_raw(name, 1, &n, 1, values, count * 4));
  pb_message(&p, 2, pb_tensor_raw("", 7, index_dims, index_rank, indices, index_count * 8));
  for (size_t i = 0; i < rank; i++)
    pb_int(&p, 3, dims[i]);
  return p;
}

static void test_constant_nodes(void **state) {
  (void)state;
  const int64_t two[] = {2}, dims[] = {2, 2}, positions[] = {1, 3};
  pb graph = {0}, floats = {0}, ints = {0}, strings = {0}, sparse_value = {0};
  pb_text(&floats, 1, "value_floats");
  pb_int(&floats, 20, 6);
  pb_bytes(&floats, 7, (const float[]){1, 2, 3}, 12);
  pb_text(&ints, 1, "value_ints");
  pb_int(&ints, 20, 7);
  pb_int(&ints, 8, 5);
  pb_int(&ints, 8, -6);
  pb_text(&strings, 1, "value_strings");
  pb_int(&strings, 20, 8);
  pb_text(&strings, 9, "a");
  pb_text(&strings, 9, "bc");
  pb_text(&sparse_value, 1, "sparse_value");
  pb_int(&sparse_value, 20, 11);
  pb_message(&sparse_value, 22, sparse("", (const float[]){7, 8}, 2, positions, two, 1, dims, 2));
  pb_message(&graph, NODE, constant("tensor", pb_attr_tensor("value", vector("ignored", 1, 2))));
  pb_message(&graph, NODE, constant("float", pb_attr_float("value_float", 2.5f)));
  pb_message(&graph, NODE, constant("floats", floats));
  pb_message(&graph, NODE, constant("int", pb_attr_int("value_int", -9)));
  pb_message(&graph, NODE, constant("ints", ints));
  pb_message(&graph, NODE, constant("string", pb_attr_text("value_string", "text")));
  pb_message(&graph, NODE, constant("strings", strings));
  pb_message(&graph, NODE, constant("sparse", sparse_value));
  pb_message(&graph, OUTPUT, pb_value("tensor", 1, ""));
  loaded l;
  load(pb_model(graph), &l);
  const ow_graph *g = l.graph;
  assert_int_equal(g->node_count, 0);
  assert_memory_equal(value(g, "tensor")->constant->data, ((const float[]){1, 2}), 8);
  const ow_const *c = value(g, "float")->constant;
  assert_int_equal(c->rank, 0);
  assert_true(*(const float *)c->data == 2.5f);
  c = value(g, "floats")->constant;
  assert_int_equal(c->dims[0], 3);
  assert_memory_equal(c->data, ((const float[]){1, 2, 3}), 12);
  c = value(g, "int")->constant;
  assert_int_equal(c->dtype, ONWARD_INT64);
  assert_int_equal(c->rank, 0);
  assert_int_equal(*(const int64_t *)c->data, -9);
  c = value(g, "ints")->constant;
  assert_memory_equal(c->data, ((const int64_t[]){5, -6}), 16);
  c = value(g, "string")->constant;
  assert_int_equal(c->rank, 0);
  assert_string_equal(*(const char *const *)c->data, "text");
  c = value(g, "strings")->constant;
  assert_int_equal(c->dims[0], 2);
  assert_string_equal(((const char *const *)c->data)[1], "bc");
  c = value(g, "sparse")->constant;
  assert_int_equal(c->rank, 2);
  assert_memory_equal(c->data, ((const float[]){0, 7, 0, 8}), 16);
  end(&l);

  graph = io("x", "x");
  pb_message(&graph, NODE, constant("c", pb_attr_int("value_float", 1)));
  expect(pb_model(graph), ONWARD_MODEL, "node #0|attribute 'value_float' has the wrong type");
  graph = io("x", "x");
  pb_message(&graph, NODE, constant("c", pb_attr_int("axis", 1)));
  expect(pb_model(graph), ONWARD_MODEL, "Constant has no attribute 'axis'");
  graph = io("x", "x");
  pb_message(&graph, NODE, pb_node("Constant", "", "c"));
  expect(pb_model(graph), ONWARD_MODEL, "Constant has 0 attributes, want 1");
  graph = io("x", "x");
  pb_message(&graph, NODE, pb_node("Constant", "x", "c"));
  expect(pb_model(graph), ONWARD_MODEL, "Constant has 1 inputs");
}

static void expect_sparse(const int64_t *indices, const int64_t *index_dims, size_t index_rank, const float *dense,
                          const char *wanted) {
  const int64_t dims[] = {2, 3};
  pb graph = io("x", "x");
  pb_message(&graph, SPARSE_INITIALIZER,
             sparse("s", (const float[]){7, 8}, 2, indices, index_dims, index_rank, dims, 2));
  if (!dense) {
    expect(pb_model(graph), ONWARD_MODEL, wanted);
    return;
  }
  loaded l;
  load(pb_model(graph), &l);
  assert_memory_equal(value(l.graph, "s")->constant->data, dense, 24);
  end(&l);
}

static void test_sparse(void **state) {
  (void)state;
  const int64_t linear[] = {2}, pairs[] = {2, 2}, triples[] = {2, 3}, three[] = {3};
  expect_sparse((const int64_t[]){0, 5}, linear, 1, (const float[]){7, 0, 0, 0, 0, 8}, NULL);
  expect_sparse((const int64_t[]){0, 1, 1, 0}, pairs, 2, (const float[]){0, 7, 0, 8, 0, 0}, NULL);
  expect_sparse((const int64_t[]){0, 6}, linear, 1, NULL, "sparse tensor 's'|index 6 at [1] is outside [0,6)");
  expect_sparse((const int64_t[]){-1, 0}, linear, 1, NULL, "index -1 at [0]");
  expect_sparse((const int64_t[]){3, 3}, linear, 1, NULL, "index at [1] is not above");
  expect_sparse((const int64_t[]){3, 2}, linear, 1, NULL, "index at [1] is not above");
  expect_sparse((const int64_t[]){0, 1, 0, 3}, pairs, 2, NULL, "index 3 at [1,1] is outside [0,3)");
  expect_sparse((const int64_t[]){0, 0, 0, 1, 1, 1}, triples, 2, NULL, "indices must be int64 [2] or [2,2]");
  expect_sparse((const int64_t[]){0, 1, 2}, three, 1, NULL, "indices must be int64");
  /* A terabyte of zeros from a hundred bytes. */
  const int64_t vast[] = {1 << 19, 1 << 19};
  pb graph = io("x", "x");
  pb_message(&graph, SPARSE_INITIALIZER,
             sparse("s", (const float[]){7, 8}, 2, (const int64_t[]){0, 5}, linear, 1, vast, 2));
  expect_limited(pb_model(graph), (onward_limits){.tensor_bytes = UINT64_MAX, .total_bytes = UINT64_MAX}, ONWARD_LIMIT,
                 "sparse tensor 's'|limit fold_bytes of 67108864");
}

/* ---- attributes -------------------------------------------------------------------------------------------------------------------- */

static void expect_attr(pb attr, pb second, onward_status status, const char *wanted) {
  pb graph = io("x", "y"), node = pb_node("Op", "x", "y");
  pb_attr(&node, attr);
  if (second.size)
    pb_attr(&node, second);
  pb_message(&graph, NODE, node);
  expect(pb_model(graph), status, wanted);
}

static void test_attributes(void **state) {
  (void)state;
  pb a = {0};
  pb_text(&a, 1, "k");
  pb_int(&a, 3, 4);
  expect_attr(a, (pb){0}, ONWARD_OK, ""); /* no type: the field tells it */
  a = (pb){0};
  pb_text(&a, 1, "k");
  expect_attr(a, (pb){0}, ONWARD_MODEL, "node #0|attribute 'k': attribute has no type");
  a = (pb){0};
  pb_text(&a, 1, "k");
  pb_int(&a, 3, 4);
  pb_float(&a, 2, 4);
  expect_attr(a, (pb){0}, ONWARD_MODEL, "no type");
  a = pb_attr_int("k", 1);
  pb_float(&a, 2, 4);
  expect_attr(a, (pb){0}, ONWARD_MODEL, "type INT holds FLOAT");
  a = (pb){0};
  pb_text(&a, 1, "k");
  pb_int(&a, 20, 15);
  expect_attr(a, (pb){0}, ONWARD_MODEL, "attribute type 15 does not exist");
  a = (pb){0};
  pb_text(&a, 1, "k");
  pb_int(&a, 20, 4);
  expect_attr(a, (pb){0}, ONWARD_MODEL, "type TENSOR is empty");
  a = (pb){0};
  pb_text(&a, 1, "k");
  pb_int(&a, 20, 14);
  expect_attr(a, (pb){0}, ONWARD_UNSUPPORTED, "TYPE_PROTOS");
  expect_attr(pb_attr_int("", 1), (pb){0}, ONWARD_MODEL, "an attribute has no name");
  expect_attr(pb_attr_int("k", 1), pb_attr_int("k", 2), ONWARD_MODEL, "attribute 'k' is given twice");
  expect_attr(pb_attr_ref("k", "other", 2), (pb){0}, ONWARD_MODEL, "refers to 'other' of a function, outside of one");
  a = (pb){0};
  pb_text(&a, 1, "k");
  pb_int(&a, 20, 3);
  pb_bytes(&a, 4, "a\0b", 3);
  expect_attr(a, (pb){0}, ONWARD_MODEL, "NUL");

  pb graph = io("x", "y"), node = pb_node("Op", "x", "y"), ints = {0}, strings = {0}, empty = {0}, type = {0};
  pb_text(&ints, 1, "ints");
  pb_int(&ints, 20, 7);
  pb_bytes(&ints, 8, "\x01\x02\x03", 3);
  pb_text(&strings, 1, "strings");
  pb_int(&strings, 20, 8);
  pb_text(&strings, 9, "a");
  pb_text(&strings, 9, "");
  pb_text(&empty, 1, "empty");
  pb_int(&empty, 20, 7);
  pb_text(&type, 1, "type");
  pb_int(&type, 20, 13);
  pb_message(&type, 14, tensor_type(10));
  pb_attr(&node, ints);
  pb_attr(&node, strings);
  pb_attr(&node, empty);
  pb_attr(&node, type);
  pb_message(&graph, NODE, node);
  loaded l;
  load(pb_model(graph), &l);
  const ow_node *n = node_at(l.graph, 0);
  size_t count;
  assert_memory_equal(ow_node_ints(n, "ints", &count), ((const int64_t[]){1, 2, 3}), 24);
  assert_int_equal(count, 3);
  assert_int_equal(ow_node_attr(n, "strings")->count, 2);
  assert_string_equal(ow_node_attr(n, "strings")->strings[1], "");
  assert_non_null(ow_node_ints(n, "empty", &count));
  assert_int_equal(count, 0);
  assert_int_equal(ow_node_attr(n, "type")->type->dtype, ONWARD_FLOAT16);
  end(&l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_model),
      cmocka_unit_test(test_versions),
      cmocka_unit_test(test_no_graph),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_initializer_as_input),
      cmocka_unit_test(test_types),
      cmocka_unit_test(test_containers),
      cmocka_unit_test(test_constant_nodes),
      cmocka_unit_test(test_sparse),
      cmocka_unit_test(test_attributes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
