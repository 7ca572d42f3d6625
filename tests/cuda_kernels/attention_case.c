#include "attention_case.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SENTINEL = 0xa5, LAYERS = 2, LAYER = 1, BIAS_SPAN = 9, BIAS_ZERO = 5 };

/* A case while it runs. Everything it allocates is on lists, freed at the end. */
typedef struct running {
    const attention_case *c;
    uint64_t random;
    char what[256];
    int width, kv_heads, kv_width, rows, keys; /* widths: of a dense row of heads */
    int32_t q_start[CASE_SEGMENTS + 1], k_first[CASE_SEGMENTS], k_count[CASE_SEGMENTS],
        queries[CASE_SEGMENTS];
    int max_q;
    float *q, *k, *v, *bias; /* host, dense, as the kernel's types have them */
    int32_t *table, *slots;  /* host */
    int table_stride;
    b2_attention_args args;
    void *host[32], *device[32];
    int host_count, device_count;
} running;

static void *host_new(running *r, size_t bytes) {
    void *memory = calloc(1, bytes > 0 ? bytes : 1);

    ck_assert_ptr_nonnull(memory);
    ck_assert_int_lt(r->host_count, 32);
    return r->host[r->host_count++] = memory;
}

static void *keep(running *r, void *device) {
    ck_assert_int_lt(r->device_count, 32);
    return r->device[r->device_count++] = device;
}

static float *random_values(running *r, int64_t count, double range, b2_type type) {
    float *values = host_new(r, (size_t)count * sizeof *values);

    for (int64_t i = 0; i < count; i++)
        values[i] = rounded((float)random_between(&r->random, -range, range), type);
    return values;
}

/* A matrix [rows, width + gap] of a type on the device, gaps filled with sentinels. values NULL:
 * nothing but the gaps is ever written. */
static void *matrix(running *r, const float *values, int rows, int width, b2_type type) {
    size_t size = b2_type_size(type), row_bytes = (size_t)width * size;
    size_t pitch = (size_t)(width + r->c->gap) * size;
    char *memory = keep(r, device_new((size_t)rows * pitch)), *row = host_new(r, pitch);

    memset(row, SENTINEL, pitch);
    for (int i = 0; i < rows; i++) {
        if (values != NULL)
            b2_from_f32(row, type, values + i * width, (size_t)width);
        device_write(memory + (size_t)i * pitch + (values != NULL ? 0 : row_bytes),
                     row + (values != NULL ? 0 : row_bytes),
                     pitch - (values != NULL ? 0 : row_bytes));
    }
    return memory;
}

static int64_t pool_row(const b2_kv_pool *pool, int page, int which, int head, int slot) {
    return page * pool->page_stride +
           (int64_t)(((pool->layer * 2 + which) * pool->heads + head) * pool->page_tokens + slot) *
               pool->head_size;
}

static bool is_new(const attention_case *c, int s, int key) {
    return c->append && key >= c->m[s] - c->n[s];
}

/* Pages from the last one down, so that order and number differ; only what is a key is ever written
 * to them. */
static void make_pages(running *r) {
    const attention_case *c = r->c;
    size_t size = b2_type_size(c->kv_type);
    int pages = 1, next;

    for (int s = 0; s < c->segments; s++) {
        int own = (c->m[s] + c->page_tokens - 1) / c->page_tokens;

        pages += own;
        r->table_stride = own > r->table_stride ? own : r->table_stride;
    }
    b2_kv_pool pool = {.page_stride =
                           (int64_t)LAYERS * 2 * r->kv_heads * c->page_tokens * c->head_size + 16,
                       .layer = LAYER,
                       .heads = r->kv_heads,
                       .page_tokens = c->page_tokens,
                       .head_size = c->head_size};
    char *memory = keep(r, device_new((size_t)(pages * pool.page_stride) * size));
    char *row = host_new(r, (size_t)c->head_size * size);
    r->table = host_new(r, (size_t)(c->segments * r->table_stride) * sizeof *r->table);
    r->slots = host_new(r, (size_t)r->rows * sizeof *r->slots);
    next = pages - 1;
    for (int s = 0; s < c->segments; s++)
        for (int j = 0; j < c->m[s]; j++) {
            int32_t *page = &r->table[s * r->table_stride + j / c->page_tokens];
            int slot = j % c->page_tokens;

            if (slot == 0)
                *page = (int32_t)next--;
            if (is_new(c, s, j)) {
                r->slots[r->q_start[s + 1] - c->m[s] + j] = *page * c->page_tokens + slot;
                continue;
            }
            for (int i = 0; i < 2 * r->kv_heads; i++) {
                const float *values = (i % 2 == 0 ? r->k : r->v) +
                                      (r->k_first[s] + j) * r->kv_width + i / 2 * c->head_size;

                b2_from_f32(row, c->kv_type, values, (size_t)c->head_size);
                device_write(memory + (size_t)pool_row(&pool, *page, i % 2, i / 2, slot) * size,
                             row, (size_t)c->head_size * size);
            }
        }
    pool.pages = memory;
    r->args.pool = pool;
    r->args.page_table =
        keep(r, device_copy(r->table, (size_t)(c->segments * r->table_stride) * sizeof *r->table));
    r->args.table_stride = r->table_stride;
}

/* The keys or values of the query rows, dense. */
static float *rows_of_queries(running *r, const float *values) {
    float *own = host_new(r, (size_t)(r->rows * r->kv_width) * sizeof *own);

    for (int s = 0; s < r->c->segments; s++)
        memcpy(own + r->q_start[s] * r->kv_width,
               values + (r->k_first[s] + r->c->m[s] - r->c->n[s]) * r->kv_width,
               (size_t)(r->c->n[s] * r->kv_width) * sizeof *own);
    return own;
}

static void lay_out(running *r) {
    const attention_case *c = r->c;

    r->kv_heads = c->kv_heads > 0 ? c->kv_heads : c->heads;
    ck_assert_int_eq(c->heads % r->kv_heads, 0);
    snprintf(r->what, sizeof r->what,
             "D %d heads %d over %d rule %d page %d gap %d spread %g bias %d splits %d append %d "
             "n[0] %d "
             "m[0] %d kv %s",
             c->head_size, c->heads, r->kv_heads, (int)c->rule, c->page_tokens, c->gap, c->spread,
             c->bias, c->splits, c->append, c->n[0], c->m[0], b2_type_name(c->kv_type));
    r->width = c->heads * c->head_size;
    r->kv_width = r->kv_heads * c->head_size;
    for (int s = 0; s < c->segments; s++) {
        r->k_first[s] = r->keys;
        r->k_count[s] = c->m[s];
        r->queries[s] = c->queries;
        r->rows += c->n[s];
        r->keys += c->m[s];
        r->q_start[s + 1] = r->rows;
        r->max_q = c->n[s] > r->max_q ? c->n[s] : r->max_q;
    }
    r->q = random_values(r, r->rows * r->width, 1.0, c->type);
    r->k = random_values(r, r->keys * r->kv_width, 1.0, c->kv_type);
    r->v = random_values(r, r->keys * r->kv_width, 1.0, c->kv_type);
    r->bias = c->bias ? random_values(r, c->heads * BIAS_SPAN, 3.0, B2_F32) : NULL;
}

static void fill_arguments(running *r) {
    const attention_case *c = r->c;
    size_t indices = (size_t)c->segments * sizeof(int32_t);
    size_t parts = (size_t)(r->rows * c->heads * c->splits) * (size_t)(c->head_size + 4);
    int32_t zeros[CASE_SEGMENTS * 8] = {0};

    ck_assert_int_le(c->heads, 8);
    r->args.q = matrix(r, r->q, r->rows, r->width, c->type);
    r->args.y = matrix(r, NULL, r->rows, r->width, c->type);
    r->args.q_stride = r->args.y_stride = r->width + c->gap;
    r->args.k_stride = r->args.v_stride = r->kv_width + c->gap;
    if (c->page_tokens > 0)
        make_pages(r);
    if (c->append) {
        r->args.k = matrix(r, rows_of_queries(r, r->k), r->rows, r->kv_width, c->type);
        r->args.v = matrix(r, rows_of_queries(r, r->v), r->rows, r->kv_width, c->type);
        r->args.slots = keep(r, device_copy(r->slots, (size_t)r->rows * sizeof *r->slots));
    } else if (c->page_tokens == 0) {
        r->args.k = matrix(r, r->k, r->keys, r->kv_width, c->kv_type);
        r->args.v = matrix(r, r->v, r->keys, r->kv_width, c->kv_type);
    }
    r->args.q_start = keep(r, device_copy(r->q_start, indices + sizeof(int32_t)));
    r->args.k_first = keep(r, device_copy(r->k_first, indices));
    r->args.k_count = keep(r, device_copy(r->k_count, indices));
    if (c->queries > 0)
        r->args.queries = keep(r, device_copy(r->queries, indices));
    if (c->bias)
        r->args.bias =
            keep(r, device_copy(r->bias, (size_t)(c->heads * BIAS_SPAN) * sizeof *r->bias));
    r->args.bias_zero = BIAS_ZERO;
    r->args.bias_span = BIAS_SPAN;
    r->args.heads = c->heads;
    r->args.head_size = c->head_size;
    r->args.kv_type = (int32_t)c->kv_type;
    r->args.rule = (int32_t)c->rule;
    r->args.scale = (float)(c->spread / sqrt(c->head_size));
    r->args.splits = c->splits;
    r->args.group = c->heads / r->kv_heads;
    if (c->splits > 1) {
        r->args.partial = keep(r, device_new(parts * sizeof(float)));
        r->args.arrived =
            keep(r, device_copy(zeros, (size_t)(c->segments * c->heads) * sizeof *zeros));
    }
}

const char *attention_kernel(const attention_case *c) {
    static char name[64];
    const char *type = c->type == B2_F32 ? "f32" : c->type == B2_F16 ? "f16" : "bf16";
    int d = c->head_size;

    if (c->kernel == CASE_PLAIN)
        snprintf(name, sizeof name, "b2_attention_%s", type);
    else if (c->kernel == CASE_PREFILL)
        snprintf(name, sizeof name, "b2_attention_%s_%d", type,
                 d <= 64   ? 64
                 : d <= 80 ? 80
                 : d <= 96 ? 96
                           : 128);
    else if (c->type == B2_F32)
        snprintf(name, sizeof name, "b2_attention_decode_f32");
    else
        snprintf(name, sizeof name, "b2_attention_decode_%s_%d", type,
                 d <= 64   ? 64
                 : d <= 80 ? 80
                           : 128);
    return name;
}

/* How far the result is from the exact one. */
typedef struct verdict {
    double error, measure, allowed; /* measure: the error of the obvious loops */
    size_t worst;
    double got, exact; /* there */
} verdict;

static verdict compare(running *r) {
    const attention_case *c = r->c;
    size_t size = b2_type_size(c->type), pitch = (size_t)r->args.y_stride * size;
    size_t count = (size_t)(r->rows * r->width);
    double *exact = host_new(r, count * sizeof *exact), *plain = host_new(r, count * sizeof *plain);
    float *got = host_new(r, count * sizeof *got);
    unsigned char *y = host_new(r, (size_t)r->rows * pitch);
    verdict v = {0};
    double largest = 0.0;
    double ulp = c->type == B2_F32 ? FLT_EPSILON : c->type == B2_F16 ? 0x1p-10 : 0x1p-7;
    attention_twin twin = {
        r->q,        r->k,         r->v,        r->bias,
        r->q_start,  r->k_first,   r->k_count,  c->queries > 0 ? r->queries : NULL,
        BIAS_ZERO,   BIAS_SPAN,    c->segments, c->heads,
        r->kv_heads, c->head_size, c->rule,     r->args.scale,
        c->type};

    device_read(y, r->args.y, (size_t)r->rows * pitch);
    for (int i = 0; i < r->rows; i++) {
        b2_to_f32(got + i * r->width, y + (size_t)i * pitch, c->type, (size_t)r->width);
        for (size_t b = (size_t)r->width * size; b < pitch; b++)
            ck_assert_msg(y[(size_t)i * pitch + b] == SENTINEL, "%s: behind row %d", r->what, i);
    }
    attention_twin_run(exact, &twin, true);
    attention_twin_run(plain, &twin, false);
    for (size_t i = 0; i < count; i++) {
        double e = isnan(got[i]) ? (double)INFINITY : fabs((double)got[i] - exact[i]);

        v.measure = fmax(v.measure, fabs(plain[i] - exact[i]));
        largest = fmax(largest, fabs(exact[i]));
        if (e > v.error)
            v = (verdict){e, v.measure, 0.0, i, (double)got[i], exact[i]};
    }
    v.allowed = 2.0 * v.measure + 2.0 * ulp * largest;
    return v;
}

/* New keys and values are in their pages, and nobody is counted as arrived. */
static void check_side_effects(running *r) {
    const attention_case *c = r->c;
    size_t size = b2_type_size(c->kv_type), head = (size_t)c->head_size;
    float *row = host_new(r, head * sizeof *row);
    char *stored = host_new(r, head * size);
    int32_t arrived[CASE_SEGMENTS * 8] = {0};

    if (c->splits > 1) {
        device_read(arrived, r->args.arrived, (size_t)(c->segments * c->heads) * sizeof *arrived);
        for (int i = 0; i < c->segments * c->heads; i++)
            ck_assert_int_eq(arrived[i], 0);
    }
    for (int s = 0; s < c->segments && c->append; s++)
        for (int j = c->m[s] - c->n[s]; j < c->m[s]; j++)
            for (int i = 0; i < 2 * r->kv_heads; i++) {
                int page = r->table[s * r->table_stride + j / c->page_tokens];
                int64_t at = pool_row(&r->args.pool, page, i % 2, i / 2, j % c->page_tokens);
                const float *expected = (i % 2 == 0 ? r->k : r->v) +
                                        (r->k_first[s] + j) * r->kv_width + i / 2 * c->head_size;

                device_read(stored, (char *)r->args.pool.pages + (size_t)at * size, head * size);
                b2_to_f32(row, stored, c->kv_type, head);
                ck_assert_mem_eq(row, expected, head * sizeof *row);
            }
}

static void prepare(running *r) {
    lay_out(r);
    fill_arguments(r);
}

static bool launch(running *r, const attention_files *files, bool must_be_clean) {
    const attention_case *c = r->c;
    unsigned tile = c->kernel == CASE_PLAIN ? B2_ATTENTION_PLAIN_ROWS : B2_ATTENTION_ROWS;
    unsigned x =
        c->kernel == CASE_DECODE ? (unsigned)c->splits : ((unsigned)r->max_q + tile - 1) / tile;
    unsigned y = (unsigned)c->heads, z = (unsigned)c->segments;

    if (r->max_q == 0)
        return true;
    if (!must_be_clean)
        return kernel_try(files->file[c->kernel], attention_kernel(c), x, y, z,
                          B2_ATTENTION_THREADS, &r->args);
    kernel_run(files->file[c->kernel], attention_kernel(c), x, y, z, B2_ATTENTION_THREADS, &r->args,
               r->what);
    return true;
}

static void end(running *r) {
    for (int i = 0; i < r->device_count; i++)
        ck_cuda(cudaFree(r->device[i]));
    for (int i = 0; i < r->host_count; i++)
        free(r->host[i]);
}

void attention_check(const attention_files *files, const attention_case *c, uint64_t seed) {
    running r = {.c = c, .random = seed};
    verdict v;

    prepare(&r);
    (void)launch(&r, files, true);
    v = compare(&r);
    ck_assert_msg(v.error <= v.allowed,
                  "%s, %s: [%zu] is %g, expected %g: error %g, obvious loops %g, allowed %g",
                  attention_kernel(c), r.what, v.worst, v.got, v.exact, v.error, v.measure,
                  v.allowed);
    check_side_effects(&r);
    end(&r);
}

double attention_try(const attention_files *files, const attention_case *c, uint64_t seed) {
    running r = {.c = c, .random = seed};
    double ratio = -1.0;

    prepare(&r);
    if (launch(&r, files, false)) {
        verdict v = compare(&r);

        ratio = v.error / v.allowed;
    } else {
        r.device_count = 0; /* after an error the device frees nothing */
    }
    end(&r);
    return ratio;
}
