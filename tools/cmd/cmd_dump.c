#include <string.h>

#include "work.h"

static const char help[] =
    "onward dump MODEL [options]                              describe a model\n"
    "\n"
    "  --format text|json|dot   (default text; dot is for Graphviz; html is not built yet)\n"
    "  --optimized              the graph after the passes, node by node\n"
    "  --explain-fusion         for each candidate: fused, or not and why\n"
    "  --plan                   steps, kernels, refused kernels, memory offsets, planned and live bytes; with --shape\n"
    "  --shape NAME=AxB         shape of an input; others follow from the names of their dimensions\n"
    "\n"
    "Without options: inputs, outputs, opsets, producer, parameters and operators at a glance.\n"
    "\n"
    "  onward dump model.onnx\n"
    "  onward dump model.onnx --optimized --format dot | dot -Tsvg > model.svg\n"
    "  onward dump model.onnx --plan --shape input_ids=1x128 --shape attention_mask=1x128\n";

typedef struct dump_args {
  ow_common common;
  const char *model, *format;
  ow_text_list shapes;
  bool optimized, explain, plan;
} dump_args;

static bool set_format(const char *text, onward_dump_format *format, onward_error *err) {
  if (strcmp(text, "text") == 0)
    *format = ONWARD_DUMP_TEXT;
  else if (strcmp(text, "json") == 0)
    *format = ONWARD_DUMP_JSON;
  else if (strcmp(text, "dot") == 0)
    *format = ONWARD_DUMP_DOT;
  else if (strcmp(text, "html") == 0)
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "--format html: not built yet");
  else
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "--format %s: want text, json or dot", text);
  return true;
}

static int dump_model(ow_work *work, const void *options, onward_error *err) {
  const dump_args *const o = options;
  onward_dump_options how = onward_dump_options_default();
  how.optimized = o->optimized;
  how.explain_fusion = o->explain;
  how.plan = o->plan;
  if (!set_format(o->format, &how.format, err))
    return ow_cmd_report(err);
  if (o->shapes.count > 0 && !o->plan) {
    ow_cmd_fail(err, ONWARD_ARGUMENT, "--shape: says nothing without --plan");
    return ow_cmd_report(err);
  }
  if (!ow_work_load(work, o->model, &o->common, false, err))
    return ow_cmd_report(err);
  if (o->plan) {
    ow_shapes shapes = ow_shapes_none(&work->signature, &work->scratch);
    if (!ow_shapes_parse(&work->signature, &o->shapes, &shapes, &work->scratch, err))
      return ow_cmd_report(err);
    if (!ow_shapes_derive(&work->signature, &shapes))
      return ow_shapes_report_missing("dump --plan", o->model, &work->signature, &shapes, &work->scratch);
    how.shapes = shapes.items;
    how.shape_count = shapes.count;
  }
  if (onward_model_dump(work->model, &how, ow_stdout_append, NULL, err) != ONWARD_OK)
    return ow_cmd_report(err);
  return OW_EXIT_OK;
}

static int run(double began_ms, int argc, char **argv) {
  (void)began_ms;
  dump_args o = {.format = "text"};
  const ow_arg table[] = {
      {"--format", OW_ARG_TEXT, &o.format, 0, 0},          {"--optimized", OW_ARG_FLAG, &o.optimized, 0, 0},
      {"--explain-fusion", OW_ARG_FLAG, &o.explain, 0, 0}, {"--plan", OW_ARG_FLAG, &o.plan, 0, 0},
      {"--shape", OW_ARG_LIST, &o.shapes, 0, 0},           {NULL, OW_ARG_FLAG, NULL, 0, 0},
  };
  return ow_work_main("dump", argc, argv, table, &o.common, &o.model, dump_model, &o);
}

const ow_command ow_command_dump = {"dump", "describe a model, its optimized graph, its plan", help, run};
