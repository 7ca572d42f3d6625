/* A safetensors file: whatever is accepted must be readable to its last byte. */
#include <stddef.h>
#include <stdint.h>

#include "load/safetensors.h"

static volatile uint8_t sink; /* keeps the reads */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const b2_file_map map = {.data = size > 0 ? data : NULL, .size = size};
    b2_tensor_list list = {0};

    if (b2_safetensors_parse(&list, &map, "file") == BLIP2_OK)
        for (size_t i = 0; i < list.count; i++)
            for (size_t b = 0; b < list.item[i].bytes; b++)
                sink = ((const uint8_t *)list.item[i].data)[b];
    b2_tensor_list_free(&list);
    return 0;
}
