/* Hostile models as rows of a table: each is loaded, dumped, planned and given to the command, and held to bounds of time and
 * memory. What must hold for every row stands in hostile_load; a row says only what its own outcome is. */
#ifndef OW_TESTS_HOSTILE_H
#define OW_TESTS_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onward/onward.h"
#include "unit/onnx_bytes.h"

typedef struct hostile_row {
  const char *name;    /* "P4 length of 2^63" */
  const char *status;  /* "OK", "FORMAT", or several: "FORMAT|MODEL" */
  const char *message; /* extended regular expression; NULL for OK */
  /* One of these gives the file's bytes. */
  const char *graph; /* for hostile_graph */
  pb (*build)(void);
  const char *bytes;
  size_t size;
  uint64_t own_bytes; /* memory that what the file asks for rightly takes, when that is much */
} hostile_row;

#define HOSTILE_BYTES(text) .bytes = text, .size = sizeof(text) - 1
#define HOSTILE_COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Runs every row; fails at the end, with all that did not hold. */
void hostile_run(const hostile_row *rows, size_t count);
/* One file, already written; 0, or 1 after printing what did not hold. */
int hostile_load(const char *name, const char *path, const onward_model_options *options, const char *status,
                 const char *message, uint64_t own_bytes);

/* A folder of this process, made at the first call and removed at exit; the path of a file in it (static, 8 take turns). */
const char *hostile_path(const char *name);
void hostile_write(const char *name, const void *bytes, size_t size);

/* A model from a text of statements, split by ';':
 *     in NAME DTYPE DIMS...       out NAME [DTYPE DIMS...]       init NAME DTYPE DIMS...   (zeros)
 *     OP [#NAME] [@DOMAIN] INPUTS... -> OUTPUTS... [ATTR=INTEGER ATTR=f:FLOAT ATTR=s:TEXT ATTR=l:1,2,3]
 * DTYPE is a number of the format; DIMS as for pb_value; "-" is the empty name. */
pb hostile_graph(const char *text);
pb hostile_graph_proto(const char *text); /* the GraphProto alone */

/* Starts a program with these words, and waits at most 100 seconds. out and error are cut at their sizes, and may be NULL. */
typedef struct hostile_output {
  int code; /* exit code, or -signal */
  char out[8192], error[4096];
  size_t out_size, error_size; /* before cutting */
} hostile_output;
void hostile_command(const char *const *words, hostile_output *output);

/* Whether word is one of "A|B|C". */
bool hostile_in_list(const char *list, const char *word);
bool hostile_matches(const char *pattern, const char *text); /* an extended regular expression */
uint64_t hostile_random(uint64_t *seed);
bool hostile_sanitized(void);

#endif
