#include "base/thread.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/os.h"
#include "base/stop.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* A thread that calls ow_parallel gets a team of its own, kept until the thread ends.
 *
 *     caller   open the call, wake who sleeps, take tasks until none is left, close the call, wait for those inside
 *     member   wait for an open call (first spinning, then asleep), step inside, take tasks, step outside
 *
 * The caller waits only for members that have stepped inside: one that the system has not given a core yet is not missed. */
#define MAX_MEMBERS 255
#define SPINS 5000 /* some 100 us */
#define SPINS_BEFORE_YIELD 500
#define ROOM_FOR_OPENMP ((size_t)1 << 20) /* it allocates a little when a thread first asks something of it */

typedef struct team team;

typedef struct member {
  team *team;
  int thread; /* 1.. ; the caller is 0 */
  pthread_t id;
} member;

struct team {
  atomic_uint call; /* odd: open */
  atomic_int sleeping;
  atomic_bool quit;
  ow_mutex lock;
  pthread_cond_t wake;
  ow_task_fn fn;
  void *context;
  int64_t tasks;
  ow_stop *stop; /* what the caller obeys */
  int threads;   /* that may take part in this call */
  int members;
  member member[MAX_MEMBERS];
  _Alignas(64) atomic_int_least64_t next;
  _Alignas(64) atomic_int inside;
};

static _Thread_local bool in_team;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* the calling thread's team */

int ow_thread_pool_limit(int threads) {
#ifdef _OPENMP
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  return before;
#else
  return threads;
#endif
}

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void take_tasks(team *t, int thread) {
  for (;;) {
    const int64_t task = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
    if (task >= t->tasks || ow_stop_asked())
      return;
    t->fn(t->context, task, thread);
  }
}

static bool wanted(unsigned call, unsigned done) { return (call & 1) && call != done; }

/* The number of an open call other than `done`, or any number once the team is to end. */
static unsigned wait_for_call(team *t, unsigned done) {
  unsigned call = atomic_load(&t->call);
  for (int i = 0; i < SPINS && !wanted(call, done); i++) {
    relax();
    call = atomic_load(&t->call);
  }
  if (wanted(call, done))
    return call;
  ow_mutex_lock(&t->lock);
  atomic_fetch_add(&t->sleeping, 1);
  while (!wanted(call = atomic_load(&t->call), done) && !atomic_load(&t->quit))
    (void)pthread_cond_wait(&t->wake, &t->lock);
  atomic_fetch_sub(&t->sleeping, 1);
  ow_mutex_unlock(&t->lock);
  return call;
}

static void *member_main(void *argument) {
  const member *const me = argument;
  team *const t = me->team;
  in_team = true;
  if (!ow_os_has_room(ROOM_FOR_OPENMP)) /* OpenMP would end the process; the others do the tasks */
    return NULL;
  (void)ow_thread_pool_limit(1); /* libraries called in a task make no team of their own */
  for (unsigned done = 0;;) {
    const unsigned call = wait_for_call(t, done);
    if (atomic_load(&t->quit))
      return NULL;
    atomic_fetch_add(&t->inside, 1);
    if (atomic_load(&t->call) == call && me->thread < t->threads) { /* not closed in the meantime */
      ow_stop_obey(t->stop);
      take_tasks(t, me->thread);
      ow_stop_obey(NULL);
    }
    atomic_fetch_sub(&t->inside, 1);
    done = call;
  }
}

static void team_free(void *memory) {
  team *const t = memory;
  ow_mutex_lock(&t->lock);
  atomic_store(&t->quit, true);
  (void)pthread_cond_broadcast(&t->wake);
  ow_mutex_unlock(&t->lock);
  for (int i = 0; i < t->members; i++)
    (void)pthread_join(t->member[i].id, NULL);
  (void)pthread_cond_destroy(&t->wake);
  ow_mutex_destroy(&t->lock);
  ow_free(&ow_allocator_default, t);
}

/* Only the thread that forks lives on in the child: its members are gone, and it starts anew. */
static void forget_team(void) { (void)pthread_setspecific(key, NULL); }

static void start(void) {
  (void)pthread_key_create(&key, team_free);
  (void)pthread_atfork(NULL, NULL, forget_team);
}

/* NULL: none could be made. */
static team *own_team(int threads) {
  (void)pthread_once(&once, start);
  team *t = pthread_getspecific(key);
  if (!t) {
    if (!(t = ow_alloc_zero(&ow_allocator_default, 1, sizeof *t)))
      return NULL;
    ow_mutex_init(&t->lock);
    (void)pthread_cond_init(&t->wake, NULL);
    (void)pthread_setspecific(key, t);
  }
  while (t->members < threads - 1 && t->members < MAX_MEMBERS) {
    member *const m = &t->member[t->members];
    *m = (member){.team = t, .thread = t->members + 1};
    if (pthread_create(&m->id, NULL, member_main, m) != 0)
      break;
    t->members++;
  }
  return t;
}

void ow_parallel(int threads, int64_t tasks, ow_task_fn fn, void *context) {
  team *const t = threads > 1 && tasks > 1 && !in_team ? own_team(threads) : NULL;
  if (!t) {
    for (int64_t task = 0; task < tasks && !ow_stop_asked(); task++)
      fn(context, task, 0);
    return;
  }
  t->fn = fn;
  t->context = context;
  t->tasks = tasks;
  t->stop = ow_stop_current();
  t->threads = threads;
  atomic_store_explicit(&t->next, 0, memory_order_relaxed);
  atomic_fetch_add(&t->call, 1);
  if (atomic_load(&t->sleeping) > 0) {
    ow_mutex_lock(&t->lock);
    (void)pthread_cond_broadcast(&t->wake);
    ow_mutex_unlock(&t->lock);
  }
  in_team = true;
  take_tasks(t, 0);
  in_team = false;
  atomic_fetch_add(&t->call, 1);
  for (int i = 0; atomic_load(&t->inside) > 0; i++) {
    if (i < SPINS_BEFORE_YIELD)
      relax();
    else
      ow_os_yield();
  }
}

int ow_thread_default(void) { return ow_os_cpu_count(); }
