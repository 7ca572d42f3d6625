#include "base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

/* What is in a folder goes, folders in folders as deep as `depth`. Asks for no memory of ours: that
 * may be what has run out. The descriptor is closed. */
static void empty_folder(int descriptor, int depth) {
    DIR *folder = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    struct dirent *entry;

    if (folder == NULL) {
        if (descriptor >= 0)
            (void)close(descriptor);
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (is_dots(entry->d_name) || unlinkat(descriptor, entry->d_name, 0) == 0 || depth == 0)
            continue;
        empty_folder(openat(descriptor, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
                     depth - 1);
        (void)unlinkat(descriptor, entry->d_name, AT_REMOVEDIR);
    }
    (void)closedir(folder);
}

static void remove_folder(const char *path) {
    empty_folder(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), 1);
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
        remove_folder(writer->temporary);
    }
    forget(writer);
    return status;
}

void b2_folder_writer_abandon(b2_folder_writer *writer) {
    if (writer->temporary == NULL)
        return;
    remove_folder(writer->temporary);
    forget(writer);
}
