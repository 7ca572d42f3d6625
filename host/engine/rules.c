#include "engine/rules.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

static blip2_status add_word(b2_rules *rules, const b2_tokenizer *tokenizer, const char *word,
                             size_t number) {
    bool space = b2_tokenizer_is_byte_level(tokenizer) && word[0] != ' ';
    size_t before = rules->bad_ids.count;
    b2_text_buffer text = {0};
    blip2_status status;

    b2_text_appendf(&text, "%s%s", space ? " " : "", word);
    status = text.failed ? b2_fail_memory()
                         : b2_tokenizer_encode(tokenizer, b2_text_data(&text), text.length, false,
                                               &rules->bad_ids);
    b2_text_free(&text);
    if (status == BLIP2_OK && (*word == '\0' || rules->bad_ids.count == before))
        status = b2_fail(BLIP2_EINVAL, "bad_words: number %zu has no tokens", number);
    return status;
}

static void end_word(b2_rules *rules) {
    rules->bad_ends[rules->bad_words.count++] = (uint32_t)rules->bad_ids.count;
}

static blip2_status add_ids(b2_rules *rules, const b2_id_lists *lists) {
    uint32_t k = 0;
    blip2_status status = BLIP2_OK;

    for (uint32_t w = 0; w < lists->count; w++) {
        for (; k < lists->ends[w] && status == BLIP2_OK; k++)
            status = b2_tokens_append(&rules->bad_ids, lists->ids[k]);
        end_word(rules);
    }
    return status;
}

blip2_status b2_rules_init(b2_rules *rules, const b2_tokenizer *tokenizer, const char *const *words,
                           size_t word_count, const b2_id_lists *ids, const char *const *stops,
                           size_t stop_count) {
    blip2_status status = b2_stop_texts_init(&rules->stops, stops, stop_count);
    size_t count;

    if (status < 0)
        return status;
    if (words == NULL && word_count > 0)
        return b2_fail(BLIP2_EINVAL, "bad_words: NULL, expected %zu of them", word_count);
    if (!b2_size_add(word_count, ids != NULL ? ids->count : 0, &count) || count > INT32_MAX)
        return b2_fail(BLIP2_EINVAL, "bad_words: %zu are too many", word_count);
    if (count == 0)
        return BLIP2_OK;
    if ((rules->bad_ends = b2_alloc_array(count, sizeof *rules->bad_ends)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < word_count && status == BLIP2_OK; i++) {
        if (words[i] == NULL)
            return b2_fail(BLIP2_EINVAL, "bad_words: number %zu is NULL", i);
        status = add_word(rules, tokenizer, words[i], i);
        end_word(rules);
    }
    if (status == BLIP2_OK && ids != NULL)
        status = add_ids(rules, ids);
    if (rules->bad_ids.count > INT32_MAX && status == BLIP2_OK)
        status = b2_fail(BLIP2_EINVAL, "bad_words: %zu tokens are too many", rules->bad_ids.count);
    rules->bad_words.ids = rules->bad_ids.ids;
    rules->bad_words.ends = rules->bad_ends;
    return status;
}

void b2_rules_free(b2_rules *rules) {
    b2_stop_texts_free(&rules->stops);
    b2_tokens_free(&rules->bad_ids);
    b2_free(rules->bad_ends);
    *rules = (b2_rules){0};
}
