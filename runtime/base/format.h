/* Formatting that does not depend on the locale, and UTF-8. */
#ifndef OW_BASE_FORMAT_H
#define OW_BASE_FORMAT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* vsnprintf in the C locale, whatever the caller's thread has set; never negative: what cannot be formatted is empty. */
size_t ow_vformat(char *buffer, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

/* Length (1 to 4) of the UTF-8 character at text, of which length bytes are there; 0 when it is not a valid one. */
size_t ow_utf8_char(const char *text, size_t length);
bool ow_utf8_valid(const char *text, size_t length);
bool ow_text_valid(const char *text, size_t length); /* the same, and without a NUL */

/* What ow_utf8_char accepted is a control character: below U+0020, U+007F to U+009F, or a line or paragraph separator. */
bool ow_utf8_is_control(const char *text, size_t length);

/* Replaces control characters and invalid bytes by '?', in place; never longer than before. Returns the new length. */
size_t ow_text_clean(char *text, size_t length);

#endif
