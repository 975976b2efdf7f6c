/* RotaryEmbedding of ai.onnx and com.microsoft: pairs of elements of each head turned by the angle of their token's position. The
 * input is [B, S, heads * D] or [B, heads, S, D]. Source: Su et al., "RoFormer" (arXiv 2104.09864). */
#include "ops/rotary.h"

/* The two domains differ in the order of inputs and in what positions may be. */
typedef struct rotary_slots {
  size_t positions, cos, sin;
} rotary_slots;

static rotary_slots rotary_slots_of(const ow_node *node) {
  return node->op->domain[0] ? (rotary_slots){1, 2, 3} : (rotary_slots){3, 1, 2};
}

/* Elements of a head that turn: half of them have an entry in the tables. 0: all, of which the tables then tell the size. */
static int64_t rotary_width(const ow_node *node) { return ow_node_int(node, "rotary_embedding_dim", 0); }

static onward_status rotary_infer(ow_infer *c) {
  const rotary_slots slots = rotary_slots_of(c->node);
  const bool contrib = c->node->op->domain[0] != '\0';
  OW_TRY(ow_infer_types(c, 0, OW_TYPES_FLOAT));
  OW_TRY(ow_infer_types(c, slots.positions, OW_BIT(ONWARD_INT64)));
  OW_TRY(ow_infer_rank(c, 0, 3, 4));
  for (size_t slot = slots.cos; slot <= slots.sin; slot++) {
    OW_TRY(ow_infer_types(c, slot, OW_BIT(c->in[0].dtype)));
    const int32_t rank = contrib || ow_infer_has(c, slots.positions) ? 2 : 3;
    OW_TRY(ow_infer_rank(c, slot, rank, rank));
  }
  OW_TRY(ow_infer_rank(c, slots.positions, contrib ? 1 : 2, 2));
  const ow_shape *x = &c->in[0].shape, *cos = &c->in[slots.cos].shape, *sin = &c->in[slots.sin].shape;
  const int64_t heads = ow_node_int(c->node, "num_heads", 0), width = rotary_width(c->node);
  if (width < 0 || width % 2 || heads < 0 || width > INT32_MAX || heads > INT32_MAX)
    return ow_infer_fail(c, ONWARD_MODEL, "bad num_heads or rotary_embedding_dim");
  if (ow_node_int(c->node, "is_packed_batching", 0) != 0)
    return ow_infer_fail(c, ONWARD_UNSUPPORTED, "is_packed_batching");
  if (x->rank == 3 && heads == 0 && (!contrib || width > 0))
    return ow_infer_fail(c, ONWARD_MODEL, "an input of rank 3 needs the attribute num_heads");
  if (x->rank == 3 && heads > 0 && ow_dim_is_const(x->dims[2]) && x->dims[2].k % heads != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "a width of %lld is no multiple of %lld heads", (long long)x->dims[2].k,
                         (long long)heads);
  for (int32_t d = 0; d < cos->rank && cos->rank == sin->rank; d++)
    OW_TRY(ow_infer_equal(c, cos->dims[d], sin->dims[d], "a dim of both tables"));
  if (x->rank >= 0 && cos->rank > 0) {
    const ow_dim half = cos->dims[cos->rank - 1];
    ow_dim size = x->rank == 4 ? x->dims[3] : x->dims[2];
    if (x->rank == 3 && heads > 0)
      size = ow_dim_floordiv(c->dims, size, ow_dim_const(heads));
    if (width > 0)
      OW_TRY(ow_infer_equal(c, half, ow_dim_const(width / 2), "columns of the tables and half of what turns"));
    else if (x->rank == 4 || heads > 0)
      OW_TRY(
          ow_infer_equal(c, ow_dim_mul(c->dims, half, ow_dim_const(2)), size, "columns of the tables and half a head"));
    if (ow_dim_is_const(size) && width > size.k)
      return ow_infer_fail(c, ONWARD_MODEL, "rotary_embedding_dim %lld is more than a head of %lld", (long long)width,
                           (long long)size.k);
    const ow_dim batch = x->dims[0], tokens = x->rank == 4 ? x->dims[2] : x->dims[1];
    const ow_shape *by_token = cos->rank == 3 ? cos : &c->in[slots.positions].shape;
    if (by_token->rank >= 2) {
      OW_TRY(ow_infer_equal(c, by_token->dims[0], batch, "the batch of input and positions"));
      OW_TRY(ow_infer_equal(c, by_token->dims[1], tokens, "tokens of input and positions"));
    } else if (by_token->rank == 1) {
      OW_TRY(ow_infer_equal(c, by_token->dims[0], ow_dim_const(1), "elements of position_ids"));
    }
  }
  return ow_infer_same(c, 0, 0);
}

void ow_turn_head(const ow_turn *t, int64_t row, onward_dtype dtype, const void *x, int64_t at, onward_dtype out_dtype,
                  void *out, int64_t to) {
  for (int64_t i = 0; i < t->half; i++) {
    const int64_t first = t->interleaved ? 2 * i : i, second = t->interleaved ? first + 1 : first + t->half;
    const double re = ow_load(dtype, x, at + first), im = ow_load(dtype, x, at + second);
    const double co = ow_load(t->cos->dtype, t->cos->data, row * t->half + i),
                 si = ow_load(t->sin->dtype, t->sin->data, row * t->half + i);
    ow_store(out_dtype, out, to + first, co * re - si * im);
    ow_store(out_dtype, out, to + second, si * re + co * im);
  }
}

typedef struct rotary_job {
  ow_turn turn;
  const onward_tensor *x, *out, *positions;
  int64_t heads, tokens, size;
} rotary_job;

/* Row of the tables for a token. */
static int64_t rotary_row(const rotary_job *j, int64_t b, int64_t s) {
  if (!j->positions)
    return b * j->tokens + s;
  return j->positions->rank == 1 ? ow_index_at(j->positions, 0) + s : ow_index_at(j->positions, b * j->tokens + s);
}

static void rotary_lines(void *context, int64_t from, int64_t to) {
  const rotary_job *const j = context;
  const onward_dtype dtype = j->x->dtype;
  for (int64_t line = from; line < to; line++) { /* one head of one token, in memory order */
    const bool by_head = j->x->rank == 4;
    const int64_t b = line / (j->heads * j->tokens), s = by_head ? line % j->tokens : line / j->heads % j->tokens;
    const int64_t at = line * j->size, turned = 2 * j->turn.half;
    ow_turn_head(&j->turn, rotary_row(j, b, s), dtype, j->x->data, at, dtype, j->out->data, at);
    const size_t element = ow_dtype_size(dtype), rest = (size_t)(j->size - turned) * element;
    if (rest > 0 && j->out->data != j->x->data)
      memcpy((char *)j->out->data + (size_t)(at + turned) * element,
             (const char *)j->x->data + (size_t)(at + turned) * element, rest);
  }
}

static onward_status rotary_run(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const rotary_slots slots = rotary_slots_of(a->node);
  const onward_tensor *const cos = a->in[slots.cos];
  rotary_job j = {.x = a->in[0],
                  .out = a->out[0],
                  .positions = ow_args_in(a, slots.positions),
                  .turn = {.cos = cos,
                           .sin = a->in[slots.sin],
                           .half = cos->dims[cos->rank - 1],
                           .interleaved = ow_node_int(a->node, "interleaved", 0) != 0}};
  if (j.x->rank == 4) {
    j.heads = j.x->dims[1], j.tokens = j.x->dims[2], j.size = j.x->dims[3];
  } else {
    const int64_t heads = ow_node_int(a->node, "num_heads", 0);
    j.tokens = j.x->dims[1];
    j.size = heads > 0 ? j.x->dims[2] / heads : 2 * j.turn.half;
    if (j.size == 0 || j.x->dims[2] % j.size != 0)
      return ow_node_fail(a->node, err, ONWARD_DATA, "a width of %lld is no multiple of a head of %lld",
                          (long long)j.x->dims[2], (long long)j.size);
    j.heads = j.x->dims[2] / j.size;
  }
  const int64_t lines = j.x->dims[0] * j.heads * j.tokens;
  if (lines == 0 || j.size == 0)
    return ONWARD_OK;
  if (j.positions) {
    const int64_t reach = j.positions->rank == 1 ? j.tokens : 1;
    OW_TRY(ow_check_indices(a, slots.positions, 0, cos->dims[0] - reach, err));
  }
  ow_parallel_ranges(a->threads, lines, 4096 / j.size, rotary_lines, &j);
  return ONWARD_OK;
}

static const ow_kernel rotary_reference = {.name = "rotary_reference", .flags = OW_KERNEL_UNALIGNED, .run = rotary_run};
static const ow_kernel *const rotary_kernels[] = {&rotary_reference, NULL};
static const ow_inplace same_place[] = {{0, 0}};
static const ow_attr_spec rotary_attrs[] = {{"interleaved", OW_ATTR_INT, false},
                                            {"num_heads", OW_ATTR_INT, false},
                                            {"rotary_embedding_dim", OW_ATTR_INT, false},
                                            {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec rotary_contrib_attrs[] = {
    {"interleaved", OW_ATTR_INT, false}, {"is_packed_batching", OW_ATTR_INT, false},
    {"num_heads", OW_ATTR_INT, false},   {"rotary_embedding_dim", OW_ATTR_INT, false},
    {"scale", OW_ATTR_FLOAT, false}, /* read by no implementation */
    {NULL, OW_ATTR_NONE, false}};

#define ROTARY_ROW(dom, from, low, spec)                                                                           \
  {                                                                                                                \
    .domain = dom, .name = "RotaryEmbedding", .since = from, .min_inputs = low, .max_inputs = 4, .min_outputs = 1, \
    .max_outputs = 1, .attrs = spec, .infer = rotary_infer, .inplace = same_place, .inplace_count = 1,             \
    .kernels = rotary_kernels                                                                                      \
  }
const ow_op ow_ops_rotary[] = {
    ROTARY_ROW("", 23, 3, rotary_attrs), ROTARY_ROW("com.microsoft", 1, 4, rotary_contrib_attrs), {.name = NULL}};
