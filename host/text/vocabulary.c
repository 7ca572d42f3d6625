/* An open-addressing table at most half full. About 50,000 tokens of 6 bytes: a look-up touches one
 * or two cache lines of slots and the text itself. */
#include "text/vocabulary.h"

#include <string.h>

#include "load/json.h"

static uint32_t hash(const char *text, size_t length) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, folded */

    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32);
}

blip2_status b2_vocabulary_init(b2_vocabulary *out, b2_arena *arena, size_t capacity) {
    size_t slots = 4;

    *out = (b2_vocabulary){0};
    if (capacity > UINT32_MAX / 4)
        return b2_fail_memory();
    while (slots < capacity * 2)
        slots *= 2;
    out->capacity = (uint32_t)capacity;
    out->mask = (uint32_t)slots - 1;
    out->entries = b2_arena_alloc(arena, capacity, sizeof *out->entries);
    out->slots = b2_arena_alloc(arena, slots, sizeof *out->slots);
    if (out->entries == NULL || out->slots == NULL)
        return b2_fail_memory();
    memset(out->slots, 0, slots * sizeof *out->slots);
    return BLIP2_OK;
}

/* The slot that holds text, or the free one where it would go. */
static uint32_t *slot_of(const b2_vocabulary *vocabulary, const char *text, size_t length) {
    uint32_t at = hash(text, length);

    for (;; at++) {
        uint32_t *slot = vocabulary->slots + (at & vocabulary->mask);
        const b2_entry *entry;

        if (*slot == 0)
            return slot;
        entry = vocabulary->entries + *slot - 1;
        if (entry->length == length && memcmp(entry->text, text, length) == 0)
            return slot;
    }
}

b2_entry *b2_vocabulary_insert(b2_vocabulary *vocabulary, b2_arena *arena, const char *text,
                               size_t length, int32_t id) {
    b2_entry *entry = vocabulary->entries + vocabulary->count;
    char *copy;

    if (length > UINT32_MAX || (copy = b2_arena_strndup(arena, text, length)) == NULL)
        return NULL;
    *entry = (b2_entry){copy, (uint32_t)length, id};
    *slot_of(vocabulary, text, length) = ++vocabulary->count;
    return entry;
}

const b2_entry *b2_vocabulary_find(const b2_vocabulary *vocabulary, const char *text,
                                   size_t length) {
    uint32_t slot = *slot_of(vocabulary, text, length);

    return slot > 0 ? vocabulary->entries + slot - 1 : NULL;
}

blip2_status b2_vocabulary_read(b2_vocabulary *out, b2_arena *arena, b2_fields *fields,
                                const json_t *model) {
    const json_t *vocabulary = json_object_get(model, "vocab");
    const char *text;
    json_t *id;
    blip2_status status;

    if (!json_is_object(vocabulary)) {
        b2_field_fail(fields, "vocab", "an object of tokens and ids", vocabulary);
        return fields->status;
    }
    if ((status = b2_vocabulary_init(out, arena, json_object_size(vocabulary))) < 0)
        return status;
    json_object_foreach((json_t *)vocabulary, text, id) {
        json_int_t value = json_integer_value(id);

        if (!json_is_integer(id) || value < 0 || value > B2_LARGEST_ID) {
            char got[64];

            b2_json_describe(id, got, sizeof got);
            return b2_fail(BLIP2_EFORMAT,
                           "%s: %svocab: token \"%.40s\": expected an id in 0..%d, "
                           "got %s",
                           fields->file, fields->section, text, (int)B2_LARGEST_ID, got);
        }
        if (b2_vocabulary_insert(out, arena, text, strlen(text), (int32_t)value) == NULL)
            return b2_fail_memory();
    }
    return BLIP2_OK;
}
