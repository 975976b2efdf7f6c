/* Groups P and G: counts. What is repeated without end is refused by a limit that names itself, in linear time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faults/hostile.h"

#define SMALL "in x 1 2 ?;Relu x -> y;out y"

static pb repeated(uint32_t field, const void *bytes, size_t size, size_t times) {
  pb p = {0};
  for (size_t i = 0; i < times; i++)
    pb_bytes(&p, field, bytes, size);
  return p;
}

static pb in_graph(pb more) {
  pb graph = hostile_graph_proto(SMALL);
  pb_raw(&graph, more.data, more.size);
  pb_free(&more);
  return pb_model(graph);
}

static pb in_node(pb more) {
  pb node = pb_node("Relu", "x", "y"), graph = hostile_graph_proto("in x 1 2;out y");
  pb_raw(&node, more.data, more.size);
  pb_free(&more);
  pb_message(&graph, 1, node);
  return pb_model(graph);
}

static pb in_model(pb more) {
  pb model = hostile_graph(SMALL);
  pb_raw(&model, more.data, more.size);
  pb_free(&more);
  return model;
}

static pb in_attribute(pb more) {
  pb attr = {0}, node = pb_node("Relu", "x", "y"), graph = hostile_graph_proto("in x 1 2;out y");
  pb_text(&attr, 1, "a");
  pb_raw(&attr, more.data, more.size);
  pb_free(&more);
  pb_attr(&node, attr);
  pb_message(&graph, 1, node);
  return pb_model(graph);
}

static pb in_tensor(pb more) {
  pb graph = hostile_graph_proto(SMALL), tensor = pb_tensor("w", 8, (const int64_t[]){1}, 1);
  pb_raw(&tensor, more.data, more.size);
  pb_free(&more);
  pb_message(&graph, 5, tensor);
  return pb_model(graph);
}

enum { MANY = 10000000 };

/* ---- P8 ---------------------------------------------------------------------------------------------------------------- */

static pb graph_twice(void) { return in_model(repeated(7, "", 0, 1)); }
static pb graph_1e5(void) { return in_model(repeated(7, "", 0, 100000)); }
static pb attr_graph_twice(void) { return in_attribute(repeated(6, "", 0, 100000)); }
static pb attr_tensor_twice(void) { return in_attribute(repeated(5, "", 0, 100000)); }
static pb segment_twice(void) { return in_tensor(repeated(3, "", 0, 2)); }
static pb type_twice(void) {
  pb value = {0}, graph = hostile_graph_proto(SMALL);
  pb_raw(&value, "\x12\x00\x12\x00", 4);
  pb_message(&graph, 11, value);
  return pb_model(graph);
}
static pb scalars_twice(void) {
  pb model = {0};
  for (int i = 0; i < 100000; i++)
    pb_int(&model, 1, 3);
  pb rest = hostile_graph(SMALL); /* says 8 */
  pb_raw(&model, rest.data, rest.size);
  pb_free(&rest);
  return model;
}
static pb names_twice(void) { return in_node(repeated(3, "name", 4, 100000)); }

static const hostile_row twice[] = {
    {"P8 graph twice", "FORMAT", "byte [0-9]+ \\(graph\\): appears twice", .build = graph_twice},
    {"P8 graph 100,000 times", "FORMAT", "\\(graph\\): appears twice", .build = graph_1e5},
    {"P8 graph of an attribute", "FORMAT", "node\\[0\\].attribute\\[0\\].g\\): appears twice",
     .build = attr_graph_twice},
    {"P8 tensor of an attribute", "FORMAT", "attribute\\[0\\].t\\): appears twice", .build = attr_tensor_twice},
    {"P8 segment", "FORMAT", "initializer\\[0\\].segment\\): appears twice", .build = segment_twice},
    {"P8 type", "FORMAT", "input\\[1\\].type\\): appears twice", .build = type_twice},
    {"P8 scalars: the last one holds", "OK", NULL, .build = scalars_twice},
    {"P8 texts: the last one holds", "OK", NULL, .build = names_twice},
};

static void test_twice(void **state) {
  (void)state;
  hostile_run(twice, HOSTILE_COUNT(twice));
}

/* ---- P9, P10 ------------------------------------------------------------------------------------------------------------- */

static pb many_nodes(void) { return in_graph(repeated(1, "", 0, MANY)); }
static pb many_initializers(void) { return in_graph(repeated(5, "", 0, MANY)); }
static pb many_sparse(void) { return in_graph(repeated(15, "", 0, MANY)); }
static pb many_graph_inputs(void) { return in_graph(repeated(11, "", 0, MANY)); }
static pb many_graph_outputs(void) { return in_graph(repeated(12, "", 0, MANY)); }
static pb many_value_infos(void) { return in_graph(repeated(13, "", 0, MANY)); }
static pb many_attributes(void) { return in_node(repeated(5, "", 0, MANY)); }
static pb many_inputs(void) { return in_node(repeated(1, "", 0, MANY)); }
static pb many_outputs(void) { return in_node(repeated(2, "", 0, MANY)); }
static pb many_opsets(void) { return in_model(repeated(8, "", 0, MANY)); }
static pb many_metadata(void) { return in_model(repeated(14, "", 0, MANY)); }
static pb many_functions(void) { return in_model(repeated(25, "", 0, MANY)); }
static pb many_unknown(void) { return in_model(repeated(900, "", 0, MANY)); }
static pb few_unknown(void) { return in_model(repeated(26, "\x0a\x03new", 5, 3)); }
static pb many_strings(void) { return in_tensor(repeated(6, "", 0, MANY)); }
static pb many_external(void) { return in_tensor(repeated(13, "", 0, MANY)); }
static pb many_attr_strings(void) { return in_attribute(repeated(9, "", 0, MANY)); }
static pb many_attr_tensors(void) { return in_attribute(repeated(10, "", 0, MANY)); }
static pb many_attr_graphs(void) { return in_attribute(repeated(11, "", 0, MANY)); }
static pb many_attr_types(void) { return in_attribute(repeated(15, "", 0, MANY)); }
static pb many_ints(void) {
  pb ints = {0};
  for (int i = 0; i < MANY; i++)
    pb_int(&ints, 8, 1);
  return in_attribute(ints);
}
static pb many_packed_ints(void) {
  char *const ones = malloc(MANY);
  if (!ones)
    abort();
  memset(ones, 1, MANY);
  pb ints = {0};
  pb_int(&ints, 20, 7);
  pb_bytes(&ints, 8, ones, MANY);
  free(ones);
  return in_attribute(ints);
}
static pb many_dims(void) {
  pb value = {0}, graph = hostile_graph_proto("Relu x -> y;out y"), shape = repeated(1, "", 0, MANY), tensor = {0},
     type = {0};
  pb_int(&tensor, 1, 1);
  pb_message(&tensor, 2, shape);
  pb_message(&type, 1, tensor);
  pb_text(&value, 1, "x");
  pb_message(&value, 2, type);
  pb_message(&graph, 11, value);
  return pb_model(graph);
}
static pb many_function_inputs(void) {
  pb f = repeated(4, "", 0, MANY), all = {0};
  pb_text(&f, 1, "F");
  pb_message(&all, 25, f);
  return in_model(all);
}

#define TREE "limit metadata_bytes"
static const hostile_row counts[] = {
    {"P9 10,000,000 nodes", "LIMIT", "nodes are above the limit nodes of 200000 \\(--limit nodes=N\\)",
     .build = many_nodes},
    {"P9 initialisers", "LIMIT", TREE, .build = many_initializers},
    {"P9 sparse initialisers", "LIMIT", TREE, .build = many_sparse},
    {"P9 inputs of the graph", "LIMIT", TREE, .build = many_graph_inputs},
    {"P9 outputs of the graph", "LIMIT", TREE, .build = many_graph_outputs},
    {"P9 value_info is not kept", "OK", NULL, .build = many_value_infos},
    {"P9 attributes", "LIMIT", TREE, .build = many_attributes},
    {"P9 inputs of a node", "LIMIT", TREE, .build = many_inputs},
    {"P9 outputs of a node", "LIMIT", TREE, .build = many_outputs},
    {"P9 opset imports", "LIMIT", TREE, .build = many_opsets},
    {"P9 metadata", "LIMIT", TREE, .build = many_metadata},
    {"P9 functions", "LIMIT", "", .build = many_functions},
    {"P9 inputs of a function", "LIMIT|MODEL", ".", .build = many_function_inputs},
    {"P9 strings of a tensor", "LIMIT|MODEL", ".", .build = many_strings},
    {"P9 external_data", "LIMIT", TREE, .build = many_external},
    {"P9 strings of an attribute", "LIMIT|MODEL", ".", .build = many_attr_strings},
    {"P9 tensors of an attribute", "LIMIT", TREE, .build = many_attr_tensors},
    {"P9 graphs of an attribute", "LIMIT", TREE, .build = many_attr_graphs},
    {"P9 types of an attribute", "LIMIT", TREE, .build = many_attr_types},
    {"P9 integers of an attribute", "LIMIT|MODEL", ".", .build = many_ints},
    {"P9 packed integers", "UNSUPPORTED", "'a' is not known", .build = many_packed_ints, .own_bytes = 8 * MANY},
    {"P9 dimensions of an input", "LIMIT", TREE, .build = many_dims},
    {"P10 a few unknown fields", "OK", NULL, .build = few_unknown},
    {"P10 10,000,000 unknown fields", "OK", NULL, .build = many_unknown},
};

static void test_counts(void **state) {
  (void)state;
  hostile_run(counts, HOSTILE_COUNT(counts));
}

/* ---- G2, G11: large graphs --------------------------------------------------------------------------------------------------- */

/* count nodes op, each from the value before; cycle: the first takes what the last makes. */
static pb chain(const char *op, int count, bool cycle, const char *prefix) {
  pb graph = hostile_graph_proto("in v0 1 2");
  char in[128], out[128];
  for (int i = 0; i < count; i++) {
    (void)snprintf(in, sizeof in, "%s%d", i || cycle ? prefix : "v", i ? i : cycle ? count : 0);
    (void)snprintf(out, sizeof out, "%s%d", prefix, i + 1);
    pb_message(&graph, 1, pb_node(op, in, out));
  }
  pb last = {0};
  pb_text(&last, 1, out);
  pb_message(&graph, 12, last);
  return pb_model(graph);
}

static pb identities_1e6(void) { return chain("Identity", 1000000, false, "w"); }
static pb identities_1e5(void) { return chain("Identity", 100000, false, "w"); }
static pb relus_30000(void) { return chain("Relu", 30000, false, "w"); }
static pb cycle_1e6(void) { return chain("Relu", 1000000, true, "w"); }
static pb cycle_150000(void) { return chain("Relu", 150000, true, "w"); }
static pb similar_names(void) {
  return chain("Relu", 20000, false, "a/very/long/name/that/all/values/have/in/common/up/to/the/end/");
}
static pb reversed_chain(void) {
  enum { COUNT = 100000 };
  pb graph = hostile_graph_proto("in v0 1 2");
  char in[32], out[32];
  for (int i = COUNT; i-- > 0;) {
    (void)snprintf(in, sizeof in, "v%d", i);
    (void)snprintf(out, sizeof out, "v%d", i + 1);
    pb_message(&graph, 1, pb_node("Relu", in, out));
  }
  pb last = {0};
  pb_text(&last, 1, "v100000");
  pb_message(&graph, 12, last);
  return pb_model(graph);
}
static pb wide_concat(void) {
  pb node = {0}, graph = hostile_graph_proto("in x 1 2;out y");
  for (int i = 0; i < 100000; i++)
    pb_text(&node, 1, "x");
  pb_text(&node, 2, "y");
  pb_text(&node, 4, "Concat");
  pb_attr(&node, pb_attr_int("axis", 0));
  pb_message(&graph, 1, node);
  return pb_model(graph);
}
static pb fan_out(void) {
  pb graph = hostile_graph_proto("in x 1 2;Relu x -> r");
  char name[32];
  for (int i = 0; i < 100000; i++) {
    (void)snprintf(name, sizeof name, "y%d", i);
    pb_message(&graph, 1, pb_node("Neg", "r", name));
    if (i % 100 == 0) {
      pb out = {0};
      pb_text(&out, 1, name);
      pb_message(&graph, 12, out);
    }
  }
  return pb_model(graph);
}
static pb many_results(void) {
  pb graph = hostile_graph_proto("in x 1 2");
  char name[32];
  for (int i = 0; i < 100000; i++) {
    pb out = {0};
    (void)snprintf(name, sizeof name, "y%d", i);
    pb_message(&graph, 1, pb_node("Neg", "x", name));
    pb_text(&out, 1, name);
    pb_message(&graph, 12, out);
  }
  return pb_model(graph);
}
static pb many_parameters(void) {
  pb graph = hostile_graph_proto("in x 1 1;Relu x -> y;out y");
  char name[32];
  for (int i = 0; i < 100000; i++) {
    (void)snprintf(name, sizeof name, "w%d", i);
    pb_message(&graph, 5, pb_tensor_raw(name, 1, (const int64_t[]){1}, 1, "\0\0\0\0", 4));
  }
  return pb_model(graph);
}
static pb equal_nodes(void) {
  pb graph = hostile_graph_proto("in x 1 2;out y0");
  char name[32];
  for (int i = 0; i < 50000; i++) {
    (void)snprintf(name, sizeof name, "y%d", i);
    pb_message(&graph, 1, pb_node("Relu", "x", name));
  }
  return pb_model(graph);
}
static pb unknown_operators(void) {
  pb graph = hostile_graph_proto("in x 1 2;out y0");
  char name[32], op[32];
  for (int i = 0; i < 50000; i++) {
    (void)snprintf(name, sizeof name, "y%d", i);
    (void)snprintf(op, sizeof op, "Op%d", i);
    pb_message(&graph, 1, pb_node(op, "x", name));
  }
  return pb_model(graph);
}
static pb many_symbols(void) {
  pb graph = hostile_graph_proto("Relu x0 -> y;out y");
  char name[32], dims[64];
  for (int i = 0; i < 20000; i++) {
    (void)snprintf(name, sizeof name, "x%d", i);
    (void)snprintf(dims, sizeof dims, "a%d b%d ?", i, i);
    pb_message(&graph, 11, pb_value(name, 1, dims));
  }
  return pb_model(graph);
}
/* A sum whose dimensions are those of 2,000 inputs in turn: every Concat adds a symbol to the expression. */
static pb long_expression(void) {
  pb graph = hostile_graph_proto("in x0 1 ?");
  char name[32], in[64], out[32] = "x0";
  for (int i = 1; i < 2000; i++) {
    (void)snprintf(name, sizeof name, "x%d", i);
    pb_message(&graph, 11, pb_value(name, 1, "?"));
    (void)snprintf(in, sizeof in, "%s %s", out, name);
    (void)snprintf(out, sizeof out, "s%d", i);
    pb node = pb_node("Concat", in, out);
    pb_attr(&node, pb_attr_int("axis", 0));
    pb_message(&graph, 1, node);
  }
  pb last = {0};
  pb_text(&last, 1, out);
  pb_message(&graph, 12, last);
  return pb_model(graph);
}

#define NODES(count) ((count)*UINT64_C(1500)) /* with its values and names, in the file's graph and the optimised one */
static const hostile_row large[] = {
    {"G2 cycle of 1,000,000 nodes", "LIMIT", "limit nodes of 200000", .build = cycle_1e6},
    {"G2 cycle of 150,000 nodes", "MODEL", "150000 nodes form a cycle: #[0-9]+ '' -> .*\\.\\.\\.",
     .build = cycle_150000},
    {"G3 100,000 nodes in reverse order", "OK", NULL, .build = reversed_chain, .own_bytes = NODES(100000)},
    {"G11 1,000,000 times Identity", "LIMIT", "limit nodes of 200000", .build = identities_1e6},
    {"G11 100,000 times Identity", "OK", NULL, .build = identities_1e5, .own_bytes = NODES(100000)},
    {"G11 30,000 times Relu", "OK", NULL, .build = relus_30000},
    {"G11 names with a long common part", "OK", NULL, .build = similar_names},
    {"G11 Concat of 100,000", "OK", NULL, .build = wide_concat},
    {"G11 value with 100,000 uses", "OK", NULL, .build = fan_out, .own_bytes = NODES(100000)},
    {"G11 100,000 outputs", "OK", NULL, .build = many_results, .own_bytes = NODES(100000)},
    {"G11 100,000 initialisers", "OK", NULL, .build = many_parameters, .own_bytes = NODES(100000)},
    {"G11 50,000 equal nodes", "OK", NULL, .build = equal_nodes, .own_bytes = NODES(100000)},
    {"G8 50,000 unknown operators", "UNSUPPORTED", "50000 operators are not implemented", .build = unknown_operators},
    {"G13 60,000 free dimensions", "OK", NULL, .build = many_symbols},
    {"G13 dimension of 2,000 terms", "OK", NULL, .build = long_expression},
};

static void test_large(void **state) {
  (void)state;
  hostile_run(large, HOSTILE_COUNT(large));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_twice),
      cmocka_unit_test(test_counts),
      cmocka_unit_test(test_large),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
