/* patch_embed through cuDNN: when it is taken, when not, and what is left behind. That its numbers
 * are right is for the list of operations (tests/ops), which runs on both ways. */
#include <string.h>

#include "base/alloc.h"
#include "base/type.h"
#include "device.h"
#include "ptx_vm.h"
#include "ptx_vm/vm_cudnn.h"
#include "run.h"

enum { IMAGES = 2, MOST_SIDE = 160, COLS = 3, MOST_PATCH = 3 };
enum { MOST_PIXELS = IMAGES * 3 * MOST_PATCH * MOST_SIDE };
enum { MOST_K = 3 * MOST_PATCH * MOST_PATCH, MOST_ROWS = IMAGES * (1 + MOST_SIDE) };

/* Pictures one patch high. Every pixel is `pixel`, every weight 1. */
typedef struct fixture {
    b2_device *device;
    b2_weight *weight;
    float *memory[6]; /* pixels, bias, cls, position, scratch, y */
    uint32_t patch;
} fixture;

static void open_fixture(fixture *f, b2_compute compute, b2_patch_path path, uint32_t patch,
                         float pixel) {
    const b2_device_options options = {.compute = compute, .patch_path = path};
    const size_t counts[6] = {
        MOST_PIXELS, COLS, COLS, COLS * (1 + MOST_SIDE), IMAGES * MOST_PIXELS, MOST_ROWS * COLS};
    float *values = b2_alloc_array(IMAGES * MOST_PIXELS, sizeof *values), ones[COLS * MOST_K];
    b2_weight_part part = {ones, COLS, B2_F32};
    b2_weight_desc desc = {&part, 1, 3 * patch * patch, B2_F32, B2_USE_LINEAR};

    ck_assert_ptr_nonnull(values);
    *f = (fixture){.patch = patch};
    ck_assert_status_ok(b2_device_open(&f->device, "cuda", &options));
    for (int i = 0; i < COLS * MOST_K; i++)
        ones[i] = 1.0f;
    desc.keep = f->device->compute;
    ck_assert_status_ok(f->device->ops->weight_create(f->device, &desc, &f->weight));
    for (int i = 0; i < 6; i++) {
        for (size_t j = 0; j < counts[i]; j++)
            values[j] = i == 0 ? pixel : i == 1 ? (float)(j + 1) : 0.0f;
        ck_assert_status_ok(
            f->device->ops->alloc(f->device, (void **)&f->memory[i], counts[i] * sizeof(float)));
        ck_assert_status_ok(
            f->device->ops->upload(f->device, f->memory[i], values, counts[i] * sizeof(float)));
    }
    ck_assert_status_ok(f->device->ops->sync(f->device));
    b2_free(values);
    vm_counters_clear();
}

static void close_fixture(fixture *f) {
    for (int i = 0; i < 6; i++)
        f->device->ops->free(f->device, f->memory[i]);
    f->device->ops->weight_free(f->device, f->weight);
    b2_device_close(f->device);
    ck_assert_uint_eq(vm_cudnn_live(), 0);
    ck_assert_uint_eq(vm_host()->live_bytes, 0);
    ck_assert_uint_eq(vm_report_count(), 0);
}

/* Pictures g patches wide. */
static blip2_status embed(fixture *f, uint32_t g) {
    const uint32_t p = f->patch;
    const b2_patch_embed op = {
        .pixels = f->memory[0],
        .images = IMAGES,
        .height = p,
        .width = g * p,
        .patch = p,
        .w = f->weight,
        .bias = f->memory[1],
        .cls = f->memory[2],
        .position = f->memory[3],
        .scratch = b2_mat_of(f->memory[4], f->device->compute, IMAGES * g, 3 * p * p),
        .y = b2_mat_of(f->memory[5], B2_F32, IMAGES * (1 + g), COLS)};

    return f->device->ops->patch_embed(f->device, &op);
}

/* Every patch's product is `sum`. */
static void check(fixture *f, uint32_t g, float sum) {
    float y[MOST_ROWS * COLS];

    ck_assert_status_ok(
        f->device->ops->download(f->device, y, f->memory[5], IMAGES * (1 + g) * COLS * sizeof *y));
    for (uint32_t i = 0; i < IMAGES * (1 + g); i++)
        for (uint32_t j = 0; j < COLS; j++)
            if (y[i * COLS + j] != (i % (1 + g) == 0 ? 0.0f : sum + (float)(j + 1)))
                ck_abort_msg("[%u, %u] is %.9g", i, j, (double)y[i * COLS + j]);
}

/* Times since vm_counters_clear. */
static uint64_t ran(const char *what) {
    const vm_counters *counters = vm_counters_of(what);

    return counters != NULL ? counters->launches : 0;
}

static void check_ran(uint64_t convolutions, uint64_t products) {
    ck_assert_uint_eq(ran("cudnnBackendExecute"), convolutions);
    ck_assert_uint_eq(ran("cublasLtMatmul"), products);
}

static const b2_compute computes[] = {B2_COMPUTE_F32, B2_COMPUTE_TF32, B2_COMPUTE_F16,
                                      B2_COMPUTE_BF16};

/* 1 + 2^-12 is 1 in all types but F32: an engine that rounds is taken where it may round. */
START_TEST(takes_what_is_faithful) {
    const float pixel = 1.0f + 0x1p-12f;
    fixture f;

    open_fixture(&f, computes[_i], B2_PATCH_CUDNN, 2, pixel);
    ck_assert_status_ok(embed(&f, 5));
    check(&f, 5, computes[_i] == B2_COMPUTE_F32 ? 12.0f * pixel : 12.0f);
    check_ran(1, 0);
    close_fixture(&f);
}
END_TEST

/* Once a shape was seen nothing is made again, but for other pointers. */
START_TEST(keeps_its_plans) {
    const float bias[COLS] = {101.0f, 102.0f, 103.0f};
    fixture f;
    float *first;
    void *other;

    open_fixture(&f, computes[_i], B2_PATCH_CUDNN, 2, 1.0f);
    first = f.memory[1];
    ck_assert_status_ok(embed(&f, 5));
    ck_assert_status_ok(f.device->ops->alloc(f.device, &other, sizeof bias));
    ck_assert_status_ok(f.device->ops->upload(f.device, other, bias, sizeof bias));
    vm_cudnn_fail(1);
    b2_alloc_fail_after(0);
    ck_assert_status_ok(embed(&f, 5));
    b2_alloc_fail_after(-1);
    check(&f, 5, 12.0f);
    f.memory[1] = other;
    ck_assert_status(embed(&f, 5), BLIP2_ENOMEM); /* what binds pointers */
    ck_assert_status_ok(embed(&f, 5));
    check(&f, 5, 112.0f);
    check_ran(3, 0);
    f.memory[1] = first;
    f.device->ops->free(f.device, other);
    close_fixture(&f);
}
END_TEST

START_TEST(is_not_the_rule) {
    static const b2_patch_path paths[] = {B2_PATCH_AUTO, B2_PATCH_GEMM};
    fixture f;

    open_fixture(&f, B2_COMPUTE_F16, paths[_i], 2, 1.0f);
    ck_assert_status_ok(embed(&f, 5));
    check(&f, 5, 12.0f);
    check_ran(0, 1);
    ck_assert_uint_eq(vm_cudnn_live(), 0); /* not even opened */
    close_fixture(&f);
}
END_TEST

/* Odd patches: cuDNN has no engine for them in half types. */
START_TEST(does_without_an_engine) {
    bool half = computes[_i] == B2_COMPUTE_F16 || computes[_i] == B2_COMPUTE_BF16;
    fixture f;

    open_fixture(&f, computes[_i], B2_PATCH_CUDNN, 3, 1.0f);
    for (int i = 0; i < 2; i++) { /* the second time it is known */
        ck_assert_status_ok(embed(&f, 4));
        check(&f, 4, 27.0f);
    }
    check_ran(half ? 0 : 2, half ? 2 : 0);
    close_fixture(&f);
}
END_TEST

START_TEST(does_not_start) {
    fixture f;

    open_fixture(&f, B2_COMPUTE_F16, B2_PATCH_CUDNN, 2, 1.0f);
    vm_cudnn_fail(1); /* its handle */
    for (int i = 0; i < 2; i++) {
        ck_assert_status_ok(embed(&f, 5));
        check(&f, 5, 12.0f);
    }
    check_ran(0, 2);
    close_fixture(&f);
}
END_TEST

/* Each descriptor of a plan fails in turn, which is said once and forgotten. */
START_TEST(out_of_memory_in_cudnn) {
    blip2_status status = BLIP2_ENOMEM;
    uint32_t n = 1;
    fixture f;

    open_fixture(&f, computes[_i], B2_PATCH_CUDNN, 2, 1.0f);
    ck_assert_status_ok(embed(&f, 80));
    for (; status == BLIP2_ENOMEM; n++) { /* a new shape, so a new plan */
        vm_cudnn_fail(n);
        status = embed(&f, n);
        vm_cudnn_fail(0);
        ck_assert(status == BLIP2_ENOMEM || status == BLIP2_OK);
        ck_assert_status_ok(embed(&f, n));
        check(&f, n, 12.0f);
    }
    ck_assert_uint_gt(n, 20);
    check_ran(n + 1, 0);
    close_fixture(&f);
}
END_TEST

START_TEST(out_of_host_memory) {
    fixture f;

    open_fixture(&f, B2_COMPUTE_F16, B2_PATCH_CUDNN, 2, 1.0f);
    b2_alloc_fail_after(0);
    ck_assert_status(embed(&f, 5), BLIP2_ENOMEM);
    b2_alloc_fail_after(-1);
    ck_assert_status_ok(embed(&f, 5));
    check(&f, 5, 12.0f);
    check_ran(1, 0);
    close_fixture(&f);
}
END_TEST

/* More shapes than are kept. */
START_TEST(many_shapes) {
    enum { KEPT = 64, SHAPES = KEPT + 3 };
    fixture f;

    open_fixture(&f, B2_COMPUTE_F16, B2_PATCH_CUDNN, 2, 1.0f);
    for (uint32_t g = 1; g <= SHAPES; g++) {
        ck_assert_status_ok(embed(&f, g));
        check(&f, g, 12.0f);
    }
    check_ran(KEPT, SHAPES - KEPT);
    close_fixture(&f);
}
END_TEST

START_TEST(stays_broken) {
    char first[512];
    fixture f;

    open_fixture(&f, B2_COMPUTE_F32, B2_PATCH_CUDNN, 2, 1.0f);
    vm_report_quiet(true);
    f.device->ops->free(f.device, f.memory[1]);
    ck_assert_status_ok(embed(&f, 5)); /* queued: nobody knows yet */
    f.memory[1] = NULL;
    ck_assert_status(f.device->ops->sync(f.device), BLIP2_EDEVICE);
    strcpy(first, blip2_error_message());
    ck_assert_msg(strstr(first, "patch_embed") != NULL, "message: %s", first);
    ck_assert_status(embed(&f, 5), BLIP2_EDEVICE);
    ck_assert_str_eq(blip2_error_message(), first);
    for (int i = 0; i < 6; i++)
        f.device->ops->free(f.device, f.memory[i]);
    f.device->ops->weight_free(f.device, f.weight);
    b2_device_close(f.device);
    ck_assert_uint_eq(vm_cudnn_live(), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("convolution");
    TCase *tcase = tcase_create("patch_embed");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, takes_what_is_faithful, 0, 4);
    tcase_add_loop_test(tcase, keeps_its_plans, 0, 3);
    tcase_add_loop_test(tcase, is_not_the_rule, 0, 2);
    tcase_add_loop_test(tcase, does_without_an_engine, 0, 4);
    tcase_add_test(tcase, does_not_start);
    tcase_add_loop_test(tcase, out_of_memory_in_cudnn, 0, 3);
    tcase_add_test(tcase, out_of_host_memory);
    tcase_add_test(tcase, many_shapes);
    tcase_add_test(tcase, stays_broken);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
