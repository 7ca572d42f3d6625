/* T5 by itself: its buckets, what a checkpoint must have, and types it does not run in. What it
 * computes: the golden cases hf_t5_*. */
#include <math.h>
#include <string.h>

#include "folder.h"
#include "model/model.h"
#include "run.h"

#define MODEL BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_t5"

/* The distances at which each bucket of the released models begins, as torch has them. */
START_TEST(buckets_begin_where_they_do) {
    static const int64_t encoder[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
    static const int64_t decoder[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                      11, 12, 13, 14, 15, 16, 19, 21, 24, 27, 31,
                                      35, 40, 46, 52, 59, 67, 77, 87, 99, 113};
    const b2_t5_config config = {.buckets = 32, .max_distance = 128};

    for (uint32_t i = 0; i < sizeof encoder / sizeof *encoder; i++) {
        int64_t last = i + 1 < 16 ? encoder[i + 1] - 1 : 1000000;

        ck_assert_uint_eq(b2_t5_bucket(&config, false, -encoder[i]), i);
        ck_assert_uint_eq(b2_t5_bucket(&config, false, -last), i);
        if (i > 0) {
            ck_assert_uint_eq(b2_t5_bucket(&config, false, encoder[i]), 16 + i);
            ck_assert_uint_eq(b2_t5_bucket(&config, false, last), 16 + i);
        }
    }
    for (uint32_t i = 0; i < sizeof decoder / sizeof *decoder; i++) {
        int64_t last = i + 1 < 32 ? decoder[i + 1] - 1 : 1000000;

        ck_assert_uint_eq(b2_t5_bucket(&config, true, -decoder[i]), i);
        ck_assert_uint_eq(b2_t5_bucket(&config, true, -last), i);
        ck_assert_uint_eq(b2_t5_bucket(&config, true, decoder[i]), 0);
    }
}
END_TEST

static const struct {
    const char *before, *after;
    blip2_status status;
    const char *message; /* must be part of the message */
} broken[] = {
    {"\"num_layers\": 3", "\"num_layers\": 4", BLIP2_EFORMAT,
     "language_model.encoder.block.3.layer.0.layer_norm.weight"},
    {"\"num_decoder_layers\": 2", "\"num_decoder_layers\": 3", BLIP2_EFORMAT,
     "language_model.decoder.block.2."},
    {"\"d_ff\": 84", "\"d_ff\": 85", BLIP2_EFORMAT, "wi_0.weight\": expected shape [85, 60]"},
    {"\"d_kv\": 24", "\"d_kv\": 20", BLIP2_EFORMAT, "q.weight\": expected shape [60, 60]"},
    {"\"relative_attention_num_buckets\": 32", "\"relative_attention_num_buckets\": 16",
     BLIP2_EFORMAT, "relative_attention_bias.weight\": expected shape [16, 3], got [32, 3]"},
    {"\"vocab_size\": 272", "\"vocab_size\": 270", BLIP2_EFORMAT, "shared.weight"},
    {"\"is_gated_act\": true", "\"is_gated_act\": false", BLIP2_EFORMAT,
     "DenseReluDense.wi.weight"},
    {"\"gated-gelu\"", "\"gated-mish\"", BLIP2_ENOTSUP, "feed_forward_proj: \"gated-mish\""},
    {"\"model_type\": \"blip-2\",\n", "\"model_type\": \"instructblip\",\n", BLIP2_EFORMAT,
     "Q-Former word embedding"},
};

START_TEST(broken_checkpoints) {
    const char *folder = make_folder(MODEL, broken[_i].before, broken[_i].after);
    blip2_model *model;

    ck_assert_status(blip2_model_open(&model, folder, NULL), broken[_i].status);
    ck_assert_msg(strstr(blip2_error_message(), broken[_i].message) != NULL, "message: %s",
                  blip2_error_message());
    remove_folder();
}
END_TEST

START_TEST(f16_is_refused) {
    blip2_model_options options;
    blip2_model *model;

    blip2_model_options_init(&options, sizeof options);
    options.compute = BLIP2_COMPUTE_F16;
    ck_assert_status(blip2_model_open(&model, MODEL, &options), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "F16 cannot hold"));
}
END_TEST

/* gamma of the norm before the head, [60], of a checkpoint with this in its configuration. */
static void last_norm(float *gamma, const char *field) {
    const char *folder = make_folder(MODEL, "\"tie_word_embeddings\": false", field);
    blip2_model_options options;
    blip2_model *model;

    blip2_model_options_init(&options, sizeof options);
    options.device = "cpu";
    ck_assert_status_ok(blip2_model_open(&model, folder, &options));
    ck_assert_status_ok(model->device->ops->download(
        model->device, gamma, model->language.t5.decoder_norm.gamma, 60 * sizeof *gamma));
    blip2_model_close(model);
    remove_folder();
}

/* transformers 5 writes both fields, of which the second one counts. */
START_TEST(a_tied_head_is_scaled) {
    static const struct {
        const char *field;
        bool scaled;
    } fields[] = {{"\"x\": 0", true},
                  {"\"tie_word_embeddings\": true", true},
                  {"\"tie_word_embeddings\": true, \"scale_decoder_outputs\": false", false},
                  {"\"tie_word_embeddings\": false, \"scale_decoder_outputs\": true", true}};
    float plain[60], gamma[60];

    last_norm(plain, "\"tie_word_embeddings\": false");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        float scale = fields[i].scaled ? 1.0f / sqrtf(60.0f) : 1.0f;

        last_norm(gamma, fields[i].field);
        for (int k = 0; k < 60; k++)
            ck_assert(gamma[k] == plain[k] * scale);
    }
}
END_TEST

START_TEST(is_described) {
    char *text;

    ck_assert_status_ok(blip2_model_describe(&text, MODEL));
    ck_assert_ptr_nonnull(strstr(text, "\"type\": \"t5\""));
    ck_assert_ptr_nonnull(strstr(text, "\"decoder_layers\": 2"));
    ck_assert_ptr_nonnull(strstr(text, "\"unused_tensors\": []"));
    blip2_string_free(text);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("t5");
    TCase *tests = tcase_create("t5");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, buckets_begin_where_they_do);
    tcase_add_loop_test(tests, broken_checkpoints, 0, sizeof broken / sizeof *broken);
    tcase_add_test(tests, f16_is_refused);
    tcase_add_test(tests, a_tied_head_is_scaled);
    tcase_add_test(tests, is_described);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
