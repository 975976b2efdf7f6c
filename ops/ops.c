#include "ops/ops.h"

onward_status ow_ops_register(ow_registry *registry, onward_error *err) {
#define OW_FAMILY(name) OW_TRY(ow_registry_add(registry, ow_ops_##name, err));
#include "ops/ops.def"
#undef OW_FAMILY
  return ONWARD_OK;
}
