#include "random_weights.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

/* Good bits from a counter (the finaliser of SplitMix64). */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static double uniform(uint64_t x) { /* in (0, 1] */
    return ((double)(mix(x) >> 11) + 1) * 0x1p-53;
}

blip2_status random_weights_init(random_weights *out, const bench_tensors *tensors, b2_type type,
                                 uint64_t seed) {
    static const double pi = 3.14159265358979323846;
    static const float deviation = 0.02f;
    float *table = b2_alloc_array(RANDOM_TABLE, sizeof *table);

    *out = (random_weights){.tensors = tensors, .seed = seed};
    out->values = b2_alloc_array(RANDOM_TABLE, b2_type_size(type));
    out->gains = b2_alloc_array(RANDOM_TABLE, b2_type_size(type));
    if (table == NULL || out->values == NULL || out->gains == NULL) {
        b2_free(table);
        random_weights_free(out);
        return b2_fail_memory();
    }
    for (uint64_t i = 0; i < RANDOM_TABLE; i++) /* Box and Muller */
        table[i] =
            deviation * (float)(sqrt(-2 * log(uniform(2 * i))) * cos(2 * pi * uniform(2 * i + 1)));
    b2_from_f32(out->values, type, table, RANDOM_TABLE);
    for (size_t i = 0; i < RANDOM_TABLE; i++)
        table[i] += 1.0f;
    b2_from_f32(out->gains, type, table, RANDOM_TABLE);
    b2_free(table);
    return BLIP2_OK;
}

void random_weights_free(random_weights *random) {
    b2_free(random->values);
    b2_free(random->gains);
    random->values = random->gains = NULL;
}

static uint64_t hash_name(uint64_t h, const char *name) {
    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

/* Four elements share one hash: 16 bits of it each. */
static uint16_t pick(uint64_t key, size_t element) {
    return (uint16_t)(mix(key + element / 4) >> (element % 4 * 16));
}

blip2_status random_weights_fill(void *payload, size_t index, size_t first, size_t count,
                                 void *data) {
    const random_weights *random = payload;
    const b2_tensor_shape *shape = &random->tensors->shapes[index];
    const void *table = random->tensors->gains[index] ? random->gains : random->values;
    uint64_t key = mix(hash_name(mix(random->seed), shape->name));

    if (b2_type_size(shape->type) == 2) {
        const uint16_t *from = table;
        uint16_t *to = data;

        for (size_t i = 0; i < count; i++)
            to[i] = from[pick(key, first + i)];
    } else {
        const uint32_t *from = table;
        uint32_t *to = data;

        for (size_t i = 0; i < count; i++)
            to[i] = from[pick(key, first + i)];
    }
    return BLIP2_OK;
}
