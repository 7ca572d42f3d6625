/* Parts and work folders: what was written comes back, and nothing else is believed. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "files.h"
#include "load/work.h"
#include "run.h"

static const b2_part_key key = {"aaaa", "bbbb", "cccc"};
static const b2_tensor_shape shapes[] = {{"rows", B2_F32, 2, {2, 3}}, {"cells", B2_I32, 1, {3}}};
static const float rows[6] = {1.0f, -2.0f, 3.5f, 0.0f, 1e30f, -1e-30f};
static const int32_t cells[3] = {7, 8, 9};
static const void *const data[] = {rows, cells};
static char folder[256], path[300];

static void setup(void) {
    make_folder(folder, sizeof folder);
    (void)snprintf(path, sizeof path, "%s/p.safetensors", folder);
}

static void teardown(void) {
    remove_tree(folder);
}

static blip2_status open_part(b2_part *part) {
    return b2_part_open(part, path, &key, shapes, 2, false);
}

static bytes read_part(void) {
    bytes out = {0};
    uint8_t *content;
    size_t size;

    ck_assert_status_ok(b2_file_read(&content, &size, path, 1 << 20));
    bytes_add(&out, content, size);
    b2_free(content);
    return out;
}

static void write_part(const char *note) {
    ck_assert_status_ok(b2_part_write(path, &key, note, shapes, 2, data));
}

static void expect_refusal(blip2_status status, const char *about) {
    b2_part part;

    ck_assert_status(open_part(&part), status);
    expect_message(about);
    expect_message("p.safetensors");
    ck_assert_ptr_null(part.map.data);
}

START_TEST(what_was_written_comes_back) {
    b2_part part;

    write_part("[\"a\"]");
    ck_assert_status_ok(open_part(&part));
    ck_assert_mem_eq(part.tensors[0].data, rows, sizeof rows);
    ck_assert_mem_eq(part.tensors[1].data, cells, sizeof cells);
    ck_assert_str_eq(part.note, "[\"a\"]");
    b2_part_close(&part);
    write_part(NULL);
    ck_assert_status_ok(b2_part_open(
        &part, path, &key,
        (const b2_tensor_shape[]){{"cells", B2_I32, 1, {-1}}, {"rows", B2_F32, 2, {-1, 3}}}, 2,
        true));
    ck_assert_int_eq(part.tensors[0].dim[0], 3);
    ck_assert_ptr_null(part.note);
    b2_part_close(&part);
}
END_TEST

/* Another model, other options and other inputs are no damage, and told apart. */
START_TEST(others_parts_are_refused) {
    static const struct {
        b2_part_key key;
        const char *about;
    } others[] = {
        {{"dddd", "bbbb", "cccc"}, "another model (SHA-256 dddd..., this one is aaaa...)"},
        {{"aaaa", "dddd", "cccc"}, "other options"},
        {{"aaaa", "bbbb", "dddd"}, "other pictures or texts"}};

    ck_assert_status_ok(b2_part_write(path, &others[_i].key, NULL, shapes, 2, data));
    expect_refusal(BLIP2_EINVAL, others[_i].about);
}
END_TEST

START_TEST(other_tensors_are_refused) {
    static const struct {
        b2_tensor_shape shapes[2];
        size_t count;
        const char *about;
    } others[] = {
        {{{"rows", B2_F32, 2, {3, 2}}, {"cells", B2_I32, 1, {3}}}, 2, "expected F32 [2, 3], got"},
        {{{"rows", B2_I32, 2, {2, 3}}, {"cells", B2_I32, 1, {3}}}, 2, "got I32 [2, 3]"},
        {{{"rows", B2_F32, 1, {6}}, {"cells", B2_I32, 1, {3}}}, 2, "got F32 [6]"},
        {{{"rows", B2_F32, 2, {2, 3}}, {"sells", B2_I32, 1, {3}}}, 2, "\"cells\" is missing"},
        {{{"rows", B2_F32, 2, {2, 3}}, {"", B2_F32, 0, {0}}}, 1, "has 1 tensors, expected 2"}};

    ck_assert_status_ok(b2_part_write(path, &key, NULL, others[_i].shapes, others[_i].count, data));
    expect_refusal(BLIP2_EFORMAT, others[_i].about);
}
END_TEST

/* Numbers that are not finite are neither written nor read. */
START_TEST(numbers_are_finite) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float copy[6];
    const void *const wrong[] = {copy, cells};
    bytes file;

    memcpy(copy, rows, sizeof copy);
    copy[4] = bad[_i];
    ck_assert_status(b2_part_write(path, &key, NULL, shapes, 2, wrong), BLIP2_EFORMAT);
    expect_message("\"rows\": holds numbers that are not finite");
    ck_assert_int_ne(access(path, F_OK), 0);
    write_part(NULL);
    file = read_part();
    memcpy(file.data + file.size - sizeof cells - 8, &copy[4], 4);
    write_file(folder, "p.safetensors", file.data, file.size);
    bytes_free(&file);
    expect_refusal(BLIP2_EFORMAT, "not finite");
}
END_TEST

/* Every shorter file, and every file with one bit changed, unless the change is one of JSON's white
 * space or of a name that nothing reads. */
START_TEST(damage_is_found) {
    bytes file;
    b2_part part;
    size_t accepted = 0;

    write_part(NULL);
    file = read_part();
    for (size_t size = 0; size < file.size; size++) {
        write_file(folder, "p.safetensors", file.data, size);
        ck_assert_status(open_part(&part), BLIP2_EFORMAT);
    }
    for (size_t bit = 0; bit < file.size * 8; bit++) {
        file.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        write_file(folder, "p.safetensors", file.data, file.size);
        accepted += open_part(&part) == BLIP2_OK;
        b2_part_close(&part);
        file.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    ck_assert_uint_le(accepted, 16);
    write_file(folder, "p.safetensors", "{}", 2);
    expect_refusal(BLIP2_EFORMAT, "at least 8");
    bytes_free(&file);
    file = make_safetensors("{}", 0);
    write_file(folder, "p.safetensors", file.data, file.size);
    bytes_free(&file);
    expect_refusal(BLIP2_EFORMAT, "no format in its metadata");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_status(open_part(&part), BLIP2_EIO);
}
END_TEST

static blip2_status write_and_read(void) {
    b2_work work = {0};
    b2_part part = {0};
    bool found;
    blip2_status status = b2_work_open(&work, path, &key);

    if (status == BLIP2_OK)
        status = b2_work_write(&work, "image", 3, shapes, 2, data);
    if (status == BLIP2_OK)
        status = b2_work_read(&work, "image", 3, shapes, 2, &part, &found);
    b2_part_close(&part);
    b2_work_close(&work);
    return status;
}

START_TEST(folders_keep_parts) {
    char name[400];
    b2_work work;
    b2_part part;
    bool found;

    ck_assert_status_ok(b2_work_open(&work, path, &key));
    ck_assert_status_ok(b2_work_read(&work, "image", 3, shapes, 2, &part, &found));
    ck_assert(!found);
    ck_assert_status_ok(b2_work_write(&work, "image", 3, shapes, 2, data));
    b2_work_close(&work);
    (void)snprintf(name, sizeof name, "%s/image-00000004.safetensors.tmp-a1B2c3", path);
    ck_assert_ptr_nonnull(fopen(name, "w")); /* of a process that was killed */
    ck_assert_status_ok(b2_work_open(&work, path, &key));
    ck_assert_int_ne(access(name, F_OK), 0);
    ck_assert_status_ok(b2_work_read(&work, "image", 3, shapes, 2, &part, &found));
    ck_assert(found);
    ck_assert_mem_eq(part.tensors[0].data, rows, sizeof rows);
    b2_part_close(&part);
    b2_work_close(&work);
    work = (b2_work){0}; /* none: nothing is kept */
    ck_assert_status_ok(b2_work_write(&work, "image", 3, shapes, 2, data));
    ck_assert_status_ok(b2_work_read(&work, "image", 3, shapes, 2, &part, &found));
    ck_assert(!found);
    b2_work_close(&work);
}
END_TEST

START_TEST(folders_belong_to_one_job) {
    const b2_part_key other = {"aaaa", "bbbb", "dddd"};
    b2_work work;
    int child;

    ck_assert_status(b2_work_open(&work, folder, &key), BLIP2_OK); /* empty: taken */
    b2_work_close(&work);
    ck_assert_status(b2_work_open(&work, folder, &other), BLIP2_EINVAL);
    expect_message("job.safetensors: made from other pictures or texts; name another folder");
    write_file(folder, "job.safetensors", "{}", 2);
    ck_assert_status(b2_work_open(&work, folder, &key), BLIP2_EFORMAT);
    (void)snprintf(path, sizeof path, "%s/job.safetensors", folder);
    ck_assert_int_eq(unlink(path), 0);
    write_file(folder, "notes.txt", "x", 1);
    ck_assert_status(b2_work_open(&work, folder, &key), BLIP2_EINVAL);
    expect_message("holds other files");
    (void)snprintf(path, sizeof path, "%s/notes.txt", folder);
    ck_assert_status(b2_work_open(&work, path, &key), BLIP2_EIO);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_status_ok(b2_work_open(&work, folder, &key));
    if ((child = fork()) == 0) {
        b2_work second;

        _exit(b2_work_open(&second, folder, &key) == BLIP2_EINVAL ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &child, 0) > 0 ? child : -1, 0);
    b2_work_close(&work);
    (void)snprintf(path, sizeof path, "%s/no/such", folder);
    ck_assert_status(b2_work_open(&work, path, &key), BLIP2_EIO);
}
END_TEST

/* In one process as well; and a second that is refused takes nothing from the first. */
START_TEST(one_job_at_a_time) {
    char expected[400];
    b2_work first, second;

    (void)snprintf(expected, sizeof expected, "%s: another job works in this folder just now",
                   folder);
    ck_assert_status_ok(b2_work_open(&first, folder, &key));
    for (int i = 0; i < 2; i++) {
        ck_assert_status(b2_work_open(&second, folder, &key), BLIP2_EINVAL);
        ck_assert_str_eq(blip2_error_message(), expected);
        ck_assert_ptr_null(second.directory);
    }
    b2_work_close(&first);
    ck_assert_status_ok(b2_work_open(&second, folder, &key));
    b2_work_close(&second);
}
END_TEST

/* The folder, the file, what is wrong with it, and what to do, which then helps. */
START_TEST(refusals_say_what_to_do) {
    static const char remedy[] = "; remove this file, and it is made again";
    const b2_part_key other = {"aaaa", "bbbb", "dddd"};
    char expected[600];
    b2_work work;
    b2_part part;
    bool found;

    ck_assert_status_ok(b2_work_open(&work, folder, &key));
    write_file(folder, "image-00000003.safetensors", "x", 1);
    ck_assert_status(b2_work_read(&work, "image", 3, shapes, 2, &part, &found), BLIP2_EFORMAT);
    (void)snprintf(expected, sizeof expected, "%s/image-00000003.safetensors: file has 1 bytes",
                   folder);
    expect_message(expected);
    expect_message(remedy);
    (void)snprintf(path, sizeof path, "%s/image-00000003.safetensors", folder);
    ck_assert_status_ok(b2_part_write(path, &other, NULL, shapes, 2, data));
    ck_assert_status(b2_work_read(&work, "image", 3, shapes, 2, &part, &found), BLIP2_EINVAL);
    (void)snprintf(expected, sizeof expected, "%s: made from other pictures or texts%s", path,
                   remedy);
    ck_assert_str_eq(blip2_error_message(), expected);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_status_ok(b2_work_read(&work, "image", 3, shapes, 2, &part, &found));
    ck_assert(!found);
    ck_assert_status(b2_work_damaged(&work, "image", 3, "odd"), BLIP2_EFORMAT);
    (void)snprintf(expected, sizeof expected, "%s: odd%s", path, remedy);
    ck_assert_str_eq(blip2_error_message(), expected);
    b2_work_close(&work);
    write_file(folder, "job.safetensors", "{}", 2);
    ck_assert_status(b2_work_open(&work, folder, &key), BLIP2_EFORMAT);
    (void)snprintf(expected, sizeof expected, "%s/job.safetensors: file has 2 bytes", folder);
    expect_message(expected);
    expect_message("; remove the folder to begin anew");
}
END_TEST

START_TEST(survives_every_failed_allocation) {
    blip2_status status = BLIP2_ENOMEM;

    gate_jansson();
    for (int64_t n = 0; status != BLIP2_OK; n++) {
        ck_assert_int_lt(n, 2000);
        b2_alloc_fail_after(n);
        status = write_and_read();
        b2_alloc_fail_after(-1);
        check_out_of_memory(status, status != BLIP2_OK);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("work");
    TCase *tests = tcase_create("work");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_was_written_comes_back);
    tcase_add_loop_test(tests, others_parts_are_refused, 0, 3);
    tcase_add_loop_test(tests, other_tensors_are_refused, 0, 5);
    tcase_add_loop_test(tests, numbers_are_finite, 0, 3);
    tcase_add_test(tests, damage_is_found);
    tcase_add_test(tests, folders_keep_parts);
    tcase_add_test(tests, folders_belong_to_one_job);
    tcase_add_test(tests, one_job_at_a_time);
    tcase_add_test(tests, refusals_say_what_to_do);
    tcase_add_test(tests, survives_every_failed_allocation);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
