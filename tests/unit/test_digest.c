/* What summaries keep of a sequence's rows, on every backend, against plain loops: at odd
 * sizes, of every kind of value, with no, some, and too many occurrences. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "extract/backend.h"
#include "tests/unit/backends.h"

enum {
    LEAST = 0x3fc0 /* 1.5 */,
    LEAST_OF_ALL = 1,
    LEAST_OF_MANY = 0x3fcd,
    INFINITE = 0x7f80
};

/* One call, and what a loop finds. */
struct wanted {
    int n_rows, n_cols;
    uint32_t least;
    uint16_t *codes; /* [n_rows, n_cols] */
    int64_t *histogram, n_occurrences;
};

static uint64_t seed;

static uint32_t draw(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

/* Mostly as activations are; some of any value, zeros of either sign, infinite ones and
 * NaN of all kinds among them. A column is NaN from top to bottom, another zero. */
static uint16_t draw_code(int column)
{
    const float ordinary = (float)((double)(int32_t)draw() * 0x1p-30);
    const uint32_t kind = draw() % 64, any = draw();
    static const uint16_t rare[] = {0,      0x8000, 0x7f80, 0xff80, 0x7f81, 0xffc1,
                                    0x7fff, 1,      0x807f, 0x7f7f, 0x3580, 0x4580};
    if (column % 7 == 5)
        return (uint16_t)(0x7fc0 | (any & 0x803f));
    if (column % 7 == 6)
        return (uint16_t)(any & 0x8000);
    if (kind < 4)
        return (uint16_t)any;
    if (kind < 8)
        return rare[any % (sizeof rare / sizeof rare[0])];
    return ol_bf16_from_f32(ordinary);
}

static struct ol_tensor make(struct ol_backend *b, struct wanted *w)
{
    struct ol_error err = {0};
    struct ol_tensor x;
    const size_t n = (size_t)w->n_rows * (size_t)w->n_cols;
    float *wide = ol_xcalloc(n, sizeof *wide);
    w->codes = ol_xcalloc(n, sizeof *w->codes);
    for (size_t i = 0; i < n; i++) {
        w->codes[i] = draw_code((int)(i % (size_t)w->n_cols));
        wide[i] = ol_bf16_to_f32(w->codes[i]);
        /* Between two codes: what it is rounded to is looked at. */
        if (b->dtype == OL_DTYPE_F32 && isfinite(wide[i]))
            wide[i] *= 1.003f;
        if (b->dtype == OL_DTYPE_F32)
            w->codes[i] = ol_bf16_from_f32(wide[i]);
    }
    if (b->op->tensor_new(b, b->dtype, w->n_rows, w->n_cols, &x, &err) != 0 ||
        b->op->upload(b, x, b->dtype == OL_DTYPE_F32 ? (void *)wide : w->codes, &err) !=
            0)
        fail_msg("%s", err.text);
    free(wide);
    return x;
}

static bool occurs(const struct wanted *w, uint16_t code)
{
    const unsigned magnitude = code & 0x7fff;
    return w->least > 0 && magnitude >= w->least && magnitude <= INFINITE;
}

static void count(struct wanted *w)
{
    w->n_occurrences = 0;
    for (int i = 0; i < w->n_rows * w->n_cols; i++) {
        w->histogram[w->codes[i]]++;
        w->n_occurrences += occurs(w, w->codes[i]);
    }
}

static void check_columns(const struct wanted *w, const struct ol_digest *d)
{
    for (int c = 0; c < w->n_cols; c++) {
        double sum = 0, squares = 0;
        float top = -INFINITY, bottom = INFINITY;
        for (int run = 0; run < w->n_rows; run += OL_DIGEST_RUN) {
            double run_sum = 0, run_squares = 0;
            for (int i = run; i < w->n_rows && i < run + OL_DIGEST_RUN; i++) {
                const float value = ol_bf16_to_f32(w->codes[i * w->n_cols + c]);
                run_sum += (double)value;
                run_squares += (double)value * (double)value;
                top = value > top ? value : top;
                bottom = value < bottom ? value : bottom;
            }
            sum += run_sum;
            squares += run_squares;
        }
        /* Bits: -0 is not 0, though NaN is as NaN as any. */
        if ((memcmp(&sum, &d->sums[c], sizeof sum) != 0 && !isnan(sum)) ||
            (memcmp(&squares, &d->squares[c], sizeof squares) != 0 && !isnan(squares)) ||
            isnan(sum) != isnan(d->sums[c]) || isnan(squares) != isnan(d->squares[c]) ||
            memcmp(&top, &d->maxima[c], sizeof top) != 0 ||
            memcmp(&bottom, &d->minima[c], sizeof bottom) != 0)
            fail_msg("%d x %d: column %d is %g %g %g %g, expected %g %g %g %g", w->n_rows,
                     w->n_cols, c, d->sums[c], d->squares[c], (double)d->maxima[c],
                     (double)d->minima[c], sum, squares, (double)top, (double)bottom);
    }
}

static void check_occurrences(const struct wanted *w, const struct ol_digest *d)
{
    const size_t n = (size_t)w->n_rows * (size_t)w->n_cols;
    if (!d->listed) {
        assert_true(w->least > 0);
        assert_memory_equal(d->codes, w->codes, n * sizeof *w->codes);
        return;
    }
    assert_int_equal(d->n_occurrences, w->n_occurrences);
    assert_true(d->n_occurrences <= d->most_occurrences);
    char *seen = ol_xcalloc(n, 1);
    for (int64_t i = 0; i < d->n_occurrences; i++) {
        const struct ol_occurrence o = d->occurrences[i];
        assert_in_range(o.row, 0, w->n_rows - 1);
        assert_in_range(o.column, 0, w->n_cols - 1);
        const size_t at = (size_t)o.row * (size_t)w->n_cols + o.column;
        assert_int_equal(o.code, w->codes[at]);
        assert_true(occurs(w, o.code));
        assert_int_equal(seen[at], 0);
        seen[at] = 1;
    }
    free(seen);
}

/* Whether the occurrences were listed. */
static bool digest(struct ol_backend *b, int n_rows, int n_cols, uint32_t least,
                   int64_t *histogram)
{
    struct ol_error err = {0};
    struct wanted w = {n_rows, n_cols, least, NULL, histogram, 0};
    struct ol_tensor x = make(b, &w);
    count(&w);
    struct ol_digest *d =
        ol_digest_in(ol_xmalloc(ol_digest_bytes(n_rows, n_cols)), n_rows, n_cols);
    if (b->op->digest_begin(b, x, least, d, &err) != 0 || !test_arrive(b, &err))
        fail_msg("%s", err.text);
    check_columns(&w, d);
    check_occurrences(&w, d);
    const bool listed = d->listed;
    b->op->tensor_free(b, &x);
    free(w.codes);
    free(d);
    return listed;
}

/* More on their way at once than a device keeps: each has its own. Some are in nobody's
 * histogram. */
static void many_digests(struct ol_backend *b, int64_t *histogram)
{
    enum { N = 37, COLS = 19 };
    struct ol_error err = {0};
    struct wanted w[N];
    struct ol_tensor x[N];
    struct ol_digest *d[N];
    int64_t *counts[2], *nobodys = ol_xcalloc(OL_N_CODES, sizeof *nobodys);
    for (int i = 0; i < N; i++) {
        const bool uncounted = i % 5 == 2;
        w[i] =
            (struct wanted){i + 1, COLS, LEAST, NULL, uncounted ? nobodys : histogram, 0};
        x[i] = make(b, &w[i]);
        count(&w[i]);
        d[i] = ol_digest_in(ol_xmalloc(ol_digest_bytes(i + 1, COLS)), i + 1, COLS);
        d[i]->uncounted = uncounted;
    }
    for (int i = 0; i < N; i++)
        if (b->op->digest_begin(b, x[i], LEAST, d[i], &err) != 0)
            fail_msg("%s", err.text);
    /* The second has nothing left. */
    for (int i = 0; i < 2; i++) {
        counts[i] = ol_xcalloc(OL_N_CODES, sizeof **counts);
        if (b->op->histogram_begin(b, counts[i], &err) != 0)
            fail_msg("%s", err.text);
    }
    if (!test_arrive(b, &err))
        fail_msg("%s", err.text);
    assert_memory_equal(counts[0], histogram, OL_N_CODES * sizeof *histogram);
    memset(histogram, 0, OL_N_CODES * sizeof *histogram);
    assert_memory_equal(counts[1], histogram, OL_N_CODES * sizeof *histogram);
    for (int i = 0; i < N; i++) {
        check_columns(&w[i], d[i]);
        check_occurrences(&w[i], d[i]);
        b->op->tensor_free(b, &x[i]);
        free(w[i].codes);
        free(d[i]);
    }
    free(nobodys);
    free(counts[0]);
    free(counts[1]);
}

static void check_histogram(struct ol_backend *b, int64_t *wanted)
{
    struct ol_error err = {0};
    int64_t *found = ol_xcalloc(OL_N_CODES, sizeof *found);
    if (b->op->histogram_begin(b, found, &err) != 0 || !test_arrive(b, &err))
        fail_msg("%s", err.text);
    for (int c = 0; c < OL_N_CODES; c++)
        if (found[c] != wanted[c])
            fail_msg("code %04x was counted %lld times, expected %lld", c,
                     (long long)found[c], (long long)wanted[c]);
    memset(wanted, 0, OL_N_CODES * sizeof *wanted);
    free(found);
}

static void digests(enum test_backend kind, enum ol_dtype dtype, int way)
{
    struct ol_backend *b = test_backend_open(kind, dtype, way);
    int64_t *histogram = ol_xcalloc(OL_N_CODES, sizeof *histogram);
    seed = 7;
    check_histogram(b, histogram); /* of nothing */
    assert_true(digest(b, 1, 1, 0, histogram));
    assert_true(digest(b, 1, 64, 0, histogram));
    assert_true(digest(b, 63, 300, LEAST, histogram));
    check_histogram(b, histogram); /* of several calls */
    assert_true(digest(b, 64, 513, LEAST, histogram));
    digest(b, 65, 3, LEAST, histogram);
    /* More runs than are looked at together, a list that is longer than there is room. */
    assert_true(digest(b, 1283, 300, 0, histogram));
    assert_false(digest(b, 1283, 300, LEAST_OF_ALL, histogram));
    /* More than a device's slot has room for, but shorter than the rows: listed where
     * there is memory for it. */
    digest(b, 1283, 300, LEAST_OF_MANY, histogram);
    /* As many as there are quarters of values are still listed, one more is not. */
    assert_true(digest(b, 200, 77, INFINITE, histogram));
    assert_false(digest(b, 3, 1, LEAST_OF_ALL, histogram));
    check_histogram(b, histogram);
    check_histogram(b, histogram); /* of nothing again */
    many_digests(b, histogram);
    free(histogram);
    test_backend_close(b);
}

static void all_ways(enum test_backend kind)
{
    for (int way = 0; way < TEST_WAYS; way++) {
        digests(kind, OL_DTYPE_BF16, way);
        digests(kind, OL_DTYPE_F32, way);
    }
}

static void on_cpu(void **state)
{
    (void)state;
    all_ways(TEST_CPU);
}

static void on_cuda(void **state)
{
    (void)state;
    all_ways(TEST_CUDA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_cpu),
        cmocka_unit_test(on_cuda),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
