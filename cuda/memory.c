#include <string.h>

#include "base/size.h"
#include "gpu.h"

/* ---- staging ------------------------------------------------------------------------------ */

blip2_status b2_staging_open(b2_cuda *cuda) {
    b2_staging *s = &cuda->staging;
    void *memory = NULL;
    cudaError_t error = cudaMallocHost(&memory, 2 * (size_t)B2_STAGING_BYTES);

    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        return b2_fail(BLIP2_ENOMEM, "cuda: no %d bytes of page-locked memory",
                       2 * B2_STAGING_BYTES);
    }
    s->memory = memory;
    for (int i = 0; i < 2 && error == cudaSuccess; i++)
        error = cudaEventCreateWithFlags(&s->sent[i], cudaEventDisableTiming);
    return b2_cuda_check(cuda, error, "making staging memory");
}

void b2_staging_close(b2_cuda *cuda) {
    for (int i = 0; i < 2; i++)
        if (cuda->staging.sent[i] != NULL)
            (void)cudaEventDestroy(cuda->staging.sent[i]);
    (void)cudaFreeHost(cuda->staging.memory);
}

/* Up to `wanted` bytes at *at; *room says how many, at least 256. They are free to be written. */
static blip2_status stage(b2_cuda *cuda, size_t wanted, char **at, size_t *room) {
    b2_staging *s = &cuda->staging;
    blip2_status status;

    if (s->used == B2_STAGING_BYTES) {
        status = b2_cuda_check(cuda, cudaEventRecord(s->sent[s->half], cuda->stream),
                               "recording a copy");
        if (status < 0)
            return status;
        s->busy[s->half] = true;
        s->half = 1 - s->half;
        s->used = 0;
        if (s->busy[s->half]) {
            status =
                b2_cuda_check(cuda, cudaEventSynchronize(s->sent[s->half]), "waiting for a copy");
            if (status < 0)
                return status;
            s->busy[s->half] = false;
        }
    }
    *at = s->memory + (size_t)s->half * B2_STAGING_BYTES + s->used;
    *room = b2_size_min(wanted, B2_STAGING_BYTES - s->used);
    s->used += (*room + 255) & ~(size_t)255;
    return BLIP2_OK;
}

/* to [count] = from [count], in pieces that pass through float where types differ. */
static void convert(void *to, b2_type to_type, b2_type via, const char *from, b2_type from_type,
                    size_t count) {
    float piece[256];
    unsigned char rounded[sizeof piece];

    if (to_type == from_type && via == from_type) {
        memcpy(to, from, count * b2_type_size(to_type));
        return;
    }
    for (size_t done = 0; done < count; done += 256) {
        size_t n = b2_size_min(256, count - done);

        b2_to_f32(piece, from + done * b2_type_size(from_type), from_type, n);
        b2_from_f32(rounded, via, piece, n);
        b2_to_f32(piece, rounded, via, n);
        b2_from_f32((char *)to + done * b2_type_size(to_type), to_type, piece, n);
    }
}

blip2_status b2_cuda_send_floats(b2_cuda *cuda, void *to, b2_type to_type, b2_type via,
                                 const void *from, b2_type from_type, size_t count) {
    size_t size = b2_type_size(to_type);

    if (cuda->capturing)
        return b2_cuda_refuse(cuda, "sends memory of the host, which a capture cannot repeat");
    for (size_t done = 0; done < count;) {
        char *at;
        size_t room;
        blip2_status status = stage(cuda, (count - done) * size, &at, &room);

        if (status < 0)
            return status;
        room /= size;
        convert(at, to_type, via, (const char *)from + done * b2_type_size(from_type), from_type,
                room);
        status = b2_cuda_check(cuda,
                               cudaMemcpyAsync((char *)to + done * size, at, room * size,
                                               cudaMemcpyHostToDevice, cuda->stream),
                               "copying to the GPU");
        if (status < 0)
            return status;
        done += room;
    }
    return BLIP2_OK;
}

blip2_status b2_cuda_send(b2_cuda *cuda, void *to, const void *from, size_t bytes) {
    return b2_cuda_send_floats(cuda, to, B2_U8, B2_U8, from, B2_U8, bytes);
}

/* ---- the seam ----------------------------------------------------------------------------- */

blip2_status b2_cuda_alloc(b2_device *device, void **out, size_t bytes) {
    b2_cuda *cuda = b2_cuda_of(device);
    size_t free_bytes = 0, total = 0;
    blip2_status status = b2_cuda_begin(cuda, NULL);
    cudaError_t error;

    *out = NULL;
    if (status < 0)
        return status;
    error = cudaMalloc(out, b2_size_max(bytes, 1)); /* aligned to 256 bytes by CUDA */
    if (error != cudaErrorMemoryAllocation)
        return b2_cuda_check(cuda, error, "cudaMalloc");
    (void)cudaGetLastError();
    (void)cudaMemGetInfo(&free_bytes, &total);
    return b2_fail(BLIP2_EDEVMEM, "cuda:%d: %zu bytes wanted, %zu of its %zu are free",
                   cuda->ordinal, bytes, free_bytes, total);
}

void b2_cuda_free(b2_device *device, void *memory) {
    (void)cudaSetDevice(b2_cuda_of(device)->ordinal);
    (void)cudaFree(memory);
}

blip2_status b2_cuda_upload(b2_device *device, void *to, const void *from, size_t bytes) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, NULL);

    return status < 0 ? status : b2_cuda_send(cuda, to, from, bytes);
}

blip2_status b2_cuda_sync(b2_device *device) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, NULL);

    if (status < 0 ||
        (status = b2_cuda_check(cuda, cudaStreamSynchronize(cuda->stream), "waiting")) < 0)
        return status;
    cuda->staging.used = 0;
    cuda->staging.busy[0] = cuda->staging.busy[1] = false;
    return BLIP2_OK;
}

blip2_status b2_cuda_download(b2_device *device, void *to, const void *from, size_t bytes) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, NULL);

    for (size_t done = 0; status == BLIP2_OK && done < bytes;) {
        char *at;
        size_t room;

        if ((status = stage(cuda, bytes - done, &at, &room)) < 0 ||
            (status = b2_cuda_check(cuda,
                                    cudaMemcpyAsync(at, (const char *)from + done, room,
                                                    cudaMemcpyDeviceToHost, cuda->stream),
                                    "copying from the GPU")) < 0 ||
            (status = b2_cuda_sync(device)) < 0)
            return status;
        memcpy((char *)to + done, at, room);
        done += room;
    }
    return status;
}
