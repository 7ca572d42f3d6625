/* One golden case: a folder with case.json and the tensors beside it (tests/golden/README.md).
 *
 *   name, what, source, model       what was run, and by which original
 *   inputs                          pictures, texts, options; inputs.tensors.file
 *   expect                          values, and expect.tensors with expect.tensor_names
 *   tolerance                       "exact", or tensors.NAME: "exact" or {atol, rtol[, mean_abs]}
 *
 * Whatever is wrong with the files of a case is EINVAL (or EIO): what the library itself says about
 * a model or a picture keeps its own code, so that a mistake of ours is not taken for a bad case.
 */
#ifndef BENCH_GOLDEN_H
#define BENCH_GOLDEN_H
#include <jansson.h>

#include "base/status.h"
#include "load/fields.h"
#include "load/weights.h"

typedef struct golden_case {
    char *directory;
    char *file;   /* directory/case.json, for messages */
    json_t *json; /* the whole file; the rest of the fields point into it */
    const char *name;
    const json_t *model;                        /* a string, an object or NULL */
    const json_t *inputs, *expect;              /* objects */
    const json_t *tensor_names;                 /* object, empty without expect.tensors */
    const json_t *tolerance;                    /* a string or an object */
    b2_weights *given_tensors, *expect_tensors; /* NULL: none */
} golden_case;

/* Read and check: every tensor that is expected is there, has the shape that case.json says and a
 * tolerance. */
blip2_status golden_open(golden_case *out, const char *directory);
void golden_close(golden_case *golden);
/* Is this folder a case? */
bool golden_is_case(const char *directory);

/* A file named relative to the case's folder; yours to b2_free. NULL when out of memory. */
char *golden_path(const golden_case *golden, const char *relative);

/* A reader of fields of `section` ("inputs.") for b2_field_*, and its result: EINVAL if any field
 * was wrong. */
b2_fields golden_fields(const golden_case *golden, const char *section);
blip2_status golden_check(const b2_fields *fields);
/* EINVAL: `key` is not what it must be. */
blip2_status golden_bad(const golden_case *golden, const char *key, const char *expected,
                        const json_t *value);
/* ENOTSUP unless every key of the object is among known (ending in NULL): an option that nobody
 * looks at must not be passed over. */
blip2_status golden_only(const json_t *object, const char *section, const char *const *known);
/* An array of strings at inputs.key. */
blip2_status golden_strings(const golden_case *golden, const char *key, const json_t **out);

typedef struct golden_tolerance {
    double atol, rtol; /* |got - expected| <= atol + rtol * |expected|; both 0: exact */
    double mean_abs;   /* largest mean of |got - expected|; infinite where not limited */
} golden_tolerance;
blip2_status golden_tolerance_of(const golden_case *golden, const char *tensor,
                                 golden_tolerance *out);

/* A tensor of inputs.tensors as fp32, yours to b2_free; EINVAL unless it has `rank` dimensions. */
blip2_status golden_given(const golden_case *golden, const char *name, uint32_t rank, float **out,
                          int64_t *dims);
/* The same of integers (I64 or I32), as ids; EINVAL for one that is no int32. */
blip2_status golden_given_ids(const golden_case *golden, const char *name, uint32_t rank,
                              int32_t **out, int64_t *dims);

#endif
