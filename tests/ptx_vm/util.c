#include "util.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory) {
    if (!memory) {
        fputs("ptx_vm: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *vm_malloc(size_t bytes) {
    return checked(malloc(bytes ? bytes : 1));
}

void *vm_calloc(size_t count, size_t bytes) {
    return checked(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *vm_realloc(void *old, size_t bytes) {
    return checked(realloc(old, bytes ? bytes : 1));
}

/* ---- arena ---------------------------------------------------------------------------------- */

struct vm_arena_chunk {
    struct vm_arena_chunk *next;
    size_t used, size;
    alignas(max_align_t) char data[];
};

void *vm_arena_alloc(vm_arena *arena, size_t bytes) {
    struct vm_arena_chunk *chunk = arena->chunks;
    size_t align = alignof(max_align_t);
    size_t need = (bytes + align - 1) / align * align;
    void *memory;

    if (!chunk || chunk->size - chunk->used < need) {
        size_t size = need > 65536 ? need : 65536;

        chunk = vm_malloc(sizeof(*chunk) + size);
        chunk->next = arena->chunks;
        chunk->used = 0;
        chunk->size = size;
        arena->chunks = chunk;
    }
    memory = chunk->data + chunk->used;
    chunk->used += need;
    return memset(memory, 0, need);
}

char *vm_arena_copy(vm_arena *arena, const char *text, size_t length) {
    char *copy = vm_arena_alloc(arena, length + 1);

    memcpy(copy, text, length);
    return copy;
}

void vm_arena_free(vm_arena *arena) {
    while (arena->chunks) {
        struct vm_arena_chunk *chunk = arena->chunks;

        arena->chunks = chunk->next;
        free(chunk);
    }
}

void *vm_grow(void **items, size_t *count, size_t *capacity, size_t item_bytes) {
    char *item;

    if (*count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 16;
        *items = vm_realloc(*items, *capacity * item_bytes);
    }
    item = (char *)*items + *count * item_bytes;
    ++*count;
    return memset(item, 0, item_bytes);
}

/* ---- names ---------------------------------------------------------------------------------- */

struct vm_name {
    const char *text;
    size_t length;
    uint32_t index;
};

static struct vm_name *name_slot(const vm_names *names, const char *text, size_t length) {
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    size_t i;

    for (i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    }
    for (i = (size_t)(hash % names->capacity);; i = (i + 1) % names->capacity) {
        struct vm_name *slot = &names->slots[i];

        if (!slot->text || (slot->length == length && memcmp(slot->text, text, length) == 0)) {
            return slot;
        }
    }
}

uint32_t vm_names_find(const vm_names *names, const char *name, size_t length) {
    const struct vm_name *slot;

    if (names->capacity == 0) {
        return VM_NONE;
    }
    slot = name_slot(names, name, length);
    return slot->text ? slot->index : VM_NONE;
}

uint32_t vm_names_set(vm_names *names, const char *name, size_t length, uint32_t index) {
    struct vm_name *slot;
    uint32_t hidden = VM_NONE;

    if (names->count * 2 >= names->capacity) {
        vm_names bigger = {0};
        size_t i;

        bigger.capacity = names->capacity ? names->capacity * 4 : 256;
        bigger.slots = vm_calloc(bigger.capacity, sizeof(*bigger.slots));
        for (i = 0; i < names->capacity; i++) {
            if (names->slots[i].text) {
                *name_slot(&bigger, names->slots[i].text, names->slots[i].length) = names->slots[i];
            }
        }
        bigger.count = names->count;
        free(names->slots);
        *names = bigger;
    }
    slot = name_slot(names, name, length);
    if (slot->text) {
        hidden = slot->index;
    } else {
        names->count++;
    }
    *slot = (struct vm_name){name, length, index};
    return hidden;
}

void vm_names_free(vm_names *names) {
    free(names->slots);
    *names = (vm_names){0};
}
