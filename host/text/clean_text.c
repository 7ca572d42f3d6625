#include "text/clean_text.h"

#include <string.h>

#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

/* ---- lower case -------------------------------------------------------------------------- */

enum { SIGMA = 0x3A3, SMALL_SIGMA = 0x3C3, FINAL_SIGMA = 0x3C2 };

/* Is the sigma at text[at] the last letter of a word? Unicode's Final_Sigma: before it there is a
 * letter with case, behind it none, apart from characters that are passed over. */
static blip2_status is_final(const b2_matcher *cased, const b2_matcher *passed, const char *text,
                             size_t length, size_t at, bool *out) {
    size_t before = at, after = at + 2, pass = 1, letter = 0;
    blip2_status status = BLIP2_OK;

    while (before > 0 && pass > 0 && status == BLIP2_OK) {
        before = b2_utf8_step_back(text, before);
        status = b2_matcher_at(passed, text, length, before, &pass);
    }
    if (status == BLIP2_OK && pass == 0)
        status = b2_matcher_at(cased, text, length, before, &letter);
    *out = letter > 0;
    for (pass = 1; after < length && pass > 0 && status == BLIP2_OK;) {
        status = b2_matcher_at(passed, text, length, after, &pass);
        after = pass > 0 ? pass : after;
    }
    if (status == BLIP2_OK && after < length)
        status = b2_matcher_at(cased, text, length, after, &letter);
    *out = *out && (after == length || letter == 0);
    return status;
}

/* A text with sigmas in it, which are the one letter whose lower case depends on its place. */
static blip2_status lower_greek(const char *text, size_t length, b2_text_buffer *out) {
    b2_regex patterns[2] = {{0}};
    b2_matcher cased = {0}, passed = {0};
    blip2_status status;

    if ((status = b2_regex_compile(&patterns[0], "\\p{Cased}")) < 0 ||
        (status = b2_regex_compile(&patterns[1], "\\p{Case_Ignorable}")) < 0 ||
        (status = b2_matcher_open(&cased, &patterns[0])) < 0 ||
        (status = b2_matcher_open(&passed, &patterns[1])) < 0)
        goto out;
    for (size_t at = 0; at < length && status == BLIP2_OK;) {
        uint32_t code = b2_utf8_decode(text + at), codes[2] = {SMALL_SIGMA};
        size_t count = 1;
        bool final = false;

        if (code == SIGMA) {
            status = is_final(&cased, &passed, text, length, at, &final);
            codes[0] = final ? FINAL_SIGMA : SMALL_SIGMA;
        } else {
            count = b2_unicode_lower(code, codes);
        }
        for (size_t i = 0; i < count; i++)
            b2_utf8_put(out, codes[i]);
        at += (size_t)b2_utf8_scan(text + at, length - at);
    }
out:
    b2_matcher_close(&cased);
    b2_matcher_close(&passed);
    b2_regex_free(&patterns[0]);
    b2_regex_free(&patterns[1]);
    return status;
}

static bool has_sigma(const char *text, size_t length) {
    for (size_t i = 0; i + 1 < length; i++)
        if (memcmp(text + i, "\xCE\xA3", 2) == 0)
            return true;
    return false;
}

/* Python's str.lower. */
static blip2_status lower(const char *text, size_t length, b2_text_buffer *out) {
    b2_text_buffer valid = {0};
    blip2_status status = BLIP2_OK;

    (void)b2_utf8_append(&valid, text, length, false);
    text = b2_text_data(&valid);
    length = valid.length;
    if (valid.failed) {
        status = b2_fail_memory();
    } else if (has_sigma(text, length)) {
        status = lower_greek(text, length, out);
    } else {
        for (size_t at = 0; at < length;) {
            uint32_t codes[2];
            size_t count = b2_unicode_lower(b2_utf8_decode(text + at), codes);

            for (size_t i = 0; i < count; i++)
                b2_utf8_put(out, codes[i]);
            at += (size_t)b2_utf8_scan(text + at, length - at);
        }
    }
    b2_text_free(&valid);
    return status == BLIP2_OK && out->failed ? b2_fail_memory() : status;
}

/* ---- captions and questions -------------------------------------------------------------- */

static bool is_dropped(char c) {
    return c != '\0' && strchr(".!\"()*#:;~", c) != NULL;
}

/* \s of Python's re. */
static bool is_space(uint32_t code) {
    return b2_unicode_is_space(code) || (code >= 0x1C && code <= 0x1F);
}

/* Append text with runs of white space as one space; a single one stays what it is. */
static void append_collapsed(b2_text_buffer *out, const char *text, size_t length) {
    for (size_t at = 0; at < length;) {
        size_t end = at, count = 0;

        while (end < length && is_space(b2_utf8_decode(text + end))) {
            end += (size_t)b2_utf8_scan(text + end, length - end);
            count++;
        }
        if (count > 1) {
            b2_text_append(out, " ", 1);
        } else {
            if (count == 0)
                end += (size_t)b2_utf8_scan(text + end, length - end);
            b2_text_append(out, text + at, end - at);
        }
        at = end;
    }
}

/* The first max_words of text; words are what is between spaces. */
static size_t cut_words(const char *text, size_t length, size_t max_words) {
    size_t words = 0;

    for (size_t at = 0; at < length && max_words > 0; at++)
        if (text[at] == ' ' && ++words == max_words)
            return at;
    return max_words > 0 ? length : 0;
}

static size_t strip_end(const char *text, size_t length, char what) {
    while (length > 0 && text[length - 1] == what)
        length--;
    return length;
}

blip2_status b2_clean_caption(const char *caption, size_t length, const char *prompt,
                              size_t max_words, b2_text_buffer *out) {
    b2_text_buffer text = {0}, collapsed = {0};
    blip2_status status = lower(caption, length, &text);
    const char *start;

    for (size_t i = 0; i < text.length; i++)
        if (is_dropped(text.data[i]))
            text.data[i] = ' ';
    if (status == BLIP2_OK)
        append_collapsed(&collapsed, b2_text_data(&text), text.length);
    start = b2_text_data(&collapsed);
    length = strip_end(start, strip_end(start, collapsed.length, '\n'), ' ');
    for (; length > 0 && *start == ' '; length--)
        start++;
    b2_text_append(out, prompt, strlen(prompt));
    b2_text_append(out, start, cut_words(start, length, max_words));
    if (status == BLIP2_OK && (collapsed.failed || out->failed))
        status = b2_fail_memory();
    b2_text_free(&text);
    b2_text_free(&collapsed);
    return status;
}

blip2_status b2_clean_question(const char *question, size_t length, size_t max_words,
                               b2_text_buffer *out) {
    b2_text_buffer text = {0};
    blip2_status status = lower(question, length, &text);
    size_t kept = 0;

    for (size_t i = 0; i < text.length; i++)
        if (!is_dropped(text.data[i]))
            text.data[kept++] = text.data[i];
    kept = strip_end(b2_text_data(&text), kept, ' ');
    b2_text_append(out, b2_text_data(&text), cut_words(b2_text_data(&text), kept, max_words));
    if (status == BLIP2_OK && out->failed)
        status = b2_fail_memory();
    b2_text_free(&text);
    return status;
}

/* ---- the public calls --------------------------------------------------------------------- */

static blip2_status clean(char **out, const char *text, bool question, const char *name) {
    b2_text_buffer cleaned = {0};
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "%s: out is NULL", name);
    *out = NULL;
    if (text == NULL)
        return b2_fail(BLIP2_EINVAL, "%s: the text is NULL", name);
    status = question ? b2_clean_question(text, strlen(text), B2_CLEAN_MAX_WORDS, &cleaned)
                      : b2_clean_caption(text, strlen(text), "", B2_CLEAN_MAX_WORDS, &cleaned);
    if (status == BLIP2_OK && (*out = b2_text_take(&cleaned)) == NULL)
        status = b2_fail_memory();
    b2_text_free(&cleaned);
    return status;
}

blip2_status blip2_clean_caption(char **out, const char *caption) {
    return clean(out, caption, false, "blip2_clean_caption");
}

blip2_status blip2_clean_question(char **out, const char *question) {
    return clean(out, question, true, "blip2_clean_question");
}
