/* What follows logits: greedy choice, the best of a row, drawing. A block a row, which reads its
 * logits once. */
#include "gpu.h"

static bool are_logits(const b2_mat *m) {
    return b2_cuda_is(*m, B2_F32, m->rows, m->cols) && m->cols > 0;
}

static blip2_status launch(b2_cuda *cuda, b2_kernel kernel, int64_t rows, const void *arguments) {
    return b2_launch(cuda, kernel, (b2_grid){rows, 1, 1, B2_CHOOSE_THREADS}, arguments);
}

blip2_status b2_cuda_choose(b2_device *device, const b2_choose *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    int64_t rows = op->logits.rows, vocab = op->logits.cols;
    blip2_status status = b2_cuda_begin(cuda, "choose");

    if (status < 0)
        return status;
    if (!are_logits(&op->logits))
        return b2_cuda_refuse(cuda, "no logits");
    const b2_choose_args args = {.logits = op->logits.data,
                                 .logits_stride = op->logits.stride,
                                 .history = op->history,
                                 .history_count = op->history_count,
                                 .repetition_penalty = op->repetition_penalty,
                                 .stop_ids = op->stop_ids,
                                 .ban_stop = op->ban_stop,
                                 .tokens = op->tokens,
                                 .rows = (int32_t)rows,
                                 .vocab = (int32_t)vocab,
                                 .history_stride = (int32_t)op->history_stride,
                                 .stop_count = (int32_t)op->stop_count};
    return launch(cuda, b2_choose_kernel, rows, &args);
}

blip2_status b2_cuda_top_k(b2_device *device, const b2_top_k *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, "top_k");

    if (status < 0)
        return status;
    if (!are_logits(&op->logits))
        return b2_cuda_refuse(cuda, "no logits");
    if (op->top == 0 || op->top > B2_TOP_MOST)
        return b2_cuda_refuse(cuda, "top is not between 1 and 64");
    const b2_top_k_args args = {.logits = op->logits.data,
                                .logits_stride = op->logits.stride,
                                .log_prob = op->log_prob,
                                .ids = op->ids,
                                .rows = (int32_t)op->logits.rows,
                                .vocab = (int32_t)op->logits.cols,
                                .top = (int32_t)op->top};
    return launch(cuda, b2_top_k_kernel, op->logits.rows, &args);
}

blip2_status b2_cuda_sample(b2_device *device, const b2_sample *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, "sample");

    if (status < 0)
        return status;
    if (!are_logits(&op->logits))
        return b2_cuda_refuse(cuda, "no logits");
    const b2_sample_args args = {.logits = op->logits.data,
                                 .logits_stride = op->logits.stride,
                                 .temperature = op->temperature,
                                 .top_p = op->top_p,
                                 .top_k = op->top_k,
                                 .seed = op->seed,
                                 .counter = op->counter,
                                 .tokens = op->tokens,
                                 .rows = (int32_t)op->logits.rows,
                                 .vocab = (int32_t)op->logits.cols};
    return launch(cuda, b2_sample_kernel, op->logits.rows, &args);
}
