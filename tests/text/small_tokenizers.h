/* Tokenizers of a few tokens, one of each kind, for tests and for fuzzing. */
#ifndef OW_TESTS_SMALL_TOKENIZERS_H
#define OW_TESTS_SMALL_TOKENIZERS_H

/* A character map of one rule: A becomes a. */
#define OW_SMALL_CHARSMAP                                                                            \
  "DAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQQ0AAAAAAIBhAA=="

static const char *const ow_small_tokenizers[] = {
    /* byte-level BPE: a regular expression, added tokens of every kind */
    "{\"version\":\"1.0\",\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},\"decoder\":{\"type\":"
    "\"ByteLevel\"},"
    "\"added_tokens\":[{\"id\":6,\"content\":\"<s>\",\"special\":true},{\"id\":7,\"content\":\"b "
    "\",\"rstrip\":true,\"lstrip\":true},"
    "{\"id\":8,\"content\":\"aa\",\"single_word\":true,\"normalized\":true}],"
    "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"<s>\",6],\"cls\":[\"<s>\",6]},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"aba\":3,\"\xC3\x83\":4,\"\xC2\xA9\":5,\"^\":9,"
    "\"^^\":10,"
    "\"^^^^\":11,\"\xC4\xA0\":12},\"merges\":[\"a b\",[\"ab\",\"a\"],\"^ ^\",\"^^ ^^\"]}}",
    /* BPE with byte fallback over the whole text */
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"_\"},{\"type\":"
    "\"Replace\",\"pattern\":"
    "{\"String\":\" "
    "\"},\"content\":\"_\"}]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":"
    "\"Fuse\"}]},"
    "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"fuse_unk\":true,\"unk_token\":\"<u>\",\"vocab\":{\"<u>\":0,"
    "\"a\":1,\"aa\":2,"
    "\"aaaa\":3,\"_\":4,\"_a\":5,\"<0xC3>\":6,\"<0xA9>\":7,\"^\":8},\"merges\":[\"_ a\",\"a a\",\"aa aa\"]}}",
    /* WordPiece, as in BERT */
    "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{"
    "\"type\":\"WordPiece\"},"
    "\"truncation\":{\"max_length\":16,\"strategy\":\"LongestFirst\",\"stride\":0,\"direction\":\"Left\"},"
    "\"padding\":{\"strategy\":\"BatchLongest\",\"pad_to_multiple_of\":8,\"pad_id\":1},"
    "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[S]\",2],\"cls\":[\"[C]\",1]},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[U]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_"
    "per_word\":100,"
    "\"vocab\":{\"[U]\":0,\"[C]\":1,\"[S]\":2,\"a\":3,\"##a\":4,\"##aa\":5,\"^\":6,\"##b\":7}}}",
    /* Unigram, as in T5 */
    "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"" OW_SMALL_CHARSMAP
    "\"},"
    "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\",\"split\":false},"
    "\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\"},"
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<u>\",0],[\"a\",-2],[\"aa\",-3],[\"aaaa\",-3.5],[\"_\","
    "-2],[\"_a\",-2.5],[\"^\",-3]]}}",
    /* normal forms, many expressions, a CTC decoder */
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"},{\"type\":\"NFKD\"},{\"type\":"
    "\"StripAccents\"},{\"type\":\"NFC\"},"
    "{\"type\":\"Lowercase\"},{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},{\"type\":\"Replace\","
    "\"pattern\":{\"Regex\":"
    "\"\\\\s+$| {2,}\"},\"content\":\" "
    "\"}]},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"UnicodeScripts\"},"
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}+|(?="
    "b)|\\\\s+(?!\\\\S)|\\\\s+\"},"
    "\"invert\":false,\"behavior\":\"MergedWithNext\"},{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"},{"
    "\"type\":\"Digits\",\"individual_digits\":true},"
    "{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"x\"},{\"type\":\"FixedLength\",\"length\":7}]},"
    "\"decoder\":{\"type\":\"CTC\",\"pad_token\":\"a\",\"word_delimiter_token\":\"|\",\"cleanup\":true},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
    "\"pair\":[{\"Sequence\":{\"id\":\"B\","
    "\"type_id\":3}},{\"SpecialToken\":{\"id\":\"a\",\"type_id\":4}},{\"Sequence\":{\"id\":\"A\",\"type_id\":5}}],"
    "\"special_tokens\":{\"a\":{\"id\":\"a\","
    "\"ids\":[1,1],\"tokens\":[\"a\",\"a\"]}}},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":"
    "0,\"a\":1,\"^\":2,\" .\":3}}}",
};
enum { OW_SMALL_TOKENIZERS = sizeof ow_small_tokenizers / sizeof *ow_small_tokenizers };

#endif
