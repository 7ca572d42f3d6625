#include "model/qformer_batch.h"

#include <string.h>

#include "base/alloc.h"

/* Both layouts come from this one function: the device's from its memory, the host's from its own.
 */
static void carve_arrays(b2_qformer_arrays *out, b2_carver *carver, const b2_qformer_pack *pack) {
    size_t size = sizeof(int32_t), segments = pack->max_segments;

    out->learned = b2_carve(carver, pack->max_rows, size);
    out->ids = b2_carve(carver, pack->max_rows, size);
    out->places = b2_carve(carver, pack->max_rows, size);
    out->order = b2_carve(carver, pack->max_rows, size);
    out->slots = b2_carve(carver, pack->max_rows, size);
    out->q_start = b2_carve(carver, segments + 1, size);
    out->k_first = b2_carve(carver, segments, size);
    out->k_count = b2_carve(carver, segments, size);
    out->queries = b2_carve(carver, segments, size);
    out->cross_q_start = b2_carve(carver, segments + 1, size);
    out->cross_k_first = b2_carve(carver, segments, size);
    out->cross_k_count = b2_carve(carver, segments, size);
}

void b2_qformer_pack_carve(b2_qformer_pack *pack, b2_carver *carver, uint32_t queries,
                           uint32_t max_segments, uint32_t max_rows) {
    size_t start = carver->used;

    pack->queries = queries;
    pack->max_segments = max_segments;
    pack->max_rows = max_rows;
    pack->device_block = carver->base != NULL ? carver->base + start : NULL;
    carve_arrays(&pack->device, carver, pack);
    pack->bytes = carver->used - start;
}

blip2_status b2_qformer_pack_init(b2_qformer_pack *pack) {
    b2_carver carver = {0};

    pack->host_block = b2_alloc_aligned(256, pack->bytes);
    pack->text_first = b2_alloc_array(pack->max_segments, sizeof *pack->text_first);
    pack->text_count = b2_alloc_array(pack->max_segments, sizeof *pack->text_count);
    pack->text_slots = b2_calloc(pack->max_rows, sizeof *pack->text_slots);
    if (pack->host_block == NULL || pack->text_first == NULL || pack->text_count == NULL ||
        pack->text_slots == NULL)
        return b2_fail_memory();
    /* The whole block is sent: what is not used must be something. */
    memset(pack->host_block, 0, pack->bytes);
    carver.base = pack->host_block;
    carve_arrays(&pack->host, &carver, pack);
    return BLIP2_OK;
}

void b2_qformer_pack_free(b2_qformer_pack *pack) {
    b2_free(pack->host_block);
    b2_free(pack->text_first);
    b2_free(pack->text_count);
    b2_free(pack->text_slots);
    *pack = (b2_qformer_pack){0};
}

void b2_qformer_pack_begin(b2_qformer_pack *pack, b2_mask_rule rule) {
    pack->batch = (b2_qformer_batch){.rule = rule};
    pack->host.q_start[0] = 0;
    pack->host.cross_q_start[0] = 0;
}

static void add_queries(b2_qformer_pack *pack, const b2_qformer_segment *segment) {
    b2_qformer_arrays *a = &pack->host;
    b2_qformer_batch *batch = &pack->batch;
    uint32_t g = batch->query_segments++;

    for (uint32_t i = 0; i < pack->queries; i++) {
        a->learned[batch->query_rows + i] = (int32_t)i;
        if (segment->slots != NULL)
            a->slots[batch->query_rows + i] = segment->slots[i];
    }
    batch->query_rows += pack->queries;
    a->cross_q_start[g + 1] = (int32_t)batch->query_rows;
    a->cross_k_first[g] = (int32_t)segment->image_first;
    a->cross_k_count[g] = (int32_t)segment->image_rows;
    if (segment->image_rows > batch->max_cross_k)
        batch->max_cross_k = segment->image_rows;
}

static void add_text(b2_qformer_pack *pack, const b2_qformer_segment *segment, uint32_t queries) {
    b2_qformer_arrays *a = &pack->host;
    b2_qformer_batch *batch = &pack->batch;

    for (uint32_t i = 0; i < segment->text_count; i++) {
        uint32_t row = batch->text_rows++;

        a->ids[row] = segment->ids[i];
        a->places[row] = (int32_t)(segment->position + i);
        if (segment->slots != NULL)
            pack->text_slots[row] = segment->slots[queries + i];
    }
}

bool b2_qformer_pack_add(b2_qformer_pack *pack, const b2_qformer_segment *segment) {
    b2_qformer_arrays *a = &pack->host;
    b2_qformer_batch *batch = &pack->batch;
    uint32_t queries = segment->has_queries ? pack->queries : 0, rows, s = batch->segments;

    if (s == pack->max_segments ||
        pack->max_rows - batch->query_rows - batch->text_rows < queries + segment->text_count)
        return false;
    rows = queries + segment->text_count;
    pack->text_first[s] = batch->text_rows;
    pack->text_count[s] = segment->text_count;
    if (segment->has_queries)
        add_queries(pack, segment);
    add_text(pack, segment, queries);
    a->queries[s] = (int32_t)queries;
    a->q_start[s + 1] = a->q_start[s] + (int32_t)rows;
    a->k_first[s] = a->q_start[s];
    a->k_count[s] = (int32_t)(segment->past + rows);
    batch->segments++;
    batch->max_q = rows > batch->max_q ? rows : batch->max_q;
    rows += segment->past;
    batch->max_k = rows > batch->max_k ? rows : batch->max_k;
    return true;
}

/* Row of the batch -> its place when each segment's rows stand together. False: the same. */
static bool fill_order(b2_qformer_pack *pack) {
    b2_qformer_arrays *a = &pack->host;
    int32_t query = 0, text = (int32_t)pack->batch.query_rows;
    bool differs = false;

    for (uint32_t s = 0; s < pack->batch.segments; s++)
        for (int32_t i = 0; i < a->q_start[s + 1] - a->q_start[s]; i++) {
            int32_t row = i < a->queries[s] ? query++ : text++;

            a->order[row] = a->q_start[s] + i;
            differs = differs || row != a->q_start[s] + i;
        }
    return differs;
}

blip2_status b2_qformer_pack_send(b2_qformer_pack *pack, b2_device *device) {
    const b2_qformer_arrays *d = &pack->device;
    b2_qformer_batch *batch = &pack->batch;
    bool ordered = fill_order(pack);

    memcpy(pack->host.slots + batch->query_rows, pack->text_slots,
           batch->text_rows * sizeof *pack->text_slots);
    batch->learned = d->learned;
    batch->ids = d->ids;
    batch->places = d->places;
    batch->order = ordered ? d->order : NULL;
    batch->q_start = d->q_start;
    batch->k_first = d->k_first;
    batch->k_count = d->k_count;
    batch->queries = d->queries;
    batch->cross_q_start = d->cross_q_start;
    batch->cross_k_first = d->cross_k_first;
    batch->cross_k_count = d->cross_k_count;
    batch->slots = d->slots;
    return device->ops->upload(device, pack->device_block, pack->host_block, pack->bytes);
}
