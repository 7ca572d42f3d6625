/* SHA-256 (FIPS 180-4), to tell whether bytes are the expected ones. */
#ifndef B2_SHA256_H
#define B2_SHA256_H
#include <stddef.h>
#include <stdint.h>

typedef struct b2_sha256 {
    uint32_t state[8];
    uint64_t length;   /* bytes so far */
    uint8_t block[64]; /* the last length % 64 bytes */
} b2_sha256;

void b2_sha256_init(b2_sha256 *sha);
void b2_sha256_update(b2_sha256 *sha, const void *data, size_t size);
/* Ends the message; init before using sha again. */
void b2_sha256_final(b2_sha256 *sha, uint8_t digest[32]);

/* The digest as 64 lower-case hexadecimal digits and a zero; of data [size], or ending a message.
 */
enum { B2_SHA256_HEX = 65 };
void b2_sha256_hex(char hex[B2_SHA256_HEX], const void *data, size_t size);
void b2_sha256_final_hex(b2_sha256 *sha, char hex[B2_SHA256_HEX]);

#endif
