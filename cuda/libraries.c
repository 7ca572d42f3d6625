#include "libraries.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* What cublasLt.h declares is the same in both. */
static const char *const cublaslt_files[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

static const struct {
    const char *name;
    size_t offset; /* of the function pointer in b2_cublaslt */
} functions[] = {
#define ENTRY(name) {"cublasLt" #name, offsetof(b2_cublaslt, name)},
    B2_CUBLASLT_MAP(ENTRY)
#undef ENTRY
};

/* All functions, or none. */
static bool take_functions(b2_cublaslt *out, void *library) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(library, functions[i].name);

        if (function == NULL)
            return false;
        memcpy((char *)out + functions[i].offset, &function, sizeof function);
    }
    out->library = library;
    return true;
}

blip2_status b2_cublaslt_open(b2_cublaslt *out) {
    void *library = dlopen(NULL, RTLD_NOW);

    *out = (b2_cublaslt){0};
    if (library != NULL && take_functions(out, library))
        return BLIP2_OK;
    if (library != NULL)
        (void)dlclose(library);
    for (size_t i = 0; i < sizeof cublaslt_files / sizeof *cublaslt_files; i++) {
        if ((library = dlopen(cublaslt_files[i], RTLD_NOW | RTLD_LOCAL)) == NULL)
            continue;
        if (take_functions(out, library))
            return BLIP2_OK;
        (void)dlclose(library);
    }
    return b2_fail(BLIP2_ENOTSUP,
                   "device cuda: %s was not found; install cuBLAS of CUDA 13 or 12, or add its "
                   "folder to LD_LIBRARY_PATH",
                   cublaslt_files[0]);
}

void b2_cublaslt_close(b2_cublaslt *cublaslt) {
    if (cublaslt->library != NULL)
        (void)dlclose(cublaslt->library);
    *cublaslt = (b2_cublaslt){0};
}
