/* Numbers of things, by a key of 64 bits; exact, in any order of counting. */
#ifndef OL_TALLY_H
#define OL_TALLY_H

#include <stddef.h>
#include <stdint.h>

struct ol_counted {
    uint64_t key;
    int64_t n; /* 0: a free slot */
};

/* Open addressing; start from {0}. */
struct ol_tally {
    struct ol_counted *slots; /* [n_slots] */
    size_t n, n_slots;
};

/* n > 0 more of that key. */
void ol_tally_add(struct ol_tally *t, uint64_t key, int64_t n);

/* All of `from` too, which stays as it is. */
void ol_tally_merge(struct ol_tally *t, const struct ol_tally *from);

/* What was counted, by rising key, [t->n]; the caller frees it. */
struct ol_counted *ol_tally_sorted(const struct ol_tally *t);

void ol_tally_clear(struct ol_tally *t);

#endif
