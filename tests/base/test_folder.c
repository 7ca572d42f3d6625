/* Folders that appear when they are complete, and not before. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/folder.h"
#include "run.h"

static char root[256], path[300];

static void make_root(void) {
    temporary_path(root, sizeof root, "folder-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/new", root);
}

static void remove_root(void) {
    remove_tree(root);
}

/* Files at two depths. */
static void fill(const b2_folder_writer *writer) {
    char *file = b2_path_join(writer->temporary, "a"), *sub, *inside;

    ck_assert_status_ok(b2_file_write(file, "text", 4));
    ck_assert_status_ok(b2_folder_writer_sub(writer, "sub", &sub));
    inside = b2_path_join(sub, "b");
    ck_assert_status_ok(b2_file_write(inside, "more", 4));
    b2_free(inside);
    b2_free(sub);
    b2_free(file);
}

static void expect_file(const char *name, bool there) {
    char file[400];

    (void)snprintf(file, sizeof file, "%s/%s", path, name);
    ck_assert_int_eq(b2_file_exists(file), there);
}

START_TEST(appears_whole) {
    b2_folder_writer writer;
    struct stat info;
    mode_t mask = umask(022);

    ck_assert_status_ok(b2_folder_writer_open(&writer, path));
    fill(&writer);
    ck_assert(!b2_file_exists(path));
    ck_assert_status_ok(b2_folder_writer_commit(&writer));
    expect_file("a", true);
    expect_file("sub/b", true);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0755);
    (void)umask(mask);
    b2_folder_writer_abandon(&writer); /* does nothing now */
    expect_file("a", true);
    ck_assert_status(b2_folder_writer_open(&writer, path), BLIP2_EIO);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "not empty"));
    expect_file("a", true);
}
END_TEST

START_TEST(goes_without_a_trace) {
    b2_folder_writer writer;

    ck_assert_status_ok(b2_folder_writer_open(&writer, path));
    fill(&writer);
    b2_alloc_fail_after(0); /* also when there is no memory */
    b2_folder_writer_abandon(&writer);
    b2_alloc_fail_after(-1);
    ck_assert_int_eq(rmdir(root), 0);
    ck_assert_int_eq(mkdir(root, 0700), 0);
}
END_TEST

/* Somebody else was faster: theirs stays, ours goes. */
START_TEST(late_rivals_win) {
    b2_folder_writer writer;
    char theirs[400];

    ck_assert_status_ok(b2_folder_writer_open(&writer, path));
    fill(&writer);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    (void)snprintf(theirs, sizeof theirs, "%s/theirs", path);
    ck_assert_status_ok(b2_file_write(theirs, "x", 1));
    ck_assert_status(b2_folder_writer_commit(&writer), BLIP2_EIO);
    expect_file("theirs", true);
    expect_file("a", false);
    ck_assert_int_eq(unlink(theirs), 0);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(rmdir(root), 0); /* nothing else is left */
    ck_assert_int_eq(mkdir(root, 0700), 0);
}
END_TEST

START_TEST(empty_folders_are_replaced) {
    b2_folder_writer writer;

    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_status_ok(b2_folder_writer_open(&writer, path));
    fill(&writer);
    ck_assert_status_ok(b2_folder_writer_commit(&writer));
    expect_file("a", true);
}
END_TEST

START_TEST(bad_places_are_told) {
    b2_folder_writer writer;
    char file[400];

    (void)snprintf(file, sizeof file, "%s/file", root);
    ck_assert_status_ok(b2_file_write(file, "x", 1));
    ck_assert_status(b2_folder_writer_open(&writer, file), BLIP2_EIO);
    (void)snprintf(file, sizeof file, "%s/file/new", root);
    ck_assert_status(b2_folder_writer_open(&writer, file), BLIP2_EIO);
    (void)snprintf(file, sizeof file, "%s/no/where", root);
    ck_assert_status(b2_folder_writer_open(&writer, file), BLIP2_EIO);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "no/where"));
    ck_assert_ptr_null(writer.path);
    ck_assert_ptr_null(writer.temporary);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("folder");
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, make_root, remove_root);
    tcase_add_test(tests, appears_whole);
    tcase_add_test(tests, goes_without_a_trace);
    tcase_add_test(tests, late_rivals_win);
    tcase_add_test(tests, empty_folders_are_replaced);
    tcase_add_test(tests, bad_places_are_told);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
