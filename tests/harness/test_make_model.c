/* blip2-bench make-model, run and rerank: the tiny shapes, written, opened and measured. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "altered_case.h"
#include "blip2.h"

/* Remove a model folder inside the test's folder. */
static void remove_model(const char *path) {
    DIR *stream = opendir(path);
    const struct dirent *entry;

    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL) {
        char file[1024];

        (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (unlink(file) != 0 && entry->d_name[0] != '.')
            remove_model(file);
    }
    (void)closedir(stream);
    ck_assert_int_eq(rmdir(path), 0);
}

static size_t read_weights(const char *folder, char *data, size_t size) {
    char path[1024];
    FILE *file;
    size_t got;

    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    got = fread(data, 1, size, file);
    (void)fclose(file);
    return got;
}

static int count_entries(const char *folder) {
    DIR *stream = opendir(folder);
    int count = 0;

    ck_assert_ptr_nonnull(stream);
    while (readdir(stream) != NULL)
        count++;
    (void)closedir(stream);
    return count - 2;
}

START_TEST(tiny_model_speaks) {
    static const struct {
        const char *shape, *type;
    } made[] = {{"tiny", "f32"},
                {"tiny", "f16"},
                {"tiny", "bf16"},
                {"tiny-t5", "bf16"},
                {"tiny-instructblip", "f16"}};
    const char *folder = in_folder("tiny");
    blip2_model *model;
    blip2_engine *engine;
    blip2_image *image;
    blip2_result *result;
    blip2_input input = {.prompt = "Question: what? Answer:"};
    size_t count;
    outcome o;

    RUN(&o, "make-model", "--shape", made[_i].shape, "--dtype", made[_i].type, folder);
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 1);
    ck_assert_status_ok(blip2_model_open(&model, folder, NULL));
    ck_assert_status_ok(blip2_engine_open(&engine, model, NULL));
    ck_assert_status_ok(blip2_image_open(&image, GOLDEN "/images/p0.png", NULL));
    input.image = image;
    ck_assert_status_ok(blip2_generate(engine, &input, 1, NULL, &result));
    ck_assert_ptr_nonnull(blip2_result_tokens(result, 0, &count));
    ck_assert_uint_gt(count, 0);
    blip2_result_free(result);
    blip2_image_free(image);
    blip2_engine_close(engine);
    blip2_model_close(model);
    RUN(&o, "run", "--json", "--model", folder, "--image", GOLDEN "/images/p0.png", "--requests",
        "3", "--new-tokens", "4", "--repeat", "2");
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "\"decode_tokens_per_s\": "));
    RUN(&o, "run", "--model", folder, "--image", GOLDEN "/images/p0.png", "--repeat", "1",
        "--no-graphs");
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "peak RSS "));
    remove_model(folder);
}
END_TEST

/* Of retrieval: pictures and texts are matched, each picture encoded once. */
START_TEST(tiny_model_matches) {
    char folder[512], texts[512];
    json_t **lines;
    size_t count;
    outcome o;

    write_file("texts", "a dog\n\na red boat", 17);
    (void)snprintf(texts, sizeof texts, "%s", in_folder("texts"));
    (void)snprintf(folder, sizeof folder, "%s", in_folder("tiny"));
    RUN(&o, "make-model", "--shape", "tiny-itm", "--dtype", "f32", folder);
    expect_success(&o);
    RUN(&o, "rerank", "--model", folder, "--texts", texts, "--repeat", "2", "--requests", "2",
        "--threads", "1", GOLDEN "/images/p0.png", GOLDEN "/images/p1.png");
    expect_success(&o);
    lines = parse_lines(o.out, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(json_integer_value(json_object_get(lines[0], "pictures_encoded")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(lines[0], "pairs")), 2 * 3);
    ck_assert_uint_eq(json_array_size(json_object_get(lines[0], "seconds")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(lines[0], "cpu_seconds")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(lines[0], "itm_logits")), 2 * 3);
    free_lines(lines, count);
    RUN(&o, "rerank", "--model", folder, "--texts", texts, GOLDEN "/images/none.png");
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 1);
    RUN(&o, "rerank", "--model", folder, "--texts", in_folder("none"), GOLDEN "/images/p0.png");
    ck_assert_int_eq(o.code, 2);
    write_file("empty", "", 0);
    RUN(&o, "rerank", "--model", folder, "--texts", in_folder("empty"), GOLDEN "/images/p0.png");
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "no texts"));
    RUN(&o, "rerank", "--model", folder, "--texts", texts);
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "expected --model DIR"));
    RUN(&o, "rerank", "--repeat", "0");
    ck_assert_int_eq(o.code, 2);
    remove_model(folder);
}
END_TEST

START_TEST(a_seed_gives_its_model) {
    enum { SIZE = 1 << 22 };
    static const char *const seeds[] = {"0", "7", "7"};
    char *data[3];
    size_t size[3];
    outcome o;

    for (int i = 0; i < 3; i++) {
        const char *folder = in_folder("tiny");

        data[i] = malloc(SIZE);
        ck_assert_ptr_nonnull(data[i]);
        RUN(&o, "make-model", "--shape", "tiny", "--seed", seeds[i], folder);
        expect_success(&o);
        size[i] = read_weights(folder, data[i], SIZE);
        remove_model(folder);
    }
    ck_assert_uint_eq(size[0], size[1]);
    ck_assert_uint_eq(size[1], size[2]);
    ck_assert(memcmp(data[0], data[1], size[0]) != 0);
    ck_assert(memcmp(data[1], data[2], size[0]) == 0);
    for (int i = 0; i < 3; i++)
        free(data[i]);
}
END_TEST

START_TEST(layers_can_be_fewer) {
    static const char *const shapes[] = {"tiny", "tiny-t5"};
    const char *folder = in_folder("tiny");
    char *json;
    outcome o;

    RUN(&o, "make-model", "--shape", shapes[_i], "--layers", "1", "--vit-layers", "1",
        "--qformer-layers", "1", folder);
    expect_success(&o);
    ck_assert_status_ok(blip2_model_describe(&json, folder));
    ck_assert_ptr_null(strstr(json, "layers\": 2"));
    blip2_string_free(json);
    remove_model(folder);
}
END_TEST

/* Nothing is left behind, whatever goes wrong. */
START_TEST(bad_requests_leave_nothing) {
    int before;
    outcome o;

    write_file("taken", "x", 1);
    before = count_entries(in_folder(""));
    RUN(&o, "make-model", in_folder("m"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 1);
    RUN(&o, "make-model", "--shape", "huge", in_folder("m"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "no shape \"huge\""));
    RUN(&o, "make-model", "--shape", "tiny", "--dtype", "f8", in_folder("m"));
    ck_assert_int_eq(o.code, 2);
    RUN(&o, "make-model", "--shape", "tiny", "--layers", "0", in_folder("m"));
    ck_assert_int_eq(o.code, 2);
    RUN(&o, "make-model", "--shape", "tiny", "--seed", "-1", in_folder("m"));
    ck_assert_int_eq(o.code, 2);
    RUN(&o, "make-model", "--shape", "tiny", in_folder("taken"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 1);
    RUN(&o, "make-model", "--shape", "tiny", in_folder(""));
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "not empty"));
    RUN(&o, "make-model", "--shape", "tiny", in_folder("no/such/folder"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_int_eq(count_entries(in_folder("")), before);
}
END_TEST

/* No file may become larger than a part of the weights, as on a full disk. */
/* With what stands in a folder of its own. */
START_TEST(half_a_model_is_removed) {
    const struct rlimit limit = {1 << 20, 1 << 20};
    int before = count_entries(in_folder(""));
    outcome o;

    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    RUN(&o, "make-model", "--shape", _i == 0 ? "tiny" : "tiny-instructblip", in_folder("m"));
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 1);
    ck_assert_int_eq(count_entries(in_folder("")), before);
}
END_TEST

TCase *make_model_tests(void) {
    TCase *tests = tcase_create("make-model");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up_copies, tear_down_copies);
    tcase_add_loop_test(tests, tiny_model_speaks, 0, 5);
    tcase_add_test(tests, tiny_model_matches);
    tcase_add_test(tests, a_seed_gives_its_model);
    tcase_add_loop_test(tests, layers_can_be_fewer, 0, 2);
    tcase_add_test(tests, bad_requests_leave_nothing);
    tcase_add_loop_test(tests, half_a_model_is_removed, 0, 2);
    return tests;
}
