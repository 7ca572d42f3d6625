#include "text/spm.h"

#include <string.h>

#include "text/prefixes.h"
#include "text/utf8.h"

/* ---- protobuf ---------------------------------------------------------------------------- */

/* One message: what is left of it. */
typedef struct b2_message {
    const uint8_t *at, *end;
    const uint8_t *file; /* start of the file, for messages */
    const char *name;
} b2_message;

typedef enum b2_wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 } b2_wire;

typedef struct b2_field {
    uint64_t number;
    b2_wire wire;
    uint64_t value;       /* VARINT, FIXED32 and FIXED64: as it is stored */
    const uint8_t *bytes; /* BYTES: [size] */
    size_t size;
} b2_field;

static blip2_status broken(const b2_message *message, const char *what) {
    return b2_fail(BLIP2_EFORMAT, "%s: byte %zu: %s", message->name,
                   (size_t)(message->at - message->file), what);
}

static blip2_status read_varint(b2_message *message, uint64_t *out) {
    *out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;

        if (message->at == message->end)
            return broken(message, "a number is cut short");
        byte = *message->at++;
        *out |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return BLIP2_OK;
    }
    return broken(message, "a number of more than ten bytes");
}

static blip2_status read_fixed(b2_message *message, size_t size, uint64_t *out) {
    if ((size_t)(message->end - message->at) < size)
        return broken(message, "a number is cut short");
    *out = 0;
    for (size_t i = 0; i < size; i++)
        *out |= (uint64_t)message->at[i] << 8 * i;
    message->at += size;
    return BLIP2_OK;
}

/* The next field; at the end of the message *more is false. */
static blip2_status next_field(b2_message *message, b2_field *out, bool *more) {
    uint64_t key, size;
    blip2_status status;

    *more = message->at < message->end;
    if (!*more)
        return BLIP2_OK;
    if ((status = read_varint(message, &key)) < 0)
        return status;
    *out = (b2_field){.number = key >> 3, .wire = (b2_wire)(key & 7)};
    switch (out->wire) {
    case VARINT:
        return read_varint(message, &out->value);
    case FIXED64:
        return read_fixed(message, 8, &out->value);
    case FIXED32:
        return read_fixed(message, 4, &out->value);
    case BYTES:
        if ((status = read_varint(message, &size)) < 0)
            return status;
        if (size > (uint64_t)(message->end - message->at))
            return broken(message, "a field is longer than what is left");
        out->bytes = message->at;
        out->size = (size_t)size;
        message->at += size;
        return BLIP2_OK;
    }
    return broken(message, "a field of a kind that protobuf does not have");
}

static b2_message inside(const b2_message *message, const b2_field *field) {
    return (b2_message){field->bytes, field->bytes + field->size, message->file, message->name};
}

/* ---- the model --------------------------------------------------------------------------- */

/* message SentencePiece: piece = 1, score = 2, type = 3 */
static blip2_status read_piece(b2_spm_piece *out, b2_arena *arena, b2_message message) {
    b2_field field;
    bool more;
    blip2_status status;

    *out = (b2_spm_piece){.text = "", .type = B2_SPM_NORMAL};
    while ((status = next_field(&message, &field, &more)) == BLIP2_OK && more) {
        uint32_t bits = (uint32_t)field.value;

        if (field.number == 2 && field.wire == FIXED32)
            memcpy(&out->score, &bits, sizeof bits);
        else if (field.number == 3 && field.wire == VARINT)
            out->type = field.value;
        if (field.number != 1 || field.wire != BYTES)
            continue;
        if (field.size > B2_PREFIX_LONGEST)
            return broken(&message, "a piece of more than 1024 bytes");
        if (memchr(field.bytes, '\0', field.size) != NULL ||
            b2_utf8_valid((const char *)field.bytes, field.size) < field.size)
            return broken(&message, "a piece that is no text");
        if ((out->text = b2_arena_strndup(arena, (const char *)field.bytes, field.size)) == NULL)
            return b2_fail_memory();
        out->length = field.size;
    }
    if (status == BLIP2_OK && !(out->score > -1e30F && out->score < 1e30F))
        return broken(&message, "a score that is no number");
    return status;
}

/* message TrainerSpec: model_type = 3, unk_id = 40 */
static blip2_status read_trainer(b2_spm *out, b2_message message) {
    b2_field field;
    bool more;
    blip2_status status;

    while ((status = next_field(&message, &field, &more)) == BLIP2_OK && more) {
        if (field.number == 3 && field.wire == VARINT)
            out->model_type = field.value;
        else if (field.number == 40 && field.wire == VARINT)
            out->unk_id = field.value;
    }
    return status;
}

/* message NormalizerSpec: precompiled_charsmap = 2 */
static blip2_status read_normalizer(b2_spm *out, b2_message message) {
    b2_field field;
    bool more;
    blip2_status status;

    while ((status = next_field(&message, &field, &more)) == BLIP2_OK && more) {
        if (field.number != 2 || field.wire != BYTES)
            continue;
        out->charsmap = field.size > 0 ? field.bytes : NULL;
        out->charsmap_size = field.size;
    }
    return status;
}

/* How many pieces there are, so that their memory is asked for at once. */
static blip2_status count_pieces(b2_message message, size_t *count) {
    b2_field field;
    bool more;
    blip2_status status;

    *count = 0;
    while ((status = next_field(&message, &field, &more)) == BLIP2_OK && more)
        *count += field.number == 1 && field.wire == BYTES;
    return status;
}

/* message ModelProto: pieces = 1, trainer_spec = 2, normalizer_spec = 3 */
blip2_status b2_spm_parse(b2_spm *out, b2_arena *arena, const uint8_t *bytes, size_t size,
                          const char *name) {
    b2_message message = {bytes, bytes + size, bytes, name};
    size_t count;
    b2_field field;
    bool more;
    blip2_status status;

    *out = (b2_spm){.model_type = B2_SPM_UNIGRAM};
    if ((status = count_pieces(message, &count)) < 0)
        return status;
    if (count == 0 || count > B2_LARGEST_ID + 1)
        return b2_fail(BLIP2_EFORMAT, "%s: %zu pieces, expected 1 to %d", name, count,
                       (int)B2_LARGEST_ID + 1);
    if ((out->pieces = b2_arena_alloc(arena, count, sizeof *out->pieces)) == NULL)
        return b2_fail_memory();
    while ((status = next_field(&message, &field, &more)) == BLIP2_OK && more) {
        if (field.wire != BYTES)
            continue;
        if (field.number == 1)
            status = read_piece(out->pieces + out->count++, arena, inside(&message, &field));
        else if (field.number == 2)
            status = read_trainer(out, inside(&message, &field));
        else if (field.number == 3)
            status = read_normalizer(out, inside(&message, &field));
        if (status < 0)
            break;
    }
    return status;
}
