/* Which shapes, attributes and values each operator is checked with. Lengths sit on both sides of every vector and tile width. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kernel_run.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const int lengths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 65, 100, 257};

/* ---- element by element ---------------------------------------------------------------------------------------------------- */

/* Newest row of a name and domain. */
static int32_t newest(const run_context *context, const char *domain, const char *op) {
  const ow_op *row;
  int32_t version = 0;
  for (size_t i = 0; (row = ow_registry_row(context->registry, i)); i++)
    if (strcmp(row->name, op) == 0 && strcmp(row->domain, domain) == 0 && row->since > version)
      version = row->since;
  return version;
}

static void unary_cases(run_context *x) {
  static const char *const names[] = {"Abs", "Neg",     "Sqrt", "Reciprocal", "Exp",  "Tanh",
                                      "Erf", "Sigmoid", "Relu", "LeakyRelu",  "Gelu", "Swish"};
  for (size_t i = 0; i < COUNT(names); i++) {
    const int32_t version = newest(x, "", names[i]);
    if (version == 0)
      continue;
    for (size_t n = 0; n < COUNT(lengths); n++)
      run_checkf(x, "", names[i], version, NULL, "f:3x%d:x", lengths[n]);
    run_checkf(x, "", names[i], version, NULL, "f:s:p");
    run_checkf(x, "", names[i], version, NULL, "f:77:x!");
    run_checkf(x, "", names[i], version, NULL, "f:40000:x");
    run_checkf(x, "", names[i], version, NULL, "f:123x1001:n");
  }
  const char *const odd[] = {"f:7x33:x", "f:64x3072:n"};
  for (size_t i = 0; i < COUNT(odd); i++) {
    run_checkf(x, "", "Gelu", 20, "s:approximate=tanh", "%s", odd[i]);
    run_checkf(x, "", "LeakyRelu", 16, "f:alpha=0.3", "%s", odd[i]);
    run_checkf(x, "com.microsoft", "Gelu", 1, NULL, "%s", odd[i]);
    run_checkf(x, "com.microsoft", "QuickGelu", 1, NULL, "%s", odd[i]);
    run_checkf(x, "com.microsoft", "QuickGelu", 1, "f:alpha=1.0", "%s", odd[i]);
    run_checkf(x, "com.microsoft", "FastGelu", 1, NULL, "%s", odd[i]);
  }
  for (size_t n = 1; n < COUNT(lengths); n++) {
    run_checkf(x, "com.microsoft", "BiasGelu", 1, NULL, "f:5x%d:x f:%d!", lengths[n], lengths[n]);
    run_checkf(x, "com.microsoft", "FastGelu", 1, NULL, "f:2x3x%d:n f:%d", lengths[n], lengths[n]);
  }
}

static void binary_cases(run_context *x) {
  static const char *const names[] = {"Add", "Sub", "Mul", "Div"};
  for (size_t i = 0; i < COUNT(names); i++) {
    const int32_t version = newest(x, "", names[i]);
    for (size_t n = 0; n < COUNT(lengths); n++) {
      const int k = lengths[n];
      run_checkf(x, "", names[i], version, NULL, "f:3x%d:x f:3x%d:x", k, k);
      run_checkf(x, "", names[i], version, NULL, "f:3x%d:x f:%d:x!", k, k);
      run_checkf(x, "", names[i], version, NULL, "f:%d:x f:2x3x%d:x", k, k);
      run_checkf(x, "", names[i], version, NULL, "f:3x%d:x f:3x1:x", k);
      run_checkf(x, "", names[i], version, NULL, "f:3x1:x f:3x%d:x", k);
      run_checkf(x, "", names[i], version, NULL, "f:s:x f:3x%d:x", k);
      run_checkf(x, "", names[i], version, NULL, "f:2x1x%d:x f:5x1:x", k);
      run_checkf(x, "", names[i], version, NULL, "f:2x%d:x f:1:x!", k);
    }
    run_checkf(x, "", names[i], version, NULL, "f:s f:s");
    run_checkf(x, "", names[i], version, NULL, "f:1x1 f:1x1x1");
    run_checkf(x, "", names[i], version, NULL, "f:50003:x f:50003:x");
    run_checkf(x, "", names[i], version, NULL, "f:50003:x f:s:n");
    run_checkf(x, "", names[i], version, NULL, "f:128x768:n f:768:n!");
    run_checkf(x, "", names[i], version, NULL, "f:2x1x3x1x17 f:1x4x1x5x1");
  }
  run_checkf(x, "", "Pow", 15, NULL, "f:5x37:n f:s:=2!");
  for (size_t n = 0; n < COUNT(lengths); n++)
    run_checkf(x, "", "Sum", 13, NULL, "f:3x%d:x f:3x%d:x", lengths[n], lengths[n]);
}

static void where_cases(run_context *x) {
  for (size_t n = 0; n < COUNT(lengths); n++) {
    const int k = lengths[n];
    run_checkf(x, "", "Where", 16, NULL, "b:3x%d f:3x%d:x f:3x%d:x", k, k, k);
    run_checkf(x, "", "Where", 16, NULL, "b:3x%d f:3x%d:x f:s:x!", k, k);
    run_checkf(x, "", "Where", 16, NULL, "b:3x%d f:s:x f:3x%d:x", k, k);
    run_checkf(x, "", "Where", 16, NULL, "b:3x%d f:s:x f:s:n", k);
    run_checkf(x, "", "Where", 16, NULL, "b:3x1 f:%d:x f:3x1:x", k);
    run_checkf(x, "", "Where", 16, NULL, "b:3x1 f:3x1:x f:2x3x%d:x", k);
    run_checkf(x, "", "Where", 16, NULL, "b:3x%d l:3x%d l:3x1", k, k);
  }
  run_checkf(x, "", "Where", 16, NULL, "b:2x1x64x64 f:2x4x64x64 f:s:d!");
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

static void softmax_cases(run_context *x) {
  static const char kinds[] = "nyzhdex";
  for (size_t n = 0; n < COUNT(lengths); n++)
    for (const char *kind = kinds; *kind; kind++) {
      run_checkf(x, "", "Softmax", 13, NULL, "f:6x%d:%c", lengths[n], *kind);
      run_checkf(x, "", "Softmax", 13, "i:axis=1", "f:2x5x%d:%c", lengths[n], *kind);
      run_checkf(x, "", "Softmax", 13, "i:axis=0", "f:%dx3:%c", lengths[n], *kind);
      run_checkf(x, "", "Softmax", 11, NULL, "f:4x%dx3:%c", lengths[n], *kind);
    }
  run_checkf(x, "", "Softmax", 13, NULL, "f:3x37!");
  run_checkf(x, "", "Softmax", 13, NULL, "f:12x128x128:n");
  run_checkf(x, "", "Softmax", 13, NULL, "f:2x50257:n");
}

static void norm_cases(run_context *x) {
  for (size_t n = 0; n < COUNT(lengths); n++) {
    const int k = lengths[n];
    for (const char *kind = "nxy"; *kind; kind++) {
      run_checkf(x, "", "LayerNormalization", 17, NULL, "f:5x%d:%c f:%d f:%d!", k, *kind, k, k);
      run_checkf(x, "", "LayerNormalization", 17, "f:epsilon=1e-12", "f:5x%d:%c f:%d!", k, *kind, k);
      run_checkf(x, "", "RMSNormalization", 23, "f:epsilon=1e-6", "f:2x3x%d:%c f:%d!", k, *kind, k);
      run_checkf(x, "", "SimplifiedLayerNormalization", 1, NULL, "f:2x3x%d:%c f:%d!", k, *kind, k);
      for (const char *const *rms = (const char *const[]){"i:rms=0", "i:rms=1 f:epsilon=1e-6", NULL}; *rms; rms++) {
        char text[128];
        snprintf(text, sizeof text, "f:2x3x%d:%c f:2x3x%d f:%d! f:%d!", k, *kind, k, k, k);
        run_check(x, &(run_case){"onward", "SkipNorm", 1, *rms, text, 2});
        run_check(x, &(run_case){"onward", "SkipNorm", 1, *rms, text, 1});
        snprintf(text, sizeof text, "f:2x3x%d:%c f:1x3x%d f:%d", k, *kind, k, k);
        run_check(x, &(run_case){"onward", "SkipNorm", 1, *rms, text, 2});
        snprintf(text, sizeof text, "f:2x3x%d:%c f:%d f:%d", k, *kind, k, k);
        run_check(x, &(run_case){"onward", "SkipNorm", 1, *rms, text, 1});
      }
    }
    char text[128];
    snprintf(text, sizeof text, "f:4x%d f:%d f:%d", k, k, k);
    run_check(x, &(run_case){"", "LayerNormalization", 17, NULL, text, 3});
  }
  run_checkf(x, "", "LayerNormalization", 17, "i:axis=1", "f:3x4x9:n f:4x9 f:4x9");
  run_checkf(x, "", "LayerNormalization", 17, "i:axis=-1", "f:128x768:n f:768! f:768!");
}

static void reduce_cases(run_context *x) {
  static const char *const names[] = {"ReduceSum", "ReduceMean", "ReduceMax"};
  for (size_t i = 0; i < COUNT(names); i++)
    for (size_t n = 1; n < COUNT(lengths); n++) {
      const int k = lengths[n];
      run_checkf(x, "", names[i], 18 - 5 * (i == 0), NULL, "f:5x%d:y l:1:=-1!", k);
      run_checkf(x, "", names[i], 18 - 5 * (i == 0), "i:keepdims=0", "f:2x%dx5:y l:1:=1!", k);
      run_checkf(x, "", names[i], 18 - 5 * (i == 0), "i:keepdims=0", "f:2x3x%d:n l:2:=1,2!", k);
      run_checkf(x, "", names[i], 18 - 5 * (i == 0), NULL, "f:3x%d:n", k);
      run_checkf(x, "", names[i], 11, "I:axes=1 i:keepdims=0", "f:2x5x%d:y", k);
    }
}

/* ---- products -------------------------------------------------------------------------------------------------------------- */

static const int sizes[][3] = {/* m, k, n */
                               {1, 1, 1},     {1, 7, 5},     {2, 3, 33},    {3, 64, 31},   {4, 65, 32},   {5, 16, 64},
                               {6, 100, 48},  {7, 33, 17},   {8, 128, 96},  {9, 1, 65},    {13, 257, 70}, {14, 64, 64},
                               {15, 40, 1},   {17, 48, 130}, {28, 31, 63},  {29, 96, 192}, {33, 20, 8},   {60, 50, 40},
                               {64, 64, 256}, {113, 70, 36}, {130, 96, 99}, {230, 33, 47}};

static void linear_cases(run_context *x) {
  static const char *const activations[] = {"", "relu", "gelu", "gelu_tanh", "quick_gelu", "silu", "tanh", "sigmoid"};
  char attributes[96];
  for (size_t i = 0; i < COUNT(sizes); i++) {
    const int m = sizes[i][0], k = sizes[i][1], n = sizes[i][2];
    snprintf(attributes, sizeof attributes, "s:activation=%s", activations[i % COUNT(activations)]);
    run_checkf(x, "onward", "Linear", 1, attributes, "f:%dx%d f:%dx%d:s! f:%d!", m, k, k, n, n);
    run_checkf(x, "onward", "Linear", 1, NULL, "f:%dx%d:y f:%dx%d:s!", m, k, k, n);
    run_checkf(x, "onward", "Linear", 1, "i:trans_b=1 s:activation=gelu", "f:2x%dx%d f:%dx%d:s! f:%d!", m, k, n, k, n);
    run_checkf(x, "onward", "Linear", 1, NULL, "f:%dx%d f:%dx%d:s! f:%d! f:%dx%d:s! - f:%dx%d:s! f:%d!", m, k, k, n, n,
               k, n + 1, k, 40, 40);
  }
  for (size_t a = 0; a < COUNT(activations); a++) {
    snprintf(attributes, sizeof attributes, "s:activation=%s f:activation_alpha=1.3", activations[a]);
    run_checkf(x, "onward", "Linear", 1, attributes, "f:21x40:n f:40x67:s! f:67!");
    run_checkf(x, "onward", "Linear", 1, attributes, "f:21x40:y f:40x67:s!");
  }
  run_checkf(x, "onward", "Linear", 1, NULL, "f:0x5 f:5x4! f:4!");
  run_checkf(x, "onward", "Linear", 1, "s:activation=relu", "f:3x0 f:0x4! f:4!");
  run_checkf(x, "onward", "Linear", 1, NULL, "f:3x5 f:5x0!");
  run_checkf(x, "onward", "Linear", 1, NULL, "f:9 f:9x33:s! f:33!");
  run_checkf(x, "onward", "Linear", 1, NULL, "f:20x1100 f:1100x35:s! f:35!");
  run_checkf(x, "onward", "Linear", 1, "s:activation=gelu", "f:37x2500 f:2500x70:s! f:70!");
  run_checkf(x, "onward", "Linear", 1, NULL, "f:2x64x384 f:384x384:s! f:384! f:384x384:s! f:384! f:384x384:s! f:384!");
  run_checkf(x, "onward", "Linear", 1, "s:activation=gelu", "f:300x128 f:128x512:s! f:512!");
}

static void matmul_cases(run_context *x) {
  for (size_t i = 0; i < COUNT(sizes); i++) {
    const int m = sizes[i][0], k = sizes[i][1], n = sizes[i][2];
    for (const char *constant = "! "; *constant; constant++) {
      const char end[2] = {*constant == '!' ? '!' : 0, 0};
      run_checkf(x, "", "MatMul", 13, NULL, "f:%dx%d f:%dx%d:s%s", m, k, k, n, end);
      run_checkf(x, "", "MatMul", 13, NULL, "f:2x3x%dx%d:y f:%dx%d:s%s", m, k, k, n, end);
      run_checkf(x, "", "MatMul", 13, NULL, "f:2x1x%dx%d f:3x%dx%d:s%s", m, k, k, n, end);
      run_checkf(x, "", "MatMul", 13, NULL, "f:%dx%d f:4x%dx%d:s%s", m, k, k, n, end);
      run_checkf(x, "", "MatMul", 13, NULL, "f:%d f:2x%dx%d:s%s", k, k, n, end);
      run_checkf(x, "", "MatMul", 13, NULL, "f:3x%dx%d f:%d:s%s", m, k, k, end);
      run_checkf(x, "", "Gemm", 13, NULL, "f:%dx%d f:%dx%d:s%s f:%d!", m, k, k, n, end, n);
      run_checkf(x, "", "Gemm", 13, "i:transB=1 f:alpha=0.5 f:beta=2", "f:%dx%d f:%dx%d:s%s f:%dx1", m, k, n, k, end,
                 m);
      run_checkf(x, "", "Gemm", 13, "i:transA=1 f:beta=0", "f:%dx%d f:%dx%d:s%s f:%dx%d:x", k, m, k, n, end, m, n);
      run_checkf(x, "", "Gemm", 13, "i:transA=1 i:transB=1", "f:%dx%d f:%dx%d:s%s f:s", k, m, n, k, end);
      run_checkf(x, "", "Gemm", 13, "f:alpha=3", "f:%dx%d f:%dx%d:s%s", m, k, k, n, end);
    }
  }
  run_checkf(x, "", "MatMul", 13, NULL, "f:7 f:7");
  run_checkf(x, "", "MatMul", 13, NULL, "f:0x4 f:4x3!");
  run_checkf(x, "", "MatMul", 13, NULL, "f:2x0x4 f:2x4x3");
  run_checkf(x, "", "MatMul", 13, NULL, "f:3x0 f:0x4");
  run_checkf(x, "", "MatMul", 13, NULL, "f:2x3x0 f:2x0x4");
  run_checkf(x, "", "Gemm", 13, NULL, "f:3x0 f:0x4! f:4");
  run_checkf(x, "", "MatMul", 13, NULL, "f:2x120x1500:s f:2x1500x70:s");
  run_checkf(x, "", "MatMul", 13, NULL, "f:12x64x64 f:12x64x64");
}

static void nbits_cases(run_context *x) {
  static const int shapes[][4] = {/* rows, K, N, block */
                                  {1, 32, 1, 32},  {1, 576, 17, 32},   {2, 40, 3, 32},
                                  {3, 100, 4, 32}, {4, 64, 5, 64},     {5, 200, 8, 128},
                                  {9, 96, 33, 32}, {1, 1000, 130, 64}, {0, 64, 4, 32}};
  for (size_t i = 0; i < COUNT(shapes); i++)
    for (int bits = 4; bits <= 8; bits += 4) {
      const int m = shapes[i][0], k = shapes[i][1], n = shapes[i][2], block = shapes[i][3],
                blocks = (k + block - 1) / block;
      char a[128], weights[96];
      snprintf(a, sizeof a, "i:K=%d i:N=%d i:bits=%d i:block_size=%d", k, n, bits, block);
      snprintf(weights, sizeof weights, "u:%dx%dx%d! f:%dx%d:t!", n, blocks, block * bits / 8, n, blocks);
      run_checkf(x, "com.microsoft", "MatMulNBits", 1, a, "f:%dx%d %s", m, k, weights);
      run_checkf(x, "com.microsoft", "MatMulNBits", 1, a, "f:2x%dx%d %s u:%dx%d!", m, k, weights, n,
                 (blocks * bits + 7) / 8);
      run_checkf(x, "com.microsoft", "MatMulNBits", 1, a, "f:%dx%d %s f:%dx%d!", m, k, weights, n, blocks);
      run_checkf(x, "com.microsoft", "MatMulNBits", 1, a, "f:%dx%d:y %s - - f:%d!", m, k, weights, n);
    }
}

static void fused_matmul_cases(run_context *x) {
  static const int shapes[][3] = {{1, 64, 1}, {5, 33, 17}, {14, 65, 33}, {40, 96, 70}, {0, 8, 4}, {3, 0, 5}, {3, 7, 0}};
  for (size_t i = 0; i < COUNT(shapes); i++)
    for (int t = 0; t < 4; t++) {
      const int m = shapes[i][0], k = shapes[i][1], n = shapes[i][2], a = t % 2, b = t / 2;
      char flags[80];
      snprintf(flags, sizeof flags, "i:transA=%d i:transB=%d f:alpha=0.25", a, b);
      const int a0 = a ? k : m, a1 = a ? m : k, b0 = b ? n : k, b1 = b ? k : n;
      run_checkf(x, "com.microsoft", "FusedMatMul", 1, flags, "f:%dx%d f:%dx%d:s!", a0, a1, b0, b1);
      run_checkf(x, "com.microsoft", "FusedMatMul", 1, flags, "f:2x%dx%d f:%dx%d:s!", a0, a1, b0, b1);
      run_checkf(x, "com.microsoft", "FusedMatMul", 1, flags, "f:2x1x%dx%d f:3x%dx%d:s", a0, a1, b0, b1);
    }
}

static void half_cases(run_context *x) {
  for (size_t n = 0; n < COUNT(lengths); n++)
    for (const char *t = "hg"; *t; t++) {
      char to[16];
      snprintf(to, sizeof to, "i:to=%d", *t == 'h' ? 10 : 16);
      run_checkf(x, "", "Cast", 13, "i:to=1", "%c:3x%d:n", *t, lengths[n]);
      run_checkf(x, "", "Cast", 13, to, "f:3x%d:n", lengths[n]);
      run_checkf(x, "onward", "Linear", 1, NULL, "f:5x%d %c:%dx33:s! f:33!", lengths[n], *t, lengths[n]);
      run_checkf(x, "onward", "Linear", 1, "i:trans_b=1", "f:5x40 %c:%dx40:s!", *t, lengths[n]);
    }
  run_checkf(x, "", "Cast", 13, "i:to=1", "h:100003:n!");
}

static void quantized_cases(run_context *x) {
  static const int shapes[][3] = {{1, 64, 1},  {1, 33, 17},  {2, 1, 8},    {3, 100, 31}, {5, 65, 33},
                                  {6, 64, 64}, {7, 31, 100}, {13, 257, 9}, {40, 96, 70}, {100, 300, 50},
                                  {0, 8, 4},   {3, 0, 5},    {3, 7, 0}};
  for (size_t i = 0; i < COUNT(shapes); i++)
    for (const char *t = "uc"; *t; t++) {
      const int m = shapes[i][0], k = shapes[i][1], n = shapes[i][2];
      run_checkf(x, "", "MatMulInteger", 10, NULL, "u:%dx%d:w %c:%dx%d:w!", m, k, *t, k,
                 n); /* 255 x 127 must not saturate */
      run_checkf(x, "", "MatMulInteger", 10, NULL, "u:%dx%d:o c:%dx%d:o u:s:w", m, k, k, n);
      run_checkf(x, "", "MatMulInteger", 10, NULL, "%c:%dx%d %c:%dx%d! %c:s %c:%d!", *t, m, k, *t, k, n, *t, *t, n);
      run_checkf(x, "", "MatMulInteger", 10, NULL, "c:2x%dx%d %c:%dx%d c:%d %c:s", m, k, *t, k, n, m, *t);
      run_checkf(x, "", "QLinearMatMul", 10, NULL, "u:%dx%d f:s:p u:s %c:%dx%d! f:%d:p! %c:%d! f:s:p %c:s", m, k, *t, k,
                 n, n, *t, n, *t);
      run_checkf(x, "", "QLinearMatMul", 10, NULL, "c:%dx%d f:1:p c:1 %c:%dx%d f:1:p %c:1 f:1:=900 u:1", m, k, *t, k, n,
                 *t);
      run_checkf(x, "com.microsoft", "MatMulIntegerToFloat", 1, NULL,
                 "u:2x%dx%d %c:%dx%d! f:s:p f:%d:t! u:s %c:%d! f:%d!", m, k, *t, k, n, n, *t, n, n);
      run_checkf(x, "com.microsoft", "DynamicQuantizeMatMul", 1, NULL, "f:%dx%d %c:%dx%d! f:%d:t! %c:%d! f:%d!", m, k,
                 *t, k, n, n, *t, n, n);
      run_checkf(x, "com.microsoft", "DynamicQuantizeMatMul", 1, NULL, "f:2x%dx%d:p %c:%dx%d! f:s:t!", m, k, *t, k, n);
      run_checkf(x, "com.microsoft", "QGemm", 1, "i:transB=1 f:alpha=0.5",
                 "u:%dx%d f:s:p u:s %c:%dx%d! f:%d:p! %c:%d! i:%d!", m, k, *t, n, k, n, *t, n, n);
      run_checkf(x, "com.microsoft", "QGemm", 1, NULL, "c:%dx%d f:s:p c:s %c:%dx%d! f:s:p %c:s - f:s:=300 u:s", m, k,
                 *t, k, n, *t);
    }
}

static void quantized_attention_cases(run_context *x) {
  static const int shapes[][5] = {
      /* batch, queries, width, heads, head size */
      {1, 1, 8, 1, 4}, {2, 5, 12, 2, 4}, {1, 33, 64, 4, 16}, {3, 16, 20, 3, 8}, {1, 70, 40, 2, 20}, {0, 3, 8, 2, 4}};
  for (size_t i = 0; i < COUNT(shapes); i++)
    for (const char *t = "uc"; *t; t++) {
      const int b = shapes[i][0], s = shapes[i][1], k = shapes[i][2], h = shapes[i][3], n = 3 * h * shapes[i][4];
      char attributes[64];
      (void)snprintf(attributes, sizeof attributes, "i:num_heads=%d i:unidirectional=%d", h, (int)(i % 2));
      run_checkf(x, "com.microsoft", "QAttention", 1, attributes,
                 "u:%dx%dx%d %c:%dx%d! f:%d! f:s:t f:%d:t! i:%dx%d u:s %c:%d!", b, s, k, *t, k, n, n, n, b, s, *t, n);
      run_checkf(x, "com.microsoft", "QAttention", 1, attributes, "c:%dx%dx%d %c:%dx%d f:%d f:s:t f:s:t - c:s %c:s", b,
                 s, k, *t, k, n, n, *t);
      char past[160];
      (void)snprintf(past, sizeof past, "u:%dx%dx%d:w c:%dx%d:w! f:%d! f:s:t f:s:t - - - f:2x%dx%dx7x%d", b, s, k, k, n,
                     n, b, h, n / h / 3);
      run_check(x, &(run_case){"com.microsoft", "QAttention", 1, attributes, past, 2});
    }
  static const char *const floats[] = {"f:1",
                                       "f:8:y",
                                       "f:43:p!",
                                       "f:218",
                                       "f:1093:y",
                                       "f:5468:s",
                                       "f:27343:y",
                                       "f:136718!",
                                       "f:2x0",
                                       "f:5:=0,0,0,0,0",
                                       "f:2x3:=-3,-1,-2,-9,-1,-5"};
  for (size_t i = 0; i < COUNT(floats); i++)
    run_check(x, &(run_case){"", "DynamicQuantizeLinear", 11, NULL, floats[i], 3});
}

static void conv_cases(run_context *x) {
  static const struct {
    const char *attributes, *inputs;
  } cases[] = {
      {"I:strides=4,4", "f:2x3x16x20 f:30x3x4x4:n! f:30!"},
      {"I:strides=16,16", "f:1x3x64x64 f:48x3x16x16:s! f:48!"},
      {"I:pads=1,1", "f:2x20x50 f:33x20x3:s! f:33!"},
      {"I:pads=1,1 I:strides=2", "f:1x40x51:y f:40x40x3:s! f:40!"},
      {"I:pads=1,1,1,1", "f:1x5x9x11 f:7x5x3x3:n!"},
      {"I:pads=2,0,1,3 I:dilations=2,3 I:strides=1,2", "f:1x5x19x23 f:7x5x3x3:n! f:7"},
      {"s:auto_pad=SAME_UPPER I:strides=2,3", "f:1x2x10x11 f:3x2x3x4:n! f:3!"},
      {"s:auto_pad=SAME_LOWER I:strides=2,2", "f:1x2x10x11 f:3x2x4x4:n! f:3!"},
      {"s:auto_pad=VALID", "f:1x2x10x11 f:3x2x4x4:n! f:3!"},
      {"i:group=4 I:pads=1,1,1,1", "f:2x8x7x7 f:12x2x3x3:n! f:12!"},
      {"i:group=6 I:pads=1,1,1,1", "f:1x6x12x12 f:6x1x3x3:n! f:6!"},
      {"I:pads=0,1,1,1,1,0", "f:1x3x5x6x7 f:4x3x2x3x3:n! f:4!"},
      {"I:pads=3,3", "f:1x2x1 f:3x2x7:n! f:3!"},
      {"I:pads=-1,-1,-1,-1", "f:1x2x9x9 f:3x2x3x3:n! f:3!"},
      {"I:strides=2,2", "f:1x3x9x9! f:5x3x3x3! f:5!"},
      {NULL, "f:1x3x1x1 f:5x3x1x1:n! f:5!"},
      {NULL, "f:0x3x4x4 f:5x3x1x1:n! f:5!"},
      {NULL, "f:1x0x4x4 f:5x0x2x2! f:5!"},
      {NULL, "f:2x300x65 f:50x300x4:s! f:50!"},
      {"I:pads=1,1", "f:1x80x300 f:96x80x3:s! f:96!"},
  };
  for (size_t i = 0; i < COUNT(cases); i++)
    run_checkf(x, "", "Conv", 11, cases[i].attributes, "%s", cases[i].inputs);
}

/* Weights of 127 against inputs of 255 must not saturate; every combination of signs and zero points. */
static void quantized_conv_cases(run_context *x) {
  static const struct {
    const char *attributes;
    int channels, outputs, group;
    const char *in, *kernel; /* spatial dims */
  } cases[] = {
      {"I:pads=1,1,1,1", 5, 7, 1, "9x11", "3x3"},
      {"I:pads=2,0,1,3 I:dilations=2,3 I:strides=1,2", 5, 14, 1, "19x23", "3x3"},
      {"s:auto_pad=SAME_UPPER I:strides=2,3", 2, 3, 1, "10x11", "3x4"},
      {"i:group=4 I:pads=1,1,1,1", 8, 12, 4, "7x7", "3x3"},
      {"i:group=6 I:pads=1,1,1,1", 6, 6, 6, "12x12", "3x3"},
      {"I:pads=0,1,1,1,1,0", 3, 4, 1, "5x6x7", "2x3x3"},
      {"I:pads=3,3", 2, 3, 1, "1", "7"},
      {"I:pads=-1,-1,-1,-1", 2, 3, 1, "9x9", "3x3"},
      {NULL, 64, 33, 1, "70", "1"},
      {NULL, 3, 5, 1, "1x1", "1x1"},
      {NULL, 0, 5, 1, "4x4", "2x2"},
      {"I:pads=1,1", 80, 25, 1, "100", "3"},
  };
  for (size_t i = 0; i < COUNT(cases); i++)
    for (const char *t = "uc"; *t; t++) {
      const int n = cases[i].channels, m = cases[i].outputs, g = n / cases[i].group;
      const char *const at = cases[i].attributes, *const in = cases[i].in, *const k = cases[i].kernel;
      run_checkf(x, "", "ConvInteger", 10, at, "u:2x%dx%s:w %c:%dx%dx%s:w!", n, in, *t, m, g, k);
      run_checkf(x, "", "ConvInteger", 10, at, "u:1x%dx%s:o c:%dx%dx%s:o! u:s:w", n, in, m, g, k);
      run_checkf(x, "", "ConvInteger", 10, at, "%c:1x%dx%s %c:%dx%dx%s! %c:s %c:s", *t, n, in, *t, m, g, k, *t, *t);
      run_checkf(x, "", "ConvInteger", 10, at, "c:1x%dx%s %c:%dx%dx%s! c:1 %c:%d", n, in, *t, m, g, k, *t, m);
      run_checkf(x, "", "QLinearConv", 10, at, "u:2x%dx%s f:s:p u:s %c:%dx%dx%s! f:%d:p! %c:%d! f:s:=40 %c:s i:%d!", n,
                 in, *t, m, g, k, m, *t, m, *t, m);
      run_checkf(x, "", "QLinearConv", 10, at, "c:1x%dx%s f:s:p c:s %c:%dx%dx%s! f:s:p! %c:s f:s:=300 u:s", n, in, *t,
                 m, g, k, *t);
    }
  for (const char *t = "uc"; *t; t++) {
    run_checkf(x, "com.microsoft", "QLinearConv", 1, "i:channels_last=1 i:group=2 I:pads=1,1,0,1 I:strides=2,1",
               "%c:2x9x7x6 f:s:p %c:s c:10x3x3x2! f:10:p! c:10! f:s:=60 %c:s i:10!", *t, *t, *t);
    run_checkf(x, "com.microsoft", "QLinearConv", 1, "i:channels_last=1 I:pads=1,1",
               "u:1x50x5 f:s:p u:s %c:33x5x3! f:s:p! %c:s f:s:=60 c:s", *t, *t);
  }
}

/* ---- attention ------------------------------------------------------------------------------------------------------------- */

static void attention_cases(run_context *x) {
  static const int shapes[][6] = {/* batch, heads, kv heads, queries, keys, head size */
                                  {1, 1, 1, 1, 1, 1},     {1, 2, 2, 1, 9, 16},     {2, 4, 2, 1, 33, 64},
                                  {1, 2, 1, 3, 40, 24},   {2, 2, 2, 4, 4, 8},      {1, 3, 3, 13, 13, 32},
                                  {1, 2, 2, 14, 31, 64},  {1, 2, 2, 15, 64, 65},   {2, 4, 1, 17, 16, 40},
                                  {1, 2, 2, 29, 100, 64}, {1, 1, 1, 7, 520, 32},   {1, 2, 2, 33, 600, 16},
                                  {1, 1, 1, 1, 1100, 64}, {1, 1, 1, 150, 150, 64}, {1, 2, 2, 40, 17, 31}};
  static const char *const extra[] = {"",
                                      "i:causal=1",
                                      "f:softcap=2.5",
                                      "i:causal=1 s:dead_row=zero f:softcap=1",
                                      "f:keep_value=-3.5",
                                      "i:keep_after=1 f:keep_value=-1e9",
                                      "s:dead_row=zero i:keep_after=1"};
  for (size_t i = 0; i < COUNT(shapes); i++) {
    const int b = shapes[i][0], h = shapes[i][1], g = shapes[i][2], s = shapes[i][3], t = shapes[i][4],
              d = shapes[i][5];
    for (size_t e = 0; e < COUNT(extra); e++) {
      char a[256];
      snprintf(a, sizeof a, "i:heads=%d i:kv_heads=%d f:scale=%g %s", h, g, 1.0 / (1 + d / 8), extra[e]);
      const char *const kind = strstr(extra[e], "causal") ? "n" : "y";
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d f:%dx%dx%dx%d:n f:%dx%dx%dx%d:n", b, h, s, d, b, g, t,
                 d, b, g, t, d + 3);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d:%s f:%dx%dx%dx%d:n f:%dx%dx%dx%d:%s f:%dx1x1x%d:h", b,
                 h, s, d, kind, b, g, t, d, b, g, t, d, kind, b, t);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx%dx%dx%d:z", b, h, s,
                 d, b, g, t, d, b, g, t, d, b, h, s, t);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx%d:d", b, h, s, d, b,
                 g, t, d, b, g, t, d, s, t);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx1:e", b, h, s, d, b, g,
                 t, d, b, g, t, d, s);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx%dx%dx%d - b:%dx1x%dx%d", b, h, s, d,
                 b, g, t, d, b, g, t, d, b, s, t);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx%d:n b:%dx1x1x%d", b,
                 h, s, d, b, g, t, d, b, g, t, d, s, t, b, t);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d f:%dx%dx%dx%d f:%dx%dx%dx%d - b:1x1:o", b, h, s, d, b,
                 g, t, d, b, g, t, d);
      snprintf(
          a, sizeof a,
          "i:heads=%d i:kv_heads=%d s:q_order=BSHD s:k_order=BHDS s:v_order=BSHD s:out_order=BSHD i:out_merged=1 %s", h,
          g, extra[e]);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d f:%dx%dx%dx%d:s f:%dx%dx%dx%d", b, s, h, d, b, g, d, t,
                 b, t, g, d);
      snprintf(a, sizeof a, "i:heads=%d i:kv_heads=%d s:q_order=DHSB s:k_order=SDHB s:v_order=HDSB s:out_order=HDBS %s",
               h, g, extra[e]);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%dx%d f:%dx%dx%dx%d:s f:%dx%dx%dx%d", d, h, s, b, t, d, g, b,
                 g, d, t, b);
      if (s != t)
        continue;
      snprintf(a, sizeof a,
               "i:heads=%d i:kv_heads=%d s:q_order=BSHD s:k_order=BSHD s:v_order=BSHD i:head_size=%d i:v_head_size=%d "
               "i:k_offset=%d i:v_offset=%d "
               "s:out_order=SBHD i:out_merged=1 f:scale=0.2 %s",
               h, g, d, d, h * d, (h + g) * d, extra[e]);
      run_checkf(x, "onward", "Attention", 1, a, "f:%dx%dx%d f:%dx%dx%d f:%dx%dx%d", b, s, (h + 2 * g) * d, b, s,
                 (h + 2 * g) * d, b, s, (h + 2 * g) * d + 5);
    }
  }
  for (int s = 1; s < 30; s += 7) {
    for (const char *kind = "gk"; *kind; kind++)
      for (const char *const *a =
               (const char *const[]){"i:heads=1", "i:heads=1 i:causal=1", "i:heads=1 s:dead_row=zero", NULL};
           *a; a++)
        run_checkf(x, "onward", "Attention", 1, *a, "f:1x1x%dx16 f:1x1x1200x16 f:1x1x1200x16 f:1x1200:%c", s, *kind);
    run_checkf(x, "onward", "Attention", 1, "i:heads=2", "f:1x2x%dx20! f:1x2x9x20! f:1x2x9x20! f:%dx9!", s, s);
    run_checkf(x, "onward", "Attention", 1, "i:heads=2 s:q_order=BHDS s:k_order=BHDS s:v_order=BHDS",
               "f:1x2x20x%d! f:1x2x20x9! f:1x2x20x9!", s);
  }
  run_checkf(x, "onward", "Attention", 1, "i:heads=2", "f:1x2x3x4 f:1x2x0x4 f:1x2x0x4");
  run_checkf(x, "onward", "Attention", 1, "i:heads=2", "f:1x2x0x4 f:1x2x3x4 f:1x2x3x4");
  run_checkf(x, "onward", "Attention", 1, "i:heads=2", "f:0x2x5x4 f:0x2x3x4 f:0x2x3x4");
}

/* Three outputs. */
static void OW_PRINTF(4, 5)
    run_checkf3(run_context *x, const char *op, const char *attributes, const char *inputs, ...) {
  char text[256];
  va_list args;
  va_start(args, inputs);
  (void)vsnprintf(text, sizeof text, inputs, args);
  va_end(args);
  run_check(x, &(run_case){"com.microsoft", op, 1, attributes, text, 3});
}

static void contrib_attention_cases(run_context *x) {
  static const char ms[] = "com.microsoft";
  static const int shapes[][3] = {{1, 1, 4}, {3, 5, 8}, {17, 31, 16}, {40, 70, 33}}; /* queries, past, head size */
  char inputs[256], attributes[96];
  for (size_t i = 0; i < COUNT(shapes); i++) {
    const int s = shapes[i][0], p = shapes[i][1], d = shapes[i][2], w = 2 * d;
    for (int causal = 0; causal < 2; causal++) {
      snprintf(attributes, sizeof attributes, "i:num_heads=2 i:unidirectional=%d", causal);
      snprintf(inputs, sizeof inputs, "f:2x%dx6 f:6x%d:s! f:%d! - f:2x2x2x%dx%d", s, 3 * w, 3 * w, p, d);
      run_check(x, &(run_case){ms, "Attention", 1, attributes, inputs, 2});
      snprintf(inputs, sizeof inputs, "f:2x%dx%d f:2x%dx%d f:2x%dx%d f:%d - f:1x2x%dx%d f:2x2x%dx%d f:2x2x%dx%d", s, w,
               s, w, s, w, 3 * w, s, s + p, p, d, p, d);
      run_check(x, &(run_case){ms, "MultiHeadAttention", 1, attributes, inputs, 3});
    }
    run_checkf(x, ms, "Attention", 1, "i:num_heads=2 f:scale=0.3 f:mask_filter_value=-50",
               "f:2x%dx6 f:6x%d:s! - i:2x%d", s, 3 * w, s);
    run_checkf(x, ms, "MultiHeadAttention", 1, "i:num_heads=2", "f:2x%dx2x3x%d", s, d);
    run_checkf(x, ms, "MultiHeadAttention", 1, "i:num_heads=2 f:mask_filter_value=-50",
               "f:2x%dx%d f:2x%dx2x2x%d - - i:2x%d", s, w, p, d, p);
    run_checkf(x, ms, "MultiHeadAttention", 1, "i:num_heads=2", "f:2x%dx%d f:2x2x%dx%d f:2x2x%dx%d", s, w, p, d, p, d);
    static const char *const grouped[] = {"", "i:local_window_size=3", "f:softcap=0.7", "i:smooth_softmax=1"};
    for (size_t g = 0; g < COUNT(grouped); g++) {
      snprintf(attributes, sizeof attributes, "i:num_heads=4 i:kv_num_heads=2%s%s", g ? " " : "", grouped[g]);
      snprintf(inputs, sizeof inputs, "f:2x%dx%d f:2x%dx%d f:2x%dx%d - - i:2:=%d,%d! i:1:=%d!", s, 4 * d, s, w, s, w,
               s - 1, s - 1, s);
      run_check(x, &(run_case){ms, "GroupQueryAttention", 1, attributes, inputs, 3});
      snprintf(inputs, sizeof inputs, "f:2x%dx%d - - f:2x2x%dx%d f:2x2x%dx%d i:2:=%d,%d! i:1:=%d!", s, 8 * d, p, d, p,
               d, s + p - 1, s + p - 1, s + p);
      run_check(x, &(run_case){ms, "GroupQueryAttention", 1, attributes, inputs, 3});
    }
  }
  for (const char *t = "hg"; *t; t++) { /* of 16 bits */
    const char k = *t;
    run_checkf3(x, "GroupQueryAttention", "i:num_heads=4 i:kv_num_heads=2 i:do_rotary=1",
                "%c:2x1x128 - - %c:2x2x6x16 %c:2x2x6x16 i:2:=6,4! i:1:=7! %c:9x8 %c:9x8", k, k, k, k, k);
    run_checkf3(x, "GroupQueryAttention", "i:num_heads=4 i:kv_num_heads=2",
                "%c:2x3x128 - - %c:2x2x9x16 %c:2x2x9x16 i:2:=6,4! i:1:=7! - - - %c:1x4x3x7", k, k, k, k);
    run_checkf3(x, "MultiHeadAttention", "i:num_heads=2 i:unidirectional=1",
                "%c:2x3x16 %c:2x3x16 %c:2x3x16 %c:48 - %c:1x2x3x8 %c:2x2x5x8 %c:2x2x5x8", k, k, k, k, k, k, k);
  }
  static const char *const turned[] = {"i:num_heads=4 i:kv_num_heads=2 i:do_rotary=1",
                                       "i:num_heads=4 i:kv_num_heads=2 i:do_rotary=1 i:rotary_interleaved=1"};
  for (size_t g = 0; g < COUNT(turned); g++)
    run_check(x, &(run_case){ms, "GroupQueryAttention", 1, turned[g],
                             "f:2x1x128 - - f:2x2x6x16 f:2x2x6x16 i:2:=6,4! i:1:=7! f:9x8 f:9x8", 3});
}

void cases_all(run_context *x) {
  unary_cases(x);
  binary_cases(x);
  where_cases(x);
  softmax_cases(x);
  norm_cases(x);
  reduce_cases(x);
  linear_cases(x);
  matmul_cases(x);
  nbits_cases(x);
  conv_cases(x);
  quantized_conv_cases(x);
  quantized_attention_cases(x);
  attention_cases(x);
  contrib_attention_cases(x);
  quantized_cases(x);
  half_cases(x);
  fused_matmul_cases(x);
}

/* ---- bench ----------------------------------------------------------------------------------------------------------------- */

void cases_bench(run_context *x) {
  static const int linear[][3] = {{8, 384, 384},    {128, 384, 1536}, {128, 1536, 384}, {8, 768, 768},
                                  {128, 768, 768},  {128, 768, 3072}, {128, 3072, 768}, {197, 768, 3072},
                                  {1024, 768, 768}, {1, 768, 3072}};
  for (size_t i = 0; i < COUNT(linear); i++)
    run_checkf(x, "onward", "Linear", 1, linear[i][2] > linear[i][1] ? "s:activation=gelu" : NULL,
               "f:%dx%d f:%dx%d:s! f:%d!", linear[i][0], linear[i][1], linear[i][1], linear[i][2], linear[i][2]);
  run_checkf(x, "onward", "Linear", 1, NULL, "f:128x768 f:768x768:s! f:768! f:768x768:s! f:768! f:768x768:s! f:768!");
  run_checkf(x, "", "MatMul", 13, NULL, "f:12x128x64 f:12x64x128");
  run_checkf(x, "", "MatMul", 13, NULL, "f:512x512 f:512x512");
  for (int m = 1; m <= 64; m *= 64)
    run_checkf(x, "com.microsoft", "MatMulNBits", 1, "i:K=576 i:N=1536 i:block_size=32",
               "f:%dx576 u:1536x18x16! f:1536x18:t! f:1536x18!", m);
  static const int attention[][4] = {{12, 8, 8, 64},     {12, 128, 128, 64}, {12, 197, 197, 64},
                                     {12, 512, 512, 64}, {12, 128, 128, 32}, {12, 1, 512, 64}};
  for (size_t i = 0; i < COUNT(attention); i++) {
    const int h = attention[i][0], s = attention[i][1], t = attention[i][2], d = attention[i][3];
    char a[256];
    snprintf(a, sizeof a,
             "i:heads=%d f:scale=0.125 s:q_order=BSHD s:k_order=BSHD s:v_order=BSHD s:out_order=BSHD i:out_merged=1",
             h);
    run_checkf(x, "onward", "Attention", 1, a, "f:1x%dx%dx%d f:1x%dx%dx%d f:1x%dx%dx%d f:1x1x1x%d:z", s, h, d, t, h, d,
               t, h, d, t);
  }
  run_checkf(x, "", "Softmax", 13, NULL, "f:12x128x128");
  run_checkf(x, "", "LayerNormalization", 17, NULL, "f:128x768 f:768! f:768!");
  run_checkf(x, "onward", "SkipNorm", 1, NULL, "f:128x768 f:128x768 f:768! f:768!");
  run_checkf(x, "", "Gelu", 20, NULL, "f:128x3072");
  run_checkf(x, "", "Tanh", 13, NULL, "f:128x3072");
  run_checkf(x, "", "Exp", 13, NULL, "f:128x3072");
  run_checkf(x, "", "Add", 14, NULL, "f:128x3072 f:128x3072");
  run_checkf(x, "", "Add", 14, NULL, "f:128x3072 f:3072!");
  run_checkf(x, "", "ReduceMean", 18, NULL, "f:128x768 l:1:=-1!");
  run_checkf(x, "", "Conv", 11, "I:strides=16,16", "f:1x3x224x224 f:768x3x16x16:s! f:768!");
  run_checkf(x, "", "Conv", 11, "I:pads=1,1", "f:1x80x3000 f:384x80x3:s! f:384!");
  run_check(x, &(run_case){"", "DynamicQuantizeLinear", 11, NULL, "f:128x3072", 3});
  run_checkf(x, "com.microsoft", "QAttention", 1, "i:num_heads=12",
             "u:1x128x768 c:768x2304! f:2304! f:s:t f:s:t - u:s");
  run_checkf(x, "", "ConvInteger", 10, "I:pads=1,1,1,1", "u:1x64x28x28 c:64x64x3x3! u:s");
  run_checkf(x, "", "QLinearConv", 10, "I:strides=16,16",
             "u:1x3x224x224 f:s:p u:s c:192x3x16x16! f:192:p! c:192! f:s:=40 u:s");
}
