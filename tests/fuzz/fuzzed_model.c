#include "fuzz/fuzzed_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

onward_limits fuzzed_limits(void) {
  return (onward_limits){.deadline_ms = 2000,
                         .file_bytes = 1 << 20,
                         .metadata_bytes = 16 << 20,
                         .depth = 8,
                         .nodes = 500,
                         .tensor_bytes = 1 << 20,
                         .total_bytes = 4 << 20,
                         .fold_bytes = 64 << 10};
}

onward_model *fuzzed_load(const uint8_t *data, size_t size) {
  static int file = -1; /* of memory, so that its folder holds nothing */
  if (file < 0 && (file = memfd_create("model", 0)) < 0)
    abort();
  if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size)
    abort();
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  onward_model_options options = onward_model_options_default();
  options.limits = fuzzed_limits();
  onward_model *model = NULL;
  onward_error err = {.status = ONWARD_OK};
  const onward_status status = onward_model_load(path, &options, &model, &err);
  if (status != ONWARD_OK && (model || err.status != status || !err.message[0] || status == ONWARD_INTERNAL)) {
    fprintf(stderr, "%s: %s\n", onward_status_name(status), err.message);
    abort();
  }
  return model;
}
