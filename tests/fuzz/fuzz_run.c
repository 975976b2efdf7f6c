/* Load, plan and run under limits, twice: the second run must give the same bits. Free dimensions and values come from the bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzzed_model.h"

enum { MOST = 8, INPUT_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct call {
  onward_named_tensor in[MOST], out[MOST];
  onward_input_shape shapes[MOST];
  size_t in_count, out_count;
} call;

static uint32_t next(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 16;
}

static void fill(onward_tensor *t, uint32_t *seed) {
  for (size_t i = 0; i + sizeof(float) <= t->bytes && t->dtype == ONWARD_FLOAT32; i += sizeof(float)) {
    const float value = (float)(next(seed) % 4001) / 1000.0f - 2.0f;
    memcpy((char *)t->data + i, &value, sizeof value);
  }
  if (t->dtype == ONWARD_FLOAT32)
    return;
  for (size_t i = 0; i < t->bytes; i++)
    ((uint8_t *)t->data)[i] = t->dtype == ONWARD_BOOL || i % 8 == 0 ? next(seed) % 2 : 0;
  if (t->dtype != ONWARD_BOOL && next(seed) % 8 == 0 && t->bytes) /* now and then wild values */
    for (size_t i = 0; i < t->bytes; i++)
      ((uint8_t *)t->data)[i] = (uint8_t)next(seed);
}

static bool make_input(const onward_value_info *info, size_t i, call *c, uint32_t *seed) {
  onward_tensor *const t = &c->in[i].tensor;
  *t = (onward_tensor){.dtype = info->dtype, .rank = info->rank < 0 ? (int32_t)(next(seed) % 4) : info->rank};
  for (int32_t d = 0; d < t->rank; d++)
    t->dims[d] = info->rank >= 0 && info->dims[d] >= 0 ? info->dims[d] : (int64_t)(next(seed) % 5);
  c->in[i].name = c->shapes[i].name = info->name;
  c->shapes[i].rank = t->rank;
  memcpy(c->shapes[i].dims, t->dims, sizeof t->dims);
  if (info->dtype == ONWARD_STRING || info->dtype == ONWARD_UNDEFINED ||
      onward_tensor_bytes(t->dtype, t->rank, t->dims, &t->bytes, NULL) != ONWARD_OK || t->bytes > INPUT_BYTES)
    return false;
  t->data = calloc(1, t->bytes + 1);
  fill(t, seed);
  return true;
}

static bool make_call(const onward_model *model, call *c, uint32_t *seed) {
  const size_t inputs = onward_model_input_count(model), outputs = onward_model_output_count(model);
  onward_value_info info;
  if (inputs > MOST)
    return false;
  for (size_t i = 0; i < inputs; i++, c->in_count++)
    if (onward_model_input(model, i, &info, NULL) != ONWARD_OK || !make_input(&info, i, c, seed))
      return false;
  for (size_t i = 0; i < outputs && i < MOST; i++, c->out_count++) {
    if (onward_model_output(model, i, &info, NULL) != ONWARD_OK)
      return false;
    c->out[i].name = info.name;
  }
  return true;
}

static uint64_t sum_of(const call *c) {
  uint64_t sum = 14695981039346656037u;
  for (size_t i = 0; i < c->out_count; i++) {
    const onward_tensor *const t = &c->out[i].tensor;
    for (size_t b = 0; t->dtype != ONWARD_STRING && b < t->bytes; b++)
      sum = (sum ^ ((const uint8_t *)t->data)[b]) * 1099511628211u;
  }
  return sum;
}

static void run_twice(onward_model *model, call *c) {
  onward_session_options options = onward_session_options_default();
  options.threads = 1;
  onward_session *session = NULL;
  onward_error err = {0};
  if (onward_session_create(model, &options, &session, &err) != ONWARD_OK)
    abort();
  const onward_status first = onward_session_run(session, c->in, c->in_count, c->out, c->out_count, NULL, &err);
  const uint64_t sum = first == ONWARD_OK ? sum_of(c) : 0;
  const onward_status second = onward_session_run(session, c->in, c->in_count, c->out, c->out_count, NULL, &err);
  if (first != second || first == ONWARD_INTERNAL || (first == ONWARD_OK && sum != sum_of(c))) {
    fprintf(stderr, "%s, then %s: %s\n", onward_status_name(first), onward_status_name(second), err.message);
    abort();
  }
  onward_session_free(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  onward_model *const model = fuzzed_load(data, size);
  if (!model)
    return 0;
  uint32_t seed = (uint32_t)size;
  for (size_t i = 0; i < size; i++)
    seed = seed * 31 + data[i];
  call c = {0};
  onward_plan_info info;
  if (make_call(model, &c, &seed)) {
    if (onward_model_plan(model, c.shapes, c.in_count, 1, &info, NULL) == ONWARD_INTERNAL)
      abort();
    run_twice(model, &c);
  }
  for (size_t i = 0; i < MOST; i++)
    free(c.in[i].tensor.data);
  onward_model_free(model);
  return 0;
}
