#include "text/pretokenize.h"

#include <string.h>

#include "base/size.h"
#include "text/byte_level.h"
#include "text/unicode.h"
#include "text/utf8.h"

/* What was written last came from text at `from`, of which the first `origin` bytes count. */
static void came_from(b2_pieces *out, size_t from, size_t origin) {
    if (from < origin)
        out->origin = out->text.length;
}

/* ---- ByteLevel --------------------------------------------------------------------------- */

/* Append a piece with each byte as its character of the byte-level alphabet. */
static blip2_status append_bytes(b2_pieces *out, const uint16_t table[256], const char *text,
                                 size_t length, size_t origin) {
    for (size_t i = 0; i < length; i++) {
        b2_utf8_put(&out->text, table[(unsigned char)text[i]]);
        came_from(out, i, origin);
    }
    return b2_pieces_end(out);
}

static blip2_status split_byte_level(const b2_pretokenizer *pretokenizer, const b2_matcher *word,
                                     const char *text, size_t length, size_t origin,
                                     b2_pieces *out) {
    uint16_t table[256];

    b2_byte_level_table(table);
    for (size_t start = 0, end = length; start < length; start = end, end = length) {
        blip2_status status;

        if (pretokenizer->split && (status = b2_matcher_at(word, text, length, start, &end)) < 0)
            return status;
        if (end <= start)
            return b2_fail(BLIP2_EINTERNAL, "no piece at byte %zu of a text of %zu", start, length);
        status = append_bytes(out, table, text + start, end - start,
                              origin > start ? origin - start : 0);
        if (status < 0)
            return status;
    }
    return BLIP2_OK;
}

/* ---- white space and punctuation --------------------------------------------------------- */

static blip2_status split_white_space(const b2_pretokenizer *pretokenizer, const char *text,
                                      size_t length, size_t origin, b2_pieces *out) {
    bool bert = pretokenizer->kind == B2_PRETOKENIZE_BERT;
    blip2_status status = BLIP2_OK;

    for (size_t at = 0, size; at < length && status == BLIP2_OK; at += size) {
        uint32_t code = b2_utf8_decode(text + at);
        bool space = b2_unicode_is_space(code);
        bool alone = bert && b2_unicode_is_punctuation(code);

        size = (size_t)b2_utf8_scan(text + at, length - at);
        if (space || alone)
            status = b2_pieces_end(out);
        if (!space) {
            b2_text_append(&out->text, text + at, size);
            came_from(out, at, origin);
        }
        if (alone && status == BLIP2_OK)
            status = b2_pieces_end(out);
    }
    return status == BLIP2_OK ? b2_pieces_end(out) : status;
}

/* ---- Metaspace --------------------------------------------------------------------------- */

static blip2_status split_metaspace(const b2_pretokenizer *pretokenizer, const char *text,
                                    size_t length, size_t origin, b2_pieces *out) {
    const char *space = pretokenizer->space;
    size_t space_length = strlen(space);
    bool starts =
        text[0] == ' ' || (length >= space_length && memcmp(text, space, space_length) == 0);
    blip2_status status = BLIP2_OK;

    if (!starts && (pretokenizer->prepend == B2_PREPEND_ALWAYS ||
                    (pretokenizer->prepend == B2_PREPEND_FIRST && origin > 0))) {
        b2_text_append(&out->text, space, space_length);
        came_from(out, 0, origin);
    }
    for (size_t at = 0, size; at < length && status == BLIP2_OK; at += size) {
        const char *character = text + at;

        size = (size_t)b2_utf8_scan(text + at, length - at);
        if (*character == ' ')
            character = space;
        if (pretokenizer->split && strncmp(character, space, space_length) == 0 && at > 0)
            status = b2_pieces_end(out);
        b2_text_append(&out->text, character, character == space ? space_length : size);
        came_from(out, at, origin);
    }
    return status == BLIP2_OK ? b2_pieces_end(out) : status;
}

static blip2_status split_piece(const b2_pretokenizer *pretokenizer, const b2_matcher *word,
                                const char *text, size_t length, size_t origin, b2_pieces *out) {
    switch (pretokenizer->kind) {
    case B2_PRETOKENIZE_BYTE_LEVEL:
        return split_byte_level(pretokenizer, word, text, length, origin, out);
    case B2_PRETOKENIZE_METASPACE:
        return split_metaspace(pretokenizer, text, length, origin, out);
    case B2_PRETOKENIZE_BERT:
    case B2_PRETOKENIZE_WHITE_SPACE:
        break;
    }
    return split_white_space(pretokenizer, text, length, origin, out);
}

blip2_status b2_pretokenize(const b2_pretokenizer *pretokenizer, const b2_matcher *word,
                            const b2_pieces *in, b2_text_buffer *spaced, b2_pieces *out) {
    blip2_status status = BLIP2_OK;
    size_t start = 0;

    for (size_t i = 0; i < in->count && status == BLIP2_OK; start = in->ends[i++]) {
        const char *text = in->text.data + start;
        size_t length = in->ends[i] - start;
        size_t origin = in->origin > start ? b2_size_min(in->origin - start, length) : 0;

        if (pretokenizer->add_prefix_space && text[0] != ' ') {
            b2_text_clear(spaced);
            b2_text_append(spaced, " ", 1);
            b2_text_append(spaced, text, length);
            if (spaced->failed)
                return b2_fail_memory();
            text = spaced->data;
            length = spaced->length;
            origin += origin > 0;
        }
        status = split_piece(pretokenizer, word, text, length, origin, out);
    }
    return status;
}
