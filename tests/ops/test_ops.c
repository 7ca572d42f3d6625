#include "ops.h"

int main(void) {
    Suite *suite = suite_create("ops");

    suite_device(suite);
    suite_linear(suite);
    suite_attention(suite);
    suite_norm(suite);
    suite_rows(suite);
    suite_rope(suite);
    suite_itc(suite);
    suite_patch(suite);
    suite_choose(suite);
    suite_best(suite);
    suite_same(suite);
    return run_suite(suite);
}
