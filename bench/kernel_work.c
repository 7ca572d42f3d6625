/* Operands of an operation: carved from one allocation a set by the code that also counts it,
 * filled with random numbers that are copied over and over on the device. */
#include "kernel_work.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "model/run.h"
#include "timing.h"

enum { POOL = 1 << 18 }; /* numbers in a pool */

/* ---- random numbers ----------------------------------------------------------------------- */

/* [POOL] uniform in [-1, 1), another start for each type. */
static void fill_pool(void *out, b2_type type) {
    uint64_t state = 88172645463325252u + (uint64_t)type;

    for (size_t i = 0; i < POOL; i++) {
        float value;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value = (float)(int32_t)(state >> 32) * 0x1p-31f;
        b2_from_f32((char *)out + i * b2_type_size(type), type, &value, 1);
    }
}

static blip2_status open_pools(kernel_work *w) {
    void *host = b2_alloc_array(POOL, sizeof(float));
    blip2_status status = host != NULL ? BLIP2_OK : b2_fail_memory();

    for (int type = B2_F32; type <= B2_BF16 && status == BLIP2_OK; type++) {
        size_t bytes = POOL * b2_type_size((b2_type)type);

        fill_pool(host, (b2_type)type);
        if ((status = w->device->ops->alloc(w->device, &w->pool[type], bytes)) == BLIP2_OK)
            status = w->device->ops->upload(w->device, w->pool[type], host, bytes);
    }
    b2_free(host);
    return status;
}

static blip2_status fill(kernel_work *w, void *to, b2_type type, size_t bytes) {
    size_t pool = POOL * b2_type_size(type);
    blip2_status status = BLIP2_OK;

    for (size_t at = 0; at < bytes && status == BLIP2_OK; at += pool)
        status =
            b2_gpu_copy(w->device, (char *)to + at, w->pool[type], b2_size_min(pool, bytes - at));
    return status;
}

/* Columns of another matrix are filled with it. */
static blip2_status fill_mat(kernel_work *w, b2_mat m) {
    if (m.data == NULL || m.type > B2_BF16 || m.stride != m.cols)
        return BLIP2_OK;
    return fill(w, m.data, m.type, (size_t)(m.rows * m.stride) * b2_type_size(m.type));
}

/* to [count] = (first + i * step) % modulo */
static blip2_status fill_index(kernel_work *w, int32_t *to, int64_t count, int64_t first,
                               int64_t step, int64_t modulo) {
    int32_t *host = b2_alloc_array((size_t)count, sizeof *host);
    blip2_status status;

    if (host == NULL)
        return b2_fail_memory();
    for (int64_t i = 0; i < count; i++)
        host[i] = (int32_t)((first + i * step) % modulo);
    status = w->device->ops->upload(w->device, to, host, (size_t)count * sizeof *host);
    b2_free(host);
    return status;
}

/* W [rows, cols] kept in the compute type, the same for all sets. */
static blip2_status make_weight(kernel_work *w, b2_weight **out, int64_t rows, int64_t cols,
                                unsigned uses) {
    b2_type type = w->device->compute;
    size_t count = (size_t)(rows * cols), size = b2_type_size(type);
    b2_weight_part part = {.rows = rows, .type = type};
    b2_weight_desc desc = {
        .parts = &part, .part_count = 1, .cols = cols, .keep = type, .uses = uses};

    if (w->weights == NULL) {
        char *host = b2_alloc_array(b2_size_max(count, POOL), size);

        if (host == NULL)
            return b2_fail_memory();
        fill_pool(host, type);
        for (size_t at = POOL; at < count; at += POOL)
            memcpy(host + at * size, host, b2_size_min(POOL, count - at) * size);
        w->weights = host;
    }
    part.data = w->weights;
    return w->device->ops->weight_create(w->device, &desc, out);
}

/* ---- operands ----------------------------------------------------------------------------- */

static int64_t weight_rows(const kernel_shape *s) {
    return s->gated ? 2 * s->m : s->m;
}

static int64_t page_count(const kernel_shape *s) {
    return (int64_t)s->segments * ((s->m + KERNEL_PAGE_TOKENS - 1) / KERNEL_PAGE_TOKENS);
}

static b2_type type_of(const kernel_work *w) {
    return w->shape.exact ? B2_F32 : w->device->compute;
}

static void carve_attention(const kernel_shape *s, kernel_set *set, b2_carver *carver, b2_type t) {
    int64_t c = (int64_t)s->heads * s->head_size;
    int64_t rows = s->n * s->segments, keys = s->m * s->segments;

    set->y = b2_carve_mat(carver, t, rows, c);
    if (s->paged) {
        set->x = b2_carve_mat(carver, t, rows, c);
        set->a = b2_carve_mat(carver, t, page_count(s), 2 * c * KERNEL_PAGE_TOKENS);
        set->index[3] = b2_carve(carver, (size_t)page_count(s), sizeof(int32_t));
    } else if (s->n == s->m) { /* as the models have them: side by side */
        set->z = b2_carve_mat(carver, t, rows, 3 * c);
        set->x = b2_mat_cols(set->z, 0, c);
        set->a = b2_mat_cols(set->z, c, c);
        set->b = b2_mat_cols(set->z, 2 * c, c);
    } else {
        set->x = b2_carve_mat(carver, t, rows, c);
        set->z = b2_carve_mat(carver, t, keys, 2 * c);
        set->a = b2_mat_cols(set->z, 0, c);
        set->b = b2_mat_cols(set->z, c, c);
    }
    for (int i = 0; i < 3; i++)
        set->index[i] = b2_carve(carver, (size_t)s->segments + 1, sizeof(int32_t));
    if (s->bias_span > 0)
        set->vector[0] = b2_carve(carver, (size_t)s->heads * s->bias_span, sizeof(float));
}

static void carve(const kernel_work *w, kernel_set *set, b2_carver *carver) {
    const kernel_shape *s = &w->shape;
    b2_type t = type_of(w);
    int64_t g = s->patch > 0 ? s->m / s->patch * (s->m / s->patch) : 0;
    int64_t c = (int64_t)s->heads * s->head_size;

    switch (s->op) {
    case KERNEL_COPY:
        set->x = b2_carve_mat(carver, B2_U8, 1, s->n);
        set->y = b2_carve_mat(carver, B2_U8, 1, s->n);
        break;
    case KERNEL_LINEAR:
        set->x = b2_carve_mat(carver, t, s->n, s->k);
        set->y = b2_carve_mat(carver, s->residual || s->wide ? B2_F32 : t, s->n, s->m);
        if (s->residual)
            set->a = b2_carve_mat(carver, B2_F32, s->n, s->m);
        if (!s->no_bias)
            set->vector[0] = b2_carve(carver, (size_t)weight_rows(s), sizeof(float));
        break;
    case KERNEL_NORM:
        set->x = b2_carve_mat(carver, B2_F32, s->n, s->k);
        set->y = b2_carve_mat(carver, t, s->n, s->k);
        if (s->residual) {
            set->a = b2_carve_mat(carver, B2_F32, s->n, s->k);
            set->z = b2_carve_mat(carver, B2_F32, s->n, s->k);
        }
        set->vector[0] = b2_carve(carver, (size_t)s->k, sizeof(float));
        if (!s->no_bias)
            set->vector[1] = b2_carve(carver, (size_t)s->k, sizeof(float));
        break;
    case KERNEL_EMBED:
    case KERNEL_COPY_ROWS:
        if (s->op == KERNEL_COPY_ROWS)
            set->x = b2_carve_mat(carver, B2_F32, s->n, s->k);
        set->y = b2_carve_mat(carver, B2_F32, s->n, s->k);
        set->index[0] = b2_carve(carver, (size_t)s->n, sizeof(int32_t));
        break;
    case KERNEL_KV_WRITE:
        set->x = b2_carve_mat(carver, t, s->n, c);
        set->b = b2_carve_mat(carver, t, s->n, c);
        set->a = b2_carve_mat(carver, t, page_count(s), 2 * c * KERNEL_PAGE_TOKENS);
        set->index[0] = b2_carve(carver, (size_t)s->n, sizeof(int32_t));
        break;
    case KERNEL_ATTENTION:
        carve_attention(s, set, carver, t);
        break;
    case KERNEL_CHOOSE:
        set->x = b2_carve_mat(carver, B2_F32, s->n, s->k);
        set->vector[0] = b2_carve(carver, (size_t)s->n, sizeof(float));
        for (int i = 0; i < 4; i++)
            set->index[i] = b2_carve(carver, (size_t)s->n, sizeof(int32_t));
        break;
    case KERNEL_TOP_K:
        set->x = b2_carve_mat(carver, B2_F32, s->n, s->k);
        set->vector[0] = b2_carve(carver, (size_t)(s->n * s->m), sizeof(float));
        set->index[0] = b2_carve(carver, (size_t)(s->n * s->m), sizeof(int32_t));
        break;
    case KERNEL_L2:
    case KERNEL_ITC:
        set->x = b2_carve_mat(carver, B2_F32, s->n, s->k);
        set->y = b2_carve_mat(carver, B2_F32, s->op == KERNEL_L2 ? s->n : s->n / s->m, s->k);
        break;
    case KERNEL_ROPE:
        set->x = b2_carve_mat(carver, t, s->n, c);
        set->vector[0] = b2_carve(carver, (size_t)s->m * s->head_size, sizeof(float));
        set->index[0] = b2_carve(carver, (size_t)s->n, sizeof(int32_t));
        break;
    case KERNEL_PATCH:
        set->x = b2_carve_mat(carver, B2_F32, s->n * 3 * s->m, s->m);
        set->a = b2_carve_mat(carver, t, s->n * g, (int64_t)3 * s->patch * s->patch);
        set->y = b2_carve_mat(carver, B2_F32, s->n * (1 + g), s->k);
        set->vector[0] = b2_carve(carver, (size_t)s->k, sizeof(float));
        set->vector[1] = b2_carve(carver, (size_t)s->k, sizeof(float));
        set->vector[2] = b2_carve(carver, (size_t)((1 + g) * s->k), sizeof(float));
        break;
    }
}

static blip2_status fill_indices(kernel_work *w, kernel_set *set) {
    const kernel_shape *s = &w->shape;
    blip2_status status = BLIP2_OK;

    switch (s->op) {
    case KERNEL_EMBED:
        return fill_index(w, set->index[0], s->n, 0, 7919, s->m); /* here and there */
    case KERNEL_ROPE:
        return fill_index(w, set->index[0], s->n, 0, 1, s->m);
    case KERNEL_COPY_ROWS:
        return fill_index(w, set->index[0], s->n, 0, 7919, s->n);
    case KERNEL_KV_WRITE:
        return fill_index(w, set->index[0], s->n, 0, 1, s->n);
    case KERNEL_ATTENTION:
        if ((status = fill_index(w, set->index[0], s->segments + 1, 0, s->n, INT32_MAX)) < 0 ||
            (status = fill_index(w, set->index[1], s->segments, 0, s->m, INT32_MAX)) < 0 ||
            (status = fill_index(w, set->index[2], s->segments, s->m, 0, INT32_MAX)) < 0 ||
            !s->paged)
            return status;
        /* Pages in reverse order: far from their neighbours, as after a while of serving. */
        return fill_index(w, set->index[3], page_count(s), page_count(s) - 1, page_count(s) - 1,
                          page_count(s));
    case KERNEL_CHOOSE:
        for (int i = 0; i < 3 && status == BLIP2_OK; i++) /* no history, stop id 0, no ban */
            status = fill_index(w, set->index[i], s->n, 0, 0, 1);
        return status;
    default:
        return BLIP2_OK;
    }
}

static blip2_status open_set(kernel_work *w, kernel_set *set, size_t bytes) {
    const kernel_shape *s = &w->shape;
    b2_carver carver = {0};
    int64_t cols = s->op == KERNEL_PATCH ? (int64_t)3 * s->patch * s->patch : s->k;
    int64_t rows = s->op == KERNEL_PATCH ? s->k : weight_rows(s);
    blip2_status status = w->device->ops->alloc(w->device, &set->memory, bytes);

    if (status < 0 || (status = fill(w, set->memory, B2_F32, bytes)) < 0)
        return status;
    carver.base = set->memory;
    carve(w, set, &carver);
    if ((status = fill_mat(w, set->x)) < 0 || (status = fill_mat(w, set->a)) < 0 ||
        (status = fill_mat(w, set->b)) < 0 || (status = fill_mat(w, set->z)) < 0 ||
        (status = fill_indices(w, set)) < 0)
        return status;
    if (s->op == KERNEL_LINEAR || s->op == KERNEL_PATCH)
        return make_weight(w, &set->weight, rows, cols, B2_USE_LINEAR);
    if (s->op == KERNEL_EMBED)
        return make_weight(w, &set->weight, rows, cols, B2_USE_ROWS);
    return BLIP2_OK;
}

/* ---- the least bytes and operations --------------------------------------------------------- */

static void count(kernel_work *w) {
    const kernel_shape *s = &w->shape;
    double t = (double)b2_type_size(type_of(w)), wt = (double)b2_type_size(w->device->compute);
    double n = (double)s->n, m = (double)s->m, k = (double)s->k;
    double c = (double)s->heads * s->head_size, pairs = n * m, rows;

    switch (s->op) {
    case KERNEL_COPY:
        w->bytes = 2 * n;
        break;
    case KERNEL_LINEAR:
        rows = (double)weight_rows(s);
        w->bytes = n * k * t + rows * k * wt +
                   n * m *
                       (s->residual ? 8
                        : s->wide   ? 4
                                    : t) +
                   (s->no_bias ? 0 : 4 * rows);
        w->flops = 2 * n * rows * k;
        break;
    case KERNEL_NORM:
        w->bytes = n * k * (4 + t + (s->residual ? 8 : 0));
        break;
    case KERNEL_EMBED:
        w->bytes = n * k * (wt + 4);
        break;
    case KERNEL_COPY_ROWS:
        w->bytes = n * k * 8;
        break;
    case KERNEL_KV_WRITE:
        w->bytes = 4 * n * c * t;
        break;
    case KERNEL_ATTENTION:
        if (s->rule == B2_MASK_CAUSAL) /* row i of n sees m - n + i + 1 keys */
            pairs = n * (m - n) + n * (n + 1) / 2;
        w->bytes = s->segments * (2 * n + 2 * m) * c * t + 4.0 * s->heads * s->bias_span;
        w->flops = 4 * s->segments * pairs * c;
        break;
    case KERNEL_CHOOSE:
    case KERNEL_TOP_K:
        w->bytes = n * k * 4;
        break;
    case KERNEL_L2:
        w->bytes = n * k * 8;
        break;
    case KERNEL_ITC:
        w->bytes = n * k * 4 * (1 + 1 / m);
        break;
    case KERNEL_ROPE:
        w->bytes = 2 * n * c * t;
        break;
    case KERNEL_PATCH: {
        double g = m * m / ((double)s->patch * s->patch), p3 = 3.0 * s->patch * s->patch;

        w->bytes = n * 3 * m * m * 4 + k * p3 * wt + n * (1 + g) * k * 4;
        w->flops = 2 * n * g * k * p3;
        break;
    }
    }
}

/* ---- open and close ----------------------------------------------------------------------- */

static void close_set(kernel_work *w, kernel_set *set) {
    w->device->ops->weight_free(w->device, set->weight);
    w->device->ops->free(w->device, set->memory);
}

static blip2_status open_sets(kernel_work *w, size_t cache_bytes) {
    b2_carver carver = {0};
    kernel_set counted = {0};
    blip2_status status;

    carve(w, &counted, &carver);
    if (carver.overflow)
        return b2_fail_memory();
    w->sets = KERNEL_SETS;
    if (w->bytes * KERNEL_SETS > 2.0 * (double)cache_bytes)
        w->sets = (uint32_t)(2.0 * (double)cache_bytes / w->bytes) + 1;
    if ((w->set = b2_calloc(w->sets, sizeof *w->set)) == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < w->sets; i++)
        if ((status = open_set(w, &w->set[i], carver.used)) < 0)
            return status;
    return w->device->ops->sync(w->device);
}

blip2_status kernel_work_open(kernel_work *out, b2_device *device, const kernel_shape *shape,
                              size_t cache_bytes) {
    blip2_status status;

    *out = (kernel_work){.device = device, .shape = *shape};
    count(out);
    if ((status = open_pools(out)) < 0 || (status = open_sets(out, cache_bytes)) < 0)
        kernel_work_close(out);
    return status;
}

void kernel_work_close(kernel_work *work) {
    if (work->device == NULL)
        return;
    (void)work->device->ops->sync(work->device);
    for (uint32_t i = 0; i < work->sets && work->set != NULL; i++)
        close_set(work, &work->set[i]);
    for (int i = 0; i < 3; i++)
        work->device->ops->free(work->device, work->pool[i]);
    b2_free(work->set);
    b2_free(work->weights);
    *work = (kernel_work){0};
}
