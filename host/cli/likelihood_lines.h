/* What 'blip2 rank-answers' and 'blip2 logits' print of a picture. */
#ifndef B2_LIKELIHOOD_LINES_H
#define B2_LIKELIHOOD_LINES_H
#include "arguments.h"
#include "texts.h"

typedef struct b2_likelihood_lines {
    const b2_settings *settings;
    const b2_texts *texts;
    const blip2_model *model;
    const blip2_likelihood *likelihood;
    size_t index;                  /* of the picture and prompt among its inputs */
    const char *path;              /* the picture's */
    const char *question, *prompt; /* NULL, "": none */
    bool show_name, show_question;
} b2_likelihood_lines;

/* Whole lines, yours to b2_free. order [count]: the texts that are printed, best first. NULL: out
 * of memory. */
char *b2_answer_lines(const b2_likelihood_lines *l, const size_t *order, size_t count);
/* Of every text. */
char *b2_token_lines(const b2_likelihood_lines *l);

#endif
