/* The stand-in for the CUDA runtime: launches and their limits, the device, errors that stick,
 * calls of libraries. Hand-written PTX only. */
#include <stdio.h>

#include "fixture_support.h"

/* ---- launches ------------------------------------------------------------------------------- */

START_TEST(checks_launches) {
    cudaLibrary_t library = load_fixture("fixture");
    fixture_arguments a = {NULL, NULL, 0, 0, 0, 0};
    cudaKernel_t kernel;
    int blocks;

    vm_report_quiet(true);
    ck_assert_int_eq(launch(library, "scale", dims(1, 1, 1), dims(1025, 1, 1), 0, &a),
                     cudaErrorInvalidConfiguration);
    ck_assert_int_eq(launch(library, "scale", dims(1, 1, 1), dims(513, 1, 1), 0, &a), /* maxntid */
                     cudaErrorInvalidConfiguration);
    ck_assert_int_eq(launch(library, "scale", dims(0, 1, 1), dims(32, 1, 1), 0, &a),
                     cudaErrorInvalidConfiguration);
    ck_assert_int_eq(launch(library, "scale", dims(1, 65536, 1), dims(32, 1, 1), 0, &a),
                     cudaErrorInvalidConfiguration);
    ck_assert_int_eq(launch(library, "scale", dims(1, 1, 1), dims(1, 1, 65), 0, &a),
                     cudaErrorInvalidConfiguration);
    ck_assert_int_eq(vm_report_at(0)->finding, VM_BAD_LAUNCH);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorInvalidConfiguration);
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess); /* such an error does not stick */
    ck_cuda(launch(library, "scale", dims(1, 1, 1), dims(32, 1, 1), 0, &a));
    ck_assert_int_eq(cudaLibraryGetKernel(&kernel, library, "nobody"), cudaErrorSymbolNotFound);
    ck_cuda(cudaLibraryGetKernel(&kernel, library, "scale"));
    ck_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, (const void *)kernel, 256, 0));
    ck_assert_int_eq(blocks, 8);
    ck_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, (const void *)kernel, 256,
                                                          100 * 1024));
    ck_assert_int_eq(blocks, 2);
}
END_TEST

/* 48 KiB without asking; more by the attribute, up to what the device has. */
START_TEST(limits_shared_memory) {
    cudaLibrary_t library = load_fixture("fixture");
    fixture_arguments a = {NULL, NULL, 0, 0, 0, 0};
    cudaLaunchConfig_t config = {.gridDim = {1, 1, 1}, .blockDim = {32, 1, 1}};
    void *list[] = {&a};
    cudaKernel_t kernel;
    int limit;

    vm_report_quiet(true);
    ck_cuda(cudaLibraryGetKernel(&kernel, library, "scale"));
    config.dynamicSmemBytes = 48 * 1024;
    ck_cuda(cudaLaunchKernelExC(&config, (const void *)kernel, list));
    config.dynamicSmemBytes = 48 * 1024 + 16;
    ck_assert_int_eq(cudaLaunchKernelExC(&config, (const void *)kernel, list),
                     cudaErrorInvalidValue);
    ck_cuda(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    ck_assert_int_eq(limit, 227 * 1024);
    ck_assert_int_eq(cudaKernelSetAttributeForDevice(
                         kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, limit + 1, 0),
                     cudaErrorInvalidValue);
    ck_cuda(cudaKernelSetAttributeForDevice(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            limit, 0));
    ck_cuda(cudaKernelSetAttributeForDevice(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            60 * 1024, 0));
    config.dynamicSmemBytes = 60 * 1024 + 16;
    ck_assert_int_eq(cudaLaunchKernelExC(&config, (const void *)kernel, list),
                     cudaErrorInvalidValue);
    ck_cuda(cudaKernelSetAttributeForDevice(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            limit, 0));
    config.dynamicSmemBytes = (size_t)limit;
    ck_cuda(cudaLaunchKernelExC(&config, (const void *)kernel, list));
    ck_cuda(cudaDeviceSynchronize());
    vm_set_capability(8, 6);
    ck_cuda(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    ck_assert_int_eq(limit, 99 * 1024);
}
END_TEST

START_TEST(introduces_the_device) {
    struct cudaDeviceProp prop;
    int count, device, version, value;

    ck_cuda(cudaGetDeviceCount(&count));
    ck_assert_int_eq(count, 1);
    ck_cuda(cudaSetDevice(0));
    ck_assert_int_eq(cudaSetDevice(1), cudaErrorInvalidDevice);
    ck_cuda(cudaGetDevice(&device));
    ck_assert_int_eq(device, 0);
    ck_cuda(cudaGetDeviceProperties(&prop, 0));
    ck_assert_str_eq(prop.name, "PTX VM");
    ck_assert_int_eq(prop.warpSize, 32);
    ck_cuda(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0));
    ck_assert_int_eq(value, prop.major);
    ck_cuda(cudaRuntimeGetVersion(&version));
    ck_assert_int_eq(version, CUDART_VERSION);
    ck_cuda(cudaDriverGetVersion(&version));
    ck_assert_str_eq(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress");
    ck_assert_str_eq(cudaGetErrorString(cudaSuccess), "no error");
}
END_TEST

/* After a fault nothing runs any more, until everything starts anew. */
START_TEST(sticks_to_errors) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *device = device_alloc(N * 4), host[N] = {0};
    cudaStream_t stream = new_stream();
    void *memory;

    vm_report_quiet(true);
    ck_cuda(queue_scale(library, device + 7, device, 0, stream)); /* past the end; not yet known */
    ck_assert_int_eq(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    ck_assert_int_eq(cudaMalloc(&memory, 16), cudaErrorIllegalAddress);
    ck_assert_int_eq(cudaMemset(device, 0, 4), cudaErrorIllegalAddress);
    ck_assert_int_eq(cudaMemcpy(host, device, 4, cudaMemcpyDeviceToHost), cudaErrorIllegalAddress);
    ck_assert_int_eq(cudaPeekAtLastError(), cudaErrorIllegalAddress);
    ck_assert_uint_eq(vm_host()->launches, 1);
    vm_reset();
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess);
    ck_assert_uint_eq(vm_report_count(), 0);
    library = load_fixture("fixture");
    device = device_alloc(N * 4);
    ck_cuda(cudaMemset(device, 0, N * 4));
    ck_cuda(queue_scale(library, device, device, 3, NULL));
    fetch(host, device, N * 4);
    ck_assert_uint_eq(host[N - 1], 3);
}
END_TEST

/* ---- stand-ins of libraries ----------------------------------------------------------------- */

typedef struct fill_arguments {
    uint32_t *to;
    const uint32_t *from;
    uint32_t add;
} fill_arguments;

static bool add_number(const void *arguments) {
    const fill_arguments *a = arguments;
    const uint32_t *from = vm_device_read(a->from, N * 4, "add_number");
    uint32_t *to = vm_device_write(a->to, N * 4, "add_number"), i;

    for (i = 0; from && to && i < N; i++) {
        to[i] = from[i] + a->add;
    }
    return from && to;
}

START_TEST(queues_calls) {
    uint32_t *device = device_alloc(N * 4), *other = device_alloc(N * 4), host[N];
    cudaStream_t stream = new_stream();
    fill_arguments a = {device, device, 5};

    vm_report_quiet(true);
    ck_cuda(cudaMemset(device, 0, N * 4));
    ck_assert_int_eq(vm_enqueue_call(stream, "add_number", add_number, &a, sizeof(a)), cudaSuccess);
    ck_assert_int_eq(vm_enqueue_call(stream, "add_number", add_number, &a, sizeof(a)), cudaSuccess);
    ck_cuda(cudaStreamSynchronize(stream));
    fetch(host, device, N * 4);
    ck_assert_uint_eq(host[1], 10);
    ck_assert_uint_eq(vm_counters_of("add_number")->launches, 2);
    a.from = other; /* nobody wrote it */
    vm_enqueue_call(stream, "add_number", add_number, &a, sizeof(a));
    ck_assert_int_eq(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
    ck_assert_int_eq(vm_report_at(0)->finding, VM_UNDEFINED_MEMORY);
}
END_TEST

/* ---- libraries of one text --------------------------------------------------------------------
 */

static int limit_of(cudaLibrary_t library, const char *name) {
    struct cudaFuncAttributes attributes;
    cudaKernel_t kernel;

    ck_cuda(cudaLibraryGetKernel(&kernel, library, name));
    ck_cuda(cudaFuncGetAttributes(&attributes, (const void *)kernel));
    return attributes.maxDynamicSharedSizeBytes;
}

/* What was made of the text is shared, what the host sets and who unloads is not. */
START_TEST(tells_libraries_of_one_text_apart) {
    static const char text[] = ".version 8.0\n.target sm_80\n.address_size 64\n"
                               ".visible .entry nothing()\n{\n\tret;\n}\n";
    cudaLibrary_t a = load_text(text), b = load_text(text), c;
    cudaLaunchConfig_t config = {.gridDim = {1, 1, 1}, .blockDim = {32, 1, 1}};
    cudaKernel_t kernel, same;

    ck_cuda(cudaLibraryGetKernel(&kernel, a, "nothing"));
    ck_cuda(cudaLibraryGetKernel(&same, b, "nothing"));
    ck_assert_ptr_ne(kernel, same);
    ck_cuda(cudaKernelSetAttributeForDevice(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            100 * 1024, 0));
    c = load_text(text);
    ck_assert_int_eq(limit_of(a, "nothing"), 100 * 1024);
    ck_assert_int_eq(limit_of(b, "nothing"), 48 * 1024);
    ck_assert_int_eq(limit_of(c, "nothing"), 48 * 1024);
    ck_cuda(cudaLibraryUnload(a));
    ck_assert_int_eq(cudaLaunchKernelExC(&config, (const void *)kernel, NULL),
                     cudaErrorInvalidResourceHandle);
    launch_clean(b, "nothing", dims(1, 1, 1), dims(32, 1, 1), 0, NULL);
}
END_TEST

/* Variables belong to a library, and start anew with each. */
START_TEST(keeps_variables_apart) {
    static const char text[] =
        ".version 8.0\n.target sm_80\n.address_size 64\n.global .align 4 .u32 total = 5;\n"
        ".visible .entry count(\n\t.param .align 8 .b8 p[8]\n)\n{\n\t.reg .b32 %r<3>;\n"
        "\t.reg .b64 %rd<3>;\n\tmov.u64 %rd1, total;\n\tld.global.u32 %r1, [%rd1];\n"
        "\tadd.s32 %r2, %r1, 1;\n\tst.global.u32 [%rd1], %r2;\n\tld.param.u64 %rd2, [p];\n"
        "\tst.global.u32 [%rd2], %r2;\n\tret;\n}\n";
    cudaLibrary_t a = load_text(text), b = load_text(text);
    uint32_t *device = device_alloc(4), value;

    launch_clean(a, "count", dims(1, 1, 1), dims(1, 1, 1), 0, &device);
    launch_clean(a, "count", dims(1, 1, 1), dims(1, 1, 1), 0, &device);
    fetch(&value, device, 4);
    ck_assert_uint_eq(value, 7);
    launch_clean(b, "count", dims(1, 1, 1), dims(1, 1, 1), 0, &device);
    fetch(&value, device, 4);
    ck_assert_uint_eq(value, 6);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_launch");
    TCase *tcase = tcase_create("launch");

    tcase_add_test(tcase, checks_launches);
    tcase_add_test(tcase, limits_shared_memory);
    tcase_add_test(tcase, introduces_the_device);
    tcase_add_test(tcase, sticks_to_errors);
    tcase_add_test(tcase, queues_calls);
    tcase_add_test(tcase, tells_libraries_of_one_text_apart);
    tcase_add_test(tcase, keeps_variables_apart);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
