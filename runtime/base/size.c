#include "base/size.h"

#include "base/dtype.h"

bool ow_dims_count(int32_t rank, const int64_t *dims, int64_t *count) {
  int64_t n = 1;
  bool zero = false;
  for (int32_t i = 0; i < rank; i++) {
    if (dims[i] < 0)
      return false;
    if (dims[i] == 0)
      zero = true;
    else if (!ow_i64_mul(n, dims[i], &n))
      return false;
  }
  *count = zero ? 0 : n;
  return true;
}

bool ow_tensor_size(onward_dtype dtype, int32_t rank, const int64_t *dims, size_t *bytes) {
  const int bits = ow_dtype(dtype)->bits;
  int64_t count;
  size_t size;
  if (bits == 0 || rank < 0 || rank > ONWARD_MAX_RANK || !ow_dims_count(rank, dims, &count))
    return false;
  if (bits < 8)
    size = (size_t)count / (8 / (size_t)bits) + ((size_t)count % (8 / (size_t)bits) != 0);
  else if (!ow_size_mul((size_t)count, (size_t)bits / 8, &size))
    return false;
  if (size > PTRDIFF_MAX)
    return false;
  *bytes = size;
  return true;
}
