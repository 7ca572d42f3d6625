#include "text/utf8.h"

/* Bytes of a character that starts with `lead`, and what its second byte may be (Unicode, table
 * 3-7: this keeps out overlong forms, surrogates and what lies past U+10FFFF). 0: no lead byte. */
static int lead_length(unsigned char lead, unsigned char *low, unsigned char *high) {
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2)
        return 0;
    if (lead < 0xE0)
        return 2;
    if (lead < 0xF0) {
        if (lead == 0xE0)
            *low = 0xA0;
        else if (lead == 0xED)
            *high = 0x9F;
        return 3;
    }
    if (lead == 0xF0)
        *low = 0x90;
    else if (lead == 0xF4)
        *high = 0x8F;
    return lead < 0xF5 ? 4 : 0;
}

int b2_utf8_scan(const char *text, size_t size) {
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char low, high;
    int length = lead_length(bytes[0], &low, &high);

    if (length == 0)
        return -1;
    for (int i = 1; i < length; i++) {
        if ((size_t)i == size)
            return 0;
        if (bytes[i] < low || bytes[i] > high)
            return -i;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

size_t b2_utf8_count(const char *text, size_t size) {
    size_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += !b2_utf8_goes_on(text[i]);
    return count;
}

uint32_t b2_utf8_decode(const char *text) {
    const unsigned char *b = (const unsigned char *)text;

    if (b[0] < 0x80)
        return b[0];
    if (b[0] < 0xE0)
        return (b[0] & 0x1Fu) << 6 | (b[1] & 0x3Fu);
    if (b[0] < 0xF0)
        return (b[0] & 0x0Fu) << 12 | (b[1] & 0x3Fu) << 6 | (b[2] & 0x3Fu);
    return (b[0] & 0x07u) << 18 | (b[1] & 0x3Fu) << 12 | (b[2] & 0x3Fu) << 6 | (b[3] & 0x3Fu);
}

void b2_utf8_put(b2_text_buffer *out, uint32_t code) {
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    char bytes[4];

    for (size_t i = length; i-- > 1; code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3F));
    bytes[0] = (char)(lead[length] | code);
    b2_text_append(out, bytes, length);
}

size_t b2_utf8_valid(const char *text, size_t size) {
    size_t at = 0;

    while (at < size) {
        int n = b2_utf8_scan(text + at, size - at);

        if (n <= 0)
            break;
        at += (size_t)n;
    }
    return at;
}

size_t b2_utf8_append(b2_text_buffer *out, const char *text, size_t size, bool partial) {
    size_t at = 0;

    while (at < size) {
        size_t valid = b2_utf8_valid(text + at, size - at);
        int n;

        b2_text_append(out, text + at, valid);
        at += valid;
        if (at == size)
            break;
        n = b2_utf8_scan(text + at, size - at);
        if (n == 0 && partial)
            break;
        b2_text_append(out, "\xEF\xBF\xBD", 3);
        at += n < 0 ? (size_t)-n : size - at;
    }
    return at;
}
