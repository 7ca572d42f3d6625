/* Captured steps of the CUDA device on the GPU in software: they give what direct ones give, count
 * what they promise, and whatever fails about them, the requests do not (test_graph_faults.c). */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "graph_fixture.h"
#include "ptx_vm.h"
#include "run.h"

enum { MOST_TOKENS = 64 };

static void keep_line(blip2_log_level level, const char *line, void *payload) {
    fixture *f = payload;

    ck_assert_int_eq(level, BLIP2_LOG_WARNING);
    (void)snprintf(f->line, sizeof f->line, "%s", line);
    f->lines++;
}

void open_fixture(fixture *f, const char *folder, const char *device, blip2_compute compute) {
    blip2_model_options options;
    blip2_engine_options limits;
    uint8_t rgb[16 * 16 * 3];

    *f = (fixture){0};
    blip2_model_options_init(&options, sizeof options);
    options.device = device;
    options.compute = compute;
    options.threads = 1;
    options.log = keep_line;
    options.log_payload = f;
    ck_assert_status_ok(blip2_model_open(&f->model, folder, &options));
    blip2_engine_options_init(&limits, sizeof limits);
    limits.max_requests = REQUESTS;
    ck_assert_status_ok(blip2_engine_open(&f->engine, f->model, &limits));
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * i / 7);
    ck_assert_status_ok(blip2_image_from_rgb(&f->image, rgb, 16, 16, 16 * 3));
}

void close_fixture(fixture *f) {
    blip2_image_free(f->image);
    blip2_engine_close(f->engine);
    blip2_model_close(f->model);
    ck_assert_uint_eq(vm_host()->live_bytes, 0);
    ck_assert_uint_eq(vm_host()->live_graphs, 0);
    ck_assert_uint_eq(vm_report_count(), 0);
}

b2_request *submit(fixture *f, const char *prompt, uint32_t new_tokens, float penalty) {
    const b2_request_options options = {.prompt = prompt,
                                        .min_new_tokens = new_tokens,
                                        .max_new_tokens = new_tokens,
                                        .repetition_penalty = penalty};
    b2_request *request;

    ck_assert_status_ok(b2_request_open(&request, f->model, f->image, &options));
    ck_assert_status_ok(b2_engine_submit(f->engine, request));
    return request;
}

void step(fixture *f) {
    bool busy;

    ck_assert_status_ok(b2_engine_step(f->engine, &busy));
}

/* ---- what they give ----------------------------------------------------------------------- */

typedef struct tokens {
    int32_t ids[REQUESTS][MOST_TOKENS];
    uint64_t graph_launches, graphs;
} tokens;

static b2_request *submit_drawn(fixture *f, const char *prompt, uint32_t new_tokens) {
    const b2_request_options options = {.prompt = prompt,
                                        .min_new_tokens = new_tokens,
                                        .max_new_tokens = new_tokens,
                                        .repetition_penalty = 1.2f,
                                        .sample = true,
                                        .seed = 9,
                                        .warpers = {2.0f, 40, 0.9f, 0.0f, 1.0f, 1}};
    b2_request *request;

    ck_assert_status_ok(b2_request_open(&request, f->model, f->image, &options));
    ck_assert_status_ok(b2_engine_submit(f->engine, request));
    return request;
}

/* Requests of different length that join one by one and leave when they are done; the last one may
 * be drawn. */
static void generate(tokens *out, const char *folder, const char *device, blip2_compute compute,
                     bool capture, bool drawn) {
    static const char *const prompts[REQUESTS] = {
        NULL, "a photo of",
        "question: what colour is the very large thing in the middle? answer:", "x"};
    static const uint32_t joins[REQUESTS] = {0, 3, 4, 8}, lasts[REQUESTS] = {14, 5, 9, 20};
    b2_request *requests[REQUESTS];
    fixture f;
    bool busy = true;

    *out = (tokens){0};
    open_fixture(&f, folder, device, compute);
    f.engine->graphs.off = !capture;
    vm_counters_clear();
    for (uint32_t i = 0, n = 0; busy; i++) {
        for (; n < REQUESTS && joins[n] == i; n++)
            requests[n] = drawn && n == REQUESTS - 1
                              ? submit_drawn(&f, prompts[n], lasts[n])
                              : submit(&f, prompts[n], lasts[n], n == 1 ? 1.5f : 1.0f);
        ck_assert_status_ok(b2_engine_step(f.engine, &busy));
        busy = busy || n < REQUESTS;
    }
    out->graph_launches = vm_host()->graph_launches;
    out->graphs = vm_host()->live_graphs;
    for (uint32_t i = 0; i < REQUESTS; i++) {
        ck_assert_status_ok(requests[i]->status);
        ck_assert_uint_eq(requests[i]->id_count, requests[i]->prompt_count + lasts[i]);
        memcpy(out->ids[i], requests[i]->ids + requests[i]->prompt_count,
               lasts[i] * sizeof(int32_t));
        b2_request_close(requests[i]);
    }
    ck_assert_int_eq(f.lines, 0);
    close_fixture(&f);
}

/* The demo's are the CPU's; a random model's, whose scores lie close, those of direct steps. */
static const struct {
    const char *folder, *direct;
    blip2_compute compute;
    uint64_t steps; /* of decoding */
} ways[] = {{DEMO, "cpu", BLIP2_COMPUTE_F32, 24},
            {TINY, "cuda", BLIP2_COMPUTE_F32, 24},
            {TINY, "cuda", BLIP2_COMPUTE_F16, 24},
            {T5, "cuda", BLIP2_COMPUTE_F32, 28},
            {T5, "cuda", BLIP2_COMPUTE_AUTO, 28}};

START_TEST(same_tokens) {
    tokens direct, captured;

    generate(&direct, ways[_i].folder, ways[_i].direct, ways[_i].compute, false, false);
    generate(&captured, ways[_i].folder, "cuda", ways[_i].compute, true, false);
    ck_assert_uint_eq(direct.graph_launches, 0);
    ck_assert_mem_eq(captured.ids, direct.ids, sizeof direct.ids);
    /* Of 28 steps 4 have prompts (T5's encoder reads them before); 16 decode one sequence, 1 two, 7
     * three (T5: 17, 2 and 9): the first of each kind is captured. */
    ck_assert_uint_eq(captured.graphs, 3);
    ck_assert_uint_eq(captured.graph_launches, ways[_i].steps - 3);
}
END_TEST

/* F16 could not hold what T5 computes. */
START_TEST(t5_computes_in_bf16) {
    fixture f;

    open_fixture(&f, T5, "cuda", BLIP2_COMPUTE_AUTO);
    ck_assert_int_eq(f.model->device->compute, B2_BF16);
    close_fixture(&f);
    open_fixture(&f, TINY, "cuda", BLIP2_COMPUTE_AUTO);
    ck_assert_int_eq(f.model->device->compute, B2_F16);
    close_fixture(&f);
}
END_TEST

/* A step in which tokens are drawn is another graph. */
START_TEST(same_drawn_tokens) {
    tokens direct, captured, greedy;

    generate(&direct, TINY, "cuda", BLIP2_COMPUTE_F16, false, true);
    generate(&captured, TINY, "cuda", BLIP2_COMPUTE_F16, true, true);
    generate(&greedy, TINY, "cuda", BLIP2_COMPUTE_F16, true, false);
    ck_assert_mem_eq(captured.ids, direct.ids, sizeof direct.ids);
    ck_assert_mem_eq(captured.ids, greedy.ids, (REQUESTS - 1) * sizeof direct.ids[0]);
    ck_assert_mem_ne(captured.ids[REQUESTS - 1], greedy.ids[REQUESTS - 1], sizeof direct.ids[0]);
    ck_assert_uint_gt(captured.graphs, 3);
    ck_assert_uint_gt(captured.graph_launches, 24 / 2);
}
END_TEST

/* Attention of one row over keys in pages, which stand from the last to the first. */
enum { HEAD = 64, MOST_KEYS = 1024, PAGE = 16, PAGES = MOST_KEYS / PAGE };

typedef struct attending {
    b2_device *device;
    void *memory[5];
    b2_attention op;
} attending;

static void *send(attending *a, int i, const void *from, size_t bytes) {
    if (a->memory[i] == NULL)
        ck_assert_status_ok(a->device->ops->alloc(a->device, &a->memory[i], bytes));
    ck_assert_status_ok(a->device->ops->upload(a->device, a->memory[i], from, bytes));
    return a->memory[i];
}

static void open_attending(attending *a, const char *name, const float *pool) {
    b2_device_options options = {.threads = 1, .compute = B2_COMPUTE_F32};
    int32_t table[PAGES], q_start[2] = {0, 1}, zero = 0;

    *a = (attending){0};
    ck_assert_status_ok(b2_device_open(&a->device, name, &options));
    for (int i = 0; i < PAGES; i++)
        table[i] = PAGES - 1 - i;
    a->op =
        (b2_attention){.q = b2_mat_of(send(a, 0, pool, 2 * HEAD * sizeof(float)), B2_F32, 1, HEAD),
                       .kv = {.pages = send(a, 1, pool, sizeof(float) * 2 * MOST_KEYS * HEAD),
                              .layout = {.type = B2_F32,
                                         .layers = 1,
                                         .heads = 1,
                                         .head_size = HEAD,
                                         .page_tokens = PAGE,
                                         .page_bytes = sizeof(float) * 2 * PAGE * HEAD},
                              .page_table = send(a, 2, table, sizeof table),
                              .table_stride = PAGES},
                       .q_start = send(a, 3, q_start, sizeof q_start),
                       .k_count = send(a, 4, &zero, sizeof zero),
                       .segments = 1,
                       .heads = 1,
                       .head_size = HEAD,
                       .max_q = 1,
                       .max_k = MOST_KEYS,
                       .scale = 0.125f,
                       .rule = B2_MASK_CAUSAL};
    a->op.y = a->op.q;
    a->op.y.data = (float *)a->op.q.data + HEAD;
}

/* By its graph, or directly. */
static void attend(attending *a, int32_t keys, b2_graph *graph, float y[HEAD]) {
    (void)send(a, 4, &keys, sizeof keys);
    ck_assert_status_ok(graph != NULL ? a->device->ops->graph_run(a->device, graph)
                                      : a->device->ops->attention(a->device, &a->op));
    ck_assert_status_ok(a->device->ops->download(a->device, y, a->op.y.data, HEAD * sizeof(float)));
}

static void close_attending(attending *a) {
    for (int i = 0; i < 5; i++)
        a->device->ops->free(a->device, a->memory[i]);
    b2_device_close(a->device);
}

/* One graph, captured for the longest sequence, serves all lengths. */
START_TEST(one_graph_for_all_lengths) {
    static const int32_t lengths[] = {1, 15, 16, 17, 127, 128, 130, 512, 700, 1023, 1024};
    float *pool = b2_alloc_array(2 * MOST_KEYS * HEAD, sizeof *pool);
    uint32_t random = 1;
    attending cpu, cuda;
    b2_graph *graph;

    ck_assert_ptr_nonnull(pool);
    for (int i = 0; i < 2 * MOST_KEYS * HEAD; i++) {
        random = random * 1664525u + 1013904223u;
        pool[i] = (float)(int32_t)random * 0x1p-31f;
    }
    open_attending(&cpu, "cpu", pool);
    open_attending(&cuda, "cuda", pool);
    ck_assert_status_ok(cuda.device->ops->capture_begin(cuda.device));
    ck_assert_status_ok(cuda.device->ops->attention(cuda.device, &cuda.op));
    ck_assert_status_ok(cuda.device->ops->capture_end(cuda.device, &graph));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        float expected[HEAD], direct[HEAD], captured[HEAD];
        /* Every order of fp32 sums of m weights and values below 1 is within m ulps of another. */
        float tolerance = (float)lengths[i] * 0x1p-23f;

        attend(&cpu, lengths[i], NULL, expected);
        attend(&cuda, lengths[i], graph, captured);
        attend(&cuda, lengths[i], NULL, direct);
        ck_assert_mem_eq(captured, direct, sizeof direct);
        for (int d = 0; d < HEAD; d++)
            ck_assert_float_eq_tol(captured[d], expected[d], tolerance);
    }
    ck_assert_uint_eq(vm_host()->graph_launches, sizeof lengths / sizeof *lengths);
    cuda.device->ops->graph_free(cuda.device, graph);
    b2_free(pool);
    close_attending(&cpu);
    close_attending(&cuda);
    ck_assert_uint_eq(vm_host()->live_graphs, 0);
    ck_assert_uint_eq(vm_report_count(), 0);
}
END_TEST

static void count_logits(b2_request *request, const b2_mat *row, void *payload) {
    (void)request;
    ck_assert_int_eq(row->rows, 1);
    ++*(int *)payload;
}

/* Whoever looks at logits is shown those of every step. */
START_TEST(a_watched_step_runs_directly) {
    enum { TOKENS = 6 };
    b2_request *request;
    bool busy = true;
    int shown = 0;
    fixture f;

    open_fixture(&f, TINY, "cuda", BLIP2_COMPUTE_F32);
    request = submit(&f, NULL, TOKENS, 1.0f);
    request->on_logits = count_logits;
    request->payload = &shown;
    while (busy)
        ck_assert_status_ok(b2_engine_step(f.engine, &busy));
    ck_assert_int_eq(shown, TOKENS);
    ck_assert_uint_eq(vm_host()->live_graphs, 0);
    b2_request_close(request);
    close_fixture(&f);
}
END_TEST

/* ---- what they count ---------------------------------------------------------------------- */

/* A decoding step of an OPT of 3 layers. A layer: norm, qkv, attention with its append, out,
 * norm, fc1, fc2. Around them: tokens, positions; the chosen rows, final norm, head, choice.
 * Of a T5 of 2 decoder layers: norm, qkv, attention with its append, out; norm, cross query,
 * attention, cross out; norm, wi, gate, wo. Around them the same but for positions. */
static const struct {
    const char *folder;
    blip2_compute compute;
    uint64_t launches;
} counted[] = {{TINY, BLIP2_COMPUTE_F32, 7 * 3 + 6},
               {TINY, BLIP2_COMPUTE_F16, 7 * 3 + 6},
               {T5, BLIP2_COMPUTE_F32, 12 * 2 + 5},
               {T5, BLIP2_COMPUTE_BF16, 12 * 2 + 5}};

START_TEST(a_step_counts) {
    b2_request *requests[3];
    fixture f;

    open_fixture(&f, counted[_i].folder, "cuda", counted[_i].compute);
    for (uint32_t i = 0; i < 3; i++)
        requests[i] = submit(&f, i == 1 ? "a photo of" : NULL, 20, 1.0f);
    for (int i = 0; i < 3; i++) /* prompts; a decode step, captured; its graph */
        step(&f);
    for (int i = 0; i < 4; i++) {
        vm_host_counters n;

        vm_counters_clear();
        b2_alloc_fail_after(0);
        step(&f);
        ck_assert_int_eq(b2_alloc_count(), 0);
        b2_alloc_fail_after(-1);
        n = *vm_host();
        ck_assert_uint_eq(n.graph_launches, 1);
        ck_assert_uint_eq(n.launches, counted[_i].launches);
        ck_assert_uint_eq(n.copies, 2);           /* arrays there, tokens back */
        ck_assert_uint_eq(n.synchronisations, 1); /* for the tokens */
        ck_assert_uint_eq(n.allocations + n.host_allocations + n.frees, 0);
    }
    for (uint32_t i = 0; i < 3; i++) {
        b2_engine_cancel(f.engine, requests[i]);
        b2_request_close(requests[i]);
    }
    close_fixture(&f);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cuda_graph");
    TCase *tests = tcase_create("graph");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, same_tokens, 0, sizeof ways / sizeof *ways);
    tcase_add_test(tests, same_drawn_tokens);
    tcase_add_test(tests, t5_computes_in_bf16);
    tcase_add_test(tests, one_graph_for_all_lengths);
    tcase_add_test(tests, a_watched_step_runs_directly);
    tcase_add_loop_test(tests, a_step_counts, 0, sizeof counted / sizeof *counted);
    suite_graph_faults(tests);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
