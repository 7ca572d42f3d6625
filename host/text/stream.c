/* Detokenising as ids arrive. `pending` holds less than one character between calls. */
#include <string.h>

#include "text/parts.h"
#include "text/utf8.h"

void b2_detokenizer_init(b2_detokenizer *stream, const b2_tokenizer *tokenizer, bool skip_special) {
    *stream = (b2_detokenizer){.tokenizer = tokenizer, .skip_special = skip_special};
}

blip2_status b2_detokenizer_push(b2_detokenizer *stream, int32_t id, b2_text_buffer *out) {
    const b2_tokenizer *tokenizer = stream->tokenizer;
    b2_text_buffer *pending = &stream->pending;
    const b2_decoded *token;
    size_t read;

    if (id < 0 || (size_t)id >= tokenizer->vocab)
        return BLIP2_OK;
    token = tokenizer->decoded + id;
    if (token->bytes == NULL || (stream->skip_special && token->special))
        return BLIP2_OK;
    b2_text_append(pending, token->bytes, token->length);
    if (pending->failed)
        return b2_fail_memory();
    read = b2_utf8_append(out, pending->data, pending->length, true);
    if (out->failed)
        return b2_fail_memory();
    memmove(pending->data, pending->data + read, pending->length - read);
    pending->length -= read;
    return BLIP2_OK;
}

blip2_status b2_detokenizer_finish(b2_detokenizer *stream, b2_text_buffer *out) {
    (void)b2_utf8_append(out, b2_text_data(&stream->pending), stream->pending.length, false);
    b2_text_clear(&stream->pending);
    return out->failed ? b2_fail_memory() : BLIP2_OK;
}

void b2_detokenizer_free(b2_detokenizer *stream) {
    b2_text_free(&stream->pending);
}
