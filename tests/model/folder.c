#include "folder.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "run.h"

static char folder[64];

static void replace(const char *from, const char *to, const char *before, const char *after) {
    b2_file_writer writer;
    uint8_t *text;
    size_t size;
    char *at;

    ck_assert_status_ok(b2_file_read(&text, &size, from, 1 << 20));
    at = strstr((char *)text, before);
    ck_assert_msg(at != NULL, "config.json has no %s", before);
    ck_assert_status_ok(b2_file_writer_open(&writer, to));
    fwrite(text, 1, (size_t)(at - (char *)text), writer.stream);
    fputs(after, writer.stream);
    fputs(at + strlen(before), writer.stream);
    ck_assert_status_ok(b2_file_writer_commit(&writer));
    b2_free(text);
}

const char *make_folder(const char *model, const char *before, const char *after) {
    DIR *stream = opendir(model);
    const struct dirent *entry;

    temporary_path(folder, sizeof folder, "model-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL) {
        char *from = b2_path_join(model, entry->d_name), *to = b2_path_join(folder, entry->d_name);

        if (strcmp(entry->d_name, "config.json") == 0)
            replace(from, to, before, after);
        else if (entry->d_name[0] != '.')
            ck_assert_int_eq(symlink(from, to), 0);
        b2_free(from);
        b2_free(to);
    }
    (void)closedir(stream);
    return folder;
}

void remove_folder(void) {
    DIR *stream = opendir(folder);
    const struct dirent *entry;

    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL) {
        char *path = b2_path_join(folder, entry->d_name);

        if (entry->d_name[0] != '.')
            ck_assert_int_eq(unlink(path), 0);
        b2_free(path);
    }
    (void)closedir(stream);
    ck_assert_int_eq(rmdir(folder), 0);
}
