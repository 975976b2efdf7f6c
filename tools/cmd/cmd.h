/* What every part of the command shares: exit codes, errors, memory that lives as long as one piece of work. */
#ifndef OW_CMD_H
#define OW_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onward/onward.h"

#define OW_CMD_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum { OW_EXIT_OK = 0, OW_EXIT_FAILED = 1, OW_EXIT_USAGE = 2 };

typedef struct ow_command {
  const char *name;
  const char *summary;
  const char *help; /* NULL: not built yet */
  /* The words after the command's name; began_ms: when the process began, on the clock of ow_host_ms. Returns the exit
   * code. */
  int (*run)(double began_ms, int argc, char **argv);
} ow_command;

extern const ow_command ow_command_run, ow_command_test, ow_command_dump, ow_command_check, ow_command_bench,
    ow_command_generate, ow_command_embed;

/* Sets *err (never NULL here) and returns false. ONWARD_ARGUMENT stands for bad usage. */
bool ow_cmd_fail(onward_error *err, onward_status status, const char *format, ...) OW_CMD_PRINTF(3, 4);
/* The message as one line on stderr; returns the exit code: 2 for ONWARD_ARGUMENT, otherwise 1. */
int ow_cmd_report(const onward_error *err);
/* text with control bytes shown as '?', so that a file cannot drive a terminal */
void ow_cmd_print_safe(const char *text);

/* Memory freed as a whole. Never NULL: without memory the command says so and exits with 1. */
typedef struct ow_scratch {
  struct ow_scratch_block *blocks;
} ow_scratch;

void *ow_scratch_take(ow_scratch *scratch, size_t size); /* zeroed, 64-byte aligned; size 0 is fine */
char *ow_scratch_text(ow_scratch *scratch, const char *format, ...) OW_CMD_PRINTF(2, 3);
void ow_scratch_free(ow_scratch *scratch); /* the scratch can be used again */

#endif
