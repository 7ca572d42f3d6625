/* Inside load/: the safetensors format. */
#ifndef B2_SAFETENSORS_H
#define B2_SAFETENSORS_H
#include <jansson.h>

#include "base/file.h"
#include "load/tensors.h"

/* Append every tensor of a whole safetensors file to list, in the order of their data. Data points
 * into `map`. file: its name for messages, living as long as the list. EFORMAT for what the
 * reference parser would refuse. On failure the list may have grown. */
blip2_status b2_safetensors_parse(b2_tensor_list *list, const b2_file_map *map, const char *file);

/* The texts of the file's "__metadata__", an object without entries where there is none. Yours to
 * json_decref. EFORMAT. */
blip2_status b2_safetensors_metadata(json_t **out, const b2_file_map *map, const char *file);

#endif
