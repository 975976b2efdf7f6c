/* Tensors of strings. Elements are pointers to NUL-terminated UTF-8; what a kernel makes lives in the texts of its session. */
#ifndef OW_OPS_TEXT_OPS_H
#define OW_OPS_TEXT_OPS_H

#include "ops/reference.h"

/* The shortest text that reads back as the same number, in the form of Python and of NumPy up to 2.3: 1.0, 1e-05, nan,
 * -inf. */
#define OW_NUMBER_TEXT 40
void ow_number_text(onward_dtype dtype, const void *data, int64_t i, char text[OW_NUMBER_TEXT]);
/* Blanks around it are ignored; nan, inf and infinity in any case. false: text is no number. */
bool ow_text_number(const char *text, double *value);

/* Cast to or from strings: the kernel. */
onward_status ow_cast_text(const ow_args *a, onward_error *err);

/* A blank as Python's split sees it at text: its length in bytes, 0 for all else. */
size_t ow_text_blank(const char *text);

#endif
