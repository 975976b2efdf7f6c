/* Normalisers and pre-tokenisers: a flat list of steps, each of which rewrites or splits pieces. */
#ifndef OW_TEXT_TEXT_STEPS_H
#define OW_TEXT_TEXT_STEPS_H

#include "text/charsmap.h"
#include "text/text_pattern.h"

enum { OW_STEPS_MAX = 64 };

typedef struct ow_step ow_step;
struct ow_step {
  onward_status (*run)(const ow_step *step, const char *text, size_t length, bool first, ow_pieces *out,
                       onward_error *err);
  ow_pattern pattern;
  const char *content; /* of the tree, which lives as long as the steps */
  ow_charsmap *map;
  int64_t size;
  int behavior;
  bool a, b, c, d;
};

typedef struct ow_steps {
  ow_step items[OW_STEPS_MAX];
  size_t count;
} ow_steps;

onward_status ow_steps_read_normalizer(ow_steps *steps, const ow_node *node, onward_error *err);
onward_status ow_steps_read_pre_tokenizer(ow_steps *steps, const ow_node *node, onward_error *err);
void ow_steps_free(ow_steps *steps);
/* Runs all steps over the pieces that are not added tokens. */
onward_status ow_steps_run(const ow_steps *steps, ow_pieces *pieces, onward_error *err);

/* The character that stands for a byte in byte-level tokens, and back (-1: none). */
uint32_t ow_byte_char(unsigned char byte);
int ow_byte_of_char(uint32_t c);

#endif
