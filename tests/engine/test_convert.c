/* What blip2_convert writes: opened, it answers with the same bits as what it was made from. */
#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"
#include "run.h"
#include "stage1_fixture.h"

#define MODELS GOLDEN "/models"
#define PTH MODELS "/lavis_stage1/blip2_pretrained.pth"
#define EVA MODELS "/lavis_vit_eva_a/eva_vit_g.pth"
#define VOCABULARY MODELS "/lavis_stage1/bert_vocab.txt"
enum { PICTURES = 3 };

static char folder[256], out[300];

static void make_folder(void) {
    temporary_path(folder, sizeof folder, "convert-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(out, sizeof out, "%s/out", folder);
}

static void remove_folder(void) {
    remove_tree(folder);
}

static blip2_convert_options no_options(void) {
    blip2_convert_options options;

    blip2_convert_options_init(&options, sizeof options);
    return options;
}

/* LAVIS's files, whose heads are smaller than those of the released ones. */
static blip2_convert_options file_options(void) {
    blip2_convert_options options = no_options();

    options.checkpoint = PTH;
    options.vit = EVA;
    options.vocabulary = VOCABULARY;
    options.vit_layers = 3;
    options.vit_heads = 2;
    options.qformer_heads = 3;
    return options;
}

static void remove_out(void) {
    remove_tree(out);
    ck_assert_int_ne(access(out, F_OK), 0);
}

/* The files in the folder of the test, "." and ".." not counted. */
static size_t count_files(const char *path) {
    DIR *stream = opendir(path);
    const struct dirent *entry;
    size_t count = 0;

    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL)
        count += entry->d_name[0] != '.';
    (void)closedir(stream);
    return count;
}

static bool has_file(const char *name) {
    char path[600];

    (void)snprintf(path, sizeof path, "%s/%s", out, name);
    return access(path, F_OK) == 0;
}

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
    MODELS "/lavis_stage1",    MODELS "/lavis_stage1_coco", MODELS "/lavis_stage1_vitL",
    MODELS "/lavis_opt",       MODELS "/hf_blip2_itm",      MODELS "/hf_blip2_opt",
    MODELS "/hf_blip2_opt350",
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
    for (size_t i = 0; i < MODELS_COUNT; i += MODELS_COUNT - 1) { /* one of each format */
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
    remove_out();
    options = no_options(); /* heads of 88, as EVA's are */
    options.checkpoint = MODELS "/lavis_opt/blip2_pretrained_opt.pth";
    options.vit = MODELS "/lavis_vit_eva_b/eva_vit_g.pth";
    options.language_model = MODELS "/lavis_llm_opt";
    options.qformer_heads = 3;
    ck_assert_status_ok(blip2_convert(NULL, out, &options));
    compare(MODELS "/lavis_opt", out);
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

/* ---- what cannot be done -------------------------------------------------------------------- */

static void expect_failure(const char *directory, const blip2_convert_options *options,
                           blip2_status status, const char *part) {
    size_t before = count_files(folder);

    ck_assert_status(blip2_convert(directory, out, options), status);
    ck_assert_msg(strstr(blip2_error_message(), part) != NULL, "no '%s' in '%s'", part,
                  blip2_error_message());
    ck_assert_uint_eq(count_files(folder), before);
}

START_TEST(bad_files_are_refused) {
    blip2_convert_options options = file_options();

    options.checkpoint = GOLDEN "/models/none.pth";
    expect_failure(NULL, &options, BLIP2_EIO, "none.pth");
    options = file_options();
    options.vit = GOLDEN "/models/none.pth";
    expect_failure(NULL, &options, BLIP2_EIO, "none.pth");
    options = file_options();
    options.vocabulary = GOLDEN "/models/none.txt";
    expect_failure(NULL, &options, BLIP2_EIO, "none.txt");
    options = file_options();
    options.vocabulary = NULL;
    expect_failure(NULL, &options, BLIP2_EINVAL, "vocabulary");
    options = file_options();
    options.vit = NULL;
    expect_failure(NULL, &options, BLIP2_EFORMAT, "vision tower");
    options = file_options();
    options.checkpoint = EVA;
    expect_failure(NULL, &options, BLIP2_EFORMAT, "query_tokens");
    options = file_options();
    options.vit = PTH;
    expect_failure(NULL, &options, BLIP2_EFORMAT, "vision tower");
    options = file_options();
    options.vit = MODELS "/lavis_vit_eva_b/eva_vit_g.pth"; /* another width */
    expect_failure(NULL, &options, BLIP2_EFORMAT, "expected");
    options = file_options();
    options.vit_layers = 5; /* the file has 4 */
    expect_failure(NULL, &options, BLIP2_EFORMAT, "missing");
    options = no_options();
    options.checkpoint = MODELS "/lavis_opt/blip2_pretrained_opt.pth";
    options.vit = MODELS "/lavis_vit_eva_b/eva_vit_g.pth";
    options.language_model = MODELS "/tok_opt";
    options.qformer_heads = 3;
    expect_failure(NULL, &options, BLIP2_EIO, "tok_opt");
    expect_failure(MODELS "/none", NULL, BLIP2_EIO, "none");
}
END_TEST

START_TEST(bad_sizes_are_refused) {
    blip2_convert_options options = file_options();

    options.vit_heads = 3;
    expect_failure(NULL, &options, BLIP2_EFORMAT, "width 88 has no 3 heads");
    options = file_options();
    options.qformer_heads = 0;
    expect_failure(NULL, &options, BLIP2_EFORMAT, "number of heads must be given");
    options = file_options();
    options.image = 57;
    expect_failure(NULL, &options, BLIP2_EINVAL, "57 pixels");
}
END_TEST

START_TEST(bad_calls_are_refused) {
    blip2_convert_options options = file_options();

    expect_failure(NULL, NULL, BLIP2_EINVAL, "no folder");
    expect_failure("", NULL, BLIP2_EINVAL, "no folder");
    expect_failure(STAGE1, &options, BLIP2_EINVAL, "both");
    options = no_options();
    options.weight_type = (blip2_weight_type)7;
    expect_failure(STAGE1, &options, BLIP2_EINVAL, "weight_type");
    ck_assert_status(blip2_convert(STAGE1, NULL, NULL), BLIP2_EINVAL);
    ck_assert_status(blip2_convert(STAGE1, "", NULL), BLIP2_EINVAL);
}
END_TEST

/* The folder: what is there stays; an empty one, also with a slash behind it, is as good as none.
 */
START_TEST(nothing_is_overwritten) {
    char file[600];
    FILE *stream;

    ck_assert_int_eq(mkdir(out, 0700), 0);
    strcat(out, "/");
    ck_assert_status_ok(blip2_convert(STAGE1, out, NULL));
    ck_assert(has_file("model.json"));
    expect_failure(STAGE1, NULL, BLIP2_EIO, "not empty");
    remove_out();
    (void)snprintf(file, sizeof file, "%s/out", folder);
    ck_assert_ptr_nonnull(stream = fopen(file, "w"));
    (void)fclose(stream);
    expect_failure(STAGE1, NULL, BLIP2_EIO, "out");
    (void)snprintf(out, sizeof out, "%s/no/where", folder);
    expect_failure(STAGE1, NULL, BLIP2_EIO, "where");
}
END_TEST

static uint64_t seen;

static int stop_late(uint64_t done, uint64_t total, void *payload) {
    ck_assert_uint_ge(done, seen);
    ck_assert_uint_le(done, total);
    seen = done;
    return payload != NULL && done > total / 2;
}

START_TEST(stops_without_a_trace) {
    blip2_convert_options options = no_options();

    options.on_progress = stop_late;
    options.progress_payload = out;
    expect_failure(MODELS "/lavis_opt", &options, BLIP2_ESTOP, "stopped");
    options.progress_payload = NULL;
    seen = 0;
    ck_assert_status_ok(blip2_convert(STAGE1, out, &options));
    ck_assert_uint_gt(seen, 1000000);
}
END_TEST

/* As on a full disk: writing fails after some of it. */
START_TEST(full_disk_leaves_no_trace) {
    static const rlim_t sizes[] = {1000, 500000, 1800000};
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

    (void)signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct rlimit limit = {sizes[i], RLIM_INFINITY};

        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        expect_failure(STAGE1, NULL, BLIP2_EIO, "cannot write");
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
    }
}
END_TEST

static blip2_status convert_files(void) {
    blip2_convert_options options = file_options();
    blip2_status status;

    options.shard_bytes = 1000000;
    options.weight_type = BLIP2_WEIGHT_F16;
    status = blip2_convert(NULL, out, &options);
    ck_assert_uint_eq(count_files(folder), status == BLIP2_OK);
    if (status == BLIP2_OK)
        remove_out();
    return status;
}

START_TEST(survives_failing_memory) {
    fail_each_allocation(convert_files, 50);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("convert");
    TCase *same = tcase_create("same answers"), *refused = tcase_create("refusals");

    tcase_add_checked_fixture(same, make_folder, remove_folder);
    tcase_add_loop_test(same, answers_are_the_same, 0, MODELS_COUNT);
    tcase_add_loop_test(same, twice_is_once, 0, MODELS_COUNT);
    tcase_add_test(same, shards_have_an_index);
    tcase_add_test(same, files_need_no_folder);
    tcase_add_test(same, matrices_are_converted_and_vectors_are_not);
    tcase_set_timeout(same, 60);
    suite_add_tcase(suite, same);
    tcase_add_checked_fixture(refused, make_folder, remove_folder);
    tcase_add_test(refused, bad_files_are_refused);
    tcase_add_test(refused, bad_sizes_are_refused);
    tcase_add_test(refused, bad_calls_are_refused);
    tcase_add_test(refused, nothing_is_overwritten);
    tcase_add_test(refused, stops_without_a_trace);
    tcase_add_test(refused, full_disk_leaves_no_trace);
    tcase_add_test(refused, survives_failing_memory);
    tcase_set_timeout(refused, 60);
    suite_add_tcase(suite, refused);
    return run_suite(suite);
}
