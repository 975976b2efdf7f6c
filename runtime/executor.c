#include "base/os.h"
#include "base/stop.h"
#include "runtime/session.h"

onward_status ow_execute(onward_session *session, ow_segment *segment, onward_error *err) {
  OW_TRY(ow_stop_check(err));
  for (size_t s = 0; s < segment->step_count; s++) {
    ow_step *const step = &segment->steps[s];
    if ((step->node->op->flags & OW_OP_VIEW) && step->args.out[0] && step->args.out_count == 1 &&
        step->args.out[0]->data == step->args.in[0]->data)
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
