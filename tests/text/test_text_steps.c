/* Normalisers, pre-tokenisers and decoders one by one; what is wanted follows from the documentation of the tokenizers package. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/text_steps.h"
#include "text/token_decoder.h"

enum { NORMAL, PRE, DECODER };

typedef struct step_case {
  const char *json, *text, *want; /* tokens and pieces parted by | */
} step_case;

static void join(const ow_pieces *p, ow_bytes *out) {
  for (size_t i = 0; i < p->count; i++) {
    ow_bytes_add(out, "|", i > 0);
    ow_bytes_add(out, ow_piece_text(p, i), p->items[i].length);
  }
  ow_bytes_add(out, "", 1);
  assert_false(out->failed);
}

static void run(int kind, const step_case *c) {
  cJSON *tree = NULL;
  onward_error err = {0};
  ow_steps steps = {.count = 0};
  ow_decoders decoders = {.count = 0};
  ow_pieces pieces = {0};
  ow_bytes got = {0};
  if (ow_json_parse(c->json, strlen(c->json), &tree, &err))
    fail_msg("%s: %s", c->json, err.message);
  const ow_node node = {tree, "step"};
  onward_status s = kind == NORMAL ? ow_steps_read_normalizer(&steps, &node, &err)
                    : kind == PRE  ? ow_steps_read_pre_tokenizer(&steps, &node, &err)
                                   : ow_decoders_read(&decoders, &node, &err);
  const char *at = c->text;
  for (bool more = true; more;) {
    const size_t length = kind == DECODER ? strcspn(at, "|") : strlen(at);
    ow_pieces_add(&pieces, (ow_piece){pieces.text.length, length, -1, pieces.count == 0});
    ow_bytes_add(&pieces.text, at, length);
    more = at[length] != '\0';
    at += length + more;
  }
  if (!s)
    s = kind == DECODER ? ow_decoders_run(&decoders, &pieces, &err) : ow_steps_run(&steps, &pieces, &err);
  if (s)
    fail_msg("%s: %s", c->json, err.message);
  join(&pieces, &got);
  if (strcmp(got.data, c->want) != 0)
    fail_msg("%s of '%s': got '%s' want '%s'", c->json, c->text, got.data, c->want);
  ow_bytes_free(&got);
  ow_pieces_free(&pieces);
  ow_steps_free(&steps);
  for (size_t i = 0; i < decoders.count; i++)
    ow_pattern_free(&decoders.items[i].pattern);
  cJSON_Delete(tree);
}

#define RUN_ALL(kind, cases)                                \
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) \
  run(kind, &cases[i])

static void test_normalizers(void **state) {
  (void)state;
  static const step_case cases[] = {
      {"{\"type\":\"Nmt\"}",
       "a\x01\tb\x7F\xE2\x80\x8B"
       "c\xC2\xA0",
       "a b c\xC2\xA0"},
      {"{\"type\":\"ByteLevel\"}", "\xC3\xA9 ", "\xC3\x83\xC2\xA9\xC4\xA0"},
      {"{\"type\":\"NFC\"}", "e\xCC\x81", "\xC3\xA9"},
      {"{\"type\":\"NFKD\"}", "\xEF\xAC\x81\xC3\xA9", "fie\xCC\x81"},
      {"{\"type\":\"StripAccents\"}", "e\xCC\x81\xC3\xA9", "e\xC3\xA9"},
      {"{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":false}", " \t a\xE3\x80\x80", "a\xE3\x80\x80"},
      {"{\"type\":\"Strip\",\"strip_left\":false,\"strip_right\":true}", " a\xE3\x80\x80 ", " a"},
      {"{\"type\":\"Prepend\",\"prepend\":\"_\"}", "a", "_a"},
      {"{\"type\":\"Replace\",\"pattern\":{\"String\":\"``\"},\"content\":\"''\"}", "``a```", "''a''`"},
      {"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}", "a   b c  ", "a b c "},
      {"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"^\"},\"content\":\"_\"}", "ab", "_ab"},
      {"{\"type\":\"Lowercase\"}", "\xC3\x84\xC4\xB0\xE1\xBA\x9E", "\xC3\xA4i\xCC\x87\xC3\x9F"},
      {"{\"type\":\"BertNormalizer\"}",
       "\xC3\x89"
       "a\xE4\xB8\x96\x01\xC2\xA0",
       "ea \xE4\xB8\x96  "},
      {"{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":false}", "\xC3\x89", "\xC3\xA9"},
      {"{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"},{\"type\":\"Prepend\",\"prepend\":\"A\"}]}",
       "B", "Ab"},
  };
  RUN_ALL(NORMAL, cases);
}

#define SPLIT(behavior) \
  "{\"type\":\"Split\",\"pattern\":{\"String\":\"-\"},\"invert\":false,\"behavior\":\"" behavior "\"}"
#define META "\xE2\x96\x81"

static void test_pre_tokenizers(void **state) {
  (void)state;
  static const step_case cases[] = {
      {SPLIT("Removed"), "the-final--countdown", "the|final|countdown"},
      {SPLIT("Isolated"), "the-final--countdown", "the|-|final|-|-|countdown"},
      {SPLIT("MergedWithPrevious"), "the-final--countdown", "the-|final-|-|countdown"},
      {SPLIT("MergedWithNext"), "the-final--countdown", "the|-final|-|-countdown"},
      {SPLIT("Contiguous"), "the-final--countdown", "the|-|final|--|countdown"},
      {"{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\w+\"},\"invert\":true,\"behavior\":\"Removed\"}",
       "a e\xCC\x81_1!b", "a|e\xCC\x81_1|b"},
      {"{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?=[A-Z])\"},\"invert\":false,\"behavior\":\"Isolated\"}",
       "oneTwoThree", "one|Two|Three"},
      {"{\"type\":\"Split\",\"pattern\":{\"Regex\":\" "
       "?[^(\\\\s|[.,!])]+\"},\"invert\":false,\"behavior\":\"Isolated\"}",
       "a b, (c", "a| b|, (|c"},
      {"{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\d{1,3}+|\\\\h\"},\"invert\":false,\"behavior\":\"Isolated\"}",
       "x12345Fx", "x|12345|F|x"},
      {"{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{Han}\"},\"invert\":false,\"behavior\":\"Isolated\"}",
       "a\xE4\xB8\x96\xE3\x80\x82", "a|\xE4\xB8\x96|\xE3\x80\x82"},
      {"{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?m:a.)\"},\"invert\":false,\"behavior\":\"Isolated\"}", "xa\nb",
       "x|a\n|b"},
      {"{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"x\"}", "axbxxc", "a|b|c"},
      {"{\"type\":\"FixedLength\",\"length\":2}",
       "ab\xC3\xA9"
       "cd",
       "ab|\xC3\xA9"
       "c|d"},
      {"{\"type\":\"Digits\",\"individual_digits\":true}", "a12b", "a|1|2|b"},
      {"{\"type\":\"Digits\",\"individual_digits\":false}", "a12b", "a|12|b"},
      {"{\"type\":\"Punctuation\",\"behavior\":\"Isolated\"}", "a.,b", "a|.|,|b"},
      {"{\"type\":\"Whitespace\"}", "a b.,\xC3\xA9", "a|b|.,|\xC3\xA9"},
      {"{\"type\":\"WhitespaceSplit\"}",
       " a b., \xE3\x80\x80"
       "c",
       "a|b.,|c"},
      {"{\"type\":\"BertPreTokenizer\"}", "Hey, you!", "Hey|,|you|!"},
      {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", "it's 12",
       "\xC4\xA0it|'s|\xC4\xA0"
       "12"},
      {"{\"type\":\"UnicodeScripts\"}", " ab 1\xE3\x81\x8B\xE3\x83\xBC\xE4\xB8\x96\xD0\xB6",
       "ab |1|\xE3\x81\x8B\xE3\x83\xBC\xE4\xB8\x96|\xD0\xB6"},
      {"{\"type\":\"Metaspace\",\"replacement\":\"" META "\",\"prepend_scheme\":\"always\"}", "a b",
       META "a|" META "b"},
      {"{\"type\":\"Metaspace\",\"replacement\":\"" META "\",\"prepend_scheme\":\"always\",\"split\":false}", "a b",
       META "a" META "b"},
      {"{\"type\":\"Metaspace\",\"replacement\":\"" META "\",\"prepend_scheme\":\"never\"}", "a b", "a|" META "b"},
      {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"x\"},{\"type\":"
       "\"Metaspace\",\"replacement\":\"" META "\",\"prepend_scheme\":\"first\"}]}",
       "axb", META "a|b"},
  };
  RUN_ALL(PRE, cases);
}

static void test_decoders(void **state) {
  (void)state;
  static const step_case cases[] = {
      {"{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}", "he|llo</w>|you</w>", "he|llo |you"},
      {"{\"type\":\"CTC\",\"pad_token\":\"<pad>\",\"word_delimiter_token\":\"_\",\"cleanup\":true}",
       "<pad>|h|h|e|<pad>|l|l|<pad>|l|o|_|_|a|.", "h|e|l|l|o| |a|."},
      {"{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}", "a|##b|c|.|do|not", "a|b| c|.| do| not"},
      {"{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":false}", "a|.", "a| ."},
      {"{\"type\":\"Metaspace\",\"replacement\":\"" META "\",\"prepend_scheme\":\"always\"}", META "a|" META "b",
       "a| b"},
      {"{\"type\":\"Metaspace\",\"replacement\":\"" META "\",\"prepend_scheme\":\"never\"}", META "a|" META "b",
       " a| b"},
      {"{\"type\":\"ByteFallback\"}", "a|<0xC3>|<0xA9>|<0xFF>b|<0xC3>", "a|\xC3\xA9|<0xFF>b|\xEF\xBF\xBD"},
      {"{\"type\":\"Fuse\"}", "a|b", "ab"},
      {"{\"type\":\"Strip\",\"content\":\"_\",\"start\":1,\"stop\":2}", "__a___|b", "_a_|b"},
      {"{\"type\":\"Replace\",\"pattern\":{\"String\":\"_\"},\"content\":\" \"}", "a_|_b", "a | b"},
      {"{\"type\":\"ByteLevel\"}",
       "\xC4\xA0"
       "a|\xC3\x83|\xC2\xA9",
       " a\xC3\xA9"},
      {"{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"_\"},\"content\":\" "
       "\"},{\"type\":\"Fuse\"},"
       "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}",
       "_a|_b", "a b"},
  };
  RUN_ALL(DECODER, cases);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_normalizers), cmocka_unit_test(test_pre_tokenizers),
                                     cmocka_unit_test(test_decoders)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
