/* The file of an index: safetensors, so that any program can read it.
 *
 *   sizes, times  I64 [N]        of the picture's file: bytes, nanoseconds of its last change
 *   path_ends     I64 [N]        where each path ends in `paths`, behind its zero
 *   vectors       F32|F16 [N, Q, W]  the projected queries, of unit length
 *   pixels        U8 [N, 32]     SHA-256 of size and pixels (image/image.h)
 *   paths         U8 [bytes]     each with a zero behind it
 *
 * and in the metadata "format" = "blip2 index", "version" = "1", "model" = what made the vectors.
 * N: pictures, Q: learned queries, W: width of the contrast heads. */
#ifndef B2_INDEX_FILE_H
#define B2_INDEX_FILE_H
#include "load/safetensors.h"
#include "model/model.h"

enum { B2_INDEX_MODEL = 128 }; /* bytes of a model's name, its zero included */

typedef struct b2_index_file {
    char *name; /* as it was opened */
    b2_file_map map;
    b2_tensor_list list;
    char model[B2_INDEX_MODEL];
    b2_type type;                 /* of vectors: F32 or F16 */
    size_t count, queries, width; /* N > 0, Q > 0, W > 0 */
    const int64_t *sizes, *times; /* [N] */
    const int64_t *path_ends;     /* [N] */
    const char *paths;            /* [path_ends[N - 1]] */
    const uint8_t *vectors;       /* [N, Q, W] of type */
    const uint8_t *pixels;        /* [N, 32] */
} b2_index_file;

/* EIO; EFORMAT with the file and what is wrong. */
blip2_status b2_index_file_open(b2_index_file *out, const char *path);
void b2_index_file_close(b2_index_file *file); /* all zero is allowed */
const char *b2_index_file_path(const b2_index_file *file, size_t picture);
/* Bytes of a picture's vectors. */
static inline size_t b2_index_file_stride(const b2_index_file *file) {
    return file->queries * file->width * b2_type_size(file->type);
}

/* EFORMAT: the picture's vectors are no numbers. */
blip2_status b2_index_file_broken(const b2_index_file *file, size_t picture);

/* What vectors of a model are told by: its name and the first digits of its digest. */
blip2_status b2_index_model(char out[B2_INDEX_MODEL], const blip2_model *model);
/* EINVAL, with both named: the vectors are another model's. */
blip2_status b2_index_file_check(const b2_index_file *file, const blip2_model *model);

/* One picture that is written. */
typedef struct b2_index_row {
    const char *path;
    int64_t size, time;
    const uint8_t *vectors; /* [Q, W] of the file's type */
    const uint8_t *pixels;  /* [32] */
} b2_index_row;

typedef struct b2_index_shape {
    char model[B2_INDEX_MODEL];
    b2_type type;
    size_t queries, width;
} b2_index_shape;

/* count rows, at least one. The file appears complete or not at all. */
blip2_status b2_index_file_write(const char *path, const b2_index_shape *shape,
                                 const b2_index_row *rows, size_t count);

#endif
