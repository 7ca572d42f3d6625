/* blip2-bench: does verify pass what is right, and can it fail? */
#include "altered_case.h"

int main(void) {
    Suite *suite = suite_create("harness");

    suite_add_tcase(suite, verify_tests());
    suite_add_tcase(suite, bad_case_tests());
    suite_add_tcase(suite, make_model_tests());
    suite_add_tcase(suite, score_tests());
    suite_add_tcase(suite, load_tests());
    return run_suite(suite);
}
