/* The program, driven from outside: jobs that are stopped and go on, classes, galleries,
 * questions and conversations, given texts, and odd input. */
#include "program.h"

int main(void) {
    Suite *suite = suite_create("cli_jobs");
    TCase *cases[] = {work_tests(), classify_tests(), bad_input_tests(), search_tests(),
                      ask_tests(),  chat_tests(),     video_tests(),     likelihood_tests()};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_set_timeout(cases[i], 100); /* a sanitized program on a busy machine */
        suite_add_tcase(suite, cases[i]);
    }
    return run_suite(suite);
}
