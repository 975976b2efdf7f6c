/* After fork() the child may not use what its parent loaded, is told so at once, and can load anew. */
#include <sys/wait.h>
#include <unistd.h>

#include "zoo.h"

static const char *const model_path = ONWARD_SOURCE_DIR "/tests/models/bert_ts14";

static bool discard(void *context, const char *text, size_t length) {
  (void)context, (void)text, (void)length;
  return true;
}

static int problem(const char *what, const char *text) {
  fprintf(stderr, "FAIL %s: %s\n", what, text);
  return 1;
}

static bool refused(onward_status status, const onward_error *err) {
  return status == ONWARD_ARGUMENT && strstr(err->message, "fork()") != NULL;
}

static onward_status run(onward_model *model, onward_session *session, onward_error *err) {
  zoo_inputs in;
  onward_value_info info;
  if (!zoo_fill(model, 4, 24, 7, &in, err) || onward_model_output(model, 0, &info, err))
    return ONWARD_INTERNAL;
  onward_named_tensor out = {.name = info.name};
  const onward_status status = onward_session_run(session, in.tensors, in.count, &out, 1, NULL, err);
  zoo_free(&in);
  return status;
}

static onward_status load(onward_model **model, onward_session **session, onward_error *err) {
  onward_session_options options = onward_session_options_default();
  options.threads = 3; /* the parent has a team that the child has not */
  const onward_status status = onward_model_load(model_path, NULL, model, err);
  return status ? status : onward_session_create(*model, &options, session, err);
}

static int child(onward_model *model, onward_session *session) {
  onward_error err = {ONWARD_OK, ""};
  onward_session *other = NULL;
  onward_plan_info info;
  onward_dump_options dump = onward_dump_options_default();
  (void)alarm(60);
  if (!refused(run(model, session, &err), &err))
    return problem("run in the child", err.message);
  if (!refused(onward_session_create(model, NULL, &other, &err), &err) || other)
    return problem("session in the child", err.message);
  if (!refused(onward_model_plan(model, NULL, 0, 1, &info, &err), &err))
    return problem("plan in the child", err.message);
  if (!refused(onward_model_dump(model, &dump, discard, NULL, &err), &err))
    return problem("dump in the child", err.message);
  onward_model *mine = NULL;
  onward_session *my_session = NULL;
  if (load(&mine, &my_session, &err) || run(mine, my_session, &err))
    return problem("a model loaded in the child", err.message);
  onward_session_free(my_session);
  onward_model_free(mine);
  onward_session_free(session); /* its memory is the child's own copy */
  onward_model_free(model);
  return 0;
}

int main(void) {
  onward_error err = {ONWARD_OK, ""};
  onward_model *model = NULL;
  onward_session *session = NULL;
  (void)alarm(120);
  if (load(&model, &session, &err) || run(model, session, &err))
    return problem("parent", err.message);
  const pid_t id = fork();
  if (id < 0)
    return problem("fork", "none");
  if (id == 0)
    _exit(child(model, session));
  int status = 0;
  if (waitpid(id, &status, 0) != id || !WIFEXITED(status))
    return problem("child", "did not end by itself");
  if (run(model, session, &err)) /* the parent goes on */
    return problem("parent after fork", err.message);
  onward_session_free(session);
  onward_model_free(model);
  return WEXITSTATUS(status);
}
