/* Files of a repository into the cache: several at a time, each in ranges side by side,
 * hashed in order while they are written. */
#ifndef OL_HUB_FETCH_H
#define OL_HUB_FETCH_H

#include "extract/hub/cache.h"
#include "extract/hub/client.h"
#include "extract/hub/listing.h"
#include "extract/hub/meter.h"

struct ol_hub_fetch {
    /* All borrowed. */
    struct ol_hub_client *client;
    const struct ol_hub_store *store;
    const char *repo, *commit;
    const struct ol_hub_entry *const *entries; /* [n] */
    size_t n;
    struct ol_meter *meter;
};

/* Returns when each of them is in the cache and in the snapshot, whoever fetched it; or,
 * after a failure, when nothing is under way any more. What has come is kept. */
int ol_hub_fetch(const struct ol_hub_fetch *fetch, struct ol_error *err);

#endif
