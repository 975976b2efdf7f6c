/* Plug-ins: good ones, and every way one can be wrong. The values were computed by hand. */
#include <sys/stat.h>

#include "abi/plugin_fixture.h"

#define SCALAR_MIX ONWARD_BINARY_DIR "/tests/plugins/scalar_mix.so"
#define REPEAT ONWARD_BINARY_DIR "/tests/plugins/repeat.so"
#define NO_SYMBOL ONWARD_BINARY_DIR "/tests/plugins/no_symbol.so"

/* ---- repeat.so --------------------------------------------------------------------------------------------------------- */

static pb repeat_node(int64_t axis, int64_t times) {
  pb node = pb_node_named("again", "example", "Repeat", "x", "y");
  pb_attr(&node, pb_attr_int("axis", axis));
  pb_attr(&node, pb_attr_int("times", times));
  return node;
}

static void repeats(void **state) {
  (void)state;
  with_library(REPEAT);
  for (int check = 0; check < 2; check++)
    for (int reference = 0; reference < 2; reference++) {
      options.plugin_check = check == 1;
      options.reference = reference == 1;
      float x[] = {1, 2, 3, 4, 5, 6};
      const float want[] = {1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6};
      onward_named_tensor y;
      assert_int_equal(load(one_node(repeat_node(-1, 2), F32, "rows columns")), ONWARD_OK);
      onward_value_info info;
      assert_int_equal(onward_model_output(model, 0, &info, NULL), ONWARD_OK);
      assert_int_equal(info.rank, 2);
      assert_string_equal(info.dim_names[0], "rows");
      assert_string_equal(info.dim_names[1], "2*columns");
      assert_int_equal(run((onward_tensor){ONWARD_FLOAT32, 2, {2, 3}, x, sizeof x}, &y), ONWARD_OK);
      assert_int_equal(y.tensor.dims[1], 6);
      assert_memory_equal(y.tensor.data, want, sizeof want);
      assert_int_equal(run((onward_tensor){ONWARD_FLOAT32, 2, {0, 3}, x, 0}, &y), ONWARD_OK); /* empty, a new shape */
      assert_int_equal(y.tensor.bytes, 0);
      (void)clean(NULL);
      model = NULL;
      session = NULL;
    }
}

static void repeats_halves(void **state) {
  (void)state;
  with_library(REPEAT);
  uint16_t x[] = {1, 2, 3, 4};
  const uint16_t want[] = {1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4};
  onward_named_tensor y;
  assert_int_equal(load(one_node(repeat_node(1, 3), F16, "1 n 2")), ONWARD_OK);
  assert_int_equal(run((onward_tensor){ONWARD_FLOAT16, 3, {1, 2, 2}, x, sizeof x}, &y), ONWARD_OK);
  assert_int_equal(y.tensor.dims[1], 6);
  assert_memory_equal(y.tensor.data, want, sizeof want);
}

static void names_operator_and_library(void **state) {
  (void)state;
  with_library(REPEAT);
  assert_int_equal(load(one_node(repeat_node(0, -1), F32, "n")), ONWARD_MODEL);
  says("node #0 'again' (example Repeat-1): plug-in " REPEAT ": times is -1, want 0 or more");
  assert_int_equal(load(one_node(repeat_node(3, 2), F32, "n")), ONWARD_MODEL);
  says("node #0 'again' (example Repeat-1): plug-in " REPEAT ": axis 3 outside [-1,0]");
  assert_int_equal(load(one_node(repeat_node(0, 2), 7, "n")), ONWARD_MODEL);
  says("(example Repeat-1): input 0 'x': the operator does not take int64");
  pb odd = repeat_node(0, 2);
  pb_attr(&odd, pb_attr_int("other", 1));
  assert_int_equal(load(one_node(odd, F32, "n")), ONWARD_UNSUPPORTED);
  says("attribute 'other' is not known");
  options.plugin_count = 0;
  assert_int_equal(load(one_node(repeat_node(0, 2), F32, "n")), ONWARD_UNSUPPORTED);
  says("example Repeat-1");
}

typedef struct shown_text {
  char data[1 << 16];
  size_t length;
} shown_text;

static bool append(void *context, const char *data, size_t length) {
  shown_text *const t = context;
  if (length >= sizeof t->data - t->length)
    return false;
  memcpy(t->data + t->length, data, length);
  t->length += length;
  t->data[t->length] = '\0';
  return true;
}

/* x -> MatMul+Add -> Repeat -> MatMul+Add -> y: both become onward.Linear around it. */
static void stands_between_fusions(void **state) {
  (void)state;
  with_library(REPEAT);
  const int64_t square[] = {2, 2}, line[] = {2};
  const float swap[] = {0, 1, 1, 0}, bias[] = {10, 20};
  pb g = {0};
  pb repeat = pb_node_named("again", "example", "Repeat", "b", "c");
  pb_message(&g, NODE, pb_node("MatMul", "x w", "a"));
  pb_message(&g, NODE, pb_node("Add", "a v", "b"));
  pb_message(&g, NODE, repeat);
  pb_message(&g, NODE, pb_node("MatMul", "c w", "d"));
  pb_message(&g, NODE, pb_node("Add", "d v", "y"));
  pb_message(&g, INITIALIZER, pb_tensor_raw("w", F32, square, 2, swap, sizeof swap));
  pb_message(&g, INITIALIZER, pb_tensor_raw("v", F32, line, 1, bias, sizeof bias));
  pb_message(&g, INPUT, pb_value("x", F32, "n 2"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "m 2"));
  assert_int_equal(load(g), ONWARD_OK);
  static shown_text shown;
  shown.length = 0;
  onward_dump_options dump = onward_dump_options_default();
  dump.optimized = true;
  assert_int_equal(onward_model_dump(model, &dump, append, &shown, &err), ONWARD_OK);
  const char *const first = strstr(shown.data, "onward.Linear"), *const custom = strstr(shown.data, "example.Repeat");
  if (!first || !custom || first > custom || !strstr(custom, "onward.Linear") || strstr(shown.data, "MatMul ="))
    fail_msg("%s", shown.data);
  float x[] = {1, 2};                    /* swapped: 2 1; + bias: 12 21 */
  const float want[] = {31, 32, 31, 32}; /* swapped: 21 12; + bias: 31 32; twice */
  onward_named_tensor y;
  assert_int_equal(run((onward_tensor){ONWARD_FLOAT32, 2, {1, 2}, x, sizeof x}, &y), ONWARD_OK);
  assert_memory_equal(y.tensor.data, want, sizeof want);
}

/* a -> ScalarMix(2 a + 3 a): the output must not be put over a layer that is read again. */
static void reads_one_input_twice(void **state) {
  (void)state;
  with_library(SCALAR_MIX);
  const int64_t two[] = {2};
  const float weights[] = {2, 3};
  pb g = {0};
  pb_message(&g, NODE, pb_node("Neg", "x", "a"));
  pb_message(&g, NODE, pb_node_named("mix", "example", "ScalarMix", "w - a a", "y"));
  pb_message(&g, INITIALIZER, pb_tensor_raw("w", F32, two, 1, weights, sizeof weights));
  pb_message(&g, INPUT, pb_value("x", F32, "n"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "n"));
  assert_int_equal(load(g), ONWARD_OK);
  float x[] = {1, -2, 4};
  onward_named_tensor y;
  assert_int_equal(run((onward_tensor){ONWARD_FLOAT32, 1, {3}, x, sizeof x}, &y), ONWARD_OK);
  const float want[] = {-5, 10, -20};
  assert_memory_equal(y.tensor.data, want, sizeof want);
}

/* ---- libraries that are none --------------------------------------------------------------------------------------------- */

static void refuse_library(const char *path, onward_status status, const char *text) {
  with_library(path);
  assert_int_equal(load(one_node(repeat_node(0, 2), F32, "n")), status);
  says(path);
  says(text);
}

/* A file made from repeat.so: byte `at` set, then cut to size bytes (0: whole). The caller unlinks it. */
static void write_changed(char *path, size_t size, size_t at, unsigned char byte) {
  FILE *const from = fopen(REPEAT, "rb");
  const int file = mkstemp(path);
  assert_true(from && file >= 0);
  static unsigned char bytes[1 << 20];
  const size_t all = fread(bytes, 1, sizeof bytes, from);
  (void)fclose(from);
  assert_true(all > 64 && all < sizeof bytes && at < all);
  bytes[at] = byte;
  size = size ? size : all;
  assert_int_equal(write(file, bytes, size), size);
  (void)close(file);
}

static void refuse_changed(size_t size, size_t at, unsigned char byte) {
  char path[] = "/tmp/onward_plugin_XXXXXX";
  write_changed(path, size, at, byte);
  with_library(path);
  const onward_status status = load(one_node(repeat_node(0, 2), F32, "n"));
  (void)unlink(path);
  assert_int_equal(status, ONWARD_PLUGIN);
  says(path);
  says("cannot be loaded: ");
}

static void refuses_foreign_libraries(void **state) {
  (void)state;
  enum { MAGIC = 0, CLASS = 4, MACHINE = 18 }; /* offsets in an ELF header */
  refuse_changed(0, MAGIC, 0);
  refuse_changed(0, CLASS, 1);      /* 32-bit */
  refuse_changed(0, MACHINE, 0x15); /* 64-bit PowerPC */
  refuse_changed(1, CLASS, 2);
  refuse_changed(40, CLASS, 2);
  char folder[] = "/tmp/onward_plugin_XXXXXX", fifo[64];
  assert_true(mkdtemp(folder) != NULL);
  (void)snprintf(fifo, sizeof fifo, "%s/fifo", folder);
  assert_int_equal(mkfifo(fifo, 0600), 0);
  with_library(fifo);
  const onward_status status = load(one_node(repeat_node(0, 2), F32, "n"));
  (void)unlink(fifo);
  (void)rmdir(folder);
  assert_int_equal(status, ONWARD_IO);
  says("not a regular file");
}

static void refuses_the_same_operator_of_two_libraries(void **state) {
  (void)state;
  const char *const paths[] = {REPEAT, REPEAT};
  options.plugins = paths;
  options.plugin_count = 2;
  assert_int_equal(load(one_node(repeat_node(0, 2), F32, "n")), ONWARD_PLUGIN);
  says("example.Repeat: versions from 1 and from 1 overlap");
}

static bool is_mapped(const char *path) {
  FILE *const maps = fopen("/proc/self/maps", "r");
  char line[4096];
  bool found = false;
  while (maps && fgets(line, sizeof line, maps))
    found = found || strstr(line, path);
  if (maps)
    (void)fclose(maps);
  return found;
}

/* Whatever a model says, no library is opened for it. */
static void no_model_names_a_library(void **state) {
  (void)state;
  enum { METADATA = 14, KEY = 1, VALUE = 2 };
  char path[] = "/tmp/onward_plugin_XXXXXX";
  write_changed(path, 0, 0, 0x7f);
  const int64_t one[] = {1};
  pb graphs[] = {
      one_node(pb_node_named("n", path, "Repeat", "x", "y"), F32, "n"),
      one_node(repeat_node(0, 2), F32, "n"),
      one_node(pb_node("Add", "x w", "y"), F32, "n"),
  };
  pb_message(&graphs[2], INITIALIZER, pb_external("w", F32, one, 1, path, "0", "4"));
  for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
    pb bytes = pb_model(graphs[i]), entry = {0};
    pb_text(&entry, KEY, "plugin");
    pb_text(&entry, VALUE, path);
    pb_message(&bytes, METADATA, entry);
    const onward_status status = onward_model_load_memory(bytes.data, bytes.size, "/", &options, &model, &err);
    pb_free(&bytes);
    assert_int_not_equal(status, ONWARD_OK);
    assert_false(is_mapped(path));
  }
  with_library(path); /* who runs the model may name it */
  const onward_status status = load(one_node(repeat_node(0, 2), F32, "n"));
  const bool mapped = is_mapped(path);
  (void)unlink(path);
  assert_int_equal(status, ONWARD_OK);
  assert_true(mapped);
}

static void refuses_libraries(void **state) {
  (void)state;
  refuse_library("/no/such/plugin.so", ONWARD_IO, "No such file");
  refuse_library("libm.so.6", ONWARD_IO, "No such file"); /* the system's folders are not searched */
  refuse_library("/tmp", ONWARD_IO, "not a regular file");
  refuse_library(ONWARD_SOURCE_DIR "/README.md", ONWARD_PLUGIN, "cannot be loaded: ");
  refuse_library(NO_SYMBOL, ONWARD_PLUGIN, "does not export onward_plugin_init");
  assert_int_equal(chdir(ONWARD_BINARY_DIR "/tests"), 0);
  with_library("plugins/repeat.so"); /* from the current folder */
  assert_int_equal(load(one_node(repeat_node(0, 2), F32, "n")), ONWARD_OK);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------------------ */

static onward_status same(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *e) {
  (void)node, (void)e;
  return host->infer_same(c, 0, 0);
}

/* y = -x; fails for a first element of 13, spoils its output's header for 14, writes past it for 15. */
static onward_status negate(const onward_host *host, const onward_node *node, onward_call *call, void *state,
                            onward_error *e) {
  (void)node, (void)state;
  const onward_tensor *const x = host->call_input(call, 0);
  onward_tensor y = *host->call_output(call, 0);
  const float *const from = x->data;
  float *const to = y.data;
  const size_t count = x->bytes / sizeof *from;
  const float first = count ? from[0] : 0;
  for (size_t i = 0; i < count; i++)
    to[i] = -from[i];
  if (first == 13)
    return host->set_error(e, ONWARD_DATA, "%d is unlucky", 13);
  if (first == 14) {
    onward_tensor *shown;
    const onward_tensor *const output = host->call_output(call, 0);
    memcpy(&shown, &output, sizeof shown);
    shown->dims[0]++;
  }
  if (first == 15)
    to[count] = 1;
  if (first == 16)
    return ONWARD_PLUGIN;
  return ONWARD_OK;
}

static const onward_port any = {"x", 0, 0, 0};

static onward_op_desc negation(const char *domain, const char *name) {
  return (onward_op_desc){.struct_size = sizeof(onward_op_desc),
                          .abi_major = ONWARD_PLUGIN_ABI_MAJOR,
                          .abi_minor = ONWARD_PLUGIN_ABI_MINOR,
                          .domain = domain,
                          .name = name,
                          .since = 1,
                          .inputs = &any,
                          .input_count = 1,
                          .outputs = &any,
                          .output_count = 1,
                          .infer = same,
                          .run = negate};
}

/* What init registers, changed by each test. */
static onward_op_desc given;
static int registrations;

static onward_status init_given(const onward_host *host, onward_registry *registry, onward_error *e) {
  for (int i = 0; i < registrations; i++) {
    const onward_status status = host->register_op(registry, &given, e);
    if (status != ONWARD_OK)
      return status;
  }
  return ONWARD_OK;
}

static onward_status load_given(void) {
  with_init(init_given);
  registrations = registrations ? registrations : 1;
  return load(one_node(pb_node_named("n", given.domain, given.name, "x", "y"), F32, "k"));
}

static onward_status run_first(float first, onward_named_tensor *y) {
  static float x[2];
  x[0] = first;
  x[1] = 2;
  return run((onward_tensor){ONWARD_FLOAT32, 1, {2}, x, sizeof x}, y);
}

static void runs_static_and_survives_failure(void **state) {
  (void)state;
  given = negation("test", "Negate");
  assert_int_equal(load_given(), ONWARD_OK);
  onward_named_tensor y;
  assert_int_equal(run_first(13, &y), ONWARD_DATA);
  says("node #0 'n' (test Negate-1): plug-in 1 of the program: 13 is unlucky");
  assert_int_equal(run_first(14, &y), ONWARD_PLUGIN);
  says("run changed the type, shape or memory of output 0");
  assert_int_equal(run_first(16, &y), ONWARD_PLUGIN);
  says("run failed with status 11 and no text");
  assert_int_equal(run_first(1, &y), ONWARD_OK);
  assert_float_equal(((const float *)y.tensor.data)[1], -2, 0);
}

static void watches_behind_outputs(void **state) {
  (void)state;
  given = negation("test", "Negate");
  options.plugin_check = true;
  assert_int_equal(load_given(), ONWARD_OK);
  onward_named_tensor y;
  assert_int_equal(run_first(15, &y), ONWARD_PLUGIN);
  says("run wrote past the 8 bytes of output 0");
  assert_int_equal(run_first(1, &y), ONWARD_OK);
  assert_float_equal(((const float *)y.tensor.data)[0], -1, 0);
}

/* As a newer plug-in sees it: longer than ours. */
static union {
  onward_op_desc desc;
  unsigned char bytes[sizeof(onward_op_desc) + 16];
} newer;

static onward_status init_newer(const onward_host *host, onward_registry *registry, onward_error *e) {
  return host->register_op(registry, &newer.desc, e);
}

static void takes_other_sizes(void **state) {
  (void)state;
  given = negation("test", "Negate");
  given.struct_size = offsetof(onward_op_desc, run) + sizeof given.run; /* the oldest */
  given.state_size = SIZE_MAX;                                          /* behind its end: not looked at */
  assert_int_equal(load_given(), ONWARD_OK);
  onward_named_tensor y;
  assert_int_equal(run_first(1, &y), ONWARD_OK);
  (void)clean(NULL);
  model = NULL;
  session = NULL;
  memset(&newer, 0, sizeof newer);
  newer.desc = negation("test", "Negate");
  newer.desc.struct_size = sizeof newer;
  newer.desc.abi_minor++;
  with_init(init_newer);
  assert_int_equal(load(one_node(pb_node_named("n", "test", "Negate", "x", "y"), F32, "k")), ONWARD_OK);
  onward_model_free(model);
  model = NULL;
  newer.bytes[sizeof newer - 1] = 1;
  assert_int_equal(load(one_node(pb_node_named("n", "test", "Negate", "x", "y"), F32, "k")), ONWARD_PLUGIN);
  says("does not know");
}

static void refuse_given(onward_status status, const char *says_what) {
  assert_int_equal(load_given(), status);
  assert_null(model);
  says("plug-in 1 of the program: ");
  says(says_what);
}

static void refuses_descriptors(void **state) {
  (void)state;
  const onward_op_desc good = negation("test", "Negate");
  given = good, given.abi_major = 1, refuse_given(ONWARD_PLUGIN, "ABI 1.1; this Onward has 0.1");
  given = good, given.struct_size = 4, refuse_given(ONWARD_ARGUMENT, "struct_size 4");
  given = good, given.struct_size = 40, refuse_given(ONWARD_ARGUMENT, "struct_size 40");
  given = good, given.infer = NULL, refuse_given(ONWARD_ARGUMENT, "infer and run are needed");
  given = good, given.since = 0, refuse_given(ONWARD_ARGUMENT, "versions 0 to 0");
  given = good, given.output_count = 0, refuse_given(ONWARD_ARGUMENT, "no outputs");
  given = good, given.flags = 64, refuse_given(ONWARD_ARGUMENT, "unknown flags");
  given = good, given.state_size = SIZE_MAX, refuse_given(ONWARD_ARGUMENT, "a state of");
  given = good, given.domain = "onward", refuse_given(ONWARD_ARGUMENT, "Onward's own");
  const onward_inplace pair = {0, 1};
  given = good, given.inplace = &pair, given.inplace_count = 1, refuse_given(ONWARD_ARGUMENT, "in-place pair 0");
  const onward_attr graph = {"body", (onward_attr_kind)5, 0};
  given = good, given.attrs = &graph, given.attr_count = 1, refuse_given(ONWARD_ARGUMENT, "a kind 5");
  given = good, registrations = 2, refuse_given(ONWARD_PLUGIN, "test.Negate: versions from 1 and from 1 overlap");
  registrations = 1;
}

static onward_status init_fails(const onward_host *host, onward_registry *registry, onward_error *e) {
  (void)registry;
  return host->set_error(e, ONWARD_IO, "no licence");
}
static onward_status init_says_nothing(const onward_host *host, onward_registry *registry, onward_error *e) {
  (void)host, (void)registry, (void)e;
  return (onward_status)77;
}
static onward_status infer_nothing(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *e) {
  (void)host, (void)node, (void)c, (void)e;
  return ONWARD_OK;
}
static onward_status infer_string(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *e) {
  (void)node, (void)e;
  return host->infer_set(c, 0, ONWARD_STRING, 0, NULL);
}
static onward_status infer_negative(const onward_host *host, const onward_node *node, onward_infer *c,
                                    onward_error *e) {
  (void)node, (void)e;
  const onward_dim dim = onward_dim_of(-1);
  (void)host->infer_set(c, 0, ONWARD_FLOAT32, 1, &dim);
  return ONWARD_OK; /* the failure counts all the same */
}
static onward_status infer_giant(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *e) {
  (void)node, (void)e;
  const onward_dim dims[] = {onward_dim_of(INT64_MAX), onward_dim_of(INT64_MAX)};
  return host->infer_set(c, 0, ONWARD_FLOAT32, 2, dims);
}
static onward_status infer_deep(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *e) {
  (void)node, (void)e;
  return host->infer_set(c, 0, ONWARD_FLOAT32, ONWARD_MAX_RANK + 1, NULL);
}
static onward_status infer_fails(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *e) {
  (void)c;
  return host->set_error(e, ONWARD_MODEL, "'%s' has no shape", host->node_name(node));
}

static void refuses_failing_callbacks(void **state) {
  (void)state;
  pb node = pb_node_named("n", "test", "Negate", "x", "y");
  with_init(init_fails);
  assert_int_equal(load(one_node(node, F32, "k")), ONWARD_IO);
  says("plug-in 1 of the program: no licence");
  with_init(init_says_nothing);
  assert_int_equal(load(one_node(pb_node("Relu", "x", "y"), F32, "k")), ONWARD_PLUGIN);
  says("onward_plugin_init failed with status 77");
  const onward_op_desc good = negation("test", "Negate");
  const char *const place = "node #0 'n' (test Negate-1): plug-in 1 of the program: ";
  given = good, given.infer = infer_fails;
  assert_int_equal(load_given(), ONWARD_MODEL);
  says(place), says("'n' has no shape");
  given = good, given.infer = infer_nothing;
  assert_int_equal(load_given(), ONWARD_PLUGIN);
  says(place), says("of nothing");
  given = good, given.infer = infer_string;
  assert_int_equal(load_given(), ONWARD_PLUGIN);
  says(place), says("the type string, which its descriptor does not list");
  given = good, given.infer = infer_negative;
  assert_int_equal(load_given(), ONWARD_MODEL);
  says(place), says("would be -1");
  given = good, given.infer = infer_deep;
  assert_int_equal(load_given(), ONWARD_LIMIT);
  says(place), says("rank 13");
  given = good, given.infer = infer_giant;
  onward_named_tensor y;
  if (load_given() == ONWARD_OK) /* symbolic products may overflow quietly: the run says it then */
    assert_int_not_equal(run_first(1, &y), ONWARD_OK);
  says("test Negate-1");
}

/* ---- overriding --------------------------------------------------------------------------------------------------------------- */

static void overrides_only_when_asked(void **state) {
  (void)state;
  given = negation("ai.onnx", "Relu");
  with_init(init_given);
  registrations = 1;
  const pb relu = pb_node("Relu", "x", "y");
  assert_int_equal(load(one_node(relu, F32, "k")), ONWARD_PLUGIN);
  says("operator ai.onnx.Relu-");
  says("is built in");
  options.plugin_override = true;
  assert_int_equal(load(one_node(pb_node("Relu", "x", "y"), F32, "k")), ONWARD_OK);
  onward_named_tensor y;
  assert_int_equal(run_first(5, &y), ONWARD_OK);
  assert_float_equal(((const float *)y.tensor.data)[0], -5, 0);
}

static void keeps_its_domain(void **state) {
  (void)state;
  assert_int_equal(load(one_node(pb_node_named("n", "onward", "Linear", "x", "y"), F32, "k")), ONWARD_MODEL);
  says("the domain 'onward' is Onward's own");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, clean)
  const struct CMUnitTest tests[] = {
      TEST(repeats),
      TEST(repeats_halves),
      TEST(names_operator_and_library),
      TEST(stands_between_fusions),
      TEST(reads_one_input_twice),
      TEST(refuses_libraries),
      TEST(refuses_foreign_libraries),
      TEST(refuses_the_same_operator_of_two_libraries),
      TEST(no_model_names_a_library),
      TEST(runs_static_and_survives_failure),
      TEST(watches_behind_outputs),
      TEST(takes_other_sizes),
      TEST(refuses_descriptors),
      TEST(refuses_failing_callbacks),
      TEST(overrides_only_when_asked),
      TEST(keeps_its_domain),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
