/* The end record at the end of the file (and, before it, the 64-bit end record) tells where the
 * central directory lies; each of its entries tells where a local header lies; the data follow
 * that. None of these numbers is believed before it is compared with the size of the file. */
#include "load/zip.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum {
    END_BYTES = 22,
    END_COMMENT_MAX = 65535,
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    EXTRA_ZIP64 = 1,
    FLAG_ENCRYPTED = 1,
    FLAG_SIZES_BEHIND = 8 /* the local header need not have them, they follow the data */
};
#define SIGNATURE_END 0x06054b50u
#define SIGNATURE_LOCATOR 0x07064b50u
#define SIGNATURE_END64 0x06064b50u
#define SIGNATURE_CENTRAL 0x02014b50u
#define SIGNATURE_LOCAL 0x04034b50u
#define SEE_ZIP64 0xffffffffu

static uint64_t read_le(const uint8_t *bytes, size_t n) {
    uint64_t value = 0;

    while (n-- > 0)
        value = value << 8 | bytes[n];
    return value;
}

static uint32_t u16(const uint8_t *bytes) {
    return (uint32_t)read_le(bytes, 2);
}

static uint32_t u32(const uint8_t *bytes) {
    return (uint32_t)read_le(bytes, 4);
}

/* Are there n bytes at offset, all before limit? */
static bool inside(uint64_t offset, uint64_t n, uint64_t limit) {
    return offset <= limit && n <= limit - offset;
}

static blip2_status bad(const char *file, const char *what) {
    return b2_fail(BLIP2_EFORMAT, "%s: damaged zip archive: %s", file, what);
}

/* Where the directory lies: count entries in size bytes at offset, all of it before `end`. */
typedef struct directory {
    uint64_t count, size, offset;
    size_t end;
} directory;

static blip2_status find_end(size_t *out, const b2_file_map *map, const char *file) {
    size_t lowest =
        map->size > END_BYTES + END_COMMENT_MAX ? map->size - END_BYTES - END_COMMENT_MAX : 0;

    for (size_t at = map->size - END_BYTES; map->size >= END_BYTES; at--) {
        const uint8_t *end = map->data + at;

        if (u32(end) == SIGNATURE_END && u16(end + 20) == map->size - at - END_BYTES) {
            *out = at;
            return BLIP2_OK;
        }
        if (at == lowest)
            break;
    }
    return bad(file, "it has no end record (the file is cut short?)");
}

static blip2_status find_directory(directory *out, const b2_file_map *map, const char *file) {
    const uint8_t *end, *locator;
    blip2_status status;

    if ((status = find_end(&out->end, map, file)) < 0)
        return status;
    end = map->data + out->end;
    out->count = u16(end + 10);
    out->size = u32(end + 12);
    out->offset = u32(end + 16);
    locator = end - LOCATOR_BYTES;
    if (out->end >= LOCATOR_BYTES && u32(locator) == SIGNATURE_LOCATOR) {
        uint64_t at = read_le(locator + 8, 8);
        const uint8_t *end64;

        if (!inside(at, END64_BYTES, out->end - LOCATOR_BYTES) ||
            u32(end64 = map->data + at) != SIGNATURE_END64)
            return bad(file, "its 64-bit end record is not where it must be");
        out->count = read_le(end64 + 32, 8);
        out->size = read_le(end64 + 40, 8);
        out->offset = read_le(end64 + 48, 8);
        out->end = (size_t)at;
    }
    if (!inside(out->offset, out->size, out->end))
        return bad(file, "its directory is not inside the file");
    if (out->count > out->size / CENTRAL_BYTES)
        return bad(file, "its directory is too small for its entries");
    return BLIP2_OK;
}

/* Replace sizes and offset that are "see the zip64 field" by the values of that field. */
static bool read_zip64(const uint8_t *extra, size_t length, uint64_t *plain, uint64_t *packed,
                       uint64_t *offset) {
    uint64_t *fields[] = {plain, packed, offset};

    while (length >= 4) {
        size_t size = u16(extra + 2);

        if (size > length - 4)
            return false;
        if (u16(extra) == EXTRA_ZIP64) {
            const uint8_t *at = extra + 4;

            for (size_t i = 0; i < 3; i++) {
                if (*fields[i] != SEE_ZIP64)
                    continue;
                if (size < 8)
                    return false;
                *fields[i] = read_le(at, 8);
                at += 8;
                size -= 8;
            }
            return true;
        }
        extra += 4 + size;
        length -= 4 + size;
    }
    return *plain != SEE_ZIP64 && *packed != SEE_ZIP64 && *offset != SEE_ZIP64;
}

/* Does the local header say the same as the directory: stored, this long? */
static bool agrees(const uint8_t *local, uint64_t size) {
    uint64_t packed = u32(local + 18), plain = u32(local + 22), offset = 0;
    uint32_t flags = u16(local + 6);

    if (u16(local + 8) != 0 || (flags & FLAG_ENCRYPTED) != 0 ||
        !read_zip64(local + LOCAL_BYTES + u16(local + 26), u16(local + 28), &plain, &packed,
                    &offset))
        return false;
    if ((flags & FLAG_SIZES_BEHIND) != 0 && packed == 0 && plain == 0)
        return true;
    return packed == size && plain == size;
}

/* The data of an entry, by its local header; everything must lie before the directory. */
static blip2_status find_data(b2_zip_entry *entry, uint64_t at, uint64_t size,
                              const b2_file_map *map, uint64_t limit, const char *file) {
    const uint8_t *local;
    uint64_t start, names;

    if (!inside(at, LOCAL_BYTES, limit) || u32(local = map->data + at) != SIGNATURE_LOCAL)
        return bad(file, "an entry is not where the directory says");
    names = (uint64_t)u16(local + 26) + u16(local + 28);
    start = at + LOCAL_BYTES;
    if (!inside(start, names, limit) || !inside(start + names, size, limit))
        return bad(file, "an entry reaches beyond its place");
    if (u16(local + 26) != entry->name_length ||
        memcmp(local + LOCAL_BYTES, entry->name, entry->name_length) != 0)
        return bad(file, "an entry has another name than in the directory");
    if (!agrees(local, size))
        return bad(file, "an entry's own header contradicts the directory");
    entry->header = (size_t)at;
    entry->data = map->data + start + names;
    entry->size = (size_t)size;
    return BLIP2_OK;
}

/* One entry of the directory at *at, which moves on. */
static blip2_status read_entry(b2_zip_entry *entry, const directory *where, size_t *at,
                               const b2_file_map *map, const char *file) {
    const uint8_t *head = map->data + where->offset + *at;
    size_t left = (size_t)where->size - *at, variable;
    uint64_t packed, plain, offset;

    if (left < CENTRAL_BYTES || u32(head) != SIGNATURE_CENTRAL)
        return bad(file, "its directory has fewer entries than it says");
    entry->name = (const char *)head + CENTRAL_BYTES;
    entry->name_length = u16(head + 28);
    variable = entry->name_length + u16(head + 30) + u16(head + 32);
    if (variable > left - CENTRAL_BYTES)
        return bad(file, "an entry reaches beyond the directory");
    packed = u32(head + 20);
    plain = u32(head + 24);
    offset = u32(head + 42);
    if (!read_zip64(head + CENTRAL_BYTES + entry->name_length, u16(head + 30), &plain, &packed,
                    &offset))
        return bad(file, "an entry has a broken zip64 field");
    if (u16(head + 10) != 0 || packed != plain || (u16(head + 8) & FLAG_ENCRYPTED) != 0)
        return b2_fail(BLIP2_EFORMAT,
                       "%s: zip archive with compressed or encrypted entries, expected stored ones",
                       file);
    *at += CENTRAL_BYTES + variable;
    return find_data(entry, offset, plain, map, where->offset, file);
}

static int compare(const char *a, size_t a_length, const char *b, size_t b_length) {
    int order = memcmp(a, b, b2_size_min(a_length, b_length));

    if (order != 0 || a_length == b_length)
        return order;
    return a_length < b_length ? -1 : 1;
}

static int by_name(const void *left, const void *right) {
    const b2_zip_entry *a = left, *b = right;

    return compare(a->name, a->name_length, b->name, b->name_length);
}

static int by_place(const void *left, const void *right) {
    const b2_zip_entry *a = left, *b = right;

    return a->header < b->header ? -1 : a->header > b->header;
}

/* No byte may belong to two entries; afterwards they are in the order of their places. */
static blip2_status check_overlap(b2_zip *zip, const b2_file_map *map, const char *file) {
    qsort(zip->entry, zip->count, sizeof *zip->entry, by_place);
    for (size_t i = 1; i < zip->count; i++) {
        const b2_zip_entry *before = zip->entry + i - 1;

        if (zip->entry[i].header < (size_t)(before->data - map->data) + before->size)
            return bad(file, "two entries overlap");
    }
    return BLIP2_OK;
}

blip2_status b2_zip_read(b2_zip *out, b2_arena *arena, const b2_file_map *map, const char *file) {
    directory where = {0};
    size_t at = 0;
    blip2_status status;

    *out = (b2_zip){0};
    if ((status = find_directory(&where, map, file)) < 0)
        return status;
    out->count = (size_t)where.count;
    if ((out->entry = b2_arena_alloc(arena, out->count, sizeof *out->entry)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < out->count; i++)
        if ((status = read_entry(out->entry + i, &where, &at, map, file)) < 0)
            return status;
    if (at != where.size)
        return bad(file, "its directory has more entries than it says");
    if ((status = check_overlap(out, map, file)) < 0)
        return status;
    qsort(out->entry, out->count, sizeof *out->entry, by_name);
    for (size_t i = 1; i < out->count; i++)
        if (by_name(out->entry + i - 1, out->entry + i) == 0)
            return bad(file, "two entries have the same name");
    return BLIP2_OK;
}

const b2_zip_entry *b2_zip_find(const b2_zip *zip, const char *name, size_t name_length) {
    const b2_zip_entry key = {.name = name, .name_length = name_length};

    return bsearch(&key, zip->entry, zip->count, sizeof key, by_name);
}
