/* embed, copy_rows, kv_write, kv_copy_pages: nothing is rounded except when values enter a narrower
 * type. */
#include <string.h>

#include "base/type.h"
#include "ops.h"

/* order [count]: distinct numbers below limit, shuffled. */
static int32_t *draw_distinct(op_context *t, int32_t count, int32_t limit) {
    int32_t *all = op_host(t, (size_t)limit * sizeof *all);

    for (int32_t i = 0; i < limit; i++)
        all[i] = i;
    for (int32_t i = 0; i < count; i++) {
        int32_t j = (int32_t)op_integer(t, i, limit - 1), kept = all[i];

        all[i] = all[j];
        all[j] = kept;
    }
    return all;
}

static void run_embed(op_context *t, b2_type file, b2_type keep, int64_t cols, int32_t count,
                      bool rows, bool accumulate) {
    enum { VOCABULARY = 37 };
    size_t table_count = (size_t)(VOCABULARY * cols), index_bytes = (size_t)count * 4;
    float *table = op_host(t, table_count * 4);
    void *stored = op_host(t, table_count * 4), *kept = op_host(t, table_count * 4);
    int64_t y_rows = count + 3;
    op_mat y = op_mat_new(t, B2_F32, y_rows, cols, 2, OP_RANDOM);
    int32_t *ids = op_host(t, index_bytes), *to = draw_distinct(t, count, (int32_t)y_rows);
    b2_weight_part part = {stored, VOCABULARY, file};
    b2_weight_desc desc = {&part, 1, cols, keep, B2_USE_ROWS};
    b2_weight *weight = NULL;

    for (size_t i = 0; i < table_count; i++)
        table[i] = (float)op_uniform(t, -1.0, 1.0);
    b2_from_f32(stored, file, table, table_count);
    b2_to_f32(table, stored, file, table_count);
    b2_from_f32(kept, keep, table, table_count);
    b2_to_f32(table, kept, keep, table_count);
    op_round(table, op_kept(t, keep), (int64_t)table_count);
    for (int32_t i = 0; i < count; i++)
        ids[i] = (int32_t)op_integer(t, 0, VOCABULARY - 1);
    if (count > 1)
        ids[0] = VOCABULARY - 1, ids[1] = 0;
    op_check(t, t->device->ops->weight_create(t->device, &desc, &weight));
    b2_embed op = {weight,
                   op_upload(t, ids, index_bytes),
                   rows ? op_upload(t, to, index_bytes) : NULL,
                   (uint32_t)count,
                   accumulate,
                   y.device};
    op_check(t, t->device->ops->embed(t->device, &op));
    for (int32_t i = 0; i < count; i++) {
        float *row = y.host + (rows ? to[i] : i) * y.device.stride;

        for (int64_t j = 0; j < cols; j++)
            row[j] = table[ids[i] * cols + j] + (accumulate ? row[j] : 0.0f);
    }
    float *got = op_mat_read(t, y);
    for (int64_t i = 0; i < y_rows; i++)
        ck_assert_mem_eq(got + i * cols, y.host + i * y.device.stride, (size_t)cols * 4);
    t->device->ops->weight_free(t->device, weight);
}

START_TEST(embed) {
    static const b2_type types[3] = {B2_F32, B2_F16, B2_BF16};
    static const int64_t widths[4] = {1, 7, 64, 700};
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 36; i++) {
        t.random += (uint64_t)i;
        run_embed(&t, types[i % 3], types[i / 3 % 3], widths[i % 4], i == 5 ? 0 : 1 + i % 11,
                  i % 2 == 0, i / 2 % 2 == 0);
        op_clear(&t);
    }
    run_embed(&t, B2_F16, B2_F16, 64, 1100, false, false); /* enough to be shared out */
    op_clear(&t);
    op_close(&t);
}
END_TEST

START_TEST(embed_refuses) {
    op_context t;
    float table[6] = {0};
    int32_t id = 2;
    b2_weight_part part = {table, 2, B2_F32};
    b2_weight_desc desc = {&part, 1, 3, B2_F32, B2_USE_LINEAR};
    b2_weight *weight = NULL;

    if (!op_open(&t, _i))
        return;
    op_mat y = op_mat_new(&t, B2_F32, 1, 3, 0, OP_NAN);
    op_check(&t, t.device->ops->weight_create(t.device, &desc, &weight));
    b2_embed op = {weight, op_upload(&t, &id, 4), NULL, 1, false, y.device};
    ck_assert_status(t.device->ops->embed(t.device, &op), BLIP2_EINTERNAL);
    t.device->ops->weight_free(t.device, weight);
    op_mat_unchanged(&t, y);
    op_close(&t);
}
END_TEST

static void run_copy(op_context *t, int64_t cols, int32_t count, bool from_given, bool to_given) {
    int64_t x_rows = count + 2, y_rows = count + 4;
    op_mat x = op_mat_new(t, B2_F32, x_rows, cols, 3, OP_RANDOM);
    op_mat y = op_mat_new(t, B2_F32, y_rows, cols, 0, OP_RANDOM);
    int32_t *from = draw_distinct(t, count, (int32_t)x_rows);
    int32_t *to = draw_distinct(t, count, (int32_t)y_rows);

    if (count > 1)
        from[1] = from[0]; /* a row may be read twice */
    b2_copy_rows op = {x.device, y.device,
                       from_given ? op_upload(t, from, (size_t)count * 4) : NULL,
                       to_given ? op_upload(t, to, (size_t)count * 4) : NULL, (uint32_t)count};
    op_check(t, t->device->ops->copy_rows(t->device, &op));
    for (int32_t i = 0; i < count; i++)
        memcpy(y.host + (to_given ? to[i] : i) * y.device.stride,
               x.host + (from_given ? from[i] : i) * x.device.stride, (size_t)cols * 4);
    ck_assert_mem_eq(op_mat_read(t, y), y.host, (size_t)(y_rows * cols) * 4);
    op_mat_unchanged(t, x);
}

START_TEST(copy_rows) {
    static const int64_t widths[4] = {1, 5, 64, 1411};
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 16; i++) {
        run_copy(&t, widths[i % 4], i == 3 ? 0 : 1 + 3 * i, i % 2 == 0, i / 2 % 2 == 0);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

static void run_kv_write(op_context *t, b2_type type, int64_t head_size, int32_t rows) {
    bool cpu = strcmp(t->device->ops->name, "cpu") == 0;

    if (!cpu && type != B2_F32) /* the CPU alone takes pages of another type than the rows' */
        type = t->device->compute;
    enum { PAGES = 5, HEADS = 3, LAYERS = 2 };
    uint32_t tokens = 4;
    int64_t width = HEADS * head_size;
    b2_kv_layout layout = {type, LAYERS, HEADS, (uint32_t)head_size, tokens, 0};
    size_t size = b2_type_size(type);
    op_mat kv = op_mat_new(t, cpu ? B2_F32 : type, rows, 2 * width, 1, OP_RANDOM);
    op_mat k = op_mat_cols(kv, 0, width), v = op_mat_cols(kv, width, width);
    int32_t *slots = draw_distinct(t, rows, PAGES * (int32_t)tokens);

    layout.page_bytes = (size_t)(LAYERS * 2 * HEADS * tokens * head_size) * size + 32;
    size_t bytes = PAGES * layout.page_bytes;
    char *expected = op_host(t, bytes), *got = op_host(t, bytes);
    memset(expected, 0x5a, bytes);
    b2_kv_view view = {op_upload(t, expected, bytes), layout, 1, NULL, 0};
    b2_kv_write op = {k.device, v.device, view, op_upload(t, slots, (size_t)rows * 4)};
    op_check(t, t->device->ops->kv_write(t->device, &op));
    for (int32_t i = 0; i < rows; i++)
        for (uint32_t h = 0; h < HEADS; h++)
            for (uint32_t which = 0; which < 2; which++)
                b2_from_f32(
                    expected + (size_t)(slots[i] / (int32_t)tokens) * layout.page_bytes +
                        b2_kv_offset(&layout, 1, which, h, (uint32_t)slots[i] % tokens) * size,
                    type,
                    (which == 0 ? k.host : v.host) + i * kv.device.stride + (int64_t)h * head_size,
                    (size_t)head_size);
    op_check(t, t->device->ops->sync(t->device));
    op_check(t, t->device->ops->download(t->device, got, view.pages, bytes));
    op_check(t, t->device->ops->sync(t->device));
    ck_assert_mem_eq(got, expected, bytes);
}

START_TEST(kv_write) {
    static const b2_type types[3] = {B2_F32, B2_F16, B2_BF16};
    static const int64_t sizes[4] = {1, 5, 80, 64};
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 12; i++) {
        run_kv_write(&t, types[i % 3], sizes[i % 4], i == 4 ? 0 : 1 + i);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

static void run_copy_pages(op_context *t, int64_t page_bytes, int32_t count) {
    enum { EXTRA = 3 };
    int32_t pages = 2 * count + EXTRA, *order = draw_distinct(t, 2 * count, pages);
    /* Pages as rows of four-byte numbers, whose bits are copied whatever they mean. */
    op_mat pool = op_mat_new(t, B2_F32, pages, page_bytes / 4, 0, OP_RANDOM);
    int32_t *from = order, *to = order + count;

    if (count > 1)
        from[1] = from[0]; /* a page may be shared again */
    b2_kv_copy_pages op = {.pages = pool.device.data,
                           .page_bytes = (size_t)page_bytes,
                           .from = op_upload(t, from, (size_t)count * 4),
                           .to = op_upload(t, to, (size_t)count * 4),
                           .count = (uint32_t)count};
    op_check(t, t->device->ops->kv_copy_pages(t->device, &op));
    for (int32_t i = 0; i < count; i++)
        memcpy(pool.host + to[i] * (page_bytes / 4), pool.host + from[i] * (page_bytes / 4),
               (size_t)page_bytes);
    ck_assert_mem_eq(op_mat_read(t, pool), pool.host, (size_t)(pages * page_bytes));
}

START_TEST(kv_copy_pages) {
    static const int64_t sizes[5] = {16, 48, 4096, 16384, 16384 + 4096 + 16};
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 10; i++) {
        t.random += (uint64_t)i;
        run_copy_pages(&t, sizes[i % 5], i == 5 ? 0 : 1 + i % 4);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

/* Of every run of 4 slots the first rows only. */
START_TEST(kv_copy_pages_by_rows) {
    enum { SLOT = 32, RUN = 4 * SLOT, PAGE = 40 * RUN, PAGES = 5 };
    static const int32_t from[2] = {0, 3}, to[2] = {4, 1}, rows[2] = {3, 1};
    op_context t;

    if (!op_open(&t, _i))
        return;
    op_mat pool = op_mat_new(&t, B2_F32, PAGES, PAGE / 4, 0, OP_RANDOM);
    b2_kv_copy_pages op = {.pages = pool.device.data,
                           .page_bytes = PAGE,
                           .from = op_upload(&t, from, sizeof from),
                           .to = op_upload(&t, to, sizeof to),
                           .rows = op_upload(&t, rows, sizeof rows),
                           .slot_bytes = SLOT,
                           .run_bytes = RUN,
                           .count = 2};
    op_check(&t, t.device->ops->kv_copy_pages(t.device, &op));
    for (int i = 0; i < 2; i++)
        for (int run = 0; run < PAGE; run += RUN)
            memcpy((char *)pool.host + to[i] * PAGE + run, (char *)pool.host + from[i] * PAGE + run,
                   (size_t)rows[i] * SLOT);
    ck_assert_mem_eq(op_mat_read(&t, pool), pool.host, (size_t)PAGES * PAGE);
    op.run_bytes = RUN - 16;
    ck_assert_status(t.device->ops->kv_copy_pages(t.device, &op), BLIP2_EINTERNAL);
    op_close(&t);
}
END_TEST

START_TEST(kv_copy_pages_refuses) {
    op_context t;
    int32_t zero = 0, one = 1;

    if (!op_open(&t, _i))
        return;
    op_mat pool = op_mat_new(&t, B2_F32, 2, 6, 0, OP_RANDOM);
    b2_kv_copy_pages op = {.pages = pool.device.data,
                           .page_bytes = 24,
                           .from = op_upload(&t, &zero, 4),
                           .to = op_upload(&t, &one, 4),
                           .count = 1};
    ck_assert_status(t.device->ops->kv_copy_pages(t.device, &op), BLIP2_EINTERNAL);
    op_mat_unchanged(&t, pool);
    op_close(&t);
}
END_TEST

void suite_rows(Suite *suite) {
    op_add_case(suite, "embed", embed);
    op_add_case(suite, "embed refuses", embed_refuses);
    op_add_case(suite, "copy_rows", copy_rows);
    op_add_case(suite, "kv_write", kv_write);
    op_add_case(suite, "kv_copy_pages", kv_copy_pages);
    op_add_case(suite, "kv_copy_pages by rows", kv_copy_pages_by_rows);
    op_add_case(suite, "kv_copy_pages refuses", kv_copy_pages_refuses);
}
