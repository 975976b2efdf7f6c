/* Characters: what they are, and the normal forms. The only caller of utf8proc. */
#ifndef OW_TEXT_UNICODE_TEXT_H
#define OW_TEXT_UNICODE_TEXT_H

#include "text/text_buffer.h"

/* The character at text (valid UTF-8, not at its end); *length becomes its bytes. */
uint32_t ow_char_at(const char *text, size_t *length);

bool ow_char_space(uint32_t c);       /* White_Space */
bool ow_char_word(uint32_t c);        /* \w */
bool ow_char_number(uint32_t c);      /* Nd, Nl, No */
bool ow_char_punctuation(uint32_t c); /* P*, and ASCII symbols */
bool ow_char_other(uint32_t c);       /* Cc, Cf, Co */
bool ow_char_mark(uint32_t c);        /* M* */
bool ow_char_nonspacing(uint32_t c);  /* Mn */
bool ow_char_chinese(uint32_t c);

void ow_text_lower(const char *text, size_t length, ow_bytes *out);
/* NFC, NFD, NFKC or NFKD. Linear: marks are ordered by counting, however many follow each other. */
void ow_text_normal_form(const char *text, size_t length, bool compose, bool compatibility, ow_bytes *out);
/* Length of the first grapheme cluster. */
size_t ow_text_grapheme(const char *text, size_t length);
/* Bytes that are no UTF-8 become U+FFFD. */
void ow_text_repair(const char *text, size_t length, ow_bytes *out);

#endif
