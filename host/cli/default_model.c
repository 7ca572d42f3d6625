#include "default_model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/text_buffer.h"

#define IN_SOURCE BLIP2_SOURCE_DIR "/models/demo/"
#define IN_PREFIX BLIP2_DATA_DIR "/blip2/models/demo/"

/* "<prefix>/share/...", where the program is "<prefix>/bin/blip2"; NULL when out of memory. */
static char *installed_path(const char *demo) {
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    b2_text_buffer path = {0};

    program[length > 0 ? length : 0] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(program, '/');

        if (slash != NULL)
            *slash = '\0';
    }
    b2_text_appendf(&path, "%s/" IN_PREFIX "%s", program, demo);
    return b2_text_take(&path);
}

blip2_status b2_default_model(char **out, const char *demo) {
    const char *chosen = getenv("BLIP2_MODEL");
    b2_text_buffer source = {0};
    char *installed = NULL, *in_source = NULL;
    blip2_status status = BLIP2_OK;

    *out = NULL;
    if (chosen != NULL && *chosen != '\0') {
        *out = b2_strdup(chosen);
        return *out != NULL ? BLIP2_OK : b2_fail_memory();
    }
    b2_text_appendf(&source, IN_SOURCE "%s", demo);
    if ((in_source = b2_text_take(&source)) == NULL || (installed = installed_path(demo)) == NULL)
        status = b2_fail_memory();
    else if (access(installed, F_OK) == 0)
        *out = installed;
    else if (access(in_source, F_OK) == 0)
        *out = in_source;
    else
        status = b2_fail(BLIP2_EIO,
                         "no --model, BLIP2_MODEL is not set, and there is no demo model in %s "
                         "or %s",
                         installed, in_source);
    if (*out != installed)
        b2_free(installed);
    if (*out != in_source)
        b2_free(in_source);
    return status;
}
