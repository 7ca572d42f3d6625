#include "failing_device.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "device.h"

static const b2_device_ops *real;
static b2_device_ops failing;
static uint64_t calls, fail_at;
static bool is_lost, lost;
static int64_t live;
static blip2_status failed;
static char message[128];

void device_fail(uint64_t nth, bool stays) {
    calls = 0;
    fail_at = nth;
    is_lost = stays;
    lost = false;
    failed = BLIP2_OK;
    message[0] = '\0';
}

uint64_t device_calls(void) {
    return calls;
}

blip2_status device_status(void) {
    return failed;
}

const char *device_message(void) {
    return message;
}

int64_t device_live(void) {
    return live;
}

/* Starts every call that may fail. */
static blip2_status call(const char *what, blip2_status failure) {
    if (++calls == fail_at) {
        failed = failure;
        (void)snprintf(message, sizeof message, "the device failed at call %llu, %s",
                       (unsigned long long)calls, what);
        lost = is_lost;
        return b2_fail(failure, "%s", message);
    }
    return lost ? b2_fail(BLIP2_EDEVICE, "%s", message) : BLIP2_OK;
}

static blip2_status fail_alloc(b2_device *device, void **out, size_t bytes) {
    blip2_status status = call("alloc", BLIP2_EDEVMEM);

    *out = NULL;
    if (status == BLIP2_OK)
        status = real->alloc(device, out, bytes);
    if (status == BLIP2_OK) /* NaN: not what an engine before it has left there */
        memset(*out, 0xff, bytes);
    live += status == BLIP2_OK;
    return status;
}

static void count_free(b2_device *device, void *memory) {
    live -= memory != NULL;
    real->free(device, memory);
}

static blip2_status fail_upload(b2_device *device, void *to, const void *from, size_t bytes) {
    blip2_status status = call("upload", BLIP2_EDEVICE);

    return status < 0 ? status : real->upload(device, to, from, bytes);
}

static blip2_status fail_download(b2_device *device, void *to, const void *from, size_t bytes) {
    blip2_status status = call("download", BLIP2_EDEVICE);

    if (status == BLIP2_OK)
        return real->download(device, to, from, bytes);
    memset(to, 0xff, bytes); /* NaN, and no token */
    return status;
}

static blip2_status fail_sync(b2_device *device) {
    blip2_status status = call("sync", BLIP2_EDEVICE);

    return status < 0 ? status : real->sync(device);
}

static blip2_status fail_weight_create(b2_device *device, const b2_weight_desc *desc,
                                       b2_weight **out) {
    blip2_status status = call("weight_create", BLIP2_EDEVMEM);

    *out = NULL;
    if (status == BLIP2_OK)
        status = real->weight_create(device, desc, out);
    live += status == BLIP2_OK;
    return status;
}

static void count_weight_free(b2_device *device, b2_weight *weight) {
    live -= weight != NULL;
    real->weight_free(device, weight);
}

static void count_close(b2_device *device) {
    live--;
    real->close(device);
}

#define OPERATIONS(X)                                                                              \
    X(linear)                                                                                      \
    X(norm)                                                                                        \
    X(attention)                                                                                   \
    X(kv_write)                                                                                    \
    X(kv_copy_pages)                                                                               \
    X(rope)                                                                                        \
    X(embed)                                                                                       \
    X(copy_rows)                                                                                   \
    X(patch_embed)                                                                                 \
    X(l2_normalise)                                                                                \
    X(itc_max)                                                                                     \
    X(top_k)                                                                                       \
    X(sample)                                                                                      \
    X(resize_normalise)                                                                            \
    X(choose)

#define FAILING(name)                                                                              \
    static blip2_status fail_##name(b2_device *device, const b2_##name *op) {                      \
        blip2_status status = call(#name, BLIP2_EDEVICE);                                          \
                                                                                                   \
        return status < 0 ? status : real->name(device, op);                                       \
    }
OPERATIONS(FAILING)
#undef FAILING

/* The linker's names. */
blip2_status __real_b2_device_open(b2_device **out, const char *name,
                                   const b2_device_options *options);
blip2_status __wrap_b2_device_open(b2_device **out, const char *name,
                                   const b2_device_options *options);

blip2_status __wrap_b2_device_open(b2_device **out, const char *name,
                                   const b2_device_options *options) {
    blip2_status status = call("open", BLIP2_EDEVICE);

    *out = NULL;
    if (status < 0 || (status = __real_b2_device_open(out, name, options)) < 0)
        return status;
    real = (*out)->ops;
    ck_assert_ptr_null(real->capture_begin); /* its four calls are not counted here */
    failing = *real;
    failing.alloc = fail_alloc;
    failing.free = count_free;
    failing.upload = fail_upload;
    failing.download = fail_download;
    failing.sync = fail_sync;
    failing.weight_create = fail_weight_create;
    failing.weight_free = count_weight_free;
    failing.close = count_close;
#define REPLACE(name) failing.name = fail_##name;
    OPERATIONS(REPLACE)
#undef REPLACE
    (*out)->ops = &failing;
    live++;
    return BLIP2_OK;
}
