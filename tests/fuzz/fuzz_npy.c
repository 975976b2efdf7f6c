/* .npy and .npz files. What was read is written and read again, and must be the same. */
#include <stdint.h>
#include <stdlib.h>

#include "tools/cmd/args.c"
#include "tools/cmd/cmd.c"
#include "tools/cmd/element.c"
#include "tools/cmd/npy.c"
#include "tools/cmd/npz.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ow_scratch scratch = {0};
  onward_tensor tensor = {0}, again = {0};
  onward_error err;
  if (size >= 2 && data[0] == 'P') {
    (void)ow_npz_parse("a.npz", data, size, "a", &scratch, &tensor, &err);
  } else if (ow_npy_parse("a.npy", data, size, &scratch, &tensor, &err)) {
    uint8_t *bytes = NULL;
    size_t length = 0;
    ow_npy_format(&tensor, &scratch, &bytes, &length);
    if (!ow_npy_parse("b.npy", bytes, length, &scratch, &again, &err) || again.dtype != tensor.dtype ||
        again.rank != tensor.rank || again.bytes != tensor.bytes || memcmp(again.data, tensor.data, again.bytes) != 0)
      abort();
  }
  ow_scratch_free(&scratch);
  return 0;
}
