/* What has been said about a picture, and the prompt that a model reads of it: in the manner of
 * LAVIS's example notebooks,
 *
 *     Question: what is there? Answer: a ring. Question: which colour is it? Answer:
 *
 * and for models that follow instructions as its predict_class gives a history,
 *
 *     dialog history: Question: what is there? Answer: a ring.
 *     which colour is it?
 */
#ifndef B2_CONVERSATION_H
#define B2_CONVERSATION_H
#include <stdbool.h>
#include <stddef.h>

#include "blip2.h"

typedef struct b2_turn {
    char *question, *answer;
} b2_turn;

typedef struct b2_conversation {
    bool instructed; /* the second manner */
    b2_turn *turns;  /* [count], oldest first */
    size_t count, capacity;
} b2_conversation; /* all zero: nothing has been said */

/* Yours to b2_free; NULL when out of memory. */
char *b2_conversation_prompt(const b2_conversation *c, const char *question);
blip2_status b2_conversation_add(b2_conversation *c, const char *question, const char *answer);
void b2_conversation_forget_oldest(b2_conversation *c); /* there is one */
void b2_conversation_forget(b2_conversation *c);        /* everything */

#endif
