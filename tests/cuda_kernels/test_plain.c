/* The plain kernels (everything but attention) on the software GPU, against obvious twins: odd
 * widths, one element, rows that start anywhere, sentinels around outputs. */
#include "plain_matrix.h"

int main(void) {
    Suite *suite = suite_create("kernel_plain");

    suite_add_tcase(suite, plain_rows_case());
    suite_add_tcase(suite, plain_pointwise_case());
    suite_add_tcase(suite, plain_choice_case());
    suite_add_tcase(suite, plain_picture_case());
    return run_suite(suite);
}
