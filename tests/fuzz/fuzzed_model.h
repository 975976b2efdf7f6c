/* A model from bytes, under limits that keep one input well under a second. */
#ifndef OW_TESTS_FUZZ_FUZZED_MODEL_H
#define OW_TESTS_FUZZ_FUZZED_MODEL_H

#include "onward/onward.h"

onward_limits fuzzed_limits(void);
/* NULL when it is refused. */
onward_model *fuzzed_load(const uint8_t *data, size_t size);

#endif
