/* Oniguruma's regular expressions, which tokenizer.json files hold, in the syntax of PCRE2. */
#ifndef OW_TEXT_PATTERN_SYNTAX_H
#define OW_TEXT_PATTERN_SYNTAX_H

#include "text/text_buffer.h"

/* *out ends with NUL. Errors: UNSUPPORTED, with the place. MEMORY shows in out->failed. */
onward_status ow_pattern_translate(const char *expression, const char *path, ow_bytes *out, onward_error *err);
/* An expression for stretches of one script each, with the blanks after them. Kana counts as Han. Ends with NUL. */
void ow_pattern_scripts(ow_bytes *out);

#endif
