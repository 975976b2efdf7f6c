/* NumPy files. Read: versions 1 to 3, C and Fortran order, either byte order, bool, integers, float16/32/64. Written:
 * version 1. */
#ifndef OW_CMD_NPY_H
#define OW_CMD_NPY_H

#include "cmd.h"

/* name stands in the messages. The data is copied: native byte order, row-major. Errors: FORMAT naming the byte offset,
 * UNSUPPORTED. */
bool ow_npy_parse(const char *name, const uint8_t *bytes, size_t size, ow_scratch *scratch, onward_tensor *tensor,
                  onward_error *err);

/* The bytes of a .npy file. Types NumPy has not are written as their bits: bfloat16 as uint16, smaller ones as a row of
 * uint8. */
void ow_npy_format(const onward_tensor *tensor, ow_scratch *scratch, uint8_t **bytes, size_t *size);

/* One array of a .npz archive: `member`, or the only one there is. Stored entries only. */
bool ow_npz_parse(const char *name, const uint8_t *bytes, size_t size, const char *member, ow_scratch *scratch,
                  onward_tensor *tensor, onward_error *err);

#endif
