/* Loading with shapes inferred and passes run, and every form of dump. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/fuzzed_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count(void *context, const char *text, size_t length) {
  (void)text;
  *(size_t *)context += length;
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  onward_model *const model = fuzzed_load(data, size);
  if (!model)
    return 0;
  onward_error err;
  for (int i = 0; i < 6; i++) {
    onward_dump_options options = onward_dump_options_default();
    options.format = (onward_dump_format)(i / 2);
    options.optimized = i % 2 != 0;
    options.explain_fusion = i == 1;
    size_t length = 0;
    const onward_status status = onward_model_dump(model, &options, count, &length, &err);
    if (status != ONWARD_OK || (length == 0 && !options.explain_fusion)) { /* there may be nothing to explain */
      fprintf(stderr, "dump %d: %s, %zu bytes\n", i, status ? err.message : "ok", length);
      abort();
    }
  }
  onward_model_free(model);
  return 0;
}
