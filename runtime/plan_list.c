/* The list of plans, bounded in bytes, most recently used first.
 *
 * A shape that is not bound to any plan is taken over by a plan with spare room when one fits. Otherwise a plan is built: with
 * spare room when the shape differs from the last one only by dims that grew a little, as the past of a decoder does. */
#include <string.h>

#include "base/os.h"
#include "base/stop.h"
#include "runtime/session.h"

#define GROWTH_STEP INT64_C(64)
#define STATE_STEP INT64_C(1024)
#define SPARE_BYTES ((size_t)1 << 20) /* spare room beyond twice the arena in use and this is not worth it */

static void move_to_front(onward_session *session, size_t index) {
  ow_plan *const plan = session->plans[index];
  memmove(session->plans + 1, session->plans, index * sizeof *session->plans);
  session->plans[0] = plan;
}

static void remove_plan(onward_session *session, size_t index) {
  if (session->last == session->plans[index])
    session->last = NULL;
  ow_plan_free(session->plans[index]);
  memmove(session->plans + index, session->plans + index + 1,
          (session->plan_count - index - 1) * sizeof *session->plans);
  session->plan_count--;
}

void ow_session_drop_plans(onward_session *session) {
  while (session->plan_count)
    remove_plan(session, session->plan_count - 1);
}

static void keep_within(onward_session *session, size_t bytes) {
  size_t total = 0;
  for (size_t i = 0; i < session->plan_count; i++) {
    total += session->plans[i]->cost;
    if (i > 0 && total > bytes) {
      while (session->plan_count > i)
        remove_plan(session, session->plan_count - 1);
      return;
    }
  }
}

/* Like the plan's shapes but for dims that all grew by the same few, as past and mask do when a decoder goes on: room gets them
 * rounded up, again by the same amount, so that they still fit each other. */
static bool growth(const onward_session *session, const ow_plan *last, const onward_input_shape *shapes, bool far,
                   onward_input_shape *room) {
  const ow_graph *const g = session->variant->graph;
  int64_t largest = 0, delta = 0;
  if (last->variant != session->variant)
    return false;
  for (size_t i = 0; i < g->input_count; i++) {
    if (shapes[i].rank != last->bound[i].rank)
      return false;
    for (int32_t d = 0; d < shapes[i].rank; d++) {
      const int64_t more = shapes[i].dims[d] - last->bound[i].dims[d];
      if (more < 0 || more > GROWTH_STEP || (more > 0 && delta > 0 && more != delta))
        return false;
      if (more > 0)
        delta = more;
      if (more > 0 && shapes[i].dims[d] > largest)
        largest = shapes[i].dims[d];
    }
  }
  if (!largest)
    return false;
  const int64_t step = largest / 4 > GROWTH_STEP ? largest / 4 : GROWTH_STEP;
  int64_t spare = (largest + step - 1) / step * step - largest;
  if (far) { /* as far as the state goes, in steps that double */
    const int64_t more = largest > STATE_STEP ? largest : STATE_STEP, left = session->state->capacity - largest;
    spare = left < more ? left : more;
  }
  if (spare < 0)
    return false;
  for (size_t i = 0; i < g->input_count; i++) {
    room[i] = shapes[i];
    for (int32_t d = 0; d < shapes[i].rank; d++)
      if (shapes[i].dims[d] != last->bound[i].dims[d])
        room[i].dims[d] += spare;
  }
  return true;
}

/* shapes differ from what plan is bound to only in dims that it has room for. */
static bool has_room(const onward_session *session, const ow_plan *plan, const onward_input_shape *shapes) {
  const ow_graph *const g = session->variant->graph;
  if (!plan->room || plan->variant != session->variant ||
      memcmp(plan->wanted, session->wanted, g->output_count * sizeof *plan->wanted) != 0)
    return false;
  for (size_t i = 0; i < g->input_count; i++) {
    if (shapes[i].rank != plan->bound[i].rank)
      return false;
    for (int32_t d = 0; d < shapes[i].rank; d++) {
      const int64_t dim = shapes[i].dims[d], most = plan->room[i].dims[d];
      if (most == plan->least[i].dims[d] ? dim != most : dim < 1 || dim > most)
        return false;
    }
  }
  return true;
}

/* Two inputs whose dims share a name but differ are the likely cause of an error that follows: say so first. An operator that
 * then found its shapes contradictory found inputs that do not fit the model. */
static onward_status blame_names(const onward_session *session, const onward_input_shape *shapes, onward_status status,
                                 onward_error *err) {
  const onward_value_info *const in = session->model->inputs;
  const size_t count = onward_model_input_count(session->model);
  for (size_t i = 0; i < count; i++)
    for (int32_t d = 0; d < in[i].rank; d++)
      for (size_t j = 0; j < i; j++)
        for (int32_t e = 0; e < in[j].rank; e++)
          if (in[i].dims[d] < 0 && in[j].dims[e] < 0 && in[i].dim_names[d][0] &&
              strcmp(in[i].dim_names[d], in[j].dim_names[e]) == 0 && shapes[i].dims[d] != shapes[j].dims[e]) {
            ow_error_prefix(err, "'%s' is %lld in '%s' but %lld in '%s'", in[i].dim_names[d],
                            (long long)shapes[j].dims[e], in[j].name, (long long)shapes[i].dims[d], in[i].name);
            if (status == ONWARD_MODEL && err)
              err->status = ONWARD_INPUT;
            return status == ONWARD_MODEL ? ONWARD_INPUT : status;
          }
  return status;
}

/* NULL: spare room is not possible or not worth it. */
static ow_plan *build_with_room(onward_session *session, ow_plan_request request, const onward_input_shape *room) {
  ow_plan *plan = NULL;
  bool broken = false;
  request.room = room;
  if (ow_plan_create(&request, &plan, &broken, NULL) != ONWARD_OK || !plan)
    return NULL;
  if (plan->segments[0].arena_bytes <= 2 * session->arena_bytes + SPARE_BYTES)
    return plan;
  ow_plan_free(plan);
  return NULL;
}

static onward_status build(onward_session *session, const onward_input_shape *shapes, ow_plan **plan,
                           onward_error *err) {
  ow_plan_request request = {
      session->model, session->variant, session->threads, session->root->texts, session->wanted, shapes, NULL};
  bool broken = false;
  *plan = NULL;
  for (int far = session->state ? 1 : 0; far >= 0 && session->plan_count; far--)
    if (growth(session, session->plans[0], shapes, far == 1, session->room) &&
        (*plan = build_with_room(session, request, session->room)))
      return ONWARD_OK;
  OW_TRY(ow_plan_create(&request, plan, &broken, err));
  if (!broken)
    return ONWARD_OK;
  if (!session->root->warned)
    ow_model_log(
        session->model, ONWARD_LOG_WARNING,
        "the shapes given do not fit the names of the model's dimensions; going on without trusting the names");
  session->root->warned = true;
  OW_TRY(ow_model_doubting(session->model, session->variant, &request.variant, err));
  onward_status status = ow_plan_create(&request, plan, &broken, err);
  if (status != ONWARD_OK && status != ONWARD_CANCELLED && session->root == session)
    status = blame_names(session, shapes, status, err);
  return broken ? ow_fail(err, ONWARD_INTERNAL, "a plan without assumptions broke one") : status;
}

onward_status ow_session_plan(onward_session *session, const onward_input_shape *shapes, ow_plan **out,
                              onward_error *err) {
  for (size_t i = 0; i < session->plan_count; i++)
    if (session->plans[i]->variant->family == session->variant->family && !session->plans[i]->broken_assumption &&
        ow_plan_bound_to(session->plans[i], session->plans[i]->variant, session->wanted, shapes)) {
      move_to_front(session, i);
      *out = session->plans[0];
      return ONWARD_OK;
    }
  for (size_t i = 0; i < session->plan_count;) {
    if (has_room(session, session->plans[i], shapes)) {
      if (ow_plan_rebind(session->plans[i], shapes) && !ow_stop_asked()) {
        session->root->stats.plans_rebound++;
        move_to_front(session, i);
        *out = session->plans[0];
        return ONWARD_OK;
      }
      if (session->plans[i]->invalid || ow_stop_asked()) {
        remove_plan(session, i);
        OW_TRY(ow_stop_check(err));
        continue;
      }
    }
    i++;
  }
  if (!ow_reserve(session->allocator, &session->plans, &session->plan_capacity, session->plan_count,
                  session->plan_count + 1, sizeof *session->plans))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the plan list");
  ow_plan *plan;
  OW_TRY(build(session, shapes, &plan, err));
  session->root->stats.plans_built++;
  session->root->stats.primitives_created += plan->primitives;
  session->plans[session->plan_count++] = plan;
  move_to_front(session, session->plan_count - 1);
  keep_within(session, OW_PLAN_LIST_BYTES);
  *out = plan;
  return ONWARD_OK;
}
