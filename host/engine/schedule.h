/* Who gets how many of a step's rows.
 *
 * First those that write: a row each, or one of each beam, so that no prompt delays them by more
 * than the step's budget, and a row of those whose texts are given. Then in turn, by priority and
 * order: prompts, in pieces as large as the budget lasts, and more rows of given texts. A prompt
 * whose next rows another request feeds waits for them (prefix.h). */
#ifndef B2_SCHEDULE_H
#define B2_SCHEDULE_H
#include "engine/engine.h"

/* Is anything being written? */
bool b2_schedule_writes(const blip2_engine *engine);
/* Pack what the running requests have pending into engine->batch. */
void b2_schedule_pack(blip2_engine *engine);

/* The first row of a request's soft prompt: with its picture, or its own. */
uint32_t b2_schedule_soft_row(const blip2_engine *engine, const b2_request *request);
/* The memory that a batch refers to. */
void b2_schedule_bind(blip2_engine *engine);

#endif
