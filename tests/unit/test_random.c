/* Operators that draw: their statistics, and what a seed promises. Bounds are five standard deviations and more; the numbers are the
 * same everywhere, so that none of this is left to chance. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* after these */
#include <cmocka.h>

#include "onward/onward.h"
#include "unit/onnx_bytes.h"

enum { F32 = 1, I32 = 6, NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12, N = 40000 };

typedef struct fixture {
  pb bytes;
  onward_model *model;
  onward_session *session;
  onward_error err;
} fixture;

static void open_node(fixture *f, pb node, int32_t out, int64_t rate_bits) {
  const float rate = (float)rate_bits / 100;
  pb g = {0};
  pb_message(&g, NODE, node);
  pb_message(&g, INITIALIZER, pb_tensor_raw("rate", F32, NULL, 0, &rate, sizeof rate));
  pb_message(&g, INITIALIZER, pb_tensor_raw("yes", 9, NULL, 0, "\1", 1));
  pb_message(&g, INPUT, pb_value("x", F32, "a b"));
  pb_message(&g, OUTPUT, pb_value("y", out, "?"));
  *f = (fixture){.bytes = pb_model(g)};
  if (onward_model_load_memory(f->bytes.data, f->bytes.size, NULL, NULL, &f->model, &f->err) ||
      onward_session_create(f->model, NULL, &f->session, &f->err))
    fail_msg("%s", f->err.message);
}

static void close_node(fixture *f) {
  onward_session_free(f->session);
  onward_model_free(f->model);
  pb_free(&f->bytes);
}

static float x[N];

static const void *run(fixture *f, int64_t a, int64_t b, onward_status want) {
  const onward_named_tensor in = {"x", {ONWARD_FLOAT32, 2, {a, b}, x, (size_t)(a * b) * sizeof *x}};
  onward_named_tensor out = {.name = "y"};
  const onward_status status = onward_session_run(f->session, &in, 1, &out, 1, NULL, &f->err);
  if (status != want)
    fail_msg("%s", f->err.message);
  return out.tensor.data;
}

static void moments(const float *y, double mean, double deviation) {
  double sum = 0, squares = 0;
  for (int i = 0; i < N; i++)
    sum += (double)y[i];
  for (int i = 0; i < N; i++)
    squares += ((double)y[i] - sum / N) * ((double)y[i] - sum / N);
  assert_true(fabs(sum / N - mean) < 5 * deviation / sqrt(N));
  assert_true(fabs(sqrt(squares / N) / deviation - 1) < 5 / sqrt(N));
}

static void has_the_moments(void **unused) {
  (void)unused;
  fixture f;
  pb node = pb_node("RandomNormalLike", "x", "y");
  pb_attr(&node, pb_attr_float("mean", 3)), pb_attr(&node, pb_attr_float("scale", 2));
  open_node(&f, node, F32, 0);
  moments(run(&f, N, 1, ONWARD_OK), 3, 2);
  close_node(&f);
  node = pb_node("RandomUniformLike", "x", "y");
  pb_attr(&node, pb_attr_float("low", -1)), pb_attr(&node, pb_attr_float("high", 5));
  open_node(&f, node, F32, 0);
  const float *const y = run(&f, N, 1, ONWARD_OK);
  moments(y, 2, 6 / sqrt(12));
  for (int i = 0; i < N; i++)
    assert_true(y[i] >= -1 && y[i] <= 5);
  close_node(&f);
}

static void a_seed_repeats(void **unused) {
  (void)unused;
  static float first[64], second[64];
  for (int seeded = 0; seeded < 2; seeded++) {
    for (int session = 0; session < 2; session++) {
      pb node = pb_node("RandomUniformLike", "x", "y");
      if (seeded)
        pb_attr(&node, pb_attr_float("seed", 7));
      fixture f;
      open_node(&f, node, F32, 0);
      const float *y = run(&f, 8, 8, ONWARD_OK);
      if (session == 0)
        memcpy(first, y, sizeof first);
      else
        assert_memory_equal(first, y, sizeof first); /* a new session begins as the other did */
      y = run(&f, 8, 8, ONWARD_OK);
      memcpy(second, y, sizeof second);
      assert_int_equal(memcmp(first, second, sizeof first) == 0, seeded);
      close_node(&f);
    }
  }
  fixture f;
  pb node = pb_node("RandomUniformLike", "x", "y");
  pb_attr(&node, pb_attr_float("seed", 8));
  open_node(&f, node, F32, 0);
  assert_memory_not_equal(run(&f, 8, 8, ONWARD_OK), second, sizeof second); /* of seed 7 */
  close_node(&f);
}

static void bernoulli(void **unused) {
  (void)unused;
  fixture f;
  open_node(&f, pb_node("Bernoulli", "x", "y"), F32, 0);
  for (int i = 0; i < N; i++)
    x[i] = 0.3f;
  moments(run(&f, N, 1, ONWARD_OK), 0.3, sqrt(0.3 * 0.7));
  x[0] = 0, x[1] = 1;
  const float *const y = run(&f, 2, 1, ONWARD_OK);
  assert_true(y[0] < 0.5f && y[1] > 0.5f);
  x[1] = 1.5f;
  (void)run(&f, 2, 1, ONWARD_DATA);
  assert_non_null(strstr(f.err.message, "input 0 'x': a probability of 1.5 at element 1"));
  close_node(&f);
}

static void multinomial(void **unused) {
  (void)unused;
  fixture f;
  pb node = pb_node("Multinomial", "x", "y");
  pb_attr(&node, pb_attr_int("sample_size", N));
  open_node(&f, node, I32, 0);
  x[0] = logf(1), x[1] = -INFINITY, x[2] = logf(3);
  const int32_t *y = run(&f, 1, 3, ONWARD_OK);
  int count[3] = {0, 0, 0};
  for (int i = 0; i < N; i++) {
    assert_true(y[i] >= 0 && y[i] < 3);
    count[y[i]]++;
  }
  assert_int_equal(count[1], 0);
  assert_true(fabs(count[2] / (double)N - 0.75) < 5 * sqrt(0.75 * 0.25 / N));
  x[0] = x[2] = -INFINITY;
  (void)run(&f, 1, 3, ONWARD_DATA);
  assert_non_null(strstr(f.err.message, "row 0 has no class that could be drawn"));
  close_node(&f);
}

static void dropout(void **unused) {
  (void)unused;
  fixture f;
  open_node(&f, pb_node("Dropout", "x rate yes", "y"), F32, 25);
  for (int i = 0; i < N; i++)
    x[i] = 3;
  const float *const y = run(&f, N, 1, ONWARD_OK);
  int dropped = 0;
  for (int i = 0; i < N; i++) {
    assert_true(y[i] == 0 || y[i] == 4);
    dropped += y[i] == 0;
  }
  assert_true(fabs(dropped / (double)N - 0.25) < 5 * sqrt(0.25 * 0.75 / N));
  close_node(&f);
  open_node(&f, pb_node("Dropout", "x rate yes", "y"), F32, 100);
  (void)run(&f, 2, 1, ONWARD_DATA);
  assert_non_null(strstr(f.err.message, "the ratio is 1, want [0,1)"));
  close_node(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(has_the_moments), cmocka_unit_test(a_seed_repeats), cmocka_unit_test(bernoulli),
      cmocka_unit_test(multinomial),     cmocka_unit_test(dropout),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
