/* Llama and InstructBLIP by themselves: rotary positions, what a checkpoint must have, how texts
 * end. What they compute: the golden cases hf_illama_*. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "folder.h"
#include "model/model.h"
#include "run.h"

#define MODEL BLIP2_SOURCE_DIR "/tests/golden/models/hf_instructblip_llama"

enum { POSITIONS = 256, HEAD = 40 };

static blip2_model *open_folder(const char *folder) {
    blip2_model_options options;
    blip2_model *model;

    blip2_model_options_init(&options, sizeof options);
    options.device = "cpu";
    options.threads = 1;
    ck_assert_status_ok(blip2_model_open(&model, folder, &options));
    return model;
}

/* Cosines and sines [POSITIONS, HEAD] of a checkpoint with this in its configuration. */
static float *positions_of(const char *field) {
    blip2_model *model = open_folder(make_folder(MODEL, "\"rms_norm_eps\": 1e-06", field));
    float *table = b2_alloc_array((size_t)POSITIONS * HEAD, sizeof *table);

    ck_assert_ptr_nonnull(table);
    ck_assert_status_ok(model->device->ops->download(model->device, table,
                                                     model->language.llama.positions,
                                                     (size_t)POSITIONS * HEAD * sizeof *table));
    blip2_model_close(model);
    remove_folder();
    return table;
}

START_TEST(positions_turn) {
    float *plain = positions_of("\"x\": 0"), *steep = positions_of("\"rope_theta\": 100.0");
    float *stretched = positions_of("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}");

    for (int p = 0; p < POSITIONS; p++)
        for (int j = 0; j < HEAD / 2; j++) {
            double angle = p * pow(10000.0, -2.0 * j / HEAD);
            const float *row = plain + (size_t)p * HEAD;
            /* An angle and its frequency are rounded: 255 x 3 x 2^-24. */
            const double TOLERANCE = 4.6e-5;

            ck_assert_double_eq_tol((double)row[j], cos(angle), TOLERANCE);
            ck_assert_double_eq_tol((double)row[HEAD / 2 + j], sin(angle), TOLERANCE);
            angle = p * pow(100.0, -2.0 * j / HEAD);
            ck_assert_double_eq_tol((double)steep[(size_t)p * HEAD + (size_t)j], cos(angle),
                                    TOLERANCE);
        }
    for (size_t p = 0; 2 * p < POSITIONS; p++)
        ck_assert_mem_eq(stretched + 2 * p * HEAD, plain + p * HEAD, HEAD * sizeof *plain);
    b2_free(plain);
    b2_free(steep);
    b2_free(stretched);
}
END_TEST

static const struct {
    const char *before, *after;
    blip2_status status;
    const char *message; /* must be part of the message */
} broken[] = {
    {"\"num_hidden_layers\": 3,\n  \"architectures\"",
     "\"num_hidden_layers\": 4,\n  \"architectures\"", BLIP2_EFORMAT,
     "language_model.model.layers.3.self_attn.q_proj.weight"},
    {"\"intermediate_size\": 112", "\"intermediate_size\": 113", BLIP2_EFORMAT,
     "gate_proj.weight\": expected shape [113, 80]"},
    {"\"vocab_size\": 400", "\"vocab_size\": 391", BLIP2_EFORMAT, "embed_tokens.weight"},
    {"\"rms_norm_eps\": 1e-06", "\"head_dim\": 20", BLIP2_EFORMAT,
     "q_proj.weight\": expected shape [40, 80], got [80, 80]"},
    {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 1", BLIP2_EFORMAT,
     "k_proj.weight\": expected shape [40, 80], got [80, 80]"},
    {"\"max_position_embeddings\": 90", "\"max_position_embeddings\": 91", BLIP2_EFORMAT,
     "position_embeddings.weight\": expected shape [91, 48]"},
    {"\"vocab_size\": 182", "\"vocab_size\": 183", BLIP2_EFORMAT, "word_embeddings.weight"},
    {"\"rms_norm_eps\": 1e-06", "\"rope_scaling\": {\"rope_type\": \"llama3\"}", BLIP2_ENOTSUP,
     "rope_type: \"llama3\" is not supported"},
    {"\"model_type\": \"instructblip\",\n", "\"model_type\": \"blip-2\",\n", BLIP2_OK, ""},
};

START_TEST(broken_checkpoints) {
    const char *folder = make_folder(MODEL, broken[_i].before, broken[_i].after);
    blip2_model *model;

    ck_assert_status(blip2_model_open(&model, folder, NULL), broken[_i].status);
    if (broken[_i].status == BLIP2_OK) /* BLIP-2 with Llama: the Q-Former reads no prompt */
        ck_assert_ptr_null(model->instructions);
    else
        ck_assert_msg(strstr(blip2_error_message(), broken[_i].message) != NULL, "message: %s",
                      blip2_error_message());
    blip2_model_close(model);
    remove_folder();
}
END_TEST

START_TEST(the_qformer_needs_a_tokenizer) {
    const char *folder = make_folder(MODEL, "\"rms_norm_eps\"", "\"rms_norm_eps\"");
    blip2_model *model;
    char path[256];

    (void)snprintf(path, sizeof path, "%s/qformer_tokenizer", folder);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_status(blip2_model_open(&model, folder, NULL), BLIP2_EIO);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "/qformer_tokenizer/tokenizer.json"));
    /* One with more words than the Q-Former has. */
    ck_assert_int_eq(symlink(BLIP2_SOURCE_DIR "/tests/golden/models/tok_bert", path), 0);
    ck_assert_status(blip2_model_open(&model, folder, NULL), BLIP2_EFORMAT);
    ck_assert_ptr_nonnull(
        strstr(blip2_error_message(), "/qformer_tokenizer: the tokenizer has ids"));
    remove_folder();
}
END_TEST

/* The file's own head counts, even if the configuration ties it. */
START_TEST(a_head_of_its_own) {
    blip2_model *model = open_folder(
        make_folder(MODEL, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true"));

    ck_assert_ptr_ne(model->language.llama.head.w, model->language.llama.tokens);
    blip2_model_close(model);
    remove_folder();
}
END_TEST

/* The configuration of instructblip-vicuna-7b has other ids than its vocabulary. */
START_TEST(texts_end_as_the_vocabulary_has_it) {
    static const char *const before = "\"bos_token_id\": 1,\n  \"eos_token_id\": 2";
    blip2_model *model =
        open_folder(make_folder(MODEL, before, "\"bos_token_id\": 0,\n  \"eos_token_id\": 1"));

    ck_assert_uint_eq(model->config.stop_count, 2);
    ck_assert_int_eq(model->config.stop_ids[0], 1);
    ck_assert_int_eq(model->config.stop_ids[1], 2);
    blip2_model_close(model);
    remove_folder();
    model = open_folder(make_folder(MODEL, before, "\"bos_token_id\": 1,\n  \"eos_token_id\": 1"));
    ck_assert_uint_eq(model->config.stop_count, 1);
    blip2_model_close(model);
    remove_folder();
}
END_TEST

START_TEST(is_described) {
    char *text;

    ck_assert_status_ok(blip2_model_describe(&text, MODEL));
    ck_assert_ptr_nonnull(strstr(text, "\"type\": \"llama\""));
    ck_assert_ptr_nonnull(strstr(text, "\"reads_instructions\": true"));
    ck_assert_ptr_nonnull(strstr(text, "\"unused_tensors\": []"));
    blip2_string_free(text);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("llama");
    TCase *tests = tcase_create("llama");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, positions_turn);
    tcase_add_loop_test(tests, broken_checkpoints, 0, sizeof broken / sizeof *broken);
    tcase_add_test(tests, the_qformer_needs_a_tokenizer);
    tcase_add_test(tests, a_head_of_its_own);
    tcase_add_test(tests, texts_end_as_the_vocabulary_has_it);
    tcase_add_test(tests, is_described);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
