/* The stand-in for the CUDA runtime: order of work, memory, limits, errors, graphs. Hand-written
 * PTX only. */
#include "fixture_support.h"

/* ---- order ---------------------------------------------------------------------------------- */

/* A copy from pinned memory takes what is there when the stream gets to it. */
START_TEST(reads_pinned_memory_late) {
    uint32_t *host = pinned(), *result = pinned(), *device = device_alloc(N * 4);
    cudaStream_t stream = new_stream();

    host[5] = 1;
    ck_cuda(cudaMemcpyAsync(device, host, N * 4, cudaMemcpyHostToDevice, stream));
    host[5] = 2; /* too early: a mistake that must show */
    ck_cuda(cudaMemcpyAsync(result, device, N * 4, cudaMemcpyDeviceToHost, stream));
    ck_assert_uint_eq(result[5], 0); /* not there before one waits */
    ck_cuda(cudaStreamSynchronize(stream));
    ck_assert_uint_eq(result[5], 2);
}
END_TEST

/* Pageable memory is copied aside at the call; a copy to it waits. */
START_TEST(stages_pageable_memory) {
    uint32_t host[N] = {[5] = 1}, result[N] = {0}, *device = device_alloc(N * 4);
    cudaStream_t stream = new_stream();

    ck_cuda(cudaMemcpyAsync(device, host, N * 4, cudaMemcpyHostToDevice, stream));
    host[5] = 2;
    ck_cuda(cudaMemcpyAsync(result, device, N * 4, cudaMemcpyDeviceToHost, stream));
    ck_assert_uint_eq(result[5], 1);
}
END_TEST

/* Without the event the second stream would copy zeros. */
START_TEST(orders_streams_by_events) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *host = pinned(), *device = device_alloc(N * 4), *other = device_alloc(N * 4);
    cudaStream_t a = new_stream(), b = new_stream();
    cudaEvent_t event;
    int use_event = _i;

    ck_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    ck_cuda(cudaMemset(device, 0, N * 4));
    ck_cuda(cudaMemset(other, 0, N * 4));
    ck_cuda(queue_scale(library, device, other, 9, a));
    ck_cuda(cudaEventRecord(event, a));
    if (use_event) {
        ck_cuda(cudaStreamWaitEvent(b, event, 0));
    }
    ck_cuda(cudaMemcpyAsync(host, other, N * 4, cudaMemcpyDeviceToHost, b));
    ck_cuda(cudaStreamSynchronize(b));
    ck_assert_uint_eq(host[7], use_event ? 9 : 0);
}
END_TEST

START_TEST(tells_the_state_of_events) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *device = device_alloc(N * 4);
    cudaStream_t stream = new_stream();
    cudaEvent_t start, end;
    float ms = -1;

    ck_cuda(cudaEventCreate(&start));
    ck_cuda(cudaEventCreate(&end));
    ck_cuda(cudaEventQuery(start)); /* never recorded: done */
    ck_cuda(cudaMemset(device, 0, N * 4));
    ck_cuda(cudaEventRecord(start, stream));
    ck_cuda(queue_scale(library, device, device, 1, stream));
    ck_cuda(cudaEventRecord(end, stream));
    ck_assert_int_eq(cudaEventElapsedTime(&ms, start, end), cudaErrorNotReady);
    ck_assert_int_eq(cudaEventQuery(end), cudaErrorNotReady);
    ck_cuda(cudaEventSynchronize(end));
    ck_cuda(cudaEventQuery(end));
    ck_cuda(cudaEventElapsedTime(&ms, start, end));
    ck_assert_float_ge(ms, 0);
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess); /* "not ready" is no error */
    ck_cuda(cudaEventDestroy(start));
    ck_assert_int_eq(cudaEventRecord(start, stream), cudaErrorInvalidResourceHandle);
}
END_TEST

/* ---- graphs --------------------------------------------------------------------------------- */

START_TEST(replays_a_graph) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *in = pinned(), *out = pinned(), *device = device_alloc(N * 4);
    cudaStream_t stream = new_stream(), side = new_stream();
    cudaEvent_t fork, join;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    size_t nodes;
    int i;

    ck_cuda(cudaEventCreate(&fork));
    ck_cuda(cudaEventCreate(&join));
    ck_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    ck_cuda(cudaMemcpyAsync(device, in, N * 4, cudaMemcpyHostToDevice, stream));
    ck_cuda(cudaEventRecord(fork, stream));
    ck_cuda(cudaStreamWaitEvent(side, fork, 0)); /* a second stream joins */
    ck_cuda(queue_scale(library, device, device, 100, side));
    ck_cuda(cudaEventRecord(join, side));
    ck_cuda(cudaStreamWaitEvent(stream, join, 0));
    ck_cuda(cudaMemcpyAsync(out, device, N * 4, cudaMemcpyDeviceToHost, stream));
    ck_cuda(cudaStreamEndCapture(stream, &graph));
    ck_cuda(cudaGraphGetNodes(graph, NULL, &nodes));
    ck_assert_uint_eq(nodes, 3);
    ck_cuda(cudaGraphInstantiate(&exec, graph, 0));
    ck_cuda(cudaGraphDestroy(graph));
    ck_assert_uint_eq(vm_host()->launches, 0); /* captured, not run */
    for (i = 0; i < 3; i++) {
        in[3] = (uint32_t)i;
        ck_cuda(cudaGraphLaunch(exec, stream));
        ck_cuda(cudaStreamSynchronize(stream));
        ck_assert_uint_eq(out[3], (uint32_t)i + 100);
    }
    ck_assert_uint_eq(vm_host()->launches, 3);
    ck_assert_uint_eq(vm_host()->graph_launches, 3);
    ck_cuda(cudaGraphExecDestroy(exec));
    ck_cuda(cudaStreamSynchronize(side)); /* no longer capturing */
}
END_TEST

START_TEST(forbids_waiting_while_capturing) {
    cudaStream_t stream = new_stream();
    enum cudaStreamCaptureStatus status;
    cudaGraph_t graph;
    void *memory;

    ck_assert_int_eq(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeGlobal),
                     cudaErrorStreamCaptureUnsupported);
    ck_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    ck_cuda(cudaStreamIsCapturing(stream, &status));
    ck_assert_int_eq(status, cudaStreamCaptureStatusActive);
    ck_assert_int_eq(cudaMalloc(&memory, 100), cudaErrorStreamCaptureUnsupported);
    ck_cuda(cudaStreamIsCapturing(stream, &status));
    ck_assert_int_eq(status, cudaStreamCaptureStatusInvalidated);
    ck_assert_int_eq(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
    ck_assert_int_eq(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    ck_assert_ptr_null(graph);
    ck_cuda(cudaMalloc(&memory, 100));
}
END_TEST

/* Whichever of the calls fails, the stream can be used, and captured, afterwards. */
START_TEST(fails_graph_calls) {
    enum { CALLS = 5 }; /* begin, the kernel, end, instantiation, launch */
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *device = device_alloc(N * 4), result[N];
    cudaStream_t stream = new_stream();

    ck_cuda(cudaMemset(device, 0, N * 4));
    for (int n = 1; n <= CALLS + 1; n++) {
        cudaGraph_t graph = NULL;
        cudaGraphExec_t exec = NULL;
        cudaError_t errors[CALLS] = {cudaSuccess};

        vm_fail_call(VM_CALL_GRAPH, (uint64_t)n, false);
        errors[0] = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
        if (errors[0] == cudaSuccess) {
            errors[1] = queue_scale(library, device, device, 1, stream);
            if (n == 2) {
                ck_assert_int_eq(queue_scale(library, device, device, 1, stream),
                                 cudaErrorStreamCaptureInvalidated);
            }
            errors[2] = cudaStreamEndCapture(stream, &graph);
        }
        if (graph != NULL) {
            errors[3] = cudaGraphInstantiate(&exec, graph, 0);
            ck_cuda(cudaGraphDestroy(graph));
        }
        if (exec != NULL) {
            errors[4] = cudaGraphLaunch(exec, stream);
            ck_cuda(cudaGraphExecDestroy(exec));
        }
        for (int i = 0; i < CALLS; i++) {
            ck_assert_int_eq(errors[i] != cudaSuccess, i == n - 1 || (n == 2 && i == 2));
        }
        ck_assert_uint_eq(vm_host()->live_graphs, 0);
        ck_cuda(cudaStreamSynchronize(stream));
    }
    fetch(result, device, N * 4);
    ck_assert_uint_eq(result[1], 1); /* the last one ran */
}
END_TEST

/* ---- memory --------------------------------------------------------------------------------- */

START_TEST(guards_memory) {
    char *a = device_alloc(1000), *b = device_alloc(1000), host[2000];
    size_t free_bytes, total;

    vm_report_quiet(true);
    memset(host, 0, sizeof(host));
    ck_assert(b - a >= 1000 + 65536 || a - b >= 1000 + 65536);
    ck_assert_uint_eq((uintptr_t)a % 256, 0);
    ck_assert_int_eq(cudaMemcpy(a, host, 1001, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpy(host, a + 999, 2, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemset(a + 1, 0, 1000), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpy(host, a, 10, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaFree(a + 8), cudaErrorInvalidValue);
    ck_cuda(cudaMemcpy(a, host, 1000, cudaMemcpyHostToDevice));
    ck_cuda(cudaFree(a));
    ck_assert_int_eq(cudaFree(a), cudaErrorInvalidValue);
    ck_assert_int_eq(cudaMemcpy(host, a, 10, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    ck_cuda(cudaFree(NULL));
    vm_set_device_memory(10000);
    ck_cuda(cudaMemGetInfo(&free_bytes, &total));
    ck_assert_uint_eq(total, 10000);
    ck_assert_uint_eq(free_bytes, 9000);
    ck_assert_int_eq(cudaMalloc((void **)&a, 9001), cudaErrorMemoryAllocation);
    ck_assert_ptr_null(a);
    vm_fail_call(VM_CALL_ALLOCATION, 2, false);
    ck_cuda(cudaMalloc((void **)&a, 100));
    ck_assert_int_eq(cudaMalloc((void **)&a, 100), cudaErrorMemoryAllocation);
    ck_cuda(cudaMalloc((void **)&a, 100));
}
END_TEST

/* A kernel that uses freed memory is told so. */
START_TEST(finds_use_after_free) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *in = device_alloc(N * 4), *out = device_alloc(N * 4);

    vm_report_quiet(true);
    ck_cuda(cudaMemset(in, 0, N * 4));
    ck_cuda(cudaFree(in));
    ck_cuda(queue_scale(library, in, out, 0, NULL));
    ck_assert_int_eq(cudaStreamSynchronize(NULL), cudaErrorIllegalAddress);
    ck_assert_int_eq(vm_report_at(0)->finding, VM_USE_AFTER_FREE);
    ck_assert_int_eq(vm_report_at(0)->line, 12);
    ck_assert_str_eq(vm_report_at(0)->file, "fixture.cu");
}
END_TEST

/* cudaFree waits for the kernels that use the memory. */
START_TEST(frees_after_use) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *in = device_alloc(N * 4), *out = device_alloc(N * 4), host[N];

    ck_cuda(cudaMemset(in, 0, N * 4));
    ck_cuda(queue_scale(library, in, out, 6, new_stream()));
    ck_cuda(cudaFree(in));
    fetch(host, out, N * 4);
    ck_assert_uint_eq(host[2], 6);
}
END_TEST

/* The last element lies half in and half out of the allocation. */
START_TEST(finds_half_an_element) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *in = device_alloc(N * 4), *out = device_alloc(N * 4 - 2);

    vm_report_quiet(true);
    ck_cuda(cudaMemset(in, 0, N * 4));
    ck_cuda(queue_scale(library, in, out, 0, NULL));
    ck_assert_int_eq(cudaStreamSynchronize(NULL), cudaErrorIllegalAddress);
    ck_assert_uint_eq(vm_report_at(0)->warp, 1);
    ck_assert_uint_eq(vm_report_at(0)->lane, 31);
}
END_TEST

/* What was never written stays so when it is copied on the device. */
START_TEST(copies_what_is_undefined) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *in = device_alloc(N * 4), *out = device_alloc(N * 4), *copy = device_alloc(N * 4);
    cudaStream_t stream = new_stream();

    vm_report_quiet(true);
    ck_cuda(cudaMemset(in, 0, N * 4 - 4));
    ck_cuda(cudaMemcpyAsync(copy, in, N * 4, cudaMemcpyDeviceToDevice, stream));
    ck_cuda(queue_scale(library, copy, out, 0, stream));
    ck_assert_int_eq(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
    ck_assert_int_eq(vm_report_at(0)->finding, VM_UNDEFINED_MEMORY);
    ck_assert_uint_eq(vm_report_at(0)->warp, 1);
    ck_assert_uint_eq(vm_report_at(0)->lane, 31);
}
END_TEST

START_TEST(lets_kernels_reach_pinned_memory) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t *in = pinned(), *out = pinned();
    cudaStream_t stream = new_stream();

    in[9] = 4;
    ck_cuda(queue_scale(library, in, out, 1, stream));
    ck_cuda(cudaStreamSynchronize(stream));
    ck_assert_uint_eq(out[9], 5);
    ck_cuda(cudaFreeHost(in));
    ck_cuda(cudaFreeHost(out));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_runtime");
    TCase *tcase = tcase_create("runtime");

    tcase_add_test(tcase, reads_pinned_memory_late);
    tcase_add_test(tcase, stages_pageable_memory);
    tcase_add_loop_test(tcase, orders_streams_by_events, 0, 2);
    tcase_add_test(tcase, tells_the_state_of_events);
    tcase_add_test(tcase, replays_a_graph);
    tcase_add_test(tcase, forbids_waiting_while_capturing);
    tcase_add_test(tcase, fails_graph_calls);
    tcase_add_test(tcase, guards_memory);
    tcase_add_test(tcase, finds_use_after_free);
    tcase_add_test(tcase, frees_after_use);
    tcase_add_test(tcase, finds_half_an_element);
    tcase_add_test(tcase, copies_what_is_undefined);
    tcase_add_test(tcase, lets_kernels_reach_pinned_memory);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
