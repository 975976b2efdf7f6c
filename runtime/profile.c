#include "runtime/profile.h"

void ow_profile_add(ow_profile *profile, const ow_node *node, const ow_kernel *kernel, int64_t start_ns,
                    int64_t end_ns) {
  if (ow_reserve(profile->allocator, &profile->events, &profile->capacity, profile->count, profile->count + 1,
                 sizeof *profile->events))
    profile->events[profile->count++] = (ow_profile_event){node, kernel, start_ns, end_ns};
}

void ow_profile_write(const ow_profile *profile, ow_out *out) {
  ow_out_text(out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
  const int64_t zero = profile->count ? profile->events[0].start_ns : 0;
  for (size_t i = 0; i < profile->count; i++) {
    const ow_profile_event *const e = &profile->events[i];
    ow_out_printf(out, "%s\n{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":%.3f,\"dur\":%.3f,\"cat\":", i ? "," : "",
                  (double)(e->start_ns - zero) * 1e-3, (double)(e->end_ns - e->start_ns) * 1e-3);
    ow_out_quoted(out, e->node->type);
    ow_out_text(out, ",\"name\":");
    ow_out_quoted(out, e->node->type);
    ow_out_text(out, ",\"args\":{\"node\":");
    ow_out_quoted(out, e->node->name);
    ow_out_text(out, ",\"kernel\":");
    ow_out_quoted(out, e->kernel->name);
    ow_out_text(out, "}}");
  }
  ow_out_text(out, "\n]}\n");
}

void ow_profile_free(ow_profile *profile) {
  ow_free(profile->allocator, profile->events);
  *profile = (ow_profile){.allocator = profile->allocator};
}
