/* A checkpoint of OPT-2.7b has 1,248 tensors, one of OPT-6.7b the same: names are found by binary
 * search in a sorted list of pointers, rebuilt whenever a file joins. */
#include "load/weights.h"

#include <string.h>

#include "base/size.h"
#include "base/text_buffer.h"
#include "load/names.h"
#include "load/store.h"

/* The names of the two halves of a query-key-value bias whose key part is zero. */
static const struct {
    const char *q, *v;
} split_bias[] = {
    {"visual_encoder.blocks.{}.attn.q_bias", "visual_encoder.blocks.{}.attn.v_bias"},
    {"vision_model.encoder.layers.{}.self_attn.q_bias",
     "vision_model.encoder.layers.{}.self_attn.v_bias"},
};

static b2_tensor *find_name(const b2_weights *w, const char *name) {
    size_t low = 0, high = w->list.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, w->sorted[middle]->name);

        if (order == 0)
            return w->sorted[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* A name pattern of the table; a language model's also as it stands in a folder of OPT alone. */
static b2_tensor *find_pattern(const b2_weights *w, const char *pattern, uint32_t layer) {
    static const char *const language[] = {"language_model.", "language_model.model."};
    char name[B2_NAME_BYTES];
    b2_tensor *found;

    if (pattern == NULL || !b2_weight_name_fill(name, sizeof name, pattern, layer))
        return NULL;
    found = find_name(w, name);
    for (size_t i = 0; i < 2 && found == NULL; i++)
        if (strncmp(name, language[i], strlen(language[i])) == 0)
            found = find_name(w, name + strlen(language[i]));
    return found;
}

static b2_tensor *find_weight(const b2_weights *w, b2_weight_id id, uint32_t layer) {
    const b2_weight_name *name = b2_weight_name_of(id);
    const char *patterns[] = {name->hf, name->hf_too, name->lavis, name->lavis_2, name->lavis_3};
    b2_tensor *found = NULL;

    for (size_t i = 0; i < sizeof patterns / sizeof *patterns && found == NULL; i++)
        found = find_pattern(w, patterns[i], layer);
    return found;
}

/* q and v of a split bias; false unless both are there. */
static bool find_split(const b2_weights *w, b2_weight_id id, uint32_t layer, b2_tensor **q,
                       b2_tensor **v) {
    for (size_t i = 0; i < sizeof split_bias / sizeof *split_bias && id == B2_VIT_QKV_B; i++) {
        *q = find_pattern(w, split_bias[i].q, layer);
        *v = find_pattern(w, split_bias[i].v, layer);
        if (*q != NULL && *v != NULL)
            return true;
    }
    return false;
}

/* A tensor that is taken once stays so. */
static void mark(b2_weights *w, const b2_tensor *tensor, b2_tensor_use use) {
    b2_tensor_use *at = w->use + (tensor - w->list.item);

    *at = *at == B2_TENSOR_TAKEN ? B2_TENSOR_TAKEN : use;
}

bool b2_weights_has(const b2_weights *weights, b2_weight_id id, uint32_t layer) {
    b2_tensor *q, *v;

    return find_weight(weights, id, layer) != NULL || find_split(weights, id, layer, &q, &v);
}

void b2_weights_skip(b2_weights *weights, b2_weight_id id, uint32_t layer) {
    b2_tensor *found = find_weight(weights, id, layer), *q, *v;

    if (found != NULL) {
        mark(weights, found, B2_TENSOR_SKIPPED);
    } else if (find_split(weights, id, layer, &q, &v)) {
        mark(weights, q, B2_TENSOR_SKIPPED);
        mark(weights, v, B2_TENSOR_SKIPPED);
    }
}

/* [q; 0; v] in memory of the list. */
static blip2_status join_bias(b2_weights *w, const b2_tensor *q, const b2_tensor *v,
                              b2_tensor *out) {
    unsigned char *data;
    size_t bytes;

    if (q->rank != 1 || v->rank != 1 || q->count != v->count || !q->usable || !v->usable ||
        q->type != v->type)
        return b2_fail(BLIP2_EFORMAT, "%s: tensors \"%s\" and \"%s\" differ in type or shape",
                       q->file, q->name, v->name);
    if (!b2_size_mul(q->bytes, 3, &bytes) ||
        (data = b2_arena_alloc(&w->list.arena, bytes, 1)) == NULL)
        return b2_fail_memory();
    memcpy(data, q->data, q->bytes);
    memset(data + q->bytes, 0, q->bytes);
    memcpy(data + 2 * q->bytes, v->data, v->bytes);
    *out = *q;
    out->data = data;
    out->dim[0] = 3 * q->dim[0];
    out->count = 3 * q->count;
    out->bytes = bytes;
    return BLIP2_OK;
}

static blip2_status note_missing(b2_weights *w, b2_weight_id id, uint32_t layer) {
    const b2_weight_name *name = b2_weight_name_of(id);
    char text[B2_NAME_BYTES];
    b2_missing *missing = b2_arena_alloc(&w->list.arena, 1, sizeof *missing);
    const char *pattern =
        name->hf == NULL || (w->lavis && name->lavis != NULL) ? name->lavis : name->hf;

    if (!b2_weight_name_fill(text, sizeof text, pattern, layer))
        return b2_fail(BLIP2_EINTERNAL, "the name of weight %d is too long", (int)id);
    if (missing == NULL ||
        (missing->name = b2_arena_strndup(&w->list.arena, text, strlen(text))) == NULL)
        return b2_fail_memory();
    missing->meaning = name->meaning;
    missing->next = NULL;
    *w->missing_tail = missing;
    w->missing_tail = &missing->next;
    return BLIP2_OK;
}

/* Drop dimensions of 1 in front, down to the rank that is expected. */
static void drop_ones(b2_tensor *t, uint32_t rank) {
    uint32_t drop = 0;

    while (t->rank - drop > rank && t->dim[drop] == 1)
        drop++;
    t->rank -= drop;
    memmove(t->dim, t->dim + drop, t->rank * sizeof *t->dim);
}

static blip2_status check_tensor(const b2_tensor *t, uint32_t rank, const int64_t *dims) {
    bool fits = t->rank == rank;
    char expected[128], actual[128];

    if (!t->usable || (t->type != B2_F32 && t->type != B2_F16 && t->type != B2_BF16))
        return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": expected type F32, F16 or BF16, got %s",
                       t->file, t->name, t->type_name);
    for (uint32_t i = 0; i < rank && fits; i++)
        fits = dims[i] == -1 || dims[i] == t->dim[i];
    if (fits)
        return BLIP2_OK;
    b2_shape_text(expected, sizeof expected, rank, dims);
    b2_shape_text(actual, sizeof actual, t->rank, t->dim);
    return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": expected shape %s, got %s", t->file, t->name,
                   expected, actual);
}

blip2_status b2_weights_take(b2_weights *weights, b2_weight_id id, uint32_t layer, uint32_t rank,
                             const int64_t *dims, b2_tensor *out) {
    b2_tensor *found = find_weight(weights, id, layer), *q, *v;
    b2_tensor tensor;
    blip2_status status;

    *out = (b2_tensor){0};
    if (found != NULL) {
        mark(weights, found, B2_TENSOR_TAKEN);
        tensor = *found;
    } else if (find_split(weights, id, layer, &q, &v)) {
        mark(weights, q, B2_TENSOR_TAKEN);
        mark(weights, v, B2_TENSOR_TAKEN);
        if ((status = join_bias(weights, q, v, &tensor)) < 0)
            return status;
    } else {
        return note_missing(weights, id, layer);
    }
    drop_ones(&tensor, rank);
    if ((status = check_tensor(&tensor, rank, dims)) == BLIP2_OK)
        *out = tensor;
    return status;
}

static bool ends_with(const char *name, const char *suffix) {
    size_t length = strlen(name), end = strlen(suffix);

    return length >= end && strcmp(name + length - end, suffix) == 0;
}

/* What files have and no model uses: buffers of BERT that hold 0, 1, 2, ..., Llama's of its angles,
 * and what comes behind the features in the original vision towers. */
static bool is_weight(const char *name) {
    static const char *const heads[] = {"visual_encoder.norm.", "visual_encoder.fc_norm.",
                                        "visual_encoder.head.", "visual_encoder.ln_post.",
                                        "visual_encoder.proj"};

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strncmp(name, heads[i], strlen(heads[i])) == 0)
            return false;
    return !ends_with(name, "position_ids") && !ends_with(name, "rotary_emb.inv_freq");
}

blip2_status b2_weights_finish(b2_weights *weights) {
    enum { SHOWN = 3 };
    b2_text_buffer text = {0};
    size_t count = 0;

    for (size_t i = 0; i < weights->list.count; i++)
        if (weights->use[i] == B2_TENSOR_UNUSED && is_weight(weights->list.item[i].name))
            b2_log_write(&weights->log, BLIP2_LOG_WARNING, "%s: tensor \"%s\" is not used",
                         weights->list.item[i].file, weights->list.item[i].name);
    for (const b2_missing *m = weights->missing; m != NULL; m = m->next) {
        b2_log_write(&weights->log, BLIP2_LOG_ERROR, "%s: tensor \"%s\" (%s) is missing",
                     weights->name, m->name, m->meaning);
        if (count < SHOWN)
            b2_text_appendf(&text, "%s\"%s\" (%s)", count > 0 ? ", " : "", m->name, m->meaning);
        count++;
    }
    if (count > SHOWN)
        b2_text_appendf(&text, " and %zu more", count - SHOWN);
    if (count > 0)
        (void)b2_fail(BLIP2_EFORMAT, "%s: %zu tensor%s missing: %s", weights->name, count,
                      count == 1 ? " is" : "s are", b2_text_data(&text));
    b2_text_free(&text);
    return count > 0 ? BLIP2_EFORMAT : BLIP2_OK;
}

size_t b2_weights_count(const b2_weights *weights) {
    return weights->list.count;
}

const b2_tensor *b2_weights_at(const b2_weights *weights, size_t index) {
    return index < weights->list.count ? weights->list.item + index : NULL;
}

void b2_weights_forget(const b2_weights *weights, const void *data, size_t size) {
    for (size_t i = 0; i < weights->map_count; i++)
        b2_file_map_forget(weights->maps + i, data, size);
}

bool b2_weights_used(const b2_weights *weights, size_t index) {
    return index < weights->list.count && weights->use[index] != B2_TENSOR_UNUSED;
}

bool b2_weights_taken(const b2_weights *weights, size_t index) {
    return index < weights->list.count && weights->use[index] == B2_TENSOR_TAKEN;
}

const b2_tensor *b2_weights_find(const b2_weights *weights, const char *name) {
    return find_name(weights, name);
}
