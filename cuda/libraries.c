#include "libraries.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct entry {
    const char *name;
    size_t offset; /* of the function pointer in the table */
} entry;

/* All functions, or false. */
static bool take_functions(void *table, void *library, const entry *entries, size_t count) {
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, entries[i].name);

        if (function == NULL)
            return false;
        memcpy((char *)table + entries[i].offset, &function, sizeof function);
    }
    return true;
}

/* The library that the functions come from: the program itself (file NULL), or a file; NULL: they
 * are not all there. */
static void *open_library(void *table, const char *file, const entry *entries, size_t count) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL || take_functions(table, library, entries, count))
        return library;
    (void)dlclose(library);
    return NULL;
}

blip2_status b2_cublaslt_open(b2_cublaslt *out) {
    /* What cublasLt.h declares is the same in both. */
    static const char *const files[] = {NULL, "libcublasLt.so.13", "libcublasLt.so.12"};
    static const entry entries[] = {
#define ENTRY(name) {"cublasLt" #name, offsetof(b2_cublaslt, name)},
        B2_CUBLASLT_MAP(ENTRY)
#undef ENTRY
    };

    *out = (b2_cublaslt){0};
    for (size_t i = 0; out->library == NULL && i < sizeof files / sizeof *files; i++)
        out->library = open_library(out, files[i], entries, sizeof entries / sizeof *entries);
    if (out->library != NULL)
        return BLIP2_OK;
    return b2_fail(BLIP2_ENOTSUP,
                   "device cuda: %s was not found; install cuBLAS of CUDA 13 or 12, or add its "
                   "folder to LD_LIBRARY_PATH",
                   files[1]);
}

void b2_cublaslt_close(b2_cublaslt *cublaslt) {
    if (cublaslt->library != NULL)
        (void)dlclose(cublaslt->library);
    *cublaslt = (b2_cublaslt){0};
}

#ifdef BLIP2_HAS_CUDNN
void b2_cudnn_open(b2_cudnn *out) {
    static const char *const files[] = {NULL, "libcudnn.so.9"};
    static const entry entries[] = {
#define ENTRY(name) {"cudnn" #name, offsetof(b2_cudnn, name)},
        B2_CUDNN_MAP(ENTRY)
#undef ENTRY
    };

    *out = (b2_cudnn){0};
    for (size_t i = 0; out->library == NULL && i < sizeof files / sizeof *files; i++)
        out->library = open_library(out, files[i], entries, sizeof entries / sizeof *entries);
}

void b2_cudnn_close(b2_cudnn *cudnn) {
    if (cudnn->library != NULL)
        (void)dlclose(cudnn->library);
    *cudnn = (b2_cudnn){0};
}
#endif
