#include "extract/hub/intervals.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"

void ol_intervals_clear(struct ol_intervals *s)
{
    free(s->at);
    *s = (struct ol_intervals){0};
}

/* The first that ends behind that byte, or n. */
static size_t find(const struct ol_intervals *s, int64_t at)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->at[middle].to > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Put n in place of those from `first` up to `past` - 1. */
static void replace(struct ol_intervals *s, size_t first, size_t past,
                    const struct ol_interval *with, size_t n)
{
    const size_t left = s->n - past, now = first + n + left;
    if (now > s->room) {
        s->room = 2 * now;
        s->at = ol_xrealloc_array(s->at, s->room, sizeof *s->at);
    }
    if (left > 0)
        memmove(s->at + first + n, s->at + past, left * sizeof *s->at);
    for (size_t i = 0; i < n; i++)
        s->at[first + i] = with[i];
    s->n = now;
}

void ol_intervals_add(struct ol_intervals *s, int64_t from, int64_t to)
{
    if (from >= to)
        return;
    size_t first = find(s, from), past = first;
    struct ol_interval whole = {from, to};
    if (first > 0 && s->at[first - 1].to == from)
        whole.from = s->at[--first].from;
    for (; past < s->n && s->at[past].from <= to; past++) {
        whole.from = s->at[past].from < whole.from ? s->at[past].from : whole.from;
        whole.to = s->at[past].to > whole.to ? s->at[past].to : whole.to;
    }
    replace(s, first, past, &whole, 1);
}

void ol_intervals_remove(struct ol_intervals *s, int64_t from, int64_t to)
{
    const size_t first = find(s, from);
    struct ol_interval rest[2];
    size_t past = first, n = 0;
    if (from >= to)
        return;
    for (; past < s->n && s->at[past].from < to; past++) {
        const struct ol_interval i = s->at[past];
        if (i.from < from)
            rest[n++] = (struct ol_interval){i.from, from};
        if (i.to > to)
            rest[n++] = (struct ol_interval){to, i.to};
    }
    replace(s, first, past, rest, n);
}

bool ol_intervals_gap(const struct ol_intervals *s, int64_t from, int64_t to,
                      struct ol_interval *gap)
{
    size_t i = find(s, from);
    if (i < s->n && s->at[i].from <= from)
        from = s->at[i++].to;
    if (from >= to)
        return false;
    *gap =
        (struct ol_interval){from, i < s->n && s->at[i].from < to ? s->at[i].from : to};
    return true;
}

bool ol_intervals_cover(const struct ol_intervals *s, int64_t from, int64_t to)
{
    struct ol_interval gap;
    return !ol_intervals_gap(s, from, to, &gap);
}

bool ol_intervals_touch(const struct ol_intervals *s, int64_t from, int64_t to)
{
    const size_t i = find(s, from);
    return from < to && i < s->n && s->at[i].from < to;
}
