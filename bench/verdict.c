#include "verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

blip2_status verdict_open(verdict *out, const golden_case *golden) {
    *out = (verdict){.golden = golden, .values = json_object(), .tensors = json_object()};
    return out->values != NULL && out->tensors != NULL ? BLIP2_OK : b2_fail_memory();
}

void verdict_close(verdict *v) {
    b2_text_free(&v->lines);
    b2_text_free(&v->reason);
    json_decref(v->values);
    json_decref(v->tensors);
}

void verdict_fail(verdict *v, const char *format, ...) {
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!v->failed) {
        b2_text_clear(&v->reason);
        b2_text_appendf(&v->reason, "%s", text);
    }
    v->failed = true;
    b2_text_appendf(&v->lines, "    FAIL %s\n", text);
}

blip2_status verdict_done(verdict *v, const char *key) {
    return json_object_set_new(v->values, key, json_true()) == 0 ? BLIP2_OK : b2_fail_memory();
}

blip2_status verdict_not_compared(verdict *v, const char *key, const char *why) {
    b2_text_appendf(&v->lines, "    %s: not compared: %s\n", key, why);
    if (!v->failed)
        b2_text_appendf(&v->reason, "%s%s", v->reason.length > 0 ? ", " : "not compared: ", key);
    return verdict_done(v, key);
}

bool verdict_expects(const verdict *v, const char *name) {
    return json_object_get(v->golden->tensor_names, name) != NULL;
}

/* ---- tensors ------------------------------------------------------------------------------ */

typedef struct difference { /* of one tensor */
    double max_abs, max_rel, mean_abs, worst;
    size_t count, outside; /* values compared, and those outside the tolerance */
    int64_t row, col;      /* the first of them */
    float got, expected;
} difference;

/* The larger one; once a NaN came in it stays. */
static double larger(double a, double b) {
    return isnan(a) || a >= b ? a : b;
}

static void compare_row(difference *d, const golden_tolerance *tolerance, const float *got,
                        const float *expected, int64_t row, int64_t cols) {
    for (int64_t i = 0; i < cols; i++) {
        double e = expected[i], error = fabs((double)got[i] - e);
        double allowed = tolerance->atol + tolerance->rtol * fabs(e);

        d->count++;
        d->mean_abs += error;
        d->max_abs = larger(d->max_abs, error);
        if (allowed > 0)
            d->worst = larger(d->worst, error / allowed);
        if (error <= allowed) /* never true of a NaN */
            continue;
        if (d->outside++ == 0) {
            d->row = row;
            d->col = i;
            d->got = got[i];
            d->expected = expected[i];
        }
    }
}

static void judge(verdict *v, const char *name, const difference *d,
                  const golden_tolerance *tolerance) {
    bool exact = tolerance->atol == 0 && tolerance->rtol == 0;

    v->measured = true;
    v->max_abs = larger(v->max_abs, d->max_abs);
    v->max_rel = larger(v->max_rel, d->max_rel);
    v->worst = larger(v->worst, d->worst);
    b2_text_appendf(&v->lines, "    %s: max abs %.3g, rel %.3g, ", name, d->max_abs, d->max_rel);
    if (exact)
        b2_text_appendf(&v->lines, "%s\n", d->outside == 0 ? "exact" : "must be exact");
    else
        b2_text_appendf(&v->lines, "%.3g of the tolerance\n", d->worst);
    if (d->outside > 0)
        verdict_fail(v,
                     "%s: %zu of %zu values differ, first at row %lld, column %lld: got %.9g, "
                     "expected %.9g",
                     name, d->outside, d->count, (long long)d->row, (long long)d->col,
                     (double)d->got, (double)d->expected);
    if (!(d->mean_abs <= tolerance->mean_abs))
        verdict_fail(v, "%s: the mean difference is %.3g, expected at most %.3g", name, d->mean_abs,
                     tolerance->mean_abs);
}

blip2_status verdict_tensor(verdict *v, const char *name, const float *got, int64_t got_rows,
                            int64_t cols, const int64_t *row_of) {
    const b2_tensor *tensor =
        v->golden->expect_tensors != NULL ? b2_weights_find(v->golden->expect_tensors, name) : NULL;
    difference d = {0};
    golden_tolerance tolerance;
    double largest = 0;
    int64_t rows;
    float *expected;
    blip2_status status;

    if (tensor == NULL || tensor->type != B2_F32)
        return b2_fail(BLIP2_EINVAL, "%s: expected tensor \"%s\" of type F32", v->golden->file,
                       name);
    if ((status = golden_tolerance_of(v->golden, name, &tolerance)) < 0)
        return status;
    if (json_object_set_new(v->tensors, name, json_true()) != 0)
        return b2_fail_memory();
    rows = (int64_t)tensor->count / tensor->dim[tensor->rank - 1];
    if (tensor->dim[tensor->rank - 1] != cols || (row_of == NULL && rows != got_rows)) {
        verdict_fail(v, "%s: got %lld rows of %lld, expected %lld of %lld", name,
                     (long long)got_rows, (long long)cols, (long long)rows,
                     (long long)tensor->dim[tensor->rank - 1]);
        return BLIP2_OK;
    }
    if ((expected = b2_alloc_array(tensor->count, sizeof *expected)) == NULL)
        return b2_fail_memory();
    b2_to_f32(expected, tensor->data, tensor->type, tensor->count);
    for (int64_t i = 0; i < rows; i++) {
        int64_t from = row_of != NULL ? row_of[i] : i;

        if (from < 0)
            continue;
        for (int64_t k = 0; k < cols; k++)
            largest = fmax(largest, fabs((double)expected[i * cols + k]));
        compare_row(&d, &tolerance, got + from * cols, expected + i * cols, i, cols);
    }
    b2_free(expected);
    if (d.count == 0) {
        verdict_fail(v, "%s: there was nothing to compare", name);
        return BLIP2_OK;
    }
    d.mean_abs /= (double)d.count;
    d.max_rel = largest > 0 ? d.max_abs / largest : d.max_abs;
    judge(v, name, &d, &tolerance);
    return BLIP2_OK;
}

/* ---- values ------------------------------------------------------------------------------- */

/* Short text of a value, plain ASCII. */
static void show(const json_t *value, char *text, size_t size) {
    char *dump = value != NULL
                     ? json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT)
                     : NULL;

    (void)snprintf(text, size, "%s", dump != NULL ? dump : "nothing");
    if (dump != NULL && strlen(dump) >= size)
        memcpy(text + size - 4, "...", 4);
    free(dump);
}

/* The first place where two values differ, as "[3][1]" behind `path`; false: they are equal. */
static bool find_difference(const json_t *got, const json_t *expected, b2_text_buffer *path,
                            const json_t **got_there, const json_t **expected_there) {
    size_t n = json_array_size(got), m = json_array_size(expected);

    if (got != NULL && expected != NULL && json_equal(got, expected))
        return false;
    *got_there = got;
    *expected_there = expected;
    if (!json_is_array(got) || !json_is_array(expected))
        return true;
    for (size_t i = 0; i < n || i < m; i++) {
        const json_t *a = json_array_get(got, i), *b = json_array_get(expected, i);

        if (a != NULL && b != NULL && json_equal(a, b))
            continue;
        b2_text_appendf(path, "[%zu]", i);
        return find_difference(a, b, path, got_there, expected_there);
    }
    return true;
}

blip2_status verdict_value(verdict *v, const char *key, json_t *got, const json_t *expected) {
    const json_t *wanted = expected != NULL ? expected : json_object_get(v->golden->expect, key);
    const json_t *got_there, *expected_there;
    b2_text_buffer path = {0};
    char a[80], b[80];

    if (got == NULL)
        return b2_fail_memory();
    if (find_difference(got, wanted, &path, &got_there, &expected_there)) {
        show(got_there, a, sizeof a);
        show(expected_there, b, sizeof b);
        verdict_fail(v, "%s%s: got %s, expected %s", key, b2_text_data(&path), a, b);
    } else if (json_is_array(got)) {
        b2_text_appendf(&v->lines, "    %s: all %zu equal\n", key, json_array_size(got));
    } else {
        b2_text_appendf(&v->lines, "    %s: equal\n", key);
    }
    b2_text_free(&path);
    json_decref(got);
    return verdict_done(v, key);
}

typedef struct worst_number {
    double error, part, got, expected; /* part: of what is allowed */
    size_t count, outside;
} worst_number;

typedef struct allowed_error {
    double abs, rel; /* abs + rel * |expected| */
} allowed_error;

/* False: not the same lists. */
static bool compare_numbers(const json_t *got, const json_t *expected, const allowed_error *allowed,
                            worst_number *worst) {
    if (json_is_number(got) && json_is_number(expected)) {
        double e = json_number_value(expected), error = fabs(json_number_value(got) - e);
        double part = error / (allowed->abs + allowed->rel * fabs(e));

        worst->count++;
        worst->outside += !(part <= 1);
        if (!(part <= worst->part))
            *worst = (worst_number){error, part,         json_number_value(got),
                                    e,     worst->count, worst->outside};
        return true;
    }
    if (!json_is_array(got) || !json_is_array(expected) ||
        json_array_size(got) != json_array_size(expected))
        return false;
    for (size_t i = 0; i < json_array_size(got); i++)
        if (!compare_numbers(json_array_get(got, i), json_array_get(expected, i), allowed, worst))
            return false;
    return true;
}

/* tolerance.`name`_abs and, where there, tolerance.`name`_rel. */
static blip2_status read_allowed(const verdict *v, const char *name, allowed_error *out) {
    static const char *const suffixes[] = {"_abs", "_rel"};
    double *const values[] = {&out->abs, &out->rel};

    *out = (allowed_error){0};
    for (int i = 0; i < 2; i++) {
        char key[64];
        const json_t *value;

        (void)snprintf(key, sizeof key, "%s%s", name, suffixes[i]);
        value = json_object_get(v->golden->tolerance, key);
        if (i == 1 && value == NULL)
            return BLIP2_OK;
        if (!json_is_number(value) || json_number_value(value) < 0)
            return golden_bad(v->golden, key, "a number among tolerance", value);
        *values[i] = json_number_value(value);
    }
    return BLIP2_OK;
}

blip2_status verdict_numbers(verdict *v, const char *key, json_t *got, const char *tolerance) {
    worst_number worst = {0};
    allowed_error allowed;
    blip2_status status = got != NULL ? read_allowed(v, tolerance, &allowed) : b2_fail_memory();

    if (status < 0) {
        json_decref(got);
        return status;
    }
    if (!compare_numbers(got, json_object_get(v->golden->expect, key), &allowed, &worst)) {
        verdict_fail(v, "%s: not as many numbers as expected", key);
    } else {
        b2_text_appendf(&v->lines, "    %s: max abs %.3g of %zu, %.3g of the tolerance\n", key,
                        worst.error, worst.count, worst.part);
        v->measured = true;
        v->max_abs = larger(v->max_abs, worst.error);
        v->worst = larger(v->worst, worst.part);
        if (worst.outside > 0)
            verdict_fail(v, "%s: %zu of %zu numbers differ, the worst: got %.9g, expected %.9g",
                         key, worst.outside, worst.count, worst.got, worst.expected);
    }
    json_decref(got);
    return verdict_done(v, key);
}

blip2_status verdict_finish(verdict *v) {
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)v->golden->expect, key, value) {
        if (strcmp(key, "tensors") != 0 && strcmp(key, "tensor_names") != 0 &&
            json_object_get(v->values, key) == NULL)
            verdict_fail(v, "expect.%s was not compared", key);
    }
    json_object_foreach((json_t *)(uintptr_t)v->golden->tensor_names, key, value) {
        if (json_object_get(v->tensors, key) == NULL)
            verdict_fail(v, "tensor %s was not compared", key);
    }
    return v->lines.failed || v->reason.failed ? b2_fail_memory() : BLIP2_OK;
}
