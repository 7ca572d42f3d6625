#include <math.h>

#include "cpu/cpu.h"

/* Logits below which waking the other threads costs more than it saves. */
enum { PARALLEL_LOGITS = 1 << 18 };

/* Has history[at] occurred before? Histories are short beside a vocabulary, so looking back is
 * cheaper than a set, and needs no memory. */
static bool seen_before(const int32_t *history, int32_t at) {
    int32_t id = history[at], found = 0;

#pragma omp simd reduction(| : found)
    for (int32_t i = 0; i < at; i++)
        found |= history[i] == id;
    return found != 0;
}

static void penalise(float *logits, const int32_t *history, int32_t count, float penalty) {
    for (int32_t i = 0; i < count; i++) {
        float *score = &logits[history[i]];

        if (!seen_before(history, i))
            *score = *score < 0.0f ? *score * penalty : *score / penalty;
    }
}

/* Index of the largest, the lowest among equals; -1: no number at all. NaN compares false with
 * everything, so that it is never the largest and never found. */
static int32_t largest(const b2_cpu_kernels *kernels, const float *logits, int64_t count) {
    float most = kernels->largest(logits, count);

    for (int64_t i = 0; i < count; i++)
        if (logits[i] == most)
            return (int32_t)i;
    return -1;
}

blip2_status b2_cpu_choose(b2_device *device, const b2_choose *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t rows = op->logits.rows, vocabulary = op->logits.cols;

    if (!b2_cpu_is(op->logits, rows, vocabulary) || vocabulary <= 0 || vocabulary > INT32_MAX)
        return b2_cpu_refuse("choose", "no logits");
#pragma omp parallel for num_threads(cpu->threads) if (rows * vocabulary >= PARALLEL_LOGITS)
    for (int64_t r = 0; r < rows; r++) {
        float *logits = b2_cpu_row(op->logits, r);

        if (op->repetition_penalty[r] != 1.0f)
            penalise(logits, op->history + (size_t)r * op->history_stride, op->history_count[r],
                     op->repetition_penalty[r]);
        for (uint32_t i = 0; i < op->stop_count && op->ban_stop[r] != 0; i++)
            if (op->stop_ids[i] >= 0 && op->stop_ids[i] < vocabulary)
                logits[op->stop_ids[i]] = -INFINITY;
        op->tokens[r] = largest(cpu->kernels, logits, vocabulary);
    }
    return BLIP2_OK;
}
