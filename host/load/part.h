/* What long work has finished, on disk: one safetensors file a part, which says what it belongs to
 * and is believed only if it does. A part is written under another name, synced and renamed, so it
 * is whole or not there. Its metadata:
 *
 *     "blip2": "part 1"                     the version of this format
 *     "model", "options", "inputs": SHA-256 the key
 *     "sha256": SHA-256                     of the data
 *     "note": text                          the writer's own, where it has one
 */
#ifndef B2_PART_H
#define B2_PART_H
#include "base/file.h"
#include "base/sha256.h"
#include "load/safetensors_write.h"
#include "load/tensors.h"

enum { B2_PART_TENSORS = 8 }; /* the most of one part */

/* What results depend on, each as SHA-256 in hexadecimal digits. */
typedef struct b2_part_key {
    char model[B2_SHA256_HEX];   /* checkpoint and preprocessing (blip2_model_digest) */
    char options[B2_SHA256_HEX]; /* whatever else changes numbers */
    char inputs[B2_SHA256_HEX];  /* pictures and texts, by name or content */
} b2_part_key;

typedef struct b2_part {
    b2_tensor tensors[B2_PART_TENSORS]; /* in the order asked for; data aligned to 8 bytes or not */
    char *note;                         /* NULL: none */
    b2_file_map map;
    b2_tensor_list list;
} b2_part;

/* data[i]: that of tensors[i]. EFORMAT if a number is not finite. */
blip2_status b2_part_write(const char *path, const b2_part_key *key, const char *note,
                           const b2_tensor_shape *tensors, size_t count, const void *const *data);

/* Open a part that has exactly these tensors; a dimension of -1 stands for any. Refused are, as
 * EINVAL, a part of another model, other options or other inputs, and as EFORMAT a file that is
 * none, is cut short, has other tensors, other data than were written, or numbers that are not
 * finite. quick: data are not looked at, only their place; for large files of one's own. */
blip2_status b2_part_open(b2_part *out, const char *path, const b2_part_key *key,
                          const b2_tensor_shape *expected, size_t count, bool quick);
void b2_part_close(b2_part *part); /* all zero is allowed */

#endif
