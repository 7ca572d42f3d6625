/* Which checkpoint is meant when none is named. */
#ifndef B2_DEFAULT_MODEL_H
#define B2_DEFAULT_MODEL_H
#include "blip2.h"

/* The demo models, by their folders. */
#define B2_DEMO_CAPTION "caption"
#define B2_DEMO_MATCH "match"
#define B2_DEMO_LAVIS "lavis"

/* $BLIP2_MODEL; or else that demo model, installed beside the program or in the folder that the
 * program was built from. *out is yours to b2_free. EIO if there is none. */
blip2_status b2_default_model(char **out, const char *demo);

#endif
