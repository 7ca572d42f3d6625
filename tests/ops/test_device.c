/* Opening, memory, weights' bookkeeping, and memory that runs out. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "ops.h"

START_TEST(names) {
    b2_device *device = NULL;

    if (_i > 0)
        return;
    ck_assert_status(b2_device_open(&device, "abacus", NULL), BLIP2_ENOTSUP);
    ck_assert_ptr_null(device);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "abacus"));
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "cpu"));
    ck_assert_status_ok(b2_device_open(&device, "cpu", NULL));
    ck_assert_str_eq(device->ops->name, "cpu");
    ck_assert_str_eq(device->name, "cpu");
    ck_assert_str_eq(device->no_gpu, "");
    b2_device_close(device);
    b2_device_close(NULL);
}
END_TEST

/* More threads than are of use are not made. */
START_TEST(absurd_threads) {
    b2_device_options options = {.threads = 1024};
    b2_device *device;

    if (_i > 0)
        return;
    ck_assert_status_ok(b2_device_open(&device, "cpu", &options));
    ck_assert_msg(atoi(device->about) >= 4 &&
                      (atoi(device->about) < 1024 || sysconf(_SC_NPROCESSORS_CONF) >= 256),
                  "%s", device->about);
    b2_device_close(device);
    options.threads++;
    ck_assert_status(b2_device_open(&device, "cpu", &options), BLIP2_EINVAL);
    options = (b2_device_options){.compute = (b2_compute)77};
    ck_assert_status(b2_device_open(&device, "cpu", &options), BLIP2_EINVAL);
    options.compute = (b2_compute)-1;
    ck_assert_status(b2_device_open(&device, "auto", &options), BLIP2_EINVAL);
}
END_TEST

START_TEST(memory) {
    op_context t;
    char text[1000], back[1000];

    if (!op_open(&t, _i))
        return;
    memset(text, 'x', sizeof text);
    text[999] = 'y';
    void *memory = op_upload(&t, text, sizeof text);
    op_check(&t, t.device->ops->download(t.device, back, memory, sizeof back));
    op_check(&t, t.device->ops->sync(t.device));
    ck_assert_mem_eq(text, back, sizeof text);
    t.device->ops->free(t.device, NULL);
    t.device->ops->weight_free(t.device, NULL);
    op_close(&t);
}
END_TEST

START_TEST(weight_bytes) {
    op_context t;
    float data[6] = {0};
    b2_weight_part part = {data, 2, B2_F32};
    b2_weight_part huge[3] = {
        {data, INT64_MAX, B2_F16}, {data, INT64_MAX, B2_F16}, {data, 4, B2_F16}};
    b2_weight_desc desc = {&part, 1, 3, B2_F16, B2_USE_LINEAR};

    if (!op_open(&t, _i))
        return;
    ck_assert_uint_ge(t.device->ops->weight_bytes(t.device, &desc), 6 * 2);
    desc.cols = INT64_MAX;
    ck_assert_uint_eq(t.device->ops->weight_bytes(t.device, &desc), SIZE_MAX);
    desc = (b2_weight_desc){huge, 3, 1, B2_F16, B2_USE_LINEAR}; /* 2^64 + 2 rows */
    ck_assert_uint_eq(t.device->ops->weight_bytes(t.device, &desc), SIZE_MAX);
    op_close(&t);
}
END_TEST

START_TEST(bad_weights) {
    op_context t;
    float data[6] = {0};
    b2_weight_part part = {data, 2, B2_F32};
    b2_weight_desc desc = {&part, 1, 3, B2_I64, B2_USE_LINEAR};
    b2_weight *weight = NULL;

    if (!op_open(&t, _i))
        return;
    ck_assert_status(t.device->ops->weight_create(t.device, &desc, &weight), BLIP2_EINTERNAL);
    desc.keep = B2_F32;
    desc.uses = 0;
    ck_assert_status(t.device->ops->weight_create(t.device, &desc, &weight), BLIP2_EINTERNAL);
    ck_assert_ptr_null(weight);
    op_close(&t);
}
END_TEST

/* Every allocation of opening a device, making weights and running linear fails in turn. */
START_TEST(out_of_memory) {
    float data[64 * 8] = {0};
    b2_weight_part parts[2] = {{data, 40, B2_F32}, {data, 24, B2_F32}};
    b2_weight_desc desc = {parts, 2, 8, B2_BF16, B2_USE_LINEAR | B2_USE_ROWS};
    blip2_status status = BLIP2_ENOMEM;
    b2_device_options options = {.threads = 2};
    op_context t;

    if (!op_open(&t, _i))
        return;
    const char *name = t.device->ops->name;
    op_close(&t);
    for (int64_t n = 0; status != BLIP2_OK; n++) {
        b2_device *device = NULL;
        b2_weight *joined = NULL, *single = NULL;

        ck_assert_int_lt(n, 1000);
        b2_alloc_fail_after(n);
        desc.part_count = 2;
        if ((status = b2_device_open(&device, name, &options)) == BLIP2_OK &&
            (status = device->ops->weight_create(device, &desc, &joined)) == BLIP2_OK) {
            desc.part_count = 1;
            status = device->ops->weight_create(device, &desc, &single);
        }
        b2_alloc_fail_after(-1);
        ck_assert(status == BLIP2_OK || status == BLIP2_ENOMEM || status == BLIP2_EDEVMEM);
        ck_assert(status == BLIP2_OK || single == NULL);
        if (device != NULL) {
            device->ops->weight_free(device, joined);
            device->ops->weight_free(device, single);
        }
        b2_device_close(device);
    }
}
END_TEST

/* y = x W' + bias with gelu, then attention of y with itself: [ROWS, COLS] from a device. */
static float *with_threads(op_context *t, uint32_t threads) {
    enum { ROWS = 300, HEADS = 6, HEAD_SIZE = 40, COLS = HEADS * HEAD_SIZE };
    b2_device_options options = {.threads = threads};
    op_context own = {.random = 5};
    int32_t start[2] = {0, ROWS}, first = 0, count = ROWS;
    b2_weight *weight = NULL;

    ck_assert_status_ok(b2_device_open(&own.device, t->device->ops->name, &options));
    op_mat x = op_mat_new(&own, B2_F32, ROWS, COLS, 0, OP_RANDOM);
    op_mat w = op_mat_new(&own, B2_F16, COLS, COLS, 0, OP_RANDOM);
    op_mat y = op_mat_new(&own, own.device->compute, ROWS, COLS, 0, OP_NAN);
    op_mat z = op_mat_new(&own, own.device->compute, ROWS, COLS, 0, OP_NAN);
    b2_weight_part part = {w.host, COLS, B2_F32};
    b2_weight_desc desc = {&part, 1, COLS, B2_F16, B2_USE_LINEAR};
    op_check(&own, own.device->ops->weight_create(own.device, &desc, &weight));
    b2_linear linear = {.x = x.device, .w = weight, .act = B2_ACT_GELU, .y = y.device};
    op_check(&own, own.device->ops->linear(own.device, &linear));
    b2_attention attention = {.q = y.device,
                              .k = y.device,
                              .v = y.device,
                              .y = z.device,
                              .q_start = op_upload(&own, start, sizeof start),
                              .k_first = op_upload(&own, &first, sizeof first),
                              .k_count = op_upload(&own, &count, sizeof count),
                              .segments = 1,
                              .heads = HEADS,
                              .head_size = HEAD_SIZE,
                              .max_q = ROWS,
                              .max_k = ROWS,
                              .scale = 0.02f};
    op_check(&own, own.device->ops->attention(own.device, &attention));
    float *result = op_host(t, ROWS * COLS * sizeof *result);
    memcpy(result, op_mat_read(&own, z), ROWS * COLS * sizeof *result);
    own.device->ops->weight_free(own.device, weight);
    op_close(&own);
    return result;
}

START_TEST(threads) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    float *one = with_threads(&t, 1);
    ck_assert_mem_eq(one, with_threads(&t, 2), 300 * 240 * sizeof *one);
    ck_assert_mem_eq(one, with_threads(&t, 5), 300 * 240 * sizeof *one);
    op_close(&t);
}
END_TEST

void suite_device(Suite *suite) {
    op_add_case(suite, "names", names);
    op_add_case(suite, "absurd threads", absurd_threads);
    op_add_case(suite, "memory", memory);
    op_add_case(suite, "weight bytes", weight_bytes);
    op_add_case(suite, "bad weights", bad_weights);
    op_add_case(suite, "out of memory", out_of_memory);
    op_add_case(suite, "any number of threads", threads);
}
