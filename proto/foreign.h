/* Files that people take for ONNX models and that are something else. */
#ifndef OW_PROTO_FOREIGN_H
#define OW_PROTO_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* FORMAT with what the bytes are, when they are recognised as no ONNX model; OK otherwise. title: the file, for the message. */
onward_status ow_foreign_check(const uint8_t *bytes, size_t size, const char *title, onward_error *err);
/* Whether the bytes look like text. For a better message once they turned out to be no model: a few models do, at first. */
bool ow_foreign_is_text(const uint8_t *bytes, size_t size);

#endif
