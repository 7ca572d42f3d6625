/* The three losses of stage 1, as LAVIS's Blip2Qformer.forward has them for one batch of pairs:
 *
 *   itc  S[b, c] = contrast of image b and text c, over the temperature; cross-entropy of its rows
 *        and of its columns against the pairs, with label smoothing
 *
 *   itm  cross-entropy of "they match" for the pairs, and of "they do not" for each text with a
 *        hard negative image and each image with a hard negative text
 *
 *   itg  cross-entropy of each text as a caption of its image: [DEC] text [SEP], label smoothing
 *
 * Six requests a pair and the sums here, in double. */
#include <math.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/contrast.h"
#include "engine/engine.h"

enum { DEFAULT_TOKENS = 32, KINDS = 6 };
static const float default_smoothing = 0.1f;
static const double masked = -10000.0; /* of what must not be drawn */

typedef enum kind {
    IMAGE,
    TEXT,
    PAIR,           /* image i, text i */
    NEGATIVE_IMAGE, /* its negative image, text i */
    NEGATIVE_TEXT,  /* image i, its negative text */
    CAPTION
} kind;

typedef struct job {
    blip2_engine *engine;
    const blip2_input *pairs;
    size_t count; /* N */
    const blip2_losses_options *options;
    b2_request **requests;        /* [KINDS, N] */
    double *similarity;           /* [N, N] image, text; over the temperature */
    double *row;                  /* [N] scratch */
    size_t *images_of, *texts_of; /* [N] hard negatives of texts and of images */
} job;

static bool same_image(const job *j, size_t a, size_t b) {
    const int64_t *ids = j->options->image_ids;

    return a == b || (ids != NULL && ids[a] == ids[b]);
}

/* ---- requests ----------------------------------------------------------------------------- */

static blip2_status open_request(job *j, kind k, size_t i, size_t image, size_t text) {
    static const b2_score wanted[KINDS] = {
        [IMAGE] = {.mode = B2_SCORE_IMAGE, .wants_contrast = true},
        [TEXT] = {.mode = B2_SCORE_TEXT, .wants_contrast = true},
        [PAIR] = {.mode = B2_SCORE_PAIR, .wants_match = true},
        [NEGATIVE_IMAGE] = {.mode = B2_SCORE_PAIR, .wants_match = true},
        [NEGATIVE_TEXT] = {.mode = B2_SCORE_PAIR, .wants_match = true},
        [CAPTION] = {.mode = B2_SCORE_CAPTION}};
    const blip2_model *model = j->engine->model;
    uint32_t most = j->options->max_text_tokens != 0 ? j->options->max_text_tokens : DEFAULT_TOKENS;
    b2_request **out = &j->requests[k * j->count + i];
    blip2_status status =
        b2_request_open_score(out, model, k != TEXT ? j->pairs[image].image : NULL,
                              k != IMAGE ? j->pairs[text].prompt : NULL, &wanted[k], most);

    return status < 0 || k != CAPTION ? status : b2_request_start_caption(*out);
}

/* Run the requests of kinds first .. last. */
static blip2_status run(job *j, kind first, kind last) {
    return b2_call_run(j->engine, j->requests + first * j->count,
                       ((size_t)last - first + 1) * j->count);
}

static const b2_score *score_of(const job *j, kind k, size_t i) {
    return &j->requests[k * j->count + i]->score;
}

/* ---- contrast ----------------------------------------------------------------------------- */

static double temperature_of(const job *j) {
    float own = j->options->temperature;

    return (double)(own != 0.0f ? own : blip2_model_temperature(j->engine->model));
}

static double smoothing_of(const job *j) {
    float wanted = j->options->label_smoothing;

    return wanted < 0.0f ? 0.0 : (double)(wanted == 0.0f ? default_smoothing : wanted);
}

/* Row i of the similarities, seen from the images or from the texts. */
static void take_row(const job *j, size_t i, bool of_text) {
    for (size_t k = 0; k < j->count; k++)
        j->row[k] = j->similarity[of_text ? k * j->count + i : i * j->count + k];
}

static double normaliser_of(const double *row, size_t count) {
    double most = row[0], sum = 0.0;

    for (size_t k = 0; k < count; k++)
        most = fmax(most, row[k]);
    for (size_t k = 0; k < count; k++)
        sum += exp(row[k] - most);
    return most + log(sum);
}

/* Cross-entropy of one row: (1 - e) spread over what is right, e over all. */
static double row_loss(const job *j, size_t i, double smoothing) {
    double normaliser = normaliser_of(j->row, j->count), right = 0.0, all = 0.0;
    size_t same = 0;

    for (size_t k = 0; k < j->count; k++) {
        double surprise = normaliser - j->row[k];

        all += surprise;
        if (same_image(j, i, k)) {
            right += surprise;
            same++;
        }
    }
    return (1.0 - smoothing) * right / (double)same + smoothing * all / (double)j->count;
}

static double contrast_loss(const job *j) {
    double sum = 0.0;

    for (size_t i = 0; i < j->count; i++)
        for (int of_text = 0; of_text < 2; of_text++) {
            take_row(j, i, of_text != 0);
            sum += row_loss(j, i, smoothing_of(j));
        }
    return sum / (2.0 * (double)j->count);
}

/* ---- hard negatives ----------------------------------------------------------------------- */

/* splitmix64: from 0 up to 1. */
static double draw(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Weights of row i, into j->row, and the one that `at` (0 .. 1) falls on. */
static size_t draw_row(const job *j, size_t i, bool of_text, double at) {
    double normaliser;
    size_t chosen = SIZE_MAX;

    take_row(j, i, of_text);
    for (size_t k = 0; k < j->count; k++)
        if (same_image(j, i, k))
            j->row[k] = masked;
    normaliser = normaliser_of(j->row, j->count);
    for (size_t k = 0; k < j->count; k++) {
        j->row[k] = exp(j->row[k] - normaliser);
        if (same_image(j, i, k) || (chosen != SIZE_MAX && at < 0.0))
            continue;
        chosen = k; /* the last one there is, if rounding leaves a rest */
        at -= j->row[k];
    }
    return chosen;
}

/* Negatives of all texts (images for them), or of all images. */
static blip2_status choose(const job *j, bool of_text, uint64_t *state) {
    const blip2_losses_options *o = j->options;
    const size_t *given = of_text ? o->negative_images : o->negative_texts;
    float *weights = of_text ? o->image_weights : o->text_weights;
    size_t *out = of_text ? j->images_of : j->texts_of;

    for (size_t i = 0; i < j->count; i++) {
        out[i] = draw_row(j, i, of_text, draw(state));
        if (out[i] == SIZE_MAX)
            return b2_fail(BLIP2_EINVAL, "pair %zu: no other picture in the batch to be a negative",
                           i);
        if (given != NULL && (given[i] >= j->count || same_image(j, i, given[i])))
            return b2_fail(BLIP2_EINVAL, "pair %zu: negative %zu is its own or none of %zu", i,
                           given[i], j->count);
        if (given != NULL)
            out[i] = given[i];
        for (size_t k = 0; k < j->count && weights != NULL; k++)
            weights[i * j->count + k] = (float)j->row[k];
    }
    return BLIP2_OK;
}

/* ---- matching and captions ---------------------------------------------------------------- */

static double match_loss(const job *j) {
    double sum = 0.0;

    for (kind k = PAIR; k <= NEGATIVE_TEXT; k++)
        for (size_t i = 0; i < j->count; i++) {
            const float *logits = score_of(j, k, i)->match;
            const double row[2] = {(double)logits[0], (double)logits[1]};

            sum += normaliser_of(row, 2) - row[k == PAIR];
        }
    return sum / (3.0 * (double)j->count);
}

static double caption_loss(const job *j) {
    double smoothing = smoothing_of(j), sum = 0.0, tokens = 0.0;

    for (size_t i = 0; i < j->count; i++) {
        const b2_score *score = score_of(j, CAPTION, i);

        sum += (1.0 - smoothing) * score->surprise + smoothing * score->smoothing;
        tokens += (double)j->requests[CAPTION * j->count + i]->id_count - 1.0;
    }
    return sum / fmax(tokens, 1.0);
}

static blip2_status compute(job *j, blip2_losses *out) {
    size_t width = (size_t)j->engine->model->stage1.text.rows;
    double temperature = temperature_of(j);
    uint64_t state = j->options->seed;
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < j->count && status == BLIP2_OK; i++)
        if ((status = open_request(j, IMAGE, i, i, i)) == BLIP2_OK)
            status = open_request(j, TEXT, i, i, i);
    if (status < 0 || (status = run(j, IMAGE, TEXT)) < 0)
        return status;
    for (size_t i = 0; i < j->count; i++)
        for (size_t k = 0; k < j->count; k++)
            j->similarity[i * j->count + k] =
                b2_contrast_of(score_of(j, IMAGE, i), score_of(j, TEXT, k), width) / temperature;
    if ((status = choose(j, true, &state)) < 0 || (status = choose(j, false, &state)) < 0)
        return status;
    for (size_t i = 0; i < j->count && status == BLIP2_OK; i++)
        if ((status = open_request(j, PAIR, i, i, i)) == BLIP2_OK &&
            (status = open_request(j, NEGATIVE_IMAGE, i, j->images_of[i], i)) == BLIP2_OK &&
            (status = open_request(j, NEGATIVE_TEXT, i, i, j->texts_of[i])) == BLIP2_OK)
            status = open_request(j, CAPTION, i, i, i);
    if (status < 0 || (status = run(j, PAIR, CAPTION)) < 0)
        return status;
    *out = (blip2_losses){contrast_loss(j), match_loss(j), caption_loss(j)};
    return BLIP2_OK;
}

/* ---- the call ----------------------------------------------------------------------------- */

static blip2_status check(const job *j, const blip2_losses *out) {
    blip2_status status = b2_call_check(j->engine, "blip2_losses_compute");

    if (status < 0)
        return status;
    if (out == NULL || (j->pairs == NULL && j->count > 0))
        return b2_fail(BLIP2_EINVAL, "blip2_losses_compute: %s is NULL",
                       out == NULL ? "out" : "pairs");
    for (size_t i = 0; i < j->count; i++)
        if (j->pairs[i].image == NULL || j->pairs[i].prompt == NULL)
            return b2_fail(BLIP2_EINVAL, "pair %zu: %s is NULL", i,
                           j->pairs[i].image == NULL ? "image" : "prompt");
    if (j->count < 2)
        return b2_fail(BLIP2_EINVAL, "blip2_losses_compute: got %zu pairs, expected at least 2",
                       j->count);
    return BLIP2_OK;
}

/* NaN fails every comparison. */
static blip2_status check_options(const blip2_losses_options *o) {
    if (!(o->temperature >= 0.0f))
        return b2_fail(BLIP2_EINVAL, "temperature: got %g, expected a number above 0",
                       (double)o->temperature);
    if (!(o->label_smoothing < 1.0f))
        return b2_fail(BLIP2_EINVAL, "label_smoothing: got %g, expected a number below 1",
                       (double)o->label_smoothing);
    return BLIP2_OK;
}

blip2_status blip2_losses_compute(blip2_engine *engine, const blip2_input *pairs, size_t count,
                                  const blip2_losses_options *options, blip2_losses *out) {
    blip2_losses_options known;
    job j = {.engine = engine, .pairs = pairs, .count = count, .options = &known};
    size_t cells;
    blip2_status status = check(&j, out);

    if (status < 0 ||
        (status = b2_options_copy(&known, sizeof known, options, "blip2_losses_options")) < 0 ||
        (status = check_options(&known)) < 0)
        return status;
    if (!b2_size_mul(count, count, &cells))
        return b2_fail_memory();
    j.requests = b2_calloc(count, KINDS * sizeof(b2_request *));
    j.similarity = b2_alloc_array(cells, sizeof *j.similarity);
    j.row = b2_alloc_array(count, sizeof *j.row);
    j.images_of = b2_alloc_array(count, sizeof *j.images_of);
    j.texts_of = b2_alloc_array(count, sizeof *j.texts_of);
    if (j.requests == NULL || j.similarity == NULL || j.row == NULL || j.images_of == NULL ||
        j.texts_of == NULL)
        status = b2_fail_memory();
    else
        status = compute(&j, out);
    for (size_t i = 0; j.requests != NULL && i < KINDS * count; i++)
        b2_request_close(j.requests[i]);
    b2_free(j.requests);
    b2_free(j.similarity);
    b2_free(j.row);
    b2_free(j.images_of);
    b2_free(j.texts_of);
    return status;
}
