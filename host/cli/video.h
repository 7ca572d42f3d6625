/* --video: the pictures of a command line as the frames of one video, and the room that it leaves.
 */
#ifndef B2_CLI_VIDEO_H
#define B2_CLI_VIDEO_H
#include "inputs.h"
#include "loaded.h"

/* The inputs that a command line names: its pictures, or with --video one video. */
blip2_status b2_video_inputs(b2_inputs *out, const b2_settings *settings);
/* Frames of a video; 0: a picture, or what cannot be found. */
size_t b2_video_frames(const b2_input_name *name);
/* Before frames are read, of which there may be very many: ENOTSUP for a model that reads no video,
 * EINVAL if they have no room beside prompt and answer. Pictures pass. */
blip2_status b2_video_check(const b2_loaded *loaded, const char *prompt,
                            const blip2_generate_options *options);

#endif
