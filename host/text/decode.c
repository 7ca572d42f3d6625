/* Decoding: what each token stands for was worked out when the file was read (decode_read.c); a
 * text is what the tokens stand for, one behind the other, fed through a detokeniser. */
#include "text/clean_up.h"
#include "text/parts.h"

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
    if (status == BLIP2_OK && clean_up)
        b2_clean_up(out, start, false);
    return status;
}

const char *b2_tokenizer_piece(const b2_tokenizer *tokenizer, int32_t id, char *byte,
                               size_t *length) {
    const b2_decoded *token;
    const b2_form *form;

    if (id < 0 || (size_t)id >= tokenizer->vocab)
        return NULL;
    token = tokenizer->decoded + id;
    form = tokenizer->lossy ? &token->first : &token->later;
    *length = form->length;
    if (token->byte < 0)
        return form->bytes;
    *byte = (char)token->byte;
    *length = 1;
    return byte;
}

bool b2_tokenizer_is_byte_level(const b2_tokenizer *tokenizer) {
    return tokenizer->lossy;
}
