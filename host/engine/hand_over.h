/* What came out of a step, to the requests that wait for it. */
#ifndef B2_HAND_OVER_H
#define B2_HAND_OVER_H
#include "engine/engine.h"

/* Of the batch that was run and fetched; requests that are done leave their places. */
blip2_status b2_hand_over(blip2_engine *engine);

#endif
