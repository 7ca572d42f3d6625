/* Pieces, and the "pre_tokenizer" value of a tokenizer.json. */
#include "text/pretokenize.h"

#include <string.h>

#include "base/alloc.h"
#include "text/unicode16.h"
#include "text/utf8.h"

#define SPACE "[" B2_UNICODE_SPACES "]"
#define NO_SPACE "[^" B2_UNICODE_SPACES "]"
#define LETTER "[\\p{L}" B2_UNICODE16_LETTERS "]"
#define NUMBER "[\\p{N}" B2_UNICODE16_NUMBERS "]"
#define OTHER "[^" B2_UNICODE_SPACES "\\p{L}" B2_UNICODE16_LETTERS "\\p{N}" B2_UNICODE16_NUMBERS "]"

/* GPT-2's pattern, which the library has built in:
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Every character is in one of the four classes, so that it matches wherever a text goes on; and no
 * alternative can go back more than one character, so that its time is linear. */
static const char word_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?" LETTER "+| ?" NUMBER "+| ?" OTHER
                                   "+|" SPACE "+(?!" NO_SPACE ")|" SPACE "+";

/* ---- pieces ------------------------------------------------------------------------------ */

void b2_pieces_clear(b2_pieces *pieces) {
    b2_text_clear(&pieces->text);
    pieces->count = 0;
    pieces->origin = 0;
}

blip2_status b2_pieces_end(b2_pieces *pieces) {
    size_t start = pieces->count > 0 ? pieces->ends[pieces->count - 1] : 0;

    if (pieces->text.failed)
        return b2_fail_memory();
    if (pieces->text.length == start)
        return BLIP2_OK;
    if (pieces->count == pieces->capacity) {
        size_t capacity = pieces->capacity > 0 ? pieces->capacity * 2 : 64;
        size_t *ends = b2_realloc_array(pieces->ends, capacity, sizeof *ends);

        if (ends == NULL)
            return b2_fail_memory();
        pieces->ends = ends;
        pieces->capacity = capacity;
    }
    pieces->ends[pieces->count++] = pieces->text.length;
    return BLIP2_OK;
}

blip2_status b2_pieces_append(b2_pieces *pieces, const char *text, size_t length) {
    b2_text_append(&pieces->text, text, length);
    return b2_pieces_end(pieces);
}

void b2_pieces_free(b2_pieces *pieces) {
    b2_text_free(&pieces->text);
    b2_free(pieces->ends);
    *pieces = (b2_pieces){0};
}

/* ---- reading ----------------------------------------------------------------------------- */

static blip2_status read_byte_level(b2_pretokenizer *out, b2_fields *fields, const json_t *json) {
    *out = (b2_pretokenizer){.kind = B2_PRETOKENIZE_BYTE_LEVEL, .split = true};
    b2_field_bool(fields, json, "add_prefix_space", &out->add_prefix_space);
    b2_field_bool(fields, json, "use_regex", &out->split);
    return fields->status;
}

static blip2_status read_bert(b2_pretokenizer *out, b2_fields *fields, const json_t *json) {
    (void)json;
    *out = (b2_pretokenizer){.kind = B2_PRETOKENIZE_BERT};
    return fields->status;
}

static blip2_status read_white_space(b2_pretokenizer *out, b2_fields *fields, const json_t *json) {
    (void)json;
    *out = (b2_pretokenizer){.kind = B2_PRETOKENIZE_WHITE_SPACE};
    return fields->status;
}

blip2_status b2_metaspace_read(b2_pretokenizer *out, b2_fields *fields, const json_t *json) {
    static const char *const schemes[] = {"always", "first", "never"};
    const json_t *space = json_object_get(json, "replacement");
    const json_t *scheme = json_object_get(json, "prepend_scheme");
    const char *text = json_string_value(space), *name = json_string_value(scheme);
    size_t length = json_string_length(space), i = 0;
    bool add_prefix_space = true;

    *out = (b2_pretokenizer){.kind = B2_PRETOKENIZE_METASPACE, .split = true};
    if (length == 0 || (size_t)b2_utf8_scan(text, length) != length) {
        b2_field_fail(fields, "replacement", "one character", space);
        return fields->status;
    }
    memcpy(out->space, text, length);
    if (scheme != NULL) {
        while (name != NULL && i < 3 && strcmp(name, schemes[i]) != 0)
            i++;
        if (name == NULL || i == 3)
            b2_field_fail(fields, "prepend_scheme", "always, first or never", scheme);
        out->prepend = (b2_prepend)i;
    }
    if (!json_is_null(json_object_get(json, "split")))
        b2_field_bool(fields, json, "split", &out->split);
    if (!json_is_null(json_object_get(json, "add_prefix_space")))
        b2_field_bool(fields, json, "add_prefix_space", &add_prefix_space);
    if (!add_prefix_space) /* what files had before there was a scheme */
        out->prepend = B2_PREPEND_NEVER;
    return fields->status;
}

/* The depth of JSON is bounded, so this is, too. */
static blip2_status read_one(b2_pretokenizers *out, b2_fields *fields, const json_t *json) {
    static const struct {
        const char *type;
        blip2_status (*read)(b2_pretokenizer *, b2_fields *, const json_t *);
    } types[] = {
        {"ByteLevel", read_byte_level},
        {"BertPreTokenizer", read_bert},
        {"WhitespaceSplit", read_white_space},
        {"Metaspace", b2_metaspace_read},
    };
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *list = json_object_get(json, "pretokenizers");
    blip2_status status = BLIP2_OK;
    size_t i = 0;

    if (type == NULL) {
        b2_field_fail(fields, "type", "a text", json_object_get(json, "type"));
        return fields->status;
    }
    if (strcmp(type, "Sequence") == 0) {
        if (!json_is_array(list))
            b2_field_fail(fields, "pretokenizers", "an array", list);
        status = fields->status;
        for (i = 0; i < json_array_size(list) && status == BLIP2_OK; i++)
            status = read_one(out, fields, json_array_get(list, i));
        return status;
    }
    while (i < sizeof types / sizeof *types && strcmp(type, types[i].type) != 0)
        i++;
    if (i == sizeof types / sizeof *types)
        return b2_fail(BLIP2_ENOTSUP, "%s: pre-tokeniser \"%.40s\" is not supported", fields->file,
                       type);
    if (out->count == B2_PRETOKENIZE_MAX)
        return b2_fail(BLIP2_ENOTSUP, "%s: more than %d pre-tokenisers are not supported",
                       fields->file, (int)B2_PRETOKENIZE_MAX);
    return types[i].read(out->list + out->count++, fields, json);
}

blip2_status b2_pretokenizers_read(b2_pretokenizers *out, b2_fields *fields, const json_t *json) {
    blip2_status status = BLIP2_OK;
    bool words = false;

    *out = (b2_pretokenizers){0};
    if (json != NULL && !json_is_null(json))
        status = read_one(out, fields, json);
    for (size_t i = 0; i < out->count; i++)
        words = words || (out->list[i].kind == B2_PRETOKENIZE_BYTE_LEVEL && out->list[i].split);
    return status == BLIP2_OK && words ? b2_regex_compile(&out->word, word_pattern) : status;
}

void b2_pretokenizers_free(b2_pretokenizers *pretokenizers) {
    b2_regex_free(&pretokenizers->word);
}
