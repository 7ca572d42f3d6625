#ifndef B2_TESTS_LOAD_TEST_PROCESSOR_H
#define B2_TESTS_LOAD_TEST_PROCESSOR_H
#include <check.h>

TCase *processor_tests(void);

#endif
