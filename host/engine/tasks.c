#include "engine/tasks.h"

#include <string.h>

#include "engine/score.h"

const char *const b2_tasks[] = {"caption", "vqa", "video", "features", "match", "itm", "itc", NULL};

int blip2_model_can(const blip2_model *model, const char *task) {
    bool reads, itm, itc;

    if (model == NULL || task == NULL)
        return 0;
    reads = b2_score_possible(model);
    itm = reads && model->stage1.matches;
    itc = reads && model->stage1.contrasts;
    if (strcmp(task, "caption") == 0)
        return model->writer.kind != B2_WRITER_NONE;
    if (strcmp(task, "vqa") == 0)
        return model->config.language != B2_LANGUAGE_NONE;
    if (strcmp(task, "video") == 0)
        return model->config.instructed;
    if (strcmp(task, "features") == 0)
        return reads;
    if (strcmp(task, "match") == 0)
        return itm || itc;
    return strcmp(task, "itm") == 0 ? itm : strcmp(task, "itc") == 0 && itc;
}

uint32_t blip2_model_image_tokens(const blip2_model *model) {
    return model != NULL ? model->config.qformer.queries : 0;
}
