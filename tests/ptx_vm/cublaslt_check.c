/* What cuBLASLt promises or refuses, as far as the CUDA device relies on it. */
#include "cublaslt_parts.h"

size_t vm_cublaslt_element(cudaDataType type) {
    return type == CUDA_R_32F ? 4 : 2;
}

bool vm_cublaslt_has_bias(const operation *op) {
    return op->epilogue == CUBLASLT_EPILOGUE_BIAS || op->epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

bool vm_cublaslt_has_relu(const operation *op) {
    return op->epilogue == CUBLASLT_EPILOGUE_RELU || op->epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

/* The rows of cuBLASLt's table of types that are used: D is F32 or of the inputs' type; the bias is
 * of D's type. */
static bool types_go_together(const product *p) {
    bool known = p->a.type == CUDA_R_32F || p->a.type == CUDA_R_16F || p->a.type == CUDA_R_16BF;

    return known && p->b.type == p->a.type && p->c.type == p->d.type &&
           (p->d.type == CUDA_R_32F || p->d.type == p->a.type) && p->op.scale == CUDA_R_32F &&
           (p->op.compute == CUBLAS_COMPUTE_32F ||
            (p->op.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p->a.type == CUDA_R_32F));
}

bool vm_cublaslt_is_supported(const product *p) {
    uint64_t k = p->a.rows, m = p->a.cols, n = p->b.cols;

    return types_go_together(p) && p->op.transposed_a == CUBLAS_OP_T && p->b.rows == k &&
           p->c.rows == m && p->c.cols == n && p->d.rows == m && p->d.cols == n && k > 0 && m > 0 &&
           n > 0 && p->a.stride >= (int64_t)k && p->b.stride >= (int64_t)k &&
           p->c.stride >= (int64_t)m && p->d.stride >= (int64_t)m &&
           (vm_cublaslt_has_bias(&p->op) || vm_cublaslt_has_relu(&p->op) ||
            p->op.epilogue == CUBLASLT_EPILOGUE_DEFAULT);
}

static uint64_t hash_word(uint64_t hash, uint64_t word) {
    return (hash ^ word) * 0x100000001b3u;
}

uint64_t vm_cublaslt_hash(const product *p, bool any_columns) {
    const layout *layouts[] = {&p->a, &p->b, &p->c, &p->d};
    uint64_t hash = hash_word(hash_word(1, p->op.epilogue), p->op.compute);
    size_t i;

    for (i = 0; i < 4; i++) {
        hash = hash_word(hash_word(hash, layouts[i]->type), layouts[i]->rows);
        hash = hash_word(hash_word(hash, any_columns && i > 0 ? 0 : layouts[i]->cols),
                         (uint64_t)layouts[i]->stride);
    }
    return hash;
}

bool vm_cublaslt_keeps_promise(const product *p, const algorithm *algo, const void *workspace,
                               size_t workspace_bytes) {
    const void *data[] = {p->a_data, p->b_data, p->c_data, p->d_data};
    size_t i;

    for (i = 0; i < 4; i++) {
        if (!data[i] || (uintptr_t)data[i] % algo->align[i] != 0) {
            return false;
        }
    }
    if (vm_cublaslt_has_bias(&p->op) &&
        (!p->op.bias || (uintptr_t)p->op.bias % algo->bias_align != 0)) {
        return false;
    }
    /* In place: one layout. A and B are read while D is written. */
    if (p->c_data == p->d_data && p->c.stride != p->d.stride) {
        return false;
    }
    return algo->shape == vm_cublaslt_hash(p, algo->any_columns != 0) && p->a_data != p->d_data &&
           p->b_data != p->d_data && workspace_bytes >= algo->workspace &&
           (workspace || algo->workspace == 0);
}
