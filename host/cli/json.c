#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/text_buffer.h"

json_t *b2_json_text(const char *text) {
    b2_text_buffer clean = {0};
    json_t *out = NULL;
    utf8proc_ssize_t left = (utf8proc_ssize_t)strlen(text);

    while (left > 0) {
        utf8proc_int32_t code;
        utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)text, left, &code);

        if (used > 0)
            b2_text_append(&clean, text, (size_t)used);
        else
            b2_text_append(&clean, "\xEF\xBF\xBD", 3);
        used = used > 0 ? used : 1;
        text += used;
        left -= used;
    }
    if (!clean.failed)
        out = json_stringn(b2_text_data(&clean), clean.length);
    b2_text_free(&clean);
    return out;
}

json_t *b2_json_answer(const char *path, size_t frames, const char *question, const char *prompt,
                       const char *text, size_t tokens) {
    json_t *line = json_object();
    int failed = json_object_set_new(line, "file", b2_json_text(path));

    if (frames > 0)
        failed |= json_object_set_new(line, "frames", json_integer((json_int_t)frames));
    if (question != NULL)
        failed |= json_object_set_new(line, "question", b2_json_text(question));
    failed |= json_object_set_new(line, prompt != NULL ? "answer" : "caption", b2_json_text(text));
    if (prompt != NULL)
        failed |= json_object_set_new(line, "prompt", b2_json_text(prompt));
    failed |= json_object_set_new(line, "tokens", json_integer((json_int_t)tokens));
    if (failed == 0)
        return line;
    json_decref(line);
    return NULL;
}

bool b2_json_print_line(json_t *object) {
    char *line = json_dumps(object, B2_JSON_LINE);

    json_decref(object);
    if (line == NULL)
        return false;
    (void)puts(line);
    free(line);
    return true;
}
