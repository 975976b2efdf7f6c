/* LayerNormalization, RMSNormalization and the internal SkipNorm over the trailing axes. */
#include "ops/cpu/fast_help.h"

typedef struct job {
  const float *x, *skip, *scale, *shift; /* skip, shift: NULL when absent */
  int64_t skip_rows;                     /* row r of x gets row r % skip_rows of skip */
  float *y, *sum, *mean, *inv;           /* NULL: not wanted */
  int64_t n;
  float epsilon;
  bool rms;
} job;

/* The same in double, for a row whose squares leave the range of float. */
static void row_in_double(const job *j, int64_t r, const float *x) {
  const int64_t n = j->n;
  double mean = 0, square = 0;
  for (int64_t i = 0; i < n && !j->rms; i++)
    mean += (double)ow_fast_scalar(x + i) / (double)n;
  for (int64_t i = 0; i < n; i++) {
    const double v = (double)ow_fast_scalar(x + i) - mean;
    square += v * v;
  }
  const double inv = 1 / sqrt(square / (double)n + (double)j->epsilon);
  for (int64_t i = 0; i < n; i++) {
    const double v = ((double)ow_fast_scalar(x + i) - mean) * inv * (double)ow_fast_scalar(j->scale + i);
    j->y[r * n + i] = (float)(j->shift ? v + (double)ow_fast_scalar(j->shift + i) : v);
  }
  if (j->mean)
    j->mean[r] = (float)mean;
  if (j->inv)
    j->inv[r] = (float)inv;
}

/* sum = x + skip; returns where the sums are: sum when wanted, otherwise y, which is overwritten by them in turn. */
static const float *add_row(const job *j, int64_t r) {
  const int64_t n = j->n;
  const float *const x = j->x + r * n, *const skip = j->skip + r % j->skip_rows * n;
  float *const to = (j->sum ? j->sum : j->y) + r * n;
  int64_t i = 0;
  for (; i + W <= n; i += W)
    v_store(to + i, v_load(x + i) + v_load(skip + i));
  if (i < n) {
    const vm m = v_first(n - i);
    v_store_masked(to + i, m, v_load_masked(x + i, m) + v_load_masked(skip + i, m));
  }
  return to;
}

static void norm_row(const job *j, int64_t r) {
  const int64_t n = j->n, whole = n - n % W;
  const vm tail = v_first(n - whole);
  const float *const x = j->skip ? add_row(j, r) : j->x + r * n;
  float mean = 0;
  int64_t i;
  if (!j->rms) {
    vf s0 = v_zero(), s1 = v_zero();
    for (i = 0; i + 2 * W <= whole; i += 2 * W) {
      s0 += v_load(x + i);
      s1 += v_load(x + i + W);
    }
    if (i < whole)
      s0 += v_load(x + i);
    if (whole < n)
      s1 += v_load_masked(x + whole, tail);
    mean = v_sum(s0 + s1) / (float)n;
  }
  const vf mv = v_set(mean);
  vf q0 = v_zero(), q1 = v_zero();
  for (i = 0; i + 2 * W <= whole; i += 2 * W) {
    const vf a = v_load(x + i) - mv, b = v_load(x + i + W) - mv;
    q0 = v_fma(a, a, q0);
    q1 = v_fma(b, b, q1);
  }
  if (i < whole) {
    const vf a = v_load(x + i) - mv;
    q0 = v_fma(a, a, q0);
  }
  if (whole < n) {
    const vf a = v_select(tail, v_load_masked(x + whole, tail) - mv, v_zero());
    q1 = v_fma(a, a, q1);
  }
  const float square = v_sum(q0 + q1);
  if (!(square < 3e38f)) {
    row_in_double(j, r, x);
    return;
  }
  const float inv = 1.0f / sqrtf(square / (float)n + j->epsilon);
  const vf iv = v_set(inv);
  float *const y = j->y + r * n;
  for (i = 0; i < n; i += W) {
    const vm m = v_first(n - i);
    const bool full = i < whole;
    const vf xv = full ? v_load(x + i) : v_load_masked(x + i, m);
    const vf sv = full ? v_load(j->scale + i) : v_load_masked(j->scale + i, m);
    vf v = (xv - mv) * iv;
    if (j->shift)
      v = v_fma(v, sv, full ? v_load(j->shift + i) : v_load_masked(j->shift + i, m));
    else
      v = v * sv;
    if (full)
      v_store(y + i, v);
    else
      v_store_masked(y + i, m, v);
  }
  if (j->mean)
    j->mean[r] = mean;
  if (j->inv)
    j->inv[r] = inv;
}

static void rows(void *context, int64_t from, int64_t to) {
  const job *const j = context;
  for (int64_t r = from; r < to; r++)
    norm_row(j, r);
}

static void run_job(const ow_args *a, job *j, int64_t count) {
  ow_parallel_ranges(a->threads, count, ow_fast_grain(a->threads, count, j->n), rows, j);
}

/* ---- LayerNormalization, RMSNormalization -------------------------------------------------------------------------------- */

static int32_t norm_axis(const ow_args *a) { return ow_axis(ow_node_int(a->node, "axis", -1), a->in[0]->rank); }

static bool norm_supports(const ow_args *a, ow_why *why) {
  if (!ow_fast_f32(a, why))
    return false;
  if (!a->out_count || !a->out[0])
    return ow_refuse(why, "output 0 is not wanted");
  const onward_tensor *const x = a->in[0];
  const int32_t axis = norm_axis(a);
  const int64_t n = ow_dims_product(x->dims, axis, x->rank);
  if (n == 0)
    return ow_refuse(why, "empty rows");
  for (size_t i = 1; i < a->in_count; i++)
    if (a->in[i] && (a->in[i]->rank > x->rank - axis || ow_count(a->in[i]) != n))
      return ow_refuse(why, "input %zu is broadcast", i);
  return true;
}

static onward_status norm_run(const ow_args *a, bool rms) {
  const onward_tensor *const x = a->in[0], *const shift = rms ? NULL : ow_fast_in(a, 2);
  onward_tensor *const mean = rms ? NULL : ow_fast_out(a, 1), *const inv = ow_fast_out(a, rms ? 1 : 2);
  const int32_t axis = norm_axis(a);
  job j = {.x = x->data,
           .scale = a->in[1]->data,
           .shift = shift ? shift->data : NULL,
           .y = a->out[0]->data,
           .mean = mean ? mean->data : NULL,
           .inv = inv ? inv->data : NULL,
           .n = ow_dims_product(x->dims, axis, x->rank),
           .epsilon = ow_node_float(a->node, "epsilon", 1e-5f),
           .rms = rms};
  run_job(a, &j, ow_dims_product(x->dims, 0, axis));
  return ONWARD_OK;
}

static onward_status layernorm_run(const ow_args *a, void *state, onward_error *err) {
  return (void)state, (void)err, norm_run(a, false);
}
static onward_status rmsnorm_run(const ow_args *a, void *state, onward_error *err) {
  return (void)state, (void)err, norm_run(a, true);
}

const ow_kernel OW_ISA_NAME(ow_layernorm) = {.name = OW_ISA_STRING("layernorm"),
                                             .cpu = OW_ISA_CPU,
                                             .flags = OW_KERNEL_UNALIGNED,
                                             .supports = norm_supports,
                                             .run = layernorm_run};
const ow_kernel OW_ISA_NAME(ow_rmsnorm) = {.name = OW_ISA_STRING("rmsnorm"),
                                           .cpu = OW_ISA_CPU,
                                           .flags = OW_KERNEL_UNALIGNED,
                                           .supports = norm_supports,
                                           .run = rmsnorm_run};

/* ---- SkipNorm ------------------------------------------------------------------------------------------------------------ */

/* How many rows the skip has when it repeats along leading axes only; 0 when it does not. */
static int64_t skip_rows(const onward_tensor *x, const onward_tensor *skip) {
  int32_t d = skip->rank, e = x->rank;
  while (d > 0 && skip->dims[d - 1] == x->dims[e - 1])
    d--, e--;
  const int64_t same = ow_dims_product(skip->dims, d, skip->rank);
  for (; d > 0; d--)
    if (skip->dims[d - 1] != 1)
      return 0;
  const int64_t n = x->dims[x->rank - 1];
  return n > 0 && same % n == 0 ? same / n : 0;
}

static bool skipnorm_supports(const ow_args *a, ow_why *why) {
  if (!ow_fast_f32(a, why))
    return false;
  if (!a->out_count || !a->out[0])
    return ow_refuse(why, "output 0 is not wanted");
  if (ow_count(a->in[0]) > 0 && skip_rows(a->in[0], a->in[1]) == 0)
    return ow_refuse(why, "the skip is broadcast within a row");
  return true;
}

static onward_status skipnorm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state, (void)err;
  const onward_tensor *const x = a->in[0], *const shift = ow_fast_in(a, 3);
  onward_tensor *const sum = ow_fast_out(a, 1);
  if (ow_count(x) == 0)
    return ONWARD_OK;
  const int64_t n = x->dims[x->rank - 1];
  job j = {.x = x->data,
           .skip = a->in[1]->data,
           .skip_rows = skip_rows(x, a->in[1]),
           .scale = a->in[2]->data,
           .shift = shift ? shift->data : NULL,
           .y = a->out[0]->data,
           .sum = sum ? sum->data : NULL,
           .n = n,
           .epsilon = ow_node_float(a->node, "epsilon", 1e-5f),
           .rms = ow_node_int(a->node, "rms", 0) != 0};
  run_job(a, &j, ow_count(x) / n);
  return ONWARD_OK;
}

const ow_kernel OW_ISA_NAME(ow_skipnorm) = {.name = OW_ISA_STRING("skipnorm"),
                                            .cpu = OW_ISA_CPU,
                                            .flags = OW_KERNEL_UNALIGNED,
                                            .supports = skipnorm_supports,
                                            .run = skipnorm_run};
