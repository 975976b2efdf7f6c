/* Onward plug-ins: operators from a shared library, or from the program that embeds Onward.
 *
 * A plug-in is a shared library that exports one function and links to nothing of Onward:
 *
 *     #include <onward/plugin.h>
 *
 *     static onward_status infer(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *err) {
 *       return host->infer_same(c, 0, 0);                                    // output 0 has the type of input 0
 *     }
 *     static onward_status run(const onward_host *host, const onward_node *node, onward_call *call, void *state,
 *                              onward_error *err) {
 *       const onward_tensor *x = host->call_input(call, 0), *y = host->call_output(call, 0);
 *       for (size_t i = 0; i < x->bytes / 4; i++)
 *         ((float *)y->data)[i] = 2 * ((const float *)x->data)[i];
 *       return ONWARD_OK;
 *     }
 *     ONWARD_PLUGIN_EXPORT onward_status onward_plugin_init(const onward_host *host, onward_registry *registry,
 *                                                           onward_error *err) {
 *       static const onward_port x = {"x", ONWARD_TYPE_BIT(ONWARD_FLOAT32), 0, 0};
 *       const onward_op_desc twice = {.struct_size = sizeof twice, .abi_major = ONWARD_PLUGIN_ABI_MAJOR,
 *           .abi_minor = ONWARD_PLUGIN_ABI_MINOR, .domain = "example", .name = "Twice", .since = 1, .inputs = &x,
 *           .input_count = 1, .outputs = &x, .output_count = 1, .infer = infer, .run = run};
 *       return host->register_op(registry, &twice, err);
 *     }
 *
 *     cc -shared -fPIC -o twice.so twice.c          onward run model.onnx --plugin twice.so
 *
 * A model never names a library: who runs it does, by `--plugin` or onward_model_options.plugins. A program that links Onward can
 * hand over the same function without a library: onward_model_options.plugin_inits.
 *
 * Rules
 *   Trust       A plug-in is native code in your process. What it returns is checked; what it does is not.
 *   Errors      Callbacks return ONWARD_OK, or call host->set_error and return its status. Onward puts node, operator and library
 *               before the text. After a failed run the session can be used again. No exception and no longjmp may leave a callback.
 *   Threads     One plug-in may be called for several sessions at once, so callbacks keep what they need in `state`, never in
 *               globals. state belongs to one step of one session: no two calls with it run at the same time.
 *   Ownership   Every pointer a callback is given is valid until it returns, but `state` (until destroy) and `host` (until the model
 *               is freed). Strings and arrays of a descriptor are copied when it is registered. Functions must stay loaded.
 *   ABI         Structs grow only at their end; struct_size says how far they reach. A larger descriptor is taken when what Onward
 *               does not know is zero, a smaller one as if the rest were zero. Use ONWARD_HOST_HAS before newer functions. */
#ifndef ONWARD_PLUGIN_H
#define ONWARD_PLUGIN_H

#include "onward/onward.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ONWARD_PLUGIN_ABI_MAJOR 0
#define ONWARD_PLUGIN_ABI_MINOR 1

#if defined(__cplusplus)
#define ONWARD_PLUGIN_EXPORT extern "C" ONWARD_API
#else
#define ONWARD_PLUGIN_EXPORT ONWARD_API
#endif

#if defined(__GNUC__)
#define ONWARD_PLUGIN_PRINTF(text, arguments) __attribute__((format(printf, text, arguments)))
#else
#define ONWARD_PLUGIN_PRINTF(text, arguments)
#endif

typedef struct onward_node onward_node;   /* one node of a model: its name and attributes */
typedef struct onward_infer onward_infer; /* one call of infer */
typedef struct onward_call onward_call;   /* one call of prepare or run */

/* ---- dimensions ------------------------------------------------------------------------------------------------------- */

/* A size: a number, an expression over the free dims of the model's inputs ("2*batch"), or not known before a run. Made by the
 * host's dim_* functions. infer sees expressions when a model is loaded and numbers when it runs: the same code serves both. */
typedef struct onward_dim {
  int64_t value;      /* the number, when expression is 0 */
  int32_t expression; /* > 0: Onward's; -1: not known */
  int32_t reserved;
} onward_dim;

static inline onward_dim onward_dim_of(int64_t value) {
  onward_dim dim;
  dim.value = value;
  dim.expression = 0;
  dim.reserved = 0;
  return dim;
}
/* What an output dim is when it depends on data that infer has not got. */
static inline onward_dim onward_dim_unknown(void) {
  onward_dim dim;
  dim.value = 0;
  dim.expression = -1;
  dim.reserved = 0;
  return dim;
}
static inline bool onward_dim_is_number(onward_dim dim) { return dim.expression == 0; }

/* ---- the host ------------------------------------------------------------------------------------------------------------- */

/* *dim = a OP b. floor_div rounds down and gives "not known" for a divisor of 0; mod has the sign of b. */
typedef enum onward_dim_op {
  ONWARD_DIM_ADD = 0,
  ONWARD_DIM_SUB = 1,
  ONWARD_DIM_MUL = 2,
  ONWARD_DIM_FLOOR_DIV = 3,
  ONWARD_DIM_MOD = 4,
  ONWARD_DIM_MIN = 5,
  ONWARD_DIM_MAX = 6
} onward_dim_op;

struct onward_op_desc;

/* Everything a plug-in can call. One per model; functions that take no host find it through their first argument. */
struct onward_host {
  size_t struct_size;
  uint32_t abi_major, abi_minor;
  const char *version; /* of the library */

  /* Memory, 64-byte aligned; NULL when there is none. Free it with free, which takes NULL. Any callback, any thread.
   *     void *table = host->alloc(host, count * sizeof(float)); */
  void *(*alloc)(const onward_host *host, size_t bytes);
  void (*free)(const onward_host *host, void *memory);
  /* Sets *err and returns status, which must not be ONWARD_OK. Onward cuts the text at 511 bytes.
   *     return host->set_error(err, ONWARD_DATA, "element %d is negative", i); */
  onward_status (*set_error)(onward_error *err, onward_status status, const char *format, ...)
      ONWARD_PLUGIN_PRINTF(3, 4);
  /* To the log callback of the model, when there is one. Any callback, any thread; text is one line and is not kept.
   *     host->log(host, ONWARD_LOG_WARNING, "no table for this length: slow"); */
  void (*log)(const onward_host *host, onward_log_level level, const char *text);

  /* Only in onward_plugin_init: makes an operator known. Errors: ARGUMENT for a descriptor that cannot be used, PLUGIN for another
   * abi_major, for a (domain, name, version) that a plug-in has already, or that is built in when overriding was not allowed. */
  onward_status (*register_op)(onward_registry *registry, const struct onward_op_desc *desc, onward_error *err);

  /* The node: its name ("" when it has none), its opset version, the user pointer of its descriptor, how many inputs and outputs
   * it lists. Those left out are counted, when others follow. What they return belongs to the model. Any callback.
   *     for (size_t i = FIRST; i < host->node_input_count(node); i++) ...           // a variadic input */
  const char *(*node_name)(const onward_node *node);
  int32_t (*node_version)(const onward_node *node);
  void *(*node_user)(const onward_node *node);
  size_t (*node_input_count)(const onward_node *node);
  size_t (*node_output_count)(const onward_node *node);

  /* Attributes, by name. Names and kinds have been checked against the descriptor. Absent: otherwise; NULL and *count 0; false.
   * Strings and arrays belong to the model. Any callback.
   *     const int64_t axis = host->attr_int(node, "axis", -1);
   *     size_t count;
   *     const int64_t *pads = host->attr_ints(node, "pads", &count); */
  int64_t (*attr_int)(const onward_node *node, const char *name, int64_t otherwise);
  float (*attr_float)(const onward_node *node, const char *name, float otherwise);
  const char *(*attr_string)(const onward_node *node, const char *name, const char *otherwise);
  const int64_t *(*attr_ints)(const onward_node *node, const char *name, size_t *count);
  const float *(*attr_floats)(const onward_node *node, const char *name, size_t *count);
  const char *const *(*attr_strings)(const onward_node *node, const char *name, size_t *count);
  /* Tensor `index` of a tensor (0) or of tensors; false past the end. data may be unaligned and must not be written to.
   *     onward_tensor window;
   *     if (host->attr_tensor(node, "window", 0, &window)) memcpy(table, window.data, window.bytes); */
  bool (*attr_tensor)(const onward_node *node, const char *name, size_t index, onward_tensor *tensor);
  /* A type: dtype; rank, -1 when open; dims, -1 where free. */
  bool (*attr_type)(const onward_node *node, const char *name, onward_dtype *dtype, int32_t *rank,
                    int64_t dims[ONWARD_MAX_RANK]);

  /* ---- in infer, from the thread that called it. input, output and d count from 0. x [...,n] to y [...,2*n]:
   *     const int32_t rank = host->infer_rank(c, 0);
   *     onward_dim dims[ONWARD_MAX_RANK];
   *     for (int32_t d = 0; d < rank; d++) dims[d] = host->infer_dim(c, 0, d);
   *     if (rank > 0) dims[rank - 1] = host->dim_calc(c, ONWARD_DIM_MUL, dims[rank - 1], onward_dim_of(2));
   *     return host->infer_set(c, 0, host->infer_dtype(c, 0), rank, dims); */
  /* ONWARD_UNDEFINED: the input is left out. */
  onward_dtype (*infer_dtype)(const onward_infer *c, size_t input);
  /* -1: not known before a run, or left out. */
  int32_t (*infer_rank)(const onward_infer *c, size_t input);
  /* d below the rank */
  onward_dim (*infer_dim)(const onward_infer *c, size_t input, int32_t d);
  /* The elements of an integer or bool input, when all are known: copied, the count is returned. -1: not known (yet), or more
   * than max. An operator whose shape depends on them sets onward_dim_unknown(), and is asked again when they are there.
   *     int64_t sizes[2];
   *     const bool known = host->infer_ints(c, 1, sizes, 2) == 2; */
  int64_t (*infer_ints)(const onward_infer *c, size_t input, int64_t *values, size_t max);
  onward_dim (*dim_calc)(onward_infer *c, onward_dim_op op, onward_dim a, onward_dim b);
  /* *axis in [-rank, rank-1] is made non-negative; MODEL otherwise. rank must be known.
   *     int64_t axis = host->attr_int(node, "axis", -1);
   *     const onward_status status = host->infer_axis(c, rank, &axis); */
  onward_status (*infer_axis)(onward_infer *c, int32_t rank, int64_t *axis);
  /* a and b must be equal: MODEL when they cannot be; where that is open it is checked when shapes are bound. what: "rows".
   *     status = host->infer_equal(c, host->infer_dim(c, 0, 0), host->infer_dim(c, 1, 0), "rows"); */
  onward_status (*infer_equal)(onward_infer *c, onward_dim a, onward_dim b, const char *what);
  /* The NumPy broadcast of two shapes into dims (room for ONWARD_MAX_RANK); any rank may be -1. */
  onward_status (*infer_broadcast)(onward_infer *c, int32_t rank_a, const onward_dim *a, int32_t rank_b,
                                   const onward_dim *b, int32_t *rank, onward_dim *dims);
  /* Set the type of an output; one that the node leaves out is ignored. rank -1: not known yet. dims are copied. A failure is
   * remembered even when infer goes on. */
  onward_status (*infer_set)(onward_infer *c, size_t output, onward_dtype dtype, int32_t rank, const onward_dim *dims);
  onward_status (*infer_same)(onward_infer *c, size_t output, size_t input);

  /* ---- in prepare and run, from the thread that called it and inside parallel_for. Shapes are numbers now.
   *     const onward_tensor *x = host->call_input(call, 0), *y = host->call_output(call, 0);
   *     const float *from = x->data;
   *     float *scratch = host->call_workspace(call), *to = y->data; */
  /* NULL: left out. In prepare data is set for constants only. Dense, aligned to the element; never written to. */
  const onward_tensor *(*call_input)(const onward_call *call, size_t input);
  bool (*call_constant)(const onward_call *call, size_t input); /* the same in every run, its data there in prepare */
  /* NULL: not wanted. run fills data, bytes long; dtype, rank and dims are what infer said and must stay. */
  const onward_tensor *(*call_output)(const onward_call *call, size_t output);
  /* Only in run: 64-byte aligned, as large as prepare asked for, content undefined. NULL when that was 0. */
  void *(*call_workspace)(const onward_call *call);
  /* How many threads parallel_for may use: at least 1. */
  int (*thread_count)(const onward_call *call);
  /* Only in run: splits [0, count) into ranges of about grain and calls body on each, from several threads, and waits. Results must not
   * depend on how it was split. body must not call parallel_for.
   *     static void twice(void *job, int64_t from, int64_t to) { for (int64_t i = from; i < to; i++) ((float *)job)[i] *= 2; }
   *     host->parallel_for(call, count, 4096, twice, y->data); */
  void (*parallel_for)(const onward_call *call, int64_t count, int64_t grain,
                       void (*body)(void *context, int64_t from, int64_t to), void *context);
};

/* The host reaches as far as this member: for plug-ins that also run with older versions. */
#define ONWARD_HOST_HAS(host, member) \
  ((host)->struct_size >= offsetof(struct onward_host, member) + sizeof((host)->member))

/* ---- descriptors ------------------------------------------------------------------------------------------------------------ */

#define ONWARD_TYPE_BIT(dtype) (UINT64_C(1) << (dtype))

#define ONWARD_PORT_OPTIONAL 1u
#define ONWARD_PORT_VARIADIC 2u /* the last one only: one or more; with OPTIONAL: none or more */

/* An input or an output. dtypes: what may be there, of ONWARD_TYPE_BIT; 0: every numeric type and bool. Strings are not supported. */
typedef struct onward_port {
  const char *name;
  uint64_t dtypes;
  uint32_t flags;
  uint32_t reserved; /* 0 */
} onward_port;

typedef enum onward_attr_kind {
  ONWARD_ATTR_FLOAT = 1,
  ONWARD_ATTR_INT = 2,
  ONWARD_ATTR_STRING = 3,
  ONWARD_ATTR_TENSOR = 4,
  ONWARD_ATTR_FLOATS = 6,
  ONWARD_ATTR_INTS = 7,
  ONWARD_ATTR_STRINGS = 8,
  ONWARD_ATTR_TENSORS = 9,
  ONWARD_ATTR_TYPE = 13
} onward_attr_kind; /* the numbers of AttributeProto; graphs cannot be given to a plug-in */

typedef struct onward_attr {
  const char *name;
  onward_attr_kind kind;
  uint32_t required; /* 1: a node without it is an error */
} onward_attr;

/* Output may be written over input when nobody else needs that and both have as many bytes: then both have one data pointer. */
typedef struct onward_inplace {
  uint32_t output, input;
} onward_inplace;

#define ONWARD_OP_NONDETERMINISTIC 1u /* never computed at load, never merged with its twin */

typedef struct onward_op_desc {
  size_t struct_size;
  uint32_t abi_major, abi_minor;
  const char *domain;   /* "com.example"; "" or "ai.onnx" to override; not "onward" */
  const char *name;     /* the op_type of nodes */
  int32_t since, until; /* opset versions of the domain, inclusive; until 0: no end */
  const onward_port *inputs, *outputs;
  uint32_t input_count, output_count; /* ports; at least one output */
  const onward_attr *attrs;           /* a node with any other attribute is refused */
  const onward_inplace *inplace;
  uint32_t attr_count, inplace_count;
  uint32_t flags;
  uint32_t reserved; /* 0 */
  void *user;        /* for node_user */
  /* Sets the type of every output. Called at load with symbolic dims, again with numbers when shapes are bound: dtypes, and ranks once
   * known, must stay. */
  onward_status (*infer)(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *err);
  /* Fills the outputs. Must not call alloc when that can be avoided: state and workspace are there for that. */
  onward_status (*run)(const onward_host *host, const onward_node *node, onward_call *call, void *state,
                       onward_error *err);
  /* Zeroed, 16-byte aligned bytes for each step of a plan. */
  size_t state_size;
  /* NULL, or: once per step and shape, before run. *workspace (0 on entry): bytes wanted in run. */
  onward_status (*prepare)(const onward_host *host, const onward_node *node, const onward_call *call, void *state,
                           size_t *workspace, onward_error *err);
  /* NULL, or: once for every prepare, also for one that failed. */
  void (*destroy)(const onward_host *host, void *state);
} onward_op_desc;

/* What a plug-in library exports under this very name. host stays valid until the model is freed; registry only here. Errors: the
 * model is not loaded, the text is given to the user after the library's path. */
ONWARD_PLUGIN_EXPORT onward_status onward_plugin_init(const onward_host *host, onward_registry *registry,
                                                      onward_error *err);

#ifdef __cplusplus
}
#endif

#endif
