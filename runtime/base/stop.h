/* Ending work early: because another thread asks for it, or because its time is over.
 *
 *     the thread that works     ow_stop_begin --- kernels, passes, parsing: ow_stop_check between parts --- ow_stop_end
 *     its team, while it helps        ow_parallel asks before each task and leaves the rest undone
 *     any thread                ow_stop_request
 *
 * Once ow_stop_asked has said yes to anyone, it says yes until the work ends. So who checks after a part knows whether all of it was
 * done, and what was computed by halves is never used. */
#ifndef OW_BASE_STOP_H
#define OW_BASE_STOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "onward/onward.h"

typedef struct ow_stop ow_stop;
struct ow_stop {
  atomic_bool requested; /* kept until a piece of work has ended because of it */
  atomic_int cause;      /* why the work that is going on is to end; 0: it is not */
  uint64_t deadline_ms;  /* 0: none */
  int64_t deadline;      /* in ow_time_ns */
  bool (*progress)(void *context, const char *stage, double fraction); /* of a load; may be NULL */
  void *progress_context;
  ow_stop *outer; /* what the thread obeyed before: a run made in a callback of another */
};

/* From here to ow_stop_end the calling thread obeys stop. deadline_ms: from now on; 0: none. */
void ow_stop_begin(ow_stop *stop, uint64_t deadline_ms);
void ow_stop_end(ow_stop *stop);

/* Safe from any thread, at any time; also in a signal handler. */
void ow_stop_request(ow_stop *stop);
void ow_stop_forget(ow_stop *stop);

/* Whether the work of the calling thread is to end. Some 1 ns without a deadline, 30 ns with one: for chunks, not for elements. */
bool ow_stop_asked(void);
/* ONWARD_CANCELLED, with the cause, when it is. */
onward_status ow_stop_check(onward_error *err);
/* The same, and tells the progress callback how far a load is; fraction in [0,1]. */
onward_status ow_stop_at(const char *stage, double fraction, onward_error *err);

/* For teams: members obey what their caller obeys. */
ow_stop *ow_stop_current(void);
void ow_stop_obey(ow_stop *stop);

#endif
