/* The plain kernels on the shapes of ViT-g (257 tokens of 1,408), the Q-Former (32 queries of 768)
 * and OPT-2.7b (2,560 wide, 32 heads of 80, 50,272 ids), with as many rows as a picture or a prompt
 * has; and what flan-t5-xl (2,048 wide, 5,120 inside) does in another way. */
#include <string.h>

#include "counts.h"
#include "image/image.h"
#include "plain_matrix.h"

static const plain_layout dense = {0, 0};

static void run(const char *file, const char *kernel, int64_t blocks, unsigned threads,
                const void *arguments) {
    vm_counters_clear();
    kernel_run(kernel_file(file), kernel, (unsigned)blocks, 1, 1, threads, arguments, kernel);
}

enum { NORMS = 4 };

START_TEST(norms) {
    static const struct {
        int rows, cols;
        const char *kernel, *shape;
        bool rms; /* RMSNorm: no beta */
    } shapes[NORMS] = {{257, 1408, "b2_norm_f16", "ViT-g, 257 x 1,408", false},
                       {32, 768, "b2_norm_f16", "Q-Former, 32 x 768", false},
                       {40, 2560, "b2_norm_f16", "OPT-2.7b, 40 x 2,560", false},
                       {40, 2048, "b2_norm_bf16", "T5-xl, 40 x 2,048", true}};
    uint64_t seed = 1;
    bool rms = shapes[_i].rms;
    int rows = shapes[_i].rows, width = shapes[_i].cols;
    plain_matrix x = plain_input(B2_F32, rows, width, dense, &seed, -1, 1);
    plain_matrix add = plain_input(B2_F32, rows, width, dense, &seed, -1, 1);
    plain_matrix gamma = plain_input(B2_F32, 2, width, dense, &seed, -1, 1);
    plain_matrix y = plain_output(rms ? B2_BF16 : B2_F16, rows, width, dense);
    plain_matrix sum = plain_output(B2_F32, rows, width, dense);
    b2_norm_args a = {.x = x.data,
                      .add = add.data,
                      .gamma = gamma.data,
                      .beta = rms ? NULL : (float *)gamma.data + width,
                      .y = y.data,
                      .sum = sum.data,
                      .x_stride = width,
                      .add_stride = width,
                      .y_stride = width,
                      .sum_stride = width,
                      .rows = rows,
                      .cols = width,
                      .eps = 1e-6f,
                      .rms = rms};

    run("norm", shapes[_i].kernel,
        width > B2_NORM_WARP_COLS ? rows : (rows + B2_NORM_ROWS - 1) / B2_NORM_ROWS, B2_ROW_THREADS,
        &a);
    counts_check(shapes[_i].kernel, shapes[_i].shape, COUNTS_MEMORY,
                 (rows - 1) * (rms ? 4.0 : 8.0) * width);
    plain_free(&x);
    plain_free(&add);
    plain_free(&gamma);
    plain_free(&y);
    plain_free(&sum);
}
END_TEST

START_TEST(rows_that_move) {
    enum { ROWS = 40, WIDE = 2560, QUERIES = 32, PAGE = 2 * 32 * 16 * 80 };
    uint64_t seed = 2;
    int32_t ids[ROWS], slots[ROWS];
    plain_matrix table = plain_input(B2_F16, 64, WIDE, dense, &seed, -1, 1);
    plain_matrix k = plain_input(B2_F16, ROWS, WIDE, dense, &seed, -1, 1);
    plain_matrix v = plain_input(B2_F16, ROWS, WIDE, dense, &seed, -1, 1);
    plain_matrix x = plain_input(B2_F32, QUERIES, WIDE, dense, &seed, -1, 1);
    plain_matrix y = plain_output(B2_F32, ROWS, WIDE, dense);
    plain_matrix pool = plain_input(B2_F16, 6, PAGE, dense, &seed, -1, 1);
    static const int32_t from[1] = {0}, to[1] = {2};

    for (int i = 0; i < ROWS; i++) {
        ids[i] = (i * 37 + 5) % 64;
        slots[i] = i + 20;
    }
    const b2_embed_args embed = {
        table.data, device_copy(ids, sizeof ids), NULL, y.data, WIDE, WIDE, ROWS, WIDE, 0, 0};
    const b2_copy_rows_args copy = {x.data,   y.data,   NULL, device_copy(slots, sizeof slots),
                                    4 * WIDE, 4 * WIDE, 8,    4 * WIDE};
    const b2_kv_write_args write = {k.data,
                                    v.data,
                                    WIDE,
                                    WIDE,
                                    {pool.data, PAGE, 0, 32, 16, 80},
                                    device_copy(slots, sizeof slots),
                                    ROWS,
                                    0};
    const b2_kv_copy_args pages = {
        pool.data, 2 * PAGE, device_copy(from, 4), device_copy(to, 4), NULL, 0, 16, 1, 0};

    run("rows", "b2_embed_f16", ROWS, B2_ROW_THREADS, &embed);
    counts_check("b2_embed_f16", "OPT-2.7b, 40 ids", COUNTS_MEMORY, 0);
    run("rows", "b2_copy_rows", 8, B2_ROW_THREADS, &copy);
    counts_check("b2_copy_rows", "soft prompt, 8 x 2,560", COUNTS_MEMORY, 0);
    run("kv", "b2_kv_write_f16", ROWS, B2_ROW_THREADS, &write);
    counts_check("b2_kv_write_f16", "OPT-2.7b, 40 rows", COUNTS_MEMORY, 0);
    run("kv", "b2_kv_copy_pages", (pages.page_bytes + B2_COPY_BYTES - 1) / B2_COPY_BYTES,
        B2_ROW_THREADS, &pages);
    counts_check("b2_kv_copy_pages", "a layer of OPT-2.7b's page", COUNTS_MEMORY, 0);
    plain_free(&table);
    plain_free(&k);
    plain_free(&v);
    plain_free(&x);
    plain_free(&y);
    plain_free(&pool);
}
END_TEST

START_TEST(activations) {
    enum { ROWS = 257, FFN = 6144, WIDE = 1408 };
    uint64_t seed = 3;
    plain_matrix x = plain_in_place(B2_F16, ROWS, FFN, dense, &seed, -1, 1);
    plain_matrix bias = plain_input(B2_F32, 1, FFN, dense, &seed, -1, 1);
    plain_matrix f = plain_input(B2_F32, ROWS, WIDE, dense, &seed, -1, 1);
    plain_matrix h = plain_output(B2_F16, ROWS, WIDE, dense);
    const b2_activate_args act = {.x = x.data,
                                  .bias = bias.data,
                                  .y = x.data,
                                  .x_stride = FFN,
                                  .y_stride = FFN,
                                  .rows = ROWS,
                                  .cols = FFN,
                                  .act = 2};
    const b2_convert_args convert = {f.data, h.data, WIDE, WIDE, ROWS, WIDE};

    run("activate", "b2_activate_f16", ROWS, B2_ROW_THREADS, &act);
    counts_check("b2_activate_f16", "ViT-g, 257 x 6,144", COUNTS_MEMORY, (ROWS - 1) * 4.0 * FFN);
    run("activate", "b2_convert_f16", ROWS, B2_ROW_THREADS, &convert);
    counts_check("b2_convert_f16", "ViT-g, 257 x 1,408", COUNTS_MEMORY, 0);
    plain_free(&x);
    plain_free(&bias);
    plain_free(&f);
    plain_free(&h);
}
END_TEST

/* What a gated product leaves, the gate beside the values: T5's, without a bias. */
START_TEST(gates) {
    enum { ROWS = 40, FFN = 5120 };
    uint64_t seed = 6;
    plain_matrix x = plain_input(B2_BF16, ROWS, 2 * FFN, dense, &seed, -1, 1);
    plain_matrix y = plain_output(B2_BF16, ROWS, FFN, dense);
    const b2_activate_args act = {.x = x.data,
                                  .y = y.data,
                                  .x_stride = 2 * FFN,
                                  .y_stride = FFN,
                                  .rows = ROWS,
                                  .cols = FFN,
                                  .act = 3, /* GELU, tanh form */
                                  .gated = 1};

    run("activate", "b2_activate_bf16", ROWS, B2_ROW_THREADS, &act);
    counts_check("b2_activate_bf16", "T5-xl, gated, 40 x 5,120", COUNTS_MEMORY, 0);
    plain_free(&x);
    plain_free(&y);
}
END_TEST

/* Rotary positions: Vicuna's heads of 128. BLIP-2's OPT looks positions up. */
START_TEST(positions_and_contrast) {
    enum { ROWS = 40, HEADS = 32, D = 128, TEXTS = 1000, WIDE = HEADS * D };
    uint64_t seed = 4;
    int32_t places[ROWS];
    plain_matrix x = plain_in_place(B2_F16, ROWS, WIDE, dense, &seed, -1, 1);
    plain_matrix angles = plain_input(B2_F32, ROWS, D, dense, &seed, -1, 1);
    plain_matrix products = plain_input(B2_F32, 32, TEXTS, dense, &seed, -1, 1);
    plain_matrix y = plain_output(B2_F32, 32, TEXTS, dense);
    const b2_l2_args l2 = {products.data, y.data, 256, 256, 32, 256};
    const b2_itc_max_args best = {products.data, y.data, TEXTS, TEXTS, 1, 32, TEXTS, 0};

    for (int i = 0; i < ROWS; i++)
        places[i] = i;
    const b2_rope_args rope = {
        x.data, device_copy(places, sizeof places), angles.data, WIDE, ROWS, HEADS, D, 0};

    run("rope", "b2_rope_f16", ROWS, B2_ROW_THREADS, &rope);
    /* A warp turns two heads by the same angles. */
    counts_check("b2_rope_f16", "Vicuna, 40 x 32 heads of 128", COUNTS_MEMORY, ROWS * 15 * 4.0 * D);
    run("itc", "b2_l2_normalise", 32, B2_ROW_THREADS, &l2);
    counts_check("b2_l2_normalise", "32 x 256", COUNTS_MEMORY, 0);
    run("itc", "b2_itc_max", 1, B2_ROW_THREADS, &best);
    counts_check("b2_itc_max", "32 queries, 1,000 texts", COUNTS_MEMORY, 0);
    plain_free(&x);
    plain_free(&angles);
    plain_free(&products);
    plain_free(&y);
}
END_TEST

START_TEST(choices) {
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

    run("choose", "b2_choose", 1, B2_CHOOSE_THREADS, &choose);
    counts_check("b2_choose", "50,272 ids", COUNTS_MEMORY, 0);
    run("top_k", "b2_top_k", 1, B2_CHOOSE_THREADS, &top);
    counts_check("b2_top_k", "50,272 ids", COUNTS_MEMORY, 0);
    run("sample", "b2_sample", 1, B2_CHOOSE_THREADS, &sample);
    counts_check("b2_sample", "50,272 ids", COUNTS_MEMORY, 0);
    plain_free(&logits);
}
END_TEST

/* A photo of 640 x 480 to ViT-g's 256 patches. */
enum { SIDE = 224, PATCH = 14, PATCHES = 256, VIT = 1408, IN_WIDTH = 640, IN_HEIGHT = 480 };

/* Tables of one axis as cuda/resize.c makes them. */
static void make_axis(b2_resize_args *a, uint32_t out, uint32_t in) {
    size_t taps = b2_image_taps(out, in), most = (taps + 7) / 8 * 8;
    int32_t *first = malloc(2 * out * sizeof *first), *count = first + out;
    int32_t *weight = malloc(out * taps * sizeof *weight), *wide = calloc(out * most, sizeof *wide);

    ck_assert(first != NULL && weight != NULL && wide != NULL);
    ck_assert_status_ok(b2_image_weights(first, count, weight, out, in));
    for (size_t i = 0; i < out; i++)
        memcpy(wide + i * most, weight + i * taps, taps * sizeof *weight);
    a->first = device_copy(first, out * sizeof *first);
    a->count = device_copy(count, out * sizeof *count);
    a->weight = device_copy(wide, out * most * sizeof *wide);
    a->most = (int32_t)most;
    free(first);
    free(weight);
    free(wide);
}

START_TEST(resizing) {
    uint8_t *photo = calloc((size_t)IN_WIDTH * IN_HEIGHT, 3);
    uint8_t *between = device_new((size_t)SIDE * IN_HEIGHT * 3), *rgb = device_new(SIDE * SIDE * 3);
    plain_matrix pixels = plain_output(B2_F32, 3 * SIDE, SIDE, dense);
    b2_resize_args across = {.x = device_copy(photo, (size_t)IN_WIDTH * IN_HEIGHT * 3),
                             .y = between,
                             .in_width = IN_WIDTH,
                             .in_height = IN_HEIGHT,
                             .width = SIDE,
                             .height = IN_HEIGHT};
    b2_resize_args down = {.x = between,
                           .y = rgb,
                           .in_width = SIDE,
                           .in_height = IN_HEIGHT,
                           .width = SIDE,
                           .height = SIDE};
    const b2_normalise_args normalise = {rgb, pixels.data, {0}, {1, 1, 1}, SIDE, SIDE};

    make_axis(&across, SIDE, IN_WIDTH);
    make_axis(&down, SIDE, IN_HEIGHT);
    run("resize", "b2_resize_rows", IN_HEIGHT, B2_ROW_THREADS, &across);
    /* Weights are read again for every row: 30 KB of tables beside a row of 2 KB. */
    counts_check("b2_resize_rows", "640 x 480 to 224 x 480", COUNTS_CACHE, 0);
    run("resize", "b2_resize_cols", SIDE, B2_ROW_THREADS, &down);
    counts_check("b2_resize_cols", "224 x 480 to 224 x 224", COUNTS_CACHE, 0);
    run("resize", "b2_normalise", SIDE, B2_ROW_THREADS, &normalise);
    counts_check("b2_normalise", "224 x 224", COUNTS_MEMORY, 0);
    free(photo);
    plain_free(&pixels);
}
END_TEST

START_TEST(patches) {
    uint64_t seed = 5;
    plain_matrix pixels = plain_input(B2_F32, 3 * SIDE, SIDE, dense, &seed, -1, 1);
    plain_matrix columns = plain_output(B2_F16, PATCHES, 3 * PATCH * PATCH, dense);
    plain_matrix products = plain_input(B2_F32, PATCHES, VIT, dense, &seed, -1, 1);
    plain_matrix places = plain_input(B2_F32, 1 + PATCHES, VIT, dense, &seed, -1, 1);
    plain_matrix cls = plain_input(B2_F32, 1, VIT, dense, &seed, -1, 1);
    plain_matrix y = plain_output(B2_F32, 1 + PATCHES, VIT, dense);
    const b2_im2col_args im2col = {pixels.data, columns.data, columns.stride, 1, SIDE, SIDE, PATCH};
    const b2_add_positions_args add = {products.data, cls.data, places.data, y.data, VIT,
                                       VIT,           1,        PATCHES,     VIT,    0};

    run("patch", "b2_im2col_f16", PATCHES / B2_IM2COL_PATCHES, B2_ROW_THREADS, &im2col);
    counts_check("b2_im2col_f16", "224 x 224, patches of 14", COUNTS_MEMORY, 0);
    run("patch", "b2_add_positions", 1 + PATCHES, B2_ROW_THREADS, &add);
    counts_check("b2_add_positions", "ViT-g, 257 x 1,408", COUNTS_MEMORY, 0);
    plain_free(&pixels);
    plain_free(&columns);
    plain_free(&products);
    plain_free(&places);
    plain_free(&cls);
    plain_free(&y);
}
END_TEST

TCase *counts_plain_case(void) {
    TCase *tcase = tcase_create("plain");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, norms, 0, NORMS);
    tcase_add_test(tcase, rows_that_move);
    tcase_add_test(tcase, activations);
    tcase_add_test(tcase, gates);
    tcase_add_test(tcase, positions_and_contrast);
    tcase_add_test(tcase, choices);
    tcase_add_test(tcase, resizing);
    tcase_add_test(tcase, patches);
    return tcase;
}
