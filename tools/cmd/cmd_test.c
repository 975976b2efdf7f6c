#include <stdio.h>
#include <string.h>

#include "compare.h"
#include "data_set.h"
#include "json_out.h"
#include "work.h"

static const char help[] =
    "onward test DIR... [options]                             run models on recorded inputs and compare the outputs\n"
    "\n"
    "  --rtol R --atol A        floats may differ by A + R |expected| (default 1e-4 and 1e-5); integers and bools must "
    "be equal\n"
    "  --fraction F             at least this part of the elements of each output must be within that (default 1)\n"
    "  --min-cosine C           and the cosine of each whole output with the expected one must be C or more\n"
    "  --json                   one JSON object instead of text\n"
    "\n"
    "DIR holds model.onnx and test_data_set_N/{input_I.pb,output_I.pb}, as the ONNX project lays out its tests. For "
    "each DIR one line: PASS,\n"
    "FAIL or UNSUPPORTED, and why; all its sets must pass. The last line counts. A DIR without data sets fails, so "
    "does a missing, additional\n"
    "or misnamed output, another type, another shape, and a NaN that was not expected in that place. Exit code 0 only "
    "if all passed.\n"
    "\n"
    "  onward test tests/models/bert_ts14\n"
    "  onward test quantised/* --rtol 2e-2 --atol 2e-2 --fraction 0.99 --min-cosine 0.999\n";

typedef struct test_options {
  ow_common common;
  ow_tolerance tolerance;
  bool json;
} test_options;

typedef struct test_result {
  const char *verdict; /* "PASS", "FAIL", "UNSUPPORTED" */
  onward_error err;
  size_t sets;
} test_result;

static bool run_set(ow_work *work, const char *folder, const ow_tolerance *tolerance, ow_scratch *scratch,
                    onward_error *err) {
  const ow_signature *const s = &work->signature;
  ow_data_set set = {NULL, NULL};
  if (!ow_data_set_read(folder, s, scratch, &set, err))
    return false;
  onward_named_tensor *const got = ow_scratch_take(scratch, s->output_count * sizeof *got);
  for (size_t i = 0; i < s->output_count; i++)
    got[i].name = s->outputs[i].name;
  onward_error inner = {ONWARD_OK, ""};
  if (onward_session_run(work->session, set.inputs, s->input_count, got, s->output_count, NULL, &inner) != ONWARD_OK)
    return ow_cmd_fail(err, inner.status, "%s: %s", folder, inner.message);
  for (size_t i = 0; i < s->output_count; i++)
    if (!ow_compare(&set.outputs[i].tensor, &got[i].tensor, tolerance, &inner))
      return ow_cmd_fail(err, inner.status, "%s: output '%s': %s", folder, got[i].name, inner.message);
  return true;
}

static bool run_sets(ow_work *work, const char *dir, const test_options *o, size_t *passed, onward_error *err) {
  ow_numbered *sets = NULL;
  size_t count = 0;
  if (!ow_folder_numbered(dir, "test_data_set_", "", &work->scratch, &sets, &count, err))
    return false;
  if (count == 0)
    return ow_cmd_fail(err, ONWARD_DATA, "no test_data_set_N folder in it");
  if (!ow_work_load(work, dir, &o->common, true, err) || !ow_work_session(work, &o->common, false, err))
    return false;
  for (*passed = 0; *passed < count; ++*passed) {
    ow_scratch scratch = {NULL};
    const bool ok = run_set(work, sets[*passed].path, &o->tolerance, &scratch, err);
    ow_scratch_free(&scratch);
    if (!ok)
      return false;
  }
  return true;
}

static test_result test_dir(const char *dir, const test_options *o) {
  ow_work work = {.model = NULL};
  test_result r = {.verdict = "PASS", .err = {ONWARD_OK, ""}};
  if (!run_sets(&work, dir, o, &r.sets, &r.err))
    r.verdict = r.err.status == ONWARD_UNSUPPORTED ? "UNSUPPORTED" : "FAIL";
  ow_work_free(&work);
  return r;
}

/* The message without the folder at its begin, which the line has already. */
static const char *short_message(const char *message, const char *dir) {
  const size_t n = strlen(dir);
  if (strncmp(message, dir, n) != 0)
    return message;
  return message + n + strspn(message + n, "/: ");
}

static void print_result(const char *dir, const test_result *r) {
  printf("%s ", r->verdict);
  ow_cmd_print_safe(dir);
  if (r->err.status != ONWARD_OK) {
    printf(": ");
    ow_cmd_print_safe(short_message(r->err.message, dir));
  }
  putchar('\n');
  fflush(stdout);
}

static void add_result(ow_json *json, const char *dir, const test_result *r) {
  ow_json_open(json, NULL, '{');
  ow_json_text(json, "dir", dir);
  ow_json_text(json, "result", r->verdict);
  ow_json_count(json, "sets_passed", r->sets);
  if (r->err.status != ONWARD_OK)
    ow_json_text(json, "reason", short_message(r->err.message, dir));
  ow_json_close(json, '}');
}

static int test_all(const ow_text_list *dirs, const test_options *o, ow_scratch *scratch, onward_error *err) {
  size_t passed = 0, failed = 0, unsupported = 0;
  const bool terminal = ow_host_terminal();
  ow_json json = {.out = {.scratch = scratch}};
  if (o->common.model.precision != ONWARD_PRECISION_F32) {
    ow_work probe = {.model = NULL}; /* refused precision is bad usage, not one unsupported model after the other */
    const bool loaded = ow_work_load(&probe, dirs->items[0], &o->common, true, err);
    ow_work_free(&probe);
    if (!loaded && err->status == ONWARD_ARGUMENT)
      return ow_cmd_report(err);
  }
  ow_json_open(&json, NULL, '{');
  ow_json_open(&json, "results", '[');
  for (size_t i = 0; i < dirs->count; i++) {
    if (terminal)
      fprintf(stderr, "\r%zu of %zu ", i + 1, dirs->count);
    const test_result r = test_dir(dirs->items[i], o);
    if (terminal)
      fputs("\r\033[K", stderr);
    passed += r.err.status == ONWARD_OK;
    unsupported += r.err.status == ONWARD_UNSUPPORTED;
    failed += r.err.status != ONWARD_OK && r.err.status != ONWARD_UNSUPPORTED;
    if (o->json)
      add_result(&json, dirs->items[i], &r);
    else
      print_result(dirs->items[i], &r);
  }
  ow_json_close(&json, ']');
  ow_json_count(&json, "passed", passed);
  ow_json_count(&json, "failed", failed);
  ow_json_count(&json, "unsupported", unsupported);
  ow_json_close(&json, '}');
  if (o->json)
    ow_json_print(&json);
  else
    printf("%zu passed, %zu failed, %zu unsupported\n", passed, failed, unsupported);
  return passed == dirs->count ? OW_EXIT_OK : OW_EXIT_FAILED;
}

static int run(double began_ms, int argc, char **argv) {
  (void)began_ms;
  test_options o = {.tolerance = {.rtol = 1e-4, .atol = 1e-5, .fraction = 1, .min_cosine = -2}};
  const ow_arg table[] = {
      {"--rtol", OW_ARG_REAL, &o.tolerance.rtol, 0, 1e30},
      {"--atol", OW_ARG_REAL, &o.tolerance.atol, 0, 1e30},
      {"--fraction", OW_ARG_REAL, &o.tolerance.fraction, 0, 1},
      {"--min-cosine", OW_ARG_REAL, &o.tolerance.min_cosine, -1, 1},
      {"--json", OW_ARG_FLAG, &o.json, 0, 0},
      {NULL, OW_ARG_FLAG, NULL, 0, 0},
  };
  ow_scratch scratch = {NULL};
  ow_text_list words = {NULL, 0};
  onward_error err = {ONWARD_OK, ""};
  bool ok = ow_args_parse("test", argc, argv, table, &o.common, &words, &scratch, &err);
  if (ok && words.count == 0)
    ok = ow_cmd_fail(&err, ONWARD_ARGUMENT, "DIR: not given (onward test --help)");
  const int code = ok ? test_all(&words, &o, &scratch, &err) : ow_cmd_report(&err);
  ow_scratch_free(&scratch);
  return code;
}

const ow_command ow_command_test = {"test", "run models on recorded inputs and compare the outputs", help, run};
