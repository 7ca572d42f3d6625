/* --work: an interrupted command says how to go on; whatever is in the folder when it starts again,
 * it ends with the same bytes and does nothing twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

#define MODEL "--threads=1", "--model=" BLIP2_SOURCE_DIR "/models/demo/match"
#define RANK "rank", PICTURES, "--text=a ring", "--text=a star", MODEL, "--rerank=1"
#define RANK_STATS RANK, "--stats"

/* What --stats says of a command that encoded so many pictures and took so many from features. */
static void expect_counts(const outcome *o, int encoded, int restored, int texts, int pairs) {
    int e, r, hits, t, p;

    ck_assert_msg(o->code == 0 && count_lines(o->err) == 1 &&
                      sscanf(o->err,
                             "blip2: %d pictures encoded, %d from kept features, %d found in the "
                             "cache; %d texts read, %d pairs matched",
                             &e, &r, &hits, &t, &p) == 5 &&
                      e == encoded && r == restored && t == texts && p == pairs,
                  "expected %d, %d, %d, %d; code %d: %s", encoded, restored, texts, pairs, o->code,
                  o->err);
}

static void expect_stopped(const outcome *o, const char *work) {
    expect_complaint(o, 130, "stopped; what is done is kept in ");
    ck_assert_ptr_nonnull(strstr(o->err, work));
    ck_assert_ptr_nonnull(strstr(o->err, ": the same command goes on from it"));
}

static void forget(const char *name) {
    ck_assert_msg(unlink(in_folder(name)) == 0, "no %s", name);
}

/* The eight pictures are two groups of four. What a process that was killed leaves is some of the
 * parts. */
START_TEST(rank_goes_on) {
    const char *work = in_folder("work");
    static outcome whole, o;
    char copy[512];

    (void)snprintf(copy, sizeof copy, "%s", work);
    RUN(&whole, RANK);
    expect_success(&whole);
    RUN_TO(&o, STDOUT_INTERRUPTED, RANK, "--work", copy);
    expect_stopped(&o, copy);
    RUN(&o, RANK_STATS, "--work", copy);
    expect_counts(&o, 8, 0, 2, 8);
    ck_assert_str_eq(o.out, whole.out);
    RUN(&o, RANK_STATS, "--work", copy);
    expect_counts(&o, 0, 0, 0, 0);
    ck_assert_str_eq(o.out, whole.out);
    forget("work/similarity/match-00000001.safetensors");
    write_file("work/similarity/match-00000001.safetensors.tmp-abcdef", "x", 1);
    RUN(&o, RANK_STATS, "--work", copy);
    expect_counts(&o, 0, 4, 0, 4);
    ck_assert_str_eq(o.out, whole.out);
    ck_assert_int_ne(
        access(in_folder("work/similarity/match-00000001.safetensors.tmp-abcdef"), F_OK), 0);
    forget("work/similarity/match-00000001.safetensors");
    forget("work/similarity/images-00000001.safetensors");
    RUN(&o, RANK_STATS, "--work", copy);
    expect_counts(&o, 4, 0, 0, 4);
    ck_assert_str_eq(o.out, whole.out);
    RUN(&o, "rank", PICTURE, "--text=a ring", MODEL, "--work", copy);
    expect_complaint(&o, 2, "job.safetensors: made from other pictures or texts");
    RUN(&o, "rank", PICTURES, "--text=a ring", MODEL, "--rerank=1", "--work", copy);
    expect_complaint(&o, 2, "other pictures or texts");
    RUN(&o, RANK, "--rerank=2", "--work", copy);
    expect_complaint(&o, 2, "other options");
    RUN(&o, "rank", PICTURES, "--text=a ring", "--text=a star", "--rerank=1", "--work", copy,
        "--model=" BLIP2_SOURCE_DIR "/models/demo/lavis");
    expect_complaint(&o, 2, "another model");
    write_file("work/similarity/images-00000001.safetensors", "damaged", 7);
    RUN(&o, RANK, "--work", copy);
    expect_complaint(&o, 2, "work/similarity/images-00000001.safetensors: file has 7 bytes");
}
END_TEST

START_TEST(retrieve_goes_on) {
    static const char annotations[] =
        "[{\"image\": \"001.png\", \"caption\": \"a small red ring\"},"
        " {\"image\": \"no.png\", \"caption\": \"x\"},"
        " {\"image\": \"002.jpg\", \"caption\": \"a big red star\"}]";
    static outcome whole, o;
    char file[512], work[512];

    write_file("a.json", annotations, sizeof annotations - 1);
    (void)snprintf(file, sizeof file, "%s", in_folder("a.json"));
    (void)snprintf(work, sizeof work, "%s", in_folder("work"));
    RUN(&whole, "retrieve", file, "--images", PICTURES, MODEL);
    ck_assert_int_eq(whole.code, 2); /* of no.png */
    ck_assert_ptr_nonnull(strstr(whole.out, "2 pictures encoded, 4 pairs matched"));
    RUN_TO(&o, STDOUT_INTERRUPTED, "retrieve", file, "--images", PICTURES, MODEL, "--work", work);
    expect_stopped(&o, work);
    for (int run = 0; run < 2; run++) {
        RUN(&o, "retrieve", file, "--images", PICTURES, MODEL, "--work", work);
        ck_assert_int_eq(o.code, 2);
        ck_assert_ptr_nonnull(strstr(o.err, "no.png: cannot open"));
        ck_assert_str_eq(strchr(o.out, '\n'), strchr(whole.out, '\n'));
        ck_assert_ptr_nonnull(strstr(o.out, run == 0 ? "2 pictures encoded, 4 pairs matched"
                                                     : "0 pictures encoded, 0 pairs matched"));
    }
}
END_TEST

static void expect_same_files(const char *a, const char *b) {
    char command[2048];

    (void)snprintf(command, sizeof command, "cmp '%s' '%s'", a, b);
    ck_assert_int_eq(system(command), 0);
}

/* Pictures with ten texts: a group of 8 pictures in two calls, the second cut short. */
START_TEST(features_go_on) {
    static const char *const ends[] = {"npy", "safetensors"};
    const char *mode = _i < 2 ? "--mode=image" : "--mode=multimodal";
    char whole[600], part[600], work[600], texts[600], name[64];
    int pairs = _i < 2 ? 0 : 80;
    static outcome o;

    (void)snprintf(name, sizeof name, "whole.%s", ends[_i % 2]);
    (void)snprintf(whole, sizeof whole, "%s", in_folder(name));
    (void)snprintf(name, sizeof name, "part.%s", ends[_i % 2]);
    (void)snprintf(part, sizeof part, "%s", in_folder(name));
    (void)snprintf(work, sizeof work, "%s", in_folder("work"));
    write_file("texts", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n", 20);
    (void)snprintf(texts, sizeof texts, "%s", in_folder("texts"));
    RUN(&o, "features", PICTURES, mode, MODEL, "--texts", texts, "--out", whole);
    expect_success(&o);
    RUN_TO(&o, STDOUT_INTERRUPTED, "features", PICTURES, mode, MODEL, "--texts", texts, "--out",
           part, "--work", work);
    expect_stopped(&o, work);
    ck_assert_int_ne(access(part, F_OK), 0);
#define GO_ON                                                                                      \
    RUN(&o, "features", PICTURES, mode, MODEL, "--texts", texts, "--out", part, "--work", work,    \
        "--stats")
    GO_ON;
    expect_counts(&o, 8, 0, 0, pairs);
    expect_same_files(part, whole);
    GO_ON;
    expect_counts(&o, 0, 0, 0, 0);
    expect_same_files(part, whole);
    forget(_i < 2 ? "work/call-00000000.safetensors" : "work/call-00000001.safetensors");
    GO_ON;
    expect_counts(&o, _i < 2 ? 8 : 2, 0, 0, _i < 2 ? 0 : 16);
    expect_same_files(part, whole);
}
END_TEST

START_TEST(features_tell_unreadable_pictures_each_time) {
    char work[600], out[600], bad[600];
    static outcome o;

    (void)snprintf(work, sizeof work, "%s", in_folder("work"));
    (void)snprintf(out, sizeof out, "%s", in_folder("f.npy"));
    (void)snprintf(bad, sizeof bad, "%s", in_folder("no.png"));
    for (int run = 0; run < 2; run++) {
        RUN(&o, "features", PICTURE, bad, MODEL, "--out", out, "--work", work);
        expect_complaint(&o, 2, "no.png: cannot open");
    }
    write_file("work/group-00000000.safetensors", "x", 1);
    RUN(&o, "features", PICTURE, bad, MODEL, "--out", out, "--work", work);
    expect_complaint(&o, 2, "work/group-00000000.safetensors: file has 1 bytes");
}
END_TEST

/* One that belongs to no job is left alone. */
START_TEST(folders_of_others_are_refused) {
    outcome o;

    write_file("notes.txt", "x", 1);
    RUN(&o, RANK, "--work", in_folder("."));
    expect_complaint(&o, 2, "holds other files");
    RUN(&o, RANK, "--work", in_folder("no/such"));
    expect_complaint(&o, 2, "no/such: cannot make the folder");
    RUN(&o, "match", PICTURE, "--text=x", "--work", in_folder("w"));
    expect_complaint(&o, 2, "unknown option '--work'");
}
END_TEST

/* So small that pictures leave it: those that texts want are encoded again. */
START_TEST(the_picture_cache_can_be_set) {
    static outcome small, large;

    RUN(&large, RANK_STATS, "--best=pictures", "--image-cache=64");
    RUN(&small, RANK_STATS, "--best=pictures", "--image-cache=1", "--batch=1");
    expect_counts(&large, 8, 0, 2, 2);
    expect_counts(&small, 10, 0, 2, 2);
    RUN(&small, RANK, "--image-cache=0");
    expect_complaint(&small, 2, "--image-cache");
}
END_TEST

TCase *work_tests(void) {
    TCase *tests = tcase_create("work");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, rank_goes_on);
    tcase_add_test(tests, retrieve_goes_on);
    tcase_add_loop_test(tests, features_go_on, 0, 4);
    tcase_add_test(tests, features_tell_unreadable_pictures_each_time);
    tcase_add_test(tests, folders_of_others_are_refused);
    tcase_add_test(tests, the_picture_cache_can_be_set);
    return tests;
}
