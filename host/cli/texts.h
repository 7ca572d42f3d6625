/* The texts that a command line names, with --text and --texts, as they are shown and as the model
 * reads them. */
#ifndef B2_TEXTS_H
#define B2_TEXTS_H
#include "arguments.h"

typedef struct b2_texts {
    char **shown; /* [count] as given */
    char **read;  /* [count] rewritten as LAVIS's blip_caption does; shown itself with --no-clean */
    size_t count, capacity;
} b2_texts;

/* First those of --text, then the lines of --texts that are not empty. EINVAL if there is none. */
blip2_status b2_texts_open(b2_texts *out, const b2_settings *settings);
/* One more, [length] bytes without a zero. On failure the texts are as they were. */
blip2_status b2_texts_add(b2_texts *texts, const char *text, size_t length, bool clean);
void b2_texts_free(b2_texts *texts);

#endif
