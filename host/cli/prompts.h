/* What the commands that ask hand to the model: questions in a template, behind what is known of
 * the picture. */
#ifndef B2_CLI_PROMPTS_H
#define B2_CLI_PROMPTS_H
#include "texts.h"

typedef struct b2_prompts {
    b2_texts questions; /* none: there is one prompt without a question */
    char **texts;       /* [count], once made */
    size_t count;       /* at least 1 */
} b2_prompts;

/* Read the questions of a command line. EINVAL: the template is none; no question where one is
 * needed. */
blip2_status b2_prompts_open(b2_prompts *out, const b2_settings *settings, bool needed);
/* Make the texts, once. template: where the command line gives none. */
blip2_status b2_prompts_make(b2_prompts *prompts, const b2_settings *settings,
                             const char *template);
/* A question as it was given; NULL: none was. */
const char *b2_prompts_question(const b2_prompts *prompts, size_t i);
void b2_prompts_free(b2_prompts *prompts);

#endif
