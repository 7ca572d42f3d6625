/* What the suites of torch.save files share: opcodes of pickles by hand. */
#ifndef B2_TESTS_LOAD_PTH_MAKER_H
#define B2_TESTS_LOAD_PTH_MAKER_H
#include <check.h>

#include "files.h"

void add_unicode(bytes *to, const char *text);
/* Leaves the mention of storage KEY with `count` numbers on the stack. */
void add_storage(bytes *to, const char *key, const char *class, uint64_t count);
void add_integers(bytes *to, const int64_t *value, size_t n); /* a tuple */
/* "name" and the tensor [dim...] over the storage "0" of 4 floats. */
void add_tensor(bytes *to, const char *name, int64_t offset, size_t rank, const int64_t *dim,
                const int64_t *stride);

/* Parse a torch.save file; the failure must mention part (NULL: must succeed). Frees the file. */
void check_pth(bytes *file, const char *part);

TCase *pickle_tests(void);  /* test_pth_pickle.c */
TCase *archive_tests(void); /* test_pth_archive.c */

#endif
