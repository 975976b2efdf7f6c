/* Exports do not say how many positions they have: a table of embeddings, a causal buffer or a rotary cache ends, and the operator
 * that meets the end speaks of an index or of shapes. So the model is asked: a text of one token that it knows, again and again. */
#include "text/decode_step.h"

/* Whether it takes length times that token. */
static onward_status try_length(ow_decoder *d, int64_t *ids, int64_t id, size_t length) {
  onward_error ignored;
  onward_tensor logits;
  for (size_t i = 0; i < length; i++)
    ids[i] = id;
  OW_TRY(ow_decoder_start(d, (int64_t)length, &ignored));
  return ow_decoder_step(d, ids, 1, length, 0, &logits, &ignored);
}

static bool may_be_length(onward_status status) {
  return status == ONWARD_DATA || status == ONWARD_MODEL || status == ONWARD_INPUT;
}

size_t ow_decoder_limit(ow_decoder *d, int64_t known, size_t length, const onward_error *err) {
  if (!may_be_length(err->status) || length < 2)
    return 0;
  int64_t *const probe = ow_alloc_zero(d->allocator, length, sizeof *probe);
  size_t fits = d->accepted, fails = length;
  if (probe && fits == 0 && try_length(d, probe, known, 1) == ONWARD_OK)
    fits = 1;
  if (probe && fits > 0 && !may_be_length(try_length(d, probe, known, length)))
    fits = 0;
  while (fits > 0 && fails - fits > 1) {
    const size_t middle = fits + (fails - fits) / 2;
    const onward_status status = try_length(d, probe, known, middle);
    if (status == ONWARD_OK)
      fits = middle;
    else if (may_be_length(status))
      fails = middle;
    else /* out of memory, cancelled: not known */
      fits = 0;
  }
  ow_free(d->allocator, probe);
  return fits;
}
