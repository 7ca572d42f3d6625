#ifndef B2_TESTS_LOAD_TEST_CONFIG_T5_H
#define B2_TESTS_LOAD_TEST_CONFIG_T5_H
#include <check.h>

TCase *t5_config_tests(void);

#endif
