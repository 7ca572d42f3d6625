#include "text/wordpiece.h"

#include "text/utf8.h"

blip2_status b2_wordpiece_read(b2_wordpiece *out, b2_vocabulary *vocabulary, b2_arena *arena,
                               b2_fields *fields, const json_t *model) {
    const json_t *unk = json_object_get(model, "unk_token");
    const json_t *prefix = json_object_get(model, "continuing_subword_prefix");
    const json_t *longest = json_object_get(model, "max_input_chars_per_word");
    const b2_entry *entry = NULL;
    blip2_status status;

    if ((status = b2_vocabulary_read(vocabulary, arena, fields, model)) < 0 ||
        (status = b2_prefixes_of(&out->tokens, arena, fields, vocabulary)) < 0)
        return status;
    out->vocabulary = vocabulary;
    if (!json_is_string(prefix))
        b2_field_fail(fields, "continuing_subword_prefix", "a text", prefix);
    else if (!json_is_integer(longest) || json_integer_value(longest) < 0)
        b2_field_fail(fields, "max_input_chars_per_word", "a whole number", longest);
    else if (json_is_string(unk))
        entry = b2_vocabulary_find(vocabulary, json_string_value(unk), json_string_length(unk));
    if (fields->status == BLIP2_OK && entry == NULL)
        b2_field_fail(fields, "unk_token", "a token of the vocabulary", unk);
    if (fields->status < 0)
        return fields->status;
    out->unk = entry->id;
    out->longest_word = json_integer_value(longest);
    out->inside = b2_prefix_start(&out->tokens);
    for (const char *byte = json_string_value(prefix); *byte != '\0'; byte++)
        (void)b2_prefix_step(&out->inside, *byte);
    return BLIP2_OK;
}

blip2_status b2_wordpiece_encode(const b2_wordpiece *wordpiece, const char *word, size_t length,
                                 b2_tokens *out) {
    size_t before = out->count;
    bool known = (int64_t)b2_utf8_count(word, length) <= wordpiece->longest_word;
    blip2_status status = BLIP2_OK;

    for (size_t start = 0, end; start < length && known && status == BLIP2_OK; start = end) {
        b2_prefix_walk walk = start == 0 ? b2_prefix_start(&wordpiece->tokens) : wordpiece->inside;
        int32_t id = -1;

        end = start;
        for (size_t at = start; at < length && walk.low < walk.high; at++) {
            const b2_prefix *found = b2_prefix_step(&walk, word[at]);

            if (found == NULL)
                continue;
            id = wordpiece->vocabulary->entries[found->index].id;
            end = at + 1;
        }
        known = id >= 0;
        if (known)
            status = b2_tokens_append(out, id);
    }
    if (status < 0 || known)
        return status;
    out->count = before;
    return b2_tokens_append(out, wordpiece->unk);
}
