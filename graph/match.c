/* Matching: questions a rewrite asks about values and nodes. None changes the graph. */
#include <math.h>
#include <string.h>

#include "graph/pass.h"
#include "graph/pass_util.h"

static bool is_default_domain(const char *domain) { return domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0; }

bool ow_node_is_in(const ow_node *node, const char *domain, const char *type) {
  if (!node || strcmp(node->type, type) != 0 || (node->op && (node->op->flags & OW_OP_CUSTOM)))
    return false; /* a plug-in's operator of that name may do anything */
  return domain[0] == '\0' ? is_default_domain(node->domain) : strcmp(node->domain, domain) == 0;
}

bool ow_node_is(const ow_node *node, const char *type) { return ow_node_is_in(node, "", type); }

ow_node *ow_match_op(const ow_value *value, const char *type) { return ow_match_op_in(value, "", type); }

ow_node *ow_match_op_in(const ow_value *value, const char *domain, const char *type) {
  return value && ow_node_is_in(value->producer, domain, type) ? value->producer : NULL;
}

bool ow_match_single_use(const ow_value *value) { return value && value->use_count == 1 && value->output_count == 0; }

ow_node *ow_match_only_user(const ow_value *value) {
  ow_node *const user = ow_match_single_use(value) ? value->uses[0].node : NULL;
  return user && user->graph == value->graph && ow_node_output(user, 0) ? user : NULL;
}

bool ow_value_ranked(const ow_value *value) {
  return value && value->type.kind == OW_VALUE_TENSOR && value->type.dtype != ONWARD_UNDEFINED &&
         value->type.shape.rank >= 0;
}

bool ow_value_is_f32(const ow_value *value) {
  return value && value->type.kind == OW_VALUE_TENSOR && value->type.dtype == ONWARD_FLOAT32;
}

/* Elements of constants may lie at any address. */
static double element_as_f64(const ow_const *c, size_t i) {
  _Alignas(16) unsigned char element[16];
  const size_t size = ow_dtype_size(c->dtype);
  memcpy(element, (const unsigned char *)c->data + i * size, size);
  return ow_get_f64(c->dtype, element, 0);
}

static int64_t element_as_i64(const ow_const *c, size_t i) {
  _Alignas(16) unsigned char element[16];
  const size_t size = ow_dtype_size(c->dtype);
  memcpy(element, (const unsigned char *)c->data + i * size, size);
  return ow_get_i64(c->dtype, element, 0);
}

static bool const_count(const ow_const *c, int64_t *count) { return ow_dims_count(c->rank, c->dims, count); }

bool ow_match_scalar(const ow_value *value, double *out) {
  if (!value)
    return false;
  int64_t count;
  if (value->constant) {
    const ow_const *const c = value->constant;
    const uint32_t real = OW_TYPES_NUMERIC | OW_BIT(ONWARD_BOOL);
    if ((unsigned)c->dtype >= 32 || !(real & OW_BIT(c->dtype)) || !const_count(c, &count) || count != 1)
      return false;
    *out = element_as_f64(c, 0);
    return true;
  }
  if (!value->type.elems || value->type.elem_count != 1 || !ow_dim_is_const(value->type.elems[0]))
    return false;
  *out = (double)value->type.elems[0].k;
  return true;
}

bool ow_match_scalar_near(const ow_value *value, double want, double relative) {
  double got;
  return ow_match_scalar(value, &got) && fabs(got - want) <= relative * fabs(want);
}

ow_value *ow_match_with_scalar(const ow_node *node, double *out) {
  if (!node || node->input_count != 2)
    return NULL;
  if (ow_match_scalar(node->inputs[1], out))
    return node->inputs[0];
  return ow_match_scalar(node->inputs[0], out) ? node->inputs[1] : NULL;
}

int64_t ow_match_ints(const ow_value *value, int64_t *out, size_t max) {
  if (!value)
    return -1;
  if (value->constant) {
    const ow_const *const c = value->constant;
    int64_t count;
    if ((c->dtype != ONWARD_INT64 && c->dtype != ONWARD_INT32) || !const_count(c, &count) || (uint64_t)count > max)
      return -1;
    for (size_t i = 0; i < (size_t)count; i++)
      out[i] = element_as_i64(c, i);
    return count;
  }
  if (!value->type.elems || value->type.elem_count > max)
    return -1;
  for (size_t i = 0; i < value->type.elem_count; i++) {
    if (!ow_dim_is_const(value->type.elems[i]))
      return -1;
    out[i] = value->type.elems[i].k;
  }
  return (int64_t)value->type.elem_count;
}

const float *ow_match_floats(const ow_value *value, size_t count) {
  int64_t have;
  if (!value || !value->constant || value->constant->dtype != ONWARD_FLOAT32 || !const_count(value->constant, &have) ||
      (uint64_t)have != count || (uintptr_t)value->constant->data % sizeof(float) != 0)
    return NULL;
  return value->constant->data;
}

ow_dim ow_value_dim(const ow_value *value, int32_t d) {
  if (!ow_value_ranked(value))
    return ow_dim_unknown();
  const int32_t rank = value->type.shape.rank;
  if (d < 0)
    d += rank;
  return d >= 0 && d < rank ? value->type.shape.dims[d] : ow_dim_unknown();
}

bool ow_dims_agree(ow_graph *graph, ow_dim a, ow_dim b) {
  if (ow_dim_is_unknown(a) || ow_dim_is_unknown(b))
    return false;
  if (ow_dim_equal(a, b))
    return true;
  const ow_graph *const root = ow_graph_root(graph);
  for (size_t i = 0; i < root->guard_count; i++) {
    const ow_guard *const guard = &root->guards[i];
    if ((ow_dim_equal(guard->a, a) && ow_dim_equal(guard->b, b)) ||
        (ow_dim_equal(guard->a, b) && ow_dim_equal(guard->b, a)))
      return true;
  }
  return false;
}

bool ow_shape_equal(const ow_shape *a, const ow_shape *b) {
  if (a->rank < 0 || a->rank != b->rank)
    return false;
  for (int32_t d = 0; d < a->rank; d++)
    if (ow_dim_is_unknown(a->dims[d]) || !ow_dim_equal(a->dims[d], b->dims[d]))
      return false;
  return true;
}

bool ow_value_same_shape(const ow_value *a, const ow_value *b) {
  return ow_value_ranked(a) && ow_value_ranked(b) && ow_shape_equal(&a->type.shape, &b->type.shape);
}

bool ow_value_is_last_axis(const ow_value *value, int64_t axis) {
  return ow_value_ranked(value) && value->type.shape.rank > 0 && (axis == -1 || axis == value->type.shape.rank - 1);
}

bool ow_match_vector(const ow_value *value, ow_dim length) {
  return ow_value_ranked(value) && value->type.shape.rank == 1 && ow_dim_equal(value->type.shape.dims[0], length);
}

bool ow_match_row_const(const ow_value *value, ow_dim length) {
  if (!value || !value->constant || !ow_dim_is_const(length) || value->constant->rank < 1)
    return false;
  const ow_const *const c = value->constant;
  for (int32_t d = 0; d < c->rank - 1; d++)
    if (c->dims[d] != 1)
      return false;
  return c->dims[c->rank - 1] == length.k;
}

/* Keepdims reduction over the last axis alone; the axes are an attribute or an input, by version. */
bool ow_match_last_axis_reduce(const ow_node *node, const char *type) {
  if (!ow_node_is(node, type) || node->input_count < 1 || ow_node_int(node, "keepdims", 1) != 1)
    return false;
  size_t count;
  int64_t axis;
  const int64_t *const axes = ow_node_ints(node, "axes", &count);
  if (axes) {
    if (count != 1)
      return false;
    axis = axes[0];
  } else if (ow_match_ints(ow_node_input(node, 1), &axis, 1) != 1) {
    return false;
  }
  return ow_value_is_last_axis(node->inputs[0], axis);
}

ow_value *ow_match_square(const ow_value *value) {
  const ow_node *const pow = ow_match_op(value, "Pow"), *const mul = ow_match_op(value, "Mul");
  if (pow && ow_match_scalar_near(pow->inputs[1], 2.0, 0.0) && ow_value_same_shape(pow->inputs[0], value))
    return pow->inputs[0];
  return mul && mul->inputs[0] == mul->inputs[1] ? mul->inputs[0] : NULL;
}

ow_value *ow_match_other_input(const ow_node *node, const ow_value *one) {
  if (!node || node->input_count != 2)
    return NULL;
  return node->inputs[0] == one ? node->inputs[1] : node->inputs[1] == one ? node->inputs[0] : NULL;
}

bool ow_match_transparent(const ow_node *node) {
  if (!node || node->input_count < 1 || node->output_count < 1 || !node->inputs[0] || !node->outputs[0])
    return false;
  if (ow_node_is(node, "Identity"))
    return true;
  if (ow_node_is(node, "Cast") || ow_node_is(node, "CastLike"))
    return node->inputs[0]->type.kind == OW_VALUE_TENSOR && node->inputs[0]->type.dtype != ONWARD_UNDEFINED &&
           node->inputs[0]->type.dtype == node->outputs[0]->type.dtype;
  if (!ow_node_is(node, "Dropout") || node->version < 7)
    return false;
  const ow_value *const mask = ow_node_output(node, 1), *const training = ow_node_input(node, 2);
  double on;
  return (!mask || (mask->use_count == 0 && mask->output_count == 0)) &&
         (!training || (ow_match_scalar(training, &on) && on == 0.0));
}

/* ---- x / sqrt(mean(x*x) + epsilon), the heart of both norms ------------------------------------------------------------- */

static bool used_only_by(const ow_value *value, const ow_node *a, const ow_node *b) {
  for (size_t i = 0; i < value->use_count; i++)
    if (value->uses[i].node != a && value->uses[i].node != b)
      return false;
  return value->output_count == 0;
}

/* The node that divides by root: x / root, x * Reciprocal(root) or x * (1 / root). */
static ow_node *match_division(const ow_value *root, const ow_value *x) {
  ow_node *user = ow_match_only_user(root);
  if (ow_node_is(user, "Div") && user->inputs[0] == x && user->inputs[1] == root)
    return user;
  const bool reciprocal = ow_node_is(user, "Reciprocal") || (ow_node_is(user, "Div") && user->inputs[1] == root &&
                                                             ow_match_scalar_near(user->inputs[0], 1.0, 0.0));
  if (!reciprocal)
    return NULL;
  const ow_value *const inverse = user->outputs[0];
  user = ow_match_only_user(inverse);
  return ow_node_is(user, "Mul") && ow_match_other_input(user, inverse) == x ? user : NULL;
}

bool ow_match_rms(ow_node *root, ow_norm_match *m) {
  if (!ow_node_is(root, "Sqrt") || !ow_match_single_use(root->inputs[0]))
    return false;
  const ow_node *const add = ow_match_op(root->inputs[0], "Add");
  const ow_value *const mean = add ? ow_match_with_scalar(add, &m->epsilon) : NULL;
  ow_node *const reduce = mean ? mean->producer : NULL;
  if (!mean || !ow_match_single_use(mean) || !ow_match_last_axis_reduce(reduce, "ReduceMean") || !(m->epsilon >= 0) ||
      !ow_value_same_shape(mean, root->inputs[0]))
    return false;
  const ow_value *const square = reduce->inputs[0];
  m->x = ow_match_single_use(square) ? ow_match_square(square) : NULL;
  if (!m->x || !ow_value_is_f32(m->x) || !ow_value_same_shape(m->x, square))
    return false;
  m->last = match_division(root->outputs[0], m->x);
  m->square = square->producer;
  if (!m->last || !ow_value_same_shape(m->last->outputs[0], m->x))
    return false;
  m->out = m->last->outputs[0];
  return true;
}

ow_value *ow_match_centred(const ow_norm_match *m) {
  const ow_node *const sub = ow_match_op(m->x, "Sub");
  if (!sub || !used_only_by(m->x, m->square, m->last))
    return NULL;
  ow_value *const x = sub->inputs[0];
  const ow_value *const mean = sub->inputs[1];
  if (!ow_match_single_use(mean) || !ow_match_last_axis_reduce(mean->producer, "ReduceMean") ||
      mean->producer->inputs[0] != x || !ow_value_same_shape(x, m->x))
    return NULL;
  return x;
}

ow_value *ow_match_affine(ow_value **out, ow_node **last, const char *type) {
  ow_node *const user = ow_match_only_user(*out);
  ow_value *const other = ow_node_is(user, type) ? ow_match_other_input(user, *out) : NULL;
  if (!other || !ow_match_vector(other, ow_value_dim(*out, -1)) || !ow_value_same_shape(user->outputs[0], *out) ||
      other->type.dtype != (*out)->type.dtype)
    return NULL;
  *last = user;
  *out = user->outputs[0];
  return other;
}
