/* Pickles made by hand, in torch.save's layout of old. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/pth.h"
#include "pth_maker.h"
#include "run.h"

static const uint8_t legacy_head[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c,
                                      0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
                                      '.',  0x80, 2,    'M',  0xe9, 3,    '.'};

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

/* Parse the object, then free it; part: check_pth. */
static void check_object(bytes *object, bool storage, const char *part) {
    bytes file = make_legacy(object, storage);

    check_pth(&file, part);
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
        {"cos\nsystem\n", "opcode 0x63: \"os.system\" is refused"},
        {"cposix\nsystem\n", "\"posix.system\" is refused"},
        {"cnt\nsystem\n", "\"nt.system\" is refused"},
        {"csubprocess\nPopen\n", "\"subprocess.Popen\" is refused"},
        {"cbuiltins\ngetattr\n", "\"builtins.getattr\" is refused"},
        {"coperator\nattrgetter\n", "\"operator.attrgetter\" is refused"},
        {"ctorch.hub\nload\n", "\"torch.hub.load\" is refused"},
        {"ccollections\nOrderedDict.fromkeys\n", "refused"},
        {"cos\nsystem\n\xff", "\"os.system\" is refused"},
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
        (void)snprintf(part, sizeof part, "pickle at byte %zu, opcode 0x63: ",
                       sizeof legacy_head + 3 + 5 + 13 + 3 + 2 + 2);
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
        (void)snprintf(part, sizeof part, "opcode 0x%02x: refused", opcode);
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
    { /* one long key that is mentioned again and again */
        char key[102];
        bytes object = {0};

        memset(key, '7', sizeof key - 1);
        key[sizeof key - 1] = '\0';
        add_storage(&object, key + 1, "FloatStorage", 4);
        check_object(&object, false, "is not in the file");
        add_storage(&object, key, "FloatStorage", 4);
        check_object(&object, false, "a storage key of 101 bytes, expected at most 100");
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

TCase *pickle_tests(void) {
    TCase *tests = tcase_create("pickles");

    tcase_add_test(tests, checks_views_against_storages);
    tcase_add_test(tests, reads_integers_of_any_length);
    tcase_add_test(tests, runs_nothing);
    tcase_add_test(tests, refuses_other_opcodes);
    tcase_add_test(tests, refuses_broken_pickles);
    tcase_add_test(tests, refuses_broken_storages);
    tcase_add_test(tests, reads_shared_and_wrapped_tensors);
    tcase_add_test(tests, survives_bombs);
    tcase_add_test(tests, refuses_what_is_no_torch_file);
    tcase_set_timeout(tests, 60);
    return tests;
}
