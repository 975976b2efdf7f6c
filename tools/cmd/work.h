/* A model, its signature and a session: what most commands work with. */
#ifndef OW_CMD_WORK_H
#define OW_CMD_WORK_H

#include "host.h"
#include "signature.h"

typedef struct ow_work {
  onward_model *model;
  onward_session *session;
  ow_signature signature;
  ow_scratch scratch;
  double load_began; /* on the clock of ow_host_ms */
  bool line_shown;   /* a line that is not ended stands on the terminal */
} ow_work;

/* Warnings of the library go to stderr unless quiet, and on a terminal how far a long load is. */
bool ow_work_load(ow_work *work, const char *path, const ow_common *common, bool quiet, onward_error *err);
bool ow_work_session(ow_work *work, const ow_common *common, bool profile, onward_error *err);
bool ow_work_save_profile(ow_work *work, const char *path, onward_error *err);
void ow_work_free(ow_work *work);

/* A command on one MODEL: parses the words, sets *model, runs the body, frees the work. Returns the exit code. */
int ow_work_main(const char *command, int argc, char **argv, const ow_arg *table, ow_common *common, const char **model,
                 int (*body)(ow_work *work, const void *options, onward_error *err), const void *options);

#endif
