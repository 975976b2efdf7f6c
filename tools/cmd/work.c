#include "work.h"

#include <stdio.h>
#include <string.h>

#include "interrupt.h"

#define QUIET_MS 300 /* a load that takes longer shows how far it is, on a terminal */

static void clear_line(ow_work *work) {
  if (!work->line_shown)
    return;
  fputs("\r\033[K", stderr);
  work->line_shown = false;
}

static void print_warning(void *context, onward_log_level level, const char *text) {
  if (level != ONWARD_LOG_WARNING)
    return;
  clear_line(context);
  fprintf(stderr, "warning: %s\n", text);
}

static bool print_progress(void *context, const char *stage, double fraction) {
  ow_work *const work = context;
  if (ow_host_ms() - work->load_began > QUIET_MS) {
    fprintf(stderr, "\r\033[Kloading: %3.0f %%, %s", 100 * fraction, stage);
    fflush(stderr);
    work->line_shown = true;
  }
  return true;
}

static void cancel_session(void *session) { onward_session_cancel(session); }

bool ow_work_load(ow_work *work, const char *path, const ow_common *common, bool quiet, onward_error *err) {
  onward_model_options options = common->model;
  if (!quiet) {
    options.log = print_warning; /* runs warn too */
    options.log_context = work;
  }
  if (!quiet && ow_host_terminal()) {
    options.progress = print_progress;
    options.progress_context = work;
    work->load_began = ow_host_ms();
  }
  const onward_status status = onward_model_load(path, &options, &work->model, err);
  clear_line(work);
  if (status == ONWARD_UNSUPPORTED && options.precision != ONWARD_PRECISION_F32 &&
      strstr(err->message, "precision") != NULL)
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "--precision %s: not built yet", common->precision);
  return status == ONWARD_OK && ow_signature_read(work->model, &work->scratch, &work->signature, err);
}

bool ow_work_session(ow_work *work, const ow_common *common, bool profile, onward_error *err) {
  onward_session_options options = onward_session_options_default();
  options.threads = (int32_t)common->threads;
  options.profile = profile;
  if (onward_session_create(work->model, &options, &work->session, err) != ONWARD_OK)
    return false;
  ow_interrupt_watch(cancel_session, work->session);
  return true;
}

bool ow_work_save_profile(ow_work *work, const char *path, onward_error *err) {
  ow_buffer buffer = {.scratch = &work->scratch};
  return onward_session_profile(work->session, ow_buffer_append, &buffer, err) == ONWARD_OK &&
         ow_file_save(path, buffer.text, buffer.length, &work->scratch, err);
}

void ow_work_free(ow_work *work) {
  ow_interrupt_watch(NULL, NULL);
  onward_session_free(work->session);
  onward_model_free(work->model);
  ow_scratch_free(&work->scratch);
  *work = (ow_work){.model = NULL};
}

int ow_work_main(const char *command, int argc, char **argv, const ow_arg *table, ow_common *common, const char **model,
                 int (*body)(ow_work *work, const void *options, onward_error *err), const void *options) {
  ow_work work = {.model = NULL};
  ow_text_list words = {NULL, 0};
  onward_error err = {ONWARD_OK, ""};
  int code;
  if (!ow_args_parse(command, argc, argv, table, common, &words, &work.scratch, &err) ||
      !ow_args_one(command, &words, "MODEL", &err)) {
    code = ow_cmd_report(&err);
  } else {
    *model = words.items[0];
    code = body(&work, options, &err);
  }
  ow_work_free(&work);
  return code;
}
