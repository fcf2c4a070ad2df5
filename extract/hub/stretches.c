#include "extract/hub/stretches.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"

enum {
    /* A cut costs as much as is lost of a range; a round trip, what would have come
     * meanwhile. */
    MOST_RANGE_BYTES = 16 << 20,
    LEAST_RANGE_BYTES = 2 << 20,
    /* Stretches at the end that another one may join. */
    LOOKED_AT = 32,
};

void ol_hub_stretches_clear(struct ol_hub_stretches *q)
{
    free(q->at);
    *q = (struct ol_hub_stretches){0};
}

static void insert(struct ol_hub_stretches *q, size_t place, struct ol_hub_stretch s)
{
    if (q->n == q->room) {
        q->room = 2 * q->room + 64;
        q->at = ol_xrealloc_array(q->at, q->room, sizeof *q->at);
    }
    memmove(q->at + place + 1, q->at + place, (q->n - place) * sizeof s);
    q->at[place] = s;
    q->n++;
}

static void erase(struct ol_hub_stretches *q, size_t place)
{
    q->n--;
    memmove(q->at + place, q->at + place + 1, (q->n - place) * sizeof *q->at);
}

void ol_hub_stretches_insert(struct ol_hub_stretches *q, size_t place,
                             struct ol_hub_stretch s)
{
    q->bytes += s.to - s.from;
    insert(q, place, s);
}

/* The place of one that `s` can join, or n. */
static size_t neighbour(const struct ol_hub_stretches *q, struct ol_hub_stretch s)
{
    const size_t first = q->n > LOOKED_AT ? q->n - LOOKED_AT : 0;
    for (size_t i = first; i < q->n; i++)
        if (q->at[i].shard == s.shard && (q->at[i].to == s.from || q->at[i].from == s.to))
            return i;
    return q->n;
}

void ol_hub_stretches_put(struct ol_hub_stretches *q, struct ol_hub_stretch s)
{
    size_t place = q->n;
    q->bytes += s.to - s.from;
    for (size_t i; (i = neighbour(q, s)) != q->n;) {
        const struct ol_hub_stretch other = q->at[i];
        s.from = s.from < other.from ? s.from : other.from;
        s.to = s.to > other.to ? s.to : other.to;
        erase(q, i);
        place = i < place ? i : place;
    }
    insert(q, place < q->n ? place : q->n, s);
}

void ol_hub_stretches_remove(struct ol_hub_stretches *q, struct ol_hub_stretch s)
{
    for (size_t i = 0; i < q->n;) {
        const struct ol_hub_stretch old = q->at[i];
        const int64_t from = old.from > s.from ? old.from : s.from,
                      to = old.to < s.to ? old.to : s.to;
        if (old.shard != s.shard || from >= to) {
            i++;
            continue;
        }
        q->bytes -= to - from;
        erase(q, i);
        if (old.from < from)
            insert(q, i++, (struct ol_hub_stretch){old.shard, old.from, from});
        if (to < old.to)
            insert(q, i++, (struct ol_hub_stretch){old.shard, to, old.to});
    }
}

/* Connections share a link evenly: ranges of one length would end together, and the link
 * would stand still for a round trip. So each connection has a length of its own. */
struct ol_hub_stretch ol_hub_stretches_take(struct ol_hub_stretches *q, int connection)
{
    int64_t most = q->bytes / (2 * OL_HUB_CONNECTIONS);
    most = most < MOST_RANGE_BYTES ? most : MOST_RANGE_BYTES;
    most = most * (OL_HUB_CONNECTIONS + connection) / (2 * OL_HUB_CONNECTIONS - 1);
    most = most > LEAST_RANGE_BYTES ? most : LEAST_RANGE_BYTES;
    struct ol_hub_stretch *first = &q->at[0], s = *first;
    /* No rest that is not worth a request. */
    if (s.to - s.from > most + LEAST_RANGE_BYTES / 2)
        s.to = s.from + most;
    first->from = s.to;
    q->bytes -= s.to - s.from;
    if (first->from == first->to)
        erase(q, 0);
    return s;
}
