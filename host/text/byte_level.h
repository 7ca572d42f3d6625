/* The byte-level alphabet of GPT-2: each byte has a printable character of its own. Bytes that are
 * printable in Latin-1 stand for themselves, the others are U+0100, U+0101 ... in order. */
#ifndef B2_BYTE_LEVEL_H
#define B2_BYTE_LEVEL_H
#include <stdbool.h>
#include <stdint.h>

/* Characters of the alphabet are below this. */
enum { B2_BYTE_LEVEL_END = 0x100 + 68 };

static inline bool b2_byte_level_itself(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

/* out[byte] = its code point. */
static inline void b2_byte_level_table(uint16_t out[256]) {
    uint16_t next = 0x100;

    for (uint16_t byte = 0; byte < 256; byte++)
        out[byte] = b2_byte_level_itself(byte) ? byte : next++;
}

#endif
