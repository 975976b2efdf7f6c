/* What Split and Replace look for: a string, a regular expression (PCRE2 under a match limit), or a kind of character. */
#ifndef OW_TEXT_TEXT_PATTERN_H
#define OW_TEXT_TEXT_PATTERN_H

#include "text/text_buffer.h"
#include "text/token_json.h"

typedef struct ow_pattern {
  const char *literal;    /* or NULL */
  void *code;             /* a compiled expression, or NULL */
  bool (*is)(uint32_t c); /* otherwise: single characters */
} ow_pattern;

/* One stretch of the text: a match, or what lies between two. */
typedef struct ow_stretch {
  size_t start, end;
  bool match;
} ow_stretch;

typedef struct ow_stretches {
  ow_stretch *items;
  size_t count, capacity;
} ow_stretches;

onward_status ow_pattern_compile(const char *expression, const char *path, ow_pattern *pattern, onward_error *err);
onward_status ow_pattern_compile_scripts(const char *path, ow_pattern *pattern,
                                         onward_error *err); /* ow_pattern_scripts */
/* {"String": ...} or {"Regex": ...} under node.pattern; the literal is borrowed from the tree. */
onward_status ow_pattern_read(const ow_node *node, ow_pattern *pattern, onward_error *err);
void ow_pattern_free(ow_pattern *pattern);
/* The whole text as stretches, in order; matches may be empty. Errors: LIMIT when the expression takes too many steps; MEMORY. */
onward_status ow_pattern_find(const ow_pattern *pattern, const char *text, size_t length, ow_stretches *out,
                              onward_error *err);

#endif
