/* A request of any task, and its answer, to be compared with the answer of another time: what
 * `blip2-bench load` and the tests of many requests have in common. */
#ifndef BENCH_ASK_H
#define BENCH_ASK_H
#include "base/text_buffer.h"
#include "blip2.h"

typedef enum ask_kind { ASK_TEXTS, ASK_FEATURES, ASK_MATCH, ASK_LIKELIHOOD } ask_kind;

enum { ASK_MOST_INPUTS = 3 };

typedef struct ask {
    ask_kind kind;
    blip2_input inputs[ASK_MOST_INPUTS]; /* [count], borrowed */
    size_t count;
    blip2_generate_options generate; /* TEXTS */
    blip2_features_options features; /* FEATURES */
    blip2_match_options match;       /* MATCH */
    const char *const *texts;        /* LIKELIHOOD: [text_count], of each input; borrowed */
    size_t text_count;
    blip2_likelihood_options likelihood;
} ask;

/* Of that kind, with all defaults and no input. */
void ask_init(ask *out, ask_kind kind);

typedef struct answer {
    b2_text_buffer words;   /* texts, each with its zero, then tokens and counts, as bytes */
    b2_text_buffer numbers; /* scores and features, as floats */
    size_t texts, tokens;
} answer; /* all zero: none */

/* Ask and wait. Whatever *out held is replaced, as below; of no use after a failure but for
 * answer_free. */
blip2_status ask_run(const ask *a, blip2_engine *engine, answer *out);
blip2_status ask_submit(const ask *a, blip2_engine *engine, const blip2_submit_options *options,
                        blip2_job **out);
blip2_status ask_take(const ask *a, blip2_job *job, answer *out);

/* The largest difference of two numbers that belong together, by 1 + their size; infinity where
 * anything else differs. */
float answer_difference(const answer *a, const answer *b);
const char *answer_text(const answer *a, size_t index); /* index < texts */
void answer_free(answer *a);

#endif
