#include "altered_case.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void set_up_copies(void) {
    make_folder();
    link_file("models", GOLDEN "/models");
    link_file("images", GOLDEN "/images");
    link_file("pre_images", GOLDEN "/pre_images");
}

void tear_down_copies(void) {
    remove_folder();
}

static void *read_whole(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    char *data;

    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    data = malloc(*size + 1);
    ck_assert_ptr_nonnull(data);
    ck_assert_uint_eq(fread(data, 1, *size, file), *size);
    data[*size] = '\0';
    (void)fclose(file);
    return data;
}

static void write_whole(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");

    ck_assert_msg(file != NULL, "%s cannot be written", path);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static void for_each_file(const char *folder,
                          void (*fn)(const char *path, const char *name, const altered_case *c),
                          const altered_case *c) {
    DIR *stream = opendir(folder);
    const struct dirent *entry;

    ck_assert_msg(stream != NULL, "%s cannot be opened", folder);
    while ((entry = readdir(stream)) != NULL) {
        char path[2048];

        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.')
            fn(path, entry->d_name, c);
    }
    (void)closedir(stream);
}

static void copy_file(const char *path, const char *name, const altered_case *c) {
    char to[2048];
    size_t size;
    void *data = read_whole(path, &size);

    (void)snprintf(to, sizeof to, "%s/%s", c->path, name);
    write_whole(to, data, size);
    free(data);
}

static void remove_file(const char *path, const char *name, const altered_case *c) {
    (void)name;
    (void)c;
    ck_assert_int_eq(unlink(path), 0);
}

void copy_case(altered_case *c, const char *name) {
    char from[1024];
    json_error_t error;

    *c = (altered_case){0};
    (void)snprintf(c->path, sizeof c->path, "%s", in_folder("case"));
    ck_assert_int_eq(mkdir(c->path, 0777), 0);
    (void)snprintf(from, sizeof from, "%s/%s", GOLDEN, name);
    for_each_file(from, copy_file, c);
    (void)snprintf(from, sizeof from, "%s/case.json", c->path);
    c->json = json_load_file(from, JSON_ALLOW_NUL, &error);
    ck_assert_msg(c->json != NULL, "%s: %s", name, error.text);
}

void replace_file(altered_case *c, const char *name, const char *golden_file) {
    char path[1024];

    (void)snprintf(path, sizeof path, "%s/%s", GOLDEN, golden_file);
    copy_file(path, name, c);
}

static float change_element(altered_case *c, const char *tensor, long index, float factor,
                            float term) {
    char path[1024];
    size_t size, begin, count;
    uint64_t header;
    unsigned char *data;
    float old, new;
    json_t *json, *offsets;

    (void)snprintf(path, sizeof path, "%s/expect.safetensors", c->path);
    data = read_whole(path, &size);
    memcpy(&header, data, sizeof header);
    json = json_loadb((const char *)data + 8, header, 0, NULL);
    offsets = json_object_get(json_object_get(json, tensor), "data_offsets");
    begin = 8 + header + (size_t)json_integer_value(json_array_get(offsets, 0));
    count = (8 + header + (size_t)json_integer_value(json_array_get(offsets, 1)) - begin) / 4;
    ck_assert_msg(count > 0, "no tensor %s", tensor);
    begin += 4 * (index < 0 ? count - (size_t)-index : (size_t)index);
    memcpy(&old, data + begin, 4);
    new = old *factor + term;
    memcpy(data + begin, &new, 4);
    write_whole(path, data, size);
    json_decref(json);
    free(data);
    return old;
}

float set_element(altered_case *c, const char *tensor, long index, float value) {
    return change_element(c, tensor, index, 0, value);
}

float add_to_element(altered_case *c, const char *tensor, long index, float change) {
    return change_element(c, tensor, index, 1, change);
}

void verify_altered(altered_case *c) {
    char path[1024];
    json_t **lines;
    size_t count;

    (void)snprintf(path, sizeof path, "%s/case.json", c->path);
    ck_assert_int_eq(json_dump_file(c->json, path, 0), 0);
    RUN(&c->ran, "verify", "--json", c->path);
    lines = parse_lines(c->ran.out, &count);
    json_decref(c->line);
    c->line = count == 2 ? json_incref(lines[0]) : NULL;
    free_lines(lines, count);
}

void drop_case(altered_case *c) {
    for_each_file(c->path, remove_file, c);
    ck_assert_int_eq(rmdir(c->path), 0);
    json_decref(c->json);
    json_decref(c->line);
}

void expect_verdict(altered_case *c, const char *status, const char *about) {
    const char *got, *reason;

    verify_altered(c);
    got = json_string_value(json_object_get(c->line, "status"));
    reason = json_string_value(json_object_get(c->line, "reason"));
    ck_assert_msg(got != NULL && strcmp(got, status) == 0 && strstr(reason, about) != NULL &&
                      c->ran.code == (strcmp(status, "fail") == 0 ? 1 : 0),
                  "%s: expected %s about '%s', got code %d, output '%s', errors '%s'",
                  json_string_value(json_object_get(c->json, "name")), status, about, c->ran.code,
                  c->ran.out, c->ran.err);
}

json_t **parse_lines(const char *text, size_t *count) {
    json_t **lines = calloc(count_lines(text) + 1, sizeof(json_t *));

    ck_assert_ptr_nonnull(lines);
    for (*count = 0; *text != '\0'; (*count)++) {
        size_t length = strcspn(text, "\n");

        ck_assert_msg(text[length] == '\n', "the last line has no end: '%s'", text);
        lines[*count] = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(lines[*count] != NULL, "no JSON: '%.*s'", (int)length, text);
        text += length + 1;
    }
    return lines;
}

void free_lines(json_t **lines, size_t count) {
    for (size_t i = 0; i < count; i++)
        json_decref(lines[i]);
    free(lines);
}
