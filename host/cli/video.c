#include "video.h"

#include "base/status.h"

blip2_status b2_video_inputs(b2_inputs *out, const b2_settings *settings) {
    return (settings->video ? b2_inputs_expand_video : b2_inputs_expand)(out, settings->operands,
                                                                         settings->operand_count);
}

size_t b2_video_frames(const b2_input_name *name) {
    return name->frames != NULL ? name->frames->count : 0;
}

blip2_status b2_video_check(const b2_loaded *loaded, const char *prompt,
                            const blip2_generate_options *options) {
    uint32_t each = blip2_model_image_tokens(loaded->model);
    blip2_status status;
    int64_t room;

    if (loaded->frames == 0)
        return BLIP2_OK;
    if (!blip2_model_can(loaded->model, "video"))
        return b2_fail(BLIP2_ENOTSUP, "--video: this model reads no video, expected InstructBLIP");
    status = blip2_generate_room(loaded->engine, prompt, loaded->frames, options, &room);
    if (status == BLIP2_OK && room < 0)
        status = b2_fail(BLIP2_EINVAL,
                         "--video: %zu frames of %u tokens each, with prompt and answer, are %lld "
                         "tokens more than there is room for (--max-tokens): give fewer frames",
                         loaded->frames, each, -(long long)room);
    return status;
}
