/* Texts and tokenizers that commands are given. */
#ifndef OW_CMD_TEXT_INPUT_H
#define OW_CMD_TEXT_INPUT_H

#include "host.h"
#include "onward/text.h"

/* The folder itself, or the one that the file is in. */
const char *ow_model_folder(const char *model, ow_scratch *scratch);
/* What was asked for, or tokenizer.json in the model's folder. */
const char *ow_tokenizer_path(const char *asked, const char *model, ow_scratch *scratch);
/* A file, or a folder with model.onnx: so that a missing model is not taken for a missing tokenizer. Errors: those of loading it. */
bool ow_model_is_there(const char *model, ow_scratch *scratch, onward_error *err);
/* asked: the user named it. Errors: those of onward_tokenizer_load; a missing file says what to pass. */
bool ow_tokenizer_open(const char *path, bool asked, onward_tokenizer **tokenizer, onward_error *err);

/* Standard input without its last line end. Errors: IO. */
bool ow_stdin_text(ow_scratch *scratch, const char **text, onward_error *err);

/* A question as the chat template beside the tokenizer writes it; system may be NULL. */
bool ow_chat_prompt(const char *tokenizer, const char *system, const char *user, ow_scratch *scratch, const char **text,
                    onward_error *err);

#endif
