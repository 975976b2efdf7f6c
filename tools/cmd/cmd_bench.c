#include "bench.h"
#include "encoder_decoder.h"

static const char help[] =
    "onward bench MODEL --shape NAME=AxB... [options]         measure runs of one shape\n"
    "onward bench MODEL --generate --prompt-tokens P --new-tokens N     measure a decoder: a prompt, then one token at "
    "a time\n"
    "\n"
    "  --shape NAME=AxB         shape of an input; others follow from the names of their dimensions\n"
    "  --seconds S              measure for at least S seconds and 5 runs, after 2 to warm up (default 1.5)\n"
    "  --generate               through a state that keeps the key-value cache; no warm-up: the first "
    "prompt counts\n"
    "  --prompt-tokens P        length of the prompt (default 128): tokens (i mod 1000) + 100\n"
    "  --new-tokens N           steps after it (default 64): token 100 + i at step i, whatever the model would have "
    "chosen.\n"
    "                           Of a folder of an encoder and its decoder: the prompt, or features of 0.1, is the "
    "encoder's, "
    "and\n"
    "                           the decoder goes on with what it chooses itself\n"
    "  --profile FILE           times of every step of every run, for chrome://tracing or ui.perfetto.dev (slows small "
    "steps)\n"
    "  --verbose                the time of every run, plans and primitives made\n"
    "  --json                   nothing but the last line\n"
    "\n"
    "Inputs are made up: integers 1, floats 0.1, bools true. The last line is one JSON object:\n"
    "  "
    "{\"precision\",\"min_ms\",\"median_ms\",\"load_ms\",\"first_ms\",\"peak_rss_mib\",\"outputs\":{NAME:{\"sum\","
    "\"abs_sum\"}}}\n"
    "  {\"precision\",\"prefill_tok_s\",\"decode_tok_s\",\"load_ms\",\"first_ms\",\"peak_rss_mib\",\"argmax\":[...]}\n"
    "load_ms: begin of the process until the model is open (the time before main is the processor time used in it). "
    "first_ms: begin of the\n"
    "process until the first output, packing and planning included. peak_rss_mib: most memory ever resident (VmHWM).\n"
    "\n"
    "  onward bench model.onnx --shape input_ids=1x128 --shape attention_mask=1x128 --threads 2\n"
    "  onward bench decoder/ --generate --prompt-tokens 128 --new-tokens 64 --json\n";

bool ow_bench_open(ow_work *work, const ow_bench_options *o, ow_bench_figures *figures, onward_error *err) {
  if (!ow_work_load(work, o->model, &o->common, false, err) ||
      !ow_work_session(work, &o->common, o->profile != NULL, err))
    return false;
  figures->load_ms = ow_host_ms() - o->began_ms;
  return true;
}

static int bench_model(ow_work *work, const void *options, onward_error *err) {
  const ow_bench_options *const o = options;
  const bool pair = ow_encoder_decoder_is(o->model, &work->scratch);
  if (!o->generate && pair) {
    ow_cmd_fail(
        err, ONWARD_ARGUMENT,
        "%s: a folder of an encoder and its decoder: measure it with --generate, or one of its files with --shape",
        o->model);
    return ow_cmd_report(err);
  }
  if (!o->generate)
    return ow_bench_encode(work, o, err);
  if (o->shapes.count > 0) {
    ow_cmd_fail(err, ONWARD_ARGUMENT, "--shape: not together with --generate");
    return ow_cmd_report(err);
  }
  return pair ? ow_bench_encoder_decoder(work, o, err) : ow_bench_generate(work, o, err);
}

static int run(double began_ms, int argc, char **argv) {
  ow_bench_options o = {.seconds = 1.5, .prompt_tokens = 128, .new_tokens = 64, .began_ms = began_ms};
  const ow_arg table[] = {
      {"--shape", OW_ARG_LIST, &o.shapes, 0, 0},
      {"--seconds", OW_ARG_REAL, &o.seconds, 0, 1e6},
      {"--generate", OW_ARG_FLAG, &o.generate, 0, 0},
      {"--prompt-tokens", OW_ARG_INT, &o.prompt_tokens, 1, 1e6},
      {"--new-tokens", OW_ARG_INT, &o.new_tokens, 1, 1e6},
      {"--profile", OW_ARG_TEXT, &o.profile, 0, 0},
      {"--verbose", OW_ARG_FLAG, &o.verbose, 0, 0},
      {"--json", OW_ARG_FLAG, &o.json, 0, 0},
      {NULL, OW_ARG_FLAG, NULL, 0, 0},
  };
  return ow_work_main("bench", argc, argv, table, &o.common, &o.model, bench_model, &o);
}

const ow_command ow_command_bench = {"bench", "measure speed and memory", help, run};
