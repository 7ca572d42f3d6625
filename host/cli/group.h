/* Pictures that are decoded and submitted together, and their results, printed in input order as
 * soon as everything before them is there. A long list goes through in groups, so that memory does
 * not grow with it. */
#ifndef B2_GROUP_H
#define B2_GROUP_H
#include "arguments.h"
#include "inputs.h"
#include "progress.h"

typedef struct b2_group_item {
    const char *path;   /* borrowed from the inputs */
    size_t frames;      /* of a video; 0: a picture */
    blip2_image *image; /* NULL: it could not be read */
    char *text;         /* the result, once it is there */
    char *error;        /* why there will be none */
    size_t tokens;      /* new tokens */
} b2_group_item;

typedef struct b2_group {
    const b2_settings *settings;
    b2_progress *progress;
    bool show_names;
    bool formatted; /* texts are whole lines, printed as they are */
    bool streamed;  /* the text of the (only) picture has been printed piece by piece */

    size_t most;          /* pictures of a group */
    b2_group_item *items; /* [most], count in use */
    size_t count, printed;
    blip2_input *inputs; /* [most] for blip2_generate: items with a picture, input_count of them */
    size_t *item_of;     /* [most] of each input */
    size_t input_count;
    size_t unreadable; /* pictures so far, of all groups */
    size_t taken;      /* pictures so far of b2_group_run, those of this group included */

    b2_exit_code code; /* the worst so far, of all groups */
    bool stopped;      /* the output cannot be written */
} b2_group;

blip2_status b2_group_init(b2_group *group, const b2_settings *settings, b2_progress *progress,
                           const b2_inputs *inputs);
void b2_group_free(b2_group *group);

/* Empty the group and read pictures of inputs from number `first` on; the number after the last
 * one taken. */
size_t b2_group_fill(b2_group *group, const b2_inputs *inputs, size_t first);
/* The text of input `index` (of group->inputs) is there; NULL: there was no memory for it. */
void b2_group_finish(b2_group *group, size_t index, const char *text, size_t tokens);
/* What has been printed must reach stdout; if it cannot, the group is stopped. */
void b2_group_flush(b2_group *group);
/* Print what can be printed. */
void b2_group_print(b2_group *group);
/* All pictures of inputs, group by group: answer(context) finishes the texts of every group that
 * has a picture. opened: how the preparations went; where they failed, the group has at least its
 * settings and progress. Failures are told, and go into group->code. */
void b2_group_run(b2_group *group, const b2_inputs *inputs, blip2_status opened,
                  blip2_status (*answer)(void *context), void *context);

#endif
