/* What the kernels move on the widths of ViT-g, the Q-Former and OPT-2.7b: at most 1.1 times the
 * least bytes, and at least nine of ten requests without a sector too many. */
#include <stdio.h>

#include "plain_matrix.h"

static const plain_layout dense = {0, 0};

/* Sectors of 32 bytes against the bytes that were touched at all. shared: bytes read of vectors
 * that all rows share (gamma, biases, tables of a few KB); the first row's read is in the least.
 * They come from the L1 cache, which the counters do not have. */
static void lean(const char *kernel, double shared) {
    const vm_counters *c = vm_counters_of(kernel);
    double moved, least, requests, coalesced;

    ck_assert_ptr_nonnull(c);
    moved = 32.0 * (double)(c->load.sectors + c->store.sectors) - shared;
    least = (double)(c->load.distinct + c->store.distinct);
    requests = (double)(c->load.requests + c->store.requests);
    coalesced = (double)(c->load.coalesced + c->store.coalesced);
    ck_assert_msg(moved <= 1.1 * least, "%s moved %.0f bytes, the least are %.0f", kernel, moved,
                  least);
    ck_assert_msg(coalesced >= 0.9 * requests, "%s: %.0f of %.0f requests are coalesced", kernel,
                  coalesced, requests);
}

START_TEST(norm_traffic) {
    static const int cols[3] = {1408, 768, 2560};
    uint64_t seed = 1;
    int rows = 24, width = cols[_i];
    plain_matrix x = plain_input(B2_F32, rows, width, dense, &seed, -1, 1);
    plain_matrix add = plain_input(B2_F32, rows, width, dense, &seed, -1, 1);
    plain_matrix gamma = plain_input(B2_F32, 2, width, dense, &seed, -1, 1);
    plain_matrix y = plain_output(B2_F16, rows, width, dense);
    plain_matrix sum = plain_output(B2_F32, rows, width, dense);
    b2_norm_args a = {.x = x.data,
                      .add = add.data,
                      .gamma = gamma.data,
                      .beta = (float *)gamma.data + width,
                      .y = y.data,
                      .sum = sum.data,
                      .x_stride = width,
                      .add_stride = width,
                      .y_stride = width,
                      .sum_stride = width,
                      .rows = rows,
                      .cols = width,
                      .eps = 1e-6f};

    kernel_run(kernel_file("norm"), "b2_norm_f16",
               (unsigned)(width > B2_NORM_WARP_COLS ? rows : rows / B2_NORM_ROWS), 1, 1,
               B2_ROW_THREADS, &a, "norm");
    lean("b2_norm_f16", (rows - 1) * 8.0 * width);
    plain_free(&x);
    plain_free(&add);
    plain_free(&gamma);
    plain_free(&y);
    plain_free(&sum);
}
END_TEST

START_TEST(row_traffic) {
    uint64_t seed = 2;
    static const int32_t ids[4] = {5, 0, 3, 1}, slots[4] = {17, 3, 2, 40};
    void *four = device_copy(ids, sizeof ids);
    plain_matrix table = plain_input(B2_F16, 6, 2560, dense, &seed, -1, 1);
    plain_matrix k = plain_input(B2_F16, 4, 2560, dense, &seed, -1, 1);
    plain_matrix x = plain_input(B2_F32, 6, 2560, dense, &seed, -1, 1);
    plain_matrix y = plain_output(B2_F32, 6, 2560, dense);
    plain_matrix pool = plain_input(B2_F16, 3, 2 * 32 * 16 * 80, dense, &seed, -1, 1);
    b2_embed_args embed = {table.data, four, NULL, y.data, 2560, 2560, 4, 2560, 0, 0};
    b2_copy_rows_args copy = {x.data, y.data, four, NULL, 4 * 2560, 4 * 2560, 4, 4 * 2560};
    b2_kv_write_args write = {k.data,
                              k.data,
                              2560,
                              2560,
                              {pool.data, pool.stride, 0, 32, 16, 80},
                              device_copy(slots, sizeof slots),
                              4,
                              0};
    static const int32_t from[1] = {0}, to[1] = {2};
    b2_kv_copy_args pages = {
        pool.data, 2 * pool.stride, device_copy(from, 4), device_copy(to, 4), 1, 0};

    kernel_run(kernel_file("rows"), "b2_embed_f16", 4, 1, 1, B2_ROW_THREADS, &embed, "embed");
    lean("b2_embed_f16", 0);
    kernel_run(kernel_file("rows"), "b2_copy_rows", 4, 1, 1, B2_ROW_THREADS, &copy, "copy_rows");
    lean("b2_copy_rows", 0);
    kernel_run(kernel_file("kv"), "b2_kv_write_f16", 4, 1, 1, B2_ROW_THREADS, &write, "kv_write");
    lean("b2_kv_write_f16", 4 * 5120.0); /* k serves as v: its second read */
    kernel_run(kernel_file("kv"), "b2_kv_copy_pages",
               (unsigned)((pages.page_bytes + B2_COPY_BYTES - 1) / B2_COPY_BYTES), 1, 1,
               B2_ROW_THREADS, &pages, "copy_pages");
    lean("b2_kv_copy_pages", 0);
    plain_free(&table);
    plain_free(&k);
    plain_free(&x);
    plain_free(&y);
    plain_free(&pool);
}
END_TEST

START_TEST(pointwise_traffic) {
    uint64_t seed = 3;
    static const int32_t positions[4] = {0, 1, 2, 3};
    plain_matrix x = plain_in_place(B2_F16, 4, 6144, dense, &seed, -1, 1);
    plain_matrix bias = plain_input(B2_F32, 1, 6144, dense, &seed, -1, 1);
    plain_matrix f = plain_input(B2_F32, 64, 2560, dense, &seed, -1, 1);
    plain_matrix y = plain_output(B2_F32, 64, 2560, dense),
                 h = plain_output(B2_F16, 4, 2560, dense);
    b2_activate_args act = {.x = x.data,
                            .bias = bias.data,
                            .y = x.data,
                            .x_stride = 6144,
                            .y_stride = 6144,
                            .rows = 4,
                            .cols = 6144,
                            .act = 2};
    b2_convert_args convert = {f.data, h.data, 2560, 2560, 4, 2560};
    b2_add_positions_args add = {f.data, f.data, f.data, y.data, 1408, 1408, 1, 15, 1408, 0};
    b2_rope_args rope = {x.data, device_copy(positions, sizeof positions), f.data, 6144, 4, 32, 128,
                         0};
    b2_l2_args l2 = {f.data, y.data, 256, 256, 32, 256};
    b2_itc_max_args best = {f.data, y.data, 1000, 1000, 2, 32, 1000, 0};

    kernel_run(kernel_file("activate"), "b2_activate_f16", 4, 1, 1, B2_ROW_THREADS, &act, "act");
    lean("b2_activate_f16", 3 * 4.0 * 6144);
    kernel_run(kernel_file("activate"), "b2_convert_f16", 4, 1, 1, B2_ROW_THREADS, &convert, "cvt");
    lean("b2_convert_f16", 0);
    kernel_run(kernel_file("patch"), "b2_add_positions", 16, 1, 1, B2_ROW_THREADS, &add, "add");
    lean("b2_add_positions", 16 * 4.0 * 1408); /* patches serve as positions, too */
    kernel_run(kernel_file("rope"), "b2_rope_f16", 4, 1, 1, B2_ROW_THREADS, &rope, "rope");
    lean("b2_rope_f16", 4 * 15 * 4.0 * 128); /* a warp turns two heads by the same angles */
    kernel_run(kernel_file("itc"), "b2_l2_normalise", 32, 1, 1, B2_ROW_THREADS, &l2, "l2");
    lean("b2_l2_normalise", 0);
    kernel_run(kernel_file("itc"), "b2_itc_max", 2, 1, 1, B2_ROW_THREADS, &best, "itc_max");
    lean("b2_itc_max", 0);
    plain_free(&x);
    plain_free(&bias);
    plain_free(&f);
    plain_free(&y);
    plain_free(&h);
}
END_TEST

START_TEST(choice_traffic) {
    uint64_t seed = 4;
    static const int32_t zero[1];
    static const float one[1] = {1};
    static const uint64_t start[1] = {9};
    static const int32_t k[1] = {50};
    plain_matrix logits = plain_in_place(B2_F32, 1, 50272, dense, &seed, -9, 9);
    void *out = device_new(4 * 64), *ids = device_new(4 * 64);
    void *none = device_copy(zero, sizeof zero), *unit = device_copy(one, sizeof one);
    b2_choose_args choose = {.logits = logits.data,
                             .history_count = none,
                             .ban_stop = none,
                             .repetition_penalty = unit,
                             .tokens = ids,
                             .rows = 1,
                             .vocab = 50272};
    b2_top_k_args top = {logits.data, 50272, out, ids, 1, 50272, 10, 0};
    b2_sample_args sample = {
        logits.data, 50272, unit, unit, device_copy(k, sizeof k), device_copy(start, sizeof start),
        none,        ids,   1,    50272};

    kernel_run(kernel_file("choose"), "b2_choose", 1, 1, 1, B2_CHOOSE_THREADS, &choose, "choose");
    lean("b2_choose", 0);
    kernel_run(kernel_file("top_k"), "b2_top_k", 1, 1, 1, B2_CHOOSE_THREADS, &top, "top_k");
    lean("b2_top_k", 0);
    kernel_run(kernel_file("sample"), "b2_sample", 1, 1, 1, B2_CHOOSE_THREADS, &sample, "sample");
    lean("b2_sample", 0);
    plain_free(&logits);
}
END_TEST

START_TEST(picture_traffic) {
    uint8_t rgb[224 * 8 * 3] = {0};
    plain_matrix y = plain_output(B2_F32, 3 * 8, 224, dense);
    b2_normalise_args normalise = {device_copy(rgb, sizeof rgb), y.data, {0}, {1, 1, 1}, 224, 8};

    kernel_run(kernel_file("resize"), "b2_normalise", 8, 1, 1, B2_ROW_THREADS, &normalise,
               "pixels");
    lean("b2_normalise", 0);
    plain_free(&y);
}
END_TEST

TCase *plain_traffic_case(void) {
    TCase *tcase = tcase_create("traffic");

    tcase_add_loop_test(tcase, norm_traffic, 0, 3);
    tcase_add_test(tcase, row_traffic);
    tcase_add_test(tcase, pointwise_traffic);
    tcase_add_test(tcase, choice_traffic);
    tcase_add_test(tcase, picture_traffic);
    return tcase;
}
