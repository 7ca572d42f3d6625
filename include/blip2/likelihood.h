/* blip2/likelihood.h - how likely given texts of pictures are; part of blip2.h, which includes it.
 */
#ifndef BLIP2_LIKELIHOOD_H
#define BLIP2_LIKELIHOOD_H
#ifndef BLIP2_H
#error "include blip2.h"
#endif
#ifdef __cplusplus
extern "C" {
#endif

/* A picture, a prompt, and texts that may follow them. */
typedef struct blip2_candidates {
    const blip2_image *image; /* not NULL */
    const char *prompt;       /* UTF-8; NULL or "": none */
    const char *const *texts; /* [text_count] UTF-8, none empty */
    size_t text_count;        /* at least 1 */
} blip2_candidates;

typedef enum blip2_end_token {
    BLIP2_END_AUTO = 0, /* as LAVIS's predict_class: WITH for T5, else WITHOUT */
    BLIP2_END_WITH = 1, /* each text's last token is the one that ends an answer */
    BLIP2_END_WITHOUT = 2
} blip2_end_token;

typedef struct blip2_likelihood_options {
    size_t size;           /* set by _init */
    uint32_t top_logprobs; /* keep the best so many tokens of each place too, at most 64 */
    blip2_end_token end;   /* default AUTO */
    int verbatim;          /* non-zero: texts follow as they are. Default: where tokens hold the
                              space before a word (OPT's), one is put between prompt and text that
                              have no white space there */
    uint32_t segments;     /* LAVIS's n_segments, which changes losses only; default 1 */
    blip2_compat compat;   /* how InstructBLIP's Q-Former reads long prompts; default AUTO */
} blip2_likelihood_options;
BLIP2_API void blip2_likelihood_options_init(blip2_likelihood_options *options, size_t size);

typedef struct blip2_likelihood blip2_likelihood; /* log-probabilities of all tokens of all texts */

/* Log-probabilities of the tokens of each input's texts, given its picture and prompt. Both are
 * read once however many texts there are. EINVAL: an empty text, none, or one that does not fit
 * behind picture and prompt. ENOTSUP: the checkpoint has no language model. */
BLIP2_API blip2_status blip2_likelihood_compute(blip2_engine *engine,
                                                const blip2_candidates *inputs, size_t count,
                                                const blip2_likelihood_options *options,
                                                blip2_likelihood **out);
/* Sum of a text's log-probabilities; 0 if an index is out of range, as with loss. */
BLIP2_API double blip2_likelihood_sum(const blip2_likelihood *likelihood, size_t input,
                                      size_t text);
/* The loss by which LAVIS's predict_class ranks: -sum, with Llama divided by the padded length of
 * the batch, which is all inputs where they have one and the same list of texts, else each. */
BLIP2_API double blip2_likelihood_loss(const blip2_likelihood *likelihood, size_t input,
                                       size_t text);
/* An input's texts by loss, least first, at most `most` of them into order; their number. */
BLIP2_API size_t blip2_likelihood_best(const blip2_likelihood *likelihood, size_t input,
                                       size_t most, size_t *order);
/* [*count, *columns]: a row a token of the text, first that token, then the best of its place, best
 * first. NULL if an index is out of range. */
BLIP2_API const blip2_logprob *blip2_likelihood_tokens(const blip2_likelihood *likelihood,
                                                       size_t input, size_t text, size_t *count,
                                                       size_t *columns);
BLIP2_API void blip2_likelihood_free(blip2_likelihood *likelihood);

/* What a token of the language model adds to a text, its space included; a part of a character is
 * U+FFFD. Yours to free with blip2_string_free. EINVAL: no such token. */
BLIP2_API blip2_status blip2_token_text(char **out, const blip2_model *model, int32_t token);

#ifdef __cplusplus
}
#endif
#endif
