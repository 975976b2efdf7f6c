/* Descriptors of plug-ins, and what their callbacks do, from bytes: registered by the program, a model that uses the operator is
 * loaded, planned and run. What a descriptor and a callback say is never believed; what they write where they may not is not
 * tried, but for what plugin_check watches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "onward/onward.h"
#include "onward/plugin.h"
#include "unit/onnx_bytes.h"

enum { FEW = 4, BIG = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct script {
  const uint8_t *at, *end;
} script;

static uint8_t byte(script *s) { return s->at < s->end ? *s->at++ : 0; }

static int64_t number(script *s) {
  static const int64_t odd[] = {0, 1, -1, 2, 3, 255, 65536, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1LL << 32};
  const uint8_t b = byte(s);
  return b < 200 ? b % 8 : odd[b % (sizeof odd / sizeof *odd)];
}

static const char *name(script *s) {
  static char long_name[300];
  memset(long_name, 'n', sizeof long_name - 1);
  static const char *const names[] = {"x", "y", "axis", "alpha", "Op", "test", "a b", "\x1b[2J\n"};
  const uint8_t b = byte(s);
  if (b < 220)
    return names[b % 8];
  return b < 230 ? NULL : b < 240 ? "" : b < 250 ? long_name : "\xff\xfe";
}

/* ---- callbacks: each call reads the script that the descriptor was given, from its start -------------------------------------- */

typedef struct behaviour {
  script infer, prepare, run;
  bool check;
  long prepared, destroyed;
} behaviour;

static behaviour *of(const onward_host *host, const onward_node *node) { return host->node_user(node); }

static onward_status answer(const onward_host *host, script *s, onward_error *err) {
  const uint8_t b = byte(s);
  if (b < 200)
    return ONWARD_OK;
  if (b < 220)
    return host->set_error(err, (onward_status)number(s), "%s %d", "the script says so", (int)b);
  if (b < 230)
    memset(err->message, 'm', sizeof err->message); /* no end */
  return (onward_status)number(s);
}

static onward_dim dim(const onward_host *host, script *s, onward_infer *c) {
  const uint8_t b = byte(s);
  switch (b % 5) {
    case 0: return onward_dim_of(number(s));
    case 1: return onward_dim_unknown();
    case 2: return host->infer_dim(c, byte(s) % FEW, (int32_t)number(s));
    default: break;
  }
  const onward_dim one = host->infer_dim(c, 0, byte(s) % 3), two = host->infer_dim(c, 1, byte(s) % 3);
  return host->dim_calc(c, (onward_dim_op)(byte(s) % 9), one, b % 5 == 3 ? two : onward_dim_of(number(s)));
}

static void look(const onward_host *host, const onward_node *node, script *s) {
  size_t count;
  int32_t rank;
  int64_t dims[ONWARD_MAX_RANK];
  onward_dtype dtype;
  onward_tensor tensor;
  const char *const attribute = byte(s) % 2 ? "axis" : "alpha";
  (void)host->attr_int(node, attribute, 1);
  (void)host->attr_float(node, attribute, 1);
  const char *const text = host->attr_string(node, attribute, "");
  if (strlen(text) + strlen(host->node_name(node)) > BIG)
    abort();
  (void)host->attr_ints(node, attribute, &count);
  (void)host->attr_floats(node, attribute, &count);
  (void)host->attr_strings(node, attribute, &count);
  (void)host->attr_tensor(node, attribute, (size_t)number(s), &tensor);
  (void)host->attr_type(node, attribute, &dtype, &rank, dims);
}

static onward_status infer(const onward_host *host, const onward_node *node, onward_infer *c, onward_error *err) {
  script s = of(host, node)->infer;
  onward_dim dims[ONWARD_MAX_RANK], other[ONWARD_MAX_RANK];
  const uint8_t steps = byte(&s);
  if (steps < 96) { /* what most operators do: most cases shall reach a run */
    for (size_t o = 0; o < host->node_output_count(node); o++)
      (void)host->infer_same(c, o, 0);
    return ONWARD_OK;
  }
  for (unsigned n = 0; n < steps % 6u; n++) {
    const size_t output = byte(&s) % FEW, input = byte(&s) % FEW;
    int32_t rank = byte(&s) % 4;
    int64_t value = number(&s), values[FEW];
    for (int32_t d = 0; d < 3; d++) {
      dims[d] = dim(host, &s, c);
      other[d] = dim(host, &s, c);
    }
    switch (byte(&s) % 8) {
      case 0: (void)host->infer_same(c, output, input); break;
      case 1: (void)host->infer_set(c, output, (onward_dtype)number(&s), rank - 1, dims); break;
      case 2: (void)host->infer_set(c, output, host->infer_dtype(c, input), rank, dims); break;
      case 3: (void)host->infer_axis(c, host->infer_rank(c, input), &value); break;
      case 4: (void)host->infer_equal(c, dims[0], dims[1], byte(&s) % 2 ? "rows" : NULL); break;
      case 5:
        if (host->infer_broadcast(c, rank - 1, dims, byte(&s) % 4 - 1, other, &rank, dims) == ONWARD_OK)
          (void)host->infer_set(c, output, ONWARD_FLOAT32, rank, dims);
        break;
      case 6: (void)host->infer_ints(c, input, values, byte(&s) % (FEW + 1)); break;
      default: look(host, node, &s); break;
    }
  }
  return answer(host, &s, err);
}

static onward_status prepare(const onward_host *host, const onward_node *node, const onward_call *call, void *state,
                             size_t *workspace, onward_error *err) {
  behaviour *const b = of(host, node);
  script s = b->prepare;
  memcpy(state, &b, sizeof b); /* desc.state_size is at least that */
  b->prepared++;
  (void)host->call_constant(call, byte(&s) % FEW);
  *workspace = (size_t)number(&s);
  look(host, node, &s);
  return answer(host, &s, err);
}

static void destroy(const onward_host *host, void *state) {
  (void)host;
  behaviour *b;
  memcpy(&b, state, sizeof b);
  b->destroyed++;
}

typedef struct filling {
  uint8_t *bytes;
  uint8_t value;
} filling;

static void fill(void *context, int64_t from, int64_t to) {
  const filling *const f = context;
  memset(f->bytes + from, f->value, (size_t)(to - from));
}

static onward_status run(const onward_host *host, const onward_node *node, onward_call *call, void *state,
                         onward_error *err) {
  (void)state;
  behaviour *const b = of(host, node);
  script s = b->run;
  unsigned sum = 0;
  for (size_t i = 0; i < FEW; i++) {
    const onward_tensor *const x = host->call_input(call, i);
    for (size_t n = 0; x && n < x->bytes; n++)
      sum += ((const uint8_t *)x->data)[n];
  }
  for (size_t o = 0; o < FEW; o++) {
    const onward_tensor *const y = host->call_output(call, o);
    if (!y)
      continue;
    filling f = {y->data, (uint8_t)sum};
    if (y->bytes)
      host->parallel_for(call, (int64_t)y->bytes, number(&s), fill, &f);
    onward_tensor *shown; /* its header is not const in truth */
    memcpy(&shown, &y, sizeof shown);
    switch (byte(&s)) {
      case 200: shown->dims[0]++; break;
      case 201: shown->rank = (int32_t)number(&s); break;
      case 202: shown->dtype = (onward_dtype)number(&s); break;
      case 203: shown->bytes++; break;
      case 204: shown->data = &sum; break;
      case 205:
        if (b->check)
          f.bytes[y->bytes] = 1;
        break;
      default: break;
    }
  }
  if (host->call_workspace(call) && (size_t)number(&s) < 8)
    *(uint8_t *)host->call_workspace(call) = 1; /* at least a byte is there */
  look(host, node, &s);
  return answer(host, &s, err);
}

/* ---- descriptors ----------------------------------------------------------------------------------------------------------- */

static behaviour given;
static script descriptors;

static const onward_port *ports(script *s, onward_port list[FEW], uint32_t *count) {
  for (int i = 0; i < FEW; i++) {
    const uint8_t b = byte(s);
    list[i] = (onward_port){.name = name(s),
                            .dtypes = b < 200 ? 0 : (uint64_t)number(s) << b % 32,
                            .flags = b < 128 ? 0 : (uint32_t)byte(s) % (b < 240 ? 4 : 8),
                            .reserved = b == 255};
  }
  *count = 1 + byte(s) % 2u;
  const uint8_t b = byte(s);
  if (b >= 224)
    *count = b < 240 ? b % (FEW + 1) : b < 248 ? 65 : UINT32_MAX;
  /* A count above what is there is refused before the list is read, but NULL has to be seen. */
  return b == 255 || (*count > FEW && *count <= 64) ? NULL : list;
}

/* Memory that ends where struct_size says, when that is the size of a descriptor. */
static onward_status register_one(const onward_host *host, onward_registry *registry, script *s, onward_error *err) {
  onward_port inputs[FEW], outputs[FEW];
  onward_attr attrs[FEW];
  onward_inplace inplace[FEW];
  uint32_t input_count, output_count;
  const onward_port *const in = ports(s, inputs, &input_count), *const out = ports(s, outputs, &output_count);
  for (int i = 0; i < FEW; i++) {
    attrs[i] = (onward_attr){name(s), (onward_attr_kind)number(s), byte(s) > 200};
    inplace[i] = (onward_inplace){(uint32_t)number(s) % 4, (uint32_t)number(s)};
  }
  attrs[0].name = byte(s) < 240 ? "axis" : attrs[0].name;
  attrs[1].name = byte(s) < 240 ? "alpha" : attrs[1].name;
  const uint8_t odd = byte(s), versions = byte(s);
  onward_op_desc desc = {.abi_major = ONWARD_PLUGIN_ABI_MAJOR,
                         .abi_minor = ONWARD_PLUGIN_ABI_MINOR,
                         .domain = "test",
                         .name = "Op",
                         .since = 1,
                         .inputs = in,
                         .input_count = input_count,
                         .outputs = out,
                         .output_count = output_count,
                         .attrs = attrs,
                         .attr_count = byte(s) % (FEW + 1),
                         .inplace = inplace,
                         .inplace_count = byte(s) % 3,
                         .user = &given,
                         .infer = infer,
                         .run = run,
                         .state_size = sizeof(behaviour *) + byte(s)};
  if (byte(s) % 2) {
    desc.prepare = prepare;
    desc.destroy = destroy;
  }
  if (versions >= 200) {
    desc.since = (int32_t)number(s);
    desc.until = (int32_t)number(s);
  }
  size_t length = sizeof desc;
  switch (odd) {
    case 200: desc.abi_major = (uint32_t)number(s); break;
    case 201: desc.abi_minor = (uint32_t)number(s); break;
    case 202: desc.domain = name(s); break;
    case 203: desc.name = name(s); break;
    case 204:
      desc.domain = byte(s) % 2 ? "" : "ai.onnx";
      desc.name = "Relu";
      break;
    case 205: desc.domain = "onward"; break;
    case 206: desc.infer = NULL; break;
    case 207: desc.run = NULL; break;
    case 208: desc.flags = (uint32_t)number(s); break;
    case 209: desc.reserved = 1; break;
    case 210: desc.state_size = SIZE_MAX - byte(s); break;
    case 211: desc.attrs = NULL; break;
    case 212: desc.attr_count = UINT32_MAX; break;
    case 213: desc.inplace = NULL; break;
    case 214: desc.inplace_count = UINT32_MAX; break;
    case 215: length = sizeof desc + byte(s); break;
    case 216: length = byte(s) % sizeof desc; break;
    case 217: return host->register_op(registry, NULL, err);
    default: break;
  }
  if (desc.state_size < sizeof(behaviour *) || length < offsetof(onward_op_desc, destroy) + sizeof desc.destroy)
    desc.prepare = NULL, desc.destroy = NULL;
  uint8_t *const memory = calloc(1, length < sizeof(size_t) ? sizeof(size_t) : length);
  if (!memory)
    abort();
  desc.struct_size = odd == 218 ? (size_t)number(s) % 8 : odd == 219 ? SIZE_MAX : length;
  memcpy(memory, &desc, length < sizeof(size_t) ? sizeof(size_t) : length < sizeof desc ? length : sizeof desc);
  if (length > sizeof desc && byte(s) % 2)
    memory[length - 1] = 1;
  const onward_status status = host->register_op(registry, (const onward_op_desc *)(const void *)memory, err);
  free(memory);
  return status;
}

static onward_status init(const onward_host *host, onward_registry *registry, onward_error *err) {
  onward_error local = {ONWARD_OK, ""};
  const uint8_t count = byte(&descriptors);
  for (unsigned i = 0; i <= count % 3u; i++) {
    const onward_status status = register_one(host, registry, &descriptors, count < 200 ? err : &local);
    if (status != ONWARD_OK && count < 200)
      return status;
  }
  return answer(host, &descriptors, err);
}

/* ---- the model ----------------------------------------------------------------------------------------------------------------- */

static pb make_model(script *s) {
  static const char *const in[] = {"x", "x w", "r w", "r", "w", "x - w", "x w x w", "r r"};
  static const char *const out[] = {"y", "y z", "- y", "y z u v"};
  pb graph = {0};
  pb node = pb_node_named("node", byte(s) < 224 ? "test" : "", byte(s) < 224 ? "Op" : "Relu", in[byte(s) % 8],
                          out[byte(s) % 4]);
  const uint8_t with = byte(s);
  if (with % 8 == 1)
    pb_attr(&node, pb_attr_int("axis", number(s)));
  if (with % 8 == 2)
    pb_attr(&node, pb_attr_float("alpha", 0.5F));
  if (with % 8 == 3)
    pb_attr(&node, pb_attr_text("axis", "text"));
  if (with % 8 == 4)
    pb_attr(&node, pb_attr_tensor("alpha", pb_tensor_raw("", 1, (const int64_t[]){1}, 1, "\0\0\0\0", 4)));
  pb_message(&graph, 1, pb_node("Neg", "x", "r"));
  pb_message(&graph, 1, node);
  pb_message(&graph, 1, pb_node("Neg", "y", "o"));
  const int32_t dtype = with < 224 ? 1 : 6;
  pb_message(&graph, 5, pb_tensor_raw("w", dtype, (const int64_t[]){2}, 1, "\1\0\0\0\2\0\0\0", 8));
  pb_message(&graph, 11, pb_value("x", dtype, with % 3 ? "n 2" : "2 2"));
  pb_message(&graph, 12, pb_value("o", 1, "?"));
  if (with % 5 == 0)
    pb_message(&graph, 12, pb_value("y", 1, "?"));
  pb model = pb_model(graph);
  pb_message(&model, 8, pb_opset("test", 1));
  return model;
}

static void expect(onward_status status, const onward_error *err) {
  const size_t length = strnlen(err->message, sizeof err->message);
  if (status != ONWARD_OK && (err->status != status || length == 0 || length == sizeof err->message))
    abort();
}

static void run_twice(const onward_model *model, onward_session *session, int64_t rows) {
  static float x[16];
  onward_value_info info;
  onward_named_tensor out[2] = {{0}}, in = {.name = "x"};
  if (onward_model_input(model, 0, &info, NULL) != ONWARD_OK)
    abort();
  in.tensor = (onward_tensor){info.dtype, 2, {info.dims[0] < 0 ? rows : 2, 2}, x, 0};
  if (onward_tensor_bytes(in.tensor.dtype, 2, in.tensor.dims, &in.tensor.bytes, NULL) != ONWARD_OK)
    abort();
  const size_t outputs = onward_model_output_count(model);
  for (size_t o = 0; o < outputs; o++)
    out[o].name = o ? "y" : "o";
  onward_error err = {ONWARD_OK, ""};
  const onward_status first = onward_session_run(session, &in, 1, out, outputs, NULL, &err);
  expect(first, &err);
  for (size_t o = 0; first == ONWARD_OK && o < outputs; o++)
    for (size_t i = 0; i < out[o].tensor.bytes; i++)
      x[0] += (float)((const uint8_t *)out[o].tensor.data)[i];
  x[0] = 0;
  const onward_status second = onward_session_run(session, &in, 1, out, outputs, NULL, &err);
  expect(second, &err);
  if (first != second) {
    fprintf(stderr, "%s, then %s: %s\n", onward_status_name(first), onward_status_name(second), err.message);
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const onward_plugin_init_fn inits[] = {init, init};
  if (size < 16 || size > 4096)
    return 0;
  /* The parts are of fixed sizes, so that a change of one leaves the others. */
  const uint8_t *const end = data + size;
  const size_t part = size / 8;
  script head = {data, data + part};
  const uint8_t flags = byte(&head), rows = byte(&head);
  given = (behaviour){.infer = {data + part, data + 2 * part},
                      .prepare = {data + 2 * part, data + 3 * part},
                      .run = {data + 3 * part, data + 4 * part},
                      .check = flags % 2 != 0};
  descriptors = (script){data + 4 * part, end};
  pb bytes = make_model(&head);
  onward_model_options options = onward_model_options_default();
  options.plugin_inits = inits;
  options.plugin_init_count = 1 + flags / 2 % 8 / 7;
  options.plugin_check = given.check;
  options.plugin_override = flags / 16 % 2 != 0;
  options.no_passes = flags / 32 % 4 == 3;
  options.limits.tensor_bytes = options.limits.fold_bytes = 1 << 20;
  options.limits.total_bytes = 8 << 20;
  onward_model *model = NULL;
  onward_session *session = NULL;
  onward_error err = {ONWARD_OK, ""};
  const onward_status status = onward_model_load_memory(bytes.data, bytes.size, NULL, &options, &model, &err);
  expect(status, &err);
  if (status == ONWARD_OK) {
    onward_session_options alone = onward_session_options_default();
    alone.threads = 1;
    if (onward_session_create(model, &alone, &session, &err) != ONWARD_OK)
      abort();
    run_twice(model, session, rows % 4);
    if (rows % 8 < 4)
      run_twice(model, session, rows / 8 % 4);
  }
  onward_session_free(session);
  onward_model_free(model);
  pb_free(&bytes);
  if (given.prepared != given.destroyed)
    abort();
  return 0;
}
