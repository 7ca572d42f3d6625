/* Opening models: what a broken checkpoint answers, progress, weight types; and position tables. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "folder.h"
#include "model/encode.h"
#include "model/positions.h"
#include "run.h"

#define MODEL BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_opt"

/* The values of torch 2.13's interpolate(mode="bicubic", align_corners=False) of i^1.5, i = 1..9 as
 * a 3x3 grid, to 4x5 and to 2x2. */
START_TEST(positions_as_torch) {
    static const float large[20] = {0.33134523f, 1.0047999f, 2.2289489f, 3.7521891f, 4.7335968f,
                                    4.0729794f,  5.1105794f, 6.9131017f, 8.9409170f, 10.210484f,
                                    12.208403f,  13.696728f, 16.222879f, 18.904785f, 20.553480f,
                                    18.874704f,  20.575515f, 23.449056f, 26.463186f, 28.308748f};
    static const float small[4] = {2.6010165f, 6.4014558f, 17.128253f, 23.729404f};
    /* 16 products of values up to 28, summed in another order: 16 x 28 x 2^-24 */
    const float TOLERANCE = 2.7e-5f;
    float table[10 * 2], out[21 * 2];

    for (int i = 0; i < 10; i++) {
        table[2 * i] = i == 0 ? 77.0f : powf((float)i, 1.5f);
        table[2 * i + 1] = -table[2 * i];
    }
    ck_assert_status_ok(b2_positions_resize(out, 4, 5, table, 10, 2, false));
    ck_assert(out[0] == 77.0f && out[1] == -77.0f);
    for (int i = 0; i < 20; i++) {
        ck_assert_float_eq_tol(out[2 + 2 * i], large[i], TOLERANCE);
        ck_assert_float_eq_tol(out[3 + 2 * i], -large[i], TOLERANCE);
    }
    ck_assert_status_ok(b2_positions_resize(out, 2, 2, table, 10, 2, false));
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq_tol(out[2 + 2 * i], small[i], TOLERANCE);
    ck_assert_status_ok(b2_positions_resize(out, 3, 3, table, 10, 2, false));
    for (int i = 0; i < 20; i++)
        ck_assert(out[i] == table[i]);
    ck_assert_status(b2_positions_resize(out, 2, 2, table, 9, 2, false), BLIP2_EFORMAT);
    ck_assert_status(b2_positions_resize(out, 2, 2, table, 1, 2, false), BLIP2_EFORMAT);
}
END_TEST

static const struct {
    const char *before, *after;
    blip2_status status;
    const char *message; /* must be part of the message */
} broken[] = {
    {"\"num_hidden_layers\": 3,\n  \"ffn_dim\"", "\"num_hidden_layers\": 4,\n  \"ffn_dim\"",
     BLIP2_EFORMAT, "language_model.model.decoder.layers.3."},
    {"\"ffn_dim\": 110", "\"ffn_dim\": 111", BLIP2_EFORMAT, "fc1.weight"},
    {"\"image_size\": 56", "\"image_size\": 70", BLIP2_EFORMAT, "position_embedding"},
    {"\"vocab_size\": 416", "\"vocab_size\": 400", BLIP2_EFORMAT, "embed_tokens"},
    {"\"num_query_tokens\": 8", "\"num_query_tokens\": 9", BLIP2_EFORMAT, "query_tokens"},
    {"\"num_query_tokens\": 8", "\"num_query_tokens\": \"8\"", BLIP2_EFORMAT, "num_query_tokens"},
    {"\"model_type\": \"opt\"", "\"model_type\": \"t5\"", BLIP2_EFORMAT, "language_projection"},
    {"\"model_type\": \"opt\"", "\"model_type\": \"gpt9\"", BLIP2_ENOTSUP, "gpt9"},
    {"\"model_type\": \"blip-2\",\n", "\"model_type\": \"instructblip\",\n", BLIP2_EFORMAT,
     "Q-Former word embedding"},
};

START_TEST(broken_checkpoints) {
    const char *folder = make_folder(MODEL, broken[_i].before, broken[_i].after);
    blip2_model *model = (blip2_model *)1;
    char *text;

    ck_assert_status(blip2_model_open(&model, folder, NULL), broken[_i].status);
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(blip2_error_message(), broken[_i].message) != NULL, "message: %s",
                  blip2_error_message());
    ck_assert_status(blip2_model_describe(&text, folder), broken[_i].status);
    ck_assert_ptr_null(text);
    remove_folder();
}
END_TEST

typedef struct watch {
    uint64_t last, total;
    int calls, stop_at;
} watch;

static int progress(uint64_t done, uint64_t total, void *payload) {
    watch *w = payload;

    ck_assert(done >= w->last && done <= total);
    w->last = done;
    w->total = total;
    w->calls++;
    return w->calls == w->stop_at;
}

START_TEST(progress_reaches_the_end) {
    blip2_model_options options;
    blip2_model *model;
    watch w = {0};

    blip2_model_options_init(&options, sizeof options);
    options.on_progress = progress;
    options.progress_payload = &w;
    ck_assert_status_ok(blip2_model_open(&model, MODEL, &options));
    blip2_model_close(model);
    ck_assert_uint_gt(w.total, 1000000);
    ck_assert_uint_eq(w.last, w.total);
    w = (watch){.stop_at = 3};
    ck_assert_status(blip2_model_open(&model, MODEL, &options), BLIP2_ESTOP);
    ck_assert_int_eq(w.calls, 3);
    ck_assert_ptr_null(model);
}
END_TEST

START_TEST(options_out_of_range) {
    blip2_model_options options;
    blip2_model *model;

    blip2_model_options_init(&options, sizeof options);
    options.device = "tpu";
    ck_assert_status(blip2_model_open(&model, MODEL, &options), BLIP2_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "tpu"));
    options.device = NULL;
    options.weight_type = (blip2_weight_type)9;
    ck_assert_status(blip2_model_open(&model, MODEL, &options), BLIP2_EINVAL);
    options.weight_type = BLIP2_WEIGHT_AUTO;
    options.compute = (blip2_compute)77;
    ck_assert_status(blip2_model_open(&model, MODEL, &options), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "77"));
    options.compute = BLIP2_COMPUTE_AUTO;
    options.log_level = (blip2_log_level)77;
    ck_assert_status(blip2_model_open(&model, MODEL, &options), BLIP2_EINVAL);
    options.log_level = (blip2_log_level)-5;
    ck_assert_status(blip2_model_open(&model, MODEL, &options), BLIP2_EINVAL);
    ck_assert_status(blip2_model_open(&model, "", NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_model_open(&model, "/nonexistent", NULL), BLIP2_EIO);
    ck_assert_status(blip2_model_open(&model, NULL, NULL), BLIP2_EINVAL);
}
END_TEST

/* Soft prompts with weights rounded to half types stay near those with the stored fp32 ones: an
 * error of one rounding (2^-11, 2^-8) per weight; measured 0.0012 and 0.016 of the largest value,
 * allowed twice that. */
static void soft_prompt(blip2_weight_type type, float *out, size_t count) {
    blip2_model_options options;
    blip2_model *model;
    b2_encode_space space;
    b2_carver carver = {0};
    uint32_t slot = 0;
    b2_encode_places places = {.slots = &slot};
    void *memory;
    size_t pixels = 3 * 56 * 56;
    float *host;

    blip2_model_options_init(&options, sizeof options);
    options.weight_type = type;
    ck_assert_status_ok(blip2_model_open(&model, MODEL, &options));
    b2_encode_carve(&space, &carver, model, 1, false);
    places.soft = b2_carve_mat(&carver, B2_F32, space.soft.rows, space.soft.cols);
    ck_assert_status_ok(model->device->ops->alloc(model->device, &memory, carver.used));
    carver = (b2_carver){.base = memory};
    b2_encode_carve(&space, &carver, model, 1, false);
    places.soft = b2_carve_mat(&carver, B2_F32, space.soft.rows, space.soft.cols);
    ck_assert_status_ok(b2_encode_prepare(model, &space));
    host = b2_alloc_array(pixels, sizeof *host);
    for (size_t i = 0; i < pixels; i++)
        host[i] = sinf((float)i * 0.37f);
    ck_assert_status_ok(
        model->device->ops->upload(model->device, space.pixels, host, pixels * sizeof *host));
    ck_assert_status_ok(
        b2_encode_run(model, &(b2_run){.device = model->device}, &space, 1, &places));
    ck_assert_uint_eq((size_t)(places.soft.rows * places.soft.cols), count);
    ck_assert_status_ok(
        model->device->ops->download(model->device, out, places.soft.data, count * sizeof *out));
    model->device->ops->free(model->device, memory);
    b2_encode_free(&space);
    b2_free(host);
    blip2_model_close(model);
}

START_TEST(weight_types) {
    enum { COUNT = 8 * 64 };
    static const struct {
        blip2_weight_type type;
        float most;
    } halves[2] = {{BLIP2_WEIGHT_F16, 2 * 0.0012f}, {BLIP2_WEIGHT_BF16, 2 * 0.016f}};
    static float full[COUNT], half[COUNT];
    float largest = 0.0f, error = 0.0f;

    soft_prompt(BLIP2_WEIGHT_F32, full, COUNT);
    soft_prompt(halves[_i].type, half, COUNT);
    for (int i = 0; i < COUNT; i++) {
        largest = fmaxf(largest, fabsf(full[i]));
        error = fmaxf(error, fabsf(full[i] - half[i]));
    }
    ck_assert_msg(error > 0.0f && error <= halves[_i].most * largest, "error %g of %g, allowed %g",
                  (double)error, (double)largest, (double)(halves[_i].most * largest));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("model");
    TCase *tests = tcase_create("model");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, positions_as_torch);
    tcase_add_loop_test(tests, broken_checkpoints, 0, sizeof broken / sizeof *broken);
    tcase_add_test(tests, progress_reaches_the_end);
    tcase_add_test(tests, options_out_of_range);
    tcase_add_loop_test(tests, weight_types, 0, 2);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
