/* Encoding: added tokens are cut out of the text, what is left of it is normalised, the added
 * tokens that are looked for in normalised text are cut out, the rest is cut into pieces, the
 * pieces are encoded by the model, and the post-processor's tokens go around it all. */
#include "text/tokenizer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "text/parts.h"
#include "text/utf8.h"

/* Longest text: the byte-level form of one piece must have less than INT32_MAX characters. */
enum { LONGEST_TEXT = 1 << 29 };

/* What one call of encode works with. */
typedef struct b2_encoder {
    const b2_tokenizer *tokenizer;
    b2_matcher split, word; /* of the pre-tokenisers and of the added tokens, where they have one */
    b2_normalized normalized[2];
    b2_pieces pieces[2]; /* a pre-tokeniser reads one and writes the other */
    b2_text_buffer spaced;
    b2_model_scratch model;
    b2_tokens *out;
} b2_encoder;

blip2_status b2_tokens_append(b2_tokens *tokens, int32_t id) {
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity > 0 ? tokens->capacity * 2 : 64;
        int32_t *ids = b2_realloc_array(tokens->ids, capacity, sizeof *ids);

        if (ids == NULL)
            return b2_fail_memory();
        tokens->ids = ids;
        tokens->capacity = capacity;
    }
    tokens->ids[tokens->count++] = id;
    return BLIP2_OK;
}

void b2_tokens_free(b2_tokens *tokens) {
    b2_free(tokens->ids);
    *tokens = (b2_tokens){0};
}

/* Text without added tokens: pre-tokenisers and model. */
static blip2_status encode_plain(b2_encoder *encoder, b2_span text) {
    const b2_tokenizer *tokenizer = encoder->tokenizer;
    b2_pieces *now = &encoder->pieces[0], *next = &encoder->pieces[1];
    blip2_status status;
    size_t start = 0;

    if (text.length > LONGEST_TEXT)
        return b2_fail(BLIP2_EINVAL, "text of %zu bytes when normalised; at most %d can be encoded",
                       text.length, (int)LONGEST_TEXT);
    b2_pieces_clear(now);
    status = b2_pieces_append(now, text.text, text.length);
    now->origin = text.origin;
    for (size_t i = 0; i < tokenizer->pretokenizers.count && status == BLIP2_OK; i++) {
        b2_pieces *done = now;

        b2_pieces_clear(next);
        status = b2_pretokenize(tokenizer->pretokenizers.list + i, &encoder->split, now,
                                &encoder->spaced, next);
        now = next;
        next = done;
    }
    for (size_t i = 0; i < now->count && status == BLIP2_OK; start = now->ends[i++])
        status = b2_model_encode(&tokenizer->model, &encoder->model, now->text.data + start,
                                 now->ends[i] - start, encoder->out);
    return status;
}

/* Added tokens of one set, and what lies between them by way of `between`. */
typedef blip2_status (*between_fn)(b2_encoder *encoder, b2_span text);

static b2_span part_of(b2_span text, size_t start, size_t end) {
    return (b2_span){text.text + start, end - start,
                     text.origin > start ? b2_size_min(text.origin, end) - start : 0};
}

static blip2_status cut_out(b2_encoder *encoder, const b2_added_set *set, b2_span text,
                            between_fn between) {
    b2_added_match match = {0};
    size_t done = 0;
    blip2_status status;

    for (;;) {
        status = b2_added_find(set, &encoder->word, text.text, text.length, &match);
        if (status < 0 || match.token == NULL)
            break;
        if (done < match.start)
            status = between(encoder, part_of(text, done, match.start));
        if (status == BLIP2_OK)
            status = b2_tokens_append(encoder->out, match.token->entry->id);
        if (status < 0)
            break;
        done = match.end;
    }
    if (status == BLIP2_OK && done < text.length)
        status = between(encoder, part_of(text, done, text.length));
    return status;
}

static blip2_status encode_normalized(b2_encoder *encoder, b2_span text) {
    blip2_status status =
        b2_normalize(&encoder->tokenizer->normalizers, text, encoder->normalized, &text);

    if (status < 0)
        return status;
    return cut_out(encoder, &encoder->tokenizer->added.normalized, text, encode_plain);
}

static blip2_status encode_text(b2_encoder *encoder, const char *text, size_t length) {
    b2_span all = {text, length, length > 0 ? (size_t)b2_utf8_scan(text, length) : 0};

    return cut_out(encoder, &encoder->tokenizer->added.raw, all, encode_normalized);
}

/* The template around the ids of the text. */
static blip2_status encode_template(b2_encoder *encoder, const char *text, size_t length,
                                    bool add_special) {
    const b2_template *template = &encoder->tokenizer->template;
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < template->count && status == BLIP2_OK; i++) {
        if (template->items[i] == B2_TEMPLATE_TEXT)
            status = encode_text(encoder, text, length);
        else if (add_special)
            status = b2_tokens_append(encoder->out, template->items[i]);
    }
    return status;
}

blip2_status b2_tokenizer_encode(const b2_tokenizer *tokenizer, const char *text, size_t length,
                                 bool add_special, b2_tokens *out) {
    b2_encoder encoder = {.tokenizer = tokenizer, .out = out};
    b2_text_buffer valid = {0};
    size_t count = out->count;
    blip2_status status = BLIP2_OK;

    if (length > LONGEST_TEXT)
        return b2_fail(BLIP2_EINVAL, "text of %zu bytes; at most %d can be encoded", length,
                       (int)LONGEST_TEXT);
    if (b2_utf8_valid(text, length) < length) {
        (void)b2_utf8_append(&valid, text, length, false);
        text = b2_text_data(&valid);
        length = valid.length;
        if (valid.failed)
            status = b2_fail_memory();
    }
    if (status == BLIP2_OK && tokenizer->pretokenizers.word.code != NULL)
        status = b2_matcher_open(&encoder.split, &tokenizer->pretokenizers.word);
    if (status == BLIP2_OK && tokenizer->added.word.code != NULL)
        status = b2_matcher_open(&encoder.word, &tokenizer->added.word);
    if (status == BLIP2_OK)
        status = encode_template(&encoder, text, length, add_special);
    if (status < 0)
        out->count = count;
    b2_matcher_close(&encoder.split);
    b2_matcher_close(&encoder.word);
    b2_text_free(&encoder.normalized[0].text);
    b2_text_free(&encoder.normalized[1].text);
    b2_pieces_free(&encoder.pieces[0]);
    b2_pieces_free(&encoder.pieces[1]);
    b2_text_free(&encoder.spaced);
    b2_model_scratch_free(&encoder.model);
    b2_text_free(&valid);
    return status;
}

void b2_tokenizer_begin_with(b2_tokenizer *tokenizer, int32_t id) {
    if (tokenizer->template.items[0] != B2_TEMPLATE_TEXT)
        tokenizer->template.items[0] = id;
}

void b2_tokenizer_keep_characters(b2_tokenizer *tokenizer) {
    tokenizer->keeps_characters = true;
}

size_t b2_tokenizer_vocab(const b2_tokenizer *tokenizer) {
    return tokenizer->vocab;
}

int32_t b2_tokenizer_find(const b2_tokenizer *tokenizer, const char *token) {
    size_t length = strlen(token);
    const b2_entry *entry = b2_vocabulary_find(&tokenizer->added.vocabulary, token, length);

    if (entry == NULL)
        entry = b2_vocabulary_find(&tokenizer->model.vocabulary, token, length);
    return entry != NULL ? entry->id : -1;
}

bool b2_tokenizer_is_special(const b2_tokenizer *tokenizer, int32_t id) {
    return id >= 0 && (size_t)id < tokenizer->vocab && tokenizer->decoded[id].special;
}
