/* What a model wants and gives, and shapes for its inputs: given, derived from each other, or guessed for an
 * example. */
#ifndef OW_CMD_SIGNATURE_H
#define OW_CMD_SIGNATURE_H

#include "args.h"

typedef struct ow_signature {
  onward_value_info *inputs, *outputs;
  size_t input_count, output_count;
} ow_signature;

bool ow_signature_read(const onward_model *model, ow_scratch *scratch, ow_signature *signature, onward_error *err);

/* "NAME=rest": the index of the input (the longest name that fits, as names may hold '='), *rest after the sign.
 * Errors: ARGUMENT naming the option and the inputs there are. */
bool ow_signature_split(const ow_signature *signature, const char *option, const char *text, size_t *index,
                        const char **rest, ow_scratch *scratch, onward_error *err);

/* "float32 [batch,sequence,32]"; "?" for a dimension without name, "[...]" without rank */
const char *ow_value_text(const onward_value_info *info, ow_scratch *scratch);

typedef enum ow_shape_origin { OW_SHAPE_NONE, OW_SHAPE_GIVEN, OW_SHAPE_DERIVED, OW_SHAPE_GUESSED } ow_shape_origin;

typedef struct ow_shapes {
  onward_input_shape *items; /* one for each input */
  ow_shape_origin *origin;
  size_t count;
} ow_shapes;

ow_shapes ow_shapes_none(const ow_signature *signature, ow_scratch *scratch);
/* --shape NAME=AxB ... */
bool ow_shapes_parse(const ow_signature *signature, const ow_text_list *texts, ow_shapes *shapes, ow_scratch *scratch,
                     onward_error *err);
/* Fixed dimensions, and free ones whose names the given shapes tell. true: every input has a shape now. */
bool ow_shapes_derive(const ow_signature *signature, ow_shapes *shapes);
/* The rest, for an example. */
void ow_shapes_guess(const ow_signature *signature, ow_shapes *shapes);

/* text as one word for a shell */
const char *ow_shell_word(const char *text, ow_scratch *scratch);
/* One line on stderr: the shapes of which inputs are missing, and "onward COMMAND MODEL --shape ..." that would work.
 * Returns the exit code. */
int ow_shapes_report_missing(const char *command, const char *model, const ow_signature *signature, ow_shapes *shapes,
                             ow_scratch *scratch);

#endif
