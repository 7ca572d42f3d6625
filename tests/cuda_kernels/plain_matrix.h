/* Matrices on the device for the tests of plain kernels, and how results are judged. */
#ifndef B2_PLAIN_MATRIX_H
#define B2_PLAIN_MATRIX_H
#include <stddef.h>

#include "kernel_test.h"

/* How a matrix stands in memory: `gap` elements between rows, `skew` in front of the first. */
typedef struct plain_layout {
    int gap, skew;
} plain_layout;

typedef struct plain_matrix {
    int rows, cols, stride, skew;
    b2_type type;
    void *memory, *data; /* device: the allocation, and its first row */
    float *values;       /* [rows, cols] what is in it, as far as the host knows */
} plain_matrix;

/* Random values rounded to the type. An input's gaps are never written (reading one is a finding);
 * in a matrix that is changed in place they hold sentinels. */
plain_matrix plain_input(b2_type type, int rows, int cols, plain_layout layout, uint64_t *seed,
                         double low, double high);
plain_matrix plain_in_place(b2_type type, int rows, int cols, plain_layout layout, uint64_t *seed,
                            double low, double high);
/* Sentinels everywhere; values are what they mean. */
plain_matrix plain_output(b2_type type, int rows, int cols, plain_layout layout);
/* Reads the matrix back into values; the gaps must be as they were. */
void plain_read(plain_matrix *m, const char *what);
void plain_free(plain_matrix *m);

/* got within twice the largest error of the obvious fp32 values, plus the rounding to the type. */
void plain_close(const char *what, const float *got, const double *truth, const float *obvious,
                 size_t count, b2_type type);
/* Bit for bit, NaN included. */
void plain_equal(const char *what, const float *got, const float *wanted, size_t count);

/* "b2_norm" to "b2_norm_f16", in a buffer of the function's own that the next call reuses. */
const char *plain_name(const char *family, b2_type type);

TCase *plain_rows_case(void);
TCase *plain_pointwise_case(void);
TCase *plain_choice_case(void);
TCase *plain_picture_case(void);

#endif
