/* Opening plug-ins: libraries, the handshake, descriptors checked and copied into rows. */
#include "runtime/plugin_set.h"

#include <string.h>

#include "base/os.h"

#define NAME_MAX_LENGTH 200
#define PORTS_MAX 64 /* also attributes and in-place pairs */
#define DESC_MIN (offsetof(onward_op_desc, run) + sizeof(((onward_op_desc *)0)->run))
#define DESC_MAX 4096 /* larger is no descriptor */

/* ---- descriptors ---------------------------------------------------------------------------------------------------------- */

static const struct {
  onward_attr_kind kind;
  ow_attr_kind own;
} attr_kinds[] = {
    {ONWARD_ATTR_FLOAT, OW_ATTR_FLOAT},     {ONWARD_ATTR_INT, OW_ATTR_INT},
    {ONWARD_ATTR_STRING, OW_ATTR_STRING},   {ONWARD_ATTR_TENSOR, OW_ATTR_TENSOR},
    {ONWARD_ATTR_FLOATS, OW_ATTR_FLOATS},   {ONWARD_ATTR_INTS, OW_ATTR_INTS},
    {ONWARD_ATTR_STRINGS, OW_ATTR_STRINGS}, {ONWARD_ATTR_TENSORS, OW_ATTR_TENSORS},
    {ONWARD_ATTR_TYPE, OW_ATTR_TYPE},
};

/* A descriptor of any size as one of ours: what is missing is zero, what we do not know has to be. */
static onward_status read_desc(const onward_op_desc *from, onward_op_desc *desc, onward_error *err) {
  if (!from)
    return ow_fail(err, ONWARD_ARGUMENT, "register_op was given no descriptor");
  const size_t size = from->struct_size;
  if (size < offsetof(onward_op_desc, domain) || size > DESC_MAX)
    return ow_fail(err, ONWARD_ARGUMENT, "a descriptor has struct_size %zu; want sizeof(onward_op_desc), %zu here",
                   size, sizeof *desc);
  if (from->abi_major != ONWARD_PLUGIN_ABI_MAJOR)
    return ow_fail(err, ONWARD_PLUGIN, "a descriptor is for plug-in ABI %u.%u; this Onward has %d.%d", from->abi_major,
                   from->abi_minor, ONWARD_PLUGIN_ABI_MAJOR, ONWARD_PLUGIN_ABI_MINOR);
  if (size < DESC_MIN)
    return ow_fail(err, ONWARD_ARGUMENT, "a descriptor has struct_size %zu; want at least %zu", size, DESC_MIN);
  for (size_t i = sizeof *desc; i < size; i++)
    if (((const unsigned char *)from)[i])
      return ow_fail(err, ONWARD_PLUGIN,
                     "a descriptor of ABI %u.%u uses what this Onward (%d.%d) does not know: byte %zu is not zero",
                     from->abi_major, from->abi_minor, ONWARD_PLUGIN_ABI_MAJOR, ONWARD_PLUGIN_ABI_MINOR, i);
  memset(desc, 0, sizeof *desc);
  memcpy(desc, from, size < sizeof *desc ? size : sizeof *desc);
  return ONWARD_OK;
}

static bool usable_name(const char *name) { return name && name[0] && memchr(name, '\0', NAME_MAX_LENGTH + 1) != NULL; }

static onward_status check_ports(const char *op, const char *what, const onward_port *ports, uint32_t count,
                                 onward_error *err) {
  if (count > PORTS_MAX || (count && !ports))
    return ow_fail(err, ONWARD_ARGUMENT, "%s: %u %ss, want at most %d and an array", op, count, what, PORTS_MAX);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t known = ONWARD_PORT_OPTIONAL | ONWARD_PORT_VARIADIC;
    if (!usable_name(ports[i].name) || (ports[i].flags & ~known) || ports[i].reserved)
      return ow_fail(err, ONWARD_ARGUMENT, "%s: %s %u has no name or unknown flags", op, what, i);
    if (ports[i].dtypes & ONWARD_TYPE_BIT(ONWARD_STRING))
      return ow_fail(err, ONWARD_UNSUPPORTED, "%s: %s %u: strings are not supported", op, what, i);
    if ((ports[i].flags & ONWARD_PORT_VARIADIC) && i + 1 < count)
      return ow_fail(err, ONWARD_ARGUMENT, "%s: %s %u is variadic, but only the last one may be", op, what, i);
  }
  return ONWARD_OK;
}

static onward_status check_desc(const onward_op_desc *d, onward_error *err) {
  if (!usable_name(d->name) || !d->domain || !memchr(d->domain, '\0', NAME_MAX_LENGTH + 1))
    return ow_fail(err, ONWARD_ARGUMENT, "a descriptor has no name or domain, or one above %d bytes", NAME_MAX_LENGTH);
  if (strcmp(d->domain, "onward") == 0)
    return ow_fail(err, ONWARD_ARGUMENT, "%s: the domain 'onward' is Onward's own", d->name);
  if (d->since < 1 || (d->until != 0 && d->until < d->since))
    return ow_fail(err, ONWARD_ARGUMENT, "%s: versions %d to %d; want 1 <= since <= until, or until 0", d->name,
                   d->since, d->until);
  if (!d->infer || !d->run)
    return ow_fail(err, ONWARD_ARGUMENT, "%s: infer and run are needed", d->name);
  if ((d->flags & ~ONWARD_OP_NONDETERMINISTIC) || d->reserved)
    return ow_fail(err, ONWARD_ARGUMENT, "%s: unknown flags", d->name);
  if (ow_plugin_state_size(d->state_size) == 0)
    return ow_fail(err, ONWARD_ARGUMENT, "%s: a state of %zu bytes", d->name, d->state_size);
  OW_TRY(check_ports(d->name, "input", d->inputs, d->input_count, err));
  OW_TRY(check_ports(d->name, "output", d->outputs, d->output_count, err));
  if (d->output_count == 0)
    return ow_fail(err, ONWARD_ARGUMENT, "%s: no outputs", d->name);
  if (d->attr_count > PORTS_MAX || (d->attr_count && !d->attrs) || d->inplace_count > PORTS_MAX ||
      (d->inplace_count && !d->inplace))
    return ow_fail(err, ONWARD_ARGUMENT, "%s: attributes or in-place pairs: want at most %d and an array", d->name,
                   PORTS_MAX);
  for (uint32_t i = 0; i < d->inplace_count; i++)
    if (d->inplace[i].output >= d->output_count || d->inplace[i].input >= d->input_count)
      return ow_fail(err, ONWARD_ARGUMENT, "%s: in-place pair %u names no output and input", d->name, i);
  return ONWARD_OK;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------------- */

static uint32_t required(const onward_port *ports, uint32_t count) {
  uint32_t n = 0;
  while (n < count && !(ports[n].flags & ONWARD_PORT_OPTIONAL))
    n++;
  return n;
}

static uint32_t most(const onward_port *ports, uint32_t count) {
  return count && (ports[count - 1].flags & ONWARD_PORT_VARIADIC) ? OW_ANY_COUNT : count;
}

static const onward_port *copy_ports(ow_arena *arena, const onward_port *from, uint32_t count) {
  onward_port *const ports = ow_arena_zero(arena, count + 1, sizeof *ports);
  for (uint32_t i = 0; ports && i < count; i++) {
    ports[i] = from[i];
    if (!(ports[i].name = ow_arena_strdup(arena, from[i].name)))
      return NULL;
  }
  return ports;
}

static onward_status copy_attrs(ow_plugin_set *set, ow_plugin_op *op, onward_error *err) {
  const onward_op_desc *const d = &op->desc;
  ow_attr_spec *const specs = ow_arena_zero(&set->arena, d->attr_count + 1, sizeof *specs);
  if (!specs)
    return ow_fail(err, ONWARD_MEMORY, "no memory for operator %s", d->name);
  for (uint32_t i = 0; i < d->attr_count; i++) {
    const onward_attr *const attr = &d->attrs[i];
    for (size_t k = 0; k < sizeof attr_kinds / sizeof *attr_kinds; k++)
      if (attr_kinds[k].kind == attr->kind)
        specs[i].kind = attr_kinds[k].own;
    if (!usable_name(attr->name) || specs[i].kind == OW_ATTR_NONE || attr->required > 1)
      return ow_fail(err, ONWARD_ARGUMENT, "%s: attribute %u has no name, or a kind %d that plug-ins cannot have",
                     d->name, i, (int)attr->kind);
    specs[i].required = attr->required == 1;
    if (!(specs[i].name = ow_arena_strdup(&set->arena, attr->name)))
      return ow_fail(err, ONWARD_MEMORY, "no memory for operator %s", d->name);
  }
  op->row.attrs = specs;
  return ONWARD_OK;
}

static onward_status make_row(ow_plugin_set *set, ow_plugin_op *op, onward_error *err) {
  onward_op_desc *const d = &op->desc;
  ow_arena *const arena = &set->arena;
  ow_inplace *const inplace = ow_arena_zero(arena, d->inplace_count + 1, sizeof *inplace);
  const char *const file = strrchr(set->library, '/');
  d->inputs = copy_ports(arena, d->inputs, d->input_count);
  d->outputs = copy_ports(arena, d->outputs, d->output_count);
  d->name = ow_arena_strdup(arena, d->name);
  d->domain = ow_arena_strdup(arena, strcmp(d->domain, "ai.onnx") == 0 ? "" : d->domain);
  op->library = ow_arena_strdup(arena, set->library);
  op->kernel.name = ow_arena_strdup(arena, file ? file + 1 : set->library);
  if (!inplace || !d->inputs || !d->outputs || !d->name || !d->domain || !op->library || !op->kernel.name)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the operators of %s", set->library);
  for (uint32_t i = 0; i < d->inplace_count; i++)
    inplace[i] = (ow_inplace){(uint8_t)d->inplace[i].output, (uint8_t)d->inplace[i].input};
  op->set = set;
  op->kernel.state_size = ow_plugin_state_size(d->state_size);
  op->kernel.prepare = ow_plugin_prepare;
  op->kernel.run = ow_plugin_run;
  op->kernel.destroy = ow_plugin_destroy;
  op->kernels[0] = &op->kernel;
  op->row = (ow_op){.domain = d->domain,
                    .name = d->name,
                    .since = d->since,
                    .until = d->until,
                    .min_inputs = required(d->inputs, d->input_count),
                    .max_inputs = most(d->inputs, d->input_count),
                    .min_outputs = required(d->outputs, d->output_count),
                    .max_outputs = most(d->outputs, d->output_count),
                    .flags = OW_OP_CUSTOM | (d->flags & ONWARD_OP_NONDETERMINISTIC ? OW_OP_NONDETERMINISTIC : 0),
                    .infer = ow_plugin_infer,
                    .inplace = inplace,
                    .inplace_count = d->inplace_count,
                    .kernels = op->kernels};
  OW_TRY(copy_attrs(set, op, err));
  d->attrs = NULL; /* borrowed; the row has them now */
  d->inplace = NULL;
  return ONWARD_OK;
}

/* The set stands behind the registry that init is given. */
static onward_status register_op(onward_registry *registry, const onward_op_desc *desc, onward_error *err) {
  ow_plugin_set *const set = (ow_plugin_set *)(void *)registry;
  if (!set || !set->registry)
    return ow_fail(err, ONWARD_ARGUMENT, "register_op is for onward_plugin_init only");
  onward_op_desc read;
  OW_TRY(read_desc(desc, &read, err));
  OW_TRY(check_desc(&read, err));
  ow_plugin_op *const op = ow_arena_zero(&set->arena, 1, sizeof *op);
  if (!op)
    return ow_fail(err, ONWARD_MEMORY, "no memory for operator %s", read.name);
  op->desc = read;
  OW_TRY(make_row(set, op, err));
  const onward_status status = ow_registry_add_custom(set->registry, &op->row, set->override, err);
  return status == ONWARD_ARGUMENT ? ONWARD_PLUGIN : status;
}

/* ---- libraries --------------------------------------------------------------------------------------------------------------- */

static onward_status call_init(ow_plugin_set *set, const char *name, onward_plugin_init_fn init, ow_registry *registry,
                               onward_error *err) {
  onward_error said = {ONWARD_OK, ""};
  set->library = name;
  set->registry = registry;
  const onward_status status = init(&set->host, (onward_registry *)(void *)set, &said);
  set->registry = NULL;
  if (status == ONWARD_OK)
    return ONWARD_OK;
  said.message[ONWARD_ERROR_MESSAGE_SIZE - 1] = '\0';
  const onward_status known = status > ONWARD_OK && status <= ONWARD_INTERNAL ? status : ONWARD_PLUGIN;
  return said.message[0] ? ow_fail(err, known, "plug-in %s: %s", name, said.message)
                         : ow_fail(err, known, "plug-in %s: onward_plugin_init failed with status %d and no text", name,
                                   (int)status);
}

static onward_status open_library(ow_plugin_set *set, const char *path, ow_registry *registry, onward_error *err) {
  void *handle = NULL;
  if (!path)
    return ow_fail(err, ONWARD_ARGUMENT, "a path in options.plugins is NULL");
  OW_TRY(ow_library_open(path, &handle, err));
  set->handles[set->handle_count++] = handle;
  onward_plugin_init_fn init = NULL;
  void *const symbol = ow_library_symbol(handle, "onward_plugin_init");
  memcpy(&init, &symbol, sizeof init); /* ISO C has no cast between the two */
  if (!init)
    return ow_fail(err, ONWARD_PLUGIN, "plug-in %s: it does not export onward_plugin_init", path);
  return call_init(set, path, init, registry, err);
}

onward_status ow_plugin_set_open(const ow_allocator *a, const onward_model_options *options, ow_registry *registry,
                                 ow_plugin_set **out, onward_error *err) {
  if (options->plugin_count == 0 && options->plugin_init_count == 0)
    return ONWARD_OK;
  if ((options->plugin_count && !options->plugins) || (options->plugin_init_count && !options->plugin_inits))
    return ow_fail(err, ONWARD_ARGUMENT, "options give a number of plug-ins, but no array");
  ow_plugin_set *const set = ow_alloc_zero(a, 1, sizeof *set);
  if (!set)
    return ow_fail(err, ONWARD_MEMORY, "no memory for plug-ins");
  *out = set;
  ow_plugin_host_fill(&set->host);
  set->host.register_op = register_op;
  set->allocator = a;
  set->log = options->log;
  set->log_context = options->log_context;
  set->override = options->plugin_override;
  set->check = options->plugin_check;
  ow_arena_init(&set->arena, a);
  if (!(set->handles = ow_alloc_zero(a, options->plugin_count + 1, sizeof *set->handles)))
    return ow_fail(err, ONWARD_MEMORY, "no memory for plug-ins");
  for (size_t i = 0; i < options->plugin_count; i++)
    OW_TRY(open_library(set, options->plugins[i], registry, err));
  for (size_t i = 0; i < options->plugin_init_count; i++) {
    const char *const name = ow_arena_printf(&set->arena, "%zu of the program", i + 1);
    if (!name)
      return ow_fail(err, ONWARD_MEMORY, "no memory for plug-ins");
    if (!options->plugin_inits[i])
      return ow_fail(err, ONWARD_ARGUMENT, "options.plugin_inits[%zu] is NULL", i);
    OW_TRY(call_init(set, name, options->plugin_inits[i], registry, err));
  }
  return ONWARD_OK;
}

void ow_plugin_set_free(ow_plugin_set *set) {
  if (!set)
    return;
  const ow_allocator *const a = set->allocator;
  ow_arena_free(&set->arena);
  while (set->handle_count > 0)
    ow_library_close(set->handles[--set->handle_count]);
  ow_free(a, set->handles);
  ow_free(a, set);
}
