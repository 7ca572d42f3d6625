/* base/sha256: the vectors of FIPS 180-4, every length around the block size, split updates. */
#include <string.h>

#include "base/sha256.h"
#include "run.h"

static void check(const void *data, size_t size, const char *expected) {
    char hex[65];

    b2_sha256_hex(hex, data, size);
    ck_assert_str_eq(hex, expected);
}

START_TEST(standard_vectors) {
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static char million[1000000];

    check("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(two, 56, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    memset(million, 'a', sizeof million);
    check(million, sizeof million,
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
END_TEST

/* The digest of the digests of 0..200 bytes 0, 1, 2, ...; the expected value is Python hashlib's.
 */
START_TEST(every_length) {
    uint8_t data[200], digest[32];
    char hex[65];
    static const char digits[] = "0123456789abcdef";
    b2_sha256 all, one;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    b2_sha256_init(&all);
    for (size_t n = 0; n <= sizeof data; n++) {
        b2_sha256_init(&one);
        b2_sha256_update(&one, data, n / 3);
        b2_sha256_update(&one, data + n / 3, n - n / 3);
        b2_sha256_final(&one, digest);
        b2_sha256_update(&all, digest, sizeof digest);
    }
    b2_sha256_final(&all, digest);
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
    ck_assert_str_eq(hex, "64ef7c229fce2408b5336b6a542fea0e078c3a87d2da85cb3fc52e2008b65021");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sha256");
    TCase *tests = tcase_create("sha256");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, standard_vectors);
    tcase_add_test(tests, every_length);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
