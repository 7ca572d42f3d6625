/* The "model" object of type BPE: merges in either notation, options. */
#include <string.h>

#include "base/text_buffer.h"
#include "load/json.h"
#include "text/bpe.h"
#include "text/byte_tokens.h"
#include "text/utf8.h"

static bool is_null(const json_t *json) {
    return json == NULL || json_is_null(json);
}

static blip2_status read_options(b2_bpe *out, b2_fields *fields, const json_t *model,
                                 bool *byte_fallback) {
    const json_t *dropout = json_object_get(model, "dropout");
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};

    b2_field_bool(fields, model, "fuse_unk", &out->fuse_unk);
    b2_field_bool(fields, model, "ignore_merges", &out->ignore_merges);
    b2_field_bool(fields, model, "byte_fallback", byte_fallback);
    for (size_t i = 0; i < 2; i++) {
        const json_t *affix = json_object_get(model, affixes[i]);

        if (!is_null(affix) && !json_is_string(affix))
            b2_field_fail(fields, affixes[i], "a text or null", affix);
    }
    if (!is_null(dropout) && !json_is_number(dropout))
        b2_field_fail(fields, "dropout", "a number or null", dropout);
    if (fields->status < 0)
        return fields->status;
    for (size_t i = 0; i < 2; i++)
        if (json_string_length(json_object_get(model, affixes[i])) > 0)
            return b2_fail(BLIP2_ENOTSUP, "%s: BPE with a %s is not supported", fields->file,
                           affixes[i]);
    if (json_number_value(dropout) != 0)
        return b2_fail(BLIP2_ENOTSUP, "%s: BPE with dropout is not supported", fields->file);
    return BLIP2_OK;
}

static void fill_direct(b2_bpe *bpe) {
    for (size_t i = 0; i < B2_BPE_DIRECT; i++)
        bpe->direct[i] = -1;
    for (size_t i = 0; i < bpe->vocabulary->count; i++) {
        const b2_entry *entry = bpe->vocabulary->entries + i;
        bool one =
            entry->length > 0 && (size_t)b2_utf8_scan(entry->text, entry->length) == entry->length;

        if (one && b2_utf8_decode(entry->text) < B2_BPE_DIRECT)
            bpe->direct[b2_utf8_decode(entry->text)] = entry->id;
    }
}

typedef struct b2_part {
    const char *text; /* [length] */
    size_t length;
} b2_part;

/* The two parts of a merge: ["a", "b"], or "a b" with exactly one space. */
static bool merge_parts(const json_t *merge, b2_part *left, b2_part *right) {
    const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
    const char *space;

    if (json_is_array(merge)) {
        *left = (b2_part){json_string_value(a), json_string_length(a)};
        *right = (b2_part){json_string_value(b), json_string_length(b)};
        return json_array_size(merge) == 2 && left->text != NULL && right->text != NULL;
    }
    if (!json_is_string(merge))
        return false;
    left->text = json_string_value(merge);
    if ((space = strchr(left->text, ' ')) == NULL || strchr(space + 1, ' ') != NULL)
        return false;
    left->length = (size_t)(space - left->text);
    *right = (b2_part){space + 1, strlen(space + 1)};
    return true;
}

static blip2_status unknown_merge(const b2_fields *fields, size_t index, const char *text,
                                  size_t length) {
    return b2_fail(BLIP2_EFORMAT, "%s: %smerges[%zu]: \"%.*s\" is no token of the vocabulary",
                   fields->file, fields->section, index, (int)(length < 40 ? length : 40), text);
}

/* Enter merge number `index`, which is its rank. `joined`: memory reused from call to call. */
static blip2_status read_merge(b2_bpe *out, b2_fields *fields, const json_t *merge, size_t index,
                               b2_text_buffer *joined) {
    b2_part left, right;
    const b2_entry *a, *b, *both;

    if (!merge_parts(merge, &left, &right)) {
        char got[64];

        b2_json_describe(merge, got, sizeof got);
        return b2_fail(BLIP2_EFORMAT,
                       "%s: %smerges[%zu]: expected \"a b\" or [\"a\", \"b\"], got %s",
                       fields->file, fields->section, index, got);
    }
    b2_text_clear(joined);
    b2_text_append(joined, left.text, left.length);
    b2_text_append(joined, right.text, right.length);
    if (joined->failed)
        return b2_fail_memory();
    if ((a = b2_vocabulary_find(out->vocabulary, left.text, left.length)) == NULL)
        return unknown_merge(fields, index, left.text, left.length);
    if ((b = b2_vocabulary_find(out->vocabulary, right.text, right.length)) == NULL)
        return unknown_merge(fields, index, right.text, right.length);
    if ((both = b2_vocabulary_find(out->vocabulary, joined->data, joined->length)) == NULL)
        return unknown_merge(fields, index, joined->data, joined->length);
    /* A pair that is listed twice has its last rank, as in the library. */
    *b2_bpe_merge_slot(out, a->id, b->id) = (b2_merge){a->id, b->id, (uint32_t)index, both->id};
    return BLIP2_OK;
}

static blip2_status read_merges(b2_bpe *out, b2_arena *arena, b2_fields *fields,
                                const json_t *model) {
    const json_t *merges = json_object_get(model, "merges");
    size_t slots = 4, count = json_array_size(merges);
    b2_text_buffer joined = {0};
    blip2_status status = BLIP2_OK;

    if (!json_is_array(merges) || count > UINT32_MAX / 4) {
        b2_field_fail(fields, "merges", "an array of merges", merges);
        return fields->status;
    }
    while (slots < count * 2)
        slots *= 2;
    out->mask = (uint32_t)slots - 1;
    if ((out->merges = b2_arena_alloc(arena, slots, sizeof *out->merges)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < slots; i++)
        out->merges[i].id = -1;
    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        const json_t *merge = json_array_get(merges, i);
        const char *text = json_string_value(merge);

        /* The first line of a merges.txt, which the library skips wherever it comes. */
        if (text != NULL && strncmp(text, "#version", 8) == 0)
            continue;
        status = read_merge(out, fields, merge, i, &joined);
    }
    b2_text_free(&joined);
    return status;
}

static blip2_status read_unk(b2_bpe *out, b2_fields *fields, const json_t *model) {
    const json_t *unk = json_object_get(model, "unk_token");
    const b2_entry *entry = NULL;

    out->unk = -1;
    if (is_null(unk))
        return BLIP2_OK;
    if (json_is_string(unk))
        entry =
            b2_vocabulary_find(out->vocabulary, json_string_value(unk), json_string_length(unk));
    if (entry == NULL)
        b2_field_fail(fields, "unk_token", "a token of the vocabulary or null", unk);
    else
        out->unk = entry->id;
    return fields->status;
}

blip2_status b2_bpe_read(b2_bpe *out, b2_vocabulary *vocabulary, b2_arena *arena, b2_fields *fields,
                         const json_t *model) {
    bool byte_fallback = false;
    blip2_status status;

    out->vocabulary = vocabulary;
    if ((status = read_options(out, fields, model, &byte_fallback)) < 0 ||
        (status = b2_vocabulary_read(vocabulary, arena, fields, model)) < 0 ||
        (status = read_merges(out, arena, fields, model)) < 0 ||
        (status = read_unk(out, fields, model)) < 0)
        return status;
    fill_direct(out);
    b2_byte_tokens(vocabulary, byte_fallback, out->bytes);
    return BLIP2_OK;
}
