#include "base/stop.h"

#include "base/os.h"
#include "base/status.h"

enum { RUNNING, REQUESTED, LATE };

static _Thread_local ow_stop *current;

void ow_stop_begin(ow_stop *stop, uint64_t deadline_ms) {
  const int64_t now = deadline_ms ? ow_time_ns() : 0;
  const uint64_t room = (uint64_t)(INT64_MAX - now) / 1000000;
  stop->deadline_ms = deadline_ms;
  stop->deadline = now + (int64_t)(deadline_ms < room ? deadline_ms : room) * 1000000;
  atomic_store(&stop->cause, RUNNING);
  stop->outer = current;
  current = stop;
}

void ow_stop_end(ow_stop *stop) {
  if (atomic_load(&stop->cause) == REQUESTED)
    atomic_store(&stop->requested, false);
  current = stop->outer;
}

void ow_stop_request(ow_stop *stop) { atomic_store(&stop->requested, true); }
void ow_stop_forget(ow_stop *stop) { atomic_store(&stop->requested, false); }

/* Several threads may find a cause at once: either will do. */
static bool asked(ow_stop *stop) {
  if (atomic_load_explicit(&stop->cause, memory_order_relaxed) != RUNNING)
    return true;
  int cause = RUNNING;
  if (atomic_load_explicit(&stop->requested, memory_order_relaxed))
    cause = REQUESTED;
  else if (stop->deadline_ms && ow_time_ns() >= stop->deadline)
    cause = LATE;
  if (cause != RUNNING)
    atomic_store(&stop->cause, cause);
  return cause != RUNNING;
}

bool ow_stop_asked(void) { return current && asked(current); }

onward_status ow_stop_check(onward_error *err) {
  if (!ow_stop_asked())
    return ONWARD_OK;
  if (atomic_load(&current->cause) == LATE)
    return ow_fail(err, ONWARD_CANCELLED, "past the deadline of %llu ms (--limit deadline_ms=N)",
                   (unsigned long long)current->deadline_ms);
  return ow_fail(err, ONWARD_CANCELLED, "cancelled");
}

onward_status ow_stop_at(const char *stage, double fraction, onward_error *err) {
  if (current && current->progress && !current->progress(current->progress_context, stage, fraction))
    ow_stop_request(current);
  return ow_stop_check(err);
}

ow_stop *ow_stop_current(void) { return current; }
void ow_stop_obey(ow_stop *stop) { current = stop; }
