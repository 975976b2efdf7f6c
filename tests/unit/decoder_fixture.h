/* A decoder of tests/models driven token by token, with a state or without a cache. Inputs are known by what their names say. */
#ifndef OW_TESTS_DECODER_FIXTURE_H
#define OW_TESTS_DECODER_FIXTURE_H

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

#include "onward/onward.h"

enum { MAX_INPUTS = 32, MAX_ROWS = 4, MAX_TOKENS = 512 };

typedef struct decoder {
  onward_model *model;
  onward_session *session;
  size_t inputs, outputs;
  onward_value_info in[MAX_INPUTS];
  int64_t vocabulary;
} decoder;

/* What the model is given: rows of tokens, of which row r's first pad[r] are padding. */
typedef struct text {
  int64_t rows, length, pad[MAX_ROWS];
  int64_t ids[MAX_ROWS][MAX_TOKENS];
  bool all_masked[MAX_ROWS];
} text;

static inline bool is_past(const char *name) { return strncmp(name, "past", 4) == 0; }

static inline decoder open_decoder(const char *path) {
  decoder d = {0};
  onward_error err;
  if (onward_model_load(path, NULL, &d.model, &err) != ONWARD_OK ||
      onward_session_create(d.model, NULL, &d.session, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  d.inputs = onward_model_input_count(d.model);
  d.outputs = onward_model_output_count(d.model);
  assert_true(d.inputs <= MAX_INPUTS);
  for (size_t i = 0; i < d.inputs; i++)
    assert_int_equal(onward_model_input(d.model, i, &d.in[i], &err), ONWARD_OK);
  for (size_t o = 0; o < d.outputs; o++) {
    onward_value_info info;
    assert_int_equal(onward_model_output(d.model, o, &info, &err), ONWARD_OK);
    if (strcmp(info.name, "logits") == 0)
      d.vocabulary = info.dims[2];
  }
  return d;
}

static inline void close_decoder(decoder *d) {
  onward_session_free(d->session);
  onward_model_free(d->model);
}

/* Tokens that differ everywhere. */
static inline text some_text(const decoder *d, int64_t rows, int64_t length) {
  const int64_t range = d->vocabulary > 1 ? d->vocabulary : 90;
  text t = {.rows = rows, .length = length};
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < length; i++)
      t.ids[r][i] = (11 * i + 29 * r + 5 * i * i + 7) % range;
  return t;
}

typedef struct call {
  onward_named_tensor in[MAX_INPUTS];
  size_t count;
  int64_t memory[6][MAX_ROWS * MAX_TOKENS];
  size_t used;
} call;

static inline void add_ints(call *c, const char *name, int64_t rows, int64_t columns, const int64_t *values) {
  assert_true(c->used < 6);
  int64_t *const kept = memcpy(c->memory[c->used++], values, (size_t)(rows * columns) * sizeof *values);
  c->in[c->count++] =
      (onward_named_tensor){name, {ONWARD_INT64, 2, {rows, columns}, kept, (size_t)(rows * columns) * sizeof *kept}};
}

/* Inputs for tokens [from, to); pasts are left out. */
static inline void set_call(call *c, const decoder *d, const text *t, int64_t from, int64_t to) {
  c->count = c->used = 0;
  for (size_t i = 0; i < d->inputs; i++) {
    const char *const name = d->in[i].name;
    static int64_t values[MAX_ROWS * MAX_TOKENS];
    if (is_past(name))
      continue;
    const bool mask = strstr(name, "mask") != NULL, positions = strstr(name, "position") != NULL;
    const int64_t first = mask ? 0 : from, columns = to - first;
    for (int64_t r = 0; r < t->rows; r++)
      for (int64_t k = 0; k < columns; k++) {
        const int64_t at = first + k, place = at - t->pad[r];
        values[r * columns + k] = mask        ? place >= 0 && !t->all_masked[r]
                                  : positions ? (place > 0 ? place : 0)
                                              : t->ids[r][at];
      }
    add_ints(c, name, t->rows, columns, values);
  }
}

/* Dim k of a past as its present has it; -1: free. */
static inline int64_t present_dim(const decoder *d, const char *past, int32_t k) {
  const char *const tail = strchr(past, '.');
  for (size_t o = 0; tail && o < d->outputs; o++) {
    onward_value_info info;
    onward_error err;
    assert_int_equal(onward_model_output(d->model, o, &info, &err), ONWARD_OK);
    const char *const own = strchr(info.name, '.');
    if (own && strcmp(own, tail) == 0 && k < info.rank)
      return info.dims[k];
  }
  return -1;
}

/* Logits of tokens [from, to), to be freed: through state, or with pasts (dense, by input; NULL: empty ones). */
static inline float *logits_of(decoder *d, onward_state *state, const onward_tensor *pasts, const text *t, int64_t from,
                               int64_t to, bool last_only) {
  static call c;
  set_call(&c, d, t, from, to);
  for (size_t i = 0; i < d->inputs && !state; i++) {
    if (!is_past(d->in[i].name))
      continue;
    onward_tensor empty = {.dtype = d->in[i].dtype, .rank = d->in[i].rank};
    bool batch = true;
    for (int32_t k = 0; k < empty.rank; k++) {
      const int64_t own = d->in[i].dims[k], present = own < 0 && !batch ? present_dim(d, d->in[i].name, k) : -1;
      empty.dims[k] = own >= 0 ? own : batch ? t->rows : present > 0 ? present : 0;
      batch = batch && d->in[i].dims[k] >= 0;
    }
    c.in[c.count++] = (onward_named_tensor){d->in[i].name, pasts ? pasts[i] : empty};
  }
  onward_run_options options = onward_run_options_default();
  options.state = state;
  options.last_token_logits_only = last_only;
  onward_named_tensor out = {.name = "logits"};
  onward_error err;
  if (onward_session_run(d->session, c.in, c.count, &out, 1, &options, &err) != ONWARD_OK)
    fail_msg("tokens %lld to %lld: %s", (long long)from, (long long)to, err.message);
  d->vocabulary = out.tensor.dims[2];
  assert_int_equal(out.tensor.dims[0], t->rows);
  assert_int_equal(out.tensor.dims[1], last_only ? 1 : to - from);
  float *const copy = malloc(out.tensor.bytes);
  assert_non_null(copy);
  return memcpy(copy, out.tensor.data, out.tensor.bytes);
}

static inline bool is_near(float got, float want) {
  return isnan(want) ? isnan(got) : fabsf(got - want) <= 1e-5f + 1e-4f * fabsf(want);
}

/* Rows of logits: got[r][g] of `got_columns` against want[row][w] of `want_columns`. */
static inline void same_logits(const decoder *d, const char *what, const float *got, int64_t got_columns, int64_t r,
                               int64_t g, const float *want, int64_t want_columns, int64_t row, int64_t w) {
  const float *const a = got + (r * got_columns + g) * d->vocabulary;
  const float *const b = want + (row * want_columns + w) * d->vocabulary;
  for (int64_t v = 0; v < d->vocabulary; v++)
    if (!is_near(a[v], b[v]))
      fail_msg("%s: row %lld, token %lld, word %lld: got %.9g, want %.9g", what, (long long)r, (long long)w,
               (long long)v, (double)a[v], (double)b[v]);
}

#endif
