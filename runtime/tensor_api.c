#include "base/alloc.h"
#include "base/status.h"
#include "proto/loader.h"

onward_status onward_tensor_parse(const void *bytes, size_t size, onward_tensor *tensor, char **name,
                                  onward_error *err) {
  if (!tensor || (size && !bytes))
    return ow_fail(err, ONWARD_ARGUMENT, "onward_tensor_parse needs bytes and a place for the tensor");
  return ow_tensor_proto_parse(bytes, size, &ow_allocator_default, tensor, name, err);
}
