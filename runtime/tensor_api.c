#include "base/alloc.h"
#include "base/status.h"
#include "proto/loader.h"

onward_status onward_tensor_parse(const void *bytes, size_t size, onward_tensor *tensor, char **name,
                                  onward_error *err) {
  if (!tensor || (size && !bytes))
    return ow_fail(err, ONWARD_ARGUMENT, "onward_tensor_parse needs bytes and a place for the tensor");
  return ow_value_proto_parse(bytes, size, ONWARD_KIND_TENSOR, &ow_allocator_default, tensor, name, err);
}

onward_status onward_value_parse(const void *bytes, size_t size, onward_kind kind, onward_tensor *value, char **name,
                                 onward_error *err) {
  if (!value || (size && !bytes) || kind < ONWARD_KIND_TENSOR || kind > ONWARD_KIND_OPTIONAL_SEQUENCE)
    return ow_fail(err, ONWARD_ARGUMENT, "onward_value_parse needs bytes, a kind and a place for the value");
  return ow_value_proto_parse(bytes, size, kind, &ow_allocator_default, value, name, err);
}
