/* One operator of random types, shapes, attributes and values: every kernel of its row against the row's scalar reference, apart and
 * in place. Bytes choose; where they end, zeros do. A difference, a write outside an output or the workspace, or an error of one
 * kernel alone ends the process. FUZZ_KERNELS_SEEN=1 prints at exit how often each kernel was compared. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/dtype.h"
#include "base/size.h"
#include "graph/infer.h"
#include "ops/ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 10, GUARD = 64, GUARD_BYTE = 0x5a, ELEMENTS_MAX = 4096, BYTES_MAX = 1 << 20, KERNELS_MAX = 2048 };

typedef struct choices {
  const uint8_t *at, *end;
} choices;

static unsigned byte_of(choices *c) { return c->at < c->end ? *c->at++ : 0; }
static unsigned below(choices *c, unsigned n) { return n > 256 ? (byte_of(c) * 256 + byte_of(c)) % n : byte_of(c) % n; }
static bool once_in(choices *c, unsigned n) { return byte_of(c) % n == n - 1; }

typedef struct fuzz_case {
  const ow_op *row;
  ow_arena arena;
  ow_dims *dims;
  ow_graph *graph;
  ow_node *node;
  onward_tensor tensors[SLOTS], outputs[SLOTS];
  const onward_tensor *in[SLOTS];
  onward_tensor *out[SLOTS];
  ow_value *values[SLOTS];
  uint8_t *memory[SLOTS]; /* of outputs, with guards */
  bool constant[SLOTS];
  const void *packed[SLOTS];
  size_t in_count, out_count;
} fuzz_case;

static ow_registry *registry;
static size_t row_count;
static struct {
  const char *name;
  unsigned long compared;
} seen[KERNELS_MAX];
static unsigned long accepted, given;

static _Noreturn void wrong(const fuzz_case *f, const ow_kernel *k, const char *what) {
  fprintf(stderr, "%s %s-%d, kernel %s: %s\n", f->row->domain, f->row->name, f->node->version, k->name, what);
  for (size_t i = 0; i < f->in_count; i++) {
    const onward_tensor *const t = &f->tensors[i];
    fprintf(stderr, "  input %zu: %s%s", i, !f->in[i] ? "left out" : onward_dtype_name(t->dtype),
            f->constant[i] ? " constant" : "");
    for (int32_t d = 0; f->in[i] && d < t->rank; d++)
      fprintf(stderr, "%c%lld", d ? 'x' : ' ', (long long)t->dims[d]);
    fprintf(stderr, "\n");
  }
  for (size_t i = 0; i < f->node->attr_count; i++) {
    const ow_attr *const a = &f->node->attrs[i];
    fprintf(stderr, "  %s", a->name);
    if (a->kind == OW_ATTR_INT)
      fprintf(stderr, " %lld", (long long)a->i);
    else if (a->kind == OW_ATTR_FLOAT)
      fprintf(stderr, " %g", (double)a->f);
    else if (a->kind == OW_ATTR_STRING)
      fprintf(stderr, " '%s'", a->s);
    for (size_t j = 0; a->kind == OW_ATTR_INTS && j < a->count; j++)
      fprintf(stderr, "%c%lld", j ? ',' : ' ', (long long)a->ints[j]);
    fprintf(stderr, "\n");
  }
  abort();
}

/* ---- what bytes mean ------------------------------------------------------------------------------------------------------- */

static onward_dtype dtype_of(choices *c, onward_dtype base) {
  static const onward_dtype others[] = {ONWARD_INT64, ONWARD_FLOAT32, ONWARD_INT32,   ONWARD_BOOL,    ONWARD_UINT8,
                                        ONWARD_INT8,  ONWARD_FLOAT16, ONWARD_FLOAT64, ONWARD_BFLOAT16};
  const unsigned n = byte_of(c);
  return n < 160 ? base : others[n % (sizeof others / sizeof *others)];
}

static int64_t extent_of(choices *c) {
  static const int64_t extents[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 64, 65, 0};
  return extents[below(c, sizeof extents / sizeof *extents)];
}

/* Like the first shape, or like one that goes with it. */
static void shape_of(choices *c, const onward_tensor *first, onward_tensor *t) {
  const int32_t rank = first->rank;
  const unsigned kind = below(c, 10);
  t->rank = rank;
  memcpy(t->dims, first->dims, sizeof t->dims);
  if (kind == 3) { /* broadcast somewhere */
    for (int32_t d = 0; d < rank; d++)
      t->dims[d] = byte_of(c) % 2 ? 1 : t->dims[d];
  } else if (kind == 4 || (kind == 5 && rank == 0)) { /* one axis of it */
    t->rank = rank > 0;
    t->dims[0] = rank > 0 ? first->dims[byte_of(c) % 2 ? rank - 1 : (int32_t)below(c, (unsigned)rank)] : 1;
  } else if (kind == 5) { /* the right side of a product */
    t->dims[rank - 1] = extent_of(c);
    if (rank > 1)
      t->dims[rank - 2] = first->dims[rank - 1];
  } else if (kind == 6) { /* a scalar */
    t->rank = 0;
  } else if (kind == 7) { /* a few numbers, one an axis */
    t->rank = 1;
    t->dims[0] = byte_of(c) % 2 ? rank : 1 + (int64_t)below(c, 2);
  } else if (kind == 8) { /* anything */
    t->rank = (int32_t)below(c, 5);
    for (int32_t d = 0; d < t->rank; d++)
      t->dims[d] = extent_of(c);
  } else if (kind == 9 && rank > 0) { /* another extent */
    t->dims[below(c, (unsigned)rank)] = extent_of(c);
  }
}

/* Floats are multiples of a quarter, whose sums are exact in any order; odd: sometimes NaN and infinities too. */
static void fill(choices *c, onward_tensor *t, int64_t count, bool odd_too, bool mask) {
  static const double odd[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, -0.0};
  uint64_t seed = byte_of(c) + 1;
  const bool with_odd = odd_too && once_in(c, 4);
  for (int64_t i = 0; i < count; i++) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    const unsigned dice = (unsigned)(seed >> 40);
    if (ow_dtype(t->dtype)->kind == OW_KIND_FLOAT) {
      const bool is_odd = with_odd && dice % 16 == 0;
      ow_set_f64(t->dtype, t->data, i,
                 is_odd                  ? odd[dice / 16 % 4]
                 : mask && dice % 3 == 0 ? -(double)INFINITY
                                         : ((double)(dice % 33) - 16.0) / 4.0);
    } else if (t->dtype == ONWARD_BOOL) {
      ((uint8_t *)t->data)[i] = dice % 3 != 0;
    } else {
      const bool is_unsigned = t->dtype == ONWARD_UINT8 || t->dtype == ONWARD_UINT16 || t->dtype == ONWARD_UINT32 ||
                               t->dtype == ONWARD_UINT64;
      const int64_t x =
          count <= 8 && i < 8 && c->at < c->end ? (int64_t)(byte_of(c) % 24) - 4 : (int64_t)(dice % 12) - 4;
      ow_set_i64(t->dtype, t->data, i, is_unsigned && x < 0 ? -x : x);
    }
  }
}

/* An input of the node from the tensor that is there. */
static bool add_value(fuzz_case *f, size_t slot) {
  onward_tensor *const t = &f->tensors[slot];
  f->in[slot] = t;
  ow_value *v;
  if (f->constant[slot]) {
    ow_const *const data = ow_arena_zero(&f->arena, 1, sizeof *data);
    if (!data)
      return false;
    *data = (ow_const){.dtype = t->dtype, .rank = t->rank, .data = t->data, .bytes = t->bytes};
    memcpy(data->dims, t->dims, sizeof t->dims);
    v = ow_graph_add_const(f->graph, NULL, data);
  } else {
    v = ow_graph_add_value(f->graph, NULL);
  }
  if (!v || (!f->constant[slot] && !ow_graph_add_input(f->graph, v)))
    return false;
  v->type = (ow_type){.kind = OW_VALUE_TENSOR, .dtype = t->dtype, .shape.rank = t->rank};
  for (int32_t d = 0; d < t->rank; d++)
    v->type.shape.dims[d] = ow_dim_const(t->dims[d]);
  f->values[slot] = v;
  return true;
}

static bool add_input(choices *c, fuzz_case *f, onward_dtype base, uint32_t required) {
  const size_t slot = f->in_count++;
  onward_tensor *const t = &f->tensors[slot];
  if (slot >= required && once_in(c, 3))
    return true;
  t->dtype = dtype_of(c, base);
  if (slot == 0) {
    t->rank = (int32_t)below(c, 6);
    for (int32_t d = 0; d < t->rank; d++)
      t->dims[d] = extent_of(c);
  } else {
    shape_of(c, &f->tensors[0], t);
  }
  int64_t count;
  if (!ow_dims_count(t->rank, t->dims, &count) || count > ELEMENTS_MAX ||
      !ow_tensor_size(t->dtype, t->rank, t->dims, &t->bytes))
    return false;
  f->constant[slot] = slot > 0 && byte_of(c) % 4 != 0;
  t->data = ow_arena_aligned(&f->arena, t->bytes + 64);
  if (!t->data)
    return false;
  fill(c, t, count, !f->constant[slot], false);
  return add_value(f, slot);
}

static bool add_attribute(choices *c, fuzz_case *f, const ow_attr_spec *spec) {
  static const char *const words[] = {"none",
                                      "NOTSET",
                                      "SAME_UPPER",
                                      "SAME_LOWER",
                                      "VALID",
                                      "constant",
                                      "reflect",
                                      "edge",
                                      "wrap",
                                      "add",
                                      "mul",
                                      "max",
                                      "min",
                                      "nearest",
                                      "linear",
                                      "cubic",
                                      "half_pixel",
                                      "asymmetric",
                                      "align_corners",
                                      "pytorch_half_pixel",
                                      "floor",
                                      "ceil",
                                      "round_prefer_ceil",
                                      "tanh",
                                      "gelu",
                                      "relu",
                                      "forward",
                                      "reverse",
                                      "bidirectional",
                                      "LEFT",
                                      "RIGHT",
                                      "DCR",
                                      "CRD",
                                      "BSHD",
                                      "BHSD",
                                      "bilinear",
                                      "zeros",
                                      "border",
                                      "ij,jk->ik",
                                      "bij,bjk->bik",
                                      "ij->ji",
                                      "ii->i",
                                      "mean",
                                      "sum",
                                      "zero",
                                      "nan"};
  static const float reals[] = {0.0f, 1.0f, 0.5f, 1e-5f, -1.0f, 2.0f, 0.125f, 1e-12f};
  ow_attr a = {.name = spec->name, .kind = spec->kind};
  int64_t *ints;
  if (!spec->required && byte_of(c) % 2)
    return true;
  switch (spec->kind) {
    case OW_ATTR_INT: a.i = (int64_t)below(c, 12) - 2; break;
    case OW_ATTR_FLOAT: a.f = reals[below(c, sizeof reals / sizeof *reals)]; break;
    case OW_ATTR_STRING:
      a.s = words[below(c, sizeof words / sizeof *words)];
      a.count = strlen(a.s);
      break;
    case OW_ATTR_INTS:
      a.count = below(c, 7);
      if (!(ints = ow_arena_alloc(&f->arena, (a.count + 1) * sizeof *ints)))
        return false;
      for (size_t i = 0; i < a.count; i++)
        ints[i] = (int64_t)below(c, 7) - 1;
      a.ints = ints;
      break;
    default: return !spec->required;
  }
  return ow_node_add_attr(f->node, &a);
}

/* ---- operands that go together --------------------------------------------------------------------------------------------- */

static const struct shapes {
  const char *domain, *op, *inputs, *attributes;
} shapes[] = {
#define SHAPES(domain, op, inputs, attributes) {domain, op, inputs, attributes},
#include "fuzz/kernel_shapes.def"
#undef SHAPES
};

typedef struct letters {
  int64_t of[26];
} letters;

/* "h*g*8+1" */
static int64_t term(const char **at, choices *c, letters *l) {
  int64_t product = 1;
  for (;; ++*at) {
    if (**at >= 'a' && **at <= 'z') {
      int64_t *const extent = &l->of[*(*at)++ - 'a'];
      if (*extent < 0)
        *extent = extent_of(c) % 20;
      product *= *extent;
    } else {
      char *end;
      product *= strtoll(*at, &end, 10);
      *at = end;
    }
    if (**at != '*')
      break;
  }
  if (**at != '+')
    return product;
  ++*at;
  return product + term(at, c, l);
}

static onward_dtype letter_type(char letter, onward_dtype floating) {
  return letter == 'i'   ? ONWARD_INT64
         : letter == 'n' ? ONWARD_INT32
         : letter == 'b' ? ONWARD_BOOL
         : letter == 'u' ? ONWARD_UINT8
         : letter == 'c' ? ONWARD_INT8
                         : floating;
}

/* One word of a row of kernel_shapes.def. */
static bool add_shaped(choices *c, fuzz_case *f, const char *at, onward_dtype floating, letters *l) {
  const size_t slot = f->in_count++;
  onward_tensor *const t = &f->tensors[slot];
  if (slot >= SLOTS || *at == '-')
    return slot < SLOTS;
  const bool mask = *at == 'm';
  t->dtype = letter_type(*at, floating);
  at += 2;
  int64_t limit = 0, value = -1, count;
  if (*at == '=') { /* a scalar of one value */
    at++;
    value = term(&at, c, l);
  }
  while (value < 0 && t->rank < 6) {
    t->dims[t->rank++] = term(&at, c, l);
    if (*at != ',')
      break;
    at++;
  }
  if (*at == '<') {
    at++;
    limit = term(&at, c, l);
  }
  f->constant[slot] = *at == '!';
  at += *at == '!';
  if (strchr(at, '?') && once_in(c, 2))
    return true;
  if (!ow_dims_count(t->rank, t->dims, &count) || count > ELEMENTS_MAX || (limit < 1 && strchr(at, '<')) ||
      !ow_tensor_size(t->dtype, t->rank, t->dims, &t->bytes) || !(t->data = ow_arena_aligned(&f->arena, t->bytes + 64)))
    return false;
  const bool odd_too = *at == '%';
  at += odd_too;
  fill(c, t, count, odd_too, mask);
  const bool whole = ow_dtype(t->dtype)->kind != OW_KIND_FLOAT && t->dtype != ONWARD_BOOL;
  for (int64_t i = 0; i < count && whole && (limit > 0 || value >= 0); i++)
    ow_set_i64(t->dtype, t->data, i, value >= 0 ? value : (ow_get_i64(t->dtype, t->data, i) & 0x7f) % limit);
  for (int64_t i = 0; i < count && !whole && value >= 0; i++)
    ow_set_f64(t->dtype, t->data, i, (double)value * 0.5);
  return add_value(f, slot);
}

static bool add_shaped_attribute(choices *c, fuzz_case *f, const ow_attr_spec *spec, const char *text, letters *l) {
  const size_t length = strlen(spec->name);
  const char *at = text;
  while ((at = strstr(at, spec->name)) && !((at == text || at[-1] == ' ') && at[length] == '='))
    at++;
  if (!at)
    return add_attribute(c, f, spec);
  at += length + 1;
  ow_attr a = {.name = spec->name, .kind = spec->kind};
  if (*at == ' ' || *at == '\0')
    return true;
  if (spec->kind == OW_ATTR_STRING) {
    a.count = strcspn(at + 2, " ");
    a.s = ow_arena_strndup(&f->arena, at + 2, a.count);
  } else if (spec->kind == OW_ATTR_INTS) {
    int64_t *const ints = ow_arena_alloc(&f->arena, 8 * sizeof *ints);
    if (!ints)
      return false;
    for (at += 2; a.count < 8; at++) {
      ints[a.count++] = term(&at, c, l);
      if (*at != ',')
        break;
    }
    a.ints = ints;
  } else if (spec->kind == OW_ATTR_FLOAT) {
    a.f = strtof(at + 2, NULL);
  } else if (spec->kind == OW_ATTR_INT) {
    a.i = *at == '-' ? strtoll(at, NULL, 10) : term(&at, c, l);
  } else {
    return add_attribute(c, f, spec);
  }
  return ow_node_add_attr(f->node, &a);
}

/* A row of the table for this operator, chosen by a byte; NULL: none */
static const struct shapes *shapes_of(choices *c, const ow_op *row) {
  enum { COUNT = sizeof shapes / sizeof *shapes };
  const struct shapes *found[COUNT];
  unsigned count = 0;
  for (size_t i = 0; i < COUNT; i++)
    if (strcmp(shapes[i].op, row->name) == 0 && strcmp(shapes[i].domain, row->domain) == 0)
      found[count++] = &shapes[i];
  return count && !once_in(c, 4) ? found[below(c, count)] : NULL;
}

static bool add_shaped_inputs(choices *c, fuzz_case *f, const struct shapes *s, letters *l) {
  const onward_dtype floating = once_in(c, 4) ? dtype_of(c, ONWARD_FLOAT32) : ONWARD_FLOAT32;
  for (const char *at = s->inputs; *at; at += *at == ' ') {
    char word[64];
    const size_t length = strcspn(at, " ");
    snprintf(word, sizeof word, "%.*s", (int)length, at);
    if (!add_shaped(c, f, word, floating, l))
      return false;
    at += length;
  }
  return true;
}

/* false: not to be had, or not valid */
static bool build(choices *c, fuzz_case *f) {
  static const onward_dtype bases[] = {ONWARD_FLOAT32, ONWARD_FLOAT32, ONWARD_FLOAT32, ONWARD_INT64,
                                       ONWARD_FLOAT16, ONWARD_INT32,   ONWARD_BOOL,    ONWARD_FLOAT32,
                                       ONWARD_UINT8,   ONWARD_INT8,    ONWARD_FLOAT64, ONWARD_BFLOAT16};
  f->row = ow_registry_row(registry, below(c, (unsigned)row_count));
  if (!f->row->kernels || !f->row->infer || (f->row->flags & (OW_OP_NONDETERMINISTIC | OW_OP_CONTAINERS)))
    return false;
  const uint32_t most = f->row->max_inputs == OW_ANY_COUNT ? f->row->min_inputs + 3 : f->row->max_inputs;
  const uint32_t inputs = f->row->min_inputs + below(c, (most < SLOTS ? most : SLOTS) - f->row->min_inputs + 1);
  const uint32_t outputs_most = f->row->max_outputs == OW_ANY_COUNT ? f->row->min_outputs + 3 : f->row->max_outputs;
  f->out_count =
      f->row->min_outputs + below(c, (outputs_most < SLOTS ? outputs_most : SLOTS) - f->row->min_outputs + 1);
  if (inputs > SLOTS || f->out_count > SLOTS)
    return false;
  const onward_dtype base = bases[below(c, sizeof bases / sizeof *bases)];
  letters l;
  memset(l.of, 0xff, sizeof l.of);
  const struct shapes *const shaped = shapes_of(c, f->row);
  if (shaped && !add_shaped_inputs(c, f, shaped, &l))
    return false;
  for (uint32_t i = 0; i < inputs && !shaped; i++)
    if (!add_input(c, f, base, f->row->min_inputs))
      return false;
  ow_value *outs[SLOTS];
  for (size_t i = 0; i < f->out_count; i++)
    if (!(outs[i] = ow_graph_add_value(f->graph, NULL)))
      return false;
  f->node = ow_graph_add_node(f->graph, NULL, "n", f->row->domain, f->row->name, f->row->since, f->values, f->in_count,
                              outs, f->out_count);
  if (!f->node)
    return false;
  for (const ow_attr_spec *spec = f->row->attrs; spec && spec->name; spec++)
    if (!add_shaped_attribute(c, f, spec, shaped ? shaped->attributes : "", &l))
      return false;
  onward_error err;
  bool empty = true;
  if (ow_graph_resolve(f->graph, registry, &err) || ow_node_is_dynamic(f->node) ||
      ow_infer_node(f->graph, f->node, &err))
    return false;
  for (size_t i = 0; i < f->out_count; i++) {
    const ow_type *const type = &outs[i]->type;
    onward_tensor *const t = &f->outputs[i];
    *t = (onward_tensor){.dtype = type->dtype, .rank = type->shape.rank};
    for (int32_t d = 0; d < t->rank; d++) {
      if (!ow_dim_is_const(type->shape.dims[d]))
        return false;
      t->dims[d] = type->shape.dims[d].k;
    }
    if (t->rank < 0 || !ow_tensor_size(t->dtype, t->rank, t->dims, &t->bytes) || t->bytes > BYTES_MAX ||
        !(f->memory[i] = ow_arena_aligned(&f->arena, t->bytes + 2 * GUARD)))
      return false;
    t->data = f->memory[i] + GUARD;
    f->out[i] = t;
    empty = empty && t->bytes == 0;
  }
  return !empty; /* such a step is not run */
}

/* ---- running --------------------------------------------------------------------------------------------------------------- */

typedef struct running {
  ow_args args;
  ow_packed packs[SLOTS];
  void *state;
  uint8_t *workspace;
  size_t workspace_bytes;
} running;

static bool guarded(const uint8_t *p) {
  for (size_t i = 0; i < GUARD; i++)
    if (p[i] != GUARD_BYTE)
      return false;
  return true;
}

static onward_status run_kernel(fuzz_case *f, const ow_kernel *k, int threads, onward_error *err) {
  running r = {.args = {.node = f->node,
                        .in = f->in,
                        .in_count = f->in_count,
                        .out = f->out,
                        .out_count = f->out_count,
                        .constant = f->constant,
                        .packed = f->packed,
                        .threads = threads,
                        .allocator = &ow_allocator_default}};
  onward_status status = ONWARD_OK;
  const uint64_t slots = k->pack_slots ? k->pack_slots(&r.args) : 0;
  for (size_t i = 0; i < f->in_count && !status; i++) {
    f->packed[i] = NULL;
    if (!(slots >> i & 1) || !f->in[i] || !f->constant[i])
      continue;
    status = k->pack(&r.args, i, &r.packs[i], err);
    f->packed[i] = r.packs[i].data;
  }
  r.state = ow_alloc_zero(&ow_allocator_default, 1, k->state_size + 1);
  const bool prepared = !status && k->prepare;
  if (prepared)
    status = k->prepare(&r.args, r.state, &r.workspace_bytes, err);
  r.workspace = !status && r.workspace_bytes <= BYTES_MAX * 64
                    ? ow_alloc(&ow_allocator_default, r.workspace_bytes + 2 * GUARD)
                    : NULL;
  if (!status && r.workspace) {
    memset(r.workspace, GUARD_BYTE, GUARD);
    memset(r.workspace + GUARD, 0xff, r.workspace_bytes);
    memset(r.workspace + GUARD + r.workspace_bytes, GUARD_BYTE, GUARD);
    r.args.workspace = r.workspace + GUARD;
    status = k->run(&r.args, r.state, err);
    if (!guarded(r.workspace) || !guarded(r.workspace + GUARD + r.workspace_bytes))
      wrong(f, k, "wrote outside its workspace");
  }
  if (prepared && k->destroy)
    k->destroy(r.state);
  ow_free(&ow_allocator_default, r.state);
  ow_free(&ow_allocator_default, r.workspace);
  for (size_t i = 0; i < SLOTS; i++) {
    if (r.packs[i].free)
      r.packs[i].free(&ow_allocator_default, r.packs[i].data);
    else
      ow_free(&ow_allocator_default, r.packs[i].data);
  }
  for (size_t i = 0; i < f->out_count; i++)
    if (f->out[i]->data == f->memory[i] + GUARD &&
        (!guarded(f->memory[i]) || !guarded(f->memory[i] + GUARD + f->out[i]->bytes)))
      wrong(f, k, "wrote outside an output");
  return status;
}

static void poison(fuzz_case *f) {
  for (size_t i = 0; i < f->out_count; i++) {
    memset(f->memory[i], GUARD_BYTE, f->out[i]->bytes + 2 * GUARD);
    memset(f->memory[i] + GUARD, 0xa5, f->out[i]->bytes);
  }
}

static bool near(onward_dtype dtype, double got, double want, double largest) {
  const double relative = dtype == ONWARD_BFLOAT16 ? 1.6e-2 : dtype == ONWARD_FLOAT16 ? 2e-3 : 1e-4;
  if (isnan(want) || isnan(got))
    return isnan(want) && isnan(got);
  if (isinf(want) || isinf(got))
    return (isinf(want) && isinf(got) && (want > 0) == (got > 0)) || fabs(isinf(want) ? got : want) > 3e4;
  return fabs(got - want) <= relative * (0.1 + fabs(want)) + 1e-6 * largest;
}

static void compare(const fuzz_case *f, const ow_kernel *k, size_t out, const void *want) {
  const onward_tensor *const y = f->out[out];
  const int64_t count = ow_dims_product(y->dims, 0, y->rank);
  char text[160];
  if (ow_dtype(y->dtype)->kind != OW_KIND_FLOAT || y->dtype == ONWARD_FLOAT64) {
    if (memcmp(y->data, want, y->bytes) != 0 && y->dtype != ONWARD_FLOAT64)
      wrong(f, k, "other bytes");
    if (y->dtype != ONWARD_FLOAT64)
      return;
  }
  double largest = 0;
  for (int64_t i = 0; i < count; i++) {
    const double w = fabs(ow_get_f64(y->dtype, want, i));
    largest = isfinite(w) && w > largest ? w : largest;
  }
  for (int64_t i = 0; i < count; i++) {
    const double g = ow_get_f64(y->dtype, y->data, i), w = ow_get_f64(y->dtype, want, i);
    if (near(y->dtype, g, w, largest))
      continue;
    snprintf(text, sizeof text, "output %zu element %lld of %lld is %.9g, want %.9g", out, (long long)i,
             (long long)count, g, w);
    wrong(f, k, text);
  }
}

static void count_seen(const char *name) {
  for (size_t i = 0; i < KERNELS_MAX; i++) {
    if (!seen[i].name)
      seen[i].name = name;
    if (seen[i].name == name) {
      seen[i].compared++;
      return;
    }
  }
}

/* With an output in the memory of an input. */
static void check_in_place(fuzz_case *f, const ow_kernel *k, void *const *want) {
  for (size_t i = 0; i < f->row->inplace_count; i++) {
    const ow_inplace pair = f->row->inplace[i];
    if (pair.out >= f->out_count || pair.in >= f->in_count || !f->in[pair.in] || f->constant[pair.in] ||
        f->in[pair.in]->bytes != f->out[pair.out]->bytes)
      continue;
    onward_error err;
    void *const own = f->out[pair.out]->data, *const other = f->tensors[pair.in].data;
    void *const shared = ow_arena_aligned(&f->arena, f->out[pair.out]->bytes + 64);
    if (!shared)
      return;
    memcpy(shared, other, f->out[pair.out]->bytes);
    f->out[pair.out]->data = f->tensors[pair.in].data = shared;
    if (run_kernel(f, k, 1, &err))
      wrong(f, k, "fails in place");
    compare(f, k, pair.out, want[pair.out]);
    f->out[pair.out]->data = own;
    f->tensors[pair.in].data = other;
  }
}

static void check(fuzz_case *f, choices *c) {
  size_t last = 0;
  while (f->row->kernels[last + 1])
    last++;
  void *want[SLOTS];
  onward_error err, other;
  const ow_kernel *const reference = f->row->kernels[last];
  poison(f);
  const onward_status status = run_kernel(f, reference, 1, &err);
  for (size_t i = 0; i < f->out_count && !status; i++) {
    if (!(want[i] = ow_arena_alloc(&f->arena, f->out[i]->bytes + 1)))
      return;
    memcpy(want[i], f->out[i]->data, f->out[i]->bytes);
  }
  accepted++;
  if (!status) {
    check_in_place(f, reference, want);
    count_seen(reference->name);
  }
  const ow_args args = {.node = f->node,
                        .in = f->in,
                        .in_count = f->in_count,
                        .out = f->out,
                        .out_count = f->out_count,
                        .constant = f->constant,
                        .packed = f->packed,
                        .threads = 2,
                        .allocator = &ow_allocator_default};
  const int threads = 1 + (int)once_in(c, 8);
  for (size_t i = 0; i < last; i++) {
    const ow_kernel *const k = f->row->kernels[i];
    ow_why why;
    if ((k->cpu & ~ow_cpu_flags()) || (k->supports && !k->supports(&args, &why)))
      continue;
    poison(f);
    const onward_status got = run_kernel(f, k, threads, &other);
    if (got != status) {
      char text[400];
      snprintf(text, sizeof text, "%s '%.150s', the reference %s '%.150s'", onward_status_name(got),
               got ? other.message : "", onward_status_name(status), status ? err.message : "");
      wrong(f, k, text);
    }
    for (size_t j = 0; j < f->out_count && !status; j++)
      compare(f, k, j, want[j]);
    if (!status)
      check_in_place(f, k, want);
    count_seen(k->name);
  }
}

static void print_seen(void) {
  fprintf(stderr, "%lu inputs, %lu valid\n", given, accepted);
  for (size_t i = 0; i < KERNELS_MAX && seen[i].name; i++)
    fprintf(stderr, "%9lu %s\n", seen[i].compared, seen[i].name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  onward_error err;
  if (!registry) { /* for the whole process; a leak checker sees it */
    registry = ow_registry_create(&ow_allocator_default);
    if (!registry || ow_ops_register(registry, &err))
      abort();
    while (ow_registry_row(registry, row_count))
      row_count++;
    if (getenv("FUZZ_KERNELS_SEEN"))
      (void)atexit(print_seen);
  }
  given++;
  choices c = {data, data + size};
  fuzz_case f = {0};
  ow_arena_init(&f.arena, &ow_allocator_default);
  f.dims = ow_dims_create(&ow_allocator_default);
  f.graph = f.dims ? ow_graph_create(&ow_allocator_default, &f.arena, f.dims) : NULL;
  if (f.graph && build(&c, &f))
    check(&f, &c);
  ow_graph_free(f.graph);
  ow_dims_free(f.dims);
  ow_arena_free(&f.arena);
  return 0;
}
