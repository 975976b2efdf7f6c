/* SIGINT and SIGTERM: the first asks the run that is going on to stop, the second ends the process at once. */
#ifndef OW_CMD_INTERRUPT_H
#define OW_CMD_INTERRUPT_H

void ow_interrupt_install(void);
/* What a signal calls, which must be safe in its handler; NULL: none, and a signal ends the process. */
typedef void ow_cancel(void *what);
void ow_interrupt_watch(ow_cancel *call, void *what);
/* 128 + the signal that came, otherwise code. */
int ow_interrupt_code(int code);

#endif
