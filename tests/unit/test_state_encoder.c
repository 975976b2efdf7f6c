/* Decoders with cross attention through a state: merged ones, whose first run makes the encoder's keys and values, and those with
 * a past only, which are given them. */
#include "decoder_fixture.h"
#include "runtime/state.h"

enum { ENCODED = 7, HEADS = 4, MOST_SIZE = 8, MOST_WIDTH = HEADS * MOST_SIZE };

/* What the encoder gave, and its keys and values of every layer alike in shape. */
typedef struct source {
  int64_t rows, size; /* of a head */
  int64_t mask[MAX_ROWS * ENCODED];
  float hidden[MAX_ROWS * ENCODED * MOST_WIDTH];
  float past[MAX_INPUTS][MAX_ROWS * ENCODED * MOST_WIDTH]; /* by input */
} source;

static float wave(int64_t i) { return sinf(0.37f * (float)(i % 1000) + 0.011f * (float)(i % 77)); }

/* Rows of unlike length; dead: the row that is masked altogether, or -1. */
static void make_source(source *s, int64_t size, int64_t rows, int64_t dead) {
  memset(s, 0, sizeof *s);
  s->rows = rows;
  s->size = size;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t k = 0; k < ENCODED; k++)
      s->mask[r * ENCODED + k] = r != dead && k < ENCODED - 2 * r;
  for (int64_t i = 0; i < rows * ENCODED * HEADS * size; i++)
    s->hidden[i] = wave(i);
  for (int64_t p = 0; p < MAX_INPUTS; p++)
    for (int64_t i = 0; i < rows * ENCODED * HEADS * size; i++)
      s->past[p][i] = wave(3 * i + 101 * p);
}

/* Row i of to is row rows[i] of from. */
static void pick(source *to, const source *from, const int64_t *rows, int64_t count) {
  memset(to, 0, sizeof *to);
  const int64_t row = ENCODED * HEADS * from->size;
  to->rows = count;
  to->size = from->size;
  for (int64_t r = 0; r < count; r++) {
    memcpy(to->mask + r * ENCODED, from->mask + rows[r] * ENCODED, ENCODED * sizeof *to->mask);
    memcpy(to->hidden + r * row, from->hidden + rows[r] * row, (size_t)row * sizeof *to->hidden);
    for (int64_t p = 0; p < MAX_INPUTS; p++)
      memcpy(to->past[p] + r * row, from->past[p] + rows[r] * row, (size_t)row * sizeof(float));
  }
}

static onward_tensor floats(const void *data, int32_t rank, const int64_t *dims) {
  onward_tensor t = {.dtype = ONWARD_FLOAT32, .rank = rank, .data = (void *)(uintptr_t)data};
  onward_error err;
  memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
  assert_int_equal(onward_tensor_bytes(t.dtype, rank, dims, &t.bytes, &err), ONWARD_OK);
  return t;
}

static bool is_constant(const char *name) { return is_past(name) && strstr(name, "encoder"); }

static onward_tensor past_tensor(const source *s, size_t input, int64_t length) {
  return floats(s->past[input], 4, (int64_t[]){s->rows, HEADS, length, s->size});
}

static size_t set_inputs(call *c, const decoder *d, const onward_state *state, const source *s, const text *t,
                         int64_t from, int64_t to) {
  static const bool no = false;
  c->count = c->used = 0;
  for (size_t i = 0; i < d->inputs; i++) {
    const char *const name = d->in[i].name;
    int64_t ids[MAX_ROWS * MAX_TOKENS];
    if (onward_state_keeps(state, name))
      continue;
    onward_tensor tensor = {0};
    if (strcmp(name, "input_ids") == 0) {
      for (int64_t r = 0; r < t->rows; r++)
        memcpy(ids + r * (to - from), t->ids[r] + from, (size_t)(to - from) * sizeof *ids);
      add_ints(c, name, t->rows, to - from, ids);
      continue;
    }
    if (strcmp(name, "encoder_attention_mask") == 0) {
      add_ints(c, name, s->rows, ENCODED, s->mask);
      continue;
    }
    if (strcmp(name, "encoder_hidden_states") == 0)
      tensor = floats(s->hidden, 3, (int64_t[]){s->rows, ENCODED, HEADS * s->size});
    else if (strcmp(name, "use_cache_branch") == 0)
      tensor = (onward_tensor){ONWARD_BOOL, 1, {1}, (void *)(uintptr_t)&no, 1};
    else
      tensor = past_tensor(s, i, is_constant(name) ? ENCODED : 0);
    c->in[c->count++] = (onward_named_tensor){name, tensor};
  }
  return c->count;
}

/* Logits of tokens [from, to), to be freed. */
static float *run_tokens(decoder *d, onward_state *state, const source *s, const text *t, int64_t from, int64_t to) {
  static call c;
  const size_t count = set_inputs(&c, d, state, s, t, from, to);
  onward_run_options options = onward_run_options_default();
  options.state = state;
  onward_named_tensor out = {.name = "logits"};
  onward_error err;
  if (onward_session_run(d->session, c.in, count, &out, 1, &options, &err) != ONWARD_OK)
    fail_msg("tokens %lld to %lld: %s", (long long)from, (long long)to, err.message);
  d->vocabulary = out.tensor.dims[2];
  float *const copy = malloc(out.tensor.bytes);
  assert_non_null(copy);
  return memcpy(copy, out.tensor.data, out.tensor.bytes);
}

static void go_on(decoder *d, onward_state *state, const source *s, const text *t, int64_t from, int64_t to,
                  const float *whole) {
  float *const got = run_tokens(d, state, s, t, from, to);
  assert_int_equal(onward_state_length(state), to);
  for (int64_t r = 0; r < t->rows; r++)
    for (int64_t i = from; i < to; i++)
      same_logits(d, "through a state", got, to - from, r, i - from, whole, t->length, r, i);
  free(got);
}

static onward_state *new_state(decoder *d, int64_t capacity) {
  onward_state *state = NULL;
  onward_error err;
  if (onward_state_create(d->model, capacity, &state, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  return state;
}

/* The encoder's keys and values, when the first run does not make them. */
static void give_constants(const decoder *d, onward_state *state, const source *s) {
  onward_named_tensor pasts[MAX_INPUTS];
  size_t count = 0;
  onward_error err;
  if (state->first)
    return;
  for (size_t i = 0; i < d->inputs; i++)
    if (is_constant(d->in[i].name))
      pasts[count++] = (onward_named_tensor){d->in[i].name, past_tensor(s, i, ENCODED)};
  if (onward_state_import(state, s->rows, pasts, count, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
}

static const char *const models[] = {"t5_decoder_merged_optimum", "marian_decoder_merged_optimum",
                                     "whisper_decoder_past_optimum", NULL};

static void on_each(void (*test)(decoder *d)) {
  for (size_t m = 0; models[m]; m++) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tests/models/%s", ONWARD_SOURCE_DIR, models[m]);
    decoder d = open_decoder(path);
    test(&d);
    close_decoder(&d);
  }
}

static void steps_of(decoder *d, int64_t dead) {
  static source s;
  const text t = some_text(d, 3, 12);
  make_source(&s, 8, 3, dead);
  float *const whole = run_tokens(d, NULL, &s, &t, 0, t.length);
  onward_state *const state = new_state(d, 12);
  give_constants(d, state, &s);
  go_on(d, state, &s, &t, 0, 4, whole);
  for (int64_t i = 4; i < 12; i++)
    go_on(d, state, &s, &t, i, i + 1, whole);
  onward_state_free(state);
  free(whole);
}

static void steps(decoder *d) { steps_of(d, -1); }
static void one_dead(decoder *d) { steps_of(d, 1); }

static void steps_give_the_cache_free_result(void **unused) {
  (void)unused;
  on_each(steps);
}

static void a_source_masked_altogether(void **unused) {
  (void)unused;
  on_each(one_dead);
}

static void beams(decoder *d) {
  static source s, wide_s;
  static const int64_t rows[3] = {1, 0, 1}, turned[3] = {2, 0, 1};
  onward_error err;
  text t = some_text(d, 2, 6), wide = some_text(d, 3, 12);
  for (int64_t r = 0; r < 3; r++)
    memcpy(wide.ids[r], t.ids[rows[r]], 6 * sizeof t.ids[0][0]);
  make_source(&s, 8, 2, -1);
  pick(&wide_s, &s, rows, 3);
  onward_state *const state = new_state(d, 20);
  float *const narrow = run_tokens(d, NULL, &s, &t, 0, 6), *const whole = run_tokens(d, NULL, &wide_s, &wide, 0, 12);
  give_constants(d, state, &s);
  go_on(d, state, &s, &t, 0, 6, narrow);
  assert_int_equal(onward_state_reorder(state, rows, 3, &err), ONWARD_OK); /* 2 rows become 3 */
  for (int64_t i = 6; i < 9; i++)
    go_on(d, state, &wide_s, &wide, i, i + 1, whole);
  onward_state *copy = NULL;
  assert_int_equal(onward_state_clone(state, &copy, &err), ONWARD_OK);
  for (int64_t i = 9; i < 12; i++)
    go_on(d, state, &wide_s, &wide, i, i + 1, whole);

  /* the copy goes back, changes its rows' places, and goes another way */
  assert_int_equal(onward_state_truncate(copy, 7, &err), ONWARD_OK);
  assert_int_equal(onward_state_reorder(copy, turned, 3, &err), ONWARD_OK);
  static source turned_s;
  pick(&turned_s, &wide_s, turned, 3);
  text other = wide;
  for (int64_t r = 0; r < 3; r++)
    for (int64_t i = 0; i < 12; i++)
      other.ids[r][i] = i < 7 ? wide.ids[turned[r]][i] : (wide.ids[r][i] + 3 * r + 1) % d->vocabulary;
  float *const differently = run_tokens(d, NULL, &turned_s, &other, 0, 12);
  for (int64_t i = 7; i < 12; i++)
    go_on(d, copy, &turned_s, &other, i, i + 1, differently);
  assert_int_equal(onward_state_truncate(state, 9, &err), ONWARD_OK);
  for (int64_t i = 9; i < 12; i++)
    go_on(d, state, &wide_s, &wide, i, i + 1, whole); /* untouched by the copy */

  /* emptied, for other rows: a merged decoder computes its encoder's part anew */
  assert_int_equal(onward_state_truncate(state, 0, &err), ONWARD_OK);
  give_constants(d, state, &s);
  go_on(d, state, &s, &t, 0, 6, narrow);
  onward_state_free(state);
  onward_state_free(copy);
  free(narrow);
  free(whole);
  free(differently);
}

static void reorder_truncate_clone(void **unused) {
  (void)unused;
  on_each(beams);
}

/* All tensors of a state as the pasts of another one. */
static void moved(decoder *d) {
  static source s;
  onward_error err;
  onward_named_tensor pasts[MAX_INPUTS];
  const text t = some_text(d, 2, 9);
  make_source(&s, 8, 2, -1);
  float *const whole = run_tokens(d, NULL, &s, &t, 0, 9);
  onward_state *const state = new_state(d, 9), *const other = new_state(d, 9);
  give_constants(d, state, &s);
  go_on(d, state, &s, &t, 0, 5, whole);
  for (size_t b = 0; b < state->count; b++) {
    const ow_state_pair *const pair = state->buffers[b].pair;
    const char *const input = d->in[pair->input].name;
    onward_value_info info = {.name = input};
    if (pair->output != SIZE_MAX)
      assert_int_equal(onward_model_output(d->model, pair->output, &info, &err), ONWARD_OK);
    assert_int_equal(pair->constant, is_constant(input));
    pasts[b].name = input;
    if (onward_state_export(state, info.name, &pasts[b].tensor, &err) != ONWARD_OK)
      fail_msg("%s", err.message);
    assert_int_equal(pasts[b].tensor.dims[0], 2);
    assert_int_equal(pasts[b].tensor.dims[1], HEADS);
    assert_int_equal(pasts[b].tensor.dims[2], pair->constant ? ENCODED : 5);
  }
  if (onward_state_import(other, 2, pasts, state->count, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  assert_int_equal(onward_state_length(other), 5);
  for (int64_t i = 5; i < 9; i++)
    go_on(d, other, &s, &t, i, i + 1, whole);
  assert_int_equal(onward_state_reorder(state, (int64_t[]){0}, 1, &err), ONWARD_OK);
  assert_int_equal(onward_state_import(state, 2, pasts, state->count, &err), ONWARD_OK); /* over what is there */
  go_on(d, state, &s, &t, 5, 6, whole);

  /* what does not fit leaves the state as it was */
  onward_named_tensor bad[MAX_INPUTS];
  memcpy(bad, pasts, sizeof bad);
  bad[0].name = "input_ids";
  assert_int_equal(onward_state_import(state, 2, bad, state->count, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "the state keeps no 'input_ids'"));
  assert_int_equal(onward_state_import(state, 2, pasts, state->count - 1, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "missing"));
  assert_int_equal(onward_state_import(state, 2, pasts + 1, state->count - 1, &err), ONWARD_INPUT);
  assert_int_equal(onward_state_import(state, 3, pasts, state->count, &err), ONWARD_INPUT);
  memcpy(bad, pasts, sizeof bad);
  bad[0].tensor.dtype = ONWARD_INT32;
  assert_int_equal(onward_state_import(state, 2, bad, state->count, &err), ONWARD_INPUT);
  bad[0].tensor = pasts[0].tensor;
  bad[0].tensor.bytes -= 4;
  assert_int_equal(onward_state_import(state, 2, bad, state->count, &err), ONWARD_INPUT);
  onward_state *const small = new_state(d, 4);
  assert_int_equal(onward_state_import(small, 2, pasts, state->count, &err), ONWARD_LIMIT);
  assert_int_equal(onward_state_length(small), 0);
  onward_state_free(small);
  for (int64_t i = 6; i < 9; i++)
    go_on(d, state, &s, &t, i, i + 1, whole);
  for (size_t b = 0; b < state->count; b++)
    onward_free(pasts[b].tensor.data);
  onward_state_free(state);
  onward_state_free(other);
  free(whole);
}

static void export_and_import(void **unused) {
  (void)unused;
  on_each(moved);
}

/* Two files: the decoder without a past makes all pasts for the one with a past. */
static void check_two_files(const char *folder) {
  static source s;
  static call c;
  char path[512];
  (void)snprintf(path, sizeof path, "%s/tests/models/seq2seq/%s/decoder_model.onnx", ONWARD_SOURCE_DIR, folder);
  decoder first = open_decoder(path);
  (void)snprintf(path, sizeof path, "%s/tests/models/seq2seq/%s/decoder_with_past_model.onnx", ONWARD_SOURCE_DIR,
                 folder);
  decoder next = open_decoder(path);
  onward_error err;
  onward_named_tensor made[MAX_INPUTS], pasts[MAX_INPUTS];
  size_t count = 0;
  const text t = some_text(&first, 2, 9);
  make_source(&s, 4, 2, -1);
  float *const whole = run_tokens(&first, NULL, &s, &t, 0, 9);
  onward_state *const state = new_state(&next, 9);
  assert_false(onward_state_keeps(state, "encoder_attention_mask"));
  assert_int_equal(onward_state_create(first.model, 9, &(onward_state *){NULL}, &err), ONWARD_UNSUPPORTED);
  size_t given = set_inputs(&c, &next, state, &s, &t, 0, 1);
  onward_named_tensor logits = {.name = "logits"};
  onward_run_options options = onward_run_options_default();
  options.state = state;
  assert_int_equal(onward_session_run(next.session, c.in, given, &logits, 1, &options, &err), ONWARD_INPUT);
  assert_non_null(strstr(err.message, "give it with onward_state_import"));

  given = set_inputs(&c, &first, NULL, &s, &t, 0, 3);
  memset(made, 0, sizeof made);
  for (size_t i = 0; i < next.inputs; i++)
    if (is_past(next.in[i].name)) {
      char name[128];
      (void)snprintf(name, sizeof name, "present%s", next.in[i].name + strlen("past_key_values"));
      pasts[count].name = next.in[i].name;
      for (size_t o = 0; o < first.outputs; o++) {
        onward_value_info info;
        assert_int_equal(onward_model_output(first.model, o, &info, &err), ONWARD_OK);
        if (strcmp(info.name, name) == 0)
          made[count].name = info.name;
      }
      assert_non_null(made[count++].name);
    }
  assert_int_equal(count, 4);
  if (onward_session_run(first.session, c.in, given, made, count, NULL, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  for (size_t p = 0; p < count; p++)
    pasts[p].tensor = made[p].tensor;
  if (onward_state_import(state, 2, pasts, count, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  for (int64_t i = 3; i < 9; i++)
    go_on(&next, state, &s, &t, i, i + 1, whole);
  onward_state_free(state);
  free(whole);
  close_decoder(&first);
  close_decoder(&next);
}

static void two_files(void **unused) {
  (void)unused;
  check_two_files("t5");
  check_two_files("bart");
  check_two_files("whisper");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(steps_give_the_cache_free_result), cmocka_unit_test(a_source_masked_altogether),
      cmocka_unit_test(reorder_truncate_clone), cmocka_unit_test(export_and_import), cmocka_unit_test(two_files)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
