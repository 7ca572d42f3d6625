/* Greedy choice. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plain_matrix.h"

static const plain_layout layouts[3] = {{0, 0}, {3, 0}, {8, 1}};

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

TCase *plain_choice_case(void) {
    TCase *tcase = tcase_create("choice");

    tcase_add_test(tcase, chooses);
    tcase_add_test(tcase, chooses_among_odd_numbers);
    return tcase;
}
