#ifndef B2_TESTS_LOAD_TEST_FOLDERS_H
#define B2_TESTS_LOAD_TEST_FOLDERS_H
#include <check.h>

TCase *folder_tests(void);

#endif
