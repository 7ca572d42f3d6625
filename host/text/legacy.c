#include "text/legacy.h"

#include <string.h>

#include "base/text_buffer.h"
#include "load/json.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

/* bert-base-uncased, less its tokens. */
static const char bert[] =
    "{\"added_tokens\": [], \"normalizer\": {\"type\": \"BertNormalizer\"},"
    "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},"
    "\"post_processor\": {\"type\": \"BertProcessing\", \"cls\": [\"[CLS]\"], \"sep\": "
    "[\"[SEP]\"]},"
    "\"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true},"
    "\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "
    "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100, \"vocab\": {}}}";

/* Enter text [length] as token number `id`. line: memory reused from call to call. */
static blip2_status read_line(json_t *vocabulary, const char *text, size_t length, json_int_t id,
                              const char *name, b2_text_buffer *line) {
    b2_text_clear(line);
    b2_text_append(line, text, length);
    if (line->failed)
        return b2_fail_memory();
    if (id > B2_LARGEST_ID || strlen(line->data) < length || b2_utf8_valid(text, length) < length)
        return b2_fail(BLIP2_EFORMAT, "%s: line %lld is no token", name, (long long)id + 1);
    if (json_object_get(vocabulary, line->data) != NULL)
        return b2_fail(BLIP2_EFORMAT, "%s: line %lld: token \"%.40s\" was there before", name,
                       (long long)id + 1, line->data);
    if (json_object_set_new(vocabulary, line->data, json_integer(id)) != 0)
        return b2_fail_memory();
    return BLIP2_OK;
}

/* Each line's token with its number. */
static blip2_status read_lines(json_t *vocabulary, const char *text, size_t size,
                               const char *name) {
    b2_text_buffer line = {0};
    json_int_t id = 0;
    blip2_status status = BLIP2_OK;

    for (size_t at = 0, end; at < size && status == BLIP2_OK; at = end + 1, id++) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t length;

        end = newline != NULL ? (size_t)(newline - text) : size;
        length = end - at;
        if (length > 0 && text[end - 1] == '\r') /* a file that went through Windows */
            length--;
        status = read_line(vocabulary, text + at, length, id, name, &line);
    }
    b2_text_free(&line);
    return status;
}

static blip2_status add_special(json_t *root, const char *text) {
    json_t *token = json_pack("{s:s, s:b, s:b}", "content", text, "special", 1, "normalized", 0);

    if (json_array_append_new(json_object_get(root, "added_tokens"), token) != 0)
        return b2_fail_memory();
    return BLIP2_OK;
}

/* The id of a token as the second item of post_processor.<key>. */
static blip2_status add_id(json_t *root, const char *key, const json_t *vocabulary,
                           const char *token, const char *name) {
    json_t *id = json_object_get(vocabulary, token);
    json_t *pair = json_object_get(json_object_get(root, "post_processor"), key);

    if (id == NULL)
        return b2_fail(BLIP2_EFORMAT, "%s: no token %s", name, token);
    return json_array_append(pair, id) == 0 ? BLIP2_OK : b2_fail_memory();
}

blip2_status b2_bert_vocabulary(json_t **out, const char *text, size_t size, const char *name) {
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    json_t *root = NULL, *vocabulary;
    blip2_status status;

    *out = NULL;
    if ((status = b2_json_parse(&root, bert, sizeof bert - 1, name)) < 0)
        return status;
    vocabulary = json_object_get(json_object_get(root, "model"), "vocab");
    if ((status = read_lines(vocabulary, text, size, name)) < 0 ||
        (status = add_id(root, "cls", vocabulary, "[CLS]", name)) < 0 ||
        (status = add_id(root, "sep", vocabulary, "[SEP]", name)) < 0)
        goto out;
    for (size_t i = 0; i < sizeof special / sizeof *special && status == BLIP2_OK; i++)
        if (json_object_get(vocabulary, special[i]) != NULL)
            status = add_special(root, special[i]);
    if (status == BLIP2_OK)
        status = add_special(root, "[DEC]");
out:
    if (status == BLIP2_OK)
        *out = root;
    else
        json_decref(root);
    return status;
}
