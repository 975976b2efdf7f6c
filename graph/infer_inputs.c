/* What the names of free input dims promise: one name is one size, "past + sequence" is a sum. */
#include <string.h>

#include "base/size.h"
#include "base/strmap.h"
#include "graph/infer.h"

/* One dim_param name. */
typedef struct dim_param {
  const char *name;
  size_t input;   /* the first that has it */
  ow_dim symbol;  /* there */
  ow_dim meaning; /* symbol, or the sum it spells */
} dim_param;

typedef struct params {
  ow_arena arena;
  ow_strmap by_name;
} params;

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name_char(char c) { return is_letter(c) || is_digit(c) || c == '.'; }

/* "?", "-1" and the like are placeholders: nothing says that two of them are one size. */
static bool is_meaningful(const char *name) {
  if (strcmp(name, "None") == 0 || strcmp(name, "unknown") == 0)
    return false;
  while (*name && !is_letter(*name))
    name++;
  return *name != '\0';
}

/* ---- expressions ----------------------------------------------------------------------------------------------------- */

typedef struct parser {
  const char *at;
  const params *known;
  ow_dims *pool;
  int depth;
  bool failed;
} parser;

static ow_dim parse_sum(parser *p);

static bool accept(parser *p, const char *sign) {
  while (*p->at == ' ')
    p->at++;
  const size_t length = strlen(sign);
  if (strncmp(p->at, sign, length) != 0)
    return false;
  p->at += length;
  while (*p->at == ' ')
    p->at++;
  return true;
}

static ow_dim parse_factor(parser *p) {
  if (accept(p, "(")) {
    if (++p->depth > 8)
      p->failed = true;
    const ow_dim inner = p->failed ? ow_dim_const(0) : parse_sum(p);
    p->depth--;
    if (!accept(p, ")"))
      p->failed = true;
    return inner;
  }
  if (is_digit(*p->at)) {
    int64_t number = 0;
    for (; is_digit(*p->at); p->at++)
      if (!ow_i64_mul(number, 10, &number) || !ow_i64_add(number, *p->at - '0', &number))
        p->failed = true;
    return ow_dim_const(number);
  }
  const char *const begin = p->at;
  while (is_name_char(*p->at))
    p->at++;
  char name[128];
  const size_t length = (size_t)(p->at - begin);
  if (length > 0 && length < sizeof name && is_letter(*begin)) {
    memcpy(name, begin, length);
    name[length] = '\0';
    const dim_param *const known = ow_strmap_get(&p->known->by_name, name);
    if (known)
      return known->symbol;
  }
  p->failed = true;
  return ow_dim_const(0);
}

static ow_dim parse_product(parser *p) {
  ow_dim product = parse_factor(p);
  while (!p->failed) {
    if (accept(p, "//"))
      product = ow_dim_floordiv(p->pool, product, parse_factor(p));
    else if (accept(p, "*"))
      product = ow_dim_mul(p->pool, product, parse_factor(p));
    else
      break;
  }
  return product;
}

static ow_dim parse_sum(parser *p) {
  ow_dim sum = parse_product(p);
  while (!p->failed) {
    if (accept(p, "+"))
      sum = ow_dim_add(p->pool, sum, parse_product(p));
    else if (accept(p, "-"))
      sum = ow_dim_sub(p->pool, sum, parse_product(p));
    else
      break;
  }
  return sum;
}

/* What the name spells in terms of other names; its own symbol when it spells nothing. */
static ow_dim meaning_of(const params *known, ow_dims *pool, const dim_param *param) {
  if (!strpbrk(param->name, "+-*/"))
    return param->symbol;
  parser p = {.at = param->name, .known = known, .pool = pool};
  (void)accept(&p, "");
  const ow_dim value = parse_sum(&p);
  return p.failed || *p.at || !ow_dim_evaluable(pool, value) ? param->symbol : value;
}

/* ---- inputs ---------------------------------------------------------------------------------------------------------- */

/* The name of a free dim that may be shared, NULL for all others. */
static const char *name_of(const ow_graph *graph, ow_dim d) {
  const int32_t symbol = ow_dim_symbol_index(graph->dims, d);
  const char *const name = symbol < 0 ? "" : ow_dims_symbol_name(graph->dims, symbol);
  return is_meaningful(name) ? name : NULL;
}

static bool collect(const ow_graph *graph, params *known) {
  for (size_t i = 0; i < graph->input_count; i++)
    for (int32_t d = 0; d < graph->input_shapes[i].rank; d++) {
      const ow_dim own = graph->input_shapes[i].dims[d];
      const char *const name = name_of(graph, own);
      if (!name || ow_strmap_has(&known->by_name, name))
        continue;
      dim_param *const made = ow_arena_alloc(&known->arena, sizeof *made);
      if (!made || !ow_strmap_put(&known->by_name, name, made))
        return false;
      *made = (dim_param){name, i, own, own};
    }
  return true;
}

static bool guard(ow_graph *graph, const dim_param *param, size_t input, ow_dim own) {
  ow_arena scratch;
  ow_arena_init(&scratch, graph->allocator);
  const char *const here = graph->inputs[input]->name;
  const char *const reason =
      ow_dim_equal(param->meaning, param->symbol)
          ? ow_arena_printf(&scratch, "'%s' in '%s' and in '%s'", param->name, graph->inputs[param->input]->name, here)
          : ow_arena_printf(&scratch, "'%s' in '%s'", param->name, here);
  const bool added = reason && ow_graph_add_guard(graph, param->meaning, own, reason);
  ow_arena_free(&scratch);
  return added;
}

static bool apply(ow_graph *graph, const params *known) {
  for (size_t i = 0; i < graph->input_count; i++)
    for (int32_t d = 0; d < graph->input_shapes[i].rank; d++) {
      const ow_dim own = graph->input_shapes[i].dims[d];
      const char *const name = name_of(graph, own);
      const dim_param *const param = name ? ow_strmap_get(&known->by_name, name) : NULL;
      if (!param || ow_dim_equal(param->meaning, own))
        continue;
      graph->inputs[i]->type.shape.dims[d] = param->meaning;
      if (!guard(graph, param, i, own))
        return false;
    }
  return true;
}

static bool unify(ow_graph *graph) {
  params known = {0};
  ow_arena_init(&known.arena, graph->allocator);
  ow_strmap_init(&known.by_name, graph->allocator);
  bool done = collect(graph, &known);
  for (size_t i = 0; done && i < graph->input_count; i++)
    for (int32_t d = 0; d < graph->input_shapes[i].rank; d++) {
      const char *const name = name_of(graph, graph->input_shapes[i].dims[d]);
      dim_param *const param = name ? ow_strmap_get(&known.by_name, name) : NULL;
      if (param && ow_dim_equal(param->meaning, param->symbol))
        param->meaning = meaning_of(&known, graph->dims, param);
    }
  done = done && apply(graph, &known) && !ow_dims_failed(graph->dims);
  ow_strmap_free(&known.by_name);
  ow_arena_free(&known.arena);
  return done;
}

onward_status ow_infer_inputs(ow_graph *graph, bool assume, onward_error *err) {
  if (!graph->input_shapes) {
    graph->input_shapes = ow_arena_zero(&graph->arena, graph->input_count, sizeof *graph->input_shapes);
    if (!graph->input_shapes)
      return ow_fail(err, ONWARD_MEMORY, "no memory for the shapes of the inputs");
    for (size_t i = 0; i < graph->input_count; i++)
      graph->input_shapes[i] = graph->inputs[i]->type.shape;
  }
  for (size_t i = 0; i < graph->input_count; i++)
    graph->inputs[i]->type.shape = graph->input_shapes[i];
  graph->guard_count = 0;
  graph->assume = assume;
  if (assume && !unify(graph))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the symbols of the inputs");
  return ONWARD_OK;
}
