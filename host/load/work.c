#include "load/work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text_buffer.h"

static const char job_name[] = "job.safetensors", lock_name[] = "lock";
static const char part_remedy[] = "remove this file, and it is made again";

/* ---- the folder --------------------------------------------------------------------------- */

/* One job at a time; the system lets go of the lock however the process ends. */
static blip2_status take_lock(b2_work *work) {
    char *path = b2_path_join(work->directory, lock_name);
    blip2_status status = BLIP2_OK;

    if (path == NULL)
        return b2_fail_memory();
    if ((work->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        status = b2_file_fail(path, "open");
    else if (!b2_file_lock(work->lock))
        status = errno == EACCES || errno == EAGAIN
                     ? b2_fail(BLIP2_EINVAL, "%s: another job works in this folder just now",
                               work->directory)
                     : b2_file_fail(path, "lock");
    b2_free(path);
    return status;
}

/* The message about a file, with its folder in front and what to do behind. */
static blip2_status complete_message(const b2_work *work, blip2_status status, const char *remedy) {
    char *why = b2_strdup(blip2_error_message());

    status =
        why != NULL ? b2_fail(status, "%s/%s; %s", work->directory, why, remedy) : b2_fail_memory();
    b2_free(why);
    return status;
}

/* What a process that was killed was about to rename. Under the lock, nobody else is. */
static bool is_leftover(const char *name) {
    const char *at = strstr(name, ".safetensors.tmp-");

    return at != NULL && strlen(at) == strlen(".safetensors.tmp-XXXXXX");
}

/* *others: files that no job of ours has. */
static blip2_status look_around(const b2_work *work, bool *others) {
    DIR *stream = opendir(work->directory);
    const struct dirent *entry;
    blip2_status status = BLIP2_OK;

    *others = false;
    if (stream == NULL)
        return b2_file_fail(work->directory, "open");
    while (status == BLIP2_OK && (entry = readdir(stream)) != NULL) {
        const char *name = entry->d_name;
        char *path;

        if (is_leftover(name)) {
            path = b2_path_join(work->directory, name);
            status = path != NULL ? BLIP2_OK : b2_fail_memory();
            if (path != NULL)
                (void)unlink(path);
            b2_free(path);
        } else if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
                   strcmp(name, lock_name) != 0) {
            *others = true;
        }
    }
    (void)closedir(stream);
    return status;
}

/* A new folder gets the job's file, a known one must have it. */
static blip2_status check_job(const b2_work *work) {
    char *path = b2_path_join(work->directory, job_name);
    bool others;
    b2_part job;
    blip2_status status;

    if (path == NULL)
        return b2_fail_memory();
    if (!b2_file_exists(path)) {
        if ((status = look_around(work, &others)) == BLIP2_OK)
            status = others ? b2_fail(BLIP2_EINVAL,
                                      "%s: holds other files; name a folder that is empty or not "
                                      "there yet",
                                      work->directory)
                            : b2_part_write(path, &work->key, NULL, NULL, 0, NULL);
    } else if ((status = b2_part_open(&job, path, &work->key, NULL, 0, false)) == BLIP2_OK) {
        b2_part_close(&job);
        status = look_around(work, &others);
    } else if (status == BLIP2_EINVAL) {
        /* Which of the three differs is in the message; say whose file that is. */
        status = complete_message(work, status, "name another folder for another job");
    } else if (status == BLIP2_EFORMAT) {
        status = complete_message(work, status, "remove the folder to begin anew");
    }
    b2_free(path);
    return status;
}

blip2_status b2_work_open(b2_work *out, const char *directory, const b2_part_key *key) {
    blip2_status status;

    *out = (b2_work){.directory = b2_strdup(directory), .key = *key, .lock = -1};
    if (out->directory == NULL)
        return b2_fail_memory();
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        status = b2_file_fail(directory, "make the folder");
    else if ((status = take_lock(out)) == BLIP2_OK)
        status = check_job(out);
    if (status < 0)
        b2_work_close(out);
    return status;
}

void b2_work_close(b2_work *work) {
    if (work->directory != NULL && work->lock >= 0)
        (void)close(work->lock);
    b2_free(work->directory);
    *work = (b2_work){0};
}

/* ---- parts -------------------------------------------------------------------------------- */

char *b2_work_path(const b2_work *work, const char *kind, size_t number) {
    b2_text_buffer path = {0};
    char *out;

    b2_text_appendf(&path, "%s/%s-%08zu.safetensors", work->directory, kind, number);
    out = b2_text_take(&path);
    b2_text_free(&path);
    return out;
}

blip2_status b2_work_write(const b2_work *work, const char *kind, size_t number,
                           const b2_tensor_shape *tensors, size_t count, const void *const *data) {
    char *path;
    blip2_status status;

    if (work->directory == NULL)
        return BLIP2_OK;
    if ((path = b2_work_path(work, kind, number)) == NULL)
        return b2_fail_memory();
    status = b2_part_write(path, &work->key, NULL, tensors, count, data);
    b2_free(path);
    return status;
}

blip2_status b2_work_read(const b2_work *work, const char *kind, size_t number,
                          const b2_tensor_shape *expected, size_t count, b2_part *out,
                          bool *found) {
    char *path;
    blip2_status status = BLIP2_OK;

    *out = (b2_part){0};
    *found = false;
    if (work->directory == NULL)
        return BLIP2_OK;
    if ((path = b2_work_path(work, kind, number)) == NULL)
        return b2_fail_memory();
    if (b2_file_exists(path)) {
        *found = true;
        status = b2_part_open(out, path, &work->key, expected, count, false);
        if (status == BLIP2_EFORMAT || status == BLIP2_EINVAL)
            status = complete_message(work, status, part_remedy);
    }
    b2_free(path);
    return status;
}

blip2_status b2_work_damaged(const b2_work *work, const char *kind, size_t number,
                             const char *why) {
    return b2_fail(BLIP2_EFORMAT, "%s/%s-%08zu.safetensors: %s; %s", work->directory, kind, number,
                   why, part_remedy);
}
