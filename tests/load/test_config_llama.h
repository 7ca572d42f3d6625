#ifndef B2_TESTS_LOAD_TEST_CONFIG_LLAMA_H
#define B2_TESTS_LOAD_TEST_CONFIG_LLAMA_H
#include <check.h>

TCase *llama_config_tests(void);

#endif
