#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

/* Written by the handler, which has no other way to be told. */
static volatile sig_atomic_t received;
static _Atomic(void *) watched;
static _Atomic(ow_cancel *) cancel;

/* Cancelling sets one atomic flag, so it may be done here. Without a run nothing would look at the flag: the process ends. */
static void handle(int number) {
  ow_cancel *const call = atomic_load(&cancel);
  if (received || call == NULL)
    _exit(128 + number);
  received = number;
  call(atomic_load(&watched));
}

void ow_interrupt_install(void) {
  struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART}, before;
  const int numbers[] = {SIGINT, SIGTERM};
  for (size_t i = 0; i < 2; i++) /* what the parent ignores, as nohup does, stays ignored */
    if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
      (void)sigaction(numbers[i], &action, NULL);
}

void ow_interrupt_watch(ow_cancel *call, void *what) {
  atomic_store(&cancel, NULL);
  atomic_store(&watched, what);
  atomic_store(&cancel, call);
}

int ow_interrupt_code(int code) { return received ? 128 + received : code; }
