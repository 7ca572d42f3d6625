/* Plain functions full of branches. nvcc compiles them for the kernel, the C compiler for the twin:
 * whatever the lanes of a warp do to each other, each must get what the function gives. */
#ifndef VM_CONTROL_FUNCTIONS_H
#define VM_CONTROL_FUNCTIONS_H
#include <stdint.h>

#ifdef __CUDACC__
#define VM_FUNCTION __device__ static
#else
#define VM_FUNCTION static
#endif

/* A loop whose length differs from lane to lane. */
VM_FUNCTION uint32_t collatz(uint32_t x) {
    uint32_t steps = 0;

    while (x > 1 && steps < 1000) {
        x = x % 2 ? 3 * x + 1 : x / 2;
        steps++;
    }
    return steps;
}

/* Branches inside branches, with work on both sides and behind. */
VM_FUNCTION uint32_t nested(uint32_t x) {
    uint32_t y = x;

    if (x & 1) {
        if (x & 2) {
            if (x & 4) {
                y = y * 7 + 1;
            } else {
                y ^= 0x55;
            }
            y += 3;
        } else if (x & 8) {
            y = y / 3;
        }
        y *= 5;
    } else {
        y -= x & 16 ? 1000 : 1;
        if (x % 10 == 4) {
            y = ~y;
        }
    }
    return y + (x & 32 ? y % 13 : 0);
}

/* break and continue out of two loops. */
VM_FUNCTION uint32_t searches(uint32_t x) {
    uint32_t found = 0, i, k;

    for (i = 2; i < 40; i++) {
        if ((x + i) % 3 == 0) {
            continue;
        }
        for (k = 1; k < 30; k++) {
            if (i * k % 37 == x % 37) {
                found = found * 31 + k;
                break;
            }
            if (k > x % 25 + 3) {
                goto next;
            }
        }
        found += i;
    next:
        if (found > 100000000 + x) {
            break;
        }
    }
    return found;
}

/* Returns from the middle. */
VM_FUNCTION uint32_t returns_early(uint32_t x) {
    uint32_t i;

    if (x % 7 == 0) {
        return 1;
    }
    for (i = 0; i < x % 50; i++) {
        if (i * i == x) {
            return i + 1000;
        }
        x += i ^ x >> 3;
    }
    return x % 5 == 2 ? 2 : x;
}

/* A dense switch, which nvcc may make an indexed branch. */
VM_FUNCTION uint32_t switches(uint32_t x) {
    switch (x % 12) {
    case 0:
        return x * 3;
    case 1:
        return x ^ 0x1234;
    case 2:
        return collatz(x % 100);
    case 3:
        return x >> 3;
    case 4:
        return x + (x << 5);
    case 5:
        return x / 7;
    case 6:
        return x % 1000 * x;
    case 7:
        return ~x;
    case 8:
        return nested(x);
    case 9:
        return x - 99;
    case 10:
        return x * x;
    default:
        return 42;
    }
}

/* An array on the stack that is indexed by data: local memory. */
VM_FUNCTION uint32_t sorts(uint32_t x) {
    uint32_t list[16], i, k, sum = 0;

    for (i = 0; i < 16; i++) {
        x = x * 1664525 + 1013904223;
        list[i] = x >> 8;
    }
    for (i = 1; i < 16; i++) {
        uint32_t value = list[i];

        for (k = i; k > 0 && list[k - 1] > value; k--) {
            list[k] = list[k - 1];
        }
        list[k] = value;
    }
    for (i = 0; i < 16; i++) {
        sum = sum * 31 + list[(i + x) % 16];
    }
    return sum;
}

#endif
