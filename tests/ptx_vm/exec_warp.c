/* Lanes of a warp talk to each other: shuffles, votes, matches, reductions. */
#include <string.h>

#include "exec.h"

bool vm_check_members(vm_warp *w, const vm_instr *in, uint32_t mask, const uint32_t *members) {
    uint32_t unnamed = 0, absent = 0, differ = 0, i;

    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            uint32_t named = members[i], first = named & mask;

            unnamed |= (uint32_t)(~named >> i & 1) << i;
            absent |= (uint32_t)((named & w->alive & ~mask) != 0) << i;
            differ |= (uint32_t)(first && members[vm_first_lane(first)] != named) << i;
        }
    }
    if (unnamed) {
        vm_found(w, in, VM_MEMBER_MASK, unnamed, 0, "the lane is not in its own member mask 0x%08x",
                 members[vm_first_lane(unnamed)]);
    } else if (absent) {
        i = vm_first_lane(absent);
        vm_found(w, in, VM_MEMBER_MASK, absent, 0,
                 "the member mask 0x%08x names lane %u, which is elsewhere", members[i],
                 vm_first_lane(members[i] & w->alive & ~mask));
    } else if (differ) {
        vm_found(w, in, VM_MEMBER_MASK, differ, 0, "lanes that name each other have other masks");
    }
    return (unnamed | absent | differ) == 0;
}

bool vm_check_whole(vm_warp *w, const vm_instr *in, uint32_t mask) {
    if (mask != VM_ALL) {
        vm_found(w, in, VM_MEMBER_MASK, mask, 0,
                 "only lanes 0x%08x execute an instruction of the whole warp", mask);
    }
    return mask == VM_ALL;
}

/* ---- shfl -------------------------------------------------------------------------------------
 */

enum { UP, DOWN, BFLY, IDX, HAS_PREDICATE = 4 };

/* The lane that a lane reads; false: out of its segment, it keeps its own value. */
static bool source_lane(uint32_t kind, uint32_t lane, uint32_t b, uint32_t c, uint32_t *source) {
    uint32_t segment = c >> 8 & 31, last = (lane & segment) | (c & 31 & ~segment);
    int to;

    b &= 31;
    switch (kind) {
    case UP:
        to = (int)lane - (int)b;
        *source = (uint32_t)to;
        return to >= (int)last;
    case DOWN:
        *source = lane + b;
        break;
    case BFLY:
        *source = lane ^ b;
        break;
    default:
        *source = (lane & segment) | (b & ~segment);
        break;
    }
    return *source <= last;
}

static void shfl(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t at = in->dst_count, old[VM_LANES], valid = 0, absent = 0;
    uint32_t *d = vm_row(w, in->ref[0]);
    const uint32_t *b = vm_row(w, in->ref[at + 1]), *c = vm_row(w, in->ref[at + 2]);
    uint32_t kind = in->option & 3, i;

    vm_check_members(w, in, mask, vm_row(w, in->ref[at + 3]));
    memcpy(old, vm_row(w, in->ref[at]), sizeof(old));
    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            uint32_t source, inside = source_lane(kind, i, b[i], c[i], &source);

            source = inside ? source : i;
            valid |= inside << i;
            absent |= (~mask >> source & 1) << i;
            d[i] = old[source];
        }
    }
    if (absent) {
        vm_found(w, in, VM_MEMBER_MASK, absent, 0, "a lane is read that does not take part");
    }
    if (at == 2) {
        uint32_t *p = vm_row(w, in->ref[1]);

        *p = vm_merge(*p, valid, mask);
    }
}

/* Second destination behind "|". */
static bool decode_pair(vm_decoder *d, const ptx_operand *operand) {
    ptx_operand second = *operand;

    if (!vm_dst(d, operand, VM_B32)) {
        return false;
    }
    if (operand->reg2 == VM_NONE) {
        return true;
    }
    second.kind = PTX_REGISTER;
    second.reg = operand->reg2;
    return vm_dst(d, &second, VM_PRED);
}

static bool decode_shfl(vm_decoder *d) {
    static const char *const kinds[] = {"up", "down", "bfly", "idx"};
    const ptx_operand *operands = d->statement->operands;
    int kind;

    d->in->class = VM_CLASS_WARP;
    d->in->run = shfl;
    if (!vm_take(d, "sync")) {
        return vm_refuse(d, "shfl without .sync does not exist on this target");
    }
    kind = vm_take_of(d, kinds, 4);
    d->in->option = (uint16_t)kind;
    return kind >= 0 && vm_take(d, "b32") && vm_want(d, 5) && decode_pair(d, &operands[0]) &&
           vm_src(d, &operands[1], VM_B32) && vm_src(d, &operands[2], VM_B32) &&
           vm_src(d, &operands[3], VM_B32) && vm_src(d, &operands[4], VM_B32);
}

/* ---- vote -------------------------------------------------------------------------------------
 */

enum { ALL, ANY, UNI, BALLOT, NEGATED = 4 };

static void vote(vm_warp *w, const vm_instr *in, uint32_t mask) {
    const uint32_t *members = vm_row(w, in->ref[2]);
    uint32_t truth = *(const uint32_t *)vm_row(w, in->ref[1]), result = 0, i;
    uint32_t *d = vm_row(w, in->ref[0]), kind = in->option & 3;

    vm_check_members(w, in, mask, members);
    truth = in->option & NEGATED ? ~truth : truth;
    for (i = 0; i < VM_LANES; i++) {
        uint32_t group = members[i] & mask, yes = truth & group;

        if (!(mask >> i & 1)) {
            continue;
        }
        if (kind == BALLOT) {
            d[i] = yes;
        } else {
            result |= (uint32_t)(kind == ALL   ? yes == group
                                 : kind == ANY ? yes != 0
                                               : yes == group || yes == 0)
                      << i;
        }
    }
    if (kind != BALLOT) {
        *d = vm_merge(*d, result, mask);
    }
}

static bool decode_vote(vm_decoder *d) {
    static const char *const kinds[] = {"all", "any", "uni", "ballot"};
    const ptx_operand *operands = d->statement->operands;
    ptx_operand voter;
    int kind;

    d->in->class = VM_CLASS_WARP;
    d->in->run = vote;
    if (!vm_take(d, "sync")) {
        return vm_refuse(d, "vote without .sync does not exist on this target");
    }
    kind = vm_take_of(d, kinds, 4);
    if (kind < 0 || !vm_take(d, kind == BALLOT ? "b32" : "pred") || !vm_want(d, 3)) {
        return false;
    }
    voter = operands[1];
    d->in->option = (uint16_t)((uint32_t)kind | (voter.negated ? NEGATED : 0));
    voter.negated = false;
    return vm_dst(d, &operands[0], kind == BALLOT ? VM_B32 : VM_PRED) &&
           vm_src(d, &voter, VM_PRED) && vm_src(d, &operands[2], VM_B32);
}

/* ---- match ------------------------------------------------------------------------------------
 */

/* Lanes of the group whose value is the same as that of lane i. */
static uint32_t same_value(const vm_warp *w, const vm_instr *in, uint32_t group, uint32_t i) {
    uint32_t at = in->dst_count, bytes = 1u << in->width, same = 0, k;
    const uint8_t *a = vm_row(w, in->ref[at]);

    for (k = 0; k < VM_LANES; k++) {
        same |= (uint32_t)(memcmp(a + i * bytes, a + k * bytes, bytes) == 0) << k;
    }
    return same & group;
}

static void match(vm_warp *w, const vm_instr *in, uint32_t mask) {
    const uint32_t *members = vm_row(w, in->ref[in->dst_count + 1]);
    uint32_t result[VM_LANES], whole = 0, i, *d = vm_row(w, in->ref[0]);

    vm_check_members(w, in, mask, members);
    for (i = 0; i < VM_LANES; i++) {
        uint32_t group = members[i] & mask;

        if (mask >> i & 1) {
            result[i] = same_value(w, in, group, i);
            whole |= (uint32_t)(result[i] == group) << i;
            if (in->option == ALL && result[i] != group) {
                result[i] = 0;
            }
        }
    }
    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            d[i] = result[i];
        }
    }
    if (in->dst_count == 2) {
        uint32_t *p = vm_row(w, in->ref[1]);

        *p = vm_merge(*p, whole, mask);
    }
}

static bool decode_match(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;

    d->in->class = VM_CLASS_WARP;
    d->in->run = match;
    d->in->option = vm_take(d, "all") ? ALL : ANY;
    if ((d->in->option == ANY && !vm_take(d, "any")) || !vm_take(d, "sync")) {
        return false;
    }
    d->in->width = vm_take(d, "b64") ? VM_B64 : VM_B32;
    return (d->in->width == VM_B64 || vm_take(d, "b32")) && vm_want(d, 3) &&
           decode_pair(d, &operands[0]) && vm_src(d, &operands[1], (vm_width)d->in->width) &&
           vm_src(d, &operands[2], VM_B32);
}

/* ---- redux, activemask, elect ------------------------------------------------------------------
 */

#define REDUCE(name, T, expression)                                                                \
    static void name(vm_warp *w, const vm_instr *in, uint32_t mask) {                              \
        const uint32_t *members = vm_row(w, in->ref[2]);                                           \
        const T *a = vm_row(w, in->ref[1]);                                                        \
        T result[VM_LANES], *d = vm_row(w, in->ref[0]);                                            \
                                                                                                   \
        vm_check_members(w, in, mask, members);                                                    \
        for (uint32_t i = 0; i < VM_LANES; i++) {                                                  \
            uint32_t group = mask >> i & 1 ? (members[i] & mask) | 1u << i : 1u << i;              \
            T x = a[vm_first_lane(group)];                                                         \
                                                                                                   \
            for (group &= group - 1; group; group &= group - 1) {                                  \
                T y = a[vm_first_lane(group)];                                                     \
                                                                                                   \
                x = expression;                                                                    \
            }                                                                                      \
            result[i] = x;                                                                         \
        }                                                                                          \
        VM_EACH_LANE(d[i] = result[i]);                                                            \
    }
REDUCE(redux_add, uint32_t, x + y)
REDUCE(redux_and, uint32_t, x &y)
REDUCE(redux_or, uint32_t, x | y)
REDUCE(redux_xor, uint32_t, x ^ y)
REDUCE(redux_min_u, uint32_t, x < y ? x : y)
REDUCE(redux_max_u, uint32_t, x > y ? x : y)
REDUCE(redux_min_s, int32_t, x < y ? x : y)
REDUCE(redux_max_s, int32_t, x > y ? x : y)

static void activemask(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t *d = vm_row(w, in->ref[0]);

    VM_EACH_LANE(d[i] = mask);
}

/* The lowest lane of the group is the leader: its number, and a predicate that is true for it. */
static void elect(vm_warp *w, const vm_instr *in, uint32_t mask) {
    const uint32_t *members = vm_row(w, in->ref[2]);
    uint32_t *d = vm_row(w, in->ref[0]), *p = vm_row(w, in->ref[1]), leaders = 0, i;

    vm_check_members(w, in, mask, members);
    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            uint32_t leader = vm_first_lane((members[i] & mask) | 1u << i);

            d[i] = leader;
            leaders |= (uint32_t)(leader == i) << i;
        }
    }
    *p = vm_merge(*p, leaders, mask);
}

static bool decode_elect(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;

    d->in->class = VM_CLASS_WARP;
    d->in->run = elect;
    return vm_take(d, "sync") && vm_want(d, 2) && operands[0].reg2 != VM_NONE &&
           decode_pair(d, &operands[0]) && vm_src(d, &operands[1], VM_B32);
}

#define FORM(opcode, function, shape)                                                              \
    { opcode, function, shape, VM_CLASS_WARP }

static const vm_form forms[] = {
    FORM("redux.sync.add.u32", redux_add, "w=ww"),
    FORM("redux.sync.add.s32", redux_add, "w=ww"),
    FORM("redux.sync.min.u32", redux_min_u, "w=ww"),
    FORM("redux.sync.min.s32", redux_min_s, "w=ww"),
    FORM("redux.sync.max.u32", redux_max_u, "w=ww"),
    FORM("redux.sync.max.s32", redux_max_s, "w=ww"),
    FORM("redux.sync.and.b32", redux_and, "w=ww"),
    FORM("redux.sync.or.b32", redux_or, "w=ww"),
    FORM("redux.sync.xor.b32", redux_xor, "w=ww"),
    FORM("activemask.b32", activemask, "w="),
};
const vm_form_list vm_warp_forms = {forms, sizeof(forms) / sizeof(*forms)};

static const vm_family families[] = {
    {"shfl", decode_shfl}, {"vote", decode_vote}, {"match", decode_match}, {"elect", decode_elect}};
const vm_family_list vm_warp_families = {families, sizeof(families) / sizeof(*families)};
