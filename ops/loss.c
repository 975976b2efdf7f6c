/* NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: classes along axis 1, one label per remaining position. */
#include "ops/reference.h"

static bool loss_reduces(const ow_node *node) { return strcmp(ow_node_string(node, "reduction", "mean"), "none") != 0; }

static onward_status loss_infer(ow_infer *c) {
  const char *reduction = ow_node_string(c->node, "reduction", "mean");
  if (strcmp(reduction, "none") != 0 && strcmp(reduction, "sum") != 0 && strcmp(reduction, "mean") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "reduction is '%s'", reduction);
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, 1, OW_TYPES_INDEX));
  OW_TRY(ow_infer_types(c, 2, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_rank(c, 0, 2, ONWARD_MAX_RANK));
  const ow_shape *x = &c->in[0].shape, *labels = &c->in[1].shape;
  ow_shape out = {.rank = loss_reduces(c->node) ? 0 : -1};
  if (x->rank >= 0) {
    OW_TRY(ow_infer_rank(c, 1, x->rank - 1, x->rank - 1));
    for (int32_t d = 0; d < labels->rank; d++)
      OW_TRY(ow_infer_equal(c, labels->dims[d], x->dims[d ? d + 1 : 0], "dims of scores and labels"));
    OW_TRY(ow_want_vector(c, 2, x->dims[1], "length of the weights"));
    if (!loss_reduces(c->node)) {
      out.rank = x->rank - 1;
      for (int32_t d = 0; d < out.rank; d++)
        out.dims[d] = x->dims[d ? d + 1 : 0];
    }
  }
  OW_TRY(ow_infer_set(c, 0, c->in[0].dtype, out.rank, out.dims));
  return c->out_count > 1 ? ow_infer_same(c, 1, 0) : ONWARD_OK;
}

/* log(sum(exp)) of the scores of one position */
static double loss_log_sum(const onward_tensor *x, int64_t base, int64_t classes, int64_t step) {
  double max = -INFINITY, sum = 0.0;
  for (int64_t k = 0; k < classes; k++)
    max = fmax(max, ow_load(x->dtype, x->data, base + k * step));
  for (int64_t k = 0; k < classes; k++)
    sum += exp(ow_load(x->dtype, x->data, base + k * step) - max);
  return max + log(sum);
}

static onward_status loss_rows(const ow_args *a, bool softmax, onward_error *err) {
  const onward_tensor *x = a->in[0], *labels = a->in[1], *weights = ow_args_in(a, 2);
  onward_tensor *y = a->out[0], *log_prob = ow_args_out(a, 1);
  const int64_t classes = x->dims[1], inner = ow_dims_product(x->dims, 2, x->rank), count = ow_count(labels);
  const ow_attr *ignore = ow_node_attr(a->node, "ignore_index");
  const bool mean = strcmp(ow_node_string(a->node, "reduction", "mean"), "mean") == 0;
  for (int64_t i = 0; i < count; i++) {
    const int64_t label = ow_index_at(labels, i);
    if ((label < 0 || label >= classes) && !(ignore && label == ignore->i))
      return ow_fail_index(a, 1, i, label, 0, classes - 1, err);
  }
  double total = 0.0, total_weight = 0.0;
  for (int64_t i = 0; i < count; i++) {
    const int64_t label = ow_index_at(labels, i), base = i / inner * classes * inner + i % inner;
    const double shift = softmax ? loss_log_sum(x, base, classes, inner) : 0.0;
    for (int64_t k = 0; log_prob && k < classes; k++)
      ow_store(log_prob->dtype, log_prob->data, base + k * inner, ow_load(x->dtype, x->data, base + k * inner) - shift);
    double loss = 0.0;
    if (!ignore || label != ignore->i) {
      const double weight = weights ? ow_load(weights->dtype, weights->data, label) : 1.0;
      loss = weight * (shift - ow_load(x->dtype, x->data, base + label * inner));
      total += loss;
      total_weight += weight;
    }
    if (y && !loss_reduces(a->node))
      ow_store(y->dtype, y->data, i, loss);
  }
  if (y && loss_reduces(a->node))
    ow_store(y->dtype, y->data, 0, mean ? total / total_weight : total);
  return ONWARD_OK;
}

static onward_status likelihood_loss_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  return loss_rows(a, false, err);
}
static onward_status entropy_loss_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  return loss_rows(a, true, err);
}

static const ow_kernel likelihood_loss_reference = {
    .name = "likelihood_loss_reference", .flags = OW_KERNEL_UNALIGNED, .run = likelihood_loss_run};
static const ow_kernel entropy_loss_reference = {
    .name = "entropy_loss_reference", .flags = OW_KERNEL_UNALIGNED, .run = entropy_loss_run};
static const ow_kernel *const likelihood_loss_kernels[] = {&likelihood_loss_reference, NULL};
static const ow_kernel *const entropy_loss_kernels[] = {&entropy_loss_reference, NULL};

static const ow_attr_spec loss_attrs[] = {
    {"ignore_index", OW_ATTR_INT, false}, {"reduction", OW_ATTR_STRING, false}, {NULL, OW_ATTR_NONE, false}};

#define LOSS_ROW(op, outputs_max, list)                                                        \
  {                                                                                            \
    .domain = "", .name = op, .since = 12, .min_inputs = 2, .max_inputs = 3, .min_outputs = 1, \
    .max_outputs = outputs_max, .attrs = loss_attrs, .infer = loss_infer, .kernels = list      \
  }

const ow_op ow_ops_loss[] = {LOSS_ROW("NegativeLogLikelihoodLoss", 1, likelihood_loss_kernels),
                             LOSS_ROW("SoftmaxCrossEntropyLoss", 2, entropy_loss_kernels),
                             {.name = NULL}};
