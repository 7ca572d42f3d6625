#include "gallery.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "run.h"
#include "stage1_fixture.h"

void draw_unit_rows(float *y, size_t count, size_t width, uint32_t seed) {
    uint64_t state = seed;

    for (size_t r = 0; r < count; r++, y += width) {
        double squares = 0.0;

        for (size_t i = 0; i < width; i++) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            y[i] = (float)((double)(state >> 40) / (1 << 24) - 0.5);
            squares += (double)y[i] * (double)y[i];
        }
        for (size_t i = 0; i < width; i++)
            y[i] = (float)((double)y[i] / sqrt(squares));
    }
}

void write_random_index(const char *path, const float *vectors, size_t count, b2_type type) {
    const b2_index_shape shape = {"random 0123", type, QUERIES, WIDTH};
    size_t numbers = QUERIES * WIDTH, stride = numbers * b2_type_size(type);
    uint8_t *kept = b2_alloc_array(count, stride), pixels[32] = {0};
    b2_index_row *rows = b2_calloc(count, sizeof *rows);

    ck_assert(kept != NULL && rows != NULL);
    b2_from_f32(kept, type, vectors, count * numbers);
    for (size_t i = 0; i < count; i++)
        rows[i] = (b2_index_row){"p.png", 1, 2, kept + i * stride, pixels};
    ck_assert_status_ok(b2_index_file_write(path, &shape, rows, count));
    b2_free(kept);
    b2_free(rows);
}

blip2_index *open_index(const char *path, uint32_t threads) {
    blip2_index_options options;
    blip2_index *index;

    blip2_index_options_init(&options, sizeof options);
    options.threads = threads;
    ck_assert_status_ok(blip2_index_open(&index, path, &options));
    return index;
}

const char *temporary(const char *name) {
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];

    temporary_path(path, sizeof paths[0], name);
    return path;
}

void copy_picture(const char *name, int number) {
    const char *to = temporary(name);
    char from[1024];
    uint8_t *data;
    size_t size;
    FILE *file;

    (void)snprintf(from, sizeof from, "%s/images/p%d.png", GOLDEN, number);
    ck_assert_status_ok(b2_file_read(&data, &size, from, 1 << 26));
    file = fopen(to, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    b2_free(data);
}

bool is_there(const char *path) {
    return access(path, F_OK) == 0;
}
