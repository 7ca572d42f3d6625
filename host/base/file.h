/* Files as the loaders want them: mapped read-only when large (weights), read whole when small
 * (JSON, pictures), written under a temporary name and renamed when complete. */
#ifndef B2_FILE_H
#define B2_FILE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

typedef struct b2_file_map {
    const uint8_t *data; /* [size], read-only; NULL when size is 0 */
    size_t size;         /* bytes */
} b2_file_map;

/* EIO "cannot open PATH: no such file ...", by errno. */
blip2_status b2_file_fail(const char *path, const char *what);

/* Map a regular file. EIO with the path and the reason if it cannot be opened, is a folder or no
 * regular file. The mapping is private: a file cut short by others while mapped raises SIGBUS, as
 * with every mapped model. */
blip2_status b2_file_map_open(b2_file_map *out, const char *path);
void b2_file_map_close(b2_file_map *map);
/* These bytes of the map are not needed soon: their pages may go, and come back when read. Nothing
 * happens for bytes that are not all of the map. */
void b2_file_map_forget(const b2_file_map *map, const void *data, size_t size);

bool b2_file_exists(const char *path); /* of any kind */

/* Read a whole regular file of at most max_size bytes (checked before memory is asked for). *out is
 * yours to b2_free; one zero byte follows the data. EIO, or EFORMAT when the file is too large. */
blip2_status b2_file_read(uint8_t **out, size_t *size, const char *path, size_t max_size);

/* Lock a file that is open for writing, all of it, until it is closed or the process ends. False
 * with errno if it cannot be; EACCES or EAGAIN: another has the lock. Another is whoever opened the
 * file, in this process too; where the system has locks of processes only, another process, and
 * then closing any descriptor of the file lets go of it. */
bool b2_file_lock(int fd);

/* "directory/name"; NULL when out of memory. Yours to b2_free. */
char *b2_path_join(const char *directory, const char *name);

/* A file being written: bytes go to "path.tmp-XXXXXX" in the same folder; commit flushes, syncs and
 * renames it to path, so that path is never half-written. */
typedef struct b2_file_writer {
    FILE *stream; /* may be written with stdio too; commit reports what failed */
    char *path, *temporary;
} b2_file_writer;
blip2_status b2_file_writer_open(b2_file_writer *out, const char *path);
/* EIO with the reason at once (a full disk), so that a long write can stop early. */
blip2_status b2_file_writer_write(b2_file_writer *writer, const void *data, size_t size);
blip2_status b2_file_writer_commit(b2_file_writer *writer); /* closes in any case */
void b2_file_writer_abandon(b2_file_writer *writer);        /* removes the temporary file */

/* Write a text file whole. */
blip2_status b2_file_write(const char *path, const void *data, size_t size);

#endif
