/* All threads and locks. Teams are our own rather than OpenMP's, whose every split waits for every member: with a neighbour on
 * one core that made a run ten times slower. Here a call ends when its tasks are done. */
#ifndef OW_BASE_THREAD_H
#define OW_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* task in [0, tasks), thread in [0, threads) */
typedef void (*ow_task_fn)(void *context, int64_t task, int thread);

/* Run every task once on at most threads threads, and wait. threads <= 1 or one task: the caller runs all, no team is made.
 * Which thread runs a task is not fixed, so a task's result must not depend on it. When the work is to end (base/stop.h), tasks not
 * begun are left out: what comes after must be safe, though not right, with whatever their results hold then. */
void ow_parallel(int threads, int64_t tasks, ow_task_fn fn, void *context);

/* How many OpenMP threads a library may use when the calling thread calls it; returns what held before. OpenMP ends the process when
 * it finds no memory: see that there is some. */
int ow_thread_pool_limit(int threads);

/* Cores that affinity and the cgroup quota allow; at least 1. */
int ow_thread_default(void);

typedef pthread_mutex_t ow_mutex;
static inline void ow_mutex_init(ow_mutex *m) { (void)pthread_mutex_init(m, NULL); }
static inline void ow_mutex_lock(ow_mutex *m) { (void)pthread_mutex_lock(m); }
static inline void ow_mutex_unlock(ow_mutex *m) { (void)pthread_mutex_unlock(m); }
static inline void ow_mutex_destroy(ow_mutex *m) { (void)pthread_mutex_destroy(m); }

#endif
