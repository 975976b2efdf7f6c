#include "base/os.h"
#include "base/stop.h"
#include "runtime/session.h"

static bool has_no_elements(const onward_tensor *t) {
  for (int32_t d = 0; d < t->rank; d++)
    if (t->dims[d] == 0)
      return true;
  return false;
}

/* Nothing to write: kernels that walk the other dimensions first would take as long as those are large. */
static bool writes_nothing(const ow_step *step) {
  bool any = false;
  for (size_t o = 0; o < step->args.out_count; o++) {
    if (step->args.out[o] && !has_no_elements(step->args.out[o]))
      return false;
    any |= step->args.out[o] != NULL;
  }
  return any;
}

onward_status ow_execute(onward_session *session, ow_segment *segment, onward_error *err) {
  OW_TRY(ow_stop_check(err));
  for (size_t s = 0; s < segment->step_count; s++) {
    ow_step *const step = &segment->steps[s];
    if ((step->node->op->flags & OW_OP_VIEW) && step->args.out[0] && step->args.out_count == 1 &&
        step->args.out[0]->data == step->args.in[0]->data)
      continue;
    if (writes_nothing(step))
      continue;
    const int64_t start = session->options.profile ? ow_time_ns() : 0;
    onward_status status = step->kernel->run(&step->args, step->state, err);
    if (ow_stop_asked()) /* whatever the kernel made of its half-done work */
      status = ow_stop_check(err);
    if (status != ONWARD_OK) {
      ow_error_in_node(err, step->node);
      return status;
    }
    if (session->options.profile)
      ow_profile_add(&session->root->profile, step->node, step->kernel, start, ow_time_ns());
  }
  return ONWARD_OK;
}
