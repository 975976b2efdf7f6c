/* Descriptions of graphs: text to read, JSON that parses, DOT, and nothing of a file that could drive a terminal. */
#include "graph_fixture.h"

#include <math.h>
#include <stdio.h>

#include "graph/dump.h"

/* ---- a small model ---------------------------------------------------------------------------------------------------- */

static ow_opset opsets[] = {{"", 17}, {"com.microsoft", 1}};
static ow_metadata metadata[] = {{"quote\"", "line\nbreak"}};

/* ids -> Gather(table) -> hidden -> Linear (fused) -> out; shape constant into Reshape */
static void make_model(graph_fixture *f) {
  static const int64_t ids_dims[] = {-1, -1}, table_dims[] = {100, 8}, bias_dims[] = {8}, shape_dims[] = {3};
  static const char *const names[] = {"batch", "sequence"};
  static const float table[800], bias[8] = {1, 2.5f, -3, 4, 5, 6, 7, 8};
  ow_graph *const g = f->graph;
  g->name = "main";
  g->producer = "pytorch 2.13.0";
  g->ir_version = 8;
  g->opsets = opsets;
  g->opset_count = 2;
  g->metadata = metadata;
  g->metadata_count = 1;
  ow_value *const ids = graph_input(g, "input_ids", ONWARD_INT64, 2, ids_dims, names);
  ow_value *const weights = ow_graph_add_const_copy(g, "table", ONWARD_FLOAT32, 2, table_dims, table);
  ow_value *const b = ow_graph_add_const_copy(g, "bias", ONWARD_FLOAT32, 1, bias_dims, bias);
  const ow_dim batch = ids->type.shape.dims[0], sequence = ids->type.shape.dims[1];

  ow_value *const hidden = graph_node(g, "Gather", weights, ids, "hidden");
  hidden->type = (ow_type){.dtype = ONWARD_FLOAT32, .shape = {.rank = 3, .dims = {batch, sequence, ow_dim_const(8)}}};
  assert_true(ow_node_add_int(g->last, "axis", 0));

  ow_value *const fused = ow_graph_add_value(g, "fused"), *const in[] = {hidden, b, NULL};
  fused->type = hidden->type;
  assert_non_null(ow_graph_add_node(g, NULL, "h.0/Linear", "onward", "Linear", 1, in, 3, &fused, 1));
  g->last->origin = "h.0/MatMul,h.0/Add";
  assert_true(ow_node_add_string(g->last, "activation", "gelu"));

  ow_value *const shape = ow_graph_add_value(g, "shape");
  shape->type = (ow_type){.dtype = ONWARD_INT64, .shape = {.rank = 1, .dims = {ow_dim_const(3)}}};
  static ow_dim elems[3];
  elems[0] = ow_dim_const(-1);
  elems[1] = ow_dim_mul(g->dims, sequence, ow_dim_const(2));
  elems[2] = ow_dim_const(4);
  shape->type.elems = elems;
  shape->type.elem_count = 3;
  (void)shape_dims;
  ow_value *const out = graph_node(g, "Reshape", fused, shape, "reshaped");
  out->type = (ow_type){.dtype = ONWARD_FLOAT32, .shape = {.rank = 3, .dims = {batch, elems[1], ow_dim_const(4)}}};
  assert_true(ow_graph_add_output(g, "last_hidden_state", out));
}

static const char *const model_text =
    "input input_ids: int64 [batch,sequence]\n"
    "#0 Gather(table, input_ids) axis=0  'hidden'\n"
    "    -> hidden: float32 [batch,sequence,8]\n"
    "#1 onward.Linear(hidden, [1,2.5,-3,4,5,6,7,8], _) activation=\"gelu\"  'h.0/Linear'\n"
    "    for h.0/MatMul,h.0/Add\n"
    "    -> fused: float32 [batch,sequence,8]\n"
    "#2 Reshape(fused, [-1,2*sequence,4])  'reshaped'\n"
    "    -> reshaped: float32 [batch,2*sequence,4]\n"
    "output last_hidden_state: float32 [batch,2*sequence,4] = reshaped\n";

static const char *const model_summary =
    "tiny.onnx\n"
    "producer    pytorch 2.13.0, IR 8\n"
    "opset       ai.onnx 17, com.microsoft 1\n"
    "parameters  808 in 2 tensors, 3.2 KiB\n"
    "inputs\n"
    "  input_ids          int64 [batch,sequence]\n"
    "outputs\n"
    "  last_hidden_state  float32 [batch,2*sequence,4]\n"
    "operators   3 nodes\n"
    "  Gather              1\n"
    "  onward.Linear       1\n"
    "  Reshape             1\n"
    "optimized   3 nodes\n"
    "  onward.Linear       1   from 2 nodes\n";

static text_sink sink;

static ow_out sink_out(void) {
  sink.used = 0;
  sink.text[0] = '\0';
  return (ow_out){.write = sink_write, .context = &sink};
}

static void text_is_read_node_by_node(void **state) {
  graph_fixture *const f = *state;
  make_model(f);
  ow_out out = sink_out();
  ow_dump_text(f->graph, &out);
  assert_false(out.failed);
  assert_string_equal(sink.text, model_text);
}

static void assumptions_are_listed(void **state) {
  graph_fixture *const f = *state;
  const ow_dim p = ow_dim_symbol(f->dims, "p"), q = ow_dim_symbol(f->dims, "q"), again = ow_dim_symbol(f->dims, "p");
  assert_true(ow_graph_add_guard(f->graph, p, again, "'p' in 'x' and in 'y'"));
  assert_true(ow_graph_add_guard(f->graph, p, q, "broadcast in node #0"));
  ow_out out = sink_out();
  ow_dump_text(f->graph, &out);
  assert_string_equal(sink.text, "assume 'p' in 'x' and in 'y'\nassume p = q: broadcast in node #0\n");
}

static void the_summary_fits_a_screen(void **state) {
  graph_fixture *const f = *state;
  make_model(f);
  ow_out out = sink_out();
  ow_dump_summary(f->graph, f->graph, "tiny.onnx", &out);
  assert_false(out.failed);
  assert_string_equal(sink.text, model_summary);
}

static void numbers_are_for_people(void **state) {
  graph_fixture *const f = *state;
  static const struct {
    int64_t elements;
    const char *wanted;
  } cases[] = {{999, "parameters  999 in 1 tensor, 999 B\n"},
               {1000, "parameters  1.0 k in 1 tensor, 1000 B\n"},
               {1048576, "parameters  1.0 M in 1 tensor, 1.0 MiB\n"},
               {999960, "parameters  1.0 M in 1 tensor, 976.5 KiB\n"},
               {17400000, "parameters  17.4 M in 1 tensor, 16.6 MiB\n"},
               {INT64_MAX, "parameters  9223372.0 T in 1 tensor, 8388608.0 TiB\n"}};
  ow_const constant = {.dtype = ONWARD_UINT8, .rank = 1};
  ow_value *const value = ow_graph_add_const(f->graph, "w", &constant);
  assert_true(ow_graph_add_output(f->graph, "y", value));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    constant.dims[0] = cases[i].elements;
    constant.bytes = (size_t)cases[i].elements;
    ow_out out = sink_out();
    ow_dump_summary(f->graph, NULL, "m", &out);
    assert_non_null(strstr(sink.text, cases[i].wanted));
  }
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------- */

/* A reader that knows the grammar of RFC 8259 and nothing else: NULL where the text is not JSON. */
static const char *value_end(const char *at, int depth);

static const char *skip_space(const char *at) { return at + strspn(at, " \t\r\n"); }

static const char *string_end(const char *at) {
  if (*at++ != '"')
    return NULL;
  for (; *at != '"'; at++) {
    if ((unsigned char)*at < 0x20)
      return NULL;
    if (*at != '\\')
      continue;
    at++;
    if (*at == 'u') {
      if (strspn(at + 1, "0123456789abcdefABCDEF") < 4)
        return NULL;
    } else if (!*at || !strchr("\"\\/bfnrt", *at)) {
      return NULL;
    }
  }
  return at + 1;
}

static const char *list_end(const char *at, char close, bool members, int depth) {
  at = skip_space(at + 1);
  if (*at == close)
    return at + 1;
  for (;;) {
    if (members) {
      if (!(at = string_end(skip_space(at))) || *(at = skip_space(at)) != ':')
        return NULL;
      at++;
    }
    if (!(at = value_end(skip_space(at), depth + 1)))
      return NULL;
    at = skip_space(at);
    if (*at == close)
      return at + 1;
    if (*at++ != ',')
      return NULL;
  }
}

static const char *number_end(const char *at) {
  char *end;
  at += *at == '-';
  if (*at < '0' || *at > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'))
    return NULL;
  (void)strtod(at, &end);
  return end;
}

static const char *value_end(const char *at, int depth) {
  static const char *const words[] = {"true", "false", "null"};
  if (depth > 100)
    return NULL;
  if (*at == '{')
    return list_end(at, '}', true, depth);
  if (*at == '[')
    return list_end(at, ']', false, depth);
  if (*at == '"')
    return string_end(at);
  for (int i = 0; i < 3; i++)
    if (strncmp(at, words[i], strlen(words[i])) == 0)
      return at + strlen(words[i]);
  return number_end(at);
}

static bool is_json(const char *text) {
  const char *const end = value_end(skip_space(text), 0);
  return end && *skip_space(end) == '\0';
}

static void the_reader_tells_json_from_other_text(void **state) {
  (void)state;
  assert_true(is_json("{\"a\":[1,-2.5e3,\"\\u00e9\\n\",null,true,{}]}\n"));
  static const char *const wrong[] = {"{\"a\":nan}", "[1,]",      "{a:1}", "\"a\nb\"", "[1] 2",
                                      "\"\\x\"",     "{\"a\" 1}", "[01]",  "inf",      ""};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_false(is_json(wrong[i]));
}

static void json_holds_the_whole_graph(void **state) {
  graph_fixture *const f = *state;
  make_model(f);
  ow_out out = sink_out();
  ow_dump_json(f->graph, f->graph, "ti\"ny.onnx", &out);
  assert_false(out.failed);
  assert_true(is_json(sink.text));
  static const char *const wanted[] = {
      "\"model\":\"ti\\\"ny.onnx\"",
      "\"opsets\":[{\"domain\":\"ai.onnx\",\"version\":17},{\"domain\":\"com.microsoft\",\"version\":1}]",
      "\"metadata\":[{\"key\":\"quote\\\"\",\"value\":\"line\\nbreak\"}]",
      "\"parameters\":{\"tensors\":2,\"elements\":808,\"bytes\":3232,\"types\":{\"float32\":{\"elements\":808,"
      "\"bytes\":3232}}}",
      "\"fused\":[{\"domain\":\"onward\",\"type\":\"Linear\",\"version\":1,\"count\":1,\"from\":2}]",
      "\"inputs\":[{\"name\":\"input_ids\",\"dtype\":\"int64\",\"shape\":[\"batch\",\"sequence\"]}]",
      "\"name\":\"last_hidden_state\",\"dtype\":\"float32\",\"shape\":[\"batch\",\"2*sequence\",4],\"value\":"
      "\"reshaped\"",
      "{\"name\":\"shape\",\"dtype\":\"int64\",\"shape\":[3],\"data\":[-1,\"2*sequence\",4]}",
      "\"data\":[1,2.5,-3,4,5,6,7,8]",
      "\"inputs\":[\"hidden\",\"bias\",null]",
      "\"attributes\":{\"activation\":\"gelu\"}",
      "\"origin\":\"h.0/MatMul,h.0/Add\"",
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!strstr(sink.text, wanted[i]))
      fail_msg("missing: %s\nin: %s", wanted[i], sink.text);
}

/* Every kind of attribute, floats that JSON has no word for, subgraphs, types that are not tensors. */
static void odd_graphs_stay_valid_json(void **state) {
  graph_fixture *const f = *state;
  static const int64_t dims[] = {2};
  static const float floats[] = {NAN, INFINITY, -INFINITY, 0.1f};
  static const char *const strings[] = {"tab\t", "\x01\xff\"\\", ""};
  static const ow_type type = {.kind = OW_VALUE_SEQUENCE, .dtype = ONWARD_STRING, .shape = {.rank = -1}};
  static const int64_t four[] = {4};
  ow_graph *const g = f->graph;
  ow_value *const x = graph_input(g, "x\n\"y\"", ONWARD_BOOL, 1, dims, NULL);
  const ow_const *const tensor = ow_graph_add_const_copy(g, "t", ONWARD_FLOAT32, 1, four, floats)->constant;
  const ow_const *const tensors[] = {tensor, tensor};
  ow_node *const node = graph_node(g, "If", x, NULL, "y")->producer;
  ow_graph *bodies[3];
  for (int i = 0; i < 3; i++) {
    bodies[i] = ow_graph_create(&ow_allocator_default, &f->weights, f->dims);
    ow_value *const inner = graph_node(bodies[i], "Not", x, NULL, "inner");
    assert_true(ow_graph_add_output(bodies[i], "inner", inner));
  }
  const ow_attr attrs[] = {{.name = "f", .kind = OW_ATTR_FLOAT, .f = NAN},
                           {.name = "i", .kind = OW_ATTR_INT, .i = INT64_MIN},
                           {.name = "s", .kind = OW_ATTR_STRING, .count = 4, .s = "a\nb\""},
                           {.name = "t", .kind = OW_ATTR_TENSOR, .t = tensor},
                           {.name = "g", .kind = OW_ATTR_GRAPH, .g = bodies[0]},
                           {.name = "fs", .kind = OW_ATTR_FLOATS, .count = 4, .floats = floats},
                           {.name = "is", .kind = OW_ATTR_INTS, .count = 1, .ints = dims},
                           {.name = "none", .kind = OW_ATTR_INTS, .count = 0, .ints = dims},
                           {.name = "ss", .kind = OW_ATTR_STRINGS, .count = 3, .strings = strings},
                           {.name = "ts", .kind = OW_ATTR_TENSORS, .count = 2, .tensors = tensors},
                           {.name = "gs", .kind = OW_ATTR_GRAPHS, .count = 2, .graphs = bodies + 1},
                           {.name = "type", .kind = OW_ATTR_TYPE, .type = &type}};
  for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++)
    assert_true(ow_node_add_attr(node, &attrs[i]));
  node->outputs[0]->type = type;
  assert_true(ow_graph_add_output(g, "y", node->outputs[0]));
  ow_out out = sink_out();
  ow_dump_json(g, NULL, NULL, &out);
  assert_false(out.failed);
  assert_true(is_json(sink.text));
  assert_non_null(strstr(sink.text, "\"fs\":[\"nan\",\"inf\",\"-inf\",0.100000001]"));
  assert_non_null(strstr(sink.text, "\"i\":-9223372036854775808"));
  assert_non_null(strstr(sink.text, "\"none\":[]"));
  assert_non_null(strstr(sink.text, "\"name\":\"y\",\"kind\":\"sequence\",\"dtype\":\"string\",\"shape\":null"));
  const char *bodies_found = sink.text;
  int count = 0;
  while ((bodies_found = strstr(bodies_found, "\"type\":\"Not\",\"version\":17,\"inputs\"")) != NULL) {
    bodies_found++;
    count++;
  }
  assert_int_equal(count, 3);

  /* The same as text: no control character gets through. */
  out = sink_out();
  ow_dump_text(g, &out);
  assert_false(out.failed);
  for (const char *c = sink.text; *c; c++)
    assert_true((unsigned char)*c >= 0x20 || *c == '\n');
  assert_non_null(strstr(sink.text, "x?\"y\""));
  assert_non_null(strstr(sink.text, "Not("));
}

/* ---- DOT -------------------------------------------------------------------------------------------------------------- */

static void dot_draws_values_as_edges(void **state) {
  graph_fixture *const f = *state;
  make_model(f);
  ow_out out = sink_out();
  ow_dump_dot(f->graph, &out);
  assert_false(out.failed);
  static const char *const wanted[] = {
      "digraph {\n",
      "  i0 [shape=ellipse, label=\"input_ids\"];\n",
      "  n0 [label=\"Gather\\nhidden\"];\n",
      "  i0 -> n0 [label=\"int64 [batch,sequence]\"];\n",
      "  n1 [label=\"onward.Linear\\nh.0/Linear\", style=filled, fillcolor=lightyellow];\n",
      "  n0 -> n1 [label=\"float32 [batch,sequence,8]\"];\n",
      "  o0 [shape=ellipse, label=\"last_hidden_state\"];\n",
      "  n2 -> o0 [label=\"float32 [batch,2*sequence,4]\"];\n",
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!strstr(sink.text, wanted[i]))
      fail_msg("missing: %s\nin: %s", wanted[i], sink.text);
  assert_null(strstr(sink.text, "table")); /* constants are left out */
  assert_string_equal(sink.text + sink.used - 2, "}\n");
}

/* ---- a reader that stops ---------------------------------------------------------------------------------------------- */

typedef struct closing {
  size_t left;
  bool closed, again;
} closing;

static bool closing_write(void *context, const char *text, size_t length) {
  closing *const c = context;
  (void)text;
  c->again = c->again || c->closed;
  c->closed = c->closed || length > c->left;
  c->left -= c->closed ? 0 : length;
  return !c->closed;
}

static void a_closed_pipe_is_noticed(void **state) {
  graph_fixture *const f = *state;
  make_model(f);
  for (int kind = 0; kind < 4; kind++) {
    closing c = {.left = 40};
    ow_out out = {.write = closing_write, .context = &c};
    if (kind == 0)
      ow_dump_summary(f->graph, f->graph, "m", &out);
    else if (kind == 1)
      ow_dump_text(f->graph, &out);
    else if (kind == 2)
      ow_dump_json(f->graph, f->graph, "m", &out);
    else
      ow_dump_dot(f->graph, &out);
    assert_true(out.failed);
    assert_false(c.again);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      GRAPH_TEST(text_is_read_node_by_node),
      GRAPH_TEST(assumptions_are_listed),
      GRAPH_TEST(the_summary_fits_a_screen),
      GRAPH_TEST(numbers_are_for_people),
      cmocka_unit_test(the_reader_tells_json_from_other_text),
      GRAPH_TEST(json_holds_the_whole_graph),
      GRAPH_TEST(odd_graphs_stay_valid_json),
      GRAPH_TEST(dot_draws_values_as_edges),
      GRAPH_TEST(a_closed_pipe_is_noticed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
