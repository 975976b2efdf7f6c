/* gradient: a Gradient gives way to the nodes that compute it, those of reverse-mode differentiation.
 *
 *     y = f(a, b)      Gradient(a', b'; xs = [a], zs = [b], y)  -->  y' = f(a', b'), unless a' is a and b' is b
 *                                                                    from y' backwards: each node's rule (gradient.c), times
 *                                                                    what came from its users, summed; the one of a' is da
 *
 * The values named in xs and zs are where f begins, be they inputs, weights or what other nodes make. y counts as the sum of its
 * elements. Outputs keep their values, so that a later Gradient can name them. */
#include "base/stop.h"
#include "graph/gradient.h"
#include "graph/infer.h"

#define VISITS_MAX ((size_t)1 << 26) /* values that all Gradients of a graph may look at */

typedef struct work {
  ow_gradient d;
  ow_arena memory; /* of one Gradient */
  size_t leaf_count, x_count;
  ow_value **leaves; /* xs, then zs, where f begins */
  ow_value **map;    /* by index: what stands for a value of the file's f */
  ow_node **path;    /* f in order */
  size_t path_count;
  ow_value *y;
  /* Of the values that f has in the end: */
  ow_value **sums; /* the derivative of y by it as far as it is known */
  bool *wanted;    /* it depends on one of xs */
  bool *is_leaf;
} work;

static onward_status fail(const work *w, onward_status status, const char *text, const char *name) {
  return ow_node_fail(w->d.at, w->d.context->err, status, "%s '%s'", text, name);
}

/* A node of ai.onnx before another. */
static ow_node *add(const work *w, ow_node *before, const char *type, ow_value *in, ow_value *out) {
  const ow_op *const row = ow_newest_row(w->d.context->registry, "", type);
  ow_node *const node = row && in && out ? ow_graph_add_node(w->d.context->graph, before, w->d.at->name, "", type,
                                                             row->since, &in, 1, &out, 1)
                                         : NULL;
  if (node)
    node->op = row;
  return node && ow_infer_node(w->d.context->graph, node, w->d.context->err) == ONWARD_OK ? node : NULL;
}

/* Of all others the derivative is zero or means nothing. */
static bool is_float(const ow_value *v) {
  const onward_dtype t = v->type.dtype;
  return v->type.kind == OW_VALUE_TENSOR &&
         (t == ONWARD_FLOAT32 || t == ONWARD_FLOAT64 || t == ONWARD_FLOAT16 || t == ONWARD_BFLOAT16);
}

/* ---- f ----------------------------------------------------------------------------------------------------------------- */

/* An input that is not the value of its name is one for itself, whatever else uses it. */
static onward_status find_leaves(work *w) {
  ow_graph *const graph = w->d.context->graph;
  const ow_attr *const xs = ow_node_attr(w->d.at, "xs"), *const zs = ow_node_attr(w->d.at, "zs");
  for (size_t i = 0; i < w->leaf_count; i++) {
    const char *const name = i < w->x_count ? xs->strings[i] : zs->strings[i - w->x_count];
    const ow_value *const named = ow_graph_find_value(graph, name);
    ow_value *const given = w->d.at->inputs[i];
    if (!named)
      return fail(w, ONWARD_MODEL, "xs or zs names what is no value of its graph:", name);
    if (w->map[named->index])
      return fail(w, ONWARD_MODEL, "xs and zs name a value twice:", name);
    w->leaves[i] = given;
    if (given != named) {
      w->leaves[i] = ow_graph_add_value(graph, NULL);
      if (!add(w, w->d.at, "Identity", given, w->leaves[i]))
        return ow_pass_no_memory(w->d.context);
    }
    w->map[named->index] = w->leaves[i];
  }
  return ONWARD_OK;
}

/* The nodes between the leaves and y, backwards; those that depend on no leaf too. */
static onward_status find_path(work *w, const ow_value *y) {
  bool *const needed = ow_arena_zero(&w->memory, w->d.context->graph->value_count, sizeof *needed);
  if (!needed)
    return ow_pass_no_memory(w->d.context);
  needed[y->index] = true;
  bool found = !y->producer || w->map[y->index];
  for (ow_node *node = w->d.at->previous; node; node = node->previous) {
    bool need = false;
    for (size_t o = 0; o < node->output_count; o++)
      need = need || (node->outputs[o] && needed[node->outputs[o]->index] && !w->map[node->outputs[o]->index]);
    if (!need)
      continue;
    found = found || node == y->producer;
    w->path[w->path_count++] = node;
    for (size_t i = 0; i < node->input_count; i++)
      if (node->inputs[i])
        needed[node->inputs[i]->index] = true;
  }
  if (!found)
    return fail(w, ONWARD_MODEL, "not computed before it:", y->name);
  for (size_t i = 0, j = w->path_count; i + 1 < j; i++, j--) {
    ow_node *const swap = w->path[i];
    w->path[i] = w->path[j - 1];
    w->path[j - 1] = swap;
  }
  return ONWARD_OK;
}

static ow_value *mapped(const work *w, ow_value *v) { return v && w->map[v->index] ? w->map[v->index] : v; }

/* A copy of node on what stands for its inputs; the node itself when all are their own. */
static onward_status substitute(work *w, ow_node **at) {
  ow_graph *const graph = w->d.context->graph;
  ow_node *const node = *at;
  ow_value **const in = ow_arena_zero(&w->memory, node->input_count + 1, sizeof *in);
  ow_value **const out = ow_arena_zero(&w->memory, node->output_count + 1, sizeof *out);
  bool same = true, done = in && out;
  for (size_t i = 0; done && i < node->input_count; i++) {
    in[i] = mapped(w, node->inputs[i]);
    same = same && in[i] == node->inputs[i];
  }
  if (done && same)
    return ONWARD_OK;
  for (size_t o = 0; done && o < node->output_count; o++)
    done = !node->outputs[o] || (out[o] = ow_graph_add_value(graph, NULL));
  ow_node *const copy = done ? ow_graph_add_node(graph, w->d.at, node->name, node->domain, node->type, node->version,
                                                 in, node->input_count, out, node->output_count)
                             : NULL;
  if (!copy)
    return ow_pass_no_memory(w->d.context);
  copy->op = node->op;
  for (size_t i = 0; i < node->attr_count; i++) {
    if (node->attrs[i].kind == OW_ATTR_GRAPH || node->attrs[i].kind == OW_ATTR_GRAPHS)
      return ow_node_fail(node, w->d.context->err, ONWARD_UNSUPPORTED, "a Gradient cannot pass through a subgraph");
    if (!ow_node_add_attr(copy, &node->attrs[i]))
      return ow_pass_no_memory(w->d.context);
  }
  for (size_t o = 0; o < node->output_count; o++)
    if (out[o] && !w->map[node->outputs[o]->index])
      w->map[node->outputs[o]->index] = out[o];
  *at = copy;
  return ow_infer_node(graph, copy, w->d.context->err);
}

static onward_status find_function(work *w) {
  ow_graph *const graph = w->d.context->graph;
  const char *const name = ow_node_string(w->d.at, "y", "");
  const size_t values = graph->value_count + w->leaf_count; /* the leaves may be new ones */
  w->leaves = ow_arena_zero(&w->memory, w->leaf_count, sizeof *w->leaves);
  w->map = ow_arena_zero(&w->memory, values, sizeof *w->map);
  w->path = ow_arena_zero(&w->memory, graph->node_count, sizeof *w->path);
  if (!w->leaves || !w->map || !w->path)
    return ow_pass_no_memory(w->d.context);
  ow_value *const y = ow_graph_find_value(graph, name);
  if (!y)
    return fail(w, ONWARD_MODEL, "y names what is no value of its graph:", name);
  if (!is_float(y))
    return fail(w, ONWARD_MODEL, "not of a float type:", name);
  OW_TRY(find_leaves(w));
  OW_TRY(find_path(w, y));
  for (size_t i = 0; i < w->path_count; i++)
    OW_TRY(substitute(w, &w->path[i]));
  w->y = mapped(w, y);
  return ONWARD_OK;
}

/* ---- backwards --------------------------------------------------------------------------------------------------------- */

static bool find_wanted(work *w) {
  const size_t values = w->d.context->graph->value_count;
  w->sums = ow_arena_zero(&w->memory, values, sizeof *w->sums);
  w->wanted = ow_arena_zero(&w->memory, values, sizeof *w->wanted);
  w->is_leaf = ow_arena_zero(&w->memory, values, sizeof *w->is_leaf);
  if (!w->sums || !w->wanted || !w->is_leaf)
    return false;
  for (size_t i = 0; i < w->leaf_count; i++) {
    w->is_leaf[w->leaves[i]->index] = true;
    w->wanted[w->leaves[i]->index] = i < w->d.at->output_count && w->d.at->outputs[i];
  }
  for (size_t n = 0; n < w->path_count; n++) {
    const ow_node *const node = w->path[n];
    bool any = false;
    for (size_t i = 0; i < node->input_count; i++)
      any = any || (node->inputs[i] && w->wanted[node->inputs[i]->index]);
    for (size_t o = 0; o < node->output_count; o++)
      if (any && node->outputs[o] && is_float(node->outputs[o]) && !w->is_leaf[node->outputs[o]->index])
        w->wanted[node->outputs[o]->index] = true;
  }
  return true;
}

static onward_status differentiate(work *w) {
  ow_gradient *const d = &w->d;
  ow_value **const sums = w->sums;
  if (w->wanted[w->y->index] && !(sums[w->y->index] = ow_gradient_full(d, w->y, 1.0)))
    return ow_pass_no_memory(d->context);
  for (size_t n = w->path_count; n-- > 0;) {
    const ow_node *const node = d->node = w->path[n];
    OW_TRY(ow_stop_check(d->context->err));
    for (size_t o = 1; o < node->output_count; o++)
      if (node->outputs[o] && sums[node->outputs[o]->index] && !w->is_leaf[node->outputs[o]->index])
        return ow_node_fail(node, d->context->err, ONWARD_UNSUPPORTED,
                            "the derivative of output %zu is not implemented", o);
    d->g = node->outputs[0] && !w->is_leaf[node->outputs[0]->index] ? sums[node->outputs[0]->index] : NULL;
    for (size_t i = 0; d->g && i < node->input_count; i++) {
      ow_value *part = NULL;
      if (!node->inputs[i] || !w->wanted[node->inputs[i]->index])
        continue;
      OW_TRY(ow_gradient_of_input(d, i, &part));
      ow_value **const sum = &sums[node->inputs[i]->index];
      if (part && !(*sum = *sum ? ow_gradient_add(d, *sum, part) : part))
        return ow_pass_no_memory(d->context);
    }
    if (d->context->node_limit && d->context->graph->node_count > d->context->node_limit)
      return ow_node_fail(d->at, d->context->err, ONWARD_LIMIT,
                          "nodes, with derivatives, are above the limit nodes of %llu (--limit nodes=N)",
                          (unsigned long long)d->context->node_limit);
  }
  return ONWARD_OK;
}

static onward_status replace(work *w) {
  ow_graph *const graph = w->d.context->graph;
  ow_node *const node = w->d.at, *const next = node->next;
  ow_value **const found = ow_arena_zero(&w->memory, node->output_count, sizeof *found);
  for (size_t i = 0; found && i < node->output_count; i++) {
    ow_value *const x = w->leaves[i];
    if (node->outputs[i] && !(found[i] = w->sums[x->index] ? w->sums[x->index] : ow_gradient_full(&w->d, x, 0.0)))
      return ow_pass_no_memory(w->d.context);
  }
  if (!found)
    return ow_pass_no_memory(w->d.context);
  ow_graph_remove_node(graph, node);
  for (size_t i = 0; i < node->output_count; i++)
    if (found[i] && !add(w, next, "Identity", found[i], node->outputs[i]))
      return ow_pass_no_memory(w->d.context);
  return ONWARD_OK;
}

static onward_status lower(work *w) {
  OW_TRY(find_function(w));
  if (!find_wanted(w))
    return ow_pass_no_memory(w->d.context);
  OW_TRY(differentiate(w));
  return replace(w);
}

onward_status ow_pass_gradient(ow_pass_context *context, size_t *changes) {
  size_t visits = 0;
  for (ow_node *node = context->graph->first, *next; node; node = next) {
    next = node->next;
    if (!ow_node_is_in(node, "ai.onnx.preview.training", "Gradient"))
      continue;
    work w = {.d = {.context = context, .at = node},
              .leaf_count = node->input_count,
              .x_count = ow_node_attr(node, "xs")->count};
    if ((visits += context->graph->value_count) > VISITS_MAX)
      return fail(&w, ONWARD_LIMIT, "the Gradients of this graph look at too many values: that of",
                  ow_node_string(node, "y", ""));
    ow_arena_init(&w.memory, context->graph->allocator);
    const onward_status status = lower(&w);
    ow_arena_free(&w.memory);
    OW_TRY(status);
    (*changes)++;
  }
  return ONWARD_OK;
}
