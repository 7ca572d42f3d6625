/* Greedy choice, the best of a row, drawing. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plain_matrix.h"

static const plain_layout layouts[3] = {{0, 0}, {3, 0}, {8, 1}};

/* ---- choose -------------------------------------------------------------------------------- */

/* The stop id that matters is the last of its list: another warp bans it than reads its score. */
enum { ROWS = 4, HISTORY = 2500, STOPS = 40 };

/* Row r of history, duplicates and all, as the seam's contract says it; NaN never wins. */
static int32_t choose_twin(float *row, int vocab, const int32_t *history, int count, float penalty,
                           const int32_t *stop, int stops, bool ban) {
    int32_t best = -1;
    bool *seen = calloc((size_t)vocab, 1);

    for (int i = 0; i < count; i++) {
        float *score = row + history[i];

        if (penalty != 1 && !seen[history[i]])
            *score = *score < 0 ? *score * penalty : *score / penalty;
        seen[history[i]] = true;
    }
    for (int i = 0; ban && i < stops; i++)
        if (stop[i] >= 0 && stop[i] < vocab)
            row[stop[i]] = -INFINITY;
    for (int i = 0; i < vocab; i++)
        if (best < 0 ? !isnan(row[i]) : row[i] > row[best])
            best = i;
    free(seen);
    return best;
}

static void put(plain_matrix *m, int row, int col, float value) {
    m->values[row * m->cols + col] = value;
    device_write((float *)m->data + row * m->stride + col, &value, sizeof value);
}

START_TEST(chooses) {
    static const int vocabs[6] = {1, 5, 1027, 4096, 50272, 70001};
    cudaLibrary_t file = kernel_file("choose");

    for (int i = 0; i < 12; i++) {
        uint64_t seed = (uint64_t)i;
        int vocab = vocabs[i % 6], longest = i % 3 == 0 ? HISTORY : 40;
        plain_matrix logits =
            plain_in_place(B2_F32, ROWS, vocab, layouts[(i + i / 6) % 3], &seed, -9, 9);
        static int32_t history[ROWS][HISTORY];
        int32_t counts[ROWS], bans[ROWS], tokens[ROWS], wanted[ROWS];
        int32_t stop[STOPS];
        float penalties[ROWS] = {1.0f, 1.3f, 2.0f, 0.5f};
        b2_choose_args a = {.logits = logits.data,
                            .logits_stride = logits.stride,
                            .rows = ROWS,
                            .vocab = vocab,
                            .history_stride = HISTORY,
                            .stop_count = STOPS};

        put(&logits, 1, vocab / 99, 11);                          /* a stop id that would win */
        put(&logits, 2, random_integer(&seed, 0, vocab - 1), 10); /* equals: the lower id */
        put(&logits, 2, random_integer(&seed, 0, vocab - 1), 10);
        put(&logits, 3, 0, NAN);
        for (int k = 0; k < STOPS; k++)
            stop[k] = k == STOPS - 1 ? vocab / 99 : k % 2 ? -5 - k : vocab + k;
        for (int r = 0; r < ROWS; r++) {
            counts[r] = r == 3 ? 0 : random_integer(&seed, 0, longest);
            bans[r] = r == 1;
            for (int k = 0; k < HISTORY; k++) /* many duplicates; the last id, too */
                history[r][k] = k % 3 ? random_integer(&seed, 0, vocab - 1) : vocab - 1;
        }
        a.history = device_copy(history, sizeof history);
        a.history_count = device_copy(counts, sizeof counts);
        a.repetition_penalty = device_copy(penalties, sizeof penalties);
        a.stop_ids = device_copy(stop, sizeof stop);
        a.ban_stop = device_copy(bans, sizeof bans);
        a.tokens = device_new(sizeof tokens);
        for (int r = 0; r < ROWS; r++)
            wanted[r] = choose_twin(logits.values + r * vocab, vocab, history[r], counts[r],
                                    penalties[r], stop, STOPS, bans[r]);
        {
            size_t bytes = (size_t)(ROWS * vocab) * sizeof(float);
            float *changed = malloc(bytes);

            memcpy(changed, logits.values, bytes);
            kernel_run(file, "b2_choose", ROWS, 1, 1, B2_CHOOSE_THREADS, &a, "choose");
            plain_read(&logits, "choose");
            plain_equal("choose", logits.values, changed, (size_t)(ROWS * vocab));
            free(changed);
        }
        device_read(tokens, a.tokens, sizeof tokens);
        for (int r = 0; r < ROWS; r++)
            ck_assert_msg(tokens[r] == wanted[r], "choose %d, row %d of %d ids: %d, expected %d", i,
                          r, vocab, tokens[r], wanted[r]);
        plain_free(&logits);
    }
}
END_TEST

/* Rows without a number, of -inf only, of signed zeros. */
START_TEST(chooses_among_odd_numbers) {
    static const float logits[4][6] = {{NAN, NAN, NAN, NAN, NAN, NAN},
                                       {NAN, -INFINITY, NAN, -INFINITY, NAN, NAN},
                                       {-1, -0.0f, 0, -1, 0, NAN},
                                       {NAN, 1, INFINITY, 3, INFINITY, NAN}};
    static const int32_t zero[4], wanted[4] = {-1, 1, 1, 2};
    static const float one[4] = {1, 1, 1, 1};
    int32_t tokens[4];
    b2_choose_args a = {.logits = device_copy(logits, sizeof logits),
                        .logits_stride = 6,
                        .history_count = device_copy(zero, sizeof zero),
                        .repetition_penalty = device_copy(one, sizeof one),
                        .ban_stop = device_copy(zero, sizeof zero),
                        .tokens = device_new(sizeof tokens),
                        .rows = 4,
                        .vocab = 6};

    kernel_run(kernel_file("choose"), "b2_choose", 4, 1, 1, B2_CHOOSE_THREADS, &a, "odd numbers");
    device_read(tokens, a.tokens, sizeof tokens);
    for (int r = 0; r < 4; r++)
        ck_assert_int_eq(tokens[r], wanted[r]);
}
END_TEST

/* ---- top_k --------------------------------------------------------------------------------- */

/* Selection by scanning, once for each place. */
static void top_twin(int32_t *ids, const float *row, int vocab, int top) {
    bool *taken = calloc((size_t)vocab, 1);

    for (int k = 0; k < top; k++) {
        ids[k] = -1;
        for (int i = 0; i < vocab; i++)
            if (!taken[i] && !isnan(row[i]) && (ids[k] < 0 || row[i] > row[ids[k]]))
                ids[k] = i;
        if (ids[k] >= 0)
            taken[ids[k]] = true;
    }
    free(taken);
}

/* log of the sum of e^score, in double, and how the obvious fp32 loop (largest first) gets it */
static double log_sum(const float *row, int vocab, float *most, float *obvious) {
    double sum = 0;
    float sum_f32 = 0;

    *most = -INFINITY;
    for (int i = 0; i < vocab; i++)
        *most = fmaxf(*most, row[i]);
    for (int i = 0; i < vocab; i++)
        if (!isnan(row[i])) {
            sum += exp((double)row[i] - (double)*most);
            sum_f32 += expf(row[i] - *most);
        }
    *obvious = logf(sum_f32);
    return log(sum);
}

static void top_check(cudaLibrary_t file, plain_matrix *logits, int top, const char *what) {
    int rows = logits->rows, vocab = logits->cols;
    size_t count = (size_t)(rows * top);
    int32_t ids[ROWS * 64], wanted[ROWS * 64];
    float values[ROWS * 64], fair[ROWS * 64];
    double truth[ROWS * 64];
    b2_top_k_args a = {
        logits->data, logits->stride, device_new(4 * count), device_new(4 * count), rows, vocab,
        top};

    kernel_run(file, "b2_top_k", (unsigned)rows, 1, 1, B2_CHOOSE_THREADS, &a, what);
    device_read(ids, a.ids, 4 * count);
    device_read(values, a.log_prob, 4 * count);
    for (int r = 0; r < rows; r++) {
        const float *row = logits->values + r * vocab;
        float most, obvious;
        double sum = log_sum(row, vocab, &most, &obvious);
        int numbers = 0;

        top_twin(wanted + r * top, row, vocab, top);
        for (int k = 0; k < top; k++) {
            int at = r * top + k, id = wanted[at];

            ck_assert_msg(ids[at] == id, "%s: row %d, place %d: %d, expected %d", what, r, k,
                          ids[at], id);
            if (id < 0 || isinf(row[id]))
                ck_assert_msg(values[at] == -INFINITY, "%s: row %d, place %d has %g", what, r, k,
                              (double)values[at]);
            else
                numbers++;
            truth[k] = id < 0 ? 0 : (double)row[id] - (double)most - sum;
            fair[k] = id < 0 ? 0 : row[id] - most - obvious;
        }
        plain_close(what, values + r * top, truth, fair, (size_t)numbers, B2_F32);
    }
}

START_TEST(finds_the_best) {
    static const int vocabs[6] = {1, 5, 1027, 4100, 50272, 9000}, tops[6] = {1, 64, 10, 2, 64, 33};
    cudaLibrary_t file = kernel_file("top_k");

    for (int i = 0; i < 12; i++) {
        uint64_t seed = (uint64_t)i;
        int vocab = vocabs[i % 6], rows = 1 + i % 2;
        plain_matrix logits =
            plain_in_place(B2_F32, rows, vocab, layouts[(i + i / 6) % 3], &seed, -20, 20);
        char what[64];

        snprintf(what, sizeof what, "top_k %d [%d, %d]", i, rows, vocab);
        top_check(file, &logits, tops[i % 6], what);
        plain_free(&logits);
    }
}
END_TEST

/* Ascending scores fill the list again and again; equals, NaN and -inf keep their order. */
START_TEST(finds_the_best_of_hard_rows) {
    uint64_t seed = 1;
    plain_matrix logits = plain_in_place(B2_F32, 4, 6001, layouts[1], &seed, -1, 1);

    for (int i = 0; i < 6001; i++) {
        put(&logits, 0, i, (float)i * 0.01f);
        put(&logits, 1, i, i % 7 ? (float)-(i % 7) : i % 2 ? 0.0f : -0.0f);
        put(&logits, 2, i, i % 150 == 149 ? (float)(i % 4) : i % 3 ? NAN : -INFINITY);
        put(&logits, 3, i, i % 1000 == 7 ? (float)-i : NAN);
    }
    top_check(kernel_file("top_k"), &logits, 64, "hard rows");
    plain_free(&logits);
}
END_TEST

/* ---- sample -------------------------------------------------------------------------------- */

/* Philox4x32-10, written from the paper: one round, then the key's step. */
static uint32_t philox_twin(uint64_t seed, uint32_t counter) {
    uint32_t x[4] = {counter, 0, 0, 0}, k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

    for (int i = 0; i < 10; i++) {
        uint64_t p0 = (uint64_t)0xd2511f53u * x[0], p1 = (uint64_t)0xcd9e8d57u * x[2];
        uint32_t y[4] = {(uint32_t)(p1 >> 32) ^ x[1] ^ k0, (uint32_t)p1,
                         (uint32_t)(p0 >> 32) ^ x[3] ^ k1, (uint32_t)p0};

        memcpy(x, y, sizeof x);
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return x[0];
}

/* transformers' filters in double over the whole row. margin: how far the draw is from falling on a
 * neighbour, or a token from being dropped, where fp32 may decide otherwise. */
static int32_t sample_twin(const float *row, int vocab, const b2_sample_args *h, int r,
                           double *margin) {
    int32_t ids[64];
    double weight[64], total = 0, below = 0, sum = 0, target;
    int kept = h->top_k[r] < vocab ? h->top_k[r] : vocab, most = vocab < 64 ? vocab : 64;

    top_twin(ids, row, vocab, most);
    while (kept < most && row[ids[kept]] == row[ids[kept - 1]])
        kept++;
    for (int k = 0; k < kept; k++)
        total += weight[k] =
            exp(((double)row[ids[k]] - (double)row[ids[0]]) / (double)h->temperature[r]);
    *margin = 1;
    for (; kept > 1 && h->top_p[r] < 1; kept--) {
        below += weight[kept - 1] / total;
        *margin = fmin(*margin, fabs(below - (1 - (double)h->top_p[r])));
        if (below > 1 - (double)h->top_p[r])
            break;
    }
    total = 0;
    for (int k = 0; k < kept; k++)
        total += weight[k];
    target = (philox_twin(h->seed[r], h->counter[r]) >> 8) * 0x1p-24;
    for (int k = 0; k < kept; k++) {
        sum += weight[k] / total;
        if (k < kept - 1)
            *margin = fmin(*margin, fabs(target - sum));
        if (target < sum)
            return ids[k];
    }
    return ids[kept - 1];
}

static int sample_check(cudaLibrary_t file, plain_matrix *logits, b2_sample_args h, int *unsure) {
    size_t rows = (size_t)logits->rows;
    int32_t tokens[64], differ = 0;
    b2_sample_args a = {.logits = logits->data,
                        .logits_stride = logits->stride,
                        .temperature = device_copy(h.temperature, 4 * rows),
                        .top_p = device_copy(h.top_p, 4 * rows),
                        .top_k = device_copy(h.top_k, 4 * rows),
                        .seed = device_copy(h.seed, 8 * rows),
                        .counter = device_copy(h.counter, 4 * rows),
                        .tokens = device_new(4 * rows),
                        .rows = logits->rows,
                        .vocab = logits->cols};

    kernel_run(file, "b2_sample", (unsigned)rows, 1, 1, B2_CHOOSE_THREADS, &a, "sample");
    device_read(tokens, a.tokens, 4 * rows);
    for (int r = 0; r < logits->rows; r++) {
        double margin;
        int32_t wanted =
            sample_twin(logits->values + r * logits->cols, logits->cols, &h, r, &margin);

        if (margin < 1e-5) /* 64 sums in fp32 */
            ++*unsure;
        else
            differ += tokens[r] != wanted;
    }
    return differ;
}

START_TEST(draws) {
    static const int vocabs[4] = {1, 40, 1500, 5003};
    cudaLibrary_t file = kernel_file("sample");
    int unsure = 0;

    ck_assert_uint_eq(philox_twin(0, 0), 0x6627e8d5u); /* the paper's known answer */
    for (int i = 0; i < 8; i++) {
        enum { DRAWS = 12 };
        uint64_t seed = (uint64_t)i, seeds[DRAWS];
        plain_matrix logits =
            plain_in_place(B2_F32, DRAWS, vocabs[i % 4], layouts[i % 3], &seed, -4, 4);
        float temperature[DRAWS], top_p[DRAWS];
        int32_t top_k[DRAWS];
        uint32_t counter[DRAWS];

        for (int r = 0; r < DRAWS; r++) {
            temperature[r] = (float)random_between(&seed, 0.2, 3.0);
            top_p[r] = r % 3 == 0 ? 1.0f : (float)random_between(&seed, 0.05, 1.0);
            top_k[r] = r % 4 == 0 ? 64 : random_integer(&seed, 1, 64);
            seeds[r] = (uint64_t)random_integer(&seed, 0, 1 << 30) << 31;
            counter[r] = (uint32_t)random_integer(&seed, 0, 1 << 20);
            if (r % 5 == 0) /* equals of the k-th */
                for (int j = 0; j < vocabs[i % 4]; j++)
                    put(&logits, r, j, (float)(j % 11));
        }
        ck_assert_int_eq(sample_check(file, &logits,
                                      (b2_sample_args){.temperature = temperature,
                                                       .top_p = top_p,
                                                       .top_k = top_k,
                                                       .seed = seeds,
                                                       .counter = counter},
                                      &unsure),
                         0);
        plain_free(&logits);
    }
    ck_assert_int_le(unsure, 2);
}
END_TEST

/* No number gives -1; one +inf is drawn whatever the rest; top-p 0 leaves the best. */
START_TEST(draws_from_odd_rows) {
    static const float logits[3][5] = {
        {NAN, NAN, NAN, NAN, NAN}, {1, NAN, INFINITY, -INFINITY, 3}, {1, 2, 2.5f, 0, -1}};
    static const float temperature[3] = {1, 1, 5}, top_p[3] = {1, 1, 0};
    static const int32_t top_k[3] = {64, 64, 64}, wanted[3] = {-1, 2, 2};
    static const uint64_t seed[3] = {1, 2, 3};
    static const uint32_t counter[3] = {0, 1, 2};
    int32_t tokens[3];
    b2_sample_args a = {.logits = device_copy(logits, sizeof logits),
                        .logits_stride = 5,
                        .temperature = device_copy(temperature, sizeof temperature),
                        .top_p = device_copy(top_p, sizeof top_p),
                        .top_k = device_copy(top_k, sizeof top_k),
                        .seed = device_copy(seed, sizeof seed),
                        .counter = device_copy(counter, sizeof counter),
                        .tokens = device_new(sizeof tokens),
                        .rows = 3,
                        .vocab = 5};

    kernel_run(kernel_file("sample"), "b2_sample", 3, 1, 1, B2_CHOOSE_THREADS, &a, "odd rows");
    device_read(tokens, a.tokens, sizeof tokens);
    for (int r = 0; r < 3; r++)
        ck_assert_int_eq(tokens[r], wanted[r]);
}
END_TEST

TCase *plain_choice_case(void) {
    TCase *tcase = tcase_create("choice");

    tcase_add_test(tcase, chooses);
    tcase_add_test(tcase, chooses_among_odd_numbers);
    tcase_add_test(tcase, finds_the_best);
    tcase_add_test(tcase, finds_the_best_of_hard_rows);
    tcase_add_test(tcase, draws);
    tcase_add_test(tcase, draws_from_odd_rows);
    return tcase;
}
