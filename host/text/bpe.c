/* The work list is a heap of possible merges ordered by (rank, position), over a linked list of
 * symbols, as the library has it: n log n for a word of n characters, however long the word is.
 * Outdated heap entries are recognised when they come up, and the test is the library's own: the
 * pair that stands there now must merge to the same token. */
#include "text/bpe.h"

#include "base/alloc.h"
#include "base/size.h"
#include "text/utf8.h"

struct b2_symbol {
    int32_t id;             /* -1: joined to the symbol on its left */
    int32_t previous, next; /* positions in the piece's symbols; -1: none */
};

struct b2_candidate {
    uint64_t order; /* rank << 32 | position of the left symbol */
    int32_t id;     /* what the pair becomes */
};

typedef struct b2_heap {
    b2_candidate *entries; /* [count], the smallest order first */
    size_t count;
} b2_heap;

static uint32_t pair_hash(int32_t left, int32_t right) {
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;

    return (uint32_t)(h >> 32);
}

b2_merge *b2_bpe_merge_slot(const b2_bpe *bpe, int32_t left, int32_t right) {
    for (uint32_t at = pair_hash(left, right);; at++) {
        b2_merge *slot = bpe->merges + (at & bpe->mask);

        if (slot->id < 0 || (slot->left == left && slot->right == right))
            return slot;
    }
}

static void heap_push(b2_heap *heap, b2_candidate entry) {
    size_t at = heap->count++;

    while (at > 0) {
        size_t parent = (at - 1) / 2;

        if (heap->entries[parent].order <= entry.order)
            break;
        heap->entries[at] = heap->entries[parent];
        at = parent;
    }
    heap->entries[at] = entry;
}

static b2_candidate heap_pop(b2_heap *heap) {
    b2_candidate top = heap->entries[0];
    b2_candidate last = heap->entries[--heap->count];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->entries[child + 1].order < heap->entries[child].order)
            child++;
        if (heap->entries[child].order >= last.order)
            break;
        heap->entries[at] = heap->entries[child];
        at = child;
    }
    heap->entries[at] = last;
    return top;
}

/* Offer the pair of the symbol at `left` and the one after it. */
static void propose(const b2_bpe *bpe, b2_heap *heap, const b2_symbol *symbols, int32_t left) {
    const b2_merge *merge;

    if (left < 0 || symbols[left].next < 0)
        return;
    merge = b2_bpe_merge_slot(bpe, symbols[left].id, symbols[symbols[left].next].id);
    if (merge->id >= 0)
        heap_push(heap, (b2_candidate){(uint64_t)merge->rank << 32 | (uint32_t)left, merge->id});
}

static void merge_all(const b2_bpe *bpe, b2_heap *heap, b2_symbol *symbols, size_t count) {
    for (size_t i = 0; i + 1 < count; i++)
        propose(bpe, heap, symbols, (int32_t)i);
    while (heap->count > 0) {
        b2_candidate top = heap_pop(heap);
        int32_t left = (int32_t)(top.order & UINT32_MAX);
        int32_t right = symbols[left].next;

        if (symbols[left].id < 0 || right < 0 ||
            b2_bpe_merge_slot(bpe, symbols[left].id, symbols[right].id)->id != top.id)
            continue;
        symbols[left].id = top.id;
        symbols[left].next = symbols[right].next;
        symbols[right].id = -1;
        if (symbols[left].next >= 0)
            symbols[symbols[left].next].previous = left;
        propose(bpe, heap, symbols, symbols[left].previous);
        propose(bpe, heap, symbols, left);
    }
}

static int32_t character_id(const b2_bpe *bpe, const char *text, size_t length) {
    uint32_t code = b2_utf8_decode(text);
    const b2_entry *entry;

    if (code < B2_BPE_DIRECT)
        return bpe->direct[code];
    entry = b2_vocabulary_find(bpe->vocabulary, text, length);
    return entry != NULL ? entry->id : -1;
}

/* Symbols of a piece as they are found. */
typedef struct b2_found {
    b2_symbol *symbols;
    size_t count;
} b2_found;

static void add_symbol(b2_found *found, int32_t id) {
    int32_t at = (int32_t)found->count++;

    found->symbols[at] = (b2_symbol){id, at - 1, at + 1};
}

/* The tokens of a character's bytes; false: not all of them have one. */
static bool add_bytes(const b2_bpe *bpe, b2_found *found, const char *character, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bpe->bytes[(unsigned char)character[i]] < 0)
            return false;
    for (size_t i = 0; i < size; i++)
        add_symbol(found, bpe->bytes[(unsigned char)character[i]]);
    return true;
}

/* The piece's characters as linked symbols; answers how many, at most one a byte. An unknown
 * character waits until a known one or the end comes: those written as bytes overtake it, as in the
 * library. */
static size_t split_characters(const b2_bpe *bpe, b2_symbol *symbols, const char *piece,
                               size_t length) {
    b2_found found = {symbols, 0};
    bool waiting = false;

    for (size_t at = 0, size; at < length; at += size) {
        int32_t id;

        size = (size_t)b2_utf8_scan(piece + at, length - at);
        id = character_id(bpe, piece + at, size);
        if (id < 0 && (add_bytes(bpe, &found, piece + at, size) || bpe->unk < 0))
            continue;
        if (waiting && (id >= 0 || !bpe->fuse_unk))
            add_symbol(&found, bpe->unk);
        waiting = id < 0;
        if (id >= 0)
            add_symbol(&found, id);
    }
    if (waiting)
        add_symbol(&found, bpe->unk);
    if (found.count > 0)
        symbols[found.count - 1].next = -1;
    return found.count;
}

/* block with room for `need` elements of size bytes; NULL, and block as it was, without memory. */
static void *grown(void *block, size_t *capacity, size_t need, size_t size) {
    void *larger;

    if (need <= *capacity)
        return block;
    need = b2_size_max(need, 64);
    if ((larger = b2_realloc_array(block, need, size)) != NULL)
        *capacity = need;
    return larger;
}

blip2_status b2_bpe_encode(const b2_bpe *bpe, b2_bpe_scratch *scratch, const char *piece,
                           size_t length, b2_tokens *out) {
    const b2_entry *whole;
    b2_symbol *symbols;
    b2_heap heap = {0};
    size_t count;
    blip2_status status;

    if (bpe->ignore_merges && (whole = b2_vocabulary_find(bpe->vocabulary, piece, length)) != NULL)
        return b2_tokens_append(out, whole->id);
    symbols = grown(scratch->symbols, &scratch->symbol_capacity, length, sizeof *symbols);
    if (symbols == NULL)
        return b2_fail_memory();
    scratch->symbols = symbols;
    count = split_characters(bpe, symbols, piece, length);
    if (count == 0)
        return BLIP2_OK;
    /* One candidate for each pair at first; each merge takes one out and puts at most two in. */
    heap.entries = grown(scratch->heap, &scratch->heap_capacity, 2 * count, sizeof *heap.entries);
    if (heap.entries == NULL)
        return b2_fail_memory();
    scratch->heap = heap.entries;
    merge_all(bpe, &heap, symbols, count);
    for (int32_t i = 0; i >= 0; i = symbols[i].next)
        if ((status = b2_tokens_append(out, symbols[i].id)) < 0)
            return status;
    return BLIP2_OK;
}

void b2_bpe_scratch_free(b2_bpe_scratch *scratch) {
    b2_free(scratch->symbols);
    b2_free(scratch->heap);
    *scratch = (b2_bpe_scratch){0};
}
