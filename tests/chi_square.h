/* Draws against the probabilities that they ought to have. */
#ifndef B2_TESTS_CHI_SQUARE_H
#define B2_TESTS_CHI_SQUARE_H
#include <check.h>
#include <math.h>
#include <stdint.h>

/* counts [n] of so many draws with probabilities p [n]; outcomes that are expected less than 5
 * times go together. The bound is passed by chance once in a million (Wilson and Hilferty's
 * approximation). */
static inline void assert_distribution(const uint32_t *counts, const double *p, uint32_t n,
                                       uint32_t draws, const char *what) {
    double chi2 = 0.0, rest = 0.0, rest_count = 0.0, df = -1.0, bound;

    for (uint32_t i = 0; i < n; i++) {
        double expected = p[i] * draws;

        if (!(p[i] > 0.0))
            ck_assert_msg(counts[i] == 0, "%s: outcome %u was drawn, it is impossible", what, i);
        if (expected < 5.0) {
            rest += expected;
            rest_count += counts[i];
            continue;
        }
        chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
        df += 1.0;
    }
    if (rest >= 5.0) {
        chi2 += (rest_count - rest) * (rest_count - rest) / rest;
        df += 1.0;
    }
    ck_assert_msg(df >= 1.0, "%s: nothing to be tested", what);
    bound = df * pow(1.0 - 2.0 / (9.0 * df) + 4.753 * sqrt(2.0 / (9.0 * df)), 3.0);
    ck_assert_msg(chi2 < bound, "%s: chi-square %.1f, expected below %.1f (%.0f degrees)", what,
                  chi2, bound, df);
}

#endif
