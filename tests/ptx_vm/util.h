/* Memory for the VM itself: a checked malloc, an arena for what lives as long as a module, and a
 * growing array. Sizes come from PTX text of our own compiler, whose length bounds them. */
#ifndef VM_UTIL_H
#define VM_UTIL_H
#include <stddef.h>
#include <stdint.h>

void *vm_malloc(size_t bytes); /* never NULL; the process ends instead */
void *vm_calloc(size_t count, size_t bytes);
void *vm_realloc(void *old, size_t bytes);

typedef struct vm_arena {
    struct vm_arena_chunk *chunks;
} vm_arena;

void *vm_arena_alloc(vm_arena *arena, size_t bytes); /* zeroed */
char *vm_arena_copy(vm_arena *arena, const char *text, size_t length);
void vm_arena_free(vm_arena *arena);

/* Append to a growing array: items, count and capacity are lvalues. Gives the new item, zeroed. */
void *vm_grow(void **items, size_t *count, size_t *capacity, size_t item_bytes);

/* A map from names to indices, open addressing. Names must outlive it. */
typedef struct vm_names {
    struct vm_name *slots;
    size_t count, capacity;
} vm_names;

#define VM_NONE UINT32_MAX

uint32_t vm_names_find(const vm_names *names, const char *name, size_t length);
/* Binds the name anew and gives the index that it hid, or VM_NONE. */
uint32_t vm_names_set(vm_names *names, const char *name, size_t length, uint32_t index);
void vm_names_free(vm_names *names);

#endif
