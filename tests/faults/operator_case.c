#include "faults/operator_case.h"

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/dtype.h"
#include "base/size.h"
#include "faults/hostile.h"

enum { OPERANDS_MAX = 14, TEXT_MAX = 1024 };

typedef struct operand {
  bool left_out;
  onward_tensor tensor;
} operand;

static const struct {
  const char *name;
  onward_dtype dtype;
} type_names[] = {{"f64", ONWARD_FLOAT64}, {"f32", ONWARD_FLOAT32}, {"f16", ONWARD_FLOAT16}, {"bf16", ONWARD_BFLOAT16},
                  {"i8", ONWARD_INT8},     {"i16", ONWARD_INT16},   {"i32", ONWARD_INT32},   {"i64", ONWARD_INT64},
                  {"u8", ONWARD_UINT8},    {"u16", ONWARD_UINT16},  {"u32", ONWARD_UINT32},  {"u64", ONWARD_UINT64},
                  {"bool", ONWARD_BOOL},   {"str", ONWARD_STRING}};

static onward_dtype type_of(const char *word) {
  for (size_t i = 0; i < HOSTILE_COUNT(type_names); i++)
    if (strcmp(type_names[i].name, word) == 0)
      return type_names[i].dtype;
  fail_msg("no type '%s'", word);
  return ONWARD_FLOAT32;
}

static void read_operand(char *text, operand *o) {
  char *rest, *word = strtok_r(text, " ", &rest), *dims = strtok_r(NULL, " ", &rest);
  *o = (operand){.left_out = strcmp(word, "-") == 0};
  if (o->left_out)
    return;
  onward_tensor *const t = &o->tensor;
  t->dtype = type_of(word);
  for (char *at = dims; *at != '-' && *at; at += *at == 'x')
    t->dims[t->rank++] = strtoll(at, &at, 10);
  int64_t count;
  assert_true(ow_dims_count(t->rank, t->dims, &count));
  assert_true(t->dtype == ONWARD_STRING || ow_tensor_size(t->dtype, t->rank, t->dims, &t->bytes));
  t->data = calloc(t->bytes + 1, 1);
  assert_non_null(t->data);
  const char *value = NULL;
  for (int64_t i = 0; i < count && t->dtype != ONWARD_STRING; i++) {
    const char *const next = strtok_r(NULL, " ", &rest);
    value = next ? next : value;
    if (!value)
      break;
    if (ow_dtype(t->dtype)->kind == OW_KIND_FLOAT)
      ow_set_f64(t->dtype, t->data, i, strtod(value, NULL));
    else
      ow_set_i64(t->dtype, t->data, i, strtoll(value, NULL, 0));
  }
}

static size_t read_operands(const char *text, operand *operands) {
  char copy[TEXT_MAX], *rest;
  size_t count = 0;
  assert_true(strlen(text) < sizeof copy);
  strcpy(copy, text);
  for (char *part = strtok_r(copy, ";", &rest); part; part = strtok_r(NULL, ";", &rest)) {
    assert_true(count < OPERANDS_MAX);
    read_operand(part, &operands[count++]);
  }
  return count;
}

/* The model: each operand an input, or an initializer when fixed. */
static pb build(const operator_row *row, const operand *operands, size_t count, size_t outputs, bool fixed) {
  char text[TEXT_MAX], type[64], domain[64] = "";
  const char *name = row->op;
  const char *const colons = strstr(name, "::");
  if (colons) {
    snprintf(domain, sizeof domain, "@%.*s", (int)(colons - name), name);
    name = colons + 2;
  }
  snprintf(type, sizeof type, "%s", name);
  char *const dash = strchr(type, '-');
  const int64_t opset = dash ? strtoll(dash + 1, NULL, 10) : 17;
  if (dash)
    *dash = '\0';
  int used = snprintf(text, sizeof text, "%s #n %s", type, domain);
  for (size_t i = 0; i < count; i++)
    used += snprintf(text + used, sizeof text - (size_t)used, operands[i].left_out ? " -" : " i%zu", i);
  used += snprintf(text + used, sizeof text - (size_t)used, " ->");
  for (size_t i = 0; i < outputs; i++)
    used += snprintf(text + used, sizeof text - (size_t)used, " o%zu", i);
  used += snprintf(text + used, sizeof text - (size_t)used, " %s;", row->attributes ? row->attributes : "");
  for (size_t i = 0; i < outputs; i++)
    used += snprintf(text + used, sizeof text - (size_t)used, "out o%zu;", i);
  pb graph = hostile_graph_proto(text);
  for (size_t i = 0; i < count; i++) {
    char slot[16], dims[64] = "";
    const onward_tensor *const t = &operands[i].tensor;
    if (operands[i].left_out)
      continue;
    snprintf(slot, sizeof slot, "i%zu", i);
    for (int32_t d = 0, at = 0; d < t->rank; d++)
      at += snprintf(dims + at, sizeof dims - (size_t)at, "%s%lld", d ? " " : "", (long long)t->dims[d]);
    if (fixed && t->dtype != ONWARD_STRING)
      pb_message(&graph, 5, pb_tensor_raw(slot, (int32_t)t->dtype, t->dims, (size_t)t->rank, t->data, t->bytes));
    else
      pb_message(&graph, 11, pb_value(slot, (int32_t)t->dtype, dims));
  }
  pb model = {0};
  pb_int(&model, 1, 10);
  pb_message(&model, 8, pb_opset("", opset));
  if (domain[0])
    pb_message(&model, 8, pb_opset(domain + 1, 1));
  pb_message(&model, 7, graph);
  return model;
}

static bool same(double got, double want) {
  if (isnan(want) || isinf(want))
    return isnan(want) ? isnan(got) : isinf(got) && signbit(got) == signbit(want);
  return fabs(got - want) <= 2e-6 * (fabs(want) > 1.0 ? fabs(want) : 1.0);
}

static bool element_differs(const onward_tensor *got, const onward_tensor *want, int64_t i, char *what, size_t room) {
  if (ow_dtype(want->dtype)->kind == OW_KIND_FLOAT) {
    const double a = ow_get_f64(got->dtype, got->data, i), b = ow_get_f64(want->dtype, want->data, i);
    snprintf(what, room, "element %lld is %.9g, want %.9g", (long long)i, a, b);
    return !same(a, b);
  }
  const int64_t a = ow_get_i64(got->dtype, got->data, i), b = ow_get_i64(want->dtype, want->data, i);
  snprintf(what, room, "element %lld is %lld, want %lld", (long long)i, (long long)a, (long long)b);
  return a != b;
}

static bool tensor_differs(const onward_tensor *got, const onward_tensor *want, char *what, size_t room) {
  bool differs = got->dtype != want->dtype || got->rank != want->rank;
  for (int32_t d = 0; !differs && d < want->rank; d++)
    differs = got->dims[d] != want->dims[d];
  int64_t count;
  if (differs || !ow_dims_count(want->rank, want->dims, &count)) {
    snprintf(what, room, "another type or shape: %s, rank %d, first %lld", onward_dtype_name(got->dtype),
             (int)got->rank, got->rank ? (long long)got->dims[0] : 1);
    return true;
  }
  for (int64_t i = 0; i < count; i++)
    if (element_differs(got, want, i, what, room))
      return true;
  return false;
}

typedef struct form {
  bool fixed, no_passes, reference;
} form;

/* 0, or 1 after printing what did not hold. */
static int run_form(const operator_row *row, form f) {
  operand in[OPERANDS_MAX], want[OPERANDS_MAX];
  onward_named_tensor feeds[OPERANDS_MAX], got[OPERANDS_MAX];
  char names[2 * OPERANDS_MAX][8], what[256] = "";
  const size_t count = read_operands(row->inputs, in), wanted = row->outputs ? read_operands(row->outputs, want) : 0;
  const size_t outputs = row->output_count ? row->output_count : wanted ? wanted : 1;
  size_t fed = 0;
  for (size_t i = 0; i < count; i++) {
    if (in[i].left_out || (f.fixed && in[i].tensor.dtype != ONWARD_STRING))
      continue;
    snprintf(names[i], sizeof names[i], "i%zu", i);
    feeds[fed++] = (onward_named_tensor){names[i], in[i].tensor};
  }
  for (size_t i = 0; i < outputs; i++) {
    snprintf(names[OPERANDS_MAX + i], sizeof names[0], "o%zu", i);
    got[i] = (onward_named_tensor){.name = names[OPERANDS_MAX + i]};
  }
  pb model = build(row, in, count, outputs, f.fixed);
  onward_model_options options = onward_model_options_default();
  options.no_passes = f.no_passes;
  options.reference = f.reference;
  onward_session_options session_options = onward_session_options_default();
  session_options.threads = 2;
  onward_model *loaded = NULL;
  onward_session *session = NULL;
  onward_error err = {0};
  onward_status status = onward_model_load_memory(model.data, model.size, NULL, &options, &loaded, &err);
  if (!status)
    status = onward_session_create(loaded, &session_options, &session, &err);
  if (!status)
    status = onward_session_run(session, feeds, fed, got, outputs, NULL, &err);
  bool wrong = !hostile_in_list(row->status, onward_status_name(status));
  if (wrong)
    snprintf(what, sizeof what, "want %s, got %s '%.150s'", row->status, onward_status_name(status), err.message);
  else if (status)
    wrong = !hostile_matches(row->message ? row->message : ".", err.message) || !strstr(err.message, "'n'"),
    snprintf(what, sizeof what, "want '%s' and the node, got '%.180s'", row->message, err.message);
  for (size_t i = 0; !status && !wrong && i < wanted; i++)
    wrong = tensor_differs(&got[i].tensor, &want[i].tensor, what, sizeof what);
  if (wrong)
    print_message("%s (%s%s%s): %s\n", row->name, f.fixed ? "initializers" : "inputs", f.no_passes ? ", no passes" : "",
                  f.reference ? ", reference" : "", what);
  onward_session_free(session);
  onward_model_free(loaded);
  pb_free(&model);
  for (size_t i = 0; i < count; i++)
    free(in[i].tensor.data);
  for (size_t i = 0; i < wanted; i++)
    free(want[i].tensor.data);
  return wrong;
}

void operator_rows_run(const operator_row *rows, size_t count) {
  int wrong = 0;
  for (size_t i = 0; i < count; i++) {
    static const form forms[] = {{0}, {.fixed = true}, {.no_passes = true}, {.reference = true}};
    for (size_t j = 0; j < HOSTILE_COUNT(forms); j++)
      wrong += run_form(&rows[i], forms[j]);
  }
  if (wrong)
    fail_msg("%d of %zu runs do not hold", wrong, 4 * count);
}
