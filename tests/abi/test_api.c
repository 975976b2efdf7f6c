/* Every function of onward.h as its comment says, with NULL and with what cannot be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "onward/text.h"
#include "zoo.h"

static const char *const encoder = ONWARD_SOURCE_DIR "/tests/models/bert_ts14", *const decoder = ONWARD_SOURCE_DIR
                                                                                "/tests/models/gpt2_ts14";

typedef struct text {
  size_t length, stop_after;
} text;

static bool take_text(void *context, const char *piece, size_t length) {
  text *const t = context;
  assert_non_null(piece);
  t->length += length;
  return t->length < t->stop_after;
}

static onward_model *load(const char *path) {
  onward_error err;
  onward_model *model = NULL;
  if (onward_model_load(path, NULL, &model, &err))
    fail_msg("%s", err.message);
  return model;
}

#define REFUSED(call)                              \
  do {                                             \
    err = (onward_error){ONWARD_OK, ""};           \
    assert_int_equal((call), ONWARD_ARGUMENT);     \
    assert_int_equal(err.status, ONWARD_ARGUMENT); \
    assert_true(err.message[0] != '\0');           \
  } while (0)

static void names_and_tensors(void **state) {
  (void)state;
  onward_error err;
  assert_string_equal(onward_version(), ONWARD_VERSION_STRING);
  assert_string_equal(onward_status_name(ONWARD_FORMAT), "FORMAT");
  assert_string_equal(onward_status_name((onward_status)99), "?");
  assert_string_equal(onward_dtype_name(ONWARD_BFLOAT16), "bfloat16");
  assert_string_equal(onward_dtype_name((onward_dtype)99), "?");
  size_t bytes = 7;
  const int64_t dims[] = {3, 5}, negative[] = {-1, 5}, huge[] = {INT64_MAX, INT64_MAX};
  assert_int_equal(onward_tensor_bytes(ONWARD_INT4, 2, dims, &bytes, &err), ONWARD_OK);
  assert_int_equal(bytes, 8);
  REFUSED(onward_tensor_bytes(ONWARD_INT4, 2, dims, NULL, &err));
  REFUSED(onward_tensor_bytes(ONWARD_INT4, 2, NULL, &bytes, &err));
  REFUSED(onward_tensor_bytes((onward_dtype)99, 2, dims, &bytes, &err));
  REFUSED(onward_tensor_bytes(ONWARD_INT4, 13, dims, &bytes, &err));
  REFUSED(onward_tensor_bytes(ONWARD_INT4, 2, negative, &bytes, &err));
  assert_int_equal(onward_tensor_bytes(ONWARD_INT8, 2, huge, &bytes, NULL), ONWARD_LIMIT);
  assert_int_equal(bytes, 8); /* as it was */
  /* dims [2], data_type int32, int32_data 7 and 9, name "n" */
  const unsigned char proto[] = {0x08, 2, 0x10, 6, 0x2a, 2, 7, 9, 0x42, 1, 'n'};
  onward_tensor tensor;
  char *name = NULL;
  assert_int_equal(onward_tensor_parse(proto, sizeof proto, &tensor, &name, &err), ONWARD_OK);
  assert_string_equal(name, "n");
  assert_int_equal(((const int32_t *)tensor.data)[1], 9);
  onward_free(name);
  onward_free(tensor.data);
  onward_free(NULL);
  assert_int_equal(onward_tensor_parse(proto, 3, &tensor, NULL, &err), ONWARD_FORMAT);
  REFUSED(onward_tensor_parse(proto, sizeof proto, NULL, NULL, &err));
}

static void models(void **state) {
  (void)state;
  onward_error err;
  onward_value_info info;
  const char *key, *value;
  onward_model *model = NULL;
  onward_model_options options = onward_model_options_default();
  REFUSED(onward_model_load(NULL, NULL, &model, &err));
  REFUSED(onward_model_load(encoder, NULL, NULL, &err));
  REFUSED(onward_model_load_memory(NULL, 5, NULL, NULL, &model, &err));
  options.struct_size = 0;
  REFUSED(onward_model_load(encoder, &options, &model, &err));
  assert_non_null(strstr(err.message, "onward_model_options_default()"));
  options.struct_size = (size_t)1 << 40;
  REFUSED(onward_model_load(encoder, &options, &model, &err));
  /* a newer program: what it has more is not asked for, or is */
  struct {
    onward_model_options known;
    uint64_t more;
  } newer = {onward_model_options_default(), 1};
  newer.known.struct_size = sizeof newer;
  REFUSED(onward_model_load(encoder, &newer.known, &model, &err));
  newer.more = 0;
  assert_int_equal(onward_model_load(encoder, &newer.known, &model, &err), ONWARD_OK);
  onward_model_free(model);
  /* an older one, which ends before the limits */
  options = onward_model_options_default();
  options.struct_size = offsetof(onward_model_options, limits);
  memset(&options.limits, 0xff, sizeof options.limits);
  assert_int_equal(onward_model_load(encoder, &options, &model, &err), ONWARD_OK);

  assert_true(onward_model_input_count(model) > 0 && onward_model_output_count(model) > 0);
  assert_int_equal(onward_model_input_count(NULL) + onward_model_output_count(NULL) + onward_model_metadata_count(NULL),
                   0);
  assert_int_equal(onward_model_input(model, 0, &info, &err), ONWARD_OK);
  assert_int_equal(info.dtype, ONWARD_INT64);
  assert_int_equal(onward_model_output(model, 0, &info, &err), ONWARD_OK);
  assert_int_equal(info.dtype, ONWARD_FLOAT32);
  REFUSED(onward_model_input(model, 99, &info, &err));
  REFUSED(onward_model_input(NULL, 0, &info, &err));
  REFUSED(onward_model_input(model, 0, NULL, &err));
  REFUSED(onward_model_output(model, 99, &info, &err));
  REFUSED(onward_model_output(NULL, 0, &info, &err));
  REFUSED(onward_model_output(model, 0, NULL, &err));
  REFUSED(onward_model_metadata(model, onward_model_metadata_count(model), &key, &value, &err));
  REFUSED(onward_model_metadata(NULL, 0, &key, &value, &err));

  onward_dump_options dump = onward_dump_options_default();
  text all = {0, (size_t)1 << 40}, little = {0, 100};
  assert_int_equal(onward_model_dump(model, NULL, take_text, &all, &err), ONWARD_OK);
  assert_true(all.length > 100);
  assert_int_equal(onward_model_dump(model, NULL, take_text, &little, &err), ONWARD_IO);
  REFUSED(onward_model_dump(NULL, NULL, take_text, &all, &err));
  REFUSED(onward_model_dump(model, NULL, NULL, NULL, &err));
  dump.shape_count = 1;
  REFUSED(onward_model_dump(model, &dump, take_text, &all, &err));
  dump.struct_size = 0;
  REFUSED(onward_model_dump(model, &dump, take_text, &all, &err));
  onward_plan_info plan;
  REFUSED(onward_model_plan(NULL, NULL, 0, 1, &plan, &err));
  REFUSED(onward_model_plan(model, NULL, 1, 1, &plan, &err));
  REFUSED(onward_model_plan(model, NULL, 0, 1, NULL, &err));
  assert_int_equal(onward_model_plan(model, NULL, 0, 1, &plan, NULL), ONWARD_INPUT); /* its dims are free */
  onward_model_free(model);
  onward_model_free(NULL);
}

static void sessions(void **state) {
  (void)state;
  onward_error err;
  onward_model *const model = load(encoder);
  onward_session *session = NULL, *profiled = NULL;
  onward_session_options options = onward_session_options_default();
  onward_run_options run = onward_run_options_default();
  onward_value_info info;
  zoo_inputs in;
  text all = {0, (size_t)1 << 40};
  REFUSED(onward_session_create(NULL, NULL, &session, &err));
  REFUSED(onward_session_create(model, NULL, NULL, &err));
  options.threads = -1;
  REFUSED(onward_session_create(model, &options, &session, &err));
  options.threads = 1;
  options.struct_size = 3;
  REFUSED(onward_session_create(model, &options, &session, &err));
  assert_null(session);
  options.struct_size = sizeof options;
  assert_int_equal(onward_session_create(model, &options, &session, &err), ONWARD_OK);
  options.profile = true;
  assert_int_equal(onward_session_create(model, &options, &profiled, &err), ONWARD_OK);
  assert_true(zoo_fill(model, 2, 6, 1, &in, &err));
  assert_int_equal(onward_model_output(model, 0, &info, &err), ONWARD_OK);
  onward_named_tensor out = {.name = info.name};
  REFUSED(onward_session_run(NULL, in.tensors, in.count, &out, 1, NULL, &err));
  REFUSED(onward_session_run(session, NULL, 1, &out, 1, NULL, &err));
  REFUSED(onward_session_run(session, in.tensors, in.count, NULL, 1, NULL, &err));
  run.struct_size = 0;
  REFUSED(onward_session_run(session, in.tensors, in.count, &out, 1, &run, &err));
  run.struct_size = sizeof run;
  assert_int_equal(onward_session_run(session, in.tensors, in.count, &out, 1, &run, &err), ONWARD_OK);
  /* the same into a buffer of ours, and one that is too small */
  onward_named_tensor mine = {.name = info.name,
                              .tensor = {.data = malloc(out.tensor.bytes), .bytes = out.tensor.bytes}};
  void *const buffer = mine.tensor.data;
  assert_int_equal(onward_session_run(session, in.tensors, in.count, &mine, 1, NULL, &err), ONWARD_OK);
  assert_ptr_equal(mine.tensor.data, buffer);
  mine.tensor.bytes = 3;
  assert_int_equal(onward_session_run(session, in.tensors, in.count, &mine, 1, NULL, NULL), ONWARD_INPUT);
  assert_int_equal(onward_session_run(session, in.tensors, in.count, NULL, 0, NULL, NULL), ONWARD_OK);
  free(buffer);
  onward_session_cancel(session);
  onward_session_clear_cancel(session);
  onward_session_cancel(NULL);
  onward_session_clear_cancel(NULL);
  assert_int_equal(onward_session_get_stats(session).runs, 3);
  assert_int_equal(onward_session_get_stats(NULL).runs, 0);
  out.tensor.data = NULL;
  assert_int_equal(onward_session_run(profiled, in.tensors, in.count, &out, 1, NULL, &err), ONWARD_OK);
  assert_int_equal(onward_session_profile(profiled, take_text, &all, &err), ONWARD_OK);
  assert_true(all.length > 100);
  REFUSED(onward_session_profile(session, take_text, &all, &err));
  REFUSED(onward_session_profile(profiled, NULL, NULL, &err));
  REFUSED(onward_session_profile(NULL, take_text, &all, &err));
  zoo_free(&in);
  onward_session_free(session);
  onward_session_free(profiled);
  onward_session_free(NULL);
  onward_model_free(model);
}

static void states(void **state) {
  (void)state;
  onward_error err;
  onward_model *const model = load(decoder);
  onward_state *cache = NULL, *copy = NULL;
  onward_tensor tensor;
  const int64_t rows[] = {0};
  assert_int_equal(onward_state_create(model, 8, &cache, &err), ONWARD_OK);
  REFUSED(onward_state_create(NULL, 8, &copy, &err));
  REFUSED(onward_state_create(model, 8, NULL, &err));
  assert_int_equal(onward_state_length(cache), 0);
  assert_int_equal(onward_state_length(NULL), -1);
  assert_false(onward_state_keeps(cache, "input_ids"));
  assert_false(onward_state_keeps(NULL, "input_ids"));
  assert_int_equal(onward_state_truncate(cache, 0, &err), ONWARD_OK);
  REFUSED(onward_state_truncate(cache, 5, &err));
  REFUSED(onward_state_truncate(NULL, 0, &err));
  REFUSED(onward_state_reorder(NULL, rows, 1, &err));
  REFUSED(onward_state_clone(NULL, &copy, &err));
  REFUSED(onward_state_clone(cache, NULL, &err));
  assert_int_equal(onward_state_clone(cache, &copy, &err), ONWARD_OK);
  REFUSED(onward_state_export(NULL, "present", &tensor, &err));
  REFUSED(onward_state_export(cache, "no such output", &tensor, &err));
  REFUSED(onward_state_import(NULL, 1, NULL, 0, &err));
  REFUSED(onward_state_import(cache, 0, NULL, 0, &err));
  assert_int_equal(onward_state_import(cache, 1, NULL, 0, &err), ONWARD_OK); /* nothing: empty */
  onward_state_free(copy);
  onward_state_free(cache);
  onward_state_free(NULL);
  onward_model_free(model);
}

static void generators(void **state) {
  (void)state;
  onward_error err;
  onward_model *const model = load(decoder);
  onward_generator *generator = NULL;
  assert_string_equal(onward_stop_name(ONWARD_STOP_CONTEXT), "context");
  assert_string_equal(onward_stop_name((onward_stop)99), "?");
  assert_int_equal(onward_generator_create(model, NULL, &generator, &err), ONWARD_OK);
  assert_int_equal(onward_generator_get_stats(generator).runs, 0);
  assert_int_equal(onward_generator_get_stats(NULL).runs, 0);
  /* a cancel that no run has answered does not end the next one */
  const int64_t prompt[] = {1, 2, 3};
  onward_generate_options options = onward_generate_options_default();
  onward_generation made;
  options.max_new_tokens = 2;
  onward_generator_cancel(generator);
  if (onward_generator_run(generator, prompt, 3, &options, &made, &err))
    fail_msg("%s", err.message);
  assert_int_equal(made.count, 2);
  onward_generator_free(generator);
  onward_generator_free(NULL);
  onward_model_free(model);
}

int main(void) {
  (void)alarm(200);
  const struct CMUnitTest tests[] = {cmocka_unit_test(names_and_tensors), cmocka_unit_test(models),
                                     cmocka_unit_test(sessions), cmocka_unit_test(states),
                                     cmocka_unit_test(generators)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
