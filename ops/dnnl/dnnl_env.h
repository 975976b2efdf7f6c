/* oneDNN, once per process: one CPU engine, its statuses as our errors. */
#ifndef OW_OPS_DNNL_DNNL_ENV_H
#define OW_OPS_DNNL_DNNL_ENV_H

#include <oneapi/dnnl/dnnl.h>

#include "base/status.h"

#if DNNL_VERSION_MAJOR < 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR < 2)
#error "oneDNN 3.2 or newer is wanted"
#endif

/* MEMORY unless OW_DNNL_ROOM bytes could be had now. oneDNN does not survive an allocation that fails (README.md), so this goes
 * before whatever makes it allocate: each primitive or set of memory objects made, each step run. */
#define OW_DNNL_ROOM ((size_t)8 << 20)
onward_status ow_dnnl_room(onward_error *err);
/* After a failure: what oneDNN keeps of primitives may be half made. */
void ow_dnnl_forget(void);

/* Made on first use, never destroyed. INTERNAL when oneDNN cannot start, MEMORY when there is no room. */
onward_status ow_dnnl_engine(dnnl_engine_t *engine, onward_error *err);

/* "oneDNN: matmul primitive: invalid arguments". OK for dnnl_success. */
onward_status ow_dnnl_check(dnnl_status_t status, const char *what, onward_error *err);

/* Row-major-like 2-D float32 with these element strides. */
dnnl_status_t ow_dnnl_matrix(dnnl_memory_desc_t *desc, dnnl_dim_t rows, dnnl_dim_t columns, dnnl_dim_t row_stride,
                             dnnl_dim_t column_stride);

#endif
