/* What the CUDA device does beyond the list of operations (tests/ops): it opens or says why not,
 * gives everything back, stays broken once broken, works in pieces (test_pieces.c), and runs whole
 * models. */
#include <stdio.h>
#include <string.h>

#include "blip2.h"
#include "device_fixture.h"
#include "ptx_vm.h"
#include "run.h"

static const b2_device_options exact = {.compute = B2_COMPUTE_F32};

b2_device *open_device(b2_compute compute) {
    b2_device_options options = {.compute = compute};
    b2_device *device;

    ck_assert_status_ok(b2_device_open(&device, "cuda", &options));
    return device;
}

void *upload(b2_device *device, const void *from, size_t bytes) {
    void *memory;

    ck_assert_status_ok(device->ops->alloc(device, &memory, bytes));
    ck_assert_status_ok(device->ops->upload(device, memory, from, bytes));
    return memory;
}

void close_device(b2_device *device) {
    b2_device_close(device);
    ck_assert_uint_eq(vm_host()->live_bytes, 0);
    ck_assert_uint_eq(vm_report_count(), 0);
}

/* ---- opening ------------------------------------------------------------------------------ */

START_TEST(opens) {
    b2_device *device;
    b2_device_options options = {.compute = (b2_compute)9};

    ck_assert_status_ok(b2_device_open(&device, NULL, NULL)); /* auto: there is a GPU */
    ck_assert_str_eq(device->ops->name, "cuda");
    ck_assert_int_eq(device->compute, B2_F16);
    ck_assert_str_eq(device->name, "cuda:0");
    ck_assert_ptr_nonnull(strstr(device->about, "PTX VM, compute "));
    ck_assert_str_eq(device->no_gpu, "");
    ck_assert(!device->gpu_unused);
    close_device(device);
    ck_assert_status_ok(b2_device_open(&device, "cuda:0", &exact));
    ck_assert_int_eq(device->compute, B2_F32);
    close_device(device);
    ck_assert_status(b2_device_open(&device, "cuda:1", &exact), BLIP2_ENOTSUP);
    ck_assert_ptr_null(device);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "finds 1 GPU"));
    ck_assert_status(b2_device_open(&device, "cuda:", &exact), BLIP2_ENOTSUP);
    ck_assert_status(b2_device_open(&device, "cuda", &options), BLIP2_EINVAL);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "compute: 9"));
}
END_TEST

START_TEST(old_gpu) {
    b2_device *device;

    vm_set_capability(7, 5);
    ck_assert_status(b2_device_open(&device, "cuda", NULL), BLIP2_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "7.5"));
    ck_assert_status_ok(b2_device_open(&device, "auto", NULL));
    ck_assert_str_eq(device->name, "cpu");
    ck_assert_ptr_nonnull(strstr(device->no_gpu, "7.5"));
    ck_assert_ptr_null(strstr(device->no_gpu, "choose device cpu"));
    ck_assert(device->gpu_unused);
    b2_device_close(device);
}
END_TEST

static void note_warning(blip2_log_level level, const char *line, void *payload) {
    if (level == BLIP2_LOG_WARNING && strncmp(line, "device cpu: ", 12) == 0)
        ++*(int *)payload;
}

/* Falling back to the CPU is told where there is a GPU. */
START_TEST(unused_gpu_is_a_warning) {
    int warnings = 0;
    blip2_model_options options;
    blip2_model *model;

    vm_set_capability(7, 5);
    blip2_model_options_init(&options, sizeof options);
    options.log = note_warning;
    options.log_payload = &warnings;
    ck_assert_status_ok(
        blip2_model_open(&model, BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_opt", &options));
    ck_assert_int_eq(warnings, 1);
    blip2_model_close(model);
}
END_TEST

/* A GPU for which the build has no code: auto goes on to the CPU. */
START_TEST(no_code_for_the_gpu) {
    b2_device *device;

    vm_lose_images(true);
    ck_assert_status(b2_device_open(&device, "cuda", NULL), BLIP2_ENOTSUP);
    ck_assert_ptr_nonnull(
        strstr(blip2_error_message(), "no kernels for its compute capability 9.0"));
    ck_assert_status_ok(b2_device_open(&device, "auto", NULL));
    ck_assert_str_eq(device->ops->name, "cpu");
    ck_assert_ptr_nonnull(strstr(device->no_gpu, "no kernels"));
    b2_device_close(device);
    vm_lose_images(false);
    ck_assert_uint_eq(vm_host()->live_bytes, 0);
    ck_assert_status_ok(b2_device_open(&device, "cuda", NULL));
    close_device(device);
}
END_TEST

/* Each allocation of a GPU's memory, or of pinned memory, fails in turn. */
START_TEST(out_of_device_memory) {
    float data[64] = {0};
    b2_weight_part part = {data, 8, B2_F32};
    b2_weight_desc desc = {&part, 1, 8, B2_F16, B2_USE_LINEAR};
    blip2_status status = BLIP2_EDEVMEM;

    for (uint64_t n = 1; status != BLIP2_OK; n++) {
        b2_device *device = NULL;
        b2_weight *weight = NULL;

        ck_assert_uint_lt(n, 10);
        vm_fail_call(VM_CALL_ALLOCATION, n, false);
        if ((status = b2_device_open(&device, "cuda", NULL)) == BLIP2_OK)
            status = device->ops->weight_create(device, &desc, &weight);
        ck_assert(status == BLIP2_OK || status == BLIP2_ENOMEM || status == BLIP2_EDEVMEM);
        ck_assert(status == BLIP2_OK || weight == NULL);
        vm_fail_call(VM_CALL_ALLOCATION, 0, false);
        if (device != NULL) { /* as usable as before */
            device->ops->weight_free(device, weight);
            ck_assert_status_ok(device->ops->weight_create(device, &desc, &weight));
            device->ops->weight_free(device, weight);
        }
        b2_device_close(device);
        ck_assert_uint_eq(vm_host()->live_bytes, 0);
    }
}
END_TEST

START_TEST(more_than_there_is) {
    b2_device *device = open_device(B2_COMPUTE_F32);
    void *memory = (void *)1;

    ck_assert_status(device->ops->alloc(device, &memory, (size_t)9 << 30), BLIP2_EDEVMEM);
    ck_assert_ptr_null(memory);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "9663676416 bytes wanted"));
    ck_assert_status_ok(device->ops->sync(device));
    close_device(device);
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------- */

START_TEST(stays_broken) {
    b2_device *device = open_device(B2_COMPUTE_F32);
    float values[16] = {0};
    int32_t wild[4] = {0, 1, 1 << 20, 3};
    void *x = upload(device, values, sizeof values), *rows = upload(device, wild, sizeof wild);
    b2_copy_rows copy = {.x = b2_mat_of(x, B2_F32, 4, 4),
                         .y = b2_mat_of(x, B2_F32, 4, 4),
                         .x_rows = rows,
                         .count = 4};
    char first[512];

    vm_report_quiet(true);
    ck_assert_status_ok(device->ops->copy_rows(device, &copy)); /* queued: nobody knows yet */
    ck_assert_status(device->ops->sync(device), BLIP2_EDEVICE);
    strcpy(first, blip2_error_message());
    ck_assert_msg(strstr(first, "copy_rows") != NULL, "message: %s", first);
    ck_assert_msg(strstr(first, "illegal memory access") != NULL, "message: %s", first);
    ck_assert_status(device->ops->upload(device, x, values, 4), BLIP2_EDEVICE);
    ck_assert_str_eq(blip2_error_message(), first);
    ck_assert_status(device->ops->copy_rows(device, &copy), BLIP2_EDEVICE);
    ck_assert_str_eq(blip2_error_message(), first);
    device->ops->free(device, x);
    b2_device_close(device);
}
END_TEST

/* ---- whole models ------------------------------------------------------------------------- */

enum { PICTURES = 8 };
#define DEMO BLIP2_SOURCE_DIR "/models/demo/"

/* The demo model and engine on a device. */
typedef struct demo {
    blip2_model *model;
    blip2_engine *engine;
    blip2_image *images[PICTURES];
    blip2_input inputs[PICTURES];
} demo;

static void demo_open(demo *d, const char *device, blip2_compute compute) {
    static const char *const endings[] = {"png", "jpg"};
    blip2_model_options options;

    blip2_model_options_init(&options, sizeof options);
    options.device = device;
    options.compute = compute;
    options.threads = 1;
    ck_assert_status_ok(blip2_model_open(&d->model, DEMO "caption", &options));
    ck_assert_status_ok(blip2_engine_open(&d->engine, d->model, NULL));
    for (int i = 0; i < PICTURES; i++) {
        char path[1024];

        (void)snprintf(path, sizeof path, DEMO "pictures/%03d.%s", i + 1, endings[i % 2]);
        ck_assert_status_ok(blip2_image_open(&d->images[i], path, NULL));
        d->inputs[i] = (blip2_input){d->images[i], i < 4 ? NULL : "question: what colour is it?"};
    }
}

static void demo_close(demo *d) {
    for (int i = 0; i < PICTURES; i++)
        blip2_image_free(d->images[i]);
    blip2_engine_close(d->engine);
    blip2_model_close(d->model);
}

START_TEST(same_captions) {
    static const blip2_compute computes[] = {BLIP2_COMPUTE_F32, BLIP2_COMPUTE_TF32,
                                             BLIP2_COMPUTE_F16, BLIP2_COMPUTE_BF16};
    demo cpu, cuda;
    blip2_result *expected, *got;

    demo_open(&cpu, "cpu", BLIP2_COMPUTE_AUTO);
    demo_open(&cuda, "cuda", computes[_i]);
    ck_assert_status_ok(blip2_generate(cpu.engine, cpu.inputs, PICTURES, NULL, &expected));
    ck_assert_status_ok(blip2_generate(cuda.engine, cuda.inputs, PICTURES, NULL, &got));
    for (size_t i = 0; i < PICTURES; i++) {
        size_t count, expected_count;
        const int32_t *tokens = blip2_result_tokens(got, i, &count);
        const int32_t *expected_tokens = blip2_result_tokens(expected, i, &expected_count);

        ck_assert_str_eq(blip2_result_text(got, i), blip2_result_text(expected, i));
        ck_assert_uint_eq(count, expected_count);
        ck_assert_mem_eq(tokens, expected_tokens, count * sizeof *tokens);
    }
    blip2_result_free(expected);
    blip2_result_free(got);
    demo_close(&cpu);
    demo_close(&cuda);
    ck_assert_uint_eq(vm_host()->live_bytes, 0);
    ck_assert_uint_eq(vm_report_count(), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cuda");
    TCase *device = tcase_create("device"), *model = tcase_create("model");

    tcase_set_timeout(device, 60);
    tcase_set_timeout(model, 60);
    tcase_add_test(device, opens);
    tcase_add_test(device, old_gpu);
    tcase_add_test(device, no_code_for_the_gpu);
    tcase_add_test(device, unused_gpu_is_a_warning);
    tcase_add_test(device, out_of_device_memory);
    tcase_add_test(device, more_than_there_is);
    tcase_add_test(device, stays_broken);
    suite_pieces(device);
    tcase_add_loop_test(model, same_captions, 0, 4);
    suite_add_tcase(suite, device);
    suite_add_tcase(suite, model);
    return run_suite(suite);
}
