#define _DEFAULT_SOURCE /* madvise */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/size.h"

blip2_status b2_file_fail(const char *path, const char *what) {
    int code = errno;
    char reason[128];

    /* The GNU strerror_r would return a pointer; the POSIX one is asked for by _POSIX_C_SOURCE. */
    if (strerror_r(code, reason, sizeof reason) != 0)
        (void)snprintf(reason, sizeof reason, "error %d", code);
    return b2_fail(BLIP2_EIO, "%s: cannot %s: %s", path, what, reason);
}

/* Open a regular file and tell its size. */
static blip2_status open_regular(const char *path, int *out, size_t *size) {
    struct stat info;
    /* O_NONBLOCK: opening a FIFO must not hang; it has no effect on regular files. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return b2_file_fail(path, "open");
    if (fstat(fd, &info) != 0) {
        (void)b2_file_fail(path, "read");
        goto fail;
    }
    if (!S_ISREG(info.st_mode)) {
        (void)b2_fail(BLIP2_EIO, "%s: %s, expected a file", path,
                      S_ISDIR(info.st_mode) ? "is a directory" : "is not a regular file");
        goto fail;
    }
    *size = (size_t)info.st_size;
    *out = fd;
    return BLIP2_OK;
fail:
    (void)close(fd);
    return BLIP2_EIO;
}

blip2_status b2_file_map_open(b2_file_map *out, const char *path) {
    blip2_status status;
    size_t size;
    void *data = NULL;
    int fd;

    *out = (b2_file_map){0};
    if ((status = open_regular(path, &fd, &size)) < 0)
        return status;
    if (size > 0 && (data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) {
        status = b2_file_fail(path, "map");
    } else {
        out->data = data;
        out->size = size;
    }
    (void)close(fd);
    return status;
}

void b2_file_map_close(b2_file_map *map) {
    /* munmap wants a non-const pointer to what was mapped read-only. */
    if (map->data != NULL)
        (void)munmap((void *)(uintptr_t)map->data, map->size);
    *map = (b2_file_map){0};
}

void b2_file_map_forget(const b2_file_map *map, const void *data, size_t size) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)map->data;
    uintptr_t first = (uintptr_t)data, last = first + size;

    if (first < start || size > map->size || first - start > map->size - size)
        return;
    first = (first + page - 1) / page * page; /* whole pages only */
    last = last / page * page;
    if (last > first)
        (void)madvise((void *)first, last - first, MADV_DONTNEED);
}

blip2_status b2_file_read(uint8_t **out, size_t *size, const char *path, size_t max_size) {
    blip2_status status;
    uint8_t *data = NULL;
    size_t length, got = 0;
    int fd;

    *out = NULL;
    *size = 0;
    if ((status = open_regular(path, &fd, &length)) < 0)
        return status;
    if (length > max_size) {
        status = b2_fail(BLIP2_EFORMAT, "%s: file has %zu bytes, the limit is %zu", path, length,
                         max_size);
        goto out;
    }
    if ((data = b2_alloc(length + 1)) == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    while (got < length) {
        ssize_t n = read(fd, data + got, length - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            status = b2_file_fail(path, "read");
            goto out;
        }
        if (n == 0)
            break; /* cut short since fstat: what is there is judged by its parser */
        got += (size_t)n;
    }
    data[got] = 0;
    *out = data;
    *size = got;
    data = NULL;
out:
    b2_free(data);
    (void)close(fd);
    return status;
}

bool b2_file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

char *b2_path_join(const char *directory, const char *name) {
    size_t head = strlen(directory), tail = strlen(name);
    size_t slash = head > 0 && directory[head - 1] != '/' ? 1 : 0;
    char *path = b2_alloc(head + slash + tail + 1);

    if (path == NULL)
        return NULL;
    memcpy(path, directory, head);
    if (slash > 0)
        path[head] = '/';
    memcpy(path + head + slash, name, tail + 1);
    return path;
}

static void writer_forget(b2_file_writer *writer) {
    b2_free(writer->path);
    b2_free(writer->temporary);
    *writer = (b2_file_writer){0};
}

blip2_status b2_file_writer_open(b2_file_writer *out, const char *path) {
    static const char suffix[] = ".tmp-XXXXXX";
    size_t length = strlen(path);
    blip2_status status = BLIP2_OK;
    mode_t mask;
    int fd = -1;

    *out = (b2_file_writer){0};
    out->path = b2_strdup(path);
    out->temporary = b2_alloc(length + sizeof suffix);
    if (out->path == NULL || out->temporary == NULL) {
        status = b2_fail_memory();
        goto fail;
    }
    memcpy(out->temporary, path, length);
    memcpy(out->temporary + length, suffix, sizeof suffix);
    if ((fd = mkstemp(out->temporary)) < 0) {
        status = b2_file_fail(path, "create");
        goto fail;
    }
    /* mkstemp makes the file private; give it the mode that open() would have given. */
    mask = umask(0);
    (void)umask(mask);
    if (fchmod(fd, 0666 & ~mask) != 0 || (out->stream = fdopen(fd, "wb")) == NULL) {
        status = b2_file_fail(path, "create");
        (void)close(fd);
        (void)unlink(out->temporary);
        goto fail;
    }
    return BLIP2_OK;
fail:
    writer_forget(out);
    return status;
}

blip2_status b2_file_writer_write(b2_file_writer *writer, const void *data, size_t size) {
    errno = 0;
    if (fwrite(data, 1, size, writer->stream) == size)
        return BLIP2_OK;
    if (errno == 0)
        errno = EIO;
    return b2_file_fail(writer->path, "write");
}

blip2_status b2_file_writer_commit(b2_file_writer *writer) {
    FILE *stream = writer->stream;
    blip2_status status = BLIP2_OK;
    int failed;

    errno = 0;
    failed = ferror(stream) != 0 || fflush(stream) != 0 || fsync(fileno(stream)) != 0;
    if (failed && errno == 0)
        errno = EIO; /* an earlier write failed and its errno is gone */
    if (failed)
        status = b2_file_fail(writer->path, "write");
    if (fclose(stream) != 0 && status == BLIP2_OK)
        status = b2_file_fail(writer->path, "write");
    if (status == BLIP2_OK && rename(writer->temporary, writer->path) != 0)
        status = b2_file_fail(writer->path, "write");
    if (status != BLIP2_OK)
        (void)unlink(writer->temporary);
    writer_forget(writer);
    return status;
}

void b2_file_writer_abandon(b2_file_writer *writer) {
    if (writer->stream == NULL)
        return;
    (void)fclose(writer->stream);
    (void)unlink(writer->temporary);
    writer_forget(writer);
}

blip2_status b2_file_write(const char *path, const void *data, size_t size) {
    b2_file_writer writer;
    blip2_status status = b2_file_writer_open(&writer, path);

    if (status < 0)
        return status;
    if ((status = b2_file_writer_write(&writer, data, size)) == BLIP2_OK)
        return b2_file_writer_commit(&writer);
    b2_file_writer_abandon(&writer);
    return status;
}
