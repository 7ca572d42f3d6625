#include "engine/branches.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

static blip2_status make(b2_branches **out, uint32_t most) {
    b2_branches *branches = b2_calloc(1, sizeof *branches);

    *out = branches;
    if (branches == NULL)
        return b2_fail_memory();
    branches->most = most;
    branches->copy_from = b2_alloc_array(most, sizeof *branches->copy_from);
    branches->copy_to = b2_alloc_array(most, sizeof *branches->copy_to);
    return branches->copy_from != NULL && branches->copy_to != NULL ? BLIP2_OK : b2_fail_memory();
}

/* Hand over what was made, or close it. */
static blip2_status end_open(b2_branches **out, b2_branches *branches, blip2_status status) {
    if (status < 0)
        b2_branches_close(branches);
    else
        *out = branches;
    return status;
}

blip2_status b2_branches_open(b2_branches **out, const b2_beam_options *options, uint32_t answers) {
    b2_branches *branches;
    blip2_status status;

    *out = NULL;
    if ((status = make(&branches, options->beams)) < 0)
        return end_open(out, branches, status);
    branches->answers = answers;
    status = b2_beams_init(&branches->beams, options);
    if (status == BLIP2_OK && (answers == 0 || answers > options->beams))
        status = b2_fail(BLIP2_EINVAL, "num_return_sequences: got %u, expected 1 to num_beams = %u",
                         answers, options->beams);
    return end_open(out, branches, status);
}

blip2_status b2_branches_open_candidates(b2_branches **out, uint32_t most) {
    b2_branches *branches;
    blip2_status status;

    *out = NULL;
    status = make(&branches, most);
    if (status == BLIP2_OK)
        branches->candidates = true;
    return end_open(out, branches, status);
}

void b2_branches_close(b2_branches *branches) {
    if (branches == NULL)
        return;
    b2_beams_free(&branches->beams);
    b2_pages_free(&branches->pool);
    b2_free(branches->table);
    b2_free(branches->before);
    b2_free(branches->copy_from);
    b2_free(branches->copy_to);
    b2_free(branches);
}

uint32_t b2_branches_pages(const b2_branches *branches, uint32_t shared, uint32_t rows,
                           uint32_t page_tokens) {
    uint32_t full = shared / page_tokens;
    uint64_t own = b2_pages_for(rows, page_tokens) - full;
    uint64_t pages = full + branches->most * own;

    if (branches->candidates) /* a last page each */
        pages = full + own + branches->most - 1;
    /* A prompt whose only answer is one token has no page but its own. */
    if (pages < b2_pages_for(shared, page_tokens))
        pages = b2_pages_for(shared, page_tokens);
    return pages <= INT32_MAX ? (uint32_t)pages : 0;
}

blip2_status b2_branches_plan(b2_branches *branches, uint32_t shared, uint32_t rows,
                              uint32_t page_tokens) {
    size_t entries;
    blip2_status status =
        b2_pages_init(&branches->pool, b2_branches_pages(branches, shared, rows, page_tokens));

    if (status < 0)
        return status;
    branches->page_tokens = page_tokens;
    branches->width = b2_pages_for(rows, page_tokens);
    branches->used = b2_pages_for(shared, page_tokens);
    branches->forked = 1;
    if (!b2_size_mul(branches->most, branches->width, &entries))
        return b2_fail_memory();
    branches->table = b2_calloc(entries, sizeof *branches->table);
    branches->before = b2_calloc(entries, sizeof *branches->before);
    if (branches->table == NULL || branches->before == NULL)
        return b2_fail_memory();
    return b2_pages_take(&branches->pool, branches->table, branches->used);
}

/* Each of `count` branches has the table of its parent, the same one if parents is NULL; whoever
 * has no children gives its pages back. */
static void inherit(b2_branches *branches, const uint32_t *parents, uint32_t parent,
                    uint32_t count) {
    int32_t *swap = branches->before;

    branches->before = branches->table;
    branches->table = swap;
    for (uint32_t b = 0; b < count; b++) {
        int32_t *own = branches->table + (size_t)b * branches->width;
        uint32_t from = parents != NULL ? parents[b] : parent;

        memcpy(own, branches->before + (size_t)from * branches->width,
               branches->used * sizeof *own);
        for (uint32_t p = 0; p < branches->used; p++)
            b2_pages_share(&branches->pool, own[p]);
    }
    for (uint32_t b = 0; b < branches->forked; b++)
        b2_pages_drop(&branches->pool, branches->before + (size_t)b * branches->width,
                      branches->used);
    branches->forked = count;
}

/* The branch's last page is to be its own. */
static blip2_status own_last(b2_branches *branches, int32_t *last) {
    int32_t page;
    blip2_status status;

    if (branches->pool.users[*last] == 1)
        return BLIP2_OK;
    if ((status = b2_pages_take(&branches->pool, &page, 1)) < 0)
        return status;
    branches->copy_from[branches->copy_count] = *last;
    branches->copy_to[branches->copy_count++] = page;
    b2_pages_drop(&branches->pool, last, 1);
    *last = page;
    return BLIP2_OK;
}

/* The branches as they have inherited: room for one more row. */
static blip2_status make_room(b2_branches *branches, uint32_t rows) {
    bool full = rows % branches->page_tokens == 0;
    blip2_status status = BLIP2_OK;

    branches->copy_count = 0;
    for (uint32_t b = 0; b < branches->forked && status == BLIP2_OK; b++) {
        int32_t *own = branches->table + (size_t)b * branches->width;

        status = full ? b2_pages_take(&branches->pool, own + branches->used, 1)
                      : own_last(branches, own + branches->used - 1);
    }
    branches->used += full;
    return status;
}

blip2_status b2_branches_fork(b2_branches *branches, uint32_t rows) {
    inherit(branches, branches->beams.parent, 0, branches->beams.running);
    return make_room(branches, rows);
}

blip2_status b2_branches_fork_one(b2_branches *branches, uint32_t rows, uint32_t parent,
                                  uint32_t count) {
    inherit(branches, NULL, parent, count);
    return make_room(branches, rows);
}
