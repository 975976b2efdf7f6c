#include "signature.h"

#include <stdio.h>
#include <string.h>

bool ow_signature_read(const onward_model *model, ow_scratch *scratch, ow_signature *signature, onward_error *err) {
  signature->input_count = onward_model_input_count(model);
  signature->output_count = onward_model_output_count(model);
  signature->inputs = ow_scratch_take(scratch, signature->input_count * sizeof *signature->inputs);
  signature->outputs = ow_scratch_take(scratch, signature->output_count * sizeof *signature->outputs);
  for (size_t i = 0; i < signature->input_count; i++)
    if (onward_model_input(model, i, &signature->inputs[i], err) != ONWARD_OK)
      return false;
  for (size_t i = 0; i < signature->output_count; i++)
    if (onward_model_output(model, i, &signature->outputs[i], err) != ONWARD_OK)
      return false;
  return true;
}

bool ow_signature_split(const ow_signature *signature, const char *option, const char *text, size_t *index,
                        const char **rest, ow_scratch *scratch, onward_error *err) {
  size_t best = 0;
  bool found = false;
  for (size_t i = 0; i < signature->input_count; i++) {
    const size_t n = strlen(signature->inputs[i].name);
    if (strncmp(text, signature->inputs[i].name, n) != 0 || text[n] != '=' || (found && n <= best))
      continue;
    found = true;
    best = n;
    *index = i;
    *rest = text + n + 1;
  }
  if (found)
    return true;
  const char *const equal = strchr(text, '=');
  if (equal == NULL)
    return ow_cmd_fail(err, ONWARD_ARGUMENT, "%s %s: want NAME=VALUE", option, text);
  const char *names = "";
  for (size_t i = 0; i < signature->input_count && strlen(names) < 300; i++)
    names = ow_scratch_text(scratch, "%s%s%s", names, i == 0 ? "" : ", ", signature->inputs[i].name);
  return ow_cmd_fail(err, ONWARD_ARGUMENT, "no input '%.*s'; inputs are %s", (int)(equal - text), text, names);
}

const char *ow_value_text(const onward_value_info *info, ow_scratch *scratch) {
  static const char *const kinds[] = {"", "sequence of ", "optional ", "optional sequence of "};
  const char *const type = ow_scratch_text(scratch, "%s%s", kinds[info->kind], onward_dtype_name(info->dtype));
  if (info->kind != ONWARD_KIND_TENSOR)
    return type;
  if (info->rank < 0)
    return ow_scratch_text(scratch, "%s [...]", type);
  const char *dims = "";
  for (int32_t i = 0; i < info->rank; i++) {
    const char *const name = info->dim_names[i];
    const char *const comma = i == 0 ? "" : ",";
    if (info->dims[i] >= 0)
      dims = ow_scratch_text(scratch, "%s%s%lld", dims, comma, (long long)info->dims[i]);
    else
      dims = ow_scratch_text(scratch, "%s%s%s", dims, comma, name == NULL || *name == '\0' ? "?" : name);
  }
  return ow_scratch_text(scratch, "%s [%s]", type, dims);
}

ow_shapes ow_shapes_none(const ow_signature *signature, ow_scratch *scratch) {
  const size_t n = signature->input_count;
  ow_shapes s = {.items = ow_scratch_take(scratch, n * sizeof *s.items),
                 .origin = ow_scratch_take(scratch, n * sizeof *s.origin),
                 .count = n};
  for (size_t i = 0; i < n; i++)
    s.items[i].name = signature->inputs[i].name;
  return s;
}

bool ow_shapes_parse(const ow_signature *signature, const ow_text_list *texts, ow_shapes *shapes, ow_scratch *scratch,
                     onward_error *err) {
  for (size_t t = 0; t < texts->count; t++) {
    size_t i = 0;
    const char *rest = NULL;
    if (!ow_signature_split(signature, "--shape", texts->items[t], &i, &rest, scratch, err))
      return false;
    if (!ow_parse_dims(rest, &shapes->items[i].rank, shapes->items[i].dims))
      return ow_cmd_fail(err, ONWARD_ARGUMENT, "--shape %s: want NAME=AxBxC with at most %d whole numbers",
                         texts->items[t], ONWARD_MAX_RANK);
    shapes->origin[i] = OW_SHAPE_GIVEN;
  }
  return true;
}

/* What the inputs with a shape say about the dimension called name (length characters). */
static bool lookup_name(const ow_signature *signature, const ow_shapes *shapes, const char *name, size_t length,
                        int64_t *value) {
  for (size_t i = 0; i < shapes->count; i++) {
    const onward_value_info *const info = &signature->inputs[i];
    if (shapes->origin[i] == OW_SHAPE_NONE || shapes->items[i].rank != info->rank)
      continue;
    for (int32_t d = 0; d < info->rank; d++) {
      const char *const other = info->dim_names[d];
      if (info->dims[d] >= 0 || other == NULL || strlen(other) != length || memcmp(other, name, length) != 0)
        continue;
      *value = shapes->items[i].dims[d];
      return true;
    }
  }
  return false;
}

/* A name, a number, or a sum of them: exporters write "past_sequence_length + sequence_length". */
static bool evaluate(const ow_signature *signature, const ow_shapes *shapes, const char *name, int64_t *value) {
  if (name == NULL || *name == '\0')
    return false;
  if (lookup_name(signature, shapes, name, strlen(name), value))
    return true;
  if (strchr(name, '+') == NULL)
    return false;
  int64_t sum = 0;
  for (const char *p = name;;) {
    while (*p == ' ')
      p++;
    size_t n = strcspn(p, "+");
    const char *const next = p + n;
    while (n > 0 && p[n - 1] == ' ')
      n--;
    int64_t term = 0;
    const char *end = NULL;
    const bool number = ow_parse_count(p, &end, &term) && end == p + n;
    if ((!number && !lookup_name(signature, shapes, p, n, &term)) || __builtin_add_overflow(sum, term, &sum))
      return false;
    if (*next == '\0')
      break;
    p = next + 1;
  }
  *value = sum;
  return true;
}

static bool derive_one(const ow_signature *signature, ow_shapes *shapes, size_t i) {
  const onward_value_info *const info = &signature->inputs[i];
  if (info->rank < 0)
    return false;
  onward_input_shape shape = {.name = info->name, .rank = info->rank};
  for (int32_t d = 0; d < info->rank; d++) {
    shape.dims[d] = info->dims[d];
    if (info->dims[d] < 0 && !evaluate(signature, shapes, info->dim_names[d], &shape.dims[d]))
      return false;
  }
  shapes->items[i] = shape;
  shapes->origin[i] = OW_SHAPE_DERIVED;
  return true;
}

bool ow_shapes_derive(const ow_signature *signature, ow_shapes *shapes) {
  bool all = true;
  for (size_t i = 0; i < shapes->count; i++)
    all = (shapes->origin[i] != OW_SHAPE_NONE || derive_one(signature, shapes, i)) && all;
  return all;
}

static int64_t guess_dim(const char *input, const char *name, int32_t axis) {
  static const struct {
    const char *part;
    int64_t value;
  } guesses[] = {{"batch", 1}, {"past", 0}, {"channel", 3}, {"height", 224}, {"width", 224}};
  for (size_t i = 0; name != NULL && i < sizeof guesses / sizeof *guesses; i++)
    if (strstr(name, guesses[i].part) != NULL)
      return guesses[i].value;
  if (axis > 0 && strncmp(input, "past", 4) == 0)
    return 0;
  return axis == 0 ? 1 : 8;
}

void ow_shapes_guess(const ow_signature *signature, ow_shapes *shapes) {
  /* Sums are left for last: their parts may still be guessed. */
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < shapes->count; i++) {
      const onward_value_info *const info = &signature->inputs[i];
      bool sum = false;
      for (int32_t d = 0; d < info->rank; d++)
        sum = sum || (info->dims[d] < 0 && info->dim_names[d] != NULL && strchr(info->dim_names[d], '+') != NULL);
      if (shapes->origin[i] != OW_SHAPE_NONE || (sum && round == 0) || derive_one(signature, shapes, i))
        continue;
      onward_input_shape *const shape = &shapes->items[i];
      shape->rank = info->rank < 0 ? 2 : info->rank;
      for (int32_t d = 0; d < shape->rank; d++) {
        const char *const name = info->rank < 0 ? NULL : info->dim_names[d];
        shape->dims[d] = info->rank < 0 ? -1 : info->dims[d];
        if (shape->dims[d] < 0 && !evaluate(signature, shapes, name, &shape->dims[d]))
          shape->dims[d] = guess_dim(info->name, name, d);
      }
      shapes->origin[i] = OW_SHAPE_GUESSED;
    }
  }
}

const char *ow_shell_word(const char *text, ow_scratch *scratch) {
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/:=,+@%-";
  if (*text != '\0' && text[strspn(text, plain)] == '\0')
    return text;
  char *const word = ow_scratch_take(scratch, 4 * strlen(text) + 3);
  char *out = word;
  *out++ = '\'';
  for (; *text != '\0'; text++) {
    if (*text == '\'') {
      memcpy(out, "'\\''", 4);
      out += 4;
    } else {
      *out++ = (unsigned char)*text < 0x20 ? '?' : *text;
    }
  }
  *out = '\'';
  return word;
}

int ow_shapes_report_missing(const char *command, const char *model, const ow_signature *signature, ow_shapes *shapes,
                             ow_scratch *scratch) {
  const char *names = "";
  for (size_t i = 0; i < shapes->count; i++)
    if (shapes->origin[i] == OW_SHAPE_NONE)
      names = ow_scratch_text(scratch, "%s%s'%s' (%s)", names, *names == '\0' ? "" : ", ", signature->inputs[i].name,
                              ow_value_text(&signature->inputs[i], scratch));
  ow_shapes_guess(signature, shapes);
  const char *line = ow_scratch_text(scratch, "onward %s %s", command, ow_shell_word(model, scratch));
  for (size_t i = 0; i < shapes->count; i++) {
    const onward_input_shape *const s = &shapes->items[i];
    line = ow_scratch_text(
        scratch, "%s --shape %s", line,
        ow_shell_word(ow_scratch_text(scratch, "%s=%s", s->name, ow_dims_text(scratch, s->rank, s->dims)), scratch));
  }
  fprintf(stderr, "--shape: not given for %s; this would do: %s\n", names, line);
  return OW_EXIT_USAGE;
}
