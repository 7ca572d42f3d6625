/* The program, driven from outside: what it prints, where, and with which exit code. */
#include "program.h"

int main(void) {
    Suite *suite = suite_create("cli");
    TCase *cases[] = {usage_tests(),    inputs_tests(),    output_tests(), info_tests(),
                      device_tests(),   demo_tests(),      match_tests(),  features_tests(),
                      rank_tests(),     retrieve_tests(),  losses_tests(), work_tests(),
                      classify_tests(), bad_input_tests(), search_tests()};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_set_timeout(cases[i], 100); /* a sanitized program on a busy machine */
        suite_add_tcase(suite, cases[i]);
    }
    return run_suite(suite);
}
