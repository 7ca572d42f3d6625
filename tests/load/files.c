#include "files.h"

#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "run.h"

void bytes_add(bytes *to, const void *data, size_t size) {
    uint8_t *grown = malloc(to->size + size + 1);

    ck_assert_ptr_nonnull(grown);
    if (to->size > 0)
        memcpy(grown, to->data, to->size);
    if (size > 0)
        memcpy(grown + to->size, data, size);
    free(to->data);
    to->data = grown;
    to->size += size;
}

void bytes_text(bytes *to, const char *text) {
    bytes_add(to, text, strlen(text));
}

void bytes_number(bytes *to, uint64_t number, size_t n) {
    uint8_t wide[32] = {0};

    ck_assert_uint_le(n, sizeof wide);
    memcpy(wide, &number, sizeof number);
    bytes_add(to, wide, n);
}

void bytes_free(bytes *b) {
    free(b->data);
    *b = (bytes){0};
}

bytes make_safetensors(const char *header, size_t data_bytes) {
    bytes file = {0};
    uint8_t *data = malloc(data_bytes + 1);

    for (size_t i = 0; i < data_bytes; i++)
        data[i] = (uint8_t)i;
    bytes_number(&file, strlen(header), 8);
    bytes_text(&file, header);
    bytes_add(&file, data, data_bytes);
    free(data);
    return file;
}

blip2_status parse_all(parser parse, const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    const b2_file_map map = {.data = size > 0 ? copy : NULL, .size = size};
    b2_tensor_list list = {0};
    unsigned sum = 0;
    blip2_status status;

    if (size > 0)
        memcpy(copy, data, size);
    status = parse(&list, &map, "file");
    for (size_t i = 0; i < list.count && status == BLIP2_OK; i++)
        for (size_t b = 0; b < list.item[i].bytes; b++)
            sum += ((const uint8_t *)list.item[i].data)[b];
    ck_assert_uint_ge(sum + 1, 1); /* keeps the reads */
    if (status < 0)
        ck_assert_int_gt((int)strlen(blip2_error_message()), 5);
    b2_tensor_list_free(&list);
    free(copy);
    return status;
}

size_t attack(parser parse, const bytes *file, bool strict) {
    uint8_t *copy = malloc(file->size);
    size_t accepted = 0;

    for (size_t size = 0; size < file->size; size++) {
        blip2_status status = parse_all(parse, file->data, size);

        ck_assert_msg(!strict || status == BLIP2_EFORMAT, "cut at %zu: %s", size,
                      blip2_status_name(status));
    }
    memcpy(copy, file->data, file->size);
    for (size_t bit = 0; bit < file->size * 8; bit++) {
        blip2_status status;

        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        status = parse_all(parse, copy, file->size);
        ck_assert_msg(status == BLIP2_OK || status == BLIP2_EFORMAT, "bit %zu: %s", bit,
                      blip2_status_name(status));
        accepted += status == BLIP2_OK;
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(copy);
    return accepted;
}

void make_folder(char *path, size_t size) {
    temporary_path(path, size, "load-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
}

void remove_folder(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)) != NULL) {
        char *name = b2_path_join(path, entry->d_name);

        if (entry->d_name[0] != '.')
            ck_assert_int_eq(unlink(name), 0);
        b2_free(name);
    }
    (void)closedir(folder);
    ck_assert_int_eq(rmdir(path), 0);
}

void write_file(const char *folder, const char *name, const void *data, size_t size) {
    char *path = b2_path_join(folder, name);
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    b2_free(path);
}

bytes read_fixture(const char *path) {
    char *full = b2_path_join(BLIP2_SOURCE_DIR, path);
    bytes out = {0};
    uint8_t *data;
    size_t size;

    ck_assert_int_eq(b2_file_read(&data, &size, full, 1 << 24), BLIP2_OK);
    bytes_add(&out, data, size);
    b2_free(data);
    b2_free(full);
    return out;
}

void expect_message(const char *part) {
    ck_assert_msg(strstr(blip2_error_message(), part) != NULL, "\"%s\" is not in \"%s\"", part,
                  blip2_error_message());
}

/* jansson 2.14 reads past its token buffer when growing that fails (lex_save drops the result of
 * strbuffer_append_byte). The buffer takes powers of two from 32 up: those are never refused. */
static void *gate(size_t size) {
    return size >= 32 && (size & (size - 1)) == 0 ? malloc(size) : b2_alloc(size);
}

void gate_jansson(void) {
    json_set_alloc_funcs(gate, b2_free);
}

/* jansson takes a text it had no memory for as a syntax error. */
void check_out_of_memory(blip2_status status, bool failed) {
    if (failed && status == BLIP2_EFORMAT)
        expect_message("not valid JSON");
    else
        ck_assert_msg(status == (failed ? BLIP2_ENOMEM : BLIP2_OK), "%s: %s",
                      blip2_status_name(status), blip2_error_message());
}
