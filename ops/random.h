/* The generator of the operators that draw. */
#ifndef OW_OPS_RANDOM_H
#define OW_OPS_RANDOM_H

#include "ops/reference.h"

typedef struct ow_random {
  uint64_t state;
} ow_random;

/* By the attribute seed, or the node's place. */
ow_random ow_random_begin(const ow_node *node);
double ow_random_uniform(ow_random *r); /* [0, 1) */

#endif
