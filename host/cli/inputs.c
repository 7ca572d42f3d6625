#include "inputs.h"

#include <ctype.h>
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
    inputs->names[inputs->count++] = (b2_input_name){.path = path, .error = copy};
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

/* A run of digits without its leading zeros. */
static size_t number_at(const char **text) {
    *text += strspn(*text, "0");
    return strspn(*text, "0123456789");
}

/* 2.png before 10.png. */
static int by_numbers(const void *a, const void *b) {
    const char *x = ((const b2_input_name *)a)->path, *y = ((const b2_input_name *)b)->path;

    while (*x != '\0' && *y != '\0') {
        if (isdigit((unsigned char)*x) && isdigit((unsigned char)*y)) {
            size_t n = number_at(&x), m = number_at(&y);
            int order = n != m ? (n < m ? -1 : 1) : strncmp(x, y, n);

            if (order != 0)
                return order;
            x += n;
            y += n;
        } else if (*x != *y) {
            break;
        } else {
            x++;
            y++;
        }
    }
    return *x != *y ? ((unsigned char)*x < (unsigned char)*y ? -1 : 1) : by_path(a, b);
}

static void sort(b2_inputs *inputs, size_t first) {
    if (inputs->count > first)
        qsort(inputs->names + first, inputs->count - first, sizeof *inputs->names, inputs->compare);
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
    sort(inputs, first);
    return BLIP2_OK;
}

static blip2_status add_matches(b2_inputs *inputs, const char *pattern) {
    glob_t found;
    size_t first = inputs->count;
    blip2_status status = BLIP2_OK;
    int code = glob(pattern, GLOB_NOSORT, NULL, &found);

    if (code == GLOB_NOSPACE)
        status = b2_fail_memory();
    else if (code != 0)
        status = add(inputs, b2_strdup(pattern), "no file matches this pattern");
    for (size_t i = 0; code == 0 && status == BLIP2_OK && i < found.gl_pathc; i++)
        status = add(inputs, b2_strdup(found.gl_pathv[i]), NULL);
    globfree(&found);
    sort(inputs, first);
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

static blip2_status expand(b2_inputs *out, char *const *operands, size_t count,
                           int (*compare)(const void *a, const void *b)) {
    blip2_status status = BLIP2_OK;

    *out = (b2_inputs){.many = count > 1, .compare = compare};
    for (size_t i = 0; i < count && status == BLIP2_OK; i++)
        status = add_operand(out, operands[i]);
    if (status < 0)
        b2_inputs_free(out);
    return status;
}

blip2_status b2_inputs_expand(b2_inputs *out, char *const *operands, size_t count) {
    return expand(out, operands, count, by_path);
}

/* The first name that gives no picture; NULL: none. */
static const b2_input_name *find_error(const b2_inputs *inputs) {
    for (size_t i = 0; i < inputs->count; i++)
        if (inputs->names[i].error != NULL)
            return &inputs->names[i];
    return NULL;
}

blip2_status b2_inputs_expand_video(b2_inputs *out, char *const *operands, size_t count) {
    b2_inputs *frames = b2_calloc(1, sizeof *frames);
    const b2_input_name *bad;
    blip2_status status;

    *out = (b2_inputs){0};
    if (frames == NULL)
        return b2_fail_memory();
    if ((status = expand(frames, operands, count, by_numbers)) == BLIP2_OK) {
        bad = find_error(frames);
        status = add(out, b2_strdup(bad != NULL ? bad->path : operands[0]),
                     bad != NULL ? bad->error : NULL);
    }
    if (status == BLIP2_OK && bad == NULL) {
        out->names[0].frames = frames;
        return BLIP2_OK;
    }
    b2_inputs_free(frames);
    b2_free(frames);
    return status;
}

static blip2_status open_video(blip2_image **out, const b2_inputs *frames) {
    blip2_image **images = b2_calloc(frames->count, sizeof *images);
    blip2_status status = images != NULL ? BLIP2_OK : b2_fail_memory();

    *out = NULL;
    for (size_t i = 0; i < frames->count && status == BLIP2_OK; i++)
        status = blip2_image_open(&images[i], frames->names[i].path, NULL);
    if (status == BLIP2_OK)
        status = blip2_image_from_frames(out, (const blip2_image *const *)images, frames->count);
    for (size_t i = 0; i < frames->count && images != NULL; i++)
        blip2_image_free(images[i]);
    b2_free(images);
    return status;
}

blip2_status b2_input_open(blip2_image **out, const b2_input_name *name) {
    return name->frames != NULL ? open_video(out, name->frames)
                                : blip2_image_open(out, name->path, NULL);
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
        if (inputs->names[i].frames != NULL)
            b2_inputs_free(inputs->names[i].frames);
        b2_free(inputs->names[i].frames);
    }
    b2_free(inputs->names);
    *inputs = (b2_inputs){0};
}
