/* The part of a step that answers what stage 1 is asked (score.h). */
#ifndef B2_SCORES_H
#define B2_SCORES_H
#include "engine/engine.h"

/* One pass over requests that wait for it, as many as fit. */
blip2_status b2_scores_step(blip2_engine *engine);

#endif
