#include "prompts.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

/* One {} where the question goes; an empty template is the question alone, as with LAVIS. */
static blip2_status check_template(const char *template) {
    const char *hole = template != NULL ? strstr(template, "{}") : NULL;

    if (template == NULL || *template == '\0' || (hole != NULL && strstr(hole + 2, "{}") == NULL))
        return BLIP2_OK;
    return b2_fail(BLIP2_EINVAL, "--prompt: got '%s', expected one {} where the question goes",
                   template);
}

blip2_status b2_prompts_open(b2_prompts *out, const b2_settings *settings, bool needed) {
    bool asked = needed || settings->questions.count > 0 || settings->question_file != NULL;
    blip2_status status;

    *out = (b2_prompts){.count = 1};
    if (!asked)
        return BLIP2_OK;
    if ((status = check_template(settings->prompt)) < 0 ||
        (status = b2_questions_open(&out->questions, settings)) < 0)
        return status;
    out->count = out->questions.count;
    return BLIP2_OK;
}

blip2_status b2_prompts_make(b2_prompts *prompts, const b2_settings *settings,
                             const char *template) {
    blip2_question asked = {.prompt = settings->prompt != NULL ? settings->prompt : template,
                            .context = settings->context,
                            .history = settings->history,
                            .caption = settings->caption};
    blip2_status status = BLIP2_OK;

    if (prompts->texts != NULL)
        return BLIP2_OK;
    if ((prompts->texts = b2_calloc(prompts->count, sizeof *prompts->texts)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < prompts->count && status == BLIP2_OK; i++) {
        if (prompts->questions.count > 0)
            asked.question = prompts->questions.read[i];
        status = blip2_question_prompt(&prompts->texts[i], &asked);
    }
    return status;
}

const char *b2_prompts_question(const b2_prompts *prompts, size_t i) {
    return prompts->questions.count > 0 ? prompts->questions.shown[i] : NULL;
}

void b2_prompts_free(b2_prompts *prompts) {
    for (size_t i = 0; i < prompts->count && prompts->texts != NULL; i++)
        blip2_string_free(prompts->texts[i]);
    b2_free(prompts->texts);
    b2_texts_free(&prompts->questions);
    *prompts = (b2_prompts){0};
}
