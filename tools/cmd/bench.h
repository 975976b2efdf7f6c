/* The ways to measure a model. */
#ifndef OW_CMD_BENCH_H
#define OW_CMD_BENCH_H

#include "work.h"

typedef struct ow_bench_options {
  ow_common common;
  const char *model, *profile;
  ow_text_list shapes;
  double seconds;
  int64_t prompt_tokens, new_tokens;
  double began_ms; /* when the process began */
  bool generate, verbose, json;
} ow_bench_options;

/* What both report. */
typedef struct ow_bench_figures {
  double load_ms;  /* from the begin of the process until the model is open */
  double first_ms; /* until the first output */
} ow_bench_figures;

/* Of a prompt and the tokens after it. */
typedef struct ow_bench_decoding {
  double load_ms, first_ms, prefill_ms, decode_ms;
  const int64_t *argmax; /* new_tokens + 1 */
} ow_bench_decoding;

int ow_bench_encode(ow_work *work, const ow_bench_options *o, onward_error *err);
int ow_bench_generate(ow_work *work, const ow_bench_options *o, onward_error *err);
int ow_bench_encoder_decoder(ow_work *work, const ow_bench_options *o, onward_error *err);

int ow_bench_report_decoding(ow_work *work, const ow_bench_options *o, const ow_bench_decoding *figures);

/* Loads and opens a session; sets load_ms. */
bool ow_bench_open(ow_work *work, const ow_bench_options *o, ow_bench_figures *figures, onward_error *err);

#endif
