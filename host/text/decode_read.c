/* The "decoder" value of a tokenizer.json, and what each token stands for by it. */
#include <string.h>

#include "text/byte_level.h"
#include "text/byte_tokens.h"
#include "text/clean_up.h"
#include "text/parts.h"
#include "text/utf8.h"

/* Most Replace decoders, and how much longer they may make a token. */
enum { REPLACE_MAX = 4, REPLACE_GROWTH = 64 };

typedef struct b2_replace {
    const char *from, *to; /* [from_length], [to_length] */
    size_t from_length, to_length;
} b2_replace;

typedef enum b2_decoder_kind {
    CHAIN, /* Replace, ByteFallback, Fuse, Strip, in this order, any of them */
    BYTE_LEVEL,
    WORDPIECE,
    METASPACE,
} b2_decoder_kind;

/* How the text of a token becomes what it stands for. */
typedef struct b2_decoder {
    b2_decoder_kind kind;
    size_t parts; /* decoders read so far */
    b2_replace replace[REPLACE_MAX];
    size_t replace_count;
    double growth;
    bool byte_fallback, fuse;
    int16_t byte_of[B2_BYTE_LEVEL_END]; /* BYTE_LEVEL: of each character of the alphabet; else -1 */
    char prefix[64];                    /* WORDPIECE: of tokens that go on a word */
    bool clean_up;
    b2_pretokenizer metaspace;
    b2_strip *strip;
} b2_decoder;

/* ---- reading ----------------------------------------------------------------------------- */

static blip2_status out_of_order(const b2_fields *fields, const char *type) {
    return b2_fail(BLIP2_ENOTSUP,
                   "%s: decoder \"%.40s\" behind the ones before it is not supported", fields->file,
                   type);
}

/* The byte of each character of the byte-level alphabet, -1 for others. */
static void inverse_table(int16_t out[B2_BYTE_LEVEL_END]) {
    uint16_t table[256];

    b2_byte_level_table(table);
    for (size_t i = 0; i < B2_BYTE_LEVEL_END; i++)
        out[i] = -1;
    for (int16_t byte = 0; byte < 256; byte++)
        out[table[byte]] = byte;
}

static blip2_status read_alone(b2_decoder *out, b2_fields *fields, const json_t *json,
                               const char *type) {
    if (out->parts > 0)
        return out_of_order(fields, type);
    if (strcmp(type, "ByteLevel") == 0) {
        out->kind = BYTE_LEVEL;
        inverse_table(out->byte_of);
    } else if (strcmp(type, "WordPiece") == 0) {
        out->kind = WORDPIECE;
        out->clean_up = true;
        b2_field_text(fields, json, "prefix", out->prefix, sizeof out->prefix);
        b2_field_bool(fields, json, "cleanup", &out->clean_up);
    } else {
        out->kind = METASPACE;
        return b2_metaspace_read(&out->metaspace, fields, json);
    }
    return fields->status;
}

static blip2_status read_replace(b2_decoder *out, b2_fields *fields, const json_t *json) {
    const json_t *from = json_object_get(json_object_get(json, "pattern"), "String");
    const json_t *to = json_object_get(json, "content");
    b2_replace replace = {json_string_value(from), json_string_value(to), json_string_length(from),
                          json_string_length(to)};

    if (out->byte_fallback || out->fuse)
        return out_of_order(fields, "Replace");
    if (replace.from_length == 0)
        b2_field_fail(fields, "pattern.String", "a text that is not empty", from);
    else if (replace.to == NULL)
        b2_field_fail(fields, "content", "a text", to);
    if (fields->status < 0)
        return fields->status;
    out->growth *= 1 + (double)replace.to_length / (double)replace.from_length;
    if (out->replace_count == REPLACE_MAX || out->growth > REPLACE_GROWTH)
        return b2_fail(BLIP2_ENOTSUP,
                       "%s: more than %d decoders \"Replace\", or one that makes tokens more than "
                       "%d times longer, are not supported",
                       fields->file, (int)REPLACE_MAX, (int)REPLACE_GROWTH);
    out->replace[out->replace_count++] = replace;
    return BLIP2_OK;
}

static blip2_status read_strip(b2_decoder *out, b2_fields *fields, const json_t *json) {
    const json_t *content = json_object_get(json, "content");
    const char *text = json_string_value(content);
    size_t length = json_string_length(content);
    uint32_t stop = 0;

    if (!out->fuse || out->strip->length > 0)
        return out_of_order(fields, "Strip");
    if (length == 0 || (size_t)b2_utf8_scan(text, length) != length)
        b2_field_fail(fields, "content", "one character", content);
    b2_field_u32(fields, json, "start", 0, UINT32_MAX, &out->strip->start);
    b2_field_u32(fields, json, "stop", 0, UINT32_MAX, &stop);
    if (fields->status < 0)
        return fields->status;
    if (stop > 0)
        return b2_fail(BLIP2_ENOTSUP, "%s: decoder \"Strip\" at the end is not supported",
                       fields->file);
    memcpy(out->strip->text, text, length);
    out->strip->length = length;
    return BLIP2_OK;
}

/* The depth of JSON is bounded, so this is, too. */
static blip2_status read_decoder(b2_decoder *out, b2_fields *fields, const json_t *json) {
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *list = json_object_get(json, "decoders");
    blip2_status status = BLIP2_OK;

    if (type == NULL) {
        b2_field_fail(fields, "type", "a text", json_object_get(json, "type"));
        return fields->status;
    }
    if (strcmp(type, "Sequence") == 0) {
        if (!json_is_array(list))
            b2_field_fail(fields, "decoders", "an array", list);
        status = fields->status;
        for (size_t i = 0; i < json_array_size(list) && status == BLIP2_OK; i++)
            status = read_decoder(out, fields, json_array_get(list, i));
        return status;
    }
    if (strcmp(type, "ByteLevel") == 0 || strcmp(type, "WordPiece") == 0 ||
        strcmp(type, "Metaspace") == 0)
        status = read_alone(out, fields, json, type);
    else if (out->kind != CHAIN)
        status = out_of_order(fields, type);
    else if (strcmp(type, "Replace") == 0)
        status = read_replace(out, fields, json);
    else if (strcmp(type, "ByteFallback") == 0 && !out->fuse)
        out->byte_fallback = true;
    else if (strcmp(type, "Fuse") == 0)
        out->fuse = true;
    else if (strcmp(type, "Strip") == 0)
        status = read_strip(out, fields, json);
    else if (strcmp(type, "ByteFallback") == 0)
        status = out_of_order(fields, type);
    else
        status =
            b2_fail(BLIP2_ENOTSUP, "%s: decoder \"%.40s\" is not supported", fields->file, type);
    out->parts++;
    return status;
}

/* ---- what a token stands for ------------------------------------------------------------- */

/* The bytes that a token's characters stand for; the token as it is when a character stands for
 * none, as with an added token that has a space in it. byte_of: [B2_BYTE_LEVEL_END] */
static blip2_status decode_bytes(b2_decoded *out, b2_arena *arena, const int16_t *byte_of,
                                 const char *text, uint32_t length) {
    char *bytes = b2_arena_alloc(arena, length, 1);
    uint32_t count = 0;

    if (bytes == NULL)
        return b2_fail_memory();
    *out = (b2_decoded){.first = {bytes, 0}, .byte = -1};
    for (uint32_t at = 0; at < length;) {
        uint32_t code = b2_utf8_decode(text + at);

        if (code >= B2_BYTE_LEVEL_END || byte_of[code] < 0) {
            out->first = out->later = (b2_form){text, length};
            return BLIP2_OK;
        }
        bytes[count++] = (char)byte_of[code];
        at += code < 0x80 ? 1 : 2;
    }
    out->first.length = count;
    out->later = out->first;
    return BLIP2_OK;
}

/* Hand the text over to the arena. */
static blip2_status keep(b2_form *out, b2_arena *arena, b2_text_buffer *text) {
    out->bytes = text->failed ? NULL : b2_arena_strndup(arena, b2_text_data(text), text->length);
    out->length = (uint32_t)text->length;
    b2_text_clear(text);
    return out->bytes != NULL ? BLIP2_OK : b2_fail_memory();
}

static blip2_status decode_wordpiece(b2_decoded *out, b2_arena *arena, const b2_decoder *decoder,
                                     const char *text, uint32_t length, b2_text_buffer *work) {
    size_t prefix = strlen(decoder->prefix);
    bool inside = length >= prefix && memcmp(text, decoder->prefix, prefix) == 0;
    blip2_status status;

    b2_text_append(work, text, length);
    if (decoder->clean_up)
        b2_clean_up(work, 0, true);
    if ((status = keep(&out->first, arena, work)) < 0)
        return status;
    if (inside)
        b2_text_append(work, text + prefix, length - prefix);
    else
        b2_text_appendf(work, " %s", text);
    if (decoder->clean_up)
        b2_clean_up(work, 0, true);
    return keep(&out->later, arena, work);
}

/* Append text with every `from` as `to`. */
static void append_replaced(b2_text_buffer *out, const char *text, size_t length,
                            const b2_replace *replace) {
    for (size_t at = 0; at < length;) {
        bool found = length - at >= replace->from_length &&
                     memcmp(text + at, replace->from, replace->from_length) == 0;

        if (found)
            b2_text_append(out, replace->to, replace->to_length);
        else
            b2_text_append(out, text + at, 1);
        at += found ? replace->from_length : 1;
    }
}

static blip2_status decode_metaspace(b2_decoded *out, b2_arena *arena, const b2_decoder *decoder,
                                     const char *text, uint32_t length, b2_text_buffer *work) {
    const b2_pretokenizer *metaspace = &decoder->metaspace;
    b2_replace replace = {metaspace->space, " ", strlen(metaspace->space), 1};
    blip2_status status;

    append_replaced(work, text, length, &replace);
    if ((status = keep(&out->later, arena, work)) < 0)
        return status;
    out->first = out->later;
    if (metaspace->prepend == B2_PREPEND_NEVER)
        return BLIP2_OK;
    replace.to_length = 0;
    append_replaced(work, text, length, &replace);
    return keep(&out->first, arena, work);
}

static blip2_status decode_chain(b2_decoded *out, b2_arena *arena, const b2_decoder *decoder,
                                 const char *text, uint32_t length, b2_text_buffer *work) {
    blip2_status status = BLIP2_OK;

    out->first = (b2_form){text, length};
    for (size_t i = 0; i < decoder->replace_count && status == BLIP2_OK; i++) {
        append_replaced(work, out->first.bytes, out->first.length, decoder->replace + i);
        status = keep(&out->first, arena, work);
    }
    out->later = out->first;
    if (decoder->byte_fallback && status == BLIP2_OK)
        out->byte = (int16_t)b2_byte_of_token(out->first.bytes, out->first.length);
    return status;
}

/* text: [length], in the arena. work: memory reused from call to call. */
static blip2_status decode_token(b2_decoded *out, b2_arena *arena, const b2_decoder *decoder,
                                 const char *text, uint32_t length, b2_text_buffer *work) {
    *out = (b2_decoded){.byte = -1};
    switch (decoder->kind) {
    case BYTE_LEVEL:
        return decode_bytes(out, arena, decoder->byte_of, text, length);
    case WORDPIECE:
        return decode_wordpiece(out, arena, decoder, text, length, work);
    case METASPACE:
        return decode_metaspace(out, arena, decoder, text, length, work);
    case CHAIN:
        break;
    }
    return decode_chain(out, arena, decoder, text, length, work);
}

/* ---- all tokens -------------------------------------------------------------------------- */

static size_t largest_id(const b2_vocabulary *vocabulary, size_t so_far) {
    for (size_t i = 0; i < vocabulary->count; i++)
        if ((size_t)vocabulary->entries[i].id >= so_far)
            so_far = (size_t)vocabulary->entries[i].id + 1;
    return so_far;
}

static blip2_status same_id(const b2_fields *fields, const b2_entry *entry) {
    return b2_fail(BLIP2_EFORMAT, "%s: id %d is given to two tokens, \"%.40s\" is the second",
                   fields->file, (int)entry->id, entry->text);
}

static blip2_status fill_decoded(b2_tokenizer *out, const b2_fields *fields,
                                 const b2_decoder *decoder, b2_text_buffer *work) {
    const b2_vocabulary *model = &out->model.vocabulary, *added = &out->added.vocabulary;
    blip2_status status;

    for (size_t i = 0; i < model->count; i++) {
        const b2_entry *entry = model->entries + i;

        if (out->decoded[entry->id].first.bytes != NULL)
            return same_id(fields, entry);
        status = decode_token(out->decoded + entry->id, &out->arena, decoder, entry->text,
                              entry->length, work);
        if (status < 0)
            return status;
    }
    for (size_t i = 0; i < added->count; i++) {
        const b2_added_token *token = out->added.tokens + i;
        const b2_entry *entry = added->entries + i;
        b2_decoded *decoded = out->decoded + entry->id;
        bool known = b2_vocabulary_find(model, entry->text, entry->length) != NULL;

        /* New ids start at the number of tokens, which a vocabulary with holes has used already. */
        if (decoded->first.bytes != NULL && !known)
            return same_id(fields, entry);
        /* Its own text, as transformers and older versions of the library have it; 0.23 decodes to
         * the normalised one, and then forgets that the token is special. */
        status = decode_token(decoded, &out->arena, decoder, entry->text, entry->length, work);
        if (status < 0)
            return status;
        decoded->special = token->special;
    }
    return BLIP2_OK;
}

blip2_status b2_decoder_read(b2_tokenizer *out, b2_fields *fields, const json_t *json) {
    b2_decoder decoder = {.growth = 1, .prefix = "##", .strip = &out->strip};
    b2_text_buffer work = {0};
    blip2_status status;

    if (json == NULL || json_is_null(json))
        return b2_fail(BLIP2_ENOTSUP, "%s: a tokenizer without a decoder is not supported",
                       fields->file);
    if ((status = read_decoder(&decoder, fields, json)) < 0)
        return status;
    out->lossy = decoder.kind == BYTE_LEVEL;
    out->vocab = largest_id(&out->added.vocabulary, largest_id(&out->model.vocabulary, 0));
    if ((out->decoded = b2_arena_alloc(&out->arena, out->vocab, sizeof *out->decoded)) == NULL)
        return b2_fail_memory();
    memset(out->decoded, 0, out->vocab * sizeof *out->decoded);
    status = fill_decoded(out, fields, &decoder, &work);
    b2_text_free(&work);
    return status;
}
