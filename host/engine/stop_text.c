#include "engine/stop_text.h"

#include <string.h>

#include "base/alloc.h"

blip2_status b2_stop_texts_init(b2_stop_texts *out, const char *const *texts, size_t count) {
    *out = (b2_stop_texts){0};
    if (count == 0)
        return BLIP2_OK;
    if (texts == NULL)
        return b2_fail(BLIP2_EINVAL, "stop_strings: NULL, expected %zu of them", count);
    if ((out->texts = b2_calloc(count, sizeof *out->texts)) == NULL)
        return b2_fail_memory();
    for (; out->count < count; out->count++) {
        const char *text = texts[out->count];

        if (text == NULL || *text == '\0')
            return b2_fail(BLIP2_EINVAL, "stop_strings: number %zu is %s", out->count,
                           text == NULL ? "NULL" : "empty");
        if ((out->texts[out->count] = b2_strdup(text)) == NULL)
            return b2_fail_memory();
    }
    return BLIP2_OK;
}

void b2_stop_texts_free(b2_stop_texts *stops) {
    for (size_t i = 0; i < stops->count; i++)
        b2_free(stops->texts[i]);
    b2_free(stops->texts);
    *stops = (b2_stop_texts){0};
}

/* Are the bytes of ids [count] and piece [length] behind them those of text at their end? */
static bool ends_with(const b2_tokenizer *tokenizer, const int32_t *ids, uint32_t count,
                      const char *piece, size_t length, const char *text) {
    size_t left = strlen(text); /* bytes that are not yet compared */
    char byte;

    for (;;) {
        size_t n = length < left ? length : left;

        if (memcmp(piece + length - n, text + left - n, n) != 0)
            return false;
        left -= n;
        if (left == 0)
            return true;
        if (count == 0 ||
            (piece = b2_tokenizer_piece(tokenizer, ids[--count], &byte, &length)) == NULL)
            return false;
    }
}

bool b2_stop_texts_end(const b2_stop_texts *stops, const b2_tokenizer *tokenizer,
                       const int32_t *ids, uint32_t count) {
    size_t length;
    char byte;
    const char *last = stops->count > 0 && count > 0
                           ? b2_tokenizer_piece(tokenizer, ids[count - 1], &byte, &length)
                           : NULL;

    for (size_t i = 0; i < stops->count && last != NULL; i++)
        for (size_t end = 1; end <= length; end++) /* where in the token the text may end */
            if (ends_with(tokenizer, ids, count - 1, last, end, stops->texts[i]))
                return true;
    return false;
}
