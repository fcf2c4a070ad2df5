#include "common/tally.h"

#include <stdlib.h>

#include "common/error.h"

void ol_tally_merge(struct ol_tally *t, const struct ol_tally *from)
{
    for (size_t i = 0; i < from->n_slots; i++)
        if (from->slots[i].n > 0)
            ol_tally_add(t, from->slots[i].key, from->slots[i].n);
}

static void grow(struct ol_tally *t)
{
    struct ol_tally old = *t;
    t->n_slots = old.n_slots > 0 ? 2 * old.n_slots : 1 << 6;
    t->slots = ol_xcalloc(t->n_slots, sizeof *t->slots);
    t->n = 0;
    ol_tally_merge(t, &old);
    ol_tally_clear(&old);
}

void ol_tally_add(struct ol_tally *t, uint64_t key, int64_t n)
{
    if (2 * (t->n + 1) > t->n_slots)
        grow(t);
    size_t i = (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (t->n_slots - 1);
    while (t->slots[i].n > 0 && t->slots[i].key != key)
        i = (i + 1) & (t->n_slots - 1);
    t->n += t->slots[i].n == 0;
    t->slots[i].key = key;
    t->slots[i].n += n;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = ((const struct ol_counted *)a)->key,
                   y = ((const struct ol_counted *)b)->key;
    return (x > y) - (x < y);
}

struct ol_counted *ol_tally_sorted(const struct ol_tally *t)
{
    struct ol_counted *all = ol_xcalloc(t->n, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < t->n_slots; i++)
        if (t->slots[i].n > 0)
            all[n++] = t->slots[i];
    if (n > 0)
        qsort(all, n, sizeof *all, compare);
    return all;
}

void ol_tally_clear(struct ol_tally *t)
{
    free(t->slots);
    *t = (struct ol_tally){0};
}
