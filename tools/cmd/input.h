/* Values for inputs: from files, from the command line, made up. */
#ifndef OW_CMD_INPUT_H
#define OW_CMD_INPUT_H

#include "signature.h"

/* FILE.npy, FILE.npz, FILE.pb, [[1,2],[3,4]], 5, true, random:AxB, ones:AxB. What is not from a file gets the input's
 * type. random: floats in [-1, 1), integers and bools 0 or 1; the same each time, different for each input. */
bool ow_input_read(const onward_value_info *info, const char *text, ow_scratch *scratch, onward_tensor *tensor,
                   onward_error *err);

/* A list as JSON, or a single value, with the given type. Ragged lists and numbers the type cannot hold are refused. */
bool ow_list_parse(const char *text, onward_dtype dtype, ow_scratch *scratch, onward_tensor *tensor, onward_error *err);

/* A file of a TensorProto, SequenceProto or OptionalProto; *name, when asked for, is its name ("" without). */
bool ow_pb_read(const char *path, onward_kind kind, ow_scratch *scratch, onward_tensor *tensor, const char **name,
                onward_error *err);

/* Every element: the number for integers, floats and bools. */
bool ow_input_fill(const onward_value_info *info, int32_t rank, const int64_t *dims, double integers, double floats,
                   ow_scratch *scratch, onward_tensor *tensor, onward_error *err);

#endif
