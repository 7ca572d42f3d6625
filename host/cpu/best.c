/* The best scores of rows of logits: for beams with their log-softmax, for drawing a token.
 *
 * A row is read in blocks of B2_PANEL. The best so far stand in a sorted list; a block whose
 * largest score would not enter it, as almost all of a large vocabulary's do after the first few,
 * costs one vector comparison and no look at its scores one by one. */
#include <math.h>

#include "cpu/cpu.h"
#include "draw.h"

/* Logits below which waking the other threads costs more than it saves. */
enum { PARALLEL_LOGITS = 1 << 18 };

/* Best first, the lowest id first among equals. */
typedef struct best_list {
    float score[B2_TOP_MOST];
    int32_t id[B2_TOP_MOST];
    int32_t count, room;
} best_list;

/* Ids come in ascending order, so an equal stands behind those that are there. */
static void enter(best_list *list, float score, int32_t id) {
    int32_t place = list->count;

    if (list->count == list->room && !(score > list->score[--place]))
        return;
    if (list->count < list->room)
        list->count++;
    for (; place > 0 && score > list->score[place - 1]; place--) {
        list->score[place] = list->score[place - 1];
        list->id[place] = list->id[place - 1];
    }
    list->score[place] = score;
    list->id[place] = id;
}

static void find_best(const b2_cpu_kernels *kernels, best_list *list, const float *logits,
                      int64_t vocabulary, int32_t room) {
    list->count = 0;
    list->room = room;
    for (int64_t first = 0; first < vocabulary; first += B2_PANEL) {
        int64_t count = vocabulary - first < B2_PANEL ? vocabulary - first : B2_PANEL;

        if (list->count == room &&
            !(kernels->largest(logits + first, count) > list->score[room - 1]))
            continue;
        for (int64_t i = 0; i < count; i++)
            if (!isnan(logits[first + i]))
                enter(list, logits[first + i], (int32_t)(first + i));
    }
}

/* log of the sum of e^score, relative to *most, the largest score (-inf: no number but -inf). */
static float log_sum(const b2_cpu_kernels *kernels, const float *logits, int64_t vocabulary,
                     float *most) {
    float sum = 0.0f;

    *most = -INFINITY;
    for (int64_t first = 0; first < vocabulary; first += B2_PANEL) {
        int64_t count = vocabulary - first < B2_PANEL ? vocabulary - first : B2_PANEL;
        float block[B2_PANEL];

        for (int64_t i = 0; i < B2_PANEL; i++)
            block[i] = i < count && !isnan(logits[first + i]) ? logits[first + i] : -INFINITY;
        (void)kernels->softmax(block, B2_PANEL, (b2_key_span){0, B2_PANEL}, 1.0f, most, &sum);
    }
    return logf(sum);
}

static void top_of_row(const b2_cpu_kernels *kernels, const b2_top_k *op, int64_t r) {
    const float *logits = b2_cpu_row(op->logits, r);
    float *log_prob = op->log_prob + r * op->top, most;
    int32_t *ids = op->ids + r * op->top;
    float sum = log_sum(kernels, logits, op->logits.cols, &most);
    best_list list;

    find_best(kernels, &list, logits, op->logits.cols, (int32_t)op->top);
    for (int32_t i = 0; i < (int32_t)op->top; i++) {
        bool there = i < list.count;

        ids[i] = there ? list.id[i] : -1;
        log_prob[i] = there && list.score[i] > -INFINITY ? list.score[i] - most - sum : -INFINITY;
    }
}

blip2_status b2_cpu_top_k(b2_device *device, const b2_top_k *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t rows = op->logits.rows, vocabulary = op->logits.cols;

    if (!b2_cpu_is(op->logits, rows, vocabulary) || vocabulary <= 0 || vocabulary > INT32_MAX)
        return b2_cpu_refuse("top_k", "no logits");
    if (op->top == 0 || op->top > B2_TOP_MOST)
        return b2_cpu_refuse("top_k", "top is not between 1 and 64");
#pragma omp parallel for num_threads(cpu->threads) if (rows * vocabulary >= PARALLEL_LOGITS)
    for (int64_t r = 0; r < rows; r++)
        top_of_row(cpu->kernels, op, r);
    return BLIP2_OK;
}

static int32_t draw(const b2_cpu_kernels *kernels, const b2_sample *op, int64_t r) {
    float weight[B2_TOP_MOST];
    best_list list;

    find_best(kernels, &list, b2_cpu_row(op->logits, r), op->logits.cols, B2_TOP_MOST);
    if (list.count == 0)
        return -1;
    for (int32_t i = 0; i < list.count; i++)
        weight[i] = b2_draw_weight(list.score[i], list.score[0], op->temperature[r]);
    return list.id[b2_draw_place(list.score, weight, list.count, op->top_k[r], op->top_p[r],
                                 b2_draw_philox(op->seed[r], op->counter[r]))];
}

blip2_status b2_cpu_sample(b2_device *device, const b2_sample *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t rows = op->logits.rows, vocabulary = op->logits.cols;

    if (!b2_cpu_is(op->logits, rows, vocabulary) || vocabulary <= 0 || vocabulary > INT32_MAX)
        return b2_cpu_refuse("sample", "no logits");
#pragma omp parallel for num_threads(cpu->threads) if (rows * vocabulary >= PARALLEL_LOGITS)
    for (int64_t r = 0; r < rows; r++)
        op->tokens[r] = draw(cpu->kernels, op, r);
    return BLIP2_OK;
}
