/* Which bytes of a file are there: a set of half-open intervals. */
#ifndef OL_HUB_INTERVALS_H
#define OL_HUB_INTERVALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ol_interval {
    int64_t from, to; /* bytes from up to to - 1 */
};

/* Rising, apart from each other. Start from {0}. */
struct ol_intervals {
    struct ol_interval *at; /* [n] */
    size_t n, room;
};
void ol_intervals_clear(struct ol_intervals *s);

void ol_intervals_add(struct ol_intervals *s, int64_t from, int64_t to);
void ol_intervals_remove(struct ol_intervals *s, int64_t from, int64_t to);

/* Whether all, or any, of the bytes are in it. */
bool ol_intervals_cover(const struct ol_intervals *s, int64_t from, int64_t to);
bool ol_intervals_touch(const struct ol_intervals *s, int64_t from, int64_t to);

/* The first stretch of these bytes that is not in it; false: there is none. */
bool ol_intervals_gap(const struct ol_intervals *s, int64_t from, int64_t to,
                      struct ol_interval *gap);

#endif
