/* What blip2_convert writes: opened, it answers with the same bits as what it was made from. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "convert_fixture.h"
#include "run.h"

enum { PICTURES = 3 };

/* ---- the same answers ----------------------------------------------------------------------- */

typedef struct opened {
    blip2_model *model;
    blip2_engine *engine;
} opened;

static void open_both(opened both[2], const char *first, const char *second) {
    const char *const folders[] = {first, second};

    for (int i = 0; i < 2; i++) {
        open_model(&both[i].model, folders[i]);
        both[i].engine = open_engine(both[i].model, 4, 4, 0);
    }
}

static void compare_features(const opened both[2], const blip2_input *inputs, blip2_mode mode) {
    blip2_features_options options;
    blip2_features *features[2];
    const float *hidden[2];
    size_t rows, cols;

    blip2_features_options_init(&options, sizeof options);
    options.mode = mode;
    for (int i = 0; i < 2; i++)
        ck_assert_status_ok(
            blip2_features_extract(both[i].engine, inputs, PICTURES, &options, &features[i]));
    for (size_t k = 0; k < PICTURES; k++) {
        for (int i = 0; i < 2; i++)
            hidden[i] = blip2_features_hidden(features[i], k, &rows, &cols);
        ck_assert_mem_eq(hidden[0], hidden[1], rows * cols * sizeof(float));
        for (int i = 0; i < 2; i++)
            hidden[i] = blip2_features_projected(features[i], k, &rows, &cols);
        ck_assert_int_eq(hidden[0] == NULL, hidden[1] == NULL);
        if (hidden[0] != NULL)
            ck_assert_mem_eq(hidden[0], hidden[1], rows * cols * sizeof(float));
    }
    for (int i = 0; i < 2; i++)
        blip2_features_free(features[i]);
}

static void compare_scores(const opened both[2], const blip2_input *inputs) {
    blip2_match_score scores[2][PICTURES];

    memset(scores, 0, sizeof scores);
    for (int i = 0; i < 2; i++)
        ck_assert_status_ok(blip2_match(both[i].engine, inputs, PICTURES, NULL, scores[i]));
    ck_assert_mem_eq(scores[0], scores[1], sizeof scores[0]);
}

static void compare_texts(const opened both[2], const blip2_input *inputs) {
    blip2_generate_options options;
    blip2_result *results[2];

    blip2_generate_options_init(&options, sizeof options);
    options.num_beams = 3;
    options.max_new_tokens = 12;
    for (int i = 0; i < 2; i++)
        ck_assert_status_ok(
            blip2_generate(both[i].engine, inputs, PICTURES, &options, &results[i]));
    for (size_t k = 0; k < PICTURES; k++) {
        float a = blip2_result_score(results[0], k), b = blip2_result_score(results[1], k);

        ck_assert_str_eq(blip2_result_text(results[0], k), blip2_result_text(results[1], k));
        ck_assert_mem_eq(&a, &b, sizeof a);
    }
    for (int i = 0; i < 2; i++)
        blip2_result_free(results[i]);
}

static bool can(const opened both[2], const char *task) {
    int first = blip2_model_can(both[0].model, task);

    ck_assert_int_eq(first, blip2_model_can(both[1].model, task));
    return first != 0;
}

/* Everything that the two can do, with the same bits. */
static void compare(const char *first, const char *second) {
    static const char *const texts[PICTURES] = {"a red star", "the train", "a woman on a beach"};
    blip2_image *images[PICTURES];
    blip2_input inputs[PICTURES], captions[PICTURES];
    opened both[2];

    open_both(both, first, second);
    open_pictures(images, NULL, PICTURES);
    for (int i = 0; i < PICTURES; i++) {
        inputs[i] = (blip2_input){images[i], texts[i]};
        captions[i] = (blip2_input){images[i], NULL};
    }
    if (can(both, "features"))
        for (int mode = BLIP2_MODE_IMAGE; mode <= BLIP2_MODE_MULTIMODAL; mode++)
            compare_features(both, inputs, (blip2_mode)mode);
    if (can(both, "match"))
        compare_scores(both, inputs);
    if (can(both, "caption"))
        compare_texts(both, captions);
    if (can(both, "vqa"))
        compare_texts(both, inputs);
    close_pictures(images, PICTURES);
    for (int i = 0; i < 2; i++) {
        blip2_engine_close(both[i].engine);
        blip2_model_close(both[i].model);
    }
}

static json_t *describe(const char *model) {
    json_t *root;
    char *text;

    ck_assert_status_ok(blip2_model_describe(&text, model));
    ck_assert_ptr_nonnull(root = json_loads(text, 0, NULL));
    blip2_string_free(text);
    return root;
}

/* It says the same of itself, but that nothing is left unused. */
static void compare_descriptions(const char *first, const char *second) {
    static const char *const same[] = {"architecture", "tasks", "shapes"};
    json_t *a = describe(first), *b = describe(second);

    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        ck_assert(json_equal(json_object_get(a, same[i]), json_object_get(b, same[i])));
    ck_assert_uint_eq(json_array_size(json_object_get(b, "unused_tensors")), 0);
    json_decref(a);
    json_decref(b);
}

static const char *const models[] = {
    MODELS "/lavis_stage1",       MODELS "/lavis_stage1_coco",     MODELS "/lavis_stage1_vitL",
    MODELS "/lavis_opt",          MODELS "/hf_blip2_itm",          MODELS "/hf_blip2_opt",
    MODELS "/hf_blip2_opt350",    MODELS "/hf_blip2_t5",           MODELS "/hf_blip2_t5_first",
    MODELS "/lavis_t5",           MODELS "/lavis_t5_instruct",     MODELS "/lavis_vicuna_instruct",
    MODELS "/hf_instructblip_t5", MODELS "/hf_instructblip_llama",
};
enum { MODELS_COUNT = sizeof models / sizeof *models };

START_TEST(answers_are_the_same) {
    ck_assert_status_ok(blip2_convert(models[_i], out, NULL));
    ck_assert_uint_eq(count_files(folder), 1);
    compare(models[_i], out);
    compare_descriptions(models[_i], out);
}
END_TEST

/* What was converted converts again, to the same bytes. */
START_TEST(twice_is_once) {
    char again[300], command[2000];

    (void)snprintf(again, sizeof again, "%s/again", folder);
    ck_assert_status_ok(blip2_convert(models[_i], out, NULL));
    ck_assert_status_ok(blip2_convert(out, again, NULL));
    (void)snprintf(command, sizeof command, "diff -r '%s' '%s'", out, again);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(shards_have_an_index) {
    blip2_convert_options options = no_options();

    options.shard_bytes = 300000;
    for (size_t i = 0; i < MODELS_COUNT; i += MODELS_COUNT / 2) { /* of both formats */
        ck_assert_status_ok(blip2_convert(models[i], out, &options));
        ck_assert(has_file("model.safetensors.index.json"));
        ck_assert(!has_file("model.safetensors"));
        compare(models[i], out);
        remove_out();
    }
}
END_TEST

START_TEST(files_need_no_folder) {
    blip2_convert_options options = file_options();

    ck_assert_status_ok(blip2_convert(NULL, out, &options));
    compare(STAGE1, out);
    remove_out();
    options = no_options(); /* the tower is inside, and so is its picture size */
    options.checkpoint = MODELS "/lavis_stage1_coco/blip2_finetune_coco.pth";
    options.vocabulary = MODELS "/lavis_stage1_coco/bert_vocab.txt";
    options.vit_heads = 1;
    ck_assert_status_ok(blip2_convert(NULL, out, &options));
    compare(MODELS "/lavis_stage1_coco", out);
    remove_out();
    options = no_options(); /* CLIP, of which no head is 64 wide */
    options.checkpoint = MODELS "/lavis_stage1_vitL/blip2_pretrained_vitL.pth";
    options.vit = MODELS "/lavis_vit_clip/clip_vit_L.pth";
    options.vocabulary = MODELS "/lavis_stage1_vitL/bert_vocab.txt";
    options.vit_heads = 3;
    options.qformer_heads = 3;
    ck_assert_status_ok(blip2_convert(NULL, out, &options));
    compare(MODELS "/lavis_stage1_vitL", out);
}
END_TEST

/* The language models' folders are told by their configurations, instructions by the Q-Former. */
START_TEST(language_models_need_no_folder) {
    static const struct {
        const char *model, *checkpoint, *vit, *language;
        uint32_t vit_layers, vit_heads, qformer_heads;
        bool reads;
    } all[] = {
        {"lavis_opt", "blip2_pretrained_opt", "eva_b", "opt", 0, 0, 3, false},
        {"lavis_t5", "blip2_pretrained_flant5", "eva_a", "t5", 3, 2, 3, false},
        {"lavis_t5_instruct", "instruct_blip_flan_trimmed", "eva_a", "t5", 3, 2, 1, true},
        {"lavis_vicuna_instruct", "instruct_blip_vicuna_trimmed", "eva_b", "vicuna", 0, 0, 1, true},
    };
    char original[300], checkpoint[500], vit[300], language[300], vocabulary[500];
    blip2_convert_options options = no_options();

    (void)snprintf(original, sizeof original, MODELS "/%s", all[_i].model);
    (void)snprintf(checkpoint, sizeof checkpoint, "%s/%s.pth", original, all[_i].checkpoint);
    (void)snprintf(vit, sizeof vit, MODELS "/lavis_vit_%s/eva_vit_g.pth", all[_i].vit);
    (void)snprintf(language, sizeof language, MODELS "/lavis_llm_%s", all[_i].language);
    (void)snprintf(vocabulary, sizeof vocabulary, "%s/bert_vocab.txt", original);
    options.checkpoint = checkpoint;
    options.vit = vit;
    options.language_model = language;
    options.vocabulary = all[_i].reads ? vocabulary : NULL;
    options.vit_layers = all[_i].vit_layers;
    options.vit_heads = all[_i].vit_heads;
    options.qformer_heads = all[_i].qformer_heads;
    ck_assert_status_ok(blip2_convert(NULL, out, &options));
    compare(original, out);
}
END_TEST

/* ---- types ---------------------------------------------------------------------------------- */

START_TEST(matrices_are_converted_and_vectors_are_not) {
    static const blip2_weight_type types[] = {BLIP2_WEIGHT_F32, BLIP2_WEIGHT_F16,
                                              BLIP2_WEIGHT_BF16};
    json_int_t bytes[3];

    for (size_t i = 0; i < 3; i++) {
        blip2_convert_options options = no_options();
        struct stat info;
        char path[600];

        options.weight_type = types[i];
        ck_assert_status_ok(blip2_convert(STAGE1, out, &options));
        (void)snprintf(path, sizeof path, "%s/model.safetensors", out);
        ck_assert_int_eq(stat(path, &info), 0);
        bytes[i] = (json_int_t)info.st_size;
        if (types[i] == BLIP2_WEIGHT_F32) /* as it was stored */
            compare(STAGE1, out);
        else
            compare_descriptions(STAGE1, out);
        remove_out();
    }
    ck_assert_int_lt(bytes[1], bytes[0] * 6 / 10);
    ck_assert_int_gt(bytes[1], bytes[0] / 2);
    ck_assert_int_lt(llabs(bytes[1] - bytes[2]), 1000);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("convert");
    TCase *same = tcase_create("same answers");

    tcase_add_checked_fixture(same, make_folder, remove_folder);
    tcase_add_loop_test(same, answers_are_the_same, 0, MODELS_COUNT);
    tcase_add_loop_test(same, twice_is_once, 0, MODELS_COUNT);
    tcase_add_test(same, shards_have_an_index);
    tcase_add_test(same, files_need_no_folder);
    tcase_add_loop_test(same, language_models_need_no_folder, 0, 4);
    tcase_add_test(same, matrices_are_converted_and_vectors_are_not);
    tcase_set_timeout(same, 60);
    suite_add_tcase(suite, same);
    suite_add_tcase(suite, refusal_tests());
    return run_suite(suite);
}
