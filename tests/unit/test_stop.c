/* Cancel, deadlines and progress: a run or load ends early, inside a long operator too, and nothing is lost by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "onward/onward.h"
#include "unit/onnx_bytes.h"

enum { F32 = 1, NODE = 1, INPUT = 11, OUTPUT = 12, SIDE = 2400 };
static const double much = 20.0; /* seconds: what stands for "it was not left early" on any machine */

static double seconds(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* y = a b, for some hundred nodes more when chain is long: y = relu(relu(... a b)) */
static pb product(int chain) {
  pb g = {0};
  char from[32], to[32];
  pb_message(&g, NODE, pb_node("MatMul", "a b", chain ? "r0" : "y"));
  for (int i = 0; i < chain; i++) {
    (void)snprintf(from, sizeof from, "r%d", i);
    (void)snprintf(to, sizeof to, "r%d", i + 1);
    pb_message(&g, NODE, pb_node("Relu", from, i + 1 == chain ? "y" : to));
  }
  pb_message(&g, INPUT, pb_value("a", F32, "m k"));
  pb_message(&g, INPUT, pb_value("b", F32, "k n"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "m n"));
  return pb_model(g);
}

typedef struct fixture {
  pb bytes;
  onward_model *model;
  onward_session *session;
  onward_error err;
  float *data;
} fixture;

static void open_product(fixture *f, bool reference, uint64_t deadline_ms, int32_t threads) {
  onward_model_options options = onward_model_options_default();
  onward_session_options session = onward_session_options_default();
  options.reference = reference;
  options.limits.deadline_ms = deadline_ms;
  session.threads = threads;
  *f = (fixture){.bytes = product(0)};
  if (onward_model_load_memory(f->bytes.data, f->bytes.size, NULL, &options, &f->model, &f->err) ||
      onward_session_create(f->model, &session, &f->session, &f->err))
    fail_msg("%s", f->err.message);
  f->data = calloc((size_t)SIDE * SIDE, sizeof *f->data);
  assert_non_null(f->data);
}

static void close_product(fixture *f) {
  onward_session_free(f->session);
  onward_model_free(f->model);
  pb_free(&f->bytes);
  free(f->data);
}

static onward_status multiply(fixture *f, int64_t side, uint64_t deadline_ms) {
  const size_t bytes = (size_t)(side * side) * sizeof *f->data;
  const onward_named_tensor in[] = {{"a", {ONWARD_FLOAT32, 2, {side, side}, f->data, bytes}},
                                    {"b", {ONWARD_FLOAT32, 2, {side, side}, f->data, bytes}}};
  onward_named_tensor out[] = {{.name = "y"}};
  onward_run_options options = onward_run_options_default();
  options.deadline_ms = deadline_ms;
  f->err.message[0] = '\0';
  return onward_session_run(f->session, in, 2, out, 1, &options, &f->err);
}

/* The scalar product of this size takes longer than `much`; one deadline in the options of the model, one in those of the run. */
static void a_deadline_ends_one_long_operator(void **state) {
  (void)state;
  for (int32_t threads = 1; threads <= 2; threads++) {
    fixture f;
    open_product(&f, true, 0, threads);
    const double start = seconds();
    assert_int_equal(multiply(&f, SIDE, 40), ONWARD_CANCELLED);
    assert_true(seconds() - start < much);
    assert_non_null(strstr(f.err.message, "past the deadline of 40 ms (--limit deadline_ms=N)"));
    assert_non_null(strstr(f.err.message, "MatMul"));
    assert_int_equal(multiply(&f, 4, 0), ONWARD_OK);
    close_product(&f);
    open_product(&f, true, 30, threads);
    assert_int_equal(multiply(&f, SIDE, 60000), ONWARD_CANCELLED);
    assert_non_null(strstr(f.err.message, "past the deadline of 30 ms"));
    close_product(&f);
  }
}

static void a_cancel_before_the_run_is_kept(void **state) {
  (void)state;
  fixture f;
  open_product(&f, false, 0, 2);
  onward_session_cancel(f.session);
  assert_int_equal(multiply(&f, 4, 0), ONWARD_CANCELLED);
  assert_non_null(strstr(f.err.message, "model: cancelled"));
  assert_int_equal(multiply(&f, 4, 0), ONWARD_OK); /* answered: forgotten */
  onward_session_cancel(f.session);
  onward_session_clear_cancel(f.session);
  assert_int_equal(multiply(&f, 4, 0), ONWARD_OK);
  onward_session_cancel(NULL);
  onward_session_clear_cancel(NULL);
  close_product(&f);
}

typedef struct report {
  int calls, stop_at; /* -1: never */
  double last;
  char stages[256];
} report;

static bool on_progress(void *context, const char *stage, double fraction) {
  report *const r = context;
  assert_true(fraction >= r->last && fraction <= 1.0);
  r->last = fraction;
  if (!strstr(r->stages, stage) && strlen(r->stages) + strlen(stage) + 2 < sizeof r->stages)
    (void)strcat(strcat(r->stages, stage), " ");
  return r->calls++ != r->stop_at;
}

/* Giving up at each call that a whole load makes. */
static void a_load_reports_and_can_be_given_up(void **state) {
  (void)state;
  pb bytes = product(20);
  onward_error err;
  onward_model *model = NULL;
  report whole = {.stop_at = -1};
  onward_model_options options = onward_model_options_default();
  options.progress = on_progress;
  options.progress_context = &whole;
  assert_int_equal(onward_model_load_memory(bytes.data, bytes.size, NULL, &options, &model, &err), ONWARD_OK);
  onward_model_free(model);
  assert_true(whole.last >= 1.0 && whole.last <= 1.0);
  assert_string_equal(whole.stages, "scan parse import shapes passes done ");
  for (int i = 0; i < whole.calls; i++) {
    report r = {.stop_at = i};
    options.progress_context = &r;
    model = NULL;
    assert_int_equal(onward_model_load_memory(bytes.data, bytes.size, NULL, &options, &model, &err), ONWARD_CANCELLED);
    assert_null(model);
    assert_int_equal(r.calls, i + 1); /* not asked again */
    assert_non_null(strstr(err.message, "cancelled"));
  }
  pb_free(&bytes);
}

static bool dawdle(void *context, const char *stage, double fraction) {
  (void)context, (void)stage, (void)fraction;
  const double start = seconds();
  while (seconds() - start < 0.02)
    ;
  return true;
}

static void a_load_has_a_deadline(void **state) {
  (void)state;
  pb bytes = product(20);
  onward_error err;
  onward_model *model = NULL;
  onward_model_options options = onward_model_options_default();
  options.progress = dawdle;
  options.limits.deadline_ms = 5;
  assert_int_equal(onward_model_load_memory(bytes.data, bytes.size, NULL, &options, &model, &err), ONWARD_CANCELLED);
  assert_non_null(strstr(err.message, "past the deadline of 5 ms (--limit deadline_ms=N)"));
  assert_null(model);
  pb_free(&bytes);
}

static void expect_limit(uint64_t *limit, uint64_t value, const onward_model_options *options, const char *text) {
  pb bytes = product(20);
  fixture f = {.session = NULL};
  float data[64 * 64] = {0};
  f.data = data;
  *limit = value;
  onward_status status = onward_model_load_memory(bytes.data, bytes.size, NULL, options, &f.model, &f.err);
  if (status == ONWARD_OK && (status = onward_session_create(f.model, NULL, &f.session, &f.err)) == ONWARD_OK)
    status = multiply(&f, 64, 0);
  if (status != ONWARD_LIMIT || !strstr(f.err.message, text))
    fail_msg("status %d: %s; want %s", (int)status, f.err.message, text);
  onward_session_free(f.session);
  onward_model_free(f.model);
  pb_free(&bytes);
  *limit = 0;
}

static void limits_name_themselves(void **state) {
  (void)state;
  onward_model_options o = onward_model_options_default();
  expect_limit(&o.limits.file_bytes, 10, &o, "limit file_bytes of 10 (--limit file_bytes=N)");
  expect_limit(&o.limits.metadata_bytes, 100, &o, "limit metadata_bytes of 100 (--limit metadata_bytes=N)");
  expect_limit(&o.limits.nodes, 5, &o, "limit nodes of 5 (--limit nodes=N)");
  expect_limit(&o.limits.tensor_bytes, 16383, &o, "limit tensor_bytes of 16383 (--limit tensor_bytes=N)");
  expect_limit(&o.limits.total_bytes, 16383, &o, "limit total_bytes of 16383 (--limit total_bytes=N)");
  onward_model *model = NULL;
  onward_error err;
  o.limits.reserved[3] = 1;
  assert_int_equal(onward_model_load_memory("x", 1, NULL, &o, &model, &err), ONWARD_ARGUMENT);
  assert_non_null(strstr(err.message, "reserved[3]"));
}

/* With no_mmap the caller's bytes may go at once. */
static void memory_is_borrowed_or_copied(void **state) {
  (void)state;
  fixture f = {.bytes = product(0)};
  float two[4] = {1, 2, 3, 4};
  onward_model_options options = onward_model_options_default();
  options.no_mmap = true;
  assert_int_equal(onward_model_load_memory(f.bytes.data, f.bytes.size, NULL, &options, &f.model, &f.err), ONWARD_OK);
  memset(f.bytes.data, 0xff, f.bytes.size);
  pb_free(&f.bytes);
  assert_int_equal(onward_session_create(f.model, NULL, &f.session, &f.err), ONWARD_OK);
  f.data = two;
  assert_int_equal(multiply(&f, 2, 0), ONWARD_OK);
  onward_session_free(f.session);
  onward_model_free(f.model);
  onward_model *model = NULL;
  assert_int_equal(onward_model_load_memory(NULL, 0, NULL, NULL, &model, &f.err), ONWARD_FORMAT);
  assert_int_equal(onward_model_load_memory(NULL, 4, NULL, NULL, &model, &f.err), ONWARD_ARGUMENT);
  assert_int_equal(onward_model_load_memory("abc", 3, NULL, NULL, NULL, &f.err), ONWARD_ARGUMENT);
  assert_null(model);
}

int main(void) {
  (void)alarm(300);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_deadline_ends_one_long_operator),
      cmocka_unit_test(a_cancel_before_the_run_is_kept),
      cmocka_unit_test(a_load_reports_and_can_be_given_up),
      cmocka_unit_test(a_load_has_a_deadline),
      cmocka_unit_test(limits_name_themselves),
      cmocka_unit_test(memory_is_borrowed_or_copied),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
