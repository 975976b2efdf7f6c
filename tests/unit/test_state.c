/* Decoders run through a state give what they give without a cache. */
#include "decoder_fixture.h"
#include "runtime/state.h"

/* ONWARD_STATE_MODEL=FOLDER tries another one by hand. */
static const char *const models[] = {"gpt2_ts14",
                                     "llama_ts17",
                                     "bloom_optimum",
                                     "gemma2_ts17",
                                     "gpt2_optimum",
                                     "gpt2_ort_fused",
                                     "gpt_neox_ts17",
                                     "opt_ts17",
                                     "phi3_ts17_sdpa",
                                     "llama_dynamo20_sdpa",
                                     "llama_dynamo23_sdpa",
                                     "llama_nbits4_sym",
                                     "mistral_dynamo18",
                                     "qwen3_ts17",
                                     "qwen3_ort_fused",
                                     "qwen2_optimum",
                                     "qwen2_nbits4_asym",
                                     "gpt2_stacked_ort_fused",
                                     NULL};

/* GroupQueryAttention knows the sum of a row's mask and nothing else of it: rows are padded on the right. */
static const char *const grouped[] = {"llama_genai_fp32", "qwen2_genai_int4", NULL};

static void on_each_of(const char *const *names, void (*test)(decoder *d)) {
  const char *const other = getenv("ONWARD_STATE_MODEL");
  for (size_t m = 0; names[m]; m++) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tests/models/%s", ONWARD_SOURCE_DIR, names[m]);
    decoder d = open_decoder(other ? other : path);
    test(&d);
    close_decoder(&d);
    if (other)
      return;
  }
}

static void on_each(void (*test)(decoder *d)) { on_each_of(models, test); }
static void on_all(void (*test)(decoder *d)) {
  on_each_of(models, test);
  on_each_of(grouped, test);
}

static onward_state *new_state(decoder *d, int64_t capacity) {
  onward_state *state = NULL;
  onward_error err;
  if (onward_state_create(d->model, capacity, &state, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  assert_int_equal(onward_state_length(state), 0);
  return state;
}

/* [from, to) in one run; each token against `whole`, the cache-free logits of tokens [0, t->length). */
static void go_on(decoder *d, onward_state *state, const text *t, int64_t from, int64_t to, const float *whole) {
  float *const got = logits_of(d, state, NULL, t, from, to, false);
  assert_int_equal(onward_state_length(state), to);
  for (int64_t r = 0; r < t->rows; r++)
    for (int64_t i = from; i < to; i++)
      if (i >= t->pad[r] && !t->all_masked[r])
        same_logits(d, "through a state", got, to - from, r, i - from, whole, t->length, r, i);
  free(got);
}

static void steps(decoder *d) {
  const text t = some_text(d, 2, 14);
  float *const whole = logits_of(d, NULL, NULL, &t, 0, t.length, false);
  onward_state *const state = new_state(d, 16);
  go_on(d, state, &t, 0, 5, whole);
  for (int64_t i = 5; i < 11; i++)
    go_on(d, state, &t, i, i + 1, whole);
  go_on(d, state, &t, 11, 14, whole); /* several at once, after the past */
  onward_state_free(state);
  free(whole);
}

static void steps_give_the_cache_free_result(void **unused) {
  (void)unused;
  on_all(steps);
}

static void padded(decoder *d) {
  text t = some_text(d, 3, 12);
  t.pad[1] = 3;
  t.pad[2] = 6;
  float *const whole = logits_of(d, NULL, NULL, &t, 0, t.length, false);
  onward_state *const state = new_state(d, 12);
  go_on(d, state, &t, 0, 8, whole);
  for (int64_t i = 8; i < 12; i++)
    go_on(d, state, &t, i, i + 1, whole);
  /* a padded row is what the row alone is, without padding */
  text alone = {.rows = 1, .length = 6};
  memcpy(alone.ids[0], t.ids[2] + 6, 6 * sizeof alone.ids[0][0]);
  bool has_positions = false;
  for (size_t i = 0; i < d->inputs; i++)
    has_positions = has_positions || strstr(d->in[i].name, "position");
  if (has_positions) {
    float *const bare = logits_of(d, NULL, NULL, &alone, 0, 6, false);
    for (int64_t i = 0; i < 6; i++)
      same_logits(d, "a padded row", whole, t.length, 2, 6 + i, bare, 6, 0, i);
    free(bare);
  }
  onward_state_free(state);
  free(whole);
}

static void left_padding_and_mixed_lengths(void **unused) {
  (void)unused;
  on_each(padded);
}

/* Rows of unlike length in one batch, padded on the right; then they go on, each from its own end. */
static void padded_right(decoder *d) {
  enum { LONGEST = 6, MORE = 4 };
  static const int64_t length[3] = {LONGEST, 4, 1};
  const text t = some_text(d, 3, LONGEST + MORE);
  float *want[3];
  for (int64_t r = 0; r < 3; r++) {
    text alone = {.rows = 1, .length = length[r] + MORE};
    memcpy(alone.ids[0], t.ids[r], sizeof alone.ids[0]);
    want[r] = logits_of(d, NULL, NULL, &alone, 0, alone.length, false);
  }
  onward_state *const state = new_state(d, LONGEST + MORE);
  for (int64_t held = 0; held < LONGEST + MORE; held += held ? 1 : LONGEST) {
    const int64_t columns = held ? 1 : LONGEST, covered = held + columns;
    int64_t ids[3 * LONGEST], mask[3 * (LONGEST + MORE)];
    for (int64_t r = 0; r < 3; r++) {
      for (int64_t k = 0; k < columns; k++)
        ids[r * columns + k] = held ? t.ids[r][length[r] + held - LONGEST] : t.ids[r][k];
      for (int64_t k = 0; k < covered; k++)
        mask[r * covered + k] = k < length[r] || k >= LONGEST;
    }
    static call c;
    c.count = c.used = 0;
    add_ints(&c, "input_ids", 3, columns, ids);
    add_ints(&c, "attention_mask", 3, covered, mask);
    onward_run_options options = onward_run_options_default();
    options.state = state;
    onward_named_tensor out = {.name = "logits"};
    onward_error err;
    if (onward_session_run(d->session, c.in, c.count, &out, 1, &options, &err) != ONWARD_OK)
      fail_msg("%s", err.message);
    for (int64_t r = 0; r < 3; r++)
      for (int64_t k = 0; k < (held ? 1 : length[r]); k++)
        same_logits(d, "rows of unlike length", out.tensor.data, columns, r, k, want[r], length[r] + MORE, 0,
                    held ? length[r] + held - LONGEST : k);
  }
  onward_state_free(state);
  for (int64_t r = 0; r < 3; r++)
    free(want[r]);
}

static void right_padding(void **unused) {
  (void)unused;
  on_each_of(grouped, padded_right);
}

/* The state's caches as the pasts of a run without a state. */
static void export_pasts(const decoder *d, const onward_state *state, onward_tensor pasts[MAX_INPUTS]) {
  onward_error err;
  for (size_t b = 0; b < state->count; b++) {
    const ow_state_pair *const pair = state->buffers[b].pair;
    onward_value_info info;
    assert_int_equal(onward_model_output(d->model, pair->output, &info, &err), ONWARD_OK);
    if (onward_state_export(state, info.name, &pasts[pair->input], &err) != ONWARD_OK)
      fail_msg("%s", err.message);
  }
}

static void masked(decoder *d) {
  text t = some_text(d, 2, 9);
  t.all_masked[0] = true;
  onward_state *const state = new_state(d, 9);
  for (int64_t i = 0; i < 9; i += 3) {
    onward_tensor pasts[MAX_INPUTS] = {{0}};
    if (i > 0)
      export_pasts(d, state, pasts);
    float *const want = logits_of(d, NULL, i > 0 ? pasts : NULL, &t, i, i + 3, false);
    float *const got = logits_of(d, state, NULL, &t, i, i + 3, false);
    for (int64_t r = 0; r < 2; r++)
      for (int64_t k = 0; k < 3; k++)
        same_logits(d, "a fully masked row", got, 3, r, k, want, 3, r, k);
    for (size_t p = 0; p < MAX_INPUTS; p++)
      onward_free(pasts[p].data);
    free(want);
    free(got);
  }
  onward_state_free(state);
}

static void fully_masked_rows(void **unused) {
  (void)unused;
  on_all(masked);
}

static void beams(decoder *d) {
  const int64_t rows[3] = {1, 0, 1};
  text t = some_text(d, 2, 6), wide = some_text(d, 3, 12);
  for (int64_t r = 0; r < 3; r++)
    memcpy(wide.ids[r], t.ids[rows[r]], 6 * sizeof t.ids[0][0]);
  onward_state *const state = new_state(d, 20);
  onward_error err;
  float *const narrow = logits_of(d, NULL, NULL, &t, 0, 6, false),
               *whole = logits_of(d, NULL, NULL, &wide, 0, 12, false);
  go_on(d, state, &t, 0, 6, narrow);
  assert_int_equal(onward_state_reorder(state, rows, 3, &err), ONWARD_OK); /* 2 rows become 3 */
  for (int64_t i = 6; i < 9; i++)
    go_on(d, state, &wide, i, i + 1, whole);
  onward_state *copy = NULL;
  assert_int_equal(onward_state_clone(state, &copy, &err), ONWARD_OK);
  go_on(d, state, &wide, 9, 12, whole);

  /* the copy goes its own way, back first */
  assert_int_equal(onward_state_length(copy), 9);
  assert_int_equal(onward_state_truncate(copy, 7, &err), ONWARD_OK);
  assert_int_equal(onward_state_length(copy), 7);
  text other = wide;
  for (int64_t r = 0; r < 3; r++)
    for (int64_t i = 7; i < 12; i++)
      other.ids[r][i] = (wide.ids[r][i] + 3 * r + 1) % d->vocabulary;
  float *const differently = logits_of(d, NULL, NULL, &other, 0, 12, false);
  go_on(d, copy, &other, 7, 12, differently);
  assert_int_equal(onward_state_truncate(state, 9, &err), ONWARD_OK);
  go_on(d, state, &wide, 9, 12, whole); /* untouched by the copy */

  /* one row is left; then empty, for other rows */
  assert_int_equal(onward_state_truncate(copy, 0, &err), ONWARD_OK);
  go_on(d, copy, &t, 0, 6, narrow);
  assert_int_equal(onward_state_reorder(copy, &rows[0], 1, &err), ONWARD_OK);
  text one = {.rows = 1, .length = 12};
  memcpy(one.ids[0], wide.ids[0], sizeof one.ids[0]);
  for (int64_t i = 6; i < 12; i++)
    go_on(d, copy, &one, i, i + 1, whole);
  onward_state_free(state);
  onward_state_free(copy);
  free(narrow);
  free(whole);
  free(differently);
}

static void reorder_truncate_clone(void **unused) {
  (void)unused;
  on_all(beams);
}

static void last(decoder *d) {
  const text t = some_text(d, 2, 7);
  float *const all = logits_of(d, NULL, NULL, &t, 0, 7, false), *const bare = logits_of(d, NULL, NULL, &t, 0, 7, true);
  onward_state *const state = new_state(d, 8);
  float *const cached = logits_of(d, state, NULL, &t, 0, 7, true);
  for (int64_t r = 0; r < 2; r++) {
    same_logits(d, "last logits", bare, 1, r, 0, all, 7, r, 6);
    same_logits(d, "last logits with a state", cached, 1, r, 0, all, 7, r, 6);
  }
  onward_state_free(state);
  free(all);
  free(bare);
  free(cached);
}

static void logits_of_the_last_token(void **unused) {
  (void)unused;
  on_all(last);
}

static void misuse(decoder *d) {
  text t = some_text(d, 1, 10);
  float *const whole = logits_of(d, NULL, NULL, &t, 0, 10, false);
  static call c;
  onward_error err;
  onward_state *state = NULL;
  assert_int_equal(onward_state_create(d->model, 0, &state, &err), ONWARD_ARGUMENT);
  state = new_state(d, 8);
  onward_run_options options = onward_run_options_default();
  options.state = state;
  onward_named_tensor out = {.name = "logits"};
  go_on(d, state, &t, 0, 6, whole);

  set_call(&c, d, &t, 6, 10); /* more than it has room for */
  assert_int_equal(onward_session_run(d->session, c.in, c.count, &out, 1, &options, &err), ONWARD_LIMIT);
  assert_non_null(strstr(err.message, "would hold 10 tokens; it was made for 8"));
  assert_int_equal(onward_state_length(state), 6);
  const int64_t good = t.ids[0][6];
  t.ids[0][6] = 1 << 30;
  set_call(&c, d, &t, 6, 7); /* no such word */
  assert_int_equal(onward_session_run(d->session, c.in, c.count, &out, 1, &options, &err), ONWARD_DATA);
  t.ids[0][6] = good;
  assert_int_equal(onward_state_length(state), 6);
  go_on(d, state, &t, 6, 7, whole);

  set_call(&c, d, &t, 7, 8);
  for (size_t i = 0; i < d->inputs; i++)
    if (is_past(d->in[i].name)) {
      c.in[c.count] = (onward_named_tensor){d->in[i].name, {d->in[i].dtype, d->in[i].rank, {1}, NULL, 0}};
      assert_int_equal(onward_session_run(d->session, c.in, c.count + 1, &out, 1, &options, &err), ONWARD_INPUT);
      assert_non_null(strstr(err.message, "is kept in the state"));
      break;
    }
  onward_value_info info;
  assert_int_equal(onward_model_output(d->model, state->buffers[0].pair->output, &info, &err), ONWARD_OK);
  onward_named_tensor present = {.name = info.name};
  assert_int_equal(onward_session_run(d->session, c.in, c.count, &present, 1, &options, &err), ONWARD_INPUT);
  assert_int_equal(onward_state_truncate(state, 8, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_state_truncate(state, -1, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_state_reorder(state, &(int64_t){1}, 1, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_state_reorder(state, NULL, 0, &err), ONWARD_ARGUMENT);
  onward_tensor tensor;
  assert_int_equal(onward_state_export(state, "logits", &tensor, &err), ONWARD_ARGUMENT);

  atomic_store(&state->busy, true); /* as a run in another thread leaves it */
  onward_state *copy = NULL;
  assert_int_equal(onward_session_run(d->session, c.in, c.count, &out, 1, &options, &err), ONWARD_ARGUMENT);
  assert_non_null(strstr(err.message, "another run is using the state"));
  assert_int_equal(onward_state_truncate(state, 0, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_state_clone(state, &copy, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_state_reorder(state, &(int64_t){0}, 1, &err), ONWARD_ARGUMENT);
  assert_int_equal(onward_state_export(state, info.name, &tensor, &err), ONWARD_ARGUMENT);
  atomic_store(&state->busy, false);
  go_on(d, state, &t, 7, 8, whole);

  decoder twin = open_decoder(ONWARD_SOURCE_DIR "/tests/models/gpt2_ts14");
  assert_int_equal(onward_session_run(twin.session, c.in, c.count, &out, 1, &options, &err), ONWARD_ARGUMENT);
  assert_non_null(strstr(err.message, "another model"));
  close_decoder(&twin);
  onward_state_free(state);
  free(whole);
}

static void misuse_is_an_error(void **unused) {
  (void)unused;
  on_all(misuse);
}

static void a_model_without_a_cache(void **unused) {
  (void)unused;
  decoder d = open_decoder(ONWARD_SOURCE_DIR "/tests/models/bert_ts14");
  onward_state *state = NULL;
  onward_error err;
  assert_int_equal(onward_state_create(d.model, 8, &state, &err), ONWARD_UNSUPPORTED);
  assert_non_null(strstr(err.message, "no cache to keep"));
  assert_int_equal(onward_state_length(NULL), -1);
  onward_state_free(NULL);
  close_decoder(&d);
}

static void long_run_plans_nothing(void **unused) {
  (void)unused;
  decoder d = open_decoder(ONWARD_SOURCE_DIR "/tests/models/llama_ts17");
  const text t = some_text(&d, 1, 340);
  onward_state *const state = new_state(&d, 400);
  onward_session_stats at16 = {0};
  onward_error err;
  for (int turn = 0; turn < 2; turn++) {
    free(logits_of(&d, state, NULL, &t, 0, 30, true));
    for (int64_t i = 30; i < 340; i++) {
      if (i == 46 && turn == 0)
        at16 = onward_session_get_stats(d.session);
      free(logits_of(&d, state, NULL, &t, i, i + 1, true));
    }
    assert_int_equal(onward_state_truncate(state, 0, &err), ONWARD_OK);
  }
  const onward_session_stats end = onward_session_get_stats(d.session);
  assert_int_equal(end.plans_built, at16.plans_built); /* not even for a second text */
  assert_int_equal(end.primitives_created, at16.primitives_created);
  onward_state_free(state);
  close_decoder(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(steps_give_the_cache_free_result),
                                     cmocka_unit_test(left_padding_and_mixed_lengths),
                                     cmocka_unit_test(right_padding),
                                     cmocka_unit_test(fully_masked_rows),
                                     cmocka_unit_test(reorder_truncate_clone),
                                     cmocka_unit_test(logits_of_the_last_token),
                                     cmocka_unit_test(misuse_is_an_error),
                                     cmocka_unit_test(a_model_without_a_cache),
                                     cmocka_unit_test(long_run_plans_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
