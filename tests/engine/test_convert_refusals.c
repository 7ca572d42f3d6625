/* What blip2_convert refuses, and that nothing is left of it then. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "convert_fixture.h"
#include "faults.h"
#include "run.h"

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
    options.checkpoint = MODELS "/lavis_vit_eva_a/eva_vit_g.pth";
    expect_failure(NULL, &options, BLIP2_EFORMAT, "query_tokens");
    options = file_options();
    options.vit = options.checkpoint;
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
    options.language_model = MODELS "/lavis_llm_vicuna"; /* which only InstructBLIP has */
    expect_failure(NULL, &options, BLIP2_ENOTSUP, "else OPT and T5");
    options.checkpoint = MODELS "/lavis_vicuna_instruct/instruct_blip_vicuna_trimmed.pth";
    options.qformer_heads = 1;
    expect_failure(NULL, &options, BLIP2_EINVAL, "vocabulary of its texts is not named");
    options.language_model = MODELS "/lavis_llm_opt";
    expect_failure(NULL, &options, BLIP2_ENOTSUP, "reads prompts it has T5 and Llama");
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

    /* Once without a limit: that it works then; and LLVM's OpenMP writes to a file in shared memory
     * when it starts, which a limit would turn into SIGBUS. */
    ck_assert_status_ok(blip2_convert(STAGE1, out, NULL));
    remove_out();
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

TCase *refusal_tests(void) {
    TCase *tests = tcase_create("refusals");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, bad_files_are_refused);
    tcase_add_test(tests, bad_sizes_are_refused);
    tcase_add_test(tests, bad_calls_are_refused);
    tcase_add_test(tests, nothing_is_overwritten);
    tcase_add_test(tests, stops_without_a_trace);
    tcase_add_test(tests, full_disk_leaves_no_trace);
    tcase_add_test(tests, survives_failing_memory);
    tcase_set_timeout(tests, 60);
    return tests;
}
