/* tokenizer.json files and texts that mean harm. ONWARD_TEXT_MIB=100 makes the long texts so long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after these */
#include <cmocka.h>

#include "faults/hostile.h"
#include "tests/text/small_tokenizers.h"
#include "text/tokenizer.h"

#define BPE(vocab, merges) "{\"model\":{\"type\":\"BPE\",\"vocab\":{" vocab "},\"merges\":[" merges "]}}"
#define WITH(more) "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}," more "}"
#define TEMPLATE(single, special)                                                \
  WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" single \
       "],\"pair\":[],\"special_tokens\":{" special "}}")

static onward_tokenizer *load(const char *json) {
  onward_tokenizer *t = NULL;
  onward_error err = {0};
  if (onward_tokenizer_load_memory(json, strlen(json), &t, &err))
    fail_msg("%s", err.message);
  return t;
}

static void refused(const char *json, size_t size, onward_status status, const char *says) {
  onward_tokenizer *t = NULL;
  onward_error err = {0};
  const onward_status s = onward_tokenizer_load_memory(json, size, &t, &err);
  if (s != status || !strstr(err.message, says) || t)
    fail_msg("'%.80s': got %s '%s', want %s and '%s'", json, onward_status_name(s), err.message,
             onward_status_name(status), says);
}

#define EXPRESSION(text) \
  WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" text "\"},\"behavior\":\"Isolated\"}")
#define BERT(sep, cls) WITH("\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":" sep ",\"cls\":" cls "}")
#define TRUNCATION(text) WITH("\"truncation\":{" text "}")
#define PADDING(text) WITH("\"padding\":{" text "}")

static const struct {
  const char *json;
  onward_status status;
  const char *says;
} cases[] = {
    /* not JSON, or not clean */
    {" \n\t", ONWARD_FORMAT, "not JSON"},
    {"hello", ONWARD_FORMAT, "line 1 column 1: not JSON"},
    {"version https://git-lfs.github.com/spec/v1\n", ONWARD_FORMAT, "line 1 column 1: not JSON"},
    {"\xEF\xBB\xBF{}", ONWARD_FORMAT, "line 1 column 1: a byte order mark"},
    {"{\"a\":\"\\u12G4\"}", ONWARD_FORMAT, "line 1 column 7: want four hexadecimal digits"},
    {"{\"a\":\n1,}", ONWARD_FORMAT, "line 2 column 3: not JSON"},
    {"{\"a\":NaN}", ONWARD_FORMAT, "line 1 column 6: not JSON"},
    {"{'a':1}", ONWARD_FORMAT, "not JSON"},
    {"{\"a\":\"\\udc00\\ud800\"}", ONWARD_FORMAT, "lone surrogate"},
    {"{\"a\":\"\\ud800\\u0041\"}", ONWARD_FORMAT, "lone surrogate"},
    {"{\"a\":\"\\ud800\"}", ONWARD_FORMAT, "lone surrogate"},
    {"{\"a\":-1e999}", ONWARD_FORMAT, "a: a number that is too large"},
    {"{\"a\":[1,[2e400]]}", ONWARD_FORMAT, "a list: a number that is too large"},
    {"null", ONWARD_FORMAT, "want an object"},
    {"{\"model\":null}", ONWARD_FORMAT, "model: want an object"},
    {"{\"model\":{\"type\":5}}", ONWARD_FORMAT, "model.type: want a string"},
    {"{\"model\":{\"type\":\"Odd\",\"vocab\":{}}}", ONWARD_UNSUPPORTED, "'Odd'"},
    {"{", ONWARD_FORMAT, "line 1 column 2: not JSON: it ends too early"},
    {"", ONWARD_FORMAT, "line 1 column 1: not JSON: it ends too early"},
    {"{\"a\"}", ONWARD_FORMAT, "line 1 column 5: not JSON: want ':'"},
    {"{\"a\":}", ONWARD_FORMAT, "line 1 column 6: not JSON: want a value"},
    {"{\"a\":1,}", ONWARD_FORMAT, "line 1 column 8: not JSON: want a key"},
    {"{a:1}", ONWARD_FORMAT, "line 1 column 2: not JSON: want a key"},
    {"{\"a\":1]", ONWARD_FORMAT, "line 1 column 7: not JSON: want ',' or '}'"},
    {"[1 2]", ONWARD_FORMAT, "line 1 column 4: not JSON: want ',' or ']'"},
    {"[1,]", ONWARD_FORMAT, "line 1 column 4: not JSON: want a value"},
    {"[01]", ONWARD_FORMAT, "line 1 column 2: not JSON: want a value"},
    {"[1.]", ONWARD_FORMAT, "line 1 column 2: not JSON: want a value"},
    {"[1e+]", ONWARD_FORMAT, "line 1 column 2: not JSON: want a value"},
    {"[nul]", ONWARD_FORMAT, "line 1 column 2: not JSON: want a value"},
    {"[1000000000000000000000000000000000000000000000000000000000000000]", ONWARD_FORMAT, "more than 63 characters"},
    {"[\"\\q\"]", ONWARD_FORMAT, "line 1 column 3: want one of"},
    {"[[{\"a\":[true,false,null,-0.5e-3,{}]}]]", ONWARD_FORMAT, "want an object"}, /* well-formed */
    {"{\"a\":\n\"\x01\"}", ONWARD_FORMAT, "line 2 column 2: control character"},
    {"{\"a\":\"\xFF\"}", ONWARD_FORMAT, "line 1 column 7: invalid UTF-8"},
    {"{\"a\":\"\\u0000\"}", ONWARD_FORMAT, "U+0000"},
    {"{\"a\":\"\\udc00\"}", ONWARD_FORMAT, "lone surrogate"},
    {"{\"a\":\"\\ud800x\"}", ONWARD_FORMAT, "lone surrogate"},
    {"{\"a\":1e999}", ONWARD_FORMAT, "a: a number that is too large"},
    {"{} {}", ONWARD_FORMAT, "text after"},
    {"[]", ONWARD_FORMAT, "want an object"},
    {"{\"model\":[]}", ONWARD_FORMAT, "model: want an object"},
    {"{\"model\":{\"type\":\"BPE\",\"type\":\"BPE\"}}", ONWARD_FORMAT, "model.type: this key stands twice"},
    {"{\"model\":{\"type\":\"BPE\",\"typo\":1}}", ONWARD_UNSUPPORTED, "model.typo"},
    /* vocabularies */
    {BPE("\"a\":0,\"a\":1", ""), ONWARD_FORMAT, "model.vocab.a: this key stands twice"},
    {BPE("\"a\":0,\"b\":0", ""), ONWARD_FORMAT, "id 0 is that of 'a' and of 'b'"},
    {BPE("\"a\":-1", ""), ONWARD_FORMAT, "model.vocab.a"},
    {BPE("\"a\":0.5", ""), ONWARD_FORMAT, "model.vocab.a"},
    {BPE("\"a\":\"0\"", ""), ONWARD_FORMAT, "model.vocab.a"},
    {BPE("\"a\":2147483648", ""), ONWARD_FORMAT, "model.vocab.a"},
    {BPE("\"a\":16000000", ""), ONWARD_FORMAT, "model.vocab.a"}, /* more memory than the file's size explains */
    {BPE("\"a\":0", "\"a b\""), ONWARD_FORMAT, "model.merges[0]: 'b'"},
    {BPE("\"a\":0,\"b\":1", "\"a b\""), ONWARD_FORMAT, "model.merges[0]: 'the merged token'"},
    {BPE("\"a\":0", "\"a\""), ONWARD_FORMAT, "model.merges[0]: want two tokens"},
    {BPE("\"a\":0", "[\"a\"]"), ONWARD_FORMAT, "model.merges[0]: want two tokens"},
    {BPE("\"a\":0", "[\"a\",1]"), ONWARD_FORMAT, "model.merges[0]: want two tokens"},
    {"{\"model\":{\"type\":\"BPE\",\"continuing_subword_prefix\":\"####\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":["
     "\"a b\"]}}",
     ONWARD_FORMAT, "model.merges[0]"},
    {"{\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{},\"merges\":[]}}", ONWARD_UNSUPPORTED, "model.dropout"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1]],\"unk_id\":1}}", ONWARD_FORMAT, "model.unk_id"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", ONWARD_FORMAT, "model.vocab[0]"},
    {"{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"vocab\":{\"a\":0}}}", ONWARD_FORMAT, "model.unk_token"},
    {BPE("\"a\":1e999", ""), ONWARD_FORMAT, "a: a number that is too large"},
    {BPE("\"a\":1e18", ""), ONWARD_FORMAT, "model.vocab.a: want an id in [0,"},
    {BPE("\"a\":2147483647", ""), ONWARD_FORMAT, "model.vocab.a: want an id in [0,"},
    {BPE("\"a\":18446744073709551616", ""), ONWARD_FORMAT, "model.vocab.a: want an id in [0,"},
    {BPE("\"a\":0", "\" \""), ONWARD_FORMAT, "model.merges[0]"},
    {BPE("\"a\":0", "\"a b c\""), ONWARD_FORMAT, "model.merges[0]: want two tokens"},
    {BPE("\"a\":0", "null"), ONWARD_FORMAT, "model.merges[0]: want two tokens"},
    {BPE("\"a\":0,\"b\":1,\"ab\":2,\"c\":3", "\"a b\",\"ab c\""), ONWARD_FORMAT, "model.merges[1]: 'the merged token'"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}}", ONWARD_FORMAT, "model.vocab: want an object"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":{}}}", ONWARD_FORMAT, "model.merges: want a list"},
    {"{\"model\":{\"type\":\"BPE\",\"unk_token\":\"z\",\"vocab\":{\"a\":0},\"merges\":[]}}", ONWARD_FORMAT,
     "model.unk_token: 'z'"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",1e999]],\"unk_id\":0}}", ONWARD_FORMAT, "too large"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1]],\"unk_id\":-1}}", ONWARD_FORMAT,
     "model.unk_id: want an integer in [0,0]"},
    /* special tokens and templates */
    {WITH("\"added_tokens\":[{\"id\":1e18,\"content\":\"x\"}]"), ONWARD_FORMAT, "added_tokens[0].id: want an integer"},
    {WITH("\"added_tokens\":[{\"id\":-1,\"content\":\"x\"}]"), ONWARD_FORMAT, "added_tokens[0].id: want an integer"},
    {WITH("\"added_tokens\":[{\"id\":0.5,\"content\":\"x\"}]"), ONWARD_FORMAT, "added_tokens[0].id: want an integer"},
    {WITH("\"added_tokens\":[{\"id\":\"1\",\"content\":\"x\"}]"), ONWARD_FORMAT, "added_tokens[0].id: want an integer"},
    {WITH("\"added_tokens\":[{\"id\":1}]"), ONWARD_FORMAT, "added_tokens[0]: want content and id"},
    {WITH("\"added_tokens\":[5]"), ONWARD_FORMAT, "added_tokens[0]: want an object"},
    {BERT("[\"a\",0]", "[\"a\",7]"), ONWARD_FORMAT, "post_processor.cls: 'a' is 0 in the vocabulary, not 7"},
    {BERT("[\"a\",-1]", "[\"a\",0]"), ONWARD_FORMAT, "post_processor.sep: 'a' is 0 in the vocabulary, not -1"},
    {BERT("[\"a\",1e300]", "[\"a\",0]"), ONWARD_FORMAT, "post_processor.sep: 'a' is 0 in the vocabulary, not 1e+300"},
    {BERT("[\"a\"]", "[\"a\",0]"), ONWARD_FORMAT, "post_processor.sep: want [token, id]"},
    {TEMPLATE("{\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}",
              "\"x\":{\"id\":\"x\",\"ids\":[-1],\"tokens\":[\"x\"]}"),
     ONWARD_FORMAT, "want ids of the vocabulary"},
    {TEMPLATE("{\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}",
              "\"x\":{\"id\":\"x\",\"ids\":[0.5],\"tokens\":[\"x\"]}"),
     ONWARD_FORMAT, "want ids of the vocabulary"},
    {TRUNCATION("\"max_length\":4,\"stride\":9"), ONWARD_FORMAT, "truncation.stride: want an integer in [0,3]"},
    {TRUNCATION("\"max_length\":4,\"stride\":-1"), ONWARD_FORMAT, "truncation.stride"},
    {TRUNCATION("\"max_length\":-1"), ONWARD_FORMAT, "truncation.max_length"},
    {TRUNCATION("\"max_length\":1e30"), ONWARD_FORMAT, "truncation.max_length"},
    {TRUNCATION("\"max_length\":4,\"strategy\":\"Odd\""), ONWARD_UNSUPPORTED, "truncation.strategy: 'Odd'"},
    {TRUNCATION("\"max_length\":4,\"direction\":\"Up\""), ONWARD_UNSUPPORTED, "truncation.direction: 'Up'"},
    {PADDING("\"strategy\":\"Odd\""), ONWARD_UNSUPPORTED, "padding.strategy: want"},
    {PADDING("\"strategy\":{\"Fixed\":-1}"), ONWARD_FORMAT, "padding.strategy.Fixed"},
    {PADDING("\"strategy\":\"BatchLongest\",\"pad_id\":-1"), ONWARD_FORMAT, "padding.pad_id"},
    {PADDING("\"strategy\":\"BatchLongest\",\"pad_to_multiple_of\":1e18"), ONWARD_FORMAT, "padding.pad_to_multiple_of"},
    {WITH("\"added_tokens\":[{\"id\":70000,\"content\":\"x\"}]"), ONWARD_FORMAT, "added_tokens[0].id"},
    {WITH("\"added_tokens\":[{\"id\":0,\"content\":\"x\"}]"), ONWARD_FORMAT, "id 0 is that of 'a' and of 'x'"},
    {TEMPLATE("{\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}", ""), ONWARD_FORMAT, "'x' is not in special_tokens"},
    {TEMPLATE("{\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}", "\"x\":{\"id\":\"x\",\"ids\":[9],\"tokens\":[\"x\"]}"),
     ONWARD_FORMAT, "want ids of the vocabulary"},
    {TEMPLATE("{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}", ""), ONWARD_FORMAT,
     "post_processor.single[0].Sequence.id"},
    {TEMPLATE("{\"Sequence\":{\"id\":\"A\",\"type_id\":-1}}", ""), ONWARD_FORMAT, "type_id"},
    {TEMPLATE("{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}", ""), ONWARD_FORMAT,
     "post_processor.pair: want a Sequence"},
    {TEMPLATE("", ""), ONWARD_FORMAT, "post_processor.single: want a Sequence"},
    {WITH("\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"x\",0],\"cls\":[\"a\",0]}"), ONWARD_FORMAT,
     "post_processor.sep"},
    {WITH("\"truncation\":{\"max_length\":4,\"stride\":4}"), ONWARD_FORMAT,
     "truncation.stride: want an integer in [0,3]"},
    {WITH("\"truncation\":{\"max_length\":0}"), ONWARD_FORMAT, "truncation.max_length"},
    {WITH("\"padding\":{\"strategy\":{\"Fixed\":1e18}}"), ONWARD_FORMAT, "padding.strategy.Fixed"},
    /* steps */
    {WITH("\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":-1}"), ONWARD_FORMAT, "pre_tokenizer.length"},
    {WITH("\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":1e30}"), ONWARD_FORMAT, "pre_tokenizer.length"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\"}"), ONWARD_FORMAT,
     "replacement: want one character"},
    /* expressions of another kind than those of tokenizers */
    {EXPRESSION("(?R)"), ONWARD_UNSUPPORTED, "at 0 of the expression: this kind of group"},
    {EXPRESSION("a(?1)"), ONWARD_UNSUPPORTED, "at 1 of the expression: this kind of group"},
    {EXPRESSION("(?C1)a"), ONWARD_UNSUPPORTED, "this kind of group"},
    {EXPRESSION("(a)(?&x)"), ONWARD_UNSUPPORTED, "this kind of group"},
    {EXPRESSION("(?"), ONWARD_UNSUPPORTED, "this kind of group"},
    {EXPRESSION("(?<=a+)b"), ONWARD_UNSUPPORTED, "pre_tokenizer.pattern: at 0 of the expression"},
    {EXPRESSION("\\\\1"), ONWARD_UNSUPPORTED, "pre_tokenizer.pattern"},
    {EXPRESSION("\\\\C"), ONWARD_UNSUPPORTED, "pre_tokenizer.pattern"},
    {EXPRESSION("[z-a]"), ONWARD_UNSUPPORTED, "pre_tokenizer.pattern: at 3"},
    {EXPRESSION("\\\\p{Nope}"), ONWARD_UNSUPPORTED, "pre_tokenizer.pattern"},
    {EXPRESSION("a{99999}"), ONWARD_UNSUPPORTED, "pre_tokenizer.pattern"},
    {WITH("\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0}"), ONWARD_FORMAT, "pre_tokenizer.length"},
    {WITH("\"pre_tokenizer\":{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"\"}"), ONWARD_FORMAT,
     "delimiter: want one character"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}"),
     ONWARD_UNSUPPORTED, "pre_tokenizer.pattern: at 1 of the expression"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},\"behavior\":\"Isolated\"}"),
     ONWARD_UNSUPPORTED, "&& is not supported"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(*NO_JIT)a\"},\"behavior\":\"Isolated\"}"),
     ONWARD_UNSUPPORTED, "(* is not supported"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Odd\"}"),
     ONWARD_UNSUPPORTED, "'Odd'"},
    {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"????\"}"), ONWARD_FORMAT,
     "precompiled_charsmap: want base64"},
    {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////wAA\"}"), ONWARD_FORMAT,
     "a trie of 4294967295 bytes"},
    {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAD/\"}"), ONWARD_FORMAT,
     "not UTF-8"},
    {WITH("\"decoder\":{\"type\":\"Strip\",\"content\":\"ab\"}"), ONWARD_FORMAT, "decoder.content: want one character"},
    {WITH("\"decoder\":{\"type\":\"Odd\"}"), ONWARD_UNSUPPORTED, "decoder.type: 'Odd'"},
};

static void test_files(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    refused(cases[i].json, strlen(cases[i].json), cases[i].status, cases[i].says);
}

/* The command says the same in one line that begins with the file. */
static void test_command(void **state) {
  (void)state;
  static hostile_output o;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hostile_write("tokenizer.json", cases[i].json, strlen(cases[i].json));
    const char *const file = hostile_path("tokenizer.json"), *const model = ONWARD_SOURCE_DIR "/tests/models/gpt2_ts14";
    const char *const words[] = {
        ONWARD_BINARY_DIR "/onward", "generate", model, "--prompt", "a", "--tokenizer", file, NULL};
    hostile_command(words, &o);
    const char *const line = strchr(o.error, '\n');
    if (o.code != 1 || !strstr(o.error, cases[i].says) || strncmp(o.error, file, strlen(file)) != 0 || !line ||
        line[1] || o.out_size)
      fail_msg("'%.80s': exit %d, '%s'", cases[i].json, o.code, o.error);
  }
}

/* What is no file of JSON text at all, or far too large a one. */
static void test_paths(void **state) {
  (void)state;
  const char *const fifo = hostile_path("fifo"), *const large = hostile_path("large.json");
  assert_int_equal(mkfifo(fifo, 0600), 0);
  hostile_write("large.json", "{\"a\":\"", 6);
  assert_int_equal(truncate(large, (off_t)1 << 30), 0); /* a string of 1 GiB, of which the disk holds nothing */
  const struct {
    const char *path;
    onward_status status;
    const char *says;
  } files[] = {{hostile_path("absent.json"), ONWARD_IO, "No such file"},
               {ONWARD_SOURCE_DIR, ONWARD_IO, "is a folder"},
               {fifo, ONWARD_IO, "regular file"},
               {"/dev/zero", ONWARD_IO, "regular file"},
               {large, ONWARD_LIMIT, "tokenizer_bytes"}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    onward_tokenizer *t = NULL;
    onward_error err = {0};
    const onward_status s = onward_tokenizer_load(files[i].path, &t, &err);
    if (s != files[i].status || !strstr(err.message, files[i].says) || !strstr(err.message, files[i].path) || t)
      fail_msg("%s: got %s '%s'", files[i].path, onward_status_name(s), err.message);
  }
}

static void test_large_files(void **state) {
  (void)state;
  enum { SIZE = 1 << 24 };
  char *const text = malloc(SIZE);
  assert_non_null(text);
  memset(text, '[', SIZE);
  refused(text, 100000, ONWARD_FORMAT, "line 1 column 65: nested deeper than 64");
  for (size_t i = 0; i < 100000; i += 5)
    memcpy(text + i, "{\"a\":", 5);
  refused(text, 100000, ONWARD_FORMAT, "nested deeper than 64");
  memset(text, 'a', SIZE); /* a string that does not end, and one that is a token */
  text[0] = '"';
  refused(text, SIZE, ONWARD_FORMAT, "a string does not end");
  static const char head[] = "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"", tail[] = "\":0}}}";
  memcpy(text, head, sizeof head - 1);
  memcpy(text + SIZE - sizeof tail + 1, tail, sizeof tail - 1);
  refused(text, SIZE, ONWARD_LIMIT, "longer than 1024 bytes");
  refused(text, ((size_t)1 << 28) + 1, ONWARD_LIMIT, "tokenizer_bytes");
  static const char open[] =
      "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{}},\"pre_tokenizer\":{\"type\":"
      "\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"[",
                    close[] = "\"}}}";
  for (size_t i = 0; i < SIZE; i += 2) /* each could begin a class that never ends */
    memcpy(text + i, "[:", 2);
  memcpy(text, open, sizeof open - 1);
  memcpy(text + SIZE - sizeof close + 1, close, sizeof close - 1);
  refused(text, SIZE, ONWARD_LIMIT, "pre_tokenizer.pattern: an expression of more than 65535 bytes");
  free(text);
}

/* Byte tokens that are none are tokens like others. */
static void test_bad_byte_token(void **state) {
  (void)state;
  onward_tokenizer *t = load(
      "{\"decoder\":{\"type\":\"ByteFallback\"},\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"<0x-1>"
      "\":0,\"<0xG0>\":1,\"<0x100>\":2},"
      "\"merges\":[]}}");
  int64_t *ids = NULL;
  size_t count = 9;
  char *text = NULL;
  assert_int_equal(onward_tokenizer_encode(t, "\xFFz", 2, false, &ids, &count, NULL), ONWARD_OK);
  assert_int_equal(count, 0);
  onward_free(ids);
  assert_int_equal(
      onward_tokenizer_decode(t, (const int64_t[]){0, 1, 2, -1, INT64_MAX, INT64_MIN}, 6, true, &text, NULL, NULL),
      ONWARD_OK);
  assert_string_equal(text, "<0x-1><0xG0><0x100>");
  onward_free(text);
  onward_tokenizer_free(t);
}

/* Expressions that take ages end with an error that says so, in steps that grow with the text and not faster. */
static void test_expressions(void **state) {
  (void)state;
  static const char *const expressions[] = {"(a+)+[bc]", "(a|aa)+[bc]",         "(a*)*[bc]",
                                            "a+[bc]",    "(?:a?){50}a{50}[bc]", "(.*)*[bc]"};
  enum { LENGTH = 20000 };
  char *const text = malloc(LENGTH);
  assert_non_null(text);
  memset(text, 'a', LENGTH);
  for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
    char json[300];
    (void)snprintf(
        json, sizeof json,
        WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},\"behavior\":\"Isolated\"}"),
        expressions[i]);
    onward_tokenizer *t = load(json);
    onward_error err = {0};
    int64_t *ids = NULL;
    size_t count;
    const onward_status s = onward_tokenizer_encode(t, text, LENGTH, false, &ids, &count, &err);
    if (s != ONWARD_LIMIT || !strstr(err.message, "match limit"))
      fail_msg("%s: got %s '%s'", expressions[i], onward_status_name(s), err.message);
    onward_tokenizer_free(t);
  }
  free(text);
}

static void fill(char *text, size_t length, const char *part) {
  const size_t n = strlen(part);
  for (size_t i = 0; i < length; i++)
    text[i] = part[i % n];
}

static const char *const parts[] = {"a",
                                    "^",
                                    " ",
                                    "\n",
                                    "b ",
                                    "aab^ ab ",
                                    "\xCC\x81",
                                    "\xC3\xA9",
                                    "\xFF",
                                    "\xE4\xB8\x96",
                                    "a\xCC\x81\xCC\xA7",
                                    "\xF0\x9F\x91\xA9\xE2\x80\x8D",
                                    "12 ab's, ",
                                    "<s>",
                                    "aa"};

/* Twice the text, about twice the steps. */
static void test_linear(void **state) {
  (void)state;
  enum { LENGTH = 1 << 15 };
  char *const text = malloc(LENGTH);
  assert_non_null(text);
  for (size_t k = 0; k < OW_SMALL_TOKENIZERS; k++) {
    onward_tokenizer *t = load(ow_small_tokenizers[k]);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
      uint64_t work[2];
      for (size_t twice = 0; twice < 2; twice++) {
        ow_ids ids = {0};
        onward_error err = {0};
        fill(text, LENGTH, parts[i]);
        if (ow_tokenizer_ids(t, text, (size_t)LENGTH / 2 << twice, &ids, &err))
          fail_msg("%s", err.message);
        work[twice] = ids.work;
        ow_ids_free(&ids);
      }
      if (work[1] > work[0] * 5 / 2 + 100)
        fail_msg("tokenizer %zu, '%s': %llu steps, and %llu for twice the text", k, parts[i],
                 (unsigned long long)work[0], (unsigned long long)work[1]);
    }
    onward_tokenizer_free(t);
  }
  free(text);
}

static void test_long_texts(void **state) {
  (void)state;
  const char *const mib = getenv("ONWARD_TEXT_MIB");
  const size_t most = mib ? (size_t)atoi(mib) << 20 : 1000000;
  char *const text = malloc(most + 1);
  assert_non_null(text);
  for (size_t k = 0; k < (mib ? 1 : OW_SMALL_TOKENIZERS); k++) {
    onward_tokenizer *t = load(ow_small_tokenizers[k]);
    for (size_t i = 0; i < (mib ? 1 : sizeof parts / sizeof *parts); i++) {
      const size_t length = i < 2 || mib ? most : 50000;
      int64_t *ids = NULL;
      size_t count = 0;
      char *back = NULL;
      onward_error err = {0};
      fill(text, length, parts[i]);
      if (onward_tokenizer_encode(t, text, length, true, &ids, &count, &err))
        fail_msg("tokenizer %zu, '%s': %s", k, parts[i], err.message);
      assert_true(count > 0 || i > 0); /* all of a text may be what a normaliser drops */
      assert_int_equal(onward_tokenizer_decode(t, ids, length < 2000000 ? count : 1, true, &back, NULL, &err),
                       ONWARD_OK);
      onward_free(back);
      onward_free(ids);
    }
    onward_tokenizer_free(t);
  }
  free(text);
}

/* NUL, bytes that are no UTF-8, and nothing at all. */
static void test_odd_texts(void **state) {
  (void)state;
  onward_tokenizer *t = load(ow_small_tokenizers[1]);
  static const struct {
    const char *text;
    size_t length;
    int64_t ids[4];
    size_t count;
  } texts[] = {{"", 0, {0}, 0},
               {"a\0a", 3, {5, 0, 1}, 3}, /* NUL is a character, here an unknown one */
               {"\xC3\xA9", 2, {4, 6, 7}, 3},
               {"\xC3", 1, {4, 0}, 2},
               {"\xF0\x9F\x91", 3, {4, 0}, 2},
               {"\xED\xA0\x80", 3, {4, 0}, 2}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    int64_t *ids = NULL;
    size_t count = 9;
    assert_int_equal(onward_tokenizer_encode(t, texts[i].text, texts[i].length, true, &ids, &count, NULL), ONWARD_OK);
    assert_int_equal(count, texts[i].count);
    assert_memory_equal(ids, texts[i].ids, count * sizeof *ids);
    onward_free(ids);
  }
  onward_tokenizer_free(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_files),       cmocka_unit_test(test_command),        cmocka_unit_test(test_paths),
      cmocka_unit_test(test_large_files), cmocka_unit_test(test_bad_byte_token), cmocka_unit_test(test_expressions),
      cmocka_unit_test(test_linear),      cmocka_unit_test(test_long_texts),     cmocka_unit_test(test_odd_texts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
