/* The main() of every Check program: run the suite, print one line per failure. */
#ifndef B2_TESTS_RUN_H
#define B2_TESTS_RUN_H
#include <check.h>
#include <stdlib.h>

static inline int run_suite(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
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
