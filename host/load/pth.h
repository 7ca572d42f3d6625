/* Inside load/: what torch.save writes, read without running any of it. */
#ifndef B2_PTH_H
#define B2_PTH_H
#include "base/file.h"
#include "load/tensors.h"

/* Is this the beginning of such a file (either layout)? */
bool b2_pth_is(const b2_file_map *map);

/* Append every tensor of the state dict (under "model", or the whole file) to list, in its order.
 * Data points into `map`, or into the list's arena where a view is not contiguous. file: its name
 * for messages, living as long as the list. EFORMAT for anything but tensors and plain values. On
 * failure the list may have grown. */
blip2_status b2_pth_parse(b2_tensor_list *list, const b2_file_map *map, const char *file);

#endif
