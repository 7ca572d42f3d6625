/* Matching is leftmost-longest: at each position the sorted tokens are narrowed to those that go on
 * as the text does. Files have a handful of added tokens (OPT: 3, T5: 102) whose
 * first bytes are rare, so nearly every position ends at the table of first bytes. */
#include "text/added_tokens.h"

#include <string.h>

#include "base/size.h"
#include "text/unicode.h"
#include "text/unicode16.h"
#include "text/utf8.h"

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

    if (text == NULL || length > B2_PREFIX_LONGEST) {
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

/* What the token is looked for as: its text after the normalisers, if it is to be found behind
 * them. */
static blip2_status normalize_token(b2_added_token *token, b2_arena *arena, b2_fields *fields,
                                    const b2_normalizers *normalizers) {
    b2_normalized work[2] = {0};
    b2_span form = {token->entry->text, token->entry->length, 0};
    blip2_status status = BLIP2_OK;

    if (token->normalized)
        status = b2_normalize(normalizers, form, work, &form);
    if (status == BLIP2_OK && (form.length == 0 || form.length > B2_PREFIX_LONGEST))
        status = b2_fail(BLIP2_ENOTSUP,
                         "%s: added token \"%.40s\" has %zu bytes when it is normalised, expected "
                         "1 to %d",
                         fields->file, token->entry->text, form.length, (int)B2_PREFIX_LONGEST);
    if (status == BLIP2_OK) {
        token->form = b2_arena_strndup(arena, form.text, form.length);
        token->form_length = (uint32_t)form.length;
        status = token->form != NULL ? BLIP2_OK : b2_fail_memory();
    }
    b2_text_free(&work[0].text);
    b2_text_free(&work[1].text);
    return status;
}

static blip2_status make_set(b2_added_set *out, b2_arena *arena, const b2_fields *fields,
                             const b2_added_tokens *added, bool normalized) {
    b2_prefixes *forms = &out->forms;

    out->tokens = added->tokens;
    forms->list = b2_arena_alloc(arena, added->vocabulary.count, sizeof *forms->list);
    if (forms->list == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < added->vocabulary.count; i++) {
        const b2_added_token *token = added->tokens + i;

        if (token->normalized != normalized)
            continue;
        forms->list[forms->count++] = (b2_prefix){token->form, token->form_length, i};
        out->first[(unsigned char)token->form[0]] = true;
    }
    b2_prefixes_sort(forms);
    for (size_t i = 1; i < forms->count; i++)
        if (forms->list[i].length == forms->list[i - 1].length &&
            memcmp(forms->list[i].text, forms->list[i - 1].text, forms->list[i].length) == 0)
            return b2_fail(BLIP2_EFORMAT, "%s: two added tokens are \"%.40s\" when normalised",
                           fields->file, forms->list[i].text);
    return BLIP2_OK;
}

blip2_status b2_added_tokens_read(b2_added_tokens *out, b2_arena *arena, b2_fields *fields,
                                  const json_t *array, const b2_vocabulary *model,
                                  const b2_normalizers *normalizers) {
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
    for (size_t i = 0; i < out->vocabulary.count; i++) {
        single_word = single_word || out->tokens[i].single_word;
        if ((status = normalize_token(out->tokens + i, arena, fields, normalizers)) < 0)
            return status;
    }
    if ((status = make_set(&out->raw, arena, fields, out, false)) < 0 ||
        (status = make_set(&out->normalized, arena, fields, out, true)) < 0)
        return status;
    return single_word ? b2_regex_compile(&out->word, word_pattern) : BLIP2_OK;
}

void b2_added_tokens_free(b2_added_tokens *added) {
    b2_regex_free(&added->word);
}

/* ---- matching ---------------------------------------------------------------------------- */

/* The longest token that text ([left]) starts with. */
static const b2_added_token *longest_at(const b2_added_set *set, const char *text, size_t left) {
    b2_prefix_walk walk = b2_prefix_start(&set->forms);
    const b2_prefix *best = NULL;

    while (walk.depth < left && walk.low < walk.high) {
        const b2_prefix *found = b2_prefix_step(&walk, text[walk.depth]);

        if (found != NULL)
            best = found;
    }
    return best != NULL ? set->tokens + best->index : NULL;
}

/* Start of the white space that ends at `end`, looking back to `floor` at most. */
static size_t spaces_start(const char *text, size_t floor, size_t end) {
    while (end > floor && b2_unicode_is_space(b2_utf8_decode(text + b2_utf8_step_back(text, end))))
        end = b2_utf8_step_back(text, end);
    return end;
}

static size_t spaces_end(const char *text, size_t length, size_t start) {
    while (start < length && b2_unicode_is_space(b2_utf8_decode(text + start)))
        start += (size_t)b2_utf8_scan(text + start, length - start);
    return start;
}

/* Does no word character touch text[start, end)? */
static blip2_status stands_alone(const b2_matcher *word, const char *text, size_t length,
                                 size_t start, size_t end, bool *out) {
    size_t before = 0, after = 0;
    blip2_status status = BLIP2_OK;

    if (start > 0)
        status = b2_matcher_at(word, text, length, b2_utf8_step_back(text, start), &before);
    if (status == BLIP2_OK && end < length)
        status = b2_matcher_at(word, text, length, end, &after);
    *out = before == 0 && after == 0;
    return status;
}

blip2_status b2_added_find(const b2_added_set *set, const b2_matcher *word, const char *text,
                           size_t length, b2_added_match *match) {
    size_t taken = match->end; /* by the token before this one */

    match->token = NULL;
    if (set->forms.count == 0)
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
        end = at + token->form_length;
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
