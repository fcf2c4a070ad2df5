/* Functions of double against the C library's of long double: within 2 units in the last
 * place, and what is special. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/real_math.h"

static uint64_t seed;

static double uniform(double low, double high)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(seed >> 11) * 0x1p-53;
}

/* How far found is from want, in units in the last place of want; `least`: of no smaller
 * number. */
static double units(double found, long double want, double least)
{
    const double size = fmax(fabs((double)want), least);
    return (double)fabsl((long double)found - want) / (nextafter(size, INFINITY) - size);
}

enum { TIMES = 300000 };

static void exponentials(void **state)
{
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        const double x = i % 2 ? uniform(-745, 709.7) : uniform(-2, 2);
        assert_true(units(ol_real_exp(x), expl((long double)x), 0x1p-1022) < 2);
    }
    assert_true(ol_real_exp(0) == 1 && ol_real_exp(-0.0) == 1);
    assert_true(ol_real_exp(710) == INFINITY && ol_real_exp(INFINITY) == INFINITY);
    assert_true(ol_real_exp(-746) == 0 && ol_real_exp(-INFINITY) == 0);
    assert_true(isnan(ol_real_exp(NAN)));
}

static void logarithms(void **state)
{
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        const double x = i % 3 == 0   ? uniform(0.5, 2)
                         : i % 3 == 1 ? 1 + uniform(-1e-3, 1e-3)
                                      : ldexp(uniform(0.5, 1), (int)uniform(-1070, 1023));
        assert_true(units(ol_real_log(x), logl((long double)x), 0) < 2);
        assert_true(units(ol_real_log2(x), log2l((long double)x), 1) < 2);
        const double y = i % 2 ? uniform(-0.9, 3) : ldexp(uniform(-1, 1), -(i % 60));
        assert_true(units(ol_real_log1p(y), log1pl((long double)y), 0) < 3);
    }
    assert_true(ol_real_log(1) == 0 && ol_real_log1p(0) == 0);
    assert_true(ol_real_log2(8) == 3 && ol_real_log2(1.0 / 64) == -6);
    assert_true(ol_real_log2(1) == 0);
    assert_true(ol_real_log(0) == -INFINITY && ol_real_log(INFINITY) == INFINITY);
    assert_true(ol_real_log1p(-1) == -INFINITY && ol_real_log1p(INFINITY) == INFINITY);
    assert_true(isnan(ol_real_log(-1)) && isnan(ol_real_log(NAN)));
    assert_true(isnan(ol_real_log1p(-2)) && isnan(ol_real_log1p(NAN)));
    assert_true(isnan(ol_real_log2(NAN)) && ol_real_log2(0) == -INFINITY);
}

static void powers(void **state)
{
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        const double x = uniform(2, 1e7), y = uniform(0, 1);
        assert_true(units(ol_real_pow(x, y), powl((long double)x, (long double)y), 0) <
                    24);
    }
    assert_true(ol_real_pow(1e6, 0) == 1 && ol_real_pow(1, 0.5) == 1);
}

/* Angles as rotary embeddings have them: floats, some of them near to where a function is
 * zero. */
static void angles(void **state)
{
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        double x = (double)(float)(i % 3 == 0   ? uniform(-4, 4)
                                   : i % 3 == 1 ? uniform(0, 1e8)
                                                : i * 1.5707963267948966);
        double sine, cosine;
        ol_real_sincos(x, &sine, &cosine);
        assert_true(units(sine, sinl((long double)x), 0x1p-26) < 3);
        assert_true(units(cosine, cosl((long double)x), 0x1p-26) < 3);
    }
    double sine, cosine;
    ol_real_sincos(0, &sine, &cosine);
    assert_true(sine == 0 && cosine == 1);
    ol_real_sincos(NAN, &sine, &cosine);
    assert_true(isnan(sine) && isnan(cosine));
    ol_real_sincos(INFINITY, &sine, &cosine);
    assert_true(isnan(sine) && isnan(cosine));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponentials),
        cmocka_unit_test(logarithms),
        cmocka_unit_test(powers),
        cmocka_unit_test(angles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
