#include "base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Nothing there is as good as an empty folder; rename replaces both. */
static blip2_status check_free(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (folder == NULL)
        return errno == ENOENT ? BLIP2_OK : b2_file_fail(path, "write");
    do {
        entry = readdir(folder);
    } while (entry != NULL && is_dots(entry->d_name));
    (void)closedir(folder);
    return entry == NULL ? BLIP2_OK
                         : b2_fail(BLIP2_EIO, "cannot write %s: it is there and not empty", path);
}

/* A folder and what is in it, folders in folders as deep as `depth`. */
static void remove_folder(const char *path, int depth) {
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char *inside = is_dots(entry->d_name) ? NULL : b2_path_join(path, entry->d_name);

        if (inside != NULL && unlink(inside) != 0 && depth > 0)
            remove_folder(inside, depth - 1);
        b2_free(inside);
    }
    if (folder != NULL)
        (void)closedir(folder);
    (void)rmdir(path);
}

static void forget(b2_folder_writer *writer) {
    b2_free(writer->path);
    b2_free(writer->temporary);
    *writer = (b2_folder_writer){0};
}

/* mkdtemp makes it private; give it the mode that mkdir would have given. */
static bool make_temporary(char *path) {
    mode_t mask = umask(0);

    (void)umask(mask);
    if (mkdtemp(path) == NULL)
        return false;
    if (chmod(path, 0777 & ~mask) == 0)
        return true;
    (void)rmdir(path);
    return false;
}

blip2_status b2_folder_writer_open(b2_folder_writer *out, const char *path) {
    static const char suffix[] = ".tmp-XXXXXX";
    size_t length = strlen(path);
    blip2_status status;

    while (length > 1 && path[length - 1] == '/')
        length--;
    *out = (b2_folder_writer){.path = b2_strndup(path, length),
                              .temporary = b2_alloc(length + sizeof suffix)};
    if (out->path == NULL || out->temporary == NULL) {
        status = b2_fail_memory();
        goto fail;
    }
    if ((status = check_free(out->path)) < 0)
        goto fail;
    memcpy(out->temporary, path, length);
    memcpy(out->temporary + length, suffix, sizeof suffix);
    if (make_temporary(out->temporary))
        return BLIP2_OK;
    status = b2_file_fail(out->path, "make");
fail:
    forget(out);
    return status;
}

blip2_status b2_folder_writer_sub(const b2_folder_writer *writer, const char *name, char **out) {
    *out = b2_path_join(writer->temporary, name);
    if (*out == NULL)
        return b2_fail_memory();
    if (mkdir(*out, 0777) == 0)
        return BLIP2_OK;
    b2_free(*out);
    *out = NULL;
    return b2_file_fail(writer->path, "write");
}

blip2_status b2_folder_writer_commit(b2_folder_writer *writer) {
    blip2_status status = BLIP2_OK;

    if (rename(writer->temporary, writer->path) != 0) {
        status = b2_file_fail(writer->path, "write");
        remove_folder(writer->temporary, 1);
    }
    forget(writer);
    return status;
}

void b2_folder_writer_abandon(b2_folder_writer *writer) {
    if (writer->temporary == NULL)
        return;
    remove_folder(writer->temporary, 1);
    forget(writer);
}
