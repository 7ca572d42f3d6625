#include "base/text_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

static bool reserve(b2_text_buffer *buffer, size_t more) {
    size_t need, capacity;
    char *data;

    if (buffer->failed)
        return false;
    if (!b2_size_add(buffer->length, more, &need) || !b2_size_add(need, 1, &need))
        goto fail;
    if (need <= buffer->capacity)
        return true;
    if (!b2_size_mul(buffer->capacity, 2, &capacity))
        goto fail;
    capacity = b2_size_max(b2_size_max(capacity, need), 64);
    if ((data = b2_realloc_array(buffer->data, capacity, 1)) == NULL)
        goto fail;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
fail:
    buffer->failed = true;
    return false;
}

void b2_text_append(b2_text_buffer *buffer, const char *bytes, size_t length) {
    if (!reserve(buffer, length))
        return;
    if (length > 0)
        memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void b2_text_appendf(b2_text_buffer *buffer, const char *format, ...) {
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0 || !reserve(buffer, (size_t)length)) {
        buffer->failed = true;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, args);
    va_end(args);
    buffer->length += (size_t)length;
}

void b2_text_append_filled(b2_text_buffer *buffer, const char *template, const char *text) {
    const char *hole;

    for (; (hole = strstr(template, "{}")) != NULL; template = hole + 2) {
        b2_text_append(buffer, template, (size_t)(hole - template));
        b2_text_append(buffer, text, strlen(text));
    }
    b2_text_append(buffer, template, strlen(template));
}

const char *b2_text_data(const b2_text_buffer *buffer) {
    return buffer->data != NULL && !buffer->failed ? buffer->data : "";
}

char *b2_text_take(b2_text_buffer *buffer) {
    char *data;

    b2_text_append(buffer, "", 0); /* an empty text is still a string */
    if (buffer->failed) {
        b2_text_free(buffer);
        return NULL;
    }
    data = buffer->data;
    *buffer = (b2_text_buffer){0};
    return data;
}

void b2_text_clear(b2_text_buffer *buffer) {
    buffer->length = 0;
    if (buffer->data != NULL)
        buffer->data[0] = '\0';
}

void b2_text_free(b2_text_buffer *buffer) {
    b2_free(buffer->data);
    *buffer = (b2_text_buffer){0};
}
