/* Loads, stores, generic addresses, variables, atomics. */
#include "test_support.h"

static unsigned char bytes[2048];

static void fill_bytes(void) {
    uint64_t seed = 2024;
    size_t i;

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)next_random(&seed);
    }
}

#define AT(type, i) (*(const type *)(const void *)(bytes + sizeof(type) * (size_t)(i)))

START_TEST(loads_and_stores_every_size) {
    vm_bytes b = {.out = device_alloc(4096)};
    int64_t out[512];
    int i;

    fill_bytes();
    b.in = device_copy(bytes, sizeof(bytes));
    ck_cuda(cudaMemset(b.out, 0, 4096));
    launch_clean(load_compiled("memory"), "sizes", dims(1, 1, 1), dims(64, 1, 1), 0, &b);
    fetch(out, b.out, 4096);
    for (i = 0; i < 64; i++) {
        const int16_t *s = &AT(int16_t, 4 * i);
        const int32_t *v = &AT(int32_t, 4 * i);
        const int64_t *l = &AT(int64_t, 2 * i);
        const uint8_t *c = &AT(uint8_t, 2 * i);
        uint64_t sum = (uint64_t)(AT(int8_t, i) + AT(uint8_t, i + 1) * 3 + AT(int16_t, i) * 5 +
                                  AT(uint16_t, i + 2) * 7) +
                       (uint64_t)AT(int32_t, i) * 11 + (uint64_t)AT(uint32_t, i + 3) * 13 +
                       (uint64_t)AT(int64_t, i) * 17;
        uint64_t vectors = (uint64_t)(s[0] + 2 * s[1] + 3 * s[2] + 4 * s[3]) +
                           (uint64_t)(5 * (int64_t)v[0] + 6 * (int64_t)v[3]) + 7 * (uint64_t)l[0] +
                           8 * (uint64_t)l[1] + (uint64_t)(9 * c[0] + 10 * c[1]) +
                           (uint64_t)AT(int32_t, i);

        ck_assert_int_eq(out[i], (int64_t)sum);
        ck_assert_int_eq(out[64 + i], (int64_t)vectors);
        ck_assert_int_eq(((int8_t *)(out + 128))[i], (int8_t)sum);
        ck_assert_int_eq(((int16_t *)(out + 192))[i], (int16_t)sum);
        ck_assert_int_eq(((int32_t *)(out + 256))[4 * i + 1], v[1]);
        ck_assert_int_eq(((int32_t *)(out + 256))[4 * i + 3], (int32_t)sum);
    }
}
END_TEST

START_TEST(follows_generic_addresses) {
    vm_bytes b = {.out = device_alloc(4096), .numbers = {1, -2, 3, -4, 5, -6, 7, -8}};
    int64_t out[192];
    int i;

    fill_bytes();
    b.in = device_copy(bytes, sizeof(bytes));
    launch_clean(load_compiled("memory"), "generic", dims(1, 1, 1), dims(64, 1, 1), 0, &b);
    fetch(out, b.out, sizeof(out));
    for (i = 0; i < 64; i++) {
        int local = (i + 1) % 4 + 1 + ((i + 1) % 4 == i % 4 ? i : 0);
        int wanted = i % 4 == 0   ? 1000 + 63 - i
                     : i % 4 == 1 ? AT(int32_t, i)
                     : i % 4 == 2 ? local
                                  : 10 * (i % 8 + 1);
        int space = i % 4 == 0 ? 1 : i % 4 == 2 ? 4 : 2;

        ck_assert_int_eq(out[i], wanted);
        ck_assert_int_eq(out[64 + i], space);
        ck_assert_int_eq(out[128 + i], b.numbers[i % 8] + 63 - i + 10 * ((i + 3) % 8 + 1));
    }
}
END_TEST

START_TEST(adds_atomically) {
    enum { BLOCKS = 4, N = BLOCKS * 64 };
    int32_t in[N], out[512], wanted[4], i, k;
    uint64_t seed = 808, wide = 0;
    vm_bytes b = {.out = device_alloc(2048)};
    int32_t sum = 0, most = 0, least = 0, bits = 0, common = -1;
    float half = 0;

    for (i = 0; i < N; i++) {
        in[i] = (int32_t)(next_random(&seed) % 20001) - 10000;
        sum += in[i];
        most = in[i] > most ? in[i] : most;
        least = in[i] < least ? in[i] : least;
        bits ^= in[i];
        common &= in[i] | 0xff;
        wide += (uint64_t)in[i];
        half += 0.5f;
    }
    b.in = device_copy(in, sizeof(in));
    memset(out, 0, sizeof(out));
    out[104] = -1;
    out[113] = 1000; /* above the bound: goes to it first */
    ck_cuda(cudaMemcpy(b.out, out, sizeof(out), cudaMemcpyHostToDevice));
    launch_clean(load_compiled("memory"), "atomics", dims(BLOCKS, 1, 1), dims(64, 1, 1), 0, &b);
    fetch(out, b.out, sizeof(out));
    for (i = 0; i < BLOCKS; i++) {
        memset(wanted, 0, sizeof(wanted));
        wanted[3] = INT32_MAX;
        for (k = 64 * i; k < 64 * i + 64; k++) {
            wanted[0] += in[k];
            wanted[2] = in[k] > wanted[2] ? in[k] : wanted[2];
            wanted[3] = in[k] < wanted[3] ? in[k] : wanted[3];
        }
        wanted[1] = -1;
        ck_assert_mem_eq(out + 4 * i, wanted, sizeof(wanted));
    }
    ck_assert_int_eq(out[100], sum);
    ck_assert_int_eq(out[101], most);
    ck_assert_int_eq(out[102], least);
    ck_assert_int_eq(out[103], bits);
    ck_assert_int_eq(out[104], common);
    ck_assert_int_eq(out[105], N % 101);
    ck_assert_int_eq(out[106], 50 - (N - 1) % 51);
    ck_assert_int_eq(out[113], 50 - (N - 1) % 51);
    ck_assert_mem_eq(&out[107], &half, 4);
    ck_assert_mem_eq(&out[108], &wide, 8);
    ck_assert_uint_eq((uint32_t)out[110], 0x60005c00); /* 512, 256 as halves */
    ck_assert_int_ge(out[111], 7);
    ck_assert_int_eq(out[111], out[112]);
    for (i = 0; i < N; i++) { /* every ticket was drawn once */
        ck_assert_int_eq(out[200 + i], 1);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_memory");
    TCase *tcase = tcase_create("memory");

    tcase_add_test(tcase, loads_and_stores_every_size);
    tcase_add_test(tcase, follows_generic_addresses);
    tcase_add_test(tcase, adds_atomically);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
