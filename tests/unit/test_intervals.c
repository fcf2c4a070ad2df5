/* Sets of bytes (intervals.h) against an array of flags, after every change. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "extract/hub/intervals.h"

enum { BYTES = 60, CHANGES = 4000 };

static void check(const struct ol_intervals *s, const bool *in)
{
    for (size_t i = 0; i < s->n; i++) {
        assert_true(s->at[i].from < s->at[i].to);
        assert_true(i == 0 || s->at[i - 1].to < s->at[i].from);
    }
    for (int from = 0; from <= BYTES; from++) {
        bool all = true, any = false;
        int first = -1, end = -1;
        for (int to = from; to <= BYTES; to++) {
            struct ol_interval gap = {-1, -1};
            assert_int_equal(ol_intervals_cover(s, from, to), all);
            assert_int_equal(ol_intervals_touch(s, from, to), any);
            assert_int_equal(ol_intervals_gap(s, from, to, &gap), !all);
            if (!all) {
                assert_int_equal(gap.from, first);
                assert_int_equal(gap.to, end < 0 ? to : end);
            }
            if (to == BYTES)
                break;
            any |= in[to];
            if (!in[to] && first < 0)
                first = to;
            if (in[to] && first >= 0 && end < 0)
                end = to;
            all &= in[to];
        }
    }
}

static void test_sets(void **state)
{
    (void)state;
    struct ol_intervals s = {0};
    bool in[BYTES] = {false};
    uint32_t random = 1;
    check(&s, in);
    for (int i = 0; i < CHANGES; i++) {
        random = random * 1664525u + 1013904223u;
        const int from = (int)(random >> 8) % BYTES,
                  n = (int)(random >> 16) % (i % 7 == 0 ? BYTES : 6),
                  to = from + n < BYTES ? from + n : BYTES;
        const bool adds = (random >> 30 & 1) != 0;
        (adds ? ol_intervals_add : ol_intervals_remove)(&s, from, to);
        for (int k = from; k < to; k++)
            in[k] = adds;
        check(&s, in);
    }
    ol_intervals_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
