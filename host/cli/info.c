/* blip2 info: blip2_model_describe for people. The fields are those of docs/api.md. */
#include "info.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/status.h"
#include "default_model.h"
#include "json.h"

enum { SHOWN_UNUSED = 5 };

/* 1234567 -> "1,234,567" */
static const char *grouped(json_int_t n, char text[32]) {
    char *at = text + 31;
    int digits = 0;

    *at = '\0';
    do {
        if (digits > 0 && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + n % 10);
        n /= 10;
        digits++;
    } while (n > 0);
    return at;
}

/* Decimal units, three digits. */
static const char *bytes_text(json_int_t bytes, char text[32]) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000.0;
        unit++;
    }
    (void)snprintf(text, 32, "%.3g %s", value, units[unit]);
    return text;
}

static json_int_t number(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

/* "width 176, layers 5" */
static void print_shape(json_t *shape) {
    const char *key, *comma = "";
    json_t *value;

    json_object_foreach(shape, key, value) {
        if (json_is_false(value))
            continue;
        (void)printf(json_is_true(value) ? "%s%s" : "%s%s ", comma, key);
        if (json_is_integer(value))
            (void)printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_string(value))
            b2_print_text(json_string_value(value));
        comma = ", ";
    }
}

static void print_part(const char *name, const json_t *part, json_t *shape) {
    char parameters[32], bytes[32];

    (void)printf("  %-12s %8" JSON_INTEGER_FORMAT " %16s %10s", name, number(part, "tensors"),
                 grouped(number(part, "parameters"), parameters),
                 bytes_text(number(part, "bytes"), bytes));
    if (json_object_size(shape) > 0)
        (void)fputs("   ", stdout);
    print_shape(shape);
    (void)putchar('\n');
}

static void print_parts(const json_t *root) {
    json_t *parts = json_object_get(root, "parts"), *shapes = json_object_get(root, "shapes");
    json_int_t tensors = 0, parameters = 0, bytes = 0;
    const char *name;
    json_t *part, *all;

    (void)printf("\n  %-12s %8s %16s %10s   %s\n", "part", "tensors", "parameters", "size",
                 "shape");
    json_object_foreach(parts, name, part) {
        print_part(name, part, json_object_get(shapes, name));
        tensors += number(part, "tensors");
        parameters += number(part, "parameters");
        bytes += number(part, "bytes");
    }
    all =
        json_pack("{s:I, s:I, s:I}", "tensors", tensors, "parameters", parameters, "bytes", bytes);
    print_part("all", all, NULL);
    json_decref(all);
}

static void print_memory(const json_t *root) {
    static const struct {
        const char *field, *text;
    } rows[] = {{"mapped_file_bytes", "checkpoint files, mapped: read when used"},
                {"weight_bytes", "weights made at load"},
                {"workspace_bytes", "workspace"},
                {"kv_bytes", "keys and values"}};
    const json_t *memory = json_object_get(root, "memory");
    json_int_t sum = 0;
    char text[32];

    (void)printf("\n  memory, with default options\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sum += number(memory, rows[i].field);
        (void)printf("  %10s   %s\n", bytes_text(number(memory, rows[i].field), text),
                     rows[i].text);
    }
    (void)printf("  %10s   at most\n", bytes_text(sum, text));
    (void)printf("  pictures kept encoded: %" JSON_INTEGER_FORMAT "\n",
                 number(memory, "cached_images"));
}

/* A list of strings in one line, at most `most` of them. */
static void print_list(const json_t *list, size_t most, const char *none) {
    size_t count = json_array_size(list);

    if (count == 0)
        (void)fputs(none, stdout);
    for (size_t i = 0; i < count && i < most; i++) {
        (void)fputs(i > 0 ? ", " : "", stdout);
        b2_print_text(json_string_value(json_array_get(list, i)));
    }
    if (count > most)
        (void)printf(" and %zu more (--json lists all)", count - most);
    (void)putchar('\n');
}

/* "cuda:0: NVIDIA ..., compute 9.0, 79 GiB; in F16", or
 * "cpu: 2 threads, ...; in F32 (no device cuda:0: ...)" */
static void print_device(const json_t *device) {
    const char *no_gpu = json_string_value(json_object_get(device, "no_gpu"));

    b2_print_text(json_string_value(json_object_get(device, "name")));
    (void)fputs(": ", stdout);
    b2_print_text(json_string_value(json_object_get(device, "about")));
    (void)fputs("; in ", stdout);
    b2_print_text(json_string_value(json_object_get(device, "compute")));
    if (no_gpu != NULL) {
        (void)fputs(" (", stdout);
        b2_print_text(no_gpu);
        (void)putchar(')');
    }
    (void)putchar('\n');
}

static void print_table(const char *directory, const json_t *root) {
    const char *type = json_string_value(json_object_get(root, "model_type"));
    const char *architecture = json_string_value(json_object_get(root, "architecture"));
    const json_t *unused = json_object_get(root, "unused_tensors");

    b2_print_name(directory);
    (void)fputs("\n  what         ", stdout);
    b2_print_text(type != NULL ? type : "?");
    (void)fputs(" (", stdout);
    b2_print_text(architecture != NULL ? architecture : "?");
    (void)fputs(")\n  tasks        ", stdout);
    print_list(json_object_get(root, "tasks"), SIZE_MAX, "none yet");
    (void)fputs("  device       ", stdout);
    print_device(json_object_get(root, "device"));
    print_parts(root);
    print_memory(root);
    (void)printf("\n  %zu tensors that no task uses%s", json_array_size(unused),
                 json_array_size(unused) > 0 ? ": " : "");
    print_list(unused, SHOWN_UNUSED, "");
}

static b2_exit_code print_described(const char *directory, const char *text, bool as_json) {
    json_t *root = NULL;

    if (as_json) {
        (void)puts(text);
    } else if ((root = json_loads(text, 0, NULL)) == NULL) {
        return b2_complain_status(b2_fail_memory());
    } else {
        print_table(directory, root);
        json_decref(root);
    }
    return B2_EXIT_OK; /* main closes the output */
}

b2_exit_code b2_info_run(const b2_settings *settings) {
    const char *directory;
    char *fallback = NULL, *text = NULL;
    b2_exit_code code;
    blip2_status status;

    if (settings->operand_count > 1) {
        b2_complain("info: one folder at a time; see 'blip2 help info'");
        return B2_EXIT_BAD_INPUT;
    }
    if (settings->operand_count == 0 && (status = b2_default_model(&fallback, B2_DEMO_CAPTION)) < 0)
        return b2_complain_status(status);
    directory = fallback != NULL ? fallback : settings->operands[0];
    if ((status = blip2_model_describe(&text, directory)) < 0)
        code = b2_complain_status(status);
    else
        code = print_described(directory, text, settings->json);
    blip2_string_free(text);
    b2_free(fallback);
    return code;
}
