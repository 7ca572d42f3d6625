/* Libraries: PTX text, parsed and decoded.
 *
 * A test program opens its device hundreds of times with the same ten texts, 5 MB in all, which
 * take a tenth of a second to parse and decode. So what was made of a text is kept for as long as
 * the process lives and shared by all libraries of that text. A library has its own copy of what
 * the host can change (vm_kernel); a module with variables is made anew each time, since the
 * addresses of its variables stand in its instructions. All of it is used under the runtime's lock.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

typedef struct vm_image {
    struct vm_image *next; /* of those that are kept */
    char *text;            /* NULL: not kept, it belongs to one library */
    size_t length;
    ptx_module *module;
    vm_kernel **kernels; /* [module->kernel_count] */
} vm_image;

static vm_image *images;
static struct CUlib_st *libraries;

/* ---- images ------------------------------------------------------------------------------------
 */

static bool is_variable(const vm_symbol *symbol) {
    return symbol->space == VM_GLOBAL || symbol->space == VM_CONST;
}

/* Variables of .global and .const get device memory; uninitialised ones are zeros, as CUDA says.
 * False: there are none. */
static bool place_variables(ptx_module *module) {
    bool any = false;
    size_t i;

    for (i = 0; i < module->symbol_count; i++) {
        vm_symbol *symbol = module->symbols[i];

        if (is_variable(symbol)) {
            vm_allocation *a = vm_memory_new(symbol->size, VM_VARIABLE);

            memset(a->host, 0, symbol->size);
            if (symbol->data) {
                memcpy(a->host, symbol->data, symbol->size);
            }
            symbol->offset = a->begin;
            any = true;
        }
    }
    return any;
}

static void release_image(vm_image *image) {
    size_t i;

    if (image->text) {
        return;
    }
    for (i = 0; i < image->module->kernel_count; i++) {
        vm_kernel_free(image->kernels[i]);
    }
    for (i = 0; i < image->module->symbol_count; i++) {
        if (is_variable(image->module->symbols[i])) {
            vm_memory_free(image->module->symbols[i]->offset, false);
        }
    }
    free(image->kernels);
    ptx_module_free(image->module);
    free(image);
}

static bool decode_kernels(vm_image *image) {
    ptx_module *module = image->module;
    char error[256];
    int line = 0;
    size_t i;

    for (i = 0; i < module->kernel_count; i++) {
        image->kernels[i] =
            vm_kernel_decode(module, &module->kernels[i], error, sizeof(error), &line);
        if (!image->kernels[i]) {
            vm_found_outside(VM_UNSUPPORTED, module->kernels[i].name, line, "%s", error);
            return false;
        }
        image->kernels[i]->dynamic_limit = 48 * 1024;
    }
    return true;
}

static void keep_image(vm_image *image, const char *text, size_t length) {
    image->text = memcpy(vm_malloc(length + 1), text, length + 1);
    image->length = length;
    image->next = images;
    images = image;
}

/* NULL: the text is refused, a finding says why. */
static vm_image *image_of(const char *text) {
    size_t length = strlen(text);
    bool has_variables;
    vm_image *image;

    for (image = images; image; image = image->next) {
        if (image->length == length && memcmp(image->text, text, length) == 0) {
            return image;
        }
    }
    image = vm_calloc(1, sizeof(*image));
    image->module = ptx_parse(text);
    image->kernels = vm_calloc(image->module->kernel_count, sizeof(vm_kernel *));
    if (image->module->error[0]) {
        vm_found_outside(VM_UNSUPPORTED, NULL, image->module->error_line, "%s",
                         image->module->error);
        image->module->symbol_count = 0; /* nothing has a place yet */
        release_image(image);
        return NULL;
    }
    has_variables = place_variables(image->module);
    if (!decode_kernels(image)) {
        release_image(image);
        return NULL;
    }
    if (!has_variables) {
        keep_image(image, text, length);
    }
    return image;
}

/* ---- libraries ----------------------------------------------------------------------------------
 */

static void unload(struct CUlib_st *library) {
    release_image(library->image);
    free(library->kernels);
    free(library);
}

cudaError_t cudaLibraryLoadData(cudaLibrary_t *out, const void *code,
                                enum cudaJitOption *jit_options, void **jit_values,
                                unsigned int jit_count, enum cudaLibraryOption *options,
                                void **values, unsigned int count) {
    struct CUlib_st *library;
    vm_image *image;
    size_t i;

    (void)jit_options, (void)jit_values, (void)jit_count;
    (void)options, (void)values, (void)count;
    vm_enter();
    *out = NULL;
    if (vm_call_fails(VM_CALL_OTHER)) {
        return vm_leave(cudaErrorMemoryAllocation);
    }
    image = image_of(code);
    if (!image) {
        return vm_leave(cudaErrorInvalidPtx);
    }
    library = vm_calloc(1, sizeof(*library));
    library->image = image;
    library->kernels = vm_calloc(image->module->kernel_count, sizeof(*library->kernels));
    for (i = 0; i < image->module->kernel_count; i++) {
        library->kernels[i].kernel = *image->kernels[i];
    }
    library->next = libraries;
    libraries = library;
    *out = library;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library) {
    struct CUlib_st **link;

    vm_enter();
    for (link = &libraries; *link && *link != library; link = &(*link)->next) {
    }
    if (!*link) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    vm_drain_all();
    *link = library->next;
    unload(library);
    return vm_leave(cudaSuccess);
}

void vm_libraries_reset(void) {
    while (libraries) {
        struct CUlib_st *library = libraries;

        libraries = library->next;
        unload(library);
    }
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t *out, cudaLibrary_t library, const char *name) {
    size_t i;

    vm_enter();
    if (vm_call_fails(VM_CALL_OTHER)) {
        return vm_leave(cudaErrorMemoryAllocation);
    }
    for (i = 0; library && i < library->image->module->kernel_count; i++) {
        if (strcmp(library->kernels[i].kernel.name, name) == 0) {
            *out = &library->kernels[i];
            return vm_leave(cudaSuccess);
        }
    }
    *out = NULL;
    return vm_leave(library ? cudaErrorSymbolNotFound : cudaErrorInvalidResourceHandle);
}

vm_kernel *vm_kernel_of(const void *handle) {
    struct CUlib_st *library;
    size_t i;

    for (library = libraries; library; library = library->next) {
        for (i = 0; i < library->image->module->kernel_count; i++) {
            if (&library->kernels[i] == handle) {
                return &library->kernels[i].kernel;
            }
        }
    }
    return NULL;
}
