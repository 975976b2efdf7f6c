/* Derivatives of single operators, for pass_gradient.c. */
#ifndef OW_GRAPH_GRADIENT_H
#define OW_GRAPH_GRADIENT_H

#include "graph/pass_util.h"

typedef struct ow_gradient {
  ow_pass_context *context;
  ow_node *at;         /* the Gradient: what is made goes before it */
  const ow_node *node; /* the one that is derived */
  ow_value *g;         /* derivative of its output 0 */
} ow_gradient;

/* What d->g is by input `input`, in that input's shape; *out stays NULL where the derivative is zero everywhere. UNSUPPORTED
 * names the node when its operator has no rule. */
onward_status ow_gradient_of_input(const ow_gradient *d, size_t input, ow_value **out);
/* `value` in the shape of x; NULL without memory. */
ow_value *ow_gradient_full(const ow_gradient *d, const ow_value *x, double value);
ow_value *ow_gradient_add(const ow_gradient *d, ow_value *a, ow_value *b);

#endif
