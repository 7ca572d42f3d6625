#include "engine/holding.h"

#include "base/alloc.h"
#include "base/sha256.h"
#include "base/size.h"
#include "engine/queue.h"
#include "image/image.h"

static uint32_t own_pages(const b2_request *request) {
    return request->page_count - request->reading.page_count;
}

/* ---- keys --------------------------------------------------------------------------------- */

static void add_ids(b2_sha256 *sha, const int32_t *ids, uint32_t count) {
    b2_sha256_update(sha, ids, count * sizeof *ids);
}

/* What all rows depend on: picture or frames, and what the Q-Former reads with them. */
static void root_key(const b2_request *request, uint8_t key[B2_PREFIX_KEY]) {
    uint32_t frames = b2_image_frames(request->image);
    b2_sha256 sha;

    b2_sha256_init(&sha);
    b2_sha256_update(&sha, &frames, sizeof frames);
    for (uint32_t i = 0; i < frames; i++) {
        const blip2_image *frame = b2_image_frame(request->image, i);

        b2_sha256_update(&sha, frame->sha256, sizeof frame->sha256);
    }
    add_ids(&sha, request->instruction.ids, (uint32_t)request->instruction.count);
    b2_sha256_final(&sha, key);
}

/* Rows first .. first + count - 1 of [soft; prompt], behind the rows of `before`. */
static void page_key(const b2_request *request, const uint8_t before[B2_PREFIX_KEY], uint32_t first,
                     uint32_t count, uint8_t key[B2_PREFIX_KEY]) {
    static const int32_t soft = -1;
    b2_sha256 sha;

    b2_sha256_init(&sha);
    b2_sha256_update(&sha, before, B2_PREFIX_KEY);
    for (uint32_t r = first; r < first + count; r++)
        add_ids(&sha, r < request->soft_count ? &soft : &request->ids[r - request->soft_count], 1);
    b2_sha256_final(&sha, key);
}

static void reading_key(const b2_request *request, const uint8_t before[B2_PREFIX_KEY],
                        uint8_t key[B2_PREFIX_KEY]) {
    b2_sha256 sha;

    b2_sha256_init(&sha);
    b2_sha256_update(&sha, before, B2_PREFIX_KEY);
    add_ids(&sha, request->reading.ids, request->reading.id_count);
    b2_sha256_final(&sha, key);
}

blip2_status b2_holding_plan(const blip2_engine *engine, b2_request *request) {
    uint32_t page_tokens = engine->plan.limits.page_tokens;
    bool reads = request->reading.page_count > 0;
    uint8_t root[B2_PREFIX_KEY];

    /* Where the Q-Former writes, what comes first is kept with pictures (images.h). Contrastive
     * search wants the hidden rows of the whole prompt. */
    if (request->model->writer.kind != B2_WRITER_LANGUAGE || engine->prefix_off ||
        request->contrastive != NULL)
        return BLIP2_OK;
    request->key_count =
        reads ? 1 : (request->soft_count + request->prompt_count - 1) / page_tokens;
    request->keys = b2_alloc_array(request->key_count, sizeof *request->keys);
    if (request->keys == NULL)
        return b2_fail_memory();
    root_key(request, root);
    if (reads)
        reading_key(request, root, request->keys[0]);
    for (uint32_t i = 0; i < request->key_count && !reads; i++)
        page_key(request, i > 0 ? request->keys[i - 1] : root, i * page_tokens, page_tokens,
                 request->keys[i]);
    return BLIP2_OK;
}

/* ---- taking and giving back --------------------------------------------------------------- */

static int32_t *reading_pages(const b2_request *request) {
    return request->pages + own_pages(request);
}

/* Those of its first pages that are in the cache, into request->pages; else B2_NO_PAGE there. Their
 * number. */
static uint32_t find_pages(blip2_engine *engine, b2_request *request) {
    uint32_t found = 0;

    for (uint32_t i = 0; i < request->kept; i++) {
        request->pages[i] = b2_prefix_find(&engine->prefix, request->keys[i]);
        if (request->pages[i] < 0)
            continue;
        b2_prefix_hold(&engine->prefix, request->pages[i]);
        found++;
    }
    return found;
}

/* The same of its reading: all or nothing. */
static uint32_t find_reading(blip2_engine *engine, b2_request *request) {
    b2_prefix *prefix = &engine->prefix;
    int32_t page = request->reading_kept ? b2_prefix_find(prefix, request->keys[0]) : B2_NO_PAGE;
    uint32_t found = 0;

    if (page >= 0)
        b2_prefix_hold(prefix, page);
    for (; page >= 0; page = prefix->entries[page].rest)
        reading_pages(request)[found++] = page;
    return found;
}

static void forget(blip2_engine *engine, b2_request *request, uint32_t of_reading) {
    for (uint32_t i = 0; i < request->kept; i++)
        if (request->pages[i] >= 0)
            b2_prefix_let_go(&engine->prefix, request->pages[i], request);
    if (of_reading > 0)
        b2_prefix_let_go(&engine->prefix, reading_pages(request)[0], request);
    request->kept = 0;
    request->reading_kept = false;
}

/* Parents come behind their children, and stay longer. */
static void touch(blip2_engine *engine, const b2_request *request) {
    for (uint32_t i = request->kept; i-- > 0;)
        b2_prefix_touch(&engine->prefix, request->pages[i]);
    if (request->reading_kept)
        b2_prefix_touch(&engine->prefix, reading_pages(request)[0]);
}

/* Its first `own` pages and its reading's, but for those that were found; there is room. */
static void take_others(blip2_engine *engine, b2_request *request, uint32_t own,
                        uint32_t of_reading) {
    uint32_t reading = request->reading.page_count - of_reading;

    for (uint32_t i = 0; i < own; i++) {
        if (i < request->kept && request->pages[i] >= 0)
            continue;
        (void)b2_pages_take(&engine->pages, &request->pages[i], 1);
        if (i < request->kept)
            b2_prefix_put(&engine->prefix, request->keys[i], &request->pages[i], 1, request);
    }
    (void)b2_pages_take(&engine->pages, reading_pages(request), reading);
    if (request->reading_kept && reading > 0)
        b2_prefix_put(&engine->prefix, request->keys[0], reading_pages(request), reading, request);
    request->held = own;
    request->settled = 0;
    touch(engine, request);
}

/* Pages that are left to those that run: one for each that may ask for more. */
static uint32_t reserve(const blip2_engine *engine) {
    uint32_t count = 0;

    for (uint32_t i = 0; i < engine->turn_count; i++)
        count += b2_request_is_plain(engine->turns[i]);
    return count;
}

bool b2_holding_take(blip2_engine *engine, b2_request *request) {
    /* Somebody who watches wants to see every row computed. */
    uint32_t keys = engine->prefix_off || engine->run.trace != NULL ? 0 : request->key_count;
    bool reads = request->reading.page_count > 0;
    uint32_t own =
        b2_request_is_plain(request)
            ? b2_pages_for(request->soft_count + request->id_count, engine->plan.limits.page_tokens)
            : own_pages(request);
    uint32_t found, of_reading, wanted;

    request->kept = reads ? 0 : keys;
    request->reading_kept = reads && keys > 0;
    found = find_pages(engine, request);
    of_reading = find_reading(engine, request);
    wanted = own - found + request->reading.page_count - of_reading;
    if (wanted + reserve(engine) > b2_prefix_available(&engine->prefix)) {
        forget(engine, request, of_reading);
        return false;
    }
    (void)b2_prefix_make_room(&engine->prefix, wanted);
    take_others(engine, request, own, of_reading);
    engine->prefix_hits += found + of_reading > 0;
    return true;
}

void b2_holding_release(blip2_engine *engine, b2_request *request) {
    b2_prefix *prefix = &engine->prefix;
    uint32_t kept = request->kept;

    if (request->kind != B2_REQUEST_GENERATE)
        return;
    b2_holding_settle(engine, request);
    touch(engine, request);
    for (uint32_t i = kept; i-- > 0;)
        b2_prefix_let_go(prefix, request->pages[i], request);
    b2_pages_drop(&engine->pages, request->pages + kept, request->held - kept);
    if (request->reading_kept)
        b2_prefix_let_go(prefix, reading_pages(request)[0], request);
    else
        b2_pages_drop(&engine->pages, reading_pages(request), request->reading.page_count);
    request->kept = request->held = 0;
    request->reading_kept = false;
}

/* ---- rows --------------------------------------------------------------------------------- */

static const b2_prefix_entry *entry_of(const blip2_engine *engine, int32_t page) {
    return &engine->prefix.entries[page];
}

bool b2_holding_covers_picture(const blip2_engine *engine, const b2_request *request) {
    uint32_t pages = 0;

    if (request->reading_kept)
        return entry_of(engine, reading_pages(request)[0])->ready;
    while (pages < request->kept && entry_of(engine, request->pages[pages])->ready)
        pages++;
    return pages > 0 && pages * engine->plan.limits.page_tokens >= request->soft_count;
}

void b2_holding_settle(blip2_engine *engine, b2_request *request) {
    uint32_t fed = request->fed / engine->plan.limits.page_tokens;

    for (; request->settled < request->kept && request->settled < fed; request->settled++)
        b2_prefix_settle(&engine->prefix, request->pages[request->settled], request);
}

uint32_t b2_holding_open(blip2_engine *engine, b2_request *request) {
    uint32_t page_tokens = engine->plan.limits.page_tokens;
    uint32_t page = request->fed / page_tokens;

    for (; page < request->kept && entry_of(engine, request->pages[page])->ready; page++) {
        uint32_t end = (page + 1) * page_tokens;

        engine->prefix_rows += end - request->fed;
        request->fed = end;
    }
    while (page < request->kept && !entry_of(engine, request->pages[page])->ready &&
           b2_prefix_claim(&engine->prefix, request->pages[page], request))
        page++;
    return page < request->kept
               ? page * page_tokens - (uint32_t)b2_size_min(request->fed, page * page_tokens)
               : b2_request_pending(request);
}

b2_reading_state b2_holding_reading(blip2_engine *engine, b2_request *request) {
    int32_t page = reading_pages(request)[0];

    if (!request->reading_kept)
        return B2_READING_OPEN;
    if (entry_of(engine, page)->ready) {
        engine->prefix_rows += b2_reading_rows(&request->reading);
        return B2_READING_STANDS;
    }
    return b2_prefix_claim(&engine->prefix, page, request) ? B2_READING_OPEN : B2_READING_WAITS;
}

void b2_holding_settle_reading(blip2_engine *engine, const b2_request *request) {
    if (request->reading_kept)
        b2_prefix_settle(&engine->prefix, reading_pages(request)[0], request);
}

/* ---- growing ------------------------------------------------------------------------------ */

/* The plain sequence whose turn comes last. There is one. */
static b2_request *last_plain(const blip2_engine *engine) {
    uint32_t i = engine->turn_count - 1;

    while (!b2_request_is_plain(engine->turns[i]))
        i--;
    return engine->turns[i];
}

/* A page more, whoever has to go for it; false: it was the request itself. */
static bool grow(blip2_engine *engine, b2_request *request) {
    while (!b2_prefix_make_room(&engine->prefix, 1)) {
        b2_request *last = last_plain(engine);

        b2_queue_put_back(engine, last);
        if (last == request)
            return false;
    }
    (void)b2_pages_take(&engine->pages, &request->pages[request->held++], 1);
    return true;
}

void b2_holding_grow(blip2_engine *engine) {
    uint32_t page_tokens = engine->plan.limits.page_tokens, i = 0;

    while (i < engine->turn_count) {
        b2_request *request = engine->turns[i];
        bool stays = true;

        if (request->phase == B2_PHASE_FEED && b2_request_is_plain(request))
            while (stays && request->held * page_tokens < request->soft_count + request->id_count)
                stays = grow(engine, request);
        i += stays;
    }
}
