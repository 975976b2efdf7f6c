#include "kernels/kernel_run.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/os.h"
#include "graph/infer.h"

/* The tolerance of all float32 comparisons. */
static bool near(float got, float want) {
  if (isnan(want) || isnan(got))
    return isnan(want) && isnan(got);
  if (isinf(want) || isinf(got))
    return (isinf(want) && isinf(got) && (want > 0) == (got > 0)) ||
           (!isinf(want) && fabsf(want) > FLT_MAX * (1 - 1e-4f) && (got > 0) == (want > 0)); /* rounded over the edge */
  return fabsf(got - want) <= 1e-5f + 1e-4f * fabsf(want);
}

#define GUARD 256
#define GUARD_BYTE 0x5a

/* ---- values ---------------------------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *seed) {
  *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *seed >> 33;
}
static float uniform(uint64_t *seed) { return (float)(next_random(seed) % 20001) / 10000.0f - 1.0f; }

static float float_value(char kind, uint64_t *seed, double root) {
  static const float odd[] = {-0.0f, 0.0f,   1e-40f,  -1e-42f, FLT_MIN, 3.3e38f, -3.3e38f,
                              88.7f, -87.4f, -104.0f, 1e20f,   -1e20f,  1e-20f};
  const float x = uniform(seed) * 2.0f;
  const uint64_t dice = next_random(seed) % 40;
  switch (kind) {
    case 's': return x / (float)root;
    case 't': return x / 1000.0f;
    case 'x':
      return dice == 0   ? NAN
             : dice == 1 ? INFINITY
             : dice == 2 ? -INFINITY
             : dice < 12 ? odd[next_random(seed) % 13]
                         : x * 10.0f;
    case 'y': return dice == 0 ? NAN : dice == 1 ? INFINITY : dice == 2 ? -INFINITY : dice == 3 ? -0.0f : x;
    case 'z': return dice < 15 ? -FLT_MAX : 0.0f;
    case 'h': return dice < 15 ? -INFINITY : 0.0f;
    case 'p': return fabsf(x) + 0.01f;
    case 'd': return -FLT_MAX;
    case 'e': return -INFINITY;
    default: return x;
  }
}

/* ---- building -------------------------------------------------------------------------------------------------------------- */

typedef struct built {
  ow_arena arena;
  ow_dims *dims;
  ow_graph *graph;
  ow_node *node;
  onward_tensor tensors[RUN_INPUTS + RUN_OUTPUTS];
  const onward_tensor *in[RUN_INPUTS];
  onward_tensor *out[RUN_OUTPUTS];
  bool constant[RUN_INPUTS];
  const void *packed[RUN_INPUTS];
  void *odd[RUN_INPUTS], *even[RUN_INPUTS]; /* float constants at an odd address, and aligned */
  uint8_t *memory[RUN_OUTPUTS];             /* outputs with guards on both sides */
  size_t in_count, out_count;
} built;

static void fatal(const run_case *c, const char *what) {
  fprintf(stderr, "check_kernels: %s (%s, %s): %s\n", c->op, c->inputs, c->attributes ? c->attributes : "", what);
  exit(2);
}

static void add_attribute(built *b, const run_case *c, const char *word) {
  char name[64], text[256];
  if (sscanf(word + 2, "%63[^=]=%255s", name, text) < 1)
    fatal(c, "bad attribute");
  if (!strchr(word, '='))
    fatal(c, "bad attribute");
  if (strchr(word, '=')[1] == 0)
    text[0] = 0;
  bool ok = true;
  if (word[0] == 'i') {
    ok = ow_node_add_int(b->node, name, atoll(text));
  } else if (word[0] == 'f') {
    ok = ow_node_add_float(b->node, name, strtof(text, NULL));
  } else if (word[0] == 's') {
    char *const copy = ow_arena_strdup(&b->arena, text);
    ok = copy && ow_node_add_string(b->node, name, copy);
  } else {
    int64_t *const values = ow_arena_alloc(&b->arena, 8 * sizeof *values);
    size_t n = 0;
    for (char *at = text; *at && n < 8; n++) {
      values[n] = strtoll(at, &at, 10);
      at += *at == ',';
    }
    ok = ow_node_add_ints(b->node, name, values, n);
  }
  if (!ok)
    fatal(c, "no memory");
}

static void fill(const run_case *c, onward_tensor *t, const char *kind, uint64_t *seed) {
  const int64_t n = ow_dims_product(t->dims, 0, t->rank);
  if (kind[0] == '=') {
    const char *at = kind + 1;
    for (int64_t i = 0; i < n; i++) {
      char *end;
      const long long value = strtoll(at, &end, 10);
      if (t->dtype == ONWARD_FLOAT32) {
        const float x = (float)value;
        memcpy((char *)t->data + i * 4, &x, 4);
      } else {
        ow_set_i64(t->dtype, t->data, i, value);
      }
      at = *end == ',' ? end + 1 : end;
    }
    return;
  }
  double root = 1.0;
  for (int32_t d = 0; d < t->rank; d++)
    root = (double)t->dims[d] > root * root ? sqrt((double)t->dims[d]) : root;
  const int64_t line = t->rank > 0 && t->dims[t->rank - 1] > 0 ? t->dims[t->rank - 1] : 1;
  for (int64_t i = 0; i < n; i++) {
    if (t->dtype == ONWARD_FLOAT32) {
      float x = float_value(kind[0], seed, root);
      if ((kind[0] == 'g' || kind[0] == 'k') && i % line < line * 9 / 10)
        x = kind[0] == 'g' ? -INFINITY : -FLT_MAX;
      memcpy((char *)t->data + i * 4, &x, 4);
    } else if (t->dtype == ONWARD_FLOAT16 || t->dtype == ONWARD_BFLOAT16) {
      ow_set_f64(t->dtype, t->data, i, (double)float_value(kind[0], seed, root));
    } else if (t->dtype == ONWARD_BOOL) {
      ((uint8_t *)t->data)[i] = kind[0] == 'o' ? 0 : kind[0] == 'w' ? 1 : next_random(seed) % 3 != 0;
    } else if (t->dtype == ONWARD_UINT8 || t->dtype == ONWARD_INT8) {
      const bool is_signed = t->dtype == ONWARD_INT8;
      ((uint8_t *)t->data)[i] = kind[0] == 'w'   ? (is_signed ? 127 : 255)
                                : kind[0] == 'o' ? (is_signed ? 128 : 0)
                                                 : (uint8_t)next_random(seed);
    } else if (t->dtype == ONWARD_INT32) {
      ow_set_i64(ONWARD_INT32, t->data, i, next_random(seed) % 3 != 0);
    } else if (t->dtype == ONWARD_INT64) {
      const int64_t x = (int64_t)(next_random(seed) % 2000) - 1000;
      memcpy((char *)t->data + i * 8, &x, 8);
    } else {
      fatal(c, "no values for this type");
    }
  }
}

static void add_input(built *b, const run_case *c, char *word, uint64_t *seed, ow_value **values) {
  const size_t slot = b->in_count++;
  if (slot >= RUN_INPUTS)
    fatal(c, "too many inputs");
  if (word[0] == '-')
    return;
  onward_tensor *const t = &b->tensors[slot];
  t->dtype = word[0] == 'f'   ? ONWARD_FLOAT32
             : word[0] == 'b' ? ONWARD_BOOL
             : word[0] == 'i' ? ONWARD_INT32
             : word[0] == 'u' ? ONWARD_UINT8
             : word[0] == 'c' ? ONWARD_INT8
             : word[0] == 'h' ? ONWARD_FLOAT16
             : word[0] == 'g' ? ONWARD_BFLOAT16
                              : ONWARD_INT64;
  const size_t length = strlen(word);
  b->constant[slot] = word[length - 1] == '!';
  if (b->constant[slot])
    word[length - 1] = 0;
  char *at = word + 2;
  if (*at == 's')
    at++;
  else
    for (;;) {
      t->dims[t->rank++] = strtoll(at, &at, 10);
      if (*at != 'x')
        break;
      at++;
    }
  if (!ow_tensor_size(t->dtype, t->rank, t->dims, &t->bytes))
    fatal(c, "bad dims");
  /* Constants lie at an odd address, as those of a mapped file may. */
  char *const memory = ow_arena_aligned(&b->arena, t->bytes + 64);
  if (!memory)
    fatal(c, "no memory");
  t->data = memory + (b->constant[slot] && t->dtype == ONWARD_FLOAT32 ? 1 : 0);
  b->odd[slot] = t->data;
  b->even[slot] = ow_arena_aligned(&b->arena, t->bytes);
  if (!b->even[slot])
    fatal(c, "no memory");
  fill(c, t, *at == ':' ? at + 1 : "n", seed);
  memcpy(b->even[slot], t->data, t->bytes);
  b->in[slot] = t;

  char name[16];
  snprintf(name, sizeof name, "in%zu", slot);
  ow_value *v;
  if (b->constant[slot]) {
    ow_const *const data = ow_arena_zero(&b->arena, 1, sizeof *data);
    if (!data)
      fatal(c, "no memory");
    *data = (ow_const){.dtype = t->dtype, .rank = t->rank, .data = t->data, .bytes = t->bytes};
    memcpy(data->dims, t->dims, sizeof t->dims);
    v = ow_graph_add_const(b->graph, name, data);
  } else {
    v = ow_graph_add_value(b->graph, name);
  }
  if (!v || (!b->constant[slot] && !ow_graph_add_input(b->graph, v)))
    fatal(c, "no memory");
  v->type = (ow_type){.dtype = t->dtype, .shape.rank = t->rank};
  for (int32_t d = 0; d < t->rank; d++)
    v->type.shape.dims[d] = ow_dim_const(t->dims[d]);
  values[slot] = v;
}

static void build(built *b, run_context *context, const run_case *c) {
  *b = (built){0};
  onward_error err;
  uint64_t seed = context->seed;
  ow_arena_init(&b->arena, &ow_allocator_default);
  b->dims = ow_dims_create(&ow_allocator_default);
  b->graph = b->dims ? ow_graph_create(&ow_allocator_default, &b->arena, b->dims) : NULL;
  if (!b->graph)
    fatal(c, "no memory");
  char text[512];
  ow_value *values[RUN_INPUTS] = {NULL}, *outputs[RUN_OUTPUTS] = {NULL};
  snprintf(text, sizeof text, "%s", c->inputs);
  for (char *rest = text, *word; (word = strtok_r(rest, " ", &rest));)
    add_input(b, c, word, &seed, values);
  b->out_count = c->outputs ? c->outputs : 1;
  for (size_t i = 0; i < b->out_count; i++)
    outputs[i] = ow_graph_add_value(b->graph, NULL);
  b->node = ow_graph_add_node(b->graph, NULL, "node", c->domain, c->op, c->version, values, b->in_count, outputs,
                              b->out_count);
  if (!b->node)
    fatal(c, "no memory");
  snprintf(text, sizeof text, "%s", c->attributes ? c->attributes : "");
  for (char *rest = text, *word; (word = strtok_r(rest, " ", &rest));)
    add_attribute(b, c, word);
  if (ow_graph_resolve(b->graph, context->registry, &err) || ow_infer_node(b->graph, b->node, &err))
    fatal(c, err.message);
  for (size_t i = 0; i < b->out_count; i++) {
    onward_tensor *const t = &b->tensors[RUN_INPUTS + i];
    const ow_type *const type = &b->node->outputs[i]->type;
    t->dtype = type->dtype;
    t->rank = type->shape.rank;
    for (int32_t d = 0; d < t->rank; d++) {
      if (!ow_dim_is_const(type->shape.dims[d]))
        fatal(c, "an output dim is not known");
      t->dims[d] = type->shape.dims[d].k;
    }
    if (!ow_tensor_size(t->dtype, t->rank, t->dims, &t->bytes))
      fatal(c, "bad output dims");
    b->memory[i] = ow_arena_aligned(&b->arena, t->bytes + 2 * GUARD);
    if (!b->memory[i])
      fatal(c, "no memory");
    t->data = b->memory[i] + GUARD;
    b->out[i] = t;
  }
}

static void tear_down(built *b) {
  ow_graph_free(b->graph);
  ow_dims_free(b->dims);
  ow_arena_free(&b->arena);
}

/* ---- running --------------------------------------------------------------------------------------------------------------- */

typedef struct prepared {
  const ow_kernel *kernel;
  ow_args args;
  ow_packed packed[RUN_INPUTS];
  void *state;
  uint8_t *workspace;
  size_t workspace_bytes;
} prepared;

static ow_args args_of(built *b, int threads) {
  return (ow_args){.node = b->node,
                   .in = b->in,
                   .in_count = b->in_count,
                   .out = b->out,
                   .out_count = b->out_count,
                   .constant = b->constant,
                   .packed = b->packed,
                   .threads = threads,
                   .allocator = &ow_allocator_default};
}

static void prepare_kernel(prepared *p, built *b, const run_case *c, const ow_kernel *kernel, int threads) {
  onward_error err = {0};
  *p = (prepared){.kernel = kernel, .args = args_of(b, threads)};
  for (size_t i = 0; i < b->in_count; i++)
    if (b->constant[i])
      b->tensors[i].data = kernel->flags & OW_KERNEL_UNALIGNED ? b->odd[i] : b->even[i];
  const uint64_t slots = kernel->pack_slots ? kernel->pack_slots(&p->args) : 0;
  for (size_t i = 0; i < RUN_INPUTS; i++) {
    b->packed[i] = NULL;
    if (i >= b->in_count || !(slots >> i & 1) || !b->constant[i])
      continue;
    if (kernel->pack(&p->args, i, &p->packed[i], &err))
      fatal(c, err.message);
    b->packed[i] = p->packed[i].data;
  }
  p->state = ow_alloc_zero(&ow_allocator_default, 1, kernel->state_size + 1);
  if (!p->state || (kernel->prepare && kernel->prepare(&p->args, p->state, &p->workspace_bytes, &err)))
    fatal(c, err.message);
  p->workspace = ow_alloc(&ow_allocator_default, p->workspace_bytes + 2 * GUARD);
  if (!p->workspace)
    fatal(c, "no memory");
  memset(p->workspace, 0xff, p->workspace_bytes + 2 * GUARD); /* NaN everywhere */
  memset(p->workspace, GUARD_BYTE, GUARD);
  memset(p->workspace + GUARD + p->workspace_bytes, GUARD_BYTE, GUARD);
  p->args.workspace = p->workspace + GUARD;
}

static void release_kernel(prepared *p) {
  if (p->kernel->destroy)
    p->kernel->destroy(p->state);
  ow_free(&ow_allocator_default, p->state);
  ow_free(&ow_allocator_default, p->workspace);
  for (size_t i = 0; i < RUN_INPUTS; i++) {
    if (p->packed[i].free)
      p->packed[i].free(&ow_allocator_default, p->packed[i].data);
    else
      ow_free(&ow_allocator_default, p->packed[i].data);
  }
}

static bool guard_ok(const uint8_t *p) {
  for (size_t i = 0; i < GUARD; i++)
    if (p[i] != GUARD_BYTE)
      return false;
  return true;
}

static void report(run_context *context, const run_case *c, const ow_kernel *kernel, const char *format, ...) {
  char text[256];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  printf("FAIL %s: %s %s [%s]: %s\n", kernel->name, c->op, c->inputs, c->attributes ? c->attributes : "", text);
  context->failures++;
}

/* Runs and checks the guards. Outputs are poisoned before. */
static bool run_guarded(run_context *context, const run_case *c, built *b, prepared *p) {
  onward_error err = {0};
  for (size_t i = 0; i < b->out_count; i++)
    memset(b->memory[i], GUARD_BYTE, b->out[i]->bytes + 2 * GUARD);
  if (p->kernel->run(&p->args, p->state, &err)) {
    report(context, c, p->kernel, "%s", err.message);
    return false;
  }
  for (size_t i = 0; i < b->out_count; i++)
    if (!guard_ok(b->memory[i]) || !guard_ok(b->memory[i] + GUARD + b->out[i]->bytes)) {
      report(context, c, p->kernel, "wrote outside output %zu", i);
      return false;
    }
  if (!guard_ok(p->workspace) || !guard_ok(p->workspace + GUARD + p->workspace_bytes)) {
    report(context, c, p->kernel, "wrote outside its workspace");
    return false;
  }
  return true;
}

/* Bit for bit, but for the sign and payload of NaN, which hang on the order of operands in an instruction. */
static bool identical(onward_dtype dtype, const void *a, const void *b, size_t bytes) {
  if (dtype != ONWARD_FLOAT32)
    return memcmp(a, b, bytes) == 0;
  const float *const x = a, *const y = b;
  for (size_t i = 0; i < bytes / sizeof *x; i++)
    if (memcmp(x + i, y + i, sizeof *x) != 0 && !(isnan(x[i]) && isnan(y[i])))
      return false;
  return true;
}

static bool compare(run_context *context, const run_case *c, const ow_kernel *kernel, const onward_tensor *got,
                    const void *want) {
  const int64_t n = ow_dims_product(got->dims, 0, got->rank);
  if (got->dtype != ONWARD_FLOAT32) {
    if (memcmp(got->data, want, got->bytes) == 0)
      return true;
    report(context, c, kernel, "bytes differ");
    return false;
  }
  for (int64_t i = 0; i < n; i++) {
    const float g = ((const float *)got->data)[i], w = ((const float *)want)[i];
    if (!near(g, w)) {
      report(context, c, kernel, "element %lld of %lld is %.9g, want %.9g", (long long)i, (long long)n, (double)g,
             (double)w);
      return false;
    }
  }
  return true;
}

/* With the output in the memory of an input, where the row allows it, the result is bit for bit the same. */
static void check_in_place(run_context *context, const run_case *c, built *b, const ow_kernel *kernel,
                           const void *const *apart) {
  const ow_op *const op = b->node->op;
  for (size_t i = 0; i < op->inplace_count; i++) {
    const ow_inplace pair = op->inplace[i];
    if (pair.out >= b->out_count || pair.in >= b->in_count || !b->in[pair.in] || b->constant[pair.in] ||
        b->in[pair.in]->bytes != b->out[pair.out]->bytes)
      continue;
    void *const own = b->out[pair.out]->data;
    void *const other = b->in[pair.in]->data;
    void *const shared = ow_arena_aligned(&b->arena, b->out[pair.out]->bytes + 64);
    if (!shared)
      fatal(c, "no memory");
    memcpy(shared, other, b->out[pair.out]->bytes);
    b->out[pair.out]->data = shared;
    b->tensors[pair.in].data = shared;
    prepared p;
    prepare_kernel(&p, b, c, kernel, 2);
    onward_error err;
    if (kernel->run(&p.args, p.state, &err) ||
        !identical(b->out[pair.out]->dtype, shared, apart[pair.out], b->out[pair.out]->bytes))
      report(context, c, kernel, "another result in place of input %d", pair.in);
    release_kernel(&p);
    b->out[pair.out]->data = own;
    b->tensors[pair.in].data = other;
  }
}

static void check_kernel(run_context *context, const run_case *c, built *b, const ow_kernel *kernel,
                         const void *const *want) {
  void *first[RUN_OUTPUTS] = {NULL};
  for (int threads = 1; threads <= 2; threads++) {
    prepared p;
    prepare_kernel(&p, b, c, kernel, threads);
    bool ok = run_guarded(context, c, b, &p);
    for (size_t i = 0; i < b->out_count && ok; i++) {
      if (threads == 1) {
        ok = compare(context, c, kernel, b->out[i], want[i]);
        if (!(first[i] = ow_arena_alloc(&b->arena, b->out[i]->bytes)))
          fatal(c, "no memory");
        memcpy(first[i], b->out[i]->data, b->out[i]->bytes);
      } else if (!identical(b->out[i]->dtype, first[i], b->out[i]->data, b->out[i]->bytes)) {
        report(context, c, kernel, "%d threads give another result than 1", threads);
        ok = false;
      }
    }
    /* What a run leaves in state and workspace must not show in the next. */
    ok = ok && run_guarded(context, c, b, &p);
    for (size_t i = 0; i < b->out_count && ok; i++)
      if (!identical(b->out[i]->dtype, first[i], b->out[i]->data, b->out[i]->bytes)) {
        report(context, c, kernel, "a second run gives another result");
        ok = false;
      }
    release_kernel(&p);
    if (!ok)
      return;
  }
  check_in_place(context, c, b, kernel, (const void *const *)first);
  context->comparisons++;
}

static void bench_kernel(const run_case *c, built *b, const ow_kernel *kernel, int threads) {
  prepared p;
  onward_error err;
  prepare_kernel(&p, b, c, kernel, threads);
  double best = 1e30;
  const int64_t stop = ow_time_ns() + 200000000;
  for (int i = 0; i < 3 || ow_time_ns() < stop; i++) {
    const int64_t start = ow_time_ns();
    if (kernel->run(&p.args, p.state, &err))
      fatal(c, err.message);
    const double t = (double)(ow_time_ns() - start);
    best = t < best ? t : best;
  }
  double bytes = 0;
  for (size_t i = 0; i < b->in_count; i++)
    bytes += b->in[i] ? (double)b->in[i]->bytes : 0;
  for (size_t i = 0; i < b->out_count; i++)
    bytes += (double)b->out[i]->bytes;
  printf("%-20s %d threads %10.1f us %7.2f GB/s", kernel->name, threads, best / 1e3, bytes / best);
  if (b->in_count > 1 && b->in[1] && b->in[1]->rank >= 2 && strstr("Linear MatMul Gemm", c->op)) {
    const onward_tensor *const x = b->in[0], *const y = b->out[0];
    printf(" %7.1f GFLOP/s", 2.0 * (double)ow_dims_product(y->dims, 0, y->rank) * (double)x->dims[x->rank - 1] / best);
  }
  printf("   %s %s %s\n", c->op, c->inputs, c->attributes ? c->attributes : "");
  fflush(stdout);
  release_kernel(&p);
}

static run_seen *seen_of(run_context *context, const ow_kernel *kernel) {
  for (size_t i = 0; i < context->seen_count; i++)
    if (strcmp(context->seen[i].name, kernel->name) == 0)
      return &context->seen[i];
  return NULL;
}

void run_check(run_context *context, const run_case *c) {
  built b;
  build(&b, context, c);
  context->cases++;
  context->seed += 0x9e37;
  const ow_kernel *const *const kernels = b.node->op->kernels;
  size_t last = 0;
  while (kernels[last + 1])
    last++;
  void *want[RUN_OUTPUTS] = {NULL};
  if (!context->bench) {
    prepared p;
    prepare_kernel(&p, &b, c, kernels[last], 1);
    if (!run_guarded(context, c, &b, &p))
      exit(2);
    for (size_t i = 0; i < b.out_count; i++) {
      if (!(want[i] = ow_arena_alloc(&b.arena, b.out[i]->bytes)))
        fatal(c, "no memory");
      memcpy(want[i], b.out[i]->data, b.out[i]->bytes);
    }
    release_kernel(&p);
  }
  for (size_t i = 0; i < last; i++) {
    run_seen *const seen = seen_of(context, kernels[i]);
    const ow_args args = args_of(&b, 2);
    ow_why why = {{0}};
    if (!seen || !seen->available)
      continue;
    if (kernels[i]->supports && !kernels[i]->supports(&args, &why)) {
      if (context->verbose)
        printf("%s refuses %s %s [%s]: %s\n", kernels[i]->name, c->op, c->inputs, c->attributes ? c->attributes : "",
               why.text);
      continue;
    }
    seen->accepted++;
    if (context->bench)
      for (int threads = 1; threads <= 2; threads++)
        bench_kernel(c, &b, kernels[i], threads);
    else
      check_kernel(context, c, &b, kernels[i], (const void *const *)want);
  }
  tear_down(&b);
}

void run_checkf(run_context *context, const char *domain, const char *op, int32_t version, const char *attributes,
                const char *format, ...) {
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  const run_case c = {domain, op, version, attributes, text, 1};
  run_check(context, &c);
}
