#include "text/regex.h"

#include "base/alloc.h"

static void *allocate(PCRE2_SIZE size, void *payload) {
    (void)payload;
    return b2_alloc(size);
}

static void release(void *block, void *payload) {
    (void)payload;
    b2_free(block);
}

blip2_status b2_regex_compile(b2_regex *out, const char *pattern) {
    pcre2_compile_context *context = NULL;
    blip2_status status = BLIP2_OK;
    int error = 0;
    PCRE2_SIZE offset = 0;

    *out = (b2_regex){0};
    if ((out->memory = pcre2_general_context_create(allocate, release, NULL)) == NULL ||
        (context = pcre2_compile_context_create(out->memory)) == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    out->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                              PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, context);
    if (out->code == NULL && error == PCRE2_ERROR_HEAP_FAILED)
        status = b2_fail_memory();
    else if (out->code == NULL)
        status = b2_fail(BLIP2_EINTERNAL, "PCRE2 error %d at byte %zu of a built-in pattern", error,
                         (size_t)offset);
out:
    pcre2_compile_context_free(context);
    if (status != BLIP2_OK)
        b2_regex_free(out);
    return status;
}

void b2_regex_free(b2_regex *regex) {
    pcre2_code_free(regex->code);
    pcre2_general_context_free(regex->memory);
    *regex = (b2_regex){0};
}

blip2_status b2_matcher_open(b2_matcher *out, const b2_regex *regex) {
    out->regex = regex;
    out->data = pcre2_match_data_create_from_pattern(regex->code, regex->memory);
    return out->data != NULL ? BLIP2_OK : b2_fail_memory();
}

void b2_matcher_close(b2_matcher *matcher) {
    pcre2_match_data_free(matcher->data);
    *matcher = (b2_matcher){0};
}

blip2_status b2_matcher_at(const b2_matcher *matcher, const char *text, size_t length, size_t start,
                           size_t *end) {
    /* The text is known to be valid: checking it again for each word would be quadratic. */
    int rc = pcre2_match(matcher->regex->code, (PCRE2_SPTR)text, length, start, PCRE2_NO_UTF_CHECK,
                         matcher->data, NULL);

    *end = 0;
    if (rc == PCRE2_ERROR_NOMATCH)
        return BLIP2_OK;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return b2_fail_memory();
    if (rc < 0)
        return b2_fail(BLIP2_EINTERNAL, "PCRE2 error %d while splitting a text", rc);
    *end = pcre2_get_ovector_pointer(matcher->data)[1];
    return BLIP2_OK;
}
