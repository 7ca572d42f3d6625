/* blip2/stats.h - what an engine has done and holds; part of blip2.h, which includes it. */
#ifndef BLIP2_STATS_H
#define BLIP2_STATS_H
#ifndef BLIP2_H
#error "include blip2.h"
#endif
#ifdef __cplusplus
extern "C" {
#endif

/* What an engine has done since it was opened, and holds now; as of its last step. */
typedef struct blip2_engine_counts {
    uint64_t images_encoded;   /* runs of the vision tower, a picture each */
    uint64_t image_hits;       /* requests that found their picture encoded, or about to be */
    uint64_t texts_scored;     /* texts read by themselves */
    uint64_t pairs_scored;     /* texts read together with a picture */
    uint64_t cross_kv_runs;    /* pictures whose keys and values for the Q-Former were computed */
    uint64_t query_runs;       /* pictures that the Q-Former's queries read without a text */
    uint64_t query_hits;       /* texts by the Q-Former that went on from queries run before */
    uint64_t images_restored;  /* pictures that went on from features kept in a work folder */
    uint64_t running, waiting; /* requests now */
    uint64_t requests_ended;
    /* Pages of the pool of keys and values; those that can be had now, free or kept for no running
     * request; all that are kept for prompts to come. */
    uint64_t pages, pages_free, pages_kept;
    uint64_t put_backs;     /* texts that gave their pages to older ones for a while */
    uint64_t prefix_hits;   /* requests whose picture and prompt began as one before */
    uint64_t prefix_rows;   /* that these did not compute */
    uint64_t soft_prefills; /* soft prompts, or queries, that were put in front of a prompt */
    uint64_t steps;
    uint64_t rows_read;     /* by what writes text: rows of prompts, and tokens written before */
    uint64_t tokens_chosen; /* each beam's too */
    /* Nanoseconds of steps: of the engine's own, of the vision tower with what belongs to a
     * picture, of what stage 1 is asked, of prompts that the Q-Former or an encoder reads, of
     * writing. On a GPU the first stages are counted where they are waited for. */
    uint64_t ns_host, ns_encode, ns_score, ns_read, ns_write;
} blip2_engine_counts;
/* Writes size bytes, sizeof *counts: what a program was compiled with. */
BLIP2_API blip2_status blip2_engine_stats(const blip2_engine *engine, blip2_engine_counts *counts,
                                          size_t size);

#ifdef __cplusplus
}
#endif
#endif
