/* Every picture with every text: contrast of all, then matching of the best of each row.
 *
 *   texts     their vectors, once
 *   pictures  a few at a time: encode, contrast with all texts, match with the best texts, while
 *             keys and values are where they were encoded
 *   texts     the best pictures of each are known now: match those pairs that were not among the
 *             best of their pictures, picture by picture
 *
 * So the vision tower runs once a picture as long as the cache holds them all, and again for the
 * last step only for those that fell out; with a work folder (similarity_work.c) never. Pictures
 * are opened as they are needed and not held. LAVIS keeps the features of all pictures instead and
 * makes keys and values anew for every pair. */
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/scheduler.h"
#include "engine/similarity_job.h"

enum {
    DEFAULT_RERANK = 128,
    DEFAULT_TOKENS = 35,
    GROUP = B2_SIMILARITY_GROUP,
    REST = 64 /* pictures of one part of the last step */
};

typedef b2_similarity_job job;

/* ---- calls -------------------------------------------------------------------------------- */

/* Tell how far it is. */
static blip2_status tell(job *j, size_t more) {
    const blip2_similarity_options *o = j->options;

    j->done += more;
    if (o->on_progress == NULL)
        return BLIP2_OK;
    if (o->on_progress(j->done, j->total, o->payload) != 0 || b2_scheduler_close_wanted(j->engine))
        return b2_fail(BLIP2_ESTOP, "the caller's on_progress asked to stop");
    return BLIP2_OK;
}

static uint32_t max_tokens(const job *j) {
    return j->options->max_text_tokens != 0 ? j->options->max_text_tokens : DEFAULT_TOKENS;
}

static blip2_status add(job *j, const blip2_image *image, const char *text, const b2_score *wanted,
                        size_t cell) {
    blip2_status status = b2_request_open_score(&j->requests[j->count], j->engine->model, image,
                                                text, wanted, max_tokens(j));

    if (status == BLIP2_OK)
        j->cells[j->count++] = cell;
    return status;
}

static void drop(job *j) {
    for (size_t i = 0; i < j->count; i++)
        b2_request_close(j->requests[i]);
    j->count = 0;
}

/* Run what was added and hand each result to take. */
static blip2_status run(job *j, void (*take)(job *j, const b2_score *score, size_t cell)) {
    blip2_status status = b2_call_run(j->engine, j->requests, j->count);

    for (size_t i = 0; i < j->count && status == BLIP2_OK; i++)
        take(j, &j->requests[i]->score, j->cells[i]);
    return status;
}

/* ---- texts -------------------------------------------------------------------------------- */

static blip2_status run_texts(job *j, size_t first, size_t count) {
    blip2_status status = b2_contrast_texts(j->engine, j->texts + first, count, max_tokens(j),
                                            j->vectors + first * j->width);

    return status == BLIP2_OK ? b2_similarity_keep_texts(j, first, count) : status;
}

static blip2_status read_texts(job *j) {
    for (size_t first = 0; first < j->s->texts; first += GROUP) {
        size_t count = b2_size_min(GROUP, j->s->texts - first);
        bool found;
        blip2_status status = b2_similarity_read_texts(j, first, count, &found);

        if ((status == BLIP2_OK && !found && (status = run_texts(j, first, count)) < 0) ||
            status < 0 || (status = tell(j, count)) < 0)
            return status;
    }
    return BLIP2_OK;
}

/* ---- matching ----------------------------------------------------------------------------- */

static void take_pair(job *j, const b2_score *score, size_t cell) {
    j->s->itm[cell] = score->match[1];
}

/* Cells of pictures first .. first + count - 1 that are among the best of a row and were not
 * matched before, in order; their number. cells NULL: only that. */
static size_t find_cells(const job *j, size_t first, size_t count, int64_t *cells) {
    size_t texts = j->s->texts, found = 0;

    for (size_t cell = first * texts; cell < (first + count) * texts; cell++) {
        if (j->s->picked[cell] == 0 || !isnan(j->s->itm[cell]))
            continue;
        if (cells != NULL)
            cells[found] = (int64_t)cell;
        found++;
    }
    return found;
}

/* A picture that has been read: from its features, where it is held, or to be opened again. */
static const blip2_image *image_of(const job *j, size_t index) {
    return j->images != NULL && j->features == NULL ? j->images[index] : &j->known[index];
}

/* Picture by picture. */
static blip2_status run_pairs(job *j, const int64_t *cells, size_t count) {
    const b2_score wanted = {.mode = B2_SCORE_PAIR, .wants_match = true};
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        size_t cell = (size_t)cells[i];

        status =
            add(j, image_of(j, cell / j->s->texts), j->texts[cell % j->s->texts], &wanted, cell);
        if (status == BLIP2_OK && (j->count == GROUP || i + 1 == count)) {
            size_t more = j->count;

            status = run(j, take_pair);
            drop(j);
            if (status == BLIP2_OK)
                status = tell(j, more);
        }
    }
    drop(j);
    return status;
}

/* Match those cells, or take their scores from part `number` of that kind. */
static blip2_status match(job *j, size_t first, size_t count, const char *kind, size_t number) {
    size_t cell_count = find_cells(j, first, count, NULL);
    int64_t *cells;
    bool found;
    blip2_status status;

    if (cell_count == 0)
        return BLIP2_OK;
    if ((cells = b2_alloc_array(cell_count, sizeof *cells)) == NULL)
        return b2_fail_memory();
    (void)find_cells(j, first, count, cells);
    status = b2_similarity_read_matches(j, kind, number, cells, cell_count, &found);
    if (status == BLIP2_OK && found)
        status = tell(j, cell_count);
    else if (status == BLIP2_OK && (status = run_pairs(j, cells, cell_count)) == BLIP2_OK)
        status = b2_similarity_keep_matches(j, kind, number, cells, cell_count);
    b2_free(cells);
    return status;
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

/* ---- pictures ----------------------------------------------------------------------------- */

/* Rows, and features to be kept, of a picture into the group's. */
static void take_image(job *j, const b2_score *score, size_t image) {
    size_t i = image % j->together, row = j->queries * j->width,
           feature = j->feature_rows * j->feature_cols;

    memcpy(j->rows + i * row, score->contrast, row * sizeof *j->rows);
    if (score->wants_features)
        memcpy(j->features + i * feature, score->features, feature * sizeof *j->features);
}

static blip2_status encode(job *j, blip2_image **opened, size_t first, size_t count) {
    const b2_score wanted = {
        .mode = B2_SCORE_IMAGE, .wants_contrast = true, .wants_features = j->features != NULL};
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        const blip2_image *image = j->images != NULL ? j->images[first + i] : NULL;

        if (image == NULL &&
            (status = b2_similarity_open_image(j, first + i, &opened[i])) == BLIP2_OK)
            image = opened[i];
        if (status == BLIP2_OK)
            status = add(j, image, NULL, &wanted, first + i);
    }
    if (status == BLIP2_OK && (status = run(j, take_image)) == BLIP2_OK)
        status = b2_similarity_keep_images(j, first, count);
    return status;
}

/* Encode a group; its pictures are held no longer than that. */
static blip2_status run_images(job *j, size_t first, size_t count) {
    blip2_image *opened[GROUP] = {NULL};
    blip2_status status = encode(j, opened, first, count);

    drop(j);
    for (size_t i = 0; i < count; i++)
        blip2_image_free(opened[i]);
    return status;
}

/* Pictures of the group, whose first one is `first`, with all texts: on the engine's thread, as
 * everything that uses its device. */
typedef struct comparison {
    job *j;
    size_t first, count;
} comparison;

static blip2_status compare(void *context) {
    const comparison *c = context;
    job *j = c->j;
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < c->count && j->s->texts > 0 && status == BLIP2_OK; i++)
        status = b2_contrast_run(&j->contrast, j->rows + i * j->queries * j->width,
                                 j->s->itc + (c->first + i) * j->s->texts);
    return status;
}

static blip2_status open_contrast(void *context) {
    job *j = context;

    return b2_contrast_open(&j->contrast, j->engine->model->device, j->vectors, j->s->texts,
                            j->width, j->queries, 1);
}

static blip2_status close_contrast(void *context) {
    job *j = context;

    b2_contrast_close(&j->contrast);
    return BLIP2_OK;
}

/* Group by group: what is matched right behind must still be in the cache. */
static blip2_status read_images(job *j) {
    size_t most = rerank_of(j, BLIP2_TEXTS_OF_IMAGE);

    for (size_t first = 0; first < j->s->images; first += j->together) {
        size_t count = b2_size_min(j->together, j->s->images - first);
        bool found;
        blip2_status status = b2_similarity_read_images(j, first, count, &found);

        if (status == BLIP2_OK && !found)
            status = run_images(j, first, count);
        if (status < 0 ||
            (status = b2_engine_do(j->engine, compare, &(comparison){j, first, count})) < 0 ||
            (status = tell(j, count)) < 0)
            return status;
        for (size_t i = first; i < first + count; i++)
            b2_similarity_pick(j->s, BLIP2_TEXTS_OF_IMAGE, i, most, j->best);
        if ((status = match(j, first, count, "match", first / j->together)) < 0)
            return status;
    }
    return BLIP2_OK;
}

/* Pairs that only the texts want. Without a folder all at once: batches are fuller. */
static blip2_status match_rest(job *j, size_t most) {
    size_t step = j->work.directory != NULL ? REST : b2_size_max(j->s->images, 1);
    blip2_status status = BLIP2_OK;

    for (size_t t = 0; t < j->s->texts; t++)
        b2_similarity_pick(j->s, BLIP2_IMAGES_OF_TEXT, t, most, j->best);
    for (size_t first = 0; first < j->s->images && status == BLIP2_OK; first += step)
        status = match(j, first, b2_size_min(step, j->s->images - first), "rest", first / step);
    return status;
}

static blip2_status allocate(job *j, size_t most) {
    j->vectors = b2_alloc_array(j->s->texts, j->width * sizeof *j->vectors);
    j->best = b2_alloc_array(most, sizeof *j->best);
    j->known = b2_calloc(j->s->images, sizeof *j->known);
    j->rows = b2_alloc_array(j->together * j->queries, j->width * sizeof *j->rows);
    if (j->vectors == NULL || j->best == NULL || j->known == NULL || j->rows == NULL)
        return b2_fail_memory();
    return b2_similarity_open_work(j);
}

static blip2_status compute(job *j) {
    size_t of_image = rerank_of(j, BLIP2_TEXTS_OF_IMAGE),
           of_text = rerank_of(j, BLIP2_IMAGES_OF_TEXT);
    blip2_status status;

    j->total = (uint64_t)j->s->images * (1 + of_image) + (uint64_t)j->s->texts * (1 + of_text);
    if ((status = allocate(j, b2_size_max(of_image, of_text))) < 0 ||
        (status = read_texts(j)) < 0 ||
        (j->s->texts > 0 && (status = b2_engine_do(j->engine, open_contrast, j)) < 0) ||
        (status = read_images(j)) < 0 || (status = match_rest(j, of_text)) < 0)
        return status;
    return tell(j, (size_t)(j->total - j->done)); /* pairs that both directions wanted */
}

/* ---- the call ----------------------------------------------------------------------------- */

static blip2_status check_lists(const job *j, size_t image_count, size_t text_count) {
    bool opens = j->options->open_image != NULL;

    if (opens && j->images != NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_similarity_compute: images and open_image: not both");
    if ((image_count > 0 && j->images == NULL && !opens) || (text_count > 0 && j->texts == NULL))
        return b2_fail(BLIP2_EINVAL, "blip2_similarity_compute: %s is NULL",
                       text_count > 0 && j->texts == NULL ? "texts" : "images");
    for (size_t i = 0; i < image_count && !opens; i++)
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

/* Frees all but the similarity, and closes the engine if a callback asked for it. */
static void close_job(job *j) {
    drop(j);
    b2_similarity_close_work(j);
    if (j->contrast.device != NULL)
        (void)b2_engine_do(j->engine, close_contrast, j);
    b2_free(j->vectors);
    b2_free(j->best);
    b2_free(j->known);
    b2_free(j->rows);
    b2_scheduler_leave(j->engine);
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
    j.queries = engine->model->config.qformer.queries;
    j.together = b2_size_min(GROUP, engine->plan.limits.max_images);
    b2_scheduler_enter(engine); /* a callback may close it */
    if ((status = b2_similarity_open(&j.s, image_count, text_count)) == BLIP2_OK)
        status = compute(&j);
    close_job(&j);
    if (status < 0)
        blip2_similarity_free(j.s);
    else
        *out = j.s;
    return status;
}
