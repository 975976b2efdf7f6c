/* attention: spellings of scale, masks, layouts and heads fuse and give the same numbers; near misses stay. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "unit/pass_bench.h"

enum { HEADS = 4, SIZE = 6, WIDTH = HEADS * SIZE };

typedef enum scale_form { SCALE_DIV, SCALE_MUL, SCALE_Q, SCALE_Q_EARLY, SCALE_K, SCALE_BOTH, SCALE_NONE } scale_form;
typedef enum mask_form {
  MASK_NONE,
  MASK_ADD,
  MASK_TWO_ADDS,
  MASK_SUB,
  MASK_KEEP, /* Where(mask, s, value) */
  MASK_DROP, /* Where(mask, value, s) */
  MASK_KEEP_ADD,
  MASK_ADD_KEEP,
  MASK_TWO_KEEPS,
  MASK_ADD_THEN_SCALE,
  MASK_ADD_KEEP_ADD, /* cannot be said */
  MASK_KEEP_VALUES,  /* two different values: cannot be said */
  MASK_TENSOR_VALUE  /* replaced by a tensor: cannot be said */
} mask_form;
typedef enum layout {
  LAYOUT_BSHD,
  LAYOUT_SBHD_BMM,
  LAYOUT_BHSD,
  LAYOUT_PACKED,
  LAYOUT_GQA,
  LAYOUT_MQA,
  LAYOUT_K_DETOUR
} layout;

typedef struct spelling {
  scale_form scale;
  mask_form mask;
  layout layout;
  bool softcap, softcap_after_mask, guard, flat_axis_1, wrong_axis, keep_out_layout;
  bool scores_output, probabilities_output, scores_twice, probabilities_twice;
  float fill;
} spelling;

static const int64_t sizes[] = {2, 5}; /* batch, sequence */

static ow_value *mul(bench *b, ow_value *x, double c) {
  return bench_node(b, "Mul", 14, x, bench_scalar(b, (float)c), NULL);
}
static ow_value *reshape(bench *b, ow_value *x, size_t count, const int64_t *dims) {
  return bench_node(b, "Reshape", 14, x, bench_ints(b, count, dims), NULL);
}

/* [B,S,W] -> [B,heads,S,SIZE] */
static ow_value *split(bench *b, ow_value *x, int64_t heads) {
  return bench_transpose(b, reshape(b, x, BENCH_INTS(0, 0, heads, SIZE)), BENCH_INTS(0, 2, 1, 3));
}

typedef struct operands {
  ow_value *q, *k, *v; /* k transposed for the product */
} operands;

static operands make_operands(bench *b, const spelling *s) {
  operands o;
  const int64_t kv = s->layout == LAYOUT_GQA ? 2 : s->layout == LAYOUT_MQA ? 1 : HEADS;
  if (s->layout == LAYOUT_BHSD) {
    o.q = bench_input(b, "q", ONWARD_FLOAT32, BENCH_DIMS(-1, HEADS, -2, SIZE));
    ow_value *const k = bench_input(b, "k", ONWARD_FLOAT32, BENCH_DIMS(-1, HEADS, -2, SIZE));
    o.v = bench_input(b, "v", ONWARD_FLOAT32, BENCH_DIMS(-1, HEADS, -2, SIZE));
    o.k = bench_transpose(b, k, BENCH_INTS(0, 1, 3, 2));
    return o;
  }
  if (s->layout == LAYOUT_SBHD_BMM) { /* [S,B,W] -> [B*H,S,D] */
    ow_value *parts[3];
    const char *const names[3] = {"q", "k", "v"};
    for (int i = 0; i < 3; i++) {
      parts[i] = bench_input(b, names[i], ONWARD_FLOAT32, BENCH_DIMS(-1, -2, WIDTH));
      ow_value *const shape = bench_node(b, "Shape", 15, parts[i], NULL);
      ow_value *const length =
          bench_node(b, "Slice", 13, shape, bench_ints(b, BENCH_INTS(0)), bench_ints(b, BENCH_INTS(1)), NULL);
      ow_value *const batch =
          bench_node(b, "Slice", 13, shape, bench_ints(b, BENCH_INTS(1)), bench_ints(b, BENCH_INTS(2)), NULL);
      ow_value *const rows = bench_node(b, "Mul", 14, batch, bench_ints(b, BENCH_INTS(HEADS)), NULL);
      ow_value *const to = bench_node(b, "Concat", 13, length, rows, bench_ints(b, BENCH_INTS(SIZE)), NULL);
      assert_true(ow_node_add_int(bench_last(b), "axis", 0));
      parts[i] = bench_transpose(b, bench_node(b, "Reshape", 14, parts[i], to, NULL), BENCH_INTS(1, 0, 2));
    }
    o.q = parts[0];
    o.k = bench_transpose(b, parts[1], BENCH_INTS(0, 2, 1));
    o.v = parts[2];
    return o;
  }
  ow_value *q, *k, *v;
  if (s->layout == LAYOUT_PACKED) {
    ow_value *const packed = bench_input(b, "qkv", ONWARD_FLOAT32, BENCH_DIMS(-1, -2, 3 * WIDTH));
    ow_value *parts[3];
    for (int64_t i = 0; i < 3; i++)
      parts[i] = bench_node(b, "Slice", 13, packed, bench_ints(b, BENCH_INTS(i * WIDTH)),
                            bench_ints(b, BENCH_INTS((i + 1) * WIDTH)), bench_ints(b, BENCH_INTS(2)), NULL);
    q = parts[0];
    k = parts[1];
    v = parts[2];
  } else {
    const int64_t length = s->layout == LAYOUT_K_DETOUR ? 5 : -2;
    q = bench_input(b, "q", ONWARD_FLOAT32, BENCH_DIMS(-1, length, WIDTH));
    k = bench_input(b, "k", ONWARD_FLOAT32, BENCH_DIMS(-1, length, kv * SIZE));
    v = bench_input(b, "v", ONWARD_FLOAT32, BENCH_DIMS(-1, length, kv * SIZE));
  }
  if (s->scale == SCALE_Q_EARLY)
    q = mul(b, q, 0.4);
  o.q = split(b, q, HEADS);
  ow_value *keys = split(b, k, kv);
  o.v = split(b, v, kv);
  if (s->layout == LAYOUT_GQA) { /* each head twice, next to itself */
    ow_value **const both[2] = {&keys, &o.v};
    for (int i = 0; i < 2; i++) {
      ow_value *const wide = bench_node(b, "Unsqueeze", 13, *both[i], bench_ints(b, BENCH_INTS(2)), NULL);
      ow_value *const repeated = bench_node(b, "Expand", 13, wide, bench_ints(b, BENCH_INTS(1, 1, 2, 1, 1)), NULL);
      ow_value *const shape = bench_node(b, "Shape", 15, q, NULL);
      ow_value *const batch =
          bench_node(b, "Slice", 13, shape, bench_ints(b, BENCH_INTS(0)), bench_ints(b, BENCH_INTS(1)), NULL);
      ow_value *const length =
          bench_node(b, "Slice", 13, shape, bench_ints(b, BENCH_INTS(1)), bench_ints(b, BENCH_INTS(2)), NULL);
      ow_value *const to = bench_node(b, "Concat", 13, batch, bench_ints(b, BENCH_INTS(HEADS)), length,
                                      bench_ints(b, BENCH_INTS(SIZE)), NULL);
      assert_true(ow_node_add_int(bench_last(b), "axis", 0));
      *both[i] = bench_node(b, "Reshape", 14, repeated, to, NULL);
    }
  }
  if (s->layout == LAYOUT_K_DETOUR) { /* transposed as [B*H,S,D] and brought back */
    ow_value *const joined = bench_node(b, "Reshape", 14, keys, bench_ints(b, BENCH_INTS(-1, 5, SIZE)), NULL);
    o.k = reshape(b, bench_transpose(b, joined, BENCH_INTS(0, 2, 1)), BENCH_INTS(-1, HEADS, SIZE, 5));
  } else {
    o.k = bench_transpose(b, keys, BENCH_INTS(0, 1, 3, 2));
  }
  return o;
}

static ow_value *add_mask(bench *b, ow_value *scores, const char *name) {
  return bench_node(b, "Add", 14, scores, bench_input(b, name, ONWARD_FLOAT32, BENCH_DIMS(-1, 1, 1, -2)), NULL);
}
static ow_value *keep_mask(bench *b, ow_value *scores, const char *name, float fill) {
  return bench_node(b, "Where", 16, bench_input(b, name, ONWARD_BOOL, BENCH_DIMS(1, 1, -2, -2)), scores,
                    bench_scalar(b, fill), NULL);
}

static ow_value *mask_scores(bench *b, ow_value *x, const spelling *s) {
  switch (s->mask) {
    case MASK_NONE: return x;
    case MASK_ADD: return add_mask(b, x, "m");
    case MASK_TWO_ADDS:
      return bench_node(b, "Add", 14, bench_weight(b, BENCH_DIMS(1, HEADS, 1, 1)), add_mask(b, x, "m"), NULL);
    case MASK_SUB:
      return bench_node(b, "Sub", 14, x, bench_input(b, "m", ONWARD_FLOAT32, BENCH_DIMS(-1, 1, 1, -2)), NULL);
    case MASK_KEEP: return keep_mask(b, x, "m", s->fill);
    case MASK_DROP:
      return bench_node(b, "Where", 16, bench_input(b, "m", ONWARD_BOOL, BENCH_DIMS(-1, 1, 1, -2)),
                        bench_scalar(b, s->fill), x, NULL);
    case MASK_KEEP_ADD: return add_mask(b, keep_mask(b, x, "m", s->fill), "n");
    case MASK_ADD_KEEP: return keep_mask(b, add_mask(b, x, "m"), "n", s->fill);
    case MASK_TWO_KEEPS: return keep_mask(b, keep_mask(b, x, "m", s->fill), "n", s->fill);
    case MASK_ADD_THEN_SCALE: return mul(b, keep_mask(b, add_mask(b, x, "m"), "n", s->fill), 0.3);
    case MASK_ADD_KEEP_ADD: return add_mask(b, keep_mask(b, add_mask(b, x, "m"), "n", s->fill), "o");
    case MASK_KEEP_VALUES: return keep_mask(b, keep_mask(b, x, "m", -2.0f), "n", -3.0f);
    default:
      return bench_node(b, "Where", 16, bench_input(b, "m", ONWARD_BOOL, BENCH_DIMS(-1, 1, 1, -2)), x,
                        bench_input(b, "n", ONWARD_FLOAT32, BENCH_DIMS(-1, 1, 1, -2)), NULL);
  }
}

static ow_value *cap(bench *b, ow_value *x) {
  ow_value *const inner = bench_node(b, "Tanh", 13, bench_node(b, "Div", 14, x, bench_scalar(b, 1.5f), NULL), NULL);
  return mul(b, inner, 1.5);
}

static void build(bench *b, const spelling *s) {
  operands o = make_operands(b, s);
  if (s->scale == SCALE_Q || s->scale == SCALE_BOTH)
    o.q = mul(b, o.q, 0.6);
  if (s->scale == SCALE_K || s->scale == SCALE_BOTH)
    o.k = mul(b, o.k, 0.6);
  ow_value *x = bench_node(b, "MatMul", 13, o.q, o.k, NULL);
  if (s->scale == SCALE_DIV)
    x = bench_node(b, "Div", 14, x, bench_scalar(b, 2.5f), NULL);
  if (s->scale == SCALE_MUL)
    x = bench_node(b, "Mul", 14, bench_scalar(b, 0.4f), x, NULL);
  if (s->softcap)
    x = cap(b, x);
  x = mask_scores(b, x, s);
  if (s->softcap_after_mask)
    x = cap(b, x);
  if (s->scores_output)
    bench_output(b, x);
  if (s->scores_twice)
    bench_output(b, bench_node(b, "Neg", 13, x, NULL));
  ow_value *p = bench_node(b, "Softmax", s->flat_axis_1 ? 11 : 13, x, NULL);
  if (s->flat_axis_1 || s->wrong_axis)
    assert_true(ow_node_add_int(bench_last(b), "axis", s->flat_axis_1 ? 3 : 2));
  if (s->guard) {
    ow_value *const bad = bench_node(b, "IsNaN", 13, p, NULL);
    p = bench_node(b, "Where", 16, bad, bench_scalar(b, 0.0f), p, NULL);
  }
  if (s->probabilities_output)
    bench_output(b, p);
  if (s->probabilities_twice)
    bench_output(b, bench_node(b, "Neg", 13, p, NULL));
  ow_value *y = bench_node(b, "MatMul", 13, p, o.v, NULL);
  if (!s->keep_out_layout && s->layout == LAYOUT_SBHD_BMM) {
    ow_value *const first = bench_transpose(b, y, BENCH_INTS(1, 0, 2));
    y = reshape(b, first, BENCH_INTS(0, -1, WIDTH));
  } else if (!s->keep_out_layout) {
    y = reshape(b, bench_transpose(b, y, BENCH_INTS(0, 2, 1, 3)), BENCH_INTS(0, 0, WIDTH));
  }
  bench_output(b, y);
}

static void check(const spelling *s, bool fuses) {
  bench b;
  bench_open(&b);
  build(&b, s);
  bench_all(&b, sizes);
  assert_int_equal(bench_count(&b, "onward::Attention"), fuses);
  assert_int_equal(bench_count(&b, "Softmax"), !fuses);
  assert_non_null(strstr(b.explained, fuses ? "fused: node 'Softmax' -> Attention" : "not fused: node 'Softmax': "));
  bench_close(&b);
}

static void scales(void **state) {
  (void)state;
  for (int form = SCALE_DIV; form <= SCALE_NONE; form++)
    check(&(spelling){.scale = (scale_form)form, .mask = MASK_ADD}, true);
}

static void masks(void **state) {
  (void)state;
  for (int form = MASK_NONE; form <= MASK_ADD_THEN_SCALE; form++) {
    check(&(spelling){.mask = (mask_form)form, .fill = -3.0f}, true);
    check(&(spelling){.mask = (mask_form)form, .fill = -FLT_MAX}, true);
    check(&(spelling){.mask = (mask_form)form, .fill = -INFINITY}, true);
    check(&(spelling){.mask = (mask_form)form, .fill = -INFINITY, .guard = true}, true);
  }
}

static void masks_that_cannot_be_said(void **state) {
  (void)state;
  for (int form = MASK_ADD_KEEP_ADD; form <= MASK_TENSOR_VALUE; form++)
    check(&(spelling){.mask = (mask_form)form, .fill = -3.0f}, false);
}

static void layouts(void **state) {
  (void)state;
  for (int form = LAYOUT_BSHD; form <= LAYOUT_K_DETOUR; form++)
    for (int keep = 0; keep < 2; keep++)
      check(&(spelling){.layout = (layout)form, .keep_out_layout = keep}, true);
}

static void nothing_is_moved(void **state) {
  (void)state;
  const layout forms[] = {LAYOUT_BSHD, LAYOUT_PACKED, LAYOUT_GQA, LAYOUT_MQA, LAYOUT_K_DETOUR};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    bench b;
    bench_open(&b);
    build(&b, &(spelling){.layout = forms[i]});
    bench_all(&b, sizes);
    assert_int_equal(b.graph->node_count, 1); /* the Attention alone */
    const ow_node *const node = bench_find(&b, "onward::Attention");
    assert_int_equal(ow_node_int(node, "heads", 0), HEADS);
    assert_int_equal(ow_node_int(node, "kv_heads", 0), forms[i] == LAYOUT_GQA ? 2 : forms[i] == LAYOUT_MQA ? 1 : HEADS);
    assert_string_equal(ow_node_string(node, "q_order", ""), "BSHD");
    assert_int_equal(ow_node_int(node, "out_merged", 0), 1);
    assert_int_equal(ow_node_int(node, "v_offset", 0), forms[i] == LAYOUT_PACKED ? 2 * WIDTH : 0);
    bench_close(&b);
  }
}

static void softcap(void **state) {
  (void)state;
  check(&(spelling){.softcap = true}, true);
  check(&(spelling){.softcap = true, .mask = MASK_ADD}, true);
  check(&(spelling){.softcap = true, .mask = MASK_KEEP, .fill = -INFINITY}, true);
  check(&(spelling){.softcap_after_mask = true, .mask = MASK_ADD}, false);
  check(&(spelling){.softcap = true, .softcap_after_mask = true}, false);
}

static void axes(void **state) {
  (void)state;
  check(&(spelling){.flat_axis_1 = true}, true); /* before opset 13 the last axis flattens to itself */
  check(&(spelling){.wrong_axis = true}, false);
}

static void seen_from_outside(void **state) {
  (void)state;
  check(&(spelling){.scores_output = true}, false);
  check(&(spelling){.scores_twice = true}, false);
  check(&(spelling){.probabilities_output = true}, false);
  check(&(spelling){.probabilities_twice = true}, false);
  check(&(spelling){.probabilities_twice = true, .guard = true}, false);
}

/* Whole rows masked by a finite sentinel, by two of them, by -inf: as Softmax of the sum, NaN included. */
static void dead_rows(void **state) {
  (void)state;
  const float values[] = {-FLT_MAX, -INFINITY, -1e9f};
  for (size_t i = 0; i < 3; i++)
    for (int twice = 0; twice < 2; twice++) {
      bench b;
      bench_open(&b);
      const spelling s = {.layout = LAYOUT_BHSD, .mask = MASK_NONE};
      operands o = make_operands(&b, &s);
      float mask[5 * 5];
      for (int k = 0; k < 25; k++)
        mask[k] = k / 5 == 1 || k % 5 == 2 ? values[i] : 0.0f; /* row 1 is dead, column 2 is masked */
      ow_value *const m = ow_graph_add_const_copy(b.graph, "mask", ONWARD_FLOAT32, 2, (int64_t[]){5, 5}, mask);
      ow_value *x = bench_node(&b, "Add", 14, bench_node(&b, "MatMul", 13, o.q, o.k, NULL), m, NULL);
      if (twice)
        x = bench_node(&b, "Add", 14, x, m, NULL);
      bench_output(&b, bench_node(&b, "MatMul", 13, bench_node(&b, "Softmax", 13, x, NULL), o.v, NULL));
      bench_ready(&b, sizes);
      const float dead = ((const float *)b.before[0].data)[1 * SIZE];
      assert_true((isnan(dead) != 0) == (i == 1 || (i == 0 && twice)));
      bench_run(&b, NULL);
      bench_same(&b);
      bench_close(&b);
    }
}

static void mask_larger_than_scores(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const q = bench_input(&b, "q", ONWARD_FLOAT32, BENCH_DIMS(1, HEADS, 5, SIZE));
  ow_value *const kt = bench_input(&b, "k", ONWARD_FLOAT32, BENCH_DIMS(1, HEADS, SIZE, 5));
  ow_value *const v = bench_input(&b, "v", ONWARD_FLOAT32, BENCH_DIMS(1, HEADS, 5, SIZE));
  ow_value *const m = bench_input(&b, "m", ONWARD_FLOAT32, BENCH_DIMS(3, 1, 1, 5));
  ow_value *const x = bench_node(&b, "Add", 14, bench_node(&b, "MatMul", 13, q, kt, NULL), m, NULL);
  bench_output(&b, bench_node(&b, "MatMul", 13, bench_node(&b, "Softmax", 13, x, NULL), v, NULL));
  bench_all(&b, sizes);
  assert_int_equal(bench_count(&b, "onward::Attention"), 0);
  bench_close(&b);
}

/* Masks as expanded copies are read where they are small. */
static void expanded_mask(void **state) {
  (void)state;
  bench b;
  bench_open(&b);
  ow_value *const q = bench_input(&b, "q", ONWARD_FLOAT32, BENCH_DIMS(-1, HEADS, 5, SIZE));
  ow_value *const kt = bench_input(&b, "k", ONWARD_FLOAT32, BENCH_DIMS(-1, HEADS, SIZE, 5));
  ow_value *const v = bench_input(&b, "v", ONWARD_FLOAT32, BENCH_DIMS(-1, HEADS, 5, SIZE));
  ow_value *const m = bench_input(&b, "m", ONWARD_BOOL, BENCH_DIMS(-1, 5));
  ow_value *const wide = bench_node(&b, "Unsqueeze", 13, m, bench_ints(&b, BENCH_INTS(1, 2)), NULL);
  ow_value *const full = bench_node(&b, "Expand", 13, wide, bench_ints(&b, BENCH_INTS(1, HEADS, 5, 1)), NULL);
  ow_value *const x =
      bench_node(&b, "Where", 16, full, bench_scalar(&b, -FLT_MAX), bench_node(&b, "MatMul", 13, q, kt, NULL), NULL);
  bench_output(&b, bench_node(&b, "MatMul", 13, bench_node(&b, "Softmax", 13, x, NULL), v, NULL));
  bench_all(&b, sizes);
  assert_int_equal(bench_count(&b, "Expand"), 0);
  const ow_node *const node = bench_find(&b, "onward::Attention");
  assert_non_null(node);
  assert_true(ow_dim_is(ow_value_dim(node->inputs[4], 1), 1)); /* not repeated over the heads */
  bench_close(&b);
}

/* ONNX Runtime's product, with a factor and an untransposed K. */
static void fused_product(void **state) {
  (void)state;
  for (int transposed = 0; transposed < 2; transposed++) {
    bench b;
    bench_open(&b);
    const spelling s = {.layout = LAYOUT_BHSD};
    operands o = make_operands(&b, &s);
    ow_value *const k = transposed ? o.k->producer->inputs[0] : o.k;
    ow_value *const x = bench_node(&b, "com.microsoft::FusedMatMul", 1, o.q, k, NULL);
    assert_true(ow_node_add_float(bench_last(&b), "alpha", 0.3f) &&
                ow_node_add_int(bench_last(&b), "transB", transposed));
    bench_output(&b, bench_node(&b, "MatMul", 13, bench_node(&b, "Softmax", 13, x, NULL), o.v, NULL));
    bench_all(&b, sizes);
    assert_int_equal(bench_count(&b, "onward::Attention"), 1);
    bench_close(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(scales),
                                     cmocka_unit_test(fused_product),
                                     cmocka_unit_test(masks),
                                     cmocka_unit_test(masks_that_cannot_be_said),
                                     cmocka_unit_test(layouts),
                                     cmocka_unit_test(nothing_is_moved),
                                     cmocka_unit_test(softcap),
                                     cmocka_unit_test(axes),
                                     cmocka_unit_test(seen_from_outside),
                                     cmocka_unit_test(dead_rows),
                                     cmocka_unit_test(mask_larger_than_scores),
                                     cmocka_unit_test(expanded_mask)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
