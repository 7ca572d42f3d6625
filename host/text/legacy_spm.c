/* SentencePiece models as tokenizer.json values. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text_buffer.h"
#include "load/json.h"
#include "text/charsmap.h"
#include "text/legacy.h"
#include "text/spm.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

static const char t5[] =
    "{\"added_tokens\": [], \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": ["
    "  {\"type\": \"Replace\", \"pattern\": {\"Regex\": \" {2,}\"}, \"content\": \" \"}]},"
    "\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"\xE2\x96\x81\"},"
    "\"post_processor\": {\"type\": \"TemplateProcessing\","
    "  \"single\": [{\"Sequence\": {\"id\": \"A\"}}, {\"SpecialToken\": {\"id\": \"</s>\"}}],"
    "  \"special_tokens\": {\"</s>\": {\"ids\": []}}},"
    "\"decoder\": {\"type\": \"Metaspace\", \"replacement\": \"\xE2\x96\x81\"},"
    "\"model\": {\"type\": \"Unigram\", \"vocab\": []}}";

static const char llama[] =
    "{\"added_tokens\": [], \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": ["
    "  {\"type\": \"Prepend\", \"prepend\": \"\xE2\x96\x81\"},"
    "  {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\xE2\x96\x81\"}]},"
    "\"post_processor\": {\"type\": \"TemplateProcessing\","
    "  \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}, {\"Sequence\": {\"id\": \"A\"}}],"
    "  \"special_tokens\": {\"<s>\": {\"ids\": []}}},"
    "\"decoder\": {\"type\": \"Sequence\", \"decoders\": ["
    "  {\"type\": \"Replace\", \"pattern\": {\"String\": \"\xE2\x96\x81\"}, \"content\": \" \"},"
    "  {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"},"
    "  {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]},"
    "\"model\": {\"type\": \"BPE\", \"fuse_unk\": true, \"byte_fallback\": true, \"vocab\": {},"
    "  \"merges\": []}}";

enum { EXTRA_IDS = 100 };

static blip2_status checked(int failed) {
    return failed == 0 ? BLIP2_OK : b2_fail_memory();
}

/* Control pieces are special, so is the unknown one; user-defined ones are only cut out. */
static blip2_status add_tokens(json_t *root, const b2_spm *spm) {
    json_t *added = json_object_get(root, "added_tokens");
    int failed = 0;

    for (size_t i = 0; i < spm->count && failed == 0; i++) {
        const b2_spm_piece *piece = spm->pieces + i;

        if (piece->type >= B2_SPM_UNKNOWN && piece->type <= B2_SPM_USER_DEFINED)
            failed = json_array_append_new(
                added, json_pack("{s:s, s:b, s:b}", "content", piece->text, "special",
                                 piece->type != B2_SPM_USER_DEFINED, "normalized", 0));
    }
    return checked(failed);
}

/* The id of the template's special token. */
static blip2_status add_template(json_t *root, const b2_spm *spm, const char *text,
                                 const char *name) {
    json_t *tokens = json_object_get(json_object_get(root, "post_processor"), "special_tokens");
    json_t *ids = json_object_get(json_object_get(tokens, text), "ids");

    for (size_t i = 0; i < spm->count; i++)
        if (strcmp(spm->pieces[i].text, text) == 0)
            return checked(json_array_append_new(ids, json_integer((json_int_t)i)));
    return b2_fail(BLIP2_EFORMAT, "%s: no piece %s", name, text);
}

/* ---- Unigram ----------------------------------------------------------------------------- */

static void append_base64(b2_text_buffer *out, const uint8_t *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t three = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
                        left > 1 ? digits[three >> 6 & 63] : '=',
                        left > 2 ? digits[three & 63] : '='};

        b2_text_append(out, four, 4);
    }
}

static blip2_status add_charsmap(json_t *root, const b2_spm *spm) {
    json_t *list = json_object_get(json_object_get(root, "normalizer"), "normalizers");
    b2_text_buffer base64 = {0};
    int failed;

    if (spm->charsmap == NULL)
        return BLIP2_OK;
    append_base64(&base64, spm->charsmap, spm->charsmap_size);
    failed = base64.failed ||
             json_array_insert_new(list, 0,
                                   json_pack("{s:s, s:s}", "type", "Precompiled",
                                             "precompiled_charsmap", b2_text_data(&base64)));
    b2_text_free(&base64);
    return checked(failed);
}

static blip2_status build_t5(json_t *root, const b2_spm *spm, const char *name) {
    json_t *model = json_object_get(root, "model"), *vocabulary = json_object_get(model, "vocab");
    int failed = json_object_set_new(model, "unk_id", json_integer((json_int_t)spm->unk_id));
    blip2_status status;

    for (size_t i = 0; i < spm->count && failed == 0; i++)
        failed = json_array_append_new(
            vocabulary, json_pack("[s, f]", spm->pieces[i].text, (double)spm->pieces[i].score));
    if (failed != 0)
        return b2_fail_memory();
    if ((status = add_charsmap(root, spm)) < 0 || (status = add_tokens(root, spm)) < 0)
        return status;
    for (int i = EXTRA_IDS - 1; i >= 0 && failed == 0; i--) {
        json_t *text = json_sprintf("<extra_id_%d>", i);

        failed = json_array_append_new(vocabulary, json_pack("[O, f]", text, 0.0)) ||
                 json_array_append_new(
                     json_object_get(root, "added_tokens"),
                     json_pack("{s:O, s:b, s:b}", "content", text, "special", 1, "normalized", 0));
        json_decref(text);
    }
    return failed != 0 ? b2_fail_memory() : add_template(root, spm, "</s>", name);
}

/* ---- BPE --------------------------------------------------------------------------------- */

/* Two pieces that make a third. */
typedef struct b2_spm_merge {
    float score;                 /* of the third piece */
    uint32_t piece, left, right; /* ids */
} b2_spm_merge;

typedef struct b2_spm_merges {
    b2_spm_merge *list; /* [count] */
    size_t count, capacity;
} b2_spm_merges;

static blip2_status append_merge(b2_spm_merges *merges, b2_spm_merge merge) {
    if (merges->count == merges->capacity) {
        size_t capacity = merges->capacity > 0 ? merges->capacity * 2 : 1024;
        b2_spm_merge *list = b2_realloc_array(merges->list, capacity, sizeof *list);

        if (list == NULL)
            return b2_fail_memory();
        merges->list = list;
        merges->capacity = capacity;
    }
    merges->list[merges->count++] = merge;
    return BLIP2_OK;
}

/* All ways to make each piece of two others. */
static blip2_status find_merges(b2_spm_merges *out, const b2_spm *spm,
                                const b2_vocabulary *pieces) {
    blip2_status status = BLIP2_OK;

    for (uint32_t i = 0; i < spm->count; i++) {
        const char *text = spm->pieces[i].text;
        size_t length = spm->pieces[i].length;

        for (size_t at = 1; at < length && status == BLIP2_OK; at++) {
            const b2_entry *left, *right;

            if (b2_utf8_goes_on(text[at]) ||
                (left = b2_vocabulary_find(pieces, text, at)) == NULL ||
                (right = b2_vocabulary_find(pieces, text + at, length - at)) == NULL)
                continue;
            status = append_merge(out, (b2_spm_merge){spm->pieces[i].score, i, (uint32_t)left->id,
                                                      (uint32_t)right->id});
        }
    }
    return status;
}

/* Those of a better piece before those of another. */
static int by_score(const void *a, const void *b) {
    const b2_spm_merge *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->piece != y->piece)
        return x->piece < y->piece ? -1 : 1;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

static blip2_status write_merges(json_t *out, const b2_spm *spm, b2_spm_merges *merges) {
    int failed = 0;

    if (merges->count > 0)
        qsort(merges->list, merges->count, sizeof *merges->list, by_score);
    for (size_t i = 0; i < merges->count && failed == 0; i++)
        failed =
            json_array_append_new(out, json_pack("[s, s]", spm->pieces[merges->list[i].left].text,
                                                 spm->pieces[merges->list[i].right].text));
    return checked(failed);
}

static blip2_status build_llama(json_t *root, const b2_spm *spm, const char *name) {
    json_t *model = json_object_get(root, "model"), *vocabulary = json_object_get(model, "vocab");
    b2_arena arena = {0};
    b2_vocabulary pieces;
    b2_spm_merges merges = {0};
    blip2_status status = b2_vocabulary_init(&pieces, &arena, spm->count);

    for (size_t i = 0; i < spm->count && status == BLIP2_OK; i++) {
        const b2_spm_piece *piece = spm->pieces + i;

        if (b2_vocabulary_find(&pieces, piece->text, piece->length) != NULL)
            status =
                b2_fail(BLIP2_EFORMAT, "%s: piece \"%.40s\" is there twice", name, piece->text);
        else if (b2_vocabulary_insert(&pieces, &arena, piece->text, piece->length, (int32_t)i) ==
                     NULL ||
                 json_object_set_new(vocabulary, piece->text, json_integer((json_int_t)i)) != 0)
            status = b2_fail_memory();
    }
    if (status == BLIP2_OK && spm->unk_id < spm->count)
        status = checked(
            json_object_set_new(model, "unk_token", json_string(spm->pieces[spm->unk_id].text)));
    if (status == BLIP2_OK)
        status = find_merges(&merges, spm, &pieces);
    if (status == BLIP2_OK)
        status = write_merges(json_object_get(model, "merges"), spm, &merges);
    if (status == BLIP2_OK)
        status = add_tokens(root, spm);
    if (status == BLIP2_OK)
        status = add_template(root, spm, "<s>", name);
    b2_free(merges.list);
    b2_arena_free(&arena);
    return status;
}

blip2_status b2_spm_vocabulary(json_t **out, const char *bytes, size_t size, const char *name) {
    b2_arena arena = {0};
    b2_spm spm;
    json_t *root = NULL;
    blip2_status status = b2_spm_parse(&spm, &arena, (const uint8_t *)bytes, size, name);

    *out = NULL;
    if (status == BLIP2_OK && spm.model_type == B2_SPM_UNIGRAM) {
        if ((status = b2_json_parse(&root, t5, sizeof t5 - 1, name)) == BLIP2_OK)
            status = build_t5(root, &spm, name);
    } else if (status == BLIP2_OK && spm.model_type == B2_SPM_BPE) {
        if ((status = b2_json_parse(&root, llama, sizeof llama - 1, name)) == BLIP2_OK)
            status = build_llama(root, &spm, name);
    } else if (status == BLIP2_OK) {
        status = b2_fail(BLIP2_ENOTSUP, "%s: SentencePiece model of type %llu is not supported",
                         name, (unsigned long long)spm.model_type);
    }
    if (status == BLIP2_OK)
        *out = root;
    else
        json_decref(root);
    b2_arena_free(&arena);
    return status;
}
