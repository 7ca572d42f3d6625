/* Matching is leftmost-longest, byte by byte: at each position the sorted tokens are narrowed to
 * those that go on as the text does. Files have a handful of added tokens (OPT: 3, T5: 102) whose
 * first bytes are rare, so nearly every position ends at the table of first bytes. */
#include "text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "text/unicode16.h"
#include "text/utf8.h"

/* Bounds the work at one position of a text; real tokens have at most some 30 bytes. */
enum { LONGEST_TOKEN = 1024 };

static const char word_pattern[] =
    "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}" B2_UNICODE16_WORD "]";

/* ---- reading ----------------------------------------------------------------------------- */

/* The id that the library gives a token: that of the model, or the next free one. The "id" that the
 * file states is not used (the library only warns when it differs). */
static b2_entry *entry_of(b2_added_tokens *out, b2_arena *arena, const b2_vocabulary *model,
                          const char *text, size_t length, int32_t *next_id) {
    const b2_entry *known = b2_vocabulary_find(model, text, length);

    return b2_vocabulary_insert(&out->vocabulary, arena, text, length,
                                known != NULL ? known->id : (*next_id)++);
}

static blip2_status read_token(b2_added_tokens *out, b2_arena *arena, b2_fields *fields,
                               const json_t *json, const b2_vocabulary *model, int32_t *next_id) {
    const json_t *content = json_object_get(json, "content");
    const char *text = json_string_value(content);
    size_t length = json_string_length(content);
    b2_added_token token = {.normalized = true};
    const b2_entry *known;

    if (text == NULL || length > LONGEST_TOKEN) {
        b2_field_fail(fields, "content", "a text of at most 1024 bytes", content);
        return fields->status;
    }
    b2_field_bool(fields, json, "special", &token.special);
    b2_field_bool(fields, json, "single_word", &token.single_word);
    b2_field_bool(fields, json, "lstrip", &token.lstrip);
    b2_field_bool(fields, json, "rstrip", &token.rstrip);
    b2_field_bool(fields, json, "normalized", &token.normalized);
    if (fields->status < 0 || length == 0) /* the library passes over empty ones, too */
        return fields->status;
    /* A text that comes again gets the newer flags, but stays special. */
    if ((known = b2_vocabulary_find(&out->vocabulary, text, length)) != NULL) {
        token.entry = known;
        token.special = token.special || out->tokens[known - out->vocabulary.entries].special;
    } else if ((token.entry = entry_of(out, arena, model, text, length, next_id)) == NULL) {
        return b2_fail_memory();
    }
    if (token.entry->id > B2_LARGEST_ID)
        return b2_fail(BLIP2_EFORMAT, "%s: more than %d tokens", fields->file, (int)B2_LARGEST_ID);
    out->tokens[token.entry - out->vocabulary.entries] = token;
    return BLIP2_OK;
}

static int by_text(const void *a, const void *b) {
    const b2_entry *x = ((const b2_added_token *)a)->entry;
    const b2_entry *y = ((const b2_added_token *)b)->entry;
    int order = memcmp(x->text, y->text, b2_size_min(x->length, y->length));

    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

static blip2_status make_set(b2_added_set *out, b2_arena *arena, const b2_added_tokens *added,
                             bool normalized) {
    out->tokens = b2_arena_alloc(arena, added->vocabulary.count, sizeof *out->tokens);
    if (out->tokens == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < added->vocabulary.count; i++) {
        if (added->tokens[i].normalized != normalized)
            continue;
        out->tokens[out->count++] = added->tokens[i];
        out->first[(unsigned char)added->tokens[i].entry->text[0]] = true;
    }
    qsort(out->tokens, out->count, sizeof *out->tokens, by_text);
    return BLIP2_OK;
}

blip2_status b2_added_tokens_read(b2_added_tokens *out, b2_arena *arena, b2_fields *fields,
                                  const json_t *array, const b2_vocabulary *model) {
    size_t count = json_array_size(array);
    int32_t next_id = (int32_t)model->count;
    bool single_word = false;
    blip2_status status;

    *out = (b2_added_tokens){0};
    if (array != NULL && !json_is_array(array)) {
        b2_field_fail(fields, "added_tokens", "an array", array);
        return fields->status;
    }
    if ((status = b2_vocabulary_init(&out->vocabulary, arena, count)) < 0)
        return status;
    if ((out->tokens = b2_arena_alloc(arena, count, sizeof *out->tokens)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++) {
        b2_fields at = {fields->file, "added_tokens[].", BLIP2_OK};

        status = read_token(out, arena, &at, json_array_get(array, i), model, &next_id);
        if (status < 0)
            return status;
    }
    for (size_t i = 0; i < out->vocabulary.count; i++)
        single_word = single_word || out->tokens[i].single_word;
    if ((status = make_set(&out->raw, arena, out, false)) < 0 ||
        (status = make_set(&out->normalized, arena, out, true)) < 0)
        return status;
    return single_word ? b2_regex_compile(&out->word, word_pattern) : BLIP2_OK;
}

void b2_added_tokens_free(b2_added_tokens *added) {
    b2_regex_free(&added->word);
}

/* ---- matching ---------------------------------------------------------------------------- */

/* The first token of the sorted tokens [low, high), all alike up to `depth`, whose byte there is at
 * least `byte`. */
static size_t lower_bound(const b2_added_set *set, size_t low, size_t high, size_t depth,
                          int byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if ((unsigned char)set->tokens[middle].entry->text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that text ([left]) starts with. */
static const b2_added_token *longest_at(const b2_added_set *set, const char *text, size_t left) {
    const b2_added_token *best = NULL;
    size_t low = 0, high = set->count;

    for (size_t depth = 0; depth < left && low < high; depth++) {
        int byte = (unsigned char)text[depth];

        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
        if (low < high && set->tokens[low].entry->length == depth + 1)
            best = set->tokens + low++;
    }
    return best;
}

static bool is_space(uint32_t code) {
    return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

/* Where the character that ends at `end` starts. */
static size_t step_back(const char *text, size_t end) {
    do
        end--;
    while (((unsigned char)text[end] & 0xC0) == 0x80);
    return end;
}

/* Start of the white space that ends at `end`, looking back to `floor` at most. */
static size_t spaces_start(const char *text, size_t floor, size_t end) {
    while (end > floor && is_space(b2_utf8_decode(text + step_back(text, end))))
        end = step_back(text, end);
    return end;
}

static size_t spaces_end(const char *text, size_t length, size_t start) {
    while (start < length && is_space(b2_utf8_decode(text + start)))
        start += (size_t)b2_utf8_scan(text + start, length - start);
    return start;
}

/* Does no word character touch text[start, end)? */
static blip2_status stands_alone(const b2_matcher *word, const char *text, size_t length,
                                 size_t start, size_t end, bool *out) {
    size_t before = 0, after = 0;
    blip2_status status = BLIP2_OK;

    if (start > 0)
        status = b2_matcher_at(word, text, length, step_back(text, start), &before);
    if (status == BLIP2_OK && end < length)
        status = b2_matcher_at(word, text, length, end, &after);
    *out = before == 0 && after == 0;
    return status;
}

blip2_status b2_added_find(const b2_added_set *set, const b2_matcher *word, const char *text,
                           size_t length, b2_added_match *match) {
    size_t taken = match->end; /* by the token before this one */

    match->token = NULL;
    if (set->count == 0)
        return BLIP2_OK;
    for (size_t at = match->next; at < length;) {
        const b2_added_token *token =
            set->first[(unsigned char)text[at]] ? longest_at(set, text + at, length - at) : NULL;
        bool alone = true;
        size_t end;
        blip2_status status;

        if (token == NULL) {
            at++;
            continue;
        }
        end = at + token->entry->length;
        if (token->single_word && (status = stands_alone(word, text, length, at, end, &alone)) < 0)
            return status;
        match->start = token->lstrip ? b2_size_max(spaces_start(text, taken, at), taken) : at;
        /* What the token before took beyond `end` is white space: not to be walked twice. */
        match->end = token->rstrip ? spaces_end(text, length, b2_size_max(end, taken)) : end;
        match->next = end;
        /* A token whose text was taken by the one before is left out. */
        if (alone && match->start < match->end) {
            match->token = token;
            return BLIP2_OK;
        }
        at = end;
    }
    return BLIP2_OK;
}
