/* The one gate to host memory. Everything the library allocates passes through it, so that a test
 * can make the n-th allocation fail and prove that nothing leaks or crashes for any n. */
#ifndef B2_ALLOC_H
#define B2_ALLOC_H
#include <stddef.h>
#include <stdint.h>

/* NULL on failure (no message set: callers answer b2_fail_memory()). A size of 0 gives a unique,
 * freeable pointer. Counts are multiplied with an overflow check. */
void *b2_alloc(size_t size);
void *b2_alloc_array(size_t count, size_t size);
void *b2_calloc(size_t count, size_t size);
void *b2_realloc_array(void *block, size_t count, size_t size);
/* alignment: a power of two >= sizeof(void *). */
void *b2_alloc_aligned(size_t alignment, size_t size);
void b2_free(void *block);
char *b2_strdup(const char *text);
char *b2_strndup(const char *text, size_t length);

/* Tests: let `successes` more allocations of any thread succeed and fail all after them; negative:
 * never fail (the start). b2_alloc_count: allocations asked for since the last such call. */
void b2_alloc_fail_after(int64_t successes);
int64_t b2_alloc_count(void);

#endif
