#include "text/postprocess.h"

#include <string.h>

#include "text/vocabulary.h"

/* A template as it grows. */
typedef struct b2_draft {
    int32_t items[B2_TEMPLATE_MAX];
    size_t count;
    bool done; /* a processor has added its tokens */
} b2_draft;

static blip2_status append(b2_draft *draft, int32_t item, const b2_fields *fields) {
    if (draft->count == B2_TEMPLATE_MAX)
        return b2_fail(BLIP2_ENOTSUP, "%s: post-processor of more than %d items is not supported",
                       fields->file, (int)B2_TEMPLATE_MAX);
    draft->items[draft->count++] = item;
    return BLIP2_OK;
}

static blip2_status append_id(b2_draft *draft, const json_t *id, b2_fields *fields,
                              const char *key) {
    json_int_t value = json_integer_value(id);

    if (json_is_integer(id) && value >= 0 && value <= B2_LARGEST_ID)
        return append(draft, (int32_t)value, fields);
    b2_field_fail(fields, key, "a token id", id);
    return fields->status;
}

/* The ids that special_tokens lists under a name. */
static blip2_status append_special(b2_draft *draft, const json_t *json, const char *name,
                                   b2_fields *fields) {
    const json_t *token = json_object_get(json_object_get(json, "special_tokens"), name);
    const json_t *ids = json_object_get(token, "ids");
    blip2_status status = BLIP2_OK;

    if (!json_is_array(ids)) {
        b2_field_fail(fields, "special_tokens", "the ids of every token of the template", ids);
        return fields->status;
    }
    for (size_t i = 0; i < json_array_size(ids) && status == BLIP2_OK; i++)
        status = append_id(draft, json_array_get(ids, i), fields, "special_tokens");
    return status;
}

static blip2_status read_template(b2_draft *draft, const json_t *json, b2_fields *fields) {
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
            status = append_special(draft, json, json_string_value(special), fields);
        } else if (json_is_string(text) && strcmp(json_string_value(text), "A") == 0) {
            status = append(draft, B2_TEMPLATE_TEXT, fields);
        } else {
            b2_field_fail(fields, "single", "SpecialToken or Sequence \"A\"", piece);
            status = fields->status;
        }
    }
    return status;
}

static blip2_status read_roberta(b2_draft *draft, const json_t *json, b2_fields *fields) {
    const json_t *cls = json_array_get(json_object_get(json, "cls"), 1);
    const json_t *sep = json_array_get(json_object_get(json, "sep"), 1);
    blip2_status status;

    if ((status = append_id(draft, cls, fields, "cls[1]")) < 0 ||
        (status = append(draft, B2_TEMPLATE_TEXT, fields)) < 0)
        return status;
    return append_id(draft, sep, fields, "sep[1]");
}

/* The depth of JSON is bounded, so this is, too. */
static blip2_status read_processor(b2_draft *draft, const json_t *json, b2_fields *fields) {
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *processors = json_object_get(json, "processors");
    blip2_status (*read)(b2_draft *, const json_t *, b2_fields *) = NULL;
    blip2_status status = BLIP2_OK;

    if (type == NULL) {
        b2_field_fail(fields, "type", "a text", json_object_get(json, "type"));
        return fields->status;
    }
    if (strcmp(type, "ByteLevel") == 0)
        return BLIP2_OK;
    if (strcmp(type, "Sequence") == 0) {
        if (!json_is_array(processors))
            b2_field_fail(fields, "processors", "an array", processors);
        status = fields->status;
        for (size_t i = 0; i < json_array_size(processors) && status == BLIP2_OK; i++)
            status = read_processor(draft, json_array_get(processors, i), fields);
        return status;
    }
    if (strcmp(type, "TemplateProcessing") == 0)
        read = read_template;
    else if (strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0)
        read = read_roberta;
    if (read == NULL)
        return b2_fail(BLIP2_ENOTSUP, "%s: post-processor \"%.40s\" is not supported", fields->file,
                       type);
    if (draft->done)
        return b2_fail(BLIP2_ENOTSUP,
                       "%s: post-processor \"%.40s\" behind another that adds "
                       "tokens is not supported",
                       fields->file, type);
    draft->done = true;
    return read(draft, json, fields);
}

blip2_status b2_template_read(b2_template *out, b2_arena *arena, b2_fields *fields,
                              const json_t *json) {
    b2_draft draft = {0};
    blip2_status status = BLIP2_OK;

    if (json != NULL && !json_is_null(json))
        status = read_processor(&draft, json, fields);
    if (status == BLIP2_OK && !draft.done)
        status = append(&draft, B2_TEMPLATE_TEXT, fields);
    if (status < 0)
        return status;
    out->count = draft.count;
    if ((out->items = b2_arena_alloc(arena, out->count, sizeof *out->items)) == NULL)
        return b2_fail_memory();
    memcpy(out->items, draft.items, draft.count * sizeof *out->items);
    return BLIP2_OK;
}
