/* Group G: graphs that contradict themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faults/hostile.h"

#define X "in x 1 2 3;"

static const hostile_row graphs[] = {
    {"G1 nothing", "MODEL", "has no outputs", .graph = ""},
    {"G1 no outputs", "MODEL", "graph 'main' has no outputs", .graph = X "Relu x -> y"},
    {"G1 output is an input", "OK", NULL, .graph = X "out x"},
    {"G1 output is an initialiser", "OK", NULL, .graph = "init w 1 2;out w"},
    {"G2 node that needs itself", "MODEL", "1 node forms a cycle: #0 'a' -> #0", .graph = "Relu #a y -> y;out y"},
    {"G2 two nodes", "MODEL", "2 nodes form a cycle: #[01] '[ab]' -> #[01] '[ab]' -> #[01]",
     .graph = "Relu #a y -> z;Relu #b z -> y;out y"},
    {"G3 not sorted", "OK", NULL, .graph = X "Relu b -> y;Neg a -> b;Abs x -> a;out y"},
    {"G4 two nodes make it", "MODEL", "node #1 'b' .*output 'y' is also made by node #0 'a'",
     .graph = X "Relu #a x -> y;Neg #b x -> y;out y"},
    {"G4 one node makes it twice", "MODEL", "also made by node #0", .graph = X "Split x -> y y axis=0;out y"},
    {"G4 node and initialiser", "MODEL", "node #0 .*output 'w' is also the name of an initialiser",
     .graph = X "init w 1 2;Relu x -> w;out w"},
    {"G4 node and input", "MODEL", "output 'x' is also the name of an input", .graph = X "Relu x -> x;out x"},
    {"G4 input twice", "MODEL", "'x' is the name of two inputs", .graph = X X "Relu x -> y;out y"},
    {"G4 initialiser twice", "MODEL", "'w' is the name of two initialisers", .graph = "init w 1 2;init w 1 2;out w"},
    {"G4 output twice", "MODEL", "'y' is the name of two outputs", .graph = X "Relu x -> y;out y;out y"},
    {"G4 no name", "MODEL", "output #0 has no name", .graph = X "Relu x -> y;out"},
    {"G6 unknown input", "MODEL", "node #0 'a' .*input 0 'q' is made by no node", .graph = X "Relu #a q -> y;out y"},
    {"G6 empty required input", "MODEL", "node #0 'a' \\(ai.onnx Add-17", .graph = X "Add #a - x -> y;out y"},
    {"G6 too few inputs", "MODEL", "Add", .graph = X "Add x -> y;out y"},
    {"G6 too many inputs", "MODEL", "Relu", .graph = X "Relu x x -> y;out y"},
    {"G6 too many outputs", "MODEL", "Relu", .graph = X "Relu x -> y z;out y"},
    {"G6 no outputs at all", "MODEL|OK", "Relu", .graph = X "Relu x ->;Neg x -> y;out y"},
    {"G6 variadic without inputs", "MODEL", "Concat", .graph = X "Concat -> y axis=0;out y"},
    {"G7 output made by nobody", "MODEL", "output 'q' is made by no node", .graph = X "Relu x -> y;out q"},
    {"G7 output of another type", "MODEL|OK", "y", .graph = X "Relu x -> y;out y 7 2 3"},
    {"G7 output of another rank", "MODEL|OK", "y", .graph = X "Relu x -> y;out y 1 9 9 9"},
    {"G8 unknown operators", "UNSUPPORTED", "2 operators are not implemented: .*Foo.*Bar|2 operators .*Bar.*Foo",
     .graph = X "Foo x -> a;Bar a -> y;out y"},
    {"G8 unknown domain", "UNSUPPORTED", "com.example Relu", .graph = X "Relu @com.example x -> y;out y"},
    {"G8 from a later opset", "UNSUPPORTED", "Gelu", .graph = X "Gelu x -> y;out y"},
    {"G8 training", "UNSUPPORTED", "Adamax", .graph = X "Adamax @ai.onnx.preview.training x x x x x x -> y;out y"},
    {"G8 a step without its count", "MODEL", "Adam-1.*input 1 'x'",
     .graph = X "Adam @ai.onnx.preview.training x x x x x x -> y;out y"},
    {"G8 Gradient of nothing", "MODEL", "attribute 'xs' is required",
     .graph = X "Gradient @ai.onnx.preview.training x -> y y=s:x;out y"},
    {"G8 operator of an odd name", "UNSUPPORTED", "1 operator is not implemented: ai.onnx --17",
     .graph = X "- x -> y;out y"},
    {"G9 attribute missing", "MODEL", "Concat.*axis", .graph = X "Concat x x -> y;out y"},
    {"G9 attribute of wrong type", "MODEL", "axis", .graph = X "Concat x x -> y axis=f:1;out y"},
    {"G9 attribute twice", "MODEL", "attribute 'axis' is given twice",
     .graph = X "Concat x x -> y axis=0 axis=0;out y"},
    {"G9 attribute unknown", "UNSUPPORTED|MODEL", "attribute 'colour' is not known",
     .graph = X "Relu x -> y colour=3;out y"},
    {"G9 axis outside", "MODEL", "axis", .graph = X "Softmax x -> y axis=5;out y"},
    {"G9 axis INT64_MIN", "MODEL", "axis", .graph = X "Softmax x -> y axis=-9223372036854775808;out y"},
    {"G9 perm not a permutation", "MODEL", "perm", .graph = X "Transpose x -> y perm=l:0,0;out y"},
    {"G13 conflicting dimensions", "MODEL", "Add", .graph = "in a 1 2;in b 1 3;Add a b -> y;out y"},
    {"G13 dimension -1", "OK", NULL, .graph = "in x 1 -1 3;Relu x -> y;out y"},
    {"G13 dimension 0", "OK", NULL, .graph = "in x 1 0 3;Relu x -> y;out y"},
    {"G13 dimension INT64_MAX", "OK|LIMIT|MODEL", "x",
     .graph = "in x 1 9223372036854775807 9223372036854775807;Relu x -> y;out y"},
    {"G13 names that look like expressions", "OK", NULL, .graph = "in x 1 a+b 2*a a/0 -;Relu x -> y;out y"},
    {"G13 MatMul widths differ", "MODEL", "MatMul", .graph = "in a 1 2 3;in b 1 4 5;MatMul a b -> y;out y"},
    {"O8 Expand to TiB", "OK|LIMIT|MODEL", "y",
     .graph = "in x 1 1;init s 7 3;ConstantOfShape s -> z;Expand x z -> y;out y"},
    {"O10 Conv with group 0", "MODEL", "group", .graph = "in x 1 1 4 8 8;init w 1 4 4 3 3;Conv x w -> y group=0;out y"},
    {"O10 Conv with stride 0", "MODEL", "stride",
     .graph = "in x 1 1 4 8 8;init w 1 4 4 3 3;Conv x w -> y strides=l:0,0;out y"},
    {"O12 dtype that an operator lacks", "UNSUPPORTED|MODEL", "MatMul",
     .graph = "in a 8 2 2;in b 8 2 2;MatMul a b -> y;out y"},
};

static void test_graphs(void **state) {
  (void)state;
  hostile_run(graphs, HOSTILE_COUNT(graphs));
}

/* ---- headers: P13 ---------------------------------------------------------------------------------------------------------- */

static pb header(int64_t ir, const int64_t *opsets, size_t count) {
  pb model = {0};
  if (ir != INT64_MIN)
    pb_int(&model, 1, ir);
  for (size_t i = 0; i < count; i++)
    pb_message(&model, 8, pb_opset("", opsets[i]));
  pb_message(&model, 7, hostile_graph_proto(X "Relu x -> y;out y"));
  return model;
}
#define OPSETS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
static pb ir_missing(void) { return header(INT64_MIN, OPSETS(17)); }
static pb ir_0(void) { return header(0, OPSETS(17)); }
static pb ir_minus_1(void) { return header(-1, OPSETS(17)); }
static pb ir_999(void) { return header(999, OPSETS(17)); }
static pb ir_max(void) { return header(INT64_MAX, OPSETS(17)); }
static pb ir_20(void) { return header(20, OPSETS(17)); }
static pb opset_missing(void) { return header(8, NULL, 0); }
static pb opset_0(void) { return header(8, OPSETS(0)); }
static pb opset_minus_1(void) { return header(8, OPSETS(-1)); }
static pb opset_99(void) { return header(8, OPSETS(99)); }
static pb opset_max(void) { return header(8, OPSETS(INT64_MAX)); }
static pb opset_two(void) { return header(8, OPSETS(17, 18)); }
static pb opset_same(void) { return header(8, OPSETS(17, 17)); }
static pb opset_300(void) {
  int64_t versions[300];
  for (int i = 0; i < 300; i++)
    versions[i] = 17;
  return header(8, versions, 300);
}
static pb no_graph(void) {
  pb model = {0};
  pb_int(&model, 1, 8);
  return model;
}

static const hostile_row headers[] = {
    {"P13 no ir_version", "MODEL", "m.onnx: has no ir_version", .build = ir_missing},
    {"P13 ir_version 0", "UNSUPPORTED", "ir_version 0 is outside \\[1,99\\]", .build = ir_0},
    {"P13 ir_version -1", "UNSUPPORTED", "ir_version -1 is outside", .build = ir_minus_1},
    {"P13 ir_version 999", "UNSUPPORTED", "ir_version 999 is outside", .build = ir_999},
    {"P13 ir_version INT64_MAX", "UNSUPPORTED", "ir_version 9223372036854775807", .build = ir_max},
    {"P13 ir_version 20 warns", "OK", NULL, .build = ir_20},
    {"P13 no opset", "MODEL", "imports no opset of ai.onnx", .build = opset_missing},
    {"P13 opset 0", "MODEL", "opset import of 'ai.onnx' has version 0", .build = opset_0},
    {"P13 opset -1", "MODEL", "has version -1", .build = opset_minus_1},
    {"P13 opset 99", "UNSUPPORTED|OK", "99", .build = opset_99},
    {"P13 opset INT64_MAX", "MODEL", "has version 9223372036854775807", .build = opset_max},
    {"P13 two opsets", "MODEL", "opset of 'ai.onnx' is imported twice, as 17 and 18", .build = opset_two},
    {"P13 the same opset twice", "OK", NULL, .build = opset_same},
    {"P13 300 opsets", "MODEL", "300 opset imports, above 256", .build = opset_300},
    {"G1 no graph", "MODEL", "m.onnx: has no graph", .build = no_graph},
};

static void test_headers(void **state) {
  (void)state;
  hostile_run(headers, HOSTILE_COUNT(headers));
}

/* ---- functions and subgraphs: G5, G9, G10, G12 ------------------------------------------------------------------------------- */

/* domain "f"; nodes from a text of the statements of hostile_graph. */
static pb function(const char *name, const char *nodes) {
  pb f = {0}, graph = hostile_graph_proto(nodes);
  pb_text(&f, 1, name);
  pb_text(&f, 4, "x");
  pb_text(&f, 5, "y");
  pb_text(&f, 10, "f");
  pb_message(&f, 9, pb_opset("", 17));
  pb_message(&f, 9, pb_opset("f", 1));
  for (size_t at = 0; at < graph.size;) { /* node (1) becomes field 7; lengths are short */
    const uint8_t tag = graph.data[at++];
    size_t length = 0;
    for (int shift = 0;; shift += 7) {
      length |= (size_t)(graph.data[at] & 0x7f) << shift;
      if (!(graph.data[at++] & 0x80))
        break;
    }
    if (tag == 0x0a)
      pb_bytes(&f, 7, graph.data + at, length);
    at += length;
  }
  pb_free(&graph);
  return f;
}
static pb with_functions(pb a, pb b) {
  pb model = hostile_graph(X "A @f x -> y;out y");
  pb_message(&model, 8, pb_opset("f", 1));
  pb_message(&model, 25, a);
  if (b.size)
    pb_message(&model, 25, b);
  return model;
}
static pb calls_itself(void) { return with_functions(function("A", "A @f x -> y"), (pb){0}); }
static pb call_each_other(void) { return with_functions(function("A", "B @f x -> y"), function("B", "A @f x -> y")); }
static pb defined_twice(void) { return with_functions(function("A", "Relu x -> y"), function("A", "Neg x -> y")); }
static pb makes_nothing(void) { return with_functions(function("A", "Relu x -> z"), (pb){0}); }
static pb good_function(void) { return with_functions(function("A", "Relu x -> y"), (pb){0}); }
static pb doubling(void) {
  pb model = hostile_graph(X "A0 @f x -> y;out y");
  pb_message(&model, 8, pb_opset("f", 1));
  char name[16], nodes[96];
  for (int i = 0; i < 30; i++) {
    (void)snprintf(name, sizeof name, "A%d", i);
    (void)snprintf(nodes, sizeof nodes, "A%d @f x -> z;A%d @f z -> y", i + 1, i + 1);
    pb_message(&model, 25, function(name, i == 29 ? "Relu x -> y" : nodes));
  }
  return model;
}
static pb outside_function(void) {
  pb node = pb_node("Concat", "x x", "y"), graph = hostile_graph_proto(X "out y");
  pb_attr(&node, pb_attr_ref("axis", "axis", 2));
  pb_message(&graph, 1, node);
  return pb_model(graph);
}
static pb attribute_of(int type) {
  pb node = pb_node("Relu", "x", "y"), graph = hostile_graph_proto(X "out y"), a = {0};
  pb_text(&a, 1, "a");
  pb_int(&a, 20, type);
  pb_attr(&node, a);
  pb_message(&graph, 1, node);
  return pb_model(graph);
}
static pb attribute_0(void) { return attribute_of(0); }
static pb attribute_99(void) { return attribute_of(99); }
static pb attribute_minus_1(void) { return attribute_of(-1); }

static pb if_of(const char *then_text, const char *else_text, const char *outputs) {
  pb node = pb_node("If", "c", outputs), graph = hostile_graph_proto("in c 9;in x 1 2;out y");
  pb_attr(&node, pb_attr_graph("then_branch", hostile_graph_proto(then_text)));
  pb_attr(&node, pb_attr_graph("else_branch", hostile_graph_proto(else_text)));
  pb_message(&graph, 1, node);
  return pb_model(graph);
}
static pb branch_counts(void) { return if_of("Relu x -> a;out a", "Neg x -> a;out a;out x", "y"); }
static pb branch_shadows(void) { return if_of("Relu x -> x;out x", "Neg x -> a;out a", "y"); }
static pb branch_needs_output(void) { return if_of("Relu y -> a;out a", "Neg x -> a;out a", "y"); }
/* op with a body; c int64 scalar, b bool scalar, x and y float [2], m float [4,2] */
static pb body_of(const char *op, const char *inputs, const char *body, const char *outputs, int64_t scans) {
  pb node = pb_node(op, inputs, outputs),
     graph = hostile_graph_proto("in c 7;in b 9;in x 1 2;in z 1 2;in m 1 4 2;out y");
  pb_attr(&node, pb_attr_graph("body", hostile_graph_proto(body)));
  if (scans != INT64_MIN)
    pb_attr(&node, pb_attr_int("num_scan_inputs", scans));
  pb_message(&graph, 1, node);
  return pb_model(graph);
}
#define BODY(name, op, inputs, body, outputs, scans) \
  static pb name(void) { return body_of(op, inputs, body, outputs, scans); }
#define NO_SCANS INT64_MIN
#define ITER "in i 7;in k 9;"
BODY(loop_good, "Loop", "c b x", ITER "in v 1 2;Relu v -> w;out k;out w", "y", NO_SCANS)
BODY(loop_no_inputs, "Loop", "", ITER "in v 1 2;Relu v -> w;out k;out w", "y", NO_SCANS)
BODY(loop_body_empty, "Loop", "c b x", "", "y", NO_SCANS)
BODY(loop_few_body_inputs, "Loop", "c b x", ITER "out k", "y", NO_SCANS)
BODY(loop_many_body_inputs, "Loop", "c b x", ITER "in v 1 2;in u 1 2;Add v u -> w;out k;out w", "y", NO_SCANS)
BODY(loop_few_body_outputs, "Loop", "c b x", ITER "in v 1 2;out k", "y", NO_SCANS)
BODY(loop_many_body_outputs, "Loop", "c b x", ITER "in v 1 2;Relu v -> w;out k;out w;out v", "y", NO_SCANS)
BODY(loop_few_outputs, "Loop", "c b x z", ITER "in v 1 2;in u 1 2;Relu v -> w;Relu u -> q;out k;out w;out q", "y",
     NO_SCANS)
BODY(loop_condition_float, "Loop", "c b x", ITER "in v 1 2;Relu v -> w;out w;out v", "y", NO_SCANS)
BODY(loop_trip_float, "Loop", "x b x", ITER "in v 1 2;Relu v -> w;out k;out w", "y", NO_SCANS)
BODY(loop_start_float, "Loop", "c x x", ITER "in v 1 2;Relu v -> w;out k;out w", "y", NO_SCANS)
BODY(loop_changes_type, "Loop", "c b x", ITER "in v 1 2;Cast v -> w to=7;out k;out w", "y", NO_SCANS)
BODY(scan_good, "Scan", "x m", "in s 1 2;in e 1 2;Add s e -> t;out t;out e", "y u", 1)
BODY(scan_no_count, "Scan", "x m", "in s 1 2;in e 1 2;Add s e -> t;out t;out e", "y u", NO_SCANS)
BODY(scan_0, "Scan", "x m", "in s 1 2;in e 1 2;Add s e -> t;out t;out e", "y u", 0)
BODY(scan_minus_1, "Scan", "x m", "in s 1 2;in e 1 2;Add s e -> t;out t;out e", "y u", -1)
BODY(scan_3, "Scan", "x m", "in s 1 2;in e 1 2;Add s e -> t;out t;out e", "y u", 3)
BODY(scan_max, "Scan", "x m", "in s 1 2;in e 1 2;Add s e -> t;out t;out e", "y u", INT64_MAX)
BODY(scan_body_empty, "Scan", "x m", "", "y u", 1)
BODY(scan_few_body_inputs, "Scan", "x m", "in s 1 2;out s;out s2", "y u", 1)
BODY(scan_few_body_outputs, "Scan", "x m", "in s 1 2;in e 1 2;out s", "y u", 1)
BODY(scan_scalar, "Scan", "x b", "in s 1 2;in e 9;Relu s -> t;out t;out e", "y u", 1)
BODY(scan_no_inputs, "Scan", "", "in s 1 2;Relu s -> t;out t", "y", 1)
static pb if_types(void) { return if_of("Relu x -> a;out a", "Cast x -> a to=7;out a", "y"); }
static pb if_no_outputs(void) { return if_of("Relu x -> a", "Neg x -> a", "y"); }
static pb if_condition_float(void) {
  pb node = pb_node("If", "x", "y"), graph = hostile_graph_proto("in x 1 2;out y");
  pb_attr(&node, pb_attr_graph("then_branch", hostile_graph_proto("Relu x -> a;out a")));
  pb_attr(&node, pb_attr_graph("else_branch", hostile_graph_proto("Neg x -> a;out a")));
  pb_message(&graph, 1, node);
  return pb_model(graph);
}
static pb if_one_branch(void) {
  pb node = pb_node("If", "c", "y"), graph = hostile_graph_proto("in c 9;in x 1 2;out y");
  pb_attr(&node, pb_attr_graph("then_branch", hostile_graph_proto("Relu x -> a;out a")));
  pb_message(&graph, 1, node);
  return pb_model(graph);
}
static pb nested_ifs(void) {
  pb inner = hostile_graph_proto("Relu x -> a;out a");
  for (int i = 0; i < 25; i++) {
    pb node = pb_node("If", "c", "a"), graph = hostile_graph_proto("out a"), copy = {0};
    pb_raw(&copy, inner.data, inner.size > 40000 ? 0 : inner.size);
    pb_attr(&node, pb_attr_graph("then_branch", inner));
    pb_attr(&node, pb_attr_graph("else_branch", copy));
    pb_message(&graph, 1, node);
    inner = graph;
  }
  pb graph = hostile_graph_proto("in c 9;in x 1 2;out y"), node = pb_node("If", "c", "y"),
     other = hostile_graph_proto("Neg x -> a;out a");
  pb_attr(&node, pb_attr_graph("then_branch", inner));
  pb_attr(&node, pb_attr_graph("else_branch", other));
  pb_message(&graph, 1, node);
  return pb_model(graph);
}

static const hostile_row nested[] = {
    {"G10 calls itself", "MODEL", "A", .build = calls_itself},
    {"G10 call each other", "MODEL", "A.*B|B.*A", .build = call_each_other},
    {"G10 2^30 calls", "LIMIT", "limit nodes of 200000", .build = doubling},
    {"G10 defined twice", "MODEL", "function 'f.A' is defined twice", .build = defined_twice},
    {"G10 output not made", "MODEL", "function 'A' does not make its output 0 'y'", .build = makes_nothing},
    {"G10 a good one", "OK", NULL, .build = good_function},
    {"G9 reference outside a function", "MODEL", "attribute 'axis' refers to 'axis' of a function",
     .build = outside_function},
    {"G9 attribute without type", "MODEL", "attribute has no type", .build = attribute_0},
    {"P12 attribute type 99", "MODEL", "attribute 'a'.*attribute type 99 does not exist", .build = attribute_99},
    {"P12 attribute type -1", "MODEL", "attribute type -1 does not exist", .build = attribute_minus_1},
    {"G5 branches of other count", "MODEL|UNSUPPORTED", "If", .build = branch_counts},
    {"G5 branches of other type", "MODEL", "If.*output 0 is float32 in then_branch and int64 in else_branch",
     .build = if_types},
    {"G5 branches without outputs", "MODEL", "If|has no outputs", .build = if_no_outputs},
    {"G5 a float as condition", "MODEL", "If", .build = if_condition_float},
    {"G5 one branch", "MODEL", "If.*else_branch", .build = if_one_branch},
    {"G5 a good Loop", "OK", NULL, .build = loop_good},
    {"G5 Loop without inputs", "MODEL", "Loop", .build = loop_no_inputs},
    {"G5 Loop, nothing in its body", "MODEL", "Loop", .build = loop_body_empty},
    {"G5 Loop, body takes too little", "MODEL", "Loop", .build = loop_few_body_inputs},
    {"G5 Loop, body takes too much", "MODEL", "Loop", .build = loop_many_body_inputs},
    {"G5 Loop, body gives too little", "MODEL", "Loop", .build = loop_few_body_outputs},
    {"G5 Loop, body gives too much", "MODEL|OK", "Loop", .build = loop_many_body_outputs},
    {"G5 Loop gives too little", "MODEL", "Loop.*1 outputs for 2 carried", .build = loop_few_outputs},
    {"G5 Loop, condition of floats", "MODEL", "Loop.*want bool, got float32", .build = loop_condition_float},
    {"G5 Loop, trip count of floats", "MODEL", "Loop", .build = loop_trip_float},
    {"G5 Loop, starts with floats", "MODEL", "Loop", .build = loop_start_float},
    {"G5 Loop that changes a type", "MODEL", "Loop", .build = loop_changes_type},
    {"G5 a good Scan", "OK", NULL, .build = scan_good},
    {"G5 Scan without its count", "MODEL", "Scan.*num_scan_inputs", .build = scan_no_count},
    {"G5 Scan of 0", "MODEL", "Scan.*num_scan_inputs 0 does not fit", .build = scan_0},
    {"G5 Scan of -1", "MODEL", "Scan.*num_scan_inputs -1 does not fit", .build = scan_minus_1},
    {"G5 Scan of 3", "MODEL", "Scan.*num_scan_inputs 3 does not fit", .build = scan_3},
    {"G5 Scan of INT64_MAX", "MODEL", "Scan.*num_scan_inputs 9223372036854775807", .build = scan_max},
    {"G5 Scan, nothing in its body", "MODEL", "Scan", .build = scan_body_empty},
    {"G5 Scan, body takes too little", "MODEL", "Scan|s2", .build = scan_few_body_inputs},
    {"G5 Scan, body gives too little", "MODEL", "Scan", .build = scan_few_body_outputs},
    {"G5 Scan over a scalar", "MODEL", "Scan.*rank 0", .build = scan_scalar},
    {"G5 Scan without inputs", "MODEL", "Scan", .build = scan_no_inputs},
    {"G5 branch hides an outer name", "MODEL", "output 'x' is also the name of an input outside",
     .build = branch_shadows},
    {"G2 cycle through a branch", "MODEL", "cycle", .build = branch_needs_output},
    {"G12 If in If in If", "OK|UNSUPPORTED|MODEL|LIMIT", ".", .build = nested_ifs},
};

static void test_nested(void **state) {
  (void)state;
  hostile_run(nested, HOSTILE_COUNT(nested));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_graphs), cmocka_unit_test(test_headers),
                                     cmocka_unit_test(test_nested)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
