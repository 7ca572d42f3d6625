#include "load/pth.h"

#include <string.h>

bool b2_pth_is(const b2_file_map *map) {
    static const uint8_t zip[] = {'P', 'K', 3, 4}, pickle[] = {0x80, 2};

    return (map->size >= sizeof zip && memcmp(map->data, zip, sizeof zip) == 0) ||
           (map->size >= sizeof pickle && memcmp(map->data, pickle, sizeof pickle) == 0);
}

blip2_status b2_pth_parse(b2_tensor_list *list, const b2_file_map *map, const char *file) {
    (void)list;
    (void)map;
    return b2_fail(BLIP2_ENOTSUP, "%s: torch.save files are not supported yet", file);
}
