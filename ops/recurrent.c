/* RNN, GRU, LSTM: a state of hidden_size numbers carried along the sequence, in one or both directions. */
#include <strings.h>

#include "base/stop.h"

#include "ops/quantize.h"

#define RECURRENT_GATES 4
#define RECURRENT_ACTIVATIONS 3 /* per direction */

/* ---- activations --------------------------------------------------------------------------------------------------------- */

typedef double (*recurrent_fn)(double x, double alpha, double beta);

static double recurrent_sigmoid(double x, double a, double b) { return (void)a, (void)b, 1.0 / (1.0 + exp(-x)); }
static double recurrent_tanh(double x, double a, double b) { return (void)a, (void)b, tanh(x); }
static double recurrent_relu(double x, double a, double b) { return (void)a, (void)b, x < 0.0 ? 0.0 : x; }
static double recurrent_affine(double x, double a, double b) { return a * x + b; }
static double recurrent_leaky_relu(double x, double a, double b) { return (void)b, x < 0.0 ? a * x : x; }
static double recurrent_thresholded_relu(double x, double a, double b) { return (void)b, x > a ? x : 0.0; }
static double recurrent_scaled_tanh(double x, double a, double b) { return a * tanh(b * x); }
static double recurrent_hard_sigmoid(double x, double a, double b) { return fmin(fmax(a * x + b, 0.0), 1.0); }
static double recurrent_elu(double x, double a, double b) { return (void)b, x < 0.0 ? a * expm1(x) : x; }
static double recurrent_softsign(double x, double a, double b) { return (void)a, (void)b, x / (1.0 + fabs(x)); }
static double recurrent_softplus(double x, double a, double b) {
  return (void)a, (void)b, fmax(x, 0.0) + log1p(exp(-fabs(x)));
}

typedef struct recurrent_activation {
  const char *name;
  recurrent_fn fn;
  bool has_alpha, has_beta;
  double alpha, beta; /* defaults */
} recurrent_activation;

static const recurrent_activation recurrent_known[] = {
    {"Sigmoid", recurrent_sigmoid, false, false, 0.0, 0.0},
    {"Tanh", recurrent_tanh, false, false, 0.0, 0.0},
    {"Relu", recurrent_relu, false, false, 0.0, 0.0},
    {"Affine", recurrent_affine, true, true, 1.0, 0.0},
    {"LeakyRelu", recurrent_leaky_relu, true, false, 0.01, 0.0},
    {"ThresholdedRelu", recurrent_thresholded_relu, true, false, 1.0, 0.0},
    {"ScaledTanh", recurrent_scaled_tanh, true, true, 1.0, 1.0},
    {"HardSigmoid", recurrent_hard_sigmoid, true, true, 0.2, 0.5},
    {"Elu", recurrent_elu, true, false, 1.0, 0.0},
    {"Softsign", recurrent_softsign, false, false, 0.0, 0.0},
    {"Softplus", recurrent_softplus, false, false, 0.0, 0.0}};

/* ---- the three operators --------------------------------------------------------------------------------------------------- */

typedef struct recurrent recurrent;

typedef struct recurrent_kind {
  int gates, activations;
  const char *defaults[RECURRENT_ACTIVATIONS];
  bool has_cell; /* LSTM: a second state, and peepholes */
  void (*step)(recurrent *r);
  bool dynamic; /* the state is seen through 8 bits by the recurrence */
} recurrent_kind;

struct recurrent {
  const recurrent_kind *kind;
  const onward_tensor *x, *w, *r, *b, *lengths, *initial_h, *initial_c, *p;
  int64_t steps, batch, input, hidden, directions;
  bool batch_first, reverse_only, input_forget, reset_after;
  double clip;
  recurrent_activation activations[2 * RECURRENT_ACTIVATIONS];
  /* of the direction and batch row at hand */
  int64_t direction;
  double *from_x, *from_h; /* [gates][hidden]: what the input and the last state give, biases included */
  double *h, *c, *scratch;
  double *near; /* dynamic: h as 8 bits hold it */
};

/* NULL when the attribute names something unknown. */
static const recurrent_activation *recurrent_find(const char *name) {
  for (size_t i = 0; i < sizeof recurrent_known / sizeof recurrent_known[0]; i++) {
    if (strcasecmp(name, recurrent_known[i].name) == 0)
      return &recurrent_known[i];
  }
  return NULL;
}

static bool recurrent_set_activations(const ow_node *node, recurrent *r) {
  const ow_attr *names = ow_node_attr(node, "activations"), *alpha = ow_node_attr(node, "activation_alpha");
  const ow_attr *beta = ow_node_attr(node, "activation_beta");
  size_t next_alpha = 0, next_beta = 0;
  for (int i = 0; i < r->kind->activations * (int)r->directions; i++) {
    const bool named = names && (size_t)i < names->count;
    const recurrent_activation *found =
        recurrent_find(named ? names->strings[i] : r->kind->defaults[i % r->kind->activations]);
    if (!found)
      return false;
    r->activations[i] = *found;
    if (found->has_alpha && alpha && next_alpha < alpha->count)
      r->activations[i].alpha = (double)alpha->floats[next_alpha++];
    if (found->has_beta && beta && next_beta < beta->count)
      r->activations[i].beta = (double)beta->floats[next_beta++];
  }
  return true;
}

static double recurrent_act(const recurrent *r, int which, double x) {
  const recurrent_activation *f = &r->activations[r->direction * r->kind->activations + which];
  if (r->clip > 0.0)
    x = fmin(fmax(x, -r->clip), r->clip);
  return f->fn(x, f->alpha, f->beta);
}

static double recurrent_sum(const recurrent *r, int64_t gate, int64_t j) {
  return r->from_x[gate * r->hidden + j] + r->from_h[gate * r->hidden + j];
}

static void rnn_step(recurrent *r) {
  for (int64_t j = 0; j < r->hidden; j++)
    r->h[j] = recurrent_act(r, 0, recurrent_sum(r, 0, j));
}

static double recurrent_recurrence(const recurrent *r, int64_t row, const double *h) {
  const int64_t base = (r->direction * r->kind->gates * r->hidden + row) * r->hidden;
  double sum = r->b ? ow_load(r->b->dtype, r->b->data, (2 * r->direction + 1) * r->kind->gates * r->hidden + row) : 0.0;
  for (int64_t j = 0; j < r->hidden; j++)
    sum += h[j] * ow_load(r->r->dtype, r->r->data, base + j);
  return sum;
}

/* gates: update, reset, hidden */
static void gru_step(recurrent *r) {
  const int64_t n = r->hidden;
  for (int64_t j = 0; j < n; j++)
    r->scratch[j] = recurrent_act(r, 0, recurrent_sum(r, 1, j)) * (r->reset_after ? 1.0 : r->h[j]);
  for (int64_t j = 0; j < n; j++) {
    const double past =
        r->reset_after ? r->scratch[j] * r->from_h[2 * n + j] : recurrent_recurrence(r, 2 * n + j, r->scratch);
    r->from_x[2 * n + j] = recurrent_act(r, 1, r->from_x[2 * n + j] + past);
  }
  for (int64_t j = 0; j < n; j++) {
    const double z = recurrent_act(r, 0, recurrent_sum(r, 0, j));
    r->h[j] = (1.0 - z) * r->from_x[2 * n + j] + z * r->h[j];
  }
}

/* gates: input, output, forget, cell; peepholes: input, output, forget */
static void lstm_step(recurrent *r) {
  const int64_t n = r->hidden;
  for (int64_t j = 0; j < n; j++) {
    double peep[3] = {0.0, 0.0, 0.0};
    for (int64_t k = 0; r->p && k < 3; k++)
      peep[k] = ow_load(r->p->dtype, r->p->data, (r->direction * 3 + k) * n + j);
    const double in = recurrent_act(r, 0, recurrent_sum(r, 0, j) + peep[0] * r->c[j]);
    const double forget = r->input_forget ? 1.0 - in : recurrent_act(r, 0, recurrent_sum(r, 2, j) + peep[2] * r->c[j]);
    r->c[j] = forget * r->c[j] + in * recurrent_act(r, 1, recurrent_sum(r, 3, j));
    r->h[j] = recurrent_act(r, 0, recurrent_sum(r, 1, j) + peep[1] * r->c[j]) * recurrent_act(r, 2, r->c[j]);
  }
}

static const recurrent_kind rnn_kind = {1, 1, {"Tanh"}, false, rnn_step, false};
static const recurrent_kind gru_kind = {3, 2, {"Sigmoid", "Tanh"}, false, gru_step, false};
static const recurrent_kind lstm_kind = {4, 3, {"Sigmoid", "Tanh", "Tanh"}, true, lstm_step, false};
static const recurrent_kind dynamic_lstm_kind = {4, 3, {"Sigmoid", "Tanh", "Tanh"}, true, lstm_step, true};

/* ---- infer --------------------------------------------------------------------------------------------------------------- */

static onward_status recurrent_infer_shape(ow_infer *c, size_t slot, int32_t rank, const ow_dim *want,
                                           const char *what) {
  OW_TRY(ow_infer_types(c, slot, slot == 4 ? OW_BIT(ONWARD_INT32) : OW_TYPES_FLOAT));
  OW_TRY(ow_infer_rank(c, slot, rank, rank));
  for (int32_t d = 0; ow_infer_has(c, slot) && d < c->in[slot].shape.rank; d++)
    OW_TRY(ow_infer_equal(c, c->in[slot].shape.dims[d], want[d], what));
  return ONWARD_OK;
}

static onward_status recurrent_infer(ow_infer *c, const recurrent_kind *kind) {
  const char *direction = ow_node_string(c->node, "direction", "forward");
  const bool both = strcmp(direction, "bidirectional") == 0, batch_first = ow_node_int(c->node, "layout", 0) != 0;
  const int64_t directions = both ? 2 : 1, gates = kind->gates;
  recurrent r = {.kind = kind, .directions = directions};
  if (!both && strcmp(direction, "forward") != 0 && strcmp(direction, "reverse") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "direction is '%s'", direction);
  if (!recurrent_set_activations(c->node, &r))
    return ow_infer_fail(c, ONWARD_MODEL, "an activation is not known");
  for (size_t i = 0; i < 3; i++)
    OW_TRY(ow_infer_rank(c, i, 3, 3));
  const onward_dtype dtype = c->in[0].dtype;
  if (!ow_infer_ranked(c, 0) || !ow_infer_ranked(c, 2)) {
    for (size_t i = 0; i < c->out_count; i++)
      OW_TRY(ow_infer_set(c, i, dtype, -1, NULL));
    return ONWARD_OK;
  }
  const ow_dim *x = c->in[0].shape.dims, hidden = c->in[2].shape.dims[2], d = ow_dim_const(directions);
  const ow_dim steps = x[batch_first], batch = x[!batch_first], rows = ow_dim_mul(c->dims, hidden, ow_dim_const(gates));
  const ow_attr *size = ow_node_attr(c->node, "hidden_size");
  if (size)
    OW_TRY(ow_infer_equal(c, hidden, ow_dim_const(size->i), "hidden_size and the weights"));
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(recurrent_infer_shape(c, 1, 3, (ow_dim[]){d, rows, x[2]}, "dims of W"));
  OW_TRY(recurrent_infer_shape(c, 2, 3, (ow_dim[]){d, rows, hidden}, "dims of R"));
  OW_TRY(recurrent_infer_shape(c, 3, 2, (ow_dim[]){d, ow_dim_mul(c->dims, rows, ow_dim_const(2))}, "dims of B"));
  OW_TRY(recurrent_infer_shape(c, 4, 1, &batch, "length of sequence_lens"));
  const ow_dim state[3] = {batch_first ? batch : d, batch_first ? d : batch, hidden};
  OW_TRY(recurrent_infer_shape(c, 5, 3, state, "dims of the initial state"));
  OW_TRY(recurrent_infer_shape(c, 6, 3, state, "dims of the initial cell"));
  OW_TRY(recurrent_infer_shape(c, 7, 2, (ow_dim[]){d, ow_dim_mul(c->dims, hidden, ow_dim_const(3))}, "dims of P"));
  const ow_dim all[2][4] = {{steps, d, batch, hidden}, {batch, steps, d, hidden}};
  for (size_t i = 1; i < c->out_count; i++)
    OW_TRY(ow_infer_set(c, i, dtype, 3, state));
  return ow_infer_set(c, 0, dtype, 4, all[batch_first]);
}

static onward_status rnn_infer(ow_infer *c) { return recurrent_infer(c, &rnn_kind); }
static onward_status gru_infer(ow_infer *c) { return recurrent_infer(c, &gru_kind); }
static onward_status lstm_infer(ow_infer *c) { return recurrent_infer(c, &lstm_kind); }

/* ---- reference ----------------------------------------------------------------------------------------------------------- */

static void recurrent_read(const ow_args *a, const recurrent_kind *kind, recurrent *r) {
  const onward_tensor *in[8] = {NULL};
  for (size_t i = 0; i < a->in_count && i < 8; i++)
    in[i] = a->in[i];
  const char *direction = ow_node_string(a->node, "direction", "forward");
  const bool batch_first = ow_node_int(a->node, "layout", 0) != 0;
  *r = (recurrent){.kind = kind,
                   .x = in[0],
                   .w = in[1],
                   .r = in[2],
                   .b = in[3],
                   .lengths = in[4],
                   .initial_h = in[5],
                   .initial_c = in[6],
                   .p = in[7],
                   .steps = in[0]->dims[batch_first],
                   .batch = in[0]->dims[!batch_first],
                   .input = in[0]->dims[2],
                   .hidden = in[2]->dims[2],
                   .directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1,
                   .batch_first = batch_first,
                   .reverse_only = strcmp(direction, "reverse") == 0,
                   .input_forget = ow_node_int(a->node, "input_forget", 0) != 0,
                   .reset_after = ow_node_int(a->node, "linear_before_reset", 0) != 0,
                   .clip = (double)ow_node_float(a->node, "clip", 0.0f)};
  (void)recurrent_set_activations(a->node, r);
}

/* from_x, from_h, h, c, scratch */
static onward_status recurrent_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  if (!ow_size_mul((size_t)a->in[2]->dims[2], (2 * RECURRENT_GATES + 3) * sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "hidden_size is too large");
  return ONWARD_OK;
}

/* to[i]: x[i] as DynamicQuantizeLinear and back would give it. */
static void recurrent_near(onward_dtype dtype, const void *x, int64_t count, double *to) {
  float low = 0.0f, high = 0.0f;
  for (int64_t i = 0; i < count; i++) {
    const float v = (float)ow_load(dtype, x, i);
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  const float scale = high > low ? (high - low) / 255.0f : 1.0f;
  const double zero = ow_quantize_round(ONWARD_UINT8, (double)(-low / scale), 0.0);
  for (int64_t i = 0; i < count; i++)
    to[i] =
        (ow_quantize_round(ONWARD_UINT8, (double)((float)ow_load(dtype, x, i) / scale), zero) - zero) * (double)scale;
}

static void recurrent_step(recurrent *r, int64_t x_at) {
  const int64_t rows = r->kind->gates * r->hidden;
  if (r->kind->dynamic)
    recurrent_near(ONWARD_FLOAT64, r->h, r->hidden, r->near);
  for (int64_t row = 0; row < rows; row++) {
    const int64_t base = (r->direction * rows + row) * r->input;
    double sum = r->b ? ow_load(r->b->dtype, r->b->data, 2 * r->direction * rows + row) : 0.0;
    for (int64_t j = 0; j < r->input; j++)
      sum += ow_load(r->x->dtype, r->x->data, x_at + j) * ow_load(r->w->dtype, r->w->data, base + j);
    r->from_x[row] = sum;
    r->from_h[row] = recurrent_recurrence(r, row, r->kind->dynamic ? r->near : r->h);
  }
  r->kind->step(r);
}

static void recurrent_row(recurrent *r, int64_t b, onward_tensor *const out[3]) {
  const int64_t n = r->hidden, d = r->direction,
                length = r->lengths ? ow_get_i64(ONWARD_INT32, r->lengths->data, b) : r->steps;
  const int64_t state = (r->batch_first ? b * r->directions + d : d * r->batch + b) * n;
  const bool reverse = r->reverse_only || d == 1;
  for (int64_t j = 0; j < n; j++) {
    r->h[j] = r->initial_h ? ow_load(r->initial_h->dtype, r->initial_h->data, state + j) : 0.0;
    r->c[j] = r->initial_c ? ow_load(r->initial_c->dtype, r->initial_c->data, state + j) : 0.0;
  }
  for (int64_t i = 0; i < r->steps && !ow_stop_asked(); i++) {
    const int64_t t = reverse && i < length ? length - 1 - i : i;
    if (i < length)
      recurrent_step(r, (r->batch_first ? b * r->steps + t : t * r->batch + b) * r->input);
    const int64_t y_at =
        (r->batch_first ? (b * r->steps + t) * r->directions + d : (t * r->directions + d) * r->batch + b) * n;
    for (int64_t j = 0; out[0] && j < n; j++)
      ow_store(out[0]->dtype, out[0]->data, y_at + j, i < length ? r->h[j] : 0.0);
  }
  for (int64_t j = 0; j < n; j++) {
    if (out[1])
      ow_store(out[1]->dtype, out[1]->data, state + j, r->h[j]);
    if (out[2])
      ow_store(out[2]->dtype, out[2]->data, state + j, r->c[j]);
  }
}

static onward_status recurrent_run(const ow_args *a, const recurrent_kind *kind, onward_error *err) {
  recurrent r;
  recurrent_read(a, kind, &r);
  for (int64_t b = 0; r.lengths && b < r.batch; b++) {
    const int64_t length = ow_get_i64(ONWARD_INT32, r.lengths->data, b);
    if (length < 0 || length > r.steps)
      return ow_fail_index(a, 4, b, length, 0, r.steps, err);
  }
  onward_tensor *out[3] = {NULL};
  for (size_t i = 0; i < a->out_count && i < 3; i++)
    out[i] = a->out[i];
  r.from_x = a->workspace;
  r.from_h = r.from_x + RECURRENT_GATES * r.hidden;
  r.h = r.from_h + RECURRENT_GATES * r.hidden;
  r.c = r.h + r.hidden;
  r.scratch = r.c + r.hidden;
  r.near = kind->dynamic ? r.scratch + r.hidden : NULL;
  for (r.direction = 0; r.direction < r.directions; r.direction++) {
    for (int64_t b = 0; b < r.batch; b++)
      recurrent_row(&r, b, out);
  }
  return ONWARD_OK;
}

/* ---- DynamicQuantizeLSTM: LSTM with W [D, input, 4 * hidden] and R [D, hidden, 4 * hidden] of 8 bits, their scales and zero points
 * behind the usual inputs; [D] or [D, 4 * hidden] of them. Inputs and states meet the weights as 8 bits. */

static onward_status dynamic_lstm_infer(ow_infer *c) {
  if (c->in_count != 12)
    return ow_infer_fail(c, ONWARD_MODEL, "want 12 inputs, got %zu", c->in_count);
  ow_type in[8];
  for (size_t i = 0; i < 8; i++)
    in[i] = c->in[i];
  const ow_dim gates = in[2].shape.rank == 3 ? in[2].shape.dims[2] : ow_dim_unknown();
  for (size_t i = 1; i < 3; i++) {
    OW_TRY(ow_infer_types(c, i, OW_BIT(ONWARD_INT8) | OW_BIT(ONWARD_UINT8)));
    OW_TRY(ow_infer_rank(c, i, 3, 3));
    in[i].dtype = ONWARD_FLOAT32;
    if (in[i].shape.rank == 3) {
      in[i].shape.dims[1] = c->in[i].shape.dims[2];
      in[i].shape.dims[2] = c->in[i].shape.dims[1];
    }
    const size_t scale = 6 + 2 * i, zero = scale + 1;
    if (!ow_infer_has(c, scale) || !ow_infer_has(c, zero))
      return ow_infer_fail(c, ONWARD_MODEL, "a scale or zero point is left out");
    OW_TRY(ow_infer_types(c, scale, OW_BIT(ONWARD_FLOAT32)));
    OW_TRY(ow_infer_types(c, zero, OW_BIT(c->in[i].dtype)));
    for (size_t p = scale; p <= zero; p++) {
      OW_TRY(ow_infer_rank(c, p, 1, 2));
      for (int32_t d = 0; d < c->in[p].shape.rank && c->in[i].shape.rank == 3 && in[2].shape.rank == 3; d++)
        OW_TRY(ow_infer_equal(c, c->in[p].shape.dims[d], d ? gates : c->in[i].shape.dims[0], "a dim of a scale"));
    }
  }
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_FLOAT32)));
  ow_infer plain = *c;
  plain.in = in;
  plain.in_count = 8;
  OW_TRY(recurrent_infer(&plain, &dynamic_lstm_kind));
  c->pending = plain.pending;
  return ONWARD_OK;
}

/* What LSTM's workspace is and one more state, then x, W and R as doubles. */
static onward_status dynamic_lstm_prepare(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)state;
  size_t count = 0, own;
  for (size_t i = 0; i < 3; i++)
    if (!ow_size_add(count, (size_t)ow_count(a->in[i]), &count))
      return ow_node_fail(a->node, err, ONWARD_LIMIT, "the input is too large");
  if (!ow_size_mul((size_t)a->in[2]->dims[1], 2 * RECURRENT_GATES + 4, &own) || !ow_size_add(count, own, &count) ||
      !ow_size_mul(count, sizeof(double), workspace))
    return ow_node_fail(a->node, err, ONWARD_LIMIT, "hidden_size is too large");
  return ONWARD_OK;
}

/* w [D, inner, gates] as numbers [D, gates, inner]. */
static onward_tensor dynamic_lstm_weights(const onward_tensor *w, const onward_tensor *scale, const onward_tensor *zero,
                                          double *to) {
  const int64_t inner = w->dims[1], gates = w->dims[2], count = ow_count(w);
  for (int64_t i = 0; i < count; i++) {
    const int64_t d = i / (inner * gates), g = i / inner % gates, k = i % inner;
    to[i] = (ow_load(w->dtype, w->data, (d * inner + k) * gates + g) -
             ow_load(zero->dtype, zero->data, zero->rank == 1 ? d : d * gates + g)) *
            ow_load(scale->dtype, scale->data, scale->rank == 1 ? d : d * gates + g);
  }
  onward_tensor r = {.dtype = ONWARD_FLOAT64, .rank = 3, .dims = {w->dims[0], gates, inner}, .data = to};
  return r;
}

static onward_status dynamic_lstm_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const int64_t count = ow_count(a->in[0]);
  double *to = (double *)a->workspace + (2 * RECURRENT_GATES + 4) * a->in[2]->dims[1];
  onward_tensor x = *a->in[0];
  x.dtype = ONWARD_FLOAT64;
  x.data = to;
  recurrent_near(ONWARD_FLOAT32, a->in[0]->data, count, to);
  const onward_tensor w = dynamic_lstm_weights(a->in[1], a->in[8], a->in[9], to += count);
  const onward_tensor r = dynamic_lstm_weights(a->in[2], a->in[10], a->in[11], to + ow_count(&w));
  const onward_tensor *in[8] = {&x, &w, &r, a->in[3], a->in[4], a->in[5], a->in[6], a->in[7]};
  ow_args plain = *a;
  plain.in = in;
  plain.in_count = 8;
  return recurrent_run(&plain, &dynamic_lstm_kind, err);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

#define RECURRENT_KERNEL(stem)                                                                                    \
  static onward_status stem##_run(const ow_args *a, void *state, onward_error *err) {                             \
    (void)state;                                                                                                  \
    return recurrent_run(a, &stem##_kind, err);                                                                   \
  }                                                                                                               \
  static const ow_kernel stem##_reference = {                                                                     \
      .name = #stem "_reference", .flags = OW_KERNEL_UNALIGNED, .prepare = recurrent_prepare, .run = stem##_run}; \
  static const ow_kernel *const stem##_kernels[] = {&stem##_reference, NULL};
RECURRENT_KERNEL(rnn)
RECURRENT_KERNEL(gru)
RECURRENT_KERNEL(lstm)

#define RECURRENT_COMMON_ATTRS                                                                                     \
  {"activations", OW_ATTR_STRINGS, false}, {"activation_alpha", OW_ATTR_FLOATS, false},                            \
      {"activation_beta", OW_ATTR_FLOATS, false}, {"clip", OW_ATTR_FLOAT, false},                                  \
      {"direction", OW_ATTR_STRING, false}, {"hidden_size", OW_ATTR_INT, false}, {"layout", OW_ATTR_INT, false}, { \
    "output_sequence", OW_ATTR_INT, false                                                                          \
  }
static const ow_attr_spec rnn_attrs[] = {RECURRENT_COMMON_ATTRS, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec gru_attrs[] = {
    RECURRENT_COMMON_ATTRS, {"linear_before_reset", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec lstm_attrs[] = {
    RECURRENT_COMMON_ATTRS, {"input_forget", OW_ATTR_INT, false}, {NULL, OW_ATTR_NONE, false}};

static const ow_kernel dynamic_lstm_reference = {.name = "dynamic_quantize_lstm_reference",
                                                 .flags = OW_KERNEL_UNALIGNED,
                                                 .prepare = dynamic_lstm_prepare,
                                                 .run = dynamic_lstm_run};
static const ow_kernel *const dynamic_lstm_kernels[] = {&dynamic_lstm_reference, NULL};

#define RECURRENT_ROW(op, inputs_max, outputs_max, stem)                                                \
  {                                                                                                     \
    .domain = "", .name = op, .since = 1, .min_inputs = 3, .max_inputs = inputs_max, .min_outputs = 0,  \
    .max_outputs = outputs_max, .attrs = stem##_attrs, .infer = stem##_infer, .kernels = stem##_kernels \
  }

const ow_op ow_ops_recurrent[] = {RECURRENT_ROW("RNN", 6, 2, rnn),
                                  RECURRENT_ROW("GRU", 6, 2, gru),
                                  RECURRENT_ROW("LSTM", 8, 3, lstm),
                                  {.domain = "com.microsoft",
                                   .name = "DynamicQuantizeLSTM",
                                   .since = 1,
                                   .min_inputs = 3,
                                   .max_inputs = 12,
                                   .min_outputs = 0,
                                   .max_outputs = 3,
                                   .attrs = lstm_attrs,
                                   .infer = dynamic_lstm_infer,
                                   .kernels = dynamic_lstm_kernels},
                                  {.name = NULL}};
