#include "args.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ow_parse_count(const char *text, const char **end, int64_t *value) {
  int64_t n = 0;
  const char *p = text;
  for (; *p >= '0' && *p <= '9'; p++)
    if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
      return false;
  if (p == text || (end == NULL && *p != '\0'))
    return false;
  if (end != NULL)
    *end = p;
  *value = n;
  return true;
}

bool ow_parse_dims(const char *text, int32_t *rank, int64_t *dims) {
  *rank = 0;
  if (*text == '\0')
    return true;
  for (;;) {
    if (*rank == ONWARD_MAX_RANK || !ow_parse_count(text, &text, &dims[*rank]))
      return false;
    ++*rank;
    if (*text == '\0')
      return true;
    if (*text++ != 'x')
      return false;
  }
}

char *ow_dims_text(ow_scratch *scratch, int32_t rank, const int64_t *dims) {
  char *text = ow_scratch_text(scratch, "%s", "");
  for (int32_t i = 0; i < rank; i++)
    text = ow_scratch_text(scratch, "%s%s%lld", text, i == 0 ? "" : "x", (long long)dims[i]);
  return text;
}

static void list_add(ow_text_list *list, const char *item, int argc, ow_scratch *scratch) {
  if (list->items == NULL) /* argc bounds what can ever be added */
    list->items = ow_scratch_take(scratch, (size_t)argc * sizeof *list->items);
  list->items[list->count++] = item;
}

static bool parse_int(const char *text, int64_t *value) {
  const bool negative = *text == '-';
  if (!ow_parse_count(text + negative, NULL, value))
    return false;
  *value = negative ? -*value : *value;
  return true;
}

static bool set_value(const char *command, const ow_arg *arg, const char *value, int argc, ow_scratch *scratch,
                      onward_error *err) {
  int64_t n = 0;
  double real = 0;
  char *end = NULL;
  switch (arg->kind) {
    case OW_ARG_TEXT: *(const char **)arg->target = value; return true;
    case OW_ARG_LIST: list_add(arg->target, value, argc, scratch); return true;
    case OW_ARG_INT:
      if (!parse_int(value, &n) || (double)n < arg->min || (double)n > arg->max)
        return ow_cmd_fail(err, ONWARD_ARGUMENT,
                           "%s: want a whole number from %.0f to %.0f, got '%s' (onward %s --help)", arg->name,
                           arg->min, arg->max, value, command);
      *(int64_t *)arg->target = n;
      return true;
    case OW_ARG_REAL:
      real = strtod(value, &end);
      if (end == value || *end != '\0' || !isfinite(real) || real < arg->min || real > arg->max)
        return ow_cmd_fail(err, ONWARD_ARGUMENT, "%s: want a number from %g to %g, got '%s' (onward %s --help)",
                           arg->name, arg->min, arg->max, value, command);
      *(double *)arg->target = real;
      return true;
    case OW_ARG_FLAG:
    case OW_ARG_NOT_BUILT: break;
  }
  return false;
}

static const ow_arg *find(const ow_arg *table, const char *word, size_t length) {
  for (const ow_arg *arg = table; arg->name != NULL; arg++)
    if (strlen(arg->name) == length && memcmp(arg->name, word, length) == 0)
      return arg;
  return NULL;
}

static bool set_limit(const char *text, onward_limits *limits, onward_error *err) {
  const struct {
    const char *name;
    uint64_t *value;
  } names[] = {
      {"file_bytes", &limits->file_bytes},
      {"metadata_bytes", &limits->metadata_bytes},
      {"depth", &limits->depth},
      {"nodes", &limits->nodes},
      {"tensor_bytes", &limits->tensor_bytes},
      {"total_bytes", &limits->total_bytes},
      {"fold_bytes", &limits->fold_bytes},
      {"loop_iterations", &limits->loop_iterations},
      {"deadline_ms", &limits->deadline_ms},
  };
  const char *const equal = strchr(text, '=');
  const size_t length = equal == NULL ? strlen(text) : (size_t)(equal - text);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    size_t k = 0; /* file-bytes and file_bytes are one */
    while (k < length && names[i].name[k] != '\0' &&
           (text[k] == names[i].name[k] || (text[k] == '-' && names[i].name[k] == '_')))
      k++;
    if (k != length || names[i].name[k] != '\0')
      continue;
    int64_t value = 0;
    const char *end = "?";
    const bool read = equal != NULL && ow_parse_count(equal + 1, &end, &value);
    const char *const unit = *end == '\0' ? NULL : strchr("KMGT", *end);
    if (read && unit != NULL && end[1] == '\0')
      end++;
    int shift = 0;
    if (unit != NULL)
      shift = 10 * (int)(strchr("KMGT", *unit) - "KMGT" + 1);
    if (!read || *end != '\0' || value < 1 || value > INT64_MAX >> shift)
      return ow_cmd_fail(err, ONWARD_ARGUMENT,
                         "--limit %s: want %s=N with N at least 1, as a number or with K, M, G or T after it", text,
                         names[i].name);
    *names[i].value = (uint64_t)value << shift;
    return true;
  }
  return ow_cmd_fail(err, ONWARD_ARGUMENT,
                     "--limit %s: no such limit; there are file_bytes, metadata_bytes, depth, nodes, tensor_bytes, "
                     "total_bytes, fold_bytes, loop_iterations, deadline_ms",
                     text);
}

static bool finish_common(ow_common *common, onward_error *err) {
  onward_model_options *const o = &common->model;
  *o = onward_model_options_default();
  if (strcmp(common->precision, "bf16") == 0)
    o->precision = ONWARD_PRECISION_BF16;
  else if (strcmp(common->precision, "auto") == 0)
    o->precision = ONWARD_PRECISION_AUTO;
  else if (strcmp(common->precision, "f32") == 0)
    o->precision = ONWARD_PRECISION_F32;
  else
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "--precision %s: want f32, bf16 or auto", common->precision);
  o->no_mmap = common->no_mmap;
  o->no_passes = common->no_passes;
  o->reference = common->reference;
  o->disabled_passes = common->disabled_passes;
  o->plugins = common->plugins.items;
  o->plugin_count = common->plugins.count;
  o->plugin_override = common->plugin_override;
  o->plugin_check = common->plugin_check;
  o->stop_after_pass = (int32_t)common->stop_after_pass;
  for (size_t i = 0; i < common->limits.count; i++)
    if (!set_limit(common->limits.items[i], &o->limits, err))
      return false;
  return true;
}

bool ow_args_parse(const char *command, int argc, char **argv, const ow_arg *table, ow_common *common,
                   ow_text_list *words, ow_scratch *scratch, onward_error *err) {
  common->precision = "f32";
  common->stop_after_pass = -1;
  const ow_arg shared[] = {
      {"--threads", OW_ARG_INT, &common->threads, 1, 1024},
      {"--precision", OW_ARG_TEXT, &common->precision, 0, 0},
      {"--no-passes", OW_ARG_FLAG, &common->no_passes, 0, 0},
      {"--reference", OW_ARG_FLAG, &common->reference, 0, 0},
      {"--no-mmap", OW_ARG_FLAG, &common->no_mmap, 0, 0},
      {"--limit", OW_ARG_LIST, &common->limits, 0, 0},
      {"--disable-pass", OW_ARG_TEXT, &common->disabled_passes, 0, 0},
      {"--stop-after-pass", OW_ARG_INT, &common->stop_after_pass, 0, 10000},
      {"--plugin", OW_ARG_LIST, &common->plugins, 0, 0},
      {"--plugin-override", OW_ARG_FLAG, &common->plugin_override, 0, 0},
      {"--plugin-check", OW_ARG_FLAG, &common->plugin_check, 0, 0},
      {"--help", OW_ARG_FLAG, &common->help, 0, 0},
      {"-h", OW_ARG_FLAG, &common->help, 0, 0},
      {NULL, OW_ARG_FLAG, NULL, 0, 0},
  };
  bool options = true;
  for (int i = 0; i < argc; i++) {
    const char *const word = argv[i];
    if (!options || word[0] != '-' || word[1] == '\0') {
      list_add(words, word, argc, scratch);
      continue;
    }
    if (strcmp(word, "--") == 0) {
      options = false;
      continue;
    }
    const char *const equal = strchr(word, '=');
    const size_t length = equal == NULL ? strlen(word) : (size_t)(equal - word);
    const ow_arg *arg = find(table, word, length);
    if (arg == NULL)
      arg = find(shared, word, length);
    if (arg == NULL)
      return ow_cmd_fail(err, ONWARD_ARGUMENT, "%.*s: 'onward %s' has no such option (onward %s --help lists them)",
                         (int)length, word, command, command);
    if (arg->kind == OW_ARG_NOT_BUILT)
      return ow_cmd_fail(err, ONWARD_ARGUMENT, "%s: not built yet", arg->name);
    if (arg->kind == OW_ARG_FLAG) {
      if (equal != NULL)
        return ow_cmd_fail(err, ONWARD_ARGUMENT, "%s: takes no value", arg->name);
      *(bool *)arg->target = true;
      if (common->help)
        return true;
      continue;
    }
    if (equal == NULL && i + 1 == argc)
      return ow_cmd_fail(err, ONWARD_ARGUMENT, "%s: a value is missing (onward %s --help)", arg->name, command);
    if (!set_value(command, arg, equal != NULL ? equal + 1 : argv[++i], argc, scratch, err))
      return false;
  }
  return finish_common(common, err);
}

bool ow_args_one(const char *command, const ow_text_list *words, const char *what, onward_error *err) {
  if (words->count == 1)
    return true;
  if (words->count == 0)
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "%s: not given (onward %s --help)", what, command);
  return ow_cmd_fail(err, ONWARD_ARGUMENT, "%s: '%s' is one too many after '%s' (onward %s --help)", what,
                     words->items[1], words->items[0], command);
}
