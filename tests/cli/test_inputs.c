/* Which pictures a command line means, and what becomes of those that are none. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"

#define CAPTION "caption", "--model=" TINY_MODEL, "--max-new-tokens=2", "--min-new-tokens=2"

START_TEST(what_is_no_picture_is_told) {
    outcome o;

    RUN(&o, CAPTION, in_folder("missing.png"));
    expect_complaint(&o, 2, "missing.png");
    ck_assert_ptr_nonnull(strstr(o.err, "No such file"));
    write_file("text.png", "This is no picture.\n", 20);
    RUN(&o, CAPTION, in_folder("text.png"));
    expect_complaint(&o, 2, "text.png");
    write_file("empty.jpg", "", 0);
    RUN(&o, CAPTION, in_folder("empty.jpg"));
    expect_complaint(&o, 2, "empty.jpg");
    RUN(&o, CAPTION, in_folder("*.gif"));
    expect_complaint(&o, 2, "*.gif");
    RUN(&o, CAPTION, "");
    expect_complaint(&o, 2, "");
    ck_assert_int_eq(mkfifo(in_folder("pipe.png"), 0600), 0);
    RUN(&o, CAPTION, in_folder("pipe.png"));
    expect_complaint(&o, 2, "pipe.png");
}
END_TEST

START_TEST(folder_without_pictures_is_told) {
    outcome o;

    RUN(&o, CAPTION, in_folder("."));
    expect_complaint(&o, 2, "no PNG or JPEG file");
    write_file("notes.txt", "nothing to see\n", 15);
    write_file(".hidden.png", "", 0);
    ck_assert_int_eq(mkdir(in_folder("folder.png"), 0700), 0);
    RUN(&o, CAPTION, in_folder("."));
    expect_complaint(&o, 2, "no PNG or JPEG file");
}
END_TEST

START_TEST(no_permission_is_told) {
    outcome o;

    if (geteuid() == 0)
        return; /* root may read everything */
    write_file("secret.png", "x", 1);
    ck_assert_int_eq(chmod(in_folder("secret.png"), 0), 0);
    RUN(&o, CAPTION, in_folder("secret.png"));
    expect_complaint(&o, 2, "Permission denied");
    ck_assert_int_eq(mkdir(in_folder("locked"), 0), 0);
    RUN(&o, CAPTION, in_folder("locked"));
    expect_complaint(&o, 2, "Permission denied");
}
END_TEST

START_TEST(line_ends_in_names_stay_one_line) {
    outcome o;

    RUN(&o, CAPTION, in_folder("two\nlines\x1b[31m.png"));
    expect_complaint(&o, 2, "two?lines?[31m.png");
}
END_TEST

/* The name in front of ": " of line number `line`. */
static void check_name(const char *text, size_t line, const char *name) {
    while (line-- > 0)
        text = strchr(text, '\n') + 1;
    ck_assert_msg(strncmp(text, name, strlen(name)) == 0 &&
                      strncmp(text + strlen(name), ": ", 2) == 0,
                  "expected %s: ..., got %s", name, text);
}

START_TEST(folder_gives_its_pictures_in_order) {
    outcome o, with_slash;

    link_file("b.PNG", PICTURE);
    link_file("a.jpeg", OTHER_PICTURE);
    link_file("c without ending", PICTURE);
    write_file("d.txt", "no picture", 10);
    link_file(".e.png", PICTURE);
    ck_assert_int_eq(mkdir(in_folder("f"), 0700), 0);
    RUN(&o, CAPTION, in_folder("."));
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 3);
    check_name(o.out, 0, in_folder("./a.jpeg"));
    check_name(o.out, 1, in_folder("./b.PNG"));
    check_name(o.out, 2, in_folder("./c without ending"));
    RUN(&with_slash, CAPTION, in_folder(".//"));
    ck_assert_str_eq(with_slash.out, o.out);
}
END_TEST

/* A link to nothing has a picture's name; a pipe is no picture, and is not waited for. */
START_TEST(a_link_to_nothing_is_told) {
    outcome o;

    link_file("a.png", PICTURE);
    ck_assert_int_eq(symlink("nowhere.png", in_folder("b.png")), 0);
    ck_assert_int_eq(mkfifo(in_folder("c.png"), 0600), 0);
    RUN(&o, CAPTION, in_folder("."));
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.out), 1);
    ck_assert_ptr_nonnull(strstr(o.err, "b.png: cannot open: No such file or directory"));
    ck_assert_ptr_null(strstr(o.err, "c.png"));
}
END_TEST

START_TEST(pattern_gives_its_matches) {
    outcome o;

    link_file("a.png", PICTURE);
    link_file("b.png", PICTURE);
    link_file("c.jpg", OTHER_PICTURE);
    link_file("[x].png", PICTURE);
    RUN(&o, CAPTION, in_folder("[ab].png"));
    expect_success(&o);
    ck_assert_uint_eq(count_lines(o.out), 2);
    check_name(o.out, 0, in_folder("a.png"));
    RUN(&o, CAPTION, in_folder("*.jpg")); /* one match is still a list */
    expect_success(&o);
    check_name(o.out, 0, in_folder("c.jpg"));
    RUN(&o, CAPTION, in_folder("[x].png")); /* a file of that very name */
    expect_success(&o);
    ck_assert_ptr_null(strstr(o.out, "[x].png"));
}
END_TEST

START_TEST(one_bad_picture_does_not_stop_the_others) {
    outcome o;

    write_file("bad.png", "bad", 3);
    RUN(&o, CAPTION, PICTURE, in_folder("bad.png"), OTHER_PICTURE);
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.out), 2);
    check_name(o.out, 0, PICTURE);
    check_name(o.out, 1, OTHER_PICTURE);
    ck_assert_uint_eq(count_lines(o.err), 1);
    ck_assert_ptr_nonnull(strstr(o.err, "bad.png"));
}
END_TEST

/* More pictures than places in the batch, of two kinds, with a failing one in each group. */
START_TEST(many_pictures_keep_their_order) {
    enum { COUNT = 50 };
    outcome o;
    char *line = o.out;
    char first[2][200] = {"", ""};

    for (int i = 0; i < COUNT; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "%02d.png", i);
        if (i % 7 == 3)
            write_file(name, "bad", 3);
        else
            link_file(name, i % 2 == 0 ? PICTURE : OTHER_PICTURE);
    }
    RUN(&o, "caption", "--model=" TINY_MODEL, "--max-new-tokens=6", "--min-new-tokens=6",
        "--batch=3", in_folder("."));
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 8);
    for (int i = 0; i < COUNT; i++) {
        char name[16], text[200];
        size_t prefix;

        if (i % 7 == 3)
            continue;
        (void)snprintf(name, sizeof name, "./%02d.png", i);
        check_name(line, 0, in_folder(name));
        prefix = strlen(in_folder(name)) + 2;
        (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(line + prefix, "\n"), line + prefix);
        if (first[i % 2][0] == '\0')
            memcpy(first[i % 2], text, sizeof text);
        ck_assert_str_eq(text, first[i % 2]); /* the company in the batch changes nothing */
        line = strchr(line, '\n') + 1;
    }
    ck_assert_str_eq(line, "");
}
END_TEST

TCase *inputs_tests(void) {
    TCase *tests = tcase_create("inputs");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, what_is_no_picture_is_told);
    tcase_add_test(tests, folder_without_pictures_is_told);
    tcase_add_test(tests, no_permission_is_told);
    tcase_add_test(tests, line_ends_in_names_stay_one_line);
    tcase_add_test(tests, folder_gives_its_pictures_in_order);
    tcase_add_test(tests, a_link_to_nothing_is_told);
    tcase_add_test(tests, pattern_gives_its_matches);
    tcase_add_test(tests, one_bad_picture_does_not_stop_the_others);
    tcase_add_test(tests, many_pictures_keep_their_order);
    return tests;
}
