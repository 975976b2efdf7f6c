#include <stdio.h>

#include "json_out.h"
#include "work.h"

static const char help[] =
    "onward check MODEL [--shape NAME=AxB]... [--json]        can this model run, and what does it take\n"
    "\n"
    "  --shape NAME=AxB         shape of an input; others follow from the names of their dimensions. With shapes the "
    "model is planned as\n"
    "                           well: bytes for activations and workspaces (planned), the least any plan could do "
    "(live), and weights\n"
    "  --json                   "
    "{\"supported\",\"inputs\",\"outputs\",\"planned_bytes\",\"live_bytes\",\"weight_bytes\",\"steps\",\"waiting_"
    "nodes\"}, or\n"
    "                           {\"supported\":false,\"status\",\"error\",\"unsupported\":[...]}\n"
    "\n"
    "Everything that is not supported is listed at once: operator, types, nodes, and what can be done. The exit code "
    "is 1 then.\n"
    "\n"
    "  onward check model.onnx\n"
    "  onward check model.onnx --shape input_ids=1x128 --json\n";

typedef struct check_args {
  ow_common common;
  const char *model;
  ow_text_list shapes;
  bool json;
} check_args;

/* What the model lacks: printed, or kept as a list. */
typedef struct lacking {
  ow_json *json; /* NULL: printed */
} lacking;

static void note_unsupported(void *context, const char *text) {
  const lacking *const l = context;
  if (l->json) {
    ow_json_text(l->json, NULL, text);
    return;
  }
  ow_cmd_print_safe(text);
  putchar('\n');
}

static int report_failure(ow_work *work, const check_args *o, ow_json *list, const onward_error *err) {
  if (o->json && err->status != ONWARD_ARGUMENT) {
    ow_json json = {.out = {.scratch = &work->scratch}};
    ow_json_open(&json, NULL, '{');
    ow_json_bool(&json, "supported", false);
    ow_json_text(&json, "status", onward_status_name(err->status));
    ow_json_text(&json, "error", err->message);
    ow_json_close(list, ']');
    ow_json_raw(&json, "unsupported", list->out.text);
    ow_json_close(&json, '}');
    ow_json_print(&json);
  }
  return ow_cmd_report(err);
}

static void add_values(ow_json *json, const char *key, const onward_value_info *infos, size_t count) {
  ow_json_open(json, key, '[');
  for (size_t i = 0; i < count; i++) {
    ow_json_open(json, NULL, '{');
    ow_json_value_info(json, &infos[i]);
    ow_json_close(json, '}');
  }
  ow_json_close(json, ']');
}

static void print_values(const char *title, const onward_value_info *infos, size_t count, ow_scratch *scratch) {
  printf("%s\n", title);
  for (size_t i = 0; i < count; i++) {
    printf("  ");
    ow_cmd_print_safe(infos[i].name);
    printf("  ");
    ow_cmd_print_safe(ow_value_text(&infos[i], scratch));
    putchar('\n');
  }
}

static int check_model(ow_work *work, const void *options, onward_error *err) {
  const check_args *const o = options;
  ow_json list = {.out = {.scratch = &work->scratch}};
  lacking lacks = {o->json ? &list : NULL};
  ow_common common = o->common;
  common.model.unsupported = note_unsupported;
  common.model.unsupported_context = &lacks;
  ow_json_open(&list, NULL, '[');
  if (!ow_work_load(work, o->model, &common, false, err))
    return report_failure(work, o, &list, err);
  const ow_signature *const s = &work->signature;
  ow_shapes shapes = ow_shapes_none(s, &work->scratch);
  onward_plan_info plan = {0};
  if (!ow_shapes_parse(s, &o->shapes, &shapes, &work->scratch, err))
    return ow_cmd_report(err);
  const bool planned = ow_shapes_derive(s, &shapes);
  if (!planned && o->shapes.count > 0)
    return ow_shapes_report_missing("check", o->model, s, &shapes, &work->scratch);
  if (planned &&
      onward_model_plan(work->model, shapes.items, shapes.count, (int32_t)o->common.threads, &plan, err) != ONWARD_OK)
    return report_failure(work, o, &list, err);
  if (!o->json) {
    ow_cmd_print_safe(o->model);
    printf(": supported\n");
    print_values("inputs", s->inputs, s->input_count, &work->scratch);
    print_values("outputs", s->outputs, s->output_count, &work->scratch);
    if (planned)
      printf("planned_bytes %llu\nlive_bytes    %llu\nweight_bytes  %llu\nsteps         %llu\n",
             (unsigned long long)plan.planned_bytes, (unsigned long long)plan.live_bytes,
             (unsigned long long)plan.weight_bytes, (unsigned long long)plan.steps);
    if (plan.waiting_nodes)
      printf("%llu more nodes wait for data: their shapes depend on values, their bytes are not counted\n",
             (unsigned long long)plan.waiting_nodes);
    return OW_EXIT_OK;
  }
  ow_json json = {.out = {.scratch = &work->scratch}};
  ow_json_open(&json, NULL, '{');
  ow_json_bool(&json, "supported", true);
  add_values(&json, "inputs", s->inputs, s->input_count);
  add_values(&json, "outputs", s->outputs, s->output_count);
  if (planned) {
    ow_json_count(&json, "planned_bytes", plan.planned_bytes);
    ow_json_count(&json, "live_bytes", plan.live_bytes);
    ow_json_count(&json, "weight_bytes", plan.weight_bytes);
    ow_json_count(&json, "steps", plan.steps);
    ow_json_count(&json, "waiting_nodes", plan.waiting_nodes);
  }
  ow_json_close(&json, '}');
  ow_json_print(&json);
  return OW_EXIT_OK;
}

static int run(double began_ms, int argc, char **argv) {
  (void)began_ms;
  check_args o = {.model = NULL};
  const ow_arg table[] = {{"--shape", OW_ARG_LIST, &o.shapes, 0, 0},
                          {"--json", OW_ARG_FLAG, &o.json, 0, 0},
                          {NULL, OW_ARG_FLAG, NULL, 0, 0}};
  return ow_work_main("check", argc, argv, table, &o.common, &o.model, check_model, &o);
}

const ow_command ow_command_check = {"check", "say whether a model can run, and what memory it takes", help, run};
