/* Decoding: what each token stands for is worked out once, when the file is read; a text is those
 * bytes one behind the other, read as UTF-8. */
#include <string.h>

#include "base/alloc.h"
#include "text/byte_level.h"
#include "text/parts.h"
#include "text/utf8.h"

/* ---- reading ----------------------------------------------------------------------------- */

/* The byte of each character of the byte-level alphabet, -1 for others. */
static void inverse_table(int16_t out[B2_BYTE_LEVEL_END]) {
    uint16_t table[256];

    b2_byte_level_table(table);
    for (size_t i = 0; i < B2_BYTE_LEVEL_END; i++)
        out[i] = -1;
    for (int16_t byte = 0; byte < 256; byte++)
        out[table[byte]] = byte;
}

/* The bytes that a token's characters stand for; the token as it is when a character stands for
 * none, as with an added token that has a space in it. */
static blip2_status decode_token(b2_decoded *out, b2_arena *arena, const b2_entry *entry,
                                 const int16_t inverse[B2_BYTE_LEVEL_END]) {
    char *bytes = b2_arena_alloc(arena, entry->length, 1);
    uint32_t count = 0;

    if (bytes == NULL)
        return b2_fail_memory();
    *out = (b2_decoded){.bytes = bytes};
    for (uint32_t at = 0; at < entry->length;) {
        uint32_t code = b2_utf8_decode(entry->text + at);

        if (code >= B2_BYTE_LEVEL_END || inverse[code] < 0) {
            out->bytes = entry->text;
            out->length = entry->length;
            return BLIP2_OK;
        }
        bytes[count++] = (char)inverse[code];
        at += code < 0x80 ? 1 : 2;
    }
    out->length = count;
    return BLIP2_OK;
}

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

static blip2_status fill_decoded(b2_tokenizer *out, b2_fields *fields) {
    const b2_vocabulary *model = &out->bpe.vocabulary, *added = &out->added.vocabulary;
    int16_t inverse[B2_BYTE_LEVEL_END];
    blip2_status status;

    inverse_table(inverse);
    for (size_t i = 0; i < model->count; i++) {
        const b2_entry *entry = model->entries + i;

        if (out->decoded[entry->id].bytes != NULL)
            return same_id(fields, entry);
        if ((status = decode_token(out->decoded + entry->id, &out->arena, entry, inverse)) < 0)
            return status;
    }
    for (size_t i = 0; i < added->count; i++) {
        const b2_entry *entry = added->entries + i;
        b2_decoded *decoded = out->decoded + entry->id;
        bool known = b2_vocabulary_find(model, entry->text, entry->length) != NULL;

        /* New ids start at the number of tokens, which a vocabulary with holes has used already. */
        if (decoded->bytes != NULL && !known)
            return same_id(fields, entry);
        if (!known && (status = decode_token(decoded, &out->arena, entry, inverse)) < 0)
            return status;
        decoded->special = out->added.tokens[i].special;
    }
    return BLIP2_OK;
}

blip2_status b2_decoder_read(b2_tokenizer *out, b2_fields *fields, const json_t *decoder) {
    const char *type = json_string_value(json_object_get(decoder, "type"));

    if (decoder == NULL || json_is_null(decoder))
        return b2_fail(BLIP2_ENOTSUP, "%s: a tokenizer without a decoder is not supported",
                       fields->file);
    if (type == NULL) {
        b2_field_fail(fields, "decoder.type", "a text", json_object_get(decoder, "type"));
        return fields->status;
    }
    if (strcmp(type, "ByteLevel") != 0)
        return b2_fail(BLIP2_ENOTSUP, "%s: decoder \"%.40s\" is not supported", fields->file, type);
    out->vocab = largest_id(&out->added.vocabulary, largest_id(&out->bpe.vocabulary, 0));
    if ((out->decoded = b2_arena_alloc(&out->arena, out->vocab, sizeof *out->decoded)) == NULL)
        return b2_fail_memory();
    memset(out->decoded, 0, out->vocab * sizeof *out->decoded);
    return fill_decoded(out, fields);
}

/* ---- decoding ---------------------------------------------------------------------------- */

/* Replace every `from` in data[start..] by `to`, which is no longer. */
static void replace_all(b2_text_buffer *text, size_t start, const char *from, const char *to) {
    size_t from_length = strlen(from), to_length = strlen(to);
    size_t write = start;

    for (size_t read = start; read < text->length;) {
        if (text->length - read >= from_length &&
            memcmp(text->data + read, from, from_length) == 0) {
            memcpy(text->data + write, to, to_length);
            write += to_length;
            read += from_length;
        } else {
            text->data[write++] = text->data[read++];
        }
    }
    text->length = write;
    text->data[write] = '\0';
}

/* transformers' clean_up_tokenization, in its order: each line works on what the last one left. */
static void clean_up_spaces(b2_text_buffer *text, size_t start) {
    static const char *const table[][2] = {
        {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
        {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        replace_all(text, start, table[i][0], table[i][1]);
}

blip2_status b2_tokenizer_decode(const b2_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                 bool skip_special, bool clean_up, b2_text_buffer *out) {
    b2_detokenizer stream;
    size_t start = out->length;
    blip2_status status = BLIP2_OK;

    b2_detokenizer_init(&stream, tokenizer, skip_special);
    for (size_t i = 0; i < count && status == BLIP2_OK; i++)
        status = b2_detokenizer_push(&stream, ids[i], out);
    if (status == BLIP2_OK)
        status = b2_detokenizer_finish(&stream, out);
    b2_detokenizer_free(&stream);
    if (status == BLIP2_OK && clean_up && out->length > start)
        clean_up_spaces(out, start);
    return status;
}
