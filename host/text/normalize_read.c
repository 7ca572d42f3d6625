/* The "normalizer" value of a tokenizer.json. */
#include <string.h>

#include "text/normalize.h"

static blip2_status append(b2_normalizers *out, const b2_fields *fields, b2_normalizer step,
                           double growth) {
    if (out->count == B2_NORMALIZE_MAX)
        return b2_fail(BLIP2_ENOTSUP, "%s: more than %d normalisers are not supported",
                       fields->file, (int)B2_NORMALIZE_MAX);
    out->growth *= growth;
    if (out->growth > B2_NORMALIZE_GROWTH)
        return b2_fail(BLIP2_ENOTSUP,
                       "%s: normalisers that make a text more than %d times longer are not "
                       "supported",
                       fields->file, (int)B2_NORMALIZE_GROWTH);
    out->list[out->count++] = step;
    return BLIP2_OK;
}

/* Canonical decompositions are at most three times as long (U+0390). */
enum { DECOMPOSITION_GROWTH = 3, LOWER_GROWTH = 2, CHINESE_GROWTH = 2 };

static blip2_status append_step(b2_normalizers *out, const b2_fields *fields,
                                b2_normalize_step step, double growth) {
    return append(out, fields, (b2_normalizer){.step = step}, growth);
}

static blip2_status read_bert(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                              const json_t *json) {
    bool clean = true, chinese = true, lower = true, marks;
    const json_t *strip = json_object_get(json, "strip_accents");
    blip2_status status = BLIP2_OK;

    (void)arena;
    b2_field_bool(fields, json, "clean_text", &clean);
    b2_field_bool(fields, json, "handle_chinese_chars", &chinese);
    b2_field_bool(fields, json, "lowercase", &lower);
    marks = lower; /* null: as lowercase */
    if (strip != NULL && !json_is_null(strip))
        b2_field_bool(fields, json, "strip_accents", &marks);
    if ((status = fields->status) < 0)
        return status;
    if (clean)
        status = append_step(out, fields, B2_NORMALIZE_CLEAN, 1);
    if (status == BLIP2_OK && chinese)
        status = append_step(out, fields, B2_NORMALIZE_CHINESE, CHINESE_GROWTH);
    if (status == BLIP2_OK && marks)
        status = append_step(out, fields, B2_NORMALIZE_DECOMPOSE, DECOMPOSITION_GROWTH);
    if (status == BLIP2_OK && marks)
        status = append_step(out, fields, B2_NORMALIZE_STRIP_MARKS, 1);
    if (status == BLIP2_OK && lower)
        status = append_step(out, fields, B2_NORMALIZE_LOWER, LOWER_GROWTH);
    return status;
}

static blip2_status read_nfd(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                             const json_t *json) {
    (void)arena;
    (void)json;
    return append_step(out, fields, B2_NORMALIZE_DECOMPOSE, DECOMPOSITION_GROWTH);
}

static blip2_status read_lower(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                               const json_t *json) {
    (void)arena;
    (void)json;
    return append_step(out, fields, B2_NORMALIZE_LOWER, LOWER_GROWTH);
}

static blip2_status read_strip(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                               const json_t *json) {
    b2_normalizer step = {.step = B2_NORMALIZE_STRIP, .left = true, .right = true};

    (void)arena;
    b2_field_bool(fields, json, "strip_left", &step.left);
    b2_field_bool(fields, json, "strip_right", &step.right);
    return fields->status < 0 ? fields->status : append(out, fields, step, 1);
}

/* A text field as a copy; NULL with a message where it is none, or without memory. */
static const char *read_text(b2_arena *arena, b2_fields *fields, const json_t *value,
                             const char *key, size_t *length) {
    const char *copy = NULL;

    *length = json_string_length(value);
    if (!json_is_string(value)) {
        b2_field_fail(fields, key, "a text", value);
        return NULL;
    }
    if ((copy = b2_arena_strndup(arena, json_string_value(value), *length)) == NULL)
        fields->status = b2_fail_memory();
    return copy;
}

static blip2_status read_prepend(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                                 const json_t *json) {
    b2_normalizer step = {.step = B2_NORMALIZE_PREPEND};

    step.content =
        read_text(arena, fields, json_object_get(json, "prepend"), "prepend", &step.content_length);
    if (step.content == NULL)
        return fields->status;
    return append(out, fields, step, 1 + (double)step.content_length);
}

static blip2_status read_replace(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                                 const json_t *json) {
    b2_normalizer step = {.step = B2_NORMALIZE_REPLACE};
    const json_t *pattern = json_object_get(json, "pattern");
    const json_t *text = json_object_get(pattern, "String");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));

    if (text == NULL && regex != NULL) {
        /* The one expression that the converters of transformers write. */
        if (strcmp(regex, " {2,}") != 0)
            return b2_fail(BLIP2_ENOTSUP,
                           "%s: normaliser \"Replace\" with the expression \"%.40s\" is not "
                           "supported",
                           fields->file, regex);
        step.runs = true;
        step.pattern = " ";
        step.pattern_length = 1;
    } else {
        step.pattern = read_text(arena, fields, text, "pattern.String", &step.pattern_length);
    }
    if (step.pattern != NULL)
        step.content = read_text(arena, fields, json_object_get(json, "content"), "content",
                                 &step.content_length);
    if (step.content == NULL)
        return fields->status;
    if (step.pattern_length == 0) {
        b2_field_fail(fields, "pattern.String", "a text that is not empty", text);
        return fields->status;
    }
    return append(out, fields, step, 1 + (double)step.content_length / (double)step.pattern_length);
}

static blip2_status read_charsmap(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                                  const json_t *json) {
    const json_t *base64 = json_object_get(json, "precompiled_charsmap");
    b2_charsmap *map = b2_arena_alloc(arena, 1, sizeof *map);
    blip2_status status;

    if (map == NULL)
        return b2_fail_memory();
    if (!json_is_string(base64)) {
        b2_field_fail(fields, "precompiled_charsmap", "a text in base64", base64);
        return fields->status;
    }
    status = b2_charsmap_decode(map, arena, json_string_value(base64), json_string_length(base64),
                                fields->file);
    if (status < 0)
        return status;
    return append(out, fields, (b2_normalizer){.step = B2_NORMALIZE_CHARSMAP, .charsmap = map},
                  1 + (double)map->longest);
}

/* The depth of JSON is bounded, so this is, too. */
static blip2_status read_one(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                             const json_t *json) {
    static const struct {
        const char *type;
        blip2_status (*read)(b2_normalizers *, b2_arena *, b2_fields *, const json_t *);
    } types[] = {
        {"BertNormalizer", read_bert},  {"NFD", read_nfd},         {"Lowercase", read_lower},
        {"Strip", read_strip},          {"Prepend", read_prepend}, {"Replace", read_replace},
        {"Precompiled", read_charsmap},
    };
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *list = json_object_get(json, "normalizers");
    blip2_status status = BLIP2_OK;

    if (type == NULL) {
        b2_field_fail(fields, "type", "a text", json_object_get(json, "type"));
        return fields->status;
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i].type) == 0)
            return types[i].read(out, arena, fields, json);
    if (strcmp(type, "Sequence") != 0)
        return b2_fail(BLIP2_ENOTSUP, "%s: normaliser \"%.40s\" is not supported", fields->file,
                       type);
    if (!json_is_array(list)) {
        b2_field_fail(fields, "normalizers", "an array", list);
        return fields->status;
    }
    for (size_t i = 0; i < json_array_size(list) && status == BLIP2_OK; i++)
        status = read_one(out, arena, fields, json_array_get(list, i));
    return status;
}

blip2_status b2_normalizers_read(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                                 const json_t *json) {
    out->count = 0;
    out->growth = 1;
    if (json == NULL || json_is_null(json))
        return BLIP2_OK;
    return read_one(out, arena, fields, json);
}
