/* For tests of plug-ins: a small model is loaded with `options`, run, and what went wrong is compared. A header, so that each test
 * program has its own. */
#ifndef OW_TESTS_PLUGIN_FIXTURE_H
#define OW_TESTS_PLUGIN_FIXTURE_H

#include "onward/plugin.h"
#include "unit/model_fixture.h"

enum { F32 = 1, F16 = 10, NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12 };

static onward_model *model;
static onward_session *session;
static onward_error err;
static onward_model_options options;

static inline int reset(void **state) {
  (void)state;
  model = NULL;
  session = NULL;
  err = (onward_error){ONWARD_OK, ""};
  options = onward_model_options_default();
  return 0;
}

static inline int clean(void **state) {
  (void)state;
  onward_session_free(session);
  onward_model_free(model);
  return 0;
}

/* y = op(x); frees nothing it is not given. x is float [dims] */
static inline pb one_node(pb node, int32_t dtype, const char *dims) {
  pb g = {0};
  pb_message(&g, NODE, node);
  pb_message(&g, INPUT, pb_value("x", dtype, dims));
  pb_message(&g, OUTPUT, pb_value("y", dtype, "?"));
  return g;
}

static inline onward_status load(pb graph) { return load_graph(graph, &options, &model, &err); }

static inline void with_library(const char *path) {
  static const char *paths[1];
  paths[0] = path;
  options.plugins = paths;
  options.plugin_count = 1;
}

static inline void with_init(onward_plugin_init_fn init) {
  static onward_plugin_init_fn inits[1];
  inits[0] = init;
  options.plugin_inits = inits;
  options.plugin_init_count = 1;
}

static inline onward_status run(onward_tensor x, onward_named_tensor *y) {
  const onward_named_tensor in = {"x", x};
  *y = (onward_named_tensor){.name = "y"};
  if (!session)
    assert_int_equal(onward_session_create(model, NULL, &session, &err), ONWARD_OK);
  return onward_session_run(session, &in, 1, y, 1, NULL, &err);
}

static inline void says(const char *text) {
  if (!strstr(err.message, text))
    fail_msg("'%s' does not say '%s'", err.message, text);
}

#endif
