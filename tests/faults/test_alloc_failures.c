/* Every allocation of ours fails, once and from there on: the call says MEMORY, leaves nothing behind, and goes well when asked
 * again on the same objects.
 *
 *     prepare ->  attempt, k-th allocation fails  ->  attempt again, none fails: the same result  ->  finish: nothing is held
 *
 * Then each time what is taken from arenas counts as well, so that every place that allocates fails, not only where a block ends.
 * The first 10 are all tried, then fewer and fewer; with ONWARD_FULL=1 all that are not from arenas. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"
#include "faults/fault_alloc.h"
#include "faults/fault_model.h"
#include "onward/onward.h"
#include "onward/text.h"

static const char *const zoo[] = {
    "bert_ts14", "gpt2_optimum", "bert_dyn_int8", "marian_decoder_merged_optimum", "gpt2_stacked_ort_fused", "vit_ts14",
};
enum { ZOO = sizeof zoo / sizeof *zoo };

/* What an attempt works on. done counts the parts that went well, so that a second attempt goes on where the first failed. */
typedef struct subject {
  const char *name; /* below tests/models; NULL: the model in bytes */
  const void *bytes;
  size_t size;
  onward_model *model;
  onward_session *session;
  onward_state *state, *copy;
  onward_generator *generator;
  fault_inputs in;
  int done;
  int32_t threads;
  uint64_t result; /* a hash of all that came out */
} subject;

typedef onward_status (*attempt_fn)(subject *s, onward_error *err);

typedef struct task {
  const char *name;
  attempt_fn prepare, attempt; /* prepare may be NULL */
} task;

static int problems;
static uint64_t injections, survived;
static bool full;

static void add_result(subject *s, const void *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    s->result = (s->result ^ ((const unsigned char *)bytes)[i]) * UINT64_C(1099511628211);
}

static void finish(subject *s) {
  onward_generator_free(s->generator);
  onward_state_free(s->copy);
  onward_state_free(s->state);
  onward_session_free(s->session);
  onward_model_free(s->model);
  fault_inputs_free(&s->in);
}

static void problem(const task *t, const subject *s, uint64_t k, bool on, const char *what, const char *text) {
  fprintf(stderr, "FAIL %s of %s, allocation %llu%s fails: %s: %s\n", t->name, s->name ? s->name : "bytes",
          (unsigned long long)k, on ? " and all after it" : "", what, text);
  problems++;
}

/* false: allocation k was not asked for any more. */
static bool try_one(const task *t, const subject *start, uint64_t k, bool on, bool arenas, uint64_t *want) {
  const int64_t before = fault_alloc_held();
  subject s = *start;
  onward_error err = {ONWARD_OK, ""};
  if (t->prepare && t->prepare(&s, &err))
    fail_msg("%s of %s: %s", t->name, s.name ? s.name : "bytes", err.message);
  fault_alloc_begin(k, on, arenas);
  onward_status status = t->attempt(&s, &err);
  const bool failed = fault_alloc_end() >= k;
  const bool without = failed && status == ONWARD_OK; /* without a plan with room, or a record of the profile */
  injections += failed;
  survived += without;
  if (status != ONWARD_OK) {
    if (status != ONWARD_MEMORY || !failed)
      problem(t, &s, k, on, onward_status_name(status), err.message);
    if (strlen(err.message) < 8 || strstr(err.message, "(null)") || err.status != status)
      problem(t, &s, k, on, "a poor message", err.message);
    status = t->attempt(&s, &err);
    if (status != ONWARD_OK)
      problem(t, &s, k, on, "the second attempt", err.message);
  }
  if (status == ONWARD_OK && *want == 0)
    *want = s.result;
  if (status == ONWARD_OK && s.result != *want && !(without && arenas))
    problem(t, &s, k, on, "result", "differs");
  finish(&s);
  if (fault_alloc_held() != before)
    problem(t, &s, k, on, "leak", "something is still held");
  return failed && problems < 20;
}

static uint64_t step_of(uint64_t k, bool on, bool arenas) {
  if (full)
    return arenas ? k / 100 + 1 : 1;
  return k < 10 ? 1 : k / (arenas ? 2 : 5) * (on ? 2 : 1) + 1;
}

static void sweep(const task *t, const subject *start) {
  uint64_t want = 0;
  (void)try_one(t, start, UINT64_MAX, false, false, &want); /* the result; and what is made once per process */
  for (int kind = 0; kind < 4; kind++) {
    const bool on = kind & 1, arenas = kind & 2;
    uint64_t k = 1;
    while (try_one(t, start, k, on, arenas, &want))
      k += step_of(k, on, arenas);
  }
}

/* ---- models ------------------------------------------------------------------------------------------------------------- */

static onward_status load(subject *s, onward_error *err) {
  char path[512];
  if (!s->name)
    return onward_model_load_memory(s->bytes, s->size, NULL, NULL, &s->model, err);
  (void)snprintf(path, sizeof path, ONWARD_SOURCE_DIR "/tests/models/%s", s->name);
  return onward_model_load(path, NULL, &s->model, err);
}

static onward_status plan(subject *s, onward_error *err) {
  onward_input_shape shapes[FAULT_INPUTS];
  onward_plan_info info;
  fault_inputs_fill(&s->in, s->model, NULL, 2, 3);
  for (size_t i = 0; i < s->in.count; i++) {
    shapes[i] = (onward_input_shape){.name = s->in.tensors[i].name, .rank = s->in.tensors[i].tensor.rank};
    memcpy(shapes[i].dims, s->in.tensors[i].tensor.dims, sizeof shapes[i].dims);
  }
  const onward_status status = onward_model_plan(s->model, shapes, s->in.count, 1, &info, err);
  if (status == ONWARD_OK)
    add_result(s, &info, sizeof info);
  return status;
}

static onward_status run_all(subject *s, onward_error *err) {
  onward_named_tensor out[FAULT_OUTPUTS] = {0};
  onward_value_info info;
  size_t count = 0;
  for (size_t i = 0; i < onward_model_output_count(s->model) && i < FAULT_OUTPUTS; i++)
    if (onward_model_output(s->model, i, &info, NULL) == ONWARD_OK &&
        !(s->state && strncmp(info.name, "present", 7) == 0))
      out[count++].name = info.name;
  onward_run_options options = onward_run_options_default();
  options.state = s->state;
  options.last_token_logits_only = s->state != NULL;
  const onward_status status = onward_session_run(s->session, s->in.tensors, s->in.count, out, count, &options, err);
  for (size_t i = 0; i < count && status == ONWARD_OK; i++)
    add_result(s, out[i].tensor.data, out[i].tensor.bytes);
  return status;
}

static onward_status make_session(subject *s, onward_error *err) {
  onward_session_options options = onward_session_options_default();
  options.threads = s->threads ? s->threads : 1;
  options.profile = s->name && strcmp(s->name, zoo[0]) == 0;
  return s->session ? ONWARD_OK : onward_session_create(s->model, &options, &s->session, err);
}

/* Shapes one after the other; a past of 2, so that decoders without a state have one. */
static onward_status runs(subject *s, onward_error *err) {
  static const int64_t rows[] = {3, 3, 5, 2};
  onward_status status = make_session(s, err);
  for (; status == ONWARD_OK && s->done < 4; s->done += status == ONWARD_OK) {
    fault_inputs_fill(&s->in, s->model, NULL, 2 + s->done / 2, rows[s->done]);
    status = run_all(s, err);
  }
  return status;
}

/* ---- state ---------------------------------------------------------------------------------------------------------------- */

static onward_status with_state(subject *s, onward_error *err) {
  static const int64_t lengths[] = {3, 4, 5, 6};
  onward_status status = make_session(s, err);
  if (status == ONWARD_OK && !s->state)
    status = onward_state_create(s->model, 4096, &s->state, err);
  for (; status == ONWARD_OK && s->done < 4; s->done += status == ONWARD_OK) {
    const int64_t held = onward_state_length(s->state);
    assert_int_equal(held, s->done ? lengths[s->done - 1] : 0);
    fault_inputs_fill(&s->in, s->model, s->state, held, lengths[s->done] - held);
    status = run_all(s, err);
  }
  if (status == ONWARD_OK && !s->copy)
    status = onward_state_clone(s->state, &s->copy, err);
  const int64_t rows[2] = {0, 0};
  if (status == ONWARD_OK && s->done == 4 && (status = onward_state_reorder(s->copy, rows, 2, err)) == ONWARD_OK)
    s->done++;
  for (size_t i = 0; status == ONWARD_OK && s->done == 5 && i < onward_model_output_count(s->model); i++) {
    onward_value_info info;
    onward_tensor t = {0};
    assert_int_equal(onward_model_output(s->model, i, &info, NULL), ONWARD_OK);
    if (strncmp(info.name, "present", 7) != 0)
      continue;
    status = onward_state_export(s->copy, info.name, &t, err);
    onward_free(t.data);
  }
  return status;
}

/* ---- generation ----------------------------------------------------------------------------------------------------------- */

static onward_status generate(subject *s, onward_error *err) {
  static const int64_t prompt[] = {5, 6, 7};
  onward_session_options session = onward_session_options_default();
  session.threads = 1;
  onward_status status = s->generator ? ONWARD_OK : onward_generator_create(s->model, &session, &s->generator, err);
  for (; status == ONWARD_OK && s->done < 3; s->done += status == ONWARD_OK) {
    onward_generate_options options = onward_generate_options_default();
    onward_generation made;
    options.max_new_tokens = 4;
    options.beams = s->done == 1 ? 2 : 1;
    if (s->done == 2) {
      options.temperature = 0.7;
      options.top_k = 5;
      options.top_p = 0.9;
      options.repetition_penalty = 1.1;
      options.no_repeat_ngram = 2;
      options.seed = 3;
    }
    status = onward_generator_run(s->generator, prompt, 3, &options, &made, err);
    if (status == ONWARD_OK)
      add_result(s, made.ids, made.count * sizeof *made.ids);
  }
  return status;
}

/* ---- dumps ------------------------------------------------------------------------------------------------------------------ */

static bool take_text(void *context, const char *text, size_t length) {
  add_result(context, text, length);
  return true;
}

/* One kind of dump for each bit set in kinds. */
static onward_status dump(subject *s, onward_error *err) {
  onward_input_shape shapes[FAULT_INPUTS];
  onward_status status = ONWARD_OK;
  fault_inputs_fill(&s->in, s->model, NULL, 2, 3);
  for (size_t i = 0; i < s->in.count; i++) {
    shapes[i] = (onward_input_shape){.name = s->in.tensors[i].name, .rank = s->in.tensors[i].tensor.rank};
    memcpy(shapes[i].dims, s->in.tensors[i].tensor.dims, sizeof shapes[i].dims);
  }
  for (; status == ONWARD_OK && s->done < 8; s->done += status == ONWARD_OK) {
    static const onward_dump_format formats[] = {ONWARD_DUMP_TEXT, ONWARD_DUMP_JSON, ONWARD_DUMP_DOT};
    onward_dump_options options = onward_dump_options_default();
    options.format = formats[s->done % 3];
    options.optimized = s->done >= 3 && s->done < 6;
    options.explain_fusion = s->done == 6;
    options.plan = s->done == 7;
    if (options.plan || options.explain_fusion)
      options.format = ONWARD_DUMP_TEXT;
    options.shapes = shapes;
    options.shape_count = options.plan ? s->in.count : 0;
    const uint64_t before = s->result;
    status = onward_model_dump(s->model, &options, take_text, s, err);
    if (status != ONWARD_OK)
      s->result = before; /* what was written until then does not count */
  }
  return status;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------------- */

static void over_the_zoo(const task *t, const char *const *names, size_t count) {
  problems = 0;
  for (size_t i = 0; i < count; i++)
    sweep(t, &(subject){.name = names[i]});
  size_t size;
  void *const bytes = fault_control_model(&size);
  if (t->attempt != with_state && t->attempt != generate)
    sweep(t, &(subject){.bytes = bytes, .size = size});
  free(bytes);
  printf("%s: %llu failures so far, %llu of them done without\n", t->name, (unsigned long long)injections,
         (unsigned long long)survived);
  assert_int_equal(problems, 0);
}

static void test_load(void **state) {
  (void)state;
  over_the_zoo(&(task){"load", NULL, load}, zoo, ZOO);
}
static void test_plan(void **state) {
  (void)state;
  over_the_zoo(&(task){"plan", load, plan}, zoo, ZOO);
}
static void test_runs(void **state) {
  (void)state;
  over_the_zoo(&(task){"runs", load, runs}, zoo, ZOO);
}
static void test_dump(void **state) {
  (void)state;
  over_the_zoo(&(task){"dump", load, dump}, zoo, ZOO);
}
static void test_state(void **state) {
  (void)state;
  over_the_zoo(&(task){"state", load, with_state}, (const char *const[]){"gpt2_optimum", "gpt2_stacked_ort_fused"}, 2);
}
static void test_generate(void **state) {
  (void)state;
  over_the_zoo(&(task){"generation", load, generate}, (const char *const[]){"gpt2_optimum", "gpt2_ts14"}, 2);
}

static void count_task(void *context, int64_t number, int thread) {
  (void)number, (void)thread;
  atomic_fetch_add((atomic_int *)context, 1);
}

/* Without memory for a team the caller does all itself; the next call has one. */
static void *call_without_team(void *context) {
  fault_alloc_begin(1, true, false);
  ow_parallel(3, 100, count_task, context);
  if (fault_alloc_end() > 0)
    ow_parallel(3, 100, count_task, context);
  return NULL;
}

static void test_team(void **state) {
  (void)state;
  pthread_t thread;
  atomic_int done = 0;
  const int64_t before = fault_alloc_held();
  assert_int_equal(pthread_create(&thread, NULL, call_without_team, &done), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(atomic_load(&done), 200);
  assert_int_equal(fault_alloc_held(), before);
}

/* A test that cannot fail proves nothing. */
static void test_counts(void **state) {
  (void)state;
  onward_model *model = NULL;
  onward_error err;
  const int64_t before = fault_alloc_held();
  fault_alloc_begin(5, false, false);
  assert_int_equal(onward_model_load(ONWARD_SOURCE_DIR "/tests/models/bert_ts14", NULL, &model, &err), ONWARD_MEMORY);
  assert_true(fault_alloc_end() >= 5);
  assert_int_equal(onward_model_load(ONWARD_SOURCE_DIR "/tests/models/bert_ts14", NULL, &model, &err), ONWARD_OK);
  assert_true(fault_alloc_held() > before);
  onward_model_free(model);
  assert_int_equal(fault_alloc_held(), before);
}

int main(int argc, char **argv) {
  if (argc > 1)
    cmocka_set_test_filter(argv[1]);
  full = getenv("ONWARD_FULL") != NULL;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts),   cmocka_unit_test(test_load),
                                     cmocka_unit_test(test_plan),     cmocka_unit_test(test_runs),
                                     cmocka_unit_test(test_dump),     cmocka_unit_test(test_state),
                                     cmocka_unit_test(test_generate), cmocka_unit_test(test_team)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
