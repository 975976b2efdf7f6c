/* The generator of the operators that draw. */
#ifndef OW_OPS_RANDOM_H
#define OW_OPS_RANDOM_H

#include "ops/reference.h"

typedef struct ow_random {
  uint64_t state;
} ow_random;

/* The state of a kernel that draws: how often it ran. */
typedef struct ow_random_state {
  uint64_t count;
} ow_random_state;

/* By the attribute seed; without one, by the node's place and how often it ran. */
ow_random ow_random_begin(const ow_node *node, ow_random_state *runs);
double ow_random_uniform(ow_random *r); /* [0, 1) */

#endif
