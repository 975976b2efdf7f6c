/* What programs and terminals need of a dump. On false *reason says why (a constant text). */
#ifndef OW_TESTS_WELL_FORMED_H
#define OW_TESTS_WELL_FORMED_H

#include <stdbool.h>
#include <stddef.h>

/* UTF-8 without control bytes, but for newlines. */
bool well_formed_text(const char *text, size_t size, const char **reason);
bool well_formed_json(const char *text, size_t size, const char **reason); /* one value, nested at most 64 deep */
bool well_formed_dot(const char *text, size_t size, const char **reason);  /* quotes and braces are balanced */

#endif
