#include "inputs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "base/status.h"

/* Takes path over. error may be NULL. */
static blip2_status add(b2_inputs *inputs, char *path, const char *error) {
    char *copy = error != NULL ? b2_strdup(error) : NULL;

    if (path == NULL || (error != NULL && copy == NULL))
        goto fail;
    if (inputs->count == inputs->capacity) {
        size_t capacity = b2_size_max(inputs->capacity * 2, 16);
        b2_input_name *names = b2_realloc_array(inputs->names, capacity, sizeof *inputs->names);

        if (names == NULL)
            goto fail;
        inputs->names = names;
        inputs->capacity = capacity;
    }
    inputs->names[inputs->count++] = (b2_input_name){path, copy};
    return BLIP2_OK;
fail:
    b2_free(path);
    b2_free(copy);
    return b2_fail_memory();
}

static bool has_picture_name(const char *name) {
    const char *dot = strrchr(name, '.');

    return dot != NULL && (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 ||
                           strcasecmp(dot, ".jpeg") == 0);
}

/* Does a regular file start as a PNG or JPEG file does? */
static bool has_picture_bytes(const char *path) {
    static const unsigned char png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    static const unsigned char jpeg[] = {0xFF, 0xD8, 0xFF};
    unsigned char start[sizeof png] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd < 0 ? -1 : read(fd, start, sizeof start);

    if (fd >= 0)
        (void)close(fd);
    return got >= 0 &&
           (memcmp(start, png, sizeof png) == 0 || memcmp(start, jpeg, sizeof jpeg) == 0);
}

/* What has a picture's name and cannot be looked at, such as a link to nothing, is one that will be
 * told; pipes and devices are none. */
static bool is_picture_file(const char *path, const char *name) {
    struct stat info;

    if (name[0] == '.')
        return false;
    if (stat(path, &info) != 0)
        return has_picture_name(name);
    return S_ISREG(info.st_mode) && (has_picture_name(name) || has_picture_bytes(path));
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const b2_input_name *)a)->path, ((const b2_input_name *)b)->path);
}

static blip2_status add_entries(b2_inputs *inputs, DIR *stream, const char *folder) {
    const struct dirent *entry;
    blip2_status status = BLIP2_OK;

    while (status == BLIP2_OK && (errno = 0, entry = readdir(stream)) != NULL) {
        char *path = b2_path_join(folder, entry->d_name);

        if (path != NULL && !is_picture_file(path, entry->d_name))
            b2_free(path);
        else
            status = add(inputs, path, NULL);
    }
    if (status == BLIP2_OK && errno != 0)
        status = add(inputs, b2_strdup(folder), strerror(errno));
    return status;
}

static blip2_status add_folder(b2_inputs *inputs, const char *operand) {
    size_t length = strlen(operand), first = inputs->count;
    DIR *stream = opendir(operand);
    char *folder;
    blip2_status status;

    if (stream == NULL)
        return add(inputs, b2_strdup(operand), strerror(errno));
    while (length > 1 && operand[length - 1] == '/')
        length--;
    if ((folder = b2_strndup(operand, length)) == NULL)
        status = b2_fail_memory();
    else
        status = add_entries(inputs, stream, folder);
    (void)closedir(stream);
    b2_free(folder);
    if (status < 0)
        return status;
    if (inputs->count == first)
        return add(inputs, b2_strdup(operand), "no PNG or JPEG file in this folder");
    qsort(inputs->names + first, inputs->count - first, sizeof *inputs->names, by_path);
    return BLIP2_OK;
}

static blip2_status add_matches(b2_inputs *inputs, const char *pattern) {
    glob_t found;
    blip2_status status = BLIP2_OK;
    int code = glob(pattern, 0, NULL, &found);

    if (code == GLOB_NOSPACE)
        status = b2_fail_memory();
    else if (code != 0)
        status = add(inputs, b2_strdup(pattern), "no file matches this pattern");
    for (size_t i = 0; code == 0 && status == BLIP2_OK && i < found.gl_pathc; i++)
        status = add(inputs, b2_strdup(found.gl_pathv[i]), NULL);
    globfree(&found);
    return status;
}

static blip2_status add_operand(b2_inputs *inputs, const char *operand) {
    struct stat info;
    bool found = stat(operand, &info) == 0;

    if (found && S_ISDIR(info.st_mode)) {
        inputs->many = true;
        return add_folder(inputs, operand);
    }
    if (!found && errno == ENOENT && strpbrk(operand, "*?[") != NULL) {
        inputs->many = true;
        return add_matches(inputs, operand);
    }
    return add(inputs, b2_strdup(operand), NULL);
}

blip2_status b2_inputs_expand(b2_inputs *out, char *const *operands, size_t count) {
    blip2_status status = BLIP2_OK;

    *out = (b2_inputs){.many = count > 1};
    for (size_t i = 0; i < count && status == BLIP2_OK; i++)
        status = add_operand(out, operands[i]);
    if (status < 0)
        b2_inputs_free(out);
    return status;
}

void b2_inputs_digest(const b2_inputs *inputs, b2_sha256 *sha) {
    for (size_t i = 0; i < inputs->count; i++) {
        const char *path = inputs->names[i].path;
        struct stat info = {0};
        int64_t known[3] = {0};

        if (stat(path, &info) == 0) {
            known[0] = info.st_size;
            known[1] = info.st_mtim.tv_sec;
            known[2] = info.st_mtim.tv_nsec;
        }
        b2_sha256_update(sha, path, strlen(path) + 1);
        b2_sha256_update(sha, known, sizeof known);
    }
}

void b2_inputs_free(b2_inputs *inputs) {
    for (size_t i = 0; i < inputs->count; i++) {
        b2_free(inputs->names[i].path);
        b2_free(inputs->names[i].error);
    }
    b2_free(inputs->names);
    *inputs = (b2_inputs){0};
}
