/* Onward: run exported ONNX Transformer models on CPUs.
 *
 *     onward_error err;
 *     onward_model *model = NULL;
 *     onward_session *session = NULL;
 *     if (onward_model_load("model.onnx", NULL, &model, &err) ||
 *         onward_session_create(model, NULL, &session, &err) ||
 *         onward_session_run(session, inputs, 2, outputs, 1, NULL, &err))
 *       fprintf(stderr, "%s\n", err.message);
 *     onward_session_free(session);
 *     onward_model_free(model);
 *
 * Rules that hold for every function
 *   Errors      A fallible function returns onward_status and takes an onward_error last. It may be NULL. On failure every
 *               out-parameter is left as it was, nothing half-made stays behind, and the message says where and what was wanted.
 *   Ownership   Handles are freed by their own *_free, which takes NULL. Strings and arrays a getter returns belong to the handle.
 *   Threads     A model may be used by many threads at once. A session, and a state, runs once at a time: a second run at the same
 *               time is ONWARD_ARGUMENT. Use one session per thread.
 *   fork        A child must not use a model, session or state of its parent (ONWARD_ARGUMENT), only free them. It can load anew.
 *   Options     A struct of options starts with struct_size and comes from onward_*_options_default(); NULL means the defaults.
 *   Tensors     Dense, row-major, native byte order.
 * The library never prints, exits, installs a signal handler or changes the locale. */
#ifndef ONWARD_ONWARD_H
#define ONWARD_ONWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onward/version.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ONWARD_API __attribute__((visibility("default")))
#else
#define ONWARD_API
#endif

/* ---- status and error ------------------------------------------------------------------------------------------------ */

/* name, value, text. Values are stable. */
#define ONWARD_STATUS_MAP(X)                                               \
  X(OK, 0, "ok")                                                           \
  X(ARGUMENT, 1, "the caller passed an argument that cannot be used")      \
  X(FORMAT, 2, "the bytes are not what the format allows")                 \
  X(MODEL, 3, "the model contradicts itself or the ONNX specification")    \
  X(UNSUPPORTED, 4, "the model needs something that is not implemented")   \
  X(LIMIT, 5, "a limit was reached; the message names it")                 \
  X(MEMORY, 6, "out of memory")                                            \
  X(IO, 7, "a file could not be read or written")                          \
  X(INPUT, 8, "an input or output given to a run does not fit the model")  \
  X(DATA, 9, "the values of a tensor are outside what an operator allows") \
  X(CANCELLED, 10, "cancelled, or past the deadline")                      \
  X(PLUGIN, 11, "a plug-in failed")                                        \
  X(INTERNAL, 12, "a mistake in Onward itself")

typedef enum onward_status {
#define ONWARD_STATUS_ENUM(name, value, text) ONWARD_##name = value,
  ONWARD_STATUS_MAP(ONWARD_STATUS_ENUM)
#undef ONWARD_STATUS_ENUM
} onward_status;

#define ONWARD_ERROR_MESSAGE_SIZE 512

typedef struct onward_error {
  onward_status status;
  char message[ONWARD_ERROR_MESSAGE_SIZE]; /* NUL-terminated, one line, valid UTF-8 */
} onward_error;

/* "FORMAT" for ONWARD_FORMAT; "?" for a value not in the list. Never NULL. Any thread.
 *     fprintf(stderr, "%s: %s\n", onward_status_name(err.status), err.message); */
ONWARD_API const char *onward_status_name(onward_status status);

/* The library's version, such as "0.1.0"; ONWARD_VERSION_STRING is the version of this header. */
ONWARD_API const char *onward_version(void);

/* ---- tensors --------------------------------------------------------------------------------------------------------- */

/* Element types; the numbers are those of ONNX TensorProto.DataType. */
typedef enum onward_dtype {
  ONWARD_UNDEFINED = 0,
  ONWARD_FLOAT32 = 1,
  ONWARD_UINT8 = 2,
  ONWARD_INT8 = 3,
  ONWARD_UINT16 = 4,
  ONWARD_INT16 = 5,
  ONWARD_INT32 = 6,
  ONWARD_INT64 = 7,
  ONWARD_STRING = 8,
  ONWARD_BOOL = 9,
  ONWARD_FLOAT16 = 10,
  ONWARD_FLOAT64 = 11,
  ONWARD_UINT32 = 12,
  ONWARD_UINT64 = 13,
  ONWARD_COMPLEX64 = 14,
  ONWARD_COMPLEX128 = 15,
  ONWARD_BFLOAT16 = 16,
  ONWARD_FLOAT8E4M3FN = 17,
  ONWARD_FLOAT8E4M3FNUZ = 18,
  ONWARD_FLOAT8E5M2 = 19,
  ONWARD_FLOAT8E5M2FNUZ = 20,
  ONWARD_UINT4 = 21,
  ONWARD_INT4 = 22,
  ONWARD_FLOAT4E2M1 = 23,
  ONWARD_FLOAT8E8M0 = 24, /* a power of two; no sign, no zero */
  ONWARD_UINT2 = 25,
  ONWARD_INT2 = 26
} onward_dtype;

#define ONWARD_MAX_RANK 12

typedef struct onward_tensor {
  onward_dtype dtype;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
  void *data;   /* dense row-major; may be NULL when bytes is 0. Strings: const char *, NUL-terminated UTF-8 */
  size_t bytes; /* size of data */
} onward_tensor;

/* Sequences and optionals travel in the same struct. A sequence has rank ONWARD_SEQUENCE_RANK, dims[0] tensors, data is the array of
 * them (onward_tensor) and bytes its size; dtype is that of its tensors. An optional is its element, or, without one, of
 * rank ONWARD_ABSENT_RANK. */
#define ONWARD_SEQUENCE_RANK (-1)
#define ONWARD_ABSENT_RANK (-2)

typedef enum onward_kind {
  ONWARD_KIND_TENSOR = 0,
  ONWARD_KIND_SEQUENCE = 1,
  ONWARD_KIND_OPTIONAL = 2, /* of a tensor */
  ONWARD_KIND_OPTIONAL_SEQUENCE = 3
} onward_kind;

/* "float32", "int64", ...; "?" for a value not in the list. Any thread.
 *     puts(onward_dtype_name(info.dtype)); */
ONWARD_API const char *onward_dtype_name(onward_dtype dtype);

/* Bytes that a dense tensor needs; types below a byte are packed, the first element in the
 * lowest bits, rounded up to bytes in total. A rank of 0 is one element.
 *     const int64_t dims[] = {1, 128};
 *     size_t bytes;
 *     onward_tensor_bytes(ONWARD_INT64, 2, dims, &bytes, &err);                // 1024
 * Errors: ONWARD_ARGUMENT for a bad dtype, rank or negative dim, ONWARD_LIMIT when the product overflows. */
ONWARD_API onward_status onward_tensor_bytes(onward_dtype dtype, int32_t rank, const int64_t *dims, size_t *bytes,
                                             onward_error *err);

/* Decode a serialized ONNX TensorProto (a .pb file of test data). On success *tensor owns its data and *name, when asked for
 * (may be NULL), is a copy of its name: free both with onward_free.
 *     onward_named_tensor in;
 *     char *name = NULL;
 *     if (!onward_tensor_parse(file, size, &in.tensor, &name, &err)) ...
 *     onward_free(in.tensor.data), onward_free(name);
 * Errors: FORMAT, MODEL, UNSUPPORTED (external data), LIMIT, MEMORY, ARGUMENT. */
ONWARD_API onward_status onward_tensor_parse(const void *bytes, size_t size, onward_tensor *tensor, char **name,
                                             onward_error *err);

/* The same for a SequenceProto or OptionalProto, as kind says. A sequence and its tensors are one block: free value->data.
 *     onward_value_parse(bytes, size, ONWARD_KIND_SEQUENCE, &sequence, NULL, &err); */
ONWARD_API onward_status onward_value_parse(const void *bytes, size_t size, onward_kind kind, onward_tensor *value,
                                            char **name, onward_error *err);

/* Free memory the library handed over. NULL is fine. */
ONWARD_API void onward_free(void *memory);

/* ---- models ---------------------------------------------------------------------------------------------------------- */

typedef struct onward_model onward_model;

typedef enum onward_precision {
  ONWARD_PRECISION_F32 = 0,
  ONWARD_PRECISION_BF16 = 1,
  ONWARD_PRECISION_AUTO = 2
} onward_precision;

/* Limits that untrusted files are held to. 0 means the default. An error that comes of one names it as the command's flag spells
 * it: "... above the limit nodes of 200000 (--limit nodes=N)". Part of onward_model_options, whose struct_size covers it. */
typedef struct onward_limits {
  uint64_t file_bytes;      /* size of a model file, and of each file of external data; 256 GiB */
  uint64_t metadata_bytes;  /* bytes of the file that are not tensor data, and what they take parsed; 2 GiB */
  uint64_t depth;           /* nested messages that hold a graph; 32 */
  uint64_t nodes;           /* nodes, subgraphs and expanded functions included; 200,000 */
  uint64_t tensor_bytes;    /* one tensor, of the file or of a run; 64 GiB */
  uint64_t total_bytes;     /* constants that the file makes, and all tensors of a plan; 256 GiB */
  uint64_t fold_bytes;      /* a constant larger than this is not computed at load; 64 MiB */
  uint64_t loop_iterations; /* of one Loop or Scan in one run; 10,000,000 */
  uint64_t deadline_ms;     /* a load, and each run, that takes longer returns ONWARD_CANCELLED; none */
  uint64_t reserved[7];     /* 0 */
} onward_limits;

typedef enum onward_log_level { ONWARD_LOG_WARNING = 1, ONWARD_LOG_INFO = 2, ONWARD_LOG_DEBUG = 3 } onward_log_level;

/* What a plug-in exports and what a program may hand over instead of a library: see plugin.h. */
typedef struct onward_host onward_host;
typedef struct onward_registry onward_registry;
typedef onward_status (*onward_plugin_init_fn)(const onward_host *host, onward_registry *registry, onward_error *err);

typedef struct onward_model_options {
  size_t struct_size;
  onward_precision precision;
  bool no_mmap;                /* read files into memory: for files that may change while in use */
  bool no_passes;              /* no optimisation: every node of the file runs as it stands */
  bool reference;              /* only the scalar reference kernels */
  const char *disabled_passes; /* comma-separated names, or NULL */
  int32_t stop_after_pass;     /* run only the first N passes; -1: all. For bisecting and golden dumps */
  onward_limits limits;
  /* Warnings and remarks, one line each; called by the thread that loads or runs. */
  void (*log)(void *context, onward_log_level level, const char *text);
  void *log_context;
  /* How far a load is, called by the thread that loads: stage is "scan", "parse", "import", "shapes", "passes" or "done",
   * fraction grows from 0 to 1. Return false to give up: the load returns ONWARD_CANCELLED. */
  bool (*progress)(void *context, const char *stage, double fraction);
  void *progress_context;
  /* Libraries with operators, and functions that register some; read while loading only. A relative path starts at the current
   * folder, always: the system's library folders are not searched. Errors: IO, PLUGIN, or what init returned, with the path. */
  const char *const *plugins;
  size_t plugin_count;
  const onward_plugin_init_fn *plugin_inits;
  size_t plugin_init_count;
  bool plugin_override; /* plug-ins may replace operators that are built in */
  bool plugin_check;    /* look for writes past outputs and workspaces of plug-ins; slower */
  /* When a load fails for what is not supported: called for each operator and each kind of node that cannot run, one line with its
   * domain, name, version, types, nodes, and what can be done. The error itself names as many as fit. */
  void (*unsupported)(void *context, const char *text);
  void *unsupported_context;
  /* A model that has weights in common with this one, such as the two decoders of an encoder-decoder: what it has packed when this
   * one wants the same is used and not packed again. It must outlive this one; it may be in use at the same time. NULL: none. */
  onward_model *weights_of;
} onward_model_options;

/* Options to change and pass on; likewise for the other structs of options. */
ONWARD_API onward_model_options onward_model_options_default(void);

/* Load an .onnx file, or a folder that holds model.onnx. On success *model is the caller's, to be freed; the file must not change
 * before that, unless options.no_mmap is set.
 *     onward_model_options options = onward_model_options_default();
 *     options.limits.deadline_ms = 2000;
 *     if (onward_model_load("model.onnx", &options, &model, &err)) ...
 * Errors: IO, FORMAT, MODEL, UNSUPPORTED (lists every operator that is missing), LIMIT, MEMORY. */
ONWARD_API onward_status onward_model_load(const char *path, const onward_model_options *options, onward_model **model,
                                           onward_error *err);

/* Load a model from memory. bytes stay the caller's and must neither change nor go away before onward_model_free, as weights are
 * used where they lie; with options.no_mmap they are copied. base_folder: where its external data lies; NULL: it has none.
 *     onward_model_load_memory(bytes, size, NULL, NULL, &model, &err);
 * Errors: as onward_model_load. */
ONWARD_API onward_status onward_model_load_memory(const void *bytes, size_t size, const char *base_folder,
                                                  const onward_model_options *options, onward_model **model,
                                                  onward_error *err);
/* After all its sessions and states. No other thread may be using the model. NULL is fine. */
ONWARD_API void onward_model_free(onward_model *model);

/* What a model wants and gives. dims[i] is -1 where free; then dim_names[i] is its name ("" when it has none). rank is -1
 * when not known before a run. */
typedef struct onward_value_info {
  const char *name;
  onward_dtype dtype;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
  const char *dim_names[ONWARD_MAX_RANK];
  onward_kind kind; /* dtype is that of the tensors in it; rank is -1 unless it is a tensor */
} onward_value_info;

/* How many inputs a run wants and outputs it gives; 0 for NULL. Any thread, as all getters of a model. */
ONWARD_API size_t onward_model_input_count(const onward_model *model);
ONWARD_API size_t onward_model_output_count(const onward_model *model);
/* What the input or output is; index below the count, otherwise ARGUMENT. The strings belong to the model.
 *     for (size_t i = 0; i < onward_model_input_count(model); i++)
 *       if (!onward_model_input(model, i, &info, &err)) puts(info.name); */
ONWARD_API onward_status onward_model_input(const onward_model *model, size_t index, onward_value_info *info,
                                            onward_error *err);
ONWARD_API onward_status onward_model_output(const onward_model *model, size_t index, onward_value_info *info,
                                             onward_error *err);

/* metadata_props of the file: how many (0 for NULL), and one of them. index below the count, otherwise ARGUMENT. The strings belong to
 * the model.
 *     for (size_t i = 0; i < onward_model_metadata_count(model); i++)
 *       if (!onward_model_metadata(model, i, &key, &value, &err)) printf("%s: %s\n", key, value); */
ONWARD_API size_t onward_model_metadata_count(const onward_model *model);
ONWARD_API onward_status onward_model_metadata(const onward_model *model, size_t index, const char **key,
                                               const char **value, onward_error *err);

/* A shape for one input, by name: for planning without data. */
typedef struct onward_input_shape {
  const char *name;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
} onward_input_shape;

typedef enum onward_dump_format { ONWARD_DUMP_TEXT = 0, ONWARD_DUMP_JSON = 1, ONWARD_DUMP_DOT = 2 } onward_dump_format;

typedef struct onward_dump_options {
  size_t struct_size;
  onward_dump_format format;
  bool optimized;      /* the graph after the passes, node by node; otherwise a summary of the file's graph */
  bool explain_fusion; /* each attention-like candidate: fused, or not and why */
  bool plan;           /* steps, kernels, refusals, offsets, planned and live bytes for shapes below */
  const onward_input_shape *shapes;
  size_t shape_count;
} onward_dump_options;

ONWARD_API onward_dump_options onward_dump_options_default(void);

/* Write a description through write(context, text, length), which returns false to stop (then: IO) and must not use the model.
 * Any thread.
 *     static bool print(void *file, const char *text, size_t n) { return fwrite(text, 1, n, file) == n; }
 *     onward_model_dump(model, NULL, print, stdout, &err);
 * Errors: ARGUMENT, IO, MEMORY; with plan those of onward_model_plan. */
ONWARD_API onward_status onward_model_dump(onward_model *model, const onward_dump_options *options,
                                           bool (*write)(void *context, const char *text, size_t length), void *context,
                                           onward_error *err);

typedef struct onward_plan_info {
  uint64_t planned_bytes; /* one arena for all activations and workspaces */
  uint64_t live_bytes;    /* the largest sum of bytes live at any step: what no planner can go below */
  uint64_t weight_bytes;  /* constants of the graph as it will run */
  uint64_t steps;
  uint64_t waiting_nodes; /* nodes not planned yet, because their shapes depend on data; the bytes leave them out */
} onward_plan_info;

/* Plan for the given input shapes without running; inputs without free dims may be left out. threads: as in a session. Any thread.
 *     const onward_input_shape shape = {"input_ids", 2, {1, 128}};
 *     onward_model_plan(model, &shape, 1, 0, &info, &err);
 * Errors: ARGUMENT, INPUT, MODEL, UNSUPPORTED, LIMIT, MEMORY. */
ONWARD_API onward_status onward_model_plan(onward_model *model, const onward_input_shape *shapes, size_t count,
                                           int32_t threads, onward_plan_info *info, onward_error *err);

/* ---- sessions -------------------------------------------------------------------------------------------------------- */

typedef struct onward_session onward_session;

typedef struct onward_session_options {
  size_t struct_size;
  int32_t threads; /* 0: what affinity and cgroup allow. N sessions with T threads use N x T cores; 1 makes no team */
  bool profile;    /* record the time of every step of every run */
} onward_session_options;

ONWARD_API onward_session_options onward_session_options_default(void);
/* On success *session is the caller's, to be freed before the model. Threads are started by the first run that wants them.
 *     onward_session_options options = onward_session_options_default();
 *     options.threads = 1;
 *     onward_session_create(model, &options, &session, &err);
 * Errors: ARGUMENT, MEMORY. */
ONWARD_API onward_status onward_session_create(onward_model *model, const onward_session_options *options,
                                               onward_session **session, onward_error *err);
/* Not while it runs; what its runs handed out as session memory ends with it. NULL is fine. */
ONWARD_API void onward_session_free(onward_session *session);

typedef struct onward_named_tensor {
  const char *name;
  onward_tensor tensor;
} onward_named_tensor;

typedef struct onward_state onward_state;

typedef struct onward_run_options {
  size_t struct_size;
  onward_state *state;         /* a key-value cache; see below */
  bool last_token_logits_only; /* logits [batch,1,vocabulary] of the last token instead of all */
  uint64_t deadline_ms;        /* the run returns ONWARD_CANCELLED when it takes longer; 0: the model's limit */
} onward_run_options;

ONWARD_API onward_run_options onward_run_options_default(void);

/* Run. inputs: each input of the model once, by name, borrowed for the call. outputs: name says which output is wanted; only
 * what is wanted is computed. tensor.data == NULL (or what the last run put there) asks for session memory, valid until the next
 * run or free; otherwise it is the caller's buffer of tensor.bytes bytes, which must be large enough and overlap no input and no other
 * buffer; tensor.dtype is ONWARD_UNDEFINED or what the output is. On success dtype, rank, dims, bytes and data are set.
 * An input must not be session memory of an earlier run: copy it.
 *     int64_t ids[] = {101, 7592, 102};
 *     const onward_named_tensor in = {"input_ids", {ONWARD_INT64, 2, {1, 3}, ids, sizeof ids}};
 *     onward_named_tensor out = {.name = "logits"};                             // session memory; or set data and bytes
 *     onward_run_options options = onward_run_options_default();
 *     options.deadline_ms = 50;
 *     if (!onward_session_run(session, &in, 1, &out, 1, &options, &err)) use(out.tensor.data, out.tensor.bytes);
 * Errors: INPUT (every mismatch at once), DATA, CANCELLED, MEMORY, LIMIT. After a failure the session can be used again. */
ONWARD_API onward_status onward_session_run(onward_session *session, const onward_named_tensor *inputs,
                                            size_t input_count, onward_named_tensor *outputs, size_t output_count,
                                            const onward_run_options *options, onward_error *err);

/* Stop the run that is going on, from any thread or a signal handler: it returns ONWARD_CANCELLED within milliseconds, inside a
 * long operator too. A call that comes before the run or after its last operator is not lost: the request is kept until a run has
 * returned ONWARD_CANCELLED because of it, or onward_session_clear_cancel takes it back.
 *     static void on_interrupt(int number) { onward_session_cancel(session); }
 * NULL is fine. */
ONWARD_API void onward_session_cancel(onward_session *session);
/* Forget a request that no run has answered, as one that came just too late for the run that it was meant for. */
ONWARD_API void onward_session_clear_cancel(onward_session *session);

typedef struct onward_session_stats {
  uint64_t runs;
  uint64_t plans_built;   /* since the session was made */
  uint64_t plans_rebound; /* shapes that an existing plan took over */
  uint64_t plans_cached;
  uint64_t primitives_created; /* oneDNN primitives made for this session's plans and weights */
  uint64_t arena_bytes;
} onward_session_stats;

/* Zeros for NULL. Not while the session runs.
 *     assert(onward_session_get_stats(session).plans_built == shapes_used); */
ONWARD_API onward_session_stats onward_session_get_stats(const onward_session *session);

/* The recorded steps as Chrome trace JSON, through write as in onward_model_dump. Not while the session runs.
 *     onward_session_profile(session, print, file, &err);                        // print: see onward_model_dump
 * Errors: ARGUMENT when the session was made without profile, IO. */
ONWARD_API onward_status onward_session_profile(const onward_session *session,
                                                bool (*write)(void *context, const char *text, size_t length),
                                                void *context, onward_error *err);

/* ---- state: a key-value cache kept in place -------------------------------------------------------------------------- */
/* A run with a state is given no past and gives no present: the state keeps them and the run writes only the new rows. The switch
 * of a merged decoder (use_cache_branch) is the state's too: an empty state takes the graph without a past. All other
 * inputs are the caller's; an attention mask covers the tokens held and the new ones. A run that fails leaves the state as it was, but
 * perhaps for padding: GroupQueryAttention writes a row's new tokens behind its own last one.
 * A state is used by one run or call at a time: a second is ONWARD_ARGUMENT.
 *     onward_state_create(model, 2048, &state, &err);
 *     onward_run_options options = onward_run_options_default();
 *     options.state = state;
 *     for (;;) {                                                                 // inputs: the prompt, then one token at a time
 *       onward_session_run(session, inputs, count, &logits, 1, &options, &err);
 *       ...
 *     }
 *     onward_state_free(state); */

/* Room for at most capacity tokens; memory is taken as they come. The model must outlive the state.
 * Errors: UNSUPPORTED for a model without a cache. A run that goes beyond the capacity is ONWARD_LIMIT. */
ONWARD_API onward_status onward_state_create(onward_model *model, int64_t capacity, onward_state **state,
                                             onward_error *err);
ONWARD_API void onward_state_free(onward_state *state);
/* Whether the state keeps the model's input of this name, so that a run is not given it.
 *     if (!onward_state_keeps(state, info.name)) give(info.name); */
ONWARD_API bool onward_state_keeps(const onward_state *state, const char *input);
/* Tokens held; -1 for NULL. */
ONWARD_API int64_t onward_state_length(const onward_state *state);
/* Forget all but the first length tokens. With 0 the next run may have another number of rows.
 *     onward_state_truncate(state, onward_state_length(state) - rejected, &err);
 * Errors: ARGUMENT for a length outside [0, tokens held]. */
ONWARD_API onward_status onward_state_truncate(onward_state *state, int64_t length, onward_error *err);
/* Row i becomes what row rows[i] was (beam search); there are count rows then. Rows may repeat and be left out.
 *     const int64_t parents[] = {0, 0, 2};
 *     onward_state_reorder(state, parents, 3, &err);
 * Errors: ARGUMENT for a row that is not there, MEMORY. */
ONWARD_API onward_status onward_state_reorder(onward_state *state, const int64_t *rows, size_t count,
                                              onward_error *err);
/* A state of its own with the same tokens; the caller frees it.
 *     onward_state_clone(prompt, &branch, &err);
 * Errors: ARGUMENT, MEMORY. */
ONWARD_API onward_status onward_state_clone(const onward_state *state, onward_state **copy, onward_error *err);
/* A dense copy of one cached tensor, by its 'present' output name, or the name of the input where there is no such
 * output; free data with onward_free.
 *     if (!onward_state_export(state, "present.0.key", &tensor, &err)) ...
 * Errors: ARGUMENT for a name that is none, or an empty state; MEMORY. */
ONWARD_API onward_status onward_state_export(const onward_state *state, const char *name, onward_tensor *tensor,
                                             onward_error *err);

/* Replace all that the state holds by pasts for rows rows, under the names of the model's inputs and in the model's layout; copied.
 * Those that grow may be left out together: the state then holds no token. What attention reads and nothing is joined with (an
 * encoder's keys and values) must be given. On failure the state is as before. Errors: INPUT, LIMIT, MEMORY. */
ONWARD_API onward_status onward_state_import(onward_state *state, int64_t rows, const onward_named_tensor *pasts,
                                             size_t count, onward_error *err);

#ifdef __cplusplus
}
#endif

#endif
