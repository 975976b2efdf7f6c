#include "ops/cpu/finish.h"

#include <string.h>

#include "graph/graph.h"

static const struct {
  const char *name;
  ow_activation activation;
} activations[] = {{"", OW_ACT_NONE},
                   {"relu", OW_ACT_RELU},
                   {"gelu", OW_ACT_GELU},
                   {"gelu_tanh", OW_ACT_GELU_TANH},
                   {"quick_gelu", OW_ACT_QUICK_GELU},
                   {"silu", OW_ACT_QUICK_GELU},
                   {"tanh", OW_ACT_TANH},
                   {"sigmoid", OW_ACT_SIGMOID}};

ow_gemm_finish ow_gemm_finish_of(const ow_node *node) {
  const char *const name = ow_node_string(node, "activation", "");
  ow_gemm_finish f = {.alpha = strcmp(name, "silu") == 0 ? 1.0f : ow_node_float(node, "activation_alpha", 1.702f)};
  for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
    if (strcmp(name, activations[i].name) == 0)
      f.activation = activations[i].activation;
  return f;
}
