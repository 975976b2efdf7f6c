/* Onward: text. On the public API of onward.h alone; the rules that hold for every function are written there. */
#ifndef ONWARD_TEXT_H
#define ONWARD_TEXT_H

#include "onward/onward.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- generation ------------------------------------------------------------------------------------------------------ */

/* A decoder and what it needs to go on token by token. Its cache is a state where the model has one; otherwise every step computes
 * the whole sequence again, and the result says so. */
typedef struct onward_generator onward_generator;

typedef struct onward_generate_options {
  size_t struct_size;
  int64_t max_new_tokens;    /* 0 or more; default 128 */
  int64_t context;           /* most tokens, prompt included; 0: no bound but max_new_tokens */
  double temperature;        /* 0 (default): always the most likely token; otherwise the scores are divided by it */
  int64_t top_k;             /* only the k most likely; 0: all */
  double top_p;              /* only the most likely that together have this probability; 1: all */
  double min_p;              /* only those with this share of the largest probability; 0: all */
  double repetition_penalty; /* for tokens that are there already; 1: none */
  int64_t no_repeat_ngram;   /* no sequence of so many tokens twice; 0: allowed */
  uint64_t seed;             /* the same seed gives the same tokens, whatever the number of threads */
  const int64_t *stop_ids;   /* any of these ends the text; it is the last of the ids */
  size_t stop_id_count;
  const int64_t *forced_ids; /* the first new tokens, whatever the model would choose */
  size_t forced_id_count;
  /* Called with each new token; false stops. May be NULL. */
  bool (*on_token)(void *context, int64_t id);
  void *on_token_context;
  int64_t
      beams; /* above 1: so many texts are followed at once, the likeliest is the result; on_token gets it at the end */
  double length_penalty; /* of beams: the sum of log probabilities is divided by length to this power; default 1 */
  bool early_stopping;   /* of beams: over as soon as so many texts have ended, even if another could become likelier */
  const int64_t *suppressed_ids; /* never chosen */
  size_t suppressed_id_count;
  const int64_t *begin_suppressed_ids; /* not chosen as the first token after forced_ids */
  size_t begin_suppressed_id_count;
  int64_t forced_last_id; /* the token that max_new_tokens or the context ends with; -1 (default): none */
  /* Of an encoder and its decoder: what the decoder starts with, at least one token, no part of the result; context and
   * max_new_tokens count the decoder's tokens. The prompt is the encoder's. */
  const int64_t *decoder_ids;
  size_t decoder_id_count;
  const onward_tensor *features; /* instead of a prompt, for an encoder that takes features; a batch of 1 */
} onward_generate_options;

ONWARD_API onward_generate_options onward_generate_options_default(void);

typedef enum onward_stop {
  ONWARD_STOP_LENGTH = 0,  /* max_new_tokens */
  ONWARD_STOP_ID = 1,      /* one of stop_ids */
  ONWARD_STOP_CONTEXT = 2, /* the context is full: options.context, or what the model itself takes */
  ONWARD_STOP_CALLER = 3,  /* on_token or on_text returned false, or onward_generator_cancel */
  ONWARD_STOP_TEXT = 4     /* a stop string; of onward_generator_run_text */
} onward_stop;

/* "length", "id", "context", "caller", "text"; "?" for a value not in the list. */
ONWARD_API const char *onward_stop_name(onward_stop stop);

typedef struct onward_generation {
  const int64_t *ids; /* new tokens; the generator's, valid until its next run */
  size_t count;
  onward_stop stop;
  bool cached;     /* through a state; false: every step computed the whole sequence */
  int64_t steps;   /* runs of the model after the first */
  double first_ms; /* the run over the prompt */
  double steps_ms; /* all others */
  const char *
      note; /* NULL, or, when the model took no more tokens, how many it takes at most and what it said; valid as ids are */
} onward_generation;

/* The model must outlive the generator. options may be NULL.
 * Errors: UNSUPPORTED for a model that is no decoder of token ids, naming the input it cannot fill. */
ONWARD_API onward_status onward_generator_create(onward_model *model, const onward_session_options *options,
                                                 onward_generator **generator, onward_error *err);
/* Of an encoder and its decoder (T5, BART, Marian, Whisper). decoder is a merged one and decoder_with_past NULL; or decoder makes
 * the first past and decoder_with_past goes on from it; or there is decoder alone, and every step computes all tokens. The models
 * are borrowed and must outlive the generator; other generators, in other threads, may use them at the same time. Two decoders have
 * most weights in common: load decoder_with_past with options.weights_of = decoder, and they are packed once.
 * Errors: UNSUPPORTED naming the input that cannot be filled. */
ONWARD_API onward_status onward_generator_create_encoder_decoder(onward_model *encoder, onward_model *decoder,
                                                                 onward_model *decoder_with_past,
                                                                 const onward_session_options *options,
                                                                 onward_generator **generator, onward_error *err);
ONWARD_API void onward_generator_free(onward_generator *generator);

/* Go on from a prompt of count >= 1 tokens. Errors: INPUT (parameters, named; a prompt of more tokens than the model takes), DATA
 * (logits that are NaN or all -inf, an id the model does not know), MEMORY. */
ONWARD_API onward_status onward_generator_run(onward_generator *generator, const int64_t *prompt, size_t count,
                                              const onward_generate_options *options, onward_generation *generation,
                                              onward_error *err);

/* Stop the run that is going on, from any thread or a signal handler; what it has so far is its result. */
ONWARD_API void onward_generator_cancel(onward_generator *generator);

/* Plans, primitives and memory of the session inside that goes on token by token. */
ONWARD_API onward_session_stats onward_generator_get_stats(const onward_generator *generator);

/* A loaded tokenizer never changes: any number of threads may use it. */
typedef struct onward_tokenizer onward_tokenizer;

/* path: a tokenizer.json. Errors: IO, FORMAT, UNSUPPORTED (names the key), LIMIT, MEMORY. */
ONWARD_API onward_status onward_tokenizer_load(const char *path, onward_tokenizer **tokenizer, onward_error *err);
ONWARD_API onward_status onward_tokenizer_load_memory(const void *bytes, size_t size, onward_tokenizer **tokenizer,
                                                      onward_error *err);
ONWARD_API void onward_tokenizer_free(onward_tokenizer *tokenizer);

/* *ids: count ids, to be freed with onward_free. Text that is no UTF-8 is read as U+FFFD. The file's truncation and padding are
 * not applied. Errors: LIMIT when a regular expression of the file takes too many steps, DATA, MEMORY. */
ONWARD_API onward_status onward_tokenizer_encode(const onward_tokenizer *tokenizer, const char *text, size_t length,
                                                 bool add_special_tokens, int64_t **ids, size_t *count,
                                                 onward_error *err);
typedef struct onward_encode_options {
  size_t struct_size;
  bool add_special_tokens; /* default true */
  bool truncate;           /* to max_length tokens, special ones included, the way the file says; default false */
  bool pad;                /* as far as the file says; default false */
  int64_t max_length;      /* 0 (default): the file's, where it has one */
} onward_encode_options;

ONWARD_API onward_encode_options onward_encode_options_default(void);

typedef struct onward_encoding {
  int64_t *ids;            /* count of them; to be freed with onward_free, which frees the others too */
  int64_t *type_ids;       /* 0: of the first text, 1: of the second, or as the file says */
  int64_t *attention_mask; /* 1; 0 for padding */
  size_t count;
} onward_encoding;

/* One text, or two (pair not NULL), put together as the file's post-processor does. options may be NULL. Errors: those of
 * onward_tokenizer_encode, ARGUMENT, INPUT (what cannot be truncated). */
ONWARD_API onward_status onward_tokenizer_encode_pair(const onward_tokenizer *tokenizer, const char *text,
                                                      size_t length, const char *pair, size_t pair_length,
                                                      const onward_encode_options *options, onward_encoding *encoding,
                                                      onward_error *err);
/* *text: NUL-terminated valid UTF-8 of *length bytes (length may be NULL), to be freed with onward_free. Ids without a token
 * are left out. */
ONWARD_API onward_status onward_tokenizer_decode(const onward_tokenizer *tokenizer, const int64_t *ids, size_t count,
                                                 bool skip_special_tokens, char **text, size_t *length,
                                                 onward_error *err);
/* -1: no such token. NULL: no such id; the string belongs to the tokenizer. */
ONWARD_API int64_t onward_tokenizer_token_id(const onward_tokenizer *tokenizer, const char *token);
ONWARD_API const char *onward_tokenizer_token(const onward_tokenizer *tokenizer, int64_t id);

/* Decoding id by id. What push and finish give is valid UTF-8, belongs to the stream until its next call, and is "" while a
 * character is not complete. The tokenizer must outlive the stream. */
typedef struct onward_token_stream onward_token_stream;
ONWARD_API onward_status onward_token_stream_create(const onward_tokenizer *tokenizer, bool skip_special_tokens,
                                                    onward_token_stream **stream, onward_error *err);
ONWARD_API onward_status onward_token_stream_push(onward_token_stream *stream, int64_t id, const char **text,
                                                  onward_error *err);
ONWARD_API onward_status onward_token_stream_finish(onward_token_stream *stream, const char **text, onward_error *err);
ONWARD_API void onward_token_stream_free(onward_token_stream *stream);

/* ---- generation as text ---------------------------------------------------------------------------------------------- */

typedef struct onward_text_options {
  size_t struct_size;
  const char *const
      *stops; /* the first of these ends the text and is not part of it, also across tokens; UTF-8, 1 to 4096 bytes */
  size_t stop_count;
  bool keep_special_tokens; /* their names stay in the text */
  /* Called with new text, whole characters that cannot belong to a stop string any more; false stops. May be NULL. */
  bool (*on_text)(void *context, const char *text, size_t length);
  void *on_text_context;
} onward_text_options;

ONWARD_API onward_text_options onward_text_options_default(void);

typedef struct onward_text_generation {
  char *text; /* NUL-terminated valid UTF-8, to be freed with onward_free: what on_text was given */
  size_t length;
  onward_generation tokens; /* ids up to the one that ended the text */
} onward_text_generation;

/* onward_generator_run, and the new tokens as text. A token of stop_ids has no text. Both options may be NULL.
 * Errors: those of onward_generator_run and of the tokenizer; INPUT for a stop string. */
ONWARD_API onward_status onward_generator_run_text(onward_generator *generator, const onward_tokenizer *tokenizer,
                                                   const int64_t *prompt, size_t count,
                                                   const onward_generate_options *options,
                                                   const onward_text_options *text_options,
                                                   onward_text_generation *generation, onward_error *err);

/* ---- conversations --------------------------------------------------------------------------------------------------- */

/* How a model wants conversations written: known forms (ChatML, Llama 2 and 3, Mistral, Gemma, Phi-3 and 4, Zephyr), recognised
 * in the text of the chat template, with the system message that the template has by itself. Never changes once made. A date that
 * a template would take from the clock is the one that stands in it. */
typedef struct onward_chat_template onward_chat_template;

typedef struct onward_chat_message {
  const char *role; /* "system" (only as the first), "user" or "assistant" */
  const char *content;
} onward_chat_message;

/* template_text: Jinja, as in tokenizer_config.json. bos and eos: what it calls bos_token and eos_token; NULL: not known.
 * Errors: UNSUPPORTED for a template of no known form, or one that needs a token that is not known. */
ONWARD_API onward_status onward_chat_template_create(const char *template_text, const char *bos, const char *eos,
                                                     onward_chat_template **chat, onward_error *err);
/* From chat_template.jinja or tokenizer_config.json of a folder; the tokens also from special_tokens_map.json.
 * Errors: IO when the folder has neither, FORMAT, and those of create. */
ONWARD_API onward_status onward_chat_template_load(const char *folder, onward_chat_template **chat, onward_error *err);
ONWARD_API void onward_chat_template_free(onward_chat_template *chat);
/* "ChatML", "Llama 3" and so on. */
ONWARD_API const char *onward_chat_template_name(const onward_chat_template *chat);
/* *text: NUL-terminated, *length bytes (length may be NULL), to be freed with onward_free. It ends where the assistant is to speak,
 * and has its special tokens in it: encode it without adding more. Errors: INPUT for messages that the template refuses. */
ONWARD_API onward_status onward_chat_template_render(const onward_chat_template *chat,
                                                     const onward_chat_message *messages, size_t count, char **text,
                                                     size_t *length, onward_error *err);

/* ---- embeddings ------------------------------------------------------------------------------------------------------ */

/* An encoder and its tokenizer: one vector for each text. */
typedef struct onward_embedder onward_embedder;

typedef enum onward_pooling {
  ONWARD_POOLING_AUTO =
      0, /* an output 'sentence_embedding' as it is; otherwise the mean of the hidden states; of a model that has
                              only pooled vectors [batch,width] those */
  ONWARD_POOLING_MEAN = 1, /* of the hidden states of the tokens that are no padding */
  ONWARD_POOLING_CLS = 2   /* the first token's hidden state */
} onward_pooling;

typedef struct onward_embed_options {
  size_t struct_size;
  onward_pooling pooling;
  int64_t batch; /* most texts in one run of the model; default 32 */
  int64_t
      max_length; /* most tokens of a text, special ones included; 0 (default): what tokenizer.json says, if it does */
  bool keep_length; /* vectors as they come; otherwise their length is made 1 */
} onward_embed_options;

ONWARD_API onward_embed_options onward_embed_options_default(void);
/* Sets pooling from 1_Pooling/config.json of a folder, where there is one. Errors: FORMAT, UNSUPPORTED (a way to pool that is none
 * of the above). */
ONWARD_API onward_status onward_embed_options_read(const char *folder, onward_embed_options *options,
                                                   onward_error *err);

typedef struct onward_embeddings {
  float *values; /* [count, width], to be freed with onward_free */
  size_t count, width;
} onward_embeddings;

/* Model and tokenizer must outlive the embedder; both options may be NULL. Errors: UNSUPPORTED for a model without hidden states or
 * with an input that cannot be filled, INPUT for options, MEMORY. */
ONWARD_API onward_status onward_embedder_create(onward_model *model, const onward_tokenizer *tokenizer,
                                                const onward_session_options *session,
                                                const onward_embed_options *options, onward_embedder **embedder,
                                                onward_error *err);
ONWARD_API void onward_embedder_free(onward_embedder *embedder);
/* texts: UTF-8, in any order and of any lengths; those of like length share a run. A text without any token gives zeros.
 * Errors: those of the tokenizer and of onward_session_run; DATA for a vector that is not finite, naming the text. */
ONWARD_API onward_status onward_embedder_run(onward_embedder *embedder, const char *const *texts, size_t count,
                                             onward_embeddings *embeddings, onward_error *err);
/* From any thread or a signal handler: the run that is going on returns CANCELLED. */
ONWARD_API void onward_embedder_cancel(onward_embedder *embedder);

#ifdef __cplusplus
}
#endif

#endif
