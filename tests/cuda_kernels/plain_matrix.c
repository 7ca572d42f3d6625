#include "plain_matrix.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SENTINEL = 0x5a };

static size_t bytes_of(const plain_matrix *m) {
    return (size_t)(m->skew + m->rows * m->stride) * b2_type_size(m->type);
}

static plain_matrix make(b2_type type, int rows, int cols, plain_layout layout) {
    plain_matrix m = {.rows = rows,
                      .cols = cols,
                      .stride = cols + layout.gap,
                      .skew = layout.skew,
                      .type = type,
                      .values = calloc((size_t)(rows * cols) + 1, sizeof(float))};

    ck_assert_ptr_nonnull(m.values);
    m.memory = device_new(bytes_of(&m));
    m.data = (char *)m.memory + (size_t)m.skew * b2_type_size(type);
    return m;
}

static void fill(const plain_matrix *m) {
    unsigned char *bytes = malloc(bytes_of(m) + 1);

    ck_assert_ptr_nonnull(bytes);
    memset(bytes, SENTINEL, bytes_of(m));
    device_write(m->memory, bytes, bytes_of(m));
    free(bytes);
}

static void randomise(plain_matrix *m, uint64_t *seed, double low, double high) {
    size_t size = b2_type_size(m->type);
    unsigned char *row = malloc((size_t)m->cols * size + 1);

    ck_assert_ptr_nonnull(row);
    for (int i = 0; i < m->rows; i++) {
        float *values = m->values + (size_t)i * (size_t)m->cols;

        for (int j = 0; j < m->cols; j++)
            values[j] = rounded((float)random_between(seed, low, high), m->type);
        b2_from_f32(row, m->type, values, (size_t)m->cols);
        device_write((char *)m->data + (size_t)(i * m->stride) * size, row, (size_t)m->cols * size);
    }
    free(row);
}

plain_matrix plain_input(b2_type type, int rows, int cols, plain_layout layout, uint64_t *seed,
                         double low, double high) {
    plain_matrix m = make(type, rows, cols, layout);

    randomise(&m, seed, low, high);
    return m;
}

plain_matrix plain_in_place(b2_type type, int rows, int cols, plain_layout layout, uint64_t *seed,
                            double low, double high) {
    plain_matrix m = make(type, rows, cols, layout);

    fill(&m);
    randomise(&m, seed, low, high);
    return m;
}

plain_matrix plain_output(b2_type type, int rows, int cols, plain_layout layout) {
    plain_matrix m = make(type, rows, cols, layout);

    fill(&m);
    plain_read(&m, "sentinels");
    return m;
}

void plain_read(plain_matrix *m, const char *what) {
    size_t size = b2_type_size(m->type), at = 0;
    unsigned char *bytes = malloc(bytes_of(m) + 1);

    ck_assert_ptr_nonnull(bytes);
    device_read(bytes, m->memory, bytes_of(m));
    for (int i = 0; i < m->rows; i++) {
        size_t row = (size_t)(m->skew + i * m->stride) * size;

        for (; at < row; at++)
            ck_assert_msg(bytes[at] == SENTINEL, "%s: byte %zu before row %d was written", what,
                          row - at, i);
        b2_to_f32(m->values + (size_t)i * (size_t)m->cols, bytes + row, m->type, (size_t)m->cols);
        at = row + (size_t)m->cols * size;
    }
    for (; at < bytes_of(m); at++)
        ck_assert_msg(bytes[at] == SENTINEL, "%s: something behind the last row was written", what);
    free(bytes);
}

void plain_free(plain_matrix *m) {
    ck_cuda(cudaFree(m->memory));
    free(m->values);
}

/* Half the distance of neighbouring numbers of the type around x. */
static double half_step(double x, b2_type type) {
    int bits = type == B2_F16 ? 11 : type == B2_BF16 ? 8 : 24;
    int lowest = type == B2_F16 ? -14 : -126, exponent;

    frexp(x, &exponent);
    exponent = exponent - 1 < lowest ? lowest : exponent - 1;
    return ldexp(1.0, exponent - bits);
}

void plain_close(const char *what, const float *got, const double *truth, const float *obvious,
                 size_t count, b2_type type) {
    double fair = 0.0;

    for (size_t i = 0; i < count; i++)
        fair = fmax(fair, fabs((double)obvious[i] - truth[i]));
    for (size_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - truth[i]);
        double bound = 2.0 * fair + half_step(truth[i], type);

        ck_assert_msg(error <= bound,
                      "%s: element %zu is %.9g, expected %.9g (off by %.3g, "
                      "allowed %.3g; obvious fp32 errs by %.3g)",
                      what, i, (double)got[i], truth[i], error, bound, fair);
    }
}

void plain_equal(const char *what, const float *got, const float *wanted, size_t count) {
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(memcmp(&got[i], &wanted[i], sizeof got[i]) == 0,
                      "%s: element %zu is %.9g, expected %.9g", what, i, (double)got[i],
                      (double)wanted[i]);
}

const char *plain_name(const char *family, b2_type type) {
    static char name[64];

    snprintf(name, sizeof name, "%s_%s", family,
             type == B2_F32   ? "f32"
             : type == B2_F16 ? "f16"
                              : "bf16");
    return name;
}
