#include "text/stop_text.h"

#include "base/format.h"

onward_status ow_stop_text_check(const char *const *stops, size_t count, onward_error *err) {
  if (count > 0 && !stops)
    return ow_fail(err, ONWARD_INPUT, "stops is NULL, but stop_count is not 0");
  if (count > OW_STOPS_MAX)
    return ow_fail(err, ONWARD_INPUT, "%zu stop strings, want at most %d", count, OW_STOPS_MAX);
  for (size_t i = 0; i < count; i++) {
    const size_t length = stops[i] ? strnlen(stops[i], OW_STOP_BYTES_MAX + 1) : 0;
    if (length == 0 || length > OW_STOP_BYTES_MAX)
      return ow_fail(err, ONWARD_INPUT, "stop string %zu has %s, want 1 to %d bytes", i,
                     length ? "more bytes" : "no bytes", OW_STOP_BYTES_MAX);
    for (size_t at = 0, n; at < length; at += n)
      if ((n = ow_utf8_char(stops[i] + at, length - at)) == 0)
        return ow_fail(err, ONWARD_INPUT, "stop string %zu is no UTF-8 at byte %zu", i, at);
  }
  return ONWARD_OK;
}

/* How much of the end of text could go on to be this stop string. */
static size_t begun(const char *text, size_t length, const char *stop) {
  const size_t size = strlen(stop);
  for (size_t n = size - 1 < length ? size - 1 : length; n > 0; n--)
    if (memcmp(text + length - n, stop, n) == 0)
      return n;
  return 0;
}

onward_status ow_stop_text_add(ow_stop_text *s, const char *text, size_t length, size_t *ready, const char **found,
                               onward_error *err) {
  ow_bytes_add(&s->held, text, length);
  *found = NULL;
  *ready = 0;
  if (s->held.failed)
    return ow_fail(err, ONWARD_MEMORY, "out of memory");
  const char *const all = s->held.data;
  const size_t have = s->held.length;
  size_t keep = 0;
  for (size_t i = 0; i < s->count && all; i++) { /* the earliest; of those at one place the first given */
    const char *const at = memmem(all, have, s->stops[i], strlen(s->stops[i]));
    if (!at || (*found && (size_t)(at - all) >= *ready))
      continue;
    *found = s->stops[i];
    *ready = (size_t)(at - all);
  }
  if (*found)
    return ONWARD_OK;
  for (size_t i = 0; i < s->count && all; i++) {
    const size_t n = begun(all, have, s->stops[i]);
    keep = n > keep ? n : keep;
  }
  *ready = have - keep;
  return ONWARD_OK;
}

void ow_stop_text_taken(ow_stop_text *s, size_t ready) {
  if (ready > 0)
    memmove(s->held.data, s->held.data + ready, s->held.length - ready);
  s->held.length -= ready;
}
