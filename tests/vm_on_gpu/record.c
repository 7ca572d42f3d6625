/* Writes down what a test reads back from device memory, in order: to the file BLIP2_RECORD, behind
 * one line "kernel|instruction|bytes" each. The program is linked with --wrap for the three calls
 * below. With BLIP2_RECORD_PTX=FOLDER every PTX text that is loaded goes into a file there, so that
 * the real assembler can be asked about it. */
#include <cuda_runtime_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_TEXT = 16384 }; /* longer ones come from nvcc: their kernels have names of their own */

cudaError_t __real_cudaLibraryLoadData(cudaLibrary_t *library, const void *code,
                                       enum cudaJitOption *options, void **values, unsigned count,
                                       enum cudaLibraryOption *library_options,
                                       void **library_values, unsigned library_count);
cudaError_t __wrap_cudaLibraryLoadData(cudaLibrary_t *library, const void *code,
                                       enum cudaJitOption *options, void **values, unsigned count,
                                       enum cudaLibraryOption *library_options,
                                       void **library_values, unsigned library_count);
cudaError_t __real_cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library,
                                        const char *name);
cudaError_t __wrap_cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library,
                                        const char *name);
cudaError_t __real_cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind);
cudaError_t __wrap_cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind);

static char kernel_name[128], instruction[160];

/* The line that a one-instruction kernel is about: the first that writes %d (op_support.c), or that
 * has one of these. */
static int is_the_instruction(const char *line, size_t length) {
    static const char *const parts[] = {"%d,",   "%d|",   "mma.",      "ldmatrix", "stmatrix",
                                        "shfl.", "vote.", "match.",    "redux.",   "atom.",
                                        "red.",  "prmt",  "activemask"};
    char text[160];

    if (length == 0 || length >= sizeof text || line[0] == '.')
        return 0;
    memcpy(text, line, length);
    text[length] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(text, parts[i]) != NULL)
            return 1;
    return 0;
}

static void find_instruction(const char *text) {
    instruction[0] = '\0';
    if (strlen(text) >= SHORT_TEXT)
        return;
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");

        if (is_the_instruction(text, length)) {
            memcpy(instruction, text, length);
            instruction[length] = '\0';
            for (char *c = instruction; *c != '\0'; c++)
                *c = *c == '|' ? '/' : *c;
            return;
        }
        text += length + (text[length] == '\n');
    }
}

static void keep_text(const char *folder, const char *text) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    char path[1024];
    FILE *file;

    for (const char *c = text; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    (void)snprintf(path, sizeof path, "%s/%016llx.ptx", folder, (unsigned long long)hash);
    if ((file = fopen(path, "wb")) == NULL)
        return;
    (void)fputs(text, file);
    (void)fclose(file);
}

/* A copy of a short text for sm_90, whose bf16 instructions sm_80 lacks and the software GPU has;
 * NULL: not needed. */
static char *raised(const char *text) {
    static const char old[] = ".target sm_80";
    const char *at = strstr(text, old);
    char *copy;
    int major = 0;

    if (at == NULL || strlen(text) >= SHORT_TEXT ||
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess ||
        major < 9 || (copy = malloc(strlen(text) + 1)) == NULL)
        return NULL;
    strcpy(copy, text);
    copy[at - text + (int)strlen(old) - 2] = '9';
    return copy;
}

cudaError_t __wrap_cudaLibraryLoadData(cudaLibrary_t *library, const void *code,
                                       enum cudaJitOption *options, void **values, unsigned count,
                                       enum cudaLibraryOption *library_options,
                                       void **library_values, unsigned library_count) {
    const char *folder = getenv("BLIP2_RECORD_PTX");
    char *copy = raised(code);
    const char *text = copy != NULL ? copy : code;
    cudaError_t error;

    find_instruction(text);
    if (folder != NULL)
        keep_text(folder, text);
    error = __real_cudaLibraryLoadData(library, text, options, values, count, library_options,
                                       library_values, library_count);
    free(copy);
    return error;
}

cudaError_t __wrap_cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library,
                                        const char *name) {
    (void)snprintf(kernel_name, sizeof kernel_name, "%s", name);
    return __real_cudaLibraryGetKernel(kernel, library, name);
}

/* A file that is opened each time: tests may run in processes of their own, one after the other. */
static void record(const void *data, size_t bytes) {
    const char *path = getenv("BLIP2_RECORD");
    FILE *file = path != NULL ? fopen(path, "ab") : NULL;

    if (file == NULL)
        return;
    (void)fprintf(file, "%s|%s|%zu\n", kernel_name, instruction, bytes);
    (void)fwrite(data, 1, bytes, file);
    (void)fclose(file);
}

cudaError_t __wrap_cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    cudaError_t error = __real_cudaMemcpy(to, from, bytes, kind);

    if (kind == cudaMemcpyDeviceToHost && error == cudaSuccess)
        record(to, bytes);
    return error;
}
