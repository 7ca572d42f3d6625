/* The stack, the memo and the containers of the machine. */
#include <string.h>

#include "base/alloc.h"
#include "load/pickle_internal.h"

blip2_status b2_pickle_push(b2_pickle_machine *m, b2_pickle_value value) {
    if (m->count == m->capacity) {
        size_t capacity = m->capacity > 0 ? m->capacity * 2 : 256;
        b2_pickle_value *stack = b2_realloc_array(m->stack, capacity, sizeof *stack);

        if (stack == NULL)
            return b2_fail_memory();
        m->stack = stack;
        m->capacity = capacity;
    }
    m->stack[m->count++] = value;
    return BLIP2_OK;
}

blip2_status b2_pickle_push_integer(b2_pickle_machine *m, b2_pickle_kind kind, int64_t integer) {
    return b2_pickle_push(m, (b2_pickle_value){.kind = kind, .integer = integer});
}

b2_pickle_value *b2_pickle_top(b2_pickle_machine *m, size_t n) {
    if (n > m->count)
        return NULL;
    for (size_t i = m->count - n; i < m->count; i++)
        if (m->stack[i].kind == B2_PICKLE_MARK)
            return NULL;
    return m->stack + m->count - n;
}

bool b2_pickle_above_mark(const b2_pickle_machine *m, size_t *out) {
    for (size_t i = m->count; i > 0; i--) {
        if (m->stack[i - 1].kind == B2_PICKLE_MARK) {
            *out = m->count - i;
            return true;
        }
    }
    return false;
}

/* Keys may skip numbers, but each put takes 2 bytes, which bounds the table. */
blip2_status b2_pickle_put_memo(b2_pickle_machine *m, uint64_t key) {
    b2_pickle_value *value = b2_pickle_top(m, 1);

    if (value == NULL || key >= m->at)
        return b2_pickle_fail(m, "a memo entry out of range");
    if (key >= m->memo_capacity) {
        size_t capacity = (size_t)key * 2 + 256;
        b2_pickle_value *memo = b2_realloc_array(m->memo, capacity, sizeof *memo);

        if (memo == NULL)
            return b2_fail_memory();
        m->memo = memo;
        m->memo_capacity = capacity;
    }
    while (m->memo_count <= key)
        m->memo[m->memo_count++] = (b2_pickle_value){.kind = B2_PICKLE_MARK};
    m->memo[key] = *value;
    return BLIP2_OK;
}

blip2_status b2_pickle_get_memo(b2_pickle_machine *m, uint64_t key) {
    if (key >= m->memo_count || m->memo[key].kind == B2_PICKLE_MARK)
        return b2_pickle_fail(m, "a memo entry that was never put");
    return b2_pickle_push(m, m->memo[key]);
}

/* ---- containers ----------------------------------------------------------------------------- */

blip2_status b2_pickle_new_list(b2_pickle_machine *m, b2_pickle_kind kind,
                                b2_pickle_value *result) {
    b2_pickle_list *list = b2_arena_alloc(m->arena, 1, sizeof *list);

    if (list == NULL)
        return b2_fail_memory();
    *list = (b2_pickle_list){0};
    *result = (b2_pickle_value){.kind = kind, .list = list};
    return BLIP2_OK;
}

/* Move the n values on top into the list. */
static blip2_status extend(b2_pickle_machine *m, b2_pickle_list *list, size_t n) {
    if (n > list->capacity - list->count) {
        size_t capacity = (list->count + n) * (list->count > 0 ? 2 : 1);
        b2_pickle_value *item = b2_arena_alloc(m->arena, capacity, sizeof *item);

        if (item == NULL)
            return b2_fail_memory();
        if (list->count > 0)
            memcpy(item, list->item, list->count * sizeof *item);
        list->item = item;
        list->capacity = capacity;
    }
    m->count -= n;
    if (n > 0)
        memcpy(list->item + list->count, m->stack + m->count, n * sizeof *list->item);
    list->count += n;
    return BLIP2_OK;
}

blip2_status b2_pickle_push_list(b2_pickle_machine *m, b2_pickle_kind kind) {
    b2_pickle_value value;
    blip2_status status = b2_pickle_new_list(m, kind, &value);

    return status < 0 ? status : b2_pickle_push(m, value);
}

blip2_status b2_pickle_make_tuple(b2_pickle_machine *m, size_t n, bool marked) {
    b2_pickle_value tuple;
    blip2_status status;

    if (b2_pickle_top(m, n) == NULL)
        return b2_pickle_fail(m, "too few values for a tuple");
    if ((status = b2_pickle_new_list(m, B2_PICKLE_TUPLE, &tuple)) < 0 ||
        (status = extend(m, tuple.list, n)) < 0)
        return status;
    m->count -= marked ? 1 : 0;
    return b2_pickle_push(m, tuple);
}

blip2_status b2_pickle_fill(b2_pickle_machine *m, b2_pickle_kind kind, size_t n, bool marked) {
    size_t below = n + (marked ? 1 : 0);
    b2_pickle_value *target;
    blip2_status status;

    if (b2_pickle_top(m, n) == NULL || m->count <= below)
        return b2_pickle_fail(m, "too few values");
    target = m->stack + m->count - below - 1;
    if (target->kind != kind || (kind == B2_PICKLE_DICT && n % 2 != 0))
        return b2_pickle_fail(m, "values put into something that takes none");
    if ((status = extend(m, target->list, n)) < 0)
        return status;
    m->count -= marked ? 1 : 0;
    return BLIP2_OK;
}
