#include "pth_maker.h"

#include <string.h>

#include "load/pth.h"
#include "run.h"

void add_unicode(bytes *to, const char *text) {
    bytes_text(to, "X");
    bytes_number(to, strlen(text), 4);
    bytes_text(to, text);
}

void add_storage(bytes *to, const char *key, const char *class, uint64_t count) {
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

void add_integers(bytes *to, const int64_t *value, size_t n) {
    bytes_text(to, "(");
    for (size_t i = 0; i < n; i++) {
        bytes_text(to, "\x8a\x08");
        bytes_number(to, (uint64_t)value[i], 8);
    }
    bytes_text(to, "t");
}

void add_tensor(bytes *to, const char *name, int64_t offset, size_t rank, const int64_t *dim,
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

void check_pth(bytes *file, const char *part) {
    blip2_status status = parse_all(b2_pth_parse, file->data, file->size);

    if (part == NULL) {
        ck_assert_msg(status == BLIP2_OK, "%s", blip2_error_message());
    } else {
        ck_assert_msg(status == BLIP2_EFORMAT, "%s: expected \"%s\"", blip2_status_name(status),
                      part);
        expect_message(part);
    }
    bytes_free(file);
}
