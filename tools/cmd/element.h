/* Single elements of tensors, as numbers and as text. */
#ifndef OW_CMD_ELEMENT_H
#define OW_CMD_ELEMENT_H

#include "cmd.h"

typedef enum ow_element_class {
  OW_ELEMENT_OTHER, /* strings, complex, floats of 8 and 4 bits, integers below a byte */
  OW_ELEMENT_REAL,  /* float16, bfloat16, float32, float64 */
  OW_ELEMENT_INT,   /* 8 to 64 bits */
  OW_ELEMENT_BOOL
} ow_element_class;

ow_element_class ow_element_class_of(onward_dtype dtype);
size_t ow_element_size(onward_dtype dtype); /* bytes; 0 for the class OTHER */

int64_t ow_tensor_count(const onward_tensor *tensor); /* product of dims, which are already checked */

/* Not for the class OTHER. */
double ow_element_get(onward_dtype dtype, const void *data, int64_t i);
/* Floats are rounded to nearest even. false: an integer type that cannot hold the value exactly. */
bool ow_element_set(onward_dtype dtype, void *data, int64_t i, double value);
/* Exactly as it is: integers in full, floats with the digits that tell them apart. At most 31 characters. */
#define OW_ELEMENT_TEXT 32
void ow_element_text(onward_dtype dtype, const void *data, int64_t i, char text[OW_ELEMENT_TEXT]);
/* The same as a JSON value: not-a-number and infinities are null. */
void ow_element_json(onward_dtype dtype, const void *data, int64_t i, char text[OW_ELEMENT_TEXT]);
/* A double as a JSON value, all digits. */
void ow_real_json(double value, char text[OW_ELEMENT_TEXT]);

/* A tensor with zeroed data. Errors: as onward_tensor_bytes. */
bool ow_tensor_make(onward_dtype dtype, int32_t rank, const int64_t *dims, ow_scratch *scratch, onward_tensor *tensor,
                    onward_error *err);

typedef struct ow_tensor_stats {
  bool known; /* false: class OTHER, or no elements */
  int64_t min_at, max_at;
  double mean, sum, abs_sum;
  int64_t
      nan_count; /* they count in mean, sum and abs_sum, not in min and max; min_at is -1 when there is nothing else */
} ow_tensor_stats;

ow_tensor_stats ow_tensor_measure(const onward_tensor *tensor);

#endif
