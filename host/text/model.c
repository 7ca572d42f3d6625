#include "text/model.h"

#include <string.h>

blip2_status b2_model_read(b2_model *out, b2_arena *arena, b2_fields *fields, const json_t *json) {
    b2_fields inside = {fields->file, "model.", BLIP2_OK};
    const json_t *type = json_object_get(json, "type");
    const char *name = json_string_value(type);

    if (!json_is_object(json)) {
        b2_field_fail(fields, "model", "an object", json);
        return fields->status;
    }
    /* Files from before 2020 have no type; merges are what only a BPE has. */
    if (type == NULL && json_object_get(json, "merges") != NULL)
        name = "BPE";
    if (name == NULL) {
        b2_field_fail(&inside, "type", "the name of a model", type);
        return inside.status;
    }
    if (strcmp(name, "BPE") == 0) {
        out->kind = B2_MODEL_BPE;
        return b2_bpe_read(&out->bpe, &out->vocabulary, arena, &inside, json);
    }
    if (strcmp(name, "WordPiece") == 0) {
        out->kind = B2_MODEL_WORDPIECE;
        return b2_wordpiece_read(&out->wordpiece, &out->vocabulary, arena, &inside, json);
    }
    if (strcmp(name, "Unigram") == 0) {
        out->kind = B2_MODEL_UNIGRAM;
        return b2_unigram_read(&out->unigram, &out->vocabulary, arena, &inside, json,
                               out->exact_scores);
    }
    return b2_fail(BLIP2_ENOTSUP, "%s: model \"%.40s\" is not supported", fields->file, name);
}

blip2_status b2_model_encode(const b2_model *model, b2_model_scratch *scratch, const char *piece,
                             size_t length, b2_tokens *out) {
    switch (model->kind) {
    case B2_MODEL_WORDPIECE:
        return b2_wordpiece_encode(&model->wordpiece, piece, length, out);
    case B2_MODEL_UNIGRAM:
        return b2_unigram_encode(&model->unigram, &scratch->unigram, piece, length, out);
    case B2_MODEL_BPE:
        break;
    }
    return b2_bpe_encode(&model->bpe, &scratch->bpe, piece, length, out);
}

void b2_model_scratch_free(b2_model_scratch *scratch) {
    b2_bpe_scratch_free(&scratch->bpe);
    b2_unigram_scratch_free(&scratch->unigram);
}
