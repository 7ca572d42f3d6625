/* The texts that a command line names, with --text and --texts, as they are shown and as the model
 * reads them. */
#ifndef B2_TEXTS_H
#define B2_TEXTS_H
#include "arguments.h"
#include "base/text_buffer.h"

/* How texts are rewritten: blip2_clean_caption, blip2_clean_question; NULL: not. */
typedef blip2_status (*b2_clean_fn)(char **out, const char *text);

typedef struct b2_texts {
    char **shown; /* [count] as given */
    char **read;  /* [count] rewritten as LAVIS does; shown itself with --no-clean */
    size_t count, capacity;
} b2_texts;

/* First those of --text, then the lines of --texts that are not empty, as captions. EINVAL if there
 * is none. */
blip2_status b2_texts_open(b2_texts *out, const b2_settings *settings);
/* The same of --question and --questions. EINVAL: nothing is left of one, too. */
blip2_status b2_questions_open(b2_texts *out, const b2_settings *settings);
/* One more, [length] bytes without a zero. On failure the texts are as they were. */
blip2_status b2_texts_add(b2_texts *texts, const char *text, size_t length, b2_clean_fn clean);
void b2_texts_free(b2_texts *texts);

#endif
