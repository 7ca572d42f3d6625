#include "text/pretokenize.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "text/byte_level.h"
#include "text/unicode16.h"

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
}

/* The text appended since the last piece becomes a piece, unless it is empty. */
static blip2_status end_piece(b2_pieces *pieces) {
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
    return end_piece(pieces);
}

void b2_pieces_free(b2_pieces *pieces) {
    b2_text_free(&pieces->text);
    b2_free(pieces->ends);
    *pieces = (b2_pieces){0};
}

/* ---- reading ----------------------------------------------------------------------------- */

static blip2_status read_one(b2_pretokenizers *out, b2_fields *fields, const json_t *json) {
    const char *type = json_string_value(json_object_get(json, "type"));
    b2_pretokenizer one = {.use_regex = true};

    if (type == NULL) {
        b2_field_fail(fields, "type", "a text", json_object_get(json, "type"));
        return fields->status;
    }
    if (strcmp(type, "ByteLevel") != 0)
        return b2_fail(BLIP2_ENOTSUP, "%s: pre-tokeniser \"%.40s\" is not supported", fields->file,
                       type);
    b2_field_bool(fields, json, "add_prefix_space", &one.add_prefix_space);
    b2_field_bool(fields, json, "use_regex", &one.use_regex);
    out->list[out->count++] = one;
    return fields->status;
}

blip2_status b2_pretokenizers_read(b2_pretokenizers *out, b2_arena *arena, b2_fields *fields,
                                   const json_t *json) {
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *sequence = json_object_get(json, "pretokenizers");
    blip2_status status = BLIP2_OK;
    size_t count;

    *out = (b2_pretokenizers){0};
    if (json == NULL || json_is_null(json))
        return BLIP2_OK;
    if (type == NULL || strcmp(type, "Sequence") != 0) {
        sequence = NULL;
    } else if (!json_is_array(sequence)) {
        b2_field_fail(fields, "pretokenizers", "an array", sequence);
        return fields->status;
    }
    count = sequence != NULL ? json_array_size(sequence) : 1;
    if ((out->list = b2_arena_alloc(arena, count, sizeof *out->list)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count && status == BLIP2_OK; i++)
        status = read_one(out, fields, sequence != NULL ? json_array_get(sequence, i) : json);
    return status == BLIP2_OK ? b2_regex_compile(&out->word, word_pattern) : status;
}

void b2_pretokenizers_free(b2_pretokenizers *pretokenizers) {
    b2_regex_free(&pretokenizers->word);
}

/* ---- splitting --------------------------------------------------------------------------- */

/* Append a piece with each byte as its character of the byte-level alphabet. */
static blip2_status append_bytes(b2_pieces *out, const uint16_t table[256], const char *text,
                                 size_t length) {
    for (size_t i = 0; i < length; i++) {
        uint16_t code = table[(unsigned char)text[i]];
        char utf8[2] = {(char)(0xC0 | code >> 6), (char)(0x80 | (code & 0x3F))};

        if (code < 0x80)
            b2_text_append(&out->text, text + i, 1);
        else
            b2_text_append(&out->text, utf8, 2);
    }
    return end_piece(out);
}

static blip2_status split_piece(const b2_pretokenizer *pretokenizer, const b2_matcher *split,
                                const uint16_t table[256], const char *text, size_t length,
                                b2_pieces *out) {
    for (size_t start = 0, end = length; start < length; start = end, end = length) {
        blip2_status status;

        if (pretokenizer->use_regex &&
            (status = b2_matcher_at(split, text, length, start, &end)) < 0)
            return status;
        if (end <= start)
            return b2_fail(BLIP2_EINTERNAL, "no piece at byte %zu of a text of %zu", start, length);
        if ((status = append_bytes(out, table, text + start, end - start)) < 0)
            return status;
    }
    return BLIP2_OK;
}

blip2_status b2_pretokenize(const b2_pretokenizer *pretokenizer, const b2_matcher *split,
                            const b2_pieces *in, b2_text_buffer *spaced, b2_pieces *out) {
    blip2_status status = BLIP2_OK;
    uint16_t table[256];
    size_t start = 0;

    b2_byte_level_table(table);
    for (size_t i = 0; i < in->count && status == BLIP2_OK; start = in->ends[i++]) {
        const char *text = in->text.data + start;
        size_t length = in->ends[i] - start;

        if (pretokenizer->add_prefix_space && text[0] != ' ') {
            b2_text_clear(spaced);
            b2_text_append(spaced, " ", 1);
            b2_text_append(spaced, text, length);
            if (spaced->failed)
                return b2_fail_memory();
            text = spaced->data;
            length = spaced->length;
        }
        status = split_piece(pretokenizer, split, table, text, length, out);
    }
    return status;
}
