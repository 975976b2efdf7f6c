#include "base/options.h"

#include <string.h>

#include "base/status.h"

#define LARGEST 4096 /* of any version to come: what is above is no size */

onward_status ow_options_take(void *to, size_t size, const void *given, const char *name, onward_error *err) {
  size_t from = 0;
  if (!given)
    return ONWARD_OK;
  memcpy(&from, given, sizeof from);
  if (from < sizeof from || from > LARGEST)
    return ow_fail(err, ONWARD_ARGUMENT, "%s.struct_size is %zu: start from %s_default()", name, from, name);
  for (size_t i = size; i < from; i++)
    if (((const unsigned char *)given)[i])
      return ow_fail(err, ONWARD_ARGUMENT, "%s is from a newer Onward and asks for what %s cannot do", name,
                     ONWARD_VERSION_STRING);
  memcpy(to, given, from < size ? from : size);
  memcpy(to, &size, sizeof size);
  return ONWARD_OK;
}
