/* The "model" object of type Unigram. */
#include <stdio.h>
#include <stdlib.h>

#include "load/json.h"
#include "text/byte_tokens.h"
#include "text/unigram.h"

/* How much worse than the worst token an unknown character is. */
static const double unk_penalty = 10;

/* The number that the library reads where a correct reader reads `value`. It (serde_json without
 * float_roundtrip) takes the digits as one integer and divides by a power of ten, with two
 * roundings: of the 17 digits that files have, one number in four comes out one unit off. That
 * decides between ways to cut a piece whose sums are as good as equal. The digits are those of the
 * shortest decimal that reads as `value`, which is what files have. */
static double as_the_library_reads(double value) {
    char text[32], power[16];
    double magnitude = 0;
    uint64_t digits = 0;
    int exponent = 0;
    const char *at;

    for (int precision = 14; precision <= 16; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision, value);
        exponent = -precision;
        if (strtod(text, NULL) == value)
            break;
    }
    for (at = text; *at != 'e' && *at != '\0'; at++) /* past the locale's decimal point */
        if (*at >= '0' && *at <= '9')
            digits = digits * 10 + (uint64_t)(*at - '0');
    if (*at == '\0')
        return value;
    exponent += atoi(at + 1);
    magnitude = (double)digits;
    if (exponent < -308) {
        magnitude /= 1e308;
        exponent += 308;
    }
    (void)snprintf(power, sizeof power, "1e%d", abs(exponent));
    magnitude = exponent < 0 ? magnitude / strtod(power, NULL) : magnitude * strtod(power, NULL);
    return value < 0 ? -magnitude : magnitude;
}

static blip2_status read_vocabulary(b2_unigram *out, b2_vocabulary *vocabulary, b2_arena *arena,
                                    b2_fields *fields, const json_t *list, bool exact) {
    size_t count = json_array_size(list);
    blip2_status status;

    if (!json_is_array(list) || count > B2_LARGEST_ID + 1) {
        b2_field_fail(fields, "vocab", "an array of tokens and scores", list);
        return fields->status;
    }
    if ((status = b2_vocabulary_init(vocabulary, arena, count)) < 0)
        return status;
    if ((out->scores = b2_arena_alloc(arena, count, sizeof *out->scores)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(list, i);
        const json_t *text = json_array_get(pair, 0), *score = json_array_get(pair, 1);
        const char *bytes = json_string_value(text);
        size_t length = json_string_length(text);

        if (bytes == NULL || !json_is_number(score) || json_array_size(pair) != 2) {
            char got[64];

            b2_json_describe(pair, got, sizeof got);
            return b2_fail(BLIP2_EFORMAT, "%s: %svocab[%zu]: expected [token, score], got %s",
                           fields->file, fields->section, i, got);
        }
        if (b2_vocabulary_find(vocabulary, bytes, length) != NULL)
            return b2_fail(BLIP2_EFORMAT, "%s: %svocab[%zu]: \"%.40s\" is there twice",
                           fields->file, fields->section, i, bytes);
        if (b2_vocabulary_insert(vocabulary, arena, bytes, length, (int32_t)i) == NULL)
            return b2_fail_memory();
        out->scores[i] = json_number_value(score);
        if (json_is_real(score) && !exact)
            out->scores[i] = as_the_library_reads(out->scores[i]);
        if (i == 0 || out->scores[i] < out->unk_score)
            out->unk_score = out->scores[i];
    }
    out->unk_score -= unk_penalty;
    return BLIP2_OK;
}

blip2_status b2_unigram_read(b2_unigram *out, b2_vocabulary *vocabulary, b2_arena *arena,
                             b2_fields *fields, const json_t *model, bool exact_scores) {
    const json_t *unk = json_object_get(model, "unk_id");
    bool byte_fallback = false;
    blip2_status status;

    b2_field_bool(fields, model, "byte_fallback", &byte_fallback);
    if (fields->status < 0)
        return fields->status;
    status = read_vocabulary(out, vocabulary, arena, fields, json_object_get(model, "vocab"),
                             exact_scores);
    if (status < 0 || (status = b2_prefixes_of(&out->tokens, arena, fields, vocabulary)) < 0)
        return status;
    out->vocabulary = vocabulary;
    if (!json_is_integer(unk) || json_integer_value(unk) < 0 ||
        json_integer_value(unk) >= (json_int_t)vocabulary->count) {
        b2_field_fail(fields, "unk_id", "the number of a token of the vocabulary", unk);
        return fields->status;
    }
    out->unk = (int32_t)json_integer_value(unk);
    b2_byte_tokens(vocabulary, byte_fallback, out->bytes);
    return BLIP2_OK;
}
