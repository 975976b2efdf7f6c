#include "faults/fault_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/onnx_bytes.h"

enum { ENCODER_LENGTH = 4, BATCH = 1 };

static int64_t dim_of(const char *name, int32_t place, int64_t held, int64_t rows) {
  if (strncmp(name, "encoder_seq", 11) == 0)
    return ENCODER_LENGTH;
  if (strchr(name, '+') || strcmp(name, "total") == 0)
    return held + rows;
  if (strncmp(name, "past", 4) == 0)
    return held;
  return place == 0 || strncmp(name, "batch", 5) == 0 ? BATCH : rows;
}

void fault_inputs_free(fault_inputs *in) {
  for (size_t i = 0; i < in->count; i++)
    free(in->tensors[i].tensor.data);
  in->count = 0;
}

void fault_inputs_fill(fault_inputs *in, const onward_model *model, const onward_state *state, int64_t held,
                       int64_t rows) {
  fault_inputs_free(in);
  uint64_t random = 1;
  for (size_t i = 0; i < onward_model_input_count(model); i++) {
    onward_value_info info;
    assert_int_equal(onward_model_input(model, i, &info, NULL), ONWARD_OK);
    if (onward_state_keeps(state, info.name))
      continue;
    assert_true(in->count < FAULT_INPUTS);
    onward_tensor t = {.dtype = info.dtype, .rank = info.rank};
    size_t count = 1;
    for (int32_t d = 0; d < info.rank; d++) {
      t.dims[d] = info.dims[d] >= 0 ? info.dims[d] : dim_of(info.dim_names[d], d, held, rows);
      count *= (size_t)t.dims[d];
    }
    assert_int_equal(onward_tensor_bytes(t.dtype, t.rank, t.dims, &t.bytes, NULL), ONWARD_OK);
    assert_non_null(t.data = calloc(1, t.bytes + 8));
    for (size_t k = 0; k < count; k++) {
      random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      const int64_t small = (int64_t)(random >> 40) % 50;
      if (t.dtype == ONWARD_FLOAT32)
        ((float *)t.data)[k] = (float)small * 0.02f - 0.5f;
      else if (t.dtype == ONWARD_INT64)
        ((int64_t *)t.data)[k] = strstr(info.name, "mask") ? 1 : strstr(info.name, "type") ? 0 : small;
      else if (t.dtype == ONWARD_BOOL)
        ((unsigned char *)t.data)[k] = held > 0;
    }
    in->tensors[in->count++] = (onward_named_tensor){info.name, t};
  }
}

/* ---- control flow ------------------------------------------------------------------------------------------------------- */

enum { F32 = 1, I64 = 7, BOOL = 9, NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12 };

static pb concat(const char *inputs, const char *output) {
  pb node = pb_node("Concat", inputs, output);
  pb_attr(&node, pb_attr_int("axis", 0));
  return node;
}

/* i, go, v -> go, v and x, sum of v */
static pb loop_body(void) {
  pb body = {0};
  pb sum = pb_node("ReduceSum", "v", "total");
  pb_attr(&sum, pb_attr_int("keepdims", 0));
  pb_message(&body, NODE, pb_node("Identity", "go", "still"));
  pb_message(&body, NODE, concat("v x", "longer"));
  pb_message(&body, NODE, sum);
  pb_message(&body, INPUT, pb_value("i", I64, ""));
  pb_message(&body, INPUT, pb_value("go", BOOL, ""));
  pb_message(&body, INPUT, pb_value("v", F32, "?"));
  pb_message(&body, OUTPUT, pb_value("still", BOOL, ""));
  pb_message(&body, OUTPUT, pb_value("longer", F32, "?"));
  pb_message(&body, OUTPUT, pb_value("total", F32, ""));
  return body;
}

static pb branch(const char *op, const char *inputs) {
  pb g = {0};
  pb_message(&g, NODE, op[0] == 'C' ? concat(inputs, "chosen_here") : pb_node(op, inputs, "chosen_here"));
  pb_message(&g, OUTPUT, pb_value("chosen_here", F32, "?"));
  return g;
}

/* s, e -> s + e, s + e */
static pb scan_body(void) {
  pb g = {0};
  pb_message(&g, NODE, pb_node("Add", "s e", "next"));
  pb_message(&g, NODE, pb_node("Identity", "next", "seen"));
  pb_message(&g, INPUT, pb_value("s", F32, ""));
  pb_message(&g, INPUT, pb_value("e", F32, ""));
  pb_message(&g, OUTPUT, pb_value("next", F32, ""));
  pb_message(&g, OUTPUT, pb_value("seen", F32, ""));
  return g;
}

void *fault_control_model(size_t *size) {
  const int64_t rounds = 3;
  const float zero = 0;
  const uint8_t yes = 1;
  pb g = {0};
  pb loop = pb_node("Loop", "rounds yes x", "long_one totals");
  pb_attr(&loop, pb_attr_graph("body", loop_body()));
  pb sum = pb_node("ReduceSum", "x", "total_x");
  pb_attr(&sum, pb_attr_int("keepdims", 0));
  pb choose = pb_node("If", "positive", "chosen");
  pb_attr(&choose, pb_attr_graph("then_branch", branch("Neg", "long_one")));
  pb_attr(&choose, pb_attr_graph("else_branch", branch("Concat", "long_one totals")));
  pb scan = pb_node("Scan", "zero chosen", "last y");
  pb_attr(&scan, pb_attr_graph("body", scan_body()));
  pb_attr(&scan, pb_attr_int("num_scan_inputs", 1));
  pb_message(&g, NODE, loop);
  pb_message(&g, NODE, sum);
  pb_message(&g, NODE, pb_node("Greater", "total_x zero", "positive"));
  pb_message(&g, NODE, choose);
  pb_message(&g, NODE, scan);
  pb_message(&g, NODE, pb_node("NonZero", "y", "places"));
  pb_message(&g, INITIALIZER, pb_tensor_raw("rounds", I64, NULL, 0, &rounds, sizeof rounds));
  pb_message(&g, INITIALIZER, pb_tensor_raw("yes", BOOL, NULL, 0, &yes, 1));
  pb_message(&g, INITIALIZER, pb_tensor_raw("zero", F32, NULL, 0, &zero, sizeof zero));
  pb_message(&g, INPUT, pb_value("x", F32, "n"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "?"));
  pb_message(&g, OUTPUT, pb_value("totals", F32, "?"));
  pb_message(&g, OUTPUT, pb_value("places", I64, "? ?"));
  pb model = pb_model(g);
  *size = model.size;
  return model.data;
}
