/* What may fail about captured steps: the driver, memory, what cannot be captured, and a kernel. */
#include <string.h>

#include "base/alloc.h"
#include "graph_fixture.h"
#include "ptx_vm.h"
#include "run.h"

enum { NEW_TOKENS = 6 };

static void generate_tiny(fixture *f, int32_t ids[NEW_TOKENS]) {
    b2_request *request = submit(f, "a photo of", NEW_TOKENS, 1.0f);
    bool busy = true;

    while (busy)
        ck_assert_status_ok(b2_engine_step(f->engine, &busy));
    ck_assert_status_ok(request->status);
    ck_assert_uint_eq(request->id_count, request->prompt_count + NEW_TOKENS);
    memcpy(ids, request->ids + request->prompt_count, NEW_TOKENS * sizeof *ids);
    b2_request_close(request);
}

/* Each call that captures a step, or starts it, fails in turn: begin, its operations, end, making
 * the graph; four starts. */
START_TEST(survives_a_driver_that_cannot) {
    enum { OPERATIONS = 2 + 3 * 7 + 4, CALLS = OPERATIONS + 3 + NEW_TOKENS - 2 };
    int32_t expected[NEW_TOKENS], ids[NEW_TOKENS];
    fixture f;

    open_fixture(&f, TINY, "cuda", BLIP2_COMPUTE_F32);
    f.engine->graphs.off = true;
    generate_tiny(&f, expected);
    for (uint64_t n = 1; n <= CALLS + 1; n++) {
        f.engine->graphs.off = false;
        f.lines = 0;
        b2_graphs_free(&f.engine->graphs);
        vm_fail_call(VM_CALL_GRAPH, n, false);
        generate_tiny(&f, ids);
        vm_fail_call(VM_CALL_GRAPH, 0, false);
        ck_assert_mem_eq(ids, expected, sizeof ids);
        ck_assert_int_eq(f.lines, n <= CALLS);
        ck_assert(f.engine->graphs.off == (n <= CALLS));
        ck_assert_uint_eq(vm_host()->live_graphs, n <= CALLS ? 0 : 1);
        if (n <= CALLS)
            ck_assert_msg(strstr(f.line, "without graphs: cuda:0") != NULL, "log: %s", f.line);
    }
    close_fixture(&f);
}
END_TEST

/* No memory for the graph: the driver's, the host's. */
START_TEST(survives_without_memory) {
    int32_t expected[NEW_TOKENS], ids[NEW_TOKENS];
    b2_request *request;
    fixture f;

    open_fixture(&f, TINY, "cuda", BLIP2_COMPUTE_F32);
    generate_tiny(&f, expected);
    b2_graphs_free(&f.engine->graphs);
    vm_fail_call(VM_CALL_ALLOCATION, 1, false);
    generate_tiny(&f, ids);
    ck_assert_mem_eq(ids, expected, sizeof ids);
    ck_assert_msg(strstr(f.line, "out of memory") != NULL, "log: %s", f.line);
    f.engine->graphs.off = false;
    request = submit(&f, "a photo of", NEW_TOKENS, 1.0f);
    step(&f);
    b2_alloc_fail_after(0);
    step(&f); /* the first of decoding */
    ck_assert_int_eq(b2_alloc_count(), 1);
    b2_alloc_fail_after(-1);
    for (int i = 2; i < NEW_TOKENS; i++)
        step(&f);
    ck_assert_mem_eq(request->ids + request->prompt_count, expected, sizeof expected);
    b2_request_close(request);
    ck_assert_int_eq(f.lines, 2);
    ck_assert_uint_eq(vm_host()->live_graphs, 0);
    close_fixture(&f);
}
END_TEST

/* While capturing, what cannot be captured is refused, and breaks neither capture nor device. */
START_TEST(refuses_what_cannot_be_captured) {
    static const float zeros[64];
    b2_device_options options = {.compute = B2_COMPUTE_F16};
    const b2_weight_part part = {zeros, 8, B2_F32};
    const b2_weight_desc desc = {&part, 1, 8, B2_F16, B2_USE_LINEAR};
    b2_device *device;
    const b2_device_ops *ops;
    b2_weight *weight, *other;
    b2_graph *graph, *outer;
    void *memory, *more;
    float y[64];

    ck_assert_status_ok(b2_device_open(&device, "cuda", &options));
    ops = device->ops;
    ck_assert_status_ok(ops->weight_create(device, &desc, &weight));
    ck_assert_status_ok(ops->alloc(device, &memory, 4096));
    ck_assert_status_ok(ops->upload(device, memory, zeros, sizeof zeros));
    const b2_linear linear = {.x = b2_mat_of(memory, B2_F32, 1, 8),
                              .w = weight,
                              .bias = memory,
                              .y = b2_mat_of((char *)memory + 256, B2_F16, 1, 8)};
    const b2_resize_normalise resize = {.rgb = (const uint8_t *)zeros,
                                        .in_width = 2,
                                        .in_height = 2,
                                        .width = 2,
                                        .height = 2,
                                        .std = {1.0f, 1.0f, 1.0f},
                                        .pixels = memory};
    ck_assert_status(ops->capture_end(device, &graph), BLIP2_EINTERNAL);
    ck_assert_status_ok(ops->capture_begin(device));
    ck_assert_status(ops->capture_begin(device), BLIP2_EINTERNAL);
    ck_assert_status(ops->linear(device, &linear), BLIP2_EINTERNAL); /* it has no half bias yet */
    ck_assert_status(ops->upload(device, memory, zeros, 4), BLIP2_EINTERNAL);
    ck_assert_status(ops->download(device, y, memory, 4), BLIP2_EINTERNAL);
    ck_assert_status(ops->sync(device), BLIP2_EINTERNAL);
    ck_assert_status(ops->alloc(device, &more, 4), BLIP2_EINTERNAL);
    ck_assert_ptr_null(more);
    ck_assert_status(ops->weight_create(device, &desc, &other), BLIP2_EINTERNAL);
    ck_assert_ptr_null(other);
    ck_assert_status(ops->resize_normalise(device, &resize), BLIP2_EINTERNAL);
    ck_assert_status_ok(ops->capture_end(device, &graph)); /* empty, and sound */
    ck_assert_status_ok(ops->graph_run(device, graph));
    ck_assert_status_ok(ops->capture_begin(device));
    ck_assert_status(ops->graph_run(device, graph), BLIP2_EINTERNAL);
    ck_assert_status_ok(ops->capture_end(device, &outer));
    ops->graph_free(device, graph);
    ops->graph_free(device, outer);
    ops->graph_free(device, NULL);
    ck_assert_status_ok(ops->linear(device, &linear));
    ck_assert_status_ok(ops->download(device, y, memory, sizeof y));
    ops->weight_free(device, weight);
    ops->free(device, memory);
    b2_device_close(device);
    ck_assert_uint_eq(vm_host()->live_graphs + vm_host()->live_bytes, 0);
    ck_assert_uint_eq(vm_report_count(), 0);
}
END_TEST

/* A fault inside a graph is told as any other: at the wait behind it, and for good. */
START_TEST(a_fault_in_a_graph_breaks_the_device) {
    static const float zeros[16];
    b2_device_options options = {.compute = B2_COMPUTE_F32};
    int32_t row = 0;
    b2_device *device;
    b2_graph *graph;
    void *x, *rows;

    ck_assert_status_ok(b2_device_open(&device, "cuda", &options));
    ck_assert_status_ok(device->ops->alloc(device, &x, sizeof zeros));
    ck_assert_status_ok(device->ops->upload(device, x, zeros, sizeof zeros));
    ck_assert_status_ok(device->ops->alloc(device, &rows, sizeof row));
    ck_assert_status_ok(device->ops->upload(device, rows, &row, sizeof row));
    const b2_copy_rows copy = {.x = b2_mat_of(x, B2_F32, 2, 4),
                               .y = b2_mat_of((float *)x + 8, B2_F32, 2, 4),
                               .x_rows = rows,
                               .count = 1};
    ck_assert_status_ok(device->ops->capture_begin(device));
    ck_assert_status_ok(device->ops->copy_rows(device, &copy));
    ck_assert_status_ok(device->ops->capture_end(device, &graph));
    ck_assert_status_ok(device->ops->graph_run(device, graph));
    ck_assert_status_ok(device->ops->sync(device));
    row = 1 << 20;
    ck_assert_status_ok(device->ops->upload(device, rows, &row, sizeof row));
    vm_report_quiet(true);
    ck_assert_status_ok(device->ops->graph_run(device, graph));
    ck_assert_status(device->ops->sync(device), BLIP2_EDEVICE);
    ck_assert_msg(strstr(blip2_error_message(), "a captured step") != NULL, "message: %s",
                  blip2_error_message());
    ck_assert_status(device->ops->graph_run(device, graph), BLIP2_EDEVICE);
    ck_assert_status(device->ops->capture_begin(device), BLIP2_EDEVICE);
    device->ops->graph_free(device, graph);
    b2_device_close(device);
}
END_TEST

void suite_graph_faults(TCase *tests) {
    tcase_add_test(tests, survives_a_driver_that_cannot);
    tcase_add_test(tests, survives_without_memory);
    tcase_add_test(tests, refuses_what_cannot_be_captured);
    tcase_add_test(tests, a_fault_in_a_graph_breaks_the_device);
}
