/* A model of the public API from a graph in bytes, by way of a file that is gone again. */
#ifndef OW_TESTS_MODEL_FIXTURE_H
#define OW_TESTS_MODEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after these */
#include <cmocka.h>

#include "onward/onward.h"
#include "unit/onnx_bytes.h"

/* Frees graph. */
static inline onward_status load_graph(pb graph, const onward_model_options *options, onward_model **model,
                                       onward_error *err) {
  char path[] = "/tmp/onward_test_XXXXXX";
  const int file = mkstemp(path);
  pb bytes = pb_model(graph);
  assert_true(file >= 0);
  assert_int_equal(write(file, bytes.data, bytes.size), bytes.size);
  (void)close(file);
  pb_free(&bytes);
  const onward_status status = onward_model_load(path, options, model, err);
  (void)unlink(path);
  return status;
}

#endif
