#include "data_set.h"

#include <string.h>

#include "host.h"
#include "input.h"

typedef struct side {
  const char *kind; /* "input" or "output" */
  const onward_value_info *infos;
  size_t count;
  onward_named_tensor *tensors;
} side;

static bool find_name(const side *s, const char *name, size_t *index) {
  for (*index = 0; *index < s->count; ++*index)
    if (strcmp(s->infos[*index].name, name) == 0)
      return true;
  return false;
}

static const char *list_names(const side *s, ow_scratch *scratch) {
  const char *names = "";
  for (size_t i = 0; i < s->count && strlen(names) < 200; i++)
    names = ow_scratch_text(scratch, "%s%s%s", names, i == 0 ? "" : ", ", s->infos[i].name);
  return names;
}

/* The place of one file's tensor. */
static bool place(const side *s, const char *folder, const ow_numbered *file, const char *name, size_t *index,
                  ow_scratch *scratch, onward_error *err) {
  if (*name != '\0' && find_name(s, name, index))
    return true;
  if (*name != '\0' && strcmp(s->kind, "output") == 0)
    return ow_cmd_fail(err, ONWARD_DATA, "%s: output '%s' is expected, the model has %s", folder, name,
                       list_names(s, scratch));
  *index = (size_t)file->number;
  return file->number < (int64_t)s->count ||
         ow_cmd_fail(err, ONWARD_DATA, "%s: %s_%lld.pb has no counterpart, the model has %zu %ss", folder, s->kind,
                     (long long)file->number, s->count, s->kind);
}

/* What the file holds depends on the value it is for, which its number tells, or its name once it was read. */
static bool read_file(const side *s, const ow_numbered *file, ow_scratch *scratch, onward_tensor *tensor,
                      const char **name, onward_error *err) {
  onward_kind kind = file->number < (int64_t)s->count ? s->infos[file->number].kind : ONWARD_KIND_TENSOR;
  for (bool again = false;; again = true) {
    size_t index;
    if (!ow_pb_read(file->path, kind, scratch, tensor, name, err))
      return false;
    if (**name == '\0' || !find_name(s, *name, &index) || s->infos[index].kind == kind)
      return true;
    if (again)
      return true;
    kind = s->infos[index].kind;
  }
}

static bool read_side(const side *s, const char *folder, ow_scratch *scratch, onward_error *err) {
  ow_numbered *files = NULL;
  size_t file_count = 0;
  if (!ow_folder_numbered(folder, ow_scratch_text(scratch, "%s_", s->kind), ".pb", scratch, &files, &file_count, err))
    return false;
  bool *const filled = ow_scratch_take(scratch, s->count * sizeof *filled);
  for (size_t i = 0; i < s->count; i++)
    s->tensors[i].name = s->infos[i].name;
  for (size_t f = 0; f < file_count; f++) {
    onward_tensor tensor = {.dtype = ONWARD_UNDEFINED};
    const char *name = "";
    size_t index = 0;
    if (!read_file(s, &files[f], scratch, &tensor, &name, err) ||
        !place(s, folder, &files[f], name, &index, scratch, err))
      return false;
    if (filled[index])
      return ow_cmd_fail(err, ONWARD_DATA, "%s: two files for %s '%s'", folder, s->kind, s->infos[index].name);
    filled[index] = true;
    s->tensors[index].tensor = tensor;
  }
  for (size_t i = 0; i < s->count; i++)
    if (!filled[i])
      return ow_cmd_fail(err, ONWARD_DATA, "%s: no file for %s '%s' of the model", folder, s->kind, s->infos[i].name);
  return true;
}

bool ow_data_set_read(const char *folder, const ow_signature *signature, ow_scratch *scratch, ow_data_set *set,
                      onward_error *err) {
  set->inputs = ow_scratch_take(scratch, signature->input_count * sizeof *set->inputs);
  set->outputs = ow_scratch_take(scratch, signature->output_count * sizeof *set->outputs);
  const side inputs = {"input", signature->inputs, signature->input_count, set->inputs};
  const side outputs = {"output", signature->outputs, signature->output_count, set->outputs};
  return read_side(&inputs, folder, scratch, err) && read_side(&outputs, folder, scratch, err);
}
