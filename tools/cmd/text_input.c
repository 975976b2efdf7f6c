#include "text_input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { STDIN_BYTES_MAX = 64 << 20 };

/* "a/b" -> "a/", "b" -> "", "/b" -> "/" */
static const char *folder_of(const char *path, ow_scratch *scratch) {
  const char *const slash = strrchr(path, '/');
  return slash ? ow_scratch_text(scratch, "%.*s", (int)(slash - path + 1), path) : "";
}

const char *ow_model_folder(const char *model, ow_scratch *scratch) {
  if (ow_folder_is(model))
    return model;
  const char *const inside = folder_of(model, scratch);
  const size_t length = strlen(inside);
  return length == 0 ? "." : ow_scratch_text(scratch, "%.*s", (int)(length > 1 ? length - 1 : length), inside);
}

const char *ow_tokenizer_path(const char *asked, const char *model, ow_scratch *scratch) {
  if (asked)
    return asked;
  return ow_folder_is(model) ? ow_scratch_text(scratch, "%s/tokenizer.json", model)
                             : ow_scratch_text(scratch, "%stokenizer.json", folder_of(model, scratch));
}

bool ow_model_is_there(const char *model, ow_scratch *scratch, onward_error *err) {
  if (ow_file_is(ow_folder_is(model) ? ow_scratch_text(scratch, "%s/model.onnx", model) : model))
    return true;
  onward_model *odd = NULL;
  const bool loads = onward_model_load(model, NULL, &odd, err) == ONWARD_OK;
  onward_model_free(odd);
  return loads;
}

bool ow_tokenizer_open(const char *path, bool asked, onward_tokenizer **tokenizer, onward_error *err) {
  if (!asked && !ow_file_is(path))
    return ow_cmd_fail(err, ONWARD_IO, "%s is not there: name the model's tokenizer.json with --tokenizer FILE", path);
  return onward_tokenizer_load(path, tokenizer, err) == ONWARD_OK;
}

bool ow_stdin_text(ow_scratch *scratch, const char **text, onward_error *err) {
  ow_buffer buffer = {.scratch = scratch};
  char part[4096];
  size_t n;
  while ((n = fread(part, 1, sizeof part, stdin)) > 0) {
    if (buffer.length + n > STDIN_BYTES_MAX)
      return ow_cmd_fail(err, ONWARD_LIMIT, "standard input has more than %d bytes", STDIN_BYTES_MAX);
    if (memchr(part, '\0', n))
      return ow_cmd_fail(err, ONWARD_INPUT, "standard input has a byte 0 in it");
    (void)ow_buffer_append(&buffer, part, n);
  }
  if (ferror(stdin))
    return ow_cmd_fail(err, ONWARD_IO, "standard input: %s", strerror(errno));
  if (buffer.length > 0 && buffer.text[buffer.length - 1] == '\n')
    buffer.text[buffer.length - 1] = '\0';
  *text = buffer.text ? buffer.text : "";
  return true;
}

bool ow_chat_prompt(const char *tokenizer, const char *system, const char *user, ow_scratch *scratch, const char **text,
                    onward_error *err) {
  const char *const folder = ow_model_folder(tokenizer, scratch);
  const onward_chat_message messages[] = {{"system", system}, {"user", user}};
  onward_chat_template *chat = NULL;
  char *rendered = NULL;
  const bool known = onward_chat_template_load(folder, &chat, err) == ONWARD_OK;
  const bool ok = known && onward_chat_template_render(chat, messages + (system == NULL), system ? 2 : 1, &rendered,
                                                       NULL, err) == ONWARD_OK;
  if (ok)
    *text = ow_scratch_text(scratch, "%s", rendered);
  onward_free(rendered);
  onward_chat_template_free(chat);
  if (known)
    return ok;
  const onward_error why = *err;
  return ow_cmd_fail(err, why.status, "--chat: %s; write the text with its special tokens yourself: --prompt TEXT",
                     why.message);
}
