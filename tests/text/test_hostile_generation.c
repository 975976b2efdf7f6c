/* R10 and R11 of hostile input: models whose scores or positions end, and parameters that mean nothing, through the C API and the
 * command. One row is both: its options are fields of onward_generate_options and flags of `onward generate`. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after these */
#include <cmocka.h>

#include "faults/hostile.h"
#include "onward/text.h"

/* ---- models: the scores of the next token are a row of a table, and perhaps a row for the position ---------------------------- */

typedef struct table {
  const char *name;
  int64_t words, width; /* token ids that it knows; scores that it gives */
  int64_t positions;    /* 0: it has none */
  int64_t bad_row;      /* whose scores are bad; -1: all */
  float bad;
  int64_t next; /* each token is followed by that many further */
} table;

static const table tables[] = {
    {"count", 8, 8, 0, 99, 0, 1},         {"nan", 8, 8, 0, -1, NAN, 1},          {"nan-3", 8, 8, 0, 3, NAN, 1},
    {"minus", 8, 8, 0, -1, -INFINITY, 1}, {"minus-3", 8, 8, 0, 3, -INFINITY, 1}, {"plus-3", 8, 8, 0, 3, INFINITY, 1},
    {"wide", 8, 12, 0, 99, 0, 4},         {"narrow", 8, 4, 0, 99, 0, 1},         {"none", 8, 0, 0, 99, 0, 1},
    {"one", 8, 1, 0, 99, 0, 1},           {"positions-6", 8, 8, 6, 99, 0, 1}};

static void add_table(pb *graph, const char *name, int64_t rows, int64_t width, const float *values) {
  pb_message(
      graph, 5,
      pb_tensor_raw(name, 1, (const int64_t[]){rows, width}, 2, values, (size_t)(rows * width) * sizeof *values));
}

static void write_table(const table *t) {
  float scores[8 * 12] = {0}, none[8 * 12] = {0};
  char name[64], dims[64];
  pb graph = {0};
  for (int64_t r = 0; r < t->words; r++)
    for (int64_t k = 0; k < t->width; k++)
      scores[r * t->width + k] = t->bad_row < 0 || t->bad_row == r ? t->bad
                                 : (r + t->next) % t->width == k   ? 3.0f
                                                                   : -0.125f * (float)k;
  add_table(&graph, "scores", t->words, t->width, scores);
  pb_message(&graph, 11, pb_value("input_ids", 7, "batch sequence"));
  pb_message(&graph, 1, pb_node("Gather", "scores input_ids", t->positions ? "next" : "logits"));
  if (t->positions) {
    add_table(&graph, "places", t->positions, t->width, none);
    pb_message(&graph, 11, pb_value("position_ids", 7, "batch sequence"));
    pb_message(&graph, 1, pb_node_named("positions", "", "Gather", "places position_ids", "place"));
    pb_message(&graph, 1, pb_node("Add", "next place", "logits"));
  }
  (void)snprintf(dims, sizeof dims, "batch sequence %d", (int)t->width);
  pb_message(&graph, 12, pb_value("logits", 1, dims));
  pb model = pb_model(graph);
  (void)snprintf(name, sizeof name, "%s.onnx", t->name);
  hostile_write(name, model.data, model.size);
  pb_free(&model);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------------- */

typedef struct row {
  const char *model;   /* of tables, or a folder of tests/models */
  const char *prompt;  /* "1,2", or "5x70": 5 seventy times */
  const char *options; /* "top_k=3 temperature=1" */
  const char *status, *message;
  int64_t count; /* new tokens of a run that is OK */
  onward_stop stop;
  const char *ids;  /* the first of them */
  int code;         /* of the command */
  const char *said; /* on its standard error; NULL: message */
} row;

#define OK(count, stop, ids) "OK", NULL, count, ONWARD_STOP_##stop, ids, 0, "stop: "
/* the text ends where the model does; what it says then is what the operator that met the end says */
#define ENDS(count, limit)                                                                        \
  "OK", "^the model takes at most " limit " tokens: .*node #", count, ONWARD_STOP_CONTEXT, "", 0, \
      "note: the model takes at most " limit " tokens: .*node #"
#define BAD(status, message) status, message, 0, ONWARD_STOP_LENGTH, NULL, 1, NULL
/* the command knows by itself that a value is none */
#define USAGE(message, said) "INPUT", message, 0, ONWARD_STOP_LENGTH, NULL, 2, said

static const row rows[] = {
    /* R10: how many tokens */
    {"count", "1", "max_new_tokens=0", OK(0, LENGTH, "")},
    {"count", "1", "max_new_tokens=-1",
     USAGE("max_new_tokens is -1, want 0 or more", "--max-new-tokens: want .*got '-1'")},
    {"count", "1", "max_new_tokens=9223372036854775807 context=9", "OK", NULL, 8, ONWARD_STOP_CONTEXT,
     "2,3,4,5,6,7,0,1", 2,
     "--max-new-tokens: want a whole number from 0 to 1000000000000000, got '9223372036854775807'"},
    {"count", "1", "max_new_tokens=9223372036854775808 context=9", "OK", NULL, 8, ONWARD_STOP_CONTEXT, "2", 2,
     "got '9223372036854775808'"},
    {"count", "1", "max_new_tokens=1000000000000000 context=9", OK(8, CONTEXT, "2,3")},
    {"positions-6", "1", "max_new_tokens=9223372036854775807 beams=2",
     USAGE("max_new_tokens is 9223372036854775807, want at most 65536 with beams", "--max-new-tokens: want")},
    {"count", "1", "context=-1", USAGE("context is -1, want 0 or more", "--context: want .*got '-1'")},
    {"count", "1,2", "context=1", BAD("INPUT", "the prompt has 2 tokens; the context is 1")},
    {"count", "1,2", "context=2", OK(0, CONTEXT, "")},
    {"count", "1", "max_new_tokens=500", OK(500, LENGTH, "2,3,4,5,6,7,0,1,2")}, /* no token ends it */
    {"count", "1", "max_new_tokens=500 stop_id=1000000", OK(500, LENGTH, "2,3")},
    {"count", "1", "max_new_tokens=500 stop_id=4", OK(3, ID, "2,3,4")},
    {"count", "1", "max_new_tokens=20 beams=3", OK(20, LENGTH, "2,3,4")},
    /* R10: a table of positions that ends, a mask of a fixed size, a rotary cache */
    {"positions-6", "1", "max_new_tokens=500", ENDS(6, "6")},
    {"positions-6", "1", "max_new_tokens=5", OK(5, LENGTH, "2,3,4,5,6")},
    {"positions-6", "1", "max_new_tokens=500 beams=3", ENDS(6, "6")},
    {"positions-6", "1x6", "max_new_tokens=500", ENDS(1, "6")},
    {"positions-6", "1x7", "",
     BAD("INPUT", "the prompt has 7 tokens; the model takes at most 6: .*index 6 at \\[0,6\\]")},
    {"positions-6", "1x1000", "beams=2", BAD("INPUT", "the prompt has 1000 tokens; the model takes at most 6: ")},
    {"positions-6", "1x6,8", "", BAD("DATA|INPUT", "the model takes at most 6|index 8 at \\[0,6\\]")},
    {"positions-6", "1,2,8", "",
     BAD("DATA", "node #.*index 8 at \\[0,2\\] outside \\[-8,7\\]")}, /* the id, not the length */
    {"positions-6", "8", "", BAD("DATA", "index 8 at \\[0,0\\] outside \\[-8,7\\]")},
    {"positions-6", "8,1,1,1,1,1,1", "", BAD("DATA", "node #")}, /* its first token is not known */
    {"gpt2_ts14", "5,6,7", "max_new_tokens=600", ENDS(62, "64")},
    {"gpt2_ts14", "5,6,7", "max_new_tokens=600 beams=2", ENDS(62, "64")},
    {"gpt2_ts14", "5x64", "max_new_tokens=600", ENDS(1, "64")},
    {"gpt2_ts14", "5x70", "max_new_tokens=600", BAD("INPUT", "the prompt has 70 tokens; the model takes at most 64: ")},
    {"gpt2_optimum", "5,6,7", "max_new_tokens=600", ENDS(62, "64")},
    {"gpt2_optimum", "5x200", "", BAD("INPUT", "the prompt has 200 tokens; the model takes at most 64: ")},
    {"gpt2_dynamo18_unoptimized", "5,6,7", "max_new_tokens=600", ENDS(62, "64")},
    {"opt_ts17", "5,6,7", "max_new_tokens=600", ENDS(62, "64")},
    {"llama_genai_fp32", "5,6,7", "max_new_tokens=600", ENDS(62, "64")},
    {"qwen2_genai_int4", "5x65", "", BAD("INPUT", "the prompt has 65 tokens; the model takes at most 64: ")},
    {"llama_ts17", "5,6,7", "max_new_tokens=600", OK(600, LENGTH, "")}, /* rotary positions have no end */
    /* R11: scores */
    {"nan", "1", "", BAD("DATA", "the score of token 0 is NaN, want a number or -inf")},
    {"nan", "1", "beams=2", BAD("DATA", "the score of token 0 is NaN")},
    {"nan", "1", "temperature=1 top_k=3", BAD("DATA", "the score of token 0 is NaN")},
    {"nan-3", "1", "", BAD("DATA", "after 3 tokens: the score of token 0 is NaN")},
    {"minus", "1", "", BAD("DATA", "no token can follow: all 8 scores are -inf")},
    {"minus", "1", "beams=2", BAD("DATA", "no token can follow: all 8 scores are -inf")},
    {"minus-3", "1", "temperature=0.5 top_p=0.01",
     BAD("DATA", "after 3 tokens: no token can follow: all 8 scores are -inf")},
    {"plus-3", "3", "", BAD("DATA", "the score of token 0 is \\+inf")},
    {"plus-3", "3", "beams=2", BAD("DATA", "the score of token 0 is \\+inf")},
    {"wide", "7", "",
     BAD("DATA",
         "index 11 at \\[0,1\\] outside \\[-8,7\\]")}, /* more scores than tokens: it gives an id that it cannot take */
    {"wide", "0", "max_new_tokens=1", OK(1, LENGTH, "4")},
    {"narrow", "7", "max_new_tokens=6", OK(6, LENGTH, "0,1,2,3,0,1")},
    {"narrow", "7", "max_new_tokens=6 stop_id=6 top_k=6 temperature=0.01", OK(6, LENGTH, "0,1,2,3,0,1")},
    {"none", "1", "", BAD("DATA|MODEL", "the model gives 0 scores, want 1 to 2147483647")},
    {"none", "1", "beams=2", BAD("DATA|MODEL", "the model gives 0 scores")},
    {"one", "1", "max_new_tokens=3", OK(3, LENGTH, "0,0,0")},
    {"one", "1", "max_new_tokens=3 beams=4", OK(3, LENGTH, "0,0,0")},
    {"one", "1", "max_new_tokens=3 no_repeat_ngram=1",
     BAD("DATA", "after 2 tokens: no token can follow: all 1 scores are -inf")},
    /* R11: parameters */
    {"count", "1", "temperature=0 max_new_tokens=2 top_k=5 top_p=0.5 min_p=0.5 seed=7",
     OK(2, LENGTH, "2,3")}, /* the likeliest */
    {"count", "1", "temperature=-1",
     USAGE("temperature is -1, want 0 or more", "--temperature: want a number from 0 .*got '-1'")},
    {"count", "1", "temperature=nan", USAGE("temperature is nan, want 0 or more", "--temperature: want .*got 'nan'")},
    {"count", "1", "temperature=inf", USAGE("temperature is inf, want 0 or more", "--temperature: want .*got 'inf'")},
    {"count", "1", "temperature=1e-300 max_new_tokens=3", OK(3, LENGTH, "2,3,4")},
    {"count", "1", "temperature=1e6 max_new_tokens=3", OK(3, LENGTH, "")},
    {"count", "1", "temperature=0.01 top_k=0 max_new_tokens=2", OK(2, LENGTH, "2,3")},
    {"count", "1", "temperature=0.01 top_k=9 max_new_tokens=2", OK(2, LENGTH, "2,3")}, /* above the vocabulary */
    {"count", "1", "temperature=0.01 top_k=1000000000 max_new_tokens=2", OK(2, LENGTH, "2,3")},
    {"count", "1", "temperature=1 top_k=1 max_new_tokens=2", OK(2, LENGTH, "2,3")},
    {"count", "1", "top_k=-1", USAGE("top_k is -1, want 0 or more", "--top-k: want .*got '-1'")},
    {"count", "1", "top_p=0",
     USAGE("top_p is 0, want more than 0, at most 1", "--top-p: want a number above 0, at most 1, got 0")},
    {"count", "1", "top_p=1.5", USAGE("top_p is 1.5, want more than 0, at most 1", "--top-p: want .*got '1.5'")},
    {"count", "1", "top_p=-0.5", USAGE("top_p is -0.5, want more than 0", "--top-p: want .*got '-0.5'")},
    {"count", "1", "top_p=nan", USAGE("top_p is nan, want more than 0", "--top-p: want .*got 'nan'")},
    {"count", "1", "temperature=1 top_p=1e-300 max_new_tokens=2", OK(2, LENGTH, "2,3")}, /* one is left */
    {"count", "1", "min_p=-0.1", USAGE("min_p is -0.1, want 0 to 1", "--min-p: want .*got '-0.1'")},
    {"count", "1", "min_p=1.1", USAGE("min_p is 1.1, want 0 to 1", "--min-p: want .*got '1.1'")},
    {"count", "1", "min_p=nan", USAGE("min_p is nan, want 0 to 1", "--min-p: want .*got 'nan'")},
    {"count", "1", "temperature=1 min_p=1 max_new_tokens=2", OK(2, LENGTH, "2,3")},
    {"count", "1", "repetition_penalty=0",
     USAGE("repetition_penalty is 0, want more than 0", "--repetition-penalty: want a number above 0, got 0")},
    {"count", "1", "repetition_penalty=-1",
     USAGE("repetition_penalty is -1, want more than 0", "--repetition-penalty: want .*got '-1'")},
    {"count", "1", "repetition_penalty=nan",
     USAGE("repetition_penalty is nan, want more than 0", "--repetition-penalty: want .*got 'nan'")},
    {"count", "1", "repetition_penalty=1e-300", BAD("INPUT", "repetition_penalty is 1e-300, want more than 0")},
    {"count", "1", "repetition_penalty=1e6 max_new_tokens=3", OK(3, LENGTH, "2,3,4")},
    {"count", "1", "repetition_penalty=inf",
     USAGE("repetition_penalty is inf", "--repetition-penalty: want .*got 'inf'")},
    {"count", "1", "no_repeat_ngram=-1",
     USAGE("no_repeat_ngram is -1, want 0 or more", "--no-repeat-ngram: want .*got '-1'")},
    {"count", "1", "no_repeat_ngram=1000000000 max_new_tokens=2", OK(2, LENGTH, "2,3")},
    {"count", "1", "beams=0", USAGE("beams is 0, want 1 to 1024", "--beams: want .*got '0'")},
    {"count", "1", "beams=1025", USAGE("beams is 1025, want 1 to 1024", "--beams: want .*got '1025'")},
    {"count", "1", "beams=1024 max_new_tokens=3", OK(3, LENGTH, "2,3,4")}, /* more beams than there are texts */
    {"count", "1", "beams=2 length_penalty=nan",
     USAGE("length_penalty is nan, want a number", "--length-penalty: want .*got 'nan'")},
    {"count", "1", "beams=2 temperature=1", BAD("INPUT", "temperature is 1, want 0 with beams")},
};

/* ---- one row, as options and as words ---------------------------------------------------------------------------------------------- */

static void set_option(onward_generate_options *o, const char *name, const char *value) {
  static int64_t stop;
  const struct {
    const char *name;
    int64_t *whole;
    double *real;
  } fields[] = {{"max_new_tokens", &o->max_new_tokens, NULL},
                {"context", &o->context, NULL},
                {"top_k", &o->top_k, NULL},
                {"no_repeat_ngram", &o->no_repeat_ngram, NULL},
                {"beams", &o->beams, NULL},
                {"temperature", NULL, &o->temperature},
                {"top_p", NULL, &o->top_p},
                {"min_p", NULL, &o->min_p},
                {"repetition_penalty", NULL, &o->repetition_penalty},
                {"length_penalty", NULL, &o->length_penalty},
                {"stop_id", &stop, NULL},
                {"seed", (int64_t *)(void *)&o->seed, NULL}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (strcmp(fields[i].name, name) != 0)
      continue;
    if (fields[i].real)
      *fields[i].real = strtod(value, NULL);
    else
      *fields[i].whole = strtoll(value, NULL, 10); /* 2^63 becomes the largest that there is */
    o->stop_ids = &stop;
    o->stop_id_count += strcmp(name, "stop_id") == 0;
    return;
  }
  fail_msg("no option %s", name);
}

typedef struct call {
  onward_generate_options options;
  int64_t ids[1100];
  size_t count;
  char model[512], prompt[4400], text[512];
  const char *words[40];
} call;

static void add_id(call *c, int64_t id) {
  assert_true(c->count < sizeof c->ids / sizeof *c->ids);
  const size_t used = strlen(c->prompt);
  (void)snprintf(c->prompt + used, sizeof c->prompt - used, "%s%d", c->count ? "," : "", (int)id);
  c->ids[c->count++] = id;
}

static void make_call(const row *r, call *c) {
  *c = (call){.options = onward_generate_options_default()};
  for (const char *p = r->prompt; *p; p += *p == ',') {
    char *end;
    const int64_t id = strtoll(p, &end, 10), times = *end == 'x' ? strtoll(end + 1, &end, 10) : 1;
    for (int64_t i = 0; i < times; i++)
      add_id(c, id);
    p = end;
  }
  size_t n = 0;
  const char *const fixed[] = {ONWARD_BINARY_DIR "/onward", "generate", c->model, "--threads", "1", "--ids", c->prompt};
  for (; n < sizeof fixed / sizeof *fixed; n++)
    c->words[n] = fixed[n];
  bool own = false;
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
    own = own || strcmp(tables[i].name, r->model) == 0;
  if (own) {
    (void)snprintf(c->text, sizeof c->text, "%s.onnx", r->model);
    (void)snprintf(c->model, sizeof c->model, "%s", hostile_path(c->text));
  } else {
    (void)snprintf(c->model, sizeof c->model, "%s/tests/models/%s", ONWARD_SOURCE_DIR, r->model);
  }
  (void)snprintf(c->text, sizeof c->text, "%s", r->options);
  for (char *name = strtok(c->text, " "); name; name = strtok(NULL, " ")) { /* "a_b=c" becomes a_b and --a-b=c */
    static char flags[16][64];
    static size_t turn;
    char *const flag = flags[turn++ % 16], *const equal = strchr(name, '=');
    assert_non_null(equal);
    (void)snprintf(flag, sizeof flags[0], "--%s", name);
    for (char *p = flag; *p && *p != '='; p++)
      *p = *p == '_' ? '-' : *p;
    c->words[n++] = flag;
    *equal = '\0';
    set_option(&c->options, name, equal + 1);
  }
}

static bool begins(const onward_generation *g, const char *ids) {
  for (size_t i = 0; *ids; i++) {
    char *end;
    if (i >= g->count || g->ids[i] != strtoll(ids, &end, 10))
      return false;
    ids = end + (*end == ',');
  }
  return true;
}

static int wrong(const row *r, const char *who, const char *what, const char *text) {
  print_error("%s '%.40s' %s, %s: %s '%.600s'\n", r->model, r->prompt, r->options, who, what, text);
  return 1;
}

static int by_api(const row *r, const call *c) {
  onward_model *model = NULL;
  onward_generator *g = NULL;
  onward_session_options session = onward_session_options_default();
  onward_error err = {0};
  session.threads = 1;
  if (onward_model_load(c->model, NULL, &model, &err) || onward_generator_create(model, &session, &g, &err))
    fail_msg("%s: %s", r->model, err.message);
  int bad = 0;
  for (int turn = 0; turn < 2 && !bad; turn++) { /* the same again, after an error too */
    onward_generation got = {0};
    const onward_status status = onward_generator_run(g, c->ids, c->count, &c->options, &got, &err);
    if (!hostile_in_list(r->status, onward_status_name(status)))
      bad = wrong(r, "API", onward_status_name(status), err.message);
    else if (status != ONWARD_OK && !hostile_matches(r->message, err.message))
      bad = wrong(r, "API", "other message", err.message);
    else if (status == ONWARD_OK && ((int64_t)got.count != r->count || got.stop != r->stop || !begins(&got, r->ids)))
      bad = wrong(r, "API", "other tokens or stop", onward_stop_name(got.stop));
    else if (status == ONWARD_OK && (got.note != NULL) != (r->message != NULL))
      bad = wrong(r, "API", "note", got.note ? got.note : "none");
    else if (status == ONWARD_OK && got.note && !hostile_matches(r->message, got.note))
      bad = wrong(r, "API", "other note", got.note);
  }
  (void)onward_generator_run(g, c->ids, c->count, &c->options, &(onward_generation){0},
                             NULL); /* without a place for the error */
  const int64_t first = 0;
  onward_generate_options plain = onward_generate_options_default();
  plain.max_new_tokens = 1;
  onward_generation got;
  const bool sound = strchr(r->model, '-') || (strncmp(r->model, "n", 1) && strcmp(r->model, "minus"));
  if (!bad && sound && onward_generator_run(g, &first, 1, &plain, &got, &err) != ONWARD_OK) /* usable after errors */
    bad = wrong(r, "API", "the next run", err.message);
  onward_generator_free(g);
  onward_model_free(model);
  return bad;
}

static int by_command(const row *r, const call *c) {
  static hostile_output o;
  hostile_command(c->words, &o);
  if (o.code != r->code)
    return wrong(r, "command", "exit code", o.error);
  if (!hostile_matches(r->said ? r->said : r->message, o.error))
    return wrong(r, "command", "other message", o.error);
  const char *const line = strchr(o.error, '\n');
  const bool warned = strstr(o.error, "warning: ") != NULL;
  return o.code && (!line || (line[1] && !warned)) ? wrong(r, "command", "want one line", o.error) : 0;
}

static void every_row(void **unused) {
  (void)unused;
  static call c;
  int bad = 0;
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
    write_table(&tables[i]);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    make_call(&rows[i], &c);
    bad += by_api(&rows[i], &c);
    bad += by_command(&rows[i], &c);
  }
  assert_int_equal(bad, 0);
}

/* ---- an encoder and its decoder --------------------------------------------------------------------------------------------------- */

static onward_model *open_file(const char *folder, const char *file, const onward_limits *limits) {
  char path[512];
  onward_model *model = NULL;
  onward_error err;
  onward_model_options options = onward_model_options_default();
  if (limits)
    options.limits = *limits;
  (void)snprintf(path, sizeof path, "%s/tests/models/%s/%s.onnx", ONWARD_SOURCE_DIR, folder, file);
  if (onward_model_load(path, &options, &model, &err))
    fail_msg("%s", err.message);
  return model;
}

/* Both have 40 positions for the decoder; the configuration beside them says so, but the library does not read it. */
static void decoders_that_end(void **unused) {
  (void)unused;
  static const char *const folders[] = {"seq2seq/bart", "seq2seq/marian_merged"};
  static hostile_output out;
  for (size_t i = 0; i < 2; i++) {
    const bool merged = i == 1;
    onward_model *const encoder = open_file(folders[i], "encoder_model", NULL),
                        *const decoder = open_file(folders[i], merged ? "decoder_model_merged" : "decoder_model", NULL),
                        *const past = merged ? NULL : open_file(folders[i], "decoder_with_past_model", NULL);
    onward_generator *g = NULL;
    onward_error err;
    onward_generation got;
    int64_t start[50] = {2}, prompt[3] = {5, 6, 7};
    for (size_t k = 1; k < 50; k++)
      start[k] = 5;
    if (onward_generator_create_encoder_decoder(encoder, decoder, past, NULL, &g, &err))
      fail_msg("%s", err.message);
    for (int64_t beams = 1; beams <= 3; beams += 2) {
      onward_generate_options o = onward_generate_options_default();
      o.beams = beams;
      o.decoder_ids = start;
      o.decoder_id_count = 3;
      o.max_new_tokens = 100;
      if (onward_generator_run(g, prompt, 3, &o, &got, &err))
        fail_msg("%s: %s", folders[i], err.message);
      assert_int_equal(got.count, 38);
      assert_int_equal(got.stop, ONWARD_STOP_CONTEXT);
      assert_non_null(got.note);
      assert_true(hostile_matches("^the model takes at most 40 tokens: .*embed_positions/Gather", got.note));
      o.decoder_id_count = 50;
      assert_int_equal(onward_generator_run(g, prompt, 3, &o, &got, &err), ONWARD_INPUT);
      assert_true(hostile_matches("the prompt has 50 tokens; the model takes at most 40: ", err.message));
    }
    onward_generator_free(g);
    onward_model_free(encoder);
    onward_model_free(decoder);
    onward_model_free(past);
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s/tests/models/%s", ONWARD_SOURCE_DIR, folders[i]);
    const char *words[] = {ONWARD_BINARY_DIR "/onward",
                           "generate",
                           folder,
                           "--ids",
                           "5,6,7",
                           "--max-new-tokens",
                           "100",
                           "--stop-id",
                           "99",
                           "--json",
                           NULL,
                           NULL,
                           NULL};
    hostile_command(words, &out); /* the configuration says 40 */
    assert_int_equal(out.code, 0);
    assert_true(hostile_matches("\"stop\": *\"context\"", out.out) && out.error_size == 0);
    words[10] = "--context";
    words[11] = "1000";
    hostile_command(words, &out);
    assert_int_equal(out.code, 0);
    assert_true(hostile_matches("\"stop\": *\"context\"", out.out));
    assert_true(hostile_matches("^note: the model takes at most 40 tokens: ", out.error));
  }
}

/* ---- a cache that grows beyond what is allowed -------------------------------------------------------------------------------------- */

static void caches_that_end(void **unused) {
  (void)unused;
  static hostile_output out;
  onward_limits limits = onward_model_options_default().limits;
  limits.tensor_bytes = 20000;
  onward_model *const model = open_file("llama_ts17", "model", &limits);
  onward_generator *g = NULL;
  onward_generation got;
  onward_error err;
  const int64_t prompt = 5;
  onward_generate_options o = onward_generate_options_default();
  o.max_new_tokens = INT64_MAX;
  assert_int_equal(onward_generator_create(model, NULL, &g, &err), ONWARD_OK);
  assert_int_equal(onward_generator_run(g, &prompt, 1, &o, &got, &err), ONWARD_LIMIT);
  assert_true(hostile_matches("node #.*takes [0-9]+ bytes, above the limit tensor_bytes of 20000", err.message));
  o.max_new_tokens = 20;
  assert_int_equal(onward_generator_run(g, &prompt, 1, &o, &got, &err), ONWARD_OK);
  onward_generator_free(g);
  onward_model_free(model);
  const char *const words[] = {ONWARD_BINARY_DIR "/onward",
                               "generate",
                               ONWARD_SOURCE_DIR "/tests/models/llama_ts17",
                               "--ids",
                               "5",
                               "--max-new-tokens",
                               "1000000000",
                               "--limit",
                               "tensor_bytes=20000",
                               NULL};
  hostile_command(words, &out);
  assert_int_equal(out.code, 1);
  assert_true(hostile_matches("above the limit tensor_bytes of 20000 \\(--limit tensor_bytes=N\\)", out.error));
}

/* ---- a tokenizer of another size than the scores ------------------------------------------------------------------------------------ */

static void write_tokenizer(const char *name, int words) {
  char json[1024] =
      "{\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"w0\","
      "\"vocab\":{";
  for (int i = 0; i < words; i++) {
    const size_t used = strlen(json);
    (void)snprintf(json + used, sizeof json - used, "%s\"w%d\":%d", i ? "," : "", i, i);
  }
  (void)strcat(json, "}}}");
  hostile_write(name, json, strlen(json));
}

static void tokenizers_of_other_sizes(void **unused) {
  (void)unused;
  static const struct {
    int words;
    const char *prompt;
    int code;
    const char *out, *error;
  } cases[] = {{8, "w1", 0, "^w2 w3 w4 w5 w6 w7\n$", "\nstop: length[^\n]*\n$"},
               {4, "w1", 0, "^w2 w3\n$", "\nnote: 4 of 6 new tokens have no text: the tokenizer has no token 4\n$"},
               {12, "w1", 0, "^w2 w3 w4 w5 w6 w7\n$", "\nstop: length[^\n]*\n$"},
               {12, "w1 w11", 1, "^$", "node #.*input 1 'input_ids': index 11 at \\[0,1\\] outside \\[-8,7\\]"}};
  static hostile_output o;
  write_table(&tables[0]);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_tokenizer("sized.json", cases[i].words);
    const char *const file = hostile_path("sized.json"), *const path = hostile_path("count.onnx");
    const char *const words[] = {
        ONWARD_BINARY_DIR "/onward", "generate", path, "--tokenizer", file, "--prompt", cases[i].prompt,
        "--max-new-tokens",          "6",        NULL};
    hostile_command(words, &o);
    if (o.code != cases[i].code || !hostile_matches(cases[i].out, o.out) || !hostile_matches(cases[i].error, o.error))
      fail_msg("case %zu: exit %d, '%s', '%s'", i, o.code, o.out, o.error);
    onward_model *model = NULL;
    onward_generator *g = NULL;
    onward_tokenizer *t = NULL;
    onward_text_generation got;
    onward_error err;
    int64_t *ids = NULL;
    size_t count = 0;
    onward_generate_options options = onward_generate_options_default();
    options.max_new_tokens = 6;
    if (onward_model_load(path, NULL, &model, &err) || onward_generator_create(model, NULL, &g, &err) ||
        onward_tokenizer_load(file, &t, &err) ||
        onward_tokenizer_encode(t, cases[i].prompt, strlen(cases[i].prompt), true, &ids, &count, &err))
      fail_msg("%s", err.message);
    const onward_status status = onward_generator_run_text(g, t, ids, count, &options, NULL, &got, &err);
    assert_int_equal(status, cases[i].code ? ONWARD_DATA : ONWARD_OK);
    if (status == ONWARD_OK) {
      assert_int_equal(got.tokens.count, 6);
      assert_memory_equal(got.text, o.out, o.out_size - 1); /* without its line end */
      assert_int_equal(got.length, o.out_size - 1);
      onward_free(got.text);
    }
    onward_free(ids);
    onward_tokenizer_free(t);
    onward_generator_free(g);
    onward_model_free(model);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_row), cmocka_unit_test(decoders_that_end),
                                     cmocka_unit_test(caches_that_end), cmocka_unit_test(tokenizers_of_other_sizes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
