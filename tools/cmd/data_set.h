/* test_data_set_N folders: input_I.pb and output_I.pb. */
#ifndef OW_CMD_DATA_SET_H
#define OW_CMD_DATA_SET_H

#include "signature.h"

typedef struct ow_data_set {
  onward_named_tensor *inputs;  /* one for each input of the model, in its order */
  onward_named_tensor *outputs; /* what is expected, one for each output of the model, in its order */
} ow_data_set;

/* A file belongs to the input or output its tensor is named after; without a name, to the one at its number. Inputs may
 * also have names the model does not know. Errors: IO, FORMAT, and DATA for too many, too few or misnamed files. */
bool ow_data_set_read(const char *folder, const ow_signature *signature, ow_scratch *scratch, ow_data_set *set,
                      onward_error *err);

#endif
