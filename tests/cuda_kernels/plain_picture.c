/* Patches, positions, resize passes and normalisation: all exact. */
#include <string.h>

#include "plain_matrix.h"

static const b2_type types[3] = {B2_F32, B2_F16, B2_BF16};
static const plain_layout layouts[4] = {{0, 0}, {4, 0}, {3, 0}, {8, 1}};

START_TEST(gathers_patches) {
    static const int sides[5][3] = {
        {28, 14, 14}, {6, 18, 3}, {32, 96, 32}, {2, 5, 1}, {28, 84, 14}};
    cudaLibrary_t file = kernel_file("patch");

    for (int i = 0; i < 10; i++) {
        uint64_t seed = (uint64_t)i;
        int height = sides[i % 5][0], width = sides[i % 5][1], p = sides[i % 5][2], images = 2;
        int across = width / p, g = height / p * across, cols = 3 * p * p;
        plain_matrix x = plain_input(B2_F32, images * 3 * height, width, layouts[0], &seed, -2, 2);
        plain_matrix y = plain_output(types[_i], images * g, cols, layouts[i % 4]);
        float *wanted = malloc((size_t)(images * g * cols) * sizeof(float));
        b2_im2col_args a = {x.data, y.data, y.stride, images, height, width, p};

        for (int e = 0; e < images * g * cols; e++) {
            int row = e / cols, image = row / g, py = row % g / across, px = row % across;
            int c = e % cols / (p * p), v = e % (p * p) / p, u = e % p;

            wanted[e] = rounded(
                x.values[((image * 3 + c) * height + py * p + v) * width + px * p + u], types[_i]);
        }
        int groups = (across + B2_IM2COL_PATCHES - 1) / B2_IM2COL_PATCHES;
        kernel_run(file, plain_name("b2_im2col", types[_i]),
                   (unsigned)(images * height / p * groups), 1, 1, B2_ROW_THREADS, &a, "im2col");
        plain_read(&y, "im2col");
        plain_equal("im2col", y.values, wanted, (size_t)(images * g * cols));
        free(wanted);
        plain_free(&x);
        plain_free(&y);
    }
}
END_TEST

START_TEST(adds_positions) {
    static const int cols[4] = {1, 7, 1408, 1030};
    cudaLibrary_t file = kernel_file("patch");

    for (int i = 0; i < 8; i++) {
        uint64_t seed = (uint64_t)i;
        int width = cols[i % 4], g = 1 + i % 4, images = 1 + i % 3;
        plain_layout layout = layouts[(i + i / 4) % 4];
        plain_matrix x = plain_input(B2_F32, images * g, width, layout, &seed, -1, 1);
        plain_matrix cls = plain_input(B2_F32, 1, width, layouts[0], &seed, -1, 1);
        plain_matrix position = plain_input(B2_F32, 1 + g, width, layouts[0], &seed, -1, 1);
        plain_matrix y = plain_output(B2_F32, images * (1 + g), width, layout);
        float *wanted = malloc((size_t)(images * (1 + g) * width) * sizeof(float));
        b2_add_positions_args a = {x.data, cls.data, position.data, y.data, x.stride, y.stride,
                                   images, g,        width,         0};

        for (int e = 0; e < images * (1 + g) * width; e++) {
            int token = e / width % (1 + g), image = e / width / (1 + g), j = e % width;

            wanted[e] =
                (token == 0 ? cls.values[j] : x.values[(image * g + token - 1) * width + j]) +
                position.values[token * width + j];
        }
        kernel_run(file, "b2_add_positions", (unsigned)(images * (1 + g)), 1, 1, B2_ROW_THREADS, &a,
                   "add_positions");
        plain_read(&y, "add_positions");
        plain_equal("add_positions", y.values, wanted, (size_t)(images * (1 + g) * width));
        free(wanted);
        plain_free(&x);
        plain_free(&cls);
        plain_free(&position);
        plain_free(&y);
    }
}
END_TEST

/* ---- resize -------------------------------------------------------------------------------- */

typedef struct pass {
    int in, out, lines; /* pixels of the axis, of the other one */
    bool down;
    int skew; /* bytes that the picture stands off an aligned address */
    int32_t *first, *count, *weight;
    int most;
} pass;

/* Weights such as Pillow's: at most 1.25 * 2^22 in sum (more would wrap), some negative, results
 * beyond 0 .. 255. */
static void make_taps(pass *p, uint64_t *seed) {
    p->most = p->in < 71 ? p->in : 71;
    p->first = malloc((size_t)p->out * sizeof(int32_t));
    p->count = malloc((size_t)p->out * sizeof(int32_t));
    p->weight = malloc((size_t)(p->out * p->most) * sizeof(int32_t));
    for (int x = 0; x < p->out; x++) {
        p->count[x] = random_integer(seed, 1, p->most);
        p->first[x] = random_integer(seed, 0, p->in - p->count[x]);
        for (int k = 0; k < p->most; k++)
            p->weight[x * p->most + k] = (random_integer(seed, -1, 5) * (1 << 20)) / p->count[x] +
                                         random_integer(seed, -99, 99);
    }
    p->first[p->out - 1] = p->in - p->count[p->out - 1]; /* the last pixel, too */
}

static uint8_t blend(const pass *p, const uint8_t *x, int to, int stride) {
    int64_t sum = 1 << 21, value;

    for (int k = 0; k < p->count[to]; k++)
        sum += (int64_t)p->weight[to * p->most + k] * x[(p->first[to] + k) * stride];
    value = sum >> 22;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Guarded in front and behind by 64 bytes of sentinels. */
static void resize_check(cudaLibrary_t file, pass *p, uint64_t seed) {
    int in_width = p->down ? p->lines : p->in, width = p->down ? p->lines : p->out;
    int in_bytes = p->in * p->lines * 3, bytes = p->out * p->lines * 3;
    uint8_t *x = malloc((size_t)in_bytes), *y = malloc((size_t)bytes + 128);
    char *from = device_new((size_t)(in_bytes + p->skew)), *to;
    b2_resize_args a = {.in_width = in_width,
                        .in_height = p->down ? p->in : p->lines,
                        .width = width,
                        .height = p->down ? p->out : p->lines};

    make_taps(p, &seed);
    for (int i = 0; i < in_bytes; i++)
        x[i] = (uint8_t)random_integer(&seed, 0, 255);
    device_write(from + p->skew, x, (size_t)in_bytes);
    memset(y, 0x5a, (size_t)bytes + 128);
    to = device_copy(y, (size_t)bytes + 128);
    a.x = (uint8_t *)from + p->skew;
    a.y = (uint8_t *)to + 64;
    a.most = p->most;
    a.first = device_copy(p->first, (size_t)p->out * sizeof(int32_t));
    a.count = device_copy(p->count, (size_t)p->out * sizeof(int32_t));
    a.weight = device_copy(p->weight, (size_t)(p->out * p->most) * sizeof(int32_t));
    kernel_run(file, p->down ? "b2_resize_cols" : "b2_resize_rows", (unsigned)a.height, 1, 1,
               B2_ROW_THREADS, &a, "resize");
    device_read(y, to, (size_t)bytes + 128);
    for (int i = 0; i < bytes + 128; i++) {
        int at = i - 64, row = at / (width * 3), col = at / 3 % width, c = at % 3;
        uint8_t wanted = 0x5a;

        if (at >= 0 && at < bytes)
            wanted = p->down ? blend(p, x + col * 3 + c, row, in_width * 3)
                             : blend(p, x + row * in_width * 3 + c, col, 3);
        ck_assert_msg(y[i] == wanted, "%s %d to %d: byte %d is %u, expected %u",
                      p->down ? "down" : "across", p->in, p->out, at, y[i], wanted);
    }
    free(x);
    free(y);
    free(p->first);
    free(p->count);
    free(p->weight);
}

START_TEST(resizes) {
    static const int sizes[8][3] = {{1, 1, 1},    {2, 7, 3},   {300, 224, 5}, {640, 64, 2},
                                    {9000, 5, 2}, {33, 40, 4}, {50, 3, 17},   {81, 1, 600}};
    cudaLibrary_t file = kernel_file("resize");

    for (int i = 0; i < 16; i++) {
        pass p = {.in = sizes[i % 8][0],
                  .out = sizes[i % 8][1],
                  .lines = sizes[i % 8][2],
                  .down = _i == 1,
                  .skew = i < 8 ? 0 : i - 7};

        resize_check(file, &p, (uint64_t)(100 * _i + i));
    }
}
END_TEST

START_TEST(normalises) {
    static const int widths[5] = {1, 5, 224, 1025, 2100}, heights[5] = {1, 7, 4, 2, 3};
    static const float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
    static const float std[3] = {0.26862954f, 0.26130258f, 0.27577711f};
    int width = widths[_i], height = heights[_i], area = width * height;
    uint64_t seed = 7;
    plain_matrix y = plain_output(B2_F32, 1, 3 * area, (plain_layout){0, 5});
    uint8_t *rgb = malloc((size_t)(3 * area));
    float *wanted = malloc((size_t)(3 * area) * sizeof(float));
    b2_normalise_args a = {.pixels = y.data, .width = width, .height = height};

    memcpy(a.mean, mean, sizeof mean);
    memcpy(a.std, std, sizeof std);
    for (int i = 0; i < 3 * area; i++) {
        float unit;

        rgb[i] = (uint8_t)random_integer(&seed, 0, 255);
        unit = (float)rgb[i] / 255.0f;
        unit -= mean[i % 3];
        wanted[i % 3 * area + i / 3] = unit / std[i % 3];
    }
    a.rgb = device_copy(rgb, (size_t)(3 * area));
    kernel_run(kernel_file("resize"), "b2_normalise", (unsigned)height, 1, 1, B2_ROW_THREADS, &a,
               "normalise");
    plain_read(&y, "normalise");
    plain_equal("normalise", y.values, wanted, (size_t)(3 * area));
    free(rgb);
    free(wanted);
    plain_free(&y);
}
END_TEST

TCase *plain_picture_case(void) {
    TCase *tcase = tcase_create("picture");

    tcase_add_loop_test(tcase, gathers_patches, 0, 3);
    tcase_add_test(tcase, adds_positions);
    tcase_add_loop_test(tcase, resizes, 0, 2);
    tcase_add_loop_test(tcase, normalises, 0, 5);
    return tcase;
}
