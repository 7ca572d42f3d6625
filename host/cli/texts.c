#include "texts.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"

enum { MOST_BYTES = 1 << 28 };

/* Room for one more in both lists. */
static blip2_status grow(b2_texts *texts) {
    size_t capacity = texts->capacity > 0 ? 2 * texts->capacity : 16;
    char **shown, **read;

    if (texts->count < texts->capacity)
        return BLIP2_OK;
    if ((shown = b2_realloc_array(texts->shown, capacity, sizeof *shown)) != NULL)
        texts->shown = shown;
    if ((read = b2_realloc_array(texts->read, capacity, sizeof *read)) != NULL)
        texts->read = read;
    if (shown == NULL || read == NULL)
        return b2_fail_memory();
    texts->capacity = capacity;
    return BLIP2_OK;
}

blip2_status b2_texts_add(b2_texts *texts, const char *text, size_t length, b2_clean_fn clean) {
    char *shown, *read;
    blip2_status status = grow(texts);

    if (status < 0)
        return status;
    if ((shown = b2_strndup(text, length)) == NULL)
        return b2_fail_memory();
    texts->shown[texts->count] = read = shown;
    if (clean != NULL && (status = clean(&read, shown)) < 0) {
        b2_free(shown);
        return status;
    }
    texts->read[texts->count++] = read;
    return BLIP2_OK;
}

static bool is_blank(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (strchr(" \t\r\v\f", text[i]) == NULL) /* no zero bytes here */
            return false;
    return true;
}

/* Every line of the file that is not blank; lines may end as on Windows. */
static blip2_status add_lines(b2_texts *texts, const char *path, b2_clean_fn clean) {
    uint8_t *data;
    size_t size;
    blip2_status status = b2_file_read(&data, &size, path, MOST_BYTES);
    const char *at = (const char *)data, *end;

    if (status < 0)
        return status;
    end = at + size;
    if (memchr(data, '\0', size) != NULL)
        status = b2_fail(BLIP2_EFORMAT, "%s: holds a zero byte; expected lines of text", path);
    while (at < end && status == BLIP2_OK) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((next != NULL ? next : end) - at);
        size_t kept = length > 0 && at[length - 1] == '\r' ? length - 1 : length;

        if (!is_blank(at, kept))
            status = b2_texts_add(texts, at, kept, clean);
        at += length + (next != NULL);
    }
    b2_free(data);
    return status;
}

/* Those of the list and in the file (NULL: none). what: "text", after which the options are called.
 */
static blip2_status open_texts(b2_texts *out, const b2_list *list, const char *file,
                               b2_clean_fn clean, const char *what) {
    blip2_status status = BLIP2_OK;

    *out = (b2_texts){0};
    for (size_t i = 0; i < list->count && status == BLIP2_OK; i++)
        status = b2_texts_add(out, list->texts[i], strlen(list->texts[i]), clean);
    if (file != NULL && status == BLIP2_OK)
        status = add_lines(out, file, clean);
    if (status == BLIP2_OK && out->count == 0)
        status = file != NULL ? b2_fail(BLIP2_EINVAL, "%s: no %s in it", file, what)
                              : b2_fail(BLIP2_EINVAL, "no %s given: --%s TEXT or --%ss FILE", what,
                                        what, what);
    if (status < 0)
        b2_texts_free(out);
    return status;
}

blip2_status b2_texts_open(b2_texts *out, const b2_settings *settings) {
    return open_texts(out, &settings->texts, settings->text_file,
                      settings->no_clean ? NULL : blip2_clean_caption, "text");
}

blip2_status b2_questions_open(b2_texts *out, const b2_settings *settings) {
    b2_clean_fn clean = settings->no_clean ? NULL : blip2_clean_question;
    blip2_status status =
        open_texts(out, &settings->questions, settings->question_file, clean, "question");

    for (size_t i = 0; i < out->count && status == BLIP2_OK; i++)
        if (out->read[i][strspn(out->read[i], " ")] == '\0')
            status = b2_fail(BLIP2_EINVAL, "question %zu of %zu: '%s' has no words", i + 1,
                             out->count, out->shown[i]);
    if (status < 0)
        b2_texts_free(out);
    return status;
}

void b2_texts_free(b2_texts *texts) {
    for (size_t i = 0; i < texts->count; i++) {
        if (texts->read[i] != texts->shown[i])
            b2_free(texts->read[i]);
        b2_free(texts->shown[i]);
    }
    b2_free(texts->shown);
    b2_free(texts->read);
    *texts = (b2_texts){0};
}
