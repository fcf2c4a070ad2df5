/* Stretches that are to be fetched (stretches.h) against arrays of flags, and what
 * connections take of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "extract/hub/stretches.h"

enum { SHARDS = 2, BYTES = 60, CHANGES = 20000, MIB = 1 << 20 };

struct ol_hub_shard {
    bool in[BYTES];
};

/* Each byte that is in it is in one stretch, and no other is. */
static void check(const struct ol_hub_stretches *q, const struct ol_hub_shard *shards)
{
    int seen[SHARDS][BYTES] = {{0}}, n = 0;
    for (size_t i = 0; i < q->n; i++) {
        const struct ol_hub_stretch *s = &q->at[i];
        assert_true(s->from < s->to);
        for (int64_t b = s->from; b < s->to; b++)
            seen[s->shard - shards][b]++;
    }
    for (int k = 0; k < SHARDS; k++)
        for (int b = 0; b < BYTES; b++) {
            assert_int_equal(seen[k][b], shards[k].in[b]);
            n += seen[k][b];
        }
    assert_int_equal(q->bytes, n);
}

/* From `from` on, what is not yet in it; empty: from == to. */
static struct ol_hub_stretch missing(struct ol_hub_shard *shard, int from, int n)
{
    struct ol_hub_stretch s = {shard, from, from};
    while (s.to < BYTES && s.to < from + n && !shard->in[s.to])
        s.to++;
    return s;
}

static void test_changes(void **state)
{
    (void)state;
    struct ol_hub_shard shards[SHARDS] = {{{false}}};
    struct ol_hub_stretches q = {0};
    uint32_t random = 1;
    for (int i = 0; i < CHANGES; i++) {
        random = random * 1664525u + 1013904223u;
        const int from = (int)(random >> 8) % BYTES, n = (int)(random >> 16) % 9;
        struct ol_hub_shard *shard = &shards[random >> 28 & 1];
        struct ol_hub_stretch s = missing(shard, from, n);
        const int what = (int)(random >> 29) % 5;
        if (what >= 2) {
            s.to = from + n < BYTES ? from + n : BYTES;
            ol_hub_stretches_remove(&q, s);
        } else if (s.from < s.to && what == 0) {
            ol_hub_stretches_put(&q, s);
        } else if (s.from < s.to) {
            ol_hub_stretches_insert(&q, (size_t)i % (q.n + 1), s);
        }
        for (int64_t b = s.from; b < s.to; b++)
            shard->in[b] = what < 2;
        check(&q, shards);
    }
    while (q.n > 0) {
        const struct ol_hub_stretch first = q.at[0], s = ol_hub_stretches_take(&q, 3);
        assert_memory_equal(&s, &first, sizeof s); /* too short to be cut */
        memset(s.shard->in + s.from, 0, (size_t)(s.to - s.from));
        check(&q, shards);
    }
    ol_hub_stretches_clear(&q);
}

/* What lies between two joins both, and comes where the first of them would. */
static void test_joining(void **state)
{
    (void)state;
    struct ol_hub_shard shards[SHARDS] = {{{false}}};
    struct ol_hub_stretches q = {0};
    const struct ol_hub_stretch put[] = {{&shards[1], 20, 30},
                                         {&shards[0], 0, 10},
                                         {&shards[1], 10, 20},
                                         {&shards[0], 30, 40},
                                         {&shards[0], 10, 30}};
    for (size_t i = 0; i < sizeof put / sizeof put[0]; i++)
        ol_hub_stretches_put(&q, put[i]);
    assert_int_equal(q.n, 2);
    assert_ptr_equal(q.at[0].shard, &shards[1]);
    assert_int_equal(q.at[0].from, 10);
    assert_int_equal(q.at[0].to, 30);
    assert_int_equal(q.at[1].from, 0);
    assert_int_equal(q.at[1].to, 40);
    assert_int_equal(q.bytes, 60);
    ol_hub_stretches_clear(&q);
}

/* Every byte once, in order; no two connections the same length while there is much, and
 * nothing left over that is not worth a request. */
static void test_taking(void **state)
{
    (void)state;
    struct ol_hub_shard shard = {{false}};
    struct ol_hub_stretches q = {0};
    const int64_t all = 1024LL * MIB + 12345;
    int64_t at = 0, lengths[OL_HUB_CONNECTIONS];
    ol_hub_stretches_put(&q, (struct ol_hub_stretch){&shard, 0, all});
    for (int i = 0; i < OL_HUB_CONNECTIONS; i++) {
        const struct ol_hub_stretch s = ol_hub_stretches_take(&q, i);
        assert_int_equal(s.from, at);
        at = s.to;
        lengths[i] = s.to - s.from;
        assert_in_range(lengths[i], 2 * MIB, 16 * MIB);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(lengths[i], lengths[k]);
    }
    for (int i = 0; q.n > 0; i = (i + 1) % OL_HUB_CONNECTIONS) {
        const struct ol_hub_stretch s = ol_hub_stretches_take(&q, i);
        assert_int_equal(s.from, at);
        assert_in_range(s.to - s.from, MIB, 17 * MIB);
        at = s.to;
    }
    assert_int_equal(at, all);
    assert_int_equal(q.bytes, 0);
    ol_hub_stretches_clear(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_changes),
                                       cmocka_unit_test(test_joining),
                                       cmocka_unit_test(test_taking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
