#include "fuzz/kernel_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/size.h"
#include "graph/infer.h"

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
static bool build(choices *c, const ow_registry *registry, size_t rows, fuzz_case *f) {
  static const onward_dtype bases[] = {ONWARD_FLOAT32, ONWARD_FLOAT32, ONWARD_FLOAT32, ONWARD_INT64,
                                       ONWARD_FLOAT16, ONWARD_INT32,   ONWARD_BOOL,    ONWARD_FLOAT32,
                                       ONWARD_UINT8,   ONWARD_INT8,    ONWARD_FLOAT64, ONWARD_BFLOAT16};
  f->row = ow_registry_row(registry, below(c, (unsigned)rows));
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

bool kernel_case_build(choices *c, const ow_registry *registry, size_t rows, fuzz_case *f) {
  *f = (fuzz_case){0};
  ow_arena_init(&f->arena, &ow_allocator_default);
  f->dims = ow_dims_create(&ow_allocator_default);
  f->graph = f->dims ? ow_graph_create(&ow_allocator_default, &f->arena, f->dims) : NULL;
  return f->graph && build(c, registry, rows, f);
}

void kernel_case_free(fuzz_case *f) {
  ow_graph_free(f->graph);
  ow_dims_free(f->dims);
  ow_arena_free(&f->arena);
}
