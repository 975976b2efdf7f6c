/* Public functions that need nothing but this folder. */
#include "base/alloc.h"
#include "base/dtype.h"
#include "base/size.h"
#include "base/status.h"

const char *onward_status_name(onward_status status) {
  switch (status) {
#define STATUS_CASE(name, value, text) \
  case ONWARD_##name: return #name;
    ONWARD_STATUS_MAP(STATUS_CASE)
#undef STATUS_CASE
  }
  return "?";
}

const char *onward_version(void) { return ONWARD_VERSION_STRING; }

const char *onward_dtype_name(onward_dtype dtype) { return ow_dtype(dtype)->name; }

onward_status onward_tensor_bytes(onward_dtype dtype, int32_t rank, const int64_t *dims, size_t *bytes,
                                  onward_error *err) {
  if (!bytes || (rank > 0 && !dims))
    return ow_fail(err, ONWARD_ARGUMENT, "onward_tensor_bytes: %s is NULL", bytes ? "dims" : "bytes");
  if (ow_dtype(dtype)->bits == 0)
    return ow_fail(err, ONWARD_ARGUMENT, "%d is no element type", (int)dtype);
  if (rank < 0 || rank > ONWARD_MAX_RANK)
    return ow_fail(err, ONWARD_ARGUMENT, "rank %d is outside [0,%d]", rank, ONWARD_MAX_RANK);
  for (int32_t i = 0; i < rank; i++)
    if (dims[i] < 0)
      return ow_fail(err, ONWARD_ARGUMENT, "dimension %d is %lld, want 0 or more", i, (long long)dims[i]);
  if (!ow_tensor_size(dtype, rank, dims, bytes))
    return ow_fail(err, ONWARD_LIMIT, "a tensor of this shape is larger than the address space");
  return ONWARD_OK;
}

void onward_free(void *memory) { ow_free(&ow_allocator_default, memory); }
