/* Every picture with every text: contrast of all, then matching of the best of each row.
 *
 *   texts     their vectors, once
 *   pictures  a few at a time: encode, contrast with all texts, match with the best texts, while
 *             keys and values are where they were encoded
 *   texts     the best pictures of each are known now: match those pairs that were not among the
 *             best of their pictures, picture by picture
 *
 * So the vision tower runs once a picture as long as the cache holds them all, and again for the
 * last step only for those that fell out. LAVIS keeps the features of all pictures instead and
 * makes keys and values anew for every pair. */
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/call.h"
#include "engine/contrast.h"
#include "engine/similarity_matrix.h"

enum { DEFAULT_RERANK = 128, DEFAULT_TOKENS = 35, GROUP = 64 };

typedef struct job {
    blip2_engine *engine;
    const blip2_image *const *images; /* [s->images] */
    const char *const *texts;         /* [s->texts] */
    const blip2_similarity_options *options;
    blip2_similarity *s;
    size_t width;   /* W of the contrast heads */
    float *vectors; /* [texts, W] of all texts */
    b2_contrast contrast;
    size_t *best; /* [rerank] scratch */
    uint64_t done, total;

    b2_request *requests[GROUP]; /* those of one call */
    size_t cells[GROUP];         /* of the matrix: a text's or picture's index, or a pair's cell */
    size_t count;
} job;

/* ---- calls -------------------------------------------------------------------------------- */

/* Tell how far it is, as in any callback: the engine must not be used there. */
static blip2_status tell(job *j, size_t more) {
    const blip2_similarity_options *o = j->options;
    bool stop;

    j->done += more;
    if (o->on_progress == NULL)
        return BLIP2_OK;
    j->engine->in_call = true;
    stop = o->on_progress(j->done, j->total, o->payload) != 0 || j->engine->close_wanted;
    j->engine->in_call = false;
    return stop ? b2_fail(BLIP2_ESTOP, "the caller's on_progress asked to stop") : BLIP2_OK;
}

static blip2_status add(job *j, const blip2_image *image, const char *text, const b2_score *wanted,
                        size_t cell) {
    uint32_t most = j->options->max_text_tokens != 0 ? j->options->max_text_tokens : DEFAULT_TOKENS;
    blip2_status status =
        b2_request_open_score(&j->requests[j->count], j->engine->model, image, text, wanted, most);

    if (status == BLIP2_OK)
        j->cells[j->count++] = cell;
    return status;
}

static void drop(job *j) {
    for (size_t i = 0; i < j->count; i++)
        b2_request_close(j->requests[i]);
    j->count = 0;
}

/* Run what was added, hand each result to take, and drop it. */
static blip2_status run(job *j, blip2_status (*take)(job *j, const b2_score *score, size_t cell)) {
    const blip2_status none = BLIP2_OK;
    size_t count = j->count;
    blip2_status status = b2_call_run(j->engine, j->requests, count, &none);

    for (size_t i = 0; i < count && status == BLIP2_OK; i++)
        status = take(j, &j->requests[i]->score, j->cells[i]);
    drop(j);
    return status < 0 ? status : tell(j, count);
}

/* ---- contrast ----------------------------------------------------------------------------- */

static blip2_status take_text(job *j, const b2_score *score, size_t text) {
    memcpy(j->vectors + text * j->width, score->contrast, j->width * sizeof *j->vectors);
    return BLIP2_OK;
}

static blip2_status take_image(job *j, const b2_score *score, size_t image) {
    return j->s->texts > 0
               ? b2_contrast_run(&j->contrast, score->contrast, j->s->itc + image * j->s->texts)
               : BLIP2_OK;
}

static blip2_status read_texts(job *j) {
    const b2_score wanted = {.mode = B2_SCORE_TEXT, .wants_contrast = true};
    blip2_status status = BLIP2_OK;

    for (size_t t = 0; t < j->s->texts && status == BLIP2_OK; t++) {
        status = add(j, NULL, j->texts[t], &wanted, t);
        if (status == BLIP2_OK && (j->count == GROUP || t + 1 == j->s->texts))
            status = run(j, take_text);
    }
    return status;
}

/* ---- matching ----------------------------------------------------------------------------- */

static blip2_status take_pair(job *j, const b2_score *score, size_t cell) {
    j->s->itm[cell] = score->match[1];
    return BLIP2_OK;
}

/* Match the pairs of pictures first .. first + count - 1 that are among the best of a row and were
 * not matched before, picture by picture. */
static blip2_status match(job *j, size_t first, size_t count) {
    const b2_score wanted = {.mode = B2_SCORE_PAIR, .wants_match = true};
    size_t texts = j->s->texts;
    blip2_status status = BLIP2_OK;

    for (size_t cell = first * texts; cell < (first + count) * texts && status == BLIP2_OK;
         cell++) {
        if (j->s->picked[cell] == 0 || !isnan(j->s->itm[cell]))
            continue;
        status = add(j, j->images[cell / texts], j->texts[cell % texts], &wanted, cell);
        if (status == BLIP2_OK && j->count == GROUP)
            status = run(j, take_pair);
    }
    return status == BLIP2_OK && j->count > 0 ? run(j, take_pair) : status;
}

static size_t rerank_of(const job *j, blip2_direction direction) {
    const blip2_similarity_options *o = j->options;
    size_t most = o->rerank != 0 ? o->rerank : DEFAULT_RERANK;
    bool other_only = direction == BLIP2_TEXTS_OF_IMAGE ? o->only_images_of_text != 0
                                                        : o->only_texts_of_image != 0;

    if (o->no_itm != 0 || other_only)
        return 0;
    return b2_size_min(most, b2_similarity_columns(j->s, direction));
}

static blip2_status read_images(job *j) {
    const b2_score wanted = {.mode = B2_SCORE_IMAGE, .wants_contrast = true};
    /* What is matched right behind must still be there. */
    size_t together = b2_size_min(GROUP, j->engine->plan.limits.max_images);
    blip2_status status = BLIP2_OK;

    for (size_t first = 0; first < j->s->images && status == BLIP2_OK; first += together) {
        size_t count = b2_size_min(together, j->s->images - first);

        for (size_t i = first; i < first + count && status == BLIP2_OK; i++)
            status = add(j, j->images[i], NULL, &wanted, i);
        if (status == BLIP2_OK)
            status = run(j, take_image);
        if (status < 0)
            break;
        for (size_t i = first; i < first + count; i++)
            b2_similarity_pick(j->s, BLIP2_TEXTS_OF_IMAGE, i, rerank_of(j, BLIP2_TEXTS_OF_IMAGE),
                               j->best);
        status = match(j, first, count);
    }
    return status;
}

static blip2_status compute(job *j) {
    size_t of_image = rerank_of(j, BLIP2_TEXTS_OF_IMAGE),
           of_text = rerank_of(j, BLIP2_IMAGES_OF_TEXT), most = b2_size_max(of_image, of_text);
    blip2_status status;

    if ((j->vectors = b2_alloc_array(j->s->texts, j->width * sizeof *j->vectors)) == NULL ||
        (j->best = b2_alloc_array(most, sizeof *j->best)) == NULL)
        return b2_fail_memory();
    j->total = (uint64_t)j->s->images * (1 + of_image) + (uint64_t)j->s->texts * (1 + of_text);
    if ((status = read_texts(j)) < 0 ||
        (j->s->texts > 0 &&
         (status = b2_contrast_open(&j->contrast, j->engine->model->device, j->vectors, j->s->texts,
                                    j->width, j->engine->model->config.qformer.queries)) < 0) ||
        (status = read_images(j)) < 0)
        return status;
    for (size_t t = 0; t < j->s->texts; t++)
        b2_similarity_pick(j->s, BLIP2_IMAGES_OF_TEXT, t, of_text, j->best);
    if ((status = match(j, 0, j->s->images)) < 0)
        return status;
    return tell(j, (size_t)(j->total - j->done)); /* pairs that both directions wanted */
}

/* ---- the call ----------------------------------------------------------------------------- */

static blip2_status check_lists(const job *j, size_t image_count, size_t text_count) {
    if ((image_count > 0 && j->images == NULL) || (text_count > 0 && j->texts == NULL))
        return b2_fail(BLIP2_EINVAL, "blip2_similarity_compute: %s is NULL",
                       text_count > 0 && j->texts == NULL ? "texts" : "images");
    for (size_t i = 0; i < image_count; i++)
        if (j->images[i] == NULL)
            return b2_fail(BLIP2_EINVAL, "image %zu is NULL", i);
    for (size_t i = 0; i < text_count; i++)
        if (j->texts[i] == NULL)
            return b2_fail(BLIP2_EINVAL, "text %zu is NULL", i);
    return BLIP2_OK;
}

/* Before any work: the heads that it needs. */
static blip2_status check_model(const job *j) {
    const blip2_model *model = j->engine->model;
    blip2_status status =
        b2_score_check(&(b2_score){.mode = B2_SCORE_TEXT, .wants_contrast = true}, model);

    if (status == BLIP2_OK && j->options->no_itm == 0)
        status = b2_score_check(&(b2_score){.mode = B2_SCORE_PAIR, .wants_match = true}, model);
    return status;
}

blip2_status blip2_similarity_compute(blip2_engine *engine, const blip2_image *const *images,
                                      size_t image_count, const char *const *texts,
                                      size_t text_count, const blip2_similarity_options *options,
                                      blip2_similarity **out) {
    blip2_similarity_options known;
    job j = {.engine = engine, .images = images, .texts = texts, .options = &known};
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_similarity_compute: out is NULL");
    *out = NULL;
    if ((status = b2_call_check(engine, "blip2_similarity_compute")) < 0 ||
        (status = b2_options_copy(&known, sizeof known, options, "blip2_similarity_options")) < 0 ||
        (status = check_lists(&j, image_count, text_count)) < 0 || (status = check_model(&j)) < 0)
        return status;
    if (known.only_texts_of_image != 0 && known.only_images_of_text != 0)
        return b2_fail(BLIP2_EINVAL, "only_texts_of_image and only_images_of_text: not both");
    j.width = (size_t)engine->model->stage1.text.rows;
    if ((status = b2_similarity_open(&j.s, image_count, text_count)) == BLIP2_OK)
        status = compute(&j);
    drop(&j);
    b2_contrast_close(&j.contrast);
    b2_free(j.vectors);
    b2_free(j.best);
    if (engine->close_wanted)
        blip2_engine_close(engine);
    if (status < 0)
        blip2_similarity_free(j.s);
    else
        *out = j.s;
    return status;
}
