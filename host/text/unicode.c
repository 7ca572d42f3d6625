#include "text/unicode.h"

#include <utf8proc.h>

#include "text/unicode_tables.h"
#include "text/utf8.h"

typedef uint32_t b2_range[2]; /* first and last code point */

static bool within(const b2_range *ranges, size_t count, uint32_t code) {
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (code > ranges[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low][0];
}

#define WITHIN(table, code) within(table, sizeof(table) / sizeof *(table), code)

bool b2_unicode_is_space(uint32_t code) {
    return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool b2_unicode_is_other(uint32_t code) {
    return WITHIN(other_ranges, code);
}

bool b2_unicode_is_mark(uint32_t code) {
    return WITHIN(marks_ranges, code);
}

bool b2_unicode_is_punctuation(uint32_t code) {
    return WITHIN(punctuation_ranges, code);
}

size_t b2_unicode_lower(uint32_t code, uint32_t out[2]) {
    /* Pairs of Unicode 16 and 17, whose distance is the same throughout a range or pair of letters
     * in turn. */
    static const struct {
        uint32_t first, last;
        int32_t distance;
    } recent[] = {
        {0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
        {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
        {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
        {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
        {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B},
    };

    if (code == 0x130) { /* the one letter whose lower case is two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    for (size_t i = 0; i < sizeof recent / sizeof *recent; i++)
        if (code >= recent[i].first && code <= recent[i].last)
            out[0] = (uint32_t)((int32_t)code + recent[i].distance);
    return 1;
}

size_t b2_unicode_decompose(uint32_t code, uint32_t out[4]) {
    /* Composed in Unicode 13 and 16; the library does not know them. */
    static const b2_range unknown[] = {
        {0x105C9, 0x105C9}, {0x105E4, 0x105E4}, {0x11383, 0x11383}, {0x11385, 0x11385},
        {0x1138E, 0x1138E}, {0x11391, 0x11391}, {0x113C5, 0x113C5}, {0x113C7, 0x113C8},
        {0x11938, 0x11938}, {0x16121, 0x16128}, {0x16D68, 0x16D6A},
    };
    utf8proc_int32_t parts[4];
    utf8proc_ssize_t count = 0;
    int last = 0;

    if (code >= 0xC0 && !WITHIN(unknown, code))
        count =
            utf8proc_decompose_char((utf8proc_int32_t)code, parts, 4, UTF8PROC_DECOMPOSE, &last);
    if (count < 1 || count > 4) {
        out[0] = code;
        return 1;
    }
    for (utf8proc_ssize_t i = 0; i < count; i++)
        out[i] = (uint32_t)parts[i];
    return (size_t)count;
}

unsigned b2_unicode_combining(uint32_t code) {
    if (!b2_unicode_is_mark(code) && !WITHIN(reordered_ranges, code))
        return 0;
    return (unsigned)utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
}

/* ---- grapheme clusters ------------------------------------------------------------------- */

/* Classes for cluster boundaries, with what Unicode 16 and 17 changed. */
static int cluster_class(uint32_t code) {
    static const b2_range extend[] = {
        {0x897, 0x897},     {0x1ACF, 0x1ADD},   {0x1AE0, 0x1AEB},   {0x10D69, 0x10D6D},
        {0x10EFA, 0x10EFC}, {0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5},
        {0x113C7, 0x113CA}, {0x113CC, 0x113D0}, {0x113D2, 0x113D2}, {0x113E1, 0x113E2},
        {0x11B60, 0x11B67}, {0x11F5A, 0x11F5A}, {0x1611E, 0x1612F}, {0x1E5EE, 0x1E5EF},
        {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF}, {0x1E6F5, 0x1E6F5},
    };

    if (WITHIN(extend, code))
        return UTF8PROC_BOUNDCLASS_EXTEND;
    if (code == 0x113D1)
        return UTF8PROC_BOUNDCLASS_PREPEND;
    if (code == 0x11A3A)
        return UTF8PROC_BOUNDCLASS_OTHER;
    return utf8proc_get_property((utf8proc_int32_t)code)->boundclass;
}

static bool is_control(int class) {
    return class == UTF8PROC_BOUNDCLASS_CR || class == UTF8PROC_BOUNDCLASS_LF ||
           class == UTF8PROC_BOUNDCLASS_CONTROL;
}

/* Rules GB6 to GB8 of Unicode's annex 29. */
static bool is_one_syllable(int before, int after) {
    bool vowel = after == UTF8PROC_BOUNDCLASS_V, final = after == UTF8PROC_BOUNDCLASS_T;

    switch (before) {
    case UTF8PROC_BOUNDCLASS_L:
        return vowel || after == UTF8PROC_BOUNDCLASS_L || after == UTF8PROC_BOUNDCLASS_LV ||
               after == UTF8PROC_BOUNDCLASS_LVT;
    case UTF8PROC_BOUNDCLASS_LV:
    case UTF8PROC_BOUNDCLASS_V:
        return vowel || final;
    case UTF8PROC_BOUNDCLASS_LVT:
    case UTF8PROC_BOUNDCLASS_T:
        return final;
    default:
        return false;
    }
}

/* What a cluster is so far, for the rules that look back further than one character. */
typedef struct b2_cluster {
    int last;        /* class of its last character */
    bool picture;    /* a pictograph, then only characters that extend it */
    bool joined;     /* ... and a joiner at the end */
    bool odd_region; /* an odd number of regional indicators at the end */
} b2_cluster;

static bool goes_on(const b2_cluster *cluster, int class) {
    if (is_control(cluster->last) || is_control(class))
        return cluster->last == UTF8PROC_BOUNDCLASS_CR && class == UTF8PROC_BOUNDCLASS_LF;
    return class == UTF8PROC_BOUNDCLASS_EXTEND || class == UTF8PROC_BOUNDCLASS_ZWJ ||
           class == UTF8PROC_BOUNDCLASS_SPACINGMARK ||
           cluster->last == UTF8PROC_BOUNDCLASS_PREPEND || is_one_syllable(cluster->last, class) ||
           (cluster->joined && class == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC) ||
           (cluster->odd_region && class == UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR);
}

size_t b2_unicode_cluster_end(const char *text, size_t length, size_t start) {
    b2_cluster cluster = {0};
    size_t at = start;

    while (at < length) {
        int class = cluster_class(b2_utf8_decode(text + at));

        if (at > start && !goes_on(&cluster, class))
            break;
        cluster.joined = cluster.picture && class == UTF8PROC_BOUNDCLASS_ZWJ;
        cluster.picture = class == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC ||
                          (cluster.picture && (class == UTF8PROC_BOUNDCLASS_EXTEND ||
                                               class == UTF8PROC_BOUNDCLASS_ZWJ));
        cluster.odd_region = class == UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR && !cluster.odd_region;
        cluster.last = class;
        at += (size_t)b2_utf8_scan(text + at, length - at);
    }
    return at;
}
