/* Pictures that were encoded, by content: each has a place in device memory with what the model
 * wants of it (model/encode.h). A picture that comes again, in another request or beside another
 * text, is not encoded again; when all places are taken, the one that was not needed for longest
 * goes. A place that a request needs is pinned.
 *
 * The workload: one picture with many questions, captions matched to pictures, every picture with
 * every text. A place of ViT-g's stage 1 takes 9.6 MB (keys and values; 2.4 MB more, in pages of
 * the KV pool, where the Q-Former writes captions: its queries' own), a soft prompt of OPT-2.7b 0.3
 * MB; encoding takes 0.5 TFLOP. */
#ifndef B2_IMAGES_H
#define B2_IMAGES_H
#include "model/encode.h"

typedef struct b2_image_place {
    uint8_t key[32]; /* SHA-256 of the picture */
    bool taken;
    bool ready;    /* what it holds is there; else a request will have it encoded */
    uint32_t pins; /* requests that need it */
    uint64_t used; /* when last, in acquisitions */
} b2_image_place;

typedef struct b2_images {
    uint32_t count;
    b2_image_place *places; /* [count] */
    b2_encode_places where; /* device memory of all places */
    uint64_t now;
    uint64_t hits, encoded; /* pictures found, and pictures encoded */
    uint64_t restored;      /* pictures whose features had been kept */
} b2_images;

/* Are keys and values of pictures kept, for texts to come? */
bool b2_images_keep_cross(const blip2_model *model);
/* Bytes of one place, and the device memory of all; with carver->base NULL only planned. */
size_t b2_images_place_bytes(const blip2_model *model);
void b2_images_carve(b2_images *images, b2_carver *carver, const blip2_model *model,
                     uint32_t places);
blip2_status b2_images_init(b2_images *images, uint32_t encoded_together); /* host memory */
void b2_images_free(b2_images *images);

/* Pin the picture's place, taking one if it has none. False: every place is pinned. */
bool b2_images_acquire(b2_images *images, const blip2_image *image, uint32_t *place);
/* Have a picture that was just pinned encoded again: what comes on the way there is wanted. False,
 * and it is unpinned: another request needs what is there. */
bool b2_images_renew(b2_images *images, uint32_t place);
/* Unpin. One that was never encoded is free again. */
void b2_images_release(b2_images *images, uint32_t place);

#endif
