/* The checksum beside a loop over its bits, whole and in parts that come in any order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/crc32_fold.h"

enum { BYTES = 5000 };

static unsigned char bytes[BYTES];

static uint32_t by_bits(const unsigned char *at, size_t n)
{
    uint32_t c = ~0U;
    for (; n > 0; n--) {
        c ^= *at++;
        for (int bit = 0; bit < 8; bit++)
            c = (c & 1) != 0 ? c >> 1 ^ 0xedb88320U : c >> 1;
    }
    return ~c;
}

static void test_whole(void **state)
{
    (void)state;
    assert_int_equal(ol_crc32("123456789", 9), 0xcbf43926U); /* the check of ISO 3309 */
    for (size_t n = 0; n < 1200; n++)
        assert_int_equal(ol_crc32(bytes + n % 61, n), by_bits(bytes + n % 61, n));
}

static void test_parts(void **state)
{
    (void)state;
    for (size_t n = 3; n < BYTES; n += 97) {
        const size_t a = n / 3, b = n / 2;
        const uint32_t sum = ol_crc32_part(bytes + b, n - b, 0) ^
                             ol_crc32_part(bytes, a, n - a) ^
                             ol_crc32_part(bytes + a, b - a, n - b);
        assert_int_equal(sum ^ ol_crc32_of_zeros(n), by_bits(bytes, n));
    }
}

/* In pieces of several lengths, by steps and without. */
static void test_runs(void **state)
{
    (void)state;
    for (size_t n = 0; n < BYTES; n += 113) {
        struct ol_crc32_run run = {0};
        for (size_t at = 0; at < n; at += 61)
            ol_crc32_go_on(&run, bytes + at, n - at < 61 ? n - at : 61);
        assert_int_equal(ol_crc32_run_part(&run, 7), ol_crc32_part(bytes, n, 7));
    }
#if defined(OL_CRC32_FOLDS)
    for (size_t steps = 0; steps < 30; steps++) {
        struct ol_crc32_run run = {0};
        for (size_t i = 0; i < steps; i++) {
            struct ol_crc32_lanes lanes = ol_crc32_lanes_of(&run);
            ol_crc32_step(&lanes, bytes + 3 + i * OL_CRC32_STEP);
            ol_crc32_keep_lanes(&lanes, &run);
        }
        assert_int_equal(ol_crc32_run_part(&run, 7),
                         ol_crc32_part(bytes + 3, steps * OL_CRC32_STEP, 7));
    }
#endif
}

static void test_zeros(void **state)
{
    (void)state;
    static unsigned char zeros[BYTES];
    memcpy(zeros + 100, bytes, 300);
    assert_int_equal(ol_crc32_of_zeros(BYTES) ^ ol_crc32_part(bytes, 300, BYTES - 400),
                     by_bits(zeros, BYTES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_zeros),
    };
    uint32_t x = 1;
    for (int i = 0; i < BYTES; i++) {
        x = x * 1664525U + 1013904223U;
        bytes[i] = (unsigned char)(x >> 24);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
