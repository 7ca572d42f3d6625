/* A request, as a state machine that the engine advances. GENERATE: one picture, one prompt, one
 * text. SCORE: what stage 1 says of a picture, a text or a pair (score.h).
 *
 *   QUEUED -> ENCODE -> FEED ... FEED -> DONE          GENERATE
 *   QUEUED -> ENCODE -> READ -> FEED ... FEED -> DONE  ... where the writer reads first
 *   QUEUED -> ENCODE -> INSTRUCT -> ...                ... and with InstructBLIP, once a frame
 *   QUEUED -> ENCODE -> SCORE -> DONE                  SCORE; without a picture: no ENCODE
 *
 * QUEUED  waits for a running place and for pages: those of the rows it has, or with branches or
 *         candidates all that it may ever need. One that was put back for want of pages waits here
 *         again, with its text so far, and feeds its rows anew (holding.h).
 * ENCODE  waits for what is read of its picture (vision tower and Q-Former).
 * INSTRUCT waits for a common pass of the Q-Former, which reads picture and prompt (instruct.h).
 * READ    waits for the encoder's pass over [soft; prompt], into pages of their own.
 * FEED    has rows that are not yet in its pages: first [soft; prompt], [queries; start] or [start]
 * (model/writer.h), possibly over several steps, then one new token a step, or one of each beam
 *         (branches.h). A step that feeds the last row chooses the next token. With candidates
 *         nothing is chosen: their rows follow the prompt's (candidates.h). Contrastive search
 *         feeds several tokens beside each other and chooses then (contrastive.h).
 *
 * SCORE   waits for a common pass of the Q-Former.
 *
 * DONE    has its results, or a status that says why not. */
#ifndef B2_REQUEST_H
#define B2_REQUEST_H
#include "decode/decoding.h"
#include "decode/process.h"
#include "engine/branches.h"
#include "engine/candidates.h"
#include "engine/choice.h"
#include "engine/contrastive.h"
#include "engine/rules.h"
#include "engine/score.h"
#include "image/image.h"
#include "model/model.h"

typedef enum b2_request_kind { B2_REQUEST_GENERATE, B2_REQUEST_SCORE } b2_request_kind;

typedef enum b2_phase {
    B2_PHASE_QUEUED,
    B2_PHASE_ENCODE,
    B2_PHASE_INSTRUCT,
    B2_PHASE_READ,
    B2_PHASE_FEED,
    B2_PHASE_SCORE,
    B2_PHASE_DONE
} b2_phase;

/* What an encoder reads (writer.reads): soft_count soft prompt vectors, then the prompt's ids. */
typedef struct b2_reading {
    uint32_t soft_count;
    int32_t *ids; /* [id_count] */
    uint32_t id_count;
    uint32_t page_count; /* its pages are the last of the request's; shared by all beams */
} b2_reading;

enum { B2_PREFIX_KEY = 32 }; /* bytes: SHA-256 */

typedef struct b2_request b2_request;
struct b2_request {
    b2_request_kind kind;
    b2_phase phase;
    int32_t priority;    /* higher ones come first */
    uint64_t order;      /* then earlier ones; the engine's number for it */
    blip2_status status; /* once DONE */
    const blip2_model *model;
    const blip2_image *image; /* NULL: none (SCORE of a text) */
    uint32_t frame;           /* of a video: which one is encoded and read with the prompt next */

    /* the rows of the sequence: soft_count soft prompt vectors or queries, then ids */
    uint32_t soft_count;
    int32_t *ids; /* [prompt_count + max_new_tokens] prompt, then new tokens; SCORE: the text */
    uint32_t prompt_count, id_count;
    uint32_t fed;          /* rows whose keys and values are in pages */
    b2_tokens instruction; /* the prompt as the Q-Former reads it; empty where it reads none */

    b2_reading reading; /* all zero: nothing is read */

    b2_score score; /* SCORE */
    b2_rules rules;
    b2_choice choice;
    b2_decoding decoding;
    b2_branches *branches;       /* NULL: one sequence. With beams `decoding` only holds options and
                                    what came before, and `ids` the prompt */
    b2_contrastive *contrastive; /* NULL: no contrastive search; else branches are there */
    b2_candidates *candidates;   /* NULL: new tokens are chosen. Else they are given, and
                                    max_new_tokens is the longest candidate's */
    b2_detokenizer stream;
    b2_text_buffer text; /* the text so far, without the stop token */

    uint32_t place;       /* index among the running requests, while running */
    uint32_t image_place; /* its picture's (images.h), while running */
    bool pinned;          /* it has one */
    uint32_t granted;     /* rows of the step that is being packed */
    int32_t *pages;       /* [page_count] those of its rows, then those of its reading */
    uint32_t page_count;  /* that it may ever need */
    uint32_t held;        /* that are there of its rows (holding.h) */
    /* What others may share with it (prefix.h): SHA-256 of its first pages, or of its reading. */
    uint8_t (*keys)[B2_PREFIX_KEY]; /* [key_count] */
    uint32_t key_count;
    uint32_t kept;     /* its first so many pages are entries of the cache, while running */
    uint32_t settled;  /* of those: that it has fed or gone over */
    bool reading_kept; /* its reading is */

    /* Called with each new piece of text; non-zero stops the request with BLIP2_ESTOP. */
    int (*on_text)(b2_request *request, const char *piece, size_t length, void *payload);
    void (*on_done)(b2_request *request, void *payload);
    void *payload;
    size_t index;          /* the caller's number for it */
    struct b2_call *call;  /* the one that it belongs to; NULL: none */
    const b2_trace *trace; /* SCORE: watches its pass, in which it is alone; NULL: nobody does */

    /* Called with the logits (fp32, host copy is the caller's business) that choose each new
     * token, before any change: for the harness. May be NULL. */
    void (*on_logits)(b2_request *request, const b2_mat *row, void *payload);
    b2_request *next; /* in the queue */
};

typedef struct b2_request_options {
    const char *prompt;         /* NULL: none */
    uint32_t max_prompt_tokens; /* longer ones are cut (b2_request_cut_prompt); 0: not */
    uint32_t min_new_tokens, max_new_tokens;
    float repetition_penalty;
    uint32_t beams;   /* 0: no beam search */
    uint32_t answers; /* with beams: the best so many texts */
    float length_penalty;
    b2_beam_rule
        rule; /* LAVIS: the repetition penalty counts new tokens and the start token only */
    /* Ids that the original had between picture and prompt (a batch's padding), which repetition
     * penalty and bans see. */
    const int32_t *seen;
    uint32_t seen_count;

    bool sample;        /* draw tokens; else warpers and seed mean nothing */
    b2_warpers warpers; /* but for `least`, which follows from beams */
    uint64_t seed;
    uint32_t no_repeat_ngram, logprobs; /* 0: none */
    const char *const *bad_words, *const *stop_strings;
    size_t bad_word_count, stop_string_count;
    const b2_id_lists *bad_ids; /* more bad words; NULL: none */

    float penalty_alpha; /* of contrastive search, without beams and sample; 0: none */
    uint32_t candidates; /* then, of a step */
} b2_request_options;

/* Everything that the request needs on the host is allocated here. The image is borrowed; a video
 * is ENOTSUP but for InstructBLIP. */
blip2_status b2_request_open(b2_request **out, const blip2_model *model, const blip2_image *image,
                             const b2_request_options *options);
/* The first `most` tokens of a prompt, its end kept where a tokenizer puts one behind (T5's): what
 * a truncating tokenizer gives. 0: all. */
void b2_request_cut_prompt(const blip2_model *model, b2_tokens *tokens, uint32_t most);
/* wanted: mode and what is wanted. max_text_tokens: longer texts are cut, their last token (the
 * end) kept. The text is UTF-8; NULL for B2_SCORE_IMAGE, as the image is for B2_SCORE_TEXT. */
blip2_status b2_request_open_score(b2_request **out, const blip2_model *model,
                                   const blip2_image *image, const char *text,
                                   const b2_score *wanted, uint32_t max_text_tokens);
/* The text of a CAPTION starts with [DEC] instead of [CLS]. ENOTSUP: the tokenizer has none. */
blip2_status b2_request_start_caption(b2_request *request);
void b2_request_close(b2_request *request); /* NULL is allowed; not while in an engine */

/* Does its turn come first? */
static inline bool b2_request_precedes(const b2_request *a, const b2_request *b) {
    return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}
/* The picture, or the frame of a video whose turn it is. */
static inline const blip2_image *b2_request_picture(const b2_request *request) {
    return b2_image_frame(request->image, request->frame);
}

/* Rows of the whole sequence when nothing stops it early; the last new token is never fed, but by
 * contrastive search. */
uint32_t b2_request_rows(const b2_request *request);
/* Rows that are not yet in pages. */
static inline uint32_t b2_request_pending(const b2_request *request) {
    return request->soft_count + request->id_count - request->fed;
}
/* Where keys and values of row r of a sequence with these pages go in the pool. */
static inline int32_t b2_slot_of(const int32_t *pages, uint32_t r, uint32_t page_tokens) {
    return pages[r / page_tokens] * (int32_t)page_tokens + (int32_t)(r % page_tokens);
}
static inline uint32_t b2_reading_rows(const b2_reading *reading) {
    return reading->soft_count + reading->id_count;
}
/* Its pages. */
static inline const int32_t *b2_reading_pages(const b2_request *request) {
    return request->pages + request->page_count - request->reading.page_count;
}
static inline bool b2_request_has_beams(const b2_request *request) {
    return request->branches != NULL && request->contrastive == NULL;
}
/* What came out; tokens belong to the request. */
typedef struct b2_answer {
    const int32_t *tokens; /* [count] new ones, the stop token included */
    uint32_t count;
    bool stopped; /* by a stop token, the last one */
    double score; /* of beams; else 0 */
} b2_answer;
/* Text i of those that the request gives, best first; the best one is request->text as well. */
b2_answer b2_request_answer(const b2_request *request, uint32_t i);
/* Its log-probabilities, out [count, 1 + logprobs]: each token, then the best of its place. Only
 * where the request keeps them. */
void b2_request_logprobs(const b2_request *request, uint32_t i, blip2_logprob *out);
static inline uint32_t b2_request_new_count(const b2_request *request) {
    return b2_request_has_beams(request) ? request->branches->beams.length
                                         : request->decoding.new_count;
}
/* What changes the scores of the next token, of a beam where there are any; valid until it is asked
 * for again. */
b2_processors b2_request_processors(b2_request *request, uint32_t beam);
/* Choose a token on the host from its row [1, V] of logits: where choice.on_host says so, no beams.
 */
blip2_status b2_request_choose(b2_request *request, b2_mat row, int32_t *token);
/* With beams: how many of the best continuations of each are asked for. */
uint32_t b2_request_top(b2_request *request);
/* Take the best continuations ids, log_prob [beams, count] of all running beams, which are changed;
 * logits: their rows [beams, V] on the device, where more must be known. EFORMAT: none is a number.
 */
blip2_status b2_request_continue(b2_request *request, float *log_prob, int32_t *ids, uint32_t count,
                                 b2_mat logits);
/* Make it a request of contrastive search, once its prompt is known. */
blip2_status b2_request_open_contrastive(b2_request *request, float alpha, uint32_t candidates);
/* The candidates were fed, and their hidden rows are taken: one becomes the next token. Or the
 * prompt was. logits: their rows [count, V] on the device. */
blip2_status b2_request_contrast(b2_request *request, b2_mat logits);
/* Hand the text beyond its first `before` bytes to the caller. */
void b2_request_deliver(b2_request *request, size_t before);
/* Take a chosen token: append, stream, stop. */
void b2_request_push(b2_request *request, int32_t token);

#endif
