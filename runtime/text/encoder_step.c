#include "text/encoder_step.h"

#include <string.h>

#include "base/dtype.h"
#include "base/size.h"

static bool is_integer(onward_dtype t) { return t == ONWARD_INT64 || t == ONWARD_INT32; }
static bool is_float(onward_dtype t) { return t == ONWARD_FLOAT32 || t == ONWARD_FLOAT16 || t == ONWARD_BFLOAT16; }

/* ---- which input is what ------------------------------------------------------------------------------------------------------ */

static onward_status find_inputs(ow_encoder *e, onward_error *err) {
  for (size_t i = 0; i < onward_model_input_count(e->model); i++) {
    onward_value_info info;
    OW_TRY(onward_model_input(e->model, i, &info, err));
    const bool mask = strstr(info.name, "mask") != NULL && info.rank == 2;
    if (mask && !e->mask.name && (is_integer(info.dtype) || info.dtype == ONWARD_BOOL))
      e->mask = info;
    else if (!mask && !e->source.name && (is_float(info.dtype) || (is_integer(info.dtype) && info.rank == 2)))
      e->source = info;
    else
      return ow_fail(err, ONWARD_UNSUPPORTED,
                     "cannot encode: input '%s' is no token ids, features or mask that is known", info.name);
  }
  e->takes_ids = e->source.name && is_integer(e->source.dtype);
  return e->source.name ? ONWARD_OK
                        : ow_fail(err, ONWARD_UNSUPPORTED, "cannot encode: no input is token ids or features");
}

static onward_status find_output(ow_encoder *e, onward_error *err) {
  for (size_t o = 0; o < onward_model_output_count(e->model) && !e->output; o++) {
    onward_value_info info;
    OW_TRY(onward_model_output(e->model, o, &info, err));
    if (is_float(info.dtype) && (info.rank == 3 || info.rank < 0))
      e->output = info.name;
  }
  return e->output ? ONWARD_OK
                   : ow_fail(err, ONWARD_UNSUPPORTED, "cannot encode: no output is float [batch,positions,width]");
}

onward_status ow_encoder_open(ow_encoder *e, onward_model *model, const onward_session_options *options,
                              onward_error *err) {
  *e = (ow_encoder){.model = model, .allocator = &ow_allocator_default};
  onward_status status = find_inputs(e, err);
  if (status == ONWARD_OK)
    status = find_output(e, err);
  if (status == ONWARD_OK)
    status = onward_session_create(model, options, &e->session, err);
  if (status != ONWARD_OK)
    ow_encoder_close(e);
  return status;
}

void ow_encoder_close(ow_encoder *e) {
  ow_free(e->allocator, e->ids);
  ow_free(e->allocator, e->ones);
  ow_free(e->allocator, e->states.data);
  onward_session_free(e->session);
  *e = (ow_encoder){.allocator = e->allocator};
}

/* ---- a run -------------------------------------------------------------------------------------------------------------------- */

static onward_status fill(ow_encoder *e, void **data, size_t *room, const onward_value_info *info, const int64_t *ids,
                          size_t count, onward_named_tensor *to, onward_error *err) {
  if (!ow_reserve(e->allocator, data, room, 0, count, sizeof(int64_t)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for input '%s'", info->name);
  for (size_t i = 0; i < count; i++) {
    if (ids && info->dtype == ONWARD_INT32 && (ids[i] < INT32_MIN || ids[i] > INT32_MAX))
      return ow_fail(err, ONWARD_INPUT, "token id %lld does not fit int32", (long long)ids[i]);
    ow_set_i64(info->dtype, *data, (int64_t)i, ids ? ids[i] : 1);
  }
  to->name = info->name;
  to->tensor = (onward_tensor){.dtype = info->dtype, .rank = 2, .dims = {1, (int64_t)count}, .data = *data};
  return onward_tensor_bytes(info->dtype, 2, to->tensor.dims, &to->tensor.bytes, err);
}

static onward_status take_source(ow_encoder *e, const int64_t *ids, size_t count, const onward_tensor *features,
                                 onward_named_tensor *to, onward_error *err) {
  if (e->takes_ids) {
    if (features)
      return ow_fail(err, ONWARD_INPUT, "the encoder takes token ids ('%s'), no features", e->source.name);
    return count && ids ? fill(e, &e->ids, &e->ids_room, &e->source, ids, count, to, err)
                        : ow_fail(err, ONWARD_INPUT, "the prompt has no token");
  }
  if (!features)
    return ow_fail(err, ONWARD_INPUT, "the encoder takes features ('%s'), no token ids", e->source.name);
  if (features->rank < 1 || features->dims[0] != 1)
    return ow_fail(err, ONWARD_INPUT, "the features are for %lld texts, want a batch of 1",
                   features->rank < 1 ? 0LL : (long long)features->dims[0]);
  *to = (onward_named_tensor){e->source.name, *features};
  return ONWARD_OK;
}

onward_status ow_encoder_run(ow_encoder *e, const int64_t *ids, size_t count, const onward_tensor *features,
                             onward_error *err) {
  onward_named_tensor in[2], out = {.name = e->output};
  size_t n = 1;
  OW_TRY(take_source(e, ids, count, features, &in[0], err));
  if (e->mask.name) {
    const size_t positions = e->takes_ids ? count : (size_t)features->dims[features->rank - 1];
    OW_TRY(fill(e, &e->ones, &e->ones_room, &e->mask, NULL, positions, &in[n++], err));
  }
  OW_TRY(onward_session_run(e->session, in, n, &out, 1, NULL, err));
  const onward_tensor *const t = &out.tensor;
  if (t->rank != 3 || t->dims[0] != 1)
    return ow_fail(err, ONWARD_MODEL, "'%s' is no [1,positions,width]", e->output);
  void *const old = e->states.data;
  e->states = *t;
  e->states.data = old;
  if (!ow_reserve(e->allocator, &e->states.data, &e->states_room, 0, t->bytes + 1, 1))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the encoder's states (%zu bytes)", t->bytes);
  memcpy(e->states.data, t->data, t->bytes);
  return ONWARD_OK;
}
