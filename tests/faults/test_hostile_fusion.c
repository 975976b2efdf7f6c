/* G14: graphs that look like what passes fuse, but are not: the values are those of the unfused graph by the reference kernels, and
 * what has to stay stays. The first rows show that the patterns themselves are fused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "faults/hostile.h"

enum { MOST = 8 };

typedef struct fusion_row {
  const char *name, *graph;
  const char *fused, *stays; /* in the optimised dump: a name that is there; one that is there too or instead */
} fusion_row;

#define QKV "in q 1 1 2 5 4;in k 1 1 2 4 5;in v 1 1 2 5 4;"
#define SQUARE "in q 1 1 2 4 4;in k 1 1 2 4 4;in v 1 1 2 4 4;"

static const fusion_row rows[] = {
    {"attention", QKV "MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;out y", "onward.Attention", NULL},
    {"weights are an output", QKV "MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;out y;out p", NULL, "Softmax"},
    {"weights have another use", QKV "MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;Neg p -> z;out y;out z",
     NULL, "Softmax"},
    {"weights are used twice by one",
     QKV "MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;MatMul p v -> u;Mul y u -> z;out z", NULL, NULL},
    {"scores are an output", QKV "MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;out y;out s", NULL, NULL},
    {"scores have another use",
     QKV "MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;ReduceSum s -> z;out y;out z", NULL, NULL},
    {"axis 2", SQUARE "MatMul q k -> s;Softmax s -> p axis=2;MatMul p v -> y;out y", NULL, "Softmax"},
    {"axis -2", SQUARE "MatMul q k -> s;Softmax s -> p axis=-2;MatMul p v -> y;out y", NULL, "Softmax"},
    {"axis 1", SQUARE "MatMul q k -> s;Softmax s -> p axis=1;MatMul p v -> y;out y", NULL, "Softmax"},
    {"log of the weights", QKV "MatMul q k -> s;LogSoftmax s -> p axis=3;MatMul p v -> y;out y", NULL, "LogSoftmax"},
    {"hardmax", QKV "MatMul q k -> s;Hardmax s -> p axis=3;MatMul p v -> y;out y", NULL, "Hardmax"},
    {"softmax twice", QKV "MatMul q k -> s;Softmax s -> r axis=3;Softmax r -> p axis=3;MatMul p v -> y;out y", NULL,
     "Softmax"},
    {"weights on the right", SQUARE "MatMul q k -> s;Softmax s -> p axis=3;MatMul v p -> y;out y", NULL, "Softmax"},
    {"weights on both sides", SQUARE "MatMul q k -> s;Softmax s -> p axis=3;MatMul p p -> y;out y", NULL, NULL},
    {"weights transposed",
     SQUARE "MatMul q k -> s;Softmax s -> r axis=3;Transpose r -> p perm=l:0,1,3,2;MatMul p v -> y;out y", NULL, NULL},
    {"weights of heads exchanged",
     SQUARE "MatMul q k -> s;Softmax s -> r axis=3;Transpose r -> p perm=l:0,2,1,3;Transpose p -> t "
            "perm=l:0,2,1,3;MatMul t v -> y;out y",
     NULL, NULL},
    {"weights are scaled", QKV "in c 1;MatMul q k -> s;Softmax s -> r axis=3;Mul r c -> p;MatMul p v -> y;out y", NULL,
     NULL},
    {"weights get a mask", QKV "in c 1 5 5;MatMul q k -> s;Softmax s -> r axis=3;Add r c -> p;MatMul p v -> y;out y",
     NULL, "Softmax"},
    {"doubles between",
     QKV "MatMul q k -> s;Cast s -> d to=11;Softmax d -> e axis=3;Cast e -> p to=1;MatMul p v -> y;out y", NULL, NULL},
    {"integers between",
     QKV "MatMul q k -> s;Cast s -> d to=7;Cast d -> f to=1;Softmax f -> p axis=3;MatMul p v -> y;out y", NULL, "Cast"},
    {"one q is k and v", "in q 1 1 2 4 4;MatMul q q -> s;Softmax s -> p axis=3;MatMul p q -> y;out y", NULL, NULL},
    {"values of a lower rank",
     "in q 1 1 2 5 4;in k 1 1 2 4 5;in v 1 5 4;MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;out y", NULL,
     NULL},
    {"keys of a lower rank",
     "in q 1 1 2 5 4;in k 1 4 5;in v 1 1 2 5 4;MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;out y", NULL,
     NULL},
    {"heads of values are broadcast",
     "in q 1 1 2 5 4;in k 1 1 2 4 5;in v 1 1 1 5 4;MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;out y", NULL,
     NULL},
    {"batch of keys is broadcast",
     "in q 1 3 2 5 4;in k 1 1 2 4 5;in v 1 3 2 5 4;MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;out y", NULL,
     NULL},
    {"queries are broadcast",
     "in q 1 1 2 5 4;in k 1 3 2 4 5;in v 1 3 2 5 4;MatMul q k -> s;Softmax s -> p axis=3;MatMul p v -> y;out y", NULL,
     NULL},
    {"the mask is wider than the scores",
     QKV "in c 1 2 2 5 5;MatMul q k -> s;Add s c -> m;Softmax m -> p axis=3;MatMul p v -> y;out y", NULL, NULL},
    {"the mask is the scores", QKV "MatMul q k -> s;Add s s -> m;Softmax m -> p axis=3;MatMul p v -> y;out y", NULL,
     NULL},
    {"masked scores are an output",
     QKV "in c 1 5 5;MatMul q k -> s;Add s c -> m;Softmax m -> p axis=3;MatMul p v -> y;out y;out m", NULL, NULL},
    {"the scale is a matrix", QKV "in c 1 5 5;MatMul q k -> s;Mul s c -> m;Softmax m -> p axis=3;MatMul p v -> y;out y",
     NULL, NULL},
    {"the scale divides", QKV "in c 1 5 1;MatMul q k -> s;Div s c -> m;Softmax m -> p axis=3;MatMul p v -> y;out y",
     NULL, NULL},
    {"the scale is divided", QKV "in c 1;MatMul q k -> s;Div c s -> m;Softmax m -> p axis=3;MatMul p v -> y;out y",
     NULL, NULL},
    {"keys transposed in a wrong way",
     SQUARE "Transpose k -> t perm=l:0,3,2,1;Transpose t -> r perm=l:0,3,2,1;MatMul q r -> s;Softmax s -> p "
            "axis=3;MatMul p v -> y;out y",
     NULL, NULL},
    {"queries are an output too", QKV "Neg q -> n;MatMul n k -> s;Softmax s -> p axis=3;MatMul p v -> y;out y;out n",
     NULL, NULL},
    {"a linear layer", "in x 1 3 4;init w 1 4 5;init b 1 5;MatMul x w -> m;Add m b -> y;out y", "onward.Linear", NULL},
    {"its product is an output", "in x 1 3 4;init w 1 4 5;init b 1 5;MatMul x w -> m;Add m b -> y;out y;out m", NULL,
     NULL},
    {"its bias is a matrix", "in x 1 3 4;init w 1 4 5;init b 1 3 5;MatMul x w -> m;Add m b -> y;out y", NULL, NULL},
    {"its bias is a column", "in x 1 3 4;init w 1 4 5;init b 1 3 1;MatMul x w -> m;Add m b -> y;out y", NULL, NULL},
    {"its bias is wider", "in x 1 3 4;init w 1 4 5;init b 1 2 3 5;MatMul x w -> m;Add m b -> y;out y", NULL, NULL},
    {"its bias is a scalar", "in x 1 3 4;init w 1 4 5;init b 1;MatMul x w -> m;Add m b -> y;out y", NULL, NULL},
    {"its bias is its product", "in x 1 3 4;init w 1 4 5;MatMul x w -> m;Add m m -> y;out y", NULL, NULL},
    {"its weight is on the left", "in x 1 4 3;init w 1 5 4;init b 1 3;MatMul w x -> m;Add m b -> y;out y", NULL, NULL},
    {"a norm of another axis",
     "in x 1 4 4;init n 7 1;ReduceMean x -> m axes=l:0;Sub x m -> d;Mul d d -> q;ReduceMean q -> v axes=l:0;Sqrt v -> "
     "r;Div d r -> y;out y",
     NULL, NULL},
    {"a norm of two means",
     "in x 1 4 4;in z 1 4 4;ReduceMean x -> m axes=l:1;Sub z m -> d;Mul d d -> q;ReduceMean q -> v axes=l:1;Sqrt v -> "
     "r;Div d r -> y;out y",
     NULL, NULL},
    {"a norm whose difference is an output",
     "in x 1 4 4;ReduceMean x -> m axes=l:1;Sub x m -> d;Mul d d -> q;ReduceMean q -> v axes=l:1;Sqrt v -> r;Div d r "
     "-> y;out y;out d;out v",
     NULL, NULL},
};

typedef struct outcome {
  onward_status status;
  size_t count;
  size_t bytes[MOST];
  float *values[MOST];
  onward_error err;
} outcome;

static void fill(onward_tensor *t, uint64_t *seed) {
  for (size_t i = 0; i < t->bytes / sizeof(float); i++)
    ((float *)t->data)[i] = (float)(hostile_random(seed) % 2000) / 1000.0F - 1.0F;
}

static bool keep(void *context, const char *text, size_t length) {
  char *const dump = context;
  const size_t used = strlen(dump);
  if (used + length + 1 > 1 << 16)
    return false;
  memcpy(dump + used, text, length);
  dump[used + length] = '\0';
  return true;
}

static void run(const onward_model_options *options, const char *graph, outcome *o, char *dump, size_t room) {
  onward_model *model = NULL;
  onward_session *session = NULL;
  onward_named_tensor in[MOST] = {{0}}, out[MOST] = {{0}};
  onward_value_info info;
  uint64_t seed = 7;
  pb bytes = hostile_graph(graph);
  *o = (outcome){0};
  memset(dump, 0, room);
  o->status = onward_model_load_memory(bytes.data, bytes.size, NULL, options, &model, &o->err);
  size_t inputs = 0;
  if (o->status == ONWARD_OK) {
    onward_dump_options shown = onward_dump_options_default();
    shown.optimized = true;
    assert_int_equal(onward_model_dump(model, &shown, keep, dump, &o->err), ONWARD_OK);
    inputs = onward_model_input_count(model);
    o->count = onward_model_output_count(model);
    assert_true(inputs <= MOST && o->count <= MOST);
    for (size_t i = 0; i < inputs; i++) {
      assert_int_equal(onward_model_input(model, i, &info, NULL), ONWARD_OK);
      in[i] = (onward_named_tensor){info.name, {.dtype = info.dtype, .rank = info.rank}};
      memcpy(in[i].tensor.dims, info.dims, sizeof info.dims);
      assert_int_equal(onward_tensor_bytes(info.dtype, info.rank, info.dims, &in[i].tensor.bytes, NULL), ONWARD_OK);
      assert_non_null(in[i].tensor.data = malloc(in[i].tensor.bytes + 1));
      fill(&in[i].tensor, &seed);
    }
    for (size_t i = 0; i < o->count; i++) {
      assert_int_equal(onward_model_output(model, i, &info, NULL), ONWARD_OK);
      out[i].name = info.name;
    }
    o->status = onward_session_create(model, NULL, &session, &o->err);
  }
  if (o->status == ONWARD_OK)
    o->status = onward_session_run(session, in, inputs, out, o->count, NULL, &o->err);
  for (size_t i = 0; o->status == ONWARD_OK && i < o->count; i++) {
    o->bytes[i] = out[i].tensor.bytes;
    assert_non_null(o->values[i] = malloc(o->bytes[i] + 1));
    memcpy(o->values[i], out[i].tensor.data, o->bytes[i]);
  }
  for (size_t i = 0; i < inputs; i++)
    free(in[i].tensor.data);
  onward_session_free(session);
  onward_model_free(model);
  pb_free(&bytes);
}

static bool same(const outcome *a, const outcome *b) {
  for (size_t o = 0; o < a->count; o++) {
    if (a->bytes[o] != b->bytes[o])
      return false;
    for (size_t i = 0; i < a->bytes[o] / sizeof(float); i++) {
      const double x = (double)a->values[o][i], y = (double)b->values[o][i];
      if (!(fabs(x - y) <= 1e-5 + 1e-4 * fabs(y)) && !(isnan(x) && isnan(y)) && !(isinf(x) && x == y)) /* NOLINT */
        return false;
    }
  }
  return true;
}

static void test_look_alikes(void **state) {
  (void)state;
  static char dump[1 << 16], unfused[1 << 16];
  int failed = 0;
  onward_model_options plain = onward_model_options_default();
  plain.no_passes = plain.reference = true;
  for (size_t r = 0; r < HOSTILE_COUNT(rows); r++) {
    outcome a, b;
    run(NULL, rows[r].graph, &a, dump, sizeof dump);
    run(&plain, rows[r].graph, &b, unfused, sizeof unfused);
    if (a.status != ONWARD_OK || b.status != ONWARD_OK) {
      print_error("%s: %s, %s\n", rows[r].name, a.status ? a.err.message : "ok", b.status ? b.err.message : "ok");
      failed++;
    } else if (!same(&a, &b)) {
      print_error("%s: other values than without passes\n%s\n", rows[r].name, dump);
      failed++;
    }
    if ((rows[r].fused && !strstr(dump, rows[r].fused)) || (rows[r].stays && !strstr(dump, rows[r].stays))) {
      print_error("%s: want '%s' and '%s' in\n%s\n", rows[r].name, rows[r].fused ? rows[r].fused : "",
                  rows[r].stays ? rows[r].stays : "", dump);
      failed++;
    }
    for (size_t o = 0; o < MOST; o++) {
      free(a.values[o]);
      free(b.values[o]);
    }
  }
  assert_int_equal(failed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_look_alikes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
