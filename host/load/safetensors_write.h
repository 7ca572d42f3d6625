/* Writing safetensors: the shapes are known first, the data come piece by piece from a callback, so
 * that a model larger than memory can be written. Files appear complete or not at all. */
#ifndef B2_SAFETENSORS_WRITE_H
#define B2_SAFETENSORS_WRITE_H
#include "load/weights.h"

typedef struct b2_tensor_shape {
    const char *name; /* printable ASCII without '"' and '\\' */
    b2_type type;
    uint32_t rank;
    int64_t dim[B2_MAX_RANK];
} b2_tensor_shape;

/* Put elements first .. first + count - 1 of tensor `index` into data [count] of the tensor's type.
 * Called in file order. A failure stops the writing and is passed on. */
typedef blip2_status (*b2_tensor_fill)(void *payload, size_t index, size_t first, size_t count,
                                       void *data);

/* One file of count tensors in this order. metadata: a JSON object of texts; NULL: {"format":"pt"},
 * as torch's files have it. EINVAL for a name or shape that the format does not allow,
 * EIO if it cannot be written. */
blip2_status b2_safetensors_write(const char *path, const b2_tensor_shape *tensors, size_t count,
                                  const char *metadata, b2_tensor_fill fill, void *payload);

/* What save_pretrained writes into an existing folder: model.safetensors, or, where shard_bytes of
 * data are not enough, model-00001-of-0000N.safetensors ... and then the index. */
blip2_status b2_safetensors_write_folder(const char *directory, const b2_tensor_shape *tensors,
                                         size_t count, uint64_t shard_bytes, b2_tensor_fill fill,
                                         void *payload);

#endif
