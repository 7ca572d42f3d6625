/* Work of every task for tests that make devices fail: several requests in flight, all answers as
 * numbers, and what must be whole afterwards. */
#ifndef B2_TESTS_FAULTS_WORK_H
#define B2_TESTS_FAULTS_WORK_H
#include "engine/engine.h"

#define GOLDEN BLIP2_SOURCE_DIR "/tests/golden"

enum { PICTURES = 3, MIXED = 6, FOLDERS = 5, ANSWER = 1 << 14 };

/* Everything that a call said, in order. */
typedef struct answer {
    size_t count;
    double numbers[ANSWER];
} answer;

/* What stands open. */
typedef struct place {
    blip2_model *model;
    blip2_engine *engine;
    blip2_image *images[PICTURES];
    int requests;        /* of mixed ones */
    uint32_t new_tokens; /* of a text */
} place;

typedef struct work {
    const char *name, *folder;
    blip2_status (*run)(place *p, answer *out);
} work;

extern const work works[];
extern const size_t work_count;

/* On failure nothing is left open. */
blip2_status place_open(place *p, const work *w, const char *device);
blip2_status place_open_engine(place *p);
void place_close(place *p);

void answer_add(answer *out, double number);
void assert_same_answer(const answer *a, const answer *expected, double tolerance,
                        const char *when);
/* Nothing runs or waits, no page is taken and no picture pinned. */
void assert_whole(const blip2_engine *engine);

/* work_stage1.c */
blip2_status run_match(place *p, answer *out);
blip2_status run_features(place *p, answer *out);
blip2_status run_similarity(place *p, answer *out);
blip2_status run_explain(place *p, answer *out);
blip2_status run_losses(place *p, answer *out);

#endif
