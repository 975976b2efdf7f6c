#include "work.h"

#include <stdio.h>
#include <string.h>

#include "interrupt.h"

static void print_warning(void *unused, onward_log_level level, const char *text) {
  (void)unused;
  if (level == ONWARD_LOG_WARNING)
    fprintf(stderr, "warning: %s\n", text);
}

bool ow_work_load(ow_work *work, const char *path, const ow_common *common, bool quiet, onward_error *err) {
  onward_model_options options = common->model;
  if (!quiet)
    options.log = print_warning;
  const onward_status status = onward_model_load(path, &options, &work->model, err);
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
  ow_interrupt_watch(work->session);
  return true;
}

bool ow_work_save_profile(ow_work *work, const char *path, onward_error *err) {
  ow_buffer buffer = {.scratch = &work->scratch};
  return onward_session_profile(work->session, ow_buffer_append, &buffer, err) == ONWARD_OK &&
         ow_file_save(path, buffer.text, buffer.length, &work->scratch, err);
}

void ow_work_free(ow_work *work) {
  ow_interrupt_watch(NULL);
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
