#include "compare.h"

#include <math.h>
#include <string.h>

#include "args.h"
#include "element.h"

typedef struct findings {
  int64_t count, wrong, worst;
  double worst_excess; /* of the difference over what is allowed; infinite for NaN and infinities */
  double dot, want_square, got_square;
} findings;

/* How far outside the tolerance; 0 or less is inside. */
static double excess(double want, double got, const ow_tolerance *t) {
  if (isnan(want) || isnan(got))
    return isnan(want) && isnan(got) ? 0 : (double)INFINITY;
  if (isinf(want) || isinf(got))
    return want == got ? 0 : (double)INFINITY;
  return fabs(got - want) - (t->atol + t->rtol * fabs(want));
}

static void note(findings *f, int64_t i, double over) {
  if (over <= 0)
    return;
  if (f->wrong++ == 0 || over > f->worst_excess) {
    f->worst = i;
    f->worst_excess = over;
  }
}

static void compare_reals(onward_dtype dtype, const void *want, const void *got, const ow_tolerance *t, findings *f) {
  for (int64_t i = 0; i < f->count; i++) {
    const double w = ow_element_get(dtype, want, i), g = ow_element_get(dtype, got, i);
    note(f, i, excess(w, g, t));
    if (!isfinite(w) && excess(w, g, t) == 0)
      continue; /* equal and not finite: no direction to speak of */
    f->dot += w * g;
    f->want_square += w * w;
    f->got_square += g * g;
  }
}

static void compare_bytes(size_t item, const void *want, const void *got, findings *f) {
  for (int64_t i = 0; i < f->count; i++)
    note(f, i, memcmp((const char *)want + (size_t)i * item, (const char *)got + (size_t)i * item, item) == 0 ? 0 : 1);
}

static void compare_integers(onward_dtype dtype, const void *want, const void *got, findings *f) {
  const size_t item = ow_element_size(dtype);
  for (int64_t i = 0; i < f->count; i++) {
    const double w = ow_element_get(dtype, want, i), g = ow_element_get(dtype, got, i);
    const bool same = memcmp((const char *)want + (size_t)i * item, (const char *)got + (size_t)i * item, item) == 0;
    note(f, i, same ? 0 : fmax(fabs(g - w), 1)); /* neighbours above 2^53 look equal as doubles */
    f->dot += w * g;
    f->want_square += w * w;
    f->got_square += g * g;
  }
}

static double cosine_of(const findings *f) {
  if (f->want_square == 0 && f->got_square == 0)
    return 1;
  return f->want_square == 0 || f->got_square == 0 ? 0 : f->dot / (sqrt(f->want_square) * sqrt(f->got_square));
}

static const char *index_text(const onward_tensor *t, int64_t i, ow_scratch *scratch) {
  const char *text = "";
  for (int32_t d = t->rank - 1; d >= 0; d--) {
    text = ow_scratch_text(scratch, "%lld%s%s", (long long)(i % t->dims[d]), *text == '\0' ? "" : ",", text);
    i /= t->dims[d];
  }
  return text;
}

static bool same_type(const onward_tensor *want, const onward_tensor *got, ow_scratch *scratch, onward_error *err) {
  if (want->dtype != got->dtype)
    return ow_cmd_fail(err, ONWARD_DATA, "dtype: want %s, got %s", onward_dtype_name(want->dtype),
                       onward_dtype_name(got->dtype));
  bool same = want->rank == got->rank;
  for (int32_t d = 0; same && d < want->rank; d++)
    same = want->dims[d] == got->dims[d];
  return same ||
         ow_cmd_fail(err, ONWARD_DATA, "shape: want [%s], got [%s]", ow_dims_text(scratch, want->rank, want->dims),
                     ow_dims_text(scratch, got->rank, got->dims));
}

static bool say_worst(const onward_tensor *want, const onward_tensor *got, const ow_tolerance *t, const findings *f,
                      ow_scratch *scratch, onward_error *err) {
  char w[OW_ELEMENT_TEXT], g[OW_ELEMENT_TEXT];
  ow_element_text(want->dtype, want->data, f->worst, w);
  ow_element_text(got->dtype, got->data, f->worst, g);
  const char *const index = index_text(want, f->worst, scratch);
  if (ow_element_class_of(want->dtype) != OW_ELEMENT_REAL)
    return ow_cmd_fail(err, ONWARD_DATA, "values: %lld of %lld elements differ, at [%s]: want %s, got %s",
                       (long long)f->wrong, (long long)f->count, index, w, g);
  return ow_cmd_fail(err, ONWARD_DATA,
                     "values: %lld of %lld elements differ by more than %g + %g |want|, most at [%s]: want %s, got %s",
                     (long long)f->wrong, (long long)f->count, t->atol, t->rtol, index, w, g);
}

static const char *form_of(const onward_tensor *t) {
  return t->rank == ONWARD_SEQUENCE_RANK ? "a sequence" : t->rank == ONWARD_ABSENT_RANK ? "nothing" : "a tensor";
}

static bool compare_sequences(const onward_tensor *want, const onward_tensor *got, const ow_tolerance *tolerance,
                              onward_error *err) {
  if (want->dims[0] != got->dims[0])
    return ow_cmd_fail(err, ONWARD_DATA, "want a sequence of %lld, got %lld", (long long)want->dims[0],
                       (long long)got->dims[0]);
  for (int64_t i = 0; i < want->dims[0]; i++) {
    onward_error inner = {ONWARD_OK, ""};
    if (!ow_compare((const onward_tensor *)want->data + i, (const onward_tensor *)got->data + i, tolerance, &inner))
      return ow_cmd_fail(err, inner.status, "item %lld: %s", (long long)i, inner.message);
  }
  return true;
}

static bool compare_texts(const onward_tensor *want, const onward_tensor *got, ow_scratch *scratch, onward_error *err) {
  const char *const *const w = want->data, *const *const g = got->data;
  int64_t wrong = 0, first = -1;
  const int64_t count = ow_tensor_count(want);
  for (int64_t i = 0; i < count; i++)
    if (strcmp(w[i], g[i]) != 0) {
      first = wrong++ == 0 ? i : first;
    }
  return wrong == 0 ||
         ow_cmd_fail(err, ONWARD_DATA, "values: %lld of %lld strings differ, at [%s]: want '%.80s', got '%.80s'",
                     (long long)wrong, (long long)count, index_text(want, first, scratch), w[first], g[first]);
}

bool ow_compare(const onward_tensor *want, const onward_tensor *got, const ow_tolerance *tolerance, onward_error *err) {
  ow_scratch scratch = {NULL};
  if ((want->rank < 0 || got->rank < 0) && want->rank != got->rank)
    return ow_cmd_fail(err, ONWARD_DATA, "want %s, got %s", form_of(want), form_of(got));
  if (want->rank < 0)
    return want->rank == ONWARD_ABSENT_RANK || compare_sequences(want, got, tolerance, err);
  bool ok = same_type(want, got, &scratch, err);
  if (!ok)
    goto done;
  findings f = {.count = ow_tensor_count(want)};
  const ow_element_class kind = ow_element_class_of(want->dtype);
  double cosine = 1;
  if (kind == OW_ELEMENT_REAL) {
    compare_reals(want->dtype, want->data, got->data, tolerance, &f);
    cosine = cosine_of(&f);
  } else if (kind != OW_ELEMENT_OTHER) {
    compare_integers(want->dtype, want->data, got->data, &f);
    cosine = cosine_of(&f);
  } else if (want->dtype == ONWARD_STRING) {
    ok = compare_texts(want, got, &scratch, err);
    goto done;
  } else if (f.count > 0) { /* packed or small types: their bytes, one after the other */
    f.count = (int64_t)want->bytes;
    compare_bytes(1, want->data, got->data, &f);
    if (f.wrong > 0) {
      ok = ow_cmd_fail(err, ONWARD_DATA, "values: %lld of %lld bytes differ, first at byte %lld", (long long)f.wrong,
                       (long long)f.count, (long long)f.worst);
      goto done;
    }
  }
  const double right = (double)(f.count - f.wrong);
  if (f.wrong > 0 && right < ceil(tolerance->fraction * (double)f.count - 1e-9))
    ok = say_worst(want, got, tolerance, &f, &scratch, err);
  else if (tolerance->min_cosine >= -1 && !(cosine >= tolerance->min_cosine))
    ok = ow_cmd_fail(err, ONWARD_DATA, "values: cosine %.9g is below %.9g", cosine, tolerance->min_cosine);
done:
  ow_scratch_free(&scratch);
  return ok;
}
