#include "features_work.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

/* ---- of one call -------------------------------------------------------------------------- */

static size_t rows_of(const blip2_features *features, size_t index, bool first_row) {
    size_t rows, cols;

    (void)blip2_features_hidden(features, index, &rows, &cols);
    return first_row ? b2_size_min(rows, 1) : rows;
}

static blip2_status reserve(b2_call_features *call, const blip2_features *features, bool hidden,
                            bool projected) {
    size_t rows;

    (void)blip2_features_hidden(features, 0, &rows, &call->hidden_cols);
    if (blip2_features_projected(features, 0, &rows, &call->projected_cols) == NULL)
        projected = false;
    if (hidden &&
        (call->hidden = b2_alloc_array(call->row_count, call->hidden_cols * sizeof(float))) == NULL)
        return b2_fail_memory();
    if (projected && (call->projected = b2_alloc_array(call->row_count, call->projected_cols *
                                                                            sizeof(float))) == NULL)
        return b2_fail_memory();
    return BLIP2_OK;
}

blip2_status b2_call_features_take(b2_call_features *out, const blip2_features *features,
                                   bool hidden, bool projected, bool first_row) {
    size_t rows, cols, at = 0;
    blip2_status status;

    *out = (b2_call_features){.count = blip2_features_count(features)};
    if ((out->rows = b2_alloc_array(out->count, sizeof *out->rows)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < out->count; i++) {
        out->rows[i] = (int64_t)rows_of(features, i, first_row);
        out->row_count += (size_t)out->rows[i];
    }
    if ((status = reserve(out, features, hidden, projected)) < 0)
        return status;
    for (size_t i = 0; i < out->count; at += (size_t)out->rows[i++]) {
        const float *h = blip2_features_hidden(features, i, &rows, &cols);
        const float *p = blip2_features_projected(features, i, &rows, &cols);

        if (out->hidden != NULL)
            memcpy(out->hidden + at * out->hidden_cols, h,
                   (size_t)out->rows[i] * out->hidden_cols * sizeof *h);
        if (out->projected != NULL)
            memcpy(out->projected + at * out->projected_cols, p,
                   (size_t)out->rows[i] * out->projected_cols * sizeof *p);
    }
    return BLIP2_OK;
}

void b2_call_features_free(b2_call_features *call) {
    b2_free(call->hidden);
    b2_free(call->projected);
    b2_free(call->rows);
    *call = (b2_call_features){0};
}

/* data: fp32 [sum of rows, cols], aligned or not. */
static blip2_status store_kind(b2_feature_store *store, b2_matrices *to, const void *data,
                               size_t cols, const void *rows, size_t count) {
    const uint8_t *at = data;
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < count && status == BLIP2_OK && data != NULL; i++) {
        int64_t n;

        memcpy(&n, (const uint8_t *)rows + i * sizeof n, sizeof n);
        status = b2_feature_store_add(store, to, at, (size_t)n, cols);
        at += (size_t)n * cols * sizeof(float);
    }
    return status;
}

blip2_status b2_call_features_store(const b2_call_features *call, b2_feature_store *store) {
    blip2_status status =
        store_kind(store, &store->hidden, call->hidden, call->hidden_cols, call->rows, call->count);

    return status < 0 ? status
                      : store_kind(store, &store->projected, call->projected, call->projected_cols,
                                   call->rows, call->count);
}

/* ---- on disk ------------------------------------------------------------------------------ */

static blip2_status check_rows(const b2_part *part, const b2_work *work, size_t number) {
    int64_t sum = 0, most = INT32_MAX;

    for (size_t i = 0; i < part->tensors[0].count; i++) {
        int64_t n;

        memcpy(&n, (const uint8_t *)part->tensors[0].data + i * sizeof n, sizeof n);
        sum = n < 0 || n > most || sum > most ? INT64_MIN : sum + n;
        if (sum < 0)
            break;
    }
    for (size_t k = 1; k < 3; k++)
        if (part->tensors[k].count > 0 && part->tensors[k].dim[0] != sum)
            return b2_work_damaged(work, "call", number, "its rows do not add up");
    return BLIP2_OK;
}

static const void *data_of(const b2_tensor *tensor) {
    return tensor->count > 0 ? tensor->data : NULL;
}

blip2_status b2_features_work_read(const b2_work *work, size_t number, size_t inputs,
                                   b2_feature_store *store, bool *found) {
    const b2_tensor_shape shapes[] = {{"rows", B2_I64, 1, {(int64_t)inputs}},
                                      {"hidden", B2_F32, 2, {-1, -1}},
                                      {"projected", B2_F32, 2, {-1, -1}}};
    b2_part part;
    const b2_tensor *t = part.tensors;
    blip2_status status = b2_work_read(work, "call", number, shapes, 3, &part, found);

    if (status < 0 || !*found)
        return status;
    if ((status = check_rows(&part, work, number)) == BLIP2_OK)
        status = store_kind(store, &store->hidden, data_of(&t[1]), (size_t)t[1].dim[1], t[0].data,
                            inputs);
    if (status == BLIP2_OK)
        status = store_kind(store, &store->projected, data_of(&t[2]), (size_t)t[2].dim[1],
                            t[0].data, inputs);
    b2_part_close(&part);
    return status;
}

blip2_status b2_features_work_keep(const b2_work *work, size_t number,
                                   const b2_call_features *call) {
    int64_t rows = (int64_t)call->row_count;
    b2_tensor_shape shapes[] = {{"rows", B2_I64, 1, {(int64_t)call->count}},
                                {"hidden", B2_F32, 2, {rows, (int64_t)call->hidden_cols}},
                                {"projected", B2_F32, 2, {rows, (int64_t)call->projected_cols}}};
    const void *const data[] = {call->rows, call->hidden, call->projected};

    for (size_t k = 1; k < 3; k++)
        if (data[k] == NULL)
            shapes[k].dim[0] = shapes[k].dim[1] = 0;
    return b2_work_write(work, "call", number, shapes, 3, data);
}
