/* RegexFullMatch (PCRE2 under match limits; the specification means RE2, whose expressions it takes) and StringNormalizer. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <inttypes.h>
#include <pcre2.h>
#include <utf8proc.h>

#include "ops/text_ops.h"

enum { MATCH_LIMIT = 1000000, DEPTH_LIMIT = 10000, HEAP_LIMIT_KIB = 65536 };

/* ---- RegexFullMatch --------------------------------------------------------------------------------------------------------------- */

typedef struct regex {
  pcre2_code *code;
  pcre2_match_context *context;
  pcre2_match_data *data;
} regex;

static onward_status infer_regex(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_STRING)));
  return ow_infer_same_shape(c, 0, 0, ONWARD_BOOL);
}

static void destroy_regex(void *state) {
  regex *const r = state;
  pcre2_match_data_free(r->data);
  pcre2_match_context_free(r->context);
  pcre2_code_free(r->code);
  *r = (regex){NULL, NULL, NULL};
}

static onward_status prepare_regex(const ow_args *a, void *state, size_t *workspace, onward_error *err) {
  (void)workspace;
  regex *const r = state;
  const char *const pattern = ow_node_string(a->node, "pattern", "");
  int code = 0;
  PCRE2_SIZE at = 0;
  pcre2_compile_context *const context = pcre2_compile_context_create(NULL);
  if (context) {
    (void)pcre2_set_parens_nest_limit(context, 64);
    r->code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C,
                      &code, &at, context);
    pcre2_compile_context_free(context);
    if (!r->code) {
      char text[128] = "";
      (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
      return ow_fail(err, ONWARD_MODEL, "attribute 'pattern': at %zu: %s", (size_t)at, text);
    }
    r->context = pcre2_match_context_create(NULL);
    r->data = pcre2_match_data_create(1, NULL);
  }
  if (!r->context || !r->data)
    return ow_fail(err, ONWARD_MEMORY, "no memory for the expression");
  (void)pcre2_set_match_limit(r->context, MATCH_LIMIT);
  (void)pcre2_set_depth_limit(r->context, DEPTH_LIMIT);
  (void)pcre2_set_heap_limit(r->context, HEAP_LIMIT_KIB);
  return ONWARD_OK;
}

static onward_status run_regex(const ow_args *a, void *state, onward_error *err) {
  const regex *const r = state;
  const int64_t count = ow_count(a->in[0]);
  for (int64_t i = 0; i < count; i++) {
    const char *const text = ow_text_at(a->in[0]->data, i);
    const int found = pcre2_match(r->code, (PCRE2_SPTR)text, strlen(text), 0, 0, r->data, r->context);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
      char why[128] = "";
      (void)pcre2_get_error_message(found, (PCRE2_UCHAR *)why, sizeof why);
      return ow_fail(err, ONWARD_DATA, "input 0 '%s': element %" PRId64 ": %s",
                     a->node->inputs[0] ? a->node->inputs[0]->name : "", i, why);
    }
    ((unsigned char *)a->out[0]->data)[i] = found >= 0;
  }
  return ONWARD_OK;
}

/* ---- StringNormalizer ---------------------------------------------------------------------------------------------------------------- */

static utf8proc_int32_t same_case(utf8proc_int32_t c) { return c; }
typedef utf8proc_int32_t (*case_fn)(utf8proc_int32_t);

/* One character of text in another case; bytes that are no UTF-8 stay. */
static size_t next_char(const char **text, case_fn to, utf8proc_uint8_t out[4]) {
  utf8proc_int32_t c;
  const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)*text, -1, &c);
  if (n <= 0) {
    out[0] = (utf8proc_uint8_t) * (*text)++;
    return 1;
  }
  *text += n;
  return (size_t)utf8proc_encode_char(to(c), out);
}

static bool equal_in(const char *a, const char *b, case_fn to) {
  utf8proc_uint8_t x[4], y[4];
  while (*a && *b) {
    const size_t n = next_char(&a, to, x);
    if (n != next_char(&b, to, y) || memcmp(x, y, n) != 0)
      return false;
  }
  return *a == *b;
}

static bool is_stopword(const ow_node *node, const char *text) {
  const ow_attr *const words = ow_node_attr(node, "stopwords");
  const case_fn to = ow_node_int(node, "is_case_sensitive", 0) ? same_case : utf8proc_tolower;
  for (size_t i = 0; words && i < words->count; i++)
    if (equal_in(text, words->strings[i], to))
      return true;
  return false;
}

static int64_t count_kept(const ow_node *node, const onward_tensor *t) {
  int64_t kept = 0;
  const int64_t count = ow_count(t);
  for (int64_t i = 0; i < count; i++)
    kept += !is_stopword(node, ow_text_at(t->data, i));
  return kept;
}

static onward_status infer_normalizer(ow_infer *c) {
  OW_TRY(ow_infer_types(c, 0, OW_BIT(ONWARD_STRING)));
  const char *const action = ow_node_string(c->node, "case_change_action", "NONE");
  if (strcmp(action, "NONE") != 0 && strcmp(action, "LOWER") != 0 && strcmp(action, "UPPER") != 0)
    return ow_infer_fail(c, ONWARD_MODEL, "case_change_action is '%s', want LOWER, UPPER or NONE", action);
  OW_TRY(ow_infer_rank(c, 0, 1, 2));
  ow_shape out = c->in[0].shape;
  if (out.rank < 0)
    return ow_infer_unknown(c, 0, ONWARD_STRING, -1, NULL);
  if (out.rank == 2)
    OW_TRY(ow_infer_equal(c, out.dims[0], ow_dim_const(1), "rows"));
  const onward_tensor *const data = c->data ? c->data[0] : NULL;
  const int64_t kept = data ? count_kept(c->node, data) : -1;
  out.dims[out.rank - 1] = data ? ow_dim_const(kept > 0 ? kept : 1) : ow_dim_unknown();
  return data ? ow_infer_set(c, 0, ONWARD_STRING, out.rank, out.dims)
              : ow_infer_unknown(c, 0, ONWARD_STRING, out.rank, out.dims);
}

static const char *changed(const ow_args *a, const char *text, case_fn to, onward_error *err) {
  utf8proc_uint8_t c[4];
  size_t size = 0;
  for (const char *p = text; *p;)
    size += next_char(&p, to, c);
  char *const out = ow_texts_room(a->texts, size, err);
  size = 0;
  for (const char *p = text; out && *p;) {
    const size_t n = next_char(&p, to, c);
    memcpy(out + size, c, n);
    size += n;
  }
  return out;
}

static onward_status run_normalizer(const ow_args *a, void *state, onward_error *err) {
  (void)state;
  const onward_tensor *const in = a->in[0], *const out = a->out[0];
  const int64_t kept = count_kept(a->node, in), count = ow_count(in);
  if (ow_count(out) != (kept > 0 ? kept : 1))
    return ow_node_fail(a->node, err, ONWARD_INTERNAL, "the data changed after it was counted");
  const char *const action = ow_node_string(a->node, "case_change_action", "NONE");
  const case_fn to = strcmp(action, "LOWER") == 0   ? utf8proc_tolower
                     : strcmp(action, "UPPER") == 0 ? utf8proc_toupper
                                                    : same_case;
  ((const char **)out->data)[0] = ""; /* when nothing is kept */
  for (int64_t i = 0, at = 0; i < count; i++) {
    const char *const text = ow_text_at(in->data, i);
    if (is_stopword(a->node, text))
      continue;
    const char *const made = changed(a, text, to, err);
    if (!made)
      return err ? err->status : ONWARD_MEMORY;
    ((const char **)out->data)[at++] = made;
  }
  return ONWARD_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------------------- */

static const ow_kernel regex_kernel = {.name = "regex_reference",
                                       .state_size = sizeof(regex),
                                       .prepare = prepare_regex,
                                       .run = run_regex,
                                       .destroy = destroy_regex};
static const ow_kernel normalizer_kernel = {.name = "string_normalizer_reference", .run = run_normalizer};
static const ow_kernel *const regex_kernels[] = {&regex_kernel, NULL};
static const ow_kernel *const normalizer_kernels[] = {&normalizer_kernel, NULL};
static const ow_attr_spec regex_attrs[] = {{"pattern", OW_ATTR_STRING, true}, {NULL, OW_ATTR_NONE, false}};
static const ow_attr_spec normalizer_attrs[] = {{"case_change_action", OW_ATTR_STRING, false},
                                                {"is_case_sensitive", OW_ATTR_INT, false},
                                                {"locale", OW_ATTR_STRING, false},
                                                {"stopwords", OW_ATTR_STRINGS, false},
                                                {NULL, OW_ATTR_NONE, false}};

const ow_op ow_ops_text_match[] = {
    {.domain = "",
     .name = "RegexFullMatch",
     .since = 20,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = regex_attrs,
     .infer = infer_regex,
     .kernels = regex_kernels},
    {.domain = "",
     .name = "StringNormalizer",
     .since = 10,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .attrs = normalizer_attrs,
     .infer = infer_normalizer,
     .kernels = normalizer_kernels},
    {.name = NULL},
};
