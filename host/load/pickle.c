#include "load/pickle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "load/pickle_internal.h"

/* The stack machine itself; the calls are in pickle_torch.c.
 *
 * A checkpoint of 1,500 tensors has a pickle of 300 KB; a limit on it limits the memory. */
enum { MAX_PICKLE_BYTES = 16 << 20, PROTOCOL = 2 };

/* The opcodes of protocol 2 that plain values need. */
enum {
    OP_PROTO = 0x80,
    OP_STOP = '.',
    OP_MARK = '(',
    OP_NONE = 'N',
    OP_TRUE = 0x88,
    OP_FALSE = 0x89,
    OP_BININT = 'J',
    OP_BININT1 = 'K',
    OP_BININT2 = 'M',
    OP_LONG1 = 0x8a,
    OP_BINFLOAT = 'G',
    OP_BINUNICODE = 'X',
    OP_EMPTY_TUPLE = ')',
    OP_TUPLE1 = 0x85,
    OP_TUPLE2 = 0x86,
    OP_TUPLE3 = 0x87,
    OP_TUPLE = 't',
    OP_EMPTY_LIST = ']',
    OP_APPEND = 'a',
    OP_APPENDS = 'e',
    OP_EMPTY_DICT = '}',
    OP_SETITEM = 's',
    OP_SETITEMS = 'u',
    OP_BINPUT = 'q',
    OP_LONG_BINPUT = 'r',
    OP_BINGET = 'h',
    OP_LONG_BINGET = 'j',
    OP_GLOBAL = 'c',
    OP_REDUCE = 'R',
    OP_BUILD = 'b',
    OP_BINPERSID = 'Q'
};

blip2_status b2_pickle_fail(const b2_pickle_machine *m, const char *format, ...) {
    char what[512], opcode[24] = "";
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (m->opcode_at < m->size) /* else the pickle ends where one is wanted */
        (void)snprintf(opcode, sizeof opcode, ", opcode 0x%02x", m->data[m->opcode_at]);
    return b2_fail(BLIP2_EFORMAT, "%s: pickle at byte %zu%s: %s", m->file, m->origin + m->opcode_at,
                   opcode, what);
}

/* The next n bytes of the pickle, or NULL at its end. */
static const uint8_t *take_bytes(b2_pickle_machine *m, size_t n) {
    const uint8_t *bytes = m->data + m->at;

    if (n > m->size - m->at)
        return NULL;
    m->at += n;
    return bytes;
}

/* A little-endian number of n bytes; false at the end of the pickle. */
static bool take_number(b2_pickle_machine *m, size_t n, uint64_t *out) {
    const uint8_t *bytes = take_bytes(m, n);

    if (bytes == NULL)
        return false;
    *out = 0;
    while (n-- > 0)
        *out = *out << 8 | bytes[n];
    return true;
}

static blip2_status cut_short(const b2_pickle_machine *m) {
    return b2_pickle_fail(m, "cut short");
}

/* ---- containers ----------------------------------------------------------------------------- */

static blip2_status run_container(b2_pickle_machine *m, uint8_t opcode) {
    size_t n;

    switch (opcode) {
    case OP_EMPTY_TUPLE:
        return b2_pickle_push_list(m, B2_PICKLE_TUPLE);
    case OP_EMPTY_LIST:
        return b2_pickle_push_list(m, B2_PICKLE_LIST);
    case OP_EMPTY_DICT:
        return b2_pickle_push_list(m, B2_PICKLE_DICT);
    case OP_TUPLE1:
    case OP_TUPLE2:
    case OP_TUPLE3:
        return b2_pickle_make_tuple(m, (size_t)(opcode - OP_TUPLE1) + 1, false);
    case OP_APPEND:
        return b2_pickle_fill(m, B2_PICKLE_LIST, 1, false);
    case OP_SETITEM:
        return b2_pickle_fill(m, B2_PICKLE_DICT, 2, false);
    default:
        break;
    }
    if (!b2_pickle_above_mark(m, &n))
        return b2_pickle_fail(m, "no mark");
    if (opcode == OP_TUPLE)
        return b2_pickle_make_tuple(m, n, true);
    return b2_pickle_fill(m, opcode == OP_APPENDS ? B2_PICKLE_LIST : B2_PICKLE_DICT, n, true);
}

/* ---- plain values --------------------------------------------------------------------------- */

static blip2_status run_long(b2_pickle_machine *m) {
    uint64_t n, bits = 0;
    const uint8_t *bytes;

    if (!take_number(m, 1, &n) || (bytes = take_bytes(m, (size_t)n)) == NULL)
        return cut_short(m);
    if (n > 8)
        return b2_pickle_push_integer(m, B2_PICKLE_BIG, 0);
    for (size_t i = 0; i < 8; i++) {
        uint8_t sign = n > 0 && bytes[n - 1] >= 0x80 ? 0xff : 0;

        bits |= (uint64_t)(i < n ? bytes[i] : sign) << 8 * i;
    }
    return b2_pickle_push_integer(m, B2_PICKLE_INT, (int64_t)bits);
}

static blip2_status run_text(b2_pickle_machine *m) {
    uint64_t n;
    const uint8_t *bytes;

    if (!take_number(m, 4, &n) || (bytes = take_bytes(m, (size_t)n)) == NULL)
        return cut_short(m);
    return b2_pickle_push(m, (b2_pickle_value){.kind = B2_PICKLE_TEXT,
                                               .length = (uint32_t)n,
                                               .text = (const char *)bytes});
}

static blip2_status run_plain(b2_pickle_machine *m, uint8_t opcode) {
    uint64_t number;

    switch (opcode) {
    case OP_NONE:
        return b2_pickle_push_integer(m, B2_PICKLE_NONE, 0);
    case OP_TRUE:
    case OP_FALSE:
        return b2_pickle_push_integer(m, B2_PICKLE_BOOL, opcode == OP_TRUE);
    case OP_MARK:
        return b2_pickle_push_integer(m, B2_PICKLE_MARK, 0);
    case OP_BININT:
        return take_number(m, 4, &number)
                   ? b2_pickle_push_integer(m, B2_PICKLE_INT, (int32_t)number)
                   : cut_short(m);
    case OP_BININT1:
        return take_number(m, 1, &number)
                   ? b2_pickle_push_integer(m, B2_PICKLE_INT, (int64_t)number)
                   : cut_short(m);
    case OP_BININT2:
        return take_number(m, 2, &number)
                   ? b2_pickle_push_integer(m, B2_PICKLE_INT, (int64_t)number)
                   : cut_short(m);
    case OP_BINFLOAT:
        return take_number(m, 8, &number) ? b2_pickle_push_integer(m, B2_PICKLE_FLOAT, 0)
                                          : cut_short(m);
    case OP_LONG1:
        return run_long(m);
    default: /* OP_BINUNICODE */
        return run_text(m);
    }
}

/* ---- names and calls ------------------------------------------------------------------------ */

/* "module\nname\n" */
static blip2_status run_global(b2_pickle_machine *m) {
    const char *module = (const char *)m->data + m->at, *name;
    size_t left = m->size - m->at, module_length, name_length;
    const b2_pickle_name *known;
    const char *end;

    if ((end = memchr(module, '\n', left)) == NULL)
        return cut_short(m);
    module_length = (size_t)(end - module);
    name = end + 1;
    if ((end = memchr(name, '\n', left - module_length - 1)) == NULL)
        return cut_short(m);
    name_length = (size_t)(end - name);
    m->at += module_length + name_length + 2;
    known = b2_pickle_find_name(module, module_length, name, name_length);
    if (known == NULL)
        return b2_pickle_fail(m,
                              "\"%.*s.%.*s\" is refused: only tensors and plain values are read, "
                              "nothing is run",
                              (int)b2_size_min(module_length, 100), module,
                              (int)b2_size_min(name_length, 100), name);
    return b2_pickle_push(m, (b2_pickle_value){.kind = B2_PICKLE_GLOBAL, .name = known});
}

static blip2_status run_call(b2_pickle_machine *m, uint8_t opcode) {
    size_t n = opcode == OP_BINPERSID ? 1 : 2;
    b2_pickle_value *args = b2_pickle_top(m, n), result;
    blip2_status status;

    if (args == NULL)
        return b2_pickle_fail(m, "too few values for a call");
    if (opcode == OP_BUILD) {
        /* A state dict carries its modules' versions as an attribute, which says nothing to us. */
        if (args[0].kind != B2_PICKLE_DICT || args[1].kind != B2_PICKLE_DICT)
            return b2_pickle_fail(m, "attributes of something that is no OrderedDict");
        m->count--;
        return BLIP2_OK;
    }
    status = opcode == OP_REDUCE ? b2_pickle_reduce(m, args, args + 1, &result)
                                 : b2_pickle_persistent(m, args, &result);
    if (status < 0)
        return status;
    m->count -= n;
    return b2_pickle_push(m, result);
}

static blip2_status run_opcode(b2_pickle_machine *m, uint8_t opcode) {
    uint64_t key;

    switch (opcode) {
    case OP_PROTO:
        if (!take_number(m, 1, &key))
            return cut_short(m);
        return key == PROTOCOL ? BLIP2_OK : b2_pickle_fail(m, "expected pickle protocol 2");
    case OP_BINPUT:
    case OP_LONG_BINPUT:
        return take_number(m, opcode == OP_BINPUT ? 1 : 4, &key) ? b2_pickle_put_memo(m, key)
                                                                 : cut_short(m);
    case OP_BINGET:
    case OP_LONG_BINGET:
        return take_number(m, opcode == OP_BINGET ? 1 : 4, &key) ? b2_pickle_get_memo(m, key)
                                                                 : cut_short(m);
    case OP_GLOBAL:
        return run_global(m);
    case OP_REDUCE:
    case OP_BUILD:
    case OP_BINPERSID:
        return run_call(m, opcode);
    case OP_EMPTY_TUPLE:
    case OP_TUPLE1:
    case OP_TUPLE2:
    case OP_TUPLE3:
    case OP_TUPLE:
    case OP_EMPTY_LIST:
    case OP_APPEND:
    case OP_APPENDS:
    case OP_EMPTY_DICT:
    case OP_SETITEM:
    case OP_SETITEMS:
        return run_container(m, opcode);
    case OP_NONE:
    case OP_TRUE:
    case OP_FALSE:
    case OP_MARK:
    case OP_BININT:
    case OP_BININT1:
    case OP_BININT2:
    case OP_LONG1:
    case OP_BINFLOAT:
    case OP_BINUNICODE:
        return run_plain(m, opcode);
    default:
        return b2_pickle_fail(m, "refused, as no tensor needs it");
    }
}

blip2_status b2_pickle_run(b2_pickle *out, b2_arena *arena, const uint8_t *data, size_t size,
                           size_t origin, const char *file) {
    b2_pickle_machine m = {.data = data, .size = size, .origin = origin, .file = file};
    blip2_status status = BLIP2_OK;

    *out = (b2_pickle){0};
    m.arena = arena;
    m.out = out;
    if (m.size > MAX_PICKLE_BYTES)
        m.size = MAX_PICKLE_BYTES;
    while (status == BLIP2_OK) {
        uint64_t opcode;

        m.opcode_at = m.at;
        if (!take_number(&m, 1, &opcode)) {
            status = b2_pickle_fail(&m, "no end (the file is cut short, or above 16 MiB)");
        } else if (opcode == OP_STOP) {
            if (m.count != 1 || b2_pickle_top(&m, 1) == NULL)
                status = b2_pickle_fail(&m, "ends with more or less than one value");
            break;
        } else {
            status = run_opcode(&m, (uint8_t)opcode);
        }
    }
    if (status == BLIP2_OK) {
        out->result = m.stack[0];
        out->used = m.at;
    }
    b2_free(m.stack);
    b2_free(m.memo);
    return status;
}

void b2_pickle_free(b2_pickle *pickle) {
    b2_free(pickle->storage);
    *pickle = (b2_pickle){0};
}

bool b2_pickle_is_text(const b2_pickle_value *value, const char *text) {
    return value->kind == B2_PICKLE_TEXT && value->length == strlen(text) &&
           memcmp(value->text, text, value->length) == 0;
}

const b2_pickle_value *b2_pickle_get(const b2_pickle_value *dict, const char *key) {
    const b2_pickle_value *found = NULL;

    if (dict->kind != B2_PICKLE_DICT)
        return NULL;
    for (size_t i = 0; i + 1 < dict->list->count; i += 2)
        if (b2_pickle_is_text(dict->list->item + i, key))
            found = dict->list->item + i + 1;
    return found;
}
