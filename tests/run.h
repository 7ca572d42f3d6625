/* The main() of every Check program: run the suite, print one line per failure. Folders that tests
 * make under $TMPDIR go when the program ends: a test that fails is a process that stops, and
 * removes nothing itself. */
#ifndef B2_TESTS_RUN_H
#define B2_TESTS_RUN_H
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* $TMPDIR, or /tmp, with /name behind it. */
static inline void temporary_path(char *path, size_t size, const char *name) {
    const char *folder = getenv("TMPDIR");
    int length = snprintf(path, size, "%s/%s", folder != NULL ? folder : "/tmp", name);

    if (length >= (int)size) { /* (no assertion: this may be outside of a test) */
        (void)fprintf(stderr, "TMPDIR is too long\n");
        exit(EXIT_FAILURE);
    }
}

static inline void remove_tree(const char *folder) {
    pid_t child;

    if (rmdir(folder) == 0) /* as usual: nothing was left */
        return;
    child = fork();
    if (child == 0) {
        (void)execlp("rm", "rm", "-rf", "--", folder, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(child, NULL, 0);
}

static inline int run_suite(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    char folder[256];
    int failed;

    temporary_path(folder, sizeof folder, "blip2-test-XXXXXX");
    if (mkdtemp(folder) == NULL || setenv("TMPDIR", folder, 1) != 0) {
        perror(folder);
        return EXIT_FAILURE;
    }
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_tree(folder);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Assert success and show the library's message otherwise. */
#define ck_assert_status_ok(call)                                                                  \
    do {                                                                                           \
        blip2_status status_ = (call);                                                             \
        ck_assert_msg(status_ == BLIP2_OK, "%s: %s (%s)", #call, blip2_status_name(status_),       \
                      blip2_error_message());                                                      \
    } while (0)

/* Assert a certain failure. */
#define ck_assert_status(call, expected)                                                           \
    do {                                                                                           \
        blip2_status status_ = (call);                                                             \
        ck_assert_msg(status_ == (expected), "%s: got %s (%s), expected %s", #call,                \
                      blip2_status_name(status_), blip2_error_message(),                           \
                      blip2_status_name(expected));                                                \
    } while (0)

#endif
