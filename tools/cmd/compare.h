/* Is a tensor what was expected? */
#ifndef OW_CMD_COMPARE_H
#define OW_CMD_COMPARE_H

#include "cmd.h"

typedef struct ow_tolerance {
  double rtol, atol; /* of floats: |got - want| <= atol + rtol |want|. Integers, bools and all else must be equal */
  double fraction;   /* of the elements that must be within that, 0..1 */
  double min_cosine; /* of the whole tensor; below -1: not asked for */
} ow_tolerance;

/* A NaN equals a NaN, an infinity the same infinity. Errors: DATA saying what differs most and where. */
bool ow_compare(const onward_tensor *want, const onward_tensor *got, const ow_tolerance *tolerance, onward_error *err);

#endif
