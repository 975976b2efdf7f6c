#include "base/thread.h"

#include <stdatomic.h>

#include "base/os.h"

#ifdef _OPENMP
#include <omp.h>

void ow_parallel(int threads, int64_t tasks, ow_task_fn fn, void *context) {
  if (threads <= 1 || tasks <= 1 || omp_in_parallel()) {
    for (int64_t task = 0; task < tasks; task++)
      fn(context, task, 0);
    return;
  }
  /* The team keeps its size even when there are fewer tasks: a pool that changes size ends and starts threads each time. */
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int64_t task = 0; task < tasks; task++)
    fn(context, task, omp_get_thread_num());
}

int ow_thread_pool_limit(int threads) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  return before;
}

#else

int ow_thread_pool_limit(int threads) { return threads; }

#define MAX_THREADS 256

typedef struct team {
  atomic_int_least64_t next;
  int64_t tasks;
  ow_task_fn fn;
  void *context;
} team;

typedef struct member {
  team *team;
  int thread;
} member;

static _Thread_local bool in_team;

static void *work(void *argument) {
  const member *me = argument;
  team *t = me->team;
  in_team = true;
  for (;;) {
    const int64_t task = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
    if (task >= t->tasks)
      break;
    t->fn(t->context, task, me->thread);
  }
  in_team = false;
  return NULL;
}

/* Without OpenMP a team lives for one call. */
void ow_parallel(int threads, int64_t tasks, ow_task_fn fn, void *context) {
  if (threads <= 1 || tasks <= 1 || in_team) {
    for (int64_t task = 0; task < tasks; task++)
      fn(context, task, 0);
    return;
  }
  team t = {.tasks = tasks, .fn = fn, .context = context};
  atomic_init(&t.next, 0);
  member members[MAX_THREADS];
  pthread_t ids[MAX_THREADS];
  int count = threads < MAX_THREADS ? threads : MAX_THREADS;
  count = tasks < count ? (int)tasks : count;
  int started = 0;
  for (int i = 1; i < count; i++) {
    members[i] = (member){&t, i};
    if (pthread_create(&ids[i], NULL, work, &members[i]) != 0)
      break;
    started = i;
  }
  members[0] = (member){&t, 0};
  (void)work(&members[0]);
  for (int i = 1; i <= started; i++)
    (void)pthread_join(ids[i], NULL);
}
#endif

int ow_thread_default(void) { return ow_os_cpu_count(); }
