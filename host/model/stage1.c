#include "model/stage1.h"

#include "model/model.h"

static bool has(const b2_loader *loader, b2_weight_id id) {
    return b2_weights_has(loader->weights, id, 0);
}

blip2_status b2_stage1_load(b2_stage1 *stage1, b2_loader *loader, uint32_t width,
                            uint32_t itc_width) {
    int64_t any[2] = {-1, width}, w = itc_width;
    b2_tensor vision, temperature;
    blip2_status status = BLIP2_OK;

    stage1->contrasts = has(loader, B2_ITC_VISION_W) || has(loader, B2_ITC_TEXT_W);
    stage1->matches = has(loader, B2_ITM_W);
    if (has(loader, B2_ITC_TEMPERATURE) &&
        (status = b2_weights_take(loader->weights, B2_ITC_TEMPERATURE, 0, 0, any, &temperature)) ==
            BLIP2_OK)
        b2_to_f32(&stage1->temperature, temperature.data, temperature.type, 1);
    if (status == BLIP2_OK && stage1->contrasts && w == 0) {
        status = b2_weights_take(loader->weights, B2_ITC_VISION_W, 0, 2, any, &vision);
        w = vision.data != NULL ? vision.dim[0] : -1;
    }
    if (status == BLIP2_OK && stage1->contrasts &&
        (status = b2_load_dense(loader, &stage1->vision, B2_ITC_VISION_W, B2_ITC_VISION_B, 0, w,
                                width)) == BLIP2_OK)
        status = b2_load_dense(loader, &stage1->text, B2_ITC_TEXT_W, B2_ITC_TEXT_B, 0, w, width);
    if (status == BLIP2_OK && stage1->matches)
        status = b2_load_dense(loader, &stage1->match, B2_ITM_W, B2_ITM_B, 0, 2, width);
    return status;
}

blip2_status b2_stage1_project(const b2_run *run, const b2_dense *head, b2_mat y, b2_mat x) {
    blip2_status status = b2_dense_run(run, y, x, head, B2_ACT_NONE);

    return status < 0
               ? status
               : run->device->ops->l2_normalise(run->device, &(b2_l2_normalise){.x = y, .y = y});
}

float blip2_model_temperature(const blip2_model *model) {
    float own = model != NULL ? model->stage1.temperature : 0.0f;

    return own > 0.0f ? own : 0.07f;
}
