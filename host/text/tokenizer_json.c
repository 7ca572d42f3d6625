/* tokenizer.json, read part by part. "truncation" and "padding" are left aside, as transformers
 * sets both anew for every call. */
#include <string.h>

#include "base/alloc.h"
#include "load/json.h"
#include "text/parts.h"

/* The template's ids are tokens. */
static blip2_status check_template(const b2_tokenizer *tokenizer, const b2_fields *fields) {
    for (size_t i = 0; i < tokenizer->template.count; i++) {
        int32_t id = tokenizer->template.items[i];

        if (id == B2_TEMPLATE_TEXT ||
            ((size_t)id < tokenizer->vocab && tokenizer->decoded[id].first.bytes != NULL))
            continue;
        return b2_fail(BLIP2_EFORMAT, "%s: post_processor: no token has id %d", fields->file,
                       (int)id);
    }
    return BLIP2_OK;
}

static blip2_status read_parts(b2_tokenizer *out, b2_fields *fields, const json_t *root) {
    b2_fields normal = {fields->file, "normalizer.", BLIP2_OK};
    b2_fields split = {fields->file, "pre_tokenizer.", BLIP2_OK};
    b2_fields post = {fields->file, "post_processor.", BLIP2_OK};
    b2_fields decoder = {fields->file, "decoder.", BLIP2_OK};
    const json_t *version = json_object_get(root, "version");
    blip2_status status;

    if (!json_is_object(root)) {
        b2_field_fail(fields, "the file", "an object", root);
        return fields->status;
    }
    if (version != NULL &&
        (!json_is_string(version) || strcmp(json_string_value(version), "1.0") != 0)) {
        b2_field_fail(fields, "version", "\"1.0\"", version);
        return fields->status;
    }
    if ((status = b2_normalizers_read(&out->normalizers, &out->arena, &normal,
                                      json_object_get(root, "normalizer"))) < 0 ||
        (status = b2_pretokenizers_read(&out->pretokenizers, &split,
                                        json_object_get(root, "pre_tokenizer"))) < 0 ||
        (status = b2_model_read(&out->model, &out->arena, fields, json_object_get(root, "model"))) <
            0 ||
        (status = b2_added_tokens_read(&out->added, &out->arena, fields,
                                       json_object_get(root, "added_tokens"),
                                       &out->model.vocabulary, &out->normalizers)) < 0 ||
        (status = b2_template_read(&out->template, &out->arena, &post,
                                   json_object_get(root, "post_processor"))) < 0 ||
        (status = b2_decoder_read(out, &decoder, json_object_get(root, "decoder"))) < 0)
        return status;
    return check_template(out, fields);
}

blip2_status b2_tokenizer_build(b2_tokenizer **out, const json_t *root, const char *name,
                                bool exact_scores) {
    b2_fields fields = {name, "", BLIP2_OK};
    b2_tokenizer *tokenizer = b2_calloc(1, sizeof *tokenizer);
    blip2_status status;

    *out = NULL;
    if (tokenizer == NULL)
        return b2_fail_memory();
    tokenizer->model.exact_scores = exact_scores;
    status = read_parts(tokenizer, &fields, root);
    if (status == BLIP2_OK)
        *out = tokenizer;
    else
        b2_tokenizer_close(tokenizer);
    return status;
}

blip2_status b2_tokenizer_parse(b2_tokenizer **out, const char *json, size_t size,
                                const char *name) {
    json_t *root = NULL;
    blip2_status status = b2_json_parse(&root, json, size, name);

    *out = NULL;
    if (status == BLIP2_OK)
        status = b2_tokenizer_build(out, root, name, false);
    json_decref(root);
    return status;
}

void b2_tokenizer_close(b2_tokenizer *tokenizer) {
    if (tokenizer == NULL)
        return;
    b2_added_tokens_free(&tokenizer->added);
    b2_pretokenizers_free(&tokenizer->pretokenizers);
    b2_arena_free(&tokenizer->arena);
    b2_free(tokenizer);
}
