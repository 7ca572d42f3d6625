/* exp, erf-GELU and friends on vectors. The polynomials are minimax fits in double, rounded to
 * float; the errors given are those of float evaluation, measured over 400,000 points. */
#ifndef B2_CPU_MATH_H
#define B2_CPU_MATH_H
#include "cpu/isa/vec.h"

/* e^x for x in [-87, 88], clamped to it; NaN stays NaN. Error 0.7 ulp. x = n ln 2 + r, and e^r - 1
 * - r = r^2 P(r) for |r| <= ln 2 / 2. */
INLINE vf exp_clamped(vf x) {
    const vf magic = splat(0x1.8p23f); /* adding it rounds to an integer, kept in the low bits */
    vf clamped = vmin(splat(88.0f), vmax(splat(-87.0f), x));
    vf rounded = clamped * 1.44269504f + magic;
    vf n = rounded - magic;
    vf r = clamped - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts */
    vf p = splat(0.00139504788f);

    p = p * r + 0.00836888235f;
    p = p * r + 0.041666206f;
    p = p * r + 0.166665196f;
    p = p * r + 0.5f;
    return (r * r * p + r + 1.0f) * (vf)(((vu)rounded + 127U) << 23);
}

/* e^x for x <= 0, and 0 below -87 (where float would be going subnormal). */
INLINE vf exp_negative(vf x) {
    return pick((vu)(x < -87.0f), splat(0.0f), exp_clamped(x));
}

/* x / (1 + e^-(s x + c x^3)): both tanh-GELU and QuickGELU are of this form. */
INLINE vf times_sigmoid(vf x, vf argument) {
    return x / (1.0f + exp_clamped(-argument));
}

/* v Phi(v), Phi the normal distribution, within 1.2e-7 |v|. Near 0, Phi = 1/2 + v P(v^2); further
 * out, Phi(-|v|) = exp(-Q(|v|)), so that nothing cancels on the negative side. Q was fitted up to
 * 6 and goes on as v^2 / 2, where Phi is below 1e-9. */
INLINE vf gelu(vf v) {
    vf a = vabs(v), near = vmin(splat(6.0f), a), square = v * v;
    vf p = splat(-6.82740074e-06f), q = splat(-2.53347316e-05f), tail;

    p = p * square + 0.000111010828f;
    p = p * square - 0.00118363067f;
    p = p * square + 0.00997203682f;
    p = p * square - 0.0664901137f;
    p = p * square + 0.398942262f;
    q = q * near + 0.000549530552f;
    q = q * near - 0.00562113058f;
    q = q * near + 0.036931891f;
    q = q * near + 0.318294704f;
    q = q * near + 0.797632277f;
    q = q * near + 0.693260252f;
    tail = exp_negative(-q - 0.5f * (a - near) * (a + near));
    tail = pick((vu)(v < 0.0f), tail, 1.0f - tail);
    return v * pick((vu)(a < 1.2f), v * p + 0.5f, tail);
}

INLINE vf activate(b2_activation act, vf v) {
    switch (act) {
    case B2_ACT_NONE:
        break;
    case B2_ACT_RELU:
        return vmax(splat(0.0f), v);
    case B2_ACT_GELU:
        return gelu(v);
    case B2_ACT_GELU_TANH: /* 2 sqrt(2 / pi) (v + 0.044715 v^3) */
        return times_sigmoid(v, v * (1.59576912f + 0.0713548163f * (v * v)));
    case B2_ACT_QUICK_GELU:
        return times_sigmoid(v, 1.702f * v);
    case B2_ACT_SILU:
        return times_sigmoid(v, v);
    }
    return v;
}

#endif
