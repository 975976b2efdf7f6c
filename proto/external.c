/* External data: strict reading of its keys, and files that never lie outside the model's folder. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "proto/source.h"

#define LOCATION_BYTES_MAX 4096

typedef struct external_range {
  const char *location;
  uint64_t offset, length;
  bool has_offset, has_length;
} external_range;

ow_source *ow_source_create(const ow_allocator *a, const char *title, const char *folder, const char *real_folder,
                            bool map, uint64_t file_bytes) {
  ow_source *s = ow_alloc_zero(a, 1, sizeof *s);
  if (!s)
    return NULL;
  s->allocator = a;
  s->map = map;
  s->file_bytes = file_bytes;
  ow_strmap_init(&s->by_location, a);
  s->title = ow_strdup(a, title);
  s->folder = folder ? ow_strdup(a, folder) : NULL;
  s->real_folder = real_folder ? ow_strdup(a, real_folder) : NULL;
  if (!s->title || (folder && !s->folder) || (real_folder && !s->real_folder)) {
    ow_source_free(s);
    return NULL;
  }
  return s;
}

void ow_source_free(ow_source *s) {
  if (!s)
    return;
  for (size_t i = 0; i < s->external_count; i++) {
    ow_file_close(&s->externals[i]->file);
    ow_free(s->allocator, s->externals[i]->location);
    ow_free(s->allocator, s->externals[i]);
  }
  ow_free(s->allocator, s->externals);
  ow_strmap_free(&s->by_location);
  ow_file_close(&s->model);
  ow_free(s->allocator, s->title);
  ow_free(s->allocator, s->folder);
  ow_free(s->allocator, s->real_folder);
  ow_free(s->allocator, s);
}

/* Digits and nothing else: what strtoull takes besides (signs, blanks, wrapping) has been a way around checks. */
static bool parse_digits(const char *text, uint64_t *value) {
  uint64_t v = 0;
  if (!*text)
    return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
        __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
      return false;
  }
  *value = v;
  return true;
}

static onward_status parse_keys(const OwOnnx__TensorProto *t, external_range *range, onward_error *err) {
  *range = (external_range){0};
  for (size_t i = 0; i < t->n_external_data; i++) {
    const char *key = t->external_data[i]->key ? t->external_data[i]->key : "";
    const char *value = t->external_data[i]->value ? t->external_data[i]->value : "";
    const bool is_offset = strcmp(key, "offset") == 0, is_length = strcmp(key, "length") == 0;
    bool twice = false;
    if (strcmp(key, "location") == 0) {
      twice = range->location != NULL;
      range->location = value;
    } else if (is_offset || is_length) {
      bool *seen = is_offset ? &range->has_offset : &range->has_length;
      twice = *seen;
      *seen = true;
      if (!parse_digits(value, is_offset ? &range->offset : &range->length))
        return ow_fail(err, ONWARD_MODEL, "external data's %s is '%.40s', want a decimal number", key, value);
    } else if (strcmp(key, "checksum") != 0 && strcmp(key, "basepath") != 0 && strncmp(key, "prepacked", 9) != 0) {
      return ow_fail(err, ONWARD_MODEL, "external data has an unknown key '%.80s'", key);
    }
    if (twice)
      return ow_fail(err, ONWARD_MODEL, "external data has the key '%s' twice", key);
  }
  return range->location ? ONWARD_OK : ow_fail(err, ONWARD_MODEL, "external data has no location");
}

/* A plain relative path, the same on every system. */
static bool is_plain_location(const char *location) {
  const size_t length = strlen(location);
  if (length == 0 || length > LOCATION_BYTES_MAX || strchr(location, '\\') || (length > 1 && location[1] == ':'))
    return false;
  for (const char *part = location;; part++) {
    const size_t n = strcspn(part, "/");
    if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
      return false;
    part += n;
    if (!*part)
      return true;
  }
}

/* No rule about paths can tell where else a hard link is: who made the folder may have linked a file of somebody else into it. */
static void warn_of_names(const ow_source *s, const char *location) {
  char text[ONWARD_ERROR_MESSAGE_SIZE];
  (void)snprintf(text, sizeof text,
                 "external data '%.200s' is a hard link: the same file may lie outside the model's folder", location);
  s->warn(s->warn_context, text);
}

static onward_status open_external(ow_source *s, const char *location, const ow_file **file, onward_error *err) {
  ow_external_file *known = ow_strmap_get(&s->by_location, location);
  if (known) {
    *file = &known->file;
    return ONWARD_OK;
  }
  onward_error local;
  ow_external_file *made = ow_alloc_zero(s->allocator, 1, sizeof *made);
  char *copy = ow_strdup(s->allocator, location);
  onward_status status = ONWARD_OK;
  if (!made || !copy ||
      !ow_reserve(s->allocator, &s->externals, &s->external_capacity, s->external_count, s->external_count + 1,
                  sizeof *s->externals))
    status = ow_fail(&local, ONWARD_MEMORY, "no memory for external data '%s'", location);
  else
    status = ow_file_open_beneath(s->folder, s->real_folder, location, s->map, s->file_bytes, "file_bytes",
                                  s->allocator, &made->file, &local);
  if (status == ONWARD_OK && !ow_strmap_put(&s->by_location, copy, made))
    status = ow_fail(&local, ONWARD_MEMORY, "no memory for external data '%s'", location);
  if (status != ONWARD_OK) {
    if (made)
      ow_file_close(&made->file);
    ow_free(s->allocator, made);
    ow_free(s->allocator, copy);
    const char *slash = strrchr(s->title, '/');
    if (status == ONWARD_IO && strstr(local.message, " is not in '"))
      return ow_fail(err, ONWARD_IO, "external data '%s' is not beside %s", location, slash ? slash + 1 : s->title);
    return ow_fail(err, status, "%s", local.message);
  }
  if (made->file.many_names && s->warn)
    warn_of_names(s, location);
  made->location = copy;
  s->externals[s->external_count++] = made;
  *file = &made->file;
  return ONWARD_OK;
}

onward_status ow_source_external(ow_source *s, const OwOnnx__TensorProto *t, size_t want, const uint8_t **data,
                                 bool *mapped, onward_error *err) {
  external_range range;
  OW_TRY(parse_keys(t, &range, err));
  const char *location = strncmp(range.location, "./", 2) == 0 ? range.location + 2 : range.location;
  if (!is_plain_location(location))
    return ow_fail(err, ONWARD_MODEL, "external data '%s' is not a plain relative path", range.location);
  if (!s || !s->folder)
    return ow_fail(err, ONWARD_MODEL,
                   "external data '%s' needs a directory, and the model comes from memory without one", location);
  if (range.has_length && range.length != want)
    return ow_fail(err, ONWARD_MODEL, "external data '%s' gives %llu bytes, want %zu", location,
                   (unsigned long long)range.length, want);
  const ow_file *file = NULL;
  OW_TRY(open_external(s, location, &file, err));
  if (range.offset > file->size || want > file->size - range.offset)
    return ow_fail(err, ONWARD_MODEL, "external data '%s' has %zu bytes, want %zu from byte %llu on", location,
                   file->size, want, (unsigned long long)range.offset);
  *data = want ? file->data + range.offset : NULL;
  *mapped = file->mapped;
  return ONWARD_OK;
}
