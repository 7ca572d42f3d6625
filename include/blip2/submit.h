/* blip2/submit.h - many requests at once, answered later; part of blip2.h, which includes it.
 *
 *     static void answered(blip2_job *job, void *payload) {   // on the engine's thread
 *         blip2_result *result = NULL;
 *
 *         if (blip2_job_take_texts(job, &result) == BLIP2_OK)
 *             puts(blip2_result_text(result, 0));
 *         else
 *             fprintf(stderr, "%s\n", blip2_error_message());
 *         blip2_result_free(result);
 *         blip2_image_free(payload);
 *         blip2_job_free(job);
 *     }
 *
 *     blip2_submit_options options;
 *     blip2_job *job;
 *
 *     blip2_submit_options_init(&options, sizeof options);
 *     options.on_done = answered;
 *     options.payload = input.image;
 *     if (blip2_submit_texts(&job, engine, &input, 1, NULL, &options) == BLIP2_EBUSY)
 *         ...                                                 // later, or on another machine
 *
 * Jobs of every task and from any thread run together: a step of the engine encodes pictures, reads
 * prompts and texts, and goes on with all texts that are being written, packed into common batches.
 * An answer does not depend on what else runs (docs/architecture.md, "Determinism").
 *
 * Threads    All calls here may be made from any thread, but for blip2_job_wait, which a callback
 *            on the engine's thread must not call (EINVAL). That thread runs on_done, and on_text
 *            and on_done of blip2_generate_options: nothing of the engine goes on while they run.
 * Ownership  Pictures must stay until the job is done, that is, until on_done is called or
 *            blip2_job_wait returns; texts and options are read before the submission returns. A
 *            job is yours to free, also in its own on_done; in callbacks of another engine only if
 *            it is done, since two engines might wait for each other. An engine that a callback
 *            closes ends soon after, with the jobs that it has, and takes no more; its model may be
 *            closed meanwhile, and serves another engine when this one has ended. */
#ifndef BLIP2_SUBMIT_H
#define BLIP2_SUBMIT_H
#ifndef BLIP2_H
#error "include blip2.h"
#endif
#ifdef __cplusplus
extern "C" {
#endif

typedef struct blip2_job blip2_job; /* one or more inputs that were submitted together */

typedef struct blip2_submit_options {
    size_t size;      /* set by _init */
    int32_t priority; /* higher ones run first; default 0 */
    uint32_t
        timeout_ms; /* milliseconds from now until it must be done (ETIMEDOUT); default: never */
    /* The job is done, however it ended: called once, on the engine's thread. May be NULL. */
    void (*on_done)(blip2_job *job, void *payload);
    void *payload;
} blip2_submit_options;
BLIP2_API void blip2_submit_options_init(blip2_submit_options *options, size_t size);

/* As the calls of blip2.h that wait: blip2_generate, blip2_features_extract, blip2_match (all pairs
 * as one, not in groups) and blip2_likelihood_compute. What can never run is refused at once with
 * their errors, and what would wait behind more than the engine's max_waiting requests with EBUSY;
 * then there is no job, and on_done is not called. */
BLIP2_API blip2_status blip2_submit_texts(blip2_job **out, blip2_engine *engine,
                                          const blip2_input *inputs, size_t count,
                                          const blip2_generate_options *options,
                                          const blip2_submit_options *submit);
BLIP2_API blip2_status blip2_submit_features(blip2_job **out, blip2_engine *engine,
                                             const blip2_input *inputs, size_t count,
                                             const blip2_features_options *options,
                                             const blip2_submit_options *submit);
BLIP2_API blip2_status blip2_submit_match(blip2_job **out, blip2_engine *engine,
                                          const blip2_input *pairs, size_t count,
                                          const blip2_match_options *options,
                                          const blip2_submit_options *submit);
BLIP2_API blip2_status blip2_submit_likelihood(blip2_job **out, blip2_engine *engine,
                                               const blip2_candidates *inputs, size_t count,
                                               const blip2_likelihood_options *options,
                                               const blip2_submit_options *submit);

/* Until the job is done and its on_done has returned: how it ended. ESTOP: it was cancelled, or
 * its engine closed. */
BLIP2_API blip2_status blip2_job_wait(blip2_job *job);
/* Non-zero once blip2_job_wait would return at once. */
BLIP2_API int blip2_job_is_done(blip2_job *job);
/* Ask for its end: it is done soon, with ESTOP unless it was done before. */
BLIP2_API void blip2_job_cancel(blip2_job *job);

/* What a job that is done has found, once, yours to free: how it ended. EINVAL: it is not done, is
 * of another task, or nothing is left. */
BLIP2_API blip2_status blip2_job_take_texts(blip2_job *job, blip2_result **out);
BLIP2_API blip2_status blip2_job_take_features(blip2_job *job, blip2_features **out);
BLIP2_API blip2_status blip2_job_take_likelihood(blip2_job *job, blip2_likelihood **out);
/* scores [count], of as many pairs as were submitted. */
BLIP2_API blip2_status blip2_job_take_scores(blip2_job *job, blip2_match_score *scores,
                                             size_t count);
/* One that is not done is cancelled and waited for; on the engine's thread it is only cancelled,
 * and its on_done is not called any more. */
BLIP2_API void blip2_job_free(blip2_job *job);

#ifdef __cplusplus
}
#endif
#endif
