/* A folder being written: its files go into "path.tmp-XXXXXX" beside it, which commit renames, so
 * that path is never half a folder. */
#ifndef B2_FOLDER_H
#define B2_FOLDER_H
#include "base/status.h"

typedef struct b2_folder_writer {
    char *path;
    char *temporary; /* where files are to be put until commit */
} b2_folder_writer;

/* EIO where path is there already and is no empty folder, or cannot be made. */
blip2_status b2_folder_writer_open(b2_folder_writer *out, const char *path);
/* A folder inside the one being written. */
blip2_status b2_folder_writer_sub(const b2_folder_writer *writer, const char *name, char **out);
blip2_status b2_folder_writer_commit(b2_folder_writer *writer); /* forgets the writer in any case */
/* Removes what was written; nothing after a commit. */
void b2_folder_writer_abandon(b2_folder_writer *writer);

#endif
