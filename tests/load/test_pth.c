/* torch.save files: two real ones of each layout, and pickles and archives made by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "files.h"
#include "load/pth.h"
#include "run.h"

/* ---- real files (make_fixtures.py) ----------------------------------------------------------- */

static const b2_tensor *find(const b2_tensor_list *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->item[i].name, name) == 0)
            return list->item + i;
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

static void check_f32(const b2_tensor_list *list, const char *name, uint32_t rank,
                      const int64_t *dim, const float *expected) {
    const b2_tensor *t = find(list, name);
    float got[16];

    ck_assert_uint_eq(t->rank, rank);
    for (uint32_t i = 0; i < rank; i++)
        ck_assert_int_eq(t->dim[i], dim[i]);
    ck_assert(t->usable);
    b2_to_f32(got, t->data, t->type, t->count);
    for (size_t i = 0; i < t->count; i++)
        ck_assert_msg(got[i] == expected[i], "%s[%zu]: %g, expected %g", name, i, (double)got[i],
                      (double)expected[i]);
}

START_TEST(reads_both_layouts) {
    static const char *const files[] = {"tests/load/data/tiny_zip.pth",
                                        "tests/load/data/tiny_legacy.pth"};

    for (size_t f = 0; f < 2; f++) {
        bytes file = read_fixture(files[f]);
        const b2_file_map map = {.data = file.data, .size = file.size};
        b2_tensor_list list = {0};
        const b2_tensor *t;

        ck_assert(b2_pth_is(&map));
        ck_assert_status_ok(b2_pth_parse(&list, &map, "tiny"));
        ck_assert_uint_eq(list.count, 12); /* none of the optimizer's */
        ck_assert_str_eq(list.item[0].name, "plain");
        check_f32(&list, "plain", 2, (int64_t[]){3, 4},
                  (float[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
        check_f32(&list, "view", 2, (int64_t[]){2, 3}, (float[]){4, 5, 6, 7, 8, 9});
        check_f32(&list, "turned", 2, (int64_t[]){4, 3},
                  (float[]){0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
        check_f32(&list, "column", 1, (int64_t[]){3}, (float[]){1, 5, 9});
        check_f32(&list, "half", 1, (int64_t[]){3}, (float[]){1, -2, 0.5f});
        check_f32(&list, "brain", 2, (int64_t[]){1, 2}, (float[]){1.5f, -3});
        check_f32(&list, "parameter", 1, (int64_t[]){1}, (float[]){7});
        check_f32(&list, "scalar", 0, NULL, (float[]){0.07f});
        check_f32(&list, "empty", 2, (int64_t[]){0, 3}, NULL);
        t = find(&list, "longs");
        ck_assert_int_eq(t->type, B2_I64);
        ck_assert_mem_eq(t->data, ((int64_t[]){1, -1, INT64_C(1) << 40}), 24);
        t = find(&list, "bytes");
        ck_assert_int_eq(t->type, B2_U8);
        ck_assert_mem_eq(t->data, ((uint8_t[]){1, 255}), 2);
        t = find(&list, "double");
        ck_assert(!t->usable);
        ck_assert_str_eq(t->type_name, "F64");
        /* A view is no copy. */
        ck_assert_ptr_eq((const uint8_t *)find(&list, "plain")->data + 16,
                         find(&list, "view")->data);
        b2_tensor_list_free(&list);
        bytes_free(&file);
    }
}
END_TEST

START_TEST(survives_cuts_and_flips_of_zip) {
    bytes file = read_fixture("tests/load/data/tiny_zip.pth");

    (void)attack(b2_pth_parse, &file, true);
    bytes_free(&file);
}
END_TEST

START_TEST(survives_cuts_and_flips_of_legacy) {
    bytes file = read_fixture("tests/load/data/tiny_legacy.pth");

    (void)attack(b2_pth_parse, &file, true);
    bytes_free(&file);
}
END_TEST

/* ---- pickles by hand, in the legacy layout --------------------------------------------------- */

static const uint8_t legacy_head[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c,
                                      0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
                                      '.',  0x80, 2,    'M',  0xe9, 3,    '.'};

static void add_unicode(bytes *to, const char *text) {
    bytes_text(to, "X");
    bytes_number(to, strlen(text), 4);
    bytes_text(to, text);
}

/* Pickle opcodes that leave the mention of storage KEY with 4 floats on the stack. */
static void add_storage(bytes *to, const char *key, const char *class, uint64_t count) {
    bytes_text(to, "(");
    add_unicode(to, "storage");
    bytes_text(to, "ctorch\n");
    bytes_text(to, class);
    bytes_text(to, "\n");
    add_unicode(to, key);
    add_unicode(to, "cpu");
    bytes_text(to, "\x8a\x08");
    bytes_number(to, count, 8);
    bytes_text(to, "tQ");
}

static void add_integers(bytes *to, const int64_t *value, size_t n) {
    bytes_text(to, "(");
    for (size_t i = 0; i < n; i++) {
        bytes_text(to, "\x8a\x08");
        bytes_number(to, (uint64_t)value[i], 8);
    }
    bytes_text(to, "t");
}

/* "name" and the tensor over the storage "0" of 4 floats. */
static void add_tensor(bytes *to, const char *name, int64_t offset, size_t rank, const int64_t *dim,
                       const int64_t *stride) {
    add_unicode(to, name);
    bytes_text(to, "ctorch._utils\n_rebuild_tensor_v2\n(");
    add_storage(to, "0", "FloatStorage", 4);
    bytes_text(to, "\x8a\x08");
    bytes_number(to, (uint64_t)offset, 8);
    add_integers(to, dim, rank);
    add_integers(to, stride, rank);
    bytes_text(to, "\x89");
    bytes_text(to, "ccollections\nOrderedDict\n)RtR");
}

/* A legacy file around the object's opcodes, with the storage "0" of the floats 1, 2, 3, 4, or with
 * none. */
static bytes make_legacy(const bytes *object, bool storage) {
    static const float data[] = {1, 2, 3, 4};
    bytes file = {0};

    bytes_add(&file, legacy_head, sizeof legacy_head);
    bytes_text(&file, "\x80\x02}");
    add_unicode(&file, "little_endian");
    bytes_text(&file, "\x88s.\x80\x02");
    bytes_add(&file, object->data, object->size);
    bytes_text(&file, ".\x80\x02]");
    if (storage) {
        add_unicode(&file, "0");
        bytes_text(&file, "a");
    }
    bytes_text(&file, ".");
    if (storage) {
        bytes_number(&file, 4, 8);
        bytes_add(&file, data, sizeof data);
    }
    return file;
}

/* Parse the object; the failure must mention part (NULL: must succeed). Frees the object. */
static void check_object(bytes *object, bool storage, const char *part) {
    bytes file = make_legacy(object, storage);
    blip2_status status = parse_all(b2_pth_parse, file.data, file.size);

    if (part == NULL) {
        ck_assert_msg(status == BLIP2_OK, "%s", blip2_error_message());
    } else {
        ck_assert_msg(status == BLIP2_EFORMAT, "%s: expected \"%s\"", blip2_status_name(status),
                      part);
        expect_message(part);
    }
    bytes_free(&file);
    bytes_free(object);
}

static void check(bytes *object, const char *part) {
    check_object(object, true, part);
}

static void check_tensor(int64_t offset, size_t rank, const int64_t *dim, const int64_t *stride,
                         const char *part) {
    bytes object = {0};

    bytes_text(&object, "}");
    add_tensor(&object, "a", offset, rank, dim, stride);
    bytes_text(&object, "s");
    check(&object, part);
}

START_TEST(checks_views_against_storages) {
    check_tensor(0, 1, (int64_t[]){4}, (int64_t[]){1}, NULL);
    check_tensor(3, 1, (int64_t[]){1}, (int64_t[]){99}, NULL);
    check_tensor(0, 2, (int64_t[]){2, 2}, (int64_t[]){1, 2}, NULL);
    check_tensor(0, 1, (int64_t[]){2}, (int64_t[]){3}, NULL);
    check_tensor(4, 1, (int64_t[]){0}, (int64_t[]){1}, NULL);
    check_tensor(0, 1, (int64_t[]){5}, (int64_t[]){1}, "beyond its storage of 4");
    check_tensor(1, 1, (int64_t[]){4}, (int64_t[]){1}, "beyond");
    check_tensor(4, 0, NULL, NULL, "beyond");
    check_tensor(5, 1, (int64_t[]){0}, (int64_t[]){1}, "beyond");
    check_tensor(0, 1, (int64_t[]){2}, (int64_t[]){4}, "beyond");
    check_tensor(0, 2, (int64_t[]){2, 2}, (int64_t[]){3, 1}, "beyond");
    check_tensor(-1, 1, (int64_t[]){1}, (int64_t[]){1}, "wrong kinds");
    check_tensor(0, 1, (int64_t[]){-1}, (int64_t[]){1}, "no integers");
    check_tensor(0, 1, (int64_t[]){1}, (int64_t[]){-1}, "no integers");
    check_tensor(0, 9, (int64_t[9]){1}, (int64_t[9]){1}, "8 dimensions");
    /* Elements that repeat: as many as fit are copied, a bomb is refused. */
    check_tensor(0, 1, (int64_t[]){4}, (int64_t[]){0}, NULL);
    check_tensor(0, 1, (int64_t[]){5}, (int64_t[]){0}, "repeats");
    check_tensor(0, 1, (int64_t[]){INT64_MAX}, (int64_t[]){0}, "overflows");
    check_tensor(0, 1, (int64_t[]){INT64_C(1) << 60}, (int64_t[]){0}, "repeats");
    check_tensor(0, 2, (int64_t[]){INT64_C(1) << 62, 4}, (int64_t[]){4, 1}, "overflows");
    check_tensor(0, 2, (int64_t[]){INT64_C(1) << 62, 2}, (int64_t[]){2, 1}, "overflows");
    check_tensor(INT64_MAX, 1, (int64_t[]){2}, (int64_t[]){INT64_MAX}, "beyond");
    check_tensor(0, 2, (int64_t[]){3, 2}, (int64_t[]){INT64_MAX, 1}, "beyond");
    check_tensor(0, 2, (int64_t[]){0, INT64_MAX}, (int64_t[]){INT64_MAX, INT64_MAX}, NULL);
}
END_TEST

/* LONG1 is as many bytes as it needs, signed: as the offset of a tensor of one element. */
START_TEST(reads_integers_of_any_length) {
    static const struct {
        const char *code;
        size_t size;
        const char *part;
    } offsets[] = {
        {"\x8a\x00", 2, NULL},
        {"\x8a\x01\x03", 3, NULL},
        {"\x8a\x01\x04", 3, "beyond"},
        {"\x8a\x01\x7f", 3, "beyond"},
        {"\x8a\x01\x80", 3, "kinds"},
        {"\x8a\x02\x80\x00", 4, "beyond"},
        {"\x8a\x02\x03\x00", 4, NULL},
        {"\x8a\x02\x03\xff", 4, "kinds"},
        {"K\x03", 2, NULL},
        {"M\x03\x00", 3, NULL},
        {"M\x00\x01", 3, "beyond"},
        {"J\x03\x00\x00\x00", 5, NULL},
        {"J\xff\xff\xff\xff", 5, "kinds"},
        {"\x8a\x09\x03\x00\x00\x00\x00\x00\x00\x00\x00", 11, "kinds"},
        {"G\x00\x00\x00\x00\x00\x00\x00\x00", 9, "kinds"},
    };

    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        bytes object = {0};

        bytes_text(&object, "}");
        add_unicode(&object, "a");
        bytes_text(&object, "ctorch._utils\n_rebuild_tensor_v2\n(");
        add_storage(&object, "0", "FloatStorage", 4);
        bytes_add(&object, offsets[i].code, offsets[i].size);
        bytes_text(&object, "K\x01\x85K\x01\x85\x89}tRs");
        check(&object, offsets[i].part);
    }
}
END_TEST

START_TEST(runs_nothing) {
    static const struct {
        const char *name, *part;
    } calls[] = {
        {"cos\nsystem\n", "\"os.system\" is refused"},
        {"cbuiltins\neval\n", "\"builtins.eval\" is refused"},
        {"c__builtin__\nexec\n", "refused"},
        {"ctorch\nload\n", "refused"},
        {"ctorch.storage\n_load_from_bytes\n", "refused"},
        {"ctorch._utils\n_rebuild_tensor\n", "refused"},
        {"ctorch\nFloatStoragE\n", "refused"},
        {"ctorch.FloatStorage\n\n", "refused"},
        {"ccollections\nOrderedDict", "cut short"},
    };

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        bytes object = {0};

        bytes_text(&object, calls[i].name);
        if (i + 1 < sizeof calls / sizeof *calls) {
            add_unicode(&object, "rm -rf /");
            bytes_text(&object, "\x85R");
        }
        check(&object, calls[i].part);
    }
    /* The byte offset is that of the opcode in the file. */
    {
        bytes object = {0};
        char part[80];

        bytes_text(&object, "NNcos\nsystem\n");
        (void)snprintf(part, sizeof part,
                       "pickle at byte %zu:", sizeof legacy_head + 3 + 5 + 13 + 3 + 2 + 2);
        check(&object, part);
    }
}
END_TEST

START_TEST(refuses_other_opcodes) {
    static const char known[] = ".(N\x88\x89JKM\x8aGX)\x85\x86\x87t]ae}suqrhjcRbQ\x80";

    for (int opcode = 0; opcode < 256; opcode++) {
        bytes object = {0};
        char part[40];

        if (memchr(known, opcode, sizeof known - 1) != NULL)
            continue;
        bytes_text(&object, "NN(");
        bytes_number(&object, (uint64_t)opcode, 1);
        (void)snprintf(part, sizeof part, "opcode 0x%02x is refused", opcode);
        check(&object, part);
    }
}
END_TEST

START_TEST(refuses_broken_pickles) {
    static const struct {
        const char *code;
        size_t size; /* 0: strlen */
        const char *part;
    } bad[] = {
        {"", 0, "more or less than one value"},
        {"NN", 0, "more or less than one value"},
        {"(", 0, "more or less than one value"},
        {"N", 0, "expected a dict of tensors"},
        {"}", 0, "no tensors"},
        {"\x80\x04", 0, "protocol 2"},
        {"\x86", 0, "too few"},
        {"N(\x86", 0, "too few"},
        {"a", 0, "too few"},
        {"Na", 0, "too few"},
        {"NNa", 0, "takes none"},
        {"}Na", 0, "takes none"},
        {"]NNs", 0, "takes none"},
        {"]N(s", 0, "too few"},
        {"(Ne", 0, "too few"},
        {"N(Ne", 0, "takes none"},
        {"}(Nu", 0, "takes none"},
        {"t", 0, "no mark"},
        {"Nu", 0, "no mark"},
        {"h\x00", 2, "never put"},
        {"Nq\x03h\x02", 0, "never put"},
        {"q\x00", 2, "memo entry out of range"},
        {"Nr\xff\xff\xff\x7f", 0, "memo entry out of range"},
        {"(q\x00", 3, "memo entry out of range"},
        {"R", 0, "too few"},
        {"NNR", 0, "no function"},
        {"ccollections\nOrderedDict\nNR", 0, "no function"},
        {"ccollections\nOrderedDict\nN\x85R", 0, "OrderedDict with arguments"},
        {"ctorch\nFloatStorage\n)R", 0, "storage class called"},
        {"ctorch._utils\n_rebuild_tensor_v2\n)R", 0, "wrong kinds"},
        {"ctorch._utils\n_rebuild_tensor_v2\nN\x85R", 0, "wrong kinds"},
        {"ctorch._utils\n_rebuild_parameter\n)R", 0, "no tensor"},
        {"ctorch._utils\n_rebuild_parameter\nN\x85R", 0, "no tensor"},
        {"Q", 0, "too few"},
        {"NQ", 0, "no storage"},
        {")Q", 0, "no storage"},
        {"b", 0, "too few"},
        {"NNb", 0, "no OrderedDict"},
        {"}Nb", 0, "no OrderedDict"},
        {"X\xff\xff\xff\xff", 0, "cut short"},
        {"\x8a\xff", 0, "cut short"},
        {"cabc", 0, "cut short"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes object = {0};

        bytes_add(&object, bad[i].code, bad[i].size > 0 ? bad[i].size : strlen(bad[i].code));
        check_object(&object, false, bad[i].part);
    }
}
END_TEST

START_TEST(refuses_broken_storages) {
    static const struct {
        const char *class;
        uint64_t count;
        const char *part;
    } bad[] = {{"FloatStorage", 3, "expected 3 of F32, got 4"},
               {"FloatStorage", 5, "expected 5 of F32, got 4"},
               {"DoubleStorage", 4, "expected 4 of F64"},
               {"FloatStorage", INT64_MAX, "overflows"},
               {"FloatStorage", UINT64_MAX, "no storage"}};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes object = {0};

        bytes_text(&object, "}");
        add_unicode(&object, "x");
        add_storage(&object, "0", bad[i].class, bad[i].count);
        bytes_text(&object, "s");
        check(&object, bad[i].part);
    }
    { /* two mentions that disagree, one that is nowhere */
        bytes object = {0};

        bytes_text(&object, "(");
        add_storage(&object, "0", "FloatStorage", 4);
        add_storage(&object, "0", "HalfStorage", 4);
        bytes_text(&object, "t");
        check(&object, "expected");
        bytes_text(&object, "(");
        add_storage(&object, "0", "FloatStorage", 4);
        add_storage(&object, "1", "FloatStorage", 4);
        bytes_text(&object, "t");
        check(&object, "\"1\" is not in the file");
        bytes_text(&object, "}");
        check(&object, "belongs to no tensor");
    }
}
END_TEST

START_TEST(reads_shared_and_wrapped_tensors) {
    bytes object = {0};
    bytes file;
    b2_file_map map;
    b2_tensor_list list = {0};

    /* {"epoch": 3, "model": {"a": t, "b": t through the memo, "n": 7}} + bytes behind it */
    bytes_text(&object, "}(");
    add_unicode(&object, "epoch");
    bytes_text(&object, "K\x03");
    add_unicode(&object, "model");
    bytes_text(&object, "}(");
    add_tensor(&object, "a", 1, 1, (int64_t[]){3}, (int64_t[]){1});
    bytes_text(&object, "q\x05");
    add_unicode(&object, "b");
    bytes_text(&object, "h\x05");
    add_unicode(&object, "n");
    bytes_text(&object, "K\x07uu");
    file = make_legacy(&object, true);
    map = (b2_file_map){.data = file.data, .size = file.size};
    ck_assert_status_ok(b2_pth_parse(&list, &map, "file"));
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_eq(list.item[1].name, "b");
    ck_assert_ptr_eq(list.item[0].data, list.item[1].data);
    ck_assert_float_eq(((const float *)(const void *)list.item[0].data)[0], 2);
    b2_tensor_list_free(&list);
    bytes_text(&file, "x");
    ck_assert_status(parse_all(b2_pth_parse, file.data, file.size), BLIP2_EFORMAT);
    expect_message("1 bytes follow");
    bytes_free(&file);
    bytes_free(&object);
    /* A name that would make a mess of a message. */
    bytes_text(&object, "}");
    add_tensor(&object, "a\nb", 0, 1, (int64_t[]){4}, (int64_t[]){1});
    bytes_text(&object, "s");
    check(&object, "plain ASCII");
}
END_TEST

/* Memory stays a small multiple of the pickle, and depth costs nothing. */
START_TEST(survives_bombs) {
    enum { MANY = 2000000 };
    static const char *const pieces[] = {"(", "]", "}", ")", "N", "N\x85", ")h\x01\x86q\x01"};

    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        size_t length = strlen(pieces[p]), size = MANY / length * length;
        char *code = malloc(size);
        bytes object = {0};

        for (size_t i = 0; i < size; i++)
            code[i] = pieces[p][i % length];
        bytes_text(&object, "Nq\x01");
        bytes_add(&object, code, size);
        check(&object, "more or less than one value");
        free(code);
    }
    { /* a list that contains itself */
        bytes object = {0};

        bytes_text(&object, "}q\x01");
        add_unicode(&object, "model");
        bytes_text(&object, "h\x01s");
        check_object(&object, false, "no tensors");
    }
}
END_TEST

START_TEST(refuses_what_is_no_torch_file) {
    static const char zip[] = "PK\3\4 and then nothing that makes sense", pickle[] = "\x80\x02N.";

    ck_assert_status(parse_all(b2_pth_parse, (const uint8_t *)zip, sizeof zip), BLIP2_EFORMAT);
    expect_message("no end record");
    ck_assert_status(parse_all(b2_pth_parse, (const uint8_t *)pickle, 4), BLIP2_EFORMAT);
    expect_message("not one of torch.save");
}
END_TEST

/* ---- archives by hand ------------------------------------------------------------------------ */

typedef struct archive {
    bytes file, directory;
    uint64_t count;
} archive;

static void add_entry(archive *a, const char *name, const bytes *content, uint32_t method,
                      uint32_t flags) {
    uint64_t at = a->file.size;

    bytes_text(&a->file, "PK\3\4");
    bytes_number(&a->file, 0, 22);
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
    blip2_status status;

    bytes_add(&a->file, a->directory.data, a->directory.size);
    bytes_text(&a->file, "PK\5\6");
    bytes_number(&a->file, 0, 4);
    bytes_number(&a->file, a->count, 2);
    bytes_number(&a->file, a->count, 2);
    bytes_number(&a->file, a->directory.size, 4);
    bytes_number(&a->file, at, 4);
    bytes_number(&a->file, 0, 2);
    status = parse_all(b2_pth_parse, a->file.data, a->file.size);
    if (part == NULL) {
        ck_assert_msg(status == BLIP2_OK, "%s", blip2_error_message());
    } else {
        ck_assert_msg(status == BLIP2_EFORMAT, "%s: expected \"%s\"", blip2_status_name(status),
                      part);
        expect_message(part);
    }
    bytes_free(&a->file);
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

/* The same archive with all sizes and places in 64-bit fields, as files above 4 GiB have them. */
static bytes make_zip64(const bytes *pickle, const bytes *data) {
    const char *const names[] = {"m/data.pkl", "m/data/0"};
    const bytes *const contents[] = {pickle, data};
    bytes file = {0}, directory = {0};
    uint64_t at, end;

    for (size_t i = 0; i < 2; i++) {
        at = file.size;
        bytes_text(&file, "PK\3\4");
        bytes_number(&file, 0, 22);
        bytes_number(&file, strlen(names[i]), 2);
        bytes_number(&file, 5, 2);
        bytes_text(&file, names[i]);
        bytes_text(&file, "extra");
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

START_TEST(survives_failing_memory) {
    static const char *const files[] = {"tests/load/data/tiny_zip.pth",
                                        "tests/load/data/tiny_legacy.pth"};

    for (size_t f = 0; f < 2; f++) {
        bytes file = read_fixture(files[f]);
        const b2_file_map map = {.data = file.data, .size = file.size};
        bool again = true;

        for (int64_t n = 0; again; n++) {
            b2_tensor_list list = {0};
            blip2_status status;

            b2_alloc_fail_after(n);
            status = b2_pth_parse(&list, &map, "file");
            again = b2_alloc_count() > n;
            b2_alloc_fail_after(-1);
            ck_assert_status(status, again ? BLIP2_ENOMEM : BLIP2_OK);
            b2_tensor_list_free(&list);
        }
        bytes_free(&file);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pth");
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, reads_both_layouts);
    tcase_add_test(tests, survives_cuts_and_flips_of_zip);
    tcase_add_test(tests, survives_cuts_and_flips_of_legacy);
    tcase_add_test(tests, checks_views_against_storages);
    tcase_add_test(tests, reads_integers_of_any_length);
    tcase_add_test(tests, runs_nothing);
    tcase_add_test(tests, refuses_other_opcodes);
    tcase_add_test(tests, refuses_broken_pickles);
    tcase_add_test(tests, refuses_broken_storages);
    tcase_add_test(tests, reads_shared_and_wrapped_tensors);
    tcase_add_test(tests, survives_bombs);
    tcase_add_test(tests, refuses_what_is_no_torch_file);
    tcase_add_test(tests, checks_archives);
    tcase_add_test(tests, reads_64_bit_archives);
    tcase_add_test(tests, survives_failing_memory);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
