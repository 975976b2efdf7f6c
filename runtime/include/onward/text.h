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
} onward_generate_options;

ONWARD_API onward_generate_options onward_generate_options_default(void);

typedef enum onward_stop {
  ONWARD_STOP_LENGTH = 0,  /* max_new_tokens */
  ONWARD_STOP_ID = 1,      /* one of stop_ids */
  ONWARD_STOP_CONTEXT = 2, /* the context is full */
  ONWARD_STOP_CALLER = 3   /* on_token returned false, or onward_generator_cancel */
} onward_stop;

/* "length", "id", "context", "caller"; "?" for a value not in the list. */
ONWARD_API const char *onward_stop_name(onward_stop stop);

typedef struct onward_generation {
  const int64_t *ids; /* new tokens; the generator's, valid until its next run */
  size_t count;
  onward_stop stop;
  bool cached;     /* through a state; false: every step computed the whole sequence */
  int64_t steps;   /* runs of the model after the first */
  double first_ms; /* the run over the prompt */
  double steps_ms; /* all others */
} onward_generation;

/* The model must outlive the generator. options may be NULL.
 * Errors: UNSUPPORTED for a model that is no decoder of token ids, naming the input it cannot fill. */
ONWARD_API onward_status onward_generator_create(onward_model *model, const onward_session_options *options,
                                                 onward_generator **generator, onward_error *err);
ONWARD_API void onward_generator_free(onward_generator *generator);

/* Go on from a prompt of count >= 1 tokens. Errors: INPUT (parameters, named), DATA (logits that are NaN or all -inf, an id the
 * model does not know), MEMORY. */
ONWARD_API onward_status onward_generator_run(onward_generator *generator, const int64_t *prompt, size_t count,
                                              const onward_generate_options *options, onward_generation *generation,
                                              onward_error *err);

/* Stop the run that is going on, from any thread or a signal handler; what it has so far is its result. */
ONWARD_API void onward_generator_cancel(onward_generator *generator);

/* Plans, primitives and memory of the session inside. */
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

#ifdef __cplusplus
}
#endif

#endif
