/* The key-value cache of section "state" in onward.h: declared so that programs can be written against it. */
#include "base/status.h"

static onward_status unsupported(onward_error *err) {
  return ow_fail(err, ONWARD_UNSUPPORTED, "key-value state is not built yet");
}

onward_status onward_state_create(onward_model *model, int64_t capacity, onward_state **state, onward_error *err) {
  (void)model, (void)capacity, (void)state;
  return unsupported(err);
}
void onward_state_free(onward_state *state) { (void)state; }
int64_t onward_state_length(const onward_state *state) {
  (void)state;
  return -1;
}
onward_status onward_state_truncate(onward_state *state, int64_t length, onward_error *err) {
  (void)state, (void)length;
  return unsupported(err);
}
onward_status onward_state_reorder(onward_state *state, const int64_t *rows, size_t count, onward_error *err) {
  (void)state, (void)rows, (void)count;
  return unsupported(err);
}
onward_status onward_state_clone(const onward_state *state, onward_state **copy, onward_error *err) {
  (void)state, (void)copy;
  return unsupported(err);
}
onward_status onward_state_export(const onward_state *state, const char *name, onward_tensor *tensor,
                                  onward_error *err) {
  (void)state, (void)name, (void)tensor;
  return unsupported(err);
}
