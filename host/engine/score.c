#include "engine/score.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

enum { LOGIT_ROWS = 32 }; /* 4 MB of logits for BERT's vocabulary */

void b2_score_free(b2_score *score) {
    b2_free(score->rows);
    b2_free(score->contrast);
    b2_free(score->features);
    score->rows = score->contrast = score->features = NULL;
}

blip2_status b2_score_check(const b2_score *score, const blip2_model *model) {
    const char *lack = NULL;

    if (!model->qformer.reads_text)
        lack = "a Q-Former that reads text";
    else if (model->config.instructed)
        lack = "features or scores, its Q-Former reads instructions";
    else if (score->wants_contrast && !model->stage1.contrasts)
        lack = "image-text contrast (vision and text projection)";
    else if (score->wants_match && !model->stage1.matches)
        lack = "image-text matching (itm_head)";
    else if (score->mode == B2_SCORE_CAPTION && !model->qformer.writes_text)
        lack = "head that writes captions (cls.predictions)";
    if (lack == NULL)
        return BLIP2_OK;
    return b2_fail(BLIP2_ENOTSUP, "this checkpoint (%s) has no %s", b2_model_name(model), lack);
}

/* ---- memory ------------------------------------------------------------------------------- */

void b2_score_carve(b2_score_space *space, b2_carver *carver, const blip2_model *model,
                    uint32_t max_rows, uint32_t max_items) {
    const b2_qformer_config *config = &model->qformer.config;
    int64_t queries = (int64_t)max_items * config->queries;

    if (!b2_score_possible(model))
        return;
    space->max_rows = max_rows;
    space->max_items = max_items;
    space->image_rows = model->vit.tokens;
    space->logit_rows = model->qformer.writes_text ? LOGIT_ROWS : 0;
    b2_qformer_carve(&space->qformer, carver, &model->qformer, max_rows, space->logit_rows);
    b2_qformer_pack_carve(&space->pack, carver, config->queries, max_items, max_rows);
    if (model->stage1.contrasts || model->qformer.writes_text)
        space->picked = b2_carve(carver, max_rows, sizeof *space->picked);
    if (model->stage1.contrasts) {
        space->picked_rows = b2_carve_mat(carver, B2_F32, max_rows, config->width);
        space->contrast = b2_carve_mat(carver, B2_F32, max_rows, model->stage1.text.rows);
    }
    if (model->stage1.matches)
        space->match = b2_carve_mat(carver, B2_F32, queries, 2);
}

blip2_status b2_score_init(b2_score_space *space, const blip2_model *model) {
    size_t rows = space->max_rows, queries = (size_t)space->match.rows;

    if (!b2_score_possible(model))
        return BLIP2_OK;
    space->items = b2_alloc_array(space->max_items, sizeof *space->items);
    space->host_picked = b2_alloc_array(rows, sizeof *space->host_picked);
    space->host_contrast =
        b2_alloc_array(rows * (size_t)space->contrast.cols, sizeof *space->host_contrast);
    space->host_match = b2_alloc_array(2 * queries, sizeof *space->host_match);
    space->host_logits =
        b2_alloc_array(space->logit_rows, (size_t)space->qformer.logits.cols * sizeof(float));
    if (space->host_logits == NULL || space->items == NULL || space->host_picked == NULL ||
        space->host_contrast == NULL || space->host_match == NULL)
        return b2_fail_memory();
    return b2_qformer_pack_init(&space->pack);
}

void b2_score_space_free(b2_score_space *space) {
    b2_qformer_pack_free(&space->pack);
    b2_free(space->items);
    b2_free(space->host_picked);
    b2_free(space->host_contrast);
    b2_free(space->host_match);
    b2_free(space->host_logits);
    *space = (b2_score_space){0};
}

/* ---- packing ------------------------------------------------------------------------------ */

void b2_score_begin(b2_score_space *space) {
    space->item_count = space->picked_count = 0;
    b2_qformer_pack_begin(&space->pack, B2_MASK_ALL);
}

/* Captions have a rule of their own of what sees what, and so batches of their own. */
static bool choose_rule(b2_score_space *space, b2_score_mode mode) {
    b2_mask_rule rule = mode == B2_SCORE_CAPTION ? B2_MASK_QFORMER_CAUSAL : B2_MASK_ALL;

    if (mode != B2_SCORE_IMAGE && space->pack.batch.segments == 0)
        b2_qformer_pack_begin(&space->pack, rule);
    return mode == B2_SCORE_IMAGE || space->pack.batch.rule == rule;
}

bool b2_score_add(b2_score_space *space, const b2_score_item *item) {
    const b2_score *score = item->score;
    b2_score_item *added = &space->items[space->item_count];
    b2_qformer_batch *batch = &space->pack.batch;
    bool part = score->mode == B2_SCORE_READ;
    const b2_qformer_segment segment = {.has_queries = score->mode != B2_SCORE_TEXT,
                                        .image_first = item->image_place * space->image_rows +
                                                       (part ? score->read_first : 0),
                                        .image_rows = part ? score->read_count : space->image_rows,
                                        .ids = item->ids,
                                        .text_count = item->id_count};
    uint32_t s = batch->segments, g = batch->query_segments;

    if (space->item_count == space->max_items || !choose_rule(space, score->mode))
        return false;
    if (score->mode != B2_SCORE_IMAGE && !b2_qformer_pack_add(&space->pack, &segment))
        return false;
    *added = *item;
    item->score->row_count = score->mode == B2_SCORE_TEXT ? item->id_count : space->pack.queries;
    added->segment = s;
    added->group = g;
    space->item_count++;
    return true;
}

/* The rows of items of a mode that its contrast head reads. */
static void pick(b2_score_space *space, b2_score_mode mode) {
    for (uint32_t i = 0; i < space->item_count; i++) {
        b2_score_item *item = &space->items[i];
        uint32_t count = b2_score_contrast_rows(item->score);
        uint32_t row = mode == B2_SCORE_TEXT ? b2_qformer_text_row(&space->pack, item->segment)
                                             : b2_qformer_query_row(&space->pack, item->group);

        if (item->score->mode != mode || !item->score->wants_contrast)
            continue;
        item->picked = space->picked_count;
        for (uint32_t k = 0; k < count; k++)
            space->host_picked[space->picked_count++] = (int32_t)(row + k);
    }
}

/* ---- running ------------------------------------------------------------------------------ */

static blip2_status fetch(b2_device *device, float *to, b2_mat from) {
    return device->ops->download(device, to, from.data,
                                 (size_t)(from.rows * from.cols) * sizeof *to);
}

/* Picked rows first .. first+count-1 through a contrast head. */
static blip2_status project(const b2_score_space *space, const b2_run *run, const b2_dense *head,
                            uint32_t first, uint32_t count) {
    if (count == 0)
        return BLIP2_OK;
    return b2_stage1_project(run, head, b2_mat_rows(space->contrast, first, count),
                             b2_mat_rows(space->picked_rows, first, count));
}

static blip2_status run_contrast(b2_score_space *space, const blip2_model *model, const b2_run *run,
                                 b2_mat x) {
    uint32_t count = space->picked_count, texts = space->picked_texts;
    b2_mat rows = b2_mat_rows(space->picked_rows, 0, count);
    b2_device *device = run->device;
    blip2_status status;

    if (count == 0)
        return BLIP2_OK;
    if ((status = device->ops->upload(device, space->picked, space->host_picked,
                                      count * sizeof *space->picked)) < 0 ||
        (status = device->ops->copy_rows(
             device, &(b2_copy_rows){.x = x, .y = rows, .x_rows = space->picked, .count = count})) <
            0 ||
        (status = project(space, run, &model->stage1.text, 0, texts)) < 0 ||
        (status = project(space, run, &model->stage1.vision, texts, count - texts)) < 0)
        return status;
    return fetch(device, space->host_contrast, b2_mat_rows(space->contrast, 0, count));
}

static blip2_status run_match(b2_score_space *space, const blip2_model *model, const b2_run *run,
                              b2_mat x) {
    uint32_t count = space->pack.batch.query_rows;
    b2_mat match = b2_mat_rows(space->match, 0, count);
    blip2_status status;

    if (count == 0 || !model->stage1.matches || space->pack.batch.rule != B2_MASK_ALL)
        return BLIP2_OK;
    status = b2_dense_run(run, match, b2_mat_rows(x, 0, count), &model->stage1.match, B2_ACT_NONE);
    return status < 0 ? status : fetch(run->device, space->host_match, match);
}

/* -log p of the id, and the mean of -log p over all, of one row of logits [count]. */
static void add_surprise(b2_score *score, const float *logits, size_t count, int32_t id) {
    double most = logits[0], exponentials = 0.0, sum = 0.0, normaliser;

    for (size_t i = 0; i < count; i++)
        most = fmax(most, (double)logits[i]);
    for (size_t i = 0; i < count; i++) {
        exponentials += exp((double)logits[i] - most);
        sum += (double)logits[i];
    }
    normaliser = most + log(exponentials);
    score->surprise += normaliser - (double)logits[id];
    score->smoothing += normaliser - sum / (double)count;
}

/* Each row of a caption's text tells what the next token should be. */
static blip2_status run_caption(b2_score_space *space, const blip2_model *model, const b2_run *run,
                                b2_mat x, const b2_score_item *item) {
    uint32_t first_row = b2_qformer_text_row(&space->pack, item->segment), count;
    b2_device *device = run->device;
    b2_mat logits;
    blip2_status status;

    for (uint32_t first = 0; first + 1 < item->id_count; first += count) {
        count = (uint32_t)b2_size_min(space->logit_rows, item->id_count - 1 - first);
        for (uint32_t i = 0; i < count; i++)
            space->host_picked[i] = (int32_t)(first_row + first + i);
        if ((status = device->ops->upload(device, space->picked, space->host_picked,
                                          count * sizeof *space->picked)) < 0 ||
            (status = b2_qformer_logits(&model->qformer, run, &space->qformer, x, space->picked,
                                        count, &logits)) < 0 ||
            (status = fetch(device, space->host_logits, logits)) < 0)
            return status;
        for (uint32_t i = 0; i < count; i++)
            add_surprise(item->score, space->host_logits + (size_t)i * (size_t)logits.cols,
                         (size_t)logits.cols, item->ids[first + i + 1]);
    }
    return BLIP2_OK;
}

static blip2_status run_captions(b2_score_space *space, const blip2_model *model, const b2_run *run,
                                 b2_mat x) {
    blip2_status status = BLIP2_OK;

    for (uint32_t i = 0; i < space->item_count && status == BLIP2_OK; i++)
        if (space->items[i].score->mode == B2_SCORE_CAPTION)
            status = run_caption(space, model, run, x, &space->items[i]);
    return status;
}

/* ---- delivering --------------------------------------------------------------------------- */

static void deliver_match(const b2_score_space *space, const b2_score_item *item) {
    uint32_t queries = space->pack.queries;
    const float *logits = space->host_match + (size_t)item->group * queries * 2;
    double sums[2] = {0.0, 0.0};

    for (uint32_t i = 0; i < 2 * queries; i++)
        sums[i % 2] += logits[i];
    item->score->match[0] = (float)(sums[0] / queries);
    item->score->match[1] = (float)(sums[1] / queries);
}

/* Where the item's rows of hidden states are. */
static b2_mat hidden_of(const b2_score_space *space, const b2_score_item *item, b2_mat x,
                        const b2_images *images) {
    int64_t queries = space->pack.queries;

    switch (item->score->mode) {
    case B2_SCORE_IMAGE:
        return b2_mat_rows(images->where.queries, item->image_place * queries, queries);
    case B2_SCORE_PAIR:
    case B2_SCORE_READ:
        return b2_mat_rows(x, b2_qformer_query_row(&space->pack, item->group), queries);
    case B2_SCORE_TEXT:
    case B2_SCORE_CAPTION:
        break;
    }
    return b2_mat_rows(x, b2_qformer_text_row(&space->pack, item->segment), item->id_count);
}

static blip2_status deliver_rows(b2_device *device, b2_score *score, b2_mat hidden) {
    if ((score->rows = b2_alloc_array((size_t)(hidden.rows * hidden.cols), sizeof(float))) == NULL)
        return b2_fail_memory();
    return fetch(device, score->rows, hidden);
}

static blip2_status deliver_contrast(const b2_score_space *space, const b2_score_item *item,
                                     b2_device *device, const b2_images *images) {
    b2_score *score = item->score;
    size_t rows = b2_score_contrast_rows(score), cols = (size_t)space->contrast.cols;
    int64_t queries = space->pack.queries;

    if ((score->contrast = b2_alloc_array(rows * cols, sizeof(float))) == NULL)
        return b2_fail_memory();
    if (score->mode == B2_SCORE_IMAGE)
        return fetch(device, score->contrast,
                     b2_mat_rows(images->where.contrast, item->image_place * queries, queries));
    memcpy(score->contrast, space->host_contrast + item->picked * cols,
           rows * cols * sizeof(float));
    return BLIP2_OK;
}

static blip2_status deliver(const b2_score_space *space, const b2_score_item *item,
                            b2_device *device, b2_mat x, const b2_images *images) {
    b2_score *score = item->score;
    blip2_status status = BLIP2_OK;

    if (score->wants_match)
        deliver_match(space, item);
    if (score->wants_rows)
        status = deliver_rows(device, score, hidden_of(space, item, x, images));
    if (status == BLIP2_OK && score->wants_contrast)
        status = deliver_contrast(space, item, device, images);
    return status;
}

blip2_status b2_score_run(b2_score_space *space, const blip2_model *model, const b2_run *run,
                          const b2_images *images) {
    b2_mat x = {0};
    blip2_status status = BLIP2_OK;

    pick(space, B2_SCORE_TEXT);
    space->picked_texts = space->picked_count;
    pick(space, B2_SCORE_READ);
    if (space->pack.batch.segments > 0 &&
        ((status = b2_qformer_pack_send(&space->pack, run->device)) < 0 ||
         (status = b2_qformer_run(&model->qformer, run, &space->qformer, &space->pack.batch,
                                  images->where.cross_kv, &x)) < 0 ||
         (status = run_contrast(space, model, run, x)) < 0 ||
         (status = run_match(space, model, run, x)) < 0 ||
         (status = run_captions(space, model, run, x)) < 0))
        return status;
    space->texts_run += space->pack.batch.segments - space->pack.batch.query_segments;
    for (uint32_t i = 0; i < space->item_count && status == BLIP2_OK; i++) {
        b2_score_mode mode = space->items[i].score->mode;

        space->pairs_run += mode == B2_SCORE_PAIR || mode == B2_SCORE_CAPTION ? 1 : 0;
        status = deliver(space, &space->items[i], run->device, x, images);
    }
    return status;
}
