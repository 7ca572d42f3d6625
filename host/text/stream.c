/* Detokenising as ids arrive. Between calls `pending` holds, where tokens are bytes, less than one
 * character; and with byte fallback a run of byte tokens. When the run as a whole is not UTF-8,
 * each of its bytes is a character of its own (U+FFFD), or each that is not part of one
 * (keeps_characters), so that nothing of it is certain before its end. */
#include <string.h>

#include "text/parts.h"
#include "text/utf8.h"

void b2_detokenizer_init(b2_detokenizer *stream, const b2_tokenizer *tokenizer, bool skip_special) {
    *stream =
        (b2_detokenizer){.tokenizer = tokenizer,
                         .skip_special = skip_special,
                         .to_strip = tokenizer->strip.length > 0 ? tokenizer->strip.start : 0};
}

/* Whole characters: less what is stripped from the start of the text. */
static void put(b2_detokenizer *stream, const char *text, size_t length, b2_text_buffer *out) {
    const b2_strip *strip = &stream->tokenizer->strip;

    while (stream->to_strip > 0 && length > 0) {
        bool found = length >= strip->length && memcmp(text, strip->text, strip->length) == 0;

        stream->to_strip = found ? stream->to_strip - 1 : 0;
        text += found ? strip->length : 0;
        length -= found ? strip->length : 0;
    }
    b2_text_append(out, text, length);
}

/* The run of byte tokens is at its end. */
static void put_run(b2_detokenizer *stream, b2_text_buffer *out) {
    b2_text_buffer *run = &stream->pending;
    bool keeps = stream->tokenizer->keeps_characters;

    for (size_t at = 0, valid; at < run->length; at += valid) {
        valid = b2_utf8_valid(run->data + at, run->length - at);
        if (valid > 0 && (keeps || valid == run->length)) {
            put(stream, run->data + at, valid, out);
        } else {
            put(stream, "\xEF\xBF\xBD", 3, out);
            valid = 1;
        }
    }
    b2_text_clear(run);
}

static void push_bytes(b2_detokenizer *stream, const b2_form *form, b2_text_buffer *out) {
    b2_text_buffer *pending = &stream->pending;
    size_t read;

    b2_text_append(pending, form->bytes, form->length);
    if (pending->failed || pending->length == 0)
        return;
    read = b2_utf8_append(out, pending->data, pending->length, true);
    memmove(pending->data, pending->data + read, pending->length - read);
    pending->length -= read;
}

static void push_text(b2_detokenizer *stream, const b2_decoded *token, b2_text_buffer *out) {
    const b2_form *form = stream->started ? &token->later : &token->first;
    char byte = (char)token->byte;

    stream->started = true;
    if (token->byte >= 0) {
        b2_text_append(&stream->pending, &byte, 1);
        return;
    }
    put_run(stream, out);
    put(stream, form->bytes, form->length, out);
}

blip2_status b2_detokenizer_push(b2_detokenizer *stream, int32_t id, b2_text_buffer *out) {
    const b2_tokenizer *tokenizer = stream->tokenizer;
    const b2_decoded *token;

    if (id < 0 || (size_t)id >= tokenizer->vocab)
        return BLIP2_OK;
    token = tokenizer->decoded + id;
    if (token->first.bytes == NULL || (stream->skip_special && token->special))
        return BLIP2_OK;
    if (tokenizer->lossy)
        push_bytes(stream, &token->first, out);
    else
        push_text(stream, token, out);
    return stream->pending.failed || out->failed ? b2_fail_memory() : BLIP2_OK;
}

blip2_status b2_detokenizer_finish(b2_detokenizer *stream, b2_text_buffer *out) {
    if (stream->tokenizer->lossy)
        (void)b2_utf8_append(out, b2_text_data(&stream->pending), stream->pending.length, false);
    else
        put_run(stream, out);
    b2_text_clear(&stream->pending);
    return out->failed ? b2_fail_memory() : BLIP2_OK;
}

void b2_detokenizer_free(b2_detokenizer *stream) {
    b2_text_free(&stream->pending);
}
