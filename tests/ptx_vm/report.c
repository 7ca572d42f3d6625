/* The list of findings. Blocks that run at the same time share it. */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

static struct {
    pthread_mutex_t lock;
    vm_report **items;
    size_t count, capacity;
    size_t launch; /* first finding of the current launch */
    bool quiet;
} list = {.lock = PTHREAD_MUTEX_INITIALIZER};

const char *vm_finding_name(vm_finding finding) {
    static const char *const names[] = {
        [VM_UNSUPPORTED] = "unsupported",
        [VM_OUT_OF_BOUNDS] = "out of bounds",
        [VM_USE_AFTER_FREE] = "use after free",
        [VM_MISALIGNED] = "misaligned",
        [VM_UNDEFINED_MEMORY] = "undefined memory",
        [VM_UNDEFINED_REGISTER] = "undefined register",
        [VM_RACE] = "race",
        [VM_ASYNC_NOT_WAITED] = "cp.async not waited for",
        [VM_DIVERGENT_BARRIER] = "divergent barrier",
        [VM_MEMBER_MASK] = "member mask",
        [VM_BAD_LAUNCH] = "bad launch",
        [VM_TRAP] = "trap",
    };

    return finding < VM_FINDING_COUNT ? names[finding] : "?";
}

static void print(const vm_report *r) {
    fprintf(stderr, "ptx_vm: %s: %s\n", vm_finding_name(r->finding), r->text);
    if (r->kernel[0]) {
        fprintf(stderr, "  kernel %s, PTX line %d", r->kernel, r->ptx_line);
        if (r->line) {
            fprintf(stderr, ", %s:%d", r->file, r->line);
        }
        if (r->inner_line && (r->inner_line != r->line || strcmp(r->file, r->inner_file) != 0)) {
            fprintf(stderr, " (in %s:%d)", r->inner_file, r->inner_line);
        }
        fprintf(stderr, ", block (%u,%u,%u), warp %u, lane %u", r->block[0], r->block[1],
                r->block[2], r->warp, r->lane);
        if (r->address) {
            fprintf(stderr, ", address 0x%" PRIx64, r->address);
        }
        fputc('\n', stderr);
    }
}

/* The finding of this launch at this instruction, new or known. */
static vm_report *entry(vm_finding finding, const char *kernel, int ptx_line, bool *is_new) {
    vm_report **slot;
    size_t i;

    for (i = list.launch; i < list.count; i++) {
        vm_report *r = list.items[i];

        if (r->finding == finding && r->ptx_line == ptx_line &&
            strncmp(r->kernel, kernel, sizeof(r->kernel) - 1) == 0) {
            *is_new = false;
            return r;
        }
    }
    slot = vm_grow((void **)&list.items, &list.count, &list.capacity, sizeof(*slot));
    *slot = vm_calloc(1, sizeof(**slot));
    (*slot)->finding = finding;
    (*slot)->ptx_line = ptx_line;
    snprintf((*slot)->kernel, sizeof((*slot)->kernel), "%s", kernel);
    *is_new = true;
    return *slot;
}

static void copy_file(char *to, size_t size, const ptx_module *module, uint32_t file) {
    snprintf(to, size, "%s", file < module->file_count ? module->files[file] : "");
}

static void fill(vm_report *r, const vm_warp *w, const ptx_place *place, uint32_t lanes,
                 uint64_t address) {
    const ptx_module *module = w->kernel->module;

    copy_file(r->file, sizeof(r->file), module, place->file);
    copy_file(r->inner_file, sizeof(r->inner_file), module, place->inner_file);
    r->line = place->source_line;
    r->inner_line = place->inner_line;
    memcpy(r->block, w->block->index, sizeof(r->block));
    r->warp = w->index;
    r->lane = vm_first_lane(lanes);
    r->address = address;
}

void vm_found(vm_warp *w, const vm_instr *in, vm_finding finding, uint32_t lanes, uint64_t address,
              const char *format, ...) {
    const ptx_place *place = &w->kernel->places[in - w->kernel->code];
    vm_report *r;
    bool is_new;
    va_list arguments;

    pthread_mutex_lock(&list.lock);
    r = entry(finding, w->kernel->name, place->line, &is_new);
    r->count += vm_popcount(lanes);
    if (is_new) {
        fill(r, w, place, lanes, address);
        va_start(arguments, format);
        vsnprintf(r->text, sizeof(r->text), format, arguments);
        va_end(arguments);
        if (!list.quiet) {
            print(r);
        }
    }
    pthread_mutex_unlock(&list.lock);
}

void vm_found_outside(vm_finding finding, const char *kernel, int ptx_line, const char *format,
                      ...) {
    vm_report *r;
    bool is_new;
    va_list arguments;

    pthread_mutex_lock(&list.lock);
    r = entry(finding, kernel ? kernel : "", ptx_line, &is_new);
    r->count++;
    va_start(arguments, format);
    vsnprintf(r->text, sizeof(r->text), format, arguments);
    va_end(arguments);
    if (!list.quiet) {
        print(r);
    }
    pthread_mutex_unlock(&list.lock);
}

void vm_report_new_launch(void) {
    list.launch = list.count;
}

bool vm_report_launch_failed(vm_finding *gravest) {
    size_t i;

    if (list.count == list.launch) {
        return false;
    }
    *gravest = list.items[list.launch]->finding;
    for (i = list.launch + 1; i < list.count; i++) {
        if (list.items[i]->finding < *gravest) {
            *gravest = list.items[i]->finding;
        }
    }
    return true;
}

size_t vm_report_count(void) {
    return list.count;
}

const vm_report *vm_report_at(size_t index) {
    return index < list.count ? list.items[index] : NULL;
}

void vm_report_clear(void) {
    while (list.count) {
        free(list.items[--list.count]);
    }
    list.launch = 0;
}

void vm_report_quiet(bool quiet) {
    list.quiet = quiet;
}
