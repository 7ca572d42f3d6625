/* One list of cases for every operation of device.h, run on every device of this machine. Nothing
 * here knows a device from inside: memory goes through alloc, upload and download.
 *
 * A result is compared with the obvious loops in double (reference.h). The device may err at most
 * twice as much as the same loops in float, plus FLOOR_ULPS units in the last place of the largest
 * result: in tiny cases the float loops may happen to be exact, where other loops round a sum and a
 * result once. Outputs start as NaN and stand between sentinels.     */
#ifndef B2_TESTS_OPS_H
#define B2_TESTS_OPS_H
#include <check.h>
#include <stdint.h>

#include "device.h"
#include "run.h"

/* A device under test; case i of a loop test runs on target i. Those behind OP_TARGETS differ from
 * others in patch_embed only. */
enum { OP_TARGETS = 8, OP_PATCH_TARGETS = 11, OP_ALL_TARGETS = 14 };

typedef struct op_context {
    b2_device *device;
    uint64_t random;
    void *device_blocks[64]; /* freed by op_close */
    void *host_blocks[256];
    int device_count, host_count;
} op_context;

/* False: this machine has no such device, or its name does not start with BLIP2_TEST_DEVICE: the
 * test has nothing to do. Inputs come from the seed BLIP2_TEST_SEED (default 1), which failures
 * print. */
bool op_open(op_context *context, int target);
/* The same, with a GPU that is deterministic. */
bool op_open_same(op_context *context, int target);
void op_close(op_context *context);
/* As newly opened, for the next case of a loop: opening a GPU takes longer than most cases. */
void op_clear(op_context *context);

double op_uniform(op_context *context, double low, double high);
int64_t op_integer(op_context *context, int64_t low, int64_t high); /* both ends included */

void op_round(float *values, b2_type type, int64_t count); /* as if stored as type */
/* The type in which the device keeps a weight that asks for `keep`: one that computes in F16 or
 * BF16 has no other half type. */
b2_type op_kept(const op_context *context, b2_type keep);

void *op_host(op_context *context, size_t bytes);                     /* zeroed */
void *op_upload(op_context *context, const void *from, size_t bytes); /* device memory */
void op_check(op_context *context, blip2_status status);              /* must be OK */

/* A matrix on the device and its values on the host, addressed alike. */
typedef struct op_mat {
    b2_mat device;
    float *host; /* [rows, stride]: what was uploaded */
    struct op_memory *memory;
} op_mat;

typedef enum op_fill { OP_RANDOM, OP_NAN } op_fill;

/* Rows `gap` elements further apart than cols. */
op_mat op_mat_new(op_context *context, b2_type type, int64_t rows, int64_t cols, int64_t gap,
                  op_fill fill);
op_mat op_mat_cols(op_mat m, int64_t first, int64_t count);
/* What the device has in m now, dense [rows, cols]; fails if anything around m has changed. */
float *op_mat_read(op_context *context, op_mat m);
/* m, with its sentinels, is what was uploaded. */
void op_mat_unchanged(op_context *context, op_mat m);

/* Random floats in [-1, 1) on the host and on the device. */
float *op_vector(op_context *context, int64_t count, float **device);

enum { FLOOR_ULPS = 2 };
/* got, stored as type, against exact, with plain (the float loops, rounded to type) as the
 * measure. */
void op_compare(const char *what, b2_type type, const float *got, const double *exact,
                const float *plain, int64_t count);
/* The same where rounding an intermediate result once moves a result by `sensitivity` units in its
 * last place: a softmax weight by as many as its score is large. */
void op_compare_sensitive(const char *what, b2_type type, double sensitivity, const float *got,
                          const double *exact, const float *plain, int64_t count);

void op_add_case(Suite *suite, const char *name, const TTest *test);
void op_add_patch_case(Suite *suite, const char *name, const TTest *test);
void suite_device(Suite *suite);
void suite_linear(Suite *suite);
void suite_attention(Suite *suite);
void suite_norm(Suite *suite);
void suite_rows(Suite *suite);
void suite_rope(Suite *suite);
void suite_itc(Suite *suite);
void suite_patch(Suite *suite);
void suite_choose(Suite *suite);
void suite_best(Suite *suite);
void suite_same(Suite *suite);

#endif
