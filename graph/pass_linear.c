/* linear: products with constant matrices become onward::Linear.
 *
 *     MatMul(x, W) [+ bias]      MatMul(x, Transpose(W))      Gemm(x, W, bias)          -> Linear
 *     Reshape -> Linear -> Reshape                                                      -> Linear over more axes
 *     Linear -> Relu, Gelu, ...                                                         -> Linear with activation */
#include <string.h>

#include "graph/pass_util.h"

static bool is_matrix(const ow_value *w, bool cast) {
  if (!w || !w->constant)
    return false;
  const onward_dtype dtype = w->constant->dtype;
  const bool half = dtype == ONWARD_FLOAT16 || dtype == ONWARD_BFLOAT16;
  return (cast ? half : dtype == ONWARD_FLOAT32) && w->constant->rank == 2 && w->constant->dims[0] > 0 &&
         w->constant->dims[1] > 0;
}

/* The constant matrix behind w; *transposed is flipped when it lies behind a Transpose. One of 16 bits lies behind a Cast. */
static ow_value *find_matrix(ow_value *w, bool *transposed) {
  const ow_node *const widened = ow_match_op(w, "Cast");
  const bool cast = widened && ow_value_is_f32(w);
  if (cast)
    w = widened->inputs[0];
  const ow_node *const node = ow_match_op(w, "Transpose");
  if (is_matrix(w, cast))
    return w;
  if (!node || !is_matrix(node->inputs[0], cast))
    return NULL;
  size_t count;
  const int64_t *const perm = ow_node_ints(node, "perm", &count);
  if (perm && !(count == 2 && perm[0] == 1 && perm[1] == 0))
    return NULL;
  *transposed = !*transposed;
  return node->inputs[0];
}

static ow_dim columns(const ow_value *w, bool transposed) { return ow_dim_const(w->constant->dims[!transposed]); }

/* Make Linear in place of the output of last. */
static ow_node *make_linear(ow_pass_context *context, ow_node *last, ow_value *x, ow_value *w, bool transposed,
                            ow_value *bias) {
  if (bias && !(bias = ow_const_row(context->graph, bias)))
    return NULL;
  ow_patch patch = ow_patch_begin(context, last, "linear");
  if (ow_patch_node(&patch, "onward", "Linear", (ow_value *[]){x, w, bias}, bias ? 3 : 2, 1) && transposed)
    ow_patch_int(&patch, "trans_b", 1);
  ow_patch_replace(&patch, last->outputs[0], ow_patch_infer(&patch));
  return ow_patch_apply(&patch) ? patch.made[0] : NULL;
}

/* An Add of a constant row is the only use of value: the Add, and the row. */
static ow_node *match_bias(const ow_value *value, ow_dim length, ow_value **bias) {
  ow_node *const add = ow_match_only_user(value);
  ow_value *const row = ow_node_is(add, "Add") ? ow_match_other_input(add, value) : NULL;
  if (!row || !ow_match_row_const(row, length) || row->constant->dtype != ONWARD_FLOAT32 ||
      !ow_value_same_shape(add->outputs[0], value))
    return NULL;
  *bias = row;
  return add;
}

static ow_node *from_matmul(ow_pass_context *context, ow_node *node) {
  bool transposed = false;
  ow_value *const x = node->inputs[0], *const w = find_matrix(node->inputs[1], &transposed), *bias = NULL;
  if (!w || !x || x->constant || !ow_value_is_f32(x) || !ow_value_ranked(x) || x->type.shape.rank < 1)
    return NULL;
  ow_node *const add = match_bias(node->outputs[0], columns(w, transposed), &bias);
  ow_node *const fused = add ? make_linear(context, add, x, w, transposed, bias) : NULL;
  return fused ? fused : make_linear(context, node, x, w, transposed, NULL);
}

static ow_node *from_gemm(ow_pass_context *context, ow_node *node) {
  bool transposed = ow_node_int(node, "transB", 0) != 0;
  ow_value *const x = node->inputs[0], *const w = find_matrix(node->inputs[1], &transposed),
                  *const c = ow_node_input(node, 2);
  if (!w || !x || x->constant || !ow_value_is_f32(x) || ow_node_int(node, "transA", 0) != 0 ||
      ow_node_float(node, "alpha", 1.0f) != 1.0f)
    return NULL;
  if (c && (ow_node_float(node, "beta", 1.0f) != 1.0f || !ow_match_row_const(c, columns(w, transposed)) ||
            c->constant->dtype != ONWARD_FLOAT32))
    return NULL;
  return make_linear(context, node, x, w, transposed, c);
}

/* ---- what follows a Linear -------------------------------------------------------------------------------------------------- */

static bool is_plain(const ow_node *linear) {
  return ow_node_is_in(linear, "onward", "Linear") && ow_node_string(linear, "activation", "")[0] == '\0';
}

/* The name of a unary node as an activation; NULL when it is none. */
static const char *activation_of(const ow_node *node, float *alpha) {
  static const struct {
    const char *domain, *type, *name;
  } plain[] = {{"", "Relu", "relu"},
               {"", "Tanh", "tanh"},
               {"", "Sigmoid", "sigmoid"},
               {"com.microsoft", "Gelu", "gelu"},
               {"com.microsoft", "FastGelu", "gelu_tanh"}};
  if (!node || node->input_count != 1 || node->output_count != 1)
    return NULL;
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (ow_node_is_in(node, plain[i].domain, plain[i].type))
      return plain[i].name;
  if (ow_node_is(node, "Gelu"))
    return strcmp(ow_node_string(node, "approximate", "none"), "tanh") == 0 ? "gelu_tanh" : "gelu";
  if (!ow_node_is_in(node, "com.microsoft", "QuickGelu"))
    return NULL;
  *alpha = ow_node_float(node, "alpha", 1.702f);
  return *alpha == 1.0f ? "silu" : "quick_gelu";
}

static ow_node *absorb_activation(ow_pass_context *context, ow_node *linear) {
  float alpha = 1.702f;
  ow_node *const user = ow_match_only_user(linear->outputs[0]);
  const char *const activation = activation_of(user, &alpha);
  if (!activation)
    return NULL;
  ow_patch patch = ow_patch_begin(context, user, "linear");
  if (ow_patch_node(&patch, "onward", "Linear", linear->inputs, linear->input_count, 1)) {
    ow_patch_copy_attrs(&patch, linear, (const char *const[]){"activation", "activation_alpha", NULL});
    ow_patch_string(&patch, "activation", activation);
    if (strcmp(activation, "quick_gelu") == 0)
      ow_patch_float(&patch, "activation_alpha", alpha);
  }
  ow_patch_replace(&patch, user->outputs[0], ow_patch_infer(&patch));
  return ow_patch_apply(&patch) ? patch.made[0] : NULL;
}

static ow_node *absorb_bias(ow_pass_context *context, ow_node *linear) {
  ow_value *bias = NULL;
  if (linear->input_count != 2)
    return NULL;
  ow_node *const add = match_bias(linear->outputs[0], ow_value_dim(linear->outputs[0], -1), &bias);
  return add ? make_linear(context, add, linear->inputs[0], linear->inputs[1], ow_node_int(linear, "trans_b", 0) != 0,
                           bias)
             : NULL;
}

/* Reshape -> Linear -> Reshape: only the last axis counts, so the first Reshape can go. */
static ow_node *lift(ow_pass_context *context, ow_node *linear) {
  const ow_node *const before = ow_match_op(linear->inputs[0], "Reshape");
  ow_node *const after = ow_match_only_user(linear->outputs[0]);
  ow_value *const x = before ? before->inputs[0] : NULL;
  if (!x || !ow_node_is(after, "Reshape") || after->inputs[0] != linear->outputs[0] || !ow_value_ranked(x) ||
      x->type.shape.rank < 1 || !ow_dim_equal(ow_value_dim(x, -1), ow_value_dim(linear->inputs[0], -1)))
    return NULL;
  ow_value *inputs[3] = {x};
  if (linear->input_count > sizeof inputs / sizeof *inputs)
    return NULL;
  for (size_t i = 1; i < linear->input_count; i++)
    inputs[i] = linear->inputs[i];
  ow_value *const out = after->outputs[0];
  ow_patch patch = ow_patch_begin(context, after, "linear");
  ow_value *lifted = NULL;
  if (ow_patch_node(&patch, "onward", "Linear", inputs, linear->input_count, 1)) {
    ow_patch_copy_attrs(&patch, linear, (const char *const[]){NULL});
    lifted = ow_patch_infer(&patch);
  }
  if (lifted && !ow_value_same_shape(lifted, out))
    lifted = ow_value_ranked(out) ? ow_patch_reshape(&patch, lifted, out->type.shape.dims, out->type.shape.rank) : NULL;
  ow_patch_replace(&patch, out, lifted);
  return ow_patch_apply(&patch) ? patch.made[0] : NULL;
}

static ow_node *fuse(ow_pass_context *context, ow_node *node) {
  if (ow_node_is(node, "MatMul"))
    return from_matmul(context, node);
  if (ow_node_is(node, "Gemm"))
    return from_gemm(context, node);
  if (!is_plain(node) || !node->outputs[0])
    return NULL;
  ow_node *made = absorb_bias(context, node);
  made = made ? made : absorb_activation(context, node);
  return made ? made : lift(context, node);
}

onward_status ow_pass_linear(ow_pass_context *context, size_t *changes) {
  ow_pass_each(context, fuse, changes);
  return ONWARD_OK;
}
