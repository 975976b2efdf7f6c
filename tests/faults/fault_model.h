/* Models of tests/models with inputs for them, for the tests that make things fail. */
#ifndef OW_TESTS_FAULT_MODEL_H
#define OW_TESTS_FAULT_MODEL_H

#include "onward/onward.h"

enum { FAULT_INPUTS = 16, FAULT_OUTPUTS = 16 };

typedef struct fault_inputs {
  onward_named_tensor tensors[FAULT_INPUTS];
  size_t count;
} fault_inputs;

/* Inputs of `rows` new tokens after `held` ones; those that the state (or NULL) keeps are left out. Booleans are true when
 * tokens are held. Frees what was there before. */
void fault_inputs_fill(fault_inputs *in, const onward_model *model, const onward_state *state, int64_t held,
                       int64_t rows);
void fault_inputs_free(fault_inputs *in);

/* x float32 [n], 3 rounds: a Loop that joins x to what it carries, an If by a sum, a Scan. Serialized; freed by free(). */
void *fault_control_model(size_t *size);

#endif
