/* Work, counted where it is done: by the operations that reach the device. The engine's own counts
 * agree with them, what is computed once is not computed again, and at true shapes matching with
 * kept keys and values is at most 70 % of LAVIS's arithmetic.                                    */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/engine.h"
#include "run.h"
#include "stage1_fixture.h"

enum { IMAGES = 5, TEXTS = 4, PAIRS = IMAGES * TEXTS };

typedef struct work {
    uint64_t vision;       /* pictures that went into the vision tower */
    uint64_t cross_rows;   /* rows of features that became keys and values */
    uint64_t learned_rows; /* of learned queries, that began a pass of the Q-Former */
    uint64_t flops;        /* two a multiply-add, of linear and attention */
} work;

static work done;
static const b2_device_ops *real; /* NULL: nothing is computed */
static const blip2_model *watched;

/* ---- operations that count ---------------------------------------------------------------- */

static blip2_status count_patch_embed(b2_device *device, const b2_patch_embed *op) {
    done.vision += op->images;
    return real->patch_embed(device, op);
}

static blip2_status count_linear(b2_device *device, const b2_linear *op) {
    done.flops += 2 * (uint64_t)(op->x.rows * op->x.cols * op->y.cols);
    if (op->y.cols == watched->qformer.cross_kv.rows)
        done.cross_rows += (uint64_t)op->x.rows;
    return real != NULL ? real->linear(device, op) : BLIP2_OK;
}

/* Products of queries with keys, and of their weights with values. */
static blip2_status count_attention(b2_device *device, const b2_attention *op) {
    for (uint32_t s = 0; s < op->segments; s++)
        done.flops += 4 * (uint64_t)(op->q_start[s + 1] - op->q_start[s]) *
                      (uint64_t)op->k_count[s] * op->heads * op->head_size;
    return real != NULL ? real->attention(device, op) : BLIP2_OK;
}

static blip2_status count_copy_rows(b2_device *device, const b2_copy_rows *op) {
    if (op->x.data == watched->qformer.queries)
        done.learned_rows += op->count;
    return real != NULL ? real->copy_rows(device, op) : BLIP2_OK;
}

static blip2_status skip_norm(b2_device *device, const b2_norm *op) {
    (void)device;
    (void)op;
    return BLIP2_OK;
}

static blip2_status skip_embed(b2_device *device, const b2_embed *op) {
    (void)device;
    (void)op;
    return BLIP2_OK;
}

/* ---- small models: what the calls do ------------------------------------------------------ */

static const char *const texts[TEXTS] = {"a dog", "two statues eating on a bicycle",
                                         "the red boat is running above the shiny dog", "a train"};
static blip2_model *model;
static blip2_engine *engine;
static blip2_image *images[IMAGES];
static blip2_input pairs[PAIRS]; /* every picture with every text, pictures first */

static void setup(void) {
    static b2_device_ops counting;

    open_model(&model, STAGE1);
    open_pictures(images, NULL, IMAGES);
    for (int i = 0; i < PAIRS; i++)
        pairs[i] = (blip2_input){images[i / TEXTS], texts[i % TEXTS]};
    real = model->device->ops;
    counting = *real;
    counting.patch_embed = count_patch_embed;
    counting.linear = count_linear;
    counting.attention = count_attention;
    counting.copy_rows = count_copy_rows;
    model->device->ops = &counting;
    watched = model;
    engine = open_engine(model, 8, 3, 0);
    done = (work){0};
}

static void teardown(void) {
    blip2_engine_close(engine);
    model->device->ops = real;
    close_pictures(images, IMAGES);
    blip2_model_close(model);
}

/* So many pictures were encoded, and `pairs_and_captions` passes had queries beside a text. */
static void assert_work(uint64_t encoded, uint64_t pairs_and_captions) {
    uint64_t queries = model->config.qformer.queries;
    blip2_engine_counts counts;

    ck_assert_uint_eq(done.vision, encoded);
    ck_assert_uint_eq(done.cross_rows, encoded * model->vit.tokens);
    ck_assert_uint_eq(done.learned_rows, (encoded + pairs_and_captions) * queries);
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    ck_assert_uint_eq(counts.images_encoded, encoded);
    ck_assert_uint_eq(counts.cross_kv_runs, encoded);
    ck_assert_uint_eq(counts.query_runs, encoded);
    ck_assert_uint_eq(counts.pairs_scored, pairs_and_captions);
}

START_TEST(matching_encodes_each_picture_once) {
    blip2_input by_text[PAIRS];
    blip2_match_score scores[PAIRS];

    ck_assert_status_ok(blip2_match(engine, pairs, PAIRS, NULL, scores));
    assert_work(IMAGES, PAIRS);
    for (int i = 0; i < PAIRS; i++) /* the other direction: all pictures of a text */
        by_text[i] = (blip2_input){images[i % IMAGES], texts[i / IMAGES]};
    ck_assert_status_ok(blip2_match(engine, by_text, PAIRS, NULL, scores));
    assert_work(IMAGES, 2 * PAIRS);
}
END_TEST

START_TEST(reranking_encodes_each_picture_once) {
    blip2_similarity_options options;
    blip2_similarity *s;
    blip2_engine_counts counts;

    blip2_similarity_options_init(&options, sizeof options);
    options.rerank = 2;
    options.only_texts_of_image = _i == 0;
    options.only_images_of_text = _i == 1;
    ck_assert_status_ok(blip2_similarity_compute(engine, (const blip2_image *const *)images, IMAGES,
                                                 texts, TEXTS, &options, &s));
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    if (_i < 2)
        ck_assert_uint_eq(counts.pairs_scored, 2 * (_i == 0 ? IMAGES : TEXTS));
    assert_work(IMAGES, counts.pairs_scored);
    blip2_similarity_free(s);
}
END_TEST

/* The pairs, two negatives of each, and the captions. */
START_TEST(losses_encode_each_picture_once) {
    blip2_input own[TEXTS];
    blip2_losses losses;

    for (int i = 0; i < TEXTS; i++)
        own[i] = (blip2_input){images[i], texts[i]};
    ck_assert_status_ok(blip2_losses_compute(engine, own, TEXTS, NULL, &losses));
    assert_work(TEXTS, (uint64_t)TEXTS * (3 + 1));
}
END_TEST

START_TEST(captions_run_no_queries_again) {
    blip2_match_score scores[PAIRS];
    blip2_generate_options options;
    blip2_engine_counts counts;
    blip2_result *result;

    ck_assert_status_ok(blip2_match(engine, pairs, PAIRS, NULL, scores));
    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = 5;
    for (int i = 0; i < IMAGES; i++) {
        const blip2_input in = {.image = images[i]};

        options.num_beams = i % 2 == 0 ? 1 : 3;
        ck_assert_status_ok(blip2_generate(engine, &in, 1, &options, &result));
        blip2_result_free(result);
    }
    assert_work(IMAGES, PAIRS);
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    ck_assert_uint_eq(counts.query_hits, IMAGES);
    ck_assert_uint_ge(counts.image_hits, 2 * IMAGES);
}
END_TEST

/* ---- true shapes: how much arithmetic ----------------------------------------------------- */

enum {
    QUERIES = 32,
    WIDTH = 768,
    FFN = 3072,
    LAYERS = 12,
    CROSS_LAYERS = 6,
    FEATURES = 257, /* rows of a picture, ViT-g */
    VISION_WIDTH = 1408,
    MOST_TEXT = 35, /* LAVIS pads to it where it ranks for retrieval */
    BATCH = 32,
    SCORE_ROWS = BATCH * (QUERIES + MOST_TEXT)
};

typedef struct true_shapes {
    blip2_model model;
    b2_qformer_layer layers[LAYERS];
    b2_device device;
    b2_device_ops ops;
    b2_score_space space;
    b2_images images;
    b2_mat features; /* [FEATURES, VISION_WIDTH] */
    void *memory;
} true_shapes;

static void carve(true_shapes *t, b2_carver *carver) {
    t->features = b2_carve_mat(carver, B2_F32, FEATURES, VISION_WIDTH);
    t->images.where.cross_kv =
        b2_carve_mat(carver, B2_F32, FEATURES, t->model.qformer.cross_kv.rows);
    b2_score_carve(&t->space, carver, &t->model, SCORE_ROWS, BATCH);
}

static blip2_status upload(b2_device *device, void *to, const void *from, size_t bytes) {
    (void)device;
    memcpy(to, from, bytes);
    return BLIP2_OK;
}

static blip2_status download(b2_device *device, void *to, const void *from, size_t bytes) {
    (void)device;
    (void)from;
    memset(to, 0, bytes);
    return BLIP2_OK;
}

/* A Q-Former without weights on a device that only counts. */
static void open_true_shapes(true_shapes *t) {
    b2_qformer *qformer = &t->model.qformer;
    b2_carver carver = {0};

    *t = (true_shapes){0};
    t->ops = (b2_device_ops){.linear = count_linear,
                             .attention = count_attention,
                             .copy_rows = count_copy_rows,
                             .norm = skip_norm,
                             .embed = skip_embed,
                             .upload = upload,
                             .download = download};
    t->device.ops = &t->ops;
    t->model.device = &t->device;
    t->model.vit.tokens = FEATURES;
    t->model.stage1.matches = true;
    *qformer = (b2_qformer){.config = {.queries = QUERIES,
                                       .width = WIDTH,
                                       .layers = LAYERS,
                                       .heads = 12,
                                       .ffn = FFN,
                                       .cross_every = 2},
                            .reads_text = true,
                            .layers = t->layers};
    qformer->cross_kv.rows = CROSS_LAYERS * 2 * WIDTH;
    for (uint32_t i = 0; i < LAYERS; i++) {
        t->layers[i].has_cross = i % 2 == 0;
        t->layers[i].cross_index = i / 2;
    }
    carve(t, &carver);
    ck_assert(!carver.overflow);
    t->memory = b2_alloc_aligned(256, carver.used);
    ck_assert_ptr_nonnull(t->memory);
    carver = (b2_carver){.base = t->memory};
    carve(t, &carver);
    ck_assert_status_ok(b2_score_init(&t->space, &t->model));
    real = NULL;
    watched = &t->model;
    done = (work){0};
}

static void close_true_shapes(true_shapes *t) {
    b2_score_space_free(&t->space);
    b2_free(t->memory);
}

/* Keys and values of the picture. */
static void read_image(const true_shapes *t) {
    const b2_run run = {.device = t->model.device};

    ck_assert_status_ok(
        b2_qformer_read_images(&t->model.qformer, &run, t->features, t->images.where.cross_kv));
}

/* Match the picture with count <= BATCH texts of so many tokens, packed. */
static void match(true_shapes *t, uint32_t count, uint32_t tokens) {
    static const int32_t ids[MOST_TEXT];
    const b2_run run = {.device = t->model.device};
    b2_score scores[BATCH] = {0};

    b2_score_begin(&t->space);
    for (uint32_t i = 0; i < count; i++) {
        scores[i] = (b2_score){.mode = B2_SCORE_PAIR, .wants_match = true};
        ck_assert(b2_score_add(
            &t->space, &(b2_score_item){.score = &scores[i], .ids = ids, .id_count = tokens}));
    }
    ck_assert_status_ok(b2_score_run(&t->space, &t->model, &run, &t->images));
}

/* The same as a formula, of one pair. */
static uint64_t flops_of_pair(uint64_t tokens) {
    const uint64_t rows = QUERIES + tokens, c = WIDTH;
    const uint64_t self = 2 * rows * c * (3 * c + c) + 4 * rows * rows * c;
    const uint64_t cross = 2 * QUERIES * c * 2 * c + (uint64_t)4 * QUERIES * FEATURES * c;

    return LAYERS * (self + 4 * rows * c * FFN) + CROSS_LAYERS * cross + 2 * QUERIES * c * 2;
}

/* A picture with k texts. Counted is all of linear and attention between the picture's features and
 * the logits of matching; the vision tower, which either way runs once, is not, nor are norms,
 * softmax and activations. LAVIS's way: for each pair keys and values are made of the picture's
 * features anew, and the text is padded to 35 tokens. */
START_TEST(matching_at_true_shapes) {
    static const struct {
        uint32_t texts, tokens;
    } cases[] = {{16, 35}, {16, 32}, {16, 12}, {128, 35}, {128, 32}, {128, 12}};
    const uint32_t texts_of_image = cases[_i].texts, tokens = cases[_i].tokens;
    const uint64_t keys_and_values =
        (uint64_t)2 * FEATURES * VISION_WIDTH * CROSS_LAYERS * 2 * WIDTH;
    true_shapes t;
    uint64_t ours, lavis;

    open_true_shapes(&t);
    read_image(&t);
    for (uint32_t k = 0; k < texts_of_image; k += BATCH)
        match(&t, texts_of_image - k < BATCH ? texts_of_image - k : BATCH, tokens);
    ours = done.flops;
    ck_assert_uint_eq(done.cross_rows, FEATURES);
    done = (work){0};
    for (uint32_t k = 0; k < texts_of_image; k++) {
        read_image(&t);
        match(&t, 1, MOST_TEXT);
    }
    lavis = done.flops;
    close_true_shapes(&t);
    (void)printf("%3u texts of %2u tokens: %.2f GFLOP a pair, LAVIS's way %.2f: %.1f %%\n",
                 texts_of_image, tokens, (double)ours / texts_of_image * 1e-9,
                 (double)lavis / texts_of_image * 1e-9, 100.0 * (double)ours / (double)lavis);
    ck_assert_uint_eq(ours, keys_and_values + texts_of_image * flops_of_pair(tokens));
    ck_assert_uint_eq(lavis, texts_of_image * (keys_and_values + flops_of_pair(MOST_TEXT)));
    ck_assert_uint_le(ours * 100, lavis * 70);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("work");
    TCase *small = tcase_create("small models"), *shapes = tcase_create("true shapes");

    tcase_add_checked_fixture(small, setup, teardown);
    tcase_add_test(small, matching_encodes_each_picture_once);
    tcase_add_loop_test(small, reranking_encodes_each_picture_once, 0, 3);
    tcase_add_test(small, losses_encode_each_picture_once);
    tcase_add_test(small, captions_run_no_queries_again);
    suite_add_tcase(suite, small);
    tcase_add_loop_test(shapes, matching_at_true_shapes, 0, 6);
    suite_add_tcase(suite, shapes);
    return run_suite(suite);
}
