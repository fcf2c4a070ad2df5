/* Stretches of shards that are to be fetched, in the order in which they are wanted. One
 * that begins where another ends, or ends where it begins, joins it, so that the tensors
 * of a layer, or an expert, that lie side by side come by one request; the front is cut
 * where several connections can share it. No byte is in it twice: who puts it in takes
 * care. */
#ifndef OL_HUB_STRETCHES_H
#define OL_HUB_STRETCHES_H

#include <stddef.h>
#include <stdint.h>

enum { OL_HUB_CONNECTIONS = 8 };

struct ol_hub_shard; /* only told from others */

struct ol_hub_stretch {
    struct ol_hub_shard *shard;
    int64_t from, to; /* bytes from up to to - 1 */
};

/* Start from {0}. */
struct ol_hub_stretches {
    struct ol_hub_stretch *at; /* [n] */
    size_t n, room;
    int64_t bytes; /* of all */
};
void ol_hub_stretches_clear(struct ol_hub_stretches *q);

/* Behind the others, or where one of the last is that it joins. It may be what lies
 * between two: all of it comes where the first of them would. */
void ol_hub_stretches_put(struct ol_hub_stretches *q, struct ol_hub_stretch s);
/* At that place, 0 to n, by itself. */
void ol_hub_stretches_insert(struct ol_hub_stretches *q, size_t place,
                             struct ol_hub_stretch s);

/* What of these bytes is in it. */
void ol_hub_stretches_remove(struct ol_hub_stretches *q, struct ol_hub_stretch s);

/* The front, as much of it as a connection, 0 to OL_HUB_CONNECTIONS - 1, is to take by
 * itself; there must be one. */
struct ol_hub_stretch ol_hub_stretches_take(struct ol_hub_stretches *q, int connection);

#endif
