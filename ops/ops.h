/* The operators of this build. */
#ifndef OW_OPS_OPS_H
#define OW_OPS_OPS_H

#include "graph/op.h"

/* Adds the rows of every family in ops.def. Errors: those of ow_registry_add. */
onward_status ow_ops_register(ow_registry *registry, onward_error *err);

/* One table per family: `const ow_op ow_ops_<family>[]`, ended by a row without a name. */
#define OW_FAMILY(name) extern const ow_op ow_ops_##name[];
#include "ops/ops.def"
#undef OW_FAMILY

#endif
