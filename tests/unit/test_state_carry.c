/* Operators that carry a past themselves, through a state: what they give without one, bit for bit, and what is past is not written. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
/* after these */
#include <cmocka.h>

#include "base/dtype.h"
#include "runtime/state.h"
#include "unit/onnx_bytes.h"

enum { NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12 };
enum { F32 = 1, U8 = 2, I32 = 6, I64 = 7, F16 = 10, BF16 = 16 };
enum { ROWS = 2, CAPACITY = 70, MOST = 8, PAGE = 4096 };

/* One operator; an output 3 is -past_k, of a second one. Inputs: "name:dims"; b rows, s new tokens, p the past, t both. They are of the case's type, but for those whose name
 * begins with i (int32), u (uint8) and n (int64). */
typedef struct carrier {
  const char *domain, *op;
  int64_t version;
  const char *inputs[12], *outputs[4];
  const char *attributes; /* name=value */
  bool one_token, only_float32;
} carrier;

static const carrier carriers[] = {
    {"com.microsoft",
     "MultiHeadAttention",
     1,
     {"q:b s 8", "k:b s 8", "v:b s 8", "", "", "", "past_k:b 2 p 4", "past_v:b 2 p 4"},
     {"y:b s 8", "present_k:b 2 t 4", "present_v:b 2 t 4"},
     "num_heads=2 unidirectional=1",
     false,
     false},
    {"com.microsoft",
     "MultiHeadAttention",
     1,
     {"q:b s 8", "k:b s 8", "v:b s 8", "", "", "", "past_k:b 2 p 4", "past_v:b 2 p 4"},
     {"y:b s 8", "present_k:b 2 t 4", "present_v:b 2 t 4", "minus:b 2 p 4"},
     "num_heads=2",
     false,
     false},
    {"com.microsoft",
     "Attention",
     1,
     {"x:b s 8", "w:8 24", "bias:24", "", "past:2 b 2 p 4"},
     {"y:b s 8", "present:2 b 2 t 4"},
     "num_heads=2 unidirectional=1",
     false,
     false},
    {"com.microsoft",
     "QAttention",
     1,
     {"ux:b s 8", "uw:8 24", "bias:24", "x_scale:1", "w_scale:1", "", "ux_zero:1", "uw_zero:1", "past:2 b 2 p 4"},
     {"y:b s 8", "present:2 b 2 t 4"},
     "num_heads=2 unidirectional=1",
     false,
     true},
    {"com.microsoft",
     "GroupQueryAttention",
     1,
     {"q:b s 64", "", "", "past_k:b 1 p 16", "past_v:b 1 p 16", "i_last:b", "i_total:1", "cos:99 8", "sin:99 8"},
     {"y:b s 32", "present_k:b 1 t 16", "present_v:b 1 t 16"},
     "num_heads=2 kv_num_heads=1 do_rotary=1",
     false,
     false},
    {"com.microsoft",
     "DecoderMaskedMultiHeadAttention",
     1,
     {"q:b s 8", "k:b s 8", "v:b s 8", "", "", "past_k:b 2 p 4", "past_v:b 2 p 4"},
     {"y:b s 8", "present_k:b 2 t 4", "present_v:b 2 t 4"},
     "num_heads=2",
     true,
     false},
    {"com.microsoft",
     "DecoderMaskedMultiHeadAttention",
     1,
     {"q:b s 8", "k:b s 8", "v:b s 8", "", "", "past_k:b 2 p 4", "past_v:b 2 p 4", "i_held:1"},
     {"y:b s 8", "present_k:b 2 t 4", "present_v:b 2 t 4"},
     "num_heads=2 past_present_share_buffer=1",
     true,
     false},
    {"",
     "Attention",
     23,
     {"q:b s 16", "k:b s 8", "v:b s 12", "", "past_k:b 2 p 4", "past_v:b 2 p 6"},
     {"y:b s 24", "present_k:b 2 t 4", "present_v:b 2 t 6"},
     "is_causal=1 q_num_heads=4 kv_num_heads=2",
     false,
     false},
    {"",
     "Attention",
     24,
     {"q:b s 16", "k:b s 8", "v:b s 8", "", "past_k:b 2 p 4", "past_v:b 2 p 4"},
     {"y:b s 16", "present_k:b 2 t 4", "present_v:b 2 t 4"},
     "is_causal=1 q_num_heads=4 kv_num_heads=2",
     false,
     false},
};
enum { GROUPED = 4, CARRIERS = sizeof carriers / sizeof carriers[0] };

typedef struct run {
  onward_named_tensor in[12], out[4];
  size_t in_count, out_count;
} run;

static bool is_past(const char *name) { return strncmp(name, "past", 4) == 0; }

static int dtype_of(const char *input, int dtype) {
  return input[0] == 'i' ? I32 : input[0] == 'u' ? U8 : input[0] == 'n' ? I64 : dtype;
}

static onward_dtype onward_type(int dtype) {
  return dtype == F32    ? ONWARD_FLOAT32
         : dtype == F16  ? ONWARD_FLOAT16
         : dtype == BF16 ? ONWARD_BFLOAT16
         : dtype == I32  ? ONWARD_INT32
         : dtype == I64  ? ONWARD_INT64
                         : ONWARD_UINT8;
}

/* "name:dims" -> the name, and dims after it */
static const char *split(const char *text, char name[32]) {
  const size_t length = strcspn(text, ":");
  assert_true(length < 32);
  memcpy(name, text, length);
  name[length] = '\0';
  return text[length] ? text + length + 1 : "";
}

static onward_model *load(const carrier *c, int dtype, bool reference) {
  char ins[256] = "", outs[128] = "", name[32];
  pb graph = {0}, bytes = {0};
  for (size_t i = 0; i < 12 && c->inputs[i]; i++) {
    split(c->inputs[i], name);
    (void)snprintf(ins + strlen(ins), sizeof ins - strlen(ins), "%s%s", i ? " " : "", name[0] ? name : "-");
  }
  for (size_t o = 0; o < 3 && c->outputs[o]; o++) {
    split(c->outputs[o], name);
    (void)snprintf(outs + strlen(outs), sizeof outs - strlen(outs), "%s%s", o ? " " : "", name);
  }
  pb node = pb_node_named("carrier", c->domain, c->op, ins, outs);
  char text[128];
  (void)snprintf(text, sizeof text, "%s", c->attributes);
  for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
    char *const value = strchr(word, '=');
    *value = '\0';
    pb_attr(&node, pb_attr_int(word, atoi(value + 1)));
  }
  pb_message(&graph, NODE, node);
  if (c->outputs[3]) {
    split(c->outputs[3], name);
    pb_message(&graph, NODE, pb_node("Neg", "past_k", name));
  }
  pb_text(&graph, 2, "g");
  for (size_t i = 0; i < 12 && c->inputs[i]; i++)
    if (c->inputs[i][0]) {
      const char *const dims = split(c->inputs[i], name);
      pb_message(&graph, INPUT, pb_value(name, dtype_of(name, dtype), dims));
    }
  for (size_t o = 0; o < 4 && c->outputs[o]; o++) {
    const char *const dims = split(c->outputs[o], name);
    pb_message(&graph, OUTPUT, pb_value(name, dtype, dims));
  }
  pb_int(&bytes, 1, 10);
  pb_message(&bytes, 8, pb_opset("", c->domain[0] ? 17 : c->version));
  pb_message(&bytes, 8, pb_opset("com.microsoft", 1));
  pb_message(&bytes, 7, graph);
  onward_model_options options = onward_model_options_default();
  options.reference = reference;
  onward_model *model = NULL;
  onward_error err;
  if (onward_model_load_memory(bytes.data, bytes.size, NULL, &options, &model, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  pb_free(&bytes);
  return model;
}

/* ---- data --------------------------------------------------------------------------------------------------------------------- */

/* Numbers of [-2, 2], of bytes [0, 8), that depend on where they are. */
static void fill(onward_tensor *t, uint32_t seed) {
  const size_t size = ow_dtype_size(t->dtype);
  for (size_t i = 0; i < t->bytes / size; i++) {
    const uint32_t r = (uint32_t)(i + 1) * 2654435761u + seed * 40503u;
    const double x = (double)(r >> 8 & 0xffff) / 16384.0 - 2.0;
    if (t->dtype == ONWARD_FLOAT32)
      ((float *)t->data)[i] = (float)x;
    else if (t->dtype == ONWARD_UINT8)
      ((uint8_t *)t->data)[i] = (uint8_t)(r >> 8 & 7);
    else
      ((uint16_t *)t->data)[i] =
          (uint16_t)((r >> 16 & 0x8000) | (t->dtype == ONWARD_FLOAT16 ? 0x3800 : 0x3f00) | (r >> 8 & 0x7f));
  }
}

static onward_tensor tensor_of(onward_dtype dtype, const char *dims, int64_t s, int64_t p) {
  onward_tensor t = {.dtype = dtype};
  for (const char *word = dims; *word; word += strcspn(word, " "), word += strspn(word, " "))
    t.dims[t.rank++] = *word == 'b' ? ROWS : *word == 's' ? s : *word == 'p' ? p : *word == 't' ? p + s : atoi(word);
  onward_error err;
  assert_int_equal(onward_tensor_bytes(dtype, t.rank, t.dims, &t.bytes, &err), ONWARD_OK);
  t.data = calloc(t.bytes + 1, 1);
  assert_non_null(t.data);
  return t;
}

/* Tokens [p, p + s); pasts: of the names that begin so, or NULL. lasts: seqlens_k of the rows; NULL: the same for all. */
static run make(const carrier *c, int dtype, int64_t s, int64_t p, const onward_tensor *pasts, const int32_t *lasts) {
  static char names[2][12][32];
  run r = {0};
  size_t next = 0;
  for (size_t i = 0; i < 12 && c->inputs[i]; i++) {
    const char *const dims = split(c->inputs[i], names[0][i]), *const name = names[0][i];
    if (!name[0] || (is_past(name) && !pasts))
      continue;
    onward_tensor t = is_past(name) ? pasts[next++] : tensor_of(onward_type(dtype_of(name, dtype)), dims, s, p);
    const bool varies = strchr(dims, 's') != NULL;
    if (name[0] == 'i')
      for (int64_t b = 0; b < (int64_t)t.dims[0]; b++)
        ((int32_t *)t.data)[b] =
            name[2] == 'l' ? (lasts ? lasts[b] : (int32_t)(p + s - 1)) : (int32_t)(name[2] == 't' ? p + s : p);
    else if (!is_past(name))
      fill(&t, varies ? (uint32_t)(100 * i + (size_t)p) : (uint32_t)i);
    r.in[r.in_count++] = (onward_named_tensor){name, t};
  }
  for (size_t o = 0; o < 4 && c->outputs[o]; o++) {
    split(c->outputs[o], names[1][o]);
    if (!pasts && strncmp(names[1][o], "present", 7) == 0)
      continue;
    r.out[r.out_count++] = (onward_named_tensor){.name = names[1][o]};
  }
  return r;
}

static void drop(run *r) {
  for (size_t i = 0; i < r->in_count; i++)
    if (!is_past(r->in[i].name))
      free(r->in[i].tensor.data);
}

static void go(onward_session *session, run *r, onward_state *state) {
  onward_run_options options = onward_run_options_default();
  options.state = state;
  onward_error err;
  if (onward_session_run(session, r->in, r->in_count, r->out, r->out_count, &options, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
}

static void same(const carrier *c, const char *what, const onward_tensor *got, const onward_tensor *want) {
  assert_int_equal(got->rank, want->rank);
  for (int32_t d = 0; d < got->rank; d++)
    assert_int_equal(got->dims[d], want->dims[d]);
  if (got->bytes != want->bytes || memcmp(got->data, want->data, got->bytes) != 0)
    fail_msg("%s: %s differs", c->op, what);
}

/* ---- memory whose past cannot be written ------------------------------------------------------------------------------------------ */

typedef struct guarded {
  void *own, *region;
  size_t bytes, size, held;
} guarded;

/* The buffers move to pages that end with what is past; these are only to be read. */
static void guard(onward_state *state, guarded *g) {
  for (size_t b = 0; b < state->count; b++) {
    ow_state_buffer *const buffer = &state->buffers[b];
    const size_t used = (size_t)state->length * buffer->row_bytes, pages = (used + PAGE - 1) / PAGE * PAGE;
    g[b] = (guarded){buffer->data, NULL, buffer->bytes, pages + PAGE, used};
    g[b].region = mmap(NULL, g[b].size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g[b].region != MAP_FAILED);
    buffer->data = (char *)g[b].region + pages - used;
    buffer->bytes = used + PAGE;
    memcpy(buffer->data, g[b].own, used);
    assert_int_equal(mprotect(g[b].region, pages, PROT_READ), 0);
  }
}

static void unguard(onward_state *state, const guarded *g) {
  for (size_t b = 0; b < state->count; b++) {
    ow_state_buffer *const buffer = &state->buffers[b];
    const size_t used = (size_t)state->length * buffer->row_bytes;
    assert_int_equal((char *)buffer->data + g[b].held - (char *)g[b].region, g[b].size - PAGE); /* still there */
    assert_true(used <= g[b].bytes);
    memcpy(g[b].own, buffer->data, used);
    assert_int_equal(munmap(g[b].region, g[b].size), 0);
    buffer->data = g[b].own;
    buffer->bytes = g[b].bytes;
  }
}

/* ---- tests -------------------------------------------------------------------------------------------------------------------- */

typedef struct bench {
  const carrier *c;
  int dtype;
  onward_model *model;
  onward_session *session, *plain;
  onward_state *state;
  onward_tensor pasts[2]; /* of the run without a state */
  size_t pasts_count;
} bench;

static bench begin(const carrier *c, int dtype, bool reference) {
  bench b = {.c = c, .dtype = dtype, .model = load(c, dtype, reference)};
  onward_error err;
  assert_int_equal(onward_session_create(b.model, NULL, &b.session, &err), ONWARD_OK);
  assert_int_equal(onward_session_create(b.model, NULL, &b.plain, &err), ONWARD_OK);
  if (onward_state_create(b.model, CAPACITY, &b.state, &err) != ONWARD_OK)
    fail_msg("%s", err.message);
  for (size_t i = 0; i < 12 && c->inputs[i]; i++) {
    char name[32];
    const char *const dims = split(c->inputs[i], name);
    if (is_past(name))
      b.pasts[b.pasts_count++] = tensor_of(onward_type(dtype), dims, 0, 0);
  }
  return b;
}

static void end(bench *b) {
  for (size_t p = 0; p < b->pasts_count; p++)
    free(b->pasts[p].data);
  onward_state_free(b->state);
  onward_session_free(b->session);
  onward_session_free(b->plain);
  onward_model_free(b->model);
}

/* A shared buffer has a row for the new token, at the end; axis 2 of [b, heads, p, size]. */
static onward_tensor with_room(const onward_tensor *t) {
  onward_tensor wide = *t;
  const size_t row = (size_t)t->dims[3] * ow_dtype_size(t->dtype), have = (size_t)t->dims[2] * row;
  wide.dims[2]++;
  wide.bytes += row * (size_t)(t->dims[0] * t->dims[1]);
  wide.data = calloc(wide.bytes, 1);
  assert_non_null(wide.data);
  for (size_t i = 0; i < (size_t)(t->dims[0] * t->dims[1]) && have; i++)
    memcpy((char *)wide.data + i * (have + row), (const char *)t->data + i * have, have);
  return wide;
}

/* s tokens more, with the state and without, where the presents become the next pasts. */
static void step(bench *b, int64_t s, const int32_t *lasts) {
  const int64_t p = b->state->length;
  const bool shared = strstr(b->c->attributes, "share") != NULL;
  for (size_t k = 0; k < b->pasts_count && shared; k++) {
    const onward_tensor wide = with_room(&b->pasts[k]);
    free(b->pasts[k].data);
    b->pasts[k] = wide;
  }
  run want = make(b->c, b->dtype, s, p, b->pasts, lasts), got = make(b->c, b->dtype, s, p, NULL, lasts);
  guarded g[MOST] = {{0}};
  const bool guards = p > 0 && p + s <= 64 && !lasts;
  go(b->plain, &want, NULL);
  if (guards)
    guard(b->state, g);
  go(b->session, &got, b->state);
  if (guards)
    unguard(b->state, g);
  same(b->c, "the output", &got.out[0].tensor, &want.out[0].tensor);
  if (b->c->outputs[3])
    same(b->c, "what reads the past too", &got.out[1].tensor, &want.out[3].tensor);
  assert_int_equal(onward_state_length(b->state), p + s);
  for (size_t k = 0; k < b->pasts_count; k++) {
    onward_tensor kept;
    onward_error err;
    assert_int_equal(onward_state_export(b->state, want.out[1 + k].name, &kept, &err), ONWARD_OK);
    same(b->c, want.out[1 + k].name, &kept, &want.out[1 + k].tensor);
    free(b->pasts[k].data);
    b->pasts[k] = want.out[1 + k].tensor;
    b->pasts[k].data = malloc(kept.bytes + 1);
    assert_non_null(b->pasts[k].data);
    memcpy(b->pasts[k].data, kept.data, kept.bytes);
    onward_free(kept.data);
  }
  drop(&want);
  drop(&got);
}

static void steps_write_new_rows_only(void **unused) {
  (void)unused;
  static const int dtypes[] = {F32, F16, BF16};
  for (size_t c = 0; c < CARRIERS; c++)
    for (size_t k = 0; k < (carriers[c].only_float32 ? 2 : 6); k++) {
      bench b = begin(&carriers[c], dtypes[k / 2], k % 2);
      const ow_variant *const v = b.state->variant;
      for (size_t p = 0; p < v->pair_count; p++)
        assert_non_null(v->pairs[p].present);
      if (!carriers[c].one_token)
        step(&b, 5, NULL);
      for (int i = 0; i < 4; i++)
        step(&b, 1, NULL);
      if (!carriers[c].one_token)
        step(&b, 3, NULL);
      end(&b);
    }
}

/* The number of rows is what a graph input says, and is known when the run is under way: the buffers grow then. */
static void growth_during_a_run(void **unused) {
  (void)unused;
  for (size_t c = 0; c < CARRIERS; c++) {
    bench b = begin(&carriers[c], F32, false);
    if (!carriers[c].one_token)
      step(&b, 61, NULL);
    while (b.state->length < CAPACITY)
      step(&b, 1, NULL);
    run r = make(&carriers[c], F32, 1, CAPACITY, NULL, NULL);
    onward_run_options options = onward_run_options_default();
    options.state = b.state;
    onward_error err;
    assert_int_equal(onward_session_run(b.session, r.in, r.in_count, r.out, r.out_count, &options, &err), ONWARD_LIMIT);
    assert_non_null(strstr(err.message, "would hold 71 tokens; it was made for 70"));
    assert_int_equal(onward_state_length(b.state), CAPACITY);
    drop(&r);
    end(&b);
  }
}

/* Rows of unlike length: a shorter one writes over its padding. */
static void rows_of_unlike_length(void **unused) {
  (void)unused;
  static const int dtypes[] = {F32, F16, BF16};
  for (size_t k = 0; k < 6; k++) {
    bench b = begin(&carriers[GROUPED], dtypes[k / 2], k % 2);
    step(&b, 5, (const int32_t[]){4, 1});
    step(&b, 1, (const int32_t[]){5, 2});
    step(&b, 1, (const int32_t[]){6, 3});
    end(&b);
  }
}

/* Padding on the left: attention_bias hides it, position_ids count without it. Row 1 is then what it is alone. */
static void left_padding(void **unused) {
  (void)unused;
  enum { PADDED = 3, LENGTH = 8, WIDTH = 64 };
  static const carrier c = {"com.microsoft",
                            "GroupQueryAttention",
                            1,
                            {"q:b s 64", "", "", "past_k:b 1 p 16", "past_v:b 1 p 16", "i_last:b", "i_total:1",
                             "cos:99 8", "sin:99 8", "n_places:b s", "bias:b 1 s t"},
                            {"y:b s 32", "present_k:b 1 t 16", "present_v:b 1 t 16"},
                            "num_heads=2 kv_num_heads=1 do_rotary=1",
                            false,
                            false};
  float alone[LENGTH][WIDTH / 2];
  for (int turn = 0; turn < 2; turn++) { /* row 1 without padding, then with it */
    const int64_t pad = turn * PADDED;
    bench b = begin(&c, F32, false);
    for (int64_t p = 0, s = 4; p < LENGTH + pad; p += s, s = 1) {
      run r = make(&c, F32, s, p, NULL, NULL);
      float *const q = r.in[0].tensor.data, *const cos = r.in[3].tensor.data, *const sin = r.in[4].tensor.data;
      float *const bias = r.in[6].tensor.data;
      for (int64_t i = 0; i < s; i++)
        for (int64_t d = 0; d < WIDTH; d++)
          q[(s + i) * WIDTH + d] = (float)(((p + i - pad) * 7 + d * 3) % 11) * 0.25f - 1.0f;
      for (int64_t k = 0; k < 99 * 8; k++) {
        cos[k] = cosf((float)(k / 8) / (float)(1 + k % 8));
        sin[k] = sinf((float)(k / 8) / (float)(1 + k % 8));
      }
      for (int64_t row = 0; row < ROWS; row++)
        for (int64_t i = 0; i < s; i++) {
          const int64_t at = p + i - row * pad;
          ((int64_t *)r.in[5].tensor.data)[row * s + i] = at < 0 ? 0 : at;
          for (int64_t t = 0; t < p + s; t++)
            bias[(row * s + i) * (p + s) + t] = t < row * pad ? -INFINITY : 0.0f;
        }
      go(b.session, &r, b.state);
      const float *const y = (const float *)r.out[0].tensor.data + s * WIDTH / 2;
      for (int64_t i = 0; i < s; i++)
        for (int64_t d = 0; d < WIDTH / 2; d++) {
          const int64_t at = p + i - pad;
          const float got = y[i * WIDTH / 2 + d];
          if (turn == 0)
            alone[at][d] = got;
          else if (at < 0 ? got != 0.0f : fabsf(got - alone[at][d]) > 1e-5f)
            fail_msg("token %lld, element %lld: got %g", (long long)at, (long long)d, (double)got);
        }
      drop(&r);
    }
    end(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(steps_write_new_rows_only), cmocka_unit_test(growth_during_a_run),
                                     cmocka_unit_test(rows_of_unlike_length), cmocka_unit_test(left_padding)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
