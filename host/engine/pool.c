/* Several engines under one front. A pool chooses an engine for each job and hears of its end; it
 * has no thread, and its lock is never held while an engine is called. */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/engine.h"
#include "engine/homes.h"
#include "engine/job.h"
#include "image/image.h"

enum {
    MOST_ENGINES = 64,
    DEFAULT_MARGIN = 8 /* an engine's default max_requests: one more step's worth of answers */
};

typedef struct member {
    blip2_engine *engine;
    blip2_pool_counts counts;
} member;

struct blip2_pool {
    pthread_mutex_t lock;
    uint32_t count;
    uint64_t margin;
    /* behind the lock */
    size_t references; /* the caller's and one of every job that has not ended */
    member *members;   /* [count] */
    b2_homes homes;
};

/* ---- open and close ----------------------------------------------------------------------- */

static void free_pool(blip2_pool *pool) {
    b2_homes_close(&pool->homes);
    (void)pthread_mutex_destroy(&pool->lock);
    b2_free(pool->members);
    b2_free(pool);
}

/* With the lock, which is released. */
static void drop(blip2_pool *pool) {
    bool last = --pool->references == 0;

    (void)pthread_mutex_unlock(&pool->lock);
    if (last)
        free_pool(pool);
}

static blip2_status check_engines(blip2_engine *const *engines, size_t count) {
    char first[65], other[65];
    blip2_status status;

    if (engines == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_pool_open: engines is NULL");
    if (count < 1 || count > MOST_ENGINES)
        return b2_fail(BLIP2_EINVAL, "blip2_pool_open: got %zu engines, expected 1 to %d", count,
                       MOST_ENGINES);
    for (size_t i = 0; i < count; i++) {
        if (engines[i] == NULL)
            return b2_fail(BLIP2_EINVAL, "blip2_pool_open: engine %zu is NULL", i);
        for (size_t j = 0; j < i; j++)
            if (engines[i] == engines[j])
                return b2_fail(BLIP2_EINVAL, "blip2_pool_open: engines %zu and %zu are the same", j,
                               i);
        if ((status = blip2_model_digest(engines[i]->model, i == 0 ? first : other)) < 0)
            return status;
        if (i > 0 && strcmp(first, other) != 0)
            return b2_fail(BLIP2_EINVAL,
                           "blip2_pool_open: engine %zu has another checkpoint (%s, digest %.12s) "
                           "than engine 0 (%s, %.12s)",
                           i, b2_model_name(engines[i]->model), other,
                           b2_model_name(engines[0]->model), first);
    }
    return BLIP2_OK;
}

static blip2_status make_members(blip2_pool *pool, blip2_engine *const *engines) {
    uint32_t rooms[MOST_ENGINES];

    if ((pool->members = b2_calloc(pool->count, sizeof *pool->members)) == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < pool->count; i++) {
        pool->members[i].engine = engines[i];
        rooms[i] = engines[i]->plan.limits.image_places;
    }
    return b2_homes_open(&pool->homes, rooms, pool->count);
}

blip2_status blip2_pool_open(blip2_pool **out, blip2_engine *const *engines, size_t count,
                             const blip2_pool_options *options) {
    blip2_pool_options known;
    blip2_pool *pool;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_pool_open: out is NULL");
    *out = NULL;
    if ((status = check_engines(engines, count)) < 0 ||
        (status = b2_options_copy(&known, sizeof known, options, "blip2_pool_options")) < 0)
        return status;
    if ((pool = b2_calloc(1, sizeof *pool)) == NULL)
        return b2_fail_memory();
    (void)pthread_mutex_init(&pool->lock, NULL); /* allocates nothing on Linux: it cannot fail */
    pool->references = 1;
    pool->count = (uint32_t)count;
    pool->margin = known.margin < 0   ? 0
                   : known.margin > 0 ? (uint64_t)known.margin
                                      : DEFAULT_MARGIN;
    if ((status = make_members(pool, engines)) < 0) {
        free_pool(pool);
        return status;
    }
    *out = pool;
    return BLIP2_OK;
}

void blip2_pool_close(blip2_pool *pool) {
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    drop(pool);
}

blip2_status blip2_pool_stats(blip2_pool *pool, size_t index, blip2_pool_counts *counts,
                              size_t size) {
    blip2_pool_counts known;

    if (pool == NULL || counts == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_pool_stats: %s is NULL",
                       pool == NULL ? "pool" : "counts");
    if (index >= pool->count)
        return b2_fail(BLIP2_EINVAL, "blip2_pool_stats: engine %zu of %u", index, pool->count);
    (void)pthread_mutex_lock(&pool->lock);
    known = pool->members[index].counts;
    (void)pthread_mutex_unlock(&pool->lock);
    memset(counts, 0, size);
    memcpy(counts, &known, b2_size_min(size, sizeof known));
    return BLIP2_OK;
}

/* ---- placing, with the lock --------------------------------------------------------------- */

/* A job to be: what its task's call was given. */
typedef struct order {
    blip2_status (*open)(blip2_job **out, blip2_engine *engine, const struct order *order);
    const blip2_image *(*image)(const struct order *order, size_t i); /* of an input; may be NULL */
    const void *inputs;                                               /* [count] */
    size_t count;
    const void *options;
} order;

/* Where a job goes, and how many of its pictures are at home there and elsewhere. */
typedef struct placing {
    uint32_t engine;
    uint64_t found, elsewhere;
} placing;

static bool is_less_busy(const member *a, const member *b) {
    return a->counts.load != b->counts.load ? a->counts.load < b->counts.load
                                            : a->counts.inputs < b->counts.inputs;
}

/* Of a job's pictures, which a video's frames are too. */
typedef struct cursor {
    size_t input;
    uint32_t frame;
} cursor;

/* NULL: there are no more. */
static const uint8_t *next_picture(const order *order, cursor *at) {
    for (; order->inputs != NULL && at->input < order->count; at->input++, at->frame = 0) {
        const blip2_image *image = order->image(order, at->input);

        if (image != NULL && at->frame < b2_image_frames(image))
            return b2_image_frame(image, at->frame++)->sha256;
    }
    return NULL;
}

/* homes [pool->count]: pictures of the job that each engine was given last. */
static void find_homes(const blip2_pool *pool, const order *order, uint64_t *homes) {
    const uint8_t *key;

    memset(homes, 0, pool->count * sizeof *homes);
    for (cursor at = {0}; (key = next_picture(order, &at)) != NULL;) {
        uint32_t home = b2_homes_find(&pool->homes, key);

        if (home != B2_NO_HOME)
            homes[home]++;
    }
}

/* tried: bits of engines that are busy. False: no engine is left. */
static bool choose(const blip2_pool *pool, const order *order, uint64_t tried, placing *out) {
    const member *m = pool->members;
    uint64_t homes[MOST_ENGINES];
    uint32_t least = MOST_ENGINES, home = MOST_ENGINES;

    find_homes(pool, order, homes);
    for (uint32_t i = 0; i < pool->count; i++) {
        if (m[i].counts.failures > 0 || (tried >> i & 1) != 0)
            continue;
        if (least == MOST_ENGINES || is_less_busy(&m[i], &m[least]))
            least = i;
        if (homes[i] > 0 && (home == MOST_ENGINES || homes[i] > homes[home] ||
                             (homes[i] == homes[home] && is_less_busy(&m[i], &m[home]))))
            home = i;
    }
    if (least == MOST_ENGINES)
        return false;
    if (home != MOST_ENGINES && m[home].counts.load - m[least].counts.load <= pool->margin)
        least = home;
    *out = (placing){.engine = least, .found = homes[least]};
    for (uint32_t i = 0; i < pool->count; i++)
        out->elsewhere += i != least ? homes[i] : 0;
    return true;
}

/* Before the engine has it, so that the next one with the same picture follows. */
static void book(blip2_pool *pool, const order *order, const placing *placing) {
    blip2_pool_counts *counts = &pool->members[placing->engine].counts;
    const uint8_t *key;

    for (cursor at = {0}; (key = next_picture(order, &at)) != NULL;)
        b2_homes_set(&pool->homes, key, placing->engine);
    counts->jobs++;
    counts->inputs += order->count;
    counts->load += order->count;
    counts->pictures_found += placing->found;
    counts->pictures_moved += placing->elsewhere;
    pool->references++;
}

/* ---- submission --------------------------------------------------------------------------- */

/* The engine has refused it. What is remembered of its pictures may stay: it is a guess. */
static void unbook(blip2_pool *pool, const order *order, const placing *placing, bool busy) {
    blip2_pool_counts *counts = &pool->members[placing->engine].counts;

    (void)pthread_mutex_lock(&pool->lock);
    counts->jobs--;
    counts->inputs -= order->count;
    counts->load -= order->count;
    counts->pictures_found -= placing->found;
    counts->pictures_moved -= placing->elsewhere;
    counts->busy += busy;
    drop(pool);
}

/* On the engine's thread: a job ends. */
static void leave(const b2_job_place *place, blip2_status status) {
    blip2_pool *pool = place->pool;
    blip2_pool_counts *counts = &pool->members[place->engine].counts;

    (void)pthread_mutex_lock(&pool->lock);
    counts->load -= place->inputs;
    counts->failures += status == BLIP2_EDEVICE;
    drop(pool);
}

static blip2_status submit_to(blip2_job **out, blip2_pool *pool, const order *order,
                              uint32_t engine, const blip2_submit_options *submit) {
    blip2_job *job;
    blip2_status status = order->open(&job, pool->members[engine].engine, order);

    if (status < 0)
        return status;
    job->place = (b2_job_place){leave, pool, engine, order->count};
    return b2_job_submit(out, job, submit);
}

static blip2_status refuse(const blip2_pool *pool, uint64_t tried) {
    if (tried == 0)
        return b2_fail(BLIP2_EDEVICE, "the pool's engines (%u) have all failed", pool->count);
    return b2_fail(BLIP2_EBUSY, "the pool is busy: so are all of its engines (%u) that work",
                   pool->count);
}

static blip2_status place(blip2_job **out, blip2_pool *pool, const char *name, const order *order,
                          const blip2_submit_options *submit) {
    uint64_t tried = 0;
    blip2_status status = BLIP2_EBUSY;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || pool == NULL)
        return b2_fail(BLIP2_EINVAL, "%s: %s is NULL", name, out == NULL ? "out" : "pool");
    while (status == BLIP2_EBUSY) {
        placing where;
        bool chosen;

        (void)pthread_mutex_lock(&pool->lock);
        if ((chosen = choose(pool, order, tried, &where)))
            book(pool, order, &where);
        (void)pthread_mutex_unlock(&pool->lock);
        if (!chosen)
            return refuse(pool, tried);
        tried |= UINT64_C(1) << where.engine;
        if ((status = submit_to(out, pool, order, where.engine, submit)) < 0)
            unbook(pool, order, &where, status == BLIP2_EBUSY);
    }
    return status;
}

/* ---- tasks -------------------------------------------------------------------------------- */

static const blip2_image *image_of_input(const order *order, size_t i) {
    return ((const blip2_input *)order->inputs)[i].image;
}

static const blip2_image *image_of_candidates(const order *order, size_t i) {
    return ((const blip2_candidates *)order->inputs)[i].image;
}

static blip2_status open_texts(blip2_job **out, blip2_engine *engine, const order *order) {
    return b2_job_open_texts(out, engine, order->inputs, order->count, order->options);
}

static blip2_status open_features(blip2_job **out, blip2_engine *engine, const order *order) {
    return b2_job_open_features(out, engine, order->inputs, order->count, order->options);
}

static blip2_status open_match(blip2_job **out, blip2_engine *engine, const order *order) {
    return b2_job_open_match(out, engine, order->inputs, order->count, order->options);
}

static blip2_status open_likelihood(blip2_job **out, blip2_engine *engine, const order *order) {
    return b2_job_open_likelihood(out, engine, order->inputs, order->count, order->options);
}

blip2_status blip2_pool_submit_texts(blip2_job **out, blip2_pool *pool, const blip2_input *inputs,
                                     size_t count, const blip2_generate_options *options,
                                     const blip2_submit_options *submit) {
    return place(out, pool, "blip2_pool_submit_texts",
                 &(order){open_texts, image_of_input, inputs, count, options}, submit);
}

blip2_status blip2_pool_submit_features(blip2_job **out, blip2_pool *pool,
                                        const blip2_input *inputs, size_t count,
                                        const blip2_features_options *options,
                                        const blip2_submit_options *submit) {
    return place(out, pool, "blip2_pool_submit_features",
                 &(order){open_features, image_of_input, inputs, count, options}, submit);
}

blip2_status blip2_pool_submit_match(blip2_job **out, blip2_pool *pool, const blip2_input *pairs,
                                     size_t count, const blip2_match_options *options,
                                     const blip2_submit_options *submit) {
    return place(out, pool, "blip2_pool_submit_match",
                 &(order){open_match, image_of_input, pairs, count, options}, submit);
}

blip2_status blip2_pool_submit_likelihood(blip2_job **out, blip2_pool *pool,
                                          const blip2_candidates *inputs, size_t count,
                                          const blip2_likelihood_options *options,
                                          const blip2_submit_options *submit) {
    return place(out, pool, "blip2_pool_submit_likelihood",
                 &(order){open_likelihood, image_of_candidates, inputs, count, options}, submit);
}
