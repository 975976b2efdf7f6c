/* Takes its time, so that a load is long. */
#include <onward/plugin.h>
#include <time.h>

ONWARD_PLUGIN_EXPORT onward_status onward_plugin_init(const onward_host *host, onward_registry *registry,
                                                      onward_error *err) {
  const struct timespec half = {0, 500000000};
  (void)host, (void)registry, (void)err;
  (void)nanosleep(&half, NULL);
  return ONWARD_OK;
}
