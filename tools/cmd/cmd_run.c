#include <stdio.h>
#include <string.h>

#include "element.h"
#include "input.h"
#include "json_out.h"
#include "npy.h"
#include "work.h"

enum { FIRST_ELEMENTS = 8, FILE_NAME_MAX = 200 };

static const char help[] =
    "onward run MODEL [--input NAME=VALUE]... [options]       run a model once and show its outputs\n"
    "\n"
    "  --input NAME=VALUE       VALUE is one of\n"
    "                             FILE.npy            a NumPy array\n"
    "                             FILE.npz            the array NAME of an archive by np.savez, or the only one in it\n"
    "                             FILE.pb             a serialized ONNX TensorProto\n"
    "                             [[1,2],[3,4]] or 5  a list or a value, converted to the input's type\n"
    "                             ones:AxB            ones (true for bools) of that shape; 'ones:' is a scalar\n"
    "                             random:AxB          floats in [-1, 1), integers and bools 0 or 1; the same every "
    "time\n"
    "  --output-dir DIR         also write NNN_NAME.npy for each output, and outputs.json saying which is which\n"
    "  --profile FILE.json      times of every step, for chrome://tracing or ui.perfetto.dev\n"
    "  --json                   one JSON object instead of text\n"
    "\n"
    "For each output: name, type, shape, least, mean and greatest value, the first 8. If inputs are missing, a command "
    "line is\n"
    "printed that would work. bfloat16 outputs are written to .npy as uint16 bits; outputs.json has the real type.\n"
    "\n"
    "  onward run model.onnx --input 'input_ids=[[101,2023,102]]' --input attention_mask=ones:1x3\n"
    "  onward run vit/ --input pixel_values=image.npy --output-dir out\n"
    "  onward run decoder.onnx --input input_ids=ones:1x1 --input attention_mask=ones:1x1 --input "
    "past_key_values.0.key=ones:1x4x0x16\n";

typedef struct run_options {
  ow_common common;
  const char *model, *output_dir, *profile;
  ow_text_list inputs;
  bool json;
} run_options;

/* Reads what is given; *complete tells whether that is everything. */
static bool read_inputs(ow_work *work, const run_options *o, onward_named_tensor *inputs, bool *given, bool *complete,
                        onward_error *err) {
  const ow_signature *const s = &work->signature;
  for (size_t t = 0; t < o->inputs.count; t++) {
    size_t i = 0;
    const char *text = NULL;
    if (!ow_signature_split(s, "--input", o->inputs.items[t], &i, &text, &work->scratch, err))
      return false;
    if (given[i])
      return ow_cmd_fail(err, ONWARD_ARGUMENT, "--input %s: given twice", s->inputs[i].name);
    if (!ow_input_read(&s->inputs[i], text, &work->scratch, &inputs[i].tensor, err))
      return false;
    given[i] = true;
  }
  *complete = true;
  for (size_t i = 0; i < s->input_count; i++) {
    inputs[i].name = s->inputs[i].name;
    *complete = *complete && given[i];
  }
  return true;
}

static int report_missing(ow_work *work, const run_options *o, const onward_named_tensor *inputs, const bool *given) {
  const ow_signature *const s = &work->signature;
  ow_scratch *const scratch = &work->scratch;
  ow_shapes shapes = ow_shapes_none(s, scratch);
  const char *missing = "", *line = ow_scratch_text(scratch, "onward run %s", ow_shell_word(o->model, scratch));
  for (size_t i = 0; i < s->input_count; i++) {
    if (!given[i]) {
      missing = ow_scratch_text(scratch, "%s%s'%s' (%s)", missing, *missing == '\0' ? "" : ", ", s->inputs[i].name,
                                ow_value_text(&s->inputs[i], scratch));
      continue;
    }
    shapes.items[i].rank = inputs[i].tensor.rank;
    memcpy(shapes.items[i].dims, inputs[i].tensor.dims, sizeof shapes.items[i].dims);
    shapes.origin[i] = OW_SHAPE_GIVEN;
  }
  for (size_t t = 0; t < o->inputs.count; t++)
    line = ow_scratch_text(scratch, "%s --input %s", line, ow_shell_word(o->inputs.items[t], scratch));
  ow_shapes_guess(s, &shapes);
  for (size_t i = 0; i < s->input_count; i++) {
    if (given[i])
      continue;
    const char *const dims = ow_dims_text(scratch, shapes.items[i].rank, shapes.items[i].dims);
    line = ow_scratch_text(scratch, "%s --input %s", line,
                           ow_shell_word(ow_scratch_text(scratch, "%s=ones:%s", s->inputs[i].name, dims), scratch));
  }
  fprintf(stderr, "--input: not given for %s; this would do: %s\n", missing, line);
  return OW_EXIT_USAGE;
}

static void print_text(const onward_named_tensor *output, ow_scratch *scratch);

/* A sequence's tensors, each on its lines; "nothing" for an optional without element. */
static void print_list(const onward_tensor *t) {
  ow_scratch scratch = {NULL};
  if (t->rank == ONWARD_ABSENT_RANK)
    printf("  nothing\n");
  else
    printf("  sequence of %lld\n", (long long)t->dims[0]);
  for (int64_t i = 0; t->rank == ONWARD_SEQUENCE_RANK && i < t->dims[0]; i++) {
    const char *const name = ow_scratch_text(&scratch, "    %lld", (long long)i);
    const onward_named_tensor item = {name, ((const onward_tensor *)t->data)[i]};
    print_text(&item, &scratch);
  }
  ow_scratch_free(&scratch);
}

static void print_text(const onward_named_tensor *output, ow_scratch *scratch) {
  const onward_tensor *const t = &output->tensor;
  char text[OW_ELEMENT_TEXT];
  ow_cmd_print_safe(output->name);
  if (t->rank < 0) {
    print_list(t);
    return;
  }
  printf("  %s [%s]", onward_dtype_name(t->dtype), ow_dims_text(scratch, t->rank, t->dims));
  const ow_tensor_stats stats = ow_tensor_measure(t);
  if (stats.known) {
    if (stats.min_at >= 0) {
      ow_element_text(t->dtype, t->data, stats.min_at, text);
      printf("  min %s", text);
      printf("  mean %.9g", stats.mean);
      ow_element_text(t->dtype, t->data, stats.max_at, text);
      printf("  max %s", text);
    }
    if (stats.nan_count > 0)
      printf("  nan %lld", (long long)stats.nan_count);
    printf("\n   ");
    const int64_t count = ow_tensor_count(t);
    for (int64_t i = 0; i < count && i < FIRST_ELEMENTS; i++) {
      ow_element_text(t->dtype, t->data, i, text);
      printf(" %s", text);
    }
    if (count > FIRST_ELEMENTS)
      printf(" ...");
  }
  putchar('\n');
}

static void add_json(ow_json *json, const onward_named_tensor *output) {
  const onward_tensor *const t = &output->tensor;
  char text[OW_ELEMENT_TEXT];
  const ow_tensor_stats stats = ow_tensor_measure(t);
  ow_json_open(json, NULL, '{');
  ow_json_text(json, "name", output->name);
  ow_json_text(json, "dtype", onward_dtype_name(t->dtype));
  if (t->rank == ONWARD_SEQUENCE_RANK)
    ow_json_count(json, "items", (uint64_t)t->dims[0]);
  else if (t->rank == ONWARD_ABSENT_RANK)
    ow_json_count(json, "items", 0);
  else
    ow_json_dims(json, "shape", t->rank, t->dims);
  if (stats.known) {
    ow_element_json(t->dtype, t->data, stats.min_at < 0 ? 0 : stats.min_at, text);
    ow_json_raw(json, "min", text);
    ow_json_real(json, "mean", stats.mean);
    ow_element_json(t->dtype, t->data, stats.max_at < 0 ? 0 : stats.max_at, text);
    ow_json_raw(json, "max", text);
    ow_json_count(json, "nan", (uint64_t)stats.nan_count);
    ow_json_open(json, "first", '[');
    for (int64_t i = 0; i < ow_tensor_count(t) && i < FIRST_ELEMENTS; i++) {
      ow_element_json(t->dtype, t->data, i, text);
      ow_json_raw(json, NULL, text);
    }
    ow_json_close(json, ']');
  }
  ow_json_close(json, '}');
}

/* NNN_name.npy; the numbers keep names apart that differ in odd characters only. */
static const char *file_name(size_t index, const char *name, ow_scratch *scratch) {
  char *const text = ow_scratch_text(scratch, "%03zu_%.*s", index, FILE_NAME_MAX, name);
  for (char *p = text; *p != '\0'; p++) {
    const bool plain =
        (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '.' || *p == '-';
    *p = plain ? *p : '_';
  }
  return ow_scratch_text(scratch, "%s.npy", text);
}

static bool save_outputs(const char *folder, const onward_named_tensor *outputs, size_t count, ow_scratch *scratch,
                         onward_error *err) {
  ow_json json = {.out = {.scratch = scratch}};
  if (!ow_folder_make(folder, err))
    return false;
  ow_json_open(&json, NULL, '[');
  for (size_t i = 0; i < count; i++) {
    const onward_tensor *const t = &outputs[i].tensor;
    const char *const file = file_name(i, outputs[i].name, scratch);
    if (t->rank < 0 || t->dtype == ONWARD_STRING)
      return ow_cmd_fail(err, ONWARD_UNSUPPORTED, "--output-dir: output '%s' is %s, which .npy files do not hold",
                         outputs[i].name, t->rank < 0 ? "no tensor" : "a tensor of strings");
    uint8_t *bytes = NULL;
    size_t size = 0;
    ow_npy_format(t, scratch, &bytes, &size);
    if (!ow_file_save(ow_scratch_text(scratch, "%s/%s", folder, file), bytes, size, scratch, err))
      return false;
    ow_json_open(&json, NULL, '{');
    ow_json_text(&json, "name", outputs[i].name);
    ow_json_text(&json, "file", file);
    ow_json_text(&json, "dtype", onward_dtype_name(t->dtype));
    ow_json_dims(&json, "shape", t->rank, t->dims);
    ow_json_close(&json, '}');
  }
  ow_json_close(&json, ']');
  ow_buffer_append(&json.out, "\n", 1);
  return ow_file_save(ow_scratch_text(scratch, "%s/outputs.json", folder), json.out.text, json.out.length, scratch,
                      err);
}

static int run_model(ow_work *work, const void *options, onward_error *err) {
  const run_options *const o = options;
  if (!ow_work_load(work, o->model, &o->common, false, err))
    return ow_cmd_report(err);
  ow_scratch *const scratch = &work->scratch;
  const ow_signature *const s = &work->signature;
  onward_named_tensor *const inputs = ow_scratch_take(scratch, s->input_count * sizeof *inputs);
  onward_named_tensor *const outputs = ow_scratch_take(scratch, s->output_count * sizeof *outputs);
  bool *const given = ow_scratch_take(scratch, s->input_count * sizeof *given);
  bool complete = false;
  if (!read_inputs(work, o, inputs, given, &complete, err))
    return ow_cmd_report(err);
  if (!complete)
    return report_missing(work, o, inputs, given);
  for (size_t i = 0; i < s->output_count; i++)
    outputs[i].name = s->outputs[i].name;
  if (!ow_work_session(work, &o->common, o->profile != NULL, err) ||
      onward_session_run(work->session, inputs, s->input_count, outputs, s->output_count, NULL, err) != ONWARD_OK)
    return ow_cmd_report(err);
  if (o->output_dir != NULL && !save_outputs(o->output_dir, outputs, s->output_count, scratch, err))
    return ow_cmd_report(err);
  if (o->profile != NULL && !ow_work_save_profile(work, o->profile, err))
    return ow_cmd_report(err);
  if (!o->json) {
    for (size_t i = 0; i < s->output_count; i++)
      print_text(&outputs[i], scratch);
    return OW_EXIT_OK;
  }
  ow_json json = {.out = {.scratch = scratch}};
  ow_json_open(&json, NULL, '{');
  ow_json_open(&json, "outputs", '[');
  for (size_t i = 0; i < s->output_count; i++)
    add_json(&json, &outputs[i]);
  ow_json_close(&json, ']');
  ow_json_close(&json, '}');
  ow_json_print(&json);
  return OW_EXIT_OK;
}

static int run(double began_ms, int argc, char **argv) {
  (void)began_ms;
  run_options o = {.model = NULL};
  const ow_arg table[] = {
      {"--input", OW_ARG_LIST, &o.inputs, 0, 0},
      {"--output-dir", OW_ARG_TEXT, &o.output_dir, 0, 0},
      {"--profile", OW_ARG_TEXT, &o.profile, 0, 0},
      {"--json", OW_ARG_FLAG, &o.json, 0, 0},
      {NULL, OW_ARG_FLAG, NULL, 0, 0},
  };
  return ow_work_main("run", argc, argv, table, &o.common, &o.model, run_model, &o);
}

const ow_command ow_command_run = {"run", "run a model once and show its outputs", help, run};
