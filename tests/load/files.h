/* What the suites of load/ share: files made by hand, in memory and in a folder of their own. */
#ifndef B2_TESTS_LOAD_FILES_H
#define B2_TESTS_LOAD_FILES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "load/tensors.h"

/* Bytes that grow; data is malloc'd anew on each append, so that a sanitizer sees every overrun. */
typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;
void bytes_add(bytes *to, const void *data, size_t size);
void bytes_text(bytes *to, const char *text);
void bytes_number(bytes *to, uint64_t number, size_t n); /* n <= 32 bytes, little-endian */
void bytes_free(bytes *b);

/* A safetensors file: length, header, data_bytes bytes 0, 1, 2, ... */
bytes make_safetensors(const char *header, size_t data_bytes);

/* Parse a copy of exactly this size and read every byte of every tensor. */
typedef blip2_status (*parser)(b2_tensor_list *list, const b2_file_map *map, const char *file);
blip2_status parse_all(parser parse, const uint8_t *data, size_t size);
/* parse_all over every shorter file and over every file with one bit changed: none may crash. Every
 * cut must fail where strict is set; returns the number of flipped files that were accepted. */
size_t attack(parser parse, const bytes *file, bool strict);

/* A fresh folder under the system's temporary folder, and its removal with the files in it. */
void make_folder(char *path, size_t size);
void remove_folder(const char *path);
void write_file(const char *folder, const char *name, const void *data, size_t size);
bytes read_fixture(const char *path); /* relative to the source tree */

/* The message of the last failure must contain this. */
void expect_message(const char *part);

/* Hand jansson the library's allocator, so that its allocations can be made to fail too. */
void gate_jansson(void);
/* What a call must have answered when an allocation failed, or none did. */
void check_out_of_memory(blip2_status status, bool failed);

#endif
