/* A Jinja template in one spelling, so that it can be recognised. */
#ifndef OW_TEXT_TEMPLATE_TEXT_H
#define OW_TEXT_TEMPLATE_TEXT_H

#include "text/text_buffer.h"

#define OW_LIT "\1" /* begins a string literal */
#define OW_END "\2" /* ends it */

/* Comments and blanks between words go; text outside tags becomes an output of a literal; strings are decoded and stand between
 * OW_LIT and OW_END; neighbours are joined, be it by +, by ~ or because two outputs follow each other; x['y'] becomes x.y; parentheses
 * go. Blanks around blocks go as with trim_blocks and lstrip_blocks, which is how chat templates are used. Errors: FORMAT. */
onward_status ow_template_text(const char *text, size_t length, ow_bytes *out, onward_error *err);

#endif
