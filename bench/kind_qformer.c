/* Cases of the Q-Former of a LAVIS checkpoint, in every mode. A case doesn't say which one it is
 * about: what is given and what is expected do.
 *
 *   image          image_embeds
 *   text           input_ids
 *   joint          both
 *   causal         both, and logits are expected
 *   continued      both, and the cached keys of the queries are expected
 *
 * The original pads texts to one length; its rows of padding are not compared. */
#include <string.h>

#include "base/alloc.h"
#include "kinds.h"
#include "model/qformer.h"
#include "part.h"
#include "watch.h"

typedef enum mode { MODE_IMAGE, MODE_TEXT, MODE_JOINT, MODE_CAUSAL, MODE_CONTINUED } mode;

enum { PAGE_TOKENS = 16, PIECE = 3 /* of the text of a continued case, in its second run */ };

typedef struct qformer_case {
    part part;
    b2_lavis model;
    b2_qformer_config config;
    b2_qformer qformer;
    mode mode;
    verdict *v;
    int64_t dims[3];       /* of the image features: [B, n, vision width] */
    int32_t *ids;          /* [B, length] */
    uint32_t *text_counts; /* [B] without padding */
    uint32_t count, length;

    b2_qformer_space space;
    b2_qformer_pack pack;
    b2_mat features, cross_kv;
    void *pages;         /* of a continued case: those of sequence i are from i * page_count on */
    int32_t *page_table; /* device [B, page_count] */
    uint32_t page_count;
    b2_kv_layout kv;
    int64_t *row_of; /* [B, expected rows of a sequence] */
} qformer_case;

static bool reads_image(const qformer_case *c) {
    return c->mode != MODE_TEXT;
}

static bool reads_text(const qformer_case *c) {
    return c->mode != MODE_IMAGE;
}

/* ---- what is given ------------------------------------------------------------------------ */

static mode find_mode(const golden_case *golden, const json_t *names) {
    if (json_object_get(names, "input_ids") == NULL)
        return MODE_IMAGE;
    if (json_object_get(names, "image_embeds") == NULL)
        return MODE_TEXT;
    if (json_object_get(golden->tensor_names, "past_key_0") != NULL)
        return MODE_CONTINUED;
    return json_object_get(golden->tensor_names, "logits") != NULL ? MODE_CAUSAL : MODE_JOINT;
}

/* input_ids and, from attention_mask, how many of each text are no padding. */
static blip2_status read_text(qformer_case *c, const golden_case *golden) {
    int64_t ids_dims[2], mask_dims[2];
    int32_t *mask = NULL;
    blip2_status status = golden_given_ids(golden, "input_ids", 2, &c->ids, ids_dims);

    if (status == BLIP2_OK)
        status = golden_given_ids(golden, "attention_mask", 2, &mask, mask_dims);
    if (status == BLIP2_OK && (memcmp(ids_dims, mask_dims, sizeof ids_dims) != 0 ||
                               (c->count != 0 && ids_dims[0] != c->count)))
        status = b2_fail(BLIP2_EINVAL, "%s: inputs.tensors differ in shape", golden->file);
    if (status == BLIP2_OK) {
        c->count = (uint32_t)ids_dims[0];
        c->length = (uint32_t)ids_dims[1];
        if ((c->text_counts = b2_calloc(c->count, sizeof *c->text_counts)) == NULL)
            status = b2_fail_memory();
    }
    for (uint32_t i = 0; status == BLIP2_OK && i < c->count * c->length; i++)
        c->text_counts[i / c->length] += mask[i] != 0;
    b2_free(mask);
    return status;
}

static blip2_status qformer_open(qformer_case *c, const golden_case *golden, const char *device) {
    const char *name = NULL;
    int64_t any[2] = {-1, -1};
    b2_tensor key;
    blip2_status status = BLIP2_OK;

    if (reads_image(c)) {
        status = golden_given(golden, "image_embeds", 3, &c->part.given, c->dims);
        c->count = (uint32_t)c->dims[0];
    }
    if (status == BLIP2_OK && reads_text(c))
        status = read_text(c, golden);
    if (status < 0 || (status = part_model_name(golden, NULL, &name)) < 0 ||
        (status = part_model(&c->model, golden, name)) < 0)
        return status;
    if ((status = part_open(&c->part, device, &c->model)) < 0 ||
        (status = b2_weights_take(c->part.weights, B2_QF_CROSS_K_W, 0, 2, any, &key)) < 0)
        return status;
    if (key.data == NULL || key.dim[1] > INT32_MAX)
        return b2_fail(BLIP2_EINVAL, "%s: a Q-Former without cross-attention", c->model.directory);
    if ((status = b2_lavis_qformer_config(&c->model, (uint32_t)key.dim[1], &c->config)) < 0 ||
        (status = b2_qformer_load(&c->qformer, &c->part.loader, &c->config)) < 0 ||
        (status = b2_loader_begin_make(&c->part.loader)) < 0)
        return status;
    return b2_qformer_load(&c->qformer, &c->part.loader, &c->config);
}

/* ---- workspace ---------------------------------------------------------------------------- */

static void carve(qformer_case *c, b2_carver *carver) {
    uint32_t rows = c->count * ((reads_image(c) ? c->config.queries : 0) + c->length);

    if (reads_image(c)) {
        c->features = b2_carve_mat(carver, B2_F32, c->dims[0] * c->dims[1], c->dims[2]);
        c->cross_kv = b2_carve_mat(carver, B2_F32, c->features.rows, c->qformer.cross_kv.rows);
    }
    b2_qformer_carve(&c->space, carver, &c->qformer, rows,
                     c->qformer.writes_text ? c->count * c->length : 0);
    b2_qformer_pack_carve(&c->pack, carver, c->config.queries, c->count, rows);
    if (c->mode == MODE_CONTINUED) {
        c->pages = b2_carve(carver, (size_t)c->count * c->page_count, c->kv.page_bytes);
        c->page_table = b2_carve(carver, (size_t)c->count * c->page_count, sizeof *c->page_table);
    }
}

static blip2_status send_page_table(qformer_case *c) {
    size_t count = (size_t)c->count * c->page_count;
    int32_t *host = b2_alloc_array(count, sizeof *host);
    blip2_status status;

    if (host == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++)
        host[i] = (int32_t)i;
    status = c->part.device->ops->upload(c->part.device, c->page_table, host, count * sizeof *host);
    b2_free(host);
    return status;
}

static blip2_status make_workspace(qformer_case *c) {
    b2_device *device = c->part.device;
    const b2_qformer_config *config = &c->config;
    b2_carver carver = {0};
    blip2_status status;

    c->kv = (b2_kv_layout){.type = B2_F32,
                           .layers = config->layers,
                           .heads = config->heads,
                           .head_size = config->width / config->heads,
                           .page_tokens = PAGE_TOKENS};
    c->kv.page_bytes =
        (size_t)config->layers * 2 * config->width * PAGE_TOKENS * b2_type_size(B2_F32);
    c->page_count = (config->queries + c->length + PAGE_TOKENS - 1) / PAGE_TOKENS;
    carve(c, &carver);
    if ((status = part_allocate(&c->part, &carver)) < 0)
        return status;
    carve(c, &carver);
    c->row_of = b2_alloc_array((size_t)c->count * (config->queries + c->length), sizeof *c->row_of);
    if (c->row_of == NULL)
        return b2_fail_memory();
    if ((status = b2_qformer_pack_init(&c->pack)) < 0 ||
        (c->mode == MODE_CONTINUED && (status = send_page_table(c)) < 0))
        return status;
    if (!reads_image(c))
        return BLIP2_OK;
    status =
        device->ops->upload(device, c->features.data, c->part.given,
                            (size_t)(c->features.rows * c->features.cols) * b2_type_size(B2_F32));
    return status < 0 ? status
                      : b2_qformer_read_images(&c->qformer, &(b2_run){.device = device},
                                               c->features, c->cross_kv);
}

/* ---- running ------------------------------------------------------------------------------ */

/* Segments of all sequences, with text first .. last-1 as far as there is. */
static blip2_status pack_all(qformer_case *c, bool queries, uint32_t first, uint32_t last) {
    uint32_t q = c->config.queries, pages = c->page_count * PAGE_TOKENS;
    int32_t *slots = b2_alloc_array((size_t)q + c->length, sizeof *slots);
    bool room = true;

    if (slots == NULL)
        return b2_fail_memory();
    b2_qformer_pack_begin(&c->pack, c->mode == MODE_CAUSAL ? B2_MASK_QFORMER_CAUSAL : B2_MASK_ALL);
    for (uint32_t i = 0; i < c->count && room; i++) {
        uint32_t end = reads_text(c) && c->text_counts[i] < last ? c->text_counts[i] : last;
        uint32_t from = queries ? 0 : q + first, n = end > first ? end - first : 0;
        b2_qformer_segment segment = {.has_queries = queries,
                                      .image_first = i * (uint32_t)c->dims[1],
                                      .image_rows = (uint32_t)c->dims[1],
                                      .ids = n > 0 ? c->ids + i * c->length + first : NULL,
                                      .text_count = n};

        for (uint32_t k = 0; k < (queries ? q : 0) + n; k++)
            slots[k] = (int32_t)(i * pages + from + k);
        segment.slots = slots;
        if (c->mode == MODE_CONTINUED && !queries) { /* behind what stands in pages */
            segment.past = q + first;
            segment.position = first;
        }
        room = b2_qformer_pack_add(&c->pack, &segment);
    }
    b2_free(slots);
    return room ? b2_qformer_pack_send(&c->pack, c->part.device)
                : b2_fail(BLIP2_EINTERNAL, "the workspace of a case is too small");
}

/* Where row `r` of what is expected of sequence i stands in x: queries, then text; -1: padding. */
static int64_t place_of(const qformer_case *c, uint32_t i, uint32_t r, uint32_t queries,
                        uint32_t first) {
    if (r < queries)
        return b2_qformer_query_row(&c->pack, i) + r;
    r -= queries;
    if (r < first || r - first >= c->pack.text_count[i])
        return -1;
    return b2_qformer_text_row(&c->pack, i) + r - first;
}

static blip2_status run_pack(qformer_case *c, watch *w, b2_mat *x) {
    b2_run run = {.device = c->part.device, .trace = w != NULL ? &w->trace : NULL};
    blip2_status status =
        b2_qformer_run(&c->qformer, &run, &c->space, &c->pack.batch, c->cross_kv, x);

    return status == BLIP2_OK && w != NULL ? w->status : status;
}

/* Logits of every text row of x [.., C] against the expected tensor. */
static blip2_status compare_logits(qformer_case *c, b2_mat x, const char *name, uint32_t first) {
    b2_run run = {.device = c->part.device};
    b2_mat text = b2_mat_rows(x, c->pack.batch.query_rows, c->pack.batch.text_rows), logits;
    float *got = NULL;
    blip2_status status = b2_qformer_logits(&c->qformer, &run, &c->space, text, NULL,
                                            c->pack.batch.text_rows, &logits);

    if (status == BLIP2_OK)
        status = bench_download(c->part.device, &logits, &got);
    for (uint32_t i = 0; i < c->count; i++)
        for (uint32_t r = 0; r < c->length; r++) {
            int64_t row = place_of(c, i, r, 0, first);

            c->row_of[i * c->length + r] = row < 0 ? -1 : row - c->pack.batch.query_rows;
        }
    if (status == BLIP2_OK)
        status = verdict_tensor(c->v, name, got, logits.rows, logits.cols, c->row_of);
    b2_free(got);
    return status;
}

/* One batch, and all its hidden states. */
static blip2_status run_once(qformer_case *c, b2_mat *x) {
    static const watch_name names[] = {{"qformer.hidden", "hidden_", true}};
    bool queries = c->mode != MODE_TEXT && c->mode != MODE_CONTINUED;
    uint32_t q = queries ? c->config.queries : 0;
    uint32_t rows = q + (reads_text(c) ? c->length : 0);
    watch w;
    blip2_status status = pack_all(c, queries, 0, c->length);

    watch_init(&w, c->part.device, c->v, names, sizeof names / sizeof *names);
    for (uint32_t i = 0; i < c->count; i++)
        for (uint32_t r = 0; r < rows; r++)
            c->row_of[i * rows + r] = place_of(c, i, r, q, 0);
    w.row_of = c->row_of;
    if (c->mode == MODE_CONTINUED) {
        c->pack.batch.kv = (b2_kv_view){c->pages, c->kv, 0, c->page_table, c->page_count};
        c->pack.batch.rule = B2_MASK_CAUSAL;
    }
    return status < 0 ? status : run_pack(c, &w, x);
}

/* Keys (which 0) or values of the queries in the pages of a layer, as the original caches them. */
static blip2_status compare_past(qformer_case *c, const char *name, uint32_t layer,
                                 uint32_t which) {
    uint32_t q = c->config.queries, d = c->kv.head_size;
    float *got = b2_alloc_array((size_t)c->count * q * c->config.width, sizeof *got), *to = got;
    b2_device *device = c->part.device;
    blip2_status status = got != NULL ? BLIP2_OK : b2_fail_memory();

    for (uint32_t i = 0; i < c->count; i++)
        for (uint32_t h = 0; h < c->kv.heads; h++)
            for (uint32_t r = 0; r < q && status == BLIP2_OK; r++, to += d) {
                size_t page = i * c->page_count + r / PAGE_TOKENS;
                size_t at = page * c->kv.page_bytes +
                            b2_kv_offset(&c->kv, layer, which, h, r % PAGE_TOKENS) * sizeof *got;

                status =
                    device->ops->download(device, to, (const char *)c->pages + at, d * sizeof *got);
            }
    if (status == BLIP2_OK)
        status = verdict_tensor(c->v, name, got, (int64_t)c->count * c->kv.heads * q, d, NULL);
    b2_free(got);
    return status;
}

/* The queries' keys and values into pages; then the text, at once and in two pieces. */
static blip2_status run_continued(qformer_case *c) {
    const b2_kv_view into = {c->pages, c->kv, 0, NULL, 0};
    const b2_kv_view from = {c->pages, c->kv, 0, c->page_table, c->page_count};
    b2_mat x;
    blip2_status status = pack_all(c, true, 0, 0);

    if (status < 0)
        return status;
    c->pack.batch.kv = into;
    if ((status = run_pack(c, NULL, &x)) < 0 ||
        (status = compare_past(c, "past_key_0", 0, 0)) < 0 ||
        (status = compare_past(c, "past_value_last", c->config.layers - 1, 1)) < 0 ||
        (status = run_once(c, &x)) < 0 || (status = compare_logits(c, x, "logits", 0)) < 0 ||
        !verdict_expects(c->v, "logits_two_pieces") || (status = pack_all(c, false, 0, PIECE)) < 0)
        return status;
    for (uint32_t piece = 0; piece < 2; piece++) {
        if (piece == 1 && (status = pack_all(c, false, PIECE, c->length)) < 0)
            return status;
        c->pack.batch.kv = from;
        c->pack.batch.rule = B2_MASK_CAUSAL;
        if ((status = run_pack(c, NULL, &x)) < 0 ||
            (status = compare_logits(c, x, "logits_two_pieces", piece * PIECE)) < 0)
            return status;
    }
    return BLIP2_OK;
}

blip2_status run_qformer(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"tensors", NULL};
    static const char *const given[] = {"image_embeds", "input_ids", "attention_mask", NULL};
    const json_t *names = json_object_get(json_object_get(golden->inputs, "tensors"), "names");
    qformer_case c = {.mode = find_mode(golden, names), .v = v};
    b2_mat x;
    blip2_status status = golden_only(golden->inputs, "inputs.", known);

    if (status == BLIP2_OK)
        status = golden_only(names, "inputs.tensors.", given);
    if (status == BLIP2_OK && json_object_get(golden->inputs, "tensors") != NULL &&
        (status = qformer_open(&c, golden, device)) == BLIP2_OK &&
        (status = make_workspace(&c)) == BLIP2_OK) {
        status = c.mode == MODE_CONTINUED ? run_continued(&c) : run_once(&c, &x);
        if (status == BLIP2_OK && c.mode == MODE_CAUSAL)
            status = compare_logits(&c, x, "logits", 0);
    }
    b2_qformer_pack_free(&c.pack);
    part_close(&c.part);
    b2_qformer_free(&c.qformer);
    b2_lavis_close(&c.model);
    b2_free(c.ids);
    b2_free(c.text_counts);
    b2_free(c.row_of);
    return status;
}
