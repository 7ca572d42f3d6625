/* The pictures that a command line names: files, folders (their PNG and JPEG files, sorted, without
 * sub-folders) and patterns that the shell left alone. Pictures are not read here: a list of
 * 100,000 names is small. */
#ifndef B2_INPUTS_H
#define B2_INPUTS_H
#include <stdbool.h>
#include <stddef.h>

#include "base/sha256.h"
#include "blip2.h"

typedef struct b2_input_name b2_input_name;

typedef struct b2_inputs {
    b2_input_name *names; /* [count] in the order of the command line */
    size_t count, capacity;
    bool many; /* more than one picture was asked for, or may have been: show names */
    int (*compare)(const void *a, const void *b); /* the order of a folder or pattern */
} b2_inputs;

struct b2_input_name {
    char *path;        /* as it is opened and shown */
    char *error;       /* NULL, or why it gives no picture */
    b2_inputs *frames; /* of a video; NULL: a picture */
};

/* What cannot be found is a name with an error; the call fails only for want of memory. */
blip2_status b2_inputs_expand(b2_inputs *out, char *const *operands, size_t count);
/* The same pictures as the frames of one input, which is called like the first operand. Those of a
 * folder or pattern are in the order of the numbers in their names. If one cannot be found the
 * input has its path and error. */
blip2_status b2_inputs_expand_video(b2_inputs *out, char *const *operands, size_t count);
/* Read the picture, or the frames. */
blip2_status b2_input_open(blip2_image **out, const b2_input_name *name);
/* Add what tells these pictures from others without reading them: each one's name, size and time of
 * last change. */
void b2_inputs_digest(const b2_inputs *inputs, b2_sha256 *sha);
void b2_inputs_free(b2_inputs *inputs);

#endif
