/* What came out of one case: every comparison goes through here, and so does the book of what has
 * been compared. Whatever case.json expects and nobody compared makes the case fail, so that a case
 * cannot pass by being looked at in part. */
#ifndef BENCH_VERDICT_H
#define BENCH_VERDICT_H
#include "base/text_buffer.h"
#include "golden.h"

typedef struct verdict {
    const golden_case *golden;
    bool failed;
    bool measured;         /* a tensor was compared: the numbers below say something */
    double max_abs;        /* largest |got - expected| of all tensors */
    double max_rel;        /* largest |got - expected| / largest |expected| of its tensor: element
                              by element it would say nothing near zero */
    double worst;          /* largest |got - expected| / tolerance, of tensors with a tolerance */
    b2_text_buffer lines;  /* for people: a line for each comparison */
    b2_text_buffer reason; /* first failure, or what was knowingly not compared */
    json_t *values, *tensors; /* objects: keys of expect and names of tensors that are done */
} verdict;

blip2_status verdict_open(verdict *out, const golden_case *golden);
void verdict_close(verdict *v);

/* Something differs. */
void verdict_fail(verdict *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* expect.key is done: compared by other means, or no result but a description. */
blip2_status verdict_done(verdict *v, const char *key);
/* expect.key is knowingly not compared, and why; goes into the reason. */
blip2_status verdict_not_compared(verdict *v, const char *key, const char *why);

/* got [got_rows, cols] against the expected tensor, seen as rows of its last dimension. row_of
 * [expected rows]: which row of got each is, -1 for rows not to be compared; NULL: row i is row i.
 */
blip2_status verdict_tensor(verdict *v, const char *name, const float *got, int64_t got_rows,
                            int64_t cols, const int64_t *row_of);
/* Does the case expect this tensor? */
bool verdict_expects(const verdict *v, const char *name);

/* got, taken over (NULL: out of memory), against expected, borrowed (NULL: expect.key). */
blip2_status verdict_value(verdict *v, const char *key, json_t *got, const json_t *expected);

/* The same of numbers in lists of any depth, each of which may differ by the case's
 * tolerance.`tolerance`_abs + tolerance.`tolerance`_rel * |expected|, the latter optional. */
blip2_status verdict_numbers(verdict *v, const char *key, json_t *got, const char *tolerance);

/* After the last comparison: fail for whatever was not compared. */
blip2_status verdict_finish(verdict *v);

#endif
