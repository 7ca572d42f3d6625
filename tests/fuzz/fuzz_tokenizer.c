/* A tokenizer.json: what is accepted must encode and decode any text, its own JSON included, and
 * streamed text must be that of the decode. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stream(const b2_tokenizer *tokenizer, const b2_tokens *ids, b2_text_buffer *out) {
    b2_detokenizer stream;

    b2_detokenizer_init(&stream, tokenizer, false);
    for (size_t i = 0; i < ids->count; i++)
        if (b2_detokenizer_push(&stream, ids->ids[i], out) < 0)
            abort();
    if (b2_detokenizer_finish(&stream, out) < 0)
        abort();
    b2_detokenizer_free(&stream);
}

static void use(const b2_tokenizer *tokenizer, const char *text, size_t length) {
    b2_tokens ids = {0};
    b2_text_buffer whole = {0}, streamed = {0}, cleaned = {0};

    if (b2_tokenizer_encode(tokenizer, text, length, true, &ids) < 0)
        abort();
    for (size_t i = 0; i < ids.count; i++)
        if (ids.ids[i] < 0 || (size_t)ids.ids[i] >= b2_tokenizer_vocab(tokenizer))
            abort();
    if (b2_tokenizer_decode(tokenizer, ids.ids, ids.count, false, false, &whole) < 0 ||
        b2_tokenizer_decode(tokenizer, ids.ids, ids.count, true, true, &cleaned) < 0)
        abort();
    stream(tokenizer, &ids, &streamed);
    if (whole.length != streamed.length ||
        memcmp(b2_text_data(&whole), b2_text_data(&streamed), whole.length) != 0)
        abort();
    b2_text_free(&whole);
    b2_text_free(&streamed);
    b2_text_free(&cleaned);
    b2_tokens_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] = " a b ab</s>  it 's \xC3\xA9\xE4\xB8\xAD\xFF\xF0\x9F\x98\x80 .\n 12";
    b2_tokenizer *tokenizer = NULL;

    if (b2_tokenizer_parse(&tokenizer, (const char *)data, size, "file") == BLIP2_OK) {
        use(tokenizer, text, sizeof text - 1);
        use(tokenizer, (const char *)data, size);
    } else if (tokenizer != NULL) {
        abort();
    }
    b2_tokenizer_close(tokenizer);
    return 0;
}
