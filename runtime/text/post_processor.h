/* What the post-processor, truncation and padding of a file make of the ids of one text or two. */
#ifndef OW_TEXT_POST_PROCESSOR_H
#define OW_TEXT_POST_PROCESSOR_H

#include "onward/text.h"
#include "text/token_model.h"

enum { OW_TEMPLATE_FIRST = -1, OW_TEMPLATE_SECOND = -2 }; /* in the place of an id: a text */

typedef struct ow_template {
  struct ow_template_item {
    int64_t id, type;
  } * items;
  size_t count, capacity;
  bool failed;
} ow_template;

typedef struct ow_post_processor {
  ow_template single, pair; /* items of special tokens and texts */
  bool known;               /* a step set them */
  struct {
    bool there, left;
    enum { OW_LONGEST_FIRST, OW_ONLY_FIRST, OW_ONLY_SECOND } strategy;
    int64_t length;
  } truncation;
  struct {
    bool there, left;
    int64_t length, multiple, id, type;
  } padding;
} ow_post_processor;

/* post_processor, truncation and padding of the file. */
onward_status ow_post_read(ow_post_processor *post, const ow_token_model *model, const ow_node *root,
                           onward_error *err);
void ow_post_free(ow_post_processor *post);
/* second: NULL for one text. */
onward_status ow_post_run(const ow_post_processor *post, const ow_ids *first, const ow_ids *second,
                          const onward_encode_options *options, onward_encoding *encoding, onward_error *err);

#endif
