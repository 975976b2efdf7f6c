#include "ops/dnnl/dnnl_env.h"

#include <pthread.h>

#include "base/os.h"

/* Identical primitives share one implementation through oneDNN's cache. Those made here come from a fixed set of tiles, so a
 * small cache holds them all; it must not grow with the shapes of a run. */
#define CACHED_PRIMITIVES 64

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t cpu_engine;
static dnnl_status_t cpu_status = dnnl_runtime_error;

static void start(void) {
  cpu_status = dnnl_engine_create(&cpu_engine, dnnl_cpu, 0);
  if (cpu_status == dnnl_success)
    cpu_status = dnnl_set_primitive_cache_capacity(CACHED_PRIMITIVES);
}

static const char *text_of(dnnl_status_t status) {
  switch (status) {
    case dnnl_success: return "success";
    case dnnl_out_of_memory: return "out of memory";
    case dnnl_invalid_arguments: return "invalid arguments";
    case dnnl_unimplemented: return "not implemented";
    case dnnl_runtime_error: return "run-time error";
    default: return "failed";
  }
}

onward_status ow_dnnl_check(dnnl_status_t status, const char *what, onward_error *err) {
  if (status == dnnl_success)
    return ONWARD_OK;
  const onward_status ours = status == dnnl_out_of_memory ? ONWARD_MEMORY : ONWARD_INTERNAL;
  return ow_fail(err, ours, "oneDNN: %s: %s", what, text_of(status));
}

onward_status ow_dnnl_room(onward_error *err) {
  if (ow_os_has_room(OW_DNNL_ROOM))
    return ONWARD_OK;
  return ow_fail(err, ONWARD_MEMORY, "oneDNN: it needs %zu MiB of free memory at hand, and there is less",
                 OW_DNNL_ROOM >> 20);
}

void ow_dnnl_forget(void) {
  (void)dnnl_set_primitive_cache_capacity(0);
  (void)dnnl_set_primitive_cache_capacity(CACHED_PRIMITIVES);
}

onward_status ow_dnnl_engine(dnnl_engine_t *engine, onward_error *err) {
  OW_TRY(ow_dnnl_room(err)); /* a start that fails would be remembered */
  (void)pthread_once(&once, start);
  *engine = cpu_engine;
  return ow_dnnl_check(cpu_status, "CPU engine", err);
}

dnnl_status_t ow_dnnl_matrix(dnnl_memory_desc_t *desc, dnnl_dim_t rows, dnnl_dim_t columns, dnnl_dim_t row_stride,
                             dnnl_dim_t column_stride) {
  const dnnl_dims_t dims = {rows, columns}, strides = {row_stride, column_stride};
  return dnnl_memory_desc_create_with_strides(desc, 2, dims, dnnl_f32, strides);
}
