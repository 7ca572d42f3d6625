/* blip2/pool.h - one front for several engines, a device each; part of blip2.h, which includes it.
 *
 *     blip2_engine *engines[2];                   // on models of one checkpoint, cuda:0 and cuda:1
 *     blip2_pool *pool;
 *
 *     if (blip2_pool_open(&pool, engines, 2, NULL) < 0)
 *         goto fail;
 *     if (blip2_pool_submit_texts(&job, pool, &input, 1, NULL, NULL) < 0 ||
 *         blip2_job_wait(job) < 0 || blip2_job_take_texts(job, &result) < 0)
 *         goto fail;
 *     ...
 *     blip2_pool_close(pool);                     // the engines stay open
 *
 * A job goes, as a whole, to the engine with the least load: inputs of this pool's jobs that were
 * submitted to it and have not ended. It goes rather to the engine that was given most of its
 * pictures last, if they are likely still encoded there (as many are remembered as its image cache
 * holds) and its load is not more than `margin` above the least.
 *
 * Threads    All calls may be made from any thread, also in callbacks of jobs; none waits for an
 *            engine. Which engine's thread runs a job's callbacks is not known before: they must
 *            not free, nor wait for, another job that is not done.
 * Ownership  Engines stay the caller's and may be used beside the pool, whose load does not see
 *            that. Close them after the pool, or when nobody submits to it any more. A job does not
 *            need its pool: once that is closed its jobs go on, and end as others do.
 * Errors     An engine one of whose jobs ended with EDEVICE gets no more; that job, and others that
 *            it had, end with their errors, none is repeated elsewhere. */
#ifndef BLIP2_POOL_H
#define BLIP2_POOL_H
#ifndef BLIP2_H
#error "include blip2.h"
#endif
#ifdef __cplusplus
extern "C" {
#endif

typedef struct blip2_pool blip2_pool;

typedef struct blip2_pool_options {
    size_t size;    /* set by _init */
    int32_t margin; /* inputs by which the engine that knows a job's pictures may be busier than the
                       least busy one; default 8, negative: by none */
} blip2_pool_options;
BLIP2_API void blip2_pool_options_init(blip2_pool_options *options, size_t size);

/* engines [count], 1 to 64, each another one; the array is copied. EINVAL: their models are not of
 * one checkpoint (blip2_model_digest). Answers are the same on all of them if their models' options
 * and kinds of device are; give the engines the same limits too, since what the chosen one refuses
 * is refused. */
BLIP2_API blip2_status blip2_pool_open(blip2_pool **out, blip2_engine *const *engines, size_t count,
                                       const blip2_pool_options *options);
BLIP2_API void blip2_pool_close(blip2_pool *pool);

/* As the calls of blip2/submit.h on the engine that is chosen. EBUSY: all are busy that have not
 * failed. EDEVICE: all have failed. */
BLIP2_API blip2_status blip2_pool_submit_texts(blip2_job **out, blip2_pool *pool,
                                               const blip2_input *inputs, size_t count,
                                               const blip2_generate_options *options,
                                               const blip2_submit_options *submit);
BLIP2_API blip2_status blip2_pool_submit_features(blip2_job **out, blip2_pool *pool,
                                                  const blip2_input *inputs, size_t count,
                                                  const blip2_features_options *options,
                                                  const blip2_submit_options *submit);
BLIP2_API blip2_status blip2_pool_submit_match(blip2_job **out, blip2_pool *pool,
                                               const blip2_input *pairs, size_t count,
                                               const blip2_match_options *options,
                                               const blip2_submit_options *submit);
BLIP2_API blip2_status blip2_pool_submit_likelihood(blip2_job **out, blip2_pool *pool,
                                                    const blip2_candidates *inputs, size_t count,
                                                    const blip2_likelihood_options *options,
                                                    const blip2_submit_options *submit);

/* What one engine of a pool was given. A picture counts once an input. */
typedef struct blip2_pool_counts {
    uint64_t jobs, inputs;   /* placed there */
    uint64_t load;           /* inputs of jobs that have not ended */
    uint64_t pictures_found; /* that it had been given last before */
    uint64_t pictures_moved; /* that another one had, which was too busy or has failed */
    uint64_t busy;           /* jobs that it had no room for */
    uint64_t failures;       /* jobs that ended with EDEVICE; not 0: it is left out */
} blip2_pool_counts;
/* Of engine `index` in the order of blip2_pool_open. Writes size bytes, sizeof *counts. EINVAL: no
 * such engine. */
BLIP2_API blip2_status blip2_pool_stats(blip2_pool *pool, size_t index, blip2_pool_counts *counts,
                                        size_t size);

#ifdef __cplusplus
}
#endif
#endif
