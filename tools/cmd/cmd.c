#include "cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ow_cmd_fail(onward_error *err, onward_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char text[ONWARD_ERROR_MESSAGE_SIZE]; /* the arguments may be parts of *err itself */
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  err->status = status;
  memcpy(err->message, text, sizeof text);
  return false;
}

static bool is_control(char c) { return (unsigned char)c < 0x20 || c == 0x7f; }

int ow_cmd_report(const onward_error *err) {
  char line[ONWARD_ERROR_MESSAGE_SIZE + 1];
  size_t n = 0;
  for (; err->message[n] != '\0' && n < ONWARD_ERROR_MESSAGE_SIZE - 1; n++)
    line[n] = is_control(err->message[n]) ? '?' : err->message[n];
  if (n == 0)
    n = (size_t)snprintf(line, sizeof line, "%s", onward_status_name(err->status));
  line[n++] = '\n';
  fflush(stdout);
  fwrite(line, 1, n, stderr);
  return err->status == ONWARD_ARGUMENT ? OW_EXIT_USAGE : OW_EXIT_FAILED;
}

void ow_cmd_print_safe(const char *text) {
  for (; *text != '\0'; text++)
    putchar(is_control(*text) ? '?' : *text);
}

#define BLOCK_ALIGNMENT 64

typedef struct ow_scratch_block {
  struct ow_scratch_block *next;
} ow_scratch_block;

void *ow_scratch_take(ow_scratch *scratch, size_t size) {
  size_t total;
  ow_scratch_block *block = NULL;
  if (!__builtin_add_overflow(size, (size_t)(2 * BLOCK_ALIGNMENT - 1), &total)) {
    total &= ~(size_t)(BLOCK_ALIGNMENT - 1);
    block = aligned_alloc(BLOCK_ALIGNMENT, total);
  }
  if (block == NULL) {
    fprintf(stderr, "out of memory: %zu bytes wanted\n", size);
    exit(OW_EXIT_FAILED);
  }
  memset(block, 0, total);
  block->next = scratch->blocks;
  scratch->blocks = block;
  return (char *)block + BLOCK_ALIGNMENT;
}

char *ow_scratch_text(ow_scratch *scratch, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  const int length = vsnprintf(NULL, 0, format, args);
  const size_t size = length < 0 ? 1 : (size_t)length + 1;
  char *text = ow_scratch_take(scratch, size);
  vsnprintf(text, size, format, again);
  va_end(again);
  va_end(args);
  return text;
}

void ow_scratch_free(ow_scratch *scratch) {
  while (scratch->blocks != NULL) {
    ow_scratch_block *const next = scratch->blocks->next;
    free(scratch->blocks);
    scratch->blocks = next;
  }
}
