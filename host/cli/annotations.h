/* Which captions belong to which pictures: COCO's and Flickr's files in the split of Karpathy, and
 * LAVIS's retrieval files made of them. */
#ifndef B2_ANNOTATIONS_H
#define B2_ANNOTATIONS_H
#include "inputs.h"

typedef struct b2_annotation {
    char **captions; /* [count] */
    size_t count;
} b2_annotation;

typedef struct b2_annotations {
    b2_inputs pictures;     /* names with their paths */
    b2_annotation *entries; /* [pictures.count] in the same order */
} b2_annotations;

/* Read {"images": [{"filename", "filepath" or none, "split", "sentences": [{"raw"}]}]} of that
 * split, or [{"image", "caption": text or [text]}]. Pictures are in `folder`; NULL: where the file
 * is. EFORMAT with the entry's number; EINVAL if there is no picture. */
blip2_status b2_annotations_open(b2_annotations *out, const char *file, const char *folder,
                                 const char *split);
void b2_annotations_free(b2_annotations *annotations);

#endif
