/* Command lines: a table says which options there are, the parser fills in what they point to. */
#ifndef OW_CMD_ARGS_H
#define OW_CMD_ARGS_H

#include "cmd.h"

typedef struct ow_text_list {
  const char **items; /* into argv */
  size_t count;
} ow_text_list;

typedef enum ow_arg_kind {
  OW_ARG_FLAG,     /* bool */
  OW_ARG_TEXT,     /* const char * */
  OW_ARG_LIST,     /* ow_text_list: may be given again and again */
  OW_ARG_INT,      /* int64_t, min..max */
  OW_ARG_REAL,     /* double, min..max */
  OW_ARG_NOT_BUILT /* known, and refused by name; min 1: takes a value */
} ow_arg_kind;

typedef struct ow_arg {
  const char *name; /* "--input"; NULL ends a table */
  ow_arg_kind kind;
  void *target;
  double min, max;
} ow_arg;

/* Options every command takes. */
typedef struct ow_common {
  int64_t threads;         /* 0: what affinity and cgroup allow */
  int64_t stop_after_pass; /* -1: all */
  const char *precision;
  const char *disabled_passes;
  ow_text_list limits, plugins;
  bool no_passes, reference, no_mmap, plugin_override, plugin_check;
  bool help;
  onward_model_options model; /* made of the above by the parser */
} ow_common;

/* Words that are no options go to *words. --help sets common->help and stops. Errors: ARGUMENT. */
bool ow_args_parse(const char *command, int argc, char **argv, const ow_arg *table, ow_common *common,
                   ow_text_list *words, ow_scratch *scratch, onward_error *err);

/* Exactly one word, called `what`. */
bool ow_args_one(const char *command, const ow_text_list *words, const char *what, onward_error *err);

/* A decimal integer without sign, blanks or anything after it; end may be NULL (then the text must end). */
bool ow_parse_count(const char *text, const char **end, int64_t *value);

/* "AxB" as dims; "" is a scalar. end of text must follow. */
bool ow_parse_dims(const char *text, int32_t *rank, int64_t *dims);

/* The text of the dims as "1x8". */
char *ow_dims_text(ow_scratch *scratch, int32_t rank, const int64_t *dims);

#endif
