#include "text/normalize.h"

#include <string.h>

#include "text/unicode.h"
#include "text/utf8.h"

/* What a step writes came from the character at in->text[from]. */
static void came_from(b2_normalized *out, const b2_span *in, size_t from) {
    if (from < in->origin)
        out->origin = out->text.length;
}

static void put(b2_normalized *out, const b2_span *in, size_t from, uint32_t code) {
    b2_utf8_put(&out->text, code);
    came_from(out, in, from);
}

static void append(b2_normalized *out, const b2_span *in, size_t from, const char *text,
                   size_t length) {
    b2_text_append(&out->text, text, length);
    came_from(out, in, from);
}

/* ---- one character at a time ------------------------------------------------------------- */

static void clean(b2_normalized *out, const b2_span *in, size_t at, uint32_t code) {
    if (!b2_unicode_is_other(code))
        put(out, in, at, b2_unicode_is_space(code) ? ' ' : code);
}

/* The blocks of BERT, extension E's first 256 code points left out as there. */
static bool is_chinese(uint32_t code) {
    return (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3400 && code <= 0x4DBF) ||
           (code >= 0x20000 && code <= 0x2A6DF) || (code >= 0x2A700 && code <= 0x2B81F) ||
           (code >= 0x2B920 && code <= 0x2CEAF) || (code >= 0xF900 && code <= 0xFAFF) ||
           (code >= 0x2F800 && code <= 0x2FA1F);
}

static void space_chinese(b2_normalized *out, const b2_span *in, size_t at, uint32_t code) {
    if (is_chinese(code))
        put(out, in, at, ' ');
    put(out, in, at, code);
    if (is_chinese(code))
        put(out, in, at, ' ');
}

static void strip_mark(b2_normalized *out, const b2_span *in, size_t at, uint32_t code) {
    if (!b2_unicode_is_mark(code))
        put(out, in, at, code);
}

static void lower(b2_normalized *out, const b2_span *in, size_t at, uint32_t code) {
    uint32_t codes[2];
    size_t count = b2_unicode_lower(code, codes);

    for (size_t i = 0; i < count; i++)
        put(out, in, at, codes[i]);
}

static void each_character(b2_normalized *out, const b2_span *in,
                           void (*write)(b2_normalized *, const b2_span *, size_t, uint32_t)) {
    for (size_t at = 0; at < in->length;) {
        write(out, in, at, b2_utf8_decode(in->text + at));
        at += (size_t)b2_utf8_scan(in->text + at, in->length - at);
    }
}

/* ---- decomposition ----------------------------------------------------------------------- */

/* Bring the marks text[floor..], which follow a starter, into the order of their combining classes.
 * A hostile text is one run of marks: the time is linear, as there are some 60 classes. */
static void reorder(b2_text_buffer *text, size_t floor) {
    size_t end = text->length;
    unsigned last = 0;
    bool present[256] = {false}, ordered = true;

    for (size_t at = floor; at < end; at += (size_t)b2_utf8_scan(text->data + at, end - at)) {
        unsigned class = b2_unicode_combining(b2_utf8_decode(text->data + at));

        present[class & 255] = true;
        ordered = ordered && last <= class;
        last = class;
    }
    for (unsigned class = 0; class < 256 && !ordered; class ++) {
        size_t size;

        for (size_t at = floor; at < end && present[class] && !text->failed; at += size) {
            uint32_t code = b2_utf8_decode(text->data + at);

            size = (size_t)b2_utf8_scan(text->data + at, end - at);
            if (b2_unicode_combining(code) == class)
                b2_utf8_put(text, code);
        }
    }
    if (ordered || text->failed)
        return;
    memmove(text->data + floor, text->data + end, end - floor);
    text->length = end;
    text->data[end] = '\0';
}

static void decompose(b2_normalized *out, const b2_span *in) {
    size_t floor = 0; /* behind the last starter */

    for (size_t at = 0; at < in->length;) {
        uint32_t codes[4];
        size_t count = b2_unicode_decompose(b2_utf8_decode(in->text + at), codes);

        for (size_t i = 0; i < count && !out->text.failed; i++) {
            bool starter = b2_unicode_combining(codes[i]) == 0;

            if (starter)
                reorder(&out->text, floor);
            put(out, in, at, codes[i]);
            if (starter)
                floor = out->text.length;
        }
        at += (size_t)b2_utf8_scan(in->text + at, in->length - at);
    }
    if (!out->text.failed)
        reorder(&out->text, floor);
}

/* ---- others ------------------------------------------------------------------------------ */

static void strip(b2_normalized *out, const b2_span *in, const b2_normalizer *step) {
    size_t start = 0, end = in->length;

    while (step->left && start < end && b2_unicode_is_space(b2_utf8_decode(in->text + start)))
        start += (size_t)b2_utf8_scan(in->text + start, end - start);
    while (step->right && end > start) {
        size_t before = b2_utf8_step_back(in->text, end);

        if (!b2_unicode_is_space(b2_utf8_decode(in->text + before)))
            break;
        end = before;
    }
    b2_text_append(&out->text, in->text + start, end - start);
    out->origin = in->origin > start ? in->origin - start : 0;
}

/* Bytes at the front of text that are to be replaced; 0: none. */
static size_t matched(const b2_normalizer *step, const char *text, size_t length) {
    size_t n = step->pattern_length, end = 0;

    while (length - end >= n && memcmp(text + end, step->pattern, n) == 0) {
        end += n;
        if (!step->runs)
            return end;
    }
    return end > n ? end : 0;
}

static void replace(b2_normalized *out, const b2_span *in, const b2_normalizer *step) {
    for (size_t at = 0; at < in->length;) {
        size_t taken = matched(step, in->text + at, in->length - at);

        if (taken > 0) {
            append(out, in, at + taken - 1, step->content, step->content_length);
            at += taken;
        } else {
            size_t size = (size_t)b2_utf8_scan(in->text + at, in->length - at);

            append(out, in, at, in->text + at, size);
            at += size;
        }
    }
}

static void prepend(b2_normalized *out, const b2_span *in, const b2_normalizer *step) {
    if (in->length > 0)
        append(out, in, 0, step->content, step->content_length);
    b2_text_append(&out->text, in->text, in->length);
    if (in->origin > 0)
        out->origin = step->content_length + in->origin;
}

/* Write `to` for text[at, end) of the input. *from is the place that the library takes it to come
 * from: it counts characters, and forgets those that it removes before it has written one. */
static void map_part(b2_normalized *out, const b2_span *in, size_t at, size_t end, const char *to,
                     size_t length, size_t *from) {
    size_t old = b2_utf8_count(in->text + at, end - at), new = b2_utf8_count(to, length);

    append(out, in, *from, to, length);
    if (new > old || out->text.length > 0)
        new = old;
    for (; new > 0 && *from < in->length; new --)
        *from += (size_t)b2_utf8_scan(in->text + *from, in->length - *from);
}

/* A cluster of characters is replaced as a whole where the table has one that it starts with (what
 * else is in the cluster is lost: so does the library), otherwise character by character. */
static void map_characters(b2_normalized *out, const b2_span *in, const b2_charsmap *map) {
    size_t from = 0;

    for (size_t at = 0; at < in->length;) {
        size_t end = b2_unicode_cluster_end(in->text, in->length, at), length;
        const char *to = NULL;

        if (end - at < 6)
            to = b2_charsmap_find(map, in->text + at, end - at, &length);
        if (to != NULL) {
            map_part(out, in, at, end, to, length, &from);
            at = end;
        }
        while (at < end) {
            size_t size = (size_t)b2_utf8_scan(in->text + at, end - at);

            if ((to = b2_charsmap_find(map, in->text + at, size, &length)) == NULL) {
                to = in->text + at;
                length = size;
            }
            map_part(out, in, at, at + size, to, length, &from);
            at += size;
        }
    }
}

static void run_step(b2_normalized *out, const b2_span *in, const b2_normalizer *step) {
    switch (step->step) {
    case B2_NORMALIZE_CLEAN:
        each_character(out, in, clean);
        break;
    case B2_NORMALIZE_CHINESE:
        each_character(out, in, space_chinese);
        break;
    case B2_NORMALIZE_DECOMPOSE:
        decompose(out, in);
        break;
    case B2_NORMALIZE_STRIP_MARKS:
        each_character(out, in, strip_mark);
        break;
    case B2_NORMALIZE_LOWER:
        each_character(out, in, lower);
        break;
    case B2_NORMALIZE_STRIP:
        strip(out, in, step);
        break;
    case B2_NORMALIZE_PREPEND:
        prepend(out, in, step);
        break;
    case B2_NORMALIZE_REPLACE:
        replace(out, in, step);
        break;
    case B2_NORMALIZE_CHARSMAP:
        map_characters(out, in, step->charsmap);
        break;
    }
}

blip2_status b2_normalize(const b2_normalizers *normalizers, b2_span in, b2_normalized work[2],
                          b2_span *out) {
    for (size_t i = 0; i < normalizers->count; i++) {
        b2_normalized *to = work + i % 2;

        b2_text_clear(&to->text);
        to->origin = 0;
        run_step(to, &in, normalizers->list + i);
        if (to->text.failed)
            return b2_fail_memory();
        in = (b2_span){b2_text_data(&to->text), to->text.length, to->origin};
    }
    *out = in;
    return BLIP2_OK;
}
