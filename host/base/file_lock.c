#define _GNU_SOURCE /* F_OFD_SETLK */
#include <errno.h>
#include <fcntl.h>

#include "base/file.h"

bool b2_file_lock(int fd) {
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

#ifdef F_OFD_SETLK
    if (fcntl(fd, F_OFD_SETLK, &all) == 0)
        return true;
    if (errno != EINVAL) /* a kernel that does not know it */
        return false;
#endif
    return fcntl(fd, F_SETLK, &all) == 0;
}
