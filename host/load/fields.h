/* Typed reading of JSON objects: each field has a range, a default that stays when the field is
 * absent, and a message that names file, path, expected and actual value. The first failure
 * sticks and later reads do nothing, so that a chain of reads needs one check at its end. */
#ifndef B2_FIELDS_H
#define B2_FIELDS_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "device.h"

typedef struct b2_fields {
    const char *file;    /* for messages */
    const char *section; /* "vision_config." in front of field names, "" at the top */
    blip2_status status;
} b2_fields;

/* EFORMAT "file: section.key: expected ..., got ...". value NULL: "got nothing". */
void b2_field_fail(b2_fields *fields, const char *key, const char *expected, const json_t *value);

/* Integers in min..max. */
void b2_field_u32(b2_fields *fields, const json_t *object, const char *key, uint32_t min,
                  uint32_t max, uint32_t *out);
/* A token id 0..2^24 or null (-1). */
void b2_field_token(b2_fields *fields, const json_t *object, const char *key, int32_t *out);
/* A number in min..max; whole numbers count. */
void b2_field_f32(b2_fields *fields, const json_t *object, const char *key, double min, double max,
                  float *out);
/* Exactly n such numbers in an array. */
void b2_field_f32_array(b2_fields *fields, const json_t *object, const char *key, double min,
                        double max, size_t n, float *out);
void b2_field_bool(b2_fields *fields, const json_t *object, const char *key, bool *out);
/* Text shorter than size bytes. */
void b2_field_text(b2_fields *fields, const json_t *object, const char *key, char *out,
                   size_t size);
/* An object, or NULL where it is absent or null. */
const json_t *b2_field_object(b2_fields *fields, const json_t *object, const char *key);
/* ENOTSUP unless the field is absent or has the one value that this library implements. */
void b2_field_must_be(b2_fields *fields, const json_t *object, const char *key, bool value);

/* "gelu", "relu", ... as transformers names them; false: no such name. */
bool b2_activation_of(const char *name, b2_activation *out);
void b2_field_activation(b2_fields *fields, const json_t *object, const char *key,
                         b2_activation *out);
/* hidden_size must be a multiple of the heads. */
void b2_field_heads(b2_fields *fields, uint32_t width, uint32_t heads);

/* Tokens are at most this, far above every vocabulary. */
enum { B2_MAX_TOKEN = 1 << 24 };

#endif
