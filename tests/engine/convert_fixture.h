/* What the tests of conversion share: a folder for what is written, and LAVIS's files. */
#ifndef B2_TESTS_ENGINE_CONVERT_FIXTURE_H
#define B2_TESTS_ENGINE_CONVERT_FIXTURE_H
#include <check.h>
#include <stdbool.h>
#include <stddef.h>

#include "blip2.h"
#include "stage1_fixture.h"

#define MODELS GOLDEN "/models"

extern char folder[256], out[300]; /* the test's folder, and "out" in it, which is not there yet */

void make_folder(void);
void remove_folder(void);
void remove_out(void);
blip2_convert_options no_options(void);
/* LAVIS's files, whose heads are smaller than those of the released ones. */
blip2_convert_options file_options(void);
size_t count_files(const char *path); /* hidden ones not counted */
bool has_file(const char *name);      /* in out */

TCase *refusal_tests(void);

#endif
