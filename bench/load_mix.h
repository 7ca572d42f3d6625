/* What `blip2-bench load` asks: requests drawn by a seed from a mix of tasks and lengths. */
#ifndef BENCH_LOAD_MIX_H
#define BENCH_LOAD_MIX_H
#include "ask.h"

typedef enum load_task {
    LOAD_CAPTION, /* greedily, without a prompt */
    LOAD_ASK,     /* a question, greedily */
    LOAD_BEAMS,   /* a caption by 4 beams */
    LOAD_SAMPLE,  /* a caption, drawn */
    LOAD_RANK,    /* a question and 4 given answers */
    LOAD_ITM,
    LOAD_ITC,
    LOAD_FEATURES, /* of a picture */
    LOAD_TASKS
} load_task;

extern const char *const load_task_names[LOAD_TASKS];

typedef struct load_mix {
    uint32_t weights[LOAD_TASKS]; /* how often a task comes, beside the others */
    uint32_t least, most;         /* new tokens of a text, drawn evenly; the end token is banned */
    uint64_t seed;
} load_mix;

/* "caption=4,ask=3". False: it is none. */
bool load_mix_read(load_mix *mix, const char *text);
/* What the model can do of everything, if no weight is set; ENOTSUP: it cannot do what is asked. */
blip2_status load_mix_settle(load_mix *mix, const blip2_model *model);

/* The next request, of a picture of images [count]. *state: the seed at first. */
load_task load_mix_draw(const load_mix *mix, uint64_t *state, const blip2_model *model,
                        blip2_image *const *images, size_t count, ask *out);

#endif
