/* Vocabularies older than tokenizer.json, the same bytes as each kind: what is accepted must encode
 * any text. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "text/legacy.h"
#include "text/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const json_t *root, const char *bytes, size_t size) {
    static const char text[] = " a b ab</s>  it 's \xC3\xA9\xE4\xB8\xAD\xFF\xF0\x9F\x98\x80 .\n 12";
    b2_tokenizer *tokenizer = NULL;
    b2_tokens ids = {0};

    if (b2_tokenizer_build(&tokenizer, root, "file", true) == BLIP2_OK &&
        (b2_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids) < 0 ||
         b2_tokenizer_encode(tokenizer, bytes, size, true, &ids) < 0))
        abort();
    b2_tokens_free(&ids);
    b2_tokenizer_close(tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *bytes = (const char *)data;
    json_t *root = NULL;

    if (b2_bert_vocabulary(&root, bytes, size, "file") == BLIP2_OK)
        use(root, bytes, size);
    json_decref(root);
    if (b2_spm_vocabulary(&root, bytes, size, "file") == BLIP2_OK)
        use(root, bytes, size);
    json_decref(root);
    return 0;
}
