#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "element.h"
#include "input.h"
#include "json_out.h"

enum { WARM_UPS = 2, LEAST_RUNS = 5 };

typedef struct runs {
  onward_named_tensor *inputs, *outputs;
  double *ms;
  size_t count, capacity;
} runs;

static bool run_once(ow_work *work, const runs *r, double *ms, onward_error *err) {
  const ow_signature *const s = &work->signature;
  for (size_t i = 0; i < s->output_count; i++)
    r->outputs[i] = (onward_named_tensor){.name = s->outputs[i].name};
  const double begin = ow_host_ms();
  const onward_status status =
      onward_session_run(work->session, r->inputs, s->input_count, r->outputs, s->output_count, NULL, err);
  *ms = ow_host_ms() - begin;
  return status == ONWARD_OK;
}

static bool run_timed(ow_work *work, runs *r, double seconds, onward_error *err) {
  double ms = 0;
  for (int i = 0; i < WARM_UPS; i++)
    if (!run_once(work, r, &ms, err))
      return false;
  const double begin = ow_host_ms();
  while (r->count < LEAST_RUNS || ow_host_ms() - begin < seconds * 1e3) {
    if (!run_once(work, r, &ms, err))
      return false;
    if (r->count == r->capacity) {
      r->capacity = 2 * r->capacity + 1024;
      double *const grown = ow_scratch_take(&work->scratch, r->capacity * sizeof *grown);
      if (r->count > 0)
        memcpy(grown, r->ms, r->count * sizeof *grown);
      r->ms = grown;
    }
    r->ms[r->count++] = ms;
  }
  return true;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median_of(const double *sorted, size_t n) {
  return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static bool make_inputs(ow_work *work, const ow_shapes *shapes, runs *r, onward_error *err) {
  for (size_t i = 0; i < shapes->count; i++) {
    const onward_input_shape *const shape = &shapes->items[i];
    r->inputs[i].name = shape->name;
    if (!ow_input_fill(&work->signature.inputs[i], shape->rank, shape->dims, 1, 0.1, &work->scratch,
                       &r->inputs[i].tensor, err))
      return false;
  }
  return true;
}

static void add_outputs(ow_json *json, const runs *r, size_t count) {
  ow_json_open(json, "outputs", '{');
  for (size_t i = 0; i < count; i++) {
    if (ow_element_class_of(r->outputs[i].tensor.dtype) == OW_ELEMENT_OTHER)
      continue;
    const ow_tensor_stats stats = ow_tensor_measure(&r->outputs[i].tensor);
    ow_json_open(json, r->outputs[i].name, '{');
    ow_json_real(json, "sum", stats.sum);
    ow_json_real(json, "abs_sum", stats.abs_sum);
    ow_json_close(json, '}');
  }
  ow_json_close(json, '}');
}

static void print_details(const ow_work *work, const runs *r) {
  for (size_t i = 0; i < r->count; i++)
    printf("run %zu: %.3f ms\n", i + 1, r->ms[i]);
  const onward_session_stats s = onward_session_get_stats(work->session);
  printf("runs %llu, plans built %llu, rebound %llu, cached %llu, primitives %llu, arena %llu bytes\n",
         (unsigned long long)s.runs, (unsigned long long)s.plans_built, (unsigned long long)s.plans_rebound,
         (unsigned long long)s.plans_cached, (unsigned long long)s.primitives_created,
         (unsigned long long)s.arena_bytes);
}

int ow_bench_encode(ow_work *work, const ow_bench_options *o, onward_error *err) {
  ow_bench_figures f = {0, 0};
  if (!ow_bench_open(work, o, &f, err))
    return ow_cmd_report(err);
  const ow_signature *const s = &work->signature;
  ow_shapes shapes = ow_shapes_none(s, &work->scratch);
  if (!ow_shapes_parse(s, &o->shapes, &shapes, &work->scratch, err))
    return ow_cmd_report(err);
  if (!ow_shapes_derive(s, &shapes))
    return ow_shapes_report_missing("bench", o->model, s, &shapes, &work->scratch);
  runs r = {.inputs = ow_scratch_take(&work->scratch, s->input_count * sizeof *r.inputs),
            .outputs = ow_scratch_take(&work->scratch, s->output_count * sizeof *r.outputs)};
  double first = 0;
  if (!make_inputs(work, &shapes, &r, err) || !run_once(work, &r, &first, err))
    return ow_cmd_report(err);
  f.first_ms = ow_host_ms() - o->began_ms;
  if (!run_timed(work, &r, o->seconds, err) || (o->profile != NULL && !ow_work_save_profile(work, o->profile, err)))
    return ow_cmd_report(err);
  const double peak = ow_host_peak_mib();
  if (o->verbose)
    print_details(work, &r);
  qsort(r.ms, r.count, sizeof *r.ms, ascending);
  if (!o->json)
    printf("%zu runs: least %.3f ms, median %.3f ms; load %.1f ms, first output after %.1f ms, at most %.1f MiB\n",
           r.count, r.ms[0], median_of(r.ms, r.count), f.load_ms, f.first_ms, peak);
  ow_json json = {.out = {.scratch = &work->scratch}};
  ow_json_open(&json, NULL, '{');
  ow_json_text(&json, "precision", o->common.precision);
  ow_json_real(&json, "min_ms", r.ms[0]);
  ow_json_real(&json, "median_ms", median_of(r.ms, r.count));
  ow_json_real(&json, "load_ms", f.load_ms);
  ow_json_real(&json, "first_ms", f.first_ms);
  ow_json_real(&json, "peak_rss_mib", peak);
  add_outputs(&json, &r, s->output_count);
  ow_json_close(&json, '}');
  ow_json_print(&json);
  return OW_EXIT_OK;
}
