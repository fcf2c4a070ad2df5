/* Reading of a Parquet file that goes on behind any page of it (parquet.h) against
 * reading it as a whole. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/text/parquet/parquet.h"

enum { MOST_ROWS = 4096 };

struct bytes {
    char *data;
    size_t n;
};

static int read_bytes(void *user, int64_t offset, size_t n, void *bytes,
                      struct ol_error *err)
{
    const struct bytes *b = user;
    (void)err;
    assert_true(offset >= 0 && (size_t)offset + n <= b->n);
    memcpy(bytes, b->data + offset, n);
    return 0;
}

static struct bytes load(const char *path)
{
    struct bytes b = {ol_xmalloc(1 << 24), 0};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    b.n = fread(b.data, 1, 1 << 24, file);
    fclose(file);
    return b;
}

static struct ol_parquet *open_bytes(const char *path, struct bytes *b)
{
    struct ol_error err = {0};
    const struct ol_parquet_file file = {path, (int64_t)b->n, b, read_bytes};
    struct ol_parquet *p = ol_parquet_open(&file, "text", &err);
    if (p == NULL)
        fail_msg("%s", err.text);
    return p;
}

struct text {
    char *bytes; /* NULL: null */
    size_t n;
};

/* The rest of the rows from `row` on, as whole reading had them: how many. */
static int check_rest(struct ol_parquet *p, const struct text *rows, int64_t row)
{
    struct ol_error err = {0};
    struct ol_parquet_value v;
    int found, n = 0;
    while ((found = ol_parquet_next(p, &v, &err)) == 1) {
        assert_int_equal(v.row, row + n);
        assert_int_equal(v.text == NULL, rows[row + n].bytes == NULL);
        if (v.text != NULL) {
            assert_int_equal(v.bytes, rows[row + n].n);
            assert_memory_equal(v.text, rows[row + n].bytes, v.bytes);
        }
        n++;
    }
    if (found < 0)
        fail_msg("%s", err.text);
    return n;
}

/* Of each page's end. Returns how many there were. */
static int check(const char *path)
{
    struct bytes b = load(path);
    struct ol_parquet *p = open_bytes(path, &b);
    struct ol_parquet_place places[MOST_ROWS];
    struct ol_parquet_value v;
    struct ol_error err = {0};
    struct text rows[MOST_ROWS] = {{NULL, 0}};
    int n = 0, n_places = 0;
    while (ol_parquet_next(p, &v, &err) == 1) {
        if (v.text != NULL)
            rows[n] =
                (struct text){memcpy(ol_xmalloc(v.bytes + 1), v.text, v.bytes), v.bytes};
        n++;
        if (!ol_parquet_has_more(p))
            places[n_places++] = ol_parquet_place(p);
    }
    assert_int_equal(n, ol_parquet_n_rows(p));
    ol_parquet_close(p);
    for (int i = 0; i < n_places; i++) {
        p = open_bytes(path, &b);
        assert_true(ol_parquet_go_on(p, places[i]));
        assert_int_equal(check_rest(p, rows, places[i].row), n - places[i].row);
        ol_parquet_close(p);
    }
    /* Where nothing can be. */
    p = open_bytes(path, &b);
    assert_false(ol_parquet_go_on(p, (struct ol_parquet_place){-1, 0}));
    assert_false(ol_parquet_go_on(p, (struct ol_parquet_place){n + 1, 100}));
    assert_false(ol_parquet_go_on(p, (struct ol_parquet_place){1, (int64_t)b.n}));
    assert_int_equal(check_rest(p, rows, 0), n);
    ol_parquet_close(p);
    for (int i = 0; i < n; i++)
        free(rows[i].bytes);
    free(b.data);
    return n_places;
}

static void goes_on(void **state)
{
    (void)state;
    glob_t g;
    int n_places = 0;
    assert_int_equal(glob("tests/golden/parquet/*.parquet", 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++)
        n_places += check(g.gl_pathv[i]);
    assert_true(n_places > (int)g.gl_pathc + 5); /* some have several pages */
    globfree(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
