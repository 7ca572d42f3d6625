/* Cases of LAVIS's text processors. */
#include <string.h>

#include "kinds.h"
#include "text/clean_text.h"

/* What expect.<name> holds: each text cleaned in this way. */
typedef struct cleaning {
    const char *name;
    bool question;
    const char *prompt;
    size_t max_words;
} cleaning;

static blip2_status clean(const cleaning *how, const json_t *text, json_t *out) {
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text);
    b2_text_buffer cleaned = {0};
    blip2_status status =
        how->question ? b2_clean_question(bytes, length, how->max_words, &cleaned)
                      : b2_clean_caption(bytes, length, how->prompt, how->max_words, &cleaned);

    if (status == BLIP2_OK &&
        json_array_append_new(out, json_stringn(b2_text_data(&cleaned), cleaned.length)) != 0)
        status = b2_fail_memory();
    b2_text_free(&cleaned);
    return status;
}

blip2_status run_text_cleaning(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"texts", NULL};
    static const cleaning ways[] = {
        {"blip_caption", false, "", B2_CLEAN_MAX_WORDS},
        {"blip_caption_prompt", false, "a photo of ", B2_CLEAN_MAX_WORDS},
        {"blip_caption_max4", false, "", 4},
        {"blip_question", true, NULL, B2_CLEAN_MAX_WORDS},
    };
    const json_t *texts;
    blip2_status status;

    (void)device;
    if ((status = golden_only(golden->inputs, "inputs.", known)) < 0 ||
        (status = golden_strings(golden, "texts", &texts)) < 0)
        return status;
    for (size_t i = 0; i < sizeof ways / sizeof *ways && status == BLIP2_OK; i++) {
        json_t *all = json_array();

        for (size_t k = 0; k < json_array_size(texts) && status == BLIP2_OK; k++)
            status = clean(ways + i, json_array_get(texts, k), all);
        if (status == BLIP2_OK)
            status = verdict_value(v, ways[i].name, all, NULL);
        else
            json_decref(all);
    }
    return status;
}
