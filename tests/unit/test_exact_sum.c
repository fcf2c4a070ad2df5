/* Exact sums against numbers that are known, in every order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "extract/exact_sum.h"

static double sum(const double *values, int n, int first, int parts)
{
    struct ol_exact_sum of[3] = {0};
    for (int i = 0; i < n; i++)
        ol_exact_sum_add(&of[i % parts], values[(i + first) % n]);
    for (int p = 1; p < parts; p++)
        ol_exact_sum_join(&of[0], &of[p]);
    return ol_exact_sum_value(&of[0]);
}

static void known(void **state)
{
    (void)state;
    static const struct {
        double values[6], want;
    } cases[] = {
        {{0}, 0},
        {{1e300, 1, -1e300, 0x1p-500, -1}, 0x1p-500},
        {{0x1p53, 1, 1}, 0x1p53 + 2},
        {{0x1p53, 1}, 0x1p53},                   /* a tie, to even */
        {{0x1p53, 1, 0x1p-300}, 0x1p53 + 2},     /* a little more than one */
        {{-0x1p53, -1, -0x1p-300}, -0x1p53 - 2}, /* and of the other sign */
        {{0x1p53 + 2, 1}, 0x1p53 + 4},           /* the other even number */
        {{0x1.fffffffffffffp900, 0x1.fffffffffffffp900}, 0x1.fffffffffffffp901},
        {{-3, 1, 1, 0.5, 0.25, 0.25}, 0},
        {{0x1p-1000, -0x1p-1001}, 0x1p-1001},
        {{1e16, -1, 0x1p-40, 1e16, 7, 0.125}, 20000000000000008.0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int first = 0; first < 6; first++)
            for (int parts = 1; parts <= 3; parts++)
                assert_true(sum(cases[i].values, 6, first, parts) == cases[i].want);
}

static void unknown(void **state)
{
    (void)state;
    const double none[] = {1, (double)NAN, 2}, infinite[] = {1, -(double)INFINITY, 2};
    assert_true(isnan(sum(none, 3, 0, 1)) && isnan(sum(infinite, 3, 0, 2)));
}

/* More than there is room for without taking carries. */
static void many(void **state)
{
    (void)state;
    struct ol_exact_sum s = {0};
    const double value = 0x1.fffffffffffffp60;
    for (int i = 0; i < 40; i++) {
        ol_exact_sum_add(&s, value);
        s.n_added += 1 << 27;
    }
    assert_true(ol_exact_sum_value(&s) == 40 * value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known), cmocka_unit_test(unknown),
                                       cmocka_unit_test(many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
