#include "ops.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/type.h"

static const struct {
    const char *name;
    b2_device_options options;
} targets[OP_ALL_TARGETS] = {{"cpu", {.threads = 1}},
                             {"cpu", {.threads = 2}},
                             {"cpu", {.threads = 3}},
                             {"cpu:v3", {.threads = 2}},
                             {"cpu:base", {.threads = 2}},
                             {"cuda", {.compute = B2_COMPUTE_F32}},
                             {"cuda", {.compute = B2_COMPUTE_F16}},
                             {"cuda", {.compute = B2_COMPUTE_BF16}},
                             {"cuda", {.compute = B2_COMPUTE_F32, .patch_path = B2_PATCH_CUDNN}},
                             {"cuda", {.compute = B2_COMPUTE_F16, .patch_path = B2_PATCH_CUDNN}},
                             {"cuda", {.compute = B2_COMPUTE_BF16, .patch_path = B2_PATCH_CUDNN}},
                             {"cuda", {.compute = B2_COMPUTE_F32, .deterministic = true}},
                             {"cuda", {.compute = B2_COMPUTE_F16, .deterministic = true}},
                             {"cuda", {.compute = B2_COMPUTE_BF16, .deterministic = true}}};

enum { CPU_TARGETS = 5, GUARD = 256, SENTINEL = 0xa5 };

/* Device memory of a matrix: GUARD bytes, [rows, stride] elements, GUARD bytes. */
struct op_memory {
    char *device;
    unsigned char *uploaded; /* [bytes] */
    size_t bytes;
};

static unsigned long long seed(void) {
    const char *text = getenv("BLIP2_TEST_SEED");

    return text != NULL ? strtoull(text, NULL, 10) : 1;
}

bool op_open(op_context *context, int target) {
    const char *wanted = getenv("BLIP2_TEST_DEVICE");

    memset(context, 0, sizeof *context);
    context->random = seed();
    if (wanted != NULL && strncmp(targets[target].name, wanted, strlen(wanted)) != 0)
        return false;
    blip2_status status =
        b2_device_open(&context->device, targets[target].name, &targets[target].options);
    if (status == BLIP2_ENOTSUP && wanted == NULL && strcmp(targets[target].name, "cpu") != 0)
        return false; /* a device that was asked for by name must be there */
    op_check(context, status);
    return true;
}

bool op_open_same(op_context *context, int target) {
    return op_open(context, targets[target].options.compute == B2_COMPUTE_AUTO
                                ? target
                                : target + OP_PATCH_TARGETS - CPU_TARGETS);
}

void op_clear(op_context *context) {
    for (int i = 0; i < context->device_count; i++)
        context->device->ops->free(context->device, context->device_blocks[i]);
    for (int i = 0; i < context->host_count; i++)
        free(context->host_blocks[i]);
    context->device_count = context->host_count = 0;
    context->random = seed();
}

void op_close(op_context *context) {
    op_clear(context);
    b2_device_close(context->device);
}

void op_check(op_context *context, blip2_status status) {
    (void)context;
    ck_assert_msg(status == BLIP2_OK, "%s: %s", blip2_status_name(status), blip2_error_message());
}

/* splitmix64 */
static uint64_t next_random(op_context *context) {
    uint64_t z = context->random += 0x9e3779b97f4a7c15U;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

double op_uniform(op_context *context, double low, double high) {
    return low + (high - low) * ((double)(next_random(context) >> 11) * 0x1p-53);
}

int64_t op_integer(op_context *context, int64_t low, int64_t high) {
    return low + (int64_t)(next_random(context) % (uint64_t)(high - low + 1));
}

void op_round(float *values, b2_type type, int64_t count) {
    unsigned char stored[4];

    for (int64_t i = 0; i < count; i++) {
        b2_from_f32(stored, type, &values[i], 1);
        b2_to_f32(&values[i], stored, type, 1);
    }
}

b2_type op_kept(const op_context *context, b2_type keep) {
    b2_type compute = context->device->compute;

    return keep == B2_F32 || compute == B2_F32 ? keep : compute;
}

void *op_host(op_context *context, size_t bytes) {
    void *block = calloc(1, bytes > 0 ? bytes : 1);

    ck_assert_ptr_nonnull(block);
    ck_assert_int_lt(context->host_count, 256);
    return context->host_blocks[context->host_count++] = block;
}

void *op_upload(op_context *context, const void *from, size_t bytes) {
    void *memory = NULL;

    op_check(context, context->device->ops->alloc(context->device, &memory, bytes));
    ck_assert_uint_eq((uintptr_t)memory % 256, 0);
    ck_assert_int_lt(context->device_count, 64);
    context->device_blocks[context->device_count++] = memory;
    op_check(context, context->device->ops->upload(context->device, memory, from, bytes));
    op_check(context, context->device->ops->sync(context->device));
    return memory;
}

op_mat op_mat_new(op_context *context, b2_type type, int64_t rows, int64_t cols, int64_t gap,
                  op_fill fill) {
    size_t size = b2_type_size(type), count = (size_t)(rows * (cols + gap));
    struct op_memory *memory = op_host(context, sizeof *memory);
    op_mat m = {.memory = memory};

    memory->bytes = count * size + 2 * GUARD;
    memory->uploaded = op_host(context, memory->bytes);
    memset(memory->uploaded, SENTINEL, memory->bytes);
    m.host = op_host(context, count * sizeof(float));
    for (int64_t i = 0; i < rows; i++) {
        float *row = m.host + i * (cols + gap);
        unsigned char *stored = memory->uploaded + GUARD + (size_t)(i * (cols + gap)) * size;

        for (int64_t j = 0; j < cols; j++)
            row[j] = fill == OP_NAN ? NAN : (float)op_uniform(context, -1.0, 1.0);
        b2_from_f32(stored, type, row, (size_t)cols);
        b2_to_f32(row, stored, type, (size_t)cols);
    }
    memory->device = op_upload(context, memory->uploaded, memory->bytes);
    m.device = b2_mat_of(memory->device + GUARD, type, rows, cols);
    m.device.stride = cols + gap;
    return m;
}

op_mat op_mat_cols(op_mat m, int64_t first, int64_t count) {
    m.device = b2_mat_cols(m.device, first, count);
    m.host += first;
    return m;
}

float *op_mat_read(op_context *context, op_mat m) {
    struct op_memory *memory = m.memory;
    unsigned char *now = op_host(context, memory->bytes);
    size_t size = b2_type_size(m.device.type), cols = (size_t)m.device.cols;
    size_t row_bytes = cols * size, first = (size_t)((char *)m.device.data - memory->device);
    float *out = op_host(context, (size_t)m.device.rows * cols * sizeof(float));

    op_check(context, context->device->ops->sync(context->device));
    op_check(context,
             context->device->ops->download(context->device, now, memory->device, memory->bytes));
    op_check(context, context->device->ops->sync(context->device));
    for (int64_t i = 0; i < m.device.rows; i++) {
        size_t at = first + (size_t)(i * m.device.stride) * size;

        b2_to_f32(out + (size_t)i * cols, now + at, m.device.type, cols);
        memcpy(now + at, memory->uploaded + at, row_bytes);
    }
    for (size_t i = 0; i < memory->bytes; i++)
        if (now[i] != memory->uploaded[i]) /* (an assertion costs a system call even if it holds) */
            ck_abort_msg("byte %zu around a [%lld, %lld] matrix was overwritten", i,
                         (long long)m.device.rows, (long long)m.device.cols);
    return out;
}

void op_mat_unchanged(op_context *context, op_mat m) {
    op_mat none = m;

    none.device.rows = 0;
    (void)op_mat_read(context, none);
}

float *op_vector(op_context *context, int64_t count, float **device) {
    float *host = op_host(context, (size_t)count * sizeof(float));

    for (int64_t i = 0; i < count; i++)
        host[i] = (float)op_uniform(context, -1.0, 1.0);
    *device = op_upload(context, host, (size_t)count * sizeof(float));
    return host;
}

static double epsilon(b2_type type) {
    return type == B2_F16 ? 0x1p-10 : type == B2_BF16 ? 0x1p-7 : FLT_EPSILON;
}

void op_compare(const char *what, b2_type type, const float *got, const double *exact,
                const float *plain, int64_t count) {
    op_compare_sensitive(what, type, 1.0, got, exact, plain, count);
}

void op_compare_sensitive(const char *what, b2_type type, double sensitivity, const float *got,
                          const double *exact, const float *plain, int64_t count) {
    double error = 0.0, measure = 0.0, largest = 0.0, allowed;
    int64_t worst = 0;

    for (int64_t i = 0; i < count; i++) {
        float rounded = plain[i];

        op_round(&rounded, type, 1);
        measure = fmax(measure, fabs((double)rounded - exact[i]));
        largest = fmax(largest, fabs(exact[i]));
        if (isnan(got[i]))
            ck_abort_msg("%s, seed %llu: [%lld] is NaN, expected %g", what, seed(), (long long)i,
                         exact[i]);
        if (fabs((double)got[i] - exact[i]) > error) {
            error = fabs((double)got[i] - exact[i]);
            worst = i;
        }
    }
    allowed = 2.0 * measure + FLOOR_ULPS * sensitivity * epsilon(type) * largest;
    ck_assert_msg(error <= allowed,
                  "%s, seed %llu: [%lld of %lld] is %.9g, expected %.9g: error %g, float loops "
                  "%g, allowed %g",
                  what, seed(), (long long)worst, (long long)count, (double)got[worst],
                  exact[worst], error, measure, allowed);
}

static void add_case(Suite *suite, const char *name, const TTest *test, int target_count) {
    TCase *tcase = tcase_create(name);

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test, 0, target_count);
    suite_add_tcase(suite, tcase);
}

void op_add_case(Suite *suite, const char *name, const TTest *test) {
    add_case(suite, name, test, OP_TARGETS);
}

void op_add_patch_case(Suite *suite, const char *name, const TTest *test) {
    add_case(suite, name, test, OP_PATCH_TARGETS);
}
