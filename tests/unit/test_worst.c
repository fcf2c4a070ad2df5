/* The largest tokens of a site beside sorting them all, ties and several threads among
 * them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "analyze/worst.h"

enum { TOKENS = 3000, THREADS = 3, SITES = 2 };

struct token {
    uint32_t bits;
    int64_t number;
};

static int by_magnitude(const void *x, const void *y)
{
    const struct token *a = x, *b = y;
    if (a->bits != b->bits)
        return a->bits > b->bits ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static int by_number(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

/* Tokens come in the order of their numbers times a stride, magnitudes are one of so
 * many. */
static void check(int64_t n_wanted, int64_t stride, uint32_t n_magnitudes)
{
    struct ol_worst *w = ol_worst_new(SITES, THREADS, n_wanted);
    struct token all[TOKENS];
    uint8_t aside[TOKENS] = {0};
    int64_t expected[TOKENS];
    for (int64_t i = 0; i < TOKENS; i++) {
        const int64_t number = i * stride % TOKENS;
        all[i] = (struct token){(uint32_t)(number * 7919) % n_magnitudes, number};
        aside[number] =
            ol_worst_offer(w, (int)(i % THREADS), 1, all[i].bits, all[i].number);
    }
    qsort(all, TOKENS, sizeof *all, by_magnitude);
    for (int64_t i = 0; i < n_wanted; i++)
        expected[i] = all[i].number;
    qsort(expected, (size_t)n_wanted, sizeof *expected, by_number);
    int64_t n_worst, n;
    int64_t *found = ol_worst_put_aside(w, 1, &n_worst, &n);
    assert_int_equal(n_worst, n_wanted);
    assert_memory_equal(found, expected, (size_t)n_wanted * sizeof *found);
    /* Each that was put aside comes back once. */
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(aside[found[i]], 1);
        aside[found[i]] = 0;
    }
    for (int64_t i = 0; i < TOKENS; i++)
        assert_int_equal(aside[i], 0);
    free(found);
    found = ol_worst_put_aside(w, 0, &n_worst, &n);
    assert_int_equal(n_worst, 0);
    assert_int_equal(n, 0);
    free(found);
    ol_worst_free(w);
}

static void test_worst(void **state)
{
    (void)state;
    for (int64_t n_wanted = 0; n_wanted <= 40; n_wanted++) {
        check(n_wanted, 1, 2500);
        check(n_wanted, 1, 3);
        check(n_wanted, TOKENS - 1, 1);
        check(n_wanted, 1013, 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worst)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
