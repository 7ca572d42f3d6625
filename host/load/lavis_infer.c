/* LAVIS keeps the sizes of its models in code: its files are tensors alone, from which most sizes
 * can be read. How wide an attention head is shows in none of them. */
#include "load/lavis.h"

enum {
    EVA_HEAD = 88,
    CLIP_HEAD = 64,
    BERT_HEAD = 64,
    EVA_LAYERS = 39, /* that LAVIS builds; the file has one more */
    BERT_POSITIONS = 512,
    MAX_LAYERS = 1024
};

typedef struct reader {
    b2_weights *weights;
    blip2_status status; /* the first failure sticks */
} reader;

/* A tensor of this rank and any size; false if there is none, or after a failure. */
static bool find(reader *r, b2_tensor *out, b2_weight_id id, uint32_t rank) {
    static const int64_t any[4] = {-1, -1, -1, -1};

    *out = (b2_tensor){0};
    if (r->status == BLIP2_OK && b2_weights_has(r->weights, id, 0))
        r->status = b2_weights_take(r->weights, id, 0, rank, any, out);
    return r->status == BLIP2_OK && out->data != NULL;
}

static void fail(reader *r, const char *what, const char *text) {
    const b2_tensor *first = b2_weights_at(r->weights, 0);

    if (r->status == BLIP2_OK)
        r->status = b2_fail(BLIP2_EFORMAT, "%s: %s %s", first != NULL ? first->file : "checkpoint",
                            what, text);
}

/* Axis `axis` of a tensor that must be there; 1 after a failure. */
static uint32_t size_of(reader *r, b2_weight_id id, const char *what, uint32_t rank,
                        uint32_t axis) {
    b2_tensor tensor;

    if (!find(r, &tensor, id, rank)) {
        fail(r, what, "is missing: is this a BLIP-2 checkpoint of LAVIS?");
        return 1;
    }
    if (tensor.dim[axis] < 1 || tensor.dim[axis] > 1 << 20) {
        fail(r, what, "has no size that a model has");
        return 1;
    }
    return (uint32_t)tensor.dim[axis];
}

static uint32_t count_layers(const reader *r, b2_weight_id id) {
    uint32_t count = 0;

    while (count < MAX_LAYERS && b2_weights_has(r->weights, id, count))
        count++;
    return count;
}

static uint32_t heads_of(reader *r, const char *what, uint32_t width, uint32_t given,
                         uint32_t size) {
    uint32_t heads = given != 0 ? given : width / size;

    if (r->status < 0)
        return 1;
    if (heads == 0 || width % heads != 0 || (given == 0 && width % size != 0)) {
        r->status = given != 0 ? b2_fail(BLIP2_EFORMAT, "%s of width %u has no %u heads", what,
                                         width, given)
                               : b2_fail(BLIP2_EFORMAT,
                                         "%s of width %u has no heads of %u as LAVIS's have: the "
                                         "number of heads must be given",
                                         what, width, size);
        return 1;
    }
    return heads;
}

/* The side of the pictures that the position table was made for. */
static uint32_t image_of(reader *r, uint32_t patch) {
    uint32_t rows = size_of(r, B2_VIT_POS, "the vision position table", 2, 0) - 1;
    uint32_t grid = 1;

    while (grid * grid < rows)
        grid++;
    if (grid * grid != rows)
        fail(r, "the vision position table", "is that of no square picture");
    return grid * patch;
}

static void infer_vit(reader *r, b2_vit_config *vit, const b2_lavis_sizes *sizes) {
    uint32_t layers = count_layers(r, B2_VIT_LN1_W);

    *vit = (b2_vit_config){.post_eps = 1e-5f, .resize_positions = true};
    if (!b2_weights_has(r->weights, B2_VIT_PATCH_W, 0)) {
        fail(r, "the vision tower", "is not in it: its file must be named as well");
        return;
    }
    vit->clip = b2_weights_find(r->weights, "visual_encoder.conv1.weight") != NULL;
    vit->act = vit->clip ? B2_ACT_QUICK_GELU : B2_ACT_GELU;
    vit->block_eps = vit->clip ? 1e-5f : 1e-6f;
    vit->width = size_of(r, B2_VIT_PATCH_W, "the vision patch weight", 4, 0);
    vit->patch = size_of(r, B2_VIT_PATCH_W, "the vision patch weight", 4, 3);
    vit->ffn = size_of(r, B2_VIT_FC1_W, "the vision mlp of layer 0", 2, 0);
    if (!vit->clip && layers > EVA_LAYERS)
        layers = EVA_LAYERS;
    vit->layers = sizes->vit_layers != 0 ? sizes->vit_layers : layers;
    vit->heads = heads_of(r, "a vision tower", vit->width, sizes->vit_heads,
                          vit->clip ? CLIP_HEAD : EVA_HEAD);
    vit->image = sizes->image != 0 ? sizes->image : image_of(r, vit->patch);
    if (r->status == BLIP2_OK && vit->image % vit->patch != 0)
        r->status = b2_fail(BLIP2_EINVAL,
                            "pictures of %u pixels are no whole number of patches of "
                            "%u",
                            vit->image, vit->patch);
}

static void infer_qformer(reader *r, b2_qformer_config *q, const b2_lavis_sizes *sizes) {
    b2_tensor positions;

    *q = (b2_qformer_config){.act = B2_ACT_GELU, .eps = 1e-12f, .positions = BERT_POSITIONS};
    q->queries = size_of(r, B2_QF_QUERIES, "query_tokens", 2, 0);
    q->width = size_of(r, B2_QF_QUERIES, "query_tokens", 2, 1);
    q->layers = count_layers(r, B2_QF_SELF_Q_W);
    q->ffn = size_of(r, B2_QF_QUERY_FC1_W, "the Q-Former's mlp of layer 0", 2, 0);
    q->heads = heads_of(r, "a Q-Former", q->width, sizes->qformer_heads, BERT_HEAD);
    if (find(r, &positions, B2_QF_POSITIONS, 2) && positions.dim[0] <= 1 << 20)
        q->positions = (uint32_t)positions.dim[0];
    q->cross_every = 1;
    while (q->cross_every < q->layers &&
           !b2_weights_has(r->weights, B2_QF_CROSS_Q_W, q->cross_every))
        q->cross_every++;
}

blip2_status b2_lavis_infer(b2_config *out, b2_weights *weights, const b2_lavis_sizes *sizes) {
    reader r = {.weights = weights};
    b2_config config;

    b2_config_default(&config);
    infer_qformer(&r, &config.qformer, sizes);
    infer_vit(&r, &config.vit, sizes);
    config.qformer.vision_width = config.vit.width;
    config.qformer.text_input = b2_weights_has(weights, B2_QF_WORDS, 0);
    config.image.width = config.image.height = config.vit.image;
    config.itc_width = 0; /* as the checkpoint has it */
    *out = r.status == BLIP2_OK ? config : (b2_config){0};
    return r.status;
}
