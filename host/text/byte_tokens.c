#include "text/byte_tokens.h"

#include <stdio.h>
#include <string.h>

void b2_byte_tokens(const b2_vocabulary *vocabulary, bool wanted, int32_t out[256]) {
    for (unsigned byte = 0; byte < 256; byte++) {
        const b2_entry *entry = NULL;
        char text[8];

        (void)snprintf(text, sizeof text, "<0x%02X>", byte);
        if (wanted)
            entry = b2_vocabulary_find(vocabulary, text, 6);
        out[byte] = entry != NULL ? entry->id : -1;
    }
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int b2_byte_of_token(const char *text, size_t length) {
    int high, low;

    if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    high = text[3] == '+' ? 0 : digit_value(text[3]);
    low = digit_value(text[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}
