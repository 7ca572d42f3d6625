/* blip2/generate.h - text of pictures; part of blip2.h, which includes it. */
#ifndef BLIP2_GENERATE_H
#define BLIP2_GENERATE_H
#ifndef BLIP2_H
#error "include blip2.h"
#endif
#ifdef __cplusplus
extern "C" {
#endif

/* Whose rules hold where the two original programs differ: how beams' texts are weighed, what the
 * repetition penalty counts, where prompts are cut. */
typedef enum blip2_compat {
    BLIP2_COMPAT_AUTO = 0, /* LAVIS for its checkpoints (a model.json), else HF */
    BLIP2_COMPAT_HF = 1,   /* transformers 5: the penalty counts prompt and new tokens */
    BLIP2_COMPAT_LAVIS = 2 /* LAVIS on transformers 4.33: new tokens and the start token */
} blip2_compat;

typedef struct blip2_generate_options {
    size_t size;              /* set by _init */
    uint32_t max_new_tokens;  /* end token included; default 30 */
    uint32_t min_new_tokens;  /* the end token is banned before that many; default 0 */
    float repetition_penalty; /* > 0; default 1 */
    /* A piece of text `index`, whole UTF-8 characters only; non-zero stops the call. */
    int (*on_text)(size_t index, const char *text, size_t length, void *payload);
    /* Text `index` is finished, with what the result will say of it. Texts may finish in any order.
     * May be NULL. */
    void (*on_done)(size_t index, const char *text, const int32_t *tokens, size_t count,
                    void *payload);
    void *payload;
    uint32_t num_beams; /* at most 16; default 1: greedy. With beams on_text gets the best
                           text of an input when that is finished, and no other */
    uint32_t num_return_sequences; /* texts of each input; default 1. Of beams the best so many,
                                      best first; drawn, at most 1024; greedily there is one */
    const float *length_penalty;   /* of beams: scores are divided by length ^ this; NULL: 1. Any
                                      number, hence a pointer: 0 and -1 are in use */
    blip2_compat compat;           /* default AUTO */

    /* Draw tokens in place of taking the best. Without it, EINVAL for an option up to `seed` (but
     * top_k with penalty_alpha). With num_beams, beams are drawn: LAVIS's use_nucleus_sampling. */
    int do_sample;
    float temperature; /* > 0; default 1. Then only these stay, in this order (transformers'): */
    uint32_t top_k;    /* the k best; default: all (penalty_alpha needs one). transformers and LAVIS
                          have 50 */
    float top_p;       /* of these, the best that hold p; 0 < p <= 1; default 1. LAVIS has 0.9 */
    float min_p;       /* those with p of the best one's probability; 0 to 1; default 0 */
    float typical_p;   /* the most typical that hold p; 0 < p <= 1; default 1 */
    uint64_t seed;     /* the same gives the same texts, on every device and beside any others */
    uint32_t no_repeat_ngram_size; /* no n tokens in a row come twice; default: they may */
    const char *const *bad_words;  /* [bad_word_count]: never written so. Where tokens hold the
                                      space before a word, it has one */
    size_t bad_word_count;
    const char *const *stop_strings; /* [stop_string_count]: a text ends with the token that
                                        completes one; it is not cut. Not with LAVIS's beams */
    size_t stop_string_count;
    uint32_t logprobs; /* keep log-probabilities of each token and of the best so many beside it, at
                          most 64; default 0: none */
    uint32_t max_prompt_tokens; /* longer prompts are cut to their first so many tokens, special
                                   ones counted and kept, for the language model. Default: as compat
                                   has it; LAVIS cuts OPT's at its max_txt_len (32), nothing else is
                                   cut. UINT32_MAX: none is */

    /* Contrastive search: of the top_k (2 to 64) likeliest tokens the one that is likely, and whose
     * hidden state is unlike all before: (1 - penalty_alpha) p - penalty_alpha max cosine. 0 to 1;
     * default 0: none. Without beams and do_sample, by a language model. The engine needs room for
     * top_k sequences. transformers: 0.6 with top_k 4 is usual; 1 of top_k is greedy. */
    float penalty_alpha;
} blip2_generate_options;
BLIP2_API void blip2_generate_options_init(blip2_generate_options *options, size_t size);

/* Caption or answer count inputs, each with its own prompt, packed into common steps.
 * Greedily, with beams, drawn, or by contrastive search. Results, and the indices of on_text and
 * on_done, count texts: text k of input i is i * num_return_sequences + k. */
BLIP2_API blip2_status blip2_generate(blip2_engine *engine, const blip2_input *inputs, size_t count,
                                      const blip2_generate_options *options, blip2_result **out);

/* How LAVIS's predict_answers asks this checkpoint: sets in options, which _init has been called
 * for, 5 beams, 10 new tokens (Vicuna 9), the length penalty (T5 -1, else 0), the repetition
 * penalty (InstructBLIP 1.5, else 1), compat LAVIS, and that no prompt is cut; *prompt, which is
 * not yours to free, is the prompt with "{}" where the question goes. ENOTSUP: there is no language
 * model. */
BLIP2_API blip2_status blip2_question_defaults(const blip2_model *model,
                                               blip2_generate_options *options,
                                               const char **prompt);

/* A question and what is known of its picture, which LAVIS's predict_class puts in front of it. */
typedef struct blip2_question {
    const char *question; /* UTF-8; NULL: none, the prompt stays as it is */
    const char *prompt;   /* the question takes the place of each "{}"; NULL or "": it is alone */
    const char *context, *history, *caption; /* NULL: none */
} blip2_question;
/* The prompt: This image has the caption "CAPTION". dialog history: HISTORY (and a new line)
 * context: CONTEXT. PROMPT, without what there is none of. Yours to free with blip2_string_free. */
BLIP2_API blip2_status blip2_question_prompt(char **out, const blip2_question *question);

/* How many tokens more this prompt could have behind a video of so many frames (0: a picture) in a
 * blip2_generate with these options (NULL: the defaults); below 0 it is refused, so many tokens too
 * long. ENOTSUP: no language model. */
BLIP2_API blip2_status blip2_generate_room(const blip2_engine *engine, const char *prompt,
                                           size_t frames, const blip2_generate_options *options,
                                           int64_t *room);

BLIP2_API size_t blip2_result_count(const blip2_result *result);
/* One text, surrounding white space removed; NULL if index is out of range. */
BLIP2_API const char *blip2_result_text(const blip2_result *result, size_t index);
/* Of beams: sum of log-probabilities over length ^ length_penalty; else 0. */
BLIP2_API float blip2_result_score(const blip2_result *result, size_t index);
/* New token ids [*count] of one text, the end token included when it was reached. */
BLIP2_API const int32_t *blip2_result_tokens(const blip2_result *result, size_t index,
                                             size_t *count);

/* Log-softmax of the logits as the model gave them (transformers' output_logits): penalties, bans
 * and sampling are not in it. Of beams those of the text's own ancestry, whose sum is its score
 * only where nothing else changed the scores. */
typedef struct blip2_logprob {
    int32_t token; /* -1: there are not so many */
    float log_prob;
} blip2_logprob;
/* [*steps, *columns]: a row a token of blip2_result_tokens, first the chosen one, then the best of
 * its step, best first. NULL unless asked for. */
BLIP2_API const blip2_logprob *blip2_result_logprobs(const blip2_result *result, size_t index,
                                                     size_t *steps, size_t *columns);
BLIP2_API void blip2_result_free(blip2_result *result);

#ifdef __cplusplus
}
#endif
#endif
