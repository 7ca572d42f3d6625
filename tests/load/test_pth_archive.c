/* Archives made by hand, in torch.save's layout of today, also as files above 4 GiB have them. */
#include <string.h>

#include "load/pth.h"
#include "pth_maker.h"
#include "run.h"

typedef struct archive {
    bytes file, directory;
    uint64_t count;
} archive;

static void add_entry(archive *a, const char *name, const bytes *content, uint32_t method,
                      uint32_t flags) {
    uint64_t at = a->file.size;

    bytes_text(&a->file, "PK\3\4");
    bytes_number(&a->file, 0, 2);
    bytes_number(&a->file, flags, 2);
    bytes_number(&a->file, method, 2);
    bytes_number(&a->file, 0, 8);
    bytes_number(&a->file, content->size, 4);
    bytes_number(&a->file, content->size, 4);
    bytes_number(&a->file, strlen(name), 2);
    bytes_number(&a->file, 0, 2);
    bytes_text(&a->file, name);
    bytes_add(&a->file, content->data, content->size);
    bytes_text(&a->directory, "PK\1\2");
    bytes_number(&a->directory, 0, 4);
    bytes_number(&a->directory, flags, 2);
    bytes_number(&a->directory, method, 2);
    bytes_number(&a->directory, 0, 8);
    bytes_number(&a->directory, content->size, 4);
    bytes_number(&a->directory, content->size, 4);
    bytes_number(&a->directory, strlen(name), 2);
    bytes_number(&a->directory, 0, 8);
    bytes_number(&a->directory, 0, 4);
    bytes_number(&a->directory, at, 4);
    bytes_text(&a->directory, name);
    a->count++;
}

/* Append the directory and its end; check; free. */
static void check_archive(archive *a, const char *part) {
    uint64_t at = a->file.size;

    bytes_add(&a->file, a->directory.data, a->directory.size);
    bytes_text(&a->file, "PK\5\6");
    bytes_number(&a->file, 0, 4);
    bytes_number(&a->file, a->count, 2);
    bytes_number(&a->file, a->count, 2);
    bytes_number(&a->file, a->directory.size, 4);
    bytes_number(&a->file, at, 4);
    bytes_number(&a->file, 0, 2);
    check_pth(&a->file, part);
    bytes_free(&a->directory);
    a->count = 0;
}

START_TEST(checks_archives) {
    static const float floats[] = {1, 2, 3, 4};
    bytes pickle = {0}, data = {0}, little = {0}, big = {0}, cut = {0};
    archive a = {0};

    bytes_text(&pickle, "\x80\x02}");
    add_tensor(&pickle, "a", 0, 1, (int64_t[]){4}, (int64_t[]){1});
    bytes_text(&pickle, "s.");
    bytes_add(&data, floats, sizeof floats);
    bytes_text(&little, "little");
    bytes_text(&big, "big");
    bytes_add(&cut, floats, 12);

    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    add_entry(&a, "m/byteorder", &little, 0, 0);
    add_entry(&a, "m/data/0", &data, 0, 0);
    check_archive(&a, NULL);
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    check_archive(&a, "\"0\" is not in the archive");
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    add_entry(&a, "m/data/0", &cut, 0, 0);
    check_archive(&a, "expected 16 bytes (4 of F32), got 12");
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    add_entry(&a, "m/byteorder", &big, 0, 0);
    add_entry(&a, "m/data/0", &data, 0, 0);
    check_archive(&a, "byteorder");
    add_entry(&a, "m/data/0", &data, 0, 0);
    check_archive(&a, "without a data.pkl");
    add_entry(&a, "m/x/data.pkl", &pickle, 0, 0);
    check_archive(&a, "without a data.pkl");
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    add_entry(&a, "n/data.pkl", &pickle, 0, 0);
    check_archive(&a, "two data.pkl");
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    check_archive(&a, "same name");
    add_entry(&a, "m/data.pkl", &pickle, 8, 0);
    check_archive(&a, "compressed");
    add_entry(&a, "m/data.pkl", &pickle, 0, 1);
    check_archive(&a, "encrypted");
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    a.count = 2;
    check_archive(&a, "directory is too small");
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    add_entry(&a, "m/data/0", &data, 0, 0);
    a.count = 1;
    check_archive(&a, "more entries than it says");
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    a.file.data[31] = 'n'; /* the local header's name */
    check_archive(&a, "another name");
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    a.directory.data[42] = 1; /* where the local header is */
    check_archive(&a, "not where the directory says");
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    a.directory.data[22] = a.directory.data[26] = 1; /* + 64 KiB of size */
    check_archive(&a, "beyond its place");
    bytes_free(&pickle);
    bytes_free(&data);
    bytes_free(&little);
    bytes_free(&big);
    bytes_free(&cut);
}
END_TEST

/* Where the fields of a local header are. */
enum { LOCAL_FLAGS = 6, LOCAL_METHOD = 8, LOCAL_PACKED = 18, LOCAL_PLAIN = 22, LOCAL_HEADER = 30 };
/* And those of the directory. */
enum { PACKED = 20, PLAIN = 24, OFFSET = 42, ENTRY = 46 };

/* Two entries, of which the second one's local header is at *second. */
static archive make_two(const bytes *pickle, const bytes *data, size_t *second) {
    archive a = {0};

    add_entry(&a, "m/data.pkl", pickle, 0, 0);
    *second = a.file.size;
    add_entry(&a, "m/data/0", data, 0, 0);
    return a;
}

START_TEST(checks_headers_against_each_other) {
    static const float floats[] = {1, 2, 3, 4};
    static const struct {
        size_t field;
        uint8_t value; /* what is added to it */
        const char *part;
    } lies[] = {
        {LOCAL_METHOD, 8, "contradicts"},
        {LOCAL_FLAGS, 1, "contradicts"},
        {LOCAL_PACKED, 1, "contradicts"},
        {LOCAL_PLAIN, 1, "contradicts"},
        {LOCAL_PLAIN + 3, 1, "contradicts"},
        {LOCAL_FLAGS, 8, NULL}, /* sizes behind the data, and here as well */
    };
    bytes pickle = {0}, data = {0};
    size_t second;
    archive a;

    bytes_text(&pickle, "\x80\x02}");
    add_tensor(&pickle, "a", 0, 1, (int64_t[]){4}, (int64_t[]){1});
    bytes_text(&pickle, "s.");
    bytes_add(&data, floats, sizeof floats);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        a = make_two(&pickle, &data, &second);
        a.file.data[second + lies[i].field] += lies[i].value;
        check_archive(&a, lies[i].part);
    }
    /* No sizes: only with the flag that they are behind the data. */
    for (unsigned flag = 0; flag <= 8; flag += 8) {
        a = make_two(&pickle, &data, &second);
        memset(a.file.data + second + LOCAL_PACKED, 0, 8);
        a.file.data[second + LOCAL_FLAGS] = (uint8_t)flag;
        check_archive(&a, flag == 8 ? NULL : "contradicts");
    }
    /* 64-bit sizes without the field that has them. */
    a = make_two(&pickle, &data, &second);
    memset(a.file.data + second + LOCAL_PACKED, 0xff, 8);
    check_archive(&a, "contradicts");
    /* The directory's two sizes, of which one lies. */
    a = make_two(&pickle, &data, &second);
    a.directory.data[PACKED] = (uint8_t)(a.directory.data[PACKED] + 1);
    check_archive(&a, "compressed");
    bytes_free(&pickle);
    bytes_free(&data);
}
END_TEST

START_TEST(refuses_overlapping_entries) {
    static const float floats[] = {1, 2, 3, 4};
    bytes pickle = {0}, data = {0}, nested = {0};
    size_t second, next, longer;
    archive a = {0}, inner;

    bytes_text(&pickle, "\x80\x02}");
    add_tensor(&pickle, "a", 0, 1, (int64_t[]){4}, (int64_t[]){1});
    bytes_text(&pickle, "s.");
    bytes_add(&data, floats, sizeof floats);
    /* The first one's data reach into the second one's header, in both headers. */
    a = make_two(&pickle, &data, &second);
    longer = pickle.size + 8;
    a.file.data[LOCAL_PACKED] = a.file.data[LOCAL_PLAIN] = (uint8_t)longer;
    a.directory.data[PACKED] = a.directory.data[PLAIN] = (uint8_t)longer;
    ck_assert_uint_lt(longer, 256);
    check_archive(&a, "overlap");
    /* An entry inside the data of another one. */
    inner = (archive){0};
    add_entry(&inner, "m/data/0", &data, 0, 0);
    bytes_add(&nested, inner.file.data, inner.file.size);
    a = (archive){0};
    add_entry(&a, "m/data.pkl", &pickle, 0, 0);
    second = a.file.size;
    add_entry(&a, "m/version", &nested, 0, 0);
    next = a.directory.size;
    bytes_add(&a.directory, inner.directory.data, inner.directory.size);
    a.directory.data[next + OFFSET] = (uint8_t)(second + LOCAL_HEADER + strlen("m/version"));
    a.count = 3;
    check_archive(&a, "overlap");
    bytes_free(&inner.file);
    bytes_free(&inner.directory);
    /* Two names of one place: the local header has one of them. */
    a = make_two(&pickle, &data, &second);
    next = ENTRY + strlen("m/data.pkl");
    a.directory.data[next + OFFSET] = 0;
    check_archive(&a, "another name");
    /* Beyond the end of the file. */
    a = make_two(&pickle, &data, &second);
    a.directory.data[next + OFFSET + 3] = 0x7f;
    check_archive(&a, "not where the directory says");
    a = make_two(&pickle, &data, &second);
    a.directory.data[next + PACKED + 3] = a.directory.data[next + PLAIN + 3] = 0x7f;
    check_archive(&a, "beyond its place");
    bytes_free(&nested);
    bytes_free(&pickle);
    bytes_free(&data);
}
END_TEST

/* The same archive with all sizes and places in 64-bit fields, as files above 4 GiB have them. */
static bytes make_zip64(const bytes *pickle, const bytes *data) {
    const char *const names[] = {"m/data.pkl", "m/data/0"};
    const bytes *const contents[] = {pickle, data};
    bytes file = {0}, directory = {0};
    uint64_t at, end;

    for (size_t i = 0; i < 2; i++) {
        at = file.size;
        bytes_text(&file, "PK\3\4");
        bytes_number(&file, 0, 14);
        bytes_number(&file, UINT64_MAX, 8); /* both sizes */
        bytes_number(&file, strlen(names[i]), 2);
        bytes_number(&file, 4 + 16, 2);
        bytes_text(&file, names[i]);
        bytes_number(&file, 1, 2);
        bytes_number(&file, 16, 2);
        bytes_number(&file, contents[i]->size, 8);
        bytes_number(&file, contents[i]->size, 8);
        bytes_add(&file, contents[i]->data, contents[i]->size);
        bytes_text(&directory, "PK\1\2");
        bytes_number(&directory, 0, 16);
        bytes_number(&directory, UINT64_MAX, 8); /* both sizes */
        bytes_number(&directory, strlen(names[i]), 2);
        bytes_number(&directory, 5 + 4 + 24, 2);
        bytes_number(&directory, 0, 10);
        bytes_number(&directory, UINT32_MAX, 4);
        bytes_text(&directory, names[i]);
        bytes_number(&directory, 0x1234, 2); /* another field first */
        bytes_number(&directory, 1, 2);
        bytes_text(&directory, "x");
        bytes_number(&directory, 1, 2);
        bytes_number(&directory, 24, 2);
        bytes_number(&directory, contents[i]->size, 8);
        bytes_number(&directory, contents[i]->size, 8);
        bytes_number(&directory, at, 8);
    }
    at = file.size;
    bytes_add(&file, directory.data, directory.size);
    end = file.size;
    bytes_text(&file, "PK\6\6");
    bytes_number(&file, 44, 8);
    bytes_number(&file, 0, 12);
    bytes_number(&file, 2, 8);
    bytes_number(&file, 2, 8);
    bytes_number(&file, directory.size, 8);
    bytes_number(&file, at, 8);
    bytes_text(&file, "PK\6\7");
    bytes_number(&file, 0, 4);
    bytes_number(&file, end, 8);
    bytes_number(&file, 1, 4);
    bytes_text(&file, "PK\5\6");
    bytes_number(&file, 0, 4);
    bytes_number(&file, UINT64_MAX, 8);
    bytes_number(&file, UINT32_MAX, 4);
    bytes_number(&file, 0, 2);
    bytes_free(&directory);
    return file;
}

START_TEST(reads_64_bit_archives) {
    static const float floats[] = {1, 2, 3, 4};
    bytes pickle = {0}, data = {0}, file, with_comment = {0};

    bytes_text(&pickle, "\x80\x02}");
    add_tensor(&pickle, "a", 0, 1, (int64_t[]){4}, (int64_t[]){1});
    bytes_text(&pickle, "s.");
    bytes_add(&data, floats, sizeof floats);
    file = make_zip64(&pickle, &data);
    ck_assert_status_ok(parse_all(b2_pth_parse, file.data, file.size));
    (void)attack(b2_pth_parse, &file, true);
    /* A comment at the end is allowed, bytes that are none are not. */
    bytes_add(&with_comment, file.data, file.size);
    with_comment.data[file.size - 2] = 3;
    bytes_text(&with_comment, "hey");
    ck_assert_status_ok(parse_all(b2_pth_parse, with_comment.data, with_comment.size));
    bytes_text(&file, "hey");
    ck_assert_status(parse_all(b2_pth_parse, file.data, file.size), BLIP2_EFORMAT);
    bytes_free(&with_comment);
    bytes_free(&file);
    bytes_free(&pickle);
    bytes_free(&data);
}
END_TEST

TCase *archive_tests(void) {
    TCase *tests = tcase_create("archives");

    tcase_add_test(tests, checks_archives);
    tcase_add_test(tests, checks_headers_against_each_other);
    tcase_add_test(tests, refuses_overlapping_entries);
    tcase_add_test(tests, reads_64_bit_archives);
    tcase_set_timeout(tests, 60);
    return tests;
}
