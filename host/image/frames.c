/* Videos: several pictures as one image. */
#include <string.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "image/image.h"

enum { MOST_FRAMES = 1 << 16 };

static blip2_status check(const blip2_image *const *frames, size_t count) {
    if (frames == NULL || count == 0 || count > MOST_FRAMES)
        return b2_fail(BLIP2_EINVAL, "blip2_image_from_frames: %zu frames%s, expected 1 to %d",
                       count, frames == NULL ? " at NULL" : "", MOST_FRAMES);
    for (size_t i = 0; i < count; i++)
        if (frames[i] == NULL || frames[i]->frame_count > 0)
            return b2_fail(BLIP2_EINVAL, "blip2_image_from_frames: frame %zu is %s", i,
                           frames[i] == NULL ? "NULL" : "a video, expected a picture");
    return BLIP2_OK;
}

blip2_status blip2_image_from_frames(blip2_image **out, const blip2_image *const *frames,
                                     size_t count) {
    blip2_image *video;
    b2_sha256 sha;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_image_from_frames: out is NULL");
    *out = NULL;
    if ((status = check(frames, count)) < 0)
        return status;
    if ((video = b2_calloc(1, sizeof *video)) == NULL ||
        (video->frames = b2_calloc(count, sizeof(blip2_image *))) == NULL) {
        blip2_image_free(video);
        return b2_fail_memory();
    }
    video->width = frames[0]->width;
    video->height = frames[0]->height;
    b2_sha256_init(&sha);
    for (size_t i = 0; i < count; i++) {
        const blip2_image *f = frames[i];

        status = blip2_image_from_rgb(&video->frames[i], f->rgb, f->width, f->height,
                                      (size_t)f->width * 3);
        if (status < 0) {
            blip2_image_free(video);
            return status;
        }
        video->frame_count++;
        b2_sha256_update(&sha, f->sha256, sizeof f->sha256);
    }
    b2_sha256_final(&sha, video->sha256);
    *out = video;
    return BLIP2_OK;
}
