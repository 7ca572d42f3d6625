/* Where the time of steps goes. On a GPU the stages queue their work, which is waited for where
 * something is fetched: at the end of scoring and of writing. */
#ifndef B2_TIMES_H
#define B2_TIMES_H
#include "base/clock.h"

typedef enum b2_stage {
    B2_STAGE_HOST,   /* what is the engine's own: queues, packing, handing over */
    B2_STAGE_ENCODE, /* pictures */
    B2_STAGE_SCORE,  /* what stage 1 is asked */
    B2_STAGE_READ,   /* prompts, by the Q-Former or an encoder */
    B2_STAGE_WRITE,  /* texts */
    B2_STAGES
} b2_stage;

typedef struct b2_times {
    uint64_t last;             /* when the stage that runs began */
    uint64_t spent[B2_STAGES]; /* nanoseconds */
} b2_times;

static inline void b2_times_start(b2_times *times) {
    times->last = b2_clock();
}
/* What has passed since then, or since the last lap, was the stage's. */
static inline void b2_times_lap(b2_times *times, b2_stage stage) {
    uint64_t now = b2_clock();

    times->spent[stage] += now - times->last;
    times->last = now;
}

#endif
