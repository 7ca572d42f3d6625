/* A work folder: the finished parts (part.h) of one long job, which goes on from them when it is
 * started again.
 *
 *     job.safetensors                  no tensors: whose folder it is, written first
 *     KIND-00000012.safetensors        part number 12 of a kind
 *     lock                             held while a job works here, by the system
 */
#ifndef B2_WORK_H
#define B2_WORK_H
#include "load/part.h"

typedef struct b2_work {
    char *directory; /* NULL: no folder, nothing is kept */
    b2_part_key key;
    int lock; /* file descriptor */
} b2_work;

/* Take the folder, made if it is not there (its parents must be). EINVAL: it belongs to another
 * job, or another one works there, or it holds other files and no job; EFORMAT, EIO. */
blip2_status b2_work_open(b2_work *out, const char *directory, const b2_part_key *key);
void b2_work_close(b2_work *work); /* all zero is allowed */

/* Where part `number` of a kind is or would be; yours to b2_free, NULL when out of memory. */
char *b2_work_path(const b2_work *work, const char *kind, size_t number);
/* Keep part `number` of a kind, as b2_part_write does. Nothing without a folder. */
blip2_status b2_work_write(const b2_work *work, const char *kind, size_t number,
                           const b2_tensor_shape *tensors, size_t count, const void *const *data);
/* Open it, as b2_part_open does; *found is false and out empty if it is not there. The message
 * about one that is refused names the folder and says what to do. */
blip2_status b2_work_read(const b2_work *work, const char *kind, size_t number,
                          const b2_tensor_shape *expected, size_t count, b2_part *out, bool *found);
/* EFORMAT with such a message: what a part holds cannot be. */
blip2_status b2_work_damaged(const b2_work *work, const char *kind, size_t number, const char *why);

#endif
