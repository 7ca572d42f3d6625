/* What nvcc makes of mathematical functions, against the C library in f64. The bounds are the
 * maximum errors, in units of the last place, that the CUDA C++ Programming Guide states. */
#include <math.h>

#include "half_twin.h"
#include "test_support.h"

enum { N = 4096 };
static float in[N], out[N];

static double power(double x) {
    return pow(fabs(x), (double)1.7f);
}
static double inverse_root(double x) {
    return 1 / sqrt(x);
}
static double third(double x) {
    return 3 / x;
}
static double modulo(double x) {
    return fmod(x, (double)0.7f);
}
static double angle(double x) {
    return atan2(x, (double)0.3f);
}
static double steps(double x) {
    return rint(x) + floor(x) * 2 + ceil(x) * 4 + trunc(x) * 8;
}
static double division(double x) {
    int i = (int)((float)x * 1000);

    return i / 7 + i % 7;
}

static const struct {
    double (*function)(double);
    double low, high, ulps;
} functions[] = {
    {exp, -90, 88, 2},          {log, 1e-38, 1e6, 1},          {erf, -4, 4, 2},
    {tanh, -10, 10, 2},         {sin, -1e5, 1e5, 2},           {cos, -50, 50, 2},
    {power, -20, 20, 4},        {log1p, -0.99, 100, 1},        {expm1, -10, 80, 1},
    {sqrt, 0, 1e30, 0.5},       {inverse_root, 1e-6, 1e30, 2}, {third, -1e20, 1e20, 0.5},
    {modulo, -1000, 1000, 0},   {cbrt, -1e9, 1e9, 1},          {angle, -10, 10, 3},
    {erfc, -3, 9, 4},           {exp2, -120, 120, 2},          {log2, 1e-30, 1e9, 1},
    {steps, -100, 100, 0.5},    {exp, -80, 80, 0.51},          {round, -1000, 1000, 0.5},
    {division, -1e5, 1e5, 0.5},
};

static double ulp(double x) {
    float f = fabsf((float)x);

    f = f < 0x1p-126f ? 0x1p-126f : f;
    return (double)(nextafterf(f, INFINITY) - f);
}

START_TEST(is_as_exact_as_promised) {
    double low = functions[_i].low, high = functions[_i].high;
    vm_math m = {NULL, device_alloc(sizeof(out)), N, _i};
    uint64_t seed = 4711;
    int i;

    for (i = 0; i < N; i++) {
        in[i] = (float)(low + (high - low) * ((double)next_float(&seed) + 1) / 2);
        if (i % 4 == 0) { /* also small numbers */
            in[i] = (float)((double)in[i] * 1e-3);
        }
        in[i] = (double)in[i] < low ? (float)high : in[i];
    }
    m.in = device_copy(in, sizeof(in));
    launch_clean(load_compiled("math"), "functions", dims(N / 256, 1, 1), dims(256, 1, 1), 0, &m);
    fetch(out, m.out, sizeof(out));
    for (i = 0; i < N; i++) {
        double truth = functions[_i].function((double)in[i]);
        /* half a unit more: the truth is rounded too */
        double bound = (functions[_i].ulps + 0.5) * ulp(truth);

        ck_assert_msg(fabs((double)out[i] - truth) <= bound,
                      "function %d of %.9g: %.9g, truth %.9g", _i, (double)in[i], (double)out[i],
                      truth);
    }
}
END_TEST

static double r(double x, int brain) { /* rounded to 16 bits */
    return half_value(half_round(x, brain, TO_NEAREST), brain);
}

static double chain(double x, int brain) {
    double a = r(x, brain), c = r(a * 1.5 + r(a * a, brain), brain);

    return r(c - (a > 0.25 ? a : 0.25), brain);
}

START_TEST(rounds_halves_at_each_step) {
    vm_math m = {NULL, device_alloc(sizeof(out)), N, _i};
    uint64_t seed = 1147;
    int i;

    for (i = 0; i < N; i++) {
        in[i] = next_float(&seed) * 3;
    }
    m.in = device_copy(in, sizeof(in));
    launch_clean(load_compiled("math"), "halves", dims(N / 256, 1, 1), dims(256, 1, 1), 0, &m);
    fetch(out, m.out, sizeof(out));
    for (i = 0; i < N; i++) {
        double wanted = chain((double)in[i], _i) + 2 * chain((double)in[N - 1 - i], _i);

        ck_assert_double_eq((double)out[i], (double)(float)wanted);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_math");
    TCase *tcase = tcase_create("functions");

    tcase_add_loop_test(tcase, is_as_exact_as_promised, 0, sizeof(functions) / sizeof(*functions));
    tcase_add_loop_test(tcase, rounds_halves_at_each_step, 0, 2);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
