/* Times of steps, recorded while running, written as Chrome trace JSON. */
#ifndef OW_RUNTIME_PROFILE_H
#define OW_RUNTIME_PROFILE_H

#include "base/alloc.h"
#include "graph/op.h"

typedef struct ow_profile_event {
  const ow_node *node;
  const ow_kernel *kernel;
  int64_t start_ns, end_ns;
} ow_profile_event;

typedef struct ow_profile {
  const ow_allocator *allocator;
  ow_profile_event *events;
  size_t count, capacity;
} ow_profile;

/* Drops the event without memory: a profile never fails a run. */
void ow_profile_add(ow_profile *profile, const ow_node *node, const ow_kernel *kernel, int64_t start_ns,
                    int64_t end_ns);
void ow_profile_write(const ow_profile *profile, ow_out *out);
void ow_profile_free(ow_profile *profile);

#endif
