/* Where the bytes of constants are: the model file and its external data files, each opened once. */
#ifndef OW_PROTO_SOURCE_H
#define OW_PROTO_SOURCE_H

#include "base/os.h"
#include "base/strmap.h"
#include "onnx.pb-c.h"
#include "proto/loader.h"

typedef struct ow_external_file {
  char *location;
  ow_file file;
} ow_external_file;

struct ow_source {
  const ow_allocator *allocator;
  ow_file model;     /* zeroed when the bytes are the caller's */
  char *title;       /* what messages call the model file */
  char *folder;      /* NULL: no folder, no external data */
  char *real_folder; /* of the file that path links to; NULL when it is the same */
  bool map;
  uint64_t file_bytes;                           /* limit */
  void (*warn)(void *context, const char *text); /* may be NULL */
  void *warn_context;
  ow_strmap by_location;
  ow_external_file **externals;
  size_t external_count, external_capacity;
};

/* Takes nothing over yet; NULL without memory. folder and real_folder may be NULL. */
ow_source *ow_source_create(const ow_allocator *a, const char *title, const char *folder, const char *real_folder,
                            bool map, uint64_t file_bytes);

/* The bytes that a tensor's external_data names: want of them, at *data. *mapped: they are pages of a file.
 * Errors: MODEL, IO, LIMIT, MEMORY; the caller puts the tensor's name in front. */
onward_status ow_source_external(ow_source *source, const OwOnnx__TensorProto *t, size_t want, const uint8_t **data,
                                 bool *mapped, onward_error *err);

#endif
