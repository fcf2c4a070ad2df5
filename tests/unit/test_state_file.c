/* What --resume goes on from: the last layer that is whole, whatever happened to the one
 * after it, and nothing of another run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "extract/observe/state_file.h"

enum { ROWS = 5, WIDTH = 7 };

static char path[] = "/tmp/ol-test-state-XXXXXX";
static const struct ol_state_identity id = {"abc", OL_DTYPE_F32, ROWS, WIDTH};

static void fill(float rows[ROWS * WIDTH], int layer)
{
    for (int i = 0; i < ROWS * WIDTH; i++)
        rows[i] = (float)(100 * layer + i);
}

static void put(struct ol_state_file *s, int layer)
{
    struct ol_error err = {0};
    float rows[ROWS * WIDTH];
    fill(rows, layer);
    assert_int_equal(ol_state_put(s, layer, rows, "extra", 5, &err), 0);
}

static void expect(int expected)
{
    struct ol_error err = {0};
    float rows[ROWS * WIDTH], want[ROWS * WIDTH];
    int layer = -2;
    struct ol_state_file *s = ol_state_open(path, &id, &err);
    assert_non_null(s);
    void *extra;
    size_t n;
    assert_int_equal(ol_state_get(s, rows, &layer, &extra, &n, &err), 0);
    assert_int_equal(layer, expected);
    assert_int_equal(n, expected >= 0 ? 5 : 0);
    if (expected >= 0)
        assert_memory_equal(extra, "extra", 5);
    free(extra);
    fill(want, expected);
    if (expected >= 0)
        assert_memory_equal(rows, want, sizeof rows);
    ol_state_close(s);
}

/* Change one value of some layer's rows, as a write that was cut short would. */
static void spoil(int layer)
{
    float rows[ROWS * WIDTH], value;
    fill(rows, layer);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    for (long at = 0;; at += 4) {
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fread(&value, sizeof value, 1, file), 1);
        if (memcmp(&value, &rows[3], sizeof value) == 0) {
            value = -1;
            assert_int_equal(fseek(file, at, SEEK_SET), 0);
            assert_int_equal(fwrite(&value, sizeof value, 1, file), 1);
            break;
        }
    }
    fclose(file);
}

/* A run that goes on from `after` keeps `layer`, which is spoilt: the one before is
 * whole. */
static void put_next(int layer, int after)
{
    struct ol_error err = {0};
    float rows[ROWS * WIDTH];
    void *extra;
    size_t n;
    int found;
    struct ol_state_file *s = ol_state_open(path, &id, &err);
    assert_int_equal(ol_state_get(s, rows, &found, &extra, &n, &err), 0);
    assert_int_equal(found, after);
    free(extra);
    put(s, layer);
    ol_state_close(s);
    spoil(layer);
    expect(after);
}

static void the_last_whole_layer(void **state)
{
    (void)state;
    struct ol_error err = {0};
    struct ol_state_file *s = ol_state_create(path, &id, 5, &err);
    assert_non_null(s);
    ol_state_close(s);
    expect(-1);
    s = ol_state_open(path, &id, &err);
    for (int layer = 1; layer <= 4; layer++)
        put(s, layer);
    ol_state_close(s);
    expect(4);
    spoil(4);
    expect(3);
    /* Not every layer is kept. */
    s = ol_state_create(path, &id, 5, &err);
    for (int layer = 1; layer <= 5; layer += 2)
        put(s, layer);
    ol_state_close(s);
    spoil(5);
    expect(3);
    put_next(7, 3);
    spoil(3);
    expect(-1);
}

static void another_run_is_refused(void **state)
{
    (void)state;
    struct ol_error err = {0};
    const struct ol_state_identity other = {"abd", OL_DTYPE_F32, ROWS, WIDTH};
    assert_null(ol_state_open(path, &other, &err));
    assert_non_null(strstr(err.text, "belongs to another run"));
}

static int begin(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int end(void **state)
{
    (void)state;
    ol_state_remove(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_whole_layer),
        cmocka_unit_test(another_run_is_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
