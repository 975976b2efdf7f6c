/* Everything a plug-in can call, called by one: each callback says itself what it finds wrong. Values by hand. */
#include "abi/plugin_fixture.h"

#define WANT(condition)                                                                \
  do {                                                                                 \
    if (!(condition))                                                                  \
      return host->set_error(e, ONWARD_INTERNAL, "line %d: %s", __LINE__, #condition); \
  } while (0)

enum { X, NUMBERS, LEFT_OUT, LAST }; /* inputs of Probe */

static int tag, prepared, destroyed;
static bool prepare_fails;
static onward_registry *kept; /* used after its time */
static char logged[64];

static onward_status check_attributes(const onward_host *host, const onward_node *node, onward_error *e) {
  size_t count = 9;
  onward_tensor t;
  onward_dtype dtype;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
  WANT(host->attr_int(node, "i", 0) == -7 && host->attr_int(node, "none", 5) == 5);
  WANT(host->attr_float(node, "f", 0) == 1.5f && host->attr_float(node, "none", 2) == 2);
  WANT(strcmp(host->attr_string(node, "s", "no"), "text") == 0 &&
       strcmp(host->attr_string(node, "none", "no"), "no") == 0);
  const int64_t *const ints = host->attr_ints(node, "is", &count);
  WANT(count == 3 && ints[0] == 1 && ints[2] == INT64_MIN);
  WANT(!host->attr_ints(node, "none", &count) && count == 0);
  const float *const floats = host->attr_floats(node, "fs", &count);
  WANT(count == 2 && floats[0] == 0.5f && floats[1] == -1);
  WANT(!host->attr_floats(node, "none", &count) && count == 0);
  const char *const *const strings = host->attr_strings(node, "ss", &count);
  WANT(count == 2 && strcmp(strings[0], "a") == 0 && strcmp(strings[1], "") == 0);
  WANT(!host->attr_strings(node, "none", &count) && count == 0);
  WANT(host->attr_tensor(node, "t", 0, &t) && t.dtype == ONWARD_FLOAT32 && t.rank == 1 && t.dims[0] == 2 &&
       t.bytes == 8);
  float second;
  memcpy(&second, (const char *)t.data + 4, sizeof second);
  WANT(second == 4);
  WANT(!host->attr_tensor(node, "t", 1, &t) && !host->attr_tensor(node, "none", 0, &t));
  WANT(host->attr_tensor(node, "ts", 1, &t) && t.rank == 0 && !host->attr_tensor(node, "ts", 2, &t));
  WANT(host->attr_type(node, "tp", &dtype, &rank, dims) && dtype == ONWARD_INT64 && rank == 2 && dims[0] == 3 &&
       dims[1] == -1);
  WANT(!host->attr_type(node, "none", &dtype, &rank, dims));
  return ONWARD_OK;
}

static bool is_dim(onward_dim dim, int64_t value) { return onward_dim_is_number(dim) && dim.value == value; }

static onward_status check_dims(const onward_host *host, onward_infer *c, onward_error *e) {
  const onward_dim seven = onward_dim_of(7), two = onward_dim_of(2), open = onward_dim_unknown();
  WANT(is_dim(host->dim_calc(c, ONWARD_DIM_ADD, seven, two), 9));
  WANT(is_dim(host->dim_calc(c, ONWARD_DIM_SUB, seven, two), 5));
  WANT(is_dim(host->dim_calc(c, ONWARD_DIM_MUL, seven, two), 14));
  WANT(is_dim(host->dim_calc(c, ONWARD_DIM_FLOOR_DIV, seven, two), 3));
  WANT(is_dim(host->dim_calc(c, ONWARD_DIM_FLOOR_DIV, onward_dim_of(-7), two), -4));
  WANT(is_dim(host->dim_calc(c, ONWARD_DIM_MOD, seven, two), 1));
  WANT(is_dim(host->dim_calc(c, ONWARD_DIM_MOD, onward_dim_of(-7), two), 1));
  WANT(is_dim(host->dim_calc(c, ONWARD_DIM_MIN, seven, two), 2));
  WANT(is_dim(host->dim_calc(c, ONWARD_DIM_MAX, seven, two), 7));
  WANT(!onward_dim_is_number(host->dim_calc(c, ONWARD_DIM_FLOOR_DIV, seven, onward_dim_of(0))));
  WANT(!onward_dim_is_number(host->dim_calc(c, ONWARD_DIM_ADD, seven, open)));
  WANT(!onward_dim_is_number(host->dim_calc(c, (onward_dim_op)99, seven, two)));
  WANT(!onward_dim_is_number(host->dim_calc(c, ONWARD_DIM_MUL, onward_dim_of(INT64_MAX), two)));
  const onward_dim column[] = {two, onward_dim_of(1)}, row[] = {seven};
  onward_dim both[ONWARD_MAX_RANK];
  int32_t rank = 0;
  WANT(host->infer_broadcast(c, 2, column, 1, row, &rank, both) == ONWARD_OK && rank == 2);
  WANT(is_dim(both[0], 2) && is_dim(both[1], 7));
  WANT(host->infer_broadcast(c, -1, NULL, 1, row, &rank, both) == ONWARD_OK && rank == -1);
  int64_t axis = -1;
  WANT(host->infer_axis(c, 3, &axis) == ONWARD_OK && axis == 2);
  WANT(host->infer_equal(c, seven, seven, "numbers") == ONWARD_OK);
  return ONWARD_OK;
}

static onward_status probe_infer(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *e) {
  int64_t numbers[2] = {0, 0};
  WANT(strcmp(host->node_name(node), "probe") == 0 && host->node_version(node) == 1 && host->node_user(node) == &tag);
  WANT(host->node_input_count(node) == 4 && host->node_output_count(node) == 1);
  WANT(host->infer_dtype(c, X) == ONWARD_FLOAT32 && host->infer_dtype(c, LEFT_OUT) == ONWARD_UNDEFINED);
  WANT(host->infer_dtype(c, 99) == ONWARD_UNDEFINED);
  WANT(host->infer_rank(c, X) == 1 && host->infer_rank(c, LEFT_OUT) == -1 && host->infer_rank(c, 99) == -1);
  WANT(host->infer_dim(c, X, 0).expression >= 0 && host->infer_dim(c, X, 1).expression == -1);
  WANT(is_dim(host->infer_dim(c, NUMBERS, 0), 2));
  WANT(host->infer_ints(c, NUMBERS, numbers, 2) == 2 && numbers[0] == 5 && numbers[1] == -6);
  WANT(host->infer_ints(c, NUMBERS, numbers, 1) == -1 && host->infer_ints(c, LEFT_OUT, numbers, 2) == -1);
  const onward_status status = check_attributes(host, node, e);
  if (status != ONWARD_OK)
    return status;
  const onward_status dims = check_dims(host, c, e);
  return dims == ONWARD_OK ? host->infer_same(c, 0, X) : dims;
}

static onward_status probe_prepare(const onward_host *host, const onward_node *node, const onward_call *call,
                                   void *state, size_t *workspace, onward_error *e) {
  (void)node;
  prepared++;
  if (prepare_fails)
    return host->set_error(e, ONWARD_MEMORY, "no room");
  WANT(*workspace == 0 && (uintptr_t)state % 16 == 0 && *(int *)state == 0);
  WANT(host->call_constant(call, NUMBERS) && !host->call_constant(call, X) && !host->call_constant(call, LEFT_OUT));
  WANT(host->call_input(call, NUMBERS)->data && ((const int64_t *)host->call_input(call, NUMBERS)->data)[1] == -6);
  WANT(!host->call_input(call, X)->data && host->call_input(call, X)->rank == 1);
  WANT(!host->call_input(call, LEFT_OUT) && !host->call_input(call, 99) && !host->call_output(call, 99));
  WANT(host->call_output(call, 0)->bytes == host->call_input(call, X)->bytes);
  WANT(host->thread_count(call) >= 1);
  *(int *)state = 41;
  *workspace = 1000;
  return ONWARD_OK;
}

static void probe_destroy(const onward_host *host, void *state) {
  (void)host, (void)state;
  destroyed++;
}

static void count_range(void *context, int64_t from, int64_t to) {
  unsigned char *const seen = context;
  for (int64_t i = from; i < to; i++)
    seen[i]++;
}

static onward_status probe_run(const onward_host *host, const onward_node *node, onward_call *call, void *state,
                               onward_error *e) {
  static const onward_op_desc nothing;
  unsigned char *const seen = host->call_workspace(call);
  (void)node;
  WANT(*(int *)state == 41);
  *(int *)state = 41;
  WANT((uintptr_t)seen % 64 == 0);
  memset(seen, 0, 1000);
  host->parallel_for(call, 1000, 7, count_range, seen);
  host->parallel_for(call, 0, 7, count_range, NULL);
  host->parallel_for(call, 1000, -1, count_range, seen);
  for (int i = 0; i < 1000; i++)
    WANT(seen[i] == 2);
  void *const memory = host->alloc(host, 100);
  WANT(memory && (uintptr_t)memory % 64 == 0);
  memset(memory, 1, 100);
  host->free(host, memory);
  host->free(host, NULL);
  WANT(!host->alloc(host, SIZE_MAX - 8));
  host->log(host, ONWARD_LOG_INFO, "probed");
  onward_error late = {ONWARD_OK, ""};
  WANT(host->register_op(kept, &nothing, &late) == ONWARD_ARGUMENT && strstr(late.message, "onward_plugin_init only"));
  WANT(host->set_error(&late, (onward_status)99, "%s", "x") == ONWARD_PLUGIN);
  const float *const x = host->call_input(call, X)->data, *const last = host->call_input(call, LAST)->data;
  const onward_tensor *const y = host->call_output(call, 0);
  for (size_t i = 0; i < y->bytes / sizeof *x; i++)
    ((float *)y->data)[i] = x[i] + last[0];
  return ONWARD_OK;
}

static onward_status probe_init(const onward_host *host, onward_registry *registry, onward_error *e) {
  const uint64_t f32 = ONWARD_TYPE_BIT(ONWARD_FLOAT32);
  const onward_port inputs[] = {{"x", f32, 0, 0},
                                {"numbers", ONWARD_TYPE_BIT(ONWARD_INT64), 0, 0},
                                {"more", f32, ONWARD_PORT_OPTIONAL | ONWARD_PORT_VARIADIC, 0}};
  const onward_port outputs[] = {{"y", f32, 0, 0}, {"z", f32, ONWARD_PORT_OPTIONAL, 0}};
  const onward_attr attrs[] = {
      {"i", ONWARD_ATTR_INT, 1},      {"f", ONWARD_ATTR_FLOAT, 0},    {"s", ONWARD_ATTR_STRING, 0},
      {"t", ONWARD_ATTR_TENSOR, 0},   {"is", ONWARD_ATTR_INTS, 0},    {"fs", ONWARD_ATTR_FLOATS, 0},
      {"ss", ONWARD_ATTR_STRINGS, 0}, {"ts", ONWARD_ATTR_TENSORS, 0}, {"tp", ONWARD_ATTR_TYPE, 0}};
  const onward_op_desc probe = {.struct_size = sizeof probe,
                                .abi_major = host->abi_major,
                                .abi_minor = host->abi_minor,
                                .domain = "test",
                                .name = "Probe",
                                .since = 1,
                                .inputs = inputs,
                                .input_count = 3,
                                .outputs = outputs,
                                .output_count = 2,
                                .attrs = attrs,
                                .attr_count = 9,
                                .user = &tag,
                                .infer = probe_infer,
                                .run = probe_run,
                                .state_size = sizeof(int),
                                .prepare = probe_prepare,
                                .destroy = probe_destroy};
  WANT(host->struct_size >= sizeof *host && ONWARD_HOST_HAS(host, parallel_for));
  WANT(host->abi_major == ONWARD_PLUGIN_ABI_MAJOR && strcmp(host->version, onward_version()) == 0);
  kept = registry;
  return host->register_op(registry, &probe, e);
}

/* ---- models that use it ---------------------------------------------------------------------------------------------------- */

enum { A_FLOAT = 2, A_TENSOR = 5, A_FLOATS = 7, A_INTS, A_STRINGS, A_TENSORS, A_TYPE = 14, A_KIND = 20 };

static pb attr(const char *name, int kind) {
  pb a = {0};
  pb_text(&a, 1, name);
  pb_int(&a, A_KIND, kind);
  return a;
}

static pb probe_graph(void) {
  const int64_t two[] = {2}, numbers[] = {5, -6};
  const float pair[] = {3, 4}, ten = 10;
  pb node = pb_node_named("probe", "test", "Probe", "x numbers - last", "y"), type = {0}, tensor = {0}, shape = {0},
     dim = {0}, open = {0};
  pb ints = attr("is", ONWARD_ATTR_INTS), floats = attr("fs", ONWARD_ATTR_FLOATS),
     strings = attr("ss", ONWARD_ATTR_STRINGS), tensors = attr("ts", ONWARD_ATTR_TENSORS),
     types = attr("tp", ONWARD_ATTR_TYPE);
  pb_attr(&node, pb_attr_int("i", -7));
  pb_attr(&node, pb_attr_float("f", 1.5f));
  pb_attr(&node, pb_attr_text("s", "text"));
  pb_attr(&node, pb_attr_tensor("t", pb_tensor_raw("", F32, two, 1, pair, sizeof pair)));
  pb_int(&ints, A_INTS, 1), pb_int(&ints, A_INTS, 0), pb_int(&ints, A_INTS, INT64_MIN);
  pb_float(&floats, A_FLOATS, 0.5f), pb_float(&floats, A_FLOATS, -1);
  pb_text(&strings, A_STRINGS, "a"), pb_text(&strings, A_STRINGS, "");
  for (int i = 0; i < 2; i++)
    pb_message(&tensors, A_TENSORS, pb_tensor_raw("", F32, NULL, 0, &ten, sizeof ten));
  pb_int(&dim, 1, 3), pb_text(&open, 2, "n");
  pb_message(&shape, 1, dim), pb_message(&shape, 1, open);
  pb_int(&tensor, 1, ONWARD_INT64);
  pb_message(&tensor, 2, shape);
  pb_message(&type, 1, tensor);
  pb_message(&types, A_TYPE, type);
  pb_attr(&node, ints), pb_attr(&node, floats), pb_attr(&node, strings), pb_attr(&node, tensors), pb_attr(&node, types);
  pb g = one_node(node, F32, "n");
  pb_message(&g, INITIALIZER, pb_tensor_raw("numbers", ONWARD_INT64, two, 1, numbers, sizeof numbers));
  pb_message(&g, INITIALIZER, pb_tensor_raw("last", F32, NULL, 0, &ten, sizeof ten));
  return g;
}

static void keep_log(void *context, onward_log_level level, const char *text) {
  (void)context;
  if (level == ONWARD_LOG_INFO)
    (void)snprintf(logged, sizeof logged, "%s", text);
}

static void offers_everything(void **state) {
  (void)state;
  with_init(probe_init);
  options.log = keep_log;
  prepared = destroyed = 0;
  prepare_fails = false;
  if (load(probe_graph()) != ONWARD_OK)
    fail_msg("%s", err.message);
  for (int64_t n = 1; n <= 3; n++) {
    float x[] = {1, 2, 3};
    onward_named_tensor y;
    if (run((onward_tensor){ONWARD_FLOAT32, 1, {n}, x, (size_t)n * sizeof *x}, &y) != ONWARD_OK)
      fail_msg("%s", err.message);
    assert_float_equal(((const float *)y.tensor.data)[n - 1], 10 + (float)n, 0);
  }
  assert_string_equal(logged, "probed");
  assert_true(prepared >= 1);
  (void)clean(NULL);
  model = NULL;
  session = NULL;
  assert_int_equal(prepared, destroyed);
}

static void destroys_after_failed_prepare(void **state) {
  (void)state;
  with_init(probe_init);
  prepared = destroyed = 0;
  prepare_fails = true;
  if (load(probe_graph()) != ONWARD_OK)
    fail_msg("%s", err.message);
  float x[] = {1};
  onward_named_tensor y;
  assert_int_equal(run((onward_tensor){ONWARD_FLOAT32, 1, {1}, x, sizeof x}, &y), ONWARD_MEMORY);
  says("node #0 'probe' (test Probe-1): plug-in 1 of the program: no room");
  assert_true(prepared >= 1);
  assert_int_equal(prepared, destroyed);
  prepare_fails = false;
  assert_int_equal(run((onward_tensor){ONWARD_FLOAT32, 1, {1}, x, sizeof x}, &y), ONWARD_OK); /* usable again */
}

static void asks_for_required_attributes(void **state) {
  (void)state;
  with_init(probe_init);
  assert_int_not_equal(load(one_node(pb_node_named("n", "test", "Probe", "x x", "y"), F32, "n")), ONWARD_OK);
  says("'i'");
}

/* ---- plug-ins that change their mind, and one that writes past its workspace ------------------------------------------------- */

static int mood; /* what `moody` does */

static onward_status moody_infer(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *e) {
  (void)node, (void)e;
  const onward_dim n = host->infer_dim(c, 0, 0), more = host->dim_calc(c, ONWARD_DIM_ADD, n, onward_dim_of(1));
  const onward_dim square[] = {n, n};
  if (!onward_dim_is_number(n) || mood == 0 || mood == 4)
    return host->infer_set(c, 0, ONWARD_FLOAT32, 1, &n);
  if (mood == 1)
    return host->infer_set(c, 0, ONWARD_FLOAT16, 1, &n);
  return mood == 2 ? host->infer_set(c, 0, ONWARD_FLOAT32, 2, square) : host->infer_set(c, 0, ONWARD_FLOAT32, 1, &more);
}

static onward_status moody_prepare(const onward_host *host, const onward_node *node, const onward_call *call,
                                   void *state, size_t *workspace, onward_error *e) {
  (void)host, (void)node, (void)call, (void)state, (void)e;
  *workspace = 8;
  return ONWARD_OK;
}

static onward_status moody_run(const onward_host *host, const onward_node *node, onward_call *call, void *state,
                               onward_error *e) {
  (void)node, (void)state, (void)e;
  memset(host->call_output(call, 0)->data, 0, host->call_output(call, 0)->bytes);
  memset(host->call_workspace(call), 0, mood == 4 ? 9 : 8);
  return ONWARD_OK;
}

static onward_status moody_init(const onward_host *host, onward_registry *registry, onward_error *e) {
  static const onward_port any = {"x", 0, 0, 0};
  const onward_op_desc desc = {.struct_size = sizeof desc,
                               .domain = "test",
                               .name = "Moody",
                               .since = 1,
                               .inputs = &any,
                               .input_count = 1,
                               .outputs = &any,
                               .output_count = 1,
                               .infer = moody_infer,
                               .run = moody_run,
                               .prepare = moody_prepare};
  return host->register_op(registry, &desc, e);
}

static onward_status run_moody(int which, const char *then) {
  with_init(moody_init);
  mood = which;
  pb g = {0};
  pb_message(&g, NODE, pb_node_named("odd", "test", "Moody", "x", "a"));
  pb_message(&g, NODE, pb_node(then, "a x", "y"));
  pb_message(&g, INPUT, pb_value("x", F32, "n"));
  pb_message(&g, OUTPUT, pb_value("y", F32, "n"));
  if (load(g) != ONWARD_OK)
    fail_msg("%s", err.message);
  float x[] = {1, 2, 3};
  onward_named_tensor y;
  const onward_status status = run((onward_tensor){ONWARD_FLOAT32, 1, {3}, x, sizeof x}, &y);
  (void)clean(NULL);
  model = NULL;
  session = NULL;
  return status;
}

static void survives_changes_of_mind(void **state) {
  (void)state;
  assert_int_equal(run_moody(0, "Add"), ONWARD_OK);
  assert_int_equal(run_moody(1, "Add"), ONWARD_PLUGIN);
  says(
      "node #0 'odd' (test Moody-1): plug-in 1 of the program: infer gives output 0 the type float16 of rank 1, and "
      "gave float32 of "
      "rank 1 before");
  assert_int_equal(run_moody(2, "Add"), ONWARD_PLUGIN);
  says("the type float32 of rank 2, and gave float32 of rank 1 before");
  assert_int_equal(run_moody(3, "Add"),
                   ONWARD_MODEL); /* a shape that follows none of the names: what comes after says it */
  says("[4] and [3]");
}

static void watches_behind_workspaces(void **state) {
  (void)state;
  options.plugin_check = true;
  assert_int_equal(run_moody(0, "Add"), ONWARD_OK);
  assert_int_equal(run_moody(4, "Add"), ONWARD_PLUGIN);
  says("node #0 'odd' (test Moody-1): plug-in 1 of the program: run wrote past the 8 bytes of its workspace");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, clean)
  const struct CMUnitTest tests[] = {
      TEST(offers_everything),        TEST(destroys_after_failed_prepare), TEST(asks_for_required_attributes),
      TEST(survives_changes_of_mind), TEST(watches_behind_workspaces),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
