/* A unit has in its low byte the label of the edge that leads to it (bit 31 set: it is a value), in
 * bit 8 whether a key ends here, and from bit 10 on the distance, by exclusive or, to its children;
 * with bit 9 set the distance is times 256. The file may say anything: every step is checked. */
#include "text/charsmap.h"

#include <string.h>

#include "text/utf8.h"

static uint32_t little_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

blip2_status b2_charsmap_parse(b2_charsmap *out, b2_arena *arena, const uint8_t *data, size_t size,
                               const char *file) {
    size_t trie_size = size >= 4 ? little_endian(data) / 4 * 4 : 0;
    uint32_t *units;

    *out = (b2_charsmap){0};
    if (size < 4 || trie_size > size - 4)
        return b2_fail(BLIP2_EFORMAT,
                       "%s: precompiled_charsmap of %zu bytes: expected a trie of %zu", file, size,
                       trie_size);
    if (trie_size == 0)
        return b2_fail(BLIP2_EFORMAT, "%s: precompiled_charsmap without a trie", file);
    out->unit_count = trie_size / 4;
    out->text_size = size - 4 - trie_size;
    units = b2_arena_alloc(arena, out->unit_count, sizeof *units);
    out->texts = b2_arena_strndup(arena, (const char *)data + 4 + trie_size, out->text_size);
    if (units == NULL || out->texts == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < out->unit_count; i++)
        units[i] = little_endian(data + 4 + 4 * i);
    out->units = units;
    if (b2_utf8_valid(out->texts, out->text_size) < out->text_size)
        return b2_fail(BLIP2_EFORMAT, "%s: precompiled_charsmap: texts that are not UTF-8", file);
    for (size_t at = 0; at < out->text_size; at += strlen(out->texts + at) + 1)
        if (strlen(out->texts + at) > out->longest)
            out->longest = strlen(out->texts + at);
    return BLIP2_OK;
}

/* 0..63, or -1. */
static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

blip2_status b2_charsmap_decode(b2_charsmap *out, b2_arena *arena, const char *base64,
                                size_t length, const char *file) {
    uint8_t *data = b2_arena_alloc(arena, length / 4 * 3 + 1, 1);
    size_t padding = 0, size = 0;
    uint32_t bits = 0;

    *out = (b2_charsmap){0};
    if (data == NULL)
        return b2_fail_memory();
    while (padding < 2 && padding < length && base64[length - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < length - padding; i++) {
        int value = base64_value(base64[i]);

        if (value < 0 || length % 4 != 0)
            return b2_fail(BLIP2_EFORMAT, "%s: precompiled_charsmap is not base64", file);
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 > 0)
            data[size++] = (uint8_t)(bits >> (6 - i % 4 * 2));
    }
    return b2_charsmap_parse(out, arena, data, size, file);
}

static size_t distance(uint32_t unit) {
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

/* The text at a place, unless it starts outside or inside a character. */
static const char *text_at(const b2_charsmap *map, size_t at, size_t *length) {
    if (at > map->text_size || b2_utf8_goes_on(map->texts[at]))
        return NULL;
    *length = strlen(map->texts + at);
    return map->texts + at;
}

const char *b2_charsmap_find(const b2_charsmap *map, const char *text, size_t length,
                             size_t *out_length) {
    size_t at = distance(map->units[0]);

    for (size_t i = 0; i < length && text[i] != '\0'; i++) {
        uint32_t unit;

        at ^= (unsigned char)text[i];
        if (at >= map->unit_count)
            return NULL;
        unit = map->units[at];
        if ((unit & 0x800000FF) != (unsigned char)text[i])
            return NULL;
        at ^= distance(unit);
        if ((unit & 0x100) == 0)
            continue;
        return at < map->unit_count ? text_at(map, map->units[at] & 0x7FFFFFFF, out_length) : NULL;
    }
    return NULL;
}
