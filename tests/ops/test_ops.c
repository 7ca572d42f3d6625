#include "ops.h"

int main(void) {
    Suite *suite = suite_create("ops");

    suite_device(suite);
    suite_linear(suite);
    suite_attention(suite);
    suite_norm(suite);
    suite_rows(suite);
    suite_patch(suite);
    suite_choose(suite);
    return run_suite(suite);
}
