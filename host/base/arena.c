#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

struct b2_arena_block {
    b2_arena_block *next;
    size_t used, capacity;
    alignas(max_align_t) unsigned char data[];
};

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

/* Under the address sanitizer what is not handed out is poisoned and objects stand apart, so that
 * an overrun of an object is seen as if it had a block of its own. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif
#if defined(ARENA_POISON)
#include <sanitizer/asan_interface.h>
enum { GAP = 16 };
#else
#define ASAN_POISON_MEMORY_REGION(data, size) ((void)(data), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(data, size) ((void)(data), (void)(size))
enum { GAP = 0 };
#endif

static b2_arena_block *add_block(b2_arena *arena, size_t need) {
    size_t capacity = FIRST_BLOCK;
    size_t total;
    b2_arena_block *block;

    if (arena->head != NULL)
        capacity = b2_size_min(arena->head->capacity * 2, LARGEST_BLOCK);
    capacity = b2_size_max(capacity, need);
    if (!b2_size_add(sizeof *block, capacity, &total) || (block = b2_alloc(total)) == NULL)
        return NULL;
    block->next = arena->head;
    block->used = 0;
    block->capacity = capacity;
    ASAN_POISON_MEMORY_REGION(block->data, capacity);
    arena->head = block;
    return block;
}

void *b2_arena_alloc(b2_arena *arena, size_t count, size_t size) {
    b2_arena_block *block = arena->head;
    size_t exact, need;

    if (!b2_size_mul(count, size, &exact) || !b2_size_add(exact, GAP, &need) ||
        !b2_size_round(need, alignof(max_align_t), &need))
        return NULL;
    if (block == NULL || block->capacity - block->used < need)
        block = add_block(arena, need);
    if (block == NULL)
        return NULL;
    block->used += need;
    ASAN_UNPOISON_MEMORY_REGION(block->data + block->used - need, exact);
    return block->data + block->used - need;
}

char *b2_arena_strndup(b2_arena *arena, const char *text, size_t length) {
    char *copy;

    if (length == SIZE_MAX || (copy = b2_arena_alloc(arena, length + 1, 1)) == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void b2_arena_free(b2_arena *arena) {
    b2_arena_block *block = arena->head;

    while (block != NULL) {
        b2_arena_block *next = block->next;

        ASAN_UNPOISON_MEMORY_REGION(block->data, block->capacity);
        b2_free(block);
        block = next;
    }
    arena->head = NULL;
}
