#include "text/pattern_syntax.h"

#include <stdio.h>

/* Scripts, as far as both sides know them. */
static const char scripts[] =
    "Adlam,Ahom,Anatolian_Hieroglyphs,Arabic,Armenian,Avestan,Balinese,Bamum,Bassa_Vah,Batak,Bengali,Bhaiksuki,"
    "Bopomofo,"
    "Brahmi,Braille,Buginese,Buhid,Canadian_Aboriginal,Carian,Caucasian_Albanian,Chakma,Cham,Cherokee,Common,Coptic,"
    "Cuneiform,Cypriot,Cyrillic,Deseret,Devanagari,Duployan,Egyptian_Hieroglyphs,Elbasan,Ethiopic,Georgian,Glagolitic,"
    "Gothic,Grantha,Greek,Gujarati,Gurmukhi,Han,Hangul,Hanunoo,Hatran,Hebrew,Hiragana,Imperial_Aramaic,Inherited,"
    "Inscriptional_Pahlavi,Inscriptional_Parthian,Javanese,Kaithi,Kannada,Katakana,Kayah_Li,Kharoshthi,Khmer,Khojki,"
    "Khudawadi,Lao,Latin,Lepcha,Limbu,Linear_A,Linear_B,Lisu,Lycian,Lydian,Mahajani,Malayalam,Mandaic,Manichaean,"
    "Marchen,"
    "Meetei_Mayek,Mende_Kikakui,Meroitic_Cursive,Meroitic_Hieroglyphs,Miao,Modi,Mongolian,Mro,Multani,Myanmar,"
    "Nabataean,"
    "New_Tai_Lue,Newa,Nko,Ogham,Ol_Chiki,Old_Hungarian,Old_Italic,Old_North_Arabian,Old_Permic,Old_Persian,"
    "Old_South_Arabian,Old_Turkic,Oriya,Osage,Osmanya,Pahawh_Hmong,Palmyrene,Pau_Cin_Hau,Phags_Pa,Phoenician,"
    "Psalter_Pahlavi,Rejang,Runic,Samaritan,Saurashtra,Sharada,Shavian,Siddham,SignWriting,Sinhala,Sora_Sompeng,"
    "Sundanese,"
    "Syloti_Nagri,Syriac,Tagalog,Tagbanwa,Tai_Le,Tai_Tham,Tai_Viet,Takri,Tamil,Tangut,Telugu,Thaana,Thai,Tibetan,"
    "Tifinagh,"
    "Tirhuta,Ugaritic,Vai,Warang_Citi,Yi";

static const char space_set[] = "\\p{White_Space}", word_set[] = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}",
                  hex_set[] = "0-9A-Fa-f";

static bool is_script(const char *name, size_t length) {
  for (const char *at = scripts; *at; at += *at == ',') {
    const size_t n = strcspn(at, ",");
    if (n == length && memcmp(at, name, n) == 0)
      return true;
    at += n;
  }
  return false;
}

void ow_pattern_scripts(ow_bytes *out) {
  static const char han[] = "\\p{sc:Han}\\p{sc:Hiragana}\\p{sc:Katakana}\\x{30FC}", blank[] = " \\p{sc:Unknown}";
  char text[256];
  int n = snprintf(text, sizeof text, "[%s][%s%s]*+", han, han, blank);
  ow_bytes_add(out, text, (size_t)n);
  for (const char *at = scripts; *at; at += *at == ',') {
    const int length = (int)strcspn(at, ",");
    if (length == 6 && memcmp(at, "Common", 6) == 0) /* U+30FC is common, but stands for Han here */
      n = snprintf(text, sizeof text,
                   "|[^\\P{sc:Common} \\x{30FC}](?:[^\\P{sc:Common}\\x{30FC}]++|\\p{sc:Unknown}++)*+");
    else
      n = snprintf(text, sizeof text, "|\\p{sc:%.*s}[\\p{sc:%.*s}%s]*+", length, at, length, at, blank);
    ow_bytes_add(out, text, (size_t)n);
    at += length;
  }
  ow_bytes_add(out, "", 1);
}

enum { GROUPS_MAX = 64, EXPRESSION_MAX = 65535 };

typedef struct scan {
  const char *text, *path;
  size_t at, classes; /* how deep in [...] */
  ow_bytes *out;
  size_t atom; /* where in out the last thing begins that a quantifier would repeat */
  size_t groups[GROUPS_MAX], depth;
} scan;

static void put(scan *s, const char *text) { ow_bytes_add(s->out, text, strlen(text)); }

static onward_status unsupported(const scan *s, const char *what, onward_error *err) {
  return ow_fail(err, ONWARD_UNSUPPORTED, "%s: at %zu of the expression: %s", s->path, s->at, what);
}

/* A set, inside or outside of [...] */
static onward_status put_set(scan *s, const char *set, bool negative, onward_error *err) {
  if (s->classes == 0) {
    put(s, negative ? "[^" : "[");
    put(s, set);
    put(s, "]");
  } else if (!negative) {
    put(s, set);
  } else {
    return unsupported(s, "a negated set in a set is not supported", err);
  }
  return ONWARD_OK;
}

static onward_status escape(scan *s, onward_error *err) {
  const char *const t = s->text + s->at;
  char text[64];
  size_t n = 2;
  onward_status status = ONWARD_OK;
  switch (t[1]) {
    case '\0': return unsupported(s, "it ends with \\", err);
    case 's': put(s, space_set); break;
    case 'S': put(s, "\\P{White_Space}"); break;
    case 'w':
    case 'W': status = put_set(s, word_set, t[1] == 'W', err); break;
    case 'h':
    case 'H': status = put_set(s, hex_set, t[1] == 'H', err); break;
    case 'p':
    case 'P': {
      const size_t end = t[2] == '{' ? strcspn(t, "}") : 0, not = end && t[3] == '^';
      if (end > 4 && end < 40 && t[end] && is_script(t + 3 + not, end - 3 - not )) {
        (void)snprintf(text, sizeof text, "\\%c{sc:%.*s}", (t[1] == 'P') != not ? 'P' : 'p', (int)(end - 3 - not ),
                       t + 3 + not );
        put(s, text);
        n = end + 1;
      } else {
        n = end && t[end] ? end + 1 : 2;
        ow_bytes_add(s->out, t, n);
      }
      break;
    }
    case 'u':
      if (strspn(t + 2, "0123456789ABCDEFabcdef") < 4)
        return unsupported(s, "want four hexadecimal digits after \\u", err);
      (void)snprintf(text, sizeof text, "\\x{%.4s}", t + 2);
      put(s, text);
      n = 6;
      break;
    case 'Q': /* begins and ends a quotation in PCRE2 only */
    case 'E': ow_bytes_add(s->out, t + 1, 1); break;
    default: ow_bytes_add(s->out, t, n);
  }
  s->at += n;
  return status;
}

static onward_status in_class(scan *s, onward_error *err) {
  const char *const t = s->text + s->at;
  size_t n = 1;
  if (t[0] == '[' && t[1] == ':' && strstr(t, ":]")) {
    n = (size_t)(strstr(t, ":]") - t) + 2;
    ow_bytes_add(s->out, t, n);
  } else if (t[0] == '[') { /* a set in a set: their union */
    if (t[1] == '^')
      return unsupported(s, "a negated set in a set is not supported", err);
    s->classes++;
  } else if (t[0] == ']') {
    if (--s->classes == 0)
      put(s, "]");
  } else if (t[0] == '&' && t[1] == '&') {
    return unsupported(s, "&& is not supported", err);
  } else {
    ow_bytes_add(s->out, t, n);
  }
  s->at += n;
  return ONWARD_OK;
}

/* (?flags: and (?flags), where m means that a dot takes newlines too. */
static size_t flags(const char *t) {
  const size_t n = t[1] == '?' ? strspn(t + 2, "imx-") : 0;
  return n > 0 && (t[2 + n] == ':' || t[2 + n] == ')') ? n : 0;
}

static onward_status outside(scan *s, onward_error *err) {
  const char *const t = s->text + s->at;
  size_t n = 1, digits;
  switch (t[0]) {
    case '[':
      s->atom = s->out->length;
      s->classes = 1;
      put(s, t[1] == '^' ? "[^" : "[");
      n = t[1] == '^' ? 2 : 1;
      if (t[n] == ']') { /* the first one is a letter */
        put(s, "\\]");
        n++;
      }
      break;
    case '(':
      if (t[1] == '*')
        return unsupported(s, "(* is not supported", err);
      if (t[1] == '?' && flags(t) == 0 && !(t[2] && strchr(":=!><#", t[2])))
        return unsupported(s, "this kind of group is not supported",
                           err); /* PCRE2's recursion, callouts and the like */
      if (s->depth == GROUPS_MAX)
        return unsupported(s, "more than 64 groups in each other", err);
      n = flags(t);
      if (n == 0 || t[2 + n] == ':')
        s->groups[s->depth++] = s->out->length;
      put(s, n ? "(?" : "(");
      for (size_t i = 0; i < n; i++)
        ow_bytes_add(s->out, t[2 + i] == 'm' ? "s" : t + 2 + i, 1);
      if (n > 0)
        ow_bytes_add(s->out, t + 2 + n, 1);
      n = n ? n + 3 : 1;
      break;
    case ')':
      if (s->depth > 0)
        s->atom = s->groups[--s->depth];
      put(s, ")");
      break;
    case '{':
      digits = 1 + strspn(t + 1, "0123456789,");
      if (digits > 1 && t[digits] == '}' && t[digits + 1] == '+') { /* greedy and repeated, not possessive */
        const size_t tail = s->out->length - s->atom;
        put(s, "(?:");
        if (s->out->failed)
          break;
        memmove(s->out->data + s->atom + 3, s->out->data + s->atom, tail);
        memcpy(s->out->data + s->atom, "(?:", 3);
        ow_bytes_add(s->out, t, digits + 1);
        put(s, ")+");
        n = digits + 2;
        break;
      }
      n = digits > 1 && t[digits] == '}' ? digits + 1 : 1;
      ow_bytes_add(s->out, t, n);
      break;
    case '*':
    case '+':
    case '?':
    case '|': ow_bytes_add(s->out, t, 1); break;
    default:
      if (((unsigned char)t[0] & 0xC0) != 0x80)
        s->atom = s->out->length;
      ow_bytes_add(s->out, t, 1);
  }
  s->at += n;
  return ONWARD_OK;
}

onward_status ow_pattern_translate(const char *expression, const char *path, ow_bytes *out, onward_error *err) {
  scan s = {.text = expression, .path = path, .out = out};
  if (strlen(expression) > EXPRESSION_MAX)
    return ow_fail(err, ONWARD_LIMIT, "%s: an expression of more than %d bytes", path, EXPRESSION_MAX);
  while (expression[s.at] && !out->failed) {
    if (expression[s.at] == '\\') {
      if (s.classes == 0)
        s.atom = out->length;
      OW_TRY(escape(&s, err));
    } else {
      OW_TRY(s.classes > 0 ? in_class(&s, err) : outside(&s, err));
    }
  }
  ow_bytes_add(out, "", 1);
  return ONWARD_OK;
}
