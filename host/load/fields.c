#include "load/fields.h"

#include <stdio.h>
#include <string.h>

#include "load/json.h"

static const json_t *find(const b2_fields *fields, const json_t *object, const char *key) {
    return fields->status < 0 ? NULL : json_object_get(object, key);
}

void b2_field_fail(b2_fields *fields, const char *key, const char *expected, const json_t *value) {
    char got[64] = "nothing";

    if (fields->status < 0)
        return;
    if (value != NULL)
        b2_json_describe(value, got, sizeof got);
    fields->status = b2_fail(BLIP2_EFORMAT, "%s: %s%s: expected %s, got %s", fields->file,
                             fields->section, key, expected, got);
}

void b2_field_u32(b2_fields *fields, const json_t *object, const char *key, uint32_t min,
                  uint32_t max, uint32_t *out) {
    const json_t *value = find(fields, object, key);
    char expected[64];

    if (value == NULL)
        return;
    if (json_is_integer(value) && json_integer_value(value) >= min &&
        json_integer_value(value) <= max) {
        *out = (uint32_t)json_integer_value(value);
        return;
    }
    (void)snprintf(expected, sizeof expected, "an integer in %lu..%lu", (unsigned long)min,
                   (unsigned long)max);
    b2_field_fail(fields, key, expected, value);
}

void b2_field_token(b2_fields *fields, const json_t *object, const char *key, int32_t *out) {
    const json_t *value = find(fields, object, key);

    if (value == NULL)
        return;
    if (json_is_null(value))
        *out = -1;
    else if (json_is_integer(value) && json_integer_value(value) >= 0 &&
             json_integer_value(value) <= B2_MAX_TOKEN)
        *out = (int32_t)json_integer_value(value);
    else
        b2_field_fail(fields, key, "a token id or null", value);
}

static bool number(const json_t *value, double min, double max, float *out) {
    double x = json_number_value(value);

    /* Written so that a NaN would fail too. */
    if (!json_is_number(value) || !(x >= min && x <= max))
        return false;
    *out = (float)x;
    return true;
}

void b2_field_f32(b2_fields *fields, const json_t *object, const char *key, double min, double max,
                  float *out) {
    const json_t *value = find(fields, object, key);
    char expected[64];

    if (value == NULL || number(value, min, max, out))
        return;
    (void)snprintf(expected, sizeof expected, "a number in %g..%g", min, max);
    b2_field_fail(fields, key, expected, value);
}

void b2_field_f32_array(b2_fields *fields, const json_t *object, const char *key, double min,
                        double max, size_t n, float *out) {
    const json_t *value = find(fields, object, key);
    char expected[80];
    const json_t *bad = value;

    if (value == NULL)
        return;
    if (json_is_array(value) && json_array_size(value) == n) {
        bad = NULL;
        for (size_t i = 0; i < n && bad == NULL; i++)
            if (!number(json_array_get(value, i), min, max, out + i))
                bad = json_array_get(value, i);
    }
    if (bad == NULL)
        return;
    (void)snprintf(expected, sizeof expected, "%zu numbers in %g..%g", n, min, max);
    b2_field_fail(fields, key, expected, bad);
}

void b2_field_bool(b2_fields *fields, const json_t *object, const char *key, bool *out) {
    const json_t *value = find(fields, object, key);

    if (value == NULL)
        return;
    if (json_is_boolean(value))
        *out = json_is_true(value);
    else
        b2_field_fail(fields, key, "true or false", value);
}

void b2_field_text(b2_fields *fields, const json_t *object, const char *key, char *out,
                   size_t size) {
    const json_t *value = find(fields, object, key);
    char expected[64];

    if (value == NULL)
        return;
    if (json_is_string(value) && json_string_length(value) < size) {
        memcpy(out, json_string_value(value), json_string_length(value) + 1);
        return;
    }
    (void)snprintf(expected, sizeof expected, "a text of at most %zu bytes", size - 1);
    b2_field_fail(fields, key, expected, value);
}

const json_t *b2_field_object(b2_fields *fields, const json_t *object, const char *key) {
    const json_t *value = find(fields, object, key);

    if (value == NULL || json_is_null(value))
        return NULL;
    if (json_is_object(value))
        return value;
    b2_field_fail(fields, key, "an object", value);
    return NULL;
}

void b2_field_must_be(b2_fields *fields, const json_t *object, const char *key, bool value) {
    bool got = value;

    b2_field_bool(fields, object, key, &got);
    if (got != value)
        fields->status = b2_fail(BLIP2_ENOTSUP, "%s: %s%s: %s is not supported", fields->file,
                                 fields->section, key, got ? "true" : "false");
}

bool b2_activation_of(const char *name, b2_activation *out) {
    static const struct {
        const char *name;
        b2_activation act;
    } known[] = {{"relu", B2_ACT_RELU},
                 {"gelu", B2_ACT_GELU},
                 {"gelu_new", B2_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", B2_ACT_GELU_TANH},
                 {"quick_gelu", B2_ACT_QUICK_GELU},
                 {"silu", B2_ACT_SILU},
                 {"swish", B2_ACT_SILU}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].act;
            return true;
        }
    }
    return false;
}

void b2_field_activation(b2_fields *fields, const json_t *object, const char *key,
                         b2_activation *out) {
    char name[32] = "";

    b2_field_text(fields, object, key, name, sizeof name);
    if (fields->status < 0 || json_object_get(object, key) == NULL || b2_activation_of(name, out))
        return;
    fields->status = b2_fail(BLIP2_ENOTSUP, "%s: %s%s: activation \"%s\" is not supported",
                             fields->file, fields->section, key, name);
}

void b2_field_heads(b2_fields *fields, uint32_t width, uint32_t heads) {
    if (fields->status == BLIP2_OK && width % heads != 0)
        fields->status =
            b2_fail(BLIP2_EFORMAT, "%s: %shidden_size: expected a multiple of %u heads, got %u",
                    fields->file, fields->section, heads, width);
}
