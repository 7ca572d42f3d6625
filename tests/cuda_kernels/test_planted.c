/* Bugs planted into the attention kernels, in their PTX: each must be found, by the software GPU
 * with its place, or by the comparison with the twin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention_case.h"

static const attention_case shape = {.kernel = CASE_PREFILL,
                                     .type = B2_F16,
                                     .kv_type = B2_F16,
                                     .heads = 1,
                                     .head_size = 80,
                                     .segments = 1,
                                     .n = {90},
                                     .m = {150},
                                     .rule = B2_MASK_CAUSAL,
                                     .page_tokens = 16,
                                     .gap = 8,
                                     .spread = 4.0,
                                     .splits = 1};

/* In the kernel's text, behind the `skip`-th place of `anchor`: the next `from` becomes `to`. */
typedef struct edit {
    const char *what, *anchor;
    int skip;
    const char *from, *to;
    vm_finding finding; /* VM_FINDING_COUNT: the result is wrong */
} edit;

static const edit edits[] = {
    {"nothing: a clean twin", "bar.sync", 0, "bar.sync", "bar.sync", VM_FINDING_COUNT},
    {"a copy from outside", "cp.async.cg.shared.global", 4, "], 16", "+1073741824], 16",
     VM_OUT_OF_BOUNDS},
    {"a copy to outside", "cp.async.cg.shared.global", 4, "], [", "+65536], [", VM_OUT_OF_BOUNDS},
    {"matrices from outside", "ldmatrix", 6, "];", "+65536];", VM_OUT_OF_BOUNDS},
    {"a copy from an odd address", "cp.async.cg.shared.global", 4, "], 16", "+8], 16",
     VM_MISALIGNED},
    {"a store at an odd address", "st.global.v4", 0, "], {", "+4], {", VM_MISALIGNED},
    {"a barrier missing", "bar.sync", 0, "bar.sync \t0;", "", VM_RACE},
    {"a barrier of warps missing", "bar.warp.sync", 1, "bar.warp.sync \t-1;", "", VM_RACE},
    {"a barrier for some", "bar.sync", 0, "bar.sync \t0;",
     "{ .reg .pred %planted; .reg .b32 %thread; mov.u32 %thread, %tid.x; "
     "setp.lt.u32 %planted, %thread, 40; @%planted bar.sync 0; }",
     VM_DIVERGENT_BARRIER},
    {"a tile never copied", "cp.async.cg.shared.global", 6, "cp.async", "// cp.async",
     VM_UNDEFINED_MEMORY},
    {"a shuffle of half the lanes", "shfl.sync.bfly", 0, ", -1;", ", 65535;", VM_MEMBER_MASK},
    {"no wait for a tile", "cp.async.wait_group 0;", 0, "cp.async.wait_group 0;", "",
     VM_ASYNC_NOT_WAITED},
    {"no wait for the queries", "cp.async.wait_group 1;", 0, "cp.async.wait_group 1;", "",
     VM_ASYNC_NOT_WAITED},
    {"values not transposed", "ldmatrix.sync.aligned.m8n8.x4.trans", 3, ".trans", "",
     VM_FINDING_COUNT},
    {"keys transposed", "ldmatrix.sync.aligned.m8n8.x4.shared", 7, ".x4", ".x4.trans",
     VM_FINDING_COUNT},
    {"a factor not taken as a power", "ex2.approx", 0, "ex2.approx.ftz.f32", "mov.f32",
     VM_FINDING_COUNT},
};
enum { EDITS = sizeof edits / sizeof *edits };

/* The place behind the n-th `what` after `from`. */
static char *find(char *from, const char *what, int n) {
    for (int i = 0; from != NULL && i <= n; i++)
        from = strstr(i == 0 ? from : from + 1, what);
    ck_assert_msg(from != NULL, "the kernel has no \"%s\" number %d", what, n);
    return from;
}

static char *entry(char *text, const char *kernel) {
    char line[128];

    snprintf(line, sizeof line, ".entry %s(", kernel);
    return find(text, line, 0);
}

/* Of a place in the text, from 1. */
static int line_of(const char *text, const char *at) {
    int line = 1;

    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static attention_files load_edited(const char *text, const char *at, size_t cut, const char *to) {
    size_t size = strlen(text) + strlen(to) + 1;
    char *edited = malloc(size);
    attention_files files = {0};

    ck_assert_ptr_nonnull(edited);
    snprintf(edited, size, "%.*s%s%s", (int)(at - text), text, to, at + cut);
    files.file[CASE_PREFILL] = kernel_load(edited);
    free(edited);
    return files;
}

START_TEST(planted) {
    const edit *e = &edits[_i];
    char *text = kernel_text("attention_prefill");
    char *at = find(find(entry(text, attention_kernel(&shape)), e->anchor, e->skip), e->from, 0);
    attention_files files = load_edited(text, at, strlen(e->from), e->to);
    const vm_report *r = NULL;
    int line = line_of(text, at);
    double ratio;

    vm_report_quiet(true);
    ratio = attention_try(&files, &shape, 1);
    free(text);
    if (e->finding == VM_FINDING_COUNT) {
        ck_assert_msg(_i == 0 ? ratio >= 0.0 && ratio <= 1.0 : !(ratio <= 1.0) && ratio >= 0.0,
                      "%s: the error is %g times what is allowed", e->what, ratio);
        return;
    }
    for (size_t i = 0; i < vm_report_count() && r == NULL; i++)
        if (vm_report_at(i)->finding == e->finding)
            r = vm_report_at(i);
    ck_assert_msg(r != NULL, "%s: %s is not found", e->what, vm_finding_name(e->finding));
    ck_assert_str_eq(r->kernel, attention_kernel(&shape));
    ck_assert_msg(strstr(r->file, "/cuda/") != NULL, "%s: in file \"%s\"", e->what, r->file);
    ck_assert_int_gt(r->line, 0);
    ck_assert_int_gt(r->ptx_line, 0);
    if (e->finding == VM_OUT_OF_BOUNDS || e->finding == VM_MISALIGNED) /* what was edited */
        ck_assert_int_eq(r->ptx_line, line);
    ck_assert_uint_lt(r->block[0], 2);
    ck_assert_uint_lt(r->warp, B2_ATTENTION_THREADS / 32);
    ck_assert_uint_lt(r->lane, 32);
}
END_TEST

/* One thread of one block stores four bytes further: the report names that thread and the line of
 * the kernel. */
START_TEST(names_the_place) {
    enum { BLOCK = 1, WARP = 1, LANE = 21 };
    char *text = kernel_text("attention_prefill"), to[512], source[1024], *here;
    char *store = find(entry(text, attention_kernel(&shape)), "st.global.v4", 0);
    char *address = find(store, "[", 0) + 1;
    int length = (int)strcspn(address, "]");
    attention_files files;
    const vm_report *r;

    snprintf(to, sizeof to,
             "{ .reg .pred %%planted; .reg .b32 %%thread, %%block; mov.u32 %%thread, %%tid.x; "
             "mov.u32 %%block, %%ctaid.x; mad.lo.s32 %%thread, %%block, %d, %%thread; "
             "setp.eq.s32 %%planted, %%thread, %d; @%%planted add.s64 %.*s, %.*s, 4; } ",
             B2_ATTENTION_THREADS, BLOCK * B2_ATTENTION_THREADS + WARP * 32 + LANE, length, address,
             length, address);
    files = load_edited(text, store, 0, to);
    vm_report_quiet(true);
    (void)attention_try(&files, &shape, 1);
    ck_assert_uint_eq(vm_report_count(), 1);
    r = vm_report_at(0);
    ck_assert_int_eq(r->finding, VM_MISALIGNED);
    ck_assert_str_eq(r->kernel, attention_kernel(&shape));
    ck_assert_int_eq(r->ptx_line, line_of(text, store));
    ck_assert_uint_eq(r->count, 1);
    ck_assert(r->block[0] == BLOCK && r->block[1] == 0 && r->block[2] == 0);
    ck_assert_uint_eq(r->warp, WARP);
    ck_assert_uint_eq(r->lane, LANE);
    snprintf(source, sizeof source, "%s/cuda/attention_prefill.cu", BLIP2_SOURCE_DIR);
    free(text);
    text = kernel_read(source);
    here = find(text, "        store<T, units>(", 0);
    ck_assert_int_eq(r->line, line_of(text, here));
    free(text);
}
END_TEST

/* Two registers of one operand of mma exchanged: the first of the scores, and of the output. */
START_TEST(swapped_registers) {
    char *text = kernel_text("attention_prefill");
    char *mma = find(entry(text, attention_kernel(&shape)), "mma.sync", _i == 0 ? 0 : 60);
    char *operand = find(mma, "{", _i == 0 ? 1 : 2) + 1, *comma = find(operand, ",", 0);
    char *end = comma + strcspn(comma + 1, ",}") + 1, to[64];
    attention_files files;
    double ratio;

    snprintf(to, sizeof to, "%.*s, %.*s", (int)(end - comma - 1), comma + 1, (int)(comma - operand),
             operand);
    files = load_edited(text, operand, (size_t)(end - operand), to);
    vm_report_quiet(true);
    ratio = attention_try(&files, &shape, 1);
    ck_assert_msg(ratio > 1.0, "the error is %g times what is allowed", ratio);
    free(text);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kernel_planted");
    TCase *tcase = tcase_create("planted");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, planted, 0, EDITS);
    tcase_add_test(tcase, names_the_place);
    tcase_add_loop_test(tcase, swapped_registers, 0, 2);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
