#include "base/text_buffer.h"
#include "model/model.h"
#include "text/utf8.h"

blip2_status blip2_token_text(char **out, const blip2_model *model, int32_t token) {
    b2_text_buffer text = {0};
    const char *piece;
    size_t length;
    char byte;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_token_text: out is NULL");
    *out = NULL;
    if (model == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_token_text: model is NULL");
    if (model->tokenizer == NULL ||
        (piece = b2_tokenizer_piece(model->tokenizer, token, &byte, &length)) == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_token_text: there is no token %d", token);
    (void)b2_utf8_append(&text, piece, length, false);
    *out = b2_text_take(&text);
    return *out != NULL ? BLIP2_OK : b2_fail_memory();
}
