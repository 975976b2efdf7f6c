/* One operator of random types, shapes, attributes and values: every kernel of its row against the row's scalar reference, apart and
 * in place. Bytes choose; where they end, zeros do. A difference, a write outside an output or the workspace, or an error of one
 * kernel alone ends the process. FUZZ_KERNELS_SEEN=1 prints at exit how often each kernel was compared. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/size.h"
#include "fuzz/kernel_case.h"
#include "ops/ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { GUARD_BYTE = 0x5a, KERNELS_MAX = 2048 };

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
  fuzz_case f;
  if (kernel_case_build(&c, registry, row_count, &f))
    check(&f, &c);
  kernel_case_free(&f);
  return 0;
}
