/* All kinds come down to one template for a single text. A processor that follows another one wraps
 * the template so far: its own place for the text is filled with that template. */
#include "text/postprocess.h"

#include <string.h>

#include "text/vocabulary.h"

typedef struct b2_template_draft {
    int32_t items[B2_TEMPLATE_MAX];
    size_t count;
} draft;

static blip2_status append(draft *to, const int32_t *items, size_t count, const b2_fields *fields) {
    if (count > B2_TEMPLATE_MAX - to->count)
        return b2_fail(BLIP2_ENOTSUP, "%s: post-processor of more than %d items is not supported",
                       fields->file, (int)B2_TEMPLATE_MAX);
    memcpy(to->items + to->count, items, count * sizeof *items);
    to->count += count;
    return BLIP2_OK;
}

static blip2_status append_id(draft *to, const json_t *id, b2_fields *fields, const char *key) {
    json_int_t value = json_integer_value(id);
    int32_t item = (int32_t)value;

    if (!json_is_integer(id) || value < 0 || value > B2_LARGEST_ID) {
        b2_field_fail(fields, key, "a token id", id);
        return fields->status;
    }
    return append(to, &item, 1, fields);
}

/* The ids that special_tokens lists under a name. */
static blip2_status append_special(draft *to, const json_t *json, const char *name,
                                   b2_fields *fields) {
    const json_t *token = json_object_get(json_object_get(json, "special_tokens"), name);
    const json_t *ids = json_object_get(token, "ids");
    blip2_status status = BLIP2_OK;

    if (!json_is_array(ids)) {
        b2_field_fail(fields, "special_tokens", "the ids of every token of the template", ids);
        return fields->status;
    }
    for (size_t i = 0; i < json_array_size(ids) && status == BLIP2_OK; i++)
        status = append_id(to, json_array_get(ids, i), fields, "special_tokens");
    return status;
}

static blip2_status wrap_template(draft *to, const draft *inner, const json_t *json,
                                  b2_fields *fields) {
    const json_t *single = json_object_get(json, "single");
    blip2_status status = BLIP2_OK;

    if (!json_is_array(single)) {
        b2_field_fail(fields, "single", "an array", single);
        return fields->status;
    }
    for (size_t i = 0; i < json_array_size(single) && status == BLIP2_OK; i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *special = json_object_get(json_object_get(piece, "SpecialToken"), "id");
        const json_t *text = json_object_get(json_object_get(piece, "Sequence"), "id");

        if (json_is_string(special)) {
            status = append_special(to, json, json_string_value(special), fields);
        } else if (json_is_string(text) && strcmp(json_string_value(text), "A") == 0) {
            status = append(to, inner->items, inner->count, fields);
        } else {
            b2_field_fail(fields, "single", "SpecialToken or Sequence \"A\"", piece);
            status = fields->status;
        }
    }
    return status;
}

static blip2_status wrap_roberta(draft *to, const draft *inner, const json_t *json,
                                 b2_fields *fields) {
    const json_t *cls = json_array_get(json_object_get(json, "cls"), 1);
    const json_t *sep = json_array_get(json_object_get(json, "sep"), 1);
    blip2_status status;

    if ((status = append_id(to, cls, fields, "cls[1]")) < 0 ||
        (status = append(to, inner->items, inner->count, fields)) < 0)
        return status;
    return append_id(to, sep, fields, "sep[1]");
}

/* Put the processor around the template so far. The depth of JSON is bounded, so this is, too. */
static blip2_status wrap(draft *template, const json_t *json, b2_fields *fields) {
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *processors = json_object_get(json, "processors");
    draft inner = *template;
    blip2_status status = BLIP2_OK;

    if (type == NULL) {
        b2_field_fail(fields, "type", "a text", json_object_get(json, "type"));
        return fields->status;
    }
    if (strcmp(type, "ByteLevel") == 0)
        return BLIP2_OK;
    if (strcmp(type, "Sequence") == 0) {
        for (size_t i = 0; i < json_array_size(processors) && status == BLIP2_OK; i++)
            status = wrap(template, json_array_get(processors, i), fields);
        return status;
    }
    template->count = 0;
    if (strcmp(type, "TemplateProcessing") == 0)
        return wrap_template(template, &inner, json, fields);
    if (strcmp(type, "RobertaProcessing") == 0)
        return wrap_roberta(template, &inner, json, fields);
    return b2_fail(BLIP2_ENOTSUP, "%s: post-processor \"%.40s\" is not supported", fields->file,
                   type);
}

blip2_status b2_template_read(b2_template *out, b2_arena *arena, b2_fields *fields,
                              const json_t *json) {
    draft template = {.items = {B2_TEMPLATE_TEXT}, .count = 1};
    blip2_status status = BLIP2_OK;

    if (json != NULL && !json_is_null(json))
        status = wrap(&template, json, fields);
    if (status < 0)
        return status;
    out->count = template.count;
    if ((out->items = b2_arena_alloc(arena, out->count, sizeof *out->items)) == NULL)
        return b2_fail_memory();
    memcpy(out->items, template.items, out->count * sizeof *out->items);
    return BLIP2_OK;
}
