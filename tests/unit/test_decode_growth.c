/* A decoder fed its own present builds few plans and makes no primitive once it goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onward/onward.h"

enum { MAX_PAST = 8, STEPS = 64 };

typedef struct decoder {
  onward_model *model;
  onward_session *session;
  size_t past_count;
  onward_tensor past[MAX_PAST]; /* owned copies */
} decoder;

static void open_decoder(decoder *d) {
  onward_error err;
  *d = (decoder){0};
  if (onward_model_load(ONWARD_SOURCE_DIR "/tests/models/gpt2_ts14", NULL, &d->model, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  assert_int_equal(onward_session_create(d->model, NULL, &d->session, &err), ONWARD_OK);
  for (size_t i = 0; i < onward_model_input_count(d->model); i++) {
    onward_value_info info;
    assert_int_equal(onward_model_input(d->model, i, &info, &err), ONWARD_OK);
    if (strncmp(info.name, "past", 4) != 0)
      continue;
    assert_true(d->past_count < MAX_PAST);
    onward_tensor *const t = &d->past[d->past_count++];
    *t = (onward_tensor){info.dtype, info.rank, {1, info.dims[1], 0, info.dims[3]}, NULL, 0};
  }
  assert_true(d->past_count > 0);
}

static void close_decoder(decoder *d) {
  for (size_t i = 0; i < d->past_count; i++)
    free(d->past[i].data);
  onward_session_free(d->session);
  onward_model_free(d->model);
}

/* One token; the logits' last row goes to logits (vocabulary of the model). */
static void step(decoder *d, int64_t token, int64_t past, float *logits, size_t vocabulary) {
  static int64_t ones[STEPS + 1];
  onward_named_tensor in[MAX_PAST + 3], out[MAX_PAST + 1] = {{.name = "logits"}};
  onward_error err;
  size_t n = 0, k = 0;
  for (int64_t i = 0; i <= past; i++)
    ones[i] = 1;
  for (size_t i = 0; i < onward_model_input_count(d->model); i++) {
    onward_value_info info;
    assert_int_equal(onward_model_input(d->model, i, &info, &err), ONWARD_OK);
    if (strncmp(info.name, "past", 4) == 0)
      in[n++] = (onward_named_tensor){info.name, d->past[k++]};
    else if (strcmp(info.name, "attention_mask") == 0)
      in[n++] =
          (onward_named_tensor){info.name, {ONWARD_INT64, 2, {1, past + 1}, ones, (size_t)(past + 1) * sizeof *ones}};
    else if (strcmp(info.name, "position_ids") == 0)
      in[n++] = (onward_named_tensor){info.name, {ONWARD_INT64, 2, {1, 1}, &past, sizeof past}};
    else
      in[n++] = (onward_named_tensor){info.name, {ONWARD_INT64, 2, {1, 1}, &token, sizeof token}};
  }
  size_t outputs = 1;
  for (size_t o = 0; o < onward_model_output_count(d->model); o++) {
    onward_value_info info;
    assert_int_equal(onward_model_output(d->model, o, &info, &err), ONWARD_OK);
    if (strncmp(info.name, "present", 7) == 0)
      out[outputs++] = (onward_named_tensor){.name = info.name};
  }
  assert_int_equal(outputs - 1, d->past_count);
  if (onward_session_run(d->session, in, n, out, outputs, NULL, &err) != ONWARD_OK)
    fail_msg("past %lld: %s", (long long)past, err.message);
  assert_int_equal(out[0].tensor.bytes, vocabulary * sizeof(float));
  memcpy(logits, out[0].tensor.data, vocabulary * sizeof(float));
  for (size_t i = 0; i < d->past_count; i++) {
    free(d->past[i].data);
    d->past[i] = out[i + 1].tensor;
    assert_non_null(d->past[i].data = malloc(out[i + 1].tensor.bytes));
    memcpy(d->past[i].data, out[i + 1].tensor.data, out[i + 1].tensor.bytes);
    assert_int_equal(d->past[i].dims[2], past + 1);
  }
}

static size_t vocabulary_of(onward_model *model) {
  onward_value_info info;
  onward_error err;
  for (size_t o = 0; o < onward_model_output_count(model); o++) {
    assert_int_equal(onward_model_output(model, o, &info, &err), ONWARD_OK);
    if (strcmp(info.name, "logits") == 0)
      return (size_t)info.dims[2];
  }
  fail_msg("no logits");
  return 0;
}

static void few_plans(void **state) {
  (void)state;
  decoder d;
  open_decoder(&d);
  const size_t vocabulary = vocabulary_of(d.model);
  float *const logits = malloc(vocabulary * sizeof *logits);
  onward_session_stats at16 = {0};
  for (int64_t i = 0; i < STEPS; i++) {
    if (i == 16)
      at16 = onward_session_get_stats(d.session);
    step(&d, (7 * i + 3) % (int64_t)vocabulary, i, logits, vocabulary);
  }
  const onward_session_stats end = onward_session_get_stats(d.session);
  assert_true(end.plans_built - at16.plans_built <= 2);
  assert_int_equal(end.primitives_created, at16.primitives_created);
  assert_true(end.plans_rebound > at16.plans_rebound);

  /* a session that plans each shape for itself gives the same: past as after STEPS - 1 steps, in a fresh session */
  decoder fresh;
  open_decoder(&fresh);
  float *const want = malloc(vocabulary * sizeof *want);
  onward_session *session = NULL;
  onward_error err;
  for (int64_t i = 0; i < STEPS; i++) {
    assert_int_equal(onward_session_create(fresh.model, NULL, &session, &err), ONWARD_OK);
    onward_session_free(fresh.session);
    fresh.session = session;
    step(&fresh, (7 * i + 3) % (int64_t)vocabulary, i, want, vocabulary);
  }
  for (size_t v = 0; v < vocabulary; v++)
    assert_true(logits[v] == want[v]);
  free(want);
  free(logits);
  close_decoder(&fresh);
  close_decoder(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(few_plans)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
