/* SIGINT and SIGTERM: the first asks the run that is going on to stop, the second ends the process at once. */
#ifndef OW_CMD_INTERRUPT_H
#define OW_CMD_INTERRUPT_H

#include "onward/onward.h"

void ow_interrupt_install(void);
/* The session that a signal cancels; NULL: none, and a signal ends the process. */
void ow_interrupt_watch(onward_session *session);
/* 128 + the signal that came, otherwise code. */
int ow_interrupt_code(int code);

#endif
