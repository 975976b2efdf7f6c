#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

/* Written by the handler, which has no other way to be told. */
static volatile sig_atomic_t received;
static _Atomic(onward_session *) watched;

/* Cancelling sets one atomic flag, so it may be done here. Without a run nothing would look at the flag: the process ends. */
static void handle(int number) {
  onward_session *const session = atomic_load(&watched);
  if (received || session == NULL)
    _exit(128 + number);
  received = number;
  onward_session_cancel(session);
}

void ow_interrupt_install(void) {
  struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART}, before;
  const int numbers[] = {SIGINT, SIGTERM};
  for (size_t i = 0; i < 2; i++) /* what the parent ignores, as nohup does, stays ignored */
    if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
      (void)sigaction(numbers[i], &action, NULL);
}

void ow_interrupt_watch(onward_session *session) { atomic_store(&watched, session); }

int ow_interrupt_code(int code) { return received ? 128 + received : code; }
