/* A crowd: threads that ask one engine for everything its model can do, at once and in every way
 * the API has, and compare each answer with that of an engine which had one request at a time. */
#ifndef B2_TESTS_ENGINE_CROWD_H
#define B2_TESTS_ENGINE_CROWD_H
#include "../../bench/ask.h"

enum { CROWD_PICTURES = 8, CROWD_ASKS = 96, CROWD_THREADS = 4 };

typedef struct crowd_plan {
    const char *model;           /* folder */
    const char *const *pictures; /* [CROWD_PICTURES] files */
    const char *device;
    uint32_t requests; /* of all threads */
    uint32_t asks;     /* different ones, at most CROWD_ASKS */
    uint32_t longest;  /* new tokens */
    uint64_t seed;
} crowd_plan;

void crowd_run(const crowd_plan *plan);

/* crowd_asks.c */
typedef struct crowd_asks {
    blip2_image *pictures[CROWD_PICTURES];
    ask asks[CROWD_ASKS]; /* [count] */
    answer answers[CROWD_ASKS];
    size_t count;
} crowd_asks;

/* Asks drawn from what the model can do, with the answers of an engine that has one at a time. */
void crowd_asks_open(crowd_asks *out, const crowd_plan *plan, blip2_model *model);
void crowd_asks_close(crowd_asks *asks);

#endif
