/* The plug-ins of one model: libraries, and the rows made of their descriptors. */
#ifndef OW_RUNTIME_PLUGIN_SET_H
#define OW_RUNTIME_PLUGIN_SET_H

#include "graph/op.h"
#include "onward/plugin.h"

typedef struct ow_plugin_set ow_plugin_set;

/* A descriptor as a row. The row comes first: node->op leads back here. */
typedef struct ow_plugin_op {
  ow_op row;
  ow_kernel kernel;
  const ow_kernel *kernels[2];
  onward_op_desc desc;
  const char *library; /* as named by the user, or "plug-in N of the program" */
  const ow_plugin_set *set;
} ow_plugin_op;

struct ow_plugin_set {
  onward_host host; /* first: a host leads back here */
  const ow_allocator *allocator;
  ow_arena arena;
  ow_registry *registry; /* rows go here; NULL when no init is running */
  const char *library;   /* whose init is running */
  void **handles;
  size_t handle_count;
  void (*log)(void *context, onward_log_level level, const char *text);
  void *log_context;
  bool override, check;
};

/* Opens what options name and adds its rows to registry. *out is set on failure too: to be freed after the graphs. */
onward_status ow_plugin_set_open(const ow_allocator *a, const onward_model_options *options, ow_registry *registry,
                                 ow_plugin_set **out, onward_error *err);
void ow_plugin_set_free(ow_plugin_set *set);

static inline const ow_plugin_op *ow_plugin_op_of(const ow_node *node) { return (const ow_plugin_op *)node->op; }

/* plugin_host.c: the table, but for register_op */
void ow_plugin_host_fill(onward_host *host);

/* plugin_op.c: what rows of plug-ins do */
onward_status ow_plugin_infer(ow_infer *c);
onward_status ow_plugin_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err);
onward_status ow_plugin_run(const ow_args *a, void *state, onward_error *err);
void ow_plugin_destroy(void *state);
size_t ow_plugin_state_size(size_t wanted);

/* What the opaque types of plugin.h are. onward_node is an ow_node. */
struct onward_infer {
  ow_infer c;
  onward_status failed; /* the first failure of a helper */
};

struct onward_call {
  const ow_args *args;
  onward_tensor *shown; /* copies of the outputs, so that a plug-in cannot change the plan's */
  void *workspace;
};

#endif
