/* What the kernels ask of memory on the shapes of the models (counts.h). */
#include "counts.h"

int main(void) {
    Suite *suite = suite_create("kernel_counts");

    suite_add_tcase(suite, counts_plain_case());
    suite_add_tcase(suite, counts_attention_case());
    return run_suite(suite);
}
