/* A decoder through a state, or, where the model has a past that a state cannot keep, with past_key_values inputs. Then its present
 * outputs are written to one set of buffers while the past is read from the other; they change places, so nothing is copied.
 *
 *     past_key_values.*  <- buffers[k]        present.*  -> buffers[1 - k] */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "element.h"
#include "input.h"
#include "json_out.h"

typedef struct cache {
  size_t input, output; /* of the model */
  void *buffers[2];
  size_t bytes; /* of each buffer */
} cache;

typedef struct decoder {
  ow_work *work;
  onward_state *state;                   /* NULL: pasts are inputs */
  onward_named_tensor *inputs, *outputs; /* of the model, in its order */
  onward_named_tensor *given;            /* of one call */
  size_t ids, mask, positions, logits;   /* indices; SIZE_MAX: there is none */
  cache *caches;
  size_t cache_count;
  int64_t capacity; /* tokens */
  int turn;
} decoder;

static size_t index_of(const onward_value_info *infos, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(infos[i].name, name) == 0)
      return i;
  return SIZE_MAX;
}

/* "past_key_values.0.key" -> "present.0.key" */
static const char *present_name(const char *past, ow_scratch *scratch) {
  static const char from[] = "past_key_values";
  return ow_scratch_text(scratch, "present%s", past + sizeof from - 1);
}

/* An empty past: [1, heads, 0, head size] */
static bool add_cache(decoder *d, size_t input, onward_error *err) {
  ow_scratch *const scratch = &d->work->scratch;
  const ow_signature *const s = &d->work->signature;
  const onward_value_info *const info = &s->inputs[input];
  if (info->rank != 4 || info->dims[1] < 0 || info->dims[3] < 0)
    return ow_cmd_fail(
        err, ONWARD_UNSUPPORTED,
        "--generate: input '%s' is %s; want [batch, heads, past, head size] with fixed heads and head size", info->name,
        ow_value_text(info, scratch));
  const char *const name = present_name(info->name, scratch);
  cache *const c = &d->caches[d->cache_count++];
  c->input = input;
  c->output = index_of(s->outputs, s->output_count, name);
  if (c->output == SIZE_MAX)
    return ow_cmd_fail(err, ONWARD_UNSUPPORTED, "--generate: input '%s' has no output '%s'", info->name, name);
  const int64_t full[4] = {1, info->dims[1], d->capacity, info->dims[3]};
  if (onward_tensor_bytes(info->dtype, 4, full, &c->bytes, err) != ONWARD_OK)
    return false;
  for (int i = 0; i < 2; i++)
    c->buffers[i] = ow_scratch_take(scratch, c->bytes);
  d->inputs[input].tensor = (onward_tensor){
      .dtype = info->dtype, .rank = 4, .dims = {1, info->dims[1], 0, info->dims[3]}, .data = c->buffers[0]};
  return true;
}

static bool is_integer(const decoder *d, size_t input) {
  return input == SIZE_MAX || ow_element_class_of(d->work->signature.inputs[input].dtype) == OW_ELEMENT_INT;
}

static bool decoder_make(decoder *d, onward_error *err) {
  const ow_signature *const s = &d->work->signature;
  ow_scratch *const scratch = &d->work->scratch;
  d->inputs = ow_scratch_take(scratch, s->input_count * sizeof *d->inputs);
  d->outputs = ow_scratch_take(scratch, s->output_count * sizeof *d->outputs);
  d->given = ow_scratch_take(scratch, s->input_count * sizeof *d->given);
  d->caches = ow_scratch_take(scratch, s->input_count * sizeof *d->caches);
  d->ids = index_of(s->inputs, s->input_count, "input_ids");
  d->mask = index_of(s->inputs, s->input_count, "attention_mask");
  d->positions = index_of(s->inputs, s->input_count, "position_ids");
  d->logits = index_of(s->outputs, s->output_count, "logits");
  if (d->ids == SIZE_MAX || d->logits == SIZE_MAX)
    return ow_cmd_fail(err, ONWARD_UNSUPPORTED, "--generate: the model has no input 'input_ids' or no output 'logits'");
  if (!is_integer(d, d->ids) || !is_integer(d, d->mask) || !is_integer(d, d->positions))
    return ow_cmd_fail(err, ONWARD_UNSUPPORTED,
                       "--generate: input_ids, attention_mask and position_ids must be integers");
  const onward_status status = onward_state_create(d->work->model, d->capacity, &d->state, err);
  if (status != ONWARD_OK && status != ONWARD_UNSUPPORTED)
    return false;
  for (size_t i = 0; i < s->output_count; i++)
    d->outputs[i].name = s->outputs[i].name;
  for (size_t i = 0; i < s->input_count; i++) {
    d->inputs[i].name = s->inputs[i].name;
    if (i == d->ids || i == d->mask || i == d->positions || onward_state_keeps(d->state, s->inputs[i].name))
      continue;
    if (strncmp(s->inputs[i].name, "past_key_values", 15) != 0)
      return ow_cmd_fail(err, ONWARD_UNSUPPORTED,
                         "--generate: input '%s' is none of input_ids, attention_mask, position_ids, past_key_values",
                         s->inputs[i].name);
    if (!add_cache(d, i, err))
      return false;
  }
  if (d->cache_count == 0 && d->state == NULL)
    return ow_cmd_fail(
        err, ONWARD_UNSUPPORTED,
        "--generate: the model has no past_key_values inputs; onward bench MODEL --shape measures whole sequences");
  return true;
}

/* count integers first, first + step, ... as [1, count], into memory of the step */
static bool set_integers(decoder *d, size_t input, int64_t count, int64_t first, int64_t step, ow_scratch *scratch,
                         onward_error *err) {
  if (input == SIZE_MAX)
    return true;
  onward_tensor *const t = &d->inputs[input].tensor;
  const int64_t dims[2] = {1, count};
  if (!ow_tensor_make(d->work->signature.inputs[input].dtype, 2, dims, scratch, t, err))
    return false;
  for (int64_t i = 0; i < count; i++)
    if (!ow_element_set(t->dtype, t->data, i, (double)(first + i * step)))
      return ow_cmd_fail(err, ONWARD_INPUT, "--generate: '%s' of type %s cannot hold %lld", d->inputs[input].name,
                         onward_dtype_name(t->dtype), (long long)(first + i * step));
  return true;
}

static int64_t argmax_last(const onward_tensor *logits) {
  const int64_t width = logits->rank > 0 ? logits->dims[logits->rank - 1] : 0;
  const int64_t start = ow_tensor_count(logits) - width;
  int64_t best = -1;
  double most = 0;
  for (int64_t i = 0; i < width; i++) {
    const double v = ow_element_get(logits->dtype, logits->data, start + i);
    if (isnan(v))
      return i; /* as numpy does */
    if (best < 0 || v > most) {
      best = i;
      most = v;
    }
  }
  return best;
}

/* One call: `count` tokens after `past` ones. input_ids are set already. */
static bool call(decoder *d, int64_t past, int64_t count, ow_scratch *scratch, int64_t *argmax, onward_error *err) {
  const ow_signature *const s = &d->work->signature;
  if (!set_integers(d, d->mask, past + count, 1, 0, scratch, err) ||
      !set_integers(d, d->positions, count, past, 1, scratch, err))
    return false;
  for (size_t i = 0; i < s->output_count; i++)
    d->outputs[i].tensor = (onward_tensor){.dtype = ONWARD_UNDEFINED};
  for (size_t i = 0; i < d->cache_count; i++) {
    onward_tensor *const present = &d->outputs[d->caches[i].output].tensor;
    present->data = d->caches[i].buffers[1 - d->turn];
    present->bytes = d->caches[i].bytes;
  }
  onward_run_options options = onward_run_options_default();
  options.state = d->state;
  options.last_token_logits_only = d->state != NULL;
  size_t given = 0;
  for (size_t i = 0; i < s->input_count; i++)
    if (!onward_state_keeps(d->state, s->inputs[i].name))
      d->given[given++] = d->inputs[i];
  if (onward_session_run(d->work->session, d->given, given, d->state ? &d->outputs[d->logits] : d->outputs,
                         d->state ? 1 : s->output_count, &options, err) != ONWARD_OK)
    return false;
  d->turn = 1 - d->turn;
  for (size_t i = 0; i < d->cache_count; i++)
    d->inputs[d->caches[i].input].tensor = d->outputs[d->caches[i].output].tensor;
  *argmax = argmax_last(&d->outputs[d->logits].tensor);
  return true;
}

static bool prefill(decoder *d, int64_t count, int64_t *argmax, onward_error *err) {
  ow_scratch scratch = {NULL};
  bool ok = set_integers(d, d->ids, count, 100, 1, &scratch, err);
  for (int64_t i = 0; ok && i < count; i++) {
    const onward_tensor *const t = &d->inputs[d->ids].tensor;
    ow_element_set(t->dtype, t->data, i, (double)(i % 1000 + 100));
  }
  ok = ok && call(d, 0, count, &scratch, argmax, err);
  ow_scratch_free(&scratch);
  return ok;
}

static bool step(decoder *d, int64_t past, int64_t token, int64_t *argmax, onward_error *err) {
  ow_scratch scratch = {NULL};
  const bool ok = set_integers(d, d->ids, 1, token, 0, &scratch, err) && call(d, past, 1, &scratch, argmax, err);
  ow_scratch_free(&scratch);
  return ok;
}

int ow_bench_report_decoding(ow_work *work, const ow_bench_options *o, const ow_bench_decoding *f) {
  const double peak = ow_host_peak_mib(), prefill_rate = (double)o->prompt_tokens * 1e3 / f->prefill_ms,
               decode_rate = (double)o->new_tokens * 1e3 / f->decode_ms;
  if (!o->json)
    printf("prompt %.1f tokens/s, then %.1f tokens/s; load %.1f ms, first token after %.1f ms, at most %.1f MiB\n",
           prefill_rate, decode_rate, f->load_ms, f->first_ms, peak);
  ow_json json = {.out = {.scratch = &work->scratch}};
  ow_json_open(&json, NULL, '{');
  ow_json_text(&json, "precision", o->common.precision);
  ow_json_real(&json, "prefill_tok_s", prefill_rate);
  ow_json_real(&json, "decode_tok_s", decode_rate);
  ow_json_real(&json, "load_ms", f->load_ms);
  ow_json_real(&json, "first_ms", f->first_ms);
  ow_json_real(&json, "peak_rss_mib", peak);
  ow_json_open(&json, "argmax", '[');
  for (int64_t i = 0; i <= o->new_tokens; i++)
    ow_json_real(&json, NULL, (double)f->argmax[i]);
  ow_json_close(&json, ']');
  ow_json_close(&json, '}');
  ow_json_print(&json);
  return OW_EXIT_OK;
}

static int measure(decoder *d, ow_bench_figures f, const ow_bench_options *o, onward_error *err) {
  ow_work *const work = d->work;
  const int64_t prompt = o->prompt_tokens, steps = o->new_tokens;
  int64_t *const argmax = ow_scratch_take(&work->scratch, (size_t)(steps + 1) * sizeof *argmax);
  const double begin = ow_host_ms();
  if (!prefill(d, prompt, &argmax[0], err))
    return ow_cmd_report(err);
  const double filled = ow_host_ms();
  double last = filled;
  for (int64_t i = 0; i < steps; i++) {
    if (!step(d, prompt + i, 100 + i, &argmax[i + 1], err))
      return ow_cmd_report(err);
    const double now = ow_host_ms();
    if (o->verbose)
      printf("step %lld: %.3f ms\n", (long long)i + 1, now - last);
    last = now;
  }
  const double decoded = ow_host_ms();
  if (o->profile != NULL && !ow_work_save_profile(work, o->profile, err))
    return ow_cmd_report(err);
  const ow_bench_decoding figures = {f.load_ms, filled - o->began_ms, filled - begin, decoded - filled, argmax};
  return ow_bench_report_decoding(work, o, &figures);
}

int ow_bench_generate(ow_work *work, const ow_bench_options *o, onward_error *err) {
  ow_bench_figures f = {0, 0};
  decoder d = {.work = work, .capacity = o->prompt_tokens + o->new_tokens};
  const int code =
      ow_bench_open(work, o, &f, err) && decoder_make(&d, err) ? measure(&d, f, o, err) : ow_cmd_report(err);
  onward_state_free(d.state);
  return code;
}
