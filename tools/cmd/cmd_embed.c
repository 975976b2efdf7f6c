#include <stdio.h>
#include <string.h>

#include "interrupt.h"
#include "json_out.h"
#include "text_input.h"
#include "work.h"

static const char help[] =
    "onward embed MODEL [TEXT...] [options]             turn texts into vectors of length 1\n"
    "\n"
    "  TEXT...                  one vector each; without any, each line of standard input is a text\n"
    "  --tokenizer FILE         default: tokenizer.json in the model's folder\n"
    "  --pooling mean|cls       mean of the hidden states, or the first token's. Default: what 1_Pooling/config.json "
    "in\n"
    "                           the model's folder says, or an output sentence_embedding, or mean\n"
    "  --max-length N           most tokens of a text (default: what the tokenizer says)\n"
    "  --batch N                most texts at once (default 32)\n"
    "  --json                   [{\"text\",\"embedding\"}]\n"
    "\n"
    "Without --json it prints how alike up to 16 texts are (cosines), and of more the first 8 values each.\n"
    "\n"
    "  onward embed models/minilm-l6 'How do I bake bread?' 'A recipe for sourdough' 'Stocks fell today'\n"
    "  onward embed models/minilm-l6 --json <lines.txt >vectors.json\n";

enum { TABLE_MAX = 16 };

typedef struct embed_options {
  ow_common common;
  const char *tokenizer, *pooling;
  int64_t max_length, batch;
  bool json;
} embed_options;

static void cancel_embedder(void *embedder) { onward_embedder_cancel(embedder); }

/* Every line of standard input; the text is cut at their ends. */
static bool read_lines(ow_scratch *scratch, ow_text_list *texts, onward_error *err) {
  const char *all;
  if (!ow_stdin_text(scratch, &all, err))
    return false;
  size_t lines = *all != '\0';
  for (const char *p = all; *p; p++)
    lines += *p == '\n';
  texts->items = ow_scratch_take(scratch, (lines + 1) * sizeof *texts->items);
  char *rest = ow_scratch_text(scratch, "%s", all);
  for (texts->count = 0; texts->count < lines; texts->count++) {
    char *const end = rest + strcspn(rest, "\n"), *const after = end + (*end == '\n');
    *end = '\0';
    if (end > rest && end[-1] == '\r')
      end[-1] = '\0';
    texts->items[texts->count] = rest;
    rest = after;
  }
  return texts->count > 0 || ow_cmd_fail(err, ONWARD_ARGUMENT, "TEXT: not given, and standard input has no line");
}

static double dot(const float *a, const float *b, size_t width) {
  double sum = 0;
  for (size_t i = 0; i < width; i++)
    sum += (double)a[i] * (double)b[i];
  return sum;
}

static void print_plain(const ow_text_list *texts, const onward_embeddings *e) {
  if (texts->count > 1 && texts->count <= TABLE_MAX) {
    printf("     ");
    for (size_t i = 0; i < texts->count; i++)
      printf("%8zu", i + 1);
    printf("\n");
    for (size_t i = 0; i < texts->count; i++) {
      printf("%5zu", i + 1);
      for (size_t k = 0; k < texts->count; k++)
        printf("%8.3f", dot(e->values + i * e->width, e->values + k * e->width, e->width));
      printf("   ");
      ow_cmd_print_safe(texts->items[i]);
      printf("\n");
    }
    return;
  }
  for (size_t i = 0; i < texts->count; i++) {
    printf("%zu values ", e->width);
    for (size_t k = 0; k < e->width && k < 8; k++)
      printf(" %.9g", (double)e->values[i * e->width + k]);
    printf("%s   ", e->width > 8 ? " ..." : "");
    ow_cmd_print_safe(texts->items[i]);
    printf("\n");
  }
}

static void print_json(const ow_text_list *texts, const onward_embeddings *e, ow_scratch *scratch) {
  ow_json json = {.out = {.scratch = scratch}};
  ow_json_open(&json, NULL, '[');
  for (size_t i = 0; i < texts->count; i++) {
    ow_json_open(&json, NULL, '{');
    ow_json_text(&json, "text", texts->items[i]);
    ow_json_open(&json, "embedding", '[');
    for (size_t k = 0; k < e->width; k++)
      ow_json_real(&json, NULL, (double)e->values[i * e->width + k]);
    ow_json_close(&json, ']');
    ow_json_close(&json, '}');
  }
  ow_json_close(&json, ']');
  ow_json_print(&json);
}

static bool take_options(const embed_options *o, const char *model, ow_scratch *scratch, onward_embed_options *options,
                         onward_error *err) {
  *options = onward_embed_options_default();
  options->batch = o->batch;
  options->max_length = o->max_length;
  if (o->pooling && strcmp(o->pooling, "mean") != 0 && strcmp(o->pooling, "cls") != 0)
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "--pooling: want mean or cls, got '%s'", o->pooling);
  if (o->pooling)
    options->pooling = strcmp(o->pooling, "cls") == 0 ? ONWARD_POOLING_CLS : ONWARD_POOLING_MEAN;
  else
    return onward_embed_options_read(ow_model_folder(model, scratch), options, err) == ONWARD_OK;
  return true;
}

static bool embed(ow_work *work, const embed_options *o, const char *model, ow_text_list *texts,
                  onward_tokenizer **tokenizer, onward_embedder **embedder, onward_embeddings *result,
                  onward_error *err) {
  onward_embed_options options;
  onward_session_options session = onward_session_options_default();
  session.threads = (int32_t)o->common.threads;
  if (!ow_model_is_there(model, &work->scratch, err) ||
      (texts->count == 0 && !read_lines(&work->scratch, texts, err)) ||
      !take_options(o, model, &work->scratch, &options, err) ||
      !ow_tokenizer_open(ow_tokenizer_path(o->tokenizer, model, &work->scratch), o->tokenizer != NULL, tokenizer,
                         err) ||
      !ow_work_load(work, model, &o->common, false, err) ||
      onward_embedder_create(work->model, *tokenizer, &session, &options, embedder, err) != ONWARD_OK)
    return false;
  ow_interrupt_watch(cancel_embedder, *embedder);
  const onward_status status = onward_embedder_run(*embedder, texts->items, texts->count, result, err);
  ow_interrupt_watch(NULL, NULL);
  return status == ONWARD_OK;
}

static int run(double began_ms, int argc, char **argv) {
  (void)began_ms;
  embed_options o = {.batch = 32};
  const ow_arg table[] = {
      {"--tokenizer", OW_ARG_TEXT, &o.tokenizer, 0, 0},
      {"--pooling", OW_ARG_TEXT, &o.pooling, 0, 0},
      {"--max-length", OW_ARG_INT, &o.max_length, 1, 1e9},
      {"--batch", OW_ARG_INT, &o.batch, 1, 4096},
      {"--json", OW_ARG_FLAG, &o.json, 0, 0},
      {NULL, OW_ARG_FLAG, NULL, 0, 0},
  };
  ow_work work = {.model = NULL};
  ow_text_list words = {NULL, 0};
  onward_error err = {ONWARD_OK, ""};
  onward_tokenizer *tokenizer = NULL;
  onward_embedder *embedder = NULL;
  onward_embeddings result = {.values = NULL};
  bool ok = ow_args_parse("embed", argc, argv, table, &o.common, &words, &work.scratch, &err);
  if (ok && words.count == 0)
    ok = ow_cmd_fail(&err, ONWARD_ARGUMENT, "MODEL: not given (onward embed --help)");
  if (ok) {
    ow_text_list texts = {words.items + 1, words.count - 1};
    ok = embed(&work, &o, words.items[0], &texts, &tokenizer, &embedder, &result, &err);
    if (ok && o.json)
      print_json(&texts, &result, &work.scratch);
    else if (ok)
      print_plain(&texts, &result);
  }
  const int code = ok ? OW_EXIT_OK : ow_cmd_report(&err);
  onward_free(result.values);
  onward_embedder_free(embedder);
  onward_tokenizer_free(tokenizer);
  ow_work_free(&work);
  return code;
}

const ow_command ow_command_embed = {"embed", "turn texts into vectors", help, run};
