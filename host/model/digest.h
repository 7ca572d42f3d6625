/* Which model this is, for files that hold what it computed. */
#ifndef B2_DIGEST_H
#define B2_DIGEST_H
#include "model/model.h"

/* At loading: the small files of its folders (configuration, vocabulary). */
blip2_status b2_model_digest_files(blip2_model *model);

#endif
