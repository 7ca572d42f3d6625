#include "base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* The gate's own state, for fault injection only: a process-wide switch by nature, as malloc is. */
static atomic_int_fast64_t limit = -1;
static atomic_int_fast64_t asked = 0;

static bool refused(void) {
    int_fast64_t n = atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
    int_fast64_t most = atomic_load_explicit(&limit, memory_order_relaxed);

    return most >= 0 && n >= most;
}

void b2_alloc_fail_after(int64_t successes) {
    atomic_store(&limit, successes);
    atomic_store(&asked, 0);
}

int64_t b2_alloc_count(void) {
    return atomic_load(&asked);
}

void *b2_alloc(size_t size) {
    return refused() ? NULL : malloc(size > 0 ? size : 1);
}

void *b2_alloc_array(size_t count, size_t size) {
    size_t total;

    return b2_size_mul(count, size, &total) ? b2_alloc(total) : NULL;
}

void *b2_calloc(size_t count, size_t size) {
    size_t total;

    if (!b2_size_mul(count, size, &total) || refused())
        return NULL;
    return calloc(1, total > 0 ? total : 1);
}

void *b2_realloc_array(void *block, size_t count, size_t size) {
    size_t total;

    if (!b2_size_mul(count, size, &total) || refused())
        return NULL;
    return realloc(block, total > 0 ? total : 1);
}

void *b2_alloc_aligned(size_t alignment, size_t size) {
    void *block = NULL;

    if (refused() || posix_memalign(&block, alignment, size > 0 ? size : 1) != 0)
        return NULL;
    return block;
}

void b2_free(void *block) {
    free(block);
}

char *b2_strndup(const char *text, size_t length) {
    char *copy;

    if (length == SIZE_MAX || (copy = b2_alloc(length + 1)) == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *b2_strdup(const char *text) {
    return b2_strndup(text, strlen(text));
}
