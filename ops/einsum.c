/* Einsum: any number of operands, ellipses, repeated and summed labels. */
#include "ops/reference.h"

#include "base/stop.h"

#define EINSUM_OPERANDS 16
#define EINSUM_LETTERS 52
#define EINSUM_LABELS (EINSUM_LETTERS + ONWARD_MAX_RANK) /* the dims of an ellipsis follow, counted from the right */

typedef struct einsum_term {
  int32_t rank;
  uint8_t labels[ONWARD_MAX_RANK];
} einsum_term;

typedef struct einsum_plan {
  size_t operands;
  einsum_term terms[EINSUM_OPERANDS], out;
} einsum_plan;

static int einsum_label(char letter) {
  return letter >= 'A' && letter <= 'Z' ? letter - 'A' : letter >= 'a' && letter <= 'z' ? letter - 'a' + 26 : -1;
}

static bool einsum_add(einsum_term *t, int label) {
  if (t->rank == ONWARD_MAX_RANK)
    return false;
  t->labels[t->rank++] = (uint8_t)label;
  return true;
}

/* One term up to ',', '-' or the end. ellipsis: how many dims "..." stands for; -1: as many as make the term `rank` long. */
static const char *einsum_term_parse(const char **text, int32_t rank, int32_t ellipsis, einsum_term *t) {
  const char *s = *text;
  *t = (einsum_term){0};
  int32_t letters = 0;
  bool seen = false;
  for (const char *p = s; *p && *p != ',' && *p != '-'; p++)
    letters += einsum_label(*p) >= 0;
  for (; *s && *s != ',' && *s != '-'; s++) {
    if (*s == ' ')
      continue;
    if (*s == '.') {
      if (seen || s[1] != '.' || s[2] != '.')
        return "has a stray '.'";
      const int32_t width = ellipsis >= 0 ? ellipsis : rank - letters;
      for (int32_t i = width - 1; i >= 0; i--) {
        if (!einsum_add(t, EINSUM_LETTERS + i))
          return "has too many labels";
      }
      seen = true;
      s += 2;
    } else if (einsum_label(*s) < 0) {
      return "has an odd character";
    } else if (!einsum_add(t, einsum_label(*s))) {
      return "has too many labels";
    }
  }
  *text = s;
  return rank >= 0 && t->rank != rank ? "does not fit the rank of an input" : NULL;
}

/* NULL, or what is wrong with the equation. */
static const char *einsum_parse(const char *equation, const int32_t *ranks, size_t operands, einsum_plan *plan) {
  uint8_t count[EINSUM_LABELS] = {0};
  int32_t ellipsis = 0;
  const char *s = equation, *wrong;
  plan->operands = operands;
  for (size_t i = 0; i < operands; i++) {
    einsum_term *t = &plan->terms[i];
    if ((wrong = einsum_term_parse(&s, ranks[i], -1, t)))
      return wrong;
    for (int32_t d = 0; d < t->rank; d++) {
      const int label = t->labels[d];
      count[label] = (uint8_t)(count[label] + (count[label] < 2));
      if (label >= EINSUM_LETTERS && label - EINSUM_LETTERS + 1 > ellipsis)
        ellipsis = label - EINSUM_LETTERS + 1;
    }
    if (i + 1 < operands && *s++ != ',')
      return "has fewer terms than there are inputs";
  }
  if (*s == ',')
    return "has more terms than there are inputs";
  if (*s == '-') {
    if (s[1] != '>')
      return "has a stray '-'";
    s += 2;
    if ((wrong = einsum_term_parse(&s, -1, ellipsis, &plan->out)))
      return wrong;
    if (*s)
      return "has something after the output";
    uint64_t seen = 0;
    for (int32_t d = 0; d < plan->out.rank; d++) {
      const int label = plan->out.labels[d];
      if (!count[label])
        return "has an output label that no input has";
      if (seen >> label & 1)
        return "repeats an output label";
      seen |= UINT64_C(1) << label;
    }
    return NULL;
  }
  plan->out = (einsum_term){0};
  for (int32_t i = ellipsis - 1; i >= 0; i--) {
    if (!einsum_add(&plan->out, EINSUM_LETTERS + i))
      return "has too many labels";
  }
  for (int label = 0; label < EINSUM_LETTERS; label++) {
    if (count[label] == 1 && !einsum_add(&plan->out, label))
      return "has too many labels";
  }
  return NULL;
}

static onward_status einsum_infer(ow_infer *c) {
  const onward_dtype dtype = c->in[0].dtype;
  const char *equation = ow_node_string(c->node, "equation", "");
  int32_t ranks[EINSUM_OPERANDS];
  if (c->in_count > EINSUM_OPERANDS)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "%zu inputs, at most %d are implemented", c->in_count, EINSUM_OPERANDS);
  OW_TRY(ow_infer_alike(c, 0, c->in_count - 1));
  for (size_t i = 0; i < c->in_count; i++) {
    OW_TRY(ow_infer_types(c, i, OW_TYPES_NUMERIC));
    ranks[i] = c->in[i].shape.rank;
    if (ranks[i] < 0)
      return ow_infer_set(c, 0, dtype, -1, NULL);
  }
  einsum_plan plan;
  const char *wrong = einsum_parse(equation, ranks, c->in_count, &plan);
  if (wrong)
    return ow_infer_fail(c, ONWARD_MODEL, "equation '%.100s' %s", equation, wrong);
  ow_shape of_label[EINSUM_LABELS];
  uint64_t known = 0;
  for (size_t i = 0; i < c->in_count; i++) {
    for (int32_t d = 0; d < plan.terms[i].rank; d++) {
      const int label = plan.terms[i].labels[d];
      const ow_shape one = {1, {c->in[i].shape.dims[d]}};
      if (known >> label & 1) {
        const ow_shape before = of_label[label];
        OW_TRY(ow_infer_broadcast(c, &before, &one, &of_label[label]));
      } else {
        of_label[label] = one;
      }
      known |= UINT64_C(1) << label;
    }
  }
  ow_dim dims[ONWARD_MAX_RANK];
  for (int32_t d = 0; d < plan.out.rank; d++)
    dims[d] = of_label[plan.out.labels[d]].dims[0];
  return ow_infer_set(c, 0, dtype, plan.out.rank, dims);
}

/* The loop nest: the labels of the output, then those that are summed. */
typedef struct einsum_loop {
  size_t operands;
  int32_t rank, out_rank;
  int64_t dims[EINSUM_LABELS], strides[EINSUM_LABELS][EINSUM_OPERANDS];
} einsum_loop;

static void einsum_loop_of(const einsum_plan *plan, const ow_args *a, einsum_loop *loop) {
  int32_t at[EINSUM_LABELS];
  *loop = (einsum_loop){.operands = plan->operands, .out_rank = plan->out.rank};
  for (int label = 0; label < EINSUM_LABELS; label++)
    at[label] = -1;
  for (int32_t d = 0; d < plan->out.rank; d++)
    at[plan->out.labels[d]] = loop->rank++;
  for (size_t i = 0; i < plan->operands; i++) {
    for (int32_t d = 0; d < plan->terms[i].rank; d++) {
      int32_t *const slot = &at[plan->terms[i].labels[d]];
      if (*slot < 0)
        *slot = loop->rank++;
    }
  }
  for (int32_t d = 0; d < loop->rank; d++)
    loop->dims[d] = 1;
  for (size_t i = 0; i < plan->operands; i++) {
    int64_t strides[ONWARD_MAX_RANK];
    ow_strides(a->in[i]->rank, a->in[i]->dims, strides);
    for (int32_t d = 0; d < plan->terms[i].rank; d++) {
      const int32_t slot = at[plan->terms[i].labels[d]];
      if (a->in[i]->dims[d] != 1) { /* a dim of 1 repeats; of a label met twice in one term the diagonal is taken */
        loop->dims[slot] = a->in[i]->dims[d];
        loop->strides[slot][i] += strides[d];
      }
    }
  }
}

/* Next index over dims [from, to). false after the last; the offsets are then where they began. */
static bool einsum_advance(const einsum_loop *loop, int32_t from, int32_t to, int64_t *index, int64_t *offsets) {
  for (int32_t d = to - 1; d >= from; d--) {
    index[d]++;
    const int64_t back = index[d] < loop->dims[d] ? 0 : loop->dims[d];
    for (size_t i = 0; i < loop->operands; i++)
      offsets[i] += loop->strides[d][i] * (1 - back);
    if (!back)
      return true;
    index[d] = 0;
  }
  return false;
}

static onward_status einsum_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_dtype dtype = a->in[0]->dtype;
  onward_tensor *y = a->out[0];
  int32_t ranks[EINSUM_OPERANDS];
  einsum_plan plan;
  einsum_loop loop;
  for (size_t i = 0; i < a->in_count; i++)
    ranks[i] = a->in[i]->rank;
  const char *wrong = einsum_parse(ow_node_string(a->node, "equation", ""), ranks, a->in_count, &plan);
  if (wrong)
    return ow_node_fail(a->node, err, ONWARD_MODEL, "the equation %s", wrong);
  einsum_loop_of(&plan, a, &loop);
  bool empty = false;
  for (int32_t d = loop.out_rank; d < loop.rank; d++)
    empty |= loop.dims[d] == 0;
  int64_t index[EINSUM_LABELS] = {0}, offsets[EINSUM_OPERANDS] = {0};
  const int64_t count = ow_count(y);
  for (int64_t o = 0; o < count && !ow_stop_asked(); o++) {
    double sum = 0.0;
    int64_t int_sum = 0;
    while (!empty) {
      if (ow_is_float(dtype)) {
        double product = 1.0;
        for (size_t i = 0; i < loop.operands; i++)
          product *= ow_load(dtype, a->in[i]->data, offsets[i]);
        sum += product;
      } else {
        int64_t product = 1;
        for (size_t i = 0; i < loop.operands; i++)
          product = ow_wrap_mul(product, ow_get_i64(dtype, a->in[i]->data, offsets[i]));
        int_sum = ow_wrap_add(int_sum, product);
      }
      if (!einsum_advance(&loop, loop.out_rank, loop.rank, index, offsets))
        break;
    }
    if (ow_is_float(dtype))
      ow_store(dtype, y->data, o, sum);
    else
      ow_set_i64(dtype, y->data, o, int_sum);
    (void)einsum_advance(&loop, 0, loop.out_rank, index, offsets);
  }
  return ONWARD_OK;
}

static const ow_kernel einsum_reference = {.name = "einsum_reference", .flags = OW_KERNEL_UNALIGNED, .run = einsum_run};
static const ow_kernel *const einsum_kernels[] = {&einsum_reference, NULL};

static const ow_attr_spec einsum_attrs[] = {{"equation", OW_ATTR_STRING, true}, {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_einsum[] = {{.domain = "",
                                .name = "Einsum",
                                .since = 12,
                                .min_inputs = 1,
                                .max_inputs = OW_ANY_COUNT,
                                .min_outputs = 1,
                                .max_outputs = 1,
                                .attrs = einsum_attrs,
                                .infer = einsum_infer,
                                .kernels = einsum_kernels},
                               {.name = NULL}};
