/* The best pictures of each text, opened again and matched. A picture is opened once, however many
 * texts found it. One that has gone or changed keeps the place that contrast gave it; the others
 * change places among each other. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "image/image.h"
#include "index/index.h"

enum { PAIRS = 64, PICTURES = 16, DIGEST = 32 };

/* A hit that is to be matched. */
typedef struct pair {
    size_t picture, query;
    blip2_hit *hit;
} pair;

/* Pairs of one call of blip2_match. */
typedef struct batch {
    blip2_image *images[PICTURES];
    size_t image_count, count;
    blip2_input inputs[PAIRS];
    blip2_hit *hits[PAIRS];
} batch;

static int by_picture(const void *a, const void *b) {
    const pair *x = a, *y = b;

    if (x->picture != y->picture)
        return x->picture < y->picture ? -1 : 1;
    return x->query < y->query ? -1 : x->query > y->query;
}

static void clear(batch *b) {
    for (size_t i = 0; i < b->image_count; i++)
        blip2_image_free(b->images[i]);
    b->image_count = b->count = 0;
}

static blip2_status match(const b2_rerank *job, batch *b) {
    blip2_match_score scores[PAIRS];
    blip2_match_options options;
    size_t count = b->count;
    blip2_status status;

    blip2_match_options_init(&options, sizeof options);
    options.no_itc = 1;
    options.max_text_tokens = job->options->max_text_tokens;
    status = blip2_match(job->engine, b->inputs, count, &options, scores);
    for (size_t i = 0; i < count && status == BLIP2_OK; i++)
        b->hits[i]->score = scores[i].itm_logits[1] + b->hits[i]->itc;
    clear(b);
    return status == BLIP2_OK ? b2_search_tell(job->progress, count) : status;
}

/* The picture as it was indexed; NULL, after telling why, if it is not there any more. */
static blip2_status open_picture(const b2_rerank *job, size_t picture, blip2_image **out) {
    const b2_index_file *file = &job->index->file;
    blip2_status status = blip2_image_open(out, b2_index_file_path(file, picture), NULL);

    if (status == BLIP2_ENOMEM)
        return status;
    if (status == BLIP2_OK &&
        memcmp((*out)->sha256, file->pixels + picture * DIGEST, DIGEST) != 0) {
        status = b2_fail(BLIP2_EINVAL, "%s: has changed since it was indexed",
                         b2_index_file_path(file, picture));
        blip2_image_free(*out);
        *out = NULL;
    }
    if (status < 0 && job->options->on_changed != NULL)
        job->options->on_changed(picture, blip2_error_message(), job->options->payload);
    return BLIP2_OK;
}

/* Pairs [count] in the order of their pictures. */
static blip2_status match_all(const b2_rerank *job, const pair *pairs, size_t count, batch *b) {
    blip2_image *image = NULL;
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        bool next = i == 0 || pairs[i].picture != pairs[i - 1].picture;

        if (b->count == PAIRS || (next && b->image_count == PICTURES)) {
            status = match(job, b);
            next = true; /* its picture has been let go */
        }
        if (status == BLIP2_OK && next &&
            (status = open_picture(job, pairs[i].picture, &image)) == BLIP2_OK && image != NULL)
            b->images[b->image_count++] = image;
        if (status < 0 || image == NULL)
            continue;
        b->inputs[b->count] = (blip2_input){image, job->queries[pairs[i].query].prompt};
        b->hits[b->count++] = pairs[i].hit;
    }
    return status == BLIP2_OK && b->count > 0 ? match(job, b) : status;
}

static int better_first(const void *a, const void *b) {
    const blip2_hit *x = a, *y = b;

    if (x->score > y->score || x->score < y->score)
        return x->score > y->score ? -1 : 1;
    return x->picture < y->picture ? -1 : x->picture > y->picture;
}

/* The matched ones of hits [k] into the places that they hold together. matched [k]: scratch. */
static void reorder(blip2_hit *hits, size_t k, blip2_hit *matched) {
    size_t count = 0, next = 0;

    for (size_t i = 0; i < k; i++)
        if (hits[i].score > -100.0f)
            matched[count++] = hits[i];
    qsort(matched, count, sizeof *matched, better_first);
    for (size_t i = 0; i < k; i++)
        if (hits[i].score > -100.0f)
            hits[i] = matched[next++];
}

blip2_status b2_rerank_run(const b2_rerank *job, blip2_hit *hits) {
    size_t most, count = 0;
    pair *pairs = NULL;
    blip2_hit *matched = b2_alloc_array(job->k, sizeof *matched);
    batch *b = b2_calloc(1, sizeof *b);
    blip2_status status = BLIP2_OK;

    if (!b2_size_mul(job->count, job->k, &most) || matched == NULL || b == NULL ||
        (pairs = b2_alloc_array(most, sizeof *pairs)) == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    for (size_t q = 0; q < job->count; q++)
        for (size_t i = 0; i < job->k && job->queries[q].image == NULL; i++) {
            blip2_hit *hit = &hits[q * job->top + i];

            if (hit->picture != SIZE_MAX)
                pairs[count++] = (pair){hit->picture, q, hit};
        }
    qsort(pairs, count, sizeof *pairs, by_picture);
    status = match_all(job, pairs, count, b);
    clear(b);
    for (size_t q = 0; q < job->count && status == BLIP2_OK; q++)
        reorder(hits + q * job->top, job->k, matched);
out:
    b2_free(b);
    b2_free(pairs);
    b2_free(matched);
    return status;
}
